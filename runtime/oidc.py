"""Bearer tokens of an OpenID Connect issuer: its keys, fetched and kept, and what a token says."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any, NamedTuple

import httpx
import jwt
import structlog
from pydantic import ValidationError

from domain.numbering import is_request_number
from domain.vocabulary import Role
from runtime.settings import Settings
from runtime.tokens import IdentityUnavailable, Principal, RoleUnclear, TokenInvalid

log = structlog.get_logger()

ALGORITHMS = {"RS256": "RSA", "PS256": "RSA", "ES256": "EC", "EdDSA": "OKP"}
"""The signatures that count, and the kind of key each needs. None that the verifier could make."""

KEPT_FOR = timedelta(minutes=10)
COOLDOWN = timedelta(seconds=5)
"""The issuer is asked once in so long at most, however many unknown keys are named to us."""
PATIENCE = timedelta(seconds=3)
LEEWAY = timedelta(seconds=10)
"""How far the issuer's clock may be from ours."""


class _Key(NamedTuple):
    """A public key; `algorithm`: the only one it is for, if the issuer says so."""

    id: str | None
    kind: str
    algorithm: str | None
    public: Any


class Issuer:
    """The issuer of the settings, and its public keys as last heard."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings, self._clock = settings, clock
        self._http = httpx.AsyncClient(timeout=PATIENCE.total_seconds())
        self._fetching = asyncio.Lock()
        self._keys: list[_Key] = []
        self._fetched_at = self._tried_at = float("-inf")

    @property
    def name(self) -> str:
        """The `iss` of its tokens."""
        return self._settings.oidc_issuer or ""

    async def close(self) -> None:
        """Let go of its connections."""
        await self._http.aclose()

    async def verify(self, token: str) -> Principal:
        """Who the token speaks for.

        Raises:
            TokenInvalid: it is not the issuer's, not for us, forged, or not in force.
            RoleUnclear: it does not name exactly one of our roles.
            IdentityUnavailable: the key that it names is not known, and the issuer is silent.
        """
        try:
            header = jwt.get_unverified_header(token)
            algorithm = header.get("alg")
            if algorithm not in ALGORITHMS:
                raise TokenInvalid
            claims: dict[str, Any] = jwt.decode(
                token,
                await self._key(header.get("kid"), algorithm),
                algorithms=[algorithm],
                issuer=self.name,
                audience=self._settings.oidc_audience,
                leeway=LEEWAY,
                options={"require": ["exp", "iss", "aud"]},
            )
        except jwt.ExpiredSignatureError:
            raise TokenInvalid(expired=True) from None
        except jwt.PyJWTError:
            raise TokenInvalid from None
        return self._principal(claims)

    async def refresh(self) -> int:
        """Fetch the keys now; how many there are.

        Raises:
            IdentityUnavailable: they cannot be had; those known before are kept.
        """
        self._tried_at = self._clock()
        try:
            async with asyncio.timeout(PATIENCE.total_seconds()):
                document = await self._get(await self._jwks_url())
            keys = [key for jwk in document["keys"] if (key := _public_key(jwk))]
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            raise self._unavailable(type(error).__name__) from None
        except (ValueError, KeyError, TypeError):
            raise self._unavailable("no key set") from None
        if not keys:
            raise self._unavailable("no usable key")
        self._keys, self._fetched_at = keys, self._tried_at
        return len(keys)

    async def _key(self, kid: str | None, algorithm: str) -> Any:
        """The public key, asking the issuer when ours are old or do not hold it."""
        is_old = self._clock() - self._fetched_at > KEPT_FOR.total_seconds()
        # While one call fetches, the others go on with the keys we have.
        if is_old and not (self._keys and self._fetching.locked()):
            await self._refresh_unless_just_tried()
        key = self._find(kid, algorithm)
        if key is None:
            await self._refresh_unless_just_tried()
            key = self._find(kid, algorithm)
        if key is not None:
            return key.public
        if self._fetched_at < self._tried_at:
            raise IdentityUnavailable
        raise TokenInvalid

    async def _refresh_unless_just_tried(self) -> None:
        """One call fetches, the others wait for what it brings."""
        async with self._fetching:
            if self._clock() - self._tried_at >= COOLDOWN.total_seconds():
                with suppress(IdentityUnavailable):  # It is logged; whoever lacks a key is told.
                    await self.refresh()

    def _find(self, kid: str | None, algorithm: str) -> _Key | None:
        """The one key that can have made such a signature; a token need not name an only one."""
        fitting = [
            key
            for key in self._keys
            if key.kind == ALGORITHMS[algorithm]
            and key.algorithm in (None, algorithm)
            and kid in (None, key.id)
        ]
        return fitting[0] if len(fitting) == 1 else None

    async def _jwks_url(self) -> str:
        if self._settings.oidc_jwks_url:
            return self._settings.oidc_jwks_url
        place = f"{self.name.rstrip('/')}/.well-known/openid-configuration"
        found = await self._get(place)
        if found["issuer"] != self.name:
            raise ValueError("the discovery document is another issuer's")
        return str(found["jwks_uri"])

    async def _get(self, url: str) -> Any:
        answer = await self._http.get(url, headers={"Accept": "application/json"})
        return answer.raise_for_status().json()

    def _unavailable(self, reason: str) -> IdentityUnavailable:
        log.warning("identity_unavailable", issuer=self.name, reason=reason)
        return IdentityUnavailable(reason)

    def _principal(self, claims: dict[str, Any]) -> Principal:
        where = self._settings.oidc_role_claim
        named = _claim(claims, where)
        named = [named] if isinstance(named, str) else named
        named = named if isinstance(named, list) else []
        roles = [role for role in Role if role.value in named]
        if len(roles) != 1:
            raise RoleUnclear(where, roles)
        try:
            caller = Principal(role=roles[0], id=_claim(claims, self._settings.oidc_id_claim))
        except ValidationError:
            raise TokenInvalid from None
        # A customer called like a request would own it; an issuer may let people choose names.
        if is_request_number(caller.id):
            raise TokenInvalid
        return caller


def _public_key(jwk: Any) -> _Key | None:
    """The key, if it can verify signatures; a set may hold others, which are none of our business.

    A secret one (`oct`) never counts, whatever the issuer publishes.
    """
    try:
        key = jwt.PyJWK(jwk)
        kind, only_for = jwk["kty"], jwk.get("alg")
    except (jwt.PyJWTError, AttributeError, TypeError):
        return None
    if key.public_key_use not in (None, "sig") or ALGORITHMS.get(key.algorithm_name) != kind:
        return None
    return _Key(key.key_id, kind, only_for, key.key)


def _claim(claims: Any, name: str) -> Any:
    """A claim by its own name, or by the path that the dots make: `realm_access.roles`."""
    if not isinstance(claims, dict):
        return None
    if name in claims:
        return claims[name]
    first, dot, rest = name.partition(".")
    return _claim(claims.get(first), rest) if dot else None
