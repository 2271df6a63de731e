"""What the archive can prove: that nothing in it was changed, removed or put elsewhere, and that
each history is what today's code would have done.

It needs the archive and the key ring, neither server nor database: years later that may be all
there is.
"""

import hashlib
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from enum import StrEnum
from typing import NamedTuple

from audit.commands import Place
from audit.histories import NoHistory, Story
from audit.keys import key_file, key_of
from audit.manifests import BEGINNING, Head, Manifest
from audit.semantics import Watcher, differences, replay_whole
from audit.store import Missing, Store
from records.sealing import KeyRing, Unsealable

_MANIFEST = re.compile(r"(?P<seq>[0-9]{8})-(?P<number>CR[0-9]{8}-[0-9]+)\.manifest\.json$")


class Fault(StrEnum):
    """What can be wrong with an archive."""

    history_missing = "history_missing"
    history_changed = "history_changed"
    history_misplaced = "history_misplaced"
    history_unreadable = "history_unreadable"
    key_missing = "key_missing"
    key_wrong = "key_wrong"
    manifest_changed = "manifest_changed"
    manifest_missing = "manifest_missing"
    chain_broken = "chain_broken"
    head_missing = "head_missing"
    head_wrong = "head_wrong"
    signature_wrong = "signature_wrong"
    signer_unknown = "signer_unknown"
    replay_differs = "replay_differs"
    rules_differ = "rules_differ"


class Finding(NamedTuple):
    """One thing that is wrong, and where.

    Attributes:
        place: of a replay: where in the history.
    """

    fault: Fault
    where: str
    detail: str
    place: Place | None = None


def check_month(
    store: Store, ring: KeyRing, month: str, keys: Sequence[str]
) -> Iterator[Manifest | Finding]:
    """Every manifest of a month in order, and every fault of its files and its chain.

    Args:
        ring: opens the histories.
        keys: the public keys, base64, that may have signed.
    """
    found = list(_filed(store, month))
    previous = _before(store, month)
    manifests: list[Manifest] = []
    for name in found:
        manifest, finding = _read(store, name)
        if finding is not None:
            yield finding
        if manifest is None:
            previous = None
            continue
        if finding is None:
            yield manifest
            yield from _check_history(store, ring, manifest)
        yield from _check_link(manifest, previous, name)
        previous = manifest
        manifests.append(manifest)
    yield from _check_head(store, month, manifests, keys)


def check_one(store: Store, ring: KeyRing, number: str) -> Iterator[Manifest | Finding]:
    """The manifest of one request with the faults of its file and of its links to both sides."""
    for month in months(store):
        names = list(_filed(store, month))
        for place, name in enumerate(names):
            if f"-{number}." not in name:
                continue
            manifest, finding = _read(store, name)
            if finding is not None:
                yield finding
            if manifest is None:
                return
            yield manifest
            yield from _check_history(store, ring, manifest)
            before = _read(store, names[place - 1])[0] if place else _before(store, month)
            yield from _check_link(manifest, before, name)
            if place + 1 < len(names) and (after := _read(store, names[place + 1])[0]):
                yield from _check_link(after, manifest, names[place + 1])
            return
    yield Finding(Fault.manifest_missing, number, "the archive has no manifest of this request")


def months(store: Store) -> list[str]:
    """The months that the archive has, in order."""
    folders = (name.rstrip("/") for name in store.names())
    return [name for name in folders if re.fullmatch(r"[0-9]{4}-[0-9]{2}", name)]


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


async def check_replay(ring: KeyRing, told: Story) -> AsyncIterator[Finding]:
    """Where today's code would have done something else than the history says.

    Without the sandbox, which only guards against code that is not deterministic: the tests run
    every workflow inside it, and an archive is read twice as fast without.
    """
    watcher = Watcher()
    for run in told.runs:
        if (place := await replay_whole(ring, run, watcher)) is not None:
            yield Finding(Fault.replay_differs, told.number, str(place), place)
            continue
        for difference in await differences(run, watcher.deeds[run.run_id], ring):
            place = difference.place(run)
            yield Finding(Fault.rules_differ, told.number, str(place), place)


