"""Headers that every answer carries, whoever made it: what a browser may do with it."""

from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runtime.settings import Settings

NOTHING = "default-src 'none'; frame-ancestors 'none'"
"""An answer of the API is no page: nothing may be loaded or run from it, nobody may frame it."""

PAGES = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self' data:; connect-src 'self'; worker-src blob:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The pages about the API start by a script of their own, and show nothing that anyone wrote."""

_PAGES = ("/docs", "/redoc")
_BASELINE = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class SafeHeaders:
    """Adds what an answer does not say itself; a route that knows better is left alone."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._always = dict(_BASELINE)
        if urlsplit(settings.public_url or "").scheme == "https":
            self._always["Strict-Transport-Security"] = "max-age=31536000"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        safe = {
            **self._always,
            "Content-Security-Policy": PAGES if scope["path"].startswith(_PAGES) else NOTHING,
        }
        if "authorization" in Headers(scope=scope):
            safe["Cache-Control"] = "no-store"

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in {**safe, **state.get("rate", {})}.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_safely)
