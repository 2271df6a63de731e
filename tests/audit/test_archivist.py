"""What closed is archived whole, once, and stands in the chain; what was missed is found later."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Engine
from structlog.testing import capture_logs
from temporalio.client import WorkflowHistory
from temporalio.testing import WorkflowEnvironment

from audit.archivist import Archivist
from audit.faults import Fault, Finding
from audit.filed import months, story
from audit.inspection import inspect
from audit.keys import key_file, key_of, rekey, unwrapped
from audit.manifests import Manifest, public_key
from audit.rehearsal import Run, lines, rehearse, sample
from audit.replaying import check_replay
from audit.store import Store
from audit.verification import check_month
from domain.policy import Policy
from records import chain
from records.engine import open_engine
from records.sealing import KeyRing, Unsealable
from tests.audit.own_archive import KEY, archivist, engine, now, sleep, store
from tests.databases import RING, RING_TEXT
from tests.desk import Desk, open_desk

__all__ = ["archivist", "engine", "store"]

pytestmark = pytest.mark.server


async def closed(env: WorkflowEnvironment, engine: Engine, policy: Policy) -> Desk:
    """A request that was cancelled after it had gone on in a second run."""
    desk = await open_desk(env.client, engine, policy, now, sleep, history_limit=12)
    await desk.says("responded", note="客户张三丰在家")
    await desk.says("noted", text="婆婆的电话 13912345678")
    await desk.says("cancelled", reason="不修了")
    await desk.handle.result()
    return desk


def archived(store: Store) -> dict[str, Manifest]:
    """Every manifest by its request; the archive must be in order."""
    found = [
        m
        for month in months(store)
        for m in check_month(store, RING, month, [public_key(KEY)], datetime.now(UTC))
    ]
    assert not [each for each in found if isinstance(each, Finding)]
    return {each.number: each for each in found if isinstance(each, Manifest)}


async def test_a_closed_request_is_archived_with_every_run_of_its_history(
    archivist: Archivist,
    store: Store,
    server: WorkflowEnvironment,
    engine: Engine,
    standard: Policy,
) -> None:
    desk = await closed(server, engine, standard)
    open_still = await open_desk(server.client, engine, standard, now, sleep)
    await archivist.archive_all()
    kept = archived(store)
    assert open_still.number not in kept
    manifest = kept[desk.number]
    assert len(manifest.runs) == 2
    assert (manifest.outcome, len(manifest.builds)) == ("cancelled", 1)
    told = story(store, RING, manifest)
    assert told.events == manifest.events > 20
    last: WorkflowHistory = await desk.handle.fetch_history()
    assert told.runs[-1].to_json_dict() == last.to_json_dict()
    assert (await check_replay(RING, told)).findings == []
    assert await archivist.archive_all() == 0
    await open_still.handle.terminate()


async def test_the_records_know_a_manifest_made_anew(
    archivist: Archivist,
    store: Store,
    server: WorkflowEnvironment,
    engine: Engine,
    standard: Policy,
) -> None:
    """Nothing comes after it yet, so that the archive alone cannot tell."""
    desk = await closed(server, engine, standard)
    await archivist.archive_all()
    true = archived(store)[desk.number]
    false = true.model_copy(update={"archived_at": true.archived_at - timedelta(hours=1)})
    store.put(true.name, false.written())
    alone, held_against = [
        await inspect(store, RING_TEXT, [], number=desk.number, records=records)
        for records in (None, engine)
    ]
    assert desk.number not in {each.where for each in alone.findings}
    (verdict,) = held_against.verdicts
    assert [each.fault for each in verdict.findings] == [Fault.chain_broken]
    month = await inspect(store, RING_TEXT, [], month=true.month, records=engine)
    of_it = {each.fault for each in month.findings if each.where == desk.number}
    assert of_it == {Fault.chain_broken}
    store.remove(true.name)
    removed = await inspect(store, RING_TEXT, [], number=desk.number, records=engine)
    assert [(each.fault, each.detail) for each in removed.findings] == [
        (Fault.manifest_missing, "the records say that it was filed")
    ]


async def test_a_build_is_rehearsed_on_what_the_server_holds(
    server: WorkflowEnvironment, engine: Engine, standard: Policy
) -> None:
    began = datetime.now(UTC)
    desk = await closed(server, engine, standard)
    runs: list[Run] = []
    while len(runs) < 2:  # The list of workflows follows a little later.
        runs = await sample(server.client, 50, began)
    assert {run.number for run in runs} == {desk.number}
    assert len(await sample(server.client, 1, began)) == 1
    found = await rehearse(server.client, runs, RING_TEXT, 1)
    assert (found.replayed, found.differing, found.gone) == (2, [], 0)
    assert list(lines(found)) == ["2 runs replayed, 0 differ.", "共重放 2 次运行，0 次不一致。"]
    erased = Run(desk.number, str(uuid4()))  # Since it was listed.
    found = await rehearse(server.client, [erased, *runs], RING_TEXT, 1)
    assert (found.replayed, found.differing, found.gone) == (2, [], 1)
    assert json.loads(found.as_json())["gone"] == 1
    assert list(lines(found)) == [
        "2 runs replayed, 0 differ, 1 gone meanwhile.",
        "共重放 2 次运行，0 次不一致，1 次已不在。",
    ]


async def test_two_archivists_make_one_chain(
    archivist: Archivist,
    store: Store,
    server: WorkflowEnvironment,
    engine: Engine,
    standard: Policy,
) -> None:
    numbers = {(await closed(server, engine, standard)).number for _ in range(3)}
    other = Archivist(engine, server.client, store, RING, KEY)
    while chain.waiting(engine):
        added = await asyncio.gather(archivist.archive_all(), other.archive_all())
        if not any(added):
            break
    assert numbers <= set(archived(store))


async def test_a_month_is_signed_when_it_is_over(
    archivist: Archivist,
    store: Store,
    server: WorkflowEnvironment,
    engine: Engine,
    standard: Policy,
) -> None:
    await closed(server, engine, standard)
    await archivist.archive_all()
    assert archivist.sign_months() == []
    later = Archivist(
        engine,
        server.client,
        store,
        RING,
        KEY,
        now=lambda: datetime.now(UTC) + timedelta(days=31),
    )
    (head,) = later.sign_months()
    assert head.is_signed_by(public_key(KEY))
    assert later.sign_months() == []
    again = Archivist(engine, server.client, store, RING, KEY, now=later._now)
    assert again.sign_months() == []
    await closed(server, engine, standard)
    await archivist.archive_all()
    (longer,) = later.sign_months()
    assert longer.count == head.count + 1


async def test_a_head_that_is_not_ours_stays_as_evidence(
    archivist: Archivist,
    store: Store,
    server: WorkflowEnvironment,
    engine: Engine,
    standard: Policy,
) -> None:
    await closed(server, engine, standard)
    await archivist.archive_all()
    (head,) = archivist.sign_months(also_this_one=True)
    other = Ed25519PrivateKey.generate()
    forged = head.model_copy(update={"key": public_key(other)}).signed(other).written()
    for content in (forged, b"{}"):
        store.put(head.name, content)
        with capture_logs() as logs:
            worker = Archivist(engine, server.client, store, RING, KEY)
            assert worker.sign_months(also_this_one=True) == []
            assert worker.sign_months(also_this_one=True) == []
        assert [(each["event"], each["month"]) for each in logs] == [("head_not_ours", head.month)]
        assert store.get(head.name) == content
    store.remove(head.name)
    (healed,) = Archivist(engine, server.client, store, RING, KEY).sign_months(also_this_one=True)
    assert healed.hash == head.hash


async def test_a_records_key_goes_over_to_the_rings_new_one(
    archivist: Archivist,
    store: Store,
    server: WorkflowEnvironment,
    engine: Engine,
    standard: Policy,
) -> None:
    number = (await closed(server, engine, standard)).number
    await archivist.archive_all()
    before = store.get(key_file(number))
    keys = {"new": b"new!" * 8, "test": b"test" * 8, "index": b"both" * 8}
    both = KeyRing(keys)
    url = engine.url.render_as_string(hide_password=False)
    assert rekey(open_engine(url, both)).done >= 1
    assert rekey(open_engine(url, both)).done == 0
    assert store.get(key_file(number)) == before
    await archivist.archive_all()
    assert key_of(store, both, number).key == unwrapped(RING, number, before.decode()).key
    with pytest.raises(Unsealable):
        key_of(store, RING, number)
