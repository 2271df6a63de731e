"""Taking in a request: once for each key, numbered without gaps, with what the records know."""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlmodel import func, select

from domain.calendars import Calendar
from domain.intake import EDITION, Brief, NewRequest
from domain.policy import Policy
from domain.request import ServiceRequest
from domain.vocabulary import Role
from records.engine import reading, writing
from records.intake import (
    LEASE,
    InFlight,
    KeyReused,
    Taken,
    mark_started,
    not_started,
    release,
    take_in,
)
from records.master_data import PriceItem, Product, ProductModel, Station
from records.personal import place_of
from records.queries import customer, form, forms, stored, timeline
from records.tables import Customer, Intake, Notification
from tests.databases import all_at_once, person
from tests.desk import intake
from tests.pure.builders import STANDARD, START

SECOND = timedelta(seconds=1)

TakeIn = Callable[..., Taken]


def around_the_clock(policy: Policy, now: datetime) -> Calendar:
    return Calendar()


@pytest.fixture
def take(engine: Engine) -> TakeIn:
    def taken(new: NewRequest | None = None, at: datetime = START, **given: Any) -> Taken:
        return take_in(
            engine,
            new or intake(product={"serial": "SN1"}),
            key=given.pop("key", None),
            policy=STANDARD,
            calendar_for=given.pop("calendar_for", around_the_clock),
            now=at,
            **given,
        )

    return taken


# --- one transaction ------------------------------------------------------------------------------


def test_a_new_request_is_there_before_its_workflow_runs(take: TakeIn, engine: Engine) -> None:
    taken = take()
    kept = stored(engine, taken.number)
    assert kept is not None
    request, effects = ServiceRequest.receive(taken.brief)
    assert kept.request.model_dump() == request.model_dump()
    assert kept.revision == request.revision
    assert len(timeline(engine, taken.number)) + 1 == len(effects)
    with reading(engine) as session:
        told = session.exec(select(Notification)).one()
    assert (told.to_role, told.channel, told.state) == (Role.customer, "sms", "queued")
    assert told.message == "request_received"
    assert taken == Taken("CR20240520-001", taken.brief, started=False)
    assert taken.brief.edition == EDITION


def test_numbers_count_from_001_on_each_local_day_without_gaps(take: TakeIn) -> None:
    def broken(policy: Policy, now: datetime) -> Calendar:
        raise LookupError

    assert take().number == "CR20240520-001"
    with pytest.raises(LookupError):
        take(calendar_for=broken)
    assert take().number == "CR20240520-002"
    # 23:59:59 and midnight in Shanghai.
    assert take(at=datetime.fromisoformat("2024-05-20T15:59:59Z")).number == "CR20240520-003"
    assert take(at=datetime.fromisoformat("2024-05-20T16:00:00Z")).number == "CR20240521-001"


def test_many_at_once_are_numbered_without_gaps(take: TakeIn) -> None:
    def one(place: int) -> Taken:
        return take(intake(customer={"phone": f"1380000{place % 4:04d}"}))

    taken = all_at_once(12, one)
    assert sorted(t.number for t in taken) == [f"CR20240520-{n:03d}" for n in range(1, 13)]


# --- idempotency ----------------------------------------------------------------------------------


def test_the_same_call_again_gives_the_same_answer(take: TakeIn, engine: Engine) -> None:
    first = take(key="k1")
    mark_started(engine, first.number)
    again = take(key="k1", at=START + timedelta(days=3))
    assert again == Taken(first.number, first.brief, started=True)
    assert take(key="k2").number == "CR20240520-002"


def test_a_key_with_another_body_is_refused(take: TakeIn, engine: Engine) -> None:
    mark_started(engine, take(key="k1").number)
    with pytest.raises(KeyReused):
        take(intake(description="冰箱压缩机整夜不停机"), key="k1")


