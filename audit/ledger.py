"""The chain as the records hold it, whatever the archive says of itself.

It finds what the archive alone cannot tell: the end of a month that is not signed yet cut off, or a
whole chain made anew by somebody who has the signing key.
"""

from collections.abc import Iterator, Mapping
from typing import TypeGuard

from sqlalchemy import Engine

from audit.faults import Fault, Finding
from audit.filed import hash_of, places
from audit.manifests import Erasure, Manifest, read_entry
from audit.store import Store
from audit.verification import NO_MANIFEST, Checked
from records import chain
from records.chain import Kind

_ANOTHER = "the records hold another entry in its place"
_GONE = "the records say that it was filed"
_NOT_FILED = "the archive has no manifest of it, and the records do not say that it was filed"


def month_held_against(
    engine: Engine, store: Store, month: str, checked: Iterator[Checked]
) -> Iterator[Checked]:
    """What was checked of a month, with every fault that the records know of besides."""
    filed = chain.filed(engine, month)
    yield from _compared({seq: entry.hash for seq, entry in filed.items()}, checked)
    there, known = places(store, month), chain.places(engine, month)
    for seq, entry in filed.items():
        if seq not in there:
            name = read_entry(chain.get(engine, seq).content).name
            yield Finding(Fault.manifest_missing, name, _GONE)
        elif entry.kind is not Kind.history and hash_of(store, there[seq]) != entry.hash:
            yield Finding(Fault.chain_broken, there[seq], _ANOTHER)
    for seq in sorted(there.keys() - known):
        yield Finding(Fault.chain_broken, there[seq], "the records know of no such entry")


def one_held_against(engine: Engine, number: str, checked: Iterator[Checked]) -> Iterator[Checked]:
    """What was checked of one request, likewise."""
    link = chain.of(engine, number)
    if link is None or not link.filed:
        for each in checked:
            yield each._replace(detail=_NOT_FILED) if _is_no_manifest(each) else each
        return
    found = False
    for each in _compared({link.seq: link.hash}, checked):
        if _is_no_manifest(each):
            continue
        found |= isinstance(each, Manifest)
        yield each
        if isinstance(each, Erasure) and chain.hash_at(engine, each.seq) != each.hash:
            yield Finding(Fault.chain_broken, number, _ANOTHER)
    if not found:
        yield Finding(Fault.manifest_missing, number, _GONE)


def _is_no_manifest(each: Checked) -> TypeGuard[Finding]:
    return isinstance(each, Finding) and each.detail == NO_MANIFEST


def _compared(filed: Mapping[int, str], checked: Iterator[Checked]) -> Iterator[Checked]:
    for each in checked:
        yield each
        if isinstance(each, Manifest) and filed.get(each.seq, each.hash) != each.hash:
            yield Finding(Fault.chain_broken, each.number, _ANOTHER)
