"""A record's own key: it seals one archived history, and to destroy it is to erase that history.

The keys lie in the store in a folder apart, wrapped by the ring. The chain binds the sealed
histories and not their keys, so that it still holds when a key is gone.
"""

from sqlalchemy import Engine
from sqlmodel import col, select

from audit.store import Store
from records.engine import ring_of, writing
from records.personal import Rekeyed, is_wrapped_otherwise
from records.sealing import DataKey, KeyRing, Unsealable
from records.tables import Link

_AT_ONCE = 500


def key_file(number: str) -> str:
    """Where the key of a request's history is kept."""
    return f"keys/{number}.key"


def wrapped(ring: KeyRing, number: str, key: DataKey) -> str:
    """The key as it is kept: the ring opens it, as this request's."""
    return ring.seal(key.key, _about(number))


def unwrapped(ring: KeyRing, number: str, kept: str) -> DataKey:
    """The key again.

    Raises:
        Unsealable: the ring lacks the key that wrapped it, or it was tampered with.
    """
    return DataKey(ring.open(kept, _about(number)))


def key_of(store: Store, ring: KeyRing, number: str) -> DataKey:
    """The key of a request's history.

    Raises:
        Missing: it is not there.
        Unsealable: it does not open.
    """
    try:
        kept = store.get(key_file(number)).decode("ascii")
    except UnicodeDecodeError:
        raise Unsealable("it is not a wrapped key") from None
    return unwrapped(ring, number, kept)


def rekey(engine: Engine) -> Rekeyed:
    """Wrap every record's key with the ring's current key; the archivist brings them to the store.

    It may be stopped and run again at any time, while the system runs.
    """
    done = unopened = after = 0
    while True:
        with writing(engine) as session:
            ring = ring_of(session)
            otherwise = (
                select(Link)
                .where(is_wrapped_otherwise(ring, col(Link.key)), col(Link.seq) > after)
                .order_by(col(Link.seq))
                .limit(_AT_ONCE)
                .with_for_update()
            )
            links = list(session.exec(otherwise))
            for link in links:
                number, kept = link.number or "", link.key or ""
                try:
                    link.key = wrapped(ring, number, unwrapped(ring, number, kept))
                except Unsealable:
                    unopened += 1
                    continue
                link.filed = False
                done += 1
        if not links:
            return Rekeyed(done, unopened)
        after = links[-1].seq


def _about(number: str) -> str:
    return f"record/{number}"
