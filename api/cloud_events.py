"""Events from other systems, as CloudEvents: one, or up to a thousand, each judged for itself."""

import binascii
import re
from base64 import b64decode
from typing import Any
from urllib.parse import unquote_to_bytes

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import ValidationError

from api import bodies, leaving, openapi
from api.access import Reporter
from api.answers import reader_language
from api.language import Language
from api.leaving import Left
from api.problems import RETRY_SOON, FieldError, Problem
from api.services import Served
from api.validation import details, field_errors
from domain.cloud_events import BATCH, MOST_IN_A_BATCH, STRUCTURED, CloudEvent
from domain.shown import ShownFault, ShownOutcome, ShownOutcomes

router = APIRouter(prefix="/v1/events", tags=["events"])

MOST_BYTES_OF_A_BATCH = 4 * 1024 * 1024
ACCEPTED = f"{STRUCTURED}, {BATCH}, application/json"

_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ESCAPED = re.compile(r"\\(.)")
_LONGEST_ECHO = 255

_NOT_AN_OBJECT = ("a CloudEvent is a JSON object", "CloudEvent 应为 JSON 对象")
_NOT_A_LIST = (
    f"a batch is a list of up to {MOST_IN_A_BATCH} CloudEvents",
    f"批量应为列表，最多包含{MOST_IN_A_BATCH}个 CloudEvent",
)
_NOT_JSON = ("the data of an event is a JSON object", "事件的 data 应为 JSON 对象")
_NOT_BASE64 = ("this is not base64", "不是有效的 base64")
_TWICE = ("give data or data_base64, not both", "data 与 data_base64 只能填写其一")


@router.post("", **openapi.SEND)
async def send_events(services: Served, caller: Reporter, call: Request) -> Response:
    """Leave what happened, without waiting: each event is judged when its turn comes.

    Structured, binary and batch mode of CloudEvents 1.0. One bad event never spoils the others;
    the answer says of each, in order, what became of it. A repeat is harmless.
    """
    envelopes = await _envelopes(call)
    left = await leaving.leave_all(services, caller, [_read(each) for each in envelopes])
    language = reader_language(call)
    results = [_shown(e, each, language) for e, each in zip(envelopes, left, strict=True)]
    if any(each.status == "unavailable" for each in left):
        told = [result.model_dump(mode="json", exclude_unset=True) for result in results]
        raise Problem("some_not_left", headers=RETRY_SOON, results=told)
    answer = ShownOutcomes(results=results)
    return JSONResponse(answer.model_dump(mode="json", exclude_unset=True), status_code=202)


async def _envelopes(call: Request) -> list[Any]:
    """The events of the call, in whichever mode they came.

    Raises:
        Problem: the envelope itself cannot be read.
    """
    content_type = call.headers.get("content-type")
    named = bodies.media_type(content_type)
    if named == BATCH:
        batch = bodies.parse(await bodies.bounded(call, MOST_BYTES_OF_A_BATCH))
        if not isinstance(batch, list) or len(batch) > MOST_IN_A_BATCH:
            raise Problem("validation_failed", errors=[FieldError("", _NOT_A_LIST)])
        return batch
    raw = await bodies.bounded(call)
    if named == STRUCTURED:
        event = bodies.parse(raw)
        if not isinstance(event, dict):
            raise Problem("validation_failed", errors=[FieldError("", _NOT_AN_OBJECT)])
        return [event]
    attributes = _attributes(call)
    if not attributes or named.startswith("application/cloudevents") or not _json(content_type):
        raise Problem("unsupported_media_type", headers={"Accept-Post": ACCEPTED})
    if content_type is not None:
        attributes["datacontenttype"] = content_type
    return [attributes | ({"data": bodies.parse(raw)} if raw else {})]


_NOT_UTF_8 = (
    "a ce- header is not percent-encoded UTF-8",
    "ce- 头不是按 UTF-8 百分号编码的文本",
)


def _attributes(call: Request) -> dict[str, Any]:
    """The attributes of an event in binary mode, from the `ce-` headers."""
    given = {name: value for name, value in call.headers.items() if name[:3] == "ce-"}
    try:
        return {name[3:]: _unescaped(value) for name, value in given.items()}
    except UnicodeDecodeError:
        raise Problem("validation_failed", errors=[FieldError("", _NOT_UTF_8)]) from None


def _unescaped(value: str) -> str:
    """A header's value as it was meant: first quoted strings, then percent-encoded UTF-8
    (CloudEvents HTTP binding, 3.1.3.2)."""
    unquoted = _QUOTED.sub(lambda quoted: _ESCAPED.sub(r"\1", quoted[1]), value)
    return unquote_to_bytes(unquoted.encode("latin-1")).decode()


def _read(envelope: Any) -> CloudEvent | Problem:
    """The event in the envelope, or what is wrong with it."""
    try:
        if not isinstance(envelope, dict):
            return _wrong("", _NOT_AN_OBJECT)
        # An attribute without a value is one that is not there.
        told = {name: value for name, value in envelope.items() if value is not None}
        return CloudEvent.model_validate(_with_plain_data(told))
    except Problem as problem:
        return problem
    except ValidationError as error:
        return Problem("validation_failed", errors=field_errors(details(error)))


def _with_plain_data(told: dict[str, Any]) -> dict[str, Any]:
    if not _json(told.get("datacontenttype")):
        raise _wrong("/datacontenttype", _NOT_JSON)
    encoded = told.pop("data_base64", None)
    if encoded is not None:
        if "data" in told:
            raise _wrong("/data_base64", _TWICE)
        try:
            told["data"] = bodies.parse(b64decode(encoded, validate=True))
        except (binascii.Error, TypeError, ValueError):
            raise _wrong("/data_base64", _NOT_BASE64) from None
        except Problem:
            raise _wrong("/data_base64", _NOT_JSON) from None
    if not isinstance(told.get("data", {}), dict):
        raise _wrong("/data", _NOT_JSON)
    return told


def _json(content_type: Any) -> bool:
    # What is no text is the model's to refuse.
    return not isinstance(content_type, str) or bodies.is_json(content_type)


def _wrong(field: str, message: tuple[str, str]) -> Problem:
    return Problem("validation_failed", errors=[FieldError(field, message)])


def _shown(envelope: Any, left: Left, language: Language) -> ShownOutcome:
    told = envelope if isinstance(envelope, dict) else {}
    outcome = ShownOutcome(
        id=_echo(told.get("id")), status=left.status, subject=_echo(told.get("subject"))
    )
    if left.problem is None:
        return outcome
    said = left.problem.body(language, "", "")
    why = {"code": said["code"], "reason": said["detail"]}
    if "errors" in said:
        why["errors"] = [ShownFault(**error) for error in said["errors"]]
    return outcome.model_copy(update=why)


def _echo(value: Any) -> str | None:
    return value[:_LONGEST_ECHO] if isinstance(value, str) else None
