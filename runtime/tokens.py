"""Bearer tokens: who calls, in which role, and what that role may do."""

import secrets
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

import jwt
from pydantic import ValidationError

from domain.values import Name, Value
from domain.vocabulary import Role
from runtime.keys import development_key
from runtime.settings import Settings

ISSUER = "aftersales"
ALGORITHM = "HS256"
SHORTEST_SECRET = 32
TRACKING = "aftersales/tracking"
"""What a tracking link's token is for: to follow one request as its customer."""
CODEC = "aftersales/codec"


class Scope(StrEnum):
    """What a token may be used for."""

    create = "requests:create"
    read = "requests:read"
    report = "events:send"
    work = "tasks:work"
    personal = "pii:read"
    board = "board:read"
    steer = "requests:steer"
    subscribe = "webhooks:manage"
    audit = "audit:read"


_SCOPES = {
    Role.integration: "create read report work subscribe",
    Role.agent: "create read report work personal board",
    Role.dispatcher: "create read report work personal board steer",
    Role.engineer: "read report work personal",
    Role.supervisor: "create read report work personal board steer",
    Role.manager: "create read report work personal board steer subscribe audit",
    Role.analyst: "read report board",
    # Whoever audits writes nothing, not even the note that the table of events allows to anyone.
    Role.auditor: "read personal board audit",
    Role.customer: "create read report",
}

SCOPES: dict[Role, frozenset[Scope]] = {
    role: frozenset(Scope[word] for word in words.split()) for role, words in _SCOPES.items()
}
"""What each role may do."""


class Principal(Value):
    """Who calls; a customer who followed a tracking link, only for that `request`."""

    role: Role
    id: Name
    request: Name | None = None

    @property
    def scopes(self) -> frozenset[Scope]:
        """What they may do; a tracking link makes no further requests."""
        return SCOPES[self.role] - ({Scope.create} if self.request else set())


class TokenInvalid(Exception):
    """The token does not count; `expired` when it once did."""

    def __init__(self, *, expired: bool = False) -> None:
        super().__init__("the token has expired" if expired else "the token is invalid")
        self.expired = expired


class RoleUnclear(Exception):
    """The token counts, but does not say which one of our roles its bearer acts in.

    Attributes:
        claim: where the role should stand.
        roles: those of our roles that do stand there: none, or several.
    """

    def __init__(self, claim: str, roles: list[Role]) -> None:
        super().__init__(f"the claim {claim} names {len(roles)} roles")
        self.claim, self.roles = claim, roles


class IdentityUnavailable(Exception):
    """The issuer's keys are not known, and it does not answer."""


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
    return jwt.encode(claims, token_key(settings), algorithm=ALGORITHM)


def verify(key: bytes, token: str) -> Principal:
    """Who the token speaks for, if it was signed with `key`.

    A token made for some purpose (`aud`) is good for that one alone; tracking is the only one.

    Raises:
        TokenInvalid: it is not one of ours, or it has expired.
    """
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=[ALGORITHM],
            issuer=ISSUER,
            options={"require": ["exp", "iss", "role", "sub"], "verify_aud": False},
        )
        caller = Principal(role=claims["role"], id=claims["sub"], request=claims.get("request"))
    except jwt.ExpiredSignatureError:
        raise TokenInvalid(expired=True) from None
    except (jwt.InvalidTokenError, ValidationError):
        raise TokenInvalid from None
    purpose = claims.get("aud")
    if purpose != (TRACKING if caller.request else None):
        raise TokenInvalid
    if caller.request and caller.role is not Role.customer:
        raise TokenInvalid
    return caller


def codec_token(settings: Settings, ttl: timedelta = timedelta(days=30)) -> str:
    """A token that stands in an address and opens payloads of histories, and nothing else.

    Raises:
        WeakSecret: `AFTERSALES_TOKEN_SECRET` has fewer than 32 bytes.
    """
    claims = {"iss": ISSUER, "aud": CODEC, "exp": datetime.now(UTC) + ttl}
    return jwt.encode(claims, token_key(settings), algorithm=ALGORITHM)


def check_codec_token(key: bytes, token: str) -> None:
    """Whether this is such a token.

    Raises:
        TokenInvalid: it is not, or it has expired.
    """
    try:
        jwt.decode(token, key, algorithms=[ALGORITHM], issuer=ISSUER, audience=CODEC)
    except jwt.ExpiredSignatureError:
        raise TokenInvalid(expired=True) from None
    except jwt.InvalidTokenError:
        raise TokenInvalid from None


def token_key(settings: Settings) -> bytes:
    """The configured secret, or the key file of the data folder, made on first use.

    Raises:
        WeakSecret: `AFTERSALES_TOKEN_SECRET` has fewer than 32 bytes.
        Trouble: it is missing in production.
    """
    secret = settings.token_secret.get_secret_value() if settings.token_secret else ""
    if not secret:
        return development_key(settings, "token.key", _fresh_secret).encode()
    if len(secret.encode()) < SHORTEST_SECRET:
        raise WeakSecret(f"AFTERSALES_TOKEN_SECRET must have {SHORTEST_SECRET} bytes or more")
    return secret.encode()


def _fresh_secret() -> str:
    return secrets.token_hex(32)