def test_a_call_still_being_answered_is_in_flight_until_its_lease_ends(take: TakeIn) -> None:
    first = take(key="k1")
    with pytest.raises(InFlight):
        take(key="k1", at=START + LEASE - SECOND)
    assert take(key="k1", at=START + LEASE) == first
    with pytest.raises(InFlight):
        take(key="k1", at=START + LEASE + SECOND)


def test_after_a_failed_start_a_retry_goes_on_at_once(take: TakeIn, engine: Engine) -> None:
    first = take(key="k1")
    release(engine, first.number)
    assert take(key="k1", at=START + SECOND) == first


def test_ten_calls_with_the_same_key_make_one_request(take: TakeIn, engine: Engine) -> None:
    answers = all_at_once(10, lambda place: take(key="k1"))
    assert sum(isinstance(answer, Taken) for answer in answers) == 1
    assert sum(isinstance(answer, InFlight) for answer in answers) == 9
    with reading(engine) as session:
        assert session.exec(select(func.count()).select_from(Intake)).one() == 1
    assert take().number == "CR20240520-002"


def test_what_was_never_started_is_found_again(take: TakeIn, engine: Engine) -> None:
    lost, started, slow = take(), take(), take()
    mark_started(engine, started.number)
    minute = timedelta(minutes=1)
    assert not_started(engine, minute, START + minute - SECOND) == []
    assert not_started(engine, minute, START + minute) == [lost.brief, slow.brief]
    assert not_started(engine, timedelta(0), START + SECOND) == []
    release(engine, lost.number)
    assert not_started(engine, timedelta(0), START + SECOND) == [lost.brief]


def test_one_that_was_never_started_is_asked_for_by_number(take: TakeIn, engine: Engine) -> None:
    lost, wanted, started = take(), take(), take()
    mark_started(engine, started.number)

    def left(number: str) -> list[Brief]:
        return not_started(engine, timedelta(0), START + LEASE, number=number)

    assert left(wanted.number) == [wanted.brief]
    assert left(started.number) == left("CR20240520-999") == []
    assert left(lost.number) == [lost.brief]


def test_those_that_cannot_be_started_do_not_hide_the_rest(take: TakeIn, engine: Engine) -> None:
    left = [take().brief for _ in range(5)]

    def page(after: str | None) -> list[Brief]:
        return not_started(engine, timedelta(0), START + LEASE, after=after, limit=2)

    assert page(None) == left[:2]
    assert page(left[1].number) == left[2:4]
    assert page(left[3].number) == left[4:]
    assert page(left[4].number) == []


def test_a_key_has_room_for_its_caller(take: TakeIn, engine: Engine) -> None:
    callers = [f"integration/{name * 100}/{'k' * 255}" for name in "ab"]
    first, second = [take(key=key) for key in callers]
    assert first.number != second.number
    for taken in (first, second):
        mark_started(engine, taken.number)
    assert [take(key=key).number for key in callers] == [first.number, second.number]


# --- what the records know ------------------------------------------------------------------------


def station(id_: str, latitude: float) -> Station:
    return Station(id=id_, name=id_, address="", phone="", latitude=latitude, longitude=121.47)


@pytest.fixture
def master_data(engine: Engine) -> None:
    with writing(engine) as session:
        session.add_all(
            [
                Station(id="FAR", name="远", address="", phone="", latitude=31.4, longitude=121.5),
                Station(
                    id="NEAR", name="近", address="", phone="", latitude=31.24, longitude=121.47
                ),
                ProductModel(
                    model="GMV",
                    category="air_conditioner",
                    product_class="complex",
                    warranty_months=36,
                ),
                PriceItem(item="上门费", price=Decimal(50)),
                PriceItem(item="适配器", price=Decimal("39.50")),
            ]
        )
        session.flush()
        session.add(Product(serial="SN7", model="GMV", sold_on=date(2021, 5, 20)))


