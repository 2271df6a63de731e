"""The payload codec: what goes into Temporal's histories is sealed before it leaves our processes.

Inputs, results, signals, updates, queries, memos, summaries and failures' messages and stacks are
sealed; search attributes, workflow ids, the names of signals and activities, and failures' types
are not, so no personal data stands in them.
"""

import dataclasses
import zlib
from collections.abc import Sequence

from temporalio.api.common.v1 import Payload
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import (
    DataConverter,
    DefaultFailureConverterWithEncodedAttributes,
    PayloadCodec,
)

from records.sealing import KeyRing

ENCODING = b"binary/sealed"
ABOUT = "temporal"
LARGEST = 16 * 1024 * 1024
"""No payload of Temporal's is larger: what would unpack to more is not one of ours."""


class SealedPayloads(PayloadCodec):
    """Packs and seals every payload; one that is not sealed passes as it is, as old histories do.

    Args:
        ring: its current key seals, and its other keys open what was sealed before a rotation.
    """

    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Seal each."""
        return [self._seal(payload) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Open each that is sealed.

        Raises:
            Unsealable: its key is not in the ring, or it was changed since.
        """
        return [self._open(payload) for payload in payloads]

    def _seal(self, payload: Payload) -> Payload:
        # Packed first: what is sealed cannot be packed any more, and JSON shrinks to a third.
        packed = zlib.compress(payload.SerializeToString(), level=1)
        return Payload(
            metadata={"encoding": ENCODING, "key": self._ring.current.encode()},
            data=self._ring.seal_bytes(packed, ABOUT),
        )

    def _open(self, payload: Payload) -> Payload:
        if payload.metadata.get("encoding") != ENCODING:
            return payload
        key = payload.metadata.get("key", b"").decode()
        unpacker = zlib.decompressobj()
        plain = unpacker.decompress(self._ring.open_bytes(payload.data, key, ABOUT), LARGEST)
        return Payload.FromString(plain)


def sealed_converter(ring: KeyRing) -> DataConverter:
    """Our models as JSON, sealed; failures' messages and stacks as well."""
    return dataclasses.replace(
        pydantic_data_converter,
        payload_codec=SealedPayloads(ring),
        failure_converter_class=DefaultFailureConverterWithEncodedAttributes,
    )
