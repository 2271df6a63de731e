"""Personal data stands nowhere in clear, opens with its own key alone, and can be destroyed."""

import hashlib
import json
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic.util import CommandError
from sqlalchemy import Engine, MetaData, Table, text
from sqlmodel import col, func, select

from activities.archive import archive, mend
from activities.matching import find_engineer
from domain.calendars import Calendar
from domain.intake import NewRequest
from domain.policy import Policy
from domain.tasks import Search
from domain.view import view
from records.access_log import Reader, reads
from records.base import Record
from records.board import board, breached, punctuality, workload
from records.cursors import BadCursor
from records.disclosure import find, show_customer, show_forms
from records.engine import migrate, open_engine, reading, writing
from records.figures import figures
from records.intake import KeyReused, Taken, masked, take_in
from records.personal import (
    NoCustomer,
    Rekeyed,
    StillOpen,
    Why,
    erase,
    erase_old,
    is_erased,
    place_of,
    rekey,
)
from records.projection import restore, write_down
from records.queries import customer, form, list_requests, stored, timeline
from records.sealing import KeyRing, Unsealable
from records.seed import seed
from records.tables import Archive, Customer, Erasure, Form, Intake, Request
from tests.databases import RING, all_at_once, person, written
from tests.desk import intake
from tests.pure.builders import STANDARD, START, Story, given

PERSON = {
    "name": "欧阳修远",
    "phone": "+86 139-8765-4321",
    "email": "ouyang.xiuyuan@example.org",
    "address": "上海市徐汇区衡山路8888弄7号601室",
    "latitude": 31.204871,
    "longitude": 121.446213,
}
SAID = {
    "description": "空调不制冷，打 13511112222 找我爱人",
    "remark": "门禁密码四七一一",
}
SECRETS = [
    *("欧阳修", "13987654321", "139-8765-4321", "ouyang", "衡山路8888", "31.204871", "121.446213"),
    *("13511112222", "门禁密码", "PROOF-77"),
]
WRITTEN = ("钥匙在七楼邻居手里", "欧阳代签", "下次请联系她姐姐")
"""What people write into events stands in clear until it is erased."""
READER = Reader("agent", "A-1", "回电确认预约", "call-1")


def around_the_clock(policy: Policy, now: datetime) -> Calendar:
    return Calendar()


def take(engine: Engine, new: NewRequest | None = None, **more: Any) -> Taken:
    new = new or intake(customer=PERSON, product={"proof": "PROOF-77"}, **SAID)
    more = {"key": None, "now": START, **more}
    return take_in(engine, new, policy=STANDARD, calendar_for=around_the_clock, **more)


def closed(engine: Engine, **more: Any) -> str:
    """A request that was taken in, walked its whole course and was archived."""
    story = told(take(engine, **more))
    write_down(engine, written(story))
    archive(engine, story.request)
    return story.request.number


def told(taken: Taken) -> Story:
    """Its whole course, with what people wrote on the way."""
    known = masked(intake(customer=PERSON).customer).model_dump()
    story = given(number=taken.number, customer=known).walked("diagnosed")
    story.did("noted", text=WRITTEN[0]).did("completed").did("signed", signature=WRITTEN[1])
    story.did("surveyed", remark=WRITTEN[2])
    assert story.request.closed_at is not None
    return story


def reopened(engine: Engine, ring: KeyRing | None) -> Engine:
    """The same database with another ring."""
    return open_engine(engine.url.render_as_string(hide_password=False), ring)


def dumped(engine: Engine) -> str:
    """Everything that the database holds; SQLite's files byte by byte."""
    metadata = MetaData()
    with engine.connect() as connection:
        metadata.reflect(connection)
        rows = [
            str(value)
            for table in metadata.sorted_tables
            for row in connection.execute(text(f'SELECT * FROM "{table.name}"'))
            for value in row
        ]
    # Some drivers hand JSON over as text with `\u` escapes.
    found = "\n".join(rows)
    found += found.encode("ascii", "ignore").decode("unicode_escape", "ignore")
    if engine.dialect.name == "sqlite":
        for file in Path(str(engine.url.database)).parent.glob("*.db*"):
            # In another process: to close the file here would give up SQLite's locks on it, and
            # whichever process ends next would take the log away from under this one.
            raw = subprocess.check_output(["cat", file])
            found += raw.decode("utf-8", "ignore")
            found += raw.decode("ascii", "ignore").replace("\\u", "\n\\u")
    return found


