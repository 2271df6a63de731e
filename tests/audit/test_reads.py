"""Who read what stands in the chain: nobody removes a line of the log unseen."""

import gzip
import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Engine, text
from temporalio.client import Client

from audit.access import read
from audit.archivist import Archivist
from audit.faults import Fault, Finding
from audit.filed import NothingThere, months
from audit.inspection import inspect
from audit.manifests import Erasure, Reads, public_key, read_entry
from audit.store import Store
from audit.verification import check_month
from records import chain
from records.access_log import Reader, pending, reads, write_down
from records.engine import migrate, open_engine
from tests.databases import (
    RING,
    RING_TEXT,
    all_at_once,
    empty_database,
    engine,
    postgres,
    postgres_engine,
    sqlite_template,
)

__all__ = ["empty_database", "engine", "postgres", "postgres_engine", "sqlite_template"]

KEY = Ed25519PrivateKey.generate()
AUDITOR = Reader("auditor", "AUD-7", None, "call-1")
NOW = datetime(2026, 11, 20, 4, 0, tzinfo=UTC)
MONTH = "2026-11"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "archive"))


def archivist(engine: Engine, store: Store, now: datetime = NOW) -> Archivist:
    """Nothing was closed, so that no server is asked."""
    return Archivist(engine, cast(Client, None), store, RING, KEY, now=lambda: now)


def did(engine: Engine, *whats: str) -> None:
    for what in whats:
        write_down(engine, what, AUDITOR, NOW, number="CR20261101-001", about="at=2026-11-20")


def entries(store: Store) -> list[Reads]:
    names = [name for name in store.names(MONTH) if name.endswith(".reads.json")]
    found = [json.loads(store.get(name)) for name in names]
    without = [{k: v for k, v in each.items() if k != "hash"} for each in found]
    return [cast(Reads, read_entry(json.dumps(each))) for each in without]


def faults(store: Store) -> dict[Fault, list[str]]:
    found: dict[Fault, list[str]] = {}
    for month in months(store):
        for each in check_month(store, RING, month, [public_key(KEY)], NOW):
            if isinstance(each, Finding):
                found.setdefault(each.fault, []).append(each.where)
    return found


async def test_what_was_read_is_archived_once_and_in_order(engine: Engine, store: Store) -> None:
    did(engine, "getRequestAt", "getHistory")
    await archivist(engine, store).archive_all()
    did(engine, "audit verify")
    for _ in range(2):
        await archivist(engine, store).archive_all()
    first, second = entries(store)
    assert (first.seq, first.count, second.seq, second.count) == (1, 2, 2, 1)
    rows = [*read(store.get(first.file)), *read(store.get(second.file))]
    assert [row["what"] for row in rows] == ["getRequestAt", "getHistory", "audit verify"]
    assert rows[0]["who"] == "AUD-7"
    assert datetime.fromisoformat(rows[0]["at"]) == NOW
    assert pending(engine) == []
    assert len(reads(engine).items) == 3
    assert faults(store) == {}
    later = archivist(engine, store, NOW + timedelta(days=30))
    (head,) = later.sign_months()
    assert head.count == 2
    assert (await inspect(store, RING_TEXT, [public_key(KEY)], month=MONTH)).findings == []


async def test_a_read_that_ends_late_is_not_passed_by(engine: Engine, store: Store) -> None:
    """Its row has a lower id than those that the chain has already."""
    did(engine, "first", "late", "last")
    with engine.begin() as connection:
        (late,) = connection.execute(text("SELECT id FROM access_log WHERE what = 'late'")).one()
        connection.execute(text(f"DELETE FROM access_pending WHERE id = {late}"))
    await archivist(engine, store).archive_all()
    with engine.begin() as connection:
        connection.execute(text(f"INSERT INTO access_pending (id) VALUES ({late})"))
    await archivist(engine, store).archive_all()
    taken = [[row["what"] for row in read(store.get(each.file))] for each in entries(store)]
    assert taken == [["first", "last"], ["late"]]


async def test_two_archivists_take_each_row_once(engine: Engine, store: Store) -> None:
    did(engine, *map(str, range(20)))
    all_at_once(2, lambda _: archivist(engine, store)._archive_reads())
    await archivist(engine, store).archive_all()
    taken = [row["what"] for each in entries(store) for row in read(store.get(each.file))]
    assert sorted(taken, key=int) == [str(each) for each in range(20)]
    kept = {each.file for each in entries(store)}
    assert {name for name in store.names(MONTH) if name.endswith(".gz")} == kept
    assert faults(store) == {}


async def faults_held_against(records: Engine | None, store: Store) -> list[tuple[Fault, str]]:
    found = await inspect(store, RING_TEXT, [public_key(KEY)], month=MONTH, records=records)
    return [(each.fault, each.where) for each in found.findings]


async def test_the_records_miss_what_was_cut_off(engine: Engine, store: Store) -> None:
    """Until the month is signed, nothing in the archive says where it ends."""
    for what in ("one", "two", "three"):
        did(engine, what)
        await archivist(engine, store).archive_all()
    assert await faults_held_against(engine, store) == []
    *_, last = entries(store)
    store.remove(last.name)
    store.remove(last.file)
    assert await faults_held_against(None, store) == []
    assert await faults_held_against(engine, store) == [(Fault.manifest_missing, last.name)]


