"""The messages: who gets which, what each names, and its words in both languages.

The words are templates, `templates/<language>/<message>.txt.j2`: the first line is the subject, the
rest the text. An organisation may put its own into a folder that is searched first. No text holds
personal data unless a template of the organisation's own asks for the customer's `name`.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import date, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple
from zoneinfo import ZoneInfo

from jinja2 import (
    ChoiceLoader,
    FileSystemLoader,
    StrictUndefined,
    TemplateError,
    Undefined,
    select_autoescape,
)
from jinja2.sandbox import SandboxedEnvironment

from domain.rules import PROMISES, Rule
from domain.vocabulary import ComplaintClass, Role

Language = Literal["zh-CN", "en"]
LANGUAGES: tuple[Language, ...] = ("zh-CN", "en")
TEMPLATES = Path(__file__).parent / "templates"
ENDING = ".txt.j2"


class Kind(NamedTuple):
    """What is known of a message.

    Attributes:
        to: who gets it.
        facts: what its text may name besides the request's `number`.
        waits: it rests during quiet hours.
    """

    to: tuple[Role, ...]
    facts: tuple[str, ...] = ()
    waits: bool = False


_CUSTOMER, _ENGINEER = (Role.customer,), (Role.engineer,)
_OWING = (Role.agent, Role.dispatcher, Role.engineer, Role.supervisor)
_TOLD = (Role.dispatcher, Role.supervisor, Role.manager)

MESSAGES: dict[str, Kind] = {
    "request_received": Kind(_CUSTOMER, ("response_by", "link")),
    "work_offered": Kind(_ENGINEER),
    "work_withdrawn": Kind(_ENGINEER),
    "no_answer": Kind(_ENGINEER),
    "dispatch_by_hand": Kind((Role.dispatcher,), ("reason",)),
    "appointment_sheet": Kind(_CUSTOMER, ("window_start", "window_end")),
    "visit_reminder": Kind((Role.customer, Role.engineer), ("window_start",)),
    "engineer_departed": Kind(_CUSTOMER),
    "engineer_late": Kind(_CUSTOMER, ("eta",)),
    "missed_you": Kind(_CUSTOMER),
    "visit_needed": Kind(_CUSTOMER, waits=True),
    "quote": Kind(_CUSTOMER, ("total",)),
    "quote_approved": Kind(_ENGINEER),
    "quote_declined": Kind(_ENGINEER),
    "parts_awaited": Kind(_CUSTOMER, ("expected_on",), waits=True),
    "parts_arrived": Kind(_ENGINEER),
    "shipped_back": Kind(_CUSTOMER, waits=True),
    "please_sign": Kind(_CUSTOMER, ("owed",)),
    "receipt": Kind(_CUSTOMER, ("amount",), waits=True),
    "survey_sms": Kind(_CUSTOMER, ("link",), waits=True),
    "complaint_opened": Kind((Role.supervisor,), ("class", "complaint")),
    "request_cancelled": Kind(_CUSTOMER, waits=True),
    "due_soon": Kind(_OWING, ("rule", "due_at", "subject")),
    "breached": Kind(_TOLD, ("rule", "due_at", "subject")),
    "breached_customer": Kind(_CUSTOMER, ("rule", "due_at")),
    "reminder_failed": Kind((Role.dispatcher,), ("told", "window_start")),
    "delivery_failed": Kind((Role.supervisor,), ("provider", "error")),
}
"""Every message that the domain tells, and the two that the courier tells itself."""

OPENED = ("name", "link", "response_by")
"""What is looked up when a message is sent; empty where there is none, or nobody may have it."""

SAMPLE = {
    "amount": "480.00",
    "class": "slow_response",
    "complaint": "1",
    "due_at": "2024-05-20T01:10:00+00:00",
    "error": "timeout",
    "eta": "2024-05-20T06:30:00+00:00",
    "expected_on": "2024-05-23",
    "link": "https://service.example/t/abc",
    "name": "张三",
    "owed": "480.00",
    "provider": "sms_gateway",
    "reason": "nobody_fits",
    "response_by": "2024-05-20T01:10:00+00:00",
    "rule": "first_response",
    "subject": "1",
    "told": "customer",
    "total": "480.00",
    "window_end": "2024-05-20T08:00:00+00:00",
    "window_start": "2024-05-20T06:00:00+00:00",
}
"""A plausible value of every fact, to try the templates with."""

_REASONS = {
    "nobody_fits": ("没有符合条件的工程师", "no engineer fits"),
    "no_offer_in_time": ("未能按时派单", "no offer went out in time"),
}
_MOMENTS = {"window_start", "window_end", "eta", "due_at", "response_by"}
_DAYS_ZH = "一二三四五六日"
_DAYS_EN = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS_EN = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


class Text(NamedTuple):
    """What a message says, in one language."""

    subject: str
    body: str
    html: str


class _Dash(Undefined):
    """A fact that is missing shows as a dash rather than keeping the message from anyone."""

    def __str__(self) -> str:
        return "—"


class Templates:
    """The words of every message in one language.

    Args:
        own: the organisation's folder, searched before ours.
        strict: a missing fact is an error; for checking.
    """

    def __init__(
        self, language: Language = "zh-CN", own: Path | None = None, *, strict: bool = False
    ) -> None:
        self.language: Language = language
        self._environment = SandboxedEnvironment(
            loader=ChoiceLoader([FileSystemLoader(f) for f in (own, TEMPLATES) if f]),
            undefined=StrictUndefined if strict else _Dash,
            autoescape=select_autoescape(enabled_extensions=("html", "html.j2")),
        )

    def render(
        self, message: str, number: str, facts: Mapping[str, str], zone: ZoneInfo | None = None
    ) -> Text:
        """What the message about request `number` says, times as read in `zone`.

        Raises:
            KeyError: this version does not know the message.
            TemplateError: its template is broken.
        """
        if message not in MESSAGES:
            raise KeyError(message)
        words = _in_words(facts, self.language, zone or ZoneInfo("UTC"))
        return self._text(message, {**dict.fromkeys(OPENED, ""), **words, "number": number})

    def digest(self, texts: list[Text]) -> Text:
        """Many messages to the same role in one."""
        return self._text("digest", {"texts": [text.body for text in texts]})

    def _text(self, name: str, words: Mapping[str, Any]) -> Text:
        template = self._environment.get_template(f"{self.language}/{name}{ENDING}")
        subject, _, body = template.render(words).strip().partition("\n")
        said = {"language": self.language, "subject": subject.strip(), "body": body.strip()}
        html = self._environment.get_template("mail.html.j2").render(said)
        return Text(said["subject"], said["body"], html)


def faults(own: Path | None) -> Iterator[str]:
    """What is wrong with the templates, one sentence each: every one is tried in both languages."""
    if own is not None and not own.is_dir():
        yield f"there is no folder {own}"
        return
    for language in LANGUAGES:
        templates = Templates(language, own, strict=True)
        for message in MESSAGES:
            if fault := _fault(templates, message):
                yield f"{language}/{message}{ENDING}: {fault}"
    for file in sorted(own.rglob("*.j2")) if own else ():
        if not (TEMPLATES / file.relative_to(own or TEMPLATES)).exists():
            yield f"{file.relative_to(own or TEMPLATES)}: no message has this template"


def _fault(templates: Templates, message: str) -> str | None:
    facts = {name: SAMPLE[name] for name in (*MESSAGES[message].facts, *OPENED)}
    try:
        text = templates.render(message, "CR20240520-001", facts)
        templates.digest([text, text])
    except TemplateError as error:
        return error.message or type(error).__name__
    except (ArithmeticError, TypeError, ValueError, UnicodeDecodeError) as error:
        return str(error)
    if not text.subject or not text.body:
        return "the first line is the subject, the text follows after an empty line"
    return None


# --- in words -------------------------------------------------------------------------------------


def _in_words(facts: Mapping[str, str], language: Language, zone: ZoneInfo) -> dict[str, str]:
    words = {name: _worded(name, fact, language, zone) for name, fact in facts.items()}
    start, end = (_moment(facts.get(edge, ""), zone) for edge in ("window_start", "window_end"))
    if start and end:
        words["window"] = _window(start, end, language)
    return words


def _worded(name: str, fact: str, language: Language, zone: ZoneInfo) -> str:
    """A fact in words that people read."""
    zh = language == "zh-CN"
    if name in _MOMENTS:
        moment = _moment(fact, zone)
        return _time(moment, language) if moment else fact
    if name == "expected_on":
        with suppress(ValueError):
            return _day(date.fromisoformat(fact), language)
    if name == "reason" and fact in _REASONS:
        return _REASONS[fact][0 if zh else 1]
    for term, known in (("class", ComplaintClass), ("told", Role)):
        if name == term and fact in list(known):
            return known(fact).zh if zh else fact.replace("_", " ")
    if name == "rule" and fact in PROMISES:
        return PROMISES[Rule(fact)].zh if zh else fact.replace("_", " ")
    return fact


def _moment(fact: str, zone: ZoneInfo) -> datetime | None:
    try:
        return datetime.fromisoformat(fact).astimezone(zone)
    except ValueError:
        return None


def _day(day: date, language: Language) -> str:
    if language == "zh-CN":
        return f"{day.month}月{day.day}日（周{_DAYS_ZH[day.weekday()]}）"
    return f"{_DAYS_EN[day.weekday()]} {day.day} {_MONTHS_EN[day.month - 1]}"


def _time(moment: datetime, language: Language) -> str:
    return f"{_day(moment.date(), language)}{'' if language == 'zh-CN' else ', '}{moment:%H:%M}"


def _window(start: datetime, end: datetime, language: Language) -> str:
    same_day = start.date() == end.date()
    until = f"{end:%H:%M}" if same_day else _time(end, language)
    return f"{_time(start, language)} {'至' if language == 'zh-CN' else 'to'} {until}"
