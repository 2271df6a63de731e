"""Transactions, moments and the schema, alike on both databases."""

import subprocess
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Column, Connection, Engine, MetaData, Table, inspect, text
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlmodel import select

import records.master_data
import records.tables  # noqa: F401 - both for their tables
from records import engine as module
from records.base import Record
from records.engine import MIGRATIONS, migrate, open_engine, reading, writing
from records.projection import clocks_of, columns_of
from records.statements import insert_new
from records.tables import NEVER, Clock, Customer, Request, Workload
from tests.databases import all_at_once
from tests.pure.builders import given as a_story

ROOT = Path(__file__).parents[2]
HEAD = ScriptDirectory(str(MIGRATIONS)).get_current_head()


def test_a_moment_comes_back_aware_in_utc(engine: Engine) -> None:
    shanghai = timezone(timedelta(hours=8))
    given = datetime(2024, 5, 20, 9, 15, 30, 123456, tzinfo=shanghai)
    with writing(engine) as session:
        session.add(Workload(engineer="E1", number="CR20240520-001", offer=1, since=given))
        session.add(Workload(engineer="E2", number="CR20240520-001", offer=2, since=NEVER))
    with reading(engine) as session:
        since = session.exec(select(Workload.since).order_by(Workload.engineer)).all()
    assert since == [given, NEVER]
    assert [moment.tzinfo for moment in since] == [UTC, UTC]


def test_a_transaction_that_fails_leaves_nothing(engine: Engine) -> None:
    def fail() -> None:
        with writing(engine) as session:
            session.add(Customer(phone_index="1"))
            session.flush()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with reading(engine) as session:
        assert session.exec(select(Customer)).all() == []


def test_reading_does_not_wait_for_a_writer(engine: Engine) -> None:
    with writing(engine) as writer:
        writer.add(Customer(phone_index="1"))
        writer.flush()
        with reading(engine) as reader:
            assert reader.exec(select(Customer)).all() == []


def test_sqlite_is_set_up_for_one_writer_and_many_readers(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'new' / 'folder' / 'records.db'}")
    with reading(engine) as session:
        pragmas = {
            name: session.connection().exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    engine.dispose()
    assert pragmas == {
        "journal_mode": "wal",
        "synchronous": 1,
        "foreign_keys": 1,
        "busy_timeout": 8_000,
    }


def test_postgresql_waits_for_no_lock_longer_than_an_activity_has(postgres_engine: Engine) -> None:
    for _ in range(2):  # The second time the connection has been through a rollback.
        with reading(postgres_engine) as session:
            assert session.connection().exec_driver_sql("SHOW lock_timeout").scalar() == "8s"


def test_whoever_waits_too_long_for_a_lock_gives_up(
    empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOCK_SECONDS", 1)
    engine = open_engine(empty_database)
    migrate(engine)
    someone = Customer(phone_index="1")
    with writing(engine) as first:
        insert_new(first, someone)
        with pytest.raises(OperationalError, match="lock"), writing(engine) as second:
            insert_new(second, someone)
    engine.dispose()


def test_a_process_waits_for_another_that_migrates_for_long(
    empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOCK_SECONDS", 1)
    engine = open_engine(empty_database)
    with ThreadPoolExecutor(1) as threads:
        with engine.begin() as migrating:
            if engine.dialect.name == "postgresql":
                migrating.execute(text(f"SELECT pg_advisory_xact_lock({module._MIGRATION_LOCK})"))
            waiting = threads.submit(migrate, engine)
            time.sleep(1.5)
            assert not waiting.done()
        waiting.result()
    engine.dispose()


def test_an_error_does_not_quote_the_row(engine: Engine) -> None:
    def twice() -> None:
        with writing(engine) as session:
            for _ in range(2):
                session.add(Customer(phone_index="13812345678", sealed="张三丰"))
            session.flush()

    with pytest.raises(IntegrityError) as failed:
        twice()
    said = "".join(traceback.format_exception(failed.value))
    assert "phone" in said
    assert not any(secret in said for secret in ("13812345678", "张三丰"))


def test_metadata_and_migrations_agree(engine: Engine) -> None:
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Record.metadata) == []


def test_several_processes_may_migrate_at_once(empty_database: str) -> None:
    code = (
        "import sys; from records.engine import *; "
        "engine = open_engine(sys.argv[1]); migrate(engine)"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code, empty_database], cwd=ROOT) for _ in range(3)
    ]
    assert [process.wait() for process in processes] == [0, 0, 0]
    engine = open_engine(empty_database)
    migrate(engine)
    with engine.connect() as connection:
        assert set(inspect(connection).get_table_names()) == {
            *Record.metadata.tables,
            "alembic_version",
        }
        version = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    engine.dispose()
    assert version == HEAD


