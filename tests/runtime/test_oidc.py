"""Tokens of an issuer: real keys, and a real server for the issuer's documents."""

import asyncio
import hmac
import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.utils import base64url_encode

from domain.vocabulary import Role
from runtime.doctor import Finding, findings
from runtime.identity import Identity
from runtime.oidc import COOLDOWN, KEPT_FOR, Issuer
from runtime.settings import Settings
from runtime.tokens import (
    IdentityUnavailable,
    Principal,
    RoleUnclear,
    TokenInvalid,
    mint,
    token_key,
)

AUDIENCE = "aftersales-api"
RSA = {name: rsa.generate_private_key(public_exponent=65537, key_size=2048) for name in "ab"}
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()


class House:
    """An issuer: what it publishes, how often it was asked, and whether it answers."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.up = True
        self.keys: list[dict[str, Any]] = []
        house = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                house.asked.append(self.path)
                status, body = house.answer(self.path)
                self.send_response(status)
                self.end_headers()
                self.wfile.write(json.dumps(body).encode())

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.name = f"http://127.0.0.1:{self._server.server_port}/realm/"
        self.announced = self.name
        threading.Thread(target=self._server.serve_forever, args=[0.01], daemon=True).start()
        self.publishes("a")

    def answer(self, path: str) -> tuple[int, Any]:
        if not self.up:
            return 500, {}
        if path.endswith("openid-configuration"):
            return 200, {"issuer": self.announced, "jwks_uri": f"{self.name}keys"}
        return 200, {"keys": self.keys}

    def publishes(self, *names: str) -> None:
        """These RSA keys, and one of every other kind."""
        self.keys = [
            {**RSAAlgorithm.to_jwk(RSA[name].public_key(), as_dict=True), "kid": name}
            for name in names
        ]
        self.keys += [
            {**ECAlgorithm.to_jwk(EC.public_key(), as_dict=True), "kid": "ec", "use": "sig"},
            {**OKPAlgorithm.to_jwk(ED.public_key(), as_dict=True), "kid": "ed"},
            {"kty": "oct", "kid": "shared", "k": "c2VjcmV0" * 8},
            {"kty": "unheard-of", "kid": "new"},
            {"no": "key"},
        ]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Time:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def passes(self, span: timedelta) -> None:
        self.now += span.total_seconds() + 1


@pytest.fixture
def house() -> Iterator[House]:
    house = House()
    yield house
    house.close()


@pytest.fixture
def settings(house: House, tmp_path: Path) -> Settings:
    return Settings(
        _env_file=None, data_dir=tmp_path, oidc_issuer=house.name, oidc_audience=AUDIENCE
    )


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def issuer(settings: Settings, time: Time) -> Issuer:
    return Issuer(settings, time)


Token = Callable[..., str]


@pytest.fixture
def token(house: House) -> Token:
    """A token of the issuer, as it should be but for what is given; None leaves a claim out."""

    def make(
        key: Any = RSA["a"], algorithm: str = "RS256", kid: str | None = "a", **claims: Any
    ) -> str:
        now = datetime.now(UTC)
        plausible = {
            "iss": house.name,
            "aud": AUDIENCE,
            "sub": "张-1",
            "role": "agent",
            "iat": now,
            "exp": now + timedelta(minutes=5),
        }
        given = {n: v for n, v in {**plausible, **claims}.items() if v is not None}
        return jwt.encode(given, key, algorithm, headers={"kid": kid} if kid else None)

    return make


async def test_a_good_token_says_who_calls(issuer: Issuer, token: Token, house: House) -> None:
    assert await issuer.verify(token()) == Principal(role=Role.agent, id="张-1")
    assert house.asked == ["/realm/.well-known/openid-configuration", "/realm/keys"]
    await issuer.verify(token())
    assert len(house.asked) == 2


@pytest.mark.parametrize(
    ("key", "algorithm", "kid"),
    [(RSA["a"], "PS256", "a"), (EC, "ES256", "ec"), (ED, "EdDSA", "ed"), (EC, "ES256", None)],
)
async def test_every_asymmetric_kind_counts(
    issuer: Issuer, token: Token, key: Any, algorithm: str, kid: str | None
) -> None:
    assert (await issuer.verify(token(key, algorithm, kid))).role is Role.agent


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://elsewhere.example/"},
        {"iss": None},
        {"aud": "another-api"},
        {"aud": None},
        {"exp": None},
        {"exp": "soon"},
        {"nbf": datetime.now(UTC) + timedelta(hours=1)},
        {"sub": None},
        {"sub": ""},
        {"sub": 7},
        {"sub": "x" * 65},
        {"sub": "CR20240520-001", "role": "customer"},
        {"key": RSA["b"]},
        {"key": EC, "algorithm": "ES256"},
        {"key": "", "algorithm": "none"},
        {"key": b"secret" * 8, "algorithm": "HS256", "kid": "shared"},
        {"algorithm": "RS512"},
        {"kid": "unknown"},
    ],
    ids=lambda changes: "-".join(changes),
)
async def test_a_token_that_does_not_count_is_refused(
    issuer: Issuer, token: Token, changes: dict[str, Any]
) -> None:
    with pytest.raises(TokenInvalid) as refused:
        await issuer.verify(token(**changes))
    assert not refused.value.expired


async def test_a_public_key_is_no_secret_to_sign_with(issuer: Issuer, token: Token) -> None:
    """The library will not sign like this, so it is done by hand, as an attacker would."""
    await issuer.verify(token())
    public = RSA["a"].public_key()
    encodings = serialization.Encoding
    for encoding in (encodings.PEM, encodings.DER):
        secret = public.public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)
        header = base64url_encode(b'{"alg":"HS256","typ":"JWT","kid":"a"}')
        signed = header + b"." + token().split(".")[1].encode()
        signature = base64url_encode(hmac.digest(secret, signed, "sha256"))
        with pytest.raises(TokenInvalid):
            await issuer.verify((signed + b"." + signature).decode())


@pytest.mark.parametrize("nonsense", ["", "x", "a.b.c", "é.é.é", "e30.e30.", "x" * 10_000])
async def test_nonsense_is_no_token(issuer: Issuer, settings: Settings, nonsense: str) -> None:
    with pytest.raises(TokenInvalid):
        await issuer.verify(nonsense)
    with pytest.raises(TokenInvalid):
        await Identity(settings, b"k" * 32).bearer(nonsense)


async def test_an_expired_token_is_told_apart(issuer: Issuer, token: Token) -> None:
    with pytest.raises(TokenInvalid) as refused:
        await issuer.verify(token(exp=datetime.now(UTC) - timedelta(minutes=1)))
    assert refused.value.expired


async def test_a_time_that_is_no_number_is_refused(issuer: Issuer, token: Token) -> None:
    with pytest.raises(TokenInvalid):
        await issuer.verify(token(exp=float("inf")))


@pytest.mark.parametrize(
    ("claims", "role"),
    [
        ({"role": ["offline_access", "dispatcher"]}, Role.dispatcher),
        ({"role": ["manager", "manager"]}, Role.manager),
        ({"role": "系统对接"}, None),
        ({"role": "Agent"}, None),
        ({"role": "emperor"}, None),
        ({"role": {"agent": True}}, None),
        ({"role": None}, None),
        ({"role": []}, None),
        ({"role": ["agent", "supervisor"]}, None),
    ],
)
async def test_exactly_one_of_our_roles_counts(
    issuer: Issuer, token: Token, claims: dict[str, Any], role: Role | None
) -> None:
    if role is not None:
        assert (await issuer.verify(token(**claims))).role is role
        return
    with pytest.raises(RoleUnclear) as refused:
        await issuer.verify(token(**claims))
    assert len(refused.value.roles) != 1


@pytest.mark.parametrize(
    ("claim", "claims"),
    [
        ("realm_access.roles", {"realm_access": {"roles": ["uma", "auditor"]}}),
        ("https://aftersales.example/role", {"https://aftersales.example/role": "auditor"}),
    ],
)
async def test_role_and_id_stand_where_the_settings_say(
    settings: Settings, token: Token, claim: str, claims: dict[str, Any]
) -> None:
    at = {"oidc_role_claim": claim, "oidc_id_claim": "preferred_username"}
    issuer = Issuer(settings.model_copy(update=at))
    caller = await issuer.verify(token(role=None, preferred_username="li", **claims))
    assert caller == Principal(role=Role.auditor, id="li")


async def test_a_rotated_key_is_fetched_and_the_old_one_is_over(
    issuer: Issuer, token: Token, house: House, time: Time
) -> None:
    await issuer.verify(token())
    house.publishes("b")
    time.passes(COOLDOWN)
    assert (await issuer.verify(token(RSA["b"], kid="b"))).role is Role.agent
    with pytest.raises(TokenInvalid):
        await issuer.verify(token())


async def test_a_revoked_key_is_over_when_the_keys_are_old(
    issuer: Issuer, token: Token, house: House, time: Time
) -> None:
    await issuer.verify(token())
    house.publishes("b")
    await issuer.verify(token())
    time.passes(KEPT_FOR)
    with pytest.raises(TokenInvalid):
        await issuer.verify(token())


async def test_a_flood_of_unknown_keys_does_not_flood_the_issuer(
    issuer: Issuer, token: Token, house: House, time: Time
) -> None:
    await issuer.verify(token())
    for _ in range(3):
        time.passes(COOLDOWN)
        for i in range(50):
            with pytest.raises(TokenInvalid):
                await issuer.verify(token(kid=f"unknown-{i}"))
    assert house.asked.count("/realm/keys") == 4


async def test_many_calls_at_once_ask_the_issuer_once(
    issuer: Issuer, token: Token, house: House, time: Time
) -> None:
    await asyncio.gather(*(issuer.verify(token()) for _ in range(20)))
    assert house.asked.count("/realm/keys") == 1
    house.publishes("a", "b")
    time.passes(COOLDOWN)
    await asyncio.gather(*(issuer.verify(token(RSA["b"], kid="b")) for _ in range(20)))
    assert house.asked.count("/realm/keys") == 2


async def test_known_keys_serve_while_the_issuer_is_down(
    issuer: Issuer, token: Token, house: House, time: Time
) -> None:
    await issuer.verify(token())
    house.up = False
    for _ in range(3):
        time.passes(KEPT_FOR)
        assert (await issuer.verify(token())).role is Role.agent
    # Nobody can say whether this one is good: it may be newer than what we know.
    time.passes(COOLDOWN)
    with pytest.raises(IdentityUnavailable):
        await issuer.verify(token(RSA["b"], kid="b"))
    house.keys = []
    house.up = True
    time.passes(KEPT_FOR)
    assert (await issuer.verify(token())).role is Role.agent


async def test_without_any_key_nobody_can_be_judged(
    issuer: Issuer, token: Token, house: House, time: Time
) -> None:
    house.up = False
    for _ in range(5):
        with pytest.raises(IdentityUnavailable):
            await issuer.verify(token())
    assert len(house.asked) == 1
    house.up = True
    time.passes(COOLDOWN)
    assert (await issuer.verify(token())).role is Role.agent


async def test_an_issuer_that_is_not_there(settings: Settings, token: Token, house: House) -> None:
    good = token()
    house.close()
    with pytest.raises(IdentityUnavailable):
        await Issuer(settings).verify(good)


async def test_another_issuers_document_is_not_believed(
    issuer: Issuer, token: Token, house: House
) -> None:
    house.announced = "https://elsewhere.example/"
    with pytest.raises(IdentityUnavailable):
        await issuer.verify(token())


async def test_an_address_of_the_keys_needs_no_discovery(
    settings: Settings, token: Token, house: House
) -> None:
    known = settings.model_copy(update={"oidc_jwks_url": f"{house.name}keys"})
    await Issuer(known).verify(token())
    assert house.asked == ["/realm/keys"]


async def test_both_kinds_of_token_count_at_once(settings: Settings, token: Token) -> None:
    key = token_key(settings)
    identity = Identity(settings, key)
    assert (await identity.bearer(mint(settings, Role.engineer, "E-1"))).id == "E-1"
    assert (await identity.bearer(token())).id == "张-1"
    ours_by_them = token(iss="aftersales")
    theirs_by_us = jwt.encode(
        {"iss": settings.oidc_issuer, "aud": AUDIENCE, "sub": "x", "role": "manager", "exp": 2**40},
        key,
        "HS256",
    )
    for forged in (ours_by_them, theirs_by_us, token(iss="https://elsewhere.example/")):
        with pytest.raises(TokenInvalid):
            await identity.bearer(forged)
    await identity.close()


async def test_the_doctor_asks_the_issuer(settings: Settings, house: House) -> None:
    async def found() -> Finding:
        [row] = [f async for f in findings(settings) if f.what == "Issuer"]
        return row

    assert (await found()).found == f"{house.name}, 3 keys"
    house.up = False
    silent = await found()
    assert silent.verdict == "failed"
    assert "AFTERSALES_OIDC_ISSUER" in silent.advice
