"""Whoever changes the archive is caught, and what was changed is named."""

import asyncio
import base64
import gzip
import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from rich.console import Console
from sqlalchemy import Engine
from temporalio.client import WorkflowHistory

from audit.faults import Fault, Finding
from audit.filed import story
from audit.histories import NoHistory, Story
from audit.inspection import inspect, lines
from audit.keys import key_file, key_of, wrapped
from audit.manifests import BEGINNING, Erasure, Head, Manifest, described, public_key
from audit.mining import mine
from audit.replaying import check_replay
from audit.report import render
from audit.store import Store
from audit.verification import check_again, check_month, check_one
from audit.what_if import judge_month
from domain.policy import read_policy
from records.sealing import DataKey
from runtime.settings import STANDARD_POLICY
from tests.databases import RING, RING_TEXT

GOLDENS = sorted((Path(__file__).parents[1] / "workflow" / "histories" / "v1").glob("*.json"))
KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
OTHER = Ed25519PrivateKey.from_private_bytes(b"o" * 32)
MONTH = "2026-11"
NOW = datetime(2026, 11, 30, 16, 0, tzinfo=UTC)


@cache
def golden(path: Path) -> Story:
    history = WorkflowHistory.from_json("", path.read_text(encoding="utf-8"))
    number = history.events[0].workflow_execution_started_event_attributes.workflow_id
    return Story(number, (WorkflowHistory(number, history.events),))


@cache
def said(path: Path) -> dict[str, Any]:
    """What a manifest has to say of it."""
    return asyncio.run(check_replay(RING, golden(path))).says


@cache
def sealed(path: Path) -> tuple[DataKey, bytes]:
    key = DataKey()
    return key, golden(path).sealed(key)


class Archive:
    """A month of real histories, and what an intruder may do to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = Store(str(folder))
        self.manifests: list[Manifest] = []
        for path in GOLDENS:
            self.add(path)
        self.sign(KEY)

    def add(self, path: Path) -> None:
        told, (key, content) = golden(path), sealed(path)
        last = self.manifests[-1] if self.manifests else None
        manifest = Manifest(
            seq=len(self.manifests) + 1,
            month=MONTH,
            file=f"{MONTH}/{told.number}.history",
            archived_at=NOW,
            previous=last.hash if last else BEGINNING,
            **{**described(told, content), **said(path)},
        )
        self.store.put(manifest.file, content)
        self.store.put(key_file(told.number), wrapped(RING, told.number, key).encode())
        self.file(manifest)
        self.manifests.append(manifest)

    def opened(self, manifest: Manifest) -> Any:
        """A history in clear; the intruder has the ring as well."""
        return json.loads(gzip.decompress(story(self.store, RING, manifest).written()))

    def replaced(self, manifest: Manifest, kept: Any) -> Manifest:
        """The manifest of another history that was put in place of this one, sealed as it was."""
        key = key_of(self.store, RING, manifest.number)
        written = gzip.compress(json.dumps({**kept, "number": manifest.number}).encode())
        content = key.seal_bytes(written, f"history/{manifest.number}")
        self.store.put(manifest.file, content)
        return manifest.model_copy(update={"sha256": hashlib.sha256(content).hexdigest()})

    def file(self, manifest: Manifest) -> None:
        self.store.put(manifest.name, manifest.written())

    def sign(self, key: Ed25519PrivateKey) -> None:
        last = self.manifests[-1]
        head = Head(
            month=MONTH,
            count=len(self.manifests),
            seq=last.seq,
            hash=last.hash,
            signed_at=NOW,
            key=public_key(key),
        )
        self.store.put(head.name, head.signed(key).written())

    def path(self, name: str) -> Path:
        return self.folder / name

    def rebind(self, start: int) -> None:
        """Make the chain from this place on hang together again, as an intruder would."""
        for place in range(start, len(self.manifests)):
            before = self.manifests[place - 1].hash if place else BEGINNING
            self.path(self.manifests[place].name).unlink(missing_ok=True)
            self.manifests[place] = self.manifests[place].model_copy(
                update={"previous": before, "seq": place + 1}
            )
            self.file(self.manifests[place])

    def faults(self, now: datetime = NOW) -> dict[Fault, list[str]]:
        found: dict[Fault, list[str]] = {}
        for each in check_month(self.store, RING, MONTH, [public_key(KEY)], now):
            if isinstance(each, Finding):
                found.setdefault(each.fault, []).append(each.where)
        return found


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path)


def test_an_untouched_archive_is_in_order(archive: Archive) -> None:
    checked = list(check_month(archive.store, RING, MONTH, [public_key(KEY)], NOW))
    assert checked == archive.manifests
    assert list(check_one(archive.store, RING, archive.manifests[2].number)) == [
        archive.manifests[2]
    ]


def test_every_byte_of_a_history_counts(archive: Archive) -> None:
    victim = archive.manifests[1]
    path = archive.path(victim.file)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert archive.faults() == {Fault.history_changed: [victim.number]}
    (_, finding) = check_one(archive.store, RING, victim.number)
    assert isinstance(finding, Finding)
    assert finding.fault is Fault.history_changed


def test_an_events_time_cannot_be_moved_even_with_a_new_hash(archive: Archive) -> None:
    """The intruder corrects the manifest's hashes as well: the next one is not bound to it."""
    victim = archive.manifests[1]
    kept = archive.opened(victim)
    kept["runs"][0]["history"]["events"][4]["eventTime"] = "2026-11-22T00:00:00Z"
    archive.file(archive.replaced(victim, kept))
    assert archive.faults() == {Fault.chain_broken: [archive.manifests[2].name]}


