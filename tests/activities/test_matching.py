"""Matching: qualified, on shift, near, with room; and never two searches for one last place."""

from datetime import datetime, time
from typing import Any

import pytest
from sqlalchemy import Engine, event
from sqlmodel import select

from activities.matching import find_engineer
from domain.calendars import Calendar
from domain.policy import Policy
from domain.tasks import Search
from domain.vocabulary import RequestType
from records.engine import reading, writing
from records.intake import take_in
from records.master_data import Engineer, RequiredQualification, Station
from records.projection import write_down
from records.statements import insert_new
from records.tables import Request, Workload
from tests.databases import all_at_once, written
from tests.desk import intake
from tests.pure.builders import STANDARD, START, given

CERTIFICATE = "制冷设备操作证"
KM = 1 / 111.2
"""A kilometre north, in degrees."""

MORNING = START  # 09:00 in Shanghai


def employ(engine: Engine, id_: str, km: float = 1, **facts: Any) -> None:
    """An engineer so far from where `intake()` says that the customer lives."""
    facts = {"qualifications": [CERTIFICATE], **facts}
    with writing(engine) as session:
        insert_new(
            session, Station(id="S", name="网点", address="", phone="", latitude=31, longitude=121)
        )
        session.add(
            Engineer(
                id=id_,
                name=id_,
                station="S",
                phone="",
                latitude=31.23 + km * KM,
                longitude=121.47,
                **facts,
            )
        )


def burden(engine: Engine, engineer: str, load: int) -> None:
    with writing(engine) as session:
        for place in range(load):
            session.add(Workload(engineer=engineer, number=f"CR2024-{place}", offer=1, since=START))


def give_back(engine: Engine) -> None:
    with writing(engine) as session:
        session.delete(session.exec(select(Workload)).one())


def require(engine: Engine, *qualifications: str) -> None:
    with writing(engine) as session:
        for qualification in qualifications:
            session.add(
                RequiredQualification(
                    category="general", request_type="repair", qualification=qualification
                )
            )


def search(engine: Engine, *, offer: int = 1, asked: tuple[str, ...] = (), **new: Any) -> Search:
    """What the workflow asks for a request that was just taken in."""

    def around_the_clock(policy: Policy, now: datetime) -> Calendar:
        return Calendar()

    taken = take_in(
        engine,
        intake(**new),
        key=None,
        policy=STANDARD,
        calendar_for=around_the_clock,
        now=START,
    )
    story = given(number=taken.number).did("responded")
    return Search(request=story.request, offer=offer, asked_before=list(asked))


def find(engine: Engine, wanted: Search | None = None, at: datetime = MORNING) -> str | None:
    return find_engineer(engine, wanted or search(engine), at).engineer


def test_all_required_qualifications_are_held(engine: Engine) -> None:
    require(engine, CERTIFICATE, "高处作业证")
    employ(engine, "E1")
    assert find(engine) is None
    employ(engine, "E2", km=4, qualifications=["高处作业证", CERTIFICATE, "其他"])
    assert find(engine) == "E2"


def test_other_work_needs_no_certificate(engine: Engine) -> None:
    require(engine, CERTIFICATE)
    employ(engine, "E1", qualifications=[])
    wanted = search(engine)
    assert find(engine, wanted) is None
    wanted.request.request_type = RequestType.maintenance
    assert find(engine, wanted) == "E1"


def test_the_nearest_first(engine: Engine) -> None:
    for id_, km in (("E1", 12.0), ("E2", 4.5), ("E3", 2.0), ("E4", 51.0)):
        employ(engine, id_, km)
    burden(engine, "E3", 2)
    order: list[str] = []
    while engineer := find(engine, search(engine, asked=tuple(order))):
        order.append(engineer)
    assert order == ["E3", "E2", "E1"]


def test_neighbours_share_by_load_then_by_id(engine: Engine) -> None:
    for id_ in ("E3", "E1", "E2"):
        employ(engine, id_, km=2)
    burden(engine, "E1", 1)
    assert [find(engine) for _ in range(5)] == ["E2", "E3", "E1", "E2", "E3"]


def test_three_unfinished_orders_are_enough(engine: Engine) -> None:
    employ(engine, "E1")
    burden(engine, "E1", 3)
    assert find(engine) is None
    employ(engine, "E2", km=30)
    assert [find(engine) for _ in range(4)] == ["E2", "E2", "E2", None]


def test_without_coordinates_the_lowest_load_counts(engine: Engine) -> None:
    employ(engine, "E1", km=1)
    employ(engine, "E2", km=400)
    burden(engine, "E1", 1)
    nowhere = {"phone": "13700000000", "latitude": None, "longitude": None}
    assert find(engine, search(engine, customer=nowhere)) == "E2"


