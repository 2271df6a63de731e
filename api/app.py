"""The FastAPI application, put together."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from api import (
    asyncapi,
    audit,
    board,
    bulk,
    cloud_events,
    codec,
    details,
    events,
    handlers,
    health,
    metrics,
    notifications,
    openapi,
    personal,
    reads,
    requests,
    stream,
    tasks,
    tracking,
    webhooks,
)
from api.headers import SafeHeaders
from api.methods import HeadAsGet
from api.metrics import Metrics
from api.middleware import CallId
from api.observed import Observed
from api.services import opened
from api.starting import begin_all_left
from runtime import preflight, tracing
from runtime.settings import Settings
from runtime.tokens import token_key


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application under these settings, or those of the environment; a uvicorn factory.

    Raises:
        domain.policy.PolicyError: the policy file is missing or broken.
        runtime.trouble.Trouble: the token secret is too short, or a key is missing in production.
    """
    chosen = settings or Settings()
    preflight.identity(chosen)
    # Found out now rather than by the first caller; the key is read once for all of them.
    _, key = chosen.timing_policy, token_key(chosen)

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
                tracing.shutdown()

    # Its pages at /docs and /redoc need no other host, so they work where there is no internet.
    app = FastAPIOffline(lifespan=lifespan, redirect_slashes=False, **openapi.ABOUT)
    # The last one added is the first to be called.
    app.add_middleware(CallId)
    app.state.metrics = Metrics()
    app.add_middleware(Observed, metrics=app.state.metrics)
    app.add_middleware(HeadAsGet)
    app.add_middleware(SafeHeaders, settings=chosen)
    handlers.register(app)
    for module in (
        requests,
        events,
        cloud_events,
        details,
        tasks,
        board,
        stream,
        bulk,
        personal,
        reads,
        tracking,
        notifications,
        audit,
        codec,
        webhooks,
        asyncapi,
        health,
        metrics,
    ):
        app.include_router(module.router)
    openapi.complete(app)
    return app
