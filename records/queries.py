"""What the records are asked: one request, the list by next due, timeline and forms."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Engine, String, cast, or_, tuple_
from sqlmodel import Session, col, select

from domain.effects import Entry
from domain.intake import Customer
from domain.numbering import Prefix
from domain.request import ServiceRequest
from records.engine import reading
from records.personal import as_given, key_for, open_form
from records.sealing import DataKey
from records.tables import Form, Request, Timeline, Workload


class BadCursor(ValueError):
    """A cursor that did not come from a page of ours."""


@dataclass(frozen=True)
class StoredRequest:
    """A request as the workflow last wrote it down."""

    request: ServiceRequest
    revision: int


@dataclass(frozen=True)
class Page:
    """Some requests of a list, and the cursor of those that follow; None: there are no more."""

    items: list[ServiceRequest]
    next: str | None


@dataclass(frozen=True)
class StoredForm:
    """A filled-in form; `key` is its kind and place within the request (`AP/2`)."""

    number: str
    request: str
    key: str
    code: str
    title: str
    title_zh: str
    content: dict[str, Any]


def stored(engine: Engine, number: str) -> StoredRequest | None:
    """The request with this number; None: there is none."""
    with reading(engine) as session:
        row = session.get(Request, number)
        if row is None:
            return None
        return StoredRequest(ServiceRequest.model_validate_json(row.state), row.revision)


def list_requests(
    engine: Engine,
    *,
    stage: str | None = None,
    urgency: str | None = None,
    request_type: str | None = None,
    station: str | None = None,
    engineer: str | None = None,
    clock_state: str | None = None,
    breached: str | None = None,
    due_before: datetime | None = None,
    held_by: str | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> Page:
    """Requests that meet every condition: those that jumped the queue, then the next due first.

    Args:
        breached: a rule that the request has breached.
        held_by: the engineer whose work it is, or to whom it is offered.
        cursor: `next` of the page before.

    Raises:
        BadCursor: the cursor did not come from a page of ours.
    """
    equal = {
        "stage": stage,
        "urgency": urgency,
        "request_type": request_type,
        "station": station,
        "engineer": engineer,
        "clock_state": clock_state,
    }
    order = (col(Request.turn), col(Request.next_due), col(Request.number))
    wanted = select(Request).order_by(*order).limit(limit + 1)
    wanted = wanted.filter_by(**{name: value for name, value in equal.items() if value is not None})
    if breached is not None:
        wanted = wanted.where(_breached(breached))
    if due_before is not None:
        wanted = wanted.where(Request.next_due < due_before)
    if held_by is not None:
        wanted = wanted.where(_held_by(held_by))
    if cursor is not None:
        wanted = wanted.where(tuple_(*order) > tuple_(*_place(cursor)))
    with reading(engine) as session:
        rows = session.exec(wanted).all()
        shown = rows[:limit]
        return Page(
            items=[ServiceRequest.model_validate_json(row.state) for row in shown],
            next=_cursor(shown[-1]) if len(rows) > limit else None,
        )


def timeline(engine: Engine, number: str) -> list[Entry]:
    """Every line of a request's timeline, in order."""
    with reading(engine) as session:
        lines = select(Timeline).where(Timeline.number == number).order_by(col(Timeline.seq))
        return [
            Entry.model_validate(line.model_dump(exclude={"number"}))
            for line in session.exec(lines)
        ]


def forms(engine: Engine, number: str, *, personal: bool = False) -> list[StoredForm]:
    """Every form of a request, in the order of its course.

    Args:
        personal: show the customer's data as given; otherwise they are masked. What was erased is
            shown as `***` to everyone.

    Raises:
        Unsealable: personal data is there and does not open.
    """
    with reading(engine) as session:
        return forms_in(session, number, personal=personal)


def forms_in(session: Session, number: str, *, personal: bool) -> list[StoredForm]:
    """The same within the transaction of `session`."""
    found = session.exec(select(Form).where(Form.request == number)).all()
    key = key_for(session, number) if any(form.sealed for form in found) else None
    return sorted((_stored(form, key, personal=personal) for form in found), key=_course)


def form(engine: Engine, number: str, wanted: str, *, personal: bool = False) -> StoredForm | None:
    """One form of a request by its number, or the latest by its code (`SA-AP-003`)."""
    return wanted_form(forms(engine, number, personal=personal), wanted)


def wanted_form(of_request: list[StoredForm], wanted: str) -> StoredForm | None:
    """The one among a request's forms that is meant."""
    return next((form for form in reversed(of_request) if wanted in (form.number, form.code)), None)


def taken_by(engine: Engine, number: str) -> str | None:
    """Who had the request taken in (`agent/a7`), as its form SA-CR-001 says."""
    intake = form(engine, number, "SA-CR-001")
    return intake.content.get("taken_by") if intake else None


def customer(engine: Engine, number: str) -> Customer | None:
    """The customer of a request as given at intake: personal data, for those entitled to it.

    Returns:
        None: there is no such request, or its customer was erased.

    Raises:
        Unsealable: the data does not open.
    """
    with reading(engine) as session:
        return as_given(session, number)


# --- cursors --------------------------------------------------------------------------------------


def _cursor(row: Request) -> str:
    place = json.dumps([row.turn, row.next_due.isoformat(), row.number])
    return urlsafe_b64encode(place.encode()).decode().rstrip("=")


def _place(cursor: str) -> tuple[int, datetime, str]:
    try:
        text = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        turn, next_due, number = json.loads(text)
        return int(turn), datetime.fromisoformat(next_due).astimezone(UTC), str(number)
    except (ValueError, TypeError) as error:
        raise BadCursor("the cursor is not one that a page of this list gave") from error


def _held_by(engineer: str) -> ColumnElement[bool]:
    offered = select(Workload.number).where(Workload.engineer == engineer)
    return or_(col(Request.engineer) == engineer, col(Request.number).in_(offered))


def _breached(rule: str) -> ColumnElement[bool]:
    """Whether the JSON list of breached rules holds this one; the same on both databases."""
    return cast(col(Request.breached), String).contains(f'"{rule}"', autoescape=True)


# --- forms ----------------------------------------------------------------------------------------


def _course(form: StoredForm) -> tuple[int, int]:
    prefix, place = form.key.split("/")
    return list(Prefix).index(Prefix(prefix)), int(place)


def _stored(form: Form, key: DataKey | None, *, personal: bool) -> StoredForm:
    """SA-CR-001 alone carries the customer as given."""
    shown = form.model_dump(exclude={"sealed"})
    if form.sealed is not None:
        shown["content"] = open_form(key, form.number, form.content, form.sealed, personal=personal)
    return StoredForm(**shown)
