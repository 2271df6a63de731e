"""The demonstration as tables and lines: what was promised, until when, and what became of it."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from domain.rules import PROMISES, Rule
from domain.vocabulary import ClockState, Outcome, Stage
from runtime.scenarios import Scenario

Shown = dict[str, Any]
FATES = {"kept": "按时", "late": "迟办", "breached": "超时", "cancelled": "取消"}
MARKS = {"kept": "✓", "late": "!", "breached": "✗", "cancelled": "–", "running": "…", "paused": "‖"}
COLOURS = {
    "on_track": "green",
    "at_risk": "yellow",
    "breached": "red",
    "paused": "cyan",
    "kept": "green",
    "late": "yellow",
    "cancelled": "dim",
    "running": "",
}


def watched(
    requests: Sequence[tuple[Scenario, Shown]], lines: Sequence[str], speed: float, height: int
) -> RenderableType:
    """Every request as it stands now, and as many of the last happenings as fit."""
    table = Table(title=f"Service requests 服务请求 · × {speed:g}", expand=True, box=SIMPLE_HEAD)
    for heading, ratio in {
        "Number 单号": None,
        "Customer 客户": None,
        "Scenario 情景": 3,
        "Stage 阶段": 2,
        "Next due 时限": 3,
        "Clocks 时效": None,
    }.items():
        table.add_column(heading, no_wrap=True, ratio=ratio, overflow="ellipsis")
    for scenario, shown in requests:
        table.add_row(
            shown["number"],
            shown["customer"]["name"],
            f"{scenario.zh} {scenario.title}",
            _stage(shown),
            _next_due(shown),
            _clock_state(shown),
        )
    room = max(0, height - len(requests) - 6)
    last = "\n".join(lines[-room:] if room else [])
    return Group(table, Text(last, style="dim", no_wrap=True, overflow="ellipsis"))


def outcomes(walks: Sequence[tuple[Scenario, str, Shown, str | None]]) -> RenderableType:
    """How every request ended with every promise made to it, and the promises by rule."""
    table = Table(title="Outcomes 结果", show_lines=True)
    table.add_column("Number 单号", no_wrap=True)
    table.add_column("Scenario 情景", min_width=20)
    table.add_column("Ended as 结果")
    table.add_column("Clocks 时效")
    for scenario, number, shown, problem in walks:
        ended = Text(_outcome(shown).replace(" ", "\n"))
        if problem:
            ended.append("\nunexpected 异常", style="bold red")
        table.add_row(number, f"{scenario.title}\n{scenario.zh}", ended, _promises(shown))
    clocks = [clock for _, _, shown, _ in walks for clock in shown.get("clocks", [])]
    return Group(table, _by_rule(clocks))


def _promises(shown: Shown) -> Text:
    """Every promise of a request in order; a mark says how it was kept."""
    marked = (
        Text(f"{clock['rule']}\u00a0{MARKS[fate]}", style=COLOURS[fate])
        for clock in shown.get("clocks", [])
        for fate in [_fate(clock)]
    )
    return Text("  ").join(marked)


def _by_rule(clocks: Sequence[Shown]) -> Table:
    table = Table(title="Promises by rule 各项时效")
    table.add_column("Rule 规则")
    for fate, zh in FATES.items():
        table.add_column(f"{fate} {zh} {MARKS[fate]}", justify="right", style=COLOURS[fate])
    for rule, promise in PROMISES.items():
        fates = [_fate(clock) for clock in clocks if clock["rule"] == rule]
        counts = (str(fates.count(fate)) if fate in fates else "" for fate in FATES)
        if fates:
            table.add_row(f"{rule} {promise.zh}", *counts)
    return table


def _fate(clock: Shown) -> str:
    """Breached stays breached: an offer that nobody answered ends its clock, not its story."""
    if clock["state"] == "cancelled" and clock["breached_at"]:
        return "breached"
    return str(clock["state"])


def happenings(before: Shown, now: Shown) -> Iterator[str]:
    """What has changed of a request, a line each."""
    if not before:
        yield f"received 受理: {now['customer']['name']}, {now['type']}, {now['urgency']}"
    elif before["stage"] != now["stage"] != Stage.closed:
        yield f"→ {_stage(now)}"
    seen = {_name(clock): clock for clock in before.get("clocks", [])}
    for clock in now["clocks"]:
        known = seen.get(_name(clock), {})
        for moment, what in (("warned_at", "due soon 预警"), ("breached_at", "breached 超时")):
            if clock[moment] and not known.get(moment):
                yield f"{clock['rule']} {_zh(clock)}: {what}"
    for place, offer in enumerate(now["offers"]):
        known_offers = before.get("offers", [])
        if place >= len(known_offers):
            yield f"offered 派单: {offer['engineer']}"
        elif offer["state"] == "no_answer" != known_offers[place]["state"]:
            yield f"no answer 未响应: {offer['engineer']}"
    if now["manual_dispatch"] and not before.get("manual_dispatch"):
        yield "dispatch by hand 人工派单: nobody fits 无匹配"
    owners = [complaint["owner_role"] for complaint in before.get("complaints", [])]
    for place, complaint in enumerate(now["complaints"]):
        if place >= len(owners):
            yield f"complaint opened 投诉: {complaint['class']}"
        elif complaint["owner_role"] != owners[place]:
            yield f"complaint escalated 投诉升级: {complaint['owner_role']}"
    if now["outcome"] and not before.get("outcome"):
        yield f"closed 归档: {_outcome(now)}"


def _stage(shown: Shown) -> str:
    stage = Stage(shown["stage"])
    held = " · on hold 暂停" if shown["on_hold"] else ""
    return f"{stage} {stage.zh}{held}"


def _outcome(shown: Shown) -> str:
    if not shown.get("outcome"):
        return "—"
    outcome = Outcome(shown["outcome"])
    return f"{outcome} {outcome.zh}"


def _next_due(shown: Shown) -> Text:
    running = [c for c in shown["clocks"] if c["state"] == "running" and c["due_at"]]
    if not running:
        return Text("—", style="dim")
    clock = min(running, key=lambda c: datetime.fromisoformat(c["due_at"]))
    left = (datetime.fromisoformat(clock["due_at"]) - datetime.now(UTC)).total_seconds()
    text = f"{_span(left):>5}  {clock['rule']} {_zh(clock)}"
    return Text(text, style="yellow" if clock["warned_at"] else "")


def _span(seconds: float) -> str:
    whole = abs(int(seconds))
    hours, minutes = divmod(whole // 60, 60)
    shown = f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"
    return f"-{shown}" if seconds < 0 else shown


def _clock_state(shown: Shown) -> Text:
    if shown["stage"] == Stage.closed:
        return Text(_outcome(shown), style="dim")
    state = ClockState(shown["clock_state"])
    return Text(f"{state} {state.zh}", style=COLOURS[state])


def _name(clock: Shown) -> tuple[str, str | None, str]:
    return clock["rule"], clock["subject"], clock["started_at"]


def _zh(clock: Shown) -> str:
    return PROMISES[Rule(clock["rule"])].zh
