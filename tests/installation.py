"""A real installation in a folder of its own: the command, its processes, its API."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

CLI = Path(__file__).parents[1] / "cli.py"
IN_BACKGROUND = ["sh", "-c", 'trap "" INT; exec "$0" "$@"']
"""As a script's `&` starts it: with Ctrl-C ignored until the program says otherwise."""


@dataclass
class Installation:
    folder: Path
    environment: dict[str, str]
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def data(self) -> Path:
        return Path(self.environment["AFTERSALES_DATA_DIR"])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.environment['AFTERSALES_PORT']}"

    def run(self, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            [sys.executable, str(CLI), *arguments],
            env={**self.environment, **changes},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    def fails(self, *arguments: str, code: int = 1, **changes: str) -> str:
        """Run a command that must fail with one sentence, which is returned."""
        done = self.run(*arguments, **changes)
        assert done.returncode == code, done.stdout + done.stderr
        assert done.stderr.startswith("Error: ")
        assert done.stderr.count("\n") == 1
        assert not done.stdout
        return done.stderr

    def up(self, *arguments: str) -> subprocess.Popen[str]:
        """Start `up` and wait until it prints its addresses."""
        process = subprocess.Popen(
            [*IN_BACKGROUND, sys.executable, str(CLI), "up", *arguments],
            env=self.environment,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.started.append(process)
        said = ""
        assert process.stdout
        for line in process.stdout:
            said += line
            if "Ctrl-C" in line:
                return process
        raise AssertionError(said)

    def processes(self) -> dict[int, str]:
        """Every process of this installation but `up` itself, however it came to be."""
        ours = {process.pid for process in self.started}
        mark = f"AFTERSALES_DATA_DIR={self.data}".encode()
        found = {}
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if mark in (entry / "environ").read_bytes() and int(entry.name) not in ours:
                    command = (entry / "cmdline").read_bytes().replace(b"\0", b" ")
                    found[int(entry.name)] = command.decode()
        return found

    def pid_of(self, command: str) -> int:
        """The one process whose command line ends or goes on with this word."""
        [pid] = [p for p, line in self.processes().items() if re.search(rf"\b{command}\b", line)]
        return pid

    def token(self, role: str = "agent") -> str:
        done = self.run("token", "--role", role, "--id", f"{role}-1")
        assert re.fullmatch(r"[\w-]+\.[\w-]+\.[\w-]+\n", done.stdout), done.stderr
        return done.stdout.strip()

    def post(self, path: str, token: str, body: Any) -> Any:
        """Call the API; while a worker recovers it says 503, and is asked again."""
        give_up_at = time.monotonic() + 40
        while True:
            answer = httpx.post(
                f"{self.url}{path}",
                json=body,
                headers={"Authorization": f"Bearer {token}"},
                timeout=20,
                trust_env=False,
            )
            if answer.status_code != 503 or time.monotonic() > give_up_at:
                assert answer.is_success, answer.text
                return answer.json()
            time.sleep(0.5)

    def get(self, path: str, token: str) -> Any:
        """What the API answers."""
        headers = {"Authorization": f"Bearer {token}"}
        answer = httpx.get(f"{self.url}{path}", headers=headers, timeout=20, trust_env=False)
        assert answer.is_success, answer.text
        return answer.json()

    def responds(self, number: str, token: str) -> str:
        """An agent responds; the stage the request is in then."""
        return self.reports(number, token, "responded")

    def reports(self, number: str, token: str, type_: str, **payload: Any) -> str:
        """An event happens; the stage the request is in then."""
        event = {"id": str(uuid4()), "type": type_, **payload}
        return str(self.post(f"/v1/requests/{number}/events", token, event)["stage"])

    def sends_in(self, token: str) -> str:
        """A new request; its number."""
        body = {
            "type": "repair",
            "channel": "phone",
            "description": "空调开机后不制冷,外机有嗡嗡声",
            "customer": {
                "name": "欧阳小明",
                "phone": "13812345678",
                "email": "xiaoming@example.com",
                "address": "上海市浦东新区世纪大道1号",
                "latitude": 31.23,
                "longitude": 121.47,
            },
            "product": {"model": "KFR-35GW/ABC123", "serial": "SN-1"},
        }
        return str(self.post("/v1/requests", token, body)["number"])

    def logged(self) -> str:
        """Everything in the log files of our own processes."""
        return "".join(
            (self.data / "logs" / f"{name}.log").read_text("utf-8") for name in ("worker", "api")
        )


def free_ports(count: int) -> list[str]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [str(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("AFTERSALES_")}
    api, temporal, ui = free_ports(3)
    here = Installation(
        tmp_path,
        kept
        | {
            "AFTERSALES_DATA_DIR": str(tmp_path / "data"),
            "AFTERSALES_PORT": api,
            "AFTERSALES_TEMPORAL_PORT": temporal,
            "AFTERSALES_TEMPORAL_UI_PORT": ui,
        },
    )
    yield here
    for process in here.started:
        process.kill()
        process.communicate()
    for pid in here.processes():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def eventually(holds: Callable[[], bool], within: float) -> bool:
    """Whether it holds in time."""
    give_up_at = time.monotonic() + within
    while time.monotonic() < give_up_at:
        if holds():
            return True
        time.sleep(0.05)
    return holds()
