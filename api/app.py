"""The FastAPI application, put together."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from api import details, events, handlers, health, metrics, openapi, requests
from api.metrics import Metrics
from api.middleware import CallId
from api.observed import Observed
from api.services import opened
from api.starting import begin_all_left
from runtime import tracing
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
            starter = asyncio.create_task(begin_all_left(services))
            try:
                yield
            finally:
                starter.cancel()
                with suppress(asyncio.CancelledError):
                    await starter
                tracing.shutdown()

    # Its pages at /docs and /redoc need no other host, so they work where there is no internet.
    app = FastAPIOffline(lifespan=lifespan, redirect_slashes=False, **openapi.ABOUT)
    app.add_middleware(CallId)
    app.state.metrics = Metrics()
    app.add_middleware(Observed, metrics=app.state.metrics)
    handlers.register(app)
    for module in (requests, events, details, health, metrics):
        app.include_router(module.router)
    openapi.complete(app)
    return app
