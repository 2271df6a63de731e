"""What the records are asked: one request, the list by next due, timeline and forms."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypedDict, Unpack

from sqlalchemy import ColumnElement, Engine, func, tuple_
from sqlmodel import Session, col, select

from domain.effects import Entry
from domain.intake import Customer
from domain.numbering import Prefix
from domain.request import ServiceRequest
from records import shown
from records.cursors import after, place
from records.engine import reading
from records.personal import as_given, key_for, open_form
from records.sealing import DataKey
from records.tables import OPEN, Clock, Form, Request, Timeline, Workload

MOST_COUNTED = 1000
"""Where the counting of a list ends: nobody turns so many pages, and it stays cheap."""
TURNS = (0, 1)
"""Both values of `Request.turn`: naming them lets an index find a range within each."""


class Conditions(TypedDict, total=False):
    """What requests are found by; None: whatever it is."""

    number: str | None
    external_id: str | None
    stage: str | None
    urgency: str | None
    request_type: str | None
    station: str | None
    engineer: str | None
    held_by: str | None
    clock_state: str | None
    breached: str | None
    due_before: datetime | None


@dataclass(frozen=True)
class StoredRequest:
    """A request as the workflow last wrote it down."""

    request: ServiceRequest
    revision: int


@dataclass(frozen=True)
class Page:
    """Some requests of a list as they are shown.

    Attributes:
        next: the cursor of those that follow; None: there are no more.
        total: how many there are on all pages; `MOST_COUNTED`: so many or more.
        missing: those that another version left behind, which `records.shown.make` makes anew.
    """

    items: list[dict[str, Any]]
    next: str | None
    total: int
    missing: list[str]


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
    now: datetime,
    *,
    cursor: str | None = None,
    limit: int = 50,
    **conditions: Unpack[Conditions],
) -> Page:
    """Requests that meet every condition: those that jumped the queue, then the next due first.

    Whatever moves meanwhile, pages that follow one another show every request that does not move
    exactly once: a page begins after a place in this order, not after so many requests.

    Args:
        now: what is left of each promise is counted to this moment.
        cursor: `next` of the page before.
        conditions: `number`: how it begins; `held_by`: an engineer who has the work, or has been
            offered it; `breached`: a rule that the request has breached.

    Raises:
        BadCursor: the cursor did not come from a page of ours.
    """
    order = (col(Request.turn), col(Request.next_due), col(Request.number))
    with reading(engine) as session:
        met = _met(session, conditions)
        matching = select(Request.turn, Request.next_due, Request.number).where(*met)
        wanted = matching.order_by(*order).limit(limit + 1)
        if cursor is not None:
            wanted = wanted.where(tuple_(*order) > tuple_(*place(cursor, int, datetime, str)))
        found = session.exec(wanted).all()
        numbers = [number for *_, number in found[:limit]]
        some = select(Request.number).where(*met).limit(MOST_COUNTED)
        counted = select(func.count()).select_from(some.subquery())
        items, missing = shown.documents(session, numbers, now)
        return Page(
            items=items,
            next=after(*found[limit - 1]) if len(found) > limit else None,
            total=session.exec(counted).one(),
            missing=missing,
        )


def open_numbers(engine: Engine, most: int, **conditions: Unpack[Conditions]) -> list[str]:
    """The numbers of open requests that meet every condition, at most so many, as in the list."""
    order = (col(Request.turn), col(Request.next_due), col(Request.number))
    with reading(engine) as session:
        wanted = select(Request.number).where(OPEN, *_met(session, conditions))
        return list(session.exec(wanted.order_by(*order).limit(most)))


def held_numbers(engine: Engine, engineer: str, most: int) -> list[str]:
    """The numbers of the unfinished work that an engineer has or was offered, the oldest first."""
    order = (col(Workload.since), col(Workload.number))
    wanted = select(Workload.number).where(Workload.engineer == engineer).order_by(*order)
    with reading(engine) as session:
        return list(session.exec(wanted.limit(most)))


def states(engine: Engine, numbers: Sequence[str]) -> dict[str, ServiceRequest]:
    """These requests as the workflow last wrote them down; those that there are."""
    wanted = select(Request.number, Request.state).where(col(Request.number).in_(numbers))
    with reading(engine) as session:
        return {n: ServiceRequest.model_validate_json(state) for n, state in session.exec(wanted)}


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


def forms_of_the_process(engine: Engine, number: str) -> list[StoredForm]:
    """Those that the request gave rise to: all but SA-CR-001, so that nothing is unsealed."""
    taken_in = col(Form.key).startswith(Prefix.request)
    with reading(engine) as session:
        found = session.exec(select(Form).where(Form.request == number, ~taken_in)).all()
    return sorted((_stored(form, None, personal=False) for form in found), key=_course)


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


# --- conditions -----------------------------------------------------------------------------------


def _met(session: Session, conditions: Conditions) -> list[Any]:
    given = {name: value for name, value in conditions.items() if value is not None}
    return [each for name, value in given.items() for each in _condition(session, name, value)]


def _condition(session: Session, name: str, value: Any) -> list[ColumnElement[bool]]:
    match name:
        case "number":
            return _begins_with(value)
        case "held_by":
            return [_held_by(value)]
        case "breached":
            return [_breached(session, value)]
        case "due_before":
            return [col(Request.turn).in_(TURNS), col(Request.next_due) < value]
        case _:
            return [col(getattr(Request, name)) == value]


def _begins_with(start: str) -> list[ColumnElement[bool]]:
    """A day is a range of the index; of a month there are too many to put in order."""
    number = col(Request.number)
    begins = func.substr(number, 1, len(start)) == start
    # Digits and dashes sort before letters, whatever order a database sorts in.
    return [number.between(start, start + "Z"), begins] if len(start) >= _A_DAY else [begins]


_A_DAY = len("CR20240520")


def _breached(session: Session, rule: str) -> ColumnElement[bool]:
    """Few are looked up one by one; many are met soon enough on the way through the list."""
    broke = select(Clock.number).where(Clock.rule == rule, col(Clock.breached_at).is_not(None))
    some = session.exec(broke.limit(MOST_COUNTED)).all()
    if len(some) < MOST_COUNTED:
        return col(Request.number).in_(set(some))
    return broke.where(Clock.number == Request.number).exists()


def _held_by(engineer: str) -> ColumnElement[bool]:
    has = select(Request.number).where(Request.engineer == engineer)
    was_offered = select(Workload.number).where(Workload.engineer == engineer)
    return col(Request.number).in_(has.union(was_offered))


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
