"""The `aftersales` command: one sub-command per role, none of them longer than what it starts."""

import asyncio
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from pydantic import ValidationError

from audit.command_line import audit
from domain.policy import PolicyError
from domain.vocabulary import Role
from runtime.arguments import duration, moment_option, settings_with
from runtime.settings import Settings
from runtime.trouble import Trouble

if TYPE_CHECKING:
    from sqlalchemy import Engine

app = typer.Typer(
    name="aftersales",
    help="After-sales service orchestration: every request a durable workflow, every promise a "
    "clock.",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.add_typer(audit, name="audit")

# typer keeps its parent of BadParameter to itself; it is what every misuse raises.
Misuse: type[Exception] = typer.BadParameter.__mro__[1]

Port = Annotated[int | None, typer.Option(min=1, max=65535, help="Where the API listens.")]
PolicyFile = Annotated[Path | None, typer.Option("--policy", help="The timing rules, a TOML file.")]


def _role(word: str) -> Role:
    try:
        return Role(word)
    except ValueError:
        raise typer.BadParameter(f"{word!r} is not a role; use one of {', '.join(Role)}") from None


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

    settings = settings_with(speed=speed, policy=policy, port=port)
    run_until_stopped(run(settings, typer.echo, empty=empty))


@app.command()
def demo(
    speed: Annotated[float, typer.Option(help="Divide every duration by this.")] = 60,
    once: Annotated[bool, typer.Option("--once", help="Stop after the last scenario.")] = False,
) -> None:
    """Run everything on a fresh data folder, with requests walking through it."""
    from runtime.demo import demo as run
    from runtime.up import run_until_stopped

    if run_until_stopped(run(settings_with(speed=speed), once=once)) and once:
        raise typer.Exit(130)  # What was to be shown was not.


@app.command()
def worker() -> None:
    """Run a worker: it moves the requests."""
    from runtime import preflight
    from worker import run_worker

    settings = _with_logs(settings_with(), "worker")
    preflight.identity(settings)
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

    settings = _with_logs(settings_with(port=port), "api")
    preflight.identity(settings)
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
    _records(settings_with())
    typer.echo("The database is up to date.")


@app.command()
def seed() -> None:
    """Put the demonstration's master data into an empty database."""
    from records.seed import is_empty
    from records.seed import seed as run

    engine = _records(settings_with())
    if not is_empty(engine):
        raise Trouble("The database already holds master data, and nothing was added")
    run(engine)
    typer.echo("The demonstration's master data is in the database.")


@app.command()
def rekey() -> None:
    """Wrap the keys of customers and records, and seal webhooks' secrets, with the first key."""
    from audit import keys
    from records import personal, webhooks
    from records.sealing import Unsealable

    engine = _records(settings_with())
    done, records = personal.rekey(engine), keys.rekey(engine)
    typer.echo(f"{done.done} data keys were wrapped anew.")
    if records.done:
        typer.echo(f"{records.done} keys of archived records were wrapped anew.")
    try:
        if secrets := webhooks.rekey(engine):
            typer.echo(f"{secrets} webhook secrets were sealed anew.")
    except Unsealable as error:
        raise Trouble(f"A webhook's secret does not open ({error})") from None
    if unopened := done.unopened + records.unopened:
        raise Trouble(
            f"{unopened} data keys do not open with this ring",
            "add the key that wrapped them to AFTERSALES_DATA_KEYS; drop no key before",
        )


@app.command()
def erase(
    number: Annotated[str, typer.Argument(metavar="CR…", help="Any request of the customer.")],
    yes: Annotated[bool, typer.Option("--yes", help="It cannot be undone: confirm.")] = False,
) -> None:
    """Destroy a customer's personal data for good, in all their requests."""
    import structlog

    from records.personal import NoCustomer, StillOpen
    from records.personal import erase as run

    if not yes:
        raise typer.BadParameter(f"to erase the customer of {number} for good, add --yes")
    settings = _with_logs(settings_with(), "erase")
    try:
        erased = run(_records(settings), number, datetime.now(UTC))
    except NoCustomer:
        raise Trouble(f"There is no request {number}") from None
    except StillOpen as still:
        raise Trouble(
            f"The customer has requests that are not closed ({still})", "close or cancel them first"
        ) from None
    if erased.already:
        typer.echo("The customer had been erased before.")
        return
    structlog.get_logger("cli").info(
        "customer_erased", customer_id=erased.customer_id, numbers=erased.numbers
    )
    typer.echo(f"Erased: the customer of {', '.join(erased.numbers)}.")


@app.command()
def token(
    role: Annotated[Role, typer.Option(parser=_role, metavar="ROLE", help=", ".join(Role))],
    id: Annotated[str, typer.Option("--id", metavar="ID", help="Who it is for.")],
    ttl: Annotated[
        Any, typer.Option(parser=duration, metavar="TIME", help="How long it is valid.")
    ] = "12h",
) -> None:
    """Print a bearer token for the local keys."""
    from runtime import preflight
    from runtime.tokens import mint

    settings = settings_with()
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
    since: Annotated[Any, moment_option("Only what moved since: 2026-05-20, or 24h ago")] = None,
    thorough: Annotated[
        bool, typer.Option("--thorough", help="Compare every timeline word for word: slow.")
    ] = False,
) -> None:
    """Compare the records with the requests themselves, and repair them."""
    from runtime import preflight
    from runtime.reconcile_command import run

    settings = settings_with()
    preflight.reachable_database(settings)
    work = run(settings, repair=not dry_run, number=number, since=since, thorough=thorough)
    if not asyncio.run(work):
        raise typer.Exit(1)