def test_a_whole_new_chain_does_not_lead_to_the_signed_head(archive: Archive) -> None:
    archive.manifests[1] = archive.manifests[1].model_copy(update={"outcome": "cancelled"})
    archive.rebind(1)
    assert archive.faults() == {Fault.head_wrong: [MONTH]}


def test_a_chain_signed_with_another_key_is_not_ours(archive: Archive) -> None:
    archive.manifests[1] = archive.manifests[1].model_copy(update={"outcome": "cancelled"})
    archive.rebind(1)
    archive.sign(OTHER)
    assert archive.faults() == {Fault.signer_unknown: [MONTH]}


def test_our_key_named_over_anothers_signature_is_seen(archive: Archive) -> None:
    archive.sign(OTHER)
    path = archive.path(f"{MONTH}/head.json")
    path.write_text(path.read_text().replace(public_key(OTHER), public_key(KEY)))
    assert archive.faults() == {Fault.signature_wrong: [MONTH]}


@pytest.mark.parametrize("place", [0, 2, 5])
def test_a_removed_request_leaves_a_gap(archive: Archive, place: int) -> None:
    gone = archive.manifests[place]
    archive.path(gone.name).unlink()
    archive.path(gone.file).unlink()
    faults = archive.faults()
    if place == 5:  # The last one: only the head knows that there was more.
        assert faults == {Fault.head_wrong: [MONTH]}
    else:
        fault = Fault.chain_broken if place == 0 else Fault.manifest_missing
        assert faults[fault] == [archive.manifests[place + 1].name]


def test_a_missing_history_is_named(archive: Archive) -> None:
    archive.path(archive.manifests[3].file).unlink()
    assert archive.faults() == {Fault.history_missing: [archive.manifests[3].number]}


def test_a_missing_key_is_named(archive: Archive) -> None:
    victim = archive.manifests[3]
    archive.path(key_file(victim.number)).unlink()
    assert archive.faults() == {Fault.key_missing: [victim.number]}


def test_anothers_key_and_a_made_up_one_are_named(archive: Archive) -> None:
    one, two, three, four = archive.manifests[:4]
    another = archive.store.get(key_file(two.number))
    archive.store.put(key_file(one.number), another)
    archive.store.put(key_file(three.number), b"\xff")
    archive.store.put(key_file(four.number), wrapped(RING, four.number, DataKey()).encode())
    assert archive.faults() == {
        Fault.key_wrong: [one.number, three.number],
        Fault.history_unreadable: [four.number],
    }


def test_two_swapped_histories_are_both_named(archive: Archive) -> None:
    one, two = (archive.path(archive.manifests[place].file) for place in (1, 4))
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)
    numbers = [archive.manifests[place].number for place in (1, 4)]
    assert archive.faults() == {Fault.history_changed: numbers}


def test_two_swapped_manifests_are_both_named(archive: Archive) -> None:
    one, two = (archive.path(archive.manifests[place].name) for place in (1, 4))
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)
    assert set(archive.faults()[Fault.manifest_changed]) == {
        archive.manifests[place].name for place in (1, 4)
    }


def test_a_history_under_anothers_name_is_seen(archive: Archive) -> None:
    """Sealed with its key and the manifest made to fit: what the history says gives it away."""
    place = len(archive.manifests) - 1
    stranger = archive.opened(archive.manifests[0])
    archive.manifests[place] = archive.replaced(archive.manifests[place], stranger)
    archive.rebind(place)
    archive.sign(KEY)
    faults = archive.faults()
    assert faults[Fault.history_misplaced] == [archive.manifests[place].number]
    assert faults.keys() == {Fault.history_misplaced, Fault.manifest_untrue}


def _cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def _other_outcome(content: bytes) -> bytes:
    return content.replace(b'"outcome":"', b'"outcome":"not_')


