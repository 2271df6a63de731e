"""What `/openapi.json` says beyond what FastAPI sees: bodies, answers, problems, examples."""

import json
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from api import orders
from api.examples import Sampler
from api.problems import KINDS, MEDIA_TYPE, TYPE_BASE, Problem
from domain import shown
from domain.cloud_events import BATCH, MOST_IN_A_BATCH, STRUCTURED, CloudEvent
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
        {"name": "audit", "description": "How requests stood, and whether their histories hold"},
        {"name": "codec", "description": "What histories say, for Temporal's own pages"},
        {"name": "personal data", "description": "The customer in clear, and who has seen it"},
        {"name": "notifications", "description": "Messages to people, and what became of them"},
        {"name": "tasks", "description": "What people owe, claimed and passed on 待办任务"},
        {"name": "tracking", "description": "What a customer sees by a link, without an account"},
        {"name": "webhooks", "description": "Who is told of what happens 事件订阅"},
        {"name": "board", "description": "What a supervisor asks of all requests at once 看板"},
        {"name": "bulk", "description": "Many requests at once 批量操作"},
        {"name": "health", "description": "Whether this installation can serve"},
    ],
}

AUTH = (
    "token_missing",
    "token_invalid",
    "token_expired",
    "scope_missing",
    "not_yours",
    "role_unclear",
    "rate_limited",
    "identity_unavailable",
)
BODY = ("body_too_large", "unsupported_media_type", "invalid_json", "validation_failed")
ANY = ("internal_error", "records_unavailable")
ANYWHERE = ("not_found", "method_not_allowed")
"""What a caller meets who calls no operation."""

REF = "#/components/schemas/"

BODIES: list[type[BaseModel]] = [NewRequest, CloudEvent, *EVENTS.values()]
"""The models of what is taken in; a feature adds its own."""

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
_CLOUD_EVENT: dict[str, Any] = {
    "specversion": "1.0",
    "id": "6f2d1f1e-3c47-4d0a-9c39-0f6f5f3f7a10",
    "source": "https://crm.example.com",
    "type": "responded",
    "subject": "CR20260520-001",
    "time": "2026-05-20T09:03:00+08:00",
    "actorrole": "agent",
    "actorid": "A-07",
    "data": {"note": "已致电客户确认故障现象"},
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
            schema = {"$ref": REF + model.__name__}
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
    return {"content": {MEDIA_TYPE: {"schema": {"$ref": REF + "Problem"}, "examples": {}}}}


def _example(code: str) -> dict[str, Any]:
    facts = dict.fromkeys(
        (
            "actor",
            "claim",
            "limit",
            "missing",
            "most",
            "quota",
            "reason",
            "role",
            "roles",
            "scope",
            "seconds",
        ),
        "…",
    )
    told = Problem(code, facts=facts).body("en", "/v1/requests", "0b5f1c9e")
    return {"summary": KINDS[code].title[0], "value": told}


def body(schema: dict[str, Any], *, required: bool = True, **examples: Any) -> dict[str, Any]:
    """What a route takes, with examples by name."""
    named = {name: {"value": value} for name, value in examples.items()}
    content = {"application/json": {"schema": schema, "examples": named}}
    return {"requestBody": {"required": required, "content": content}}


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
        "personal_data_unavailable",
        "calendar_unknown",
        *ANY,
    ),
    openapi_extra=body({"$ref": REF + "NewRequest"}, repair=_NEW_REQUEST),
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
                {"$ref": REF + "Event"},
                {
                    "type": "array",
                    "items": {"$ref": REF + "Event"},
                    "minItems": 1,
                    "maxItems": MOST_EVENTS_AT_ONCE,
                },
            ]
        },
        one=_RESPONDED,
        several=[_RESPONDED, _PLAN_TOLD],
    ),
)
SEND = operation(
    "sendEvents",
    "Leave events from another system, as CloudEvents",
    {202: ("What became of each event, in order", shown.ShownOutcomes)},
    (*AUTH, *BODY, "some_not_left", *ANY),
    openapi_extra={
        "parameters": [
            {
                "in": "header",
                "name": f"ce-{name}",
                "required": False,
                "schema": {"type": "string"},
                "description": f"In binary mode: the event's {name}.",
                "example": example,
            }
            for name, example in {
                "specversion": "1.0",
                "id": _RESPONDED["id"],
                "source": "https://crm.example.com",
                "type": "responded",
                "subject": "CR20260520-001",
                "time": "2026-05-20T09:03:00+08:00",
                "actorrole": "agent",
                "actorid": "A-07",
            }.items()
        ],
        "requestBody": {
            "required": False,
            "content": {
                STRUCTURED: {
                    "schema": {"$ref": REF + "CloudEvent"},
                    "examples": {"one": {"value": _CLOUD_EVENT}},
                },
                BATCH: {
                    "schema": {
                        "type": "array",
                        "items": {"$ref": REF + "CloudEvent"},
                        "maxItems": MOST_IN_A_BATCH,
                    },
                    "examples": {"several": {"value": [_CLOUD_EVENT]}},
                },
                "application/json": {
                    "schema": {"type": "object"},
                    "examples": {"binary": {"value": _CLOUD_EVENT["data"]}},
                },
            },
        },
    },
)
REPORT["responses"][200]["content"] = {
    "application/json": {
        "schema": {"oneOf": [{"$ref": REF + "ServiceRequest"}, {"$ref": REF + "ShownResults"}]}
    }
}


