"""What the archive can prove: that nothing in it was changed, removed or put elsewhere.

It needs the archive and the key ring, neither server nor database: years later that may be all
there is.
"""

import hashlib
import posixpath
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from itertools import chain
from typing import Any, NamedTuple

from audit.access import NoReads, read
from audit.faults import Fault, Finding
from audit.filed import (
    by_request,
    entry_files,
    entry_in,
    first_after,
    head_in,
    last_before,
    months,
    tells_of,
)
from audit.histories import NoHistory, Story
from audit.keys import key_file, key_of
from audit.manifests import BEGINNING, Entry, Erasure, Manifest, Reads, counted
from audit.store import Missing, Store
from records.sealing import KeyRing, Unsealable

Checked = Manifest | Erasure | Finding
"""A history's manifest; the entry that says that it was erased; whatever is wrong with it."""

NO_MANIFEST = (
    "the archive has no manifest of it; without the database nobody knows whether it is still open"
)

EVERYWHERE = timedelta(days=1)
"""After this a month is over in every time zone, and workers had the time to sign it."""


class _Link(NamedTuple):
    """What is kept of an entry until the end of its month is checked."""

    seq: int
    hash: str


def check_month(
    store: Store, ring: KeyRing, month: str, keys: Sequence[str], now: datetime
) -> Iterator[Checked]:
    """Every manifest of a month in order, and every fault of its files and its chain.

    Args:
        ring: opens the histories.
        keys: the public keys, base64, that may have signed.
        now: by which a month that is over must have been signed.
    """
    previous = last_before(store, month)
    erased = _Erased(store, month)
    links: list[_Link] = []
    for name in entry_files(store, month):
        entry, finding = entry_in(store, name)
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
    if not links and (after := first_after(store, month)) is not None:
        yield from _check_link(after, last_before(store, month), after.name)
    is_over = any(each > month for each in months(store)) or f"{now - EVERYWHERE:%Y-%m}" > month
    yield from _check_head(store, month, links, keys, is_over=is_over)


def check_one(store: Store, ring: KeyRing, number: str) -> Iterator[Checked]:
    """The manifest of one request with the faults of its file and of its links to both sides.

    A request that was erased before it was archived has none, only the entry that says so.
    """
    erased = _Erased(store)
    for month in months(store):
        names = list(entry_files(store, month))
        name = next((name for name in names if tells_of(name, number, "manifest")), None)
        if name is None:
            continue
        manifest, finding = entry_in(store, name)
        if finding is not None:
            yield finding
        if isinstance(manifest, Manifest):
            yield manifest
            yield from _check_history(store, ring, manifest, erased)
            yield from _check_place(store, manifest, name, names)
        return
    erasure, faults = erased.entry(number)
    yield from faults
    if erasure is not None:
        yield erasure
    else:
        yield Finding(Fault.manifest_missing, number, NO_MANIFEST)


def _check_history(
    store: Store, ring: KeyRing, manifest: Manifest, erased: "_Erased"
) -> Iterator[Checked]:
    number = manifest.number
    erasure, faults = erased.entry(number)
    yield from faults
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
            yield from _gone(store, manifest)
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
    yield from held_against(manifest, counted(told))


def held_against(manifest: Manifest, says: Mapping[str, Any]) -> Iterator[Finding]:
    """What a manifest says otherwise than its history does."""
    for name, value in says.items():
        if (said := getattr(manifest, name)) != value:
            detail = f"{name}: it says {_in_short(said)}, the history {_in_short(value)}"
            yield Finding(Fault.manifest_untrue, manifest.number, detail)


def _in_short(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value or "nothing")


def check_again(store: Store, manifest: Manifest) -> Iterator[Checked]:
    """Why a history could not be read that was there before: it may have been erased meanwhile."""
    try:
        store.get(manifest.file)
    except Missing:
        yield Finding(Fault.history_missing, manifest.number, f"{manifest.file} is not there")
    else:
        yield from _gone(store, manifest)


def _gone(store: Store, manifest: Manifest) -> Iterator[Checked]:
    """Of a history without a key: that it was erased just now, or that the key is missing."""
    number = manifest.number
    erasure, faults = _Erased.lately(store).entry(number)
    yield from faults
    yield erasure or Finding(Fault.key_missing, number, f"{key_file(number)} is not there")


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


def _check_place(store: Store, entry: Entry, name: str, names: Sequence[str]) -> Iterator[Finding]:
    """Whether an entry is bound to the one before, and the one after to it.

    Args:
        names: the files of its month, in order.
    """
    month, place = posixpath.dirname(name), bisect_left(names, name)
    earlier, later = names[max(place - 1, 0) : place], names[place + 1 : place + 2]
    before = entry_in(store, earlier[0])[0] if earlier else last_before(store, month)
    after = entry_in(store, later[0])[0] if later else first_after(store, month)
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


def _check_head(
    store: Store, month: str, links: list[_Link], keys: Sequence[str], *, is_over: bool
) -> Iterator[Finding]:
    try:
        head = head_in(store, month)
    except Missing:
        if links and is_over:
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


class _Erased:
    """The erasures that the chain tells of: they stand wherever it had come to by then.

    Args:
        since: the first month to look in.
    """

    def __init__(self, store: Store, since: str = "") -> None:
        self._store, self._since = store, since

    @classmethod
    def lately(cls, store: Store) -> "_Erased":
        """Those at the end of the chain: whoever erases tells it first, and then goes on."""
        return cls(store, max(months(store), default=""))

    @cached_property
    def _files(self) -> dict[str, list[str]]:
        later = (month for month in months(self._store) if month >= self._since)
        return {month: list(entry_files(self._store, month)) for month in later}

    @cached_property
    def _names(self) -> dict[str, str]:
        return by_request(chain.from_iterable(self._files.values()), "erasure")

    def entry(self, number: str) -> tuple[Erasure | None, list[Finding]]:
        """The entry that says that a request was erased, with what is wrong with it.

        Whoever destroys a key cannot excuse it with an entry of their own: it must have its place
        in the chain.
        """
        name = self._names.get(number)
        if name is None:
            return None, []
        entry, finding = entry_in(self._store, name)
        findings = [finding] if finding else []
        if entry is not None:
            names = self._files[posixpath.dirname(name)]
            findings += _check_place(self._store, entry, name, names)
        # What comes after it, and is not bound to it, does not speak against it.
        unsound = any(found.where == name for found in findings)
        return entry if isinstance(entry, Erasure) and not unsound else None, findings


def was_erased(store: Store, number: str) -> bool:
    """Whether a request was erased while an archive is read that did not tell of it before."""
    return _Erased.lately(store).entry(number)[0] is not None


def kept(store: Store, month: str) -> Iterator[Checked]:
    """Every manifest of a month in order, as it stands and with nothing checked.

    In place of one whose history was erased stands the entry that says so.
    """
    erased = _Erased(store, month)
    for name in entry_files(store, month):
        entry, finding = entry_in(store, name)
        if entry is None and finding is not None:
            yield finding
        elif isinstance(entry, Manifest):
            erasure, faults = erased.entry(entry.number)
            yield from faults
            yield erasure or entry
