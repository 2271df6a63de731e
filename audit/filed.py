"""What an archive holds, read as it stands."""

import posixpath
import re
from collections.abc import Iterable, Iterator

from audit.faults import Fault, Finding
from audit.histories import NoHistory, Story
from audit.keys import key_of
from audit.manifests import AnyEntry, Entry, Head, Manifest, head_file, read_entry
from audit.store import Missing, Store
from records.sealing import KeyRing, Unsealable

ENTRY = re.compile(r"/[0-9]{8}(-(?P<number>CR[0-9]{8}-[0-9]+))?\.(?P<kind>[a-z]+)\.json$")
"""What an entry's file is called."""


def months(store: Store) -> list[str]:
    """The months that the archive has, in order."""
    folders = (name.rstrip("/") for name in store.names())
    return [name for name in folders if re.fullmatch(r"[0-9]{4}-[0-9]{2}", name)]


class NothingThere(Exception):
    """The archive holds nothing of the time that was asked for; the message says what it holds."""

    def __init__(self, store: Store) -> None:
        held = months(store)
        super().__init__(f"it has {', '.join(held[-6:])}" if held else "it is empty")


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


def tells_of(name: str, number: str, kind: str) -> bool:
    """Whether the entry in a file, by its name, is of this kind and about this request."""
    found = ENTRY.search(name)
    return found is not None and (found["number"], found["kind"]) == (number, kind)


def holds(store: Store, month: str) -> bool:
    """Whether the archive has any entry of a month."""
    return any(True for _ in entry_files(store, month))


def place_of(name: str) -> int:
    """The place in the chain of the entry in a file, by its name."""
    return int(posixpath.basename(name)[:8])


def places(store: Store, month: str) -> dict[int, str]:
    """The file of every entry of a month, by its place in the chain."""
    return {place_of(name): name for name in entry_files(store, month)}


def hash_of(store: Store, name: str) -> str | None:
    """What the entry in a file comes to; None: there is none in it."""
    entry, _ = entry_in(store, name)
    return None if entry is None else entry.hash


def how_many(store: Store, month: str) -> int:
    """How many requests a month has manifests of."""
    return len(by_request(entry_files(store, month), "manifest"))


def by_request(names: Iterable[str], kind: str) -> dict[str, str]:
    """The files of these that hold an entry of this kind, by the request that it is about."""
    found = ((ENTRY.search(name), name) for name in names)
    return {each["number"]: name for each, name in found if each and each["kind"] == kind}


def entry_files(store: Store, month: str) -> Iterator[str]:
    """The files of a month's entries, by their places in the chain."""
    return (name for name in store.names(month) if ENTRY.search(name))


def entry_in(store: Store, name: str) -> tuple[AnyEntry | None, Finding | None]:
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


def head_in(store: Store, month: str) -> Head:
    """The signed end of a month's chain, as it stands.

    Raises:
        Missing: it is not signed.
        ValueError: there is none in the file.
    """
    return Head.model_validate_json(store.get(head_file(month)))


def _without_hash(content: bytes) -> bytes:
    return re.sub(rb'"hash":"[0-9a-f]{64}",', b"", content, count=1)


def last_before(store: Store, month: str) -> Entry | None:
    """The last entry before a month."""
    for earlier in reversed([each for each in months(store) if each < month]):
        if names := list(entry_files(store, earlier)):
            return entry_in(store, names[-1])[0]
    return None


def first_after(store: Store, month: str) -> Entry | None:
    """The first entry after a month."""
    for later in (each for each in months(store) if each > month):
        for name in entry_files(store, later):
            return entry_in(store, name)[0]
    return None