def _detail(operation_id: str, summary: str, model: type[BaseModel], *more: str) -> dict[str, Any]:
    problems = (*AUTH, "request_not_found", *more, *ANY)
    return operation(operation_id, summary, {200: (summary, model)}, problems)


TIMELINE = _detail("getTimeline", "Everything that happened, in order", shown.ShownTimeline)
CLOCKS = _detail("getClocks", "Every promise and how it stands", shown.ShownClocks)
OBLIGATIONS = _detail("getObligations", "What happens if nobody acts", shown.ShownObligations)
_UNMASKED = ("validation_failed", "personal_data_not_yours", "personal_data_unavailable")
FORMS = _detail("getForms", "Every form, in the order of the course", shown.ShownForms, *_UNMASKED)
FORM = _detail(
    "getForm", "One form, by number or code", shown.ShownForm, "form_not_found", *_UNMASKED
)
TASKS = operation(
    "listTasks",
    "List tasks, next due first",
    {200: ("One page", shown.ShownTasks)},
    (*AUTH, "staff_only", "validation_failed", *ANY),
)
TASK = operation(
    "getTask",
    "Show a task",
    {200: ("The task, open or closed", shown.ShownTask)},
    (*AUTH, "staff_only", "task_not_found", *ANY),
)


def _on_task(operation_id: str, summary: str, *more: str, **extra: Any) -> dict[str, Any]:
    problems = ("task_not_yours", "task_not_found", "task_taken", "task_closed", *more)
    late = ("event_not_allowed", "no_worker", "temporal_unavailable", *ANY)
    answers: dict[int, tuple[str, type[BaseModel] | None]] = {
        200: ("The task after it", shown.ShownTask)
    }
    return operation(operation_id, summary, answers, (*AUTH, *problems, *late), **extra)


def _text(*required: str, **texts: str) -> dict[str, Any]:
    """The schema of a small body: texts and what each says."""
    named = {
        name: {"type": "string", "minLength": 1, "description": said}
        for name, said in texts.items()
    }
    return {
        "type": "object",
        "properties": named,
        "required": list(required),
        "additionalProperties": False,
    }


CLAIM = _on_task(
    "claimTask",
    "Take a task upon oneself",
    *BODY,
    openapi_extra=body(
        _text(assignee="For whom, if not for the caller: supervisors, managers, integrations"),
        required=False,
        myself={},
        somebody={"assignee": "A-07"},
    ),
)
RELEASE = _on_task("releaseTask", "Give a claimed task back")
REASSIGN = _on_task(
    "reassignTask",
    "Give a task to somebody else",
    *BODY,
    "role_not_allowed",
    openapi_extra=body(
        _text("to", "reason", to="Who has it from now on", reason="Why"),
        off_shift={"to": "A-08", "reason": "下班交接"},
    ),
)


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
        openapi_extra=body({"$ref": REF + order.__name__}, **examples),
    )


