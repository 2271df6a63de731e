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
from sqlmodel import Session, col, select

from domain.clocks import BROKEN, Reading, Ticking
from domain.effects import Effect, Entry, Tell
from domain.events import ASIDE
from domain.forms import Form as FilledIn
from domain.forms import forms
from domain.numbering import Prefix
from domain.request import ServiceRequest
from domain.tasks import WriteDown, Written
from domain.todo import DUTIES, HumanTask, open_tasks
from domain.view import next_due, owner
from domain.vocabulary import MessageChannel, Role, SendingState, TaskKind
from records import shown
from records.engine import writing
from records.fan_out import fan_out
from records.personal import was_erased
from records.statements import insert_new, next_number
from records.tables import NEVER, Clock, Form, Notification, Request, Task, Timeline, Workload

_CHANNELS = {Role.customer: MessageChannel.sms, Role.engineer: MessageChannel.app_push}


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
    is_latest = (
        force
        or row is None
        # What an erasure blanked does not come back, should the last step be written again.
        or (row.revision <= task.request.revision and not was_erased(session, row.number))
    )
    stored = _stored_forms(session, task.request.number)
    filled_in = forms(task.request)
    given = {key: form.number for key, form in stored.items()}
    if force:
        given |= task.request.numbers
    request = _with_numbers(session, task.request, filled_in, given, task.at)
    if request.numbers != task.request.numbers:
        filled_in = forms(request)  # They quote the work order's number.
    columns = columns_of(request)
    now = datetime.now(UTC)
    differs = row is None or columns != row.model_dump(exclude={"written_at"})
    changed = force or (is_latest and differs)
    if row is None:
        session.add(Request(**columns, written_at=now))
    elif changed:
        row.sqlmodel_update({**columns, "written_at": now})
    session.flush()
    if changed:
        shown.keep(session, request)
    if is_latest:
        _store_clocks(session, request)
        _store_tasks(session, request, task)
    if force:
        _drop_strange_forms(session, request, filled_in, stored)
    _store_forms(session, request, filled_in, stored, refresh=is_latest)
    new = _unwritten(session, request.number, task.entries)
    insert_new(session, *(_line(request.number, entry) for entry in task.entries))
    fan_out(session, request, new, task.at)
    insert_new(session, *(row for tell in task.messages for row in _notifications(request, tell)))
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
    row = session.get(Request, request.number, with_for_update=True)
    if row is not None and was_erased(session, row.number):
        return  # What was blanked for good does not come back, however late the repair comes.
    at = request.moved_at
    project(session, WriteDown(request=request, entries=[], messages=[], at=at), force=True)
    if effects is not None:
        known = {effect.seq: effect for effect in effects}
        _restore_lines(session, request, known)
        tells = (effect for effect in known.values() if isinstance(effect, Tell))
        lost = (row for tell in tells for row in _notifications(request, tell))
        restored = {"state": SendingState.restored.value}
        insert_new(session, *(row.sqlmodel_update(restored) for row in lost))


def effects_of(session: Session, number: str) -> list[Effect]:
    """The stored lines and messages of a request as the workflow wrote them down, in order."""
    lines = session.exec(select(Timeline).where(Timeline.number == number))
    messages = session.exec(
        select(Notification).where(
            Notification.number == number, col(Notification.seq).is_not(None)
        )
    )
    found: list[Effect] = [*map(_entry, lines), *_tells(messages)]
    return sorted(found, key=lambda effect: effect.seq)


def columns_of(request: ServiceRequest) -> dict[str, Any]:
    """The row of `Request`, but for when it was written."""
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
        "external_id": brief.external_id,
    }


# --- clocks ---------------------------------------------------------------------------------------


def _store_clocks(session: Session, request: ServiceRequest) -> None:
    """One row per promise, and only what changed is written.

    A promise never goes away: a row beyond the last was never one of this request's.
    """
    stored = {
        row.place: row for row in session.exec(select(Clock).where(Clock.number == request.number))
    }
    for columns in clocks_of(request):
        if (kept := stored.get(columns["place"])) is not None:
            kept.sqlmodel_update(columns)
        else:
            session.add(Clock(**columns))
    for place in stored.keys() - range(len(request.clocks)):
        session.delete(stored[place])


def clocks_of(request: ServiceRequest) -> list[dict[str, Any]]:
    """The rows of `Clock`, one for each promise."""
    return [_clock(request, place) for place in range(len(request.clocks))]


def _clock(request: ServiceRequest, place: int) -> dict[str, Any]:
    clock = request.clocks[place]
    told = clock.reading(request.moved_at)
    role, who = owner(request, clock)
    return {
        "number": request.number,
        "place": place,
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
        "station": request.brief.station,
        "live": clock.is_live,
        "decided_at": _decided_at(told),
        "tells": clock.ladder[0].tell.value if clock.ladder else None,
    }


def _decided_at(told: Reading) -> datetime | None:
    """When the promise was kept, or else broken: whoever meets it later does not move that."""
    if told.state is Ticking.kept:
        return told.stopped_at
    return told.breached_at or told.due_at if told.state in BROKEN else None


