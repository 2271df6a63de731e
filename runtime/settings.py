"""Settings, from the environment or `.env`; every name starts with `AFTERSALES_`."""

from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, TypeAdapter
from pydantic_settings import BaseSettings, SettingsConfigDict

from domain.policy import Policy, PolicyError, read_policy
from domain.values import Duration

STANDARD_POLICY = Path(__file__).parent.parent / "policies" / "standard.toml"


_NEVER = ("0", "off")
_DURATION: TypeAdapter[timedelta] = TypeAdapter(Duration)


def _interval(text: str) -> str:
    if text.lower() not in _NEVER and _DURATION.validate_python(text) < timedelta(minutes=1):
        raise ValueError("write 1m or longer, or off")
    return text


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


class Settings(BaseSettings):
    """What may differ from one installation to another.

    Attributes:
        temporal_address: unset, `up` starts a development server of its own.
        speed: every duration of the policy is divided by this (demonstrations, tests).
        token_secret: signs bearer tokens; unset, a key is made under the data folder.
        reconcile_every: how often the records are compared with the requests; `off`: never.
        metrics_token: what `/metrics` asks for; unset, it answers on a loopback address only.
        worker_metrics_port: where a worker shows its own metrics; unset: nowhere.
        data_keys: seal personal data (`name:base64,index:base64`); unset, likewise.
    """

    model_config = SettingsConfigDict(
        env_prefix="AFTERSALES_", env_file=".env", env_ignore_empty=True, extra="ignore"
    )

    data_dir: Path = Path(".aftersales")
    database_url: str | None = None
    temporal_address: str | None = None
    temporal_namespace: str = "default"
    temporal_port: int = Field(default=7233, ge=1, le=65535)
    temporal_ui_port: int = Field(default=8233, ge=1, le=65535)
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=1, le=65535)
    policy: Path = STANDARD_POLICY
    speed: float = Field(default=1, gt=0, le=100_000)
    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)] = (
        "info"
    )
    log_format: Literal["auto", "json", "console"] = "auto"
    token_secret: SecretStr | None = None
    data_keys: SecretStr | None = None

    reconcile_every: Annotated[str, AfterValidator(_interval)] = "1h"
    reconcile_repair: bool = True
    metrics_token: SecretStr | None = None
    worker_metrics_port: int | None = Field(default=None, ge=1, le=65535)

    @property
    def reconcile_interval(self) -> timedelta | None:
        """How often the records are compared with the requests; None: only when asked."""
        text = self.reconcile_every
        return None if text.lower() in _NEVER else _DURATION.validate_python(text)

    @property
    def database(self) -> str:
        """The SQLAlchemy URL: the one given, or SQLite under the data folder."""
        if self.database_url:
            return self.database_url.replace("postgresql://", "postgresql+psycopg://", 1)
        return f"sqlite:///{(self.data_dir / 'aftersales.db').absolute()}"

    @property
    def temporal_target(self) -> str:
        """Where the Temporal server answers."""
        return self.temporal_address or f"127.0.0.1:{self.temporal_port}"

    @cached_property
    def timing_policy(self) -> Policy:
        """The policy that new requests start under.

        Raises:
            PolicyError: the file is missing or broken; one sentence.
        """
        try:
            toml = self.policy.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise PolicyError(f"cannot read the policy file {self.policy}: {error}") from None
        return read_policy(toml, str(self.policy)).at_speed(self.speed)


def metrics_are_open(settings: Settings) -> bool:
    """Whether anyone who reaches the API may read `/metrics`: only on a loopback address."""
    return not settings.metrics_token and settings.host in ("127.0.0.1", "::1", "localhost")
