"""The `aftersales` command: one sub-command per role, none of them longer than what it starts."""

import asyncio
import os
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from pydantic import TypeAdapter, ValidationError

from domain.policy import PolicyError
from domain.values import Duration
from domain.vocabulary import Role
from runtime.settings import Settings
from runtime.trouble import Trouble

app = typer.Typer(
    name="aftersales",
    help="After-sales service orchestration: every request a durable workflow, every promise a "
    "clock.",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

# typer keeps its parent of BadParameter to itself; it is what every misuse raises.
Misuse: type[Exception] = typer.BadParameter.__mro__[1]

Port = Annotated[int | None, typer.Option(min=1, max=65535, help="Where the API listens.")]
PolicyFile = Annotated[Path | None, typer.Option("--policy", help="The timing rules, a TOML file.")]


def _role(word: str) -> Role:
    try:
        return Role(word)
    except ValueError:
        raise typer.BadParameter(f"{word!r} is not a role; use one of {', '.join(Role)}") from None


def _duration(text: str) -> Duration:
    try:
        return TypeAdapter(Duration).validate_python(text)
    except ValidationError:
        raise typer.BadParameter(f"{text!r} is not a duration; write 90s, 10m, 12h or 7d") from None


def _moment(text: str) -> datetime:
    """A date, a time, or so long ago."""
    with suppress(ValidationError):
        return datetime.now(UTC) - TypeAdapter(Duration).validate_python(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no time; write 2026-05-20 or 24h") from None
    return moment.astimezone(UTC)


@app.callback(invoke_without_command=True)
def aftersales(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Say what there is, when nothing is asked for."""
    if version:
        from runtime.version import version as this_version

        typer.echo(this_version())
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command()
def up(
    speed: Annotated[float | None, typer.Option(help="Divide every duration by this.")] = None,
    empty: Annotated[bool, typer.Option("--empty", help="Do not seed an empty database.")] = False,
    policy: PolicyFile = None,
    port: Port = None,
) -> None:
    """Run everything here: Temporal server, worker and API, until Ctrl-C."""
    from runtime.up import run_until_stopped
    from runtime.up import up as run

    settings = _settings(speed=speed, policy=policy, port=port)
    run_until_stopped(run(settings, typer.echo, empty=empty))


@app.command()
def demo(
    speed: Annotated[float, typer.Option(help="Divide every duration by this.")] = 60,
    once: Annotated[bool, typer.Option("--once", help="Stop after the last scenario.")] = False,
) -> None:
    """Run everything on a fresh data folder, with requests walking through it."""
    from runtime.demo import demo as run
    from runtime.up import run_until_stopped

    if run_until_stopped(run(_settings(speed=speed), once=once)) and once:
        raise typer.Exit(130)  # What was to be shown was not.


@app.command()
def worker() -> None:
    """Run a worker: it moves the requests."""
    from runtime import preflight
    from worker import run_worker

    settings = _with_logs(_settings(), "worker")
    preflight.reachable_database(settings)
    try:
        asyncio.run(run_worker(settings))
    except RuntimeError as error:
        if "connect" not in str(error):
            raise
        raise preflight.no_temporal(settings) from None


@app.command()
def api(port: Port = None) -> None:
    """Run the HTTP API."""
    import uvicorn

    from api.app import create_app
    from runtime import preflight

    settings = _with_logs(_settings(port=port), "api")
    preflight.secret(settings)
    preflight.reachable_database(settings)
    uvicorn.run(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=settings.log_level == "debug",
        timeout_graceful_shutdown=3,
    )


@app.command()
def migrate() -> None:
    """Bring the database up to this version's tables."""
    from records.engine import migrate as run
    from records.engine import open_engine
    from runtime import preflight

    settings = _settings()
    if settings.database_url is None:
        preflight.folder(settings)
    preflight.database(settings)
    run(open_engine(settings.database))
    typer.echo("The database is up to date.")


@app.command()
def seed() -> None:
    """Put the demonstration's master data into an empty database."""
    from records.engine import migrate as bring_up_to_date
    from records.engine import open_engine
    from records.seed import is_empty
    from records.seed import seed as run
    from runtime import preflight
    from runtime.keys import key_ring

    settings = _settings()
    if settings.database_url is None:
        preflight.folder(settings)
    preflight.database(settings)
    engine = open_engine(settings.database, key_ring(settings))
    bring_up_to_date(engine)
    if not is_empty(engine):
        raise Trouble("The database already holds master data, and nothing was added")
    run(engine)
    typer.echo("The demonstration's master data is in the database.")


@app.command()
def token(
    role: Annotated[Role, typer.Option(parser=_role, metavar="ROLE", help=", ".join(Role))],
    id: Annotated[str, typer.Option("--id", metavar="ID", help="Who it is for.")],
    ttl: Annotated[
        Any, typer.Option(parser=_duration, metavar="TIME", help="How long it is valid.")
    ] = "12h",
) -> None:
    """Print a bearer token for the local keys."""
    from runtime import preflight
    from runtime.tokens import mint

    settings = _settings()
    if not settings.token_secret:
        preflight.folder(settings)
    preflight.secret(settings)
    try:
        typer.echo(mint(settings, role, id, ttl))
    except ValidationError:
        raise typer.BadParameter("--id: give 1 to 64 characters") from None


@app.command()
def reconcile(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what differs; change nothing.")
    ] = False,
    number: Annotated[
        str | None, typer.Option(metavar="CR…", help="Only this request, word for word.")
    ] = None,
    since: Annotated[
        Any,
        typer.Option(
            parser=_moment, metavar="TIME", help="Only what moved since: 2026-05-20, or 24h ago."
        ),
    ] = None,
    thorough: Annotated[
        bool, typer.Option("--thorough", help="Compare every timeline word for word: slow.")
    ] = False,
) -> None:
    """Compare the records with the requests themselves, and repair them."""
    from runtime import preflight
    from runtime.reconcile_command import run

    settings = _settings()
    preflight.reachable_database(settings)
    work = run(settings, repair=not dry_run, number=number, since=since, thorough=thorough)
    if not asyncio.run(work):
        raise typer.Exit(1)


@app.command()
def doctor() -> None:
    """Check this installation, and say what to do about what is wrong."""
    from runtime.doctor import examine

    if not asyncio.run(examine(_settings())):
        raise typer.Exit(1)


def main() -> NoReturn:
    """Run the command; whatever goes wrong is one sentence on standard error."""
    try:
        code = app(standalone_mode=False, prog_name="aftersales")
    except Misuse as misuse:
        said = str(getattr(misuse, "format_message", misuse.__str__)()).strip().rstrip(".")
        _fail(f"{said}; see aftersales --help.", 2)
    except (Trouble, PolicyError) as trouble:
        _fail(str(trouble), 1)
    except typer.Abort:
        _fail("Stopped.", 130)
    except Exception as bug:
        if os.environ.get("AFTERSALES_LOG_LEVEL", "").lower() == "debug":
            raise
        # Its text stays untold: it may quote what a query was given.
        about = f"Something unforeseen happened ({type(bug).__name__})"
        _fail(f"{about}; run again with AFTERSALES_LOG_LEVEL=debug to see where.", 1)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(sentence: str, code: int) -> NoReturn:
    typer.echo(f"Error: {' '.join(sentence.split())}", err=True)
    sys.exit(code)


def _settings(**given: Any) -> Settings:
    """The settings, with what was given on the command line first."""
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        name, reason = str(first["loc"][0]), first["msg"]
        if given.get(name) is not None:
            raise typer.BadParameter(f"--{name}: {reason}") from None
        raise Trouble(f"The setting AFTERSALES_{name.upper()} is wrong", reason) from None


def _with_logs(settings: Settings, service: str) -> Settings:
    """Let this process write its log, and its traces where the environment asks for them."""
    from runtime import tracing
    from runtime.logs import configure

    configure(settings)
    tracing.configure(service)
    return settings


if __name__ == "__main__":
    main()
