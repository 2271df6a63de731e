"""Sealing: AES-256-GCM under a ring of named keys. The first seals; every one of them opens.

A sealed text names its key (`2026-11.<base64url>`), so that keys can be rotated one row at a time.
"""

import base64
import binascii
import hashlib
import hmac
import os
import re
from collections.abc import Mapping
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES = 32
_NONCE_BYTES = 12
_NAME = re.compile(r"[A-Za-z0-9_-]{1,32}")
INDEX = "index"
"""The ring's key of this name makes blind indexes and seals nothing; it is never rotated alone."""


class BadRing(ValueError):
    """A key ring that cannot be used; the message says why, without the keys."""


class Unsealable(Exception):
    """A sealed text that does not open: its key is not in the ring, or it was tampered with."""


class DataKey:
    """A key for the data of one customer alone: what it sealed is lost for good when it is lost.

    Args:
        key: 32 bytes, by default fresh ones.
    """

    def __init__(self, key: bytes | None = None) -> None:
        self.key = key or os.urandom(KEY_BYTES)
        self._cipher = AESGCM(self.key)

    def seal(self, plain: bytes, about: str) -> str:
        """Seal `plain`; it opens only with the same `about` (such as `form/CR20240520-001`)."""
        return base64.urlsafe_b64encode(self.seal_bytes(plain, about)).decode()

    def open(self, sealed: str, about: str) -> bytes:
        """What was sealed.

        Raises:
            Unsealable: it does not open.
        """
        return self.open_bytes(_raw(sealed), about)

    def seal_bytes(self, plain: bytes, about: str) -> bytes:
        """The same in bytes."""
        return _sealed(self._cipher, plain, about)

    def open_bytes(self, sealed: bytes, about: str) -> bytes:
        """What was sealed in bytes.

        Raises:
            Unsealable: it does not open.
        """
        return _opened(self._cipher, sealed, about)


class KeyRing:
    """The keys that personal data and secrets are sealed with.

    Args:
        keys: by name, 32 bytes each; the first one seals. One of them is called `index`.

    Raises:
        BadRing: a key is missing, misnamed or of the wrong length.
    """

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        for name, key in keys.items():
            if not _NAME.fullmatch(name):
                raise BadRing("a key's name is 1 to 32 letters, digits, - or _")
            if len(key) != KEY_BYTES:
                raise BadRing(f"the key {name} must have {KEY_BYTES} bytes, base64")
        if INDEX not in keys or len(keys) < 2:
            raise BadRing(f"the ring needs a key to seal with and one called {INDEX}")
        self._index_key = keys[INDEX]
        self._ciphers = {name: AESGCM(key) for name, key in keys.items() if name != INDEX}
        self.current = next(iter(self._ciphers))

    @classmethod
    def read(cls, text: str) -> Self:
        """The ring written as `name:base64,name:base64,index:base64`.

        Raises:
            BadRing: it is not written like that.
        """
        keys: dict[str, bytes] = {}
        for entry in filter(None, re.split(r"[,\s]+", text)):
            name, separator, key = entry.partition(":")
            if not separator or name in keys:
                raise BadRing("write the ring as name:base64,name:base64, each name once")
            try:
                keys[name] = base64.b64decode(key, validate=True)
            except (binascii.Error, ValueError):
                raise BadRing(f"the key {name} is not base64") from None
        return cls(keys)

    @staticmethod
    def make(name: str) -> str:
        """A new ring in writing, with one fresh key called `name` and one for indexes."""
        return ",".join(
            f"{each}:{base64.b64encode(os.urandom(KEY_BYTES)).decode()}" for each in (name, INDEX)
        )

    def seal(self, plain: bytes, about: str) -> str:
        """Seal `plain`; it opens only with the same `about` (such as `customer/7`)."""
        return f"{self.current}.{base64.urlsafe_b64encode(self.seal_bytes(plain, about)).decode()}"

    def open(self, sealed: str, about: str) -> bytes:
        """What was sealed.

        Raises:
            Unsealable: it does not open.
        """
        return self.open_bytes(_raw(sealed.partition(".")[2]), self.key_of(sealed), about)

    def seal_bytes(self, plain: bytes, about: str) -> bytes:
        """The same in bytes, without the name of the key, which is `current`."""
        return _sealed(self._ciphers[self.current], plain, about)

    def open_bytes(self, sealed: bytes, key: str, about: str) -> bytes:
        """What was sealed in bytes with the key of this name.

        Raises:
            Unsealable: it does not open.
        """
        if key not in self._ciphers:
            raise Unsealable(f"the key {key!r} is not in the ring")
        return _opened(self._ciphers[key], sealed, about)

    @staticmethod
    def key_of(sealed: str) -> str:
        """The name of the key that sealed it."""
        return sealed.partition(".")[0]

    def index(self, text: str, about: str) -> str:
        """A blind index: the same for the same text, and of no use to whoever lacks the key."""
        key = HKDF(SHA256(), KEY_BYTES, salt=None, info=about.encode()).derive(self._index_key)
        return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def _sealed(cipher: AESGCM, plain: bytes, about: str) -> bytes:
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + cipher.encrypt(nonce, plain, about.encode())


def _opened(cipher: AESGCM, sealed: bytes, about: str) -> bytes:
    try:
        return cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], about.encode())
    except (InvalidTag, ValueError):
        raise Unsealable(f"it was not sealed for {about}, or was changed since") from None


def _raw(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text)
    except ValueError:
        raise Unsealable("it is not a sealed text") from None
