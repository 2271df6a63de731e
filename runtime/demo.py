"""`aftersales demo`: the whole system, with requests walking through it while you watch."""

import asyncio
import contextlib
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import httpx
from rich.console import Console
from rich.live import Live

from activities.working_days import CalendarUnknown, calendar_for
from domain.policy import read_policy
from domain.vocabulary import Role
from runtime import preflight
from runtime.demo_tables import happenings, outcomes, watched
from runtime.scenarios import SCENARIOS, Body, Scenario, Step, Window
from runtime.settings import STANDARD_POLICY, Settings
from runtime.tokens import mint
from runtime.trouble import Trouble
from runtime.up import addresses, base_url, running

APART = 0.6
"""Seconds between one request and the next."""

PATIENCE = 60.0
"""Seconds that a step waits until it is allowed, beyond its own pause."""

PLAIN_WIDTH = 140
"""Columns, when there is no terminal that says."""

PEOPLE = {
    Role.agent: "agent-lin",
    Role.dispatcher: "dispatcher-he",
    Role.supervisor: "supervisor-tang",
    Role.manager: "manager-shen",
}


class Stuck(Exception):
    """A scenario that cannot go on, and why."""


@dataclass
class Walk:
    """One request on its way through a scenario.

    Attributes:
        shown: the request as the API last showed it.
        problem: why it did not end as expected.
    """

    scenario: Scenario
    number: str = ""
    shown: Body = field(default_factory=dict)
    problem: str | None = None


async def demo(settings: Settings, *, once: bool) -> None:
    """Run the demonstration, then stay up until cancelled, unless it is to be shown once.

    Raises:
        Trouble: something a person must put right; shown once, also a scenario that went wrong.
    """
    console = Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH)
    chosen = demonstration(settings)
    say = _plainly(console)
    say("Starting a Temporal server, a worker and the API; a few seconds. 正在启动，请稍候。")
    async with running(chosen, say, fresh=True) as household:
        say(addresses(chosen))
        show = Show(chosen, console)
        await household.meanwhile(show.run())
        console.print(outcomes([(w.scenario, w.number, w.shown, w.problem) for w in show.walks]))
        wrong = [walk for walk in show.walks if walk.problem]
        for walk in wrong:
            console.print(f"{walk.scenario.title}: {walk.problem}", style="red", markup=False)
        if once and wrong:
            raise Trouble(f"{len(wrong)} of {len(show.walks)} scenarios did not end as expected")
        if not once:
            say(addresses(chosen))
            await household.meanwhile(asyncio.Event().wait())


def evergreen_policy(beside: Path, now: datetime) -> Path:
    """The standard policy, usable in any year.

    In a year whose holidays nobody has told us weekdays are working days: good enough for a
    demonstration, and only there.
    """
    toml = STANDARD_POLICY.read_text(encoding="utf-8")
    policy = STANDARD_POLICY
    while True:
        try:
            calendar_for(read_policy(toml), now)
        except CalendarUnknown as unknown:
            toml += f"\n[working_time.years.{unknown.year}]\nholidays = []\n"
            policy = beside / "demo-policy.toml"
            policy.write_text(toml, encoding="utf-8")
        else:
            return policy


def demonstration(settings: Settings) -> Settings:
    """These settings on a data folder, ports and a policy that disturb nothing else."""
    api = preflight.free_port(settings.port, set())
    temporal = preflight.free_port(settings.temporal_port, {api})
    return settings.model_copy(
        update={
            "data_dir": settings.data_dir / "demo",
            "database_url": None,
            "temporal_address": None,
            "temporal_namespace": "default",
            "host": "127.0.0.1",
            "port": api,
            "temporal_port": temporal,
            "temporal_ui_port": preflight.free_port(settings.temporal_ui_port, {api, temporal}),
            "policy": evergreen_policy(preflight.folder(settings), datetime.now(UTC)),
            "token_secret": None,
            "environment": "development",
        }
    )


