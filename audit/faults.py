"""What can be wrong with an archive, and where it is."""

from enum import StrEnum
from typing import NamedTuple

from audit.commands import Parting


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
        where: a request's number, a file, or a month.
        detail: a sentence of `audit.details`.
        place: where the replay parts from the history; None: it was not found by replaying.
    """

    fault: Fault
    where: str
    detail: str
    place: Parting | None = None
