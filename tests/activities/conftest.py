from tests.databases import (
    empty_database,
    engine,
    postgres,
    postgres_engine,
    sqlite_template,
)

__all__ = ["empty_database", "engine", "postgres", "postgres_engine", "sqlite_template"]
