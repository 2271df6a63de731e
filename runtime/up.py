"""`aftersales up`: the Temporal server, the worker and the API in one process tree."""

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any

from alembic.util import CommandError
from pydantic import SecretStr
from sqlalchemy.exc import SQLAlchemyError
from temporalio.client import Client
from temporalio.service import RPCError

from records.engine import migrate, open_engine
from records.seed import is_empty, seed
from runtime import delivery, preflight
from runtime.keys import key_ring
from runtime.processes import Household, Program, Say
from runtime.settings import Settings
from runtime.temporal import connect, prepare
from runtime.tokens import codec_token
from runtime.trouble import Trouble

CLI = Path(__file__).parent.parent / "cli.py"
OUR_TEMPORAL_DEADLINE, ANY_TEMPORAL_DEADLINE = 60.0, 15.0
READY_DEADLINE = 60.0
WHERE = {
    "host",
    "port",
    "temporal_address",
    "temporal_namespace",
    "temporal_port",
    "temporal_ui_port",
}
"""The settings that say where a running installation is found."""

NEVER_MIND_A_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


async def up(settings: Settings, say: Say, *, empty: bool = False) -> None:
    """Run everything until a process is beyond help, or until cancelled.

    Raises:
        Trouble: something a person must put right; everything was stopped again.
    """
    async with running(settings, say, empty=empty) as household:
        say(addresses(settings))
        await household.meanwhile(asyncio.Event().wait())


@contextlib.asynccontextmanager
async def running(
    settings: Settings, say: Say, *, empty: bool = False, fresh: bool = False
) -> AsyncIterator[Household]:
    """The whole system, ready to serve; on the way out all of it is stopped.

    `fresh` forgets everything that the data folder holds.

    Raises:
        Trouble: it cannot start; nothing is left running.
    """
    preflight.unversioned(settings)
    preflight.working_days(preflight.policy(settings))
    delivery.channels(settings)
    delivery.templates(settings)
    preflight.identity(settings)
    data = preflight.folder(settings)
    with preflight.alone_in(data):
        household = Household(data, say)
        household.clear_orphans()
        if fresh:
            preflight.clear(data)
        binary = preflight.temporal_binary() if settings.temporal_address is None else None
        preflight.ports(settings)
        preflight.database(settings)
        preflight.sqlite_file(data / "temporal.db")
        remember_addresses(settings)
        try:
            if binary is not None:
                await household.start(_temporal(settings, binary, data))
            await household.meanwhile(_make_ready(settings, empty=empty))
            await household.start(_ours("worker", settings, patience=9))
            await household.start(_ours("api", settings, patience=5))
            await household.meanwhile(_wait_until_ready(settings, household))
            yield household
        finally:
            await household.stop()


def run_until_stopped(work: Coroutine[Any, Any, None]) -> bool:
    """Run `work` until it ends, or until SIGINT, SIGTERM or SIGHUP ends it in good order.

    A second signal does not wait for the good order. Returns whether a signal ended it.
    """
    stopped = False

    async def main() -> None:
        task = asyncio.ensure_future(work)

        def stop() -> None:
            nonlocal stopped
            stopped = True
            task.cancel()

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                continue  # Under nohup the end of the terminal is not ours.
            asyncio.get_running_loop().add_signal_handler(number, stop)
        try:
            await task
        except asyncio.CancelledError:
            if not stopped:
                raise

    asyncio.run(main())
    return stopped


def addresses(settings: Settings) -> str:
    """Where everything is, for the person at the terminal."""
    api = base_url(settings)
    lines = [
        ("API", "接口", api),
        ("API docs", "接口文档", f"{api}/docs"),
        ("Data folder", "数据目录", str(settings.data_dir.absolute())),
        ("Logs", "日志", str(settings.data_dir.absolute() / "logs")),
        ("A token", "获取令牌", token_hint(settings)),
    ]
    if settings.temporal_address is None:
        lines.insert(
            2, ("Temporal UI", "流程引擎", f"http://127.0.0.1:{settings.temporal_ui_port}")
        )
    shown = "\n".join(f"  {en:<12}{zh}{' ' * (10 - 2 * len(zh))}{at}" for en, zh, at in lines)
    return (
        f"\nAftersales is ready. 系统已就绪。\n\n{shown}\n\n"
        "Ctrl-C stops everything. 按 Ctrl-C 停止。\n"
    )


def token_hint(settings: Settings) -> str:
    """The command that prints a token for this installation."""
    place = settings.data_dir.absolute()
    elsewhere = place != (Path.cwd() / ".aftersales")
    where = f"AFTERSALES_DATA_DIR={place} " if elsewhere else ""
    return f"{where}aftersales token --role supervisor --id me"


