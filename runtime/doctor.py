"""`aftersales doctor`: whether this installation can run, and what to do where it cannot."""

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from zoneinfo import ZoneInfo

from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from rich.console import Console
from rich.table import Table
from rich.text import Text
from sqlalchemy import make_url
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from activities.channels import LOG, Outgoing
from activities.providers.port import NotSent
from activities.working_days import calendar_for
from domain.vocabulary import MessageChannel, Role
from records import chain, personal
from records.engine import MIGRATIONS, open_engine
from records.sealing import Unsealable
from records.upkeep import recorded
from runtime import delivery, preflight
from runtime.deployments import build_id, current_build, make_current
from runtime.keys import key_ring
from runtime.oidc import Issuer
from runtime.settings import Settings, metrics_are_open
from runtime.temporal import connect, missing_attributes, worker_is_polling
from runtime.tokens import IdentityUnavailable
from runtime.trouble import Trouble
from runtime.up import as_started, is_ready
from workflows.messages import TASK_QUEUE
from workflows.reconcile import RECONCILE
from workflows.search_attributes import REGISTRY

ENOUGH_DISK = 1_000_000_000


class Verdict(StrEnum):
    """How a check went; only `failed` makes the command fail."""

    ok = "ok"
    idle = "not running"
    advice = "ok, but"
    failed = "failed"


COLOURS = {
    Verdict.ok: "green",
    Verdict.idle: "dim",
    Verdict.advice: "yellow",
    Verdict.failed: "bold red",
}


@dataclass(frozen=True)
class Finding:
    """What one check found, and what to do about it."""

    what: str
    verdict: Verdict
    found: str
    advice: str = ""


async def examine(settings: Settings, *, providers: bool = False) -> bool:
    """Check everything and print a table. Returns whether nothing failed.

    Args:
        providers: ask those that deliver messages as well.
    """
    table = Table("Check", "Result", "Found", "What to do", show_lines=False, expand=False)
    healthy = True
    async for finding in findings(settings, providers=providers):
        healthy &= finding.verdict is not Verdict.failed
        cells = (finding.what, finding.verdict.value, finding.found, finding.advice)
        styles = ("", COLOURS[finding.verdict], "", "")
        table.add_row(*map(Text, cells, styles))
    Console(width=None if sys.stdout.isatty() else 160).print(table)
    return healthy


async def findings(settings: Settings, *, providers: bool = False) -> AsyncIterator[Finding]:
    """Everything that is to be checked, one after the other."""
    yield _python()
    if settings.temporal_address is None:
        yield _tried("Temporal binary", lambda: str(preflight.temporal_binary()))
    yield _tried("Data folder", lambda: str(preflight.folder(settings)))
    yield _disk(settings)
    yield _tried("Token secret", lambda: _secret(settings))
    yield _tried("Keys", lambda: _keys(settings))
    if settings.oidc_issuer:
        yield await _issuer(settings)
    yield _tried("Policy", lambda: _policy(settings))
    yield _calendar(settings)
    yield _tried("Message texts", lambda: _templates(settings))
    yield _channels(settings)
    if providers:
        for provider in await asyncio.to_thread(_providers, settings):
            yield provider
    database = await asyncio.to_thread(_database, settings)
    yield database
    if database.verdict is Verdict.ok and _exists(settings):
        yield await asyncio.to_thread(_personal_data, settings)
    if database.verdict is Verdict.ok and not database.advice:
        yield await asyncio.to_thread(_reconciled, settings)
        yield await asyncio.to_thread(_archived, settings)
    yield _metrics(settings)
    runs_here = preflight.is_held(settings.data_dir)
    if runs_here:
        settings = as_started(settings)
    ready = await asyncio.to_thread(is_ready, settings)
    # Beside a Temporal server that was named to us, an API that is ready is ours.
    ours = runs_here or settings.temporal_address is not None
    if runs_here or (ready and ours):
        who = "`aftersales up`" if runs_here else "API"
        found = f"{_wanted_ports(settings)}, in use by the {who} that runs here"
        yield Finding("Ports", Verdict.ok, found)
    else:
        yield _tried("Ports", lambda: _ports(settings))
    async for finding in _temporal(settings, runs_here=runs_here):
        yield finding
    if ready:
        place = f"{settings.host}:{settings.port}"
        if ours:
            yield Finding("API", Verdict.ok, f"ready on {place}")
        else:
            yield Finding("API", Verdict.idle, f"another installation answers on {place}")
    elif runs_here:
        advice = f"see {settings.data_dir / 'logs' / 'api.log'}"
        yield Finding("API", Verdict.failed, "running, but not ready", advice)
    else:
        yield Finding("API", Verdict.idle, f"nothing ready on {settings.host}:{settings.port}")


