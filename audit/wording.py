"""The words of the audit's reports, in English and in Chinese."""

from collections.abc import Sequence

from audit.faults import Fault
from domain.clocks import Ticking


class Count(int):
    """A number written with what it counts: `{:request}` gives `1 request`, `2 requests`.

    What is not regular is written out: `{:entry|entries}`. A plain `{}` is only the number.
    """

    def __format__(self, noun: str) -> str:
        one, _, many = noun.partition("|")
        if not one:
            return str(int(self))
        return f"{int(self)} {one if self == 1 else many or f'{one}s'}"


_UNITS = ((86400, "d", "天"), (3600, "h", "小时"), (60, "min", "分钟"), (1, "s", "秒"))
_THREE_DAYS = 3 * 86400


def span(seconds: float, *, zh: bool = False, roughly: bool = False) -> str:
    """A length of time as people read it: `1 h 30 min`, `1 小时 30 分钟`.

    Below a minute with tenths, below three days in hours, as the standard does.

    Args:
        roughly: in one unit: `1.5 h`.
    """
    units = _UNITS if seconds >= _THREE_DAYS else _UNITS[1:]
    if roughly:
        return _roughly(seconds, units, zh=zh)
    tenths = round(seconds, 1)
    if 0 < tenths < 60 and tenths != round(tenths):
        return f"{tenths} {'秒' if zh else 's'}"
    left, parts = round(seconds), []
    for unit, english, chinese in units:
        amount, left = divmod(left, unit)
        if amount:
            parts.append(f"{amount} {chinese if zh else english}")
    return " ".join(parts) or f"0 {'秒' if zh else 's'}"


def _roughly(seconds: float, units: Sequence[tuple[int, str, str]], *, zh: bool) -> str:
    # What rounds up to a whole unit is one: 59.6 s are a minute.
    fitting = (each for each in units if seconds >= each[0] * 0.99)
    unit, english, chinese = next(fitting, units[-1])
    amount = seconds / unit
    number = f"{amount:.0f}" if amount >= 9.95 else f"{amount:.1f}".removesuffix(".0")
    return f"{number} {chinese if zh else english}"


STANDINGS: dict[Ticking, tuple[str, str]] = {
    Ticking.kept: ("kept", "按时"),
    Ticking.late: ("late", "迟办"),
    Ticking.breached: ("breached", "超时"),
    Ticking.cancelled: ("cancelled", "取消"),
    Ticking.running: ("running", "进行中"),
    Ticking.paused: ("paused", "暂停"),
}

FAULTS: dict[Fault, tuple[str, str]] = {
    Fault.history_missing: ("The history's file is not there", "历史文件不在"),
    Fault.history_changed: (
        "The history's file is not what was archived",
        "历史文件不是当初归档的内容",
    ),
    Fault.history_misplaced: ("The file tells of another request", "文件讲的是另一个请求"),
    Fault.history_unreadable: ("The history does not open", "历史无法打开"),
    Fault.history_incomplete: ("The history is not whole", "历史不完整"),
    Fault.key_missing: ("The record's key is not there", "该记录的密钥不在"),
    Fault.key_wrong: ("The ring does not open the record's key", "密钥环打不开该记录的密钥"),
    Fault.erasure_incomplete: (
        "The chain says that it was erased, and its key is still there",
        "链上已记载清除，密钥却仍在",
    ),
    Fault.reads_changed: ("Rows of the access log were altered", "访问日志的记录被改动"),
    Fault.reads_missing: ("Rows of the access log are not there", "访问日志的记录不在"),
    Fault.manifest_changed: ("A manifest was altered or moved", "清单被改动或移动"),
    Fault.manifest_untrue: (
        "The manifest says otherwise than the history",
        "清单所述与历史不符",
    ),
    Fault.manifest_missing: ("A manifest is not there", "清单不在"),
    Fault.chain_broken: ("The chain is broken", "链已断开"),
    Fault.head_missing: ("The month was not signed", "该月没有签名"),
    Fault.head_wrong: ("The chain does not lead to what was signed", "链未通向签名所指之处"),
    Fault.signature_wrong: ("The signature is not of this head", "签名与链头不符"),
    Fault.signer_unknown: ("Signed by a key not known here", "签名者的公钥不在已知之列"),
    Fault.replay_differs: ("Today's code would have done other things", "今天的代码会做不同的事"),
    Fault.rules_differ: ("The rules were not the same", "规则不一致"),
    Fault.promise_differs: (
        "The request judged a promise otherwise than its events do",
        "请求对承诺的判定与其事件不符",
    ),
    Fault.form_differs: ("A form is not what the history says", "表单与历史不符"),
}

