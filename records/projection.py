"""The projection of the process: what the workflow wrote down, as rows to list and count.

Written twice, or in the wrong order, it comes out the same: lines and messages have their own
numbers, and a request's row and forms only ever give way to a later revision.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import ValidationError
from sqlalchemy import Engine
from sqlmodel import Session, select

from domain.effects import Effect, Entry, Tell
from domain.forms import Form as FilledIn
from domain.forms import forms
from domain.numbering import Prefix
from domain.request import ServiceRequest
from domain.tasks import WriteDown, Written
from domain.view import next_due, owner
from domain.vocabulary import Role
from records.engine import writing
from records.statements import insert_new, next_number
from records.tables import NEVER, Clock, Form, Notification, Request, Timeline, Workload

RESTORED = "restored"
"""The state of a message that was put back for the record: no courier takes it."""

_CHANNELS = {Role.customer: "sms", Role.engineer: "app"}


def write_down(engine: Engine, task: WriteDown) -> Written:
    """Project the request, its timeline, forms and messages in one transaction."""
    with writing(engine) as session:
        return project(session, task)


def project(session: Session, task: WriteDown, *, force: bool = False) -> Written:
    """The same within the transaction of `session`.

    Args:
        force: what is stored gives way whatever revision it claims, and what the request does not
            know goes. Only for a task that is known to be the truth.
    """
    row = session.get(Request, task.request.number, with_for_update=True)
    is_latest = force or row is None or row.revision <= task.request.revision
    stored = _stored_forms(session, task.request.number)
    filled_in = forms(task.request)
    given = {key: form.number for key, form in stored.items()}
    if force:
        given |= task.request.numbers
    request = _with_numbers(session, task.request, filled_in, given, task.at)
    if request.numbers != task.request.numbers:
        filled_in = forms(request)  # They quote the work order's number.
    columns = _columns(request)
    now = datetime.now(UTC)
    if row is None:
        session.add(Request(**columns, written_at=now))
    elif is_latest and columns != row.model_dump(exclude={"written_at"}):
        row.sqlmodel_update({**columns, "written_at": now})
    session.flush()
    if is_latest:
        _store_clocks(session, request)
    if force:
        _drop_strange_forms(session, request, filled_in, stored)
    _store_forms(session, request, filled_in, stored, refresh=is_latest)
    insert_new(session, *(_line(request.number, entry) for entry in task.entries))
    insert_new(session, *(_notification(request.number, tell) for tell in task.messages))
    if is_latest:
        _reconcile_workload(session, request)
    unheard = request.numbers.items() - task.request.numbers.items()
    return Written(numbers=dict(sorted(unheard)))


def restore(session: Session, request: ServiceRequest, effects: Iterable[Effect] | None) -> None:
    """Make the projection what this request says, whatever is stored; it must be the truth.

    Args:
        effects: the lines and messages as they were written down; None: they are left as they are.
            A message that had gone missing is put back for the record, and is never sent.
    """
    at = request.moved_at
    project(session, WriteDown(request=request, entries=[], messages=[], at=at), force=True)
    if effects is not None:
        known = {effect.seq: effect for effect in effects}
        _restore_lines(session, request, known)
        lost = (_notification(request.number, e) for e in known.values() if isinstance(e, Tell))
        insert_new(session, *(row.sqlmodel_update({"state": RESTORED}) for row in lost))


def effects_of(session: Session, number: str) -> list[Effect]:
    """The stored lines and messages of a request as the workflow wrote them down, in order."""
    lines = session.exec(select(Timeline).where(Timeline.number == number))
    messages = session.exec(select(Notification).where(Notification.number == number))
    found: list[Effect] = [*map(_entry, lines), *map(_tell, messages)]
    return sorted(found, key=lambda effect: effect.seq)


def _columns(request: ServiceRequest) -> dict[str, Any]:
    brief = request.brief
    waits = not request.jumped_queue or request.is_closed
    return {
        "number": request.number,
        "revision": request.revision,
        "event_count": request.event_count,
        "state": request.model_dump_json(),
        "stage": request.stage.value,
        "urgency": request.urgency.value,
        "request_type": request.request_type.value,
        "station": brief.station,
        "engineer": request.engineer,
        "clock_state": request.clock_state.value,
        "breached": request.breached_rules,
        "next_due": next_due(request) or NEVER,
        "turn": int(waits),
        "outcome": request.outcome and request.outcome.value,
        "tier": brief.customer.tier,
        "serial": brief.product.serial,
        "received_at": request.received_at,
        "closed_at": request.closed_at,
    }


# --- clocks ---------------------------------------------------------------------------------------


def _store_clocks(session: Session, request: ServiceRequest) -> None:
    """One row per promise, and only what changed is written.

    A promise never goes away: a row beyond the last was never one of this request's.
    """
    stored = {
        row.place: row for row in session.exec(select(Clock).where(Clock.number == request.number))
    }
    for place, clock in enumerate(request.clocks):
        told = clock.reading(request.moved_at)
        role, who = owner(request, clock)
        columns: dict[str, Any] = {
            "rule": clock.rule.value,
            "subject": clock.subject,
            "state": told.state.value,
            "started_at": told.started_at,
            "due_at": told.due_at,
            "breached_at": told.breached_at,
            "fired_at": told.fired_at,
            "stopped_at": told.stopped_at,
            "late_seconds": late.total_seconds() if (late := clock.late_by) is not None else None,
            "owed_role": role.value,
            "owed_by": who,
        }
        if place in stored:
            stored[place].sqlmodel_update(columns)
        else:
            session.add(Clock(number=request.number, place=place, **columns))
    for place in stored.keys() - range(len(request.clocks)):
        session.delete(stored[place])


# --- forms ----------------------------------------------------------------------------------------


def _stored_forms(session: Session, number: str) -> dict[str, Form]:
    return {form.key: form for form in session.exec(select(Form).where(Form.request == number))}


def _with_numbers(
    session: Session,
    request: ServiceRequest,
    filled_in: list[FilledIn],
    given: dict[str, str],
    at: datetime,
) -> ServiceRequest:
    """The request with a number for every form: those given before, and new ones."""
    day = at.astimezone(ZoneInfo(request.policy.timezone)).date()
    numbers = dict(request.numbers)
    for form in filled_in:
        if form.key in given:
            numbers[form.key] = given[form.key]
        elif form.key not in numbers:
            numbers[form.key] = next_number(session, form.prefix, day)
    return request.model_copy(update={"numbers": numbers})


def _drop_strange_forms(
    session: Session, request: ServiceRequest, filled_in: list[FilledIn], stored: dict[str, Form]
) -> None:
    """Forms that the request did not give rise to, or that carry another number or name."""
    true = {form.key: (request.numbers[form.key], form.code) for form in filled_in}
    # SA-CR-001 was filled in at intake, and is none of the projection's.
    ours = [key for key in stored if not key.startswith(Prefix.request)]
    for key in ours:
        if (stored[key].number, stored[key].code) != true.get(key):
            session.delete(stored.pop(key))
    session.flush()


def _store_forms(
    session: Session,
    request: ServiceRequest,
    filled_in: list[FilledIn],
    stored: dict[str, Form],
    *,
    refresh: bool,
) -> None:
    for form in filled_in:
        if form.key not in stored:
            session.add(
                Form(
                    number=request.numbers[form.key],
                    request=request.number,
                    key=form.key,
                    code=form.code,
                    title=form.title,
                    title_zh=form.title_zh,
                    content=form.content,
                )
            )
        elif refresh:
            stored[form.key].sqlmodel_update(
                {"title": form.title, "title_zh": form.title_zh, "content": form.content}
            )
    session.flush()


# --- timeline and outbox --------------------------------------------------------------------------


def _line(number: str, entry: Entry) -> Timeline:
    return Timeline(
        number=number,
        seq=entry.seq,
        at=entry.at,
        recorded_at=entry.recorded_at,
        kind=entry.kind,
        name=entry.name,
        actor_role=entry.actor_role and entry.actor_role.value,
        actor_id=entry.actor_id,
        event_id=entry.event_id,
        data=entry.model_dump(mode="json")["data"],
    )


def _notification(number: str, tell: Tell) -> Notification:
    return Notification(
        id=f"{number}:{tell.seq}",
        number=number,
        to_role=tell.to.value,
        to_id=tell.who,
        channel=_CHANNELS.get(tell.to, "console"),
        message=tell.message,
        rule=tell.rule,
        level=tell.level,
        facts=tell.facts,
        created_at=tell.at,
    )


def _entry(line: Timeline) -> Entry:
    return Entry.model_validate(line.model_dump(include=set(Entry.model_fields)))


def _tell(message: Notification) -> Tell:
    given = message.model_dump(include={"message", "rule", "level", "facts"})
    seq = int(message.id.split(":")[1])
    return Tell(
        seq=seq, at=message.created_at, to=Role(message.to_role), who=message.to_id, **given
    )


def _restore_lines(session: Session, request: ServiceRequest, known: Mapping[int, Effect]) -> None:
    """Write the lines that are missing or wrong, and drop those that never were."""
    of_request = select(Timeline).where(Timeline.number == request.number)
    stored = {line.seq: line for line in session.exec(of_request)}
    for seq, effect in known.items():
        if not isinstance(effect, Entry):
            continue
        if seq not in stored:
            session.add(_line(request.number, effect))
        elif not _reads_as(stored[seq], effect):
            true = _line(request.number, effect)
            stored[seq].sqlmodel_update(true.model_dump(include=set(Entry.model_fields)))
    for seq, line in stored.items():
        if seq > request.revision or isinstance(known.get(seq), Tell):
            session.delete(line)
    session.flush()


def _reads_as(line: Timeline, entry: Entry) -> bool:
    try:
        return _entry(line).model_dump_json() == entry.model_dump_json()
    except ValidationError:
        return False


# --- workload -------------------------------------------------------------------------------------


def _reconcile_workload(session: Session, request: ServiceRequest) -> None:
    """Keep a row for exactly those engineers who hold this work, since it was offered to them."""
    held = {
        row.engineer: row
        for row in session.exec(select(Workload).where(Workload.number == request.number))
    }
    holders = _holders(request)
    for engineer in held.keys() - holders.keys():
        session.delete(held[engineer])
    for engineer, offer in holders.items():
        columns: dict[str, Any] = {"offer": offer, "since": request.offers[offer - 1].offered_at}
        if engineer in held:
            held[engineer].sqlmodel_update(columns)
        else:
            session.add(Workload(engineer=engineer, number=request.number, **columns))


def _holders(request: ServiceRequest) -> dict[str, int]:
    """The engineers who hold the unfinished work, each with the place of their latest offer."""
    if request.is_closed or request.cancelled or request.completed_at is not None:
        return {}
    offered = request.open_offer
    holding = {request.engineer, offered and offered.engineer}
    return {o.engineer: place for place, o in enumerate(request.offers, 1) if o.engineer in holding}
