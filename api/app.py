"""The FastAPI application, put together."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from api import board, bulk, details, events, handlers, health, openapi, requests, stream
from api.middleware import CallId
from api.services import opened
from api.starting import begin_all_left
from runtime.settings import Settings
from runtime.tokens import signing_key


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application under these settings, or those of the environment; a uvicorn factory.

    Raises:
        domain.policy.PolicyError: the policy file is missing or broken.
        runtime.tokens.WeakSecret: the configured token secret is too short.
    """
    chosen = settings or Settings()
    # Found out now rather than by the first caller; the key is read once for all of them.
    _, key = chosen.timing_policy, signing_key(chosen)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with opened(chosen, key) as services:
            app.state.services = services
            app.state.stream = stream.Stream(services)
            starter = asyncio.create_task(begin_all_left(services))
            try:
                yield
            finally:
                await app.state.stream.close()
                starter.cancel()
                with suppress(asyncio.CancelledError):
                    await starter

    # Its pages at /docs and /redoc need no other host, so they work where there is no internet.
    app = FastAPIOffline(lifespan=lifespan, redirect_slashes=False, **openapi.ABOUT)
    app.add_middleware(CallId)
    handlers.register(app)
    for module in (requests, events, details, board, stream, bulk, health):
        app.include_router(module.router)
    openapi.complete(app)
    return app
