"""JSON bodies: bounded, UTF-8, and nothing that JSON does not have."""

import json
from typing import Annotated, Any, NoReturn

from fastapi import Depends, Request

from api.problems import FieldError, Problem

MOST_BYTES = 256 * 1024
PATIENCE = 16 * MOST_BYTES
"""How much of a body too large is still read, so that its sender can hear the answer."""

_ROOT = ""


async def json_body(request: Request) -> Any:
    """The body as JSON types.

    Raises:
        Problem: `body_too_large`, `unsupported_media_type` or `invalid_json`.
    """
    raw = await bounded(request)
    if not is_json(request.headers.get("content-type")):
        raise Problem("unsupported_media_type", headers={"Accept-Post": "application/json"})
    return parse(raw)


async def optional_json_body(request: Request) -> Any:
    """The body as JSON types; none is an empty object.

    Raises:
        Problem: as `json_body`.
    """
    length = request.headers.get("content-length", "0")
    is_empty = length == "0" and "transfer-encoding" not in request.headers
    return {} if is_empty else await json_body(request)


JsonBody = Annotated[Any, Depends(json_body)]
"""The parsed body of the call."""

OptionalJsonBody = Annotated[Any, Depends(optional_json_body)]
"""The same where it may be left out."""


def parse(raw: bytes) -> Any:
    """Strict JSON: no NaN, no lone surrogates, no nesting without end.

    Raises:
        Problem: `invalid_json`, with the reason but without the content.
    """
    try:
        data = json.loads(raw.decode("utf-8"), parse_constant=_refuse_constant)
        # A lone surrogate parses, but can be neither stored nor sent on.
        json.dumps(data, ensure_ascii=False).encode("utf-8")
    except json.JSONDecodeError as error:
        where = (
            f"{error.msg} at line {error.lineno} column {error.colno}",
            f"第{error.lineno}行第{error.colno}列不符合 JSON 语法",
        )
        raise Problem("invalid_json", errors=[FieldError(_ROOT, where)]) from None
    except UnicodeError:
        text = ("the text is not valid Unicode", "文本不是有效的 Unicode")
        raise Problem("invalid_json", errors=[FieldError(_ROOT, text)]) from None
    except (ValueError, RecursionError):
        value = ("a number or the nesting is beyond reason", "数值或嵌套层数超出合理范围")
        raise Problem("invalid_json", errors=[FieldError(_ROOT, value)]) from None
    return data


async def bounded(request: Request, most: int = MOST_BYTES) -> bytes:
    """The body, of `most` bytes at most.

    Raises:
        Problem: `body_too_large`.
    """
    patience = max(PATIENCE, 2 * most)
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > patience:
        raise _too_large(most)
    body, size = bytearray(), 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > patience:
            raise _too_large(most)
        if size <= most:
            body += chunk
    if size > most:
        raise _too_large(most)
    return bytes(body)


def media_type(content_type: str | None) -> str:
    """The media type without its parameters; JSON where none is named."""
    return (content_type or "application/json").partition(";")[0].strip().lower()


def is_json(content_type: str | None) -> bool:
    """Whether the content is JSON, by its type."""
    named = media_type(content_type)
    return named == "application/json" or named.endswith("+json")


def _too_large(most: int) -> Problem:
    return Problem("body_too_large", facts={"limit": str(most)}, limit=most)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
