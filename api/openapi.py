"""What `/openapi.json` says beyond what FastAPI sees: bodies, answers, problems, examples."""

import json
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from api import orders, shown
from api.problems import KINDS, MEDIA_TYPE, TYPE_BASE, Problem
from domain.events import EVENTS
from domain.intake import NewRequest
from workflows.messages import MOST_EVENTS_AT_ONCE

ABOUT: dict[str, Any] = {
    "title": "Aftersales",
    "version": "1",
    "summary": "After-sales service requests: taken in, moved by events, kept to their promises.",
    "description": (
        "Every error is a problem details document (RFC 9457). Its `type` is "
        f"`{TYPE_BASE}` followed by its `code`; both are stable. `title`, `detail` and the "
        "messages in `errors` follow Accept-Language (en, zh-CN)."
    ),
    "openapi_tags": [
        {"name": "requests", "description": "Service requests 服务请求"},
        {"name": "events", "description": "What happened, reported by people and systems"},
        {"name": "details", "description": "Timeline, clocks, obligations and forms of a request"},
        {"name": "board", "description": "What a supervisor asks of all requests at once 看板"},
        {"name": "bulk", "description": "Many requests at once 批量操作"},
        {"name": "health", "description": "Whether this installation can serve"},
    ],
}

AUTH = ("token_missing", "token_invalid", "token_expired", "scope_missing")
BODY = ("body_too_large", "unsupported_media_type", "invalid_json", "validation_failed")
ANY = ("internal_error", "records_unavailable")
_REF = "#/components/schemas/"

BODIES: list[type[BaseModel]] = [NewRequest, *EVENTS.values()]
"""The models of what is taken."""

ANSWERS: list[type[BaseModel]] = [shown.ServiceRequest, shown.ShownResults]
"""The models whose schemas the document carries; each operation adds its own."""

_NEW_REQUEST = {
    "type": "repair",
    "channel": "phone",
    "urgency": "urgent",
    "description": "空调开机十分钟后停机，显示 E4，外机有异响",
    "mood": "anxious",
    "customer": {
        "name": "张三",
        "phone": "13812345678",
        "address": "上海市浦东新区世纪大道1号",
        "latitude": 31.23,
        "longitude": 121.5,
    },
    "product": {"model": "KFR-35GW", "serial": "SN20240001", "purchased_on": "2024-05-20"},
}
_RESPONDED = {
    "id": "6f2d1f1e-3c47-4d0a-9c39-0f6f5f3f7a10",
    "type": "responded",
    "occurred_at": "2026-05-20T09:03:00+08:00",
    "actor": {"role": "agent", "id": "A-07"},
    "note": "已致电客户确认故障现象",
}
_PLAN_TOLD = {"type": "plan_told", "plan": "明日上门检测外机，必要时更换压缩机电容"}


def operation(
    operation_id: str,
    summary: str,
    answers: dict[int, tuple[str, type[BaseModel] | None]],
    problems: tuple[str, ...],
    **extra: Any,
) -> dict[str, Any]:
    """The keywords of a route: what it answers, by status, and what can go wrong."""
    responses: dict[int | str, dict[str, Any]] = {}
    for status, (description, model) in answers.items():
        responses[status] = {"description": description}
        if model is not None:
            ANSWERS.append(model)
            schema = {"$ref": _REF + model.__name__}
            responses[status]["content"] = {"application/json": {"schema": schema}}
    for code in problems:
        kind = KINDS[code]
        described = responses.setdefault(kind.status, _problem_response())
        described["content"][MEDIA_TYPE]["examples"][code] = _example(code)
    for answer, response in responses.items():
        if "description" not in response:
            titles = dict.fromkeys(KINDS[c].title[0] for c in problems if KINDS[c].status == answer)
            response["description"] = " · ".join(titles)
    return {
        "operation_id": operation_id,
        "summary": summary,
        "status_code": next(iter(answers)),
        "responses": responses,
        **extra,
    }


def _problem_response() -> dict[str, Any]:
    return {"content": {MEDIA_TYPE: {"schema": {"$ref": _REF + "Problem"}, "examples": {}}}}


def _example(code: str) -> dict[str, Any]:
    facts = dict.fromkeys(("actor", "limit", "missing", "reason", "role", "scope"), "…")
    told = Problem(code, facts=facts).body("en", "/v1/requests", "0b5f1c9e")
    return {"summary": KINDS[code].title[0], "value": told}