def _tried(what: str, check: Callable[[], str]) -> Finding:
    """A check that says what is wrong, and what to do, by raising Trouble."""
    try:
        return Finding(what, Verdict.ok, check())
    except Trouble as trouble:
        return Finding(what, Verdict.failed, trouble.found, trouble.advice)


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding("Python", Verdict.ok, f"{version} at {sys.executable}")


def _disk(settings: Settings) -> Finding:
    place = settings.data_dir.absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    found = f"{free / 1e9:.1f} GB free"
    if free >= ENOUGH_DISK:
        return Finding("Disk", Verdict.ok, found)
    return Finding("Disk", Verdict.failed, found, "make room: 1 GB should be free")


def _secret(settings: Settings) -> str:
    preflight.secret(settings)
    return "from the settings" if settings.token_secret else "a key of its own in the data folder"


def _keys(settings: Settings) -> str:
    preflight.identity(settings)
    if settings.in_production:
        return "production: every key is given"
    return "development: what is not given is made in the data folder"


async def _issuer(settings: Settings) -> Finding:
    what, issuer = "Issuer", Issuer(settings)
    try:
        count = await issuer.refresh()
    except IdentityUnavailable as error:
        advice = "start it, or correct AFTERSALES_OIDC_ISSUER or AFTERSALES_OIDC_JWKS_URL"
        return Finding(what, Verdict.failed, f"no keys of {issuer.name} ({error})", advice)
    finally:
        await issuer.close()
    return Finding(what, Verdict.ok, f"{issuer.name}, {count} keys")


def _policy(settings: Settings) -> str:
    policy = preflight.policy(settings)
    speed = f", {settings.speed:g} times as fast" if settings.speed != 1 else ""
    return f"{policy.name}, version {policy.version}{speed} ({settings.policy})"


def _calendar(settings: Settings) -> Finding:
    what = "Working days"
    try:
        policy = preflight.policy(settings)
    except Trouble:
        return Finding(what, Verdict.failed, "not known without a policy")
    try:
        preflight.working_days(policy)
    except Trouble as trouble:
        return Finding(what, Verdict.failed, trouble.found, trouble.advice)
    calendar = calendar_for(policy, datetime.now(UTC))
    if calendar.until is None:
        return Finding(what, Verdict.ok, "no rule of the policy counts them")
    zone = ZoneInfo(policy.timezone)
    last = calendar.until.astimezone(zone) - timedelta(seconds=1)
    wanted = datetime.now(zone) + policy.working_time.horizon
    if last.year == wanted.year:
        return Finding(what, Verdict.ok, f"known until {last:%Y-%m-%d}")
    advice = f"put {wanted.year} into the policy as [working_time.years.{wanted.year}]"
    return Finding(what, Verdict.advice, f"known only until {last:%Y-%m-%d}", advice)


def _templates(settings: Settings) -> str:
    delivery.templates(settings)
    own = f", those in {settings.templates} first" if settings.templates else ""
    return f"every one can be told, in {settings.language}{own}"


def _channels(settings: Settings) -> Finding:
    what = "Channels"
    if settings.channels is None:
        advice = "name a channels file with AFTERSALES_CHANNELS"
        return Finding(what, Verdict.advice, "messages go to the log only", advice)
    try:
        ways = delivery.channels(settings)
    except Trouble as trouble:
        return Finding(what, Verdict.failed, trouble.found, trouble.advice)
    found = f"{', '.join(sorted(ways.outlets))} ({settings.channels})"
    if lonely := ways.without_address():
        advice = f"give an address for {', '.join(lonely)}, or route it elsewhere"
        return Finding(what, Verdict.advice, found, advice)
    if ways.route(Role.customer, MessageChannel.sms) == (LOG,):
        advice = "add routes.customer.sms: customers are told through the log only"
        return Finding(what, Verdict.advice, found, advice)
    return Finding(what, Verdict.ok, found)


