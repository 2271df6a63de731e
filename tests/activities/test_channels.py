"""The channels file: what it may say, and what is wrong with one that cannot be used."""

import re
from pathlib import Path

import pytest
from sqlalchemy import Engine

from activities.channels import Channels, ChannelsError, open_channels
from activities.working_days import calendar_for
from records.intake import take_in
from tests.desk import intake
from tests.pure.builders import STANDARD, START

EXAMPLE = Path(__file__).parents[2] / "deploy" / "channels.example.toml"
SECRET = "whsec_c2VjcmV0LW9mLXRoZS1nYXRld2F5LTAxMjM0NTY3"


def environment() -> dict[str, str | None]:
    """A value for every variable that the example names."""
    names = set(re.findall(r'"env:(\w+)"', EXAMPLE.read_text("utf-8")))
    return {**dict.fromkeys(names, SECRET), "TEAM_CHAT_URL": "json://chat.example/"}


def opened(folder: Path, toml: str) -> Channels:
    file = folder / "channels.toml"
    file.write_text(toml, encoding="utf-8")
    return open_channels(file, environment())


def test_the_example_can_be_used_as_it_is() -> None:
    ways = open_channels(EXAMPLE, environment())
    assert set(ways.outlets) == {"log", "mail", "sms_gateway", "push", "team_chat"}
    assert ways.route("customer", "sms") == ("sms_gateway", "mail")
    assert ways.route("manager", "email") == ("mail",)
    assert ways.route("engineer", "app") == ways.route("engineer", "app_push")


@pytest.mark.parametrize(
    ("role", "channel"), [("manager", "console"), ("customer", "sms"), ("nobody", "telepathy")]
)
def test_what_has_no_route_goes_to_the_log(role: str, channel: str) -> None:
    assert open_channels(None, {}).route(role, channel) == ("log",)


def test_a_stations_own_people_go_first(engine: Engine) -> None:
    ways = open_channels(EXAMPLE, environment())
    new = intake(customer={"email": "zhang@customer.example"})
    taken = take_in(engine, new, key=None, policy=STANDARD, calendar_for=calendar_for, now=START)

    def reached(role: str, kind: str, who: str | None = None) -> tuple[str, ...]:
        return ways.addresses(engine, taken.number, role, who, kind)  # type: ignore[arg-type]

    assert reached("supervisor", "email") == ("supervisor@example.com",)
    assert reached("supervisor", "phone") == ("13800000001",)
    assert reached("manager", "phone") == ()
    assert reached("customer", "email") == ("zhang@customer.example",)
    assert reached("customer", "id") == ()
    assert reached("engineer", "email", "E-0001") == ("e0001@example.com",)
    assert reached("engineer", "phone", "E-0001") == ()  # not in the master data
    assert reached("engineer", "id", "E-0001") == ("E-0001",)


MAIL = '[providers.mail]\nkind = "smtp"\nhost = "h"\nsender = "a@b.example"\n'
GATE = '[providers.gate]\nkind = "http"\nurl = "https://g.example/"\nsecret = "env:SMS_SECRET"\n'


@pytest.mark.parametrize(
    ("toml", "fault"),
    [
        ("[providers", "is not valid TOML"),
        ('[providers.x]\nkind = "pigeon"\n', "providers.x"),
        ('[providers."a b"]\nkind = "log"\n', "providers.a b"),
        (MAIL + 'password = "in clear text"\n', "providers.mail.password: name a variable"),
        (MAIL + 'password = "env:NOT_SET"\n', "the environment has no variable NOT_SET"),
        (MAIL + 'security = "ssl2"\n', "providers.mail.security"),
        (MAIL + 'timeout = "5m"\n', "providers.mail.timeout"),
        (MAIL + "hand = 3\n", "providers.mail.hand"),
        (MAIL.replace("a@b.example", "nobody"), "providers.mail.sender"),
        (GATE.replace("https://g.example/", "ftp://g.example/"), "providers.gate.url"),
        (GATE.replace("SMS_SECRET", "TEAM_CHAT_URL"), "providers.gate.secret: the secret must"),
        ('[providers.c]\nkind = "apprise"\nurl = "env:SMS_SECRET"\n', "providers.c: Apprise does"),
        ('[routes.customer]\nsms = ["gate"]\n', "routes.customer.sms: there is no provider gate"),
        ("[routes.customer]\nsms = []\n", "routes.customer.sms: name a provider"),
        ('[routes.customer]\nfax = ["log"]\n', "routes.customer.fax"),
        ('[routes.boss]\nsms = ["log"]\n', "routes.boss"),
        ('[people.manager]\nemail = ["nobody"]\n', "people.manager.email"),
    ],
)
def test_what_is_wrong_is_named_and_no_secret_is(tmp_path: Path, toml: str, fault: str) -> None:
    with pytest.raises(ChannelsError) as refused:
        opened(tmp_path, toml)
    assert fault in str(refused.value)
    assert "\n" not in str(refused.value)
    for secret in (SECRET, "in clear text", "chat.example"):
        assert secret not in str(refused.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ChannelsError, match="cannot read the channels file"):
        open_channels(tmp_path / "none.toml", {})
