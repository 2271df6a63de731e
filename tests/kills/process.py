"""A worker process that is born in a moment: it is forked from one that has imported everything."""

import asyncio
import os
from datetime import timedelta
from multiprocessing import get_context

from runtime import temporal
from runtime.settings import Settings
from worker import run_worker

FORKING = get_context("forkserver")
FORKING.set_forkserver_preload([__name__])


def work(environment: dict[str, str], heartbeat: timedelta = temporal.HEARTBEAT) -> None:
    """What `python -m worker` does under these settings, with a sign of life so often."""
    os.environ.update(environment)
    temporal.HEARTBEAT = heartbeat
    asyncio.run(run_worker(Settings(_env_file=None)))
