"""`aftersales audit`: each command says what it wants, and prints what came of it."""

import asyncio
import base64
import re
from collections.abc import Coroutine, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from runtime.arguments import duration, moment_option, settings_with
from runtime.settings import Settings
from runtime.trouble import Trouble

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from audit.histories import Story
    from audit.replaying import Replayed

T = TypeVar("T")

audit = typer.Typer(help="Look into the archive: histories kept for years, and what they prove.")


def _month(text: str) -> str:
    from audit.manifests import MONTH

    if MONTH.fullmatch(text) is None:
        raise typer.BadParameter(f"{text!r} is not a month; write 2026-11")
    return text


def _number(text: str) -> str:
    if re.fullmatch(r"CR[0-9]{8}-[0-9]+", text) is None:
        raise typer.BadParameter(f"{text!r} is not a request's number; write CR20261120-001")
    return text


def _public_key(text: str) -> str:
    with suppress(ValueError):
        if len(base64.b64decode(text, validate=True)) == 32:
            return text
    raise typer.BadParameter(f"{text!r} is not a public key as `aftersales audit key` prints one")


def _language(word: str) -> str:
    from activities.messages import LANGUAGES

    if word not in LANGUAGES:
        raise typer.BadParameter(f"{word!r} is not a language of ours; use {', '.join(LANGUAGES)}")
    return word


Number = Annotated[Any, typer.Argument(parser=_number, metavar="CR…")]
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
    list[Any] | None,
    typer.Option(
        "--public-key",
        parser=_public_key,
        metavar="KEY",
        help="A key that may have signed; default: our own.",
    ),
]
Processes = Annotated[
    int | None,
    typer.Option(min=1, help="How many at once; default: one per core that may be used."),
]
Offline = Annotated[
    bool, typer.Option("--offline", help="Without the database, and so without its access log.")
]


@audit.command("verify")
def audit_verify(
    number: Annotated[Any, typer.Argument(parser=_number, metavar="[CR…]")] = None,
    month: Month = None,
    public_key: PublicKeys = None,
    as_json: AsJson = False,
    html: Html = None,
    language: ReportLanguage = None,
    processes: Processes = None,
    offline: Offline = False,
) -> None:
    """Check archived histories: every byte, the chain, that they replay, and every promise.

    Of a request that is not archived yet, the server's history is replayed and judged.
    """
    from audit import forms, inspection, parallel, report, tables
    from audit.manifests import public_key as public_half
    from audit.store import Store
    from runtime.keys import existing, signing_key, written_ring

    if (number is None) == (month is None):
        raise typer.BadParameter("give a request's number, or --month")
    settings = settings_with()
    _see_that_it_can_be_written(html)
    _write_down(settings, "audit verify", offline=offline, number=number, about=month)
    keys = public_key or []
    if month and not keys:
        existing(settings, "signing.key")
        keys = [public_half(signing_key(settings))]
    parallel.hush()
    found = _answer(
        inspection.inspect(
            Store(settings.archive),
            written_ring(settings),
            keys,
            number=number,
            month=month,
            records=None if offline else forms.reachable(settings),
            processes=processes,
            console=_beside(),
        )
    )
    unknown = not (found.verdicts or found.gone)
    if number and unknown and not offline and (told := _told(settings, number)):
        _show_unarchived(*told, as_json=as_json, html=html)
        return
    if html is not None:
        _write(html, report.render(found, language or settings.language))
    if as_json:
        _echo(found.as_json())
    else:
        console = _console()
        if shown := inspection.table(found):
            console.print(shown)
        for judged in found.judged if number else []:
            console.print(tables.promises(judged))
        if month and (rules := tables.rules(found.judged)):
            console.print(rules)
        for line in (*tables.lines(found), *inspection.lines(found)):
            typer.echo(line)
    if found.findings:
        raise typer.Exit(1)


def _told(settings: Settings, number: str) -> "tuple[Story, Replayed] | None":
    """What the server has of a request that was not archived yet, replayed.

    None: the records know that it was archived, or its history is gone.

    Raises:
        Trouble: there is no such request, or the server does not answer.
    """
    from temporalio.service import RPCError

    from audit.forms import reachable
    from audit.histories import HistoryGone, NoHistory
    from audit.replaying import check_unarchived
    from audit.sources import from_server, manifest_of
    from records.queries import stored
    from runtime import preflight
    from runtime.keys import key_ring
    from runtime.temporal import connect
    from runtime.up import as_started

    engine = reachable(settings)
    if engine is None:
        return None

    if stored(engine, number) is None:
        raise Trouble(f"Neither the records nor the archive know of a request {number}")

    async def told() -> "tuple[Story, Replayed] | None":
        if await manifest_of(engine, number) is not None:
            return None
        story = await from_server(engine, await connect(found, lazy=True), number)
        return story, await check_unarchived(key_ring(settings), story)

    found = as_started(settings)
    try:
        return asyncio.run(told())
    except HistoryGone:
        return None
    except NoHistory as error:
        raise Trouble(f"{number} is not archived yet, and {error}") from None
    except (RPCError, RuntimeError):
        away = preflight.no_temporal(found)
        raise Trouble(f"{number} is not archived yet, and {away.found}", away.advice) from None


