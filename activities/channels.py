"""Which message leaves through which provider, and to which address: the channels file.

The file (TOML, `AFTERSALES_CHANNELS`) names providers, routes and people; `deploy/
channels.example.toml` explains each line. Secrets stand in the environment, the file only names
them: `env:SMTP_PASSWORD`. Without a file every message goes to the log.
"""

import tomllib
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import parseaddr
from pathlib import Path
from typing import Annotated, Any, Literal, Self, cast

from pydantic import (
    AfterValidator,
    AnyHttpUrl,
    BeforeValidator,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from sqlalchemy import Engine

from activities.providers.http import HttpProvider
from activities.providers.log import LogProvider
from activities.providers.port import Address, Provider
from activities.providers.push import AppriseMissing, AppriseProvider
from activities.providers.smtp import SmtpProvider
from domain.intake import Email, Phone
from domain.values import Duration, Line, Name, Value
from domain.vocabulary import MessageChannel, Role
from records import outbox, queries

HANDS = 4
SHORTEST_KEY = 24
LOG = "log"
"""The provider that is always there."""


class ChannelsError(ValueError):
    """A channels file that cannot be used; one line that says where and why, without its values."""


def _secret(given: object, info: ValidationInfo) -> object:
    name = given.removeprefix("env:") if isinstance(given, str) else ""
    if not isinstance(given, str) or not name or name == given:
        raise ValueError("name a variable of the environment: env:NAME")
    value = (info.context or {}).get(name)
    if not value:
        raise ValueError(f"the environment has no variable {name}")
    return value


def _url(given: str) -> str:
    return str(TypeAdapter(AnyHttpUrl).validate_python(given))


def _maybe_secret(given: object, info: ValidationInfo) -> object:
    is_reference = isinstance(given, str) and given.startswith("env:")
    return _secret(given, info) if is_reference else given


def _mailbox(given: str) -> str:
    TypeAdapter(Email).validate_python(parseaddr(given)[1])
    return given


def _signing(given: str) -> str:
    key = given.removeprefix("whsec_")
    try:
        if key == given or len(b64decode(key, validate=True)) < SHORTEST_KEY:
            raise ValueError
    except ValueError:
        message = "the secret must be whsec_ and the base64 of 24 bytes or more"
        raise ValueError(message) from None
    return given


Secret = Annotated[str, BeforeValidator(_secret)]
Url = Annotated[str, BeforeValidator(_maybe_secret), AfterValidator(_url)]
ProviderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,40}$")]


class _Outlet(Value):
    """What every provider may say: how many messages at once, and how long one answer may take."""

    hands: Annotated[int, Field(ge=1, le=32)] = HANDS
    timeout: Annotated[Duration, Field(gt=timedelta(0), le=timedelta(seconds=15))] = timedelta(
        seconds=8
    )


class Smtp(_Outlet):
    """A mail server."""

    kind: Literal["smtp"]
    host: Name
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    security: Literal["starttls", "tls", "none"] = "starttls"
    sender: Annotated[Line, AfterValidator(_mailbox)]
    envelope_from: Email | None = None
    username: Line | None = None
    password: Secret | None = None
    ca_file: Path | None = None

    def open(self) -> Provider:
        """Make the provider."""
        settings = self.model_dump(exclude={"kind", "hands"})
        usual = {"starttls": 587, "tls": 465, "none": 25}[self.security]
        return SmtpProvider(**{**settings, "port": self.port or usual})


class Http(_Outlet):
    """A gateway for text messages or push."""

    kind: Literal["http"]
    url: Url
    secret: Annotated[Secret, AfterValidator(_signing)]
    address: Address = "phone"
    id_path: Line | None = None
    headers: dict[Name, Secret] = {}
    proxy: Url | None = None

    def open(self) -> Provider:
        """Make the provider."""
        return HttpProvider(**self.model_dump(exclude={"kind", "hands"}))


class Apprise(_Outlet):
    """A service that Apprise knows."""

    kind: Literal["apprise"]
    url: Secret
    address: Address = "phone"

    def open(self) -> Provider:
        """Make the provider."""
        return AppriseProvider(url=self.url, address=self.address)


class Log(_Outlet):
    """The log."""

    kind: Literal["log"]

    def open(self) -> Provider:
        """Make the provider."""
        return LogProvider()


Outlet = Annotated[Smtp | Http | Apprise | Log, Field(discriminator="kind")]


class Addresses(Value):
    """Where someone is reached."""

    email: tuple[Email, ...] = ()
    phone: tuple[Phone, ...] = ()


class People(Addresses):
    """Where a role is reached; `stations`: those who look after one station's requests."""

    stations: dict[Name, Addresses] = {}


