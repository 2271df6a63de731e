"""The database connection: SQLite (WAL) or PostgreSQL, and the schema it is brought up to."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import (
    URL,
    Connection,
    Engine,
    ExceptionContext,
    create_engine,
    event,
    make_url,
    text,
)
from sqlmodel import Session

from records.sealing import KeyRing, Unsealable

MIGRATIONS = Path(__file__).parent / "migrations"
LOCK_SECONDS = 8
"""How long a statement waits for a lock; less than an activity has, so that none outlives it."""
MIGRATION_SECONDS = 600
"""How long a process waits on SQLite for another that migrates; on PostgreSQL it has no end."""
_RING = "key_ring"
_MIGRATION_LOCK = 0x41667465  # any number that no one else locks


def open_engine(url: str, ring: KeyRing | None = None) -> Engine:
    """Open the database at an SQLAlchemy URL; a missing SQLite file and its folder are made.

    Args:
        ring: opens what is sealed; without one, sealed columns can be neither read nor written.
    """
    parsed = make_url(url)
    opener = _open_sqlite if parsed.get_backend_name() == "sqlite" else _open_postgresql
    return opener(parsed, {_RING: ring})


def ring_of(session: Session) -> KeyRing:
    """The ring of the session's database.

    Raises:
        Unsealable: it was opened without one.
    """
    ring = session.get_bind().get_execution_options().get(_RING)
    if ring is None:
        raise Unsealable("the database was opened without a key ring")
    return cast(KeyRing, ring)


@contextmanager
def writing(engine: Engine) -> Iterator[Session]:
    """A session in one transaction, committed at the end, rolled back when anything is raised."""
    with Session(engine, expire_on_commit=False) as session, session.begin():
        yield session


@contextmanager
def reading(engine: Engine) -> Iterator[Session]:
    """A session that only reads: on SQLite it waits for no writer and stops none."""
    with Session(engine.execution_options(reads_only=True)) as session:
        yield session


def migrate(engine: Engine, revision: str = "head") -> None:
    """Bring the schema up to date. Several processes may call this at once: the others wait.

    Raises:
        CommandError: personal data is to be sealed, and the engine was opened without a ring.
    """
    with engine.execution_options(migrates=True).begin() as connection:
        # On SQLite the transaction itself, BEGIN IMMEDIATE, keeps the others waiting.
        if connection.dialect.name == "postgresql":
            connection.execute(text("SET LOCAL lock_timeout = 0"))
            lock = text("SELECT pg_advisory_xact_lock(:lock)")
            connection.execute(lock, {"lock": _MIGRATION_LOCK})
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
        config.attributes["connection"] = connection
        before = MigrationContext.configure(connection).get_current_revision()
        command.upgrade(config, revision)
        after = MigrationContext.configure(connection).get_current_revision()
    if before != after:
        forget_what_was_overwritten(engine)


def forget_what_was_overwritten(engine: Engine) -> None:
    """Leave nothing in SQLite's log of what was overwritten. PostgreSQL's own vacuum sees to it."""
    if engine.dialect.name == "sqlite":
        # Past SQLAlchemy, which would begin a transaction first.
        connection = engine.raw_connection()
        connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").close()
        connection.close()


def _open_postgresql(url: URL, options: dict[str, Any]) -> Engine:
    engine = create_engine(
        url, execution_options=options, hide_parameters=True, pool_pre_ping=True, pool_size=10
    )
    event.listen(engine, "connect", _prepare_postgresql)
    event.listen(engine, "handle_error", _keep_the_first_line)
    return engine


def _prepare_postgresql(connection: Any, record: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SET lock_timeout = '{LOCK_SECONDS}s'")
    # A rollback would take the setting back.
    connection.commit()


def _keep_the_first_line(context: ExceptionContext) -> None:
    # The lines that follow (DETAIL) quote the row, personal data and all.
    diagnosis = getattr(context.original_exception, "diag", None)
    if diagnosis is None or diagnosis.message_primary is None:
        return  # The server never answered.
    for error in (context.original_exception, context.sqlalchemy_exception):
        if error is not None:
            error.args = (str(error.args[0]).partition("\n")[0],)


def _open_sqlite(url: URL, options: dict[str, Any]) -> Engine:
    if url.database:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(
        url,
        execution_options=options,
        hide_parameters=True,
        connect_args={"timeout": LOCK_SECONDS},
    )
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, record: Any) -> None:
    # Off: the driver's own BEGIN, which comes too late, only before the first write.
    connection.isolation_level = None
    cursor = connection.cursor()
    _write_ahead(cursor)
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    # What is deleted or sealed is overwritten in the file, not merely left out of sight.
    cursor.execute("PRAGMA secure_delete = ON")
    cursor.close()


def _write_ahead(cursor: sqlite3.Cursor) -> None:
    # Of several that open a new file at once only one can switch it, and SQLite refuses the others
    # at once: to them its own patience does not apply.
    give_up_at = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not busy or time.monotonic() > give_up_at:
                raise
            time.sleep(0.02)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    options = connection.get_execution_options()
    patience = MIGRATION_SECONDS if options.get("migrates") else LOCK_SECONDS
    connection.exec_driver_sql(f"PRAGMA busy_timeout = {patience * 1000}")
    # A transaction that reads first and writes later would fail when another wrote in between.
    connection.exec_driver_sql("BEGIN" if options.get("reads_only") else "BEGIN IMMEDIATE")