def leaks(engine: Engine, *secrets: str) -> list[str]:
    found = dumped(engine)
    spellings = {secret: (secret, json.dumps(secret)[1:-1]) for secret in secrets}
    return [s for s, written_as in spellings.items() if any(each in found for each in written_as)]


# --- at rest --------------------------------------------------------------------------------------


def test_nothing_personal_stands_in_clear_after_a_whole_story(engine: Engine) -> None:
    seed(engine)
    with reading(engine) as session:
        people = [person(session, row) for row in session.exec(select(Customer))]
    number = closed(engine)
    request = stored(engine, number)
    assert request is not None
    find_engineer(engine, Search(request=request.request, offer=1, asked_before=[]), START)
    assert customer(engine, number) == intake(customer=PERSON).customer
    seeded = [each for p in people for each in (p.phone, p.address, p.email or p.phone)]
    assert leaks(engine, *SECRETS, *seeded) == []
    assert leaks(engine, "SA-CR-001") == ["SA-CR-001"]


def test_whoever_may_not_see_it_reads_no_number_in_what_was_said(engine: Engine) -> None:
    number = take(engine).number
    shown = form(engine, number, "SA-CR-001")
    in_clear = form(engine, number, "SA-CR-001", personal=True)
    assert shown is not None
    assert in_clear is not None
    assert shown.content["description"] == "空调不制冷，打 *** 找我爱人"
    assert shown.content["customer"]["name"] == "欧*"
    assert in_clear.content["description"] == SAID["description"]
    assert in_clear.content["customer"]["phone"] == PERSON["phone"]
    assert in_clear.content["product"]["proof"] == "PROOF-77"


def test_two_intakes_of_a_new_customer_at_once_make_one_customer(engine: Engine) -> None:
    taken = all_at_once(8, lambda place: take(engine))
    with reading(engine) as session:
        (row,) = session.exec(select(Customer)).all()
        assert person(session, row).name == PERSON["name"]
    assert [customer(engine, t.number) for t in taken] == [intake(customer=PERSON).customer] * 8


# --- what stood in clear --------------------------------------------------------------------------


MOMENT = Request.__table__.c.received_at.type  # type: ignore[attr-defined]


def older(url: str, ring: KeyRing | None = None) -> Engine:
    """A database as the version before left it, with a customer and two requests in clear."""
    engine = open_engine(url, ring)
    migrate(engine, "0002")
    new = intake(customer=PERSON, product={"proof": "PROOF-77"}, **SAID)
    body = json.dumps(new.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)
    numbers = ["CR20240520-001", "CR20240520-002"]
    states = {number: given(number=number).request for number in numbers}
    tables = MetaData()
    moment = START.isoformat(" ")
    with engine.begin() as connection:

        def add(name: str, *rows: dict[str, Any]) -> None:
            table = Table(name, tables, autoload_with=connection, extend_existing=True)
            for column in table.c:
                if "TIMESTAMP" in str(column.type) or "DATETIME" in str(column.type):
                    column.type = MOMENT
            connection.execute(table.insert(), list(rows))

        known = {**PERSON, "phone": "13987654321"}
        add("customer", {"id": 7, "tier": "VIP", **known})
        blank: dict[str, Any] = dict.fromkeys(
            ("stage", "urgency", "request_type", "clock_state", "tier"), "x"
        )
        blank |= {"revision": 1, "event_count": 0, "breached": [], "turn": 1}
        blank |= dict.fromkeys(("next_due", "received_at", "written_at"), START)
        add(
            "request",
            *({**blank, "number": n, "state": states[n].model_dump_json()} for n in numbers),
        )
        place = {"latitude": PERSON["latitude"], "longitude": PERSON["longitude"]}
        nowhere = dict.fromkeys(place)
        add(
            "intake",
            *(
                {
                    "number": number,
                    "key": f"agent/a {number}",
                    "body": body,
                    "body_hash": "0" * 64,
                    "customer_id": 7,
                    "received_at": START,
                    "started": True,
                    "lease_until": None,
                    **where,
                }
                for number, where in zip(numbers, (place, nowhere), strict=True)
            ),
        )
        content = {
            "received_at": moment,
            "customer": {**new.customer.model_dump(mode="json"), "tier": "vip"},
            "product": {"model": "M", "serial": "S", "proof": "PROOF-77"},
            **SAID,
        }
        blank = {"key": "CR/1", "code": "SA-CR-001", "title": "", "title_zh": ""}
        add("form", *({**blank, "number": n, "request": n, "content": content} for n in numbers))
    return engine


