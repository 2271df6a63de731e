"""The keys of this installation: given by the environment, or made in the data folder on first use.

A key made here is for development: whoever has the folder has the key and what it protects.
"""

import base64
import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Engine

from records import personal
from records.sealing import BadRing, KeyRing, Unsealable
from runtime.settings import Settings
from runtime.trouble import Trouble

log = structlog.get_logger()


def key_ring(settings: Settings) -> KeyRing:
    """The ring that personal data is sealed with.

    Raises:
        Trouble: `AFTERSALES_DATA_KEYS` cannot be used, or is missing in production.
    """
    try:
        return KeyRing.read(written_ring(settings))
    except BadRing as error:
        raise Trouble("The setting AFTERSALES_DATA_KEYS is wrong", str(error)) from None


def written_ring(settings: Settings) -> str:
    """The same ring in writing, for another process of ours.

    Raises:
        Trouble: it is missing in production.
    """
    given = settings.data_keys.get_secret_value() if settings.data_keys else ""
    return given or development_key(settings, "data.keys", lambda: KeyRing.make("first"))


def signing_key(settings: Settings) -> Ed25519PrivateKey:
    """The key that the archive's months are signed with.

    Raises:
        Trouble: `AFTERSALES_SIGNING_KEY` cannot be used, or is missing in production.
    """
    given = settings.signing_key.get_secret_value() if settings.signing_key else ""
    text = given or development_key(settings, "signing.key", _fresh_key)
    try:
        return Ed25519PrivateKey.from_private_bytes(base64.b64decode(text, validate=True))
    except ValueError:
        raise Trouble(
            "The setting AFTERSALES_SIGNING_KEY is wrong", "give 32 random bytes in base64"
        ) from None


def _fresh_key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


def look_for_missing_keys(engine: Engine) -> None:
    """Say so in the log when the ring is not the one that personal data was sealed with.

    Nothing stops for it: a customer known already cannot be read, everything else goes on.
    """
    try:
        personal.check(engine)
    except Unsealable as error:
        log.error("data_keys_do_not_open", reason=str(error), setting="AFTERSALES_DATA_KEYS")


_MUST_BE_SET = {
    "data.keys": (
        "AFTERSALES_DATA_KEYS is not set, and production seals no personal data with a key of the "
        "data folder",
        "set it to `first:KEY,index:KEY`, each KEY made with `openssl rand -base64 32`",
    ),
    "signing.key": (
        "AFTERSALES_SIGNING_KEY is not set, and production signs no archive with a key of the data "
        "folder",
        "make one with `openssl rand -base64 32`",
    ),
    "token.key": (
        "AFTERSALES_TOKEN_SECRET is not set, and production signs no token or tracking link with a "
        "key of the data folder",
        "make one with `openssl rand -hex 32`",
    ),
}


_READERS = {
    "data.keys": (
        "There is no key ring here, and nothing in the archive opens without it",
        "set AFTERSALES_DATA_KEYS, or AFTERSALES_DATA_DIR to the installation's own folder",
    ),
    "signing.key": (
        "There is no signing key here, and so nobody known who may have signed",
        "give --public-key, or set AFTERSALES_SIGNING_KEY",
    ),
}


def existing(settings: Settings, name: str) -> None:
    """A key is there already: who only reads must not make one, which would open nothing.

    Raises:
        Trouble: neither the environment nor the data folder has it.
    """
    given = {"data.keys": settings.data_keys, "signing.key": settings.signing_key}[name]
    if not given and not (settings.data_dir / "keys" / name).exists():
        raise Trouble(*_READERS[name])


def development_key(settings: Settings, name: str, make: Callable[[], str]) -> str:
    """A key of the data folder.

    Raises:
        Trouble: this is production, where every key is given.
    """
    if settings.in_production:
        raise Trouble(*_MUST_BE_SET[name])
    return kept(settings.data_dir / "keys" / name, make)


def kept(path: Path, make: Callable[[], str]) -> str:
    """The secret in a file, which is made on first use and readable by its owner alone."""
    if not path.exists():
        _keep(path, make())
    return path.read_text("utf-8")


def _keep(path: Path, secret: str) -> None:
    """Write the file. A link appears whole and only once, whoever else writes one too."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(secret)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()
