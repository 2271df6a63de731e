"""The chain as the records hold it, whatever the archive says of itself.

It finds what the archive alone cannot tell: the end of a month that is not signed yet cut off, or a
whole chain made anew by somebody who has the signing key.
"""

from collections.abc import Iterator, Mapping

from sqlalchemy import Engine

from audit.manifests import Manifest, read_entry
from audit.store import Store
from audit.verification import Checked, Fault, Finding, hash_of, places
from records import chain
from records.chain import Kind

_ANOTHER = "the records hold another entry in its place"


def month_held_against(
    engine: Engine, store: Store, month: str, checked: Iterator[Checked]
) -> Iterator[Checked]:
    """What was checked of a month, with every fault that the records know of besides."""
    filed = chain.filed(engine, month)
    yield from _compared({seq: entry.hash for seq, entry in filed.items()}, checked)
    there = places(store, month)
    for seq, entry in filed.items():
        if seq not in there:
            name = read_entry(chain.get(engine, seq).content).name
            yield Finding(Fault.manifest_missing, name, "the records say that it was filed")
        elif entry.kind is not Kind.history and hash_of(store, there[seq]) != entry.hash:
            yield Finding(Fault.chain_broken, there[seq], _ANOTHER)


def one_held_against(engine: Engine, number: str, checked: Iterator[Checked]) -> Iterator[Checked]:
    """What was checked of one request, likewise."""
    link = chain.of(engine, number)
    return _compared({link.seq: link.hash} if link and link.filed else {}, checked)


def _compared(filed: Mapping[int, str], checked: Iterator[Checked]) -> Iterator[Checked]:
    for each in checked:
        yield each
        if isinstance(each, Manifest) and filed.get(each.seq, each.hash) != each.hash:
            yield Finding(Fault.chain_broken, each.number, _ANOTHER)