def test_what_stood_in_clear_is_sealed_by_the_migration(empty_database: str) -> None:
    engine = older(empty_database, RING)
    assert leaks(engine, "13987654321", "PROOF-77") == ["13987654321", "PROOF-77"]
    migrate(engine)
    assert leaks(engine, *SECRETS) == []
    for number in ("CR20240520-001", "CR20240520-002"):
        assert customer(engine, number) == intake(customer=PERSON).customer
        shown = form(engine, number, "SA-CR-001")
        in_clear = form(engine, number, "SA-CR-001", personal=True)
        assert shown is not None
        assert in_clear is not None
        assert shown.content["customer"]["phone"] == "86139****4321"
        assert in_clear.content["customer"]["phone"] == PERSON["phone"]
        assert in_clear.content["remark"] == SAID["remark"]
    with reading(engine) as session:
        assert place_of(session, "CR20240520-001") == (31.204871, 121.446213)
        assert place_of(session, "CR20240520-002") is None
        (row,) = session.exec(select(Customer)).all()
        assert (row.id, row.tier) == (7, "VIP")
        assert person(session, row).address == PERSON["address"]
    # Known again by phone, and the same body under the same key is the same call.
    again = intake(customer=PERSON, product={"proof": "PROOF-77"}, **SAID)
    known = take(engine, again, now=START + timedelta(days=1))
    assert known.brief.earlier == ("CR20240520-002", "CR20240520-001")
    engine.dispose()


def test_the_same_call_from_before_the_migration_is_still_the_same(empty_database: str) -> None:
    engine = older(empty_database, RING)
    migrate(engine)
    with reading(engine) as session:
        row = session.get_one(Intake, "CR20240520-001")
    new = intake(customer=PERSON, product={"proof": "PROOF-77"}, **SAID)
    serial = NewRequest.model_validate_json(opened_body(engine, row.number)).product.serial
    same = new.model_copy(update={"product": new.product.model_copy(update={"serial": serial})})
    assert take(engine, same, key=row.key).number == row.number
    with pytest.raises(KeyReused):
        take(engine, new, key=row.key)
    engine.dispose()


def opened_body(engine: Engine, number: str) -> bytes:
    from records.personal import key_for

    with reading(engine) as session:
        key = key_for(session, number)
        assert key is not None
        return key.open(session.get_one(Intake, number).body, f"intake/{number}")


def test_without_a_ring_nothing_is_migrated_that_would_have_to_be_sealed(
    empty_database: str,
) -> None:
    engine = older(empty_database)
    with pytest.raises(CommandError, match="clear text; open the database with its key ring"):
        migrate(engine)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT phone FROM customer")).scalar() == "13987654321"
    engine.dispose()


# --- keys -----------------------------------------------------------------------------------------


def rings() -> tuple[KeyRing, KeyRing, KeyRing]:
    """A ring that was used, with a new key in front, and without the old one."""
    old, index = KeyRing.make("key_1").split(",")
    new = KeyRing.make("Key_1").split(",")[0]  # alike to a careless LIKE
    return tuple(  # type: ignore[return-value]
        KeyRing.read(",".join(keys)) for keys in ([old, index], [new, old, index], [new, index])
    )


def test_after_rekeying_the_old_key_can_be_dropped(engine: Engine) -> None:
    used, rotating, rotated = rings()
    before = reopened(engine, used)
    number = take(before).number
    during = reopened(engine, rotating)
    newcomer = take(during, intake(customer={"phone": "13700000000"})).number
    assert rekey(during) == Rekeyed(done=1, unopened=0)
    assert rekey(during) == Rekeyed(done=0, unopened=0)
    after = reopened(engine, rotated)
    assert customer(after, number) == intake(customer=PERSON).customer
    assert customer(after, newcomer) is not None
    assert take(after).brief.earlier == (number,)
    with pytest.raises(Unsealable, match="Key_1"):
        customer(before, number)
    for each in (before, during, after):
        each.dispose()


