"""What Temporal keeps is sealed, and what was kept before can still be read."""

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.api.failure.v1 import Failure
from temporalio.exceptions import ApplicationError

from records.sealing import KeyRing, Unsealable
from runtime.codec import ENCODING, SealedPayloads, sealed_converter
from tests.databases import RING, RING_TEXT

SECRET = "客户张三，电话 13812345678"


async def test_a_payload_is_sealed_and_opens_again() -> None:
    converter = sealed_converter(RING)
    (payload,) = await converter.encode([{"text": SECRET * 50}])
    assert "张三".encode() not in payload.SerializeToString()
    assert len(payload.data) < len((SECRET * 50).encode()) / 3
    assert await converter.decode([payload]) == [{"text": SECRET * 50}]


async def test_what_an_older_version_wrote_in_clear_is_still_read() -> None:
    (clear,) = await SealedPayloads(RING).decode([Payload(metadata={"encoding": b"json/plain"})])
    assert clear.metadata["encoding"] == b"json/plain"


async def test_an_old_key_still_opens() -> None:
    (payload,) = await sealed_converter(RING).encode([SECRET])
    rotated = KeyRing.read(f"{KeyRing.make('newer').partition(',')[0]},{RING_TEXT}")
    assert await sealed_converter(rotated).decode([payload]) == [SECRET]
    assert rotated.current == "newer"


@pytest.mark.parametrize("change", ["data", "key", "stranger"])
async def test_what_was_changed_does_not_open(change: str) -> None:
    (payload,) = await sealed_converter(RING).encode([SECRET])
    if change == "data":
        payload.data = payload.data[:-1] + bytes([payload.data[-1] ^ 1])
    if change == "key":
        payload.metadata["key"] = b"gone"
    ring = KeyRing.read(KeyRing.make("test")) if change == "stranger" else RING
    with pytest.raises(Unsealable):
        await sealed_converter(ring).decode([payload])


async def test_a_failure_keeps_its_words_to_itself() -> None:
    converter, failure = sealed_converter(RING), Failure()
    error = ApplicationError(SECRET, {"said": SECRET}, type="no_open_offer")
    await converter.encode_failure(error, failure)
    assert "张三".encode() not in failure.SerializeToString()
    assert failure.application_failure_info.type == "no_open_offer"
    again = await converter.decode_failure(failure)
    assert isinstance(again, ApplicationError)
    assert again.message == SECRET


def _fails_for(secret: str) -> None:
    raise ValueError(secret) from LookupError(f"there is no {secret}")


async def test_a_stack_and_the_cause_are_sealed_as_well() -> None:
    converter, failure = sealed_converter(RING), Failure()
    try:
        _fails_for(SECRET)
    except ValueError as error:
        await converter.encode_failure(error, failure)
    kept = failure.SerializeToString()
    for readable in (SECRET, "张三", "_fails_for", "test_codec.py"):
        assert readable.encode() not in kept
    assert (failure.message, failure.stack_trace) == ("Encoded failure", "")
    assert failure.cause.encoded_attributes.metadata["encoding"] == ENCODING
    again = await converter.decode_failure(failure)
    assert isinstance(again, ApplicationError)
    assert again.message == SECRET
    assert again.failure is not None
    assert "_fails_for" in again.failure.stack_trace
