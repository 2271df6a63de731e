"""Real servers and databases for the tests, started once each."""

import sys
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine
from temporalio.testing import WorkflowEnvironment

from activities.registry import Activities
from domain.policy import Policy, YearDays, read_policy
from records.engine import migrate, open_engine
from records.seed import seed
from runtime.settings import STANDARD_POLICY
from runtime.temporal import plugin, prepare
from tests.databases import RING
from worker import build_worker

BIN = Path(sys.executable).parent
DELETES_SOON = [
    word
    for queue in ("transfer", "visibility")
    for word in ("--dynamic-config-value", f'history.{queue}ProcessorUpdateAckInterval="100ms"')
]
"""For a development server: it deletes a workflow that has just closed when its queues have
settled, which it otherwise notes only twice a minute."""


@pytest.fixture(scope="session")
def standard() -> Policy:
    """The standard policy, with every year a test can skip to: weekends off, no holidays."""
    policy = read_policy(STANDARD_POLICY.read_text(encoding="utf-8"))
    this_year = datetime.now(UTC).year
    years = {year: YearDays(holidays=()) for year in range(this_year, this_year + 12)}
    time = policy.working_time.model_copy(update={"years": years})
    return policy.model_copy(update={"working_time": time})


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A seeded SQLite database for the workflow tests."""
    engine = open_engine(f"sqlite:///{tmp_path_factory.mktemp('records') / 'aftersales.db'}", RING)
    migrate(engine)
    seed(engine)
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
async def skipping() -> AsyncIterator[WorkflowEnvironment]:
    """The time-skipping test server: a day passes in milliseconds."""
    async with await WorkflowEnvironment.start_time_skipping(
        test_server_existing_path=str(BIN / "temporal-test-server"), plugins=[plugin(RING)]
    ) as env:
        await prepare(env.client)
        yield env


@pytest.fixture(scope="session")
async def live() -> AsyncIterator[WorkflowEnvironment]:
    """The development server: the real one, in real time."""
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=str(BIN / "temporal"),
        plugins=[plugin(RING)],
        dev_server_log_level="error",
    ) as env:
        await prepare(env.client)
        yield env


@pytest.fixture(scope="session")
def activities(engine: Engine) -> Activities:
    return Activities(engine)


@pytest.fixture(scope="session")
async def skipping_worker(
    skipping: WorkflowEnvironment, activities: Activities
) -> AsyncIterator[WorkflowEnvironment]:
    async with build_worker(skipping.client, activities):
        yield skipping


@pytest.fixture(scope="session")
async def live_worker(
    live: WorkflowEnvironment, activities: Activities
) -> AsyncIterator[WorkflowEnvironment]:
    async with build_worker(live.client, activities):
        yield live


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with the slow tests, so that none of them is begun when all others are done.

    Work stealing deals the list out in as many equal parts as there are workers: each part begins
    with its share of them.
    """
    workers = getattr(config, "workerinput", {}).get("workercount", 1)
    slow = sorted((item for item in items if _seconds(item)), key=_seconds, reverse=True)
    shares: list[list[pytest.Item]] = [[] for _ in range(workers)]
    for item in slow:
        min(shares, key=lambda share: sum(map(_seconds, share))).append(item)
    others = [item for item in items if not _seconds(item)]
    dealt: list[pytest.Item] = []
    for place, share in enumerate(shares):
        size = (len(items) - len(dealt)) // (workers - place)
        few = max(0, size - len(share))
        dealt += [*share, *others[:few]]
        del others[:few]
    items[:] = dealt + others


def _seconds(item: pytest.Item) -> float:
    """How long a test that is marked slow takes, about; 0 for the others."""
    mark = item.get_closest_marker("slow")
    return float(mark.args[0]) if mark else 0


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record", metavar="NAME", help="record golden histories under this name")
    parser.addoption(
        "--accept-fingerprint", action="store_true", help="commands changed on purpose"
    )
