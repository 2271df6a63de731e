"""Numbers, masks and warranties."""

from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest

from domain.events import EVENTS, BaseEvent
from domain.masking import (
    SAID,
    forgotten,
    mask_address,
    mask_email,
    mask_name,
    mask_phone,
    mask_text,
)
from domain.numbering import Prefix, is_request_number, number
from domain.warranty import warranty


def test_numbers_count_from_001_and_grow_when_they_must() -> None:
    day = date(2024, 5, 20)
    assert number(Prefix.request, day, 1) == "CR20240520-001"
    assert number(Prefix.work_order, day, 999) == "WO20240520-999"
    assert number(Prefix.survey, day, 1000) == "CS20240520-1000"


@pytest.mark.parametrize("text", ["CR20240520-001", "CR20240520-12345"])
def test_a_request_number_is_known(text: str) -> None:
    assert is_request_number(text)


@pytest.mark.parametrize(
    "text",
    [
        "WO20240520-001",
        "CR20240520-01",
        "CR20240520-001\n",
        " CR20240520-001",
        "CR２０２４0520-001",
        "CR20240520-٠٠١",
        "cr20240520-001",
        "CR20240520-001/../x",
        "",
    ],
)
def test_what_only_looks_like_a_request_number_is_not_taken_for_one(text: str) -> None:
    assert not is_request_number(text)


@pytest.mark.parametrize(
    ("name", "masked"), [("张三丰", "张*"), ("李四", "李*"), ("𠮷田", "𠮷*"), ("Ann", "A*")]
)
def test_of_a_name_the_first_letter_is_left(name: str, masked: str) -> None:
    assert mask_name(name) == masked


@pytest.mark.parametrize(
    ("phone", "masked"),
    [
        ("13812345678", "138****5678"),
        ("138 1234 5678", "138****5678"),
        ("138-1234-5678", "138****5678"),
        ("12345678", "****5678"),
        ("95555", "****55"),
    ],
)
def test_of_a_phone_the_middle_is_hidden(phone: str, masked: str) -> None:
    assert mask_phone(phone) == masked


@pytest.mark.parametrize(
    ("address", "masked"),
    [
        ("上海市浦东新区世纪大道1号101室", "上海市浦东新区***"),
        ("北京市朝阳区建国路88号", "北京市朝阳区***"),
        ("苏州市", "苏州市***"),
        ("12 Long Lane", "12***"),
        ("家", "家***"),
    ],
)
def test_of_an_address_at_most_the_district_is_left(address: str, masked: str) -> None:
    assert mask_address(address) == masked


def test_of_an_email_the_first_letter_and_the_host_are_left() -> None:
    assert mask_email("zhang@example.com") == "z***@example.com"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("打13812345678找我", "打***找我"),
        ("+86 138 1234 5678 或 zhang@example.com", "*** 或 ***"),
        ("序列号 SN20240520138, 16.5 °C", "序列号 SN20240520138, 16.5 °C"),
    ],
)
def test_of_a_text_numbers_and_addresses_are_hidden(text: str, masked: str) -> None:
    assert mask_text(text) == masked


def prose(schema: Any, name: str = "") -> Iterator[str]:
    """The names of the fields that take long texts."""
    if isinstance(schema, dict):
        if schema.get("maxLength") == 4000:
            yield name
        for key, value in schema.items():
            inner = value.items() if key == "properties" else [(name, value)]
            for field, each in inner:
                yield from prose(each, field)
    elif isinstance(schema, list):
        for each in schema:
            yield from prose(each, name)


@pytest.mark.parametrize("model", EVENTS.values())
def test_whatever_people_write_can_be_forgotten(model: type[BaseEvent]) -> None:
    assert set(prose(model.model_json_schema())) <= SAID


def test_what_is_forgotten_leaves_its_place_empty_and_the_rest_as_it_was() -> None:
    kept = {
        "stage": "closed",
        "fees": {"total": 3.5},
        "by": "customer",
        "hold": {"owner": "customer"},
    }
    document = {
        **kept,
        "customer": {"name": "张*", "phone": "138****5678", "email": None, "tier": "vip"},
        "visits": [{"notes": "家里有狗", "engineer": "E1"}],
        "plan": None,
        "answer": True,
    }
    assert forgotten(document) == {
        **kept,
        "customer": {"name": "***", "phone": "***", "email": None, "tier": "vip"},
        "visits": [{"notes": "***", "engineer": "E1"}],
        "plan": None,
        "answer": True,
    }


@pytest.mark.parametrize(
    ("bought", "months", "until"),
    [
        (date(2024, 2, 29), 12, date(2025, 2, 28)),
        (date(2024, 2, 29), 48, date(2028, 2, 29)),
        (date(2024, 1, 31), 1, date(2024, 2, 29)),
        (date(2023, 12, 15), 12, date(2024, 12, 15)),
        (date(2024, 5, 20), 0, date(2024, 5, 20)),
    ],
)
def test_a_warranty_ends_so_many_months_later(bought: date, months: int, until: date) -> None:
    assert warranty(bought, months, bought).until == until


def test_the_last_day_is_in_warranty_and_the_next_is_not() -> None:
    bought = date(2023, 5, 20)
    assert warranty(bought, 12, date(2024, 5, 20)).in_force is True
    assert warranty(bought, 12, date(2024, 5, 21)).in_force is False


def test_nobody_knows_the_warranty_of_a_product_bought_on_an_unknown_day() -> None:
    assert warranty(None, 12, date(2024, 5, 20)).in_force is None
    assert warranty(date(2030, 1, 1), 12, date(2024, 5, 20)).in_force is None