def test_many_may_make_a_new_file_at_once(tmp_path: Path) -> None:
    for place in range(20):
        url = f"sqlite:///{tmp_path / str(place)}"

        def begins(_: int, url: str = url) -> None:
            engine = open_engine(url)
            with writing(engine) as session:
                session.connection()
            engine.dispose()

        assert all_at_once(6, begins) == [None] * 6


def test_what_an_older_version_wrote_is_brought_along(empty_database: str) -> None:
    engine = open_engine(empty_database)
    migrate(engine, "0001")
    moment = datetime(2024, 5, 20, 1, 0, 0, 5, tzinfo=UTC)
    given: dict[str, Any] = dict.fromkeys(
        ("state", "stage", "urgency", "request_type", "clock_state", "tier"), "old"
    )
    given |= {"number": "CR20240520-001", "revision": 1, "event_count": 0, "breached": []}
    given |= {"next_due": NEVER, "turn": 1, "received_at": moment}
    with engine.begin() as connection:
        old = Table("request", MetaData(), autoload_with=connection)
        for name in ("next_due", "received_at", "closed_at"):
            old.c[name].type = Request.__table__.c.received_at.type  # type: ignore[attr-defined]
        connection.execute(old.insert().values(given))
    migrate(engine)
    with reading(engine) as session:
        (row,) = session.exec(select(Request)).all()
    engine.dispose()
    assert row.received_at == row.written_at == moment
    assert row.external_id is None  # Its state cannot be read.


def test_what_is_still_owed_and_what_others_call_it_is_known_after_an_upgrade(
    empty_database: str,
) -> None:
    engine = open_engine(empty_database)
    migrate(engine, "0005")
    named = a_story().request
    named.brief = named.brief.model_copy(update={"external_id": "ERP_'4711\""})
    closed = {"number": "CR20240520-002", "stage": "closed", "external_id": None}
    columns = columns_of(named)
    with engine.begin() as connection:
        for given in (columns, columns | closed):
            _insert(connection, Request, given | {"written_at": named.received_at})
        for number in (named.number, "CR20240520-002"):
            for place, (state, stopped_at) in enumerate(_CLOCKS):
                told = {"number": number, "place": place, "state": state, "stopped_at": stopped_at}
                _insert(connection, Clock, clocks_of(named)[0] | told)
    migrate(engine)
    with reading(engine) as session:
        assert session.get_one(Request, named.number).external_id == "ERP_'4711\""
        live = {
            number: {
                row.state for row in session.exec(select(Clock).filter_by(number=number, live=True))
            }
            for number in (named.number, "CR20240520-002")
        }
    engine.dispose()
    assert live == {named.number: {"running", "breached"}, "CR20240520-002": {"running"}}


_CLOCKS = [("running", None), ("breached", None), ("kept", datetime(2024, 5, 20, 2, tzinfo=UTC))]


def _insert(connection: Connection, table: type[Record], given: dict[str, Any]) -> None:
    """A row in a table as it was before, with those columns that it had."""
    of_today = Record.metadata.tables[str(table.__tablename__)]
    had = [column["name"] for column in inspect(connection).get_columns(of_today.name)]
    then = Table(of_today.name, MetaData(), *(Column(name, of_today.c[name].type) for name in had))
    connection.execute(then.insert().values({name: given[name] for name in had}))
