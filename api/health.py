"""Whether this process lives, and whether the whole can serve."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from sqlalchemy import Engine, text

from api import openapi
from api.problems import RETRY_SOON, Problem
from api.services import Served, Services
from runtime.temporal import worker_is_polling

router = APIRouter(tags=["health"])

PATIENCE = timedelta(seconds=2)


@router.get("/livez", **openapi.LIVE)
async def get_liveness() -> Response:
    """Say that this process lives."""
    return JSONResponse({"status": "alive"})


@router.get("/readyz", **openapi.READY)
async def get_readiness(services: Served) -> Response:
    """Say whether database, Temporal and a worker are there."""
    found = await asyncio.gather(*(_holds(check, services) for check in CHECKS.values()))
    checks = dict(zip(CHECKS, ("ok" if ok else "missing" for ok in found), strict=True))
    if missing := [name for name, verdict in checks.items() if verdict == "missing"]:
        facts = {"missing": ", ".join(missing)}
        raise Problem("not_ready", facts=facts, headers=RETRY_SOON, checks=checks)
    return JSONResponse({"status": "ready", "checks": checks})


async def database_answers(services: Services) -> bool:
    """Whether the database answers in time."""
    return await _holds(_database, services)


async def _database(services: Services) -> bool:
    await services.records(_select_one)
    return True


async def _temporal(services: Services) -> bool:
    return await services.temporal_answers()


async def _worker(services: Services) -> bool:
    return await worker_is_polling(services.client)


CHECKS: dict[str, Callable[[Services], Awaitable[bool]]] = {
    "database": _database,
    "temporal": _temporal,
    "worker": _worker,
}


async def _holds(check: Callable[[Services], Awaitable[bool]], services: Services) -> bool:
    """Whether the check passes in time; how it failed is not the caller's business."""
    try:
        async with asyncio.timeout(PATIENCE.total_seconds()):
            return await check(services)
    except Exception:
        return False


def _select_one(engine: Engine) -> None:
    with engine.connect().execution_options(reads_only=True) as connection:
        connection.execute(text("SELECT 1"))