def _providers(settings: Settings) -> list[Finding]:
    """Whether each provider answers; nothing is sent."""
    try:
        ways = delivery.channels(settings)
    except Trouble:
        return []  # What is wrong was said above.
    return [_provider(outlet) for outlet in ways.outlets.values() if outlet.name != LOG]


def _provider(outlet: Outgoing) -> Finding:
    what = f"Provider {outlet.name}"
    try:
        outlet.provider.check()
    except NotSent as refused:
        advice = "correct its part of the channels file, or see to the provider"
        return Finding(what, Verdict.failed, f"does not answer: {refused.reason}", advice)
    return Finding(what, Verdict.ok, "answers")


def _ports(settings: Settings) -> str:
    preflight.ports(settings)
    return f"free: {_wanted_ports(settings)}"


def _wanted_ports(settings: Settings) -> str:
    wanted = [settings.port]
    if settings.temporal_address is None:
        wanted += [settings.temporal_port, settings.temporal_ui_port]
    return ", ".join(map(str, wanted))


def _database(settings: Settings) -> Finding:
    what = "Database"
    try:
        preflight.database(settings)
    except Trouble as trouble:
        return Finding(what, Verdict.failed, trouble.found, trouble.advice)
    if not _exists(settings):
        return Finding(what, Verdict.ok, "not made yet", "aftersales up makes it")
    engine = open_engine(settings.database)
    try:
        with engine.connect() as connection:
            present = MigrationContext.configure(connection).get_current_revision()
    finally:
        engine.dispose()
    newest = ScriptDirectory(str(MIGRATIONS)).get_current_head()
    place = engine.url.render_as_string(hide_password=True)
    if present == newest:
        return Finding(what, Verdict.ok, f"{place}, migrated to {present}")
    found = f"{place} is at {present or 'nothing'}, this version needs {newest}"
    return Finding(what, Verdict.failed, found, "run aftersales migrate")


def _exists(settings: Settings) -> bool:
    """Whether there is a database; a server answered already."""
    url = make_url(settings.database)
    return url.get_backend_name() != "sqlite" or Path(url.database or "").exists()


def _personal_data(settings: Settings) -> Finding:
    """Whether the key ring opens what was sealed last, and what still hangs on older keys."""
    what = "Personal data"
    try:
        engine = open_engine(settings.database, key_ring(settings))
    except Trouble as trouble:
        return Finding(what, Verdict.failed, trouble.found, trouble.advice)
    try:
        older = personal.check(engine)
    except Unsealable as error:
        advice = "restore the keys it was sealed with (AFTERSALES_DATA_KEYS)"
        return Finding(what, Verdict.failed, f"it does not open: {error}", advice)
    finally:
        engine.dispose()
    if older:
        found = f"{older} customers' data keys were wrapped with older keys"
        return Finding(what, Verdict.advice, found, "to drop those keys, run aftersales rekey")
    return Finding(what, Verdict.ok, "sealed, and the key ring opens it")


def _reconciled(settings: Settings) -> Finding:
    what = "Reconcile"
    engine = open_engine(settings.database)
    try:
        last = recorded(engine, RECONCILE)
    finally:
        engine.dispose()
    every = settings.reconcile_interval
    if last is None:
        found = "the records were never compared with the requests"
        return Finding(what, Verdict.idle, found, "aftersales reconcile compares them")
    found = (
        f"{last.ran_at:%Y-%m-%d %H:%M} UTC: {last.checked} checked, "
        f"{last.differences} differences, {last.repaired} repaired"
    )
    if last.differences > last.repaired:
        return Finding(what, Verdict.failed, found, "aftersales reconcile says which are left")
    if every is not None and datetime.now(UTC) - last.ran_at > max(3 * every, timedelta(hours=3)):
        return Finding(what, Verdict.advice, found, "a worker runs it by a schedule: see its log")
    return Finding(what, Verdict.ok, found)