def _filed(store: Store, month: str) -> Iterator[str]:
    return (name for name in store.names(month) if _MANIFEST.search(name))


def _read(store: Store, name: str) -> tuple[Manifest | None, Finding | None]:
    """The manifest in a file, and what is wrong with the file itself."""
    try:
        content = store.get(name)
        manifest = Manifest.model_validate_json(_without_hash(content))
    except (Missing, ValueError) as error:
        return None, Finding(
            Fault.manifest_changed, name, f"not a manifest ({type(error).__name__})"
        )
    if manifest.written() != content:
        return manifest, Finding(
            Fault.manifest_changed, name, "its content is not what its own hash says"
        )
    if manifest.name != name:
        return manifest, Finding(Fault.manifest_changed, name, f"it belongs at {manifest.name}")
    return manifest, None


def _without_hash(content: bytes) -> bytes:
    return re.sub(rb'"hash":"[0-9a-f]{64}",', b"", content, count=1)


def _check_history(store: Store, ring: KeyRing, manifest: Manifest) -> Iterator[Finding]:
    number = manifest.number
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
        yield Finding(Fault.key_missing, number, f"{key_file(number)} is not there")
    except Unsealable as error:
        yield Finding(Fault.key_wrong, number, f"{key_file(number)}: {error}")
    except NoHistory as error:
        yield Finding(Fault.history_unreadable, number, str(error))
    else:
        if told.is_about != {number}:
            about = ", ".join(sorted(told.is_about))
            yield Finding(Fault.history_misplaced, number, f"it tells of {about}")


def _check_link(manifest: Manifest, before: Manifest | None, name: str) -> Iterator[Finding]:
    if before is None:
        if manifest.seq == 1 and manifest.previous != BEGINNING:
            yield Finding(Fault.chain_broken, name, "the first manifest names one before it")
        elif manifest.seq != 1:
            yield Finding(Fault.chain_broken, name, "the manifest before it cannot be read")
        return
    if manifest.seq != before.seq + 1:
        yield Finding(
            Fault.manifest_missing, name, f"{manifest.seq - before.seq - 1} missing before it"
        )
    elif manifest.previous != before.hash:
        yield Finding(Fault.chain_broken, name, f"it is not bound to {before.name} as it stands")


def _before(store: Store, month: str) -> Manifest | None:
    """The last manifest before a month."""
    for earlier in reversed([each for each in months(store) if each < month]):
        names = list(_filed(store, earlier))
        if names:
            return _read(store, names[-1])[0]
    return None


def _check_head(
    store: Store, month: str, manifests: list[Manifest], keys: Sequence[str]
) -> Iterator[Finding]:
    later = [each for each in months(store) if each > month]
    try:
        head = Head.model_validate_json(store.get(f"{month}/head.json"))
    except Missing:
        if later:
            yield Finding(Fault.head_missing, month, "the month is over, and nobody signed it")
        return
    except ValueError:
        yield Finding(Fault.head_wrong, month, "head.json cannot be read")
        return
    if head.key not in keys:
        yield Finding(Fault.signer_unknown, month, f"signed by a key not known here: {head.key}")
    if not head.is_signed_by(head.key):
        yield Finding(Fault.signature_wrong, month, "the signature is not of this head")
    last = next((each for each in manifests if each.seq == head.seq), None)
    if last is None or last.hash != head.hash or head.month != month:
        yield Finding(Fault.head_wrong, month, "the chain does not lead to what was signed")
    elif sum(each.seq <= head.seq for each in manifests) != head.count:
        yield Finding(
            Fault.head_wrong, month, f"{head.count} were signed, {len(manifests)} are there"
        )
