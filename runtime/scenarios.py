"""What the demonstration's requests go through: each a list of who does what, after how long.

Times are the policy's own (`after="15m"`); the demonstration divides them by its speed.
"""

from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from domain.rules import Rule
from domain.values import parse_duration
from domain.vocabulary import Outcome, Role

Body = dict[str, Any]


@dataclass(frozen=True)
class Step:
    """Someone reports an event, `after` the step before; until it is allowed they wait."""

    role: Role
    event: str
    payload: Body
    after: timedelta


@dataclass(frozen=True)
class Window:
    """A visit window that opens some time after it is agreed."""

    opens: timedelta
    lasts: timedelta


@dataclass(frozen=True)
class Scenario:
    """One request's way.

    Attributes:
        body: the request as it comes in.
        ends: how it must end.
        misses: the rules that must have been missed on the way, late or breached.
    """

    title: str
    zh: str
    body: Body
    steps: list[Step]
    ends: Outcome
    misses: frozenset[Rule] = field(default_factory=frozenset)


def span(text: str) -> timedelta:
    """`"15m"` as a length of time."""
    length = parse_duration(text)
    if not isinstance(length, timedelta):
        raise TypeError(f"{text!r} is not a length of time")
    return length


def _by(role: Role, event: str, after: str, payload: Body) -> Step:
    return Step(role, event, payload, span(after))


def agent(event: str, *, after: str = "2m", **payload: Any) -> Step:
    """Something the agent (客服专员) reports."""
    return _by(Role.agent, event, after, payload)


def engineer(event: str, *, after: str = "2m", **payload: Any) -> Step:
    """Something the engineer (服务工程师) who was offered or has the work reports."""
    return _by(Role.engineer, event, after, payload)


def dispatcher(event: str, *, after: str = "2m", **payload: Any) -> Step:
    """Something the dispatcher (派单主管) reports."""
    return _by(Role.dispatcher, event, after, payload)


def supervisor(event: str, *, after: str = "2m", **payload: Any) -> Step:
    """Something the supervisor (售后主管) reports."""
    return _by(Role.supervisor, event, after, payload)


def manager(event: str, *, after: str = "2m", **payload: Any) -> Step:
    """Something the manager (售后经理) reports."""
    return _by(Role.manager, event, after, payload)


def appointed(*, after: str = "3m", opens: str = "6m", lasts: str = "2h") -> Step:
    """The engineer agrees a window with the customer."""
    return engineer("appointed", after=after, window=Window(span(opens), span(lasts)))


def hurried(*steps: Step) -> list[Step]:
    """The same steps in quick succession: the demonstration is as long as its longest story."""
    return [replace(step, after=span("20s")) for step in steps]


RESPONSE = [
    agent("responded", note="已致电客户，安排工程师上门"),
    agent("plan_told", after="1m", plan="先检查电源与控制板，必要时更换配件"),
]
TO_THE_DOOR = [
    appointed(),
    engineer("departed", after="3m"),
    engineer("arrived", after="4m"),
]
REPAIRED_FREE = [
    engineer("diagnosed", fault="不制冷", cause="压缩机电容老化", remedy="更换压缩机电容"),
    engineer(
        "completed",
        after="6m",
        test_result="出风口 12 °C,环境 30 °C,运行电流 4.1 A",
        parts=[{"part": "压缩机电容", "serial": "CAP-2207"}],
    ),
    engineer("signed", signature="客户已签字"),
]
FOUND_OUT_OF_WARRANTY = [
    engineer("diagnosed", fault="压缩机不启动", cause="压缩机电容击穿", remedy="更换压缩机电容"),
    engineer(
        "quoted",
        lines=[
            {"item": "压缩机电容"},  # The prices are the price list's.
            {"item": "上门费"},
        ],
    ),
]


def surveyed(
    *, after: str = "5m", channel: str = "phone", remark: str | None = None, **scores: int
) -> Step:
    """The revisit: six scores, 5 unless said otherwise."""
    six = ("response", "professionalism", "attitude", "effect", "overall", "recommend")
    given = {name: scores.get(name, 5) for name in six}
    said = {"remark": remark} if remark else {}
    return agent("surveyed", after=after, scores=given, channel=channel, **said)


NEW, OLD = datetime.now(UTC).date() - timedelta(days=200), date(2019, 6, 18)
SHANGHAI = (31.2304, 121.4737)
FAR_AWAY = (29.6500, 91.1000)


def customer(
    name: str, phone: str, address: str, *, at: tuple[float, float] = SHANGHAI, **more: Any
) -> Body:
    """A made-up customer."""
    latitude, longitude = at
    place = {"latitude": latitude, "longitude": longitude}
    return {"name": name, "phone": phone, "address": address, **place, **more}


