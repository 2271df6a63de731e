"""The forms SA-WO-002 … SA-CS-005 as the request's state fills them in (standard, section 4).

SA-CR-001 is filled in at intake, because it alone carries the customer's data as given.
"""

from typing import Any

from .numbering import Prefix
from .request import ServiceRequest
from .values import State, rfc3339
from .vocabulary import RequestType, ServiceType


class Form(State):
    """One form of a request.

    Attributes:
        key: kind and place within the request (`AP/2`: the second appointment sheet).
        code: the form's own code (`SA-AP-003`).
        content: what it carries, in JSON types, customer masked.
    """

    key: str
    prefix: Prefix
    code: str
    title: str
    title_zh: str
    content: dict[str, Any]


TITLES: dict[Prefix, tuple[str, str, str]] = {
    Prefix.request: ("SA-CR-001", "Intake record", "需求受理记录表"),
    Prefix.work_order: ("SA-WO-002", "Service work order", "售后服务工单"),
    Prefix.appointment: ("SA-AP-003", "Appointment sheet", "服务预约确认单"),
    Prefix.visit: ("SA-OS-004", "Visit record", "上门服务记录单"),
    Prefix.survey: ("SA-CS-005", "Satisfaction survey", "客户满意度调查表"),
}


def forms(request: ServiceRequest) -> list[Form]:
    """Every form that the request has given rise to so far, in the order they are numbered."""
    made: list[Form] = []
    if request.has_work_order:
        made.append(_form(Prefix.work_order, 1, _work_order(request)))
    for i, appointment in enumerate(request.appointments, 1):
        sheet = appointment.model_dump(mode="json")
        made.append(_form(Prefix.appointment, i, {**_head(request), **sheet}))
    finished = [
        visit
        for visit in request.visits
        if visit.ended_at and (visit.arrived_at or visit.diagnosis or visit.result == "no_show")
    ]
    for i, visit in enumerate(finished, 1):
        record = visit.model_dump(mode="json")
        made.append(_form(Prefix.visit, i, {**_head(request), **record, **_fees(request)}))
    if request.survey is not None:
        made.append(_form(Prefix.survey, 1, _survey(request)))
    return made


def _form(prefix: Prefix, place: int, content: dict[str, Any]) -> Form:
    code, title, title_zh = TITLES[prefix]
    return Form(
        key=f"{prefix}/{place}",
        prefix=prefix,
        code=code,
        title=title,
        title_zh=title_zh,
        content=content,
    )


def _head(request: ServiceRequest) -> dict[str, Any]:
    return {
        "request": request.number,
        "work_order": request.numbers.get("WO/1"),
        "customer": request.brief.customer.model_dump(mode="json"),
        "product": request.brief.product.model_dump(mode="json"),
    }


def _work_order(request: ServiceRequest) -> dict[str, Any]:
    kind = {
        RequestType.installation: "installation",
        RequestType.return_exchange: "return",
    }.get(request.request_type, request.service_type.value)
    status = request.status
    return {
        **_head(request),
        "created_at": rfc3339(request.responded_at),
        "service_type": kind,
        "service_type_zh": {"installation": "安装", "return": "退换货"}.get(
            kind, ServiceType(request.service_type).zh
        ),
        "engineer": request.engineer,
        "appointment": request.appointment and request.appointment.model_dump(mode="json"),
        "status": status.value,
        "status_zh": status.zh,
        "record_of_work": [visit.model_dump(mode="json") for visit in request.visits],
        "signed_at": rfc3339(request.signed_at),
        "completed_at": rfc3339(request.completed_at),
    }


def _fees(request: ServiceRequest) -> dict[str, Any]:
    bill = request.bill
    return {
        "fees": {
            "lines": [line.model_dump(mode="json") for line in bill.lines],
            "total": float(bill.total),
            "free_in_warranty": bill.total == 0,
        },
        "signed_at": rfc3339(request.signed_at),
        "signature": request.signature,
    }


def _survey(request: ServiceRequest) -> dict[str, Any]:
    survey = request.survey.model_dump(mode="json") if request.survey else {}
    from_survey = [c for c in request.complaints if c.source == "survey"]
    return {
        **_head(request),
        **survey,
        "dissatisfaction": from_survey[0].complaint_class.value if from_survey else None,
        "follow_up": [c.remedy for c in from_survey if c.remedy],
    }
