"""Tracking links: for one request, as its customer, and good for nothing else."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest

from domain.vocabulary import Role
from runtime.settings import Settings
from runtime.tokens import TRACKING, Principal, Scope, TokenInvalid, mint, verify
from runtime.tracking import public_address, tracking_link, tracking_url

KEY = b"k" * 32
NUMBER = "CR20240520-001"


def settings(**given: Any) -> Settings:
    return Settings(_env_file=None, **given)


def test_a_link_opens_its_request_as_the_customer() -> None:
    now = datetime.now(UTC)
    link = tracking_link(settings(public_url="https://help.example/"), KEY, NUMBER, now)
    assert link.url == f"https://help.example/track/{link.token}"
    assert timedelta(days=29) < link.expires_at - now <= timedelta(days=30)
    caller = verify(KEY, link.token)
    assert caller == Principal(role=Role.customer, id=NUMBER, request=NUMBER)
    assert caller.scopes == {Scope.read, Scope.report}


def test_no_two_links_are_alike() -> None:
    now = datetime.now(UTC)
    assert tracking_url(settings(), KEY, NUMBER, now) != tracking_url(settings(), KEY, NUMBER, now)


def test_a_link_expires() -> None:
    long_ago = datetime.now(UTC) - timedelta(days=8)
    link = tracking_link(settings(tracking_ttl="7d"), KEY, NUMBER, long_ago)
    with pytest.raises(TokenInvalid) as refused:
        verify(KEY, link.token)
    assert refused.value.expired


@pytest.mark.parametrize(
    "changes",
    [
        {"role": "manager"},
        {"role": "engineer"},
        {"request": None},
        {"request": ""},
        {"request": 7},
        {"aud": None},
        {"aud": "another/purpose"},
        {"aud": [TRACKING, "x"]},
    ],
    ids=str,
)
def test_even_our_own_signature_makes_nothing_else_of_it(changes: dict[str, Any]) -> None:
    link = tracking_link(settings(), KEY, NUMBER, datetime.now(UTC))
    claims = jwt.decode(link.token, options={"verify_signature": False})
    altered = {n: v for n, v in {**claims, **changes}.items() if v is not None}
    with pytest.raises(TokenInvalid):
        verify(KEY, jwt.encode(altered, KEY, "HS256"))


def test_a_persons_token_opens_no_link(tmp_path: Path) -> None:
    ours = settings(data_dir=tmp_path, token_secret="s" * 32)
    assert verify(b"s" * 32, mint(ours, Role.customer, NUMBER)).request is None


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ({}, "http://127.0.0.1:8000"),
        ({"host": "0.0.0.0", "port": 9000}, "http://127.0.0.1:9000"),
        ({"host": "10.1.2.3"}, "http://10.1.2.3:8000"),
        ({"public_url": "https://help.example/service/"}, "https://help.example/service"),
    ],
)
def test_a_link_leads_to_where_the_world_reaches_us(given: dict[str, Any], address: str) -> None:
    assert public_address(settings(**given)) == address
