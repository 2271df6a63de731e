"""What is given on a command line: read, or refused in one sentence."""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import typer
from pydantic import TypeAdapter, ValidationError

from domain.values import EARLIEST, LATEST, Duration, Moment
from runtime.settings import Settings
from runtime.trouble import Trouble


def duration(text: str) -> Duration:
    """A span of time, such as `12h`.

    Raises:
        typer.BadParameter: it is none.
    """
    try:
        return TypeAdapter(Duration).validate_python(text)
    except ValidationError:
        raise typer.BadParameter(f"{text!r} is not a duration; write 90s, 10m, 12h or 7d") from None


def moment(text: str) -> datetime:
    """A date, a time, or so long ago, in UTC; without an offset it is UTC as it stands.

    Raises:
        typer.BadParameter: it is none of them, or not of the years 2000 to 2099.
    """
    try:
        return _MOMENT.validate_python(_moment_in(text))
    except (ValidationError, OverflowError):
        years = f"{EARLIEST:%Y} and {LATEST:%Y}"
        raise typer.BadParameter(f"{text!r} does not lie between the years {years}") from None


def moment_option(what: str) -> Any:
    """An option that is a `moment`; its help says what it is for, and how it is read."""
    said = f"{what}; without an offset it is UTC."
    return typer.Option(parser=moment, metavar="TIME", help=said)


_MOMENT: TypeAdapter[datetime] = TypeAdapter(Moment)


def _moment_in(text: str) -> datetime:
    with suppress(ValidationError):
        return datetime.now(UTC) - TypeAdapter(Duration).validate_python(text)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is no time; write 2026-05-20, 2026-05-20T09:00+08:00 or 24h"
        ) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def settings_with(**given: Any) -> Settings:
    """The settings, with what was given on the command line first.

    Raises:
        typer.BadParameter: what was given is wrong.
        Trouble: what the environment says is wrong.
    """
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        name, reason = str(first["loc"][0]), first["msg"]
        if given.get(name) is not None:
            raise typer.BadParameter(f"--{name}: {reason}") from None
        raise Trouble(f"The setting AFTERSALES_{name.upper()} is wrong", reason) from None
