"""The words of the service standard: English in code, the source's Chinese term beside each."""

from enum import StrEnum
from typing import Self


class Term(StrEnum):
    """A word of the standard: the value travels on the wire, `zh` is what people read in Chinese.

    A term is found by its value in any case, by its Chinese name, and by other common spellings
    (`Channel("电话")`, `Channel("E-mail")`), so that an integrator need not guess ours.
    """

    zh: str
    spellings: tuple[str, ...]

    def __new__(cls, value: str, zh: str = "", *spellings: str) -> Self:
        """Make the member `value`, called `zh` in Chinese."""
        term = str.__new__(cls, value)
        term._value_ = value
        term.zh = zh or value
        term.spellings = (zh, *spellings)
        return term

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, str):
            return None
        wanted = value.strip().lower().replace("-", "_").replace(" ", "_")
        for term in cls:
            if wanted == term.value or value.strip() in term.spellings or wanted in term.spellings:
                return term
        return None


class RequestType(Term):
    """What the customer needs (S1: 需求类型)."""

    repair = "repair", "维修"
    installation = "installation", "安装"
    return_exchange = "return_exchange", "退换货", "return", "exchange"
    consultation = "consultation", "咨询"
    maintenance = "maintenance", "保养"
    complaint = "complaint", "投诉"


class Channel(Term):
    """Where the request came from (S1: 受理渠道)."""

    phone = "phone", "电话", "400", "hotline"
    app = "app", "APP"
    mini_programme = "mini_programme", "小程序", "mini_program", "miniprogram"
    e_commerce = "e_commerce", "电商客服", "ecommerce"
    wechat = "wechat", "公众号", "wechat_official_account"
    website = "website", "网站", "web"
    email = "email", "邮件", "e_mail"


class Urgency(Term):
    """How badly it hurts (S1: 紧急程度)."""

    normal = "normal", "普通"
    urgent = "urgent", "紧急"
    critical = "critical", "特急"


class MessageChannel(Term):
    """How a message reaches someone (通知渠道)."""

    sms = "sms", "短信"
    app_push = "app_push", "APP推送", "app"
    email = "email", "邮件", "e_mail"
    enterprise_chat = "enterprise_chat", "企业微信/钉钉/飞书", "wecom", "dingtalk", "feishu"
    console = "console", "控制台"


class SendingState(Term):
    """Where a message stands; one that had gone missing is restored for the record, never sent."""

    queued = "queued", "待发送"
    sent = "sent", "已发送"
    failed = "failed", "发送失败"
    dropped = "dropped", "不再发送"
    restored = "restored", "仅补记"


class Mood(Term):
    """The customer's mood, for the tone of the talk (S1: 客户情绪状态)."""

    calm = "calm", "平静"
    anxious = "anxious", "焦虑"
    angry = "angry", "愤怒"


class ServiceType(Term):
    """Where the work is done (S1: 服务类型)."""

    on_site = "on_site", "上门服务", "上门维修", "onsite"
    remote = "remote", "远程支持"


class Role(Term):
    """Who acts, is told or owes something."""

    integration = "integration", "系统对接"
    agent = "agent", "客服专员"
    dispatcher = "dispatcher", "派单主管"
    engineer = "engineer", "服务工程师"
    supervisor = "supervisor", "售后主管"
    manager = "manager", "售后经理"
    analyst = "analyst", "数据分析师"
    auditor = "auditor", "审计"
    customer = "customer", "客户"


class Stage(Term):
    """Where a request stands on its way from first contact to archive."""

    response = "response", "待响应"
    dispatch = "dispatch", "派单"
    appointment = "appointment", "预约"
    service = "service", "服务执行"
    sign_off = "sign_off", "确认与收费"
    revisit = "revisit", "回访"
    complaint = "complaint", "投诉处理"
    closed = "closed", "已归档"


class Outcome(Term):
    """How a closed request ended."""

    completed = "completed", "已完成"
    answered = "answered", "已答复"
    cancelled = "cancelled", "已取消"
    replaced = "replaced", "已换货"
    refunded = "refunded", "已退款"
    settled = "settled", "已和解"


class WorkOrderStatus(Term):
    """The work order's five states (S1, form SA-WO-002: 工单状态)."""

    pending = "pending", "待处理"
    appointed = "appointed", "已预约"
    in_service = "in_service", "服务中"
    completed = "completed", "已完成"
    cancelled = "cancelled", "已取消"


class OfferState(Term):
    """What became of an offer of the work to one engineer."""

    open = "open", "待确认"
    accepted = "accepted", "已接单"
    declined = "declined", "已拒单"
    no_answer = "no_answer", "未响应"
    withdrawn = "withdrawn", "已撤回"


class AppointmentState(Term):
    """What became of an appointment."""

    standing = "standing", "有效"
    rescheduled = "rescheduled", "已改期"
    met = "met", "已赴约"
    no_show = "no_show", "客户不在家"
    withdrawn = "withdrawn", "已撤销"


class QuoteState(Term):
    """What the customer said to a quote."""

    open = "open", "待客户确认"
    approved = "approved", "已同意"
    declined = "declined", "已拒绝"


class ComplaintClass(Term):
    """What a complaint is about (S1: 不满问题分类)."""

    slow_response = "slow_response", "响应慢"
    skill = "skill", "专业不足"
    attitude = "attitude", "态度差"
    fee_dispute = "fee_dispute", "费用争议"
    product_quality = "product_quality", "产品质量"
    other = "other", "其他"


class ComplaintState(Term):
    """Where a complaint stands."""

    open = "open", "待接手"
    taken_over = "taken_over", "已接手"
    remedy_offered = "remedy_offered", "已给出方案"
    settled = "settled", "已解决"


class Remedy(Term):
    """What is offered to a dissatisfied customer (S1: 解决方案)."""

    apology = "apology", "致歉"
    voucher = "voucher", "代金券"
    free_recheck = "free_recheck", "免费复查", "free_re_check", "recheck"
    refund = "refund", "退款"
    replacement = "replacement", "换货"
    other = "other", "其他"


class PaymentMethod(Term):
    """How the customer paid (S1: 扫码支付、刷卡、现金)."""

    scan = "scan", "扫码支付", "qr", "wechat", "wechat_pay", "alipay"
    card = "card", "刷卡"
    cash = "cash", "现金"
    transfer = "transfer", "转账", "bank_transfer"


class TaskKind(Term):
    """What a person owes on a request (待办)."""

    respond = "respond", "响应客户"
    answer = "answer", "答复咨询"
    tell_plan = "tell_plan", "反馈方案"
    dispatch_by_hand = "dispatch_by_hand", "人工派单"
    accept = "accept", "确认接单"
    agree_appointment = "agree_appointment", "预约上门"
    arrive = "arrive", "到达现场"
    complete = "complete", "完成修复"
    repair_at_depot = "repair_at_depot", "送修返还"
    sign = "sign", "请客户签字"
    collect_payment = "collect_payment", "收费"
    revisit = "revisit", "回访"
    take_over_complaint = "take_over_complaint", "接手投诉"
    offer_remedy = "offer_remedy", "致歉并给出方案"
    settle_complaint = "settle_complaint", "解决投诉"
    call_about_a_breach = "call_about_a_breach", "超时致电客户"


class ClockState(Term):
    """How a request as a whole stands against its promises."""

    on_track = "on_track", "正常"
    at_risk = "at_risk", "预警"
    breached = "breached", "超时"
    paused = "paused", "暂停"
