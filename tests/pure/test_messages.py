"""Every message that the domain tells has words in both languages."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

import domain
from activities.messages import TEXTS, digest, render
from domain.vocabulary import QuoteState
from tests.pure.builders import given

SHANGHAI = ZoneInfo("Asia/Shanghai")
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


def test_every_message_of_the_domain_has_a_text_and_every_text_is_used() -> None:
    told = {name for file in DOMAIN.glob("*.py") for name in told_in(file.read_text("utf-8"))}
    assert "quote_*" in told
    told -= {"quote_*", "message"}
    told |= {f"quote_{state}" for state in QuoteState if state is not QuoteState.open}
    assert told == set(TEXTS)


@pytest.mark.parametrize("message", TEXTS)
def test_both_languages_name_the_same_facts(message: str) -> None:
    chinese, english = (set(re.findall(r"{(\w+)}", text)) for text in TEXTS[message])
    assert chinese == english
    assert "number" in chinese


def test_a_whole_story_is_told_without_a_gap() -> None:
    told = given().passes("11m").walked("offered").passes("40m").did("complained").tells
    assert len({tell.message for tell in told}) > 5
    for tell in told:
        zh, en = render(tell.message, NUMBER, tell.facts, SHANGHAI)
        assert NUMBER in zh
        assert NUMBER in en
        assert not re.search(r"[{}—]", zh + en)


def test_times_are_local_and_terms_are_translated() -> None:
    facts = {"rule": "first_response", "due_at": "2024-05-20T01:10:00+00:00"}
    assert render("breached", NUMBER, facts, SHANGHAI) == (
        "已超时:服务请求 CR20240520-001 的“响应需求”应在 2024-05-20 09:10 前完成。",
        "Overdue: first response of CR20240520-001 was due by 2024-05-20 09:10.",
    )
    zh, en = render("complaint_opened", NUMBER, {"class": "slow_response"}, SHANGHAI)
    assert "响应慢" in zh
    assert "slow response" in en
    zh, en = render("dispatch_by_hand", NUMBER, {"reason": "nobody_fits"}, SHANGHAI)
    assert "没有符合条件的工程师" in zh
    assert "no engineer fits" in en


def test_a_fact_that_is_missing_shows_as_a_dash() -> None:
    zh, en = render("please_sign", NUMBER, {}, SHANGHAI)
    assert "— 元" in zh
    assert "— yuan" in en


def test_a_message_of_a_later_version_is_not_guessed() -> None:
    with pytest.raises(KeyError):
        render("unheard_of", NUMBER, {}, SHANGHAI)


def test_a_digest_says_how_many_and_each() -> None:
    texts = [render("request_cancelled", n, {}, SHANGHAI) for n in ("CR-1", "CR-2")]
    zh, en = digest(texts)
    assert zh.splitlines()[0] == "共 2 条提醒:"
    assert en.splitlines() == ["2 messages:", *(text.en for text in texts)]
