"""`/asyncapi.json`: the events that come in and go out, as AsyncAPI 3, made from the models."""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from api.examples import Sampler
from domain.cloud_events import STRUCTURED
from domain.events import EVENTS, BaseEvent
from domain.shown import ShownLine

router = APIRouter(include_in_schema=False)

Json = dict[str, Any]

OUTGOING: dict[str, type[BaseModel]] = dict.fromkeys(
    [
        "aftersales.request.received",
        *(f"aftersales.request.{name}" for name in EVENTS),
        "aftersales.request.closed",
        "aftersales.clock.breached",
    ],
    ShownLine,
)
"""What goes out, by type: the lines of the timeline."""

_SCHEMAS = "#/components/schemas/"
_MESSAGES = "#/components/messages/"
_ENVELOPE = {"id", "type", "occurred_at", "heard_at", "actor"}
_ATTRIBUTES: dict[str, Json] = {
    "specversion": {"type": "string", "const": "1.0"},
    "id": {"type": "string", "minLength": 1, "maxLength": 255},
    "source": {"type": "string", "format": "uri-reference", "minLength": 1},
    "subject": {"type": "string", "description": "The request's number"},
    "time": {"type": "string", "format": "date-time", "description": "When it happened"},
    "datacontenttype": {"type": "string", "const": "application/json"},
}
_ACTOR: dict[str, Json] = {
    "actorrole": {"type": "string", "description": "Who did it; with actorid"},
    "actorid": {"type": "string"},
}


@router.get("/asyncapi.json")
async def get_asyncapi(call: Request) -> Response:
    """Describe the events that come in and go out."""
    return JSONResponse(document(OUTGOING, str(call.base_url)))


def document(outgoing: Mapping[str, type[BaseModel]], address: str) -> Json:
    """The AsyncAPI 3.0 document.

    Args:
        outgoing: the model of the `data` of every event that goes out, by the event's type.
        address: where this service is reached.
    """
    schemas = _schemas([*EVENTS.values()], "validation")
    for model in EVENTS.values():
        _keep_only_the_payload(schemas[model.__name__], model)
    schemas |= _schemas(list(dict.fromkeys(outgoing.values())), "serialization")
    sampler = Sampler(schemas)
    coming = {f"in.{name}": (name, model) for name, model in EVENTS.items()}
    going = {f"out.{type_}": (type_, model) for type_, model in outgoing.items()}
    messages = {
        key: _message(type_, model, sampler, _ATTRIBUTES | (_ACTOR if key in coming else {}))
        for key, (type_, model) in (coming | going).items()
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Aftersales",
            "version": "1",
            "description": "Events of service requests, as CloudEvents 1.0 over HTTP: those that "
            "other systems report, and those that are told to them.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": STRUCTURED,
        "servers": {
            "here": {
                "host": address.partition("://")[2].strip("/"),
                "protocol": address.partition("://")[0],
                "security": [{"$ref": "#/components/securitySchemes/token"}],
            }
        },
        "channels": {
            "eventsIn": {
                "address": "/v1/events",
                "title": "Events in",
                "description": "What happened, reported by other systems. `type` may be the last "
                "part of a dotted name, such as `cn.aftersales.request.responded`.",
                "servers": [{"$ref": "#/servers/here"}],
                "messages": {key: {"$ref": _MESSAGES + key} for key in coming},
            },
            "eventsOut": {
                "address": None,
                "title": "Events out",
                "description": "What happened, told to every subscriber at its own address.",
                "messages": {key: {"$ref": _MESSAGES + key} for key in going},
            },
        },
        "operations": {
            "receiveEvent": _operation("receive", "eventsIn", "Take an event in", coming),
            "sendEvent": _operation("send", "eventsOut", "Tell a subscriber", going),
        },
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "messages": messages,
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A token from `aftersales token --role R --id I`.",
                }
            },
        },
    }


def _operation(action: str, channel: str, summary: str, messages: Mapping[str, Any]) -> Json:
    at = f"#/channels/{channel}"
    return {
        "action": action,
        "channel": {"$ref": at},
        "summary": summary,
        "messages": [{"$ref": f"{at}/messages/{key}"} for key in messages],
        "bindings": {"http": {"method": "POST", "bindingVersion": "0.3.0"}},
    }


def _message(type_: str, model: type[BaseModel], sampler: Sampler, attributes: Json) -> Json:
    data = {"$ref": _SCHEMAS + model.__name__}
    payload = {
        "type": "object",
        "required": ["specversion", "id", "source", "type", "subject"],
        "properties": {**attributes, "type": {"type": "string", "const": type_}, "data": data},
    }
    told = type_ if model is ShownLine else (model.__doc__ or type_)
    return {
        "name": type_,
        "title": type_,
        "summary": told.strip().splitlines()[0],
        "contentType": STRUCTURED,
        "payload": payload,
        "examples": [{"name": type_, "payload": sampler.sample(payload)}],
    }


def _schemas(models: list[type[BaseModel]], mode: JsonSchemaMode) -> Json:
    _, definitions = models_json_schema(
        [(model, mode) for model in models], ref_template=_SCHEMAS + "{model}"
    )
    found: Json = definitions["$defs"]
    return found


def _keep_only_the_payload(schema: Json, model: type[BaseEvent]) -> None:
    """What the envelope says is no part of the data."""
    for name in _ENVELOPE & set(schema["properties"]):
        del schema["properties"][name]
    if required := [name for name in schema.get("required", []) if name not in _ENVELOPE]:
        schema["required"] = required
    else:
        schema.pop("required", None)
    schema["title"] = model.__name__
