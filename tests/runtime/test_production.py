"""Production starts with the keys it was given, or not at all."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from api.app import create_app
from domain.vocabulary import Role
from records.sealing import KeyRing
from runtime import keys, preflight
from runtime.demo import demonstration
from runtime.doctor import findings
from runtime.keys import key_ring
from runtime.settings import Settings
from runtime.tokens import mint, token_key
from runtime.trouble import Trouble
from runtime.up import environment
from tests.runtime.conftest import Refuses

GIVEN: dict[str, Any] = {
    "signing_key": SecretStr("A" * 43 + "="),
    "token_secret": SecretStr("s" * 32),
    "data_keys": SecretStr(KeyRing.make("first")),
}
MAKES: dict[str, Any] = {
    "token_secret": token_key,
    "signing_key": keys.signing_key,
    "data_keys": key_ring,
}


def production(folder: Path, **given: Any) -> Settings:
    return Settings(_env_file=None, data_dir=folder, environment="production", **given)


def test_with_every_key_given_it_may_start(tmp_path: Path) -> None:
    settings = production(tmp_path, **GIVEN)
    preflight.identity(settings)
    assert mint(settings, Role.agent, "a1")
    assert not (tmp_path / "keys").exists()


@pytest.mark.parametrize("missing", GIVEN)
def test_a_missing_key_stops_it(tmp_path: Path, missing: str) -> None:
    settings = production(tmp_path, **{n: v for n, v in GIVEN.items() if n != missing})
    with pytest.raises(Trouble, match=f"AFTERSALES_{missing.upper()} is not set"):
        preflight.identity(settings)
    with pytest.raises(Trouble):
        MAKES[missing](settings)
    assert not (tmp_path / "keys").exists()


def test_an_issuer_does_not_sign_tracking_links(tmp_path: Path) -> None:
    given = {**GIVEN, "token_secret": None}
    settings = production(tmp_path, **given, oidc_issuer="https://id.example", oidc_audience="a")
    with pytest.raises(Trouble, match="AFTERSALES_TOKEN_SECRET"):
        preflight.identity(settings)


def test_development_makes_its_own(tmp_path: Path) -> None:
    settings = Settings(_env_file=None, data_dir=tmp_path)
    preflight.identity(settings)
    assert token_key(settings)
    key_ring(settings)


def test_the_application_itself_refuses(tmp_path: Path) -> None:
    with pytest.raises(Trouble, match="AFTERSALES_TOKEN_SECRET"):
        create_app(production(tmp_path, **{**GIVEN, "token_secret": None}))


@pytest.mark.parametrize("command", ["up", "api", "worker", "token"])
def test_a_command_refuses_in_one_sentence(refuses: Refuses, command: str) -> None:
    arguments = ["--role", "agent", "--id", "a1"] if command == "token" else []
    ring = KeyRing.make("first")
    said = refuses(
        command,
        *arguments,
        AFTERSALES_ENVIRONMENT="production",
        AFTERSALES_DATA_KEYS=ring,
        AFTERSALES_SIGNING_KEY="A" * 43 + "=",
        AFTERSALES_TOKEN_SECRET="",
    )
    assert "AFTERSALES_TOKEN_SECRET is not set" in said


@pytest.mark.parametrize("command", ["up", "api", "worker"])
def test_a_command_refuses_without_a_ring(refuses: Refuses, command: str) -> None:
    said = refuses(
        command,
        AFTERSALES_ENVIRONMENT="production",
        AFTERSALES_DATA_KEYS="",
        AFTERSALES_TOKEN_SECRET="s" * 32,
    )
    assert "AFTERSALES_DATA_KEYS is not set" in said


def test_an_issuer_without_an_audience_would_let_in_its_every_customer(tmp_path: Path) -> None:
    settings = Settings(_env_file=None, data_dir=tmp_path, oidc_issuer="https://id.example")
    with pytest.raises(Trouble, match="AFTERSALES_OIDC_AUDIENCE"):
        preflight.identity(settings)
    with pytest.raises(Trouble, match="AFTERSALES_OIDC_AUDIENCE"):
        create_app(settings)


def test_an_issuer_of_production_is_reached_safely(tmp_path: Path) -> None:
    settings = production(
        tmp_path, **GIVEN, oidc_issuer="http://id.example", oidc_audience="aftersales"
    )
    with pytest.raises(Trouble, match="https"):
        preflight.identity(settings)


def test_the_demonstration_is_never_production(tmp_path: Path) -> None:
    assert not demonstration(production(tmp_path, **GIVEN)).in_production


def test_our_own_processes_find_the_very_same_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = production(
        tmp_path, **GIVEN, public_url="https://help.example", tracking_ttl=timedelta(hours=36)
    )
    for name, value in environment(settings).items():
        monkeypatch.setenv(name, value)
    found = Settings(_env_file=None)
    differs = {"policy", "temporal_address", "log_format"}
    assert found.model_dump(exclude=differs) == settings.model_dump(exclude=differs)


async def test_the_doctor_looks_at_it(tmp_path: Path) -> None:
    found = {
        finding.what: finding
        async for finding in findings(production(tmp_path, token_secret=GIVEN["token_secret"]))
        if finding.what in ("Keys", "Issuer")
    }
    assert found["Keys"].verdict == "failed"
    assert "AFTERSALES_DATA_KEYS" in found["Keys"].found