CHANGES: dict[str, tuple[str, str]] = {
    "broken": ("would be broken", "会超时"),
    "kept": ("would not be broken", "不会超时"),
    "promised": ("newly promised", "新增承诺"),
    "unpromised": ("no longer promised", "不再承诺"),
}

ASSUMPTIONS: tuple[tuple[str, str], ...] = (
    (
        "People are taken to act when they did, whatever was promised.",
        "无论承诺如何，都视人的行动时间为不变。",
    ),
    (
        "An offer that ended unanswered ends when it ended, and the next one went out when it did.",
        "无人应答的派单仍在原来的时刻结束，下一次派单也仍在原来的时刻发出。",
    ),
)
"""What a judgement under another policy rests on."""

TEXT: dict[str, tuple[str, str]] = {
    "title": ("Verification report, {asked}", "核验报告 {asked}"),
    "nothing_wrong": (
        "No fault found. {count:request} verified.",
        "未发现问题。已核验服务请求 {count} 个。",
    ),
    "faults_found": ("{count:fault} found", "发现问题 {count} 处"),
    "broken": (
        "A promise not kept is no fault. Late: {late}, breached: {breached}.",
        "承诺未守不算归档问题：迟办 {late} 项，超时 {breached} 项。",
    ),
    "archive": ("Archive", "归档"),
    "requests": ("Requests", "服务请求"),
    "request": ("Request", "服务请求"),
    "chain": ("Chain", "链"),
    "head": ("Head of the chain", "链头"),
    "no_head": ("not signed yet: the month is not over", "尚未签名：该月还没有结束"),
    "head_lost": ("none that can be read: see the faults", "没有可读的链头：见问题"),
    "not_looked_at": (
        "neither its head nor its signature was looked at, only the entries on both sides",
        "未检查链头和签名，只检查了与本请求相邻的条目",
    ),
    "signed_by": ("Signed by", "签名公钥"),
    "head_hash": ("Hash of the last entry", "最后一份清单的哈希"),
    "head_signed_at": ("Signed at", "签名时间"),
    "head_count": ("{count:entry|entries} in {month}", "{month} 共 {count} 份"),
    "records": ("Records", "业务记录"),
    "records_compared": (
        "compared: the chain, and the forms of {count:request}; {erased} erased, not compared",
        "已核对链和 {count} 个请求的表单；已清除而未核对 {erased} 个",
    ),
    "records_not_compared": (
        "neither the chain nor the forms were compared with them",
        "未核对链和表单",
    ),
    "verified_at": ("Verified at", "核验时间"),
    "build": ("Software", "软件"),
    "contents": ("Contents", "目录"),
    "faults": ("Faults", "问题"),
    "where": ("Where", "位置"),
    "fault": ("Fault", "问题"),
    "detail": ("Detail", "说明"),
    "proves_title": ("What this proves and what it does not", "本报告能证明什么、不能证明什么"),
    "proves": ("Where no fault is named, it proves that", "未列出问题之处，可以证明："),
    "proves_not": ("It does not prove that", "不能证明："),
    "by_rule": ("Promises by rule", "按规则汇总"),
    "by_rule_caption": (
        "Share kept: kept ÷ (kept + late + breached). Late: done after it was due. Breached: not "
        "done at all. Cancelled: dropped before it was due.",
        "按时率：按时 ÷（按时＋迟办＋超时）。"
        "迟办：期限后才完成。超时：始终没有完成。取消：期限前已不再需要。",
    ),
    "rule": ("Rule", "规则"),
    "share_kept": ("Share kept", "按时率"),
    "target": ("Target", "目标"),
    "missed": ("missed", "未达"),
    "person_late": ("Person late", "人员迟延"),
    "platform_late": ("Platform late", "平台迟延"),
    "outages": ("When the platform was down", "平台停顿"),
    "outages_meaning": (
        "Something was due and the platform noticed nothing for {notable} or longer. Lateness in "
        "such a time is booked to the platform and to no person.",
        "已有事项到期而平台 {notable} 以上没有响应。期间的迟延记在平台名下，不计入任何人。",
    ),
    "no_outages": ("None.", "没有。"),
    "from": ("From", "自"),
    "until": ("Until", "至"),
    "length": ("Length", "时长"),
    "process_legend": (
        "Read it from top to bottom. Thick: often. Dashed: back to an earlier step. Bold: the "
        "longest waits.",
        "自上而下阅读。线越粗越常走；虚线表示回到较早的步骤；粗体为间隔最长之处。",
    ),
    "process_map": ("The process as it really ran", "流程的实际走法"),
    "process_fits": (
        "{count:request went a way|requests went ways} that the process model allows.",
        "{count} 个服务请求的走法都符合流程模型。",
    ),
    "process_left": (
        "{count} of {all:request} left the process model:",
        "{all} 个服务请求中有 {count} 个偏离了流程模型：",
    ),
    "only": (
        "Only requests with a fault or a promise not kept",
        "只看有问题或有承诺未按时兑现的请求",
    ),
    "only_shown": (
        "Shown: {count} of {all:request}, those with a fault or a promise not kept.",
        "此处只列出 {all} 个请求中有问题或有承诺未按时兑现的 {count} 个。",
    ),
    "in_order": (
        "In the order of the chain, as the requests were archived.",
        "按链上的次序，即归档的先后。",
    ),
    "entry": ("Entry", "链上序号"),
    "closed": ("Closed", "关闭时间"),
    "outcome": ("Outcome", "结果"),
    "events": ("Events", "事件"),
    "verification": ("Verification", "核验"),
    "sound": ("sound", "完好"),
    "erased": ("erased", "已清除"),
    "erased_at": (
        "Erased at {at}, {why}: nobody opens its history any more.",
        "已于 {at} 清除，{why}：其历史不再能打开。",
    ),
    "erased_soon": (
        "Erased, as the records say: its history is not opened any more.",
        "业务记录已记为清除：不再打开其历史。",
    ),
    "asked": ("because it was asked for", "应要求"),
    "retention": ("because it was older than records are kept", "超过保存期限"),
    "erased_before": ("It was erased before it was archived.", "归档之前已清除。"),
    "faulty": ("{count:fault}", "{count} 处问题"),
    "about": (
        "{outcome} · {events:history event} · {runs:run}",
        "{outcome} · 历史事件：{events} · 运行：{runs}",
    ),
    "station": ("station", "网点"),
    "policy": ("policy", "策略版本"),
    "code": ("code", "代码版本"),
    "times": ("Times in {zone}", "时间为 {zone}"),
    "evidence_meaning": (
        "Evidence: where in the history a promise started, was broken, and ended. #12 is its event "
        "12, 2/#12 the one of its second run.",
        "依据：承诺开始、超时、结束之处的历史事件编号。"
        "#12 是第 12 个事件，2/#12 是第二次运行的第 12 个。",
    ),
    "promised": ("Promised", "承诺"),
    "started": ("Started", "开始"),
    "due": ("Due", "期限"),
    "done": ("Done", "完成"),
    "breached": ("Broken", "超时"),
    "ended": ("Ended", "结束"),
    "verdict": ("Verdict", "结论"),
    "by_whom": ("By whom", "责任人"),
    "done_by": ("done by", "完成："),
    "evidence": ("Evidence", "依据"),
    "not_judged": (
        "Its promises could not be judged: the history is not there, not whole, does not open or "
        "does not replay.",
        "其承诺无法判定：历史不在、不完整、打不开或无法重放。",
    ),
    "what_if": ("What if: {month} under another policy", "假设分析：另一策略下的 {month}"),
    "would_differ": (
        "{count:promise} would stand otherwise. {judged:request} judged.",
        "结论会不同的承诺 {count} 项。已判定服务请求 {judged} 个。",
    ),
    "other_policy": ("The other policy", "另一策略"),
    "own_policies": ("Policies in force", "当时的策略"),
    "skipped": ("Skipped, damaged or not replayed", "已略过：损坏或无法重放"),
    "erased_count": ("Erased", "已清除"),
    "judged_at": ("Judged at", "判定时间"),
    "assumptions": ("Assumptions", "假定"),
    "rules": ("By rule", "按规则"),
    "stations": ("By station", "按网点"),
    "engineers": ("By engineer", "按工程师"),
    "rules_one": ("Rule", "规则"),
    "stations_one": ("Station", "网点"),
    "engineers_one": ("Engineer", "工程师"),
    "changed": ("Promises that would stand otherwise", "结论会不同的承诺"),
    "change": ("Change", "变化"),
    "was": ("Was", "原结论"),
    "would": ("Would be", "新结论"),
    "made_by": ("Made by {build}.", "由 {build} 生成。"),
}
"""Every text by its name."""

LISTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "month_proves": (
        (
            "each history is byte for byte what was archived, stands in its place in the chain, "
            "and none between was removed;",
            "the chain leads to the head that the named key signed, where there is one;",
        ),
        (
            "每份历史与归档时逐字节相同，在链中各居其位，中间没有删去任何一份；",
            "有签名时，链通向所列公钥签署的链头；",
        ),
    ),
    "request_proves": (
        (
            "the history is byte for byte what was archived, and its entry in the chain is bound "
            "to the one before it, and the one after it to that;",
        ),
        ("历史与归档时逐字节相同，其条目在链中与前后条目相连；",),
    ),
    "month_replayed": (
        (
            "the code named above, given the same events, does what every history that was not "
            "erased says, with the same durations, inputs and results;",
            "each promise in them, derived from the events alone by a second reading of the "
            "service standard, stands as the request itself recorded it.",
        ),
        (
            "对每份未清除的历史，所列代码在相同事件下的行为与之一致，时长、输入和结果都相同；",
            "其中每项承诺，另行按服务标准、仅由事件推导，都与请求自身的记录一致。",
        ),
    ),
    "request_replayed": (
        (
            "the code named above, given the same events, does what the history says, with the "
            "same durations, inputs and results;",
            "each promise, derived from the events alone by a second reading of the service "
            "standard, stands as the request itself recorded it.",
        ),
        (
            "所列代码在相同事件下的行为与历史一致，时长、输入和结果都相同；",
            "另行按服务标准、仅由事件推导出的每项承诺，与请求自身的记录一致。",
        ),
    ),
    "neither_proves": (
        (
            "what people reported is true: an event counts from when its sender says it happened, "
            "within the bounds that the platform keeps;",
            "everything that happened was reported;",
        ),
        (
            "人所上报的属实：事件以上报者所说的发生时间为准，平台只限定其范围；",
            "发生过的事都已上报；",
        ),
    ),
    "month_proves_not": (
        (
            "nobody replaced archive and signing key together: compare the key with the copy kept "
            "elsewhere;",
            "requests that are not closed, or not archived yet, were handled as promised: they "
            "are not in here.",
        ),
        (
            "没有人同时替换归档和签名密钥：请与另处保存的公钥比对；",
            "尚未关闭或尚未归档的请求也如约处理：它们不在本报告之内。",
        ),
    ),
    "request_proves_not": (
        (
            "the rest of the chain is whole and was signed: neither was looked at, which the "
            "report on its month does.",
        ),
        ("链的其余部分完整且有签名：本报告未作检查，见该月的报告。",),
    ),
}
"""Every list of texts by its name: what a report on a month and one on a request prove, and not."""
