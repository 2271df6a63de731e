"""How answers and problems leave: JSON, in the reader's language, with the call's own id."""

import json
from typing import Any
from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Scope

from api.language import Language, preferred
from api.problems import MEDIA_TYPE, Problem
from runtime.logs import hide_links


class ProblemResponse(JSONResponse):
    """A problem details document."""

    media_type = MEDIA_TYPE

    def render(self, content: Any) -> bytes:
        """Never fails, whatever name a caller gave to a field."""
        return json.dumps(content, ensure_ascii=False).encode("utf-8", errors="replace")


def tell(scope: Scope, problem: Problem) -> Response:
    """The response for a problem of the call in `scope`."""
    language = preferred(Headers(scope=scope).get("accept-language"))
    headers = {"Content-Language": language, "Vary": "Accept-Language", "Cache-Control": "no-store"}
    return ProblemResponse(
        problem.body(language, _address(scope), request_id(scope)),
        status_code=problem.status,
        headers={**headers, **problem.headers},
    )


def request_id(scope: Scope) -> str:
    """The id under which the log knows this call."""
    return str(scope.get("state", {}).get("request_id", ""))


def reader_language(request: Request) -> Language:
    """The language the caller reads."""
    return preferred(request.headers.get("accept-language"))


def _address(scope: Scope) -> str:
    """The path; not the token that stands in a link's."""
    return quote(hide_links(scope["path"]), safe="/*")
