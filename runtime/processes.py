"""A household of processes: started together, kept alive, and gone together.

Each child leads a session of its own, so that Ctrl-C reaches only us and we take the whole group
down with it. A child cannot outlive us: on Linux the kernel kills it, elsewhere the next start does
(`clear_orphans`).
"""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from runtime.trouble import Trouble

BOUND = Path(__file__).with_name("bound.py")
PAUSES = (0.5, 1.0, 2.0, 4.0)
"""How long to wait before each new try with a child that died."""

FORGIVEN_AFTER = 60.0
"""A child that ran this long has its earlier deaths forgiven."""

LARGEST_LOG = 20 * 1024 * 1024

Result = TypeVar("Result")
Say = Callable[[str], None]


@dataclass(frozen=True)
class Program:
    """What to run.

    Attributes:
        patience: how long it may take to stop before it is killed.
        shown: the log levels that are also shown on the terminal.
    """

    name: str
    command: list[str]
    environment: dict[str, str]
    patience: float
    shown: tuple[str, ...] = ("warning", "error", "critical")


@dataclass
class Child:
    """A program under our care."""

    program: Program
    log: Path
    process: asyncio.subprocess.Process | None = None
    read_to: int = 0
    deaths: int = 0


@dataclass
class Household:
    """Starts the children, restarts those that die, and stops them all.

    Attributes:
        folder: where the logs and the list of process numbers are kept.
        say: tells the person at the terminal something.
    """

    folder: Path
    say: Say
    children: list[Child] = field(default_factory=list)
    _keepers: list[asyncio.Task[NoReturn]] = field(default_factory=list)

    @property
    def logs(self) -> Path:
        """The folder of the log files."""
        return self.folder / "logs"

    async def start(self, program: Program) -> None:
        """Start a child and keep it alive from now on."""
        self.logs.mkdir(exist_ok=True)
        child = Child(program, self.logs / f"{program.name}.log")
        if child.log.exists():
            child.log.replace(child.log.with_suffix(".1.log"))
        self.children.append(child)
        await self._launch(child)
        self._keepers.append(asyncio.create_task(self._keep(child)))
        self._keepers.append(asyncio.create_task(self._follow(child)))

    async def meanwhile(self, work: Awaitable[Result]) -> Result:
        """Do `work` as long as every child lives.

        Raises:
            Trouble: a child died too often.
        """
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait([task, *self._keepers], return_when=asyncio.FIRST_COMPLETED)
            for keeper in self._keepers:
                if keeper.done():
                    keeper.result()
            return await task
        finally:
            task.cancel()

    async def stop(self) -> None:
        """Stop the children, the first started last, and whatever they started themselves."""
        for keeper in self._keepers:
            keeper.cancel()
        try:
            # What serves goes first, together; then what it stands on.
            foundation, servers = self.children[:1], self.children[1:]
            await asyncio.gather(*(self._stop(child) for child in servers))
            await asyncio.gather(*(self._stop(child) for child in foundation))
        finally:
            for child in self.children:
                if child.process is not None and child.process.returncode is None:
                    _signal_group(child, signal.SIGKILL)
            self._pids.unlink(missing_ok=True)

    def clear_orphans(self) -> None:
        """End what an earlier run left behind because it was killed itself."""
        with contextlib.suppress(OSError, ValueError):
            for pid, command in json.loads(self._pids.read_text("utf-8")):
                if _command_of(pid) == command:
                    os.killpg(pid, signal.SIGKILL)
            self._pids.unlink(missing_ok=True)

    @property
    def _pids(self) -> Path:
        return self.folder / "processes.json"

    async def _launch(self, child: Child) -> None:
        program = child.program
        bound = [sys.executable, "-I", "-S", str(BOUND), str(os.getpid()), *program.command]
        with child.log.open("ab") as log:
            child.process = await asyncio.create_subprocess_exec(
                *bound,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=program.environment,
                start_new_session=True,
            )
        alive = [c for c in self.children if c.process and c.process.returncode is None]
        pids = [(c.process.pid, " ".join(c.program.command)) for c in alive if c.process]
        self._pids.write_text(json.dumps(pids), "utf-8")

    async def _keep(self, child: Child) -> NoReturn:
        name = child.program.name
        while True:
            born = time.monotonic()
            code = await child.process.wait() if child.process else 0
            _signal_group(child, signal.SIGKILL)
            if time.monotonic() - born > FORGIVEN_AFTER:
                child.deaths = 0
            if child.deaths == len(PAUSES):
                raise Trouble(
                    f"The {name} process stopped {child.deaths + 1} times in a row",
                    f"see the end of {child.log}",
                )
            pause = PAUSES[child.deaths]
            child.deaths += 1
            self.say(f"{name}: stopped ({_ending(code)}); starting it again in {pause:g} s")
            await asyncio.sleep(pause)
            await self._launch(child)

    async def _follow(self, child: Child) -> NoReturn:
        """Show a child's warnings on the terminal, and keep its log from growing for ever."""
        while True:
            await asyncio.sleep(0.5)
            if not child.log.exists():
                continue
            with child.log.open("rb") as log:
                log.seek(child.read_to)
                new = log.read()
            complete, _, _ = new.rpartition(b"\n")
            child.read_to += len(complete) + bool(complete)
            for line in complete.decode("utf-8", "replace").splitlines():
                if warning := _warning(line, child.program.shown):
                    self.say(f"{child.program.name}: {warning}")
            if child.read_to > LARGEST_LOG:
                shutil.copyfile(child.log, child.log.with_suffix(".1.log"))
                os.truncate(child.log, 0)
                child.read_to = 0

    async def _stop(self, child: Child) -> None:
        if child.process is None or child.process.returncode is not None:
            return
        _signal_group(child, signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(child.process.wait(), child.program.patience)
        _signal_group(child, signal.SIGKILL)
        await child.process.wait()


def _warning(line: str, shown: tuple[str, ...]) -> str | None:
    """What a log line has to say to a person, if it is of one of these levels."""
    try:
        entry: Any = json.loads(line)
    except ValueError:
        return None
    if not isinstance(entry, dict) or str(entry.get("level", "")).lower() not in shown:
        return None
    message = str(entry.get("event") or entry.get("msg") or "")
    facts = [str(entry[key]) for key in ("number", "workflow_id", "error") if entry.get(key)]
    return " · ".join([message, *facts])[:300]


def _ending(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"


def _signal_group(child: Child, number: signal.Signals) -> None:
    if child.process is not None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.process.pid, number)


def _command_of(pid: int) -> str | None:
    ps = shutil.which("ps")
    if ps is None:
        return None
    shown = subprocess.run(  # noqa: S603
        [ps, "-ww", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return shown.stdout.strip() or None
