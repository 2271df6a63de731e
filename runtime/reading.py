"""Who reads the archive at the command line: written down before anything is shown."""

import os
import pwd
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from records import access_log
from records.engine import open_engine
from runtime.settings import Settings
from runtime.trouble import Trouble

OPERATOR = "operator"
"""The role of whoever has a shell: they need no token."""


def write_down(
    settings: Settings, what: str, *, number: str | None = None, about: str | None = None
) -> None:
    """Write into the access log what is about to be read here, and by which user of the system.

    Raises:
        Trouble: it cannot be written, so that nothing is to be shown.
    """
    reader = access_log.Reader(OPERATOR, _user(), None, f"cli-{uuid4().hex[:12]}")
    try:
        _there(settings)
        engine = open_engine(settings.database)
        access_log.write_down(engine, what, reader, datetime.now(UTC), number=number, about=about)
        engine.dispose()
    except (SQLAlchemyError, OSError) as error:
        raise Trouble(
            f"The access log cannot be written ({type(error).__name__}), and nothing is read "
            "without it",
            "correct AFTERSALES_DATABASE_URL or AFTERSALES_DATA_DIR; `aftersales migrate` brings "
            "the database up to date",
        ) from None


def _there(settings: Settings) -> None:
    """A missing file would be made anew, and the log in it would be nobody's."""
    url = make_url(settings.database)
    if url.get_backend_name() == "sqlite" and not Path(str(url.database)).exists():
        raise FileNotFoundError(url.database)


def _user() -> str:
    """From the process itself: the environment says whatever it is told to."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name[:64]
    except KeyError:
        return f"uid-{os.getuid()}"