def _rubbish(content: bytes) -> bytes:
    return base64.b64encode(content)


@pytest.mark.parametrize("change", [_cut, _other_outcome, _rubbish])
def test_a_changed_manifest_is_named(archive: Archive, change: Callable[[bytes], bytes]) -> None:
    path = archive.path(archive.manifests[3].name)
    path.write_bytes(change(path.read_bytes()))
    assert archive.faults()[Fault.manifest_changed] == [archive.manifests[3].name]


def test_a_month_that_is_over_must_be_signed(archive: Archive) -> None:
    archive.path(f"{MONTH}/head.json").unlink()
    assert archive.faults() == {}
    assert archive.faults(NOW + timedelta(days=2)) == {Fault.head_missing: [MONTH]}
    archive.store.put("2026-12/head.json", b"{}")
    assert archive.faults() == {Fault.head_missing: [MONTH]}


async def test_an_inspection_replays_what_is_whole_and_names_what_is_not(archive: Archive) -> None:
    victim, sound = archive.manifests[1], archive.manifests[2]
    archive.path(victim.file).unlink()
    found = await inspect(archive.store, RING_TEXT, [public_key(KEY)], month=MONTH)
    told = json.loads("".join(found.as_json()))
    verdicts = {each["number"]: each["verdict"] for each in told["requests"]}
    assert (verdicts[victim.number], verdicts[sound.number]) == ("faulty", "sound")
    assert told["sound"] is False
    assert list(lines(found))[-1].startswith("6 requests, 1 fault.")
    one = await inspect(archive.store, RING_TEXT, [public_key(KEY)], number=sound.number)
    assert json.loads("".join(one.as_json()))["sound"] is True


async def test_a_history_that_the_code_would_not_have_written_is_found(archive: Archive) -> None:
    """It was made up before it was archived: nobody changed it since."""
    place = len(archive.manifests) - 1
    kept = archive.opened(archive.manifests[place])
    events = kept["runs"][0]["history"]["events"]
    (timer, *_) = (each for each in events if "timerStartedEventAttributes" in each)
    timer["eventType"] = "EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED"
    del timer["timerStartedEventAttributes"]
    timer["workflowExecutionSignaledEventAttributes"] = {"signalName": "record"}
    archive.manifests[place] = archive.replaced(archive.manifests[place], kept)
    archive.rebind(place)
    archive.sign(KEY)
    number = archive.manifests[place].number
    found = await inspect(archive.store, RING_TEXT, [public_key(KEY)], number=number)
    assert [finding.fault for finding in found.findings] == [Fault.replay_differs]


