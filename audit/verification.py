"""What the archive can prove: that nothing in it was changed, removed or put elsewhere, and that
each history is what today's code would have done.

It needs the archive and the key ring, neither server nor database: years later that may be all
there is.
"""

import hashlib
import posixpath
import re
from collections.abc import AsyncIterator, Generator, Iterator, Sequence
from enum import StrEnum
from functools import cached_property
from typing import Any, NamedTuple

from temporalio.client import WorkflowHistory

from audit.access import NoReads, read
from audit.commands import Place
from audit.event_log import Trace, trace
from audit.facts import told_by
from audit.histories import NoHistory, Story
from audit.keys import key_file, key_of
from audit.manifests import (
    BEGINNING,
    AnyEntry,
    Entry,
    Erasure,
    Head,
    Manifest,
    Reads,
    counted,
    read_entry,
)
from audit.promises import judge
from audit.semantics import Watcher, differences, replay_whole
from audit.store import Missing, Store
from audit.verdicts import Judged, judged
from domain.forms import Form, forms
from records.sealing import KeyRing, Unsealable

_ENTRY = re.compile(r"/[0-9]{8}(-(?P<number>CR[0-9]{8}-[0-9]+))?\.(?P<kind>[a-z]+)\.json$")


class Fault(StrEnum):
    """What can be wrong with an archive."""

    history_missing = "history_missing"
    history_changed = "history_changed"
    history_misplaced = "history_misplaced"
    history_unreadable = "history_unreadable"
    history_incomplete = "history_incomplete"
    key_missing = "key_missing"
    key_wrong = "key_wrong"
    erasure_incomplete = "erasure_incomplete"
    reads_missing = "reads_missing"
    reads_changed = "reads_changed"
    manifest_changed = "manifest_changed"
    manifest_untrue = "manifest_untrue"
    manifest_missing = "manifest_missing"
    chain_broken = "chain_broken"
    head_missing = "head_missing"
    head_wrong = "head_wrong"
    signature_wrong = "signature_wrong"
    signer_unknown = "signer_unknown"
    replay_differs = "replay_differs"
    rules_differ = "rules_differ"
    promise_differs = "promise_differs"
    form_differs = "form_differs"


class Finding(NamedTuple):
    """One thing that is wrong, and where.

    Attributes:
        place: of a replay: where in the history.
    """

    fault: Fault
    where: str
    detail: str
    place: Place | None = None


Checked = Manifest | Erasure | Finding
"""A history's manifest; the entry that says that it was erased; whatever is wrong with it."""


class _Link(NamedTuple):
    """What is kept of an entry until the end of its month is checked."""

    seq: int
    hash: str


def check_month(store: Store, ring: KeyRing, month: str, keys: Sequence[str]) -> Iterator[Checked]:
    """Every manifest of a month in order, and every fault of its files and its chain.

    Args:
        ring: opens the histories.
        keys: the public keys, base64, that may have signed.
    """
    previous = _before(store, month)
    erased = _Erased(store, month)
    links: list[_Link] = []
    for name in _filed(store, month):
        entry, finding = _read(store, name)
        if finding is not None:
            yield finding
        if entry is None:
            previous = None
            continue
        if finding is None and isinstance(entry, Manifest):
            yield entry
            yield from _check_history(store, ring, entry, erased)
        elif finding is None and isinstance(entry, Reads):
            yield from _check_reads(store, entry)
        yield from _check_link(entry, previous, name)
        previous = entry
        links.append(_Link(entry.seq, entry.hash))
    if not links and (after := _after(store, month)) is not None:
        yield from _check_link(after, _before(store, month), after.name)
    yield from _check_head(store, month, links, keys)


def check_one(store: Store, ring: KeyRing, number: str) -> Iterator[Checked]:
    """The manifest of one request with the faults of its file and of its links to both sides.

    A request that was erased before it was archived has none, only the entry that says so.
    """
    erased = _Erased(store)
    for month in months(store):
        names = list(_filed(store, month))
        name = next((name for name in names if _tells_of(name, number, "manifest")), None)
        if name is None:
            continue
        manifest, finding = _read(store, name)
        if finding is not None:
            yield finding
        if isinstance(manifest, Manifest):
            yield manifest
            yield from _check_history(store, ring, manifest, erased)
            yield from _check_place(store, manifest, name)
        return
    erasure = yield from erased.entry(number)
    if erasure is not None:
        yield erasure
    else:
        yield Finding(Fault.manifest_missing, number, "the archive has no manifest of this request")


