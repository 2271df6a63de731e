"""Settings, from the environment or `.env`; every name starts with `AFTERSALES_`."""

from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, Self

from limits import parse
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    HttpUrl,
    SecretStr,
    TypeAdapter,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from activities.messages import Language
from domain.addresses import Allowance
from domain.policy import Policy, PolicyError, read_policy
from domain.values import Duration

STANDARD_POLICY = Path(__file__).parent.parent / "policies" / "standard.toml"


_NEVER = ("0", "off")
_DURATION: TypeAdapter[timedelta] = TypeAdapter(Duration)


def _interval(text: str) -> str:
    if text.lower() not in _NEVER and _DURATION.validate_python(text) < timedelta(minutes=1):
        raise ValueError("write 1m or longer, or off")
    return text


def _words(value: object) -> object:
    return value.replace(",", " ").split() if isinstance(value, str) else value


def _networks(text: str) -> str:
    Allowance.read(text)  # A network that is none is found out at the start.
    return text


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _address(value: str) -> str:
    """An http address, exactly as given: an issuer is compared to the letter."""
    TypeAdapter(HttpUrl).validate_python(value)
    return value


def _rate(value: str) -> str:
    try:
        if parse(value).amount > 0:
            return value
    except ValueError:
        pass
    raise ValueError(f"{value!r} is not a rate; write 600/minute or 10/second")


Address = Annotated[str, AfterValidator(_address)]
Rate = Annotated[str, AfterValidator(_rate)]


class Settings(BaseSettings):
    """What may differ from one installation to another.

    Attributes:
        temporal_address: unset, `up` starts a development server of its own.
        speed: every duration of the policy is divided by this (demonstrations, tests).
        token_secret: signs bearer tokens; unset, a key is made under the data folder.
        data_keys: seal personal data (`name:base64,index:base64`); unset, likewise.
        codec_origins: the pages that may have histories opened (Temporal's own); unset: those of
            the development server that `up` starts.
        archive_url: where histories are archived, as fsspec knows it (`s3://bucket/folder`); unset:
            a folder under the data folder.
        signing_key: an Ed25519 private key, 32 bytes in base64, that signs the archive's months;
            unset, one is made under the data folder.
        language: of the messages.
        templates: a folder with the organisation's own words for them.
        channels: the channels file; unset, messages go to the log.
        environment: `production` starts with no key that was made under the data folder.
        oidc_issuer: whose tokens count beside our own; unset, nobody's.
        oidc_audience: whom such a token must be meant for.
        oidc_jwks_url: where its keys are; unset, found through the issuer's discovery document.
        oidc_role_claim: where the role stands in a token; dots lead into objects.
        oidc_id_claim: where the person's id stands.
        public_url: the address under which the world reaches the API, for links.
        tracking_ttl: how long a customer's tracking link works.
        rate_limit: how often one person may call; `_integration`: one system; `_failures`: how
            often one address may come with tokens that do not count.
        webhook_allow: hosts and networks of the inside that webhooks may be sent to.
        webhook_give_up: how long the delivery of a webhook is tried.
        reconcile_every: how often the records are compared with the requests; `off`: never.
        metrics_token: what `/metrics` asks for; unset, it answers on a loopback address only.
        worker_metrics_port: where a worker shows its own metrics; unset: nowhere.
        deployment: the worker deployment that workers are builds of; unset: every worker takes
            every task.
        build_id: the name of this build in it; unset: our version.
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
    archive_url: str | None = None
    signing_key: SecretStr | None = None
    data_keys: SecretStr | None = None
    codec_origins: Annotated[list[str], NoDecode, BeforeValidator(_words)] = []
    environment: Annotated[Literal["development", "production"], BeforeValidator(_lower)] = (
        "development"
    )
    oidc_issuer: Address | None = None
    oidc_audience: str | None = None
    oidc_jwks_url: Address | None = None
    oidc_role_claim: str = "role"
    oidc_id_claim: str = "sub"
    public_url: Address | None = None
    tracking_ttl: Annotated[Duration, Field(gt=timedelta(0))] = timedelta(days=30)
    rate_limit: Rate = "600/minute"
    rate_limit_integration: Rate = "6000/minute"
    rate_limit_failures: Rate = "60/minute"
    webhook_allow: Annotated[str, AfterValidator(_networks)] = ""
    webhook_give_up: Annotated[Duration, Field(ge=timedelta(minutes=10), le=timedelta(days=30))] = (
        timedelta(days=3)
    )
    reconcile_every: Annotated[str, AfterValidator(_interval)] = "1h"
    reconcile_repair: bool = True
    metrics_token: SecretStr | None = None
    worker_metrics_port: int | None = Field(default=None, ge=1, le=65535)
    # Temporal joins the two with a dot.
    deployment: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")] | None = None
    build_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.+-]{1,64}$")] | None = None

    @model_validator(mode="after")
    def _know_our_own_pages(self) -> Self:
        if not self.codec_origins:
            hosts = ("127.0.0.1", "localhost")
            self.codec_origins = [f"http://{host}:{self.temporal_ui_port}" for host in hosts]
        return self

    @property
    def in_production(self) -> bool:
        """Whether keys of the data folder are out of the question."""
        return self.environment == "production"

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

    @cached_property
    def webhook_allowance(self) -> Allowance:
        """What of the inside webhooks may be sent to."""
        return Allowance.read(self.webhook_allow)

    @property
    def archive(self) -> str:
        """The archive's address."""
        return self.archive_url or f"file://{(self.data_dir / 'archive').absolute()}"

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
        except OSError as error:
            why = error.strerror
            raise PolicyError(f"cannot read the policy file {self.policy}: {why}") from None
        except UnicodeDecodeError:
            raise PolicyError(f"the policy file {self.policy} is not written in UTF-8") from None
        return read_policy(toml, str(self.policy)).at_speed(self.speed)


def metrics_are_open(settings: Settings) -> bool:
    """Whether anyone who reaches the API may read `/metrics`: only on a loopback address."""
    return not settings.metrics_token and settings.host in ("127.0.0.1", "::1", "localhost")