@pytest.mark.parametrize(
    ("start", "end", "on"),
    [
        (8, 16, "09:00 15:59"),
        (16, 0, "16:00 22:00 23:59"),
        (22, 6, "00:00 05:59 22:00 23:59"),
    ],
)
def test_only_engineers_on_shift_by_local_time(
    engine: Engine, start: int, end: int, on: str
) -> None:
    employ(engine, "E1", shift_start=time(start), shift_end=time(end))
    wanted = search(engine)
    clocks = ["00:00", "05:59", "06:00", "09:00", "15:59", "16:00", "22:00", "23:59"]
    found = []
    for clock in clocks:
        if find(engine, wanted, datetime.fromisoformat(f"2024-05-20T{clock}+08:00")):
            found.append(clock)
            give_back(engine)
    assert found == on.split()


def test_who_has_left_is_not_asked(engine: Engine) -> None:
    employ(engine, "E1", active=False)
    assert find(engine) is None


def test_the_same_search_finds_the_same_engineer(engine: Engine) -> None:
    employ(engine, "E1", km=2)
    wanted = search(engine)
    assert find(engine, wanted) == "E1"
    employ(engine, "E0", km=1)
    assert find(engine, wanted) == "E1"
    with reading(engine) as session:
        assert len(session.exec(select(Workload)).all()) == 1


def test_a_place_becomes_the_offer_and_is_given_back_after_a_refusal(engine: Engine) -> None:
    employ(engine, "E1")
    wanted = search(engine)
    story = given(number=wanted.request.number).did("responded")
    assert find(engine, wanted) == "E1"
    write_down(engine, written(story.offered("E1")))
    assert find(engine, wanted) == "E1"
    write_down(engine, written(story.did("declined")))
    with reading(engine) as session:
        assert session.exec(select(Workload)).all() == []


def test_a_search_that_comes_too_late_keeps_no_place(engine: Engine) -> None:
    employ(engine, "E1")
    employ(engine, "E2", km=2)
    late = search(engine)
    story = given(number=late.request.number).did("responded")
    write_down(engine, written(story.offered("E1").did("cancelled")))
    assert find(engine, late) is None
    with reading(engine) as session:
        assert session.exec(select(Workload)).all() == []


def test_what_was_written_down_at_the_moment_of_the_search_does_not_stop_it(engine: Engine) -> None:
    employ(engine, "E1")
    wanted = search(engine)
    write_down(engine, written(given(number=wanted.request.number).did("responded")))
    with reading(engine) as session:
        row = session.get_one(Request, wanted.request.number)
    assert row.revision == wanted.request.revision
    assert find(engine, wanted) == "E1"


def test_a_search_repeated_after_a_crash_finds_the_offer_written_down(engine: Engine) -> None:
    employ(engine, "E1")
    wanted = search(engine)
    assert find(engine, wanted) == "E1"
    story = given(number=wanted.request.number).did("responded")
    write_down(engine, written(story.offered("E1").did("accepted")))
    employ(engine, "E0", km=0.5)
    assert find(engine, wanted) == "E1"


def test_only_the_chosen_engineers_load_is_counted_again(engine: Engine) -> None:
    employ(engine, "E1")
    wanted = search(engine)
    everybodys: list[str] = []

    def hear(*call: Any) -> None:
        everybodys.extend(statement for statement in call[2:3] if "GROUP BY" in statement)

    event.listen(engine, "before_cursor_execute", hear)
    assert find(engine, wanted) == "E1"
    event.remove(engine, "before_cursor_execute", hear)
    assert len(everybodys) == 1


def test_twenty_searches_for_one_last_place(engine: Engine) -> None:
    employ(engine, "E1")
    burden(engine, "E1", 2)
    searches = [search(engine) for _ in range(20)]
    found = all_at_once(20, lambda place: find(engine, searches[place]))
    assert sorted(map(str, found)) == ["E1"] + ["None"] * 19


def test_twenty_searches_never_overload_and_leave_no_place_empty(engine: Engine) -> None:
    for id_ in ("E1", "E2", "E3", "E4"):
        employ(engine, id_, km=2)
    searches = [search(engine) for _ in range(20)]
    found = all_at_once(20, lambda place: find(engine, searches[place]))
    assert sorted(map(str, found)) == sorted(["E1", "E2", "E3", "E4"] * 3 + ["None"] * 8)


def test_the_same_search_at_once_keeps_one_place(engine: Engine) -> None:
    for id_ in ("E1", "E2"):
        employ(engine, id_)
    wanted = search(engine)
    found = all_at_once(8, lambda place: find(engine, wanted))
    assert len(set(found)) == 1
    with reading(engine) as session:
        assert len(session.exec(select(Workload)).all()) == 1