def months(store: Store) -> list[str]:
    """The months that the archive has, in order."""
    folders = (name.rstrip("/") for name in store.names())
    return [name for name in folders if re.fullmatch(r"[0-9]{4}-[0-9]{2}", name)]


class NothingThere(Exception):
    """The archive holds nothing of the time that was asked for; the message says what it holds."""

    def __init__(self, store: Store) -> None:
        held = months(store)
        super().__init__(f"it has {', '.join(held[-6:])}" if held else "it is empty")


def kept(store: Store, month: str) -> Iterator[Checked]:
    """Every manifest of a month in order, as it stands and with nothing checked.

    In place of one whose history was erased stands the entry that says so.
    """
    erased = _Erased(store, month)
    for name in _filed(store, month):
        entry, finding = _read(store, name)
        if entry is None and finding is not None:
            yield finding
        elif isinstance(entry, Manifest):
            erasure = yield from erased.entry(entry.number)
            yield erasure or entry


def story(store: Store, ring: KeyRing, manifest: Manifest) -> Story:
    """The archived history.

    Raises:
        Missing: it is not there, or its key is not.
        NoHistory: the file holds none, or does not open.
    """
    sealed = store.get(manifest.file)
    try:
        key = key_of(store, ring, manifest.number)
    except Unsealable as error:
        raise NoHistory(str(error)) from None
    return Story.opened(sealed, key, manifest.number)


class Replayed(NamedTuple):
    """What came of one history.

    Attributes:
        judged: every promise, judged from what happened alone; None: it does not replay, it is not
            a request's whole history, or no worker has taken it up yet.
        trace: the request as an event log has it; None: likewise.
        forms: the forms that the request gave rise to.
        numbers: their numbers, by key.
        says: what its manifest has to say, as far as the history tells it.
    """

    findings: list[Finding]
    judged: Judged | None = None
    trace: Trace | None = None
    forms: list[Form] = []
    numbers: dict[str, str] = {}
    says: dict[str, Any] = {}

    def held_against(self, manifest: Manifest) -> Iterator[Finding]:
        """What the manifest says otherwise than the history."""
        for name, value in self.says.items():
            if (said := getattr(manifest, name)) != value:
                detail = f"{name}: it says {said}, the history {value}"
                yield Finding(Fault.manifest_untrue, manifest.number, detail)


async def check_replay(ring: KeyRing, story: Story) -> Replayed:
    """Where today's code would have done something else than the history says, and whether the
    promises were what the events alone make of them.

    Without the sandbox, which only guards against code that is not deterministic: the tests run
    every workflow inside it, and an archive is read twice as fast without.
    """
    watcher = Watcher()
    findings = [finding async for finding in _replay(ring, story, watcher)]
    seen = not story.lacks and story.runs[-1].run_id in watcher.until
    if not seen or any(each.fault is Fault.replay_differs for each in findings):
        return Replayed(findings, says=counted(story))
    told = await told_by(ring, story, watcher)
    try:
        found = judge(told)
    except (LookupError, TypeError, ValueError) as error:
        about = f"cannot be judged: {type(error).__name__}"
        findings.append(Finding(Fault.promise_differs, story.number, about))
        return Replayed(findings, says=counted(story))
    findings += (Finding(Fault.promise_differs, story.number, str(each)) for each in found.doubts)
    request = told.request
    says = {
        **counted(story),
        "policy_version": request.policy.version,
        "outcome": request.outcome,
        "closed_at": request.closed_at,
    }
    verdict = judged(story, told, found)
    return Replayed(findings, verdict, trace(told), forms(request), dict(request.numbers), says)


async def check_unarchived(ring: KeyRing, story: Story) -> Replayed:
    """The same of a request that the server still has: it need not be over, but must be whole."""
    replayed = await check_replay(ring, story)
    if story.lacks:
        gap = Finding(Fault.history_incomplete, story.number, story.lacks)
        return replayed._replace(findings=[gap, *replayed.findings])
    return replayed


