"""Whatever is said of a fault is said in Chinese as well."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from audit.details import DETAILS, in_chinese

AUDIT = Path(__file__).parents[2] / "audit"
FINDS = ("access", "filed", "forms", "histories", "ledger", "parallel", "replaying", "verification")
SAYS_WHAT = {"Finding", "NoHistory", "NoReads", "Untold"}
"""What is made with a sentence."""
HELD = {"detail", "about", "_GONE", "_ANOTHER"}
"""Where a sentence is held until then."""
GIVES = {"lacks", "_differing", "_differences"}
"""Functions that give one."""


def sentences() -> set[str]:
    """Every sentence on a fault in the code, `{}` for what is named."""
    found: set[str] = set()
    for module in FINDS:
        tree = ast.parse((AUDIT / f"{module}.py").read_text(encoding="utf-8"))
        for said in (each for node in ast.walk(tree) for each in _said(node)):
            found.update(each for each in _templates(said) if re.search("[a-z]", each))
    return found


def _said(node: ast.AST) -> Iterator[ast.expr]:
    match node:
        case ast.Call(func=ast.Name(id=name), args=args) if name in SAYS_WHAT:
            yield args[2] if name == "Finding" and len(args) > 2 else args[0]
        case ast.Assign(targets=[ast.Name(id=name)], value=value) if name in HELD:
            yield value
        case ast.FunctionDef(name=name) if name in GIVES:
            for inner in ast.walk(node):
                if isinstance(inner, ast.Return | ast.Yield) and inner.value is not None:
                    yield inner.value


def _templates(said: ast.expr) -> Iterator[str]:
    match said:
        case ast.Constant(value=str(text)):
            yield text
        case ast.JoinedStr(values=parts):
            yield "".join(str(p.value) if isinstance(p, ast.Constant) else "{}" for p in parts)
        case ast.BoolOp(values=values):
            for each in values:
                yield from _templates(each)
        case ast.IfExp(body=body, orelse=orelse):
            yield from _templates(body)
            yield from _templates(orelse)


def test_the_sentences_are_found() -> None:
    assert len(sentences()) > 30


@pytest.mark.parametrize("sentence", sorted(sentences()))
def test_every_sentence_has_its_like_in_chinese(sentence: str) -> None:
    said = in_chinese(sentence.replace("{}", "X7"))
    assert any("\u4e00" <= each <= "\u9fff" for each in said), said


def test_no_sentence_stands_there_for_nothing() -> None:
    """Of those that stand in the code as they are."""
    parts = {"nothing", "the last", "event {} {}", "not in the history", "another command"}
    parts |= {"the build fails", "went on", "{}: {}"}
    parts |= {"{} ({}): history {}, build {}", "{}: {} recorded {}, judged {}"}
    elsewhere = "\n".join(
        path.read_text(encoding="utf-8")
        for path in (*AUDIT.glob("*.py"), AUDIT.parent / "records" / "sealing.py")
        if path.name != "details.py"
    )
    for english, _ in DETAILS:
        longest = max(english.split("{}"), key=len)
        assert english in parts or longest in elsewhere, english


def test_what_is_named_is_said_in_chinese_too() -> None:
    assert in_chinese("2026-11/CR1.history is not there") == "2026-11/CR1.history 不在"
    assert in_chinese("the run before the first, a1, is not there") == "第一次运行之前的 a1 不在"
    assert in_chinese("WO/1: otherwise in engineer") == "WO/1：以下各项不同：engineer"
    key = "keys/CR1.key: it was not sealed for record/CR1, or was changed since"
    assert in_chinese(key) == "keys/CR1.key：它不是为 record/CR1 加密的，或已被改动"
    parting = "another command (event 13 TimerStarted): history timer a, build nothing"
    said = "另一条指令（事件 13 TimerStarted）：历史为 timer a，此版本为 无"
    assert in_chinese(parting) == said
    assert in_chinese("of another age") == "of another age"
