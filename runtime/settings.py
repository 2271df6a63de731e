"""Settings, from the environment or `.env`; every name starts with `AFTERSALES_`."""

from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from domain.addresses import Allowance
from domain.policy import Policy, PolicyError, read_policy
from domain.values import Duration

STANDARD_POLICY = Path(__file__).parent.parent / "policies" / "standard.toml"


def _words(value: object) -> object:
    return value.replace(",", " ").split() if isinstance(value, str) else value


def _networks(text: str) -> str:
    Allowance.read(text)  # A network that is none is found out at the start.
    return text


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


class Settings(BaseSettings):
    """What may differ from one installation to another.

    Attributes:
        temporal_address: unset, `up` starts a development server of its own.
        speed: every duration of the policy is divided by this (demonstrations, tests).
        token_secret: signs bearer tokens; unset, a key is made under the data folder.
        codec_origins: the pages that may have histories opened (Temporal's own); unset: those of
            the development server that `up` starts.
        data_keys: seal personal data (`name:base64,index:base64`); unset, likewise.
        webhook_allow: hosts and networks of the inside that webhooks may be sent to.
        webhook_give_up: how long the delivery of a webhook is tried.
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
    codec_origins: Annotated[list[str], NoDecode, BeforeValidator(_words)] = []
    webhook_allow: Annotated[str, AfterValidator(_networks)] = ""
    webhook_give_up: Annotated[Duration, Field(ge=timedelta(minutes=10), le=timedelta(days=30))] = (
        timedelta(days=3)
    )

    @model_validator(mode="after")
    def _know_our_own_pages(self) -> Self:
        if not self.codec_origins:
            hosts = ("127.0.0.1", "localhost")
            self.codec_origins = [f"http://{host}:{self.temporal_ui_port}" for host in hosts]
        return self

    @property
    def database(self) -> str:
        """The SQLAlchemy URL: the one given, or SQLite under the data folder."""
        if self.database_url:
            return self.database_url.replace("postgresql://", "postgresql+psycopg://", 1)
        return f"sqlite:///{(self.data_dir / 'aftersales.db').absolute()}"

    @cached_property
    def webhook_allowance(self) -> Allowance:
        """What of the inside webhooks may be sent to."""
        return Allowance.read(self.webhook_allow)

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