async def _replay(ring: KeyRing, story: Story, watcher: Watcher) -> AsyncIterator[Finding]:
    for run in story.runs:
        if not _was_worked_on(run):
            continue
        if (place := await replay_whole(ring, run, watcher)) is not None:
            yield Finding(Fault.replay_differs, story.number, str(place), place)
            continue
        for difference in await differences(run, watcher.deeds[run.run_id], ring):
            place = difference.place(run)
            yield Finding(Fault.rules_differ, story.number, str(place), place)


def _was_worked_on(run: WorkflowHistory) -> bool:
    """Whether a worker has taken it up yet; until then there is nothing to replay."""
    return any(event.HasField("workflow_task_completed_event_attributes") for event in run.events)


def _tells_of(name: str, number: str, kind: str) -> bool:
    found = _ENTRY.search(name)
    return found is not None and (found["number"], found["kind"]) == (number, kind)


def holds(store: Store, month: str) -> bool:
    """Whether the archive has any entry of a month."""
    return any(True for _ in _filed(store, month))


def places(store: Store, month: str) -> dict[int, str]:
    """The file of every entry of a month, by its place in the chain."""
    return {int(posixpath.basename(name)[:8]): name for name in _filed(store, month)}


def hash_of(store: Store, name: str) -> str | None:
    """What the entry in a file comes to; None: there is none in it."""
    entry, _ = _read(store, name)
    return None if entry is None else entry.hash


def how_many(store: Store, month: str) -> int:
    """How many requests a month has manifests of."""
    found = map(_ENTRY.search, _filed(store, month))
    return sum(1 for each in found if each and each["kind"] == "manifest")


def _filed(store: Store, month: str) -> Iterator[str]:
    return (name for name in store.names(month) if _ENTRY.search(name))


def _read(store: Store, name: str) -> tuple[AnyEntry | None, Finding | None]:
    """The entry in a file, and what is wrong with the file itself."""
    try:
        content = store.get(name)
        entry = read_entry(_without_hash(content))
    except (Missing, ValueError) as error:
        return None, Finding(
            Fault.manifest_changed, name, f"not an entry of the chain ({type(error).__name__})"
        )
    if entry.written() != content:
        return entry, Finding(
            Fault.manifest_changed, name, "its content is not what its own hash says"
        )
    if entry.name != name:
        return entry, Finding(Fault.manifest_changed, name, f"it belongs at {entry.name}")
    return entry, None


def _without_hash(content: bytes) -> bytes:
    return re.sub(rb'"hash":"[0-9a-f]{64}",', b"", content, count=1)


def _check_history(
    store: Store, ring: KeyRing, manifest: Manifest, erased: "_Erased"
) -> Iterator[Checked]:
    number = manifest.number
    erasure = yield from erased.entry(number)
    if erasure is not None:
        yield erasure
    try:
        content = store.get(manifest.file)
    except Missing:
        yield Finding(Fault.history_missing, number, f"{manifest.file} is not there")
        return
    if hashlib.sha256(content).hexdigest() != manifest.sha256:
        yield Finding(Fault.history_changed, number, f"{manifest.file} is not what was archived")
        return
    try:
        told = Story.opened(content, key_of(store, ring, number), number)
    except Missing:
        if erasure is None:
            yield Finding(Fault.key_missing, number, f"{key_file(number)} is not there")
        return
    except Unsealable as error:
        yield Finding(Fault.key_wrong, number, f"{key_file(number)}: {error}")
        return
    except NoHistory as error:
        yield Finding(Fault.history_unreadable, number, str(error))
        return
    if erasure is not None:
        yield Finding(Fault.erasure_incomplete, number, f"{key_file(number)} is still there")
    if told.is_about != {number}:
        about = ", ".join(sorted(told.is_about))
        yield Finding(Fault.history_misplaced, number, f"it tells of {about}")
    if (lacks := told.lacks) or not told.is_over:
        yield Finding(Fault.history_incomplete, number, lacks or "it does not end")


def _check_reads(store: Store, entry: Reads) -> Iterator[Finding]:
    try:
        content = store.get(entry.file)
    except Missing:
        yield Finding(Fault.reads_missing, entry.name, f"{entry.file} is not there")
        return
    if hashlib.sha256(content).hexdigest() != entry.sha256:
        yield Finding(Fault.reads_changed, entry.name, f"{entry.file} is not what was archived")
        return
    try:
        found = len(read(content))
    except NoReads as error:
        yield Finding(Fault.reads_changed, entry.name, str(error))
        return
    if found != entry.count:
        detail = f"{entry.count} rows were archived, {found} are there"
        yield Finding(Fault.reads_changed, entry.name, detail)


