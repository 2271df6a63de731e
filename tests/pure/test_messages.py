"""Every message that the domain tells has words in both languages, and an organisation's own."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

import domain
from activities.messages import (
    ENDING,
    LANGUAGES,
    MESSAGES,
    OPENED,
    SAMPLE,
    TEMPLATES,
    Language,
    Templates,
    faults,
)
from domain.vocabulary import QuoteState
from tests.pure.builders import given

SHANGHAI = ZoneInfo("Asia/Shanghai")
ZH, EN = Templates("zh-CN"), Templates("en")
NUMBER = "CR20240520-001"
DOMAIN = Path(domain.__file__).parent


def told_in(source: str) -> Iterator[str]:
    """The names in `….tell(to, <name>, …)`; of a formatted name, a pattern for it."""
    for function in ast.walk(ast.parse(source)):
        if isinstance(function, ast.FunctionDef):
            for node in ast.walk(function):
                is_tell = isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "tell"
                if is_tell and isinstance(node, ast.Call) and len(node.args) > 1:
                    yield from names(node.args[1], function)


def names(node: ast.expr, function: ast.FunctionDef) -> Iterator[str]:
    match node:
        case ast.Constant(value=str(name)):
            yield name
        case ast.IfExp():
            yield from names(node.body, function)
            yield from names(node.orelse, function)
        case ast.JoinedStr():
            constants = (part.value for part in node.values if isinstance(part, ast.Constant))
            yield "".join(map(str, constants)) + "*"
        case ast.Name():
            for statement in ast.walk(function):
                if isinstance(statement, ast.Assign) and any(
                    isinstance(target, ast.Name) and target.id == node.id
                    for target in statement.targets
                ):
                    yield from names(statement.value, function)
        case _:
            raise AssertionError(f"cannot tell which message this is: {ast.dump(node)}")


def test_every_message_of_the_domain_is_known_and_every_one_known_is_told() -> None:
    told = {name for file in DOMAIN.glob("*.py") for name in told_in(file.read_text("utf-8"))}
    assert "quote_*" in told
    told -= {"quote_*", "message"}
    told |= {f"quote_{state}" for state in QuoteState if state is not QuoteState.open}
    assert told == set(MESSAGES) - {"reminder_failed", "delivery_failed"}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_message_has_its_template_and_no_template_is_left_over(language: Language) -> None:
    files = {file.name.removesuffix(ENDING) for file in (TEMPLATES / language).iterdir()}
    assert files == {*MESSAGES, "digest"}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("message", MESSAGES)
def test_a_message_names_its_facts_and_nothing_else(message: str, language: Language) -> None:
    facts = {name: SAMPLE[name] for name in MESSAGES[message].facts}
    text = Templates(language, strict=True).render(message, NUMBER, facts, SHANGHAI)
    assert NUMBER in text.body
    assert text.subject
    assert "\n" not in text.subject
    assert not re.search(r"[{}—]|None|%", f"{text.subject}{text.body}")
    has_chinese = re.search(r"[\u4e00-\u9fff]", text.body) is not None
    assert has_chinese == (language == "zh-CN")


@pytest.mark.parametrize("message", MESSAGES)
def test_both_languages_name_the_same_facts(message: str) -> None:
    def named(language: Language) -> set[str]:
        source = (TEMPLATES / language / f"{message}{ENDING}").read_text("utf-8")
        return set(re.findall(r"{{ (\w+)", source)) | set(re.findall(r"{% if (\w+)", source))

    assert named("zh-CN") == named("en")
    window = {"window"} if "window_end" in MESSAGES[message].facts else set()
    assert named("en") <= {"number", *MESSAGES[message].facts, *window}


def test_a_whole_story_is_told_without_a_gap() -> None:
    told = given().passes("11m").walked("offered").passes("40m").did("complained").tells
    assert len({tell.message for tell in told}) > 5
    for tell in told:
        assert tell.to in MESSAGES[tell.message].to
        for templates in (ZH, EN):
            text = templates.render(tell.message, NUMBER, tell.facts, SHANGHAI)
            assert NUMBER in text.body
            assert not re.search(r"[{}—]", text.body)


def test_times_are_local_and_written_as_people_write_them() -> None:
    facts = {"rule": "first_response", "due_at": "2024-05-20T01:10:00+00:00"}
    assert ZH.render("breached", NUMBER, facts, SHANGHAI).body == (
        "已超时：服务请求 CR20240520-001 的“响应需求”应在 5月20日（周一）09:10 前完成。"
    )
    assert EN.render("breached", NUMBER, facts, SHANGHAI).body == (
        "Overdue: first response of CR20240520-001 was due by Mon 20 May, 09:10."
    )


def test_a_window_names_its_day_once_unless_it_goes_over_midnight() -> None:
    day = {"window_start": "2024-05-20T06:00:00+00:00", "window_end": "2024-05-20T08:00:00+00:00"}
    night = {"window_start": "2024-05-20T15:00:00+00:00", "window_end": "2024-05-20T17:00:00+00:00"}
    said = [ZH.render("appointment_sheet", NUMBER, facts, SHANGHAI).body for facts in (day, night)]
    assert "5月20日（周一）14:00 至 16:00。" in said[0]
    assert "5月20日（周一）23:00 至 5月21日（周二）01:00。" in said[1]
    english = EN.render("appointment_sheet", NUMBER, day, ZoneInfo("Europe/Berlin")).body
    assert "Mon 20 May, 08:00 to 10:00." in english


@pytest.mark.parametrize(
    ("message", "facts", "zh", "en"),
    [
        ("complaint_opened", {"class": "slow_response"}, "响应慢", "slow response"),
        ("dispatch_by_hand", {"reason": "nobody_fits"}, "没有符合条件的工程师", "no engineer fits"),
        ("dispatch_by_hand", {"reason": "no_offer_in_time"}, "未能按时派单", "no offer went out"),
        ("parts_awaited", {"expected_on": "2024-05-23"}, "5月23日（周四）", "Thu 23 May"),
        ("please_sign", {"owed": "0.00"}, "免费", "nothing to pay"),
        ("please_sign", {"owed": "530.00"}, "530.00 元", "530.00 yuan"),
        ("request_received", {}, "尽快与您联系", "shortly"),
        ("reminder_failed", {"told": "customer"}, "未能送达客户", "did not reach the customer"),
    ],
)
def test_terms_are_told_in_words(message: str, facts: dict[str, str], zh: str, en: str) -> None:
    assert zh in ZH.render(message, NUMBER, facts, SHANGHAI).body
    assert en in EN.render(message, NUMBER, facts, SHANGHAI).body


def test_the_confirmation_carries_the_number_the_time_and_the_link() -> None:
    facts = {"response_by": "2024-05-20T01:10:00+00:00", "link": "https://service.example/t/abc"}
    text = ZH.render("request_received", NUMBER, facts, SHANGHAI)
    for part in (NUMBER, "5月20日（周一）09:10 前与您联系", "https://service.example/t/abc"):
        assert part in text.body
    assert 'href="https://service.example/t/abc"' in text.html


def test_a_fact_that_is_missing_shows_as_a_dash() -> None:
    assert "— 元" in ZH.render("please_sign", NUMBER, {}, SHANGHAI).body
    assert "— yuan" in EN.render("please_sign", NUMBER, {}, SHANGHAI).body


def test_a_message_of_a_later_version_is_not_guessed() -> None:
    with pytest.raises(KeyError):
        ZH.render("unheard_of", NUMBER, {}, SHANGHAI)


def test_a_digest_says_how_many_and_each() -> None:
    for templates, first in ((ZH, "共 2 条提醒："), (EN, "2 messages:")):
        texts = [templates.render("request_cancelled", n, {}) for n in ("CR-1", "CR-2")]
        assert templates.digest(texts).body.splitlines() == [first, *(t.body for t in texts)]


def test_nothing_that_people_wrote_becomes_markup() -> None:
    text = ZH.render("dispatch_by_hand", NUMBER, {"reason": "<script>x</script> {{ 1 + 1 }}"})
    assert "<script>x</script> {{ 1 + 1 }}" in text.body
    assert "<script>" not in text.html


# --- an organisation's own words ------------------------------------------------------------------


def own(folder: Path, **templates: str) -> Path:
    (folder / "zh-CN").mkdir(parents=True, exist_ok=True)
    for name, source in templates.items():
        (folder / "zh-CN" / f"{name}{ENDING}").write_text(source, encoding="utf-8")
    return folder


def test_an_organisations_words_go_first(tmp_path: Path) -> None:
    folder = own(tmp_path, quote="报价\n\n{{ name }}，您好：{{ number }} 共 {{ total }} 元。")
    assert list(faults(folder)) == []
    templates = Templates("zh-CN", folder)
    text = templates.render("quote", NUMBER, {"total": "5.00", "name": "张三"})
    assert text.body == f"张三，您好：{NUMBER} 共 5.00 元。"
    assert templates.render("receipt", NUMBER, {"amount": "1"}) == ZH.render(
        "receipt", NUMBER, {"amount": "1"}
    )


@pytest.mark.parametrize(
    ("name", "source", "fault"),
    [
        ("quote", "报价\n\n{{ totl }} 元", "zh-CN/quote.txt.j2: 'totl' is undefined"),
        ("quote", "报价\n\n{{ total ", "zh-CN/quote.txt.j2: unexpected end of template"),
        ("quote", "只有一行", "zh-CN/quote.txt.j2: the first line is the subject"),
        ("quote", "a\n\n{{ ''.__class__.__mro__ }}", "is unsafe"),
        ("quote", "a\n\n{{ total + 1 }}", "zh-CN/quote.txt.j2: can only concatenate"),
        ("qoute", "a\n\nb", "zh-CN/qoute.txt.j2: no message has this template"),
    ],
)
def test_a_template_that_is_wrong_is_named(
    tmp_path: Path, name: str, source: str, fault: str
) -> None:
    (found,) = faults(own(tmp_path, **{name: source}))
    assert fault in found


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert list(faults(tmp_path / "none")) == [f"there is no folder {tmp_path / 'none'}"]


def test_our_own_templates_have_no_fault() -> None:
    assert list(faults(None)) == []
    assert set(SAMPLE) >= {fact for kind in MESSAGES.values() for fact in (*kind.facts, *OPENED)}