def body(schema: dict[str, Any], **examples: Any) -> dict[str, Any]:
    """What a route takes, with examples by name."""
    named = {name: {"value": value} for name, value in examples.items()}
    content = {"application/json": {"schema": schema, "examples": named}}
    return {"requestBody": {"required": True, "content": content}}


CREATE = operation(
    "createRequest",
    "Take in a new service request",
    {201: ("Taken in, and its workflow started", shown.ServiceRequest)},
    (
        *AUTH,
        *BODY,
        "request_in_flight",
        "idempotency_key_reused",
        "temporal_unavailable",
        "calendar_unknown",
        *ANY,
    ),
    openapi_extra=body({"$ref": _REF + "NewRequest"}, repair=_NEW_REQUEST),
)
GET = operation(
    "getRequest",
    "Show a service request",
    {
        200: ("The request; Aftersales-Source says who knew it", shown.ServiceRequest),
        304: ("The caller already has it (If-None-Match)", None),
    },
    (*AUTH, "request_not_found", *ANY),
)
LIST = operation(
    "listRequests",
    "List service requests, next due first",
    {200: ("One page", shown.ShownList)},
    (*AUTH, "validation_failed", *ANY),
)
REPORT = operation(
    "reportEvents",
    "Report one event, or up to 20 applied in order",
    {
        200: ("The request after it; for a list, what became of each as well", None),
        202: ("Accepted, not yet judged (Prefer: respond-async)", shown.ShownReceipts),
    },
    (
        *AUTH,
        *BODY,
        "actor_mismatch",
        "role_not_allowed",
        "request_not_found",
        "event_not_allowed",
        "request_closed",
        "unknown_event_type",
        "no_worker",
        "temporal_unavailable",
        *ANY,
    ),
    openapi_extra=body(
        {
            "oneOf": [
                {"$ref": _REF + "Event"},
                {
                    "type": "array",
                    "items": {"$ref": _REF + "Event"},
                    "minItems": 1,
                    "maxItems": MOST_EVENTS_AT_ONCE,
                },
            ]
        },
        one=_RESPONDED,
        several=[_RESPONDED, _PLAN_TOLD],
    ),
)
REPORT["responses"][200]["content"] = {
    "application/json": {
        "schema": {"oneOf": [{"$ref": _REF + "ServiceRequest"}, {"$ref": _REF + "ShownResults"}]}
    }
}


def _detail(operation_id: str, summary: str, model: type[BaseModel], *more: str) -> dict[str, Any]:
    problems = (*AUTH, "request_not_found", *more, *ANY)
    return operation(operation_id, summary, {200: (summary, model)}, problems)


TIMELINE = _detail("getTimeline", "Everything that happened, in order", shown.ShownTimeline)
CLOCKS = _detail("getClocks", "Every promise and how it stands", shown.ShownClocks)
OBLIGATIONS = _detail("getObligations", "What happens if nobody acts", shown.ShownObligations)
FORMS = _detail("getForms", "Every form, in the order of the course", shown.ShownForms)
FORM = _detail("getForm", "One form, by number or code", shown.ShownForm, "form_not_found")


def _asked(operation_id: str, summary: str, model: type[BaseModel]) -> dict[str, Any]:
    return operation(
        operation_id, summary, {200: (summary, model)}, (*AUTH, "validation_failed", *ANY)
    )


_ROW = {
    "number": "CR20260520-017",
    "stage": "response",
    "type": "repair",
    "urgency": "urgent",
    "station": "ST-PD",
    "engineer": None,
    "clock_state": "breached",
    "next_due": "2026-05-20T01:10:00Z",
    "rule": "first_response",
    "owed_by": {"role": "agent", "id": None},
    "jumped_queue": True,
    "on_hold": False,
    "event_count": 0,
}
BOARD = operation(
    "getBoard",
    "How everything open stands, and what is due next",
    {
        200: ("The counts and the head of the queue", shown.ShownBoard),
        304: ("The caller already has it (If-None-Match)", None),
    },
    (*AUTH, "validation_failed", *ANY),
)
STREAM = operation(
    "streamBoard",
    "Every change as it happens (server-sent events)",
    {
        200: (
            "`request`: a line of the queue; `counts`: those that changed; `reset`: load the "
            "board anew",
            None,
        )
    },
    (*AUTH, *ANY),
)
STREAM["responses"][200]["content"] = {
    "text/event-stream": {
        "schema": {"type": "string"},
        "example": f"id: 1779239417123456\nevent: request\ndata: {json.dumps(_ROW)}\n\n",
    }
}
DUE = _asked("getDue", "What breaks soon if nobody acts", shown.ShownDue)
BREACHED = _asked("getBreached", "What is broken, and who owes it", shown.ShownBreached)
WORKLOAD = _asked("getWorkload", "What every engineer holds", shown.ShownWorkload)
PUNCTUALITY = _asked("getPunctuality", "How well each rule was kept", shown.ShownPunctuality)


