"""The real API in a process of its own, over a database; no Temporal is needed to read."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from pydantic import SecretStr

from domain.vocabulary import Role
from runtime.settings import Settings
from runtime.tokens import mint

CLI = Path(__file__).parents[1] / "cli.py"
SECRET = "only for measurements, never elsewhere"  # noqa: S105 - nothing is guarded by it


@dataclass(frozen=True)
class Api:
    """Where it serves, as which process, and how to call it."""

    host: str
    port: int
    pid: int
    token: str

    @property
    def url(self) -> str:
        """The address to call."""
        return f"http://{self.host}:{self.port}"

    @property
    def headers(self) -> dict[str, str]:
        """A supervisor's credentials."""
        return {"Authorization": f"Bearer {self.token}"}

    def worked(self) -> float:
        """The processor time used so far, in milliseconds: a busy machine does not add to it."""
        status = Path(f"/proc/{self.pid}/stat").read_text(encoding="utf-8")
        fields = status.rpartition(")")[2].split()
        return sum(map(int, fields[11:13])) * 1000 / os.sysconf("SC_CLK_TCK")

    def memory(self) -> float:
        """What the process holds at present, in megabytes."""
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="utf-8")
        line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) / 1024


@contextmanager
def serving(database: str) -> Iterator[Api]:
    """The API, ready, and gone at the end."""
    with tempfile.TemporaryDirectory(prefix="aftersales-") as folder, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        settings = Settings(
            _env_file=None, data_dir=Path(folder), token_secret=SecretStr(SECRET), port=port
        )
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("AFTERSALES_")},
            "AFTERSALES_DATA_DIR": folder,
            "AFTERSALES_DATABASE_URL": database,
            "AFTERSALES_TOKEN_SECRET": SECRET,
            "AFTERSALES_PORT": str(port),
            "AFTERSALES_LOG_LEVEL": "warning",
            # One person asks more in a minute than anybody may.
            "AFTERSALES_RATE_LIMIT": "1000000/minute",
        }
        command = [sys.executable, str(CLI), "api"]
        process = subprocess.Popen(command, env=environment, cwd=folder)  # noqa: S603
        try:
            api = Api("127.0.0.1", port, process.pid, mint(settings, Role.supervisor, "bench"))
            _wait_for(api, process)
            yield api
        finally:
            process.terminate()
            process.wait(20)


def _wait_for(api: Api, process: "subprocess.Popen[bytes]") -> None:
    give_up_at = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < give_up_at:
        try:
            httpx.get(f"{api.url}/livez", trust_env=False)
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError("the API did not start")
