"""A worker process that is born in a moment: it is forked from one that has imported everything."""

import asyncio
import os
from multiprocessing import get_context

from runtime.settings import Settings
from worker import run_worker

FORKING = get_context("forkserver")
FORKING.set_forkserver_preload([__name__])


def work(environment: dict[str, str]) -> None:
    """What `python -m worker` does under these settings."""
    os.environ.update(environment)
    asyncio.run(run_worker(Settings(_env_file=None)))
