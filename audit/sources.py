"""Where a history is found: in the archive once the request is closed, on the server until then."""

import asyncio

from sqlalchemy import Engine
from temporalio.client import Client

from audit.filed import story
from audit.histories import NoHistory, Story, fetch
from audit.manifests import Manifest
from audit.store import Store
from records import chain, earlier_runs
from records.sealing import KeyRing, Unsealable


async def manifest_of(engine: Engine, number: str) -> Manifest | None:
    """The manifest of an archived request; None: it is not archived, or not yet."""
    row = await asyncio.to_thread(chain.of, engine, number)
    return Manifest.model_validate_json(row.content) if row else None


async def from_server(engine: Engine, client: Client, number: str) -> Story:
    """The history of a request that is not archived, with the runs that the server has forgotten.

    Raises:
        HistoryGone: the server does not have it any more.
        NoHistory: what was kept of its runs does not open.
        temporalio.service.RPCError: the server did not answer.
    """
    try:
        kept = await asyncio.to_thread(earlier_runs.kept, engine, number)
    except Unsealable as error:
        raise NoHistory(f"a run that was kept does not open: {error}") from None
    runs = {run: Story.read(content).runs[0] for run, content in kept.items()}
    return await fetch(client, number, runs)


async def story_of(
    engine: Engine, client: Client, store: Store, ring: KeyRing, number: str
) -> Story:
    """The history of a request as far as it goes.

    Raises:
        HistoryGone: neither the archive nor the server has it.
        Missing: the archive should have it or its key, and has not.
        NoHistory: what was kept holds none, or does not open.
        temporalio.service.RPCError: the server did not answer.
    """
    manifest = await manifest_of(engine, number)
    if manifest is None:
        return await from_server(engine, client, number)
    return await asyncio.to_thread(story, store, ring, manifest)
