"""The archive in a folder and in an S3-compatible store, alike."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from audit.store import Missing, Store


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """The address of an S3 server on loopback."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "folder":
        return Store(f"file://{tmp_path / 'archive'}")
    import boto3

    given = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    address = request.getfixturevalue("s3")
    client = boto3.client("s3", endpoint_url=address, region_name="us-east-1", **given)
    client.create_bucket(Bucket="archive")
    return Store(f"s3://archive/{tmp_path.name}", endpoint_url=address, key="test", secret="test")


def test_what_is_put_is_there(store: Store) -> None:
    assert store.names("2026-11") == []
    store.put("2026-11/b.json", "张三".encode())
    store.put("2026-11/a.json", b"")
    store.put("2026-12/c.json", b"c")
    assert store.get("2026-11/b.json").decode() == "张三"
    assert store.names("2026-11") == ["2026-11/a.json", "2026-11/b.json"]
    assert [name.rstrip("/") for name in store.names()] == ["2026-11", "2026-12"]
    store.put("2026-11/b.json", b"again")
    assert store.get("2026-11/b.json") == b"again"


def test_what_is_not_there_is_missing(store: Store) -> None:
    with pytest.raises(Missing):
        store.get("2026-11/nothing.json")


def test_what_is_removed_is_gone_and_may_have_been_before(store: Store) -> None:
    store.put("keys/a.key", b"a")
    for _ in range(2):
        store.remove("keys/a.key")
    with pytest.raises(Missing):
        store.get("keys/a.key")
    assert store.names("keys") == []