def _archived(settings: Settings) -> Finding:
    """Whether what closed an hour ago is archived: Temporal does not keep histories for ever."""
    what = "Archive"
    engine = open_engine(settings.database)
    try:
        waiting = chain.overdue(engine, datetime.now(UTC) - timedelta(hours=1))
    finally:
        engine.dispose()
    if not waiting:
        return Finding(what, Verdict.ok, f"what has closed is in {settings.archive}")
    found = f"{len(waiting)} closed requests are not archived, the oldest is {waiting[0]}"
    advice = "a worker archives them before Temporal's retention is over: see its log"
    return Finding(what, Verdict.advice, found, advice)


def _metrics(settings: Settings) -> Finding:
    what = "Metrics"
    worker = settings.worker_metrics_port
    found = f"/metrics of the API; the worker's {f'on port {worker}' if worker else 'are off'}"
    if metrics_are_open(settings) or settings.metrics_token:
        return Finding(what, Verdict.ok, found)
    return Finding(what, Verdict.advice, found, "set AFTERSALES_METRICS_TOKEN to read them")


async def _temporal(settings: Settings, *, runs_here: bool) -> AsyncIterator[Finding]:
    what = "Temporal"
    try:
        client = await asyncio.wait_for(connect(settings), 10)
    except Trouble as trouble:
        yield Finding(what, Verdict.failed, trouble.found, trouble.advice)
        return
    except (RuntimeError, RPCError, TimeoutError):
        found = f"nobody answers at {settings.temporal_target}"
        if runs_here or settings.temporal_address:
            advice = "start the server, or correct AFTERSALES_TEMPORAL_ADDRESS"
            yield Finding(what, Verdict.failed, found, advice)
        else:
            yield Finding(what, Verdict.idle, found, "aftersales up starts one")
        return
    if not runs_here and settings.temporal_address is None:
        found = f"another installation answers at {settings.temporal_target}"
        yield Finding(what, Verdict.idle, found, "to use it, set AFTERSALES_TEMPORAL_ADDRESS")
        return
    yield Finding(what, Verdict.ok, f"answers at {settings.temporal_target}")
    try:
        yield await _search_attributes(client)
        yield await _worker(client)
        if settings.deployment is not None:
            yield await _build(settings, settings.deployment, client)
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            found = f"there is no namespace {client.namespace}"
            advice = "create it, or correct AFTERSALES_TEMPORAL_NAMESPACE"
            yield Finding("Namespace", Verdict.failed, found, advice)
        else:
            yield Finding("Namespace", Verdict.failed, error.message, "look at Temporal's own log")


async def _search_attributes(client: Client) -> Finding:
    what = "Search attributes"
    if missing := sorted(key.name for key in await missing_attributes(client)):
        found = f"missing in {client.namespace}: {', '.join(missing)}"
        return Finding(what, Verdict.failed, found, "start a worker: it registers them first")
    return Finding(what, Verdict.ok, f"all {len(REGISTRY)} in the namespace {client.namespace}")


async def _worker(client: Client) -> Finding:
    if await worker_is_polling(client):
        return Finding("Worker", Verdict.ok, f"polling {TASK_QUEUE}")
    found = f"nobody polls {TASK_QUEUE}: requests are taken in but do not move"
    return Finding("Worker", Verdict.failed, found, "start one with aftersales worker")


async def _build(settings: Settings, name: str, client: Client) -> Finding:
    what, ours = "Current build", build_id(settings)
    current = await current_build(client, name)
    if current is None:
        found = f"none in the deployment {name}: new requests are taken in but do not move"
        return Finding(what, Verdict.failed, found, make_current(settings))
    if current != ours:
        found = f"{current} in the deployment {name}, not {ours}"
        return Finding(what, Verdict.idle, found, f"to change over: {make_current(settings)}")
    return Finding(what, Verdict.ok, f"{current} in the deployment {name}")
