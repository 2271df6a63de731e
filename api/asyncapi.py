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
from domain.outgoing import OUTGOING, SOURCE

router = APIRouter(include_in_schema=False)

Json = dict[str, Any]

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
_COMES = _ATTRIBUTES | {
    "actorrole": {"type": "string", "description": "Who did it; with actorid"},
    "actorid": {"type": "string"},
}
_MUST_COME = ["specversion", "id", "source", "type", "subject"]
_LEAVES = _ATTRIBUTES | {
    "id": {"type": "string", "examples": ["CR20260520-001:12"]},
    "source": {**_ATTRIBUTES["source"], "examples": [SOURCE]},
    "subject": {"type": "string", "description": "The request's number; of a ping, the webhook's"},
    "sequence": {
        "type": "string",
        "pattern": "^[0-9]{10}$",
        "examples": ["0000000012"],
        "description": "Rises within the request, with gaps; compares as text",
    },
}
_SIGNED: Json = {
    "type": "object",
    "required": ["webhook-id", "webhook-timestamp", "webhook-signature"],
    "properties": {
        "webhook-id": {"type": "string", "description": "The event's id, the same at each attempt"},
        "webhook-timestamp": {"type": "string", "description": "Seconds since 1970"},
        "webhook-signature": {
            "type": "string",
            "description": "Standard Webhooks: `v1,` and base64; several, parted by spaces, while "
            "a secret is being rotated",
        },
    },
}


@router.get("/asyncapi.json")
async def get_asyncapi(call: Request) -> Response:
    """Describe the events that come in and go out."""
    return JSONResponse(document(str(call.base_url)))


def document(address: str) -> Json:
    """The AsyncAPI 3.0 document of a service that is reached at `address`."""
    schemas = _schemas([*EVENTS.values()], "validation")
    for model in EVENTS.values():
        _keep_only_the_payload(schemas[model.__name__], model)
    schemas |= _schemas([each.model for each in OUTGOING.values()], "serialization")
    sampler = Sampler(schemas)
    coming = {
        f"in.{name}": _message(
            name, model.__doc__ or name, _payload(name, model, _COMES, _MUST_COME), sampler
        )
        for name, model in EVENTS.items()
    }
    going = {
        f"out.{name}": _message(
            name,
            each.says,
            _payload(name, each.model, _LEAVES, [*_LEAVES, "type", "data"]),
            sampler,
        )
        | {"headers": _SIGNED}
        for name, each in OUTGOING.items()
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
            "messages": coming | going,
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


def _payload(type_: str, model: type[BaseModel], attributes: Json, required: list[str]) -> Json:
    data = {"$ref": _SCHEMAS + model.__name__}
    return {
        "type": "object",
        "required": required,
        "properties": {**attributes, "type": {"type": "string", "const": type_}, "data": data},
    }


def _message(type_: str, says: str, payload: Json, sampler: Sampler) -> Json:
    return {
        "name": type_,
        "title": type_,
        "summary": says.strip().splitlines()[0],
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