async def test_half_a_history_is_not_sound_however_well_it_is_sealed(archive: Archive) -> None:
    """Whoever has every key leaves away the end; the manifest is left as it was, or made to fit."""
    place = len(archive.manifests) - 1
    whole = archive.manifests[place]
    kept = archive.opened(whole)
    events = kept["runs"][0]["history"]["events"]
    del events[len(events) // 2 :]
    half = archive.replaced(whole, kept)
    number = [whole.number]
    archive.manifests[place] = half
    archive.rebind(place)
    archive.sign(KEY)
    assert archive.faults() == {Fault.history_incomplete: number, Fault.manifest_untrue: number}
    archive.manifests[place] = half.model_copy(update={"events": len(events)})
    archive.rebind(place)
    archive.sign(KEY)
    assert archive.faults() == {Fault.history_incomplete: number}


@pytest.mark.parametrize(
    "untrue",
    [
        {"events": 1, "runs": ("another",), "builds": ("another",)},
        {"outcome": None, "policy_version": "0123456789abcdef", "closed_at": NOW},
    ],
)
async def test_a_manifest_that_says_otherwise_than_its_history_is_found(
    archive: Archive, untrue: dict[str, Any]
) -> None:
    place = len(archive.manifests) - 1
    archive.manifests[place] = archive.manifests[place].model_copy(update=untrue)
    archive.rebind(place)
    archive.sign(KEY)
    found = await inspect(archive.store, RING_TEXT, [public_key(KEY)], month=MONTH)
    number = archive.manifests[place].number
    told = [(each.fault, each.where, each.detail.split(":")[0]) for each in found.findings]
    assert sorted(told) == sorted((Fault.manifest_untrue, number, name) for name in untrue)


def _no_start(kept: Any) -> None:
    """To replay such a run would wait for ever."""
    del kept["runs"][0]["history"]["events"][0]


def _no_such_event(kept: Any) -> None:
    kept["runs"][0]["history"]["events"][3]["eventType"] = "EVENT_TYPE_OF_ANOTHER_AGE"


def _nonsense_in_a_step(kept: Any) -> None:
    for event in kept["runs"][0]["history"]["events"]:
        details = event.get("markerRecordedEventAttributes", {}).get("details", {})
        for part in {"data", "result"} & details.keys():
            details[part]["payloads"] = [{"data": base64.b64encode(b"[").decode()}]


@pytest.mark.parametrize("change", [_no_start, _no_such_event, _nonsense_in_a_step])
async def test_one_that_makes_no_sense_keeps_no_other_from_being_read(
    archive: Archive, tmp_path: Path, change: Callable[[Any], None]
) -> None:
    place = len(archive.manifests) - 1
    kept = archive.opened(archive.manifests[place])
    change(kept)
    number = archive.manifests[place].number
    archive.manifests[place] = archive.replaced(archive.manifests[place], kept)
    archive.rebind(place)
    archive.sign(KEY)
    found = await inspect(archive.store, RING_TEXT, [public_key(KEY)], month=MONTH)
    assert {each.where for each in found.findings} == {number}
    assert found.findings[0].fault in (Fault.history_unreadable, Fault.replay_differs)
    assert [each.word for each in found.verdicts] == ["sound"] * place + ["faulty"]
    mined = await mine(archive.store, RING_TEXT, tmp_path / "logs", month=MONTH)
    assert [named for named, _ in mined.unreadable] == [number]
    assert mined.figures.requests == place
    other = read_policy(STANDARD_POLICY.read_text(encoding="utf-8"))
    judged = await judge_month(archive.store, RING_TEXT, MONTH, other, NOW, Console())
    assert (judged.judged, judged.skipped) == (place, [number])


def test_rubbish_that_was_squeezed_is_no_history() -> None:
    squeezed = bytearray(gzip.compress(b"[]" * 100))
    squeezed[15] ^= 0xFF
    with pytest.raises(NoHistory):
        Story.read(bytes(squeezed))


class Erasing(Store):
    """A store in which a request is erased while it is read, after its file was checked."""

    def __init__(self, url: str, erasure: Erasure) -> None:
        super().__init__(url)
        self._erasure = erasure

    def get(self, name: str) -> bytes:
        content = super().get(name)
        if name == key_file(self._erasure.number):
            self.put(self._erasure.name, self._erasure.written())
            self.remove(name)
        return content


async def test_an_erasure_while_a_month_is_read_is_no_fault(
    archive: Archive, tmp_path: Path
) -> None:
    victim, last = archive.manifests[2], archive.manifests[-1]
    erasure = Erasure(
        seq=last.seq + 1,
        month=MONTH,
        previous=last.hash,
        number=victim.number,
        at=NOW,
        why="asked",
    )
    key = archive.store.get(key_file(victim.number))

    def erasing() -> Store:
        archive.store.put(key_file(victim.number), key)
        archive.store.remove(erasure.name)
        return Erasing(archive.store.url, erasure)

    found = await inspect(erasing(), RING_TEXT, [public_key(KEY)], month=MONTH)
    assert found.findings == []
    words = {each.manifest.number: each.word for each in found.verdicts}
    assert words[victim.number] == "erased"
    other = read_policy(STANDARD_POLICY.read_text(encoding="utf-8"))
    judged = await judge_month(erasing(), RING_TEXT, MONTH, other, NOW, Console())
    assert (judged.judged, judged.erased, judged.skipped) == (len(words) - 1, 1, [])


def test_a_key_destroyed_while_a_month_is_read_is_a_fault_without_an_erasure(
    archive: Archive,
) -> None:
    victim = archive.manifests[2]
    archive.path(key_file(victim.number)).unlink()
    (finding,) = check_again(archive.store, victim)
    assert isinstance(finding, Finding)
    assert finding.fault is Fault.key_missing
    archive.path(victim.file).unlink()
    (finding,) = check_again(archive.store, victim)
    assert isinstance(finding, Finding)
    assert finding.fault is Fault.history_missing


async def test_what_is_not_archived_may_be_open_still_or_removed(
    archive: Archive, own_records: Engine
) -> None:
    number = "CR20990101-001"
    alone, held_against = [
        await inspect(archive.store, RING_TEXT, [], number=number, records=records)
        for records in (None, own_records)
    ]
    (finding,) = alone.findings
    assert finding.fault is Fault.manifest_missing
    assert "without the database nobody knows whether it is still open" in finding.detail
    assert finding.detail in "".join(alone.as_json())
    assert finding.detail in "".join(lines(alone))
    assert "没有数据库，无从得知它是否尚未关闭" in "".join(render(alone, "zh-CN"))
    assert finding.detail in "".join(render(alone, "en"))
    (finding,) = held_against.findings
    assert "without the database" not in finding.detail
    assert "the records do not say that it was filed" in finding.detail
