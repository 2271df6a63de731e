"""The platform was down for twenty minutes across due times: nobody is blamed for that."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Engine
from sqlmodel import Session, select
from temporalio.testing import WorkflowEnvironment

from activities.registry import Activities
from audit.archivist import Archivist
from audit.faults import Fault
from audit.inspection import Inspection, Verdict, inspect
from audit.manifests import public_key
from audit.report import render
from audit.store import Store
from audit.tables import lines
from audit.verdicts import by_rule
from domain.clocks import Ticking
from domain.policy import Policy
from domain.shown import ShownVerdict
from records.engine import migrate, open_engine, writing
from records.personal import erase
from records.seed import seed
from records.tables import Form
from runtime.temporal import plugin, prepare
from tests.conftest import BIN
from tests.databases import RING, RING_TEXT
from tests.desk import Desk, open_desk
from worker import build_worker

pytestmark = [pytest.mark.server, pytest.mark.slow(16)]

KEY = Ed25519PrivateKey.generate()
SPEED = 150
"""A minute of the standard takes 0.4 seconds."""


def minutes(span: float) -> timedelta:
    """So many of the standard's minutes."""
    return timedelta(minutes=span) / SPEED


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    url = f"sqlite:///{tmp_path_factory.mktemp('outage') / 'aftersales.db'}"
    engine = open_engine(url, RING)
    migrate(engine)
    seed(engine)
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
async def alone() -> AsyncIterator[WorkflowEnvironment]:
    """A real server of our own: on the others' a worker is always up.

    Not one that skips time: it waits for a worker to do what has fallen due.
    """
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=str(BIN / "temporal"),
        plugins=[plugin(RING)],
        dev_server_log_level="error",
    ) as env:
        await prepare(env.client)
        yield env


@dataclass
class Outage:
    """A month with three requests that lived through the same outage."""

    records: Engine
    store: Store
    month: str
    in_time: str
    meanwhile: str
    afterwards: str

    async def inspected(self, records: Engine | None = None) -> Inspection:
        keys = [public_key(KEY)]
        return await inspect(self.store, RING_TEXT, keys, month=self.month, records=records)


@pytest.fixture(scope="module")
async def outage(
    alone: WorkflowEnvironment,
    records: Engine,
    standard: Policy,
    tmp_path_factory: pytest.TempPathFactory,
) -> Outage:
    """Down from the ninth minute to the 29th: the first answer is due after ten."""

    async def now() -> datetime:
        return datetime.now(UTC)

    async def sleep(span: timedelta) -> None:
        await asyncio.sleep(span.total_seconds())

    async def opened() -> Desk:
        return await open_desk(alone.client, records, standard.at_speed(SPEED), now, sleep)

    client, activities = alone.client, Activities(records)
    async with build_worker(client, activities):
        in_time, meanwhile, afterwards = [await opened() for _ in range(3)]
        received = {}
        for desk in (in_time, meanwhile, afterwards):
            received[desk.number] = datetime.fromisoformat((await desk.state())["received_at"])
        await in_time.pass_until(received[in_time.number] + minutes(9))
    for desk, after in ((in_time, 9.5), (meanwhile, 15)):
        at = received[desk.number] + minutes(after)
        await desk.pass_until(at)
        await desk.signals("responded", occurred_at=at.isoformat())
    # Of the last one, however long the three took to come in on a busy machine.
    await in_time.pass_until(received[afterwards.number] + minutes(29))
    async with build_worker(client, activities):
        # Signals are never lost; an update may come upon a task that fails as workers change.
        await afterwards.signals("responded")
        for desk in (in_time, meanwhile, afterwards):
            await desk.sees(lambda shown: shown["stage"] != "response")
            await desk.signals("cancelled", reason="不修了")
            await desk.handle.result()
        store = Store(str(tmp_path_factory.mktemp("outage") / "archive"))
        archivist = Archivist(records, client, store, RING, KEY)
        while await archivist.archive_all():
            pass
    return Outage(
        records,
        store,
        f"{datetime.now(ZoneInfo(standard.timezone)):%Y-%m}",
        *(desk.number for desk in (in_time, meanwhile, afterwards)),
    )


def verdict_on(result: Inspection, number: str) -> Verdict:
    return next(each for each in result.verdicts if each.manifest.number == number)


