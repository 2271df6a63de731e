"""The `aftersales` command: one sub-command per role, none of them longer than what it starts."""

import asyncio
import os
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from pydantic import TypeAdapter, ValidationError

from domain.policy import PolicyError
from domain.values import Duration
from domain.vocabulary import Role
from runtime.settings import Settings
from runtime.trouble import Trouble

if TYPE_CHECKING:
    from rich.console import Console
    from sqlalchemy import Engine

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
        raise typer.BadParameter(
            f"{text!r} is no time; write 2026-05-20, 2026-05-20T09:00+08:00 or 24h"
        ) from None
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

    settings = _with_logs(_settings(port=port), "api")
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
    _records(_settings())
    typer.echo("The database is up to date.")


@app.command()
def seed() -> None:
    """Put the demonstration's master data into an empty database."""
    from records.seed import is_empty
    from records.seed import seed as run

    engine = _records(_settings())
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

    engine = _records(_settings())
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
    settings = _with_logs(_settings(), "erase")
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
def doctor(
    providers: Annotated[
        bool, typer.Option("--providers", help="Ask those that deliver messages, too.")
    ] = False,
) -> None:
    """Check this installation, and say what to do about what is wrong."""
    from runtime.doctor import examine

    if not asyncio.run(examine(_settings(), providers=providers)):
        raise typer.Exit(1)


audit = typer.Typer(help="Look into the archive: histories kept for years, and what they prove.")
app.add_typer(audit, name="audit")


def _month(text: str) -> str:
    from audit.manifests import MONTH

    if MONTH.fullmatch(text) is None:
        raise typer.BadParameter(f"{text!r} is not a month; write 2026-11")
    return text


def _language(word: str) -> str:
    from activities.messages import LANGUAGES

    if word not in LANGUAGES:
        raise typer.BadParameter(f"{word!r} is not a language of ours; use {', '.join(LANGUAGES)}")
    return word


