"""Around every call: an id for the log, and an answer even when something unforeseen happens."""

import re
import traceback
from uuid import uuid4

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.answers import tell
from api.problems import Problem

log = structlog.get_logger("api")

HEADER = "X-Request-Id"
DEEPEST = 8
_ACCEPTABLE_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")


class CallId:
    """Gives every call an id, the caller's own if it is a decent one, and catches what is left."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        wished = Headers(scope=scope).get(HEADER, "")
        request_id = wished if _ACCEPTABLE_ID.fullmatch(wished) else str(uuid4())
        scope.setdefault("state", {})["request_id"] = request_id
        answered = False

        async def send_with_id(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start":
                answered = True
                MutableHeaders(scope=message)[HEADER] = request_id
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, send_with_id)
            except Exception as error:
                # The error's text stays out of the log: it may quote personal data.
                log.error("call_failed", path=scope["path"], **what_happened(error))
                if answered:
                    raise
                await tell(scope, Problem("internal_error"))(scope, receive, send_with_id)


def what_happened(error: BaseException) -> dict[str, object]:
    """The kinds of the error and of its causes, and where the first of them arose; no texts."""
    kinds = [type(error).__name__]
    while cause := error.__cause__ or error.__context__:
        error = cause
        kinds.append(type(error).__name__)
    frames = traceback.extract_tb(error.__traceback__, limit=-DEEPEST)
    where = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
    return {"error": " < ".join(kinds), "where": where}