# --- tasks ----------------------------------------------------------------------------------------


def _store_tasks(session: Session, request: ServiceRequest, written: WriteDown) -> None:
    """One row per task; a closed one keeps its row and says what closed it."""
    stored = {
        row.id: row for row in session.exec(select(Task).where(Task.number == request.number))
    }
    owed = {task.id: task for task in open_tasks(request)}
    for id, task in owed.items():
        columns = _task_columns(request, task)
        if id in stored:
            stored[id].sqlmodel_update({**columns, "opened_at": stored[id].opened_at})
        else:
            session.add(Task(**columns))
    for id, row in stored.items():
        if id not in owed and row.closed_at is None:
            what = _what_closed(row, written.entries)
            row.closed_at = what.at if what else written.at
            row.closed_by = what.event_id if what else None
            row.closed_with = what.name if what else None


def _task_columns(request: ServiceRequest, task: HumanTask) -> dict[str, Any]:
    who = task.assignee
    return {
        "id": task.id,
        "number": task.number,
        "kind": task.kind.value,
        "role": task.role.value,
        "assignee_role": who and who.role.value,
        "assignee": who and who.id,
        "due_at": task.due_at or NEVER,
        "rules": [rule.value for rule in task.rules],
        "subject": task.subject,
        "station": request.brief.station,
        "opened_at": task.opened_at,
        "claimed_at": task.claimed_at,
        "closed_at": None,
        "closed_by": None,
        "closed_with": None,
    }


def _what_closed(row: Task, entries: list[Entry]) -> Entry | None:
    """The event that settled the task, or else the last one that led the request elsewhere."""
    events = [e for e in entries if e.kind == "event" and e.at >= row.opened_at]
    settles = DUTIES[TaskKind(row.kind)].closed_by
    usual = (entry for entry in events if entry.name in settles)
    others = (entry for entry in reversed(events) if entry.name not in _LEAVE_THE_WAY)
    return next(usual, None) or next(others, None)


_LEAVE_THE_WAY = {*ASIDE, "noted"}


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


def _unwritten(session: Session, number: str, entries: list[Entry]) -> list[Entry]:
    """Those not in the timeline yet; the request's row is locked, so it stays true."""
    if not entries:
        return []
    known = select(Timeline.seq).where(
        Timeline.number == number, col(Timeline.seq) >= min(entry.seq for entry in entries)
    )
    written = set(session.exec(known))
    return [entry for entry in entries if entry.seq not in written]


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


def _notifications(request: ServiceRequest, tell: Tell) -> list[Notification]:
    """One row per channel; the first has the plain id, further ones name theirs in it."""
    first, *further = tell.channels or (_CHANNELS.get(tell.to, MessageChannel.console),)
    id = f"{request.number}:{tell.seq}"
    ways = {id: first, **{f"{id}:{channel}": channel for channel in further}}
    return [
        Notification(
            id=id,
            number=request.number,
            seq=tell.seq,
            to_role=tell.to.value,
            to_id=tell.who,
            channel=str(channel),
            message=tell.message,
            rule=tell.rule,
            level=tell.level,
            facts=tell.facts,
            created_at=tell.at,
        )
        for id, channel in ways.items()
    ]


def _entry(line: Timeline) -> Entry:
    return Entry.model_validate(line.model_dump(include=set(Entry.model_fields)))


def _tells(messages: Iterable[Notification]) -> list[Tell]:
    """What was to be told: the rows of one message, one per channel, are one."""
    ways: dict[int, list[Notification]] = {}
    for message in sorted(messages, key=lambda row: row.id.count(":")):
        ways.setdefault(message.seq or 0, []).append(message)
    return [_tell(seq, rows) for seq, rows in ways.items()]


def _tell(seq: int, rows: list[Notification]) -> Tell:
    first, role = rows[0], Role(rows[0].to_role)
    usual = len(rows) == 1 and first.channel == _CHANNELS.get(role, MessageChannel.console)
    return Tell(
        seq=seq,
        at=first.created_at,
        to=role,
        who=first.to_id,
        channels=() if usual else tuple(MessageChannel(row.channel) for row in rows),
        **first.model_dump(include={"message", "rule", "level", "facts"}),
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
    holders = holders_of(request)
    for engineer in held.keys() - holders.keys():
        session.delete(held[engineer])
    for engineer, offer in holders.items():
        columns: dict[str, Any] = {"offer": offer, "since": request.offers[offer - 1].offered_at}
        if engineer in held:
            held[engineer].sqlmodel_update(columns)
        else:
            session.add(Workload(engineer=engineer, number=request.number, **columns))


def holders_of(request: ServiceRequest) -> dict[str, int]:
    """The engineers who hold the unfinished work, each with the place of their latest offer."""
    if request.is_closed or request.cancelled or request.completed_at is not None:
        return {}
    offered = request.open_offer
    holding = {request.engineer, offered and offered.engineer}
    return {o.engineer: place for place, o in enumerate(request.offers, 1) if o.engineer in holding}
