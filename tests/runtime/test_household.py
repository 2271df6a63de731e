"""The household of processes, with small children in place of servers."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from runtime import processes
from runtime.processes import Household, Program
from runtime.trouble import Trouble
from tests.installation import eventually


def child(code: str, *, patience: float = 1) -> Program:
    return Program("child", [sys.executable, "-c", code], dict(os.environ), patience)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def written(file: Path) -> int:
    """The number that another process writes into a file."""
    found = partial(eventually, lambda: file.exists() and file.read_text() != "", within=10)
    assert await asyncio.to_thread(found)
    return int(await asyncio.to_thread(file.read_text))


async def test_a_child_that_keeps_dying_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "PAUSES", (0.01, 0.01))
    said: list[str] = []
    household = Household(tmp_path, said.append)
    await household.start(child("raise SystemExit(3)"))
    with pytest.raises(Trouble, match=r"stopped 3 times in a row: .*child\.log"):
        await household.meanwhile(asyncio.sleep(30))
    await household.stop()
    assert len(said) == 2
    assert "exit code 3" in said[0]


async def test_a_child_that_will_not_stop_is_killed_with_its_own_children(tmp_path: Path) -> None:
    grandchild = tmp_path / "grandchild"
    household = Household(tmp_path, print)
    await household.start(
        child(
            "import pathlib, signal, subprocess, time\n"
            "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
            "started = subprocess.Popen(['sleep', '600'])\n"
            f"pathlib.Path({str(grandchild)!r}).write_text(str(started.pid))\n"
            "time.sleep(600)\n",
            patience=0.3,
        )
    )
    pid = await written(grandchild)
    await household.stop()
    assert eventually(lambda: not is_alive(pid), within=2)
    assert not (tmp_path / "processes.json").exists()


async def test_warnings_reach_the_terminal_and_the_rest_the_log(tmp_path: Path) -> None:
    said: list[str] = []
    household = Household(tmp_path, said.append)
    lines = [
        json.dumps({"level": "info", "event": "all is well"}),
        json.dumps({"level": "warning", "event": "slow", "number": "CR20240520-001"}),
    ]
    await household.start(child(f"print({chr(10).join(lines)!r}, flush=True); input()"))
    await asyncio.sleep(1.2)
    await household.stop()
    assert "child: slow · CR20240520-001" in said
    assert not any("all is well" in line for line in said)
    assert "all is well" in (tmp_path / "logs" / "child.log").read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the next start cleans up")
async def test_children_die_with_a_household_that_is_killed(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    keeper = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "import asyncio, os, pathlib, sys\n"
        "from runtime.processes import Household, Program\n"
        "async def main():\n"
        f"    household = Household(pathlib.Path({str(tmp_path)!r}), print)\n"
        "    await household.start(Program('child', ['/bin/sleep', '600'], {}, 1))\n"
        f"    pid = household.children[0].process.pid\n"
        f"    pathlib.Path({str(pid_file)!r}).write_text(str(pid))\n"
        "    await asyncio.sleep(600)\n"
        "asyncio.run(main())\n",
        cwd=Path(__file__).parents[2],
    )
    pid = await written(pid_file)
    assert is_alive(pid)
    keeper.kill()
    await keeper.wait()
    assert eventually(lambda: not is_alive(pid), within=2)


def test_what_an_earlier_run_left_behind_is_ended(tmp_path: Path) -> None:
    left = subprocess.Popen(["/bin/sleep", "600"], start_new_session=True)
    other = subprocess.Popen(["/bin/sleep", "601"], start_new_session=True)
    try:
        listed = [(left.pid, "/bin/sleep 600"), (other.pid, "something else by now")]
        (tmp_path / "processes.json").write_text(json.dumps(listed))
        Household(tmp_path, print).clear_orphans()
        assert left.wait(timeout=2) == -signal.SIGKILL
        assert other.poll() is None
    finally:
        for process in (left, other):
            process.kill()
            process.wait()
