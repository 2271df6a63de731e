"""The verification as a page for a file: one HTML document that needs nothing else."""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from activities.messages import Language
from audit.details import in_chinese
from audit.faults import Fault
from audit.figures import Figures
from audit.inspection import MANY, Inspection, Verdict
from audit.manifests import MONTH
from audit.process_map import process_map_in_rows
from audit.tables import owed_by, place, share
from audit.verdicts import DASH, NOTABLE, by_rule, late, outages
from audit.wording import FAULTS, LISTS, STANDINGS, TEXT, Count
from domain.clocks import BROKEN, Ticking
from domain.rules import PROMISES, Rule
from domain.shown import ShownVerdict
from domain.vocabulary import Outcome, Role
from runtime.version import version

TEMPLATES = Path(__file__).parent / "templates"

_OF_THE_HEAD = (Fault.head_missing, Fault.head_wrong)
COLOURS = {Ticking.kept: "good", Ticking.late: "warn", Ticking.breached: "bad"}


def render(result: Inspection, language: Language) -> Iterator[str]:
    """The report on what was inspected, in pieces."""
    say = words(language)
    figures, rules = result.figures, by_rule(result.judged)
    whole = MONTH.fullmatch(result.asked) is not None
    about = "month" if whole else "request"
    verified = sum(verdict.word != "erased" for verdict in result.verdicts)
    return page(
        "verification.html.j2",
        language,
        title=say["title"].format(asked=result.asked),
        result=result,
        faults=result.findings,
        numbers={verdict.manifest.number for verdict in result.verdicts},
        rules=rules,
        late=sum(each.late for each in rules),
        breached=sum(each.breached for each in rules),
        proves=[*say[f"{about}_proves"], *(say[f"{about}_replayed"] if verified else ())],
        proves_not=[*say["neither_proves"], *say[f"{about}_proves_not"]],
        outages=outages(result.judged),
        notable=NOTABLE.total_seconds(),
        figures=figures,
        whole=whole,
        head_lost=any(each.fault in _OF_THE_HEAD for each in result.stray),
        verified=verified,
        many=len(result.verdicts) > MANY,
        worse=sum(not _is_fine(verdict) for verdict in result.verdicts),
        process_map=_process(figures, language) if figures.requests > 1 else None,
    )


def _process(figures: Figures, language: Language) -> Markup:
    return Markup(process_map_in_rows(figures, language))  # noqa: S704 # The drawing escapes its texts.


def page(template: str, language: Language, **shown: Any) -> Iterator[str]:
    """A page in one language, with whatever it shows, in pieces; everything is escaped."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= _filters(language)
    pieces = environment.get_template(template).stream(
        language=language,
        say=words(language),
        build=f"Aftersales {version()}",
        colours={each: COLOURS.get(each, "soft") for each in Ticking},
        **shown,
    )
    pieces.enable_buffering(1000)
    return pieces


def words(language: Language) -> Mapping[str, Any]:
    """Every text and list of texts in one language."""
    which = 1 if language == "zh-CN" else 0
    return {name: each[which] for name, each in (TEXT | LISTS).items()}


def _filters(language: Language) -> dict[str, Callable[..., object]]:
    """How values are written in one language."""
    zh = language == "zh-CN"

    def term(word: Role | Outcome) -> str:
        return word.zh if zh else word.value.replace("_", " ")

    def person(said: str) -> Markup:
        role, *who = said.split(" ", 1)
        return Markup(" ").join([term(Role(role)), *map(_unbroken, who)])

    def rule(which: Rule) -> str:
        return PROMISES[which].zh if zh else which.replace("_", " ").capitalize()

    return {
        "constraint": _constraint,
        "detail": in_chinese if zh else str,
        "fault": lambda fault: FAULTS[Fault(fault)][zh],
        "is_fine": _is_fine,
        "late": partial(late, zh=zh),
        "local": _local,
        "number": Count,
        "outcome": lambda outcome: term(Outcome(outcome)) if outcome else DASH,
        "owed": owed_by,
        "person": person,
        "place": place,
        "rule": rule,
        "share": share,
        "standing": lambda standing: STANDINGS[Ticking(standing)][zh],
        "utc": _utc,
    }


def _is_fine(verdict: Verdict) -> bool:
    promises: tuple[ShownVerdict, ...] = verdict.judged.promises if verdict.judged else ()
    return not verdict.findings and all(each.standing not in BROKEN for each in promises)


def _local(moment: datetime | None, zone: str) -> Markup:
    """A day and a time; a line may end between them, and nowhere else."""
    if moment is None:
        return Markup(DASH)  # noqa: S704 # A dash.
    parts = f"{moment.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M:%S}".split()
    return Markup(" ").join(map(_unbroken, parts))


def _constraint(stated: str) -> Markup:
    """As it is stated; its length of time is not torn apart."""
    before, most, length = stated.partition("≤")
    return Markup("{}{}").format(before, _unbroken(most + length))


def _unbroken(text: str) -> Markup:
    """What stands on one line."""
    return Markup('<span class="t">{}</span>').format(text)


def _utc(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