class Show:
    """All the walks at once, and the picture of them."""

    def __init__(self, settings: Settings, console: Console) -> None:
        self.settings, self.console = settings, console
        self.walks = [Walk(scenario) for scenario in SCENARIOS]
        self.lines: list[str] = []
        self._tokens: dict[tuple[Role, str], str] = {}
        self._news = asyncio.Condition()
        self._began = time.monotonic()

    async def run(self) -> None:
        """Walk every request to its end, showing them on the way."""
        self._began = time.monotonic()
        async with httpx.AsyncClient(
            base_url=base_url(self.settings), timeout=20, trust_env=False
        ) as self._http:
            watching = asyncio.create_task(self._watch())
            picture = asyncio.create_task(self._draw())
            try:
                await asyncio.gather(
                    *(self._walk(walk, place * APART) for place, walk in enumerate(self.walks))
                )
                await asyncio.sleep(1)
            finally:
                for task in (watching, picture):
                    task.cancel()
                await asyncio.gather(watching, picture, return_exceptions=True)

    async def _walk(self, walk: Walk, delay: float) -> None:
        await asyncio.sleep(delay)
        scenario = walk.scenario
        try:
            await self._send_in(walk)
            for step in scenario.steps:
                await asyncio.sleep(step.after.total_seconds() / self.settings.speed)
                await self._take(walk, step)
            await self._until(walk, lambda shown: shown["stage"] == "closed", "it to close")
        except Stuck as stuck:
            walk.problem = str(stuck)
            self._tell(walk, f"went wrong: {stuck}")
            return
        missed = {c["rule"] for c in walk.shown["clocks"] if c["breached_at"]}
        if walk.shown["outcome"] != scenario.ends:
            walk.problem = f"ended as {walk.shown['outcome']}, not as {scenario.ends}"
        elif not scenario.misses <= missed:
            kept = ", ".join(sorted(scenario.misses - missed))
            walk.problem = f"should have missed {kept}, and did not"

    async def _send_in(self, walk: Walk) -> None:
        who = (Role.agent, PEOPLE[Role.agent])
        headers = {"Idempotency-Key": str(uuid4())}
        shown = await self._post("/v1/requests", walk.scenario.body, who, headers)
        walk.number = shown["number"]
        await self._learn(walk, shown)

    async def _take(self, walk: Walk, step: Step) -> None:
        """Report the step's event once it is allowed; refused after all, try again."""
        event: Body = {"id": str(uuid4()), "type": step.event}
        give_up_at = time.monotonic() + PATIENCE
        while True:
            await self._until(
                walk, lambda now: step.event in now["allowed_events"], f"the turn of {step.event}"
            )
            person = self._person(walk, step)
            try:
                shown = await self._post(
                    f"/v1/requests/{walk.number}/events",
                    {**event, **self._payload(walk, step, person)},
                    (step.role, person),
                )
            except Stuck:
                if time.monotonic() > give_up_at:
                    raise
                await asyncio.sleep(0.5)
                await self._look(walk)  # An offer may have gone to the next engineer by now.
                continue
            self._tell(walk, f"{step.role.zh} {person}: {step.event}")
            await self._learn(walk, shown)
            return

    async def _look(self, walk: Walk) -> None:
        reader = mint(self.settings, Role.auditor, "demo")
        with contextlib.suppress(httpx.TransportError, ValueError):
            answer = await self._http.get(
                f"/v1/requests/{walk.number}", headers={"Authorization": f"Bearer {reader}"}
            )
            if answer.is_success:
                await self._learn(walk, answer.json())

    def _person(self, walk: Walk, step: Step) -> str:
        if step.role is not Role.engineer:
            return PEOPLE[step.role]
        if step.event in ("accepted", "declined"):
            return next((o["engineer"] for o in walk.shown["offers"] if o["state"] == "open"), "")
        return str(walk.shown["engineer"])

    def _payload(self, walk: Walk, step: Step, person: str) -> Body:
        payload = dict(step.payload)
        if step.event in ("accepted", "declined"):
            payload["engineer"] = person
        if step.event == "assigned":
            payload["engineer"] = self._someone(walk)
        if isinstance(window := payload.pop("window", None), Window):
            opens = datetime.now(UTC) + window.opens / self.settings.speed
            closes = opens + window.lasts / self.settings.speed
            payload |= {"window_start": opens.isoformat(), "window_end": closes.isoformat()}
        return payload

    def _someone(self, walk: Walk) -> str:
        """An engineer that a dispatcher thinks of: one whom other requests were offered to."""
        offered = [o["engineer"] for other in self.walks for o in other.shown.get("offers", [])]
        return min(offered, key=offered.count, default="")

    async def _post(
        self, path: str, body: Body, who: tuple[Role, str], headers: Body | None = None
    ) -> Body:
        if who not in self._tokens:
            self._tokens[who] = mint(self.settings, *who)
        bearer = {"Authorization": f"Bearer {self._tokens[who]}", **(headers or {})}
        try:
            answer = await self._http.post(path, json=body, headers=bearer)
        except httpx.TransportError as error:
            raise Stuck(f"the API did not answer ({error!r})") from None
        content: Body = answer.json()
        if answer.is_error:
            raise Stuck(str(content.get("detail") or content.get("title")))
        return content

    async def _until(self, walk: Walk, holds: Callable[[Body], bool], what: str) -> None:
        async with self._news:
            try:
                await asyncio.wait_for(self._news.wait_for(lambda: holds(walk.shown)), PATIENCE)
            except TimeoutError:
                raise Stuck(f"waited {PATIENCE:g} s for {what}") from None

    async def _watch(self) -> None:
        """Read the list again and again, as a board would."""
        reader = mint(self.settings, Role.auditor, "demo")
        while True:
            try:
                answer = await self._http.get(
                    "/v1/requests",
                    params={"limit": 200},
                    headers={"Authorization": f"Bearer {reader}"},
                )
                items = {item["number"]: item for item in answer.json().get("items", [])}
            except (httpx.TransportError, ValueError):
                items = {}
            for walk in self.walks:
                if walk.number in items:
                    await self._learn(walk, items[walk.number])
            await asyncio.sleep(0.5)

    async def _learn(self, walk: Walk, shown: Body) -> None:
        """Take what the API shows, unless we know newer, and tell what has changed."""
        if walk.shown and shown["event_count"] < walk.shown["event_count"]:
            return
        for line in happenings(walk.shown, shown):
            self._tell(walk, line)
        async with self._news:
            walk.shown = shown
            self._news.notify_all()

    def _tell(self, walk: Walk, line: str) -> None:
        told = f"{time.monotonic() - self._began:5.1f} s  {walk.number}  {line}"
        self.lines.append(told)
        if not self.console.is_terminal:
            _plainly(self.console)(told)

    async def _draw(self) -> None:
        if not self.console.is_terminal:
            return
        with Live(console=self.console, refresh_per_second=4, transient=True) as live:
            while True:
                shown = [(walk.scenario, walk.shown) for walk in self.walks if walk.shown]
                live.update(watched(shown, self.lines, self.settings.speed, self.console.height))
                await asyncio.sleep(0.25)


def _plainly(console: Console) -> Callable[[str], None]:
    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)
        sys.stdout.flush()

    return say
