"""The documents say what the code does.

The tables between `<!-- generated: … -->` and `<!-- end -->` are made from the code; after a
change, `.venv/bin/python -m tests.pure.test_docs` writes them anew.
"""

import re
import tomllib
from collections.abc import Callable, Iterator
from difflib import unified_diff
from enum import StrEnum
from functools import partial
from itertools import takewhile
from pathlib import Path
from types import CodeType, FunctionType, UnionType
from typing import Any, Literal, Union, get_args, get_origin
from zoneinfo import ZoneInfo

import pytest
import typer
from pydantic import BaseModel

from activities.messages import MESSAGES, SAMPLE, Templates
from api.metrics import Metrics
from cli import app
from domain.admission import ADMISSIONS, BEFORE_SIGN_OFF, OPEN, ORDER, Admission
from domain.events import ANYONE, EVENTS, BaseEvent
from domain.outgoing import OUTGOING
from domain.refusals import REASONS
from domain.rules import PROMISES, Rule
from domain.todo import DUTIES, Duty
from domain.vocabulary import RequestType, Role, ServiceType, Stage, Urgency
from runtime.settings import STANDARD_POLICY, Settings
from runtime.tokens import SCOPES, Scope

ROOT = Path(__file__).parents[2]
LANGUAGES = {"en": ".md", "zh": ".zh-CN.md"}
PAGES = [
    "README",
    "docs/architecture",
    "docs/board",
    "docs/deploying-changes",
    "docs/timing-rules",
    "docs/events",
    "docs/notifications",
    "docs/operations",
    "docs/performance",
    "docs/personal-data",
    "docs/security",
    "docs/tasks",
    "docs/webhooks",
]
POLICY: dict[str, Any] = tomllib.loads(STANDARD_POLICY.read_text(encoding="utf-8"))

each_language = pytest.mark.parametrize("language", LANGUAGES)


def page(name: str, language: str) -> Path:
    return ROOT / f"{name}{LANGUAGES[language]}"


def read(name: str, language: str) -> str:
    return page(name, language).read_text(encoding="utf-8")


# --- in words -------------------------------------------------------------------------------------

UNITS = {
    "en": {"s": "s", "m": "min", "h": "h", "d": "days", "wd": "working days"},
    "zh": {"s": "秒", "m": "分钟", "h": "小时", "d": "天", "wd": "个工作日"},
}


def spoken(duration: str, language: str) -> str:
    """`10m` as people read it."""
    if duration == "none":
        return {"en": "nothing", "zh": "不承诺"}[language]
    parts = re.findall(r"(\d+)(wd|[smhd])", duration)
    return " ".join(f"{number} {UNITS[language][unit]}" for number, unit in parts)


def when(override: dict[str, Any], language: str) -> str:
    """The circumstances of an override."""
    zh = language == "zh"
    said = []
    if word := override.get("urgency"):
        said.append(Urgency(word).zh if zh else word)
    if word := override.get("request_type"):
        said.append(RequestType(word).zh if zh else word)
    if word := override.get("service_type"):
        said.append(ServiceType(word).zh if zh else word)
    if word := override.get("tier"):
        said.append(f"`{word}` 客户" if zh else f"tier `{word}`")
    if word := override.get("product_class"):
        said.append(f"`{word}` 类产品" if zh else f"`{word}` product")
    if km := override.get("within_km"):
        said.append(f"{km} km 内" if zh else f"within {km} km")
    return ("、" if zh else ", ").join(said)


def ladder(levels: list[dict[str, Any]], language: str) -> str:
    """Who is told, and when."""
    zh = language == "zh"
    said = []
    for level in levels:
        who = Role(level["tell"]).zh if zh else level["tell"]
        after = spoken(level["after"], language) if "after" in level else ""
        said.append((f"{after}后{who}" if zh else f"{who} after {after}") if after else who)
        if ways := level.get("channels"):
            said[-1] += f"（{'、'.join(ways)}）" if zh else f" by {' and '.join(ways)}"
    return ("，" if zh else ", ").join(said)


def exception(override: dict[str, Any], language: str) -> str:
    """What holds instead, and under which circumstances."""
    zh = language == "zh"
    said = f"{when(override, language)}{'：' if zh else ': '}{spoken(override['goal'], language)}"
    if "ladder" in override:
        told = ladder(override["ladder"], language)
        said += f"（{told}）" if zh else f" ({told})"
    return said


