"""The chain of the archive: what was done, each entry bound to the one before, so that none can be
changed, removed or put elsewhere without its being seen.

Entries count from 1 and are filed by the month in which they were written. Each names the hash of
the one before it, across months. When a month is over, the hash of its last entry is signed: the
head of the chain.
"""

import base64
import hashlib
import re
from datetime import datetime
from typing import Annotated, Any, Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import Field, TypeAdapter

from audit.histories import Story
from domain.values import Value, canonical

BEGINNING = "0" * 64
"""What the very first entry has before it."""

MONTH = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")


class Entry(Value):
    """A place in the chain, and what was done there.

    Attributes:
        seq: its place in the chain, from 1.
        month: when it was written (`2026-11`), in the archive's time zone.
        previous: the hash of the entry before this one.
    """

    kind: str
    seq: int
    month: str
    previous: str

    @property
    def hash(self) -> str:
        """What the next entry binds itself to."""
        return hashlib.sha256(_canonical(self.model_dump(mode="json"))).hexdigest()

    @property
    def name(self) -> str:
        """Its own file in the store."""
        raise NotImplementedError

    def written(self) -> bytes:
        """The file's content: the entry and its hash."""
        return _canonical({**self.model_dump(mode="json"), "hash": self.hash})


class Manifest(Entry):
    """What is known of one archived history.

    Attributes:
        number: the request.
        file: the name of the history's file in the store.
        sha256: of that file, byte for byte; it is sealed, so this holds whether or not its key is
            still there.
        events: how many events the history has, over all its runs.
        runs: the run ids, first to last.
        builds: the code versions that ran it.
        policy_version: the rules that it promised by.
    """

    kind: Literal["history"] = "history"
    number: str
    file: str
    sha256: str
    events: int
    runs: tuple[str, ...]
    builds: tuple[str, ...]
    policy_version: str
    outcome: str | None
    closed_at: datetime
    archived_at: datetime

    @property
    def name(self) -> str:
        """Its own file in the store."""
        return f"{self.month}/{self.seq:08d}-{self.number}.manifest.json"


def described(story: Story, content: bytes) -> dict[str, Any]:
    """What a manifest says of the history itself, and of its file's content."""
    sha256 = hashlib.sha256(content).hexdigest()
    return {"number": story.number, "sha256": sha256, **counted(story)}


def counted(story: Story) -> dict[str, Any]:
    """What a manifest says of a history without knowing what happened in it."""
    return {
        "events": story.events,
        "runs": tuple(run.run_id for run in story.runs),
        "builds": story.builds,
    }


class Erasure(Entry):
    """The personal data of a request was destroyed, its record's key among it.

    Attributes:
        why: `asked`, or `retention`: it was older than records are kept.
    """

    kind: Literal["erasure"] = "erasure"
    number: str
    at: datetime
    why: str

    @property
    def name(self) -> str:
        """Its own file in the store."""
        return f"{self.month}/{self.seq:08d}-{self.number}.erasure.json"


class Reads(Entry):
    """Some rows of the access log: who read what.

    Attributes:
        file: the name of their file in the store.
        sha256: of that file, byte for byte.
        count: how many rows it has.
    """

    kind: Literal["reads"] = "reads"
    file: str
    sha256: str
    count: int

    @property
    def name(self) -> str:
        """Its own file in the store."""
        return f"{self.month}/{self.seq:08d}.reads.json"


AnyEntry = Manifest | Erasure | Reads

_ENTRIES: TypeAdapter[AnyEntry] = TypeAdapter(Annotated[AnyEntry, Field(discriminator="kind")])


def read_entry(content: str | bytes) -> AnyEntry:
    """An entry of any kind, without its own hash.

    Raises:
        ValueError: it is none.
    """
    return _ENTRIES.validate_json(content)


class Head(Value):
    """The end of a month's chain, signed.

    Attributes:
        count: how many entries the month has.
        seq, hash: the last one.
        key: the public key, base64, that verifies `signature`.
    """

    month: str
    count: int
    seq: int
    hash: str
    signed_at: datetime
    key: str
    signature: str = ""

    @property
    def name(self) -> str:
        """Its file in the store."""
        return head_file(self.month)

    def signed(self, key: Ed25519PrivateKey) -> "Head":
        """The same with a signature."""
        return self.model_copy(
            update={"signature": base64.b64encode(key.sign(self._content())).decode()}
        )

    def is_signed_by(self, key: str) -> bool:
        """Whether the signature is this public key's."""
        try:
            public = Ed25519PublicKey.from_public_bytes(base64.b64decode(key))
            public.verify(base64.b64decode(self.signature), self._content())
        except (InvalidSignature, ValueError):
            return False
        return True

    def written(self) -> bytes:
        """The file's content."""
        return _canonical(self.model_dump(mode="json"))

    def _content(self) -> bytes:
        return _canonical(self.model_dump(mode="json", exclude={"signature"}))


def head_file(month: str) -> str:
    """Where a month's head is kept."""
    return f"{month}/head.json"


def public_key(key: Ed25519PrivateKey) -> str:
    """The public half of a signing key, base64."""
    raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return base64.b64encode(raw).decode()


def _canonical(content: Any) -> bytes:
    return canonical(content).encode()
