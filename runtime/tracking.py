"""Tracking links: an address by which a customer follows one request, without an account."""

import secrets
from datetime import datetime

import jwt

from domain.values import Value
from domain.vocabulary import Role
from runtime.settings import Settings
from runtime.tokens import ALGORITHM, ISSUER, TRACKING

_LOCAL = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - what is listened on is no address


class TrackingLink(Value):
    """A link to one request; whoever has it acts as its customer, on that request alone."""

    url: str
    token: str
    expires_at: datetime


def tracking_link(settings: Settings, key: bytes, number: str, now: datetime) -> TrackingLink:
    """A fresh link to the request `number`, signed with `key`, good for `AFTERSALES_TRACKING_TTL`.

    Nobody can guess one: each is signed, and holds 128 random bits.
    """
    expires_at = (now + settings.tracking_ttl).replace(microsecond=0)
    claims = {
        "iss": ISSUER,
        "aud": TRACKING,
        "sub": number,
        "role": Role.customer.value,
        "request": number,
        "jti": secrets.token_urlsafe(16),
        "iat": now,
        "exp": expires_at,
    }
    token = jwt.encode(claims, key, algorithm=ALGORITHM)
    url = f"{public_address(settings)}/track/{token}"
    return TrackingLink(url=url, token=token, expires_at=expires_at)


def tracking_url(settings: Settings, key: bytes, number: str, now: datetime) -> str:
    """The address of a fresh tracking link, for a message to the customer."""
    return tracking_link(settings, key, number, now).url


def public_address(settings: Settings) -> str:
    """Where the world reaches the API, without a slash at its end."""
    if settings.public_url:
        return settings.public_url.rstrip("/")
    return f"http://{_LOCAL.get(settings.host, settings.host)}:{settings.port}"
