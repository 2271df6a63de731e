"""Problem details (RFC 9457): one table of everything that can go wrong, in two languages.

`type` and `code` are stable; `title` and `detail` follow `Accept-Language`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from api.language import Language, Text, say

MEDIA_TYPE = "application/problem+json"
TYPE_BASE = "https://aftersales.example/problems/"
RETRY_SOON = {"Retry-After": "5"}


class Kind(NamedTuple):
    """One kind of problem; `detail` may name facts in braces."""

    status: int
    title: Text
    detail: Text


@dataclass(frozen=True)
class FieldError:
    """What is wrong with one field, named by JSON pointer. Never the value: it may be personal."""

    field: str
    message: Text


KINDS: dict[str, Kind] = {
    "token_missing": Kind(
        401,
        ("Token missing", "缺少令牌"),
        ("Send a bearer token in the Authorization header.", "请在 Authorization 头中提供令牌。"),
    ),
    "token_invalid": Kind(
        401,
        ("Token invalid", "令牌无效"),
        ("The bearer token is not one of ours.", "无法识别该令牌。"),
    ),
    "token_expired": Kind(
        401,
        ("Token expired", "令牌已过期"),
        ("The bearer token has expired; get a new one.", "令牌已过期，请重新获取。"),
    ),
    "scope_missing": Kind(
        403,
        ("Not permitted", "权限不足"),
        ("The role {role} lacks the scope {scope}.", "角色{role}没有权限{scope}。"),
    ),
    "actor_mismatch": Kind(
        403,
        ("Another actor", "操作人不符"),
        (
            "A token of the role {role} cannot report for the role {actor}; only an integration "
            "relays for others.",
            "角色{role}的令牌不能代表角色{actor}提交；只有系统对接可以代为提交。",
        ),
    ),
    "role_not_allowed": Kind(
        403,
        ("Role not allowed", "角色无权提交"),
        ("{reason}", "{reason}"),
    ),
    "personal_data_not_yours": Kind(
        403,
        ("Not yours to see", "无权查看该个人信息"),
        (
            "The personal data of this request is for its customer, and among engineers for the "
            "one who has the work.",
            "该请求的个人信息只对客户本人及承接该工单的工程师开放。",
        ),
    ),
    "staff_only": Kind(
        403,
        ("For staff", "仅限工作人员"),
        ("Tasks are for those who work on requests.", "待办任务仅供工作人员查看。"),
    ),
    "role_unclear": Kind(
        403,
        ("Role unclear", "角色不明确"),
        (
            "The token must name exactly one of our roles in the claim {claim}; it names: {roles}.",
            "令牌的 {claim} 声明必须恰好包含一个系统角色；当前为：{roles}。",
        ),
    ),
    "not_yours": Kind(
        403,
        ("Not yours", "不属于您"),
        ("{reason}", "{reason}"),
    ),
    "task_not_yours": Kind(
        403,
        ("Not your task", "无权处理该任务"),
        ("{reason}", "{reason}"),
    ),
    "not_found": Kind(
        404,
        ("Not found", "未找到"),
        ("There is nothing at this address.", "该地址没有内容。"),
    ),
    "request_not_found": Kind(
        404,
        ("No such service request", "服务请求不存在"),
        ("No service request has this number.", "没有该编号的服务请求。"),
    ),
    "form_not_found": Kind(
        404,
        ("No such form", "表单不存在"),
        ("The service request has no such form.", "该服务请求没有这份表单。"),
    ),
    "history_gone": Kind(
        404,
        ("No history", "没有历史记录"),
        (
            "Neither the archive nor the workflow server has the history of this request.",
            "归档和流程服务器中都没有该服务请求的历史记录。",
        ),
    ),
    "notification_not_found": Kind(
        404,
        ("No such message", "消息不存在"),
        ("No message has this id.", "没有该编号的消息。"),
    ),
    "task_not_found": Kind(
        404,
        ("No such task", "任务不存在"),
        ("No task of yours has this id.", "没有该编号的任务，或您无权查看。"),
    ),
    "webhook_not_found": Kind(
        404,
        ("No such webhook", "订阅不存在"),
        ("You have no webhook with this id.", "您没有该编号的 Webhook 订阅。"),
    ),
    "delivery_not_found": Kind(
        404,
        ("No such delivery", "投递记录不存在"),
        (
            "The webhook has no delivery with this id that could be sent again.",
            "该订阅没有可重新发送的这条投递记录。",
        ),
    ),
    "method_not_allowed": Kind(
        405,
        ("Method not allowed", "不支持该方法"),
        (
            "This address does not take this method; see Allow.",
            "该地址不支持此方法，参见 Allow 头。",
        ),
    ),
    "tracking_unknown": Kind(
        404,
        ("No such link", "链接无效"),
        (
            "This tracking link is not one of ours; copy the whole address from the message.",
            "无法识别该查询链接，请从消息中复制完整地址。",
        ),
    ),
    "request_in_flight": Kind(
        409,
        ("Request in flight", "请求处理中"),
        (
            "The first call with this Idempotency-Key is still being worked on; try again soon.",
            "使用该 Idempotency-Key 的首次请求仍在处理，请稍后重试。",
        ),
    ),
    "event_not_allowed": Kind(
        409,
        ("Event not allowed", "当前不能提交该事件"),
        ("{reason}", "{reason}"),
    ),
    "notification_not_failed": Kind(
        409,
        ("Message has not failed", "消息并未失败"),
        (
            "Only a message whose state is failed can be sent again.",
            "只有状态为 failed 的消息可以重发。",
        ),
    ),
    "task_taken": Kind(
        409,
        ("Task taken", "任务已被认领"),
        ("{reason}", "{reason}"),
    ),
    "task_closed": Kind(
        410,
        ("Task closed", "任务已关闭"),
        (
            "The task is closed; closed_by names the event that closed it, if one did.",
            "该任务已关闭，关闭它的事件见 closed_by。",
        ),
    ),
    "webhook_paused": Kind(
        409,
        ("Webhook paused", "订阅已暂停"),
        ("The webhook is paused; resume it first.", "该订阅已暂停，请先恢复。"),
    ),
    "too_many_webhooks": Kind(
        409,
        ("Too many webhooks", "订阅过多"),
        (
            "You have {most} webhooks, which is as many as one may have; remove one first.",
            "您已有{most}个订阅，达到上限，请先删除一个。",
        ),
    ),
    "customer_erased": Kind(
        410,
        ("Customer erased", "客户信息已清除"),
        (
            "The customer's personal data was erased; the history is not shown any more.",
            "该客户的个人信息已清除，不再提供历史记录。",
        ),
    ),
    "request_closed": Kind(
        410,
        ("Request closed", "服务请求已归档"),
        (
            "The service request is closed; nothing more happens on it.",
            "该服务请求已归档，不再接收事件。",
        ),
    ),
    "tracking_expired": Kind(
        410,
        ("Link expired", "链接已过期"),
        (
            "This tracking link has expired; ask the service desk for a new one.",
            "该查询链接已过期，请联系客服获取新链接。",
        ),
    ),
    "body_too_large": Kind(
        413,
        ("Body too large", "请求体过大"),
        ("The body may hold {limit} bytes at most.", "请求体不得超过{limit}字节。"),
    ),
    "unsupported_media_type": Kind(
        415,
        ("Unsupported media type", "不支持的媒体类型"),
        ("Send JSON; see Accept-Post.", "请使用 JSON，参见 Accept-Post 头。"),
    ),
    "invalid_json": Kind(
        422,
        ("Not JSON", "JSON 无效"),
        ("The body is not valid JSON in UTF-8.", "请求体不是有效的 UTF-8 JSON。"),
    ),
    "validation_failed": Kind(
        422,
        ("Validation failed", "校验未通过"),
        ("Some fields are missing or wrong; see errors.", "部分字段缺失或有误，详见 errors。"),
    ),
    "unknown_event_type": Kind(
        422,
        ("Unknown event type", "未知的事件类型"),
        ("No event has this type; see known_types.", "没有这种事件类型，可用类型见 known_types。"),
    ),
    "idempotency_key_reused": Kind(
        422,
        ("Idempotency key reused", "幂等键被重复使用"),
        (
            "This Idempotency-Key was already used with another body.",
            "该 Idempotency-Key 已用于内容不同的请求。",
        ),
    ),
    "history_unusable": Kind(
        409,
        ("History unusable", "历史记录不可用"),
        (
            "The history cannot be read or replayed; its verification says why.",
            "历史记录无法读取或重放，原因见验证结果。",
        ),
    ),
    "rate_limited": Kind(
        429,
        ("Too many calls", "请求过于频繁"),
        (
            "At most {quota} calls in {seconds} s are let in; go on after Retry-After seconds.",
            "每{seconds}秒最多{quota}次请求，请在 Retry-After 秒后重试。",
        ),
    ),
    "internal_error": Kind(
        500,
        ("Internal error", "内部错误"),
        (
            "Something went wrong here; tell the operator the request_id.",
            "服务内部出错，请将 request_id 告知运维人员。",
        ),
    ),
    "temporal_unavailable": Kind(
        503,
        ("Temporal unavailable", "Temporal 不可用"),
        (
            "The workflow server does not answer; repeat the call with the same ids and keys.",
            "流程服务器没有应答，请使用相同的编号和幂等键重试。",
        ),
    ),
    "archive_unavailable": Kind(
        503,
        ("Archive unavailable", "归档不可用"),
        (
            "The archive does not answer; nothing was changed, and the call may be repeated.",
            "归档存储没有应答；未做任何更改，可稍后重试。",
        ),
    ),
    "identity_unavailable": Kind(
        503,
        ("Identity unavailable", "身份服务不可用"),
        (
            "The identity provider does not answer, so the token cannot be judged; try again soon.",
            "身份提供方没有应答，暂时无法校验令牌，请稍后重试。",
        ),
    ),
    "some_not_left": Kind(
        503,
        ("Some events not left", "部分事件未能提交"),
        (
            "Events with the status unavailable could not be left; send just those again, with the "
            "same ids.",
            "状态为 unavailable 的事件未能提交，请使用相同的 id 只重发这些事件。",
        ),
    ),
    "no_worker": Kind(
        503,
        ("No worker answered", "没有可用的工作进程"),
        (
            "No worker took the event in time; it may still be applied. Repeat it with the same "
            "id, or send it with Prefer: respond-async.",
            "工作进程未能及时处理，该事件仍可能生效。请使用相同的 id 重试，"
            "或使用 Prefer: respond-async 提交。",
        ),
    ),
    "records_unavailable": Kind(
        503,
        ("Records unavailable", "数据库不可用"),
        ("The database does not answer; try again soon.", "数据库没有应答，请稍后重试。"),
    ),
    "personal_data_unavailable": Kind(
        503,
        ("Personal data unavailable", "个人信息无法读取"),
        (
            "The personal data asked for cannot be opened; the operator must check the keys "
            "(AFTERSALES_DATA_KEYS).",
            "无法解密所需的个人信息，请联系运维人员检查密钥（AFTERSALES_DATA_KEYS）。",
        ),
    ),
    "calendar_unknown": Kind(
        503,
        ("Working days unknown", "缺少工作日数据"),
        (
            "The working days of a year that the policy needs are not known; the operator must add "
            "them.",
            "缺少时效策略所需年份的工作日数据，请联系运维人员补充。",
        ),
    ),
    "not_ready": Kind(
        503,
        ("Not ready", "尚未就绪"),
        ("Missing: {missing}.", "缺少：{missing}。"),
    ),
}


class Problem(Exception):
    """A call that cannot be answered as asked.

    Args:
        code: a key of `KINDS`.
        facts: what the detail names.
        errors: what is wrong with which field.
        headers: further response headers.
        more: extension members of the problem.
    """

    def __init__(
        self,
        code: str,
        *,
        facts: Mapping[str, Text | str] | None = None,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(code)
        self.code = code
        self.facts = dict(facts or {})
        self.errors = list(errors)
        self.headers = dict(headers or {})
        self.more = more

    @property
    def status(self) -> int:
        """The HTTP status."""
        return KINDS[self.code].status

    def body(self, language: Language, instance: str, request_id: str) -> dict[str, Any]:
        """The problem as JSON types; texts in both languages become one."""
        kind = KINDS[self.code]
        facts = {name: _in(language, fact) for name, fact in self.facts.items()}
        shown = {
            "type": TYPE_BASE + self.code,
            "code": self.code,
            "title": say(kind.title, language),
            "status": kind.status,
            "detail": say(kind.detail, language).format(**facts),
            "instance": instance,
            "request_id": request_id,
        }
        if self.errors:
            shown["errors"] = [
                {"field": error.field, "message": say(error.message, language)}
                for error in self.errors
            ]
        return {**shown, **{name: _in(language, value) for name, value in self.more.items()}}


def _in(language: Language, value: Any) -> Any:
    return say(value, language) if isinstance(value, tuple) else value
