"""Bearer tokens: who calls, in which role, and what that role may do."""

import os
import secrets
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

import jwt
from pydantic import ValidationError

from domain.values import Name, Value
from domain.vocabulary import Role
from runtime.settings import Settings

ISSUER = "aftersales"
ALGORITHM = "HS256"
SHORTEST_SECRET = 32


class Scope(StrEnum):
    """What a token may be used for."""

    create = "requests:create"
    read = "requests:read"
    report = "events:send"


_CREATORS = {
    Role.integration,
    Role.agent,
    Role.customer,
    Role.dispatcher,
    Role.supervisor,
    Role.manager,
}
_ONLOOKERS = {Role.analyst, Role.auditor}

SCOPES: dict[Role, frozenset[Scope]] = {
    role: frozenset(
        {Scope.read}
        | ({Scope.create} if role in _CREATORS else set())
        | ({Scope.report} if role not in _ONLOOKERS else set())
    )
    for role in Role
}
"""What each role may do."""


class Principal(Value):
    """Who calls."""

    role: Role
    id: Name

    @property
    def scopes(self) -> frozenset[Scope]:
        """What they may do."""
        return SCOPES[self.role]


class TokenInvalid(Exception):
    """The token is not one of ours; `expired` when it was."""

    def __init__(self, *, expired: bool = False) -> None:
        super().__init__("the token has expired" if expired else "the token is invalid")
        self.expired = expired


class WeakSecret(Exception):
    """The configured secret is too short to sign with."""


def mint(settings: Settings, role: Role, id: str, ttl: timedelta = timedelta(hours=12)) -> str:
    """A token for the person or system `id` acting as `role`, good for `ttl`.

    Raises:
        WeakSecret: `AFTERSALES_TOKEN_SECRET` has fewer than 32 bytes.
        pydantic.ValidationError: `role` is no role, or `id` is empty or longer than 64 characters.
    """
    principal = Principal(role=role, id=id)
    now = datetime.now(UTC)
    claims = {
        "iss": ISSUER,
        "sub": principal.id,
        "role": principal.role.value,
        "iat": now,
        "exp": now + ttl,
    }
    return jwt.encode(claims, signing_key(settings), algorithm=ALGORITHM)


def verify(key: bytes, token: str) -> Principal:
    """Who the token speaks for, if it was signed with `key`.

    Raises:
        TokenInvalid: it is not one of ours, or it has expired.
    """
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=[ALGORITHM],
            issuer=ISSUER,
            options={"require": ["exp", "iss", "role", "sub"]},
        )
        return Principal(role=claims["role"], id=claims["sub"])
    except jwt.ExpiredSignatureError:
        raise TokenInvalid(expired=True) from None
    except (jwt.InvalidTokenError, ValidationError):
        raise TokenInvalid from None


def signing_key(settings: Settings) -> bytes:
    """The configured secret, or the key file of the data folder, made on first use.

    Raises:
        WeakSecret: `AFTERSALES_TOKEN_SECRET` has fewer than 32 bytes.
    """
    secret = settings.token_secret.get_secret_value() if settings.token_secret else ""
    if not secret:
        return _key_file(settings.data_dir / "keys" / "token.key")
    if len(secret.encode()) < SHORTEST_SECRET:
        raise WeakSecret(f"AFTERSALES_TOKEN_SECRET must have {SHORTEST_SECRET} bytes or more")
    return secret.encode()


def _key_file(path: Path) -> bytes:
    if not path.exists():
        _make_key_file(path)
    return path.read_bytes()


def _make_key_file(path: Path) -> None:
    """Write a random key. A link appears whole and only once, whoever else writes one too."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_hex(32).encode())
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()
