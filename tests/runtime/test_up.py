"""`aftersales up` as people meet it: started, looked at, stopped, killed, and started again."""

import json
import os
import re
import signal
import time

import httpx
import pytest
from temporalio.api.common.v1 import Payload

from tests.installation import Installation, eventually
from tests.pages import TemporalsPages

pytestmark = [pytest.mark.server, pytest.mark.slow(20)]
STOPS_WITHIN = 15


def test_serves_keeps_its_processes_alive_and_stops(installation: Installation) -> None:
    process = installation.up("--speed", "60")
    token = installation.token()
    number = installation.sends_in(token)
    looked = installation.run("doctor")
    assert looked.returncode == 0, looked.stdout
    assert re.search(r"Worker.*ok", looked.stdout)
    assert "already runs on" in installation.fails("up")

    assert opened_by_temporals_pages(installation, "客户要求改期") == "客户要求改期"

    worker = installation.pid_of("worker")
    os.kill(worker, signal.SIGKILL)
    assert eventually(lambda: worker not in installation.processes(), within=5)
    assert installation.responds(number, token) == "dispatch"

    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=STOPS_WITHIN)
    assert time.monotonic() - began < STOPS_WITHIN
    assert process.returncode == 0
    assert "worker: stopped (killed by SIGKILL); starting it again" in said
    assert installation.processes() == {}

    lines = installation.logged().splitlines()
    assert lines
    assert all(json.loads(line)["level"] for line in lines)
    for personal in ("欧阳小明", "13812345678", "xiaoming", "世纪大道"):
        assert personal not in installation.logged()


def opened_by_temporals_pages(installation: Installation, said: str) -> str:
    """What a text is again that was sealed and opened where Temporal's pages are told to."""
    pages = f"http://127.0.0.1:{installation.environment['AFTERSALES_TEMPORAL_UI_PORT']}"
    settings = httpx.get(f"{pages}/api/v1/settings", trust_env=False).json()
    browser = TemporalsPages(pages, settings["Codec"]["Endpoint"])
    payload = Payload(metadata={"encoding": b"json/plain"}, data=json.dumps(said).encode())
    sealed = browser.ask("encode", [payload])
    assert sealed != [payload]
    (opened,) = browser.ask("decode", sealed)
    return str(json.loads(opened.data))


def test_killed_hard_it_leaves_nothing_and_goes_on_where_it_was(
    installation: Installation,
) -> None:
    process = installation.up()
    token = installation.token()
    number = installation.sends_in(token)
    process.kill()
    process.wait()
    assert eventually(lambda: installation.processes() == {}, within=3)

    again = installation.up()
    assert installation.responds(number, token) == "dispatch"
    again.terminate()
    again.communicate(timeout=STOPS_WITHIN)
    assert again.returncode == 0
    assert installation.processes() == {}
