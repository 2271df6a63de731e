"""docker-compose.yml as Compose reads it, and the .env that it is filled in from."""

import re
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from io import StringIO
from pathlib import Path
from secrets import token_bytes, token_hex
from typing import Any

import yaml
from dotenv import dotenv_values
from pydantic import TypeAdapter

from domain.values import Duration
from records.sealing import KeyRing

ROOT = Path(__file__).parents[1]
FILE = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
EXAMPLE = (ROOT / ".env.example").read_text(encoding="utf-8")

STOPS_WITHIN = timedelta(seconds=10)
"""How long Compose waits for a service that does not say how long it takes to stop."""

SECRETS: dict[str, Callable[[], str]] = {
    "POSTGRES_PASSWORD": lambda: token_hex(32),
    "TEMPORAL_DB_PASSWORD": lambda: token_hex(32),
    "APP_DB_PASSWORD": lambda: token_hex(32),
    "AFTERSALES_DATA_KEYS": lambda: KeyRing.make("k1"),
    "AFTERSALES_SIGNING_KEY": lambda: b64encode(token_bytes(32)).decode(),
    "AFTERSALES_TOKEN_SECRET": lambda: token_hex(32),
}
"""What must be filled in, and how docs/deployment.md has it made."""

_VARIABLE = re.compile(r"\$(?:(?P<escaped>\$)|\{(?P<name>\w+):(?P<kind>[-?])(?P<word>[^${}]*)\})")


class Missing(Exception):
    """A variable that the file requires, and what it says of it."""


@dataclass(frozen=True)
class Service:
    """What the file says of one service."""

    said: Mapping[str, Any]

    @property
    def command(self) -> list[str]:
        return list(self.said["command"])

    @property
    def environment(self) -> dict[str, str]:
        return dict(self.said["environment"])

    @property
    def published(self) -> str:
        """Where its one port is reached from the host."""
        (port,) = self.said["ports"]
        return f"http://{port.rpartition(':')[0]}"

    @property
    def healthcheck(self) -> list[str]:
        """The command that tells whether it is well."""
        kind, *words = self.said["healthcheck"]["test"]
        return words if kind == "CMD" else ["/bin/sh", "-c", *words]

    @property
    def stop_grace_period(self) -> timedelta:
        given = self.said.get("stop_grace_period")
        return TypeAdapter(Duration).validate_python(given) if given else STOPS_WITHIN


def composed(variables: Mapping[str, str], text: str = FILE) -> dict[str, Service]:
    """The services under these variables.

    Raises:
        Missing: one that is required is not set, or is empty.
    """
    services = _filled(yaml.safe_load(text)["services"], variables)
    return {name: Service(said) for name, said in services.items()}


def env_file(**changes: str) -> dict[str, str]:
    """A .env as docs/deployment.md has it made: the example, with the six secrets filled in."""
    filled = {name: made() for name, made in SECRETS.items()} | changes
    text = EXAMPLE
    for name, value in filled.items():
        text, found = re.subn(rf"(?m)^(# )?{name}=.*$", f"{name}={value}", text)
        assert found == 1, name
    read = dotenv_values(stream=StringIO(text), interpolate=False)
    return {name: value or "" for name, value in read.items()}


def _filled(said: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(said, dict):
        return {key: _filled(value, variables) for key, value in said.items()}
    if isinstance(said, list):
        return [_filled(each, variables) for each in said]
    return _interpolated(said, variables) if isinstance(said, str) else said


def _interpolated(text: str, variables: Mapping[str, str]) -> str:
    def value(found: re.Match[str]) -> str:
        if found["escaped"]:
            return "$"
        given = variables.get(found["name"])
        if not given and found["kind"] == "?":
            raise Missing(f"{found['name']}: {found['word']}")
        return given or found["word"]

    assert "$" not in _VARIABLE.sub("", text), f"not read here as Compose reads it: {text}"
    return _VARIABLE.sub(value, text)