def goal(rule: Rule, language: str) -> str:
    """What is promised when nothing special holds."""
    if rule is Rule.arrival:  # whatever goal the policy names
        return {"en": "the window's end", "zh": "预约时段结束"}[language]
    return spoken(POLICY["rules"][rule]["goal"], language)


def told(rule: Rule, language: str) -> str:
    """Who hears of a breach; an offer that nobody answered goes on by itself."""
    if rule is Rule.accept:
        return {
            "en": "engineer; the next one is offered the work",
            "zh": "服务工程师；自动改派下一位",
        }[language]
    return ladder(POLICY["rules"][rule]["ladder"], language)


def on_hold(rule: Rule, language: str) -> str:
    """What a hold does to the clock."""
    if rule is Rule.arrival:  # a window does not wait
        return {"en": "is dropped", "zh": "撤销"}[language]
    if POLICY["rules"][rule].get("pauses_on_hold", True):
        return {"en": "rests", "zh": "停表"}[language]
    return {"en": "runs on", "zh": "不停"}[language]


# --- the generated tables -------------------------------------------------------------------------


def rules_table(language: str) -> str:
    """Every promise with its data of the standard policy."""
    zh = language == "zh"
    head = (
        ["规则", "出处", "开始 → 停止", "时限", "特殊情形", "超时告知", "暂停时"]
        if zh
        else ["rule", "source", "starts → stops", "due in", "except", "told on breach", "on hold"]
    )
    rows = []
    for rule, promise in PROMISES.items():
        data = POLICY["rules"][rule]
        exceptions = [exception(override, language) for override in data.get("when", [])]
        starts, stops = (
            ", ".join(f"`{moment}`" for moment in sorted(moments))
            for moments in (promise.starts, promise.stops)
        )
        rows.append(
            [
                f"`{rule}` {promise.zh}",
                promise.source,
                f"{starts} → {stops}",
                goal(rule, language),
                ("；" if zh else "; ").join(exceptions) or "—",
                told(rule, language),
                on_hold(rule, language),
            ]
        )
    return table(head, rows)


def events_table(language: str) -> str:
    """Every event: what it carries, when it is allowed, who may report it."""
    zh = language == "zh"
    head = (
        ["类型", "含义", "内容", "何时允许", "可提交的角色", "可能的拒绝原因"]
        if zh
        else ["type", "it says", "payload", "allowed", "by", "may be refused as"]
    )
    rows = [
        [
            f"`{name}`",
            MEANING_ZH[name] if zh else meaning(model),
            payload(model),
            allowed(ADMISSIONS[name], language),
            by(model, language),
            ", ".join(f"`{code}`" for code in refusals(ADMISSIONS[name])) or "—",
        ]
        for name, model in EVENTS.items()
    ]
    return table(head, rows)


def messages_table(language: str) -> str:
    """Every message: who gets it, what it says with sample facts, and whether it waits at night."""
    zh = language == "zh"
    head = (
        ["消息", "收件人", "内容", "免打扰时段"] if zh else ["message", "to", "says", "quiet hours"]
    )
    templates = Templates("zh-CN" if zh else "en")
    rows = []
    for name, kind in MESSAGES.items():
        facts = {fact: SAMPLE[fact] for fact in kind.facts}
        text = templates.render(name, "CR20240520-001", facts, ZoneInfo("Asia/Shanghai"))
        to = ("、" if zh else ", ").join(role.zh if zh else role.value for role in kind.to)
        waits = ("等待" if zh else "waits") if kind.waits else ("照发" if zh else "is sent")
        rows.append([f"`{name}`", to, " ".join(text.body.split("\n")), waits])
    return table(head, rows)


def tasks_table(language: str) -> str:
    """Every kind of task: whose it is, the promises behind it, what closes it."""
    zh = language == "zh"
    head = (
        ["种类", "谁来做", "时效", "关闭它的事件"]
        if zh
        else ["kind", "owed by", "promises", "closed by"]
    )
    rows = [
        [
            f"`{kind}` {kind.zh}",
            duty.role.zh if zh else duty.role.value,
            promises(duty, language),
            ", ".join(f"`{event}`" for event in duty.closed_by),
        ]
        for kind, duty in DUTIES.items()
    ]
    return table(head, rows)


