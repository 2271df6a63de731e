"""Channels and texts as the settings have them: secrets found, and what is wrong said at once."""

import base64
from pathlib import Path

import pytest

from runtime import delivery
from runtime.settings import Settings
from runtime.trouble import Trouble
from runtime.up import environment

CHANNELS = """
[providers.gate]
kind = "http"
url = "https://g.example/"
secret = "env:GATE_SECRET"
"""


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GATE_SECRET", raising=False)
    (tmp_path / "channels.toml").write_text(CHANNELS, encoding="utf-8")
    (tmp_path / "words").mkdir()
    return Settings(_env_file=None, channels=Path("channels.toml"), templates=Path("words"))


def test_a_secret_stands_in_the_environment_or_beside_it(settings: Settings) -> None:
    with pytest.raises(Trouble, match=r"GATE_SECRET\): correct the file"):
        delivery.channels(settings)
    secret = "whsec_" + base64.b64encode(b"k" * 32).decode()
    Path(".env").write_text(f"GATE_SECRET={secret}\n", encoding="utf-8")
    assert set(delivery.channels(settings).outlets) == {"gate", "log"}


def test_our_own_processes_find_the_same_files(settings: Settings, tmp_path: Path) -> None:
    theirs = environment(settings)
    assert theirs["AFTERSALES_CHANNELS"] == str(tmp_path / "channels.toml")
    assert theirs["AFTERSALES_TEMPLATES"] == str(tmp_path / "words")
    assert theirs["AFTERSALES_LANGUAGE"] == "zh-CN"
    assert "AFTERSALES_CHANNELS" not in environment(Settings(_env_file=None))


def test_the_words_are_told_in_the_language_of_the_settings(settings: Settings) -> None:
    english = settings.model_copy(update={"language": "en"})
    assert delivery.templates(english).render("work_withdrawn", "CR-1", {}).subject == (
        "Work withdrawn: CR-1"
    )
    gone = settings.model_copy(update={"templates": Path("none")})
    with pytest.raises(Trouble, match="there is no folder none"):
        delivery.templates(gone)