REASSIGN_MANY = _ordered(
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

LIVE = operation(
    "getLiveness", "Whether this process lives", {200: ("It lives", shown.ShownLiveness)}, ()
)
READY = operation(
    "getReadiness",
    "Whether database, Temporal and a worker are there",
    {200: ("All are there", shown.ShownReadiness)},
    ("not_ready",),
)

_HISTORY = (
    "history_gone",
    "customer_erased",
    "history_unusable",
    "temporal_unavailable",
    "archive_unavailable",
)
AUDIT_STATE = _detail(
    "getRequestAt",
    "The request as it stood at a moment",
    shown.ShownMoment,
    "validation_failed",
    *_HISTORY,
)
AUDIT_HISTORY = _detail("getHistory", "The raw history", shown.ShownHistory, *_HISTORY)
AUDIT_VERIFICATION = _detail(
    "getVerification", "Whether the history holds", shown.ShownVerification, *_HISTORY
)

_PAYLOADS: dict[str, Any] = {
    "type": "object",
    "description": "Temporal's payloads as protobuf's JSON: metadata and data in base64.",
    "properties": {"payloads": {"type": "array", "items": {"type": "object"}}},
}
_PLAIN = {"payloads": [{"metadata": {"encoding": "anNvbi9wbGFpbg=="}, "data": "InJlc3BvbmRlZCI="}]}


def _codec(operation_id: str, summary: str) -> dict[str, Any]:
    keywords = operation(
        operation_id,
        summary,
        {200: ("The payloads, in the same order", None)},
        (*AUTH, *BODY, "internal_error"),
        openapi_extra=body(_PAYLOADS, one=_PLAIN),
    )
    answer = {"schema": _PAYLOADS, "examples": {"one": {"value": _PLAIN}}}
    keywords["responses"][200]["content"] = {"application/json": answer}
    return keywords


DECODE = _codec("decodePayloads", "Open payloads of a history")
ENCODE = _codec("encodePayloads", "Seal payloads")

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
        "assignee": {"type": "string", "description": "Who has the task"},
        "closed_by": {"type": ["string", "null"], "description": "The event that closed the task"},
        "known_types": {"type": "array", "items": {"type": "string"}},
        "events": {
            "type": "array",
            "items": {"type": "string"},
            "description": "The ids to repeat the call with",
        },
        "results": {
            "type": "array",
            "items": {"$ref": REF + "ShownOutcome"},
            "description": "What became of each event",
        },
    },
    "additionalProperties": True,
}


_FRAMEWORKS_OWN = ("HTTPValidationError", "ValidationError")


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
            # What the framework knows besides ours are the words that filters take.
            words = components.get("schemas", {}).items()
            ours = _schemas()
            components["schemas"] = ours | {
                name: schema for name, schema in words if name not in {*ours, *_FRAMEWORKS_OWN}
            }
            components["responses"] = {code: _alone(code) for code in ANYWHERE}
            _show_an_example_of_every_answer(document)
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
    _, definitions = models_json_schema([*taken, *given], ref_template=REF + "{model}")
    schemas: dict[str, Any] = definitions["$defs"]
    mapping = {}
    for name, model in EVENTS.items():
        mapping[name] = REF + model.__name__
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


def _alone(code: str) -> dict[str, Any]:
    """A problem that belongs to no operation."""
    response = _problem_response()
    response["content"][MEDIA_TYPE]["examples"][code] = _example(code)
    return {"description": KINDS[code].title[0], **response}


def _show_an_example_of_every_answer(document: dict[str, Any]) -> None:
    sampler = Sampler(document["components"]["schemas"])
    for path in document["paths"].values():
        for operation in path.values():
            for status, response in operation["responses"].items():
                answer = response.get("content", {}).get("application/json")
                told = answer is None or "example" in answer or "examples" in answer
                if status.startswith("2") and not told:
                    answer["example"] = sampler.sample(answer.get("schema", {}))


def _drop_the_frameworks_422(document: dict[str, Any]) -> None:
    """FastAPI promises its own error shape wherever a route has parameters; we never send it."""
    for path in document["paths"].values():
        for operation in path.values():
            content = operation["responses"].get("422", {}).get("content", {})
            if "application/json" in content:
                del operation["responses"]["422"]