def webhooks_table(language: str) -> str:
    """Every type of event that leaves, and what of it."""
    zh = language == "zh"
    head = ["类型", "含义", "`data` 中另有"] if zh else ["type", "it says", "`data` holds besides"]
    rows = [
        [
            f"`{name}`",
            told_in_chinese(name) if zh else outgoing.says,
            ", ".join(f"`{field}`" for field in outgoing.fields) or "—",
        ]
        for name, outgoing in OUTGOING.items()
    ]
    return table(head, rows)


def scopes_table(language: str) -> str:
    """Every role and what its tokens may be used for."""
    zh = language == "zh"
    head = ["角色", *Scope] if zh else ["role", *Scope]
    rows = [
        [f"`{role}` {role.zh}", *("✓" if scope in SCOPES[role] else "" for scope in Scope)]
        for role in Role
    ]
    return table(head, rows)


def promises(duty: Duty, language: str) -> str:
    if set(duty.rules) == set(Rule):
        return "任一超时的时效" if language == "zh" else "any that is broken"
    return ", ".join(f"`{rule}`" for rule in duty.rules) or "—"


def told_in_chinese(name: str) -> str:
    short = name.removeprefix("aftersales.")
    return OUTGOING_ZH.get(short) or MEANING_ZH[short.removeprefix("request.")]


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)


MEANING_ZH = {
    "responded": "客服首次联系客户",
    "plan_told": "已向客户告知解决方案",
    "answered": "咨询已答复",
    "reclassified": "变更紧急程度或需求类型",
    "assigned": "派单主管人工派单或改派",
    "accepted": "工程师接单",
    "declined": "工程师拒单，附原因",
    "appointed": "与客户约定上门时段",
    "rescheduled": "改约",
    "departed": "工程师出发",
    "running_late": "工程师告知将迟到",
    "arrived": "工程师到达现场",
    "no_show": "客户不在家",
    "diagnosed": "故障、原因与处理办法已查明并说明",
    "quoted": "已报价",
    "quote_approved": "客户同意报价",
    "quote_declined": "客户拒绝报价",
    "parts_awaited": "待件",
    "parts_arrived": "配件到货",
    "visit_needed": "远程未解决转上门，或需再次上门",
    "depot_received": "送修产品到达维修中心",
    "shipped_back": "送修产品已寄回客户",
    "completed": "完工并实测",
    "signed": "客户签字确认",
    "paid": "客户付款",
    "call_unanswered": "回访电话未接通，改发短信调查",
    "surveyed": "满意度评分",
    "complained": "客户投诉",
    "complaint_taken_over": "售后主管接手投诉",
    "remedy_offered": "致歉并给出方案",
    "complaint_settled": "客户确认投诉已解决",
    "complaint_reopened": "已解决的投诉重新打开",
    "held": "客户要求暂缓",
    "resumed": "恢复办理",
    "cancelled": "取消",
    "noted": "备注",
    "task_claimed": "认领任务",
    "task_released": "释放已认领的任务",
    "task_reassigned": "将任务转派给他人",
    "breach_called": "就超时事项致电客户",
}

OUTGOING_ZH = {
    "request.received": "受理了新的服务请求",
    "request.visit_reminder": "已提醒客户和工程师上门时间",
    "request.complaint_escalated": "投诉上升到售后经理",
    "request.closed": "服务请求已归档",
    "offer.offered": "已向工程师派单",
    "offer.by_hand": "没有合适的工程师，需人工派单",
    "offer.accepted": "工程师已接单",
    "offer.declined": "工程师已拒单",
    "offer.no_answer": "工程师超时未响应",
    "offer.withdrawn": "派单已撤回",
    "clock.started": "时效开始计时",
    "clock.paused": "请求暂停，时效停表",
    "clock.resumed": "时效继续计时",
    "clock.retargeted": "时效换了新的时限",
    "clock.warned": "时效即将到期",
    "clock.breached": "时效超时",
    "clock.escalated": "超时已通知上一级",
    "clock.acknowledged": "已有人处理该超时，升级暂停",
    "clock.unacknowledged": "不再有人处理，升级继续",
    "clock.called": "已就此致电客户",
    "clock.stopped": "承诺已履行(可能已超时)",
    "clock.reopened": "停止的原因被撤回，时效恢复",
    "clock.cancelled": "该承诺不再需要",
    "event.refused": "异步提交的事件被拒绝",
    "webhook.ping": "应要求发送的测试，没有发生任何事",
}


