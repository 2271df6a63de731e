"""What the messages say, in Chinese and English; without personal data."""

from collections import defaultdict
from datetime import datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from domain.rules import PROMISES, Rule
from domain.vocabulary import ComplaintClass


class Text(NamedTuple):
    """The same words in both languages."""

    zh: str
    en: str


TEXTS: dict[str, Text] = {
    "request_received": Text(
        "您的服务请求已受理,编号 {number},我们会尽快与您联系。",
        "Your service request {number} has been received; we will contact you shortly.",
    ),
    "work_offered": Text(
        "新工单待确认:{number},请在时限内接单或说明拒单原因。",
        "New work for you: {number}. Please accept it, or decline it with a reason.",
    ),
    "work_withdrawn": Text(
        "服务请求 {number} 的工单已撤回,无需继续处理。",
        "The work on {number} has been withdrawn from you.",
    ),
    "no_answer": Text(
        "您未在时限内确认 {number},已记录并改派。",
        "You did not answer the offer of {number} in time; it goes to the next engineer.",
    ),
    "dispatch_by_hand": Text(
        "服务请求 {number} 需要人工派单:{reason}。",
        "Please dispatch {number} by hand: {reason}.",
    ),
    "appointment_sheet": Text(
        "服务请求 {number} 已预约上门:{window_start} 至 {window_end}。",
        "The visit for {number} is agreed for {window_start} to {window_end}.",
    ),
    "visit_reminder": Text(
        "上门提醒:服务请求 {number} 的预约时间为 {window_start},请做好准备。",
        "Reminder: the visit for {number} begins at {window_start}.",
    ),
    "engineer_departed": Text(
        "服务请求 {number} 的工程师已出发。",
        "The engineer for {number} is on the way.",
    ),
    "engineer_late": Text(
        "非常抱歉,服务请求 {number} 的工程师将晚到,预计 {eta} 到达。",
        "We are sorry: the engineer for {number} is running late and expected at {eta}.",
    ),
    "missed_you": Text(
        "工程师按约上门未能见到您(服务请求 {number}),我们会与您重新预约。",
        "We came for {number} and missed you; we will agree a new time with you.",
    ),
    "visit_needed": Text(
        "服务请求 {number} 还需上门一次,我们会与您预约时间,您无需重复说明问题。",
        "{number} needs a visit; we will agree a time. You need not explain anything again.",
    ),
    "quote": Text(
        "服务请求 {number} 的报价为 {total} 元,经您同意后才会开始维修。",
        "The quote for {number} is {total} yuan; no work begins before you approve it.",
    ),
    "quote_approved": Text(
        "客户已同意服务请求 {number} 的报价,可以开始维修。",
        "The customer approved the quote for {number}; you may begin.",
    ),
    "quote_declined": Text(
        "客户已拒绝服务请求 {number} 的报价。",
        "The customer declined the quote for {number}.",
    ),
    "parts_awaited": Text(
        "服务请求 {number} 所需配件正在调货,预计到货日期:{expected_on}。",
        "Parts for {number} are on order, expected on {expected_on}.",
    ),
    "parts_arrived": Text(
        "服务请求 {number} 的配件已到货,可以继续服务。",
        "The parts for {number} have arrived; the work can go on.",
    ),
    "shipped_back": Text(
        "您送修的产品已寄回(服务请求 {number})。",
        "Your product has been shipped back to you ({number}).",
    ),
    "please_sign": Text(
        "服务请求 {number} 已完成,请确认并签字;应付金额 {owed} 元。",
        "The work on {number} is done: please confirm and sign. To be paid: {owed} yuan.",
    ),
    "receipt": Text(
        "已收到服务请求 {number} 的付款 {amount} 元,谢谢。",
        "We received {amount} yuan for {number}, thank you.",
    ),
    "survey_sms": Text(
        "刚才未能接通您的电话。请为服务请求 {number} 评分(1-5 分)并留下宝贵意见。",
        "We could not reach you. Please rate our service for {number} from 1 to 5.",
    ),
    "complaint_opened": Text(
        "服务请求 {number} 有投诉待接手,类别:{class}。",
        "A complaint on {number} is waiting to be taken over: {class}.",
    ),
    "request_cancelled": Text(
        "服务请求 {number} 已取消。",
        "Your service request {number} has been cancelled.",
    ),
    "due_soon": Text(
        "即将超时:服务请求 {number} 的“{rule}”须在 {due_at} 前完成。",
        "Due soon: {rule} of {number}, by {due_at}.",
    ),
    "breached": Text(
        "已超时:服务请求 {number} 的“{rule}”应在 {due_at} 前完成。",
        "Overdue: {rule} of {number} was due by {due_at}.",
    ),
    "breached_customer": Text(
        "非常抱歉,服务请求 {number} 未能按约定时间进行,我们正在跟进。",
        "We are sorry: {number} is later than we promised; we are on it.",
    ),
}
"""The text of each message that the domain tells; the facts stand in braces."""

_REASONS = {
    "nobody_fits": Text("没有符合条件的工程师", "no engineer fits"),
    "no_offer_in_time": Text("未能按时派单", "no offer went out in time"),
}
_TIMES = {"window_start", "window_end", "eta", "due_at"}


def render(message: str, number: str, facts: dict[str, str], zone: ZoneInfo) -> Text:
    """What the message about request `number` says, times as read in `zone`.

    Raises:
        KeyError: this version does not know the message.
    """
    known = {name: _worded(name, fact, zone) for name, fact in facts.items()}
    text = TEXTS[message]

    def say(language: int) -> str:
        words = {name: wording[language] for name, wording in known.items()}
        return text[language].format_map(defaultdict(lambda: "—", words, number=number))

    return Text(zh=say(0), en=say(1))


def digest(texts: list[Text]) -> Text:
    """Many messages to the same role in one."""
    zh = "\n".join([f"共 {len(texts)} 条提醒:", *(text.zh for text in texts)])
    en = "\n".join([f"{len(texts)} messages:", *(text.en for text in texts)])
    return Text(zh=zh, en=en)


def _worded(name: str, fact: str, zone: ZoneInfo) -> Text:
    """A fact in words that people read."""
    if name in _TIMES:
        return _time(fact, zone)
    if name == "rule" and fact in PROMISES:
        return Text(PROMISES[Rule(fact)].zh, fact.replace("_", " "))
    if name == "class" and fact in list(ComplaintClass):
        return Text(ComplaintClass(fact).zh, fact.replace("_", " "))
    return _REASONS.get(fact, Text(fact, fact))


def _time(fact: str, zone: ZoneInfo) -> Text:
    try:
        local = f"{datetime.fromisoformat(fact).astimezone(zone):%Y-%m-%d %H:%M}"
    except ValueError:
        local = fact
    return Text(local, local)
