"""The chain as the records hold it, whatever the archive says of itself.

It finds what the archive alone cannot tell: the end of a month that is not signed yet cut off, or a
whole chain made anew by somebody who has the signing key.
"""

from collections.abc import Iterator

from sqlalchemy import Engine

from audit.manifests import Manifest, read_entry
from audit.store import Store
from audit.verification import Checked, Fault, Finding, hash_of, places
from records import chain
from records.chain import Kind
from records.tables import Link

_ANOTHER = "the records hold another entry in its place"


def month_held_against(
    engine: Engine, store: Store, month: str, checked: Iterator[Checked]
) -> Iterator[Checked]:
    """What was checked of a month, with every fault that the records know of besides."""
    filed = {link.seq: link for link in chain.filed(engine, month)}
    yield from _compared(filed, checked)
    there = places(store, month)
    for seq, link in filed.items():
        if seq not in there:
            name = read_entry(link.content).name
            yield Finding(Fault.manifest_missing, name, "the records say that it was filed")
        elif link.kind != Kind.history and hash_of(store, there[seq]) != link.hash:
            yield Finding(Fault.chain_broken, there[seq], _ANOTHER)


def one_held_against(engine: Engine, number: str, checked: Iterator[Checked]) -> Iterator[Checked]:
    """What was checked of one request, likewise."""
    link = chain.of(engine, number)
    return _compared({link.seq: link} if link and link.filed else {}, checked)


def _compared(filed: dict[int, Link], checked: Iterator[Checked]) -> Iterator[Checked]:
    for each in checked:
        yield each
        if isinstance(each, Manifest) and each.seq in filed and filed[each.seq].hash != each.hash:
            yield Finding(Fault.chain_broken, each.number, _ANOTHER)