@pytest.mark.usefixtures("master_data")
def test_the_brief_holds_what_the_master_data_know(take: TakeIn) -> None:
    brief = take(intake(product={"model": "GMV", "serial": "SN7"})).brief
    assert (brief.product.category, brief.product.product_class) == ("air_conditioner", "complex")
    assert brief.product.purchased_on == date(2021, 5, 20)
    assert (brief.warranty.in_force, brief.warranty.until) == (True, date(2024, 5, 20))
    assert (brief.station, brief.distance_km) == ("NEAR", 1.11)
    assert {item: str(price) for item, price in brief.prices.items()} == {
        "上门费": "50.00",
        "适配器": "39.50",
    }


@pytest.mark.usefixtures("master_data")
def test_the_sale_on_record_counts_before_the_date_given(take: TakeIn) -> None:
    product = {"model": "GMV", "serial": "SN7", "purchased_on": "2024-01-31"}
    brief = take(intake(product=product)).brief
    assert brief.product.purchased_on == date(2021, 5, 20)
    assert brief.warranty.until == date(2024, 5, 20)


def test_an_unknown_model_is_general_and_has_a_year_of_warranty(take: TakeIn) -> None:
    brief = take(intake(product={"purchased_on": "2023-05-21"})).brief
    assert (brief.product.category, brief.product.product_class) == ("general", "normal")
    assert brief.warranty.until == date(2024, 5, 21)


@pytest.mark.usefixtures("master_data")
def test_without_coordinates_no_station_is_nearest(take: TakeIn) -> None:
    brief = take(intake(customer={"latitude": None, "longitude": None})).brief
    assert (brief.station, brief.distance_km) == (None, None)


@pytest.mark.parametrize(
    ("tier", "known"), [(None, "standard"), ("VIP", "vip"), ("contract_8h", "contract_8h")]
)
def test_the_tier_is_normalised(take: TakeIn, tier: str | None, known: str) -> None:
    assert take(intake(customer={"tier": tier})).brief.customer.tier == known


def tier_on_record(engine: Engine) -> str | None:
    with reading(engine) as session:
        return session.exec(select(Customer.tier)).one()


def test_a_tier_on_record_counts_when_none_is_given(take: TakeIn, engine: Engine) -> None:
    take(intake(customer={"tier": "VIP"}))
    again = take()
    assert again.brief.customer.tier == "vip"
    for personal in (False, True):
        shown = form(engine, again.number, "SA-CR-001", personal=personal)
        assert shown is not None
        assert shown.content["customer"]["tier"] == "vip"
    kept = stored(engine, again.number)
    assert kept is not None
    assert kept.request.brief.customer.tier == "vip"


def test_who_may_set_the_tier_changes_it_for_good(take: TakeIn, engine: Engine) -> None:
    take(intake(customer={"tier": "vip"}))
    assert take(intake(customer={"tier": "contract"})).brief.customer.tier == "contract"
    assert tier_on_record(engine) == "contract"


@pytest.mark.parametrize(("on_record", "counts"), [("VIP", "vip"), (None, "standard")])
def test_customers_do_not_set_their_own_tier(
    take: TakeIn, engine: Engine, on_record: str | None, counts: str
) -> None:
    take(intake(customer={"tier": on_record}))
    claim = intake(customer={"tier": "contract_8h", "name": "张三"})
    claimed = take(claim, may_set_tier=False)
    assert claimed.brief.customer.tier == counts
    assert tier_on_record(engine) == on_record
    shown = form(engine, claimed.number, "SA-CR-001")
    assert shown is not None
    assert shown.content["customer"]["tier"] == counts
    with reading(engine) as session:
        assert person(session, session.exec(select(Customer)).one()).name == "张三"


def test_a_new_customer_who_claims_a_tier_is_standard(take: TakeIn, engine: Engine) -> None:
    claimed = take(intake(customer={"tier": "vip"}), may_set_tier=False)
    assert claimed.brief.customer.tier == "standard"
    assert tier_on_record(engine) is None


def test_a_customer_is_known_by_phone(take: TakeIn, engine: Engine) -> None:
    take(intake(customer={"phone": "138 1234 5678", "email": "z@example.com"}))
    take(intake(customer={"phone": "138-1234-5678", "name": "张三"}))
    with reading(engine) as session:
        known = person(session, session.exec(select(Customer)).one())
    assert (known.phone, known.name, known.email) == ("13812345678", "张三", "z@example.com")


