"""What is erased is gone from the archive and from the server, and the chain says so and holds."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine
from temporalio.service import RPCError
from temporalio.testing import WorkflowEnvironment

from audit.archivist import Archivist
from audit.faults import Fault, Finding
from audit.filed import months, story
from audit.histories import HistoryGone, fetch
from audit.inspection import Inspection, inspect, lines
from audit.keys import key_file
from audit.manifests import Erasure, public_key
from audit.sources import manifest_of
from audit.store import Missing, Store
from audit.verification import check_month, check_one
from domain.policy import Policy
from records import chain
from records.engine import writing
from records.personal import erase
from records.tables import Archive
from tests.audit.own_archive import KEY, archivist, engine, now, sleep, store
from tests.databases import RING, RING_TEXT
from tests.desk import Desk, open_desk

__all__ = ["archivist", "engine", "store"]

pytestmark = pytest.mark.server

YEARS = timedelta(days=1096)


async def closed(
    server: WorkflowEnvironment, engine: Engine, policy: Policy, phone: str, runs: int = 1
) -> Desk:
    """A request that was cancelled, of the customer with this number."""
    limit = 5000 if runs == 1 else 12
    desk = await open_desk(
        server.client,
        engine,
        policy,
        now,
        sleep,
        history_limit=limit,
        customer={"phone": phone},
    )
    await desk.says("responded", note="婆婆的电话是她自己的")
    await desk.says("noted", text="婆婆在家")
    await desk.says("cancelled", reason="不修了")
    await desk.handle.result()
    return desk


async def swept(archivist: Archivist, engine: Engine) -> None:
    """Rounds until nothing is left to be done."""
    for _ in range(100):
        await archivist.erase_all()
        if not chain.unswept(engine):
            return
        await sleep(timedelta(milliseconds=300))
    raise AssertionError("something is left")


async def looked_at(store: Store) -> Inspection:
    """The only month that there is."""
    (month,) = months(store)
    return await inspect(store, RING_TEXT, [public_key(KEY)], month=month)


async def test_an_erased_history_opens_to_nobody_and_the_chain_holds(
    archivist: Archivist,
    store: Store,
    server: WorkflowEnvironment,
    engine: Engine,
    standard: Policy,
) -> None:
    desk = await closed(server, engine, standard, "13800000001", runs=2)
    other = await closed(server, engine, standard, "13800000002")
    await archivist.archive_all()
    manifest = await manifest_of(engine, desk.number)
    assert manifest is not None
    assert len(manifest.runs) == 2
    sealed = store.get(manifest.file)
    assert story(store, RING, manifest).events == manifest.events

    erase(engine, desk.number, datetime.now(UTC))
    await swept(archivist, engine)
    with pytest.raises(Missing):
        story(store, RING, manifest)
    assert store.get(manifest.file) == sealed
    with pytest.raises(HistoryGone):
        await fetch(server.client, desk.number)
    for run in manifest.runs:
        with pytest.raises(RPCError):
            await server.client.get_workflow_handle(desk.number, run_id=run).fetch_history()
    assert (await fetch(server.client, other.number)).events

    found = await looked_at(store)
    assert found.findings == []
    assert {v.manifest.number: v.word for v in found.verdicts} == {
        desk.number: "erased",
        other.number: "sound",
    }
    told = json.loads("".join(found.as_json()))
    assert [(each["erased"] or {}).get("why") for each in told["requests"]] == ["asked", None]
    (_, erasure) = check_one(store, RING, desk.number)
    assert isinstance(erasure, Erasure)
    assert await archivist.archive_all() == 0


async def test_what_was_erased_before_it_was_archived_is_never_archived(
    archivist: Archivist,
    store: Store,
    server: WorkflowEnvironment,
    engine: Engine,
    standard: Policy,
) -> None:
    desk = await closed(server, engine, standard, "13800000003")
    erase(engine, desk.number, datetime.now(UTC))
    assert await archivist.archive_all() == 0
    await swept(archivist, engine)
    assert await manifest_of(engine, desk.number) is None
    with pytest.raises(HistoryGone):
        await fetch(server.client, desk.number)
    found = await inspect(store, RING_TEXT, [public_key(KEY)], number=desk.number)
    assert (found.findings, list(found.verdicts)) == ([], [])
    assert next(lines(found)).startswith(f"{desk.number}: erased before")
    assert (await looked_at(store)).findings == []


async def test_an_erasure_that_stopped_half_way_is_completed(
    archivist: Archivist,
    store: Store,
    server: WorkflowEnvironment,
    engine: Engine,
    standard: Policy,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    desk = await closed(server, engine, standard, "13800000004")
    await archivist.archive_all()
    manifest = await manifest_of(engine, desk.number)
    assert manifest is not None
    erase(engine, desk.number, datetime.now(UTC))
    row = chain.of(engine, desk.number)
    assert row is not None
    assert row.key is None
    with monkeypatch.context() as trouble:
        trouble.setattr(store, "remove", _unreachable)
        with pytest.raises(OSError, match="store"):
            await archivist.erase_all()
    # The entry is there, the key still is, and the verification says so.
    found = await looked_at(store)
    assert [f.fault for f in found.findings] == [Fault.erasure_incomplete]
    await swept(archivist, engine)
    assert (await looked_at(store)).findings == []
    with pytest.raises(Missing):
        store.get(key_file(desk.number))
    await archivist.erase_all()
    assert (await looked_at(store)).findings == []


def _unreachable(name: str) -> None:
    raise OSError("the store does not answer")


async def test_what_is_older_than_records_are_kept_is_erased_once_a_day(
    archivist: Archivist,
    store: Store,
    server: WorkflowEnvironment,
    engine: Engine,
    standard: Policy,
) -> None:
    old, recent = [await closed(server, engine, standard, "13800000005") for _ in range(2)]
    await archivist.archive_all()
    await archivist.erase_all()
    with writing(engine) as session:
        session.get_one(Archive, old.number).closed_at -= YEARS
    await archivist.erase_all()
    assert chain.unswept(engine) == []  # Today it has looked already.
    tomorrow = Archivist(engine, server.client, store, RING, KEY)
    await swept(tomorrow, engine)
    found = await looked_at(store)
    verdicts = {v.manifest.number: v for v in found.verdicts}
    erasure = verdicts[old.number].erased
    assert erasure is not None
    assert erasure.why == "retention"
    assert verdicts[recent.number].word == "sound"
    assert found.findings == []


async def test_a_key_that_is_destroyed_cannot_be_excused_by_a_made_up_entry(
    archivist: Archivist,
    store: Store,
    server: WorkflowEnvironment,
    engine: Engine,
    standard: Policy,
) -> None:
    """The intruder destroys a key and puts an erasure of their own at the end of the chain."""
    number = (await closed(server, engine, standard, "13800000009")).number
    await archivist.archive_all()
    (month,) = months(store)
    kept = store.get(key_file(number))
    store.remove(key_file(number))
    assert _faults(store, month) == {Fault.key_missing: [number]}
    forged = Erasure(
        seq=2, month=month, previous="f" * 64, number=number, at=datetime.now(UTC), why="asked"
    )
    store.put(forged.name, forged.written())
    faults = _faults(store, month)
    assert faults[Fault.key_missing] == [number]
    assert set(faults[Fault.chain_broken]) == {forged.name}
    store.remove(forged.name)
    store.put(key_file(number), kept)
    assert _faults(store, month) == {}


def _faults(store: Store, month: str) -> dict[Fault, list[str]]:
    found: dict[Fault, list[str]] = {}
    for each in check_month(store, RING, month, [public_key(KEY)], datetime.now(UTC)):
        if isinstance(each, Finding):
            found.setdefault(each.fault, []).append(each.where)
    return found