async def test_the_records_know_a_chain_made_anew(engine: Engine, store: Store) -> None:
    """By somebody who has the key that signs."""
    did(engine, "one", "two")
    await archivist(engine, store).archive_all()
    (true,) = entries(store)
    content = by_somebody_else(store.get(true.file))
    false = true.model_copy(update={"sha256": hashlib.sha256(content).hexdigest()})
    store.put(true.file, content)
    store.put(true.name, false.written())
    head = archivist(engine, store).sign_months(also_this_one=True)[0]
    forged = head.model_copy(update={"hash": false.hash}).signed(KEY)
    store.put(forged.name, forged.written())
    assert await faults_held_against(None, store) == []
    assert await faults_held_against(engine, store) == [(Fault.chain_broken, true.name)]


async def test_an_entry_never_stands_in_an_earlier_month(engine: Engine, store: Store) -> None:
    """At the turn of a month two archivists' clocks differ."""
    ahead, behind = NOW + timedelta(days=30), NOW
    for n, clock in enumerate((behind, ahead, behind)):
        did(engine, f"read {n}")
        await archivist(engine, store, clock).archive_all()
    first, *others = chain.months(engine)
    assert (first[1], [each[1] for each in others]) == (1, [2])
    assert {fault for fault in faults(store) if fault is not Fault.head_missing} == set()


async def test_the_records_know_no_entry_that_was_made_up(engine: Engine, store: Store) -> None:
    """A destroyed key is not excused by an erasure that is bound as it should be."""
    did(engine, "one")
    await archivist(engine, store).archive_all()
    (last,) = entries(store)
    made_up = Erasure(
        seq=2, month=MONTH, number="CR20261101-001", at=NOW, why="asked", previous=last.hash
    )
    store.put(made_up.name, made_up.written())
    assert await faults_held_against(None, store) == []
    assert await faults_held_against(engine, store) == [(Fault.chain_broken, made_up.name)]


async def test_a_month_that_is_gone_is_missed(engine: Engine, store: Store) -> None:
    """Whoever asks for that month alone must not be told that all is well."""
    for n in range(3):
        did(engine, f"read {n}")
        await archivist(engine, store, NOW + timedelta(days=30 * n)).archive_all()
    whole = months(store)
    gone = whole[1]
    for name in store.names(gone):
        store.remove(name)
    found = await inspect(store, RING_TEXT, [], month=gone)
    assert [(each.fault, each.detail) for each in found.findings] == [
        (Fault.manifest_missing, "1 missing before it")
    ]
    with pytest.raises(NothingThere, match=whole[2]):
        await inspect(store, RING_TEXT, [], month="2019-01")


@pytest.fixture
async def archived(engine: Engine, store: Store) -> list[Reads]:
    for what in ("one", "two", "three"):
        did(engine, what)
        await archivist(engine, store).archive_all()
    archivist(engine, store, NOW + timedelta(days=30)).sign_months()
    return entries(store)


def without_a_row(content: bytes) -> bytes:
    return gzip.compress(b"[]")


def by_somebody_else(content: bytes) -> bytes:
    return gzip.compress(gzip.decompress(content).replace(b"AUD-7", b"AUD-8"), mtime=0)


@pytest.mark.parametrize("change", [without_a_row, by_somebody_else])
def test_a_changed_log_is_named(store: Store, archived: list[Reads], change: Any) -> None:
    victim = archived[1]
    store.put(victim.file, change(store.get(victim.file)))
    assert faults(store) == {Fault.reads_changed: [victim.name]}


def test_a_removed_log_is_named(store: Store, archived: list[Reads]) -> None:
    victim = archived[1]
    store.remove(victim.file)
    assert faults(store) == {Fault.reads_missing: [victim.name]}
    store.remove(victim.name)
    assert faults(store)[Fault.manifest_missing] == [archived[2].name]


def test_a_log_that_was_cut_off_at_its_end_is_named(store: Store, archived: list[Reads]) -> None:
    store.remove(archived[-1].file)
    store.remove(archived[-1].name)
    assert faults(store) == {Fault.head_wrong: [MONTH]}


@pytest.fixture
def before(empty_database: str) -> Iterator[Engine]:
    engine = open_engine(empty_database, RING)
    migrate(engine, "0011")
    yield engine
    engine.dispose()


def test_reads_of_personal_data_from_before_go_over_into_the_log(before: Engine) -> None:
    columns = "at, role, who, number, what, reason, request_id"
    with before.begin() as connection:
        for what in ("customer", "find"):
            connection.execute(
                text(
                    f"INSERT INTO personal_read ({columns}) VALUES ('2026-11-20 04:00:00+00:00', "
                    f"'agent', 'A-1', NULL, '{what}', '回电', 'call-1')"
                )
            )
    migrate(before)
    assert [(row.kind, row.what) for row in pending(before)] == [
        ("personal", "customer"),
        ("personal", "find"),
    ]
    did(before, "getHistory")
    assert [row.what for row in reads(before).items] == ["getHistory", "find", "customer"]
