"""Every error as a problem: ours, the framework's, and the database's."""

from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from api.answers import tell
from api.methods import methods_at
from api.middleware import what_happened
from api.problems import RETRY_SOON, FieldError, Problem
from api.services import RECORDS_TROUBLE
from api.validation import field_errors
from audit.store import Unreachable
from records.cursors import BadCursor
from records.sealing import Unsealable

log = structlog.get_logger("api")

_BY_STATUS = {404: "not_found", 405: "method_not_allowed"}


def register(app: FastAPI) -> None:
    """Let every error of this application leave as a problem."""
    for error, handler in {
        Problem: _problem,
        HTTPException: _framework,
        RequestValidationError: _parameters,
        BadCursor: _cursor,
        **dict.fromkeys(RECORDS_TROUBLE, _database),
        Unsealable: _sealed,
        Unreachable: _archive,
    }.items():
        app.add_exception_handler(error, handler)


async def _problem(request: Request, error: Any) -> Response:
    return tell(request.scope, error)


async def _framework(request: Request, error: Any) -> Response:
    code = _BY_STATUS.get(error.status_code, "internal_error")
    headers = error.headers
    if code == "method_not_allowed":
        # The framework names the methods of the first route that it found at the address.
        headers = {"Allow": methods_at(request.app.routes, request.scope)}
    return tell(request.scope, Problem(code, headers=headers))


async def _parameters(request: Request, error: Any) -> Response:
    """A query parameter or header that does not fit; the first step says only which of them."""
    details = ({**each, "loc": each["loc"][1:]} for each in error.errors())
    return tell(request.scope, Problem("validation_failed", errors=field_errors(details)))


async def _cursor(request: Request, error: Any) -> Response:
    message = ("this is not the cursor of a page of this list", "不是本列表给出的游标")
    problem = Problem("validation_failed", errors=[FieldError("/cursor", message)])
    return tell(request.scope, problem)


async def _database(request: Request, error: Any) -> Response:
    log.error("records_unavailable", **what_happened(error))
    return tell(request.scope, Problem("records_unavailable", headers=RETRY_SOON))


async def _archive(request: Request, error: Any) -> Response:
    log.error("archive_unavailable", reason=str(error))
    return tell(request.scope, Problem("archive_unavailable", headers=RETRY_SOON))


async def _sealed(request: Request, error: Any) -> Response:
    """Its text names the key and the row, never the data."""
    log.error("personal_data_unavailable", reason=str(error))
    return tell(request.scope, Problem("personal_data_unavailable"))