def base_url(settings: Settings) -> str:
    """The API's address as reached from this machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.host, settings.host)  # noqa: S104
    return f"http://{host}:{settings.port}"


def remember_addresses(settings: Settings) -> None:
    """Leave word in the data folder of where this installation is found."""
    _addresses_file(settings).write_text(settings.model_dump_json(include=WHERE), "utf-8")


def as_started(settings: Settings) -> Settings:
    """These settings, with the addresses that the `up` of their data folder was started with."""
    try:
        where = json.loads(_addresses_file(settings).read_text("utf-8"))
    except (OSError, ValueError):  # It is only just starting.
        return settings
    return settings.model_copy(update={name: where[name] for name in WHERE & where.keys()})


def environment(settings: Settings) -> dict[str, str]:
    """The environment in which our own processes find the very same settings."""
    given = settings.model_dump(exclude_none=True) | {
        "data_dir": settings.data_dir.absolute(),
        "policy": settings.policy.absolute(),
        "temporal_address": settings.temporal_target,
        "log_format": "json",
    }
    given |= {name: given[name].absolute() for name in ("channels", "templates") if name in given}
    ours = {f"AFTERSALES_{name.upper()}": _written(value) for name, value in given.items()}
    return {**os.environ, **ours}


def _written(value: Any) -> str:
    """As `Settings` reads it back."""
    if isinstance(value, list):
        return ",".join(value)
    if isinstance(value, timedelta):
        return f"{value.total_seconds()}s"
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


def _addresses_file(settings: Settings) -> Path:
    return settings.data_dir / "addresses.json"


def _temporal(settings: Settings, binary: Path, data: Path) -> Program:
    flags = {
        "--ip": "127.0.0.1",
        "--port": settings.temporal_port,
        "--ui-port": settings.temporal_ui_port,
        "--db-filename": data / "temporal.db",
        "--namespace": settings.temporal_namespace,
        "--ui-codec-endpoint": _codec_endpoint(settings),
        "--log-format": "json",
        "--log-level": "warn",
    }
    pragmas = ["journal_mode=wal", "synchronous=normal"]
    return Program(
        name="temporal",
        command=[
            str(binary),
            "server",
            "start-dev",
            "--ui-disable-news-fetch",
            *(str(part) for flag in flags.items() for part in flag),
            *(part for pragma in pragmas for part in ("--sqlite-pragma", pragma)),
        ],
        environment=dict(os.environ),
        patience=4,
        shown=(),  # It warns of its own start and stop; what matters shows in the worker.
    )


def _codec_endpoint(settings: Settings) -> str:
    """Where the server's own pages have histories opened: they cannot send a token otherwise."""
    return f"{base_url(settings)}/codec/{codec_token(settings)}"


def _ours(command: str, settings: Settings, *, patience: float) -> Program:
    return Program(
        name=command,
        command=[sys.executable, str(CLI), command],
        environment=environment(settings),
        patience=patience,
    )


async def _make_ready(settings: Settings, *, empty: bool) -> None:
    """The database is migrated and seeded while the Temporal server starts."""
    await asyncio.gather(
        asyncio.to_thread(_make_database_ready, settings, empty=empty),
        _make_temporal_ready(settings),
    )


def _make_database_ready(settings: Settings, *, empty: bool) -> None:
    engine = open_engine(settings.database, key_ring(settings))
    try:
        migrate(engine)
        if not empty and is_empty(engine):
            seed(engine)
    except (CommandError, SQLAlchemyError) as error:
        reason = " ".join(str(error).split())[:200].rstrip(".")
        raise Trouble(
            f"The database cannot be brought up to date ({reason})",
            "if a newer version made it, run that one",
        ) from None
    finally:
        engine.dispose()


async def _make_temporal_ready(settings: Settings) -> None:
    started_here = settings.temporal_address is None
    patience = OUR_TEMPORAL_DEADLINE if started_here else ANY_TEMPORAL_DEADLINE
    deadline = time.monotonic() + patience
    while True:
        try:
            client: Client = await connect(settings)
            await prepare(client)
        except (RuntimeError, RPCError) as error:
            if time.monotonic() > deadline:
                reason = error.message if isinstance(error, RPCError) else ""
                raise preflight.no_temporal(settings, reason) from None
            await asyncio.sleep(0.1)
        else:
            return


async def _wait_until_ready(settings: Settings, household: Household) -> None:
    deadline = time.monotonic() + READY_DEADLINE
    while not await asyncio.to_thread(is_ready, settings):
        if time.monotonic() > deadline:
            raise Trouble(
                f"The API was not ready within {READY_DEADLINE:g} s",
                f"see {household.logs / 'api.log'} and {household.logs / 'worker.log'}",
            )
        await asyncio.sleep(0.1)


def is_ready(settings: Settings) -> bool:
    """Whether the API says that database, Temporal and a worker are there."""
    try:
        with NEVER_MIND_A_PROXY.open(f"{base_url(settings)}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.HTTPError):
        return False