def meaning(model: type[BaseEvent]) -> str:
    said = (model.__doc__ or "").partition("\n")[0]
    return re.sub(r" \([^)]*\)\.$|\.$", "", said)


def payload(model: type[BaseModel]) -> str:
    """The fields of an event apart from those that every event has."""
    fields = [
        field_of(info.alias or name, info.annotation, required=info.is_required())
        for name, info in model.model_fields.items()
        if name not in BaseEvent.model_fields and name != "type"
    ]
    return ", ".join(fields) or "—"


def field_of(name: str, annotation: Any, *, required: bool) -> str:
    mark = "" if required else "?"
    inner = _inner(annotation)
    if isinstance(inner, type) and issubclass(inner, BaseModel):
        return f"`{name}{mark}` ({payload(inner)})"
    if isinstance(inner, type) and issubclass(inner, StrEnum):
        return f"`{name}{mark}`: {' / '.join(inner)}"
    if get_origin(inner) is Literal:
        return f"`{name}{mark}`: {' / '.join(get_args(inner))}"
    return f"`{name}{mark}`"


def _inner(annotation: Any) -> Any:
    """What an optional, an annotated or a list is of."""
    if get_origin(annotation) in (Union, UnionType):
        return _inner(next(each for each in get_args(annotation) if each is not type(None)))
    if get_origin(annotation) is list or hasattr(annotation, "__metadata__"):
        return _inner(get_args(annotation)[0])
    return annotation


def allowed(admission: Admission, language: str) -> str:
    zh = language == "zh"
    if admission.stages == OPEN:
        said = "归档前任何时候" if zh else "until closed"
    elif admission.stages >= BEFORE_SIGN_OFF:
        last = [stage for stage in ORDER if stage in admission.stages][-1]
        said = f"`{ORDER[0]}`–`{last}`"
    else:
        said = ", ".join(f"`{stage}`" for stage in ORDER if stage in admission.stages)
    if admission.while_held and admission.stages != OPEN:
        said += "，暂停中也可" if zh else ", also on hold"
    return said


def by(model: type[BaseEvent], language: str) -> str:
    if model.by == ANYONE:
        return "任何人" if language == "zh" else "anyone"
    roles = [role for role in Role if role in model.by]
    return ("、" if language == "zh" else ", ").join(
        role.zh if language == "zh" else role.value for role in roles
    )


def refusals(admission: Admission) -> list[str]:
    """The refusal codes that stand in the code of an event's guard and check."""
    found: dict[str, None] = {}
    for function in (admission.guard, admission.check):
        found |= dict.fromkeys(code for code in _strings(function) if code in REASONS)
    return list(found)


def _strings(of: Any) -> Iterator[str]:
    if isinstance(of, str):
        yield of
    elif isinstance(of, tuple):
        for each in of:
            yield from _strings(each)
    elif isinstance(of, CodeType):
        yield from _strings(tuple(of.co_consts))
    elif isinstance(of, FunctionType):
        yield from _strings(of.__code__)
        for cell in of.__closure__ or ():
            yield from _strings(cell.cell_contents)


METRICS_ZH = {
    "aftersales_build_info": "运行的版本",
    "aftersales_part_up": "各部分是否可用",
    "aftersales_figures_age_seconds": "距上次统计记录多久",
    "aftersales_clocks_started": "作出的承诺，按规则",
    "aftersales_clocks_kept": "按时兑现的承诺，按规则",
    "aftersales_clocks_late": "逾期才兑现的承诺，按规则",
    "aftersales_clocks_breached": "超时的承诺，无论后来是否兑现，按规则",
    "aftersales_clock_lateness_seconds": "逾期兑现的承诺迟了多久，按规则",
    "aftersales_open_requests": "未关闭的请求，按阶段与时限状态",
    "aftersales_outbox_messages": "发件箱中的消息，按状态与渠道",
    "aftersales_outbox_oldest_seconds": "最早的待发消息等待了多久",
    "aftersales_archive_waiting_seconds": "等待归档最久的请求是多久以前关闭的；0 表示没有等待",
    "aftersales_webhook_deliveries": "Webhook 投递，按状态",
    "aftersales_reconcile_age_seconds": "距上次核对多久",
    "aftersales_reconcile_differences": "上次核对发现的不一致，按是否修复",
    "aftersales_reconcile_duration_seconds": "上次核对用时",
    "aftersales_task_queue_backlog": "等待工作进程的任务数（约数），按类别",
    "aftersales_task_queue_backlog_age_seconds": "其中最早的等待了多久，按类别",
    "aftersales_http_requests": "本进程答复的调用，按方法、路由与状态码",
    "aftersales_http_request_duration_seconds": "本进程答复用时，按方法与路由",
}


