"""The task inbox: what people owe, claimed, released and passed on (待办)."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from fastapi.responses import JSONResponse, Response

from api import openapi, reporting
from api.access import Reader, Worker, as_reported_by
from api.bodies import JsonBody, OptionalJsonBody
from api.filters import Filters
from api.problems import Problem
from api.services import Served, Services, now
from api.validation import read_as
from domain import shown
from domain.events import BaseEvent, TaskClaimed, TaskReassigned, TaskReleased
from domain.state import Person
from domain.todo import DUTIES, StoredTask, is_task, number_of
from domain.values import Name, Prose, Value
from domain.vocabulary import Role, TaskKind
from records import inbox
from runtime.tokens import Principal

router = APIRouter(prefix="/v1/tasks", tags=["tasks"])

ME = "me"
_HAVE_TASKS = (Role.agent, Role.dispatcher, Role.engineer, Role.supervisor, Role.manager)


class Wanted(Filters):
    """Which tasks to list."""

    role: Role | None = None
    assignee: Name | None = None
    kind: TaskKind | None = None
    station: Name | None = None
    state: Literal["open", "closed"] = "open"


class ClaimBody(Value):
    """For whom a task is claimed, if not for the caller."""

    assignee: Name | None = None


class ReassignBody(Value):
    """Who has the task from now on, and why."""

    to: Name
    reason: Prose


async def _staff(caller: Reader) -> Principal:
    """Whoever reads here works here.

    Raises:
        Problem: 403, `staff_only`.
    """
    if caller.role is Role.customer:
        raise Problem("staff_only")
    return caller


Staff = Annotated[Principal, Depends(_staff)]


@router.get("", **openapi.TASKS)
async def list_tasks(
    services: Served, caller: Staff, wanted: Annotated[Wanted, Query()]
) -> Response:
    """List tasks, next due first: by default the open ones of the caller's role."""
    page = await services.records(inbox.list_tasks, **_filters(wanted, caller))
    return JSONResponse({"items": [_shown(task) for task in page.items], "next": page.next})


@router.get("/{id}", **openapi.TASK)
async def get_task(services: Served, caller: Staff, id: str) -> Response:
    """Show one task, open or closed."""
    return JSONResponse(_shown(await _known(services, caller, id)))


@router.post("/{id}/claim", **openapi.CLAIM)
async def claim_task(services: Served, caller: Worker, id: str, body: OptionalJsonBody) -> Response:
    """Take a task upon oneself, or for somebody else. Of two at once one wins."""
    assignee = read_as(ClaimBody, body).assignee
    task = await _open(services, caller, id)
    whose = Person(role=caller.role, id=caller.id)
    if assignee is not None and assignee != caller.id:
        whose = Person(role=task.role, id=assignee)
    if task.claimed_at is not None and task.assignee == whose:
        return JSONResponse(_shown(task))
    return await _report(services, caller, task, TaskClaimed(task=id, assignee=assignee))


@router.post("/{id}/release", **openapi.RELEASE)
async def release_task(services: Served, caller: Worker, id: str) -> Response:
    """Give a claimed task back. What nobody has claimed is given back already."""
    task = await _open(services, caller, id)
    if task.claimed_at is None:
        return JSONResponse(_shown(task))
    return await _report(services, caller, task, TaskReleased(task=id))


@router.post("/{id}/reassign", **openapi.REASSIGN)
async def reassign_task(services: Served, caller: Worker, id: str, body: JsonBody) -> Response:
    """Give a task to somebody else, with the reason."""
    given = read_as(ReassignBody, body)
    task = await _open(services, caller, id)
    event = TaskReassigned(task=id, to=given.to, reason=given.reason)
    return await _report(services, caller, task, event)


def _filters(wanted: Wanted, caller: Principal) -> dict[str, Any]:
    filters = wanted.model_dump(exclude={"state"}) | {"is_open": wanted.state == "open"}
    if caller.role is Role.engineer or wanted.assignee == ME:
        return filters | {"assignee": caller.id, "assignee_role": caller.role}
    chosen = wanted.role or wanted.assignee or wanted.kind  # A kind has a role of its own.
    if chosen is None and caller.role in _HAVE_TASKS:
        return filters | {"role": caller.role}
    return filters


async def _known(services: Services, caller: Principal, id: str) -> StoredTask:
    """The task; an engineer knows of their own only.

    Raises:
        Problem: `task_not_found`.
    """
    task = await _recorded(services, id) if is_task(id) else None
    theirs = task is not None and task.assignee == Person(role=caller.role, id=caller.id)
    if task is None or (caller.role is Role.engineer and not theirs):
        raise Problem("task_not_found")
    return task


async def _recorded(services: Services, id: str) -> StoredTask | None:
    found: StoredTask | None = await services.records(inbox.task, id)
    return found


async def _open(services: Services, caller: Principal, id: str) -> StoredTask:
    task = await _known(services, caller, id)
    if task.closed_at is not None:
        raise _closed(task)
    return task


def _closed(task: StoredTask) -> Problem:
    shown = task.model_dump(mode="json", include={"closed_at", "closed_by", "closed_with"})
    return Problem("task_closed", **shown)


_PROBLEMS = {
    "task_taken": "task_taken",
    "task_not_for_role": "task_not_yours",
    "task_not_yours": "task_not_yours",
    "task_for_others": "task_not_yours",
}


async def _report(
    services: Services, caller: Principal, task: StoredTask, event: BaseEvent
) -> Response:
    """Have the request's workflow judge it, and show the task after it."""
    try:
        sent = as_reported_by(caller, event, now())
        await reporting.submit(services, number_of(task.id), sent)
    except Problem as problem:
        raise await _of_the_task(services, task, problem) from None
    after = await _recorded(services, task.id)
    return JSONResponse(_shown(after or task))


async def _of_the_task(services: Services, task: StoredTask, problem: Problem) -> Problem:
    """What the refusal of the event says about the task."""
    code = problem.more.get("reason_code", problem.code)
    if code in ("task_not_open", "request_closed"):
        latest = await _recorded(services, task.id)
        return _closed(latest) if latest and latest.closed_at else problem
    if code not in _PROBLEMS:
        return problem
    assignee = problem.more["facts_named"].get("assignee")
    more = {"assignee": assignee} if assignee else {}
    reason = problem.more["reason"]
    return Problem(_PROBLEMS[code], facts={"reason": reason}, reason_code=code, **more)


def _shown(task: StoredTask) -> dict[str, Any]:
    return shown.ShownTask(
        **task.model_dump(),
        kind_zh=task.kind.zh,
        state="open" if task.closed_at is None else "closed",
        closes_with=list(DUTIES[task.kind].closed_by),
    ).model_dump(mode="json")
