"""Settings, from the environment or `.env`; every name starts with `AFTERSALES_`."""

from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from activities.messages import Language
from domain.policy import Policy, PolicyError, read_policy

STANDARD_POLICY = Path(__file__).parent.parent / "policies" / "standard.toml"


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


class Settings(BaseSettings):
    """What may differ from one installation to another.

    Attributes:
        temporal_address: unset, `up` starts a development server of its own.
        speed: every duration of the policy is divided by this (demonstrations, tests).
        token_secret: signs bearer tokens; unset, a key is made under the data folder.
        language: of the messages.
        templates: a folder with the organisation's own words for them.
        channels: the channels file; unset, messages go to the log.
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
    language: Language = "zh-CN"
    templates: Path | None = None
    channels: Path | None = None
    token_secret: SecretStr | None = None
    data_keys: SecretStr | None = None

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