class ChannelsFile(Value):
    """The file as written.

    Attributes:
        routes: for a role (or `any`) and a channel, the providers in the order they are tried.
        engineers: addresses by the engineer's id, besides the phone in the master data.
    """

    providers: dict[ProviderName, Outlet] = {}
    routes: dict[Role | Literal["any"], dict[MessageChannel, tuple[ProviderName, ...]]] = {}
    people: dict[Role, People] = {}
    engineers: dict[Name, Addresses] = {}

    @model_validator(mode="after")
    def _routes_lead_somewhere(self) -> Self:
        for role, channels in self.routes.items():
            for channel, names in channels.items():
                unknown = sorted({*names} - {*self.providers, LOG})
                if unknown or not names:
                    told = f"there is no provider {unknown[0]}" if unknown else "name a provider"
                    raise ValueError(f"routes.{role}.{channel}: {told}")
        return self


@dataclass(frozen=True)
class Outgoing:
    """A provider that is open, and how many messages it takes at once."""

    name: str
    provider: Provider
    hands: int = HANDS


@dataclass(frozen=True)
class Channels:
    """The ways out, the routes to them, and the addresses.

    Attributes:
        default: the provider of what has no route.
    """

    outlets: dict[str, Outgoing]
    file: ChannelsFile = field(default_factory=ChannelsFile)
    default: str = LOG

    @classmethod
    def through(cls, provider: Provider, name: str = LOG, hands: int = HANDS) -> Self:
        """Everything through one provider."""
        return cls({name: Outgoing(name, provider, hands)}, default=name)

    def route(self, role: str, channel: str) -> tuple[str, ...]:
        """The names of the providers for a message, in the order they are tried."""
        try:
            wanted = MessageChannel(channel)
        except ValueError:  # of a later version
            return (self.default,)
        routes = self.file.routes
        for of_role in (routes.get(cast(Role, role)), routes.get("any")):
            if of_role and (names := of_role.get(wanted)):
                return names
        return (self.default,)

    def without_address(self) -> list[str]:
        """Routes of the house that lead only to providers for which it has no address."""
        lonely = []
        for role, channels in self.file.routes.items():
            people = self.file.people.get(cast(Role, role), People())
            if role in ("any", Role.customer, Role.engineer) or people.stations:
                continue
            for channel, names in channels.items():
                kinds = [self.outlets[name].provider.address for name in names]
                if not any(kind in (None, "id") or _of(people, kind) for kind in kinds):
                    lonely.append(f"{role}.{channel}")
        return lonely

    def addresses(
        self, engine: Engine, number: str, role: str, who: str | None, kind: Address
    ) -> tuple[str, ...]:
        """Where a message about request `number` reaches its recipient; empty: nobody knows.

        Personal data: for the provider alone, never for the outbox or a log.
        """
        if kind == "id":
            return (who or role,) if role != Role.customer else ()
        if role == Role.customer:
            customer = queries.customer(engine, number)
            found = customer and (customer.phone if kind == "phone" else customer.email)
            return (found,) if found else ()
        if role == Role.engineer and who:
            given = _of(self.file.engineers.get(who, Addresses()), kind)
            phone = outbox.engineer_phone(engine, who) if kind == "phone" else None
            return given or ((phone,) if phone else ())
        people = self.file.people.get(Role(role), People())
        station = outbox.station(engine, number) if people.stations else None
        nearer = people.stations.get(station or "", Addresses())
        return _of(nearer, kind) or _of(people, kind)


def _of(addresses: Addresses, kind: Address | None) -> tuple[str, ...]:
    return addresses.email if kind == "email" else addresses.phone


def open_channels(file: Path | None, environment: Mapping[str, str | None]) -> Channels:
    """The channels that the file describes; None: everything goes to the log.

    Raises:
        ChannelsError: the file is missing or wrong.
    """
    log = Outgoing(LOG, LogProvider())
    if file is None:
        return Channels({LOG: log})
    try:
        content: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
        read = ChannelsFile.model_validate(content, context=dict(environment))
    except (OSError, UnicodeDecodeError) as error:
        raise ChannelsError(f"cannot read the channels file {file}: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise ChannelsError(f"{file} is not valid TOML: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        # Not the name of the union's branch, which the place holds besides.
        place = ".".join(str(part) for part in first["loc"] if part not in _KINDS) or "top level"
        raise ChannelsError(
            f"{file}: {place}: {first['msg'].removeprefix('Value error, ')}"
        ) from None
    outlets = {LOG: log}
    for name, outlet in read.providers.items():
        try:
            outlets[name] = Outgoing(name, outlet.open(), outlet.hands)
        except AppriseMissing as missing:
            raise ChannelsError(f"{file}: providers.{name}: {missing}") from None
        except ValueError:
            # Not its words: they may quote a secret.
            known = outlet.kind == "apprise"
            fault = "Apprise does not know its URL" if known else "it cannot be used"
            raise ChannelsError(f"{file}: providers.{name}: {fault}") from None
    return Channels(outlets, read)


_KINDS = {"smtp", "http", "apprise", "log"}
