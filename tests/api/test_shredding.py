"""After an erasure no tool shows what the customer told us; the chain and the figures hold."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from sqlalchemy import Engine
from temporalio.api.common.v1 import Payload
from temporalio.testing import WorkflowEnvironment

from api.app import create_app
from audit.archivist import Archivist
from audit.filed import story
from audit.histories import HistoryGone, Story, fetch
from audit.keys import key_file
from audit.manifests import Manifest
from audit.store import Missing, Store
from domain.vocabulary import Role
from records import chain
from runtime.codec import SealedPayloads
from runtime.keys import signing_key
from tests.api.caller import Caller, Json, event
from tests.databases import RING, RING_TEXT
from tests.records.test_personal import leaks

pytestmark = [pytest.mark.server, pytest.mark.slow(20), pytest.mark.usefixtures("worker")]

CLI = Path(__file__).parents[2] / "cli.py"
PERSON: Json = {
    "name": "司马青衫",
    "phone": "+86 137-2468-1357",
    "email": "sima.qingshan@example.org",
    "address": "上海市虹口区多伦路9999弄",
    "latitude": 31.2659,
    "longitude": 121.4821,
}
SAID = {"description": "洗衣机漏水，邻居秋水在家", "remark": "门铃坏了请敲三下"}
WRITTEN = ("备用钥匙在花盆下面", "她丈夫周一住院", "搬去苏州不修了")
SECRETS = [
    *(
        "司马青衫",
        "司*",
        "13724681357",
        "137-2468-1357",
        "137****1357",
        "sima",
        "多伦路",
        "31.2659",
    ),
    *SAID.values(),
    *WRITTEN,
]


class Tools:
    """Everything by which somebody could look at a request, and all that it printed."""

    def __init__(self, caller: Caller, number: str) -> None:
        self.caller, self.number = caller, number
        settings = caller.settings
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("AFTERSALES_")},
            "AFTERSALES_DATA_DIR": str(settings.data_dir),
            "AFTERSALES_TEMPORAL_ADDRESS": str(settings.temporal_address),
            "AFTERSALES_DATA_KEYS": RING_TEXT,
            "AFTERSALES_TOKEN_SECRET": "s" * 40,
        }

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(CLI), *arguments],
            env=self.environment,
            cwd=self.caller.settings.data_dir,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    async def commands(self, *names: str) -> dict[str, subprocess.CompletedProcess[str]]:
        month = f"{datetime.now(UTC) + timedelta(hours=8):%Y-%m}"
        wanted = {
            "show": ("audit", "show", self.number),
            "export": ("audit", "export", self.number),
            "verify": ("audit", "verify", self.number, "--json"),
            "month": ("audit", "verify", "--month", month, "--json"),
        }
        called = [asyncio.to_thread(self.run, *wanted[name]) for name in names]
        return dict(zip(names, await asyncio.gather(*called), strict=True))

    async def answers(self) -> dict[str, str]:
        """What every reading operation about a request or a list answers an auditor."""
        found: dict[str, str] = {}
        auditor = self.caller.acting_as(Role.auditor)
        places = {"number": self.number, "form": "SA-CR-001"}
        operations = create_app(self.caller.settings).openapi()["paths"]
        for path in operations:
            names = {part.split("}")[0] for part in path.split("{")[1:]}
            if "get" not in operations[path] or not names <= set(places) or "stream" in path:
                continue
            answer = await auditor.get(path.format(**places), reason="check", unmasked="true")
            found[path] = answer.text
        found["find"] = (
            await auditor.post("/v1/customers/find", {"phone": PERSON["phone"], "reason": "check"})
        ).text
        return found

    async def figures(self) -> Any:
        """Counts and punctuality: all that depends on the past and not on the moment."""
        manager = self.caller.acting_as(Role.manager)
        board = (await manager.get("/v1/board")).json()
        kept = await manager.get("/v1/board/punctuality")
        assert kept.status_code == 200, kept.text
        metrics = (await self.caller.http.get("/metrics")).text.splitlines()
        promises = [line for line in metrics if line.startswith("aftersales_promises")]
        return board["counts"], kept.json(), promises


def told(said: str) -> list[str]:
    spellings = {secret: (secret, json.dumps(secret)[1:-1]) for secret in SECRETS}
    return [secret for secret, each in spellings.items() if any(word in said for word in each)]


async def opened(history: Story) -> str:
    """Everything that a history says, its payloads opened with the ring."""
    found: list[Payload] = []

    def walk(part: Any) -> None:
        if isinstance(part, dict) and "data" in part and "metadata" in part:
            found.append(ParseDict(part, Payload()))
        elif isinstance(part, dict | list):
            for each in part.values() if isinstance(part, dict) else part:
                walk(each)

    walk(history.as_json())
    payloads = await SealedPayloads(RING).decode(found)
    return "\n".join(payload.data.decode("utf-8", "ignore") for payload in payloads)


def all_files(store: Store) -> Iterator[bytes]:
    for folder in store.names():
        for name in store.names(folder.rstrip("/")):
            yield store.get(name)


async def test_what_was_erased_no_tool_shows_and_nothing_else_changes(
    caller: Caller, temporal: WorkflowEnvironment, records: Engine
) -> None:
    number = await caller.takes_in(customer=PERSON, **SAID)
    await caller.brings(number, event("responded", note=WRITTEN[0]))
    await caller.brings(number, event("noted", text=WRITTEN[1]))
    await caller.brings(number, event("cancelled", "customer", reason=WRITTEN[2]))
    store = Store(caller.settings.archive)
    archivist = Archivist(records, temporal.client, store, RING, signing_key(caller.settings))
    while chain.of(records, number) is None:
        await archivist.archive_all()
        await asyncio.sleep(0.05)
    row = chain.of(records, number)
    assert row is not None
    manifest = Manifest.model_validate_json(row.content)
    tools = Tools(caller, number)

    before = await tools.commands("show", "verify")
    assert "司*" in told(before["show"].stdout)
    assert json.loads(before["verify"].stdout)["requests"][0]["verdict"] == "sound"
    assert set(WRITTEN) <= set(told("".join((await tools.answers()).values())))
    assert set(WRITTEN) <= set(told(await opened(story(store, RING, manifest))))
    key = store.get(key_file(number))
    figures = await tools.figures()

    erased = await asyncio.to_thread(tools.run, "erase", number, "--yes")
    assert erased.returncode == 0, erased.stderr
    # At once, while the archive and Temporal have not followed yet.
    at_once = await tools.answers()
    assert {where: told(said) for where, said in at_once.items() if told(said)} == {}
    verified = json.loads((await tools.commands("verify"))["verify"].stdout)["requests"][0]
    assert (verified["verdict"], verified["promises"]) == ("erased", [])
    while chain.unswept(records):
        await archivist.erase_all()
        await asyncio.sleep(0.3)

    after = await tools.commands("show", "export", "verify", "month")
    assert (after["show"].returncode, after["export"].returncode) == (1, 1)
    assert (after["verify"].returncode, after["month"].returncode) == (0, 0), after["month"].stdout
    assert json.loads(after["verify"].stdout)["requests"][0]["verdict"] == "erased"
    assert json.loads(after["month"].stdout)["sound"] is True
    verified = await caller.acting_as(Role.auditor).get(f"/v1/audit/requests/{number}/verification")
    assert (verified.json()["verdict"], verified.json()["findings"]) == ("erased", [])
    printed = {name: done.stdout + done.stderr for name, done in after.items()}
    shown = {**printed, **await tools.answers()}
    assert {where: told(said) for where, said in shown.items() if told(said)} == {}

    assert leaks(records, *SECRETS, key.decode()) == []
    with pytest.raises(Missing):
        story(store, RING, manifest)
    with pytest.raises(HistoryGone):
        await fetch(temporal.client, number)
    kept = b"".join(all_files(store))
    assert key not in kept
    assert told(kept.decode("utf-8", "ignore")) == []
    # The file is as it was: whoever had kept the key could open it, nobody else.
    store.put(key_file(number), key)
    assert isinstance(story(store, RING, manifest), Story)
    store.remove(key_file(number))
    assert await tools.figures() == figures
