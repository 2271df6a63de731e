"""The keys of an installation."""

import stat
from pathlib import Path

import pytest

from records.sealing import KeyRing
from runtime.keys import key_ring
from runtime.settings import Settings
from runtime.trouble import Trouble


def test_a_ring_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    sealed = key_ring(settings).seal(b"x", "y")
    assert key_ring(settings).open(sealed, "y") == b"x"
    (file,) = (tmp_path / "keys").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_the_environment_comes_before_the_data_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AFTERSALES_DATA_KEYS", KeyRing.make("given"))
    assert key_ring(Settings(data_dir=tmp_path)).current == "given"
    assert not list(tmp_path.iterdir())


def test_a_broken_ring_says_what_is_wrong_and_keeps_the_keys_to_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AFTERSALES_DATA_KEYS", "first:c2VjcmV0")
    with pytest.raises(Trouble, match="32 bytes") as raised:
        key_ring(Settings(data_dir=tmp_path))
    assert "c2VjcmV0" not in str(raised.value)