def _show_unarchived(
    story: "Story", replayed: "Replayed", *, as_json: bool, html: Path | None
) -> None:
    import json

    from audit import inspection, tables
    from audit.wording import Count

    if html is not None:
        raise Trouble(f"{story.number} is not archived yet, and a report is on what is archived")
    if as_json:
        content = {
            "requests": [inspection.unarchived(story, replayed)],
            "findings": [],
            "sound": not replayed.findings,
        }
        typer.echo(json.dumps(content, ensure_ascii=False, indent=1))
    else:
        if replayed.judged is not None:
            _console().print(tables.promises(replayed.judged))
        for finding in replayed.findings:
            typer.echo(f"{finding.fault}: {finding.detail}")
        faults = Count(len(replayed.findings))
        typer.echo(
            f"{story.number} is not archived yet; the server's history: {faults:fault}. "
            f"尚未归档；服务器上的历史有 {faults} 处问题。"
        )
    if replayed.findings:
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
    processes: Processes = None,
    offline: Offline = False,
) -> None:
    """Judge a month's promises under another policy: which would have been broken or kept."""
    from audit import parallel, what_if
    from audit.store import Store
    from runtime.keys import written_ring

    settings = settings_with(policy=policy)
    _see_that_it_can_be_written(html)
    _write_down(settings, "audit what-if", offline=offline, about=month)
    parallel.hush()
    found = _answer(
        what_if.judge_month(
            Store(settings.archive),
            written_ring(settings),
            month,
            settings.timing_policy,
            datetime.now(UTC),
            _beside(),
            _erased(settings, offline=offline),
            processes,
        )
    )
    if html is not None:
        _write(html, what_if.render(found, language or settings.language))
    if as_json:
        _echo(found.as_json())
    else:
        _print(what_if.tables(found), what_if.lines(found))
    if found.skipped:
        raise typer.Exit(1)


@audit.command("show")
def audit_show(
    number: Number,
    at: Annotated[Any, moment_option("2026-11-20T09:00+08:00")] = None,
) -> None:
    """Print a request exactly as it stood at a moment, and what was due then."""
    import json

    from audit.semantics import CannotReplay
    from audit.time_travel import NotYet, as_it_stood
    from domain.view import obligations, view
    from runtime.keys import key_ring

    settings = settings_with()
    then = at or datetime.now(UTC)
    story = _story(settings, number, "audit show", at and then.isoformat())
    try:
        request = asyncio.run(as_it_stood(key_ring(settings), story, then))
    except (NotYet, CannotReplay) as error:
        raise Trouble(str(error)) from None
    shown = {"request": view(request, then), "obligations": obligations(request, then)}
    typer.echo(json.dumps(shown, ensure_ascii=False, indent=1))


@audit.command("export")
def audit_export(number: Number) -> None:
    """Print the raw history of a request, payloads sealed as the server keeps them."""
    import json

    typer.echo(
        json.dumps(
            _story(settings_with(), number, "audit export").as_json(), indent=1, sort_keys=True
        )
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
    from runtime.keys import existing
    from runtime.reading import write_down

    existing(settings, "data.keys")
    if offline:
        typer.echo("This is in no access log. 本次查阅未记入访问日志。", err=True)
    else:
        write_down(settings, what, number=number, about=about)


def _erased(settings: Settings, *, offline: bool) -> frozenset[str]:
    """Whose histories are not shown any more: the records say so before the chain does."""
    from audit.forms import reachable
    from records.personal import erased_numbers

    engine = None if offline else reachable(settings)
    return erased_numbers(engine) if engine is not None else frozenset()


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
        return _answer(story())
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
    since: Annotated[Any, moment_option("Only those begun since then")] = None,
    build: Annotated[
        str | None, typer.Option(metavar="ID", help="Only runs of this build of the deployment.")
    ] = None,
    processes: Processes = None,
    as_json: AsJson = False,
    offline: Offline = False,
) -> None:
    """Replay what the server really holds on this build: the gate before a deployment."""
    from temporalio.common import WorkerDeploymentVersion
    from temporalio.service import RPCError

    from audit import parallel, rehearsal
    from runtime import preflight
    from runtime.keys import written_ring
    from runtime.temporal import connect
    from runtime.up import as_started

    settings = as_started(settings_with())
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
        return await rehearsal.rehearse(client, runs, ring, processes, _beside())

    try:
        found = asyncio.run(rehearse())
    except RPCError:
        raise preflight.no_temporal(settings) from None
    for line in [found.as_json()] if as_json else rehearsal.lines(found):
        typer.echo(line)
    if found.gone and not found.replayed:
        raise Trouble("Every run chosen went meanwhile, and so nothing was tried", "run it again")
    if not found.replayed and (since or build):
        raise Trouble(
            "The server has no such run, and so nothing was tried", "correct --since or --build"
        )
    if found.differing:
        raise typer.Exit(1)


