"""An archive, with records and a namespace of Temporal's, of a test's own."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Engine
from temporalio.testing import WorkflowEnvironment

from audit.archivist import Archivist
from audit.store import Store
from tests.databases import RING

KEY = Ed25519PrivateKey.generate()


async def now() -> datetime:
    return datetime.now(UTC)


async def sleep(span: timedelta) -> None:
    await asyncio.sleep(span.total_seconds())


@pytest.fixture
def engine(own_records: Engine) -> Engine:
    return own_records


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "archive"))


@pytest.fixture
def archivist(server: WorkflowEnvironment, engine: Engine, store: Store) -> Archivist:
    return Archivist(engine, server.client, store, RING, KEY)