def test_rekeying_passes_by_what_does_not_open(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("records.personal._AT_ONCE", 2)
    used, rotating, rotated = rings()
    before = reopened(engine, used)
    numbers = [take(before, intake(customer={"phone": f"1370000000{n}"})).number for n in range(5)]
    with writing(engine) as session:
        second = session.exec(select(Customer).order_by(col(Customer.id)).offset(1)).first()
        assert second is not None
        second.data_key = "gone.AAAA"
    during, after = reopened(engine, rotating), reopened(engine, rotated)
    assert rekey(during) == Rekeyed(done=4, unopened=1)
    assert rekey(during) == Rekeyed(done=0, unopened=1)
    assert all(customer(after, n) for n in (numbers[0], *numbers[2:]))
    for each in (before, during, after):
        each.dispose()


@pytest.mark.parametrize("ring", [None, KeyRing.read(KeyRing.make("test"))], ids=["none", "wrong"])
def test_without_the_right_key_only_personal_data_is_missing(
    engine: Engine, ring: KeyRing | None
) -> None:
    number = take(engine).number
    locked = reopened(engine, ring)
    for ask in (customer, lambda e, n: form(e, n, "SA-CR-001")):
        with pytest.raises(Unsealable):
            ask(locked, number)
    with pytest.raises(Unsealable):
        show_customer(locked, number, READER, START)
    assert reads(locked).items == []
    still_works(locked, number)
    locked.dispose()


def still_works(engine: Engine, number: str) -> None:
    """Lists, timelines, events and the search for an engineer."""
    story = given(number=number).did("responded")
    write_down(engine, written(story))
    assert [item["number"] for item in list_requests(engine, START).items] == [number]
    assert "responded" in [line.name for line in timeline(engine, number)]
    wanted = Search(request=story.request, offer=1, asked_before=[])
    assert find_engineer(engine, wanted, START).engineer is None


@pytest.mark.parametrize("table", ["customer", "body", "form", "place", "swapped"])
def test_a_row_that_was_tampered_with_says_so(engine: Engine, table: str) -> None:
    number, other = take(engine).number, take(engine, intake()).number
    with writing(engine) as session:
        rows = session.exec(select(Customer).order_by(col(Customer.id))).all()
        mine = session.get_one(Intake, number)
        sheet = session.get_one(Form, number)
        if table == "customer":
            rows[0].data_key = f"{rows[0].data_key}"[:-8] + "AAAAAAA="
        elif table == "swapped":
            rows[0].data_key = rows[1].data_key
        elif table == "body":
            mine.body = session.get_one(Intake, other).body
        elif table == "place":
            mine.place = session.get_one(Intake, other).place
        else:
            sheet.sealed = session.get_one(Form, other).sealed
    asks: dict[str, Callable[[], Any]] = {
        "form": lambda: form(engine, number, number),
        "place": lambda: in_session(engine, number),
    }
    with pytest.raises(Unsealable) as raised:
        asks.get(table, lambda: customer(engine, number))()
    assert not any(secret in str(raised.value) for secret in SECRETS)
    assert customer(engine, other) is not None
    write_down(engine, written(given(number=number).did("responded")))


def in_session(engine: Engine, number: str) -> Any:
    with reading(engine) as session:
        return place_of(session, number)


# --- erasure --------------------------------------------------------------------------------------


def test_what_was_erased_nobody_sees_again(engine: Engine) -> None:
    first, second = closed(engine, key="k1"), closed(engine, now=START + timedelta(hours=1))
    other = take(engine, intake()).number
    with reading(engine) as session:
        key = session.exec(select(Customer.data_key).order_by(col(Customer.id))).first()
        (body, sheet) = session.get_one(Intake, first).body, session.get_one(Form, first).sealed
    assert key is not None
    done = erase(engine, second, START)
    assert (done.numbers, done.already) == ([first, second], False)
    assert erase(engine, first, START).already

    assert leaks(engine, key, body, str(sheet), *SECRETS, *WRITTEN, "欧*", "139****4321") == []
    for number in (first, second):
        assert customer(engine, number) is None
        assert in_session(engine, number) is None
        assert show_customer(engine, number, READER, START) is None
        (sheet_shown, *rest) = show_forms(engine, number, READER, START)
        assert rest
        assert sheet_shown.content["description"] == sheet_shown.content["remark"] == "***"
        assert sheet_shown.content["product"]["proof"] == "***"
        assert sheet_shown == form(engine, number, "SA-CR-001")
        kept = stored(engine, number)
        assert kept is not None
        assert kept.request.signature == "***"
        assert kept.request.brief.customer.phone == "***"
        assert "***" in [line.data.get("text") for line in timeline(engine, number)]
        with reading(engine) as session:
            final = session.get_one(Archive, number)
        assert hashlib.sha256(final.view.encode()).hexdigest() == final.sha256
        assert json.loads(final.view)["fees"] == view(kept.request, START)["fees"]
    assert find(engine, PERSON["phone"], READER, START) == []  # type: ignore[arg-type]
    assert customer(engine, other) is not None
    assert {item["number"] for item in list_requests(engine, START).items} == {first, second, other}
    assert rekey(engine) == Rekeyed(0, 0)


YEARS = timedelta(days=1096)


def statistics(engine: Engine, now: datetime) -> list[Any]:
    """Every figure that there is: the board, who broke what, how well the promises were kept."""
    told = board(engine, now)
    kept = [table for name, table in Record.metadata.tables.items() if name in ("clock", "task")]
    with engine.connect() as connection:
        rows = [connection.execute(table.select()).all() for table in kept]
    return [
        (told.counts, told.queue),
        breached(engine, now),
        workload(engine, now, most_unfinished=3),
        punctuality(engine, START - YEARS, now),
        figures(engine).promises,
        *(sorted(map(str, each)) for each in rows),
    ]


def test_what_is_old_is_erased_alone_while_the_customer_stays(engine: Engine) -> None:
    first, later = closed(engine), closed(engine, now=START + timedelta(days=900))
    open_still = take(engine, now=START + timedelta(days=1000)).number
    with writing(engine) as session:
        session.get_one(Archive, later).closed_at += timedelta(days=900)
    now = START + YEARS + timedelta(days=2)
    before = statistics(engine, now)
    assert erase_old(engine, now - YEARS, now) == [first]
    assert erase_old(engine, now - YEARS, now) == []
    assert statistics(engine, now) == before
    assert before[3]

    assert customer(engine, first) is None
    assert in_session(engine, first) is None
    assert show_customer(engine, first, READER, now) is None
    for kept in (later, open_still):
        assert customer(engine, kept) == intake(customer=PERSON).customer
        assert not is_erased(engine, kept)
    found = find(engine, str(PERSON["phone"]), READER, now)
    assert {each.number for each in found} == {later, open_still}
    assert take(engine, now=now).brief.earlier == (open_still, later)
    kept_request = stored(engine, first)
    assert kept_request is not None
    assert kept_request.request.signature == kept_request.request.brief.customer.phone == "***"
    assert erase(engine, first, now).already
    with reading(engine) as session:
        erasure = session.get_one(Erasure, first)
    assert (erasure.at, erasure.why, erasure.swept) == (now, Why.retention, False)


def test_a_customer_goes_with_their_last_request(engine: Engine) -> None:
    numbers = [closed(engine), closed(engine, now=START + timedelta(hours=1))]
    assert erase_old(engine, START + YEARS, START + YEARS) == numbers
    assert leaks(engine, *SECRETS, *WRITTEN, "欧*", "139****4321") == []
    with reading(engine) as session:
        assert [row.data_key for row in session.exec(select(Customer))] == [None, None]


def test_an_erasure_changes_no_figure(engine: Engine) -> None:
    number = closed(engine)
    closed(engine, new=intake())
    before = statistics(engine, START + YEARS)
    erase(engine, number, START)
    assert statistics(engine, START + YEARS) == before


def test_what_was_erased_does_not_come_back_when_the_last_step_is_written_again(
    engine: Engine,
) -> None:
    story = told(take(engine))
    for _ in range(2):
        write_down(engine, written(story))
    erase(engine, story.request.number, START)
    write_down(engine, written(story))
    assert leaks(engine, *SECRETS, *WRITTEN, "欧*") == []


def test_what_is_archived_or_restored_after_an_erasure_stays_erased(engine: Engine) -> None:
    """The archive is written, or reconcile mends, when the customer is already gone."""
    story = told(take(engine))
    write_down(engine, written(story))
    erase(engine, story.request.number, START)
    archive(engine, story.request)
    with writing(engine) as session:
        restore(session, story.request, story.effects)
    mend(engine, story.request)
    assert leaks(engine, *SECRETS, *WRITTEN, "欧*") == []
    with reading(engine) as session:
        final = session.get_one(Archive, story.request.number)
    assert hashlib.sha256(final.view.encode()).hexdigest() == final.sha256


def test_why_an_engineer_declined_is_erased_with_the_rest(engine: Engine) -> None:
    number = take(engine).number
    story = given(number=number).did("responded").offered()
    story.did("declined", reason="客户欧阳修远不在家").did("cancelled")
    write_down(engine, written(story))
    erase(engine, number, START)
    assert leaks(engine, "欧阳修远") == []


def test_whoever_was_erased_comes_back_as_somebody_new(engine: Engine) -> None:
    erase(engine, closed(engine), START)
    again = take(engine)
    assert again.brief.earlier == ()
    assert customer(engine, again.number) == intake(customer=PERSON).customer
    with reading(engine) as session:
        assert session.exec(select(func.count()).select_from(Customer)).one() == 2


def test_whoever_is_erased_while_a_request_comes_in_is_new_to_it(engine: Engine) -> None:
    erased = closed(engine)
    with ThreadPoolExecutor(1) as threads:
        with writing(engine) as session:
            row = session.exec(select(Customer).with_for_update()).one()
            coming_in = threads.submit(take, engine)
            time.sleep(0.3)
            assert not coming_in.done()
            row.sqlmodel_update({"data_key": None, "sealed": None, "phone_index": "erased/1"})
        number = coming_in.result().number
    assert customer(engine, erased) is None
    assert customer(engine, number) == intake(customer=PERSON).customer


def test_a_customer_somebody_still_has_to_reach_is_not_erased(engine: Engine) -> None:
    closed(engine)
    still = take(engine).number
    with pytest.raises(StillOpen) as raised:
        erase(engine, still, START)
    assert raised.value.numbers == [still]
    assert customer(engine, still) is not None
    with pytest.raises(NoCustomer):
        erase(engine, "CR20200101-001", START)


# --- who saw it -----------------------------------------------------------------------------------


def test_every_read_is_written_down_and_none_without_it(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = take(engine).number
    assert show_customer(engine, number, READER, START) == intake(customer=PERSON).customer
    assert show_forms(engine, number, READER, START)[0].content["customer"]["name"] == "欧阳修远"
    (found,) = find(engine, "0086 139 8765 4321", READER, START)
    assert found.number == number
    assert find(engine, "13987654322", READER, START) == []
    kept = [(row.what, row.number) for row in reads(engine).items]
    assert kept == [("find", None), ("find", None), ("forms", number), ("customer", number)]
    row = reads(engine).items[-1]
    assert (row.at, row.role, row.who) == (START, "agent", "A-1")
    assert (row.reason, row.request_id) == ("回电确认预约", "call-1")


def test_reads_are_listed_latest_first_in_pages(engine: Engine) -> None:
    number, other = take(engine).number, take(engine).number
    for each in (number, other, number, number):
        show_customer(engine, each, READER, START)
    first = reads(engine, number=number, limit=2)
    assert first.next is not None
    rest = reads(engine, number=number, limit=2, cursor=first.next)
    assert [row.number for row in (*first.items, *rest.items)] == [number] * 3
    assert rest.next is None
    ids = [row.id for row in (*first.items, *rest.items)]
    assert ids == sorted(ids, key=lambda i: -(i or 0))
    for nonsense in ("x", "-1", "9" * 30, "²"):
        with pytest.raises(BadCursor):
            reads(engine, cursor=nonsense)
