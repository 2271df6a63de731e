"""`aftersales up` as people meet it: started, looked at, stopped, killed, and started again."""

import json
import os
import re
import signal
import time

import pytest

from tests.installation import Installation, eventually

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