class _Erased:
    """The erasures that the chain tells of: they stand wherever it had come to by then.

    Args:
        since: the first month to look in.
    """

    def __init__(self, store: Store, since: str = "") -> None:
        self._store, self._since = store, since

    @cached_property
    def _names(self) -> dict[str, str]:
        return {
            found["number"]: name
            for month in months(self._store)
            if month >= self._since
            for name in _filed(self._store, month)
            if (found := _ENTRY.search(name)) and found["kind"] == "erasure"
        }

    def entry(self, number: str) -> Generator[Finding, None, Erasure | None]:
        """The entry that says that a request was erased, with what is wrong with it.

        Whoever destroys a key cannot excuse it with an entry of their own: it must have its place
        in the chain.
        """
        name = self._names.get(number)
        if name is None:
            return None
        entry, finding = _read(self._store, name)
        findings = [finding] if finding else []
        if entry is not None:
            findings += _check_place(self._store, entry, name)
        yield from findings
        # What comes after it, and is not bound to it, does not speak against it.
        unsound = any(found.where == name for found in findings)
        return entry if isinstance(entry, Erasure) and not unsound else None


def _check_place(store: Store, entry: Entry, name: str) -> Iterator[Finding]:
    """Whether an entry is bound to the one before, and the one after to it."""
    month = posixpath.dirname(name)
    names = list(_filed(store, month))
    place = names.index(name)
    earlier, later = names[:place], names[place + 1 :]
    before = _read(store, earlier[-1])[0] if earlier else _before(store, month)
    after = _read(store, later[0])[0] if later else _after(store, month)
    yield from _check_link(entry, before, name)
    if after is not None:
        yield from _check_link(after, entry, after.name)


def _check_link(entry: Entry, before: Entry | None, name: str) -> Iterator[Finding]:
    if before is None:
        if entry.seq == 1 and entry.previous != BEGINNING:
            yield Finding(Fault.chain_broken, name, "the first entry names one before it")
        elif entry.seq != 1:
            yield Finding(Fault.chain_broken, name, "the entry before it cannot be read")
        return
    if entry.seq != before.seq + 1:
        yield Finding(
            Fault.manifest_missing, name, f"{entry.seq - before.seq - 1} missing before it"
        )
    elif entry.previous != before.hash:
        yield Finding(Fault.chain_broken, name, f"it is not bound to {before.name} as it stands")


def _before(store: Store, month: str) -> Entry | None:
    """The last entry before a month."""
    for earlier in reversed([each for each in months(store) if each < month]):
        if names := list(_filed(store, earlier)):
            return _read(store, names[-1])[0]
    return None


def _after(store: Store, month: str) -> Entry | None:
    """The first entry after a month."""
    for later in (each for each in months(store) if each > month):
        for name in _filed(store, later):
            return _read(store, name)[0]
    return None


def _check_head(
    store: Store, month: str, links: list[_Link], keys: Sequence[str]
) -> Iterator[Finding]:
    later = [each for each in months(store) if each > month]
    try:
        head = Head.model_validate_json(store.get(f"{month}/head.json"))
    except Missing:
        if later and links:
            yield Finding(Fault.head_missing, month, "the month is over, and nobody signed it")
        return
    except ValueError:
        yield Finding(Fault.head_wrong, month, "head.json cannot be read")
        return
    if head.key not in keys:
        yield Finding(Fault.signer_unknown, month, f"signed by a key not known here: {head.key}")
    if not head.is_signed_by(head.key):
        yield Finding(Fault.signature_wrong, month, "the signature is not of this head")
    last = next((each for each in links if each.seq == head.seq), None)
    if last is None or last.hash != head.hash or head.month != month:
        yield Finding(Fault.head_wrong, month, "the chain does not lead to what was signed")
    elif sum(each.seq <= head.seq for each in links) != head.count:
        yield Finding(Fault.head_wrong, month, f"{head.count} were signed, {len(links)} are there")