@pytest.mark.parametrize(
    "spelling",
    [
        "+8613812345678",
        "+86 138-1234-5678",
        "008613812345678",
        "8613812345678",
        "138 1234-5678",
    ],
)
def test_a_phone_number_is_the_same_however_it_is_spelled(
    take: TakeIn, engine: Engine, spelling: str
) -> None:
    first = take()
    again = take(intake(customer={"phone": spelling}))
    assert again.brief.earlier == (first.number,)
    with reading(engine) as session:
        assert person(session, session.exec(select(Customer)).one()).phone == "13812345678"


@pytest.mark.parametrize("phone", ["+85223456789", "02161234567", "86138123", "4008200000"])
def test_another_number_keeps_its_digits(take: TakeIn, engine: Engine, phone: str) -> None:
    take(intake(customer={"phone": phone}))
    with reading(engine) as session:
        assert person(session, session.exec(select(Customer)).one()).phone == phone


def test_coordinates_on_record_hold_while_the_address_stays(take: TakeIn, engine: Engine) -> None:
    nowhere = {"latitude": None, "longitude": None}
    take()
    same = take(intake(customer=nowhere))
    moved = take(intake(customer={**nowhere, "address": "上海市徐汇区衡山路2号"}))
    with reading(engine) as session:
        assert place_of(session, same.number) == (31.23, 121.47)
        assert place_of(session, moved.number) is None


def test_earlier_requests_come_newest_first_and_at_most_twenty(take: TakeIn) -> None:
    take(intake(customer={"phone": "13900000000"}))
    for place in range(22):
        take(at=START + timedelta(minutes=place))
    earlier = take(at=START + timedelta(hours=1)).brief.earlier
    assert earlier == tuple(f"CR20240520-{n:03d}" for n in range(23, 3, -1))


@pytest.mark.parametrize(
    ("type_", "serial", "days", "repeat"),
    [
        ("repair", "SN1", 90, True),
        ("repair", "SN1", 91, False),
        ("repair", "SN2", 1, False),
        ("maintenance", "SN1", 1, False),
    ],
)
def test_a_repair_within_ninety_days_makes_a_repeat_fault(
    take: TakeIn, type_: str, serial: str, days: int, repeat: bool
) -> None:
    take(intake(type=type_, product={"serial": serial}))
    brief = take(intake(product={"serial": "SN1"}), at=START + timedelta(days=days)).brief
    assert brief.repeat_fault is repeat


# --- the form and personal data -------------------------------------------------------------------


def test_only_the_form_and_the_intake_hold_the_customer_as_given(
    take: TakeIn, engine: Engine
) -> None:
    new = intake(remark="家中老人独自在家", customer={"email": "zhang@example.com"})
    number = take(new, taken_by="A7").number
    as_given = form(engine, number, "SA-CR-001", personal=True)
    shown = form(engine, number, number)
    assert as_given is not None
    assert shown is not None
    assert as_given.content["customer"] == {
        **new.customer.model_dump(mode="json"),
        "tier": "standard",
    }
    assert shown.content["customer"] == {
        "name": "张*",
        "phone": "138****5678",
        "email": "z***@example.com",
        "address": "上海市浦东新区***",
        "tier": "standard",
    }
    assert shown.title_zh == "需求受理记录表"
    assert shown.content["taken_by"] == "A7"
    assert shown.content["remark"] == "家中老人独自在家"
    assert shown.content["received_at"] == "2024-05-20T01:00:00Z"
    assert [f.number for f in forms(engine, number)] == [number]
    assert customer(engine, number) == new.customer
    kept = stored(engine, number)
    assert kept is not None
    state = kept.request.model_dump_json()
    assert not any(secret in state for secret in ("张三丰", "13812345678", "世纪大道", "zhang@"))
