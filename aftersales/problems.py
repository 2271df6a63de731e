"""What can go wrong, as the service tells it (RFC 9457)."""

from typing import Any

import httpx
from pydantic import BaseModel, ConfigDict, ValidationError


class Fault(BaseModel):
    """What is wrong with one field, named by JSON pointer."""

    field: str
    message: str


class _Told(BaseModel):
    model_config = ConfigDict(extra="allow")

    code: str
    title: str = ""
    detail: str = ""
    request_id: str | None = None
    reason_code: str | None = None
    reason: str | None = None
    allowed_events: list[str] = []
    stage: str | None = None
    errors: list[Fault] = []


class Problem(Exception):
    """The service did not do as asked.

    Attributes:
        status: the HTTP status.
        code: the stable name of the problem; `unreadable` for an answer that is none of ours.
        reason_code: why an event was refused; stable.
        reason: the same as a sentence in the client's language.
        allowed_events: what the request could take instead.
        stage: where the request stands.
        errors: what is wrong with which field.
        request_id: under which the service's log knows the call.
        retry_after: seconds after which it is worth another try.
        more: the whole problem document.
    """

    def __init__(self, answer: httpx.Response) -> None:
        self.status = answer.status_code
        try:
            told = _Told.model_validate_json(answer.content)
        except ValidationError:
            told = _Told(code="unreadable", detail=f"HTTP {answer.status_code}")
        self.code, self.title, self.detail = told.code, told.title, told.detail
        self.reason_code, self.reason = told.reason_code, told.reason or told.detail
        self.allowed_events, self.stage = told.allowed_events, told.stage
        self.errors, self.request_id = told.errors, told.request_id
        self.retry_after = retry_after(answer)
        self.more: dict[str, Any] = told.model_dump()
        super().__init__(f"{self.code}: {self.reason}")


class Refused(Problem):
    """The event may not happen now, or not by this role; `reason` and `allowed_events` say more."""


class NotFound(Problem):
    """There is no such request or form."""


class Closed(Problem):
    """The request is archived."""


class Malformed(Problem):
    """Something about the call is wrong; `errors` says what."""


class NotPermitted(Problem):
    """The token is missing, expired, or lacks the scope."""


class Unavailable(Problem):
    """The service could not do it now, even after several tries. The same call may be repeated."""


_KINDS: dict[int, type[Problem]] = {
    401: NotPermitted,
    403: NotPermitted,
    404: NotFound,
    409: Refused,
    410: Closed,
    413: Malformed,
    415: Malformed,
    422: Malformed,
    429: Unavailable,
    503: Unavailable,
}
_BY_CODE: dict[str, type[Problem]] = {
    "actor_mismatch": Refused,
    "role_not_allowed": Refused,
    "request_in_flight": Unavailable,
}


def problem(answer: httpx.Response) -> Problem:
    """The problem in an answer, by its kind."""
    told = Problem(answer)
    return _BY_CODE.get(told.code, _KINDS.get(told.status, Problem))(answer)


def retry_after(answer: httpx.Response) -> float | None:
    """The seconds that the service asks to wait for."""
    asked = answer.headers.get("Retry-After", "")
    return float(asked) if asked.isdecimal() else None