def _ordered(
    operation_id: str, summary: str, order: type[BaseModel], **examples: Any
) -> dict[str, Any]:
    BODIES.append(order)
    return operation(
        operation_id,
        summary,
        {200: ("What became, or would become, of each request", shown.ShownOrder)},
        (*AUTH, *BODY, "role_not_allowed", *ANY),
        openapi_extra=body({"$ref": _REF + order.__name__}, **examples),
    )


REASSIGN = _ordered(
    "reassign",
    "Give work to another engineer, or to several in turn",
    orders.Reassign,
    ill={
        "from_engineer": "GY2024001",
        "to": ["GY2024002", "GY2024003"],
        "reason": "工程师请病假",
        "dry_run": True,
    },
)
HOLD = _ordered(
    "holdMany",
    "Put requests on hold",
    orders.PutOnHold,
    typhoon={
        "filter": {"station": "ST-PD", "stage": "service"},
        "reason": "台风停工，客户同意延期",
        "until": "2026-07-12T08:00:00+08:00",
        "dry_run": True,
    },
)
RESUME = _ordered(
    "resumeMany",
    "Go on with requests that are on hold",
    orders.Resume,
    some={"numbers": ["CR20260710-004", "CR20260710-011"], "dry_run": False},
)

LIVE = operation("getLiveness", "Whether this process lives", {200: ("It lives", None)}, ())
READY = operation(
    "getReadiness",
    "Whether database, Temporal and a worker are there",
    {200: ("All are there", None)},
    ("not_ready",),
)

_PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "Problem details (RFC 9457). `code` and `type` are stable; `title` and `detail` "
    "follow Accept-Language (en, zh-CN).",
    "required": ["type", "code", "title", "status", "detail", "instance", "request_id"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "code": {"type": "string", "enum": list(KINDS)},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
        "request_id": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "message"],
                "properties": {
                    "field": {"type": "string", "description": "JSON pointer"},
                    "message": {"type": "string"},
                },
            },
        },
        "reason_code": {"type": "string", "description": "Why the event was refused; stable"},
        "reason": {"type": "string"},
        "allowed_events": {"type": "array", "items": {"type": "string"}},
        "stage": {"type": "string"},
        "known_types": {"type": "array", "items": {"type": "string"}},
        "events": {
            "type": "array",
            "items": {"type": "string"},
            "description": "The ids to repeat the call with",
        },
    },
    "additionalProperties": True,
}


def complete(app: FastAPI) -> None:
    """Have `/openapi.json` carry our schemas; it is made once, when first asked for."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(
                title=app.title,
                version=app.version,
                summary=app.summary,
                description=app.description,
                routes=app.routes,
                tags=app.openapi_tags,
            )
            _drop_the_frameworks_422(document)
            components = document.setdefault("components", {})
            components["schemas"] = _schemas()
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _schemas() -> dict[str, Any]:
    taken: list[tuple[type[BaseModel], JsonSchemaMode]] = [
        (model, "validation") for model in BODIES
    ]
    given: list[tuple[type[BaseModel], JsonSchemaMode]] = [
        (model, "serialization") for model in ANSWERS
    ]
    _, definitions = models_json_schema([*taken, *given], ref_template=_REF + "{model}")
    schemas: dict[str, Any] = definitions["$defs"]
    mapping = {}
    for name, model in EVENTS.items():
        mapping[name] = _REF + model.__name__
        # The type tells the events apart, so it is never left out.
        schema = schemas[model.__name__]
        schema["properties"]["type"].pop("default")
        schema["required"] = ["type", *schema.get("required", [])]
    schemas["Event"] = {
        "oneOf": [{"$ref": ref} for ref in mapping.values()],
        "discriminator": {"propertyName": "type", "mapping": mapping},
    }
    schemas["Problem"] = _PROBLEM_SCHEMA
    return dict(sorted(schemas.items()))


def _drop_the_frameworks_422(document: dict[str, Any]) -> None:
    """FastAPI promises its own error shape wherever a route has parameters; we never send it."""
    for path in document["paths"].values():
        for operation in path.values():
            content = operation["responses"].get("422", {}).get("content", {})
            if "application/json" in content:
                del operation["responses"]["422"]
