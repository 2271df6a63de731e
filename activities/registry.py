"""The activities by the names that the workflow asks for them."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine
from temporalio import activity

from activities import archive, matching
from domain.request import ServiceRequest
from domain.tasks import ARCHIVE, FIND_ENGINEER, WRITE_DOWN, Found, Search, WriteDown, Written
from records import projection


def _nobody_waits() -> None:
    """Nobody to wake: the rounds of courier and dispatcher find what was written."""


def _now() -> datetime:
    return datetime.now(UTC)


class Activities:
    """Short, idempotent steps against the records, run in the worker's threads.

    Args:
        wake_courier: called after messages were put into the outbox.
        wake_dispatcher: called after lines were written, which webhooks may wait for.
        now: the wall clock, by which engineers are on shift.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        wake_courier: Callable[[], None] = _nobody_waits,
        wake_dispatcher: Callable[[], None] = _nobody_waits,
        now: Callable[[], datetime] = _now,
    ) -> None:
        self._engine, self._wake_courier, self._now = engine, wake_courier, now
        self._wake_dispatcher = wake_dispatcher

    def all(self) -> list[Callable[..., Any]]:
        """Every activity, for the worker."""
        return [self.find_engineer, self.write_down, self.archive]

    @activity.defn(name=FIND_ENGINEER)
    def find_engineer(self, search: Search) -> Found:
        """Choose an engineer for the work and keep a place for it with them."""
        found = matching.find_engineer(self._engine, search, self._now())
        return found.model_copy(update={"asked": search.digest})

    @activity.defn(name=WRITE_DOWN)
    def write_down(self, task: WriteDown) -> Written:
        """Project the request; its messages go out once that is committed."""
        written = projection.write_down(self._engine, task)
        if task.request.is_closed:
            archive.follow(self._engine, task.request)
        if task.messages:
            self._wake_courier()
        if task.entries:
            self._wake_dispatcher()
        return written.model_copy(update={"asked": task.digest})

    @activity.defn(name=ARCHIVE)
    def archive(self, request: ServiceRequest) -> str:
        """Keep the closed request as it was shown at its end; returns the view's SHA-256."""
        return archive.archive(self._engine, request)
