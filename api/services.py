"""What every call needs at hand, opened once when the application starts."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Annotated, Concatenate, NamedTuple, ParamSpec, TypeVar

from fastapi import Depends, Request
from fastapi.concurrency import run_in_threadpool
from sqlalchemy import Engine
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from temporalio.client import Client
from temporalio.service import RPCError

from api.rates import Rates
from records.engine import migrate, open_engine
from runtime.codec import SealedPayloads
from runtime.identity import Identity
from runtime.keys import key_ring, look_for_missing_keys
from runtime.settings import Settings
from runtime.temporal import connect

P = ParamSpec("P")
T = TypeVar("T")


RECORDS_TROUBLE = (OperationalError, InterfaceError, PoolTimeout)
"""What the database raises when it does not answer."""


class Services(NamedTuple):
    """The settings, the tokens' key, the database and the Temporal client of one application.

    And who callers are, and how often they may call.
    """

    settings: Settings
    key: bytes
    engine: Engine
    client: Client
    identity: Identity
    rates: Rates

    async def records(
        self, ask: Callable[Concatenate[Engine, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Ask the database without holding up other calls."""
        return await run_in_threadpool(ask, self.engine, *args, **kwargs)

    @property
    def codec(self) -> SealedPayloads:
        """What the client seals and opens payloads with."""
        codec = self.client.data_converter.payload_codec
        assert isinstance(codec, SealedPayloads)  # noqa: S101 - `connect` gave it this one
        return codec

    async def temporal_answers(self) -> bool:
        """Whether the Temporal server answers, within a second."""
        try:
            async with asyncio.timeout(1):
                return await self.client.service_client.check_health(timeout=timedelta(seconds=1))
        except (RPCError, RuntimeError, TimeoutError):
            return False


@asynccontextmanager
async def opened(settings: Settings, key: bytes) -> AsyncIterator[Services]:
    """The services, closed at the end. Temporal is called when first needed: it may come later."""
    engine = await run_in_threadpool(open_engine, settings.database, key_ring(settings))
    identity = Identity(settings, key)
    try:
        await run_in_threadpool(migrate, engine)
        await run_in_threadpool(look_for_missing_keys, engine)
        client = await connect(settings, lazy=True)
        yield Services(settings, key, engine, client, identity, Rates(settings))
    finally:
        await identity.close()
        await run_in_threadpool(engine.dispose)


def services(request: Request) -> Services:
    """The services of the application that serves this call."""
    found: Services = request.app.state.services
    return found


Served = Annotated[Services, Depends(services)]


def now() -> datetime:
    """The present moment, in UTC."""
    return datetime.now(UTC)