def metrics_table(language: str) -> str:
    """Every series of ours at `/metrics`."""
    zh = language == "zh"
    head = ["指标", "类型", "含义"] if zh else ["metric", "kind", "it says"]
    ours = (family for family in Metrics().registry.collect() if "aftersales" in family.name)
    return table(
        head,
        [
            [
                f"`{family.name}{'_total' if family.type == 'counter' else ''}`",
                family.type,
                METRICS_ZH[family.name] if zh else family.documentation.rstrip("."),
            ]
            for family in ours
        ],
    )


TABLES: dict[str, tuple[str, Callable[[str], str]]] = {
    "rules": ("docs/timing-rules", rules_table),
    "events": ("docs/events", events_table),
    "messages": ("docs/notifications", messages_table),
    "tasks": ("docs/tasks", tasks_table),
    "scopes": ("docs/security", scopes_table),
    "webhooks": ("docs/webhooks", webhooks_table),
    "metrics": ("docs/operations", metrics_table),
}
BLOCK = r"(?s)(?<=<!-- generated: {} -->\n).*?(?=\n<!-- end -->)"


def with_tables(name: str, language: str) -> str:
    """The page with its tables as the code would have them."""
    text = read(name, language)
    for key, (place, make) in TABLES.items():
        if place == name:
            made = make(language)
            text, found = re.subn(BLOCK.format(key), lambda _, made=made: made, text)  # type: ignore[misc]
            assert found == 1, f"{page(name, language).name} has no table {key!r}"
    return text


@each_language
@pytest.mark.parametrize("name", sorted({place for place, _ in TABLES.values()}))
def test_the_generated_tables_are_up_to_date(name: str, language: str) -> None:
    committed, made = read(name, language), with_tables(name, language)
    difference = "\n".join(
        unified_diff(committed.splitlines(), made.splitlines(), lineterm="", n=0)
    )
    assert not difference, f"run `.venv/bin/python -m tests.pure.test_docs`\n{difference}"


# --- nothing is left out --------------------------------------------------------------------------


@each_language
@pytest.mark.parametrize("rule", Rule)
def test_every_rule_has_its_section_and_its_goal(rule: Rule, language: str) -> None:
    (row,) = re.findall(rf"(?m)^\| `{rule}` \| {PROMISES[rule].zh} \|.*$", read("README", language))
    assert goal(rule, language) in row
    section = section_of(read("docs/timing-rules", language), f"### `{rule}` {PROMISES[rule].zh}")
    assert f'`goal = "{POLICY["rules"][rule]["goal"]}"`' in section
    assert f"[{rule}" in section, "names no test case"


def section_of(text: str, heading: str) -> str:
    lines = iter(text.splitlines())
    for line in lines:
        if line == heading:
            return "\n".join(takewhile(lambda line: not line.startswith("#"), lines))
    raise AssertionError(f"no heading {heading!r}")


@each_language
def test_every_refusal_and_every_stage_is_told(language: str) -> None:
    text = read("docs/events", language)
    assert [code for code in REASONS if f"`{code}`" not in text] == []
    assert [stage for stage in Stage if f"`{stage}`" not in read("README", language)] == []


def _commands(command: Any, name: str = "") -> list[str]:
    """Every command, those of a group under the group's name."""
    found = getattr(command, "commands", {})
    if not found:
        return [name]
    return [each for sub in found for each in _commands(found[sub], f"{name} {sub}".strip())]


@each_language
def test_every_alert_is_explained(language: str) -> None:
    rules = (ROOT / "deploy/prometheus/alerts.yml").read_text(encoding="utf-8")
    alerts = re.findall(r"- alert: (\w+)", rules)
    assert len(alerts) > 10
    explained = re.findall(r"(?m)^\| `([A-Z]\w+)` ", read("docs/operations", language))
    assert explained == alerts


