"""The codec server: Temporal's own pages show what histories say, to those who may read it.

The protocol is Temporal's (https://docs.temporal.io/codec-server): payloads go in and come out as
protobuf's JSON. The pages of a development server cannot send a token, so one stands in the
address that they are given: it is good for nothing else.
"""

from collections.abc import Sequence
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response
from fastapi.security import HTTPAuthorizationCredentials
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from temporalio.api.common.v1 import Payload, Payloads

from api import openapi
from api.access import bearer, entitled_to, principal, written_down
from api.bodies import JsonBody
from api.problems import FieldError, Problem
from api.services import Served
from domain.vocabulary import Role
from records.sealing import Unsealable
from runtime.settings import Settings
from runtime.tokens import Principal, Scope, TokenInvalid, check_codec_token

log = structlog.get_logger("api")

router = APIRouter(prefix="/codec", tags=["codec"])

_NO_PAYLOADS = (
    "send Temporal's payloads: {payloads: [{metadata, data}]}, base64 inside",
    "请提交 Temporal 的 payloads：{payloads: [{metadata, data}]}，内容为 base64",
)


async def _reader(
    services: Served,
    call: Request,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
) -> Principal:
    token = call.path_params.get("token")
    if token is None:
        return entitled_to(Scope.audit, await principal(services, call, credentials))
    try:
        check_codec_token(services.key, token)
    except TokenInvalid as error:
        raise Problem("token_expired" if error.expired else "token_invalid") from None
    return _PAGES


_PAGES = Principal(role=Role.auditor, id="temporal-ui")
"""Who reads through an address with a token in it: whoever sits before Temporal's pages."""

Reader = Annotated[Principal, Depends(_reader)]


@router.post("/decode", **openapi.DECODE)
@router.post("/{token}/decode", include_in_schema=False)
async def decode(services: Served, caller: Reader, call: Request, body: JsonBody) -> Response:
    """Open payloads of a history; one that does not open comes back as it is."""
    await written_down(services, caller, call)
    opened: list[Payload] = []
    unopened = 0
    for payload in _payloads(body):
        try:
            opened += await services.codec.decode([payload])
        except Unsealable:
            opened.append(payload)
            unopened += 1
    # Whoever reads histories reads what customers said: it is kept who did.
    log.info(
        "payloads_opened", by=f"{caller.role}/{caller.id}", count=len(opened), unopened=unopened
    )
    return _answer(services.settings, call, opened)


@router.post("/encode", **openapi.ENCODE)
@router.post("/{token}/encode", include_in_schema=False)
async def encode(services: Served, caller: Reader, call: Request, body: JsonBody) -> Response:
    """Seal payloads, such as the argument of a query typed into Temporal's pages."""
    sealed = await services.codec.encode(_payloads(body))
    log.info("payloads_sealed", by=f"{caller.role}/{caller.id}", count=len(sealed))
    return _answer(services.settings, call, sealed)


@router.options("/{path:path}", include_in_schema=False)
async def preflight(services: Served, call: Request) -> Response:
    """Tell a browser that pages of the allowed origins may call."""
    return Response(status_code=204, headers=_cors(services.settings, call))


def _payloads(body: Any) -> list[Payload]:
    try:
        if not isinstance(body, dict):
            raise TypeError
        return list(ParseDict(body, Payloads()).payloads)
    except (ParseError, TypeError, ValueError):
        raise Problem("validation_failed", errors=[FieldError("/payloads", _NO_PAYLOADS)]) from None


def _answer(settings: Settings, call: Request, payloads: Sequence[Payload]) -> Response:
    content = MessageToDict(Payloads(payloads=payloads))
    return JSONResponse(content, headers={**_cors(settings, call), "Cache-Control": "no-store"})


def _cors(settings: Settings, call: Request) -> dict[str, str]:
    origin = call.headers.get("origin")
    if origin not in settings.codec_origins:
        return {"Vary": "Origin"}
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Headers": "authorization, content-type, x-namespace",
        "Access-Control-Allow-Methods": "POST",
        "Access-Control-Max-Age": "600",
        "Vary": "Origin",
    }
