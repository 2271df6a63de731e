"""A rehearsal: what production really holds, replayed on this build before it is deployed."""

import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import NamedTuple

from temporalio.client import Client, WorkflowHistory

from audit.histories import Story
from audit.parallel import Source, check_all, in_hand
from audit.verification import Finding
from workflows.messages import WORKFLOW


class Run(NamedTuple):
    """One run of a request's workflow."""

    number: str
    run: str


async def sample(
    client: Client, size: int, since: datetime | None = None, *, seed: int | None = None
) -> list[Run]:
    """That many runs at random, or all if there are fewer.

    Args:
        since: only those that started since then.

    Raises:
        temporalio.service.RPCError: the server did not answer.
    """
    query = f"WorkflowType = '{WORKFLOW}'"
    if since is not None:
        query += f" AND StartTime >= '{since.astimezone(UTC).isoformat()}'"
    # No secret depends on it.
    chance = random.Random(seed)  # noqa: S311
    chosen: list[Run] = []
    seen = 0
    async for found in client.list_workflows(query):
        seen += 1
        run = Run(found.id, found.run_id)
        if len(chosen) < size:
            chosen.append(run)
        elif (place := chance.randrange(seen)) < size:
            chosen[place] = run
    return chosen


async def rehearse(
    client: Client, runs: list[Run], ring: str, processes: int | None = None
) -> AsyncIterator[tuple[str, list[Finding]]]:
    """What this build would do otherwise, run by run, as they are ready.

    Raises:
        temporalio.service.RPCError: the server did not answer.
    """
    async for each in check_all(_fetched(client, runs), ring, processes):
        yield each


async def _fetched(client: Client, runs: list[Run]) -> AsyncIterator[tuple[str, Source]]:
    for number, run in runs:
        history = await client.get_workflow_handle(number, run_id=run).fetch_history()
        yield number, in_hand(Story(number, (WorkflowHistory(number, history.events),)))
