"""Every call measured and traced, by its route and never by its path: paths carry numbers."""

import time
from collections.abc import MutableMapping
from typing import Any

from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.metrics import Metrics
from runtime import tracing

METHODS = frozenset(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
UNTOLD = frozenset(["/livez", "/readyz", "/metrics"])
"""Asked every few seconds by machines: measured, but not traced."""


class Observed:
    """Counts every call, times it, and makes it a span that goes on the caller's trace."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in METHODS else "other"
        status, began = 500, time.perf_counter()

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if here := tracing.traceparent():
                    MutableHeaders(scope=message)["traceparent"] = here
            await send(message)

        try:
            if scope["path"] in UNTOLD:
                await self._app(scope, receive, watched)
                return
            with tracing.span(method, SpanKind.SERVER, Headers(scope=scope)) as span:
                try:
                    await self._app(scope, receive, watched)
                finally:
                    if span is not None:
                        _describe(span, method, _route(scope), status)
        finally:
            route = _route(scope)
            self._metrics.requests.labels(method, route, status).inc()
            self._metrics.durations.labels(method, route).observe(time.perf_counter() - began)


def _describe(span: Span, method: str, route: str, status: int) -> None:
    span.update_name(f"{method} {route}")
    span.set_attribute("http.request.method", method)
    span.set_attribute("http.route", route)
    span.set_attribute("http.response.status_code", status)
    if status >= 500:
        span.set_status(Status(StatusCode.ERROR))


def _route(scope: MutableMapping[str, Any]) -> str:
    """The template of the route that answered."""
    return str(getattr(scope.get("route"), "path", "unmatched"))