def answer(result: Inspection, number: str) -> ShownVerdict:
    """The promise of a first response to this request."""
    judged = verdict_on(result, number).judged
    assert judged is not None
    return next(each for each in judged.promises if each.rule == "first_response")


async def test_the_lateness_is_the_platforms_and_no_persons(outage: Outage) -> None:
    result = await outage.inspected()
    assert result.findings == []
    told = answer(result, outage.in_time)
    assert told.standing is Ticking.kept
    assert (told.person_late_seconds, told.platform_late_seconds) == (0, 0)
    told = answer(result, outage.meanwhile)
    assert told.standing is Ticking.late
    late = minutes(5).total_seconds()
    assert (told.person_late_seconds, told.platform_late_seconds) == (0, late)
    told = answer(result, outage.afterwards)
    assert told.standing is Ticking.late
    # Received a little after the first, and so down for a little less of it.
    assert told.platform_late_seconds >= minutes(12).total_seconds()
    # As soon as the platform was back.
    assert told.person_late_seconds < minutes(3).total_seconds()
    (rule,) = (each for each in by_rule(result.judged) if each.rule == "first_response")
    assert (rule.kept, rule.late, rule.breached) == (1, 2, 0)


async def test_the_report_names_the_outage(outage: Outage) -> None:
    result = await outage.inspected()
    (down,) = json.loads("".join(result.as_json()))["outages"]
    began, ended = (datetime.fromisoformat(down[which]) for which in ("began_at", "ended_at"))
    assert ended - began >= minutes(18)
    assert {outage.meanwhile, outage.afterwards} <= set(down["numbers"])
    said = "\n".join(lines(result))
    assert "The platform noticed nothing for " in said
    assert "平台" in said
    for language, heading in (("en", "When the platform was down"), ("zh-CN", "平台停顿")):
        report = "".join(render(result, language))  # type: ignore[arg-type]
        assert heading in report
        assert f"{began:%Y-%m-%d %H:%M:%S} UTC" in report


async def test_the_forms_in_the_records_are_those_of_the_history(outage: Outage) -> None:
    result = await outage.inspected(outage.records)
    assert result.findings == []
    assert json.loads("".join(result.as_json()))["forms"] == {"compared": 3, "erased": 0}


@pytest.fixture
def copied(outage: Outage, tmp_path: Path) -> Iterator[Engine]:
    """The records of the outage, for a test that changes them."""
    file, original = tmp_path / "records.db", outage.records.url.database
    assert original is not None
    with closing(sqlite3.connect(original)) as source, closing(sqlite3.connect(file)) as copy:
        source.backup(copy)
    engine = open_engine(f"sqlite:///{file}", RING)
    yield engine
    engine.dispose()


async def test_a_form_that_was_changed_or_removed_is_found(outage: Outage, copied: Engine) -> None:
    def form(session: Session, number: str) -> Form:
        return session.exec(select(Form).where(Form.request == number, Form.key == "WO/1")).one()

    with writing(copied) as session:
        changed = form(session, outage.in_time)
        told = {"engineer": "GY0", "completed_at": "2026-11-22T03:00:00Z"}
        changed.content = {**changed.content, **told}
        session.delete(form(session, outage.meanwhile))
    result = await outage.inspected(copied)
    assert {each.where: (each.fault, each.detail) for each in result.findings} == {
        outage.in_time: (Fault.form_differs, "WO/1: otherwise in completed_at, engineer"),
        outage.meanwhile: (Fault.form_differs, "WO/1: the records do not have it"),
    }


async def test_records_of_another_installation_know_none_of_it(
    outage: Outage, tmp_path: Path
) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'other.db'}", RING)
    migrate(engine)
    result = await outage.inspected(engine)
    assert {each.detail for each in result.findings} == {
        "the records do not know the request",
        "the records know of no such entry",
    }
    engine.dispose()


async def test_what_was_erased_is_not_compared(outage: Outage, copied: Engine) -> None:
    await asyncio.to_thread(erase, copied, outage.afterwards, datetime.now().astimezone())
    result = await outage.inspected(copied)
    assert result.forms is not None
    # All three are the same customer's.
    assert (result.forms.compared, result.forms.erased) == (0, 3)
