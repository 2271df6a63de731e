"""The verdicts on a terminal, in both languages."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

from audit.figures import Figures
from audit.inspection import Inspection
from audit.sheets import Sheet
from audit.verdicts import DASH, Judged, RuleSum, by_rule, late, outages
from audit.wording import STANDINGS, Count, span
from domain.clocks import BROKEN
from domain.shown import ShownEvidence, ShownVerdict


def promises(judged: Judged) -> Sheet:
    """The verdict on each promise of one request."""
    zone = ZoneInfo(judged.timezone)
    shown = Sheet(
        "rule 规则",
        "allowed 时限",
        "started 开始",
        "due 期限",
        "done 完成",
        "verdict 结论",
        "person late 人员迟延",
        "platform late 平台迟延",
        "owed by 责任",
        "evidence 依据",
        caption=f"{judged.number} · {judged.timezone}",
    )
    for promise in judged.promises:
        shown.add(
            f"{promise.rule} {promise.zh}{f' {promise.subject}' if promise.subject else ''}",
            span(promise.goal_seconds),
            *(_moment(each, zone) for each in (promise.started_at, promise.due_at)),
            _moment(promise.done_at, zone),
            " ".join(STANDINGS[promise.standing]),
            late(promise.person_late_seconds),
            late(promise.platform_late_seconds),
            owed_by(promise),
            " ".join(dict.fromkeys(map(place, promise.evidence.values()))),
            bold=promise.standing in BROKEN,
        )
    return shown


def rules(all_of_them: Iterable[Judged]) -> Sheet:
    """What became of every rule's promises."""
    shown = Sheet(
        "rule 规则",
        "kept 按时",
        "late 迟办",
        "breached 超时",
        "cancelled 取消",
        "share kept 按时率",
        "target 目标",
        "person late 人员迟延",
        "platform late 平台迟延",
    )
    for each in by_rule(all_of_them):
        shown.add(
            f"{each.rule} {each.zh}",
            *map(str, (each.kept, each.late, each.breached, each.cancelled)),
            share(each.share_kept),
            _target(each),
            late(each.person_late_seconds),
            late(each.platform_late_seconds),
        )
    return shown


def lines(result: Inspection) -> Iterator[str]:
    """When the platform was down, what left the process model, and how the forms compared."""
    for outage in outages(result.judged):
        began, down = f"{outage.began_at:%Y-%m-%d %H:%M:%S}Z", outage.seconds
        felt = Count(len(outage.numbers))
        yield f"The platform noticed nothing for {span(down)} from {began}: {felt:request}."
        yield f"平台自 {began} 起 {span(down, zh=True)} 没有响应，涉及 {felt} 个服务请求。"
    yield from outside(result.figures)
    compared = result.forms
    if compared is None:
        yield "Chain and forms were not compared with the records. 未与业务记录核对链和表单。"
        return
    erased = f", {compared.erased} erased 已清除" if compared.erased else ""
    counted = f"{compared.compared}{erased}"
    yield f"Compared with the records: the chain, forms of {counted}. 已与业务记录核对链和表单。"


def outside(figures: Figures) -> Iterator[str]:
    """Which requests left the process model, and where."""
    for number, where in figures.unfitting:
        yield f"{number}: outside the process model 偏离流程模型: {where}"


def share(part: float | None) -> str:
    """A share in per cent."""
    return f"{part:.1%}" if part is not None else DASH


def owed_by(promise: ShownVerdict) -> str:
    """Who must act: the role, and the person where that is known."""
    return f"{promise.owed_by} {promise.who or ''}".rstrip()


def place(evidence: ShownEvidence) -> str:
    """An event of the history: `#12`, or `2/#12` in the second run of several."""
    return f"{evidence.run}/#{evidence.event}" if evidence.run else f"#{evidence.event}"


def _target(rule: RuleSum) -> str:
    return f"{share(rule.target)}{' missed 未达' if rule.misses_target else ''}"


def _moment(moment: datetime | None, zone: ZoneInfo) -> str:
    return f"{moment.astimezone(zone):%m-%d %H:%M:%S}" if moment else DASH
