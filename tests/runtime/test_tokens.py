"""Bearer tokens: minted and verified with one key, and refused in every other case."""

import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from pydantic import SecretStr, ValidationError

from domain.vocabulary import Role
from runtime.settings import Settings
from runtime.tokens import Scope, TokenInvalid, WeakSecret, mint, token_key, verify


def settings(data_dir: Path, secret: str | None = None) -> Settings:
    return Settings(
        _env_file=None,
        data_dir=data_dir,
        token_secret=SecretStr(secret) if secret is not None else None,
    )


def test_a_token_says_who_calls(tmp_path: Path) -> None:
    ours = settings(tmp_path)
    for role in Role:
        caller = verify(token_key(ours), mint(ours, role, "张-1", timedelta(minutes=1)))
        assert (caller.role, caller.id) == (role, "张-1")


def test_every_role_may_read_but_not_every_role_reports_or_takes_in(tmp_path: Path) -> None:
    ours = settings(tmp_path)
    scopes = {role: verify(token_key(ours), mint(ours, role, "1")).scopes for role in Role}
    assert all(Scope.read in granted for granted in scopes.values())
    # What a role may report stands in the table of events; an auditor writes nothing.
    silent = {role for role, granted in scopes.items() if Scope.report not in granted}
    assert silent == {Role.auditor}
    assert {role for role, granted in scopes.items() if Scope.create not in granted} == {
        Role.analyst,
        Role.auditor,
        Role.engineer,
    }


def test_an_expired_token_is_told_apart(tmp_path: Path) -> None:
    ours = settings(tmp_path)
    with pytest.raises(TokenInvalid) as caught:
        verify(token_key(ours), mint(ours, Role.agent, "1", timedelta(seconds=-1)))
    assert caught.value.expired


@pytest.mark.parametrize(
    ("claims", "algorithm"),
    [
        ({}, "HS512"),
        ({}, "none"),
        ({"iss": "someone"}, "HS256"),
        ({"role": "emperor"}, "HS256"),
        ({"role": None}, "HS256"),
        ({"role": ["agent"]}, "HS256"),
        ({"sub": ""}, "HS256"),
        ({"sub": "x" * 65}, "HS256"),
        ({"exp": None}, "HS256"),
        ({"exp": "soon"}, "HS256"),
    ],
)
def test_a_token_that_is_not_ours_is_refused(
    tmp_path: Path, claims: dict[str, Any], algorithm: str
) -> None:
    ours = settings(tmp_path)
    later = datetime.now(UTC) + timedelta(hours=1)
    plausible = {"iss": "aftersales", "sub": "1", "role": "agent", "exp": later, **claims}
    given = {name: value for name, value in plausible.items() if value is not None}
    key = token_key(ours) if algorithm != "none" else None
    padded = key.ljust(64, b"=") if key and algorithm == "HS512" else key
    with pytest.raises(TokenInvalid):
        verify(token_key(ours), jwt.encode(given, padded or "", algorithm=algorithm))


@pytest.mark.parametrize("token", ["", "a.b.c", "é", "x" * 10_000])
def test_what_is_no_token_is_refused(tmp_path: Path, token: str) -> None:
    with pytest.raises(TokenInvalid):
        verify(token_key(settings(tmp_path)), token)


def test_a_token_of_another_key_is_refused(tmp_path: Path) -> None:
    here, there = settings(tmp_path / "here"), settings(tmp_path / "there")
    with pytest.raises(TokenInvalid):
        verify(token_key(here), mint(there, Role.agent, "1"))


def test_a_token_cannot_be_minted_for_nobody(tmp_path: Path) -> None:
    with pytest.raises(ValidationError):
        mint(settings(tmp_path), Role.agent, "")


def test_the_key_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    ours = settings(tmp_path)
    with ThreadPoolExecutor(8) as threads:
        keys = set(threads.map(lambda _: token_key(ours), range(32)))
    assert len(keys) == 1
    file = tmp_path / "keys" / "token.key"
    assert list(file.parent.iterdir()) == [file]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_a_short_secret_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeakSecret, match="AFTERSALES_TOKEN_SECRET"):
        token_key(settings(tmp_path, "short"))


def test_no_secret_means_the_key_file(tmp_path: Path) -> None:
    assert token_key(settings(tmp_path, "")) == token_key(settings(tmp_path))