@app.command()
def doctor(
    providers: Annotated[
        bool, typer.Option("--providers", help="Ask those that deliver messages, too.")
    ] = False,
) -> None:
    """Check this installation, and say what to do about what is wrong."""
    from runtime.doctor import examine

    if not asyncio.run(examine(settings_with(), providers=providers)):
        raise typer.Exit(1)


def main() -> NoReturn:
    """Run the command; whatever goes wrong is one sentence on standard error."""
    try:
        code = app(standalone_mode=False, prog_name="aftersales")
    except Misuse as misuse:
        said = str(getattr(misuse, "format_message", misuse.__str__)()).strip().rstrip(".")
        _fail(f"{said}; see {_meant()} --help.", 2)
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


def process() -> NoReturn:
    """Run the command as a process of its own, and end it with the command's exit code.

    Danger: after a replay the SDK's core may still have threads in Python, and then the interpreter
    aborts on its way down (about one time in eight, exit code 134). A gate must not fail by that.
    """
    try:
        main()
    except SystemExit as end:
        if sys.argv[1:2] != ["audit"] or not isinstance(end.code, int):
            raise
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(end.code)


def _meant() -> str:
    """The command that was meant, as far as the words say so."""
    meant, command = ["aftersales"], typer.main.get_command(app)
    for word in sys.argv[1:]:
        commands = getattr(command, "commands", {})
        if word not in commands:
            break
        meant.append(word)
        command = commands[word]
    return " ".join(meant)


def _fail(sentence: str, code: int) -> NoReturn:
    typer.echo(f"Error: {' '.join(sentence.split())}", err=True)
    sys.exit(code)


def _records(settings: Settings) -> "Engine":
    """The database, brought up to date."""
    from records.engine import migrate as bring_up_to_date
    from records.engine import open_engine
    from runtime import preflight
    from runtime.keys import key_ring

    if settings.database_url is None:
        preflight.folder(settings)
    preflight.database(settings)
    engine = open_engine(settings.database, key_ring(settings))
    bring_up_to_date(engine)
    return engine


def _with_logs(settings: Settings, service: str) -> Settings:
    """Let this process write its log, and its traces where the environment asks for them."""
    from runtime import tracing
    from runtime.logs import configure

    configure(settings)
    tracing.configure(service)
    return settings


if __name__ == "__main__":
    process()