@audit.command("mine")
def audit_mine(
    month: Month = None,
    since: Annotated[Any, moment_option("Only those closed since then")] = None,
    until: Annotated[Any, moment_option("Only those closed before then")] = None,
    format: Annotated[
        list[str] | None, typer.Option(metavar="xes|ocel", help="Which logs; default: both.")
    ] = None,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where the files go.")] = Path(),
    processes: Processes = None,
    offline: Offline = False,
) -> None:
    """Tell archived requests as event logs (XES, OCEL 2.0), with figures and a process map."""
    from audit import mining, parallel
    from audit.store import Store
    from runtime.keys import written_ring

    if month is None and since is None and until is None:
        raise typer.BadParameter("give --month, or --since and --until")
    if month and (since or until):
        raise typer.BadParameter("give --month, or --since and --until, not both")
    if since and until and until <= since:
        raise typer.BadParameter("--until must be later than --since")
    try:
        formats = [mining.Format(word) for word in format or mining.Format]
    except ValueError as error:
        raise typer.BadParameter(f"{error}; use {' or '.join(mining.Format)}") from None
    settings = settings_with()
    span = "/".join(each.isoformat() if each else ".." for each in (since, until))
    _write_down(settings, "audit mine", offline=offline, about=month or span)
    parallel.hush()
    try:
        mined = _answer(
            mining.mine(
                Store(settings.archive),
                written_ring(settings),
                out,
                month=month,
                since=since,
                until=until,
                formats=formats,
                erased=_erased(settings, offline=offline),
                processes=processes,
                console=_beside(),
            )
        )
    except OSError as error:
        raise Trouble(f"Nothing can be written to {out} ({error.strerror})") from None
    _print(mining.tables(mined.figures), mining.lines(mined))
    if mined.unreadable:
        raise typer.Exit(1)


@audit.command("address")
def audit_address(
    ttl: Annotated[
        Any, typer.Option(parser=duration, metavar="TIME", help="How long it is good.")
    ] = "30d",
) -> None:
    """Print the address at which Temporal's pages have histories opened; keep it secret."""
    from runtime.tokens import codec_token
    from runtime.tracking import public_address

    settings = settings_with()
    typer.echo(f"{public_address(settings)}/codec/{codec_token(settings, ttl)}")


@audit.command("key")
def audit_key() -> None:
    """Print the public key that verifies our signatures: keep it apart from the archive."""
    from audit.manifests import public_key as public_half
    from runtime.keys import existing, signing_key

    settings = settings_with()
    existing(settings, "signing.key")
    typer.echo(public_half(signing_key(settings)))


def _answer(work: Coroutine[Any, Any, T]) -> T:
    """What the archive answers; that it holds nothing of a time is no answer."""
    from audit.filed import NothingThere
    from audit.store import Unreachable

    try:
        return asyncio.run(work)
    except Unreachable as error:
        raise Trouble(
            f"The archive does not answer: {error}", "correct AFTERSALES_ARCHIVE_URL, or its access"
        ) from None
    except NothingThere as nothing:
        raise Trouble("The archive holds nothing of that time", str(nothing)) from None


def _write(file: Path, pieces: Iterable[str]) -> None:
    with _writing(file), file.open("w", encoding="utf-8") as out:
        out.writelines(pieces)


def _see_that_it_can_be_written(file: Path | None) -> None:
    """Now, and not after an hour's work; what is there already stays until then."""
    if file is None:
        return
    was_there = file.exists()
    with _writing(file):
        file.open("a", encoding="utf-8").close()
    if not was_there:
        file.unlink()


@contextmanager
def _writing(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Trouble(f"{file} cannot be written ({error.strerror})") from None


def _echo(pieces: Iterable[str]) -> None:
    for piece in pieces:
        typer.echo(piece, nl=False)


def _print(tables: "Iterable[RenderableType]", lines: Iterable[str]) -> None:
    console = _console()
    for table in tables:
        console.print(table)
    for line in lines:
        typer.echo(line)


def _beside() -> "Console":
    """Where progress is shown: beside what is printed, which may go into a file."""
    from rich.console import Console

    return Console(stderr=True)


def _console() -> "Console":
    """Where tables are printed; into a file or a pipe as wide as they need it."""
    from rich.console import Console

    # What stands in brackets is a list of ours, or somebody's name, and no style.
    console = Console(markup=False)
    return console if console.is_terminal else Console(width=180, markup=False)
