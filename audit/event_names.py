"""What events are called where people read them: short, in both languages."""

EVENT_NAMES: dict[str, str] = {
    "received": "受理",
    "responded": "响应",
    "plan_told": "反馈方案",
    "answered": "答复咨询",
    "reclassified": "改分类",
    "offered": "派给工程师",
    "assigned": "人工派单",
    "accepted": "接单",
    "declined": "拒单",
    "appointed": "预约",
    "rescheduled": "改约",
    "departed": "出发",
    "running_late": "迟到告知",
    "arrived": "到达",
    "no_show": "客户不在",
    "diagnosed": "诊断",
    "quoted": "报价",
    "quote_approved": "同意报价",
    "quote_declined": "拒绝报价",
    "parts_awaited": "待件",
    "parts_arrived": "到件",
    "visit_needed": "再次上门",
    "depot_received": "送修收件",
    "shipped_back": "返件",
    "completed": "完工",
    "signed": "签字",
    "paid": "收费",
    "call_unanswered": "回访未接",
    "surveyed": "满意度调查",
    "complained": "投诉",
    "complaint_taken_over": "接手投诉",
    "remedy_offered": "给出方案",
    "complaint_settled": "投诉解决",
    "complaint_reopened": "重开投诉",
    "held": "暂停",
    "resumed": "恢复",
    "cancelled": "取消",
    "noted": "备注",
    "task_claimed": "认领任务",
    "task_released": "释放任务",
    "task_reassigned": "转派任务",
    "breach_called": "超时致电",
    "closed": "归档",
    "no_answer": "工程师未响应",
    "hold_ended": "暂停到期",
}
"""The Chinese name of every event, and of what happens to a request by itself."""


def english(event: str) -> str:
    """`quote_approved` as people read it: `Quote approved`."""
    return event.replace("_", " ").capitalize()


def both(event: str) -> str:
    """Both names: `同意报价 Quote approved`."""
    return f"{EVENT_NAMES[event]} {english(event)}"
