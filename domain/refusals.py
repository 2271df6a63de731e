"""Why an event is refused: a stable code, and the sentence a person reads, in two languages."""

from typing import Any

REASONS: dict[str, tuple[str, str]] = {
    "role_not_allowed": (
        "The role {role} may not send {event}; it is for: {roles}.",
        "角色{role}无权提交{event}；允许的角色：{roles}。",
    ),
    "wrong_stage": (
        "{event} is not possible in stage {stage}; it belongs to: {stages}.",
        "当前阶段为{stage}，不能提交{event}；该事件属于阶段：{stages}。",
    ),
    "request_closed": ("The request is closed.", "该服务请求已归档。"),
    "on_hold": (
        "The request is on hold; resume it before {event}.",
        "该服务请求已暂停，请先恢复再提交{event}。",
    ),
    "until_in_past": (
        "The hold would already be over; give a later `until`, or none.",
        "暂停截止时间已过，请填写更晚的 until 或留空。",
    ),
    "not_on_hold": ("The request is not on hold.", "该服务请求未处于暂停状态。"),
    "occurred_in_future": (
        "occurred_at lies in the future; send the event once it has happened.",
        "occurred_at 晚于当前时间，请在事件发生后再提交。",
    ),
    "occurred_before_request": (
        "occurred_at lies before the request was received.",
        "occurred_at 早于服务请求的受理时间。",
    ),
    "already_responded": ("The first response is already recorded.", "首次响应已记录。"),
    "not_a_consultation": (
        "Only a consultation is answered; this request needs a response.",
        "只有咨询类请求可以直接答复。",
    ),
    "nothing_changes": (
        "The event changes neither urgency nor request type.",
        "紧急程度和需求类型均无变化。",
    ),
    "type_not_possible": (
        "A request in stage {stage} cannot become a {type}.",
        "处于{stage}阶段的请求不能变更为{type}。",
    ),
    "no_open_offer": (
        "No offer to engineer {engineer} is open.",
        "没有派给工程师{engineer}的待确认工单。",
    ),
    "already_with_engineer": (
        "Engineer {engineer} already has this work.",
        "该工单已在工程师{engineer}处。",
    ),
    "no_engineer": (
        "No engineer has accepted the work yet.",
        "尚无工程师接单。",
    ),
    "window_in_past": (
        "The window has already ended; agree a later one.",
        "预约时段已过，请重新约定。",
    ),
    "no_standing_appointment": (
        "No appointment stands that could be changed.",
        "当前没有有效预约可供更改。",
    ),
    "already_arrived": ("The engineer has already arrived.", "工程师已到达现场。"),
    "already_departed": ("The engineer has already departed.", "工程师已出发。"),
    "is_remote": (
        "The service is remote; send visit_needed to turn it into a visit.",
        "当前为远程服务；如需上门请提交 visit_needed。",
    ),
    "not_arrived": ("The engineer has not arrived yet.", "工程师尚未到达现场。"),
    "work_begun": ("The work has already begun.", "服务已开始。"),
    "not_diagnosed": ("Diagnose the fault before quoting.", "请先完成故障诊断再报价。"),
    "quote_open": (
        "A quote is waiting for the customer's answer.",
        "报价正等待客户确认。",
    ),
    "no_open_quote": ("No quote is open.", "没有待确认的报价。"),
    "quote_needed": (
        "The product is out of warranty: quote the priced parts and have the quote approved first.",
        "产品已过保修期：更换收费配件前须先报价并经客户同意。",
    ),
    "no_list_price": (
        "{item} is not on the price list; give its unit_price.",
        "价目表中没有{item}，请填写 unit_price。",
    ),
    "parts_not_awaited": ("No parts are awaited.", "当前没有待到货的配件。"),
    "at_depot": (
        "The product is at the depot; it must be shipped back first.",
        "产品正在维修中心，须先寄回。",
    ),
    "not_at_depot": ("The product is not at the depot.", "产品不在维修中心。"),
    "calendar_exhausted": (
        "The request's working-day calendar ends on {until}; put the next year's days into the "
        "policy.",
        "该请求的工作日历截至{until}，请在时效策略中补充下一年度的工作日数据。",
    ),
    "already_signed": ("The service is already signed.", "服务单已签字确认。"),
    "nothing_owed": ("Nothing is owed.", "没有应付费用。"),
    "overpaid": (
        "Only {owed} yuan is owed.",
        "应付金额仅为{owed}元。",
    ),
    "no_open_complaint": (
        "No complaint is waiting for {event}.",
        "没有可提交{event}的投诉。",
    ),
    "task_not_open": (
        "The request has no open task {task}.",
        "该服务请求没有待办任务{task}。",
    ),
    "task_taken": (
        "{assignee} already has the task {task}.",
        "任务{task}已由{assignee}处理。",
    ),
    "task_not_for_role": (
        "The task {task} is for: {roles}; the role {role} cannot take it.",
        "任务{task}由{roles}处理，角色{role}不能认领。",
    ),
    "task_for_others": (
        "Only a supervisor or a manager gives a task to somebody else.",
        "只有售后主管或售后经理可以将任务指派给他人。",
    ),
    "task_person_missing": (
        "Say who takes the task: give assignee.",
        "请填写 assignee，说明由谁认领。",
    ),
    "task_goes_with_work": (
        "The task {task} goes with the work: assign the work to the engineer who is to do it.",
        "任务{task}随工单分配，请通过 assigned 将工单派给相应工程师。",
    ),
    "task_not_claimed": (
        "Nobody has claimed the task {task}.",
        "任务{task}尚未被认领。",
    ),
    "task_not_yours": (
        "{assignee} has the task {task}; only they, a supervisor or a manager can release it.",
        "任务{task}由{assignee}处理，只有本人、售后主管或售后经理可以释放。",
    ),
    "no_call_owed": (
        "No call about a breach of {rule} is owed.",
        "当前没有因“{rule}”超时需致电客户的任务。",
    ),
    "expired_early": (
        "The event came before its turn and its turn did not come in time ({why}).",
        "事件提前到达，等待期内未轮到（{why}）。",
    ),
    "overtaken": (
        "It happened before what has been recorded since, and has no place there any more.",
        "该事件发生在其后已记录的进展之前，已无法补录。",
    ),
    "too_many_events": (
        "The request already holds {count} events; only what brings it nearer to its end is taken.",
        "该请求已记录{count}个事件，只接收推进处理的事件。",
    ),
}


class Refused(Exception):
    """An event that the request cannot take, with a stable code and the facts behind it.

    Args:
        code: a key of `REASONS`.
        later: the event may become possible later; by signal it waits for its turn.
        facts: what the sentence names.
    """

    def __init__(self, code: str, *, later: bool = False, **facts: Any) -> None:
        super().__init__(code)
        self.code, self.later = code, later
        self.facts = {name: str(fact) for name, fact in facts.items()}

    @property
    def reason(self) -> str:
        """The sentence in English."""
        return explain(self.code, self.facts)


def explain(code: str, facts: dict[str, str], language: str = "en") -> str:
    """The sentence for a refusal code in `language` (`en` or `zh-CN`)."""
    english, chinese = REASONS[code]
    return (chinese if language.startswith("zh") else english).format(**facts)