def request(
    who: Body, description: str, *, bought: date = NEW, type: str = "repair", **more: Any
) -> Body:
    """A request as a channel sends it in."""
    return {
        "type": type,
        "channel": "phone",
        "urgency": "normal",
        "mood": "calm",
        "description": description,
        "customer": who,
        "product": {
            "model": "KFR-35GW/ABC123",
            "proof": f"ORDER-{who['phone'][-4:]}",
            "purchased_on": bought.isoformat(),
        },
        **more,
    }


SCENARIOS = [
    Scenario(
        "Low score, complaint, manager",
        "低分转投诉并升级",
        request(
            customer("周建国", "13900010001", "上海市黄浦区人民大道200号"),
            "空调运行十分钟后停机，面板显示 E6",
            mood="anxious",
        ),
        [
            *hurried(
                *RESPONSE,
                engineer("accepted"),
                appointed(opens="30s"),
                engineer("arrived"),
                *REPAIRED_FREE,
                surveyed(attitude=2, overall=2, remark="师傅态度差，没有清理现场"),
            ),
            # Nobody takes the complaint over: after an hour it is the manager's.
            manager("complaint_taken_over", after="61m"),
            manager("remedy_offered", after="1m", remedy="voucher", value=100),
            manager("complaint_settled", after="1m", note="客户接受代金券"),
        ],
        Outcome.completed,
        frozenset({Rule.complaint_escalation}),
    ),
    Scenario(
        "Out of warranty, quoted and paid",
        "保外维修，报价付费",
        request(
            customer("李秀英", "13900010002", "上海市徐汇区漕溪北路88号", tier="vip"),
            "空调开机后不制冷，外机有嗡嗡声但风扇不转",
            bought=OLD,
        ),
        [
            *RESPONSE,
            engineer("accepted"),
            *TO_THE_DOOR,
            *FOUND_OUT_OF_WARRANTY,
            agent("quote_approved"),
            engineer(
                "completed",
                after="8m",
                test_result="出风口 11 °C,运行电流 4.3 A",
                parts=[{"part": "压缩机电容", "unit_price": 80}],
            ),
            engineer("signed", signature="客户已签字"),
            engineer("paid", after="1m", amount=130, method="scan"),
            surveyed(remark="很专业，讲解清楚"),
        ],
        Outcome.completed,
    ),
    Scenario(
        "Nobody answers the offer",
        "工程师未响应，改派",
        request(
            customer("王芳", "13900010003", "上海市静安区南京西路1788号"),
            "空调漏水，室内机下方每小时滴约一杯水",
        ),
        [
            *RESPONSE,
            # The first engineer lets 15 minutes pass; the work goes to the next by itself.
            engineer("accepted", after="18m"),
            *TO_THE_DOOR,
            *REPAIRED_FREE,
            surveyed(response=4),
        ],
        Outcome.completed,
        frozenset({Rule.accept}),
    ),
    Scenario(
        "Declined, then accepted",
        "拒单后由下一位接单",
        request(
            customer("赵磊", "13900010004", "上海市浦东新区世纪大道100号"),
            "空调遥控器无反应，换过电池，机身按键也无效",
        ),
        [
            *RESPONSE,
            engineer("declined", reason="同时段已有预约"),
            engineer("accepted", after="3m"),
            *TO_THE_DOOR,
            *REPAIRED_FREE,
            surveyed(),
        ],
        Outcome.completed,
    ),
    Scenario(
        "Put off, then rescheduled",
        "客户暂缓后改约",
        request(
            customer("陈静", "13900010005", "上海市长宁区仙霞路99号"),
            "空调制热时有焦味，已断电",
            urgency="urgent",
        ),
        [
            *RESPONSE,
            engineer("accepted"),
            appointed(opens="10m"),
            agent("held", after="3m", reason="客户临时外出"),
            agent("resumed", after="8m"),
            agent("rescheduled", reason="客户改到今日稍晚", window=Window(span("5m"), span("2h"))),
            engineer("departed", after="3m"),
            engineer("arrived", after="4m"),
            *REPAIRED_FREE,
            surveyed(),
        ],
        Outcome.completed,
    ),
    Scenario(
        "Nobody at home",
        "客户不在家，再次预约",
        request(
            customer("刘海洋", "13900010006", "上海市普陀区金沙江路1628号"),
            "空调室外机震动大，晚上邻居投诉噪声",
        ),
        [
            *RESPONSE,
            engineer("accepted"),
            *TO_THE_DOOR[:2],
            engineer("no_show", after="4m", note="按门铃无人应答，电话未接"),
            *TO_THE_DOOR,
            *REPAIRED_FREE,
            surveyed(),
        ],
        Outcome.completed,
    ),
    Scenario(
        "Waiting for parts",
        "待件后完工",
        request(
            customer("杨帆", "13900010007", "上海市虹口区四川北路1885号"),
            "空调显示 F1,室内温度传感器读数固定在 0 °C",
        ),
        [
            *RESPONSE,
            engineer("accepted"),
            *TO_THE_DOOR,
            engineer("diagnosed", fault="显示 F1", cause="传感器断路", remedy="更换传感器"),
            engineer("parts_awaited", parts=[{"part": "温度传感器"}]),
            engineer("parts_arrived", after="15m"),
            engineer(
                "completed",
                after="5m",
                test_result="传感器读数 24.6 °C,与标准温度计相差 0.2 °C",
                parts=[{"part": "温度传感器", "serial": "TS-0912"}],
            ),
            engineer("signed", signature="客户已签字"),
            surveyed(),
        ],
        Outcome.completed,
    ),
    Scenario(
        "Remote help becomes a visit",
        "远程转上门",
        request(
            customer("黄丽", "13900010008", "上海市杨浦区四平路1239号"),
            "空调联网失败，配网指示灯不闪",
            service_type="remote",
        ),
        [
            *RESPONSE,
            engineer("accepted"),
            appointed(opens="2m", lasts="30m"),
            engineer(
                "diagnosed", after="3m", fault="配网失败", cause="模块无响应", remedy="上门更换"
            ),
            engineer("visit_needed", reason="远程重置三次无效"),
            *TO_THE_DOOR,
            *REPAIRED_FREE,
            surveyed(),
        ],
        Outcome.completed,
    ),
    Scenario(
        "Quote refused",
        "拒绝报价后取消",
        request(
            customer("吴刚", "13900010009", "上海市闵行区莘庄镇都市路5001号"),
            "空调启动后三分钟跳闸",
            bought=OLD,
        ),
        [
            *RESPONSE,
            engineer("accepted"),
            *TO_THE_DOOR,
            *FOUND_OUT_OF_WARRANTY,
            agent("quote_declined", reason="客户认为不值得维修"),
            agent("cancelled", reason="客户决定换新机"),
        ],
        Outcome.cancelled,
    ),
    Scenario(
        "Cancelled by the customer",
        "客户取消",
        request(
            customer("孙梅", "13900010010", "上海市宝山区牡丹江路1508号"),
            "空调滤网拆不下来，卡扣疑似断裂",
            channel="app",
        ),
        [
            *RESPONSE,
            engineer("accepted"),
            agent("cancelled", after="5m", reason="客户自行处理好了"),
        ],
        Outcome.cancelled,
    ),
    Scenario(
        "Question answered late",
        "咨询超时答复",
        request(
            customer("朱婷", "13900010011", "上海市松江区新松江路925号"),
            "新装的空调第一次制热前需要做哪些检查？",
            type="consultation",
            channel="wechat",
        ),
        [
            agent("answered", after="18m", answer="请先清洗滤网，确认外机出风口无遮挡"),
            agent("call_unanswered", after="5m"),
            surveyed(after="8m", channel="sms", response=4),
        ],
        Outcome.answered,
        frozenset({Rule.first_response, Rule.consultation}),
    ),
    Scenario(
        "Complaint, product replaced",
        "投诉后换货",
        request(
            customer("徐涛", "13900010012", "上海市嘉定区博乐路70号"),
            "同一台空调半年内修过两次，压缩机故障再次出现",
            type="complaint",
            mood="angry",
        ),
        [
            supervisor("complaint_taken_over", after="10m"),
            supervisor("remedy_offered", after="6m", remedy="replacement"),
            supervisor("complaint_settled", after="6m", note="客户同意换货"),
        ],
        Outcome.replaced,
    ),
    Scenario(
        "Far away, dispatched by hand",
        "偏远地区人工派单",
        request(
            customer("马超", "13900010013", "西藏自治区拉萨市城关区北京中路35号", at=FAR_AWAY),
            "空调在高原地区制热功率不足，出风只有 25 °C",
        ),
        [
            *RESPONSE,
            dispatcher("assigned", reason="无匹配工程师，跨区支援"),
            engineer("accepted"),
            *TO_THE_DOOR,
            *REPAIRED_FREE,
            surveyed(),
        ],
        Outcome.completed,
    ),
    Scenario(
        "Becomes critical",
        "升级为特急",
        request(
            customer("高敏", "13900010014", "上海市青浦区城中东路485号"),
            "空调插座发热，插头有轻微变色",
            mood="anxious",
        ),
        [
            agent("responded"),
            engineer("accepted"),
            # A critical request is owed a plan within ten minutes, and they have gone.
            agent("reclassified", after="9m", urgency="critical", reason="插座冒烟"),
            agent("plan_told", after="1m", plan="立即断电，工程师优先上门"),
            *TO_THE_DOOR,
            *REPAIRED_FREE,
            surveyed(),
        ],
        Outcome.completed,
        frozenset({Rule.solution_feedback}),
    ),
]