@each_language
def test_the_readme_names_every_command_and_every_setting(language: str) -> None:
    text = read("README", language)
    rows = re.findall(r"(?m)^\| `aftersales ([\w -]*\w)`", text)
    assert sorted(rows) == sorted(_commands(typer.main.get_command(app)))
    settings = re.findall(r"(?m)^\| `(AFTERSALES_\w+)` ", text)
    assert sorted(settings) == sorted(
        f"AFTERSALES_{name.upper()}" for name in Settings.model_fields
    )


# --- the two languages ----------------------------------------------------------------------------


def shape(text: str) -> list[str]:
    """Headings by level and tables by rows, outside code."""
    text = re.sub(r"(?ms)^```.*?^```$", "```", text)
    marks = re.findall(r"(?m)^(#+|```|\|)", text)
    return [mark for mark in marks if mark]


@pytest.mark.parametrize("name", PAGES)
def test_both_languages_have_the_same_parts(name: str) -> None:
    assert shape(read(name, "en")) == shape(read(name, "zh"))


def commands_in(text: str) -> list[str]:
    """What a reader would type, without the remarks."""
    blocks = re.findall(r"(?ms)^```sh\n(.*?)^```$", text)
    typed = [re.sub(r"\s+#\s.*$", "", line) for block in blocks for line in block.splitlines()]
    inline = re.findall(r"`((?:make|aftersales) [^`]+)`", text)
    return [line for line in typed if line] + inline


def test_both_readmes_name_the_same_commands() -> None:
    english, chinese = (commands_in(read("README", language)) for language in LANGUAGES)
    assert sorted(english) == sorted(chinese)
    assert "make demo" in english
    assert "make test" in english


# --- what is pointed at ---------------------------------------------------------------------------

MARKDOWN = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def slug(heading: str) -> str:
    """GitHub's anchor of a heading."""
    plain = re.sub(r"[^\w\- ]", "", heading.strip().lower())
    return plain.replace(" ", "-")


def anchors(text: str) -> set[str]:
    return {slug(heading) for heading in re.findall(r"(?m)^#+ (.*)$", text)}


@pytest.mark.parametrize("path", MARKDOWN, ids=lambda path: str(path.relative_to(ROOT)))
def test_relative_links_resolve(path: Path) -> None:
    text = re.sub(r"(?ms)^```.*?^```$", "", path.read_text(encoding="utf-8"))
    links = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|href)="([^"]+)"', text)
    for link in links:
        if re.match(r"[a-z]+:", link):
            continue
        target, _, anchor = link.partition("#")
        file = (path.parent / target).resolve() if target else path
        assert file.exists(), f"{link} leads nowhere"
        assert file.is_relative_to(ROOT), f"{link} leads out of the repository"
        if anchor and file.suffix == ".md":
            assert anchor in anchors(file.read_text(encoding="utf-8")), f"{link}: no such heading"


@pytest.mark.parametrize("path", MARKDOWN, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_heading_stands_over_nothing(path: Path) -> None:
    text = re.sub(r"(?ms)^```.*?^```$", "code", path.read_text(encoding="utf-8"))
    parts = re.split(r"(?m)^(#+) (.+)$", text)[1:]
    for depth, heading, below, deeper in zip(
        parts[::3], parts[1::3], parts[2::3], [*parts[3::3], ""], strict=True
    ):
        assert below.strip() or len(deeper) > len(depth), f"nothing stands under {heading}"


@pytest.mark.parametrize("path", MARKDOWN, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_tests_that_are_named_exist(path: Path) -> None:
    named = set(re.findall(r"`(test_\w+_\w+_\w+)`", path.read_text(encoding="utf-8")))
    tests = "\n".join(file.read_text(encoding="utf-8") for file in ROOT.glob("tests/**/*.py"))
    assert [name for name in sorted(named) if f"def {name}(" not in tests] == []


if __name__ == "__main__":
    for place in sorted({place for place, _ in TABLES.values()}):
        for tongue in LANGUAGES:
            write = partial(page(place, tongue).write_text, encoding="utf-8")
            write(with_tables(place, tongue))
