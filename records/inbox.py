"""The task inbox: what people owe, as the projection keeps it."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, tuple_
from sqlmodel import col, select

from domain.todo import StoredTask
from domain.vocabulary import Role, TaskKind
from records.cursors import after, place
from records.engine import reading
from records.tables import NEVER, Task


@dataclass(frozen=True)
class TaskPage:
    """Some tasks of a list, and the cursor of those that follow; None: there are no more."""

    items: list[StoredTask]
    next: str | None


def task(engine: Engine, id: str) -> StoredTask | None:
    """The task with this id, open or closed; None: it was never written down."""
    with reading(engine) as session:
        row = session.get(Task, id)
        return _stored(row) if row else None


def list_tasks(
    engine: Engine,
    *,
    role: Role | None = None,
    assignee: str | None = None,
    assignee_role: Role | None = None,
    kind: TaskKind | None = None,
    station: str | None = None,
    due_before: datetime | None = None,
    is_open: bool = True,
    cursor: str | None = None,
    limit: int = 50,
) -> TaskPage:
    """Tasks that meet every condition, next due first; those without a due time come last.

    Raises:
        BadCursor: the cursor did not come from a page of ours.
    """
    equal = {
        "role": role,
        "assignee": assignee,
        "assignee_role": assignee_role,
        "kind": kind,
        "station": station,
    }
    order = (col(Task.due_at), col(Task.id))
    wanted = select(Task).order_by(*order).limit(limit + 1)
    wanted = wanted.filter_by(**{name: str(v) for name, v in equal.items() if v is not None})
    closed_at = col(Task.closed_at)
    wanted = wanted.where(closed_at.is_(None) if is_open else closed_at.is_not(None))
    if due_before is not None:
        wanted = wanted.where(Task.due_at < due_before)
    if cursor is not None:
        wanted = wanted.where(tuple_(*order) > tuple_(*place(cursor, datetime, str)))
    with reading(engine) as session:
        rows = session.exec(wanted).all()
        shown = rows[:limit]
        return TaskPage(
            items=[_stored(row) for row in shown],
            next=after(shown[-1].due_at, shown[-1].id) if len(rows) > limit else None,
        )


def _stored(row: Task) -> StoredTask:
    content = row.model_dump(exclude={"assignee", "assignee_role", "due_at"})
    who = row.assignee_role and {"role": row.assignee_role, "id": row.assignee}
    due_at = None if row.due_at == NEVER else row.due_at
    return StoredTask.model_validate({**content, "assignee": who or None, "due_at": due_at})