Month = Annotated[
    Any, typer.Option(parser=_month, metavar="MONTH", help="All archived in it: 2026-11.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Html = Annotated[
    Path | None, typer.Option("--html", metavar="FILE", help="Write a report that stands alone.")
]
ReportLanguage = Annotated[
    Any,
    typer.Option(
        "--language", parser=_language, metavar="LANGUAGE", help="Of the report: en or zh-CN."
    ),
]
PublicKeys = Annotated[
    list[str] | None,
    typer.Option("--public-key", help="A key that may have signed; default: our own."),
]


Offline = Annotated[
    bool, typer.Option("--offline", help="Without the database, and so without its access log.")
]


@audit.command("verify")
def audit_verify(
    number: Annotated[str | None, typer.Argument(metavar="[CR…]")] = None,
    month: Month = None,
    public_key: PublicKeys = None,
    as_json: AsJson = False,
    html: Html = None,
    language: ReportLanguage = None,
    offline: Offline = False,
) -> None:
    """Check archived histories: every byte, the chain, that they replay, and every promise."""
    from audit import forms, inspection, parallel, report, tables
    from audit.manifests import public_key as public_half
    from audit.store import Store
    from runtime.keys import signing_key, written_ring

    if (number is None) == (month is None):
        raise typer.BadParameter("give a request's number, or --month")
    settings = _settings()
    _write_down(settings, "audit verify", offline=offline, number=number, about=month)
    keys = public_key or [public_half(signing_key(settings))]
    console = _console()
    parallel.hush()
    found = asyncio.run(
        inspection.inspect(
            Store(settings.archive),
            written_ring(settings),
            keys,
            number=number,
            month=month,
            records=None if offline else forms.reachable(settings),
            console=console,
        )
    )
    if html is not None:
        _write(html, report.render(found, language or settings.language))
    if as_json:
        typer.echo(found.as_json())
    else:
        console.print(inspection.table(found))
        for judged in found.judged if number else []:
            console.print(tables.promises(judged))
        if month and found.judged:
            console.print(tables.rules(found.judged))
        for line in (*tables.lines(found), *inspection.lines(found)):
            typer.echo(line)
    if found.findings:
        raise typer.Exit(1)


@audit.command("what-if")
def audit_what_if(
    month: Annotated[
        Any, typer.Option(parser=_month, metavar="MONTH", help="All archived in it: 2026-11.")
    ],
    policy: Annotated[Path, typer.Option("--policy", help="The other timing rules, a TOML file.")],
    as_json: AsJson = False,
    html: Html = None,
    language: ReportLanguage = None,
    offline: Offline = False,
) -> None:
    """Judge a month's promises under another policy: which would have been broken or kept."""
    from audit import parallel, what_if
    from audit.store import Store
    from runtime.keys import written_ring

    settings = _settings(policy=policy)
    _write_down(settings, "audit what-if", offline=offline, about=month)
    console = _console()
    parallel.hush()
    found = asyncio.run(
        what_if.judge_month(
            Store(settings.archive),
            written_ring(settings),
            month,
            settings.timing_policy,
            datetime.now(UTC),
            console,
        )
    )
    if not found.judged and not found.skipped:
        raise Trouble(f"The archive has no request of {month}")
    if html is not None:
        _write(html, what_if.render(found, language or settings.language))
    if as_json:
        typer.echo(found.as_json())
        return
    for table in what_if.tables(found):
        console.print(table)
    for line in what_if.lines(found):
        typer.echo(line)


@audit.command("show")
def audit_show(
    number: Annotated[str, typer.Argument(metavar="CR…")],
    at: Annotated[
        Any, typer.Option(parser=_moment, metavar="TIME", help="2026-11-20T09:00+08:00.")
    ] = None,
) -> None:
    """Print a request exactly as it stood at a moment, and what was due then."""
    import json

    from audit.semantics import CannotReplay
    from audit.time_travel import NotYet, as_it_stood
    from domain.view import obligations, view
    from runtime.keys import key_ring

    settings = _settings()
    moment = at or datetime.now(UTC)
    story = _story(settings, number, "audit show", at and moment.isoformat())
    try:
        request = asyncio.run(as_it_stood(key_ring(settings), story, moment))
    except (NotYet, CannotReplay) as error:
        raise Trouble(str(error)) from None
    shown = {"request": view(request, moment), "obligations": obligations(request, moment)}
    typer.echo(json.dumps(shown, ensure_ascii=False, indent=1))


@audit.command("export")
def audit_export(number: Annotated[str, typer.Argument(metavar="CR…")]) -> None:
    """Print the raw history of a request, payloads sealed as the server keeps them."""
    import json

    typer.echo(
        json.dumps(_story(_settings(), number, "audit export").as_json(), indent=1, sort_keys=True)
    )


def _write_down(
    settings: Settings,
    what: str,
    *,
    offline: bool = False,
    number: str | None = None,
    about: str | None = None,
) -> None:
    """Write down what is about to be read in the archive; or say that nobody does."""
    from runtime.reading import write_down

    if offline:
        typer.echo("This is in no access log. 本次查阅未记入访问日志。", err=True)
    else:
        write_down(settings, what, number=number, about=about)


def _story(settings: Settings, number: str, what: str, about: str | None = None) -> Any:
    """The history, from the archive or from the server; it is written down who reads it."""
    from temporalio.service import RPCError

    from audit.histories import HistoryGone, NoHistory
    from audit.sources import story_of
    from audit.store import Missing, Store
    from records.engine import open_engine
    from records.personal import is_erased
    from runtime import preflight
    from runtime.keys import key_ring
    from runtime.temporal import connect
    from runtime.up import as_started

    preflight.reachable_database(settings)
    found = as_started(settings)

    _write_down(settings, what, number=number, about=about)
    engine, ring = open_engine(settings.database), key_ring(settings)
    if is_erased(engine, number):
        raise Trouble(f"The customer of {number} was erased; the history is not shown any more")

    async def story() -> Any:
        client = await connect(found, lazy=True)
        return await story_of(engine, client, Store(settings.archive), ring, number)

    try:
        return asyncio.run(story())
    except HistoryGone:
        raise Trouble(f"Neither the archive nor the server has a history of {number}") from None
    except (Missing, NoHistory):
        raise Trouble(
            f"The archived history of {number} cannot be read",
            f"aftersales audit verify {number} says why",
        ) from None
    except (RPCError, RuntimeError):
        raise preflight.no_temporal(found) from None


@audit.command("replay")
def audit_replay(
    sample: Annotated[int, typer.Option(min=1, help="How many runs, chosen at random.")] = 500,
    since: Annotated[
        Any, typer.Option(parser=_moment, metavar="TIME", help="Only those begun since then.")
    ] = None,
    build: Annotated[
        str | None, typer.Option(metavar="ID", help="Only runs of this build of the deployment.")
    ] = None,
    processes: Annotated[
        int | None, typer.Option(min=1, help="How many at once; default: one per core.")
    ] = None,
    as_json: AsJson = False,
    offline: Offline = False,
) -> None:
    """Replay what the server really holds on this build: the gate before a deployment."""
    from rich.console import Console
    from temporalio.common import WorkerDeploymentVersion
    from temporalio.service import RPCError

    from audit import parallel, rehearsal
    from runtime import preflight
    from runtime.keys import written_ring
    from runtime.temporal import connect
    from runtime.up import as_started

    settings = as_started(_settings())
    version = None
    if build is not None:
        if settings.deployment is None:
            raise typer.BadParameter("--build needs AFTERSALES_DEPLOYMENT")
        version = WorkerDeploymentVersion(settings.deployment, build)
    about = f"{sample} runs since {since.isoformat() if since else 'ever'}"
    _write_down(settings, "audit replay", offline=offline, about=about)
    parallel.hush()

    async def rehearse() -> rehearsal.Rehearsal:
        try:
            client = await connect(settings)
        except RuntimeError:
            raise preflight.no_temporal(settings) from None
        runs = await rehearsal.sample(client, sample, since, version=version)
        ring = written_ring(settings)
        return await rehearsal.rehearse(client, runs, ring, processes, Console(stderr=True))

    try:
        found = asyncio.run(rehearse())
    except RPCError:
        raise preflight.no_temporal(settings) from None
    for line in [found.as_json()] if as_json else rehearsal.lines(found):
        typer.echo(line)
    if found.differing:
        raise typer.Exit(1)


@audit.command("mine")
def audit_mine(
    month: Month = None,
    since: Annotated[
        Any, typer.Option(parser=_moment, metavar="TIME", help="Only those closed since then.")
    ] = None,
    until: Annotated[
        Any, typer.Option(parser=_moment, metavar="TIME", help="Only those closed before then.")
    ] = None,
    format: Annotated[
        list[str] | None, typer.Option(metavar="xes|ocel", help="Which logs; default: both.")
    ] = None,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where the files go.")] = Path(),
    offline: Offline = False,
) -> None:
    """Tell archived requests as event logs (XES, OCEL 2.0), with figures and a process map."""
    from rich.console import Console

    from audit import mining, parallel
    from audit.store import Store
    from runtime.keys import written_ring

    if month is None and since is None and until is None:
        raise typer.BadParameter("give --month, or --since and --until")
    try:
        formats = [mining.Format(word) for word in format or mining.Format]
    except ValueError as error:
        raise typer.BadParameter(f"{error}; use {' or '.join(mining.Format)}") from None
    settings = _settings()
    span = "/".join(moment.isoformat() if moment else ".." for moment in (since, until))
    _write_down(settings, "audit mine", offline=offline, about=month or span)
    parallel.hush()
    try:
        mined = asyncio.run(
            mining.mine(
                Store(settings.archive),
                written_ring(settings),
                out,
                month=month,
                since=since,
                until=until,
                formats=formats,
                console=Console(stderr=True),
            )
        )
    except mining.NothingThere as nothing:
        raise Trouble("The archive holds nothing of that time", str(nothing)) from None
    except OSError as error:
        raise Trouble(f"Nothing can be written to {out} ({error.strerror})") from None
    console = _console()
    for table in mining.tables(mined.figures):
        console.print(table)
    for line in mining.lines(mined):
        typer.echo(line)
    if mined.unreadable:
        raise typer.Exit(1)


@audit.command("address")
def audit_address(
    ttl: Annotated[
        Any, typer.Option(parser=_duration, metavar="TIME", help="How long it is good.")
    ] = "30d",
) -> None:
    """Print the address at which Temporal's pages have histories opened; keep it secret."""
    from runtime.tokens import codec_token
    from runtime.tracking import public_address

    settings = _settings()
    typer.echo(f"{public_address(settings)}/codec/{codec_token(settings, ttl)}")


@audit.command("key")
def audit_key() -> None:
    """Print the public key that verifies our signatures: keep it apart from the archive."""
    from audit.manifests import public_key as public_half
    from runtime.keys import signing_key

    typer.echo(public_half(signing_key(_settings())))


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


def _write(file: Path, content: str) -> None:
    try:
        file.write_text(content, encoding="utf-8")
    except OSError as error:
        raise Trouble(f"{file} cannot be written ({error.strerror})") from None


def _console() -> "Console":
    """Where tables are printed; into a file or a pipe as wide as they need it."""
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=180)


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
