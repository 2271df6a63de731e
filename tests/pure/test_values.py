"""Text, times and money from outside: what is taken, what is refused, what is kept."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from domain.events import EVENTS, Complained, Completed, Noted, Paid, parse_event
from domain.fees import price_lines, total
from domain.intake import NewRequest
from domain.values import parse_duration
from domain.vocabulary import Channel, PaymentMethod, RequestType, Urgency
from tests.pure.builders import PAYLOADS, event


def _sent(name: str, **payload: Any) -> Any:
    return parse_event({"type": name, **payload})


def _refused(name: str, **payload: Any) -> str:
    with pytest.raises(ValidationError) as refused:
        _sent(name, **payload)
    return str(refused.value)


# --- text ---------------------------------------------------------------------------------------


def test_text_is_trimmed_and_bounded() -> None:
    assert _sent("noted", text="  门禁码 1234 \n").text == "门禁码 1234"
    assert len(_sent("noted", text="冷" * 4000).text) == 4000
    assert "4000" in _refused("noted", text="冷" * 4001)
    for empty in ("", "   ", "\n\t "):
        _refused("noted", text=empty)


@pytest.mark.parametrize("control", ["\x00", "\x07", "\x1b", "\x7f", "\x85", "\x9f"])
def test_control_characters_are_refused(control: str) -> None:
    assert "control characters" in _refused("noted", text=f"a{control}b")


def test_lines_may_break_and_tabs_may_stand() -> None:
    assert _sent("noted", text="one\r\n\ttwo").text == "one\r\n\ttwo"


def test_lone_surrogates_are_refused() -> None:
    _refused("noted", text="a\ud83d")
    with pytest.raises(ValidationError):
        Noted.model_validate_json('{"text": "a\\ud83d"}')


@pytest.mark.parametrize("text", ["🔧 修好了", "𠮷野家", "👩‍🔧", "Ångström 16 °C"])
def test_characters_of_four_bytes_travel_unharmed(text: str) -> None:
    sent = _sent("noted", text=text)
    assert Noted.model_validate_json(sent.model_dump_json()).text == text


@pytest.mark.parametrize("name", EVENTS)
def test_unknown_fields_are_refused(name: str) -> None:
    assert "extra_forbidden" in _refused(name, **PAYLOADS[name], surprise=1)


@pytest.mark.parametrize("name", EVENTS)
def test_every_event_survives_the_wire(name: str) -> None:
    sent = event(name)
    assert parse_event(sent.model_dump(mode="json")) == sent
    assert type(sent).model_validate_json(sent.model_dump_json()) == sent


def test_a_complaints_class_travels_by_its_own_name() -> None:
    sent = _sent("complained", **{"class": "专业不足"}, text="x")
    assert isinstance(sent, Complained)
    assert sent.model_dump(mode="json")["class"] == "skill"


def test_an_unknown_type_is_no_event() -> None:
    nothing: list[object] = [{"type": "exploded"}, {}, [], None, "responded", 7]
    for data in nothing:
        with pytest.raises(ValidationError):
            parse_event(data)


def test_terms_are_found_in_chinese_and_other_spellings() -> None:
    assert Channel("电话") is Channel("Phone") is Channel.phone
    assert Channel("E-mail") is Channel.email
    assert Urgency(" 特急 ") is Urgency.critical
    assert RequestType("退换货") is RequestType("Return-Exchange") is RequestType.return_exchange
    assert PaymentMethod("alipay") is PaymentMethod.scan
    for nonsense in ("", "??", "phone phone"):
        with pytest.raises(ValueError, match="is not a valid Channel"):
            Channel(nonsense)


# --- times --------------------------------------------------------------------------------------


def test_a_time_without_a_zone_is_refused() -> None:
    assert "timezone" in _refused("noted", text="x", occurred_at="2024-05-20T09:00:00")


def test_a_time_is_kept_in_utc() -> None:
    sent = _sent("noted", text="x", occurred_at="2024-05-20T09:00:00+08:00")
    assert sent.occurred_at == datetime(2024, 5, 20, 1, tzinfo=UTC)
    assert sent.occurred_at.tzinfo is UTC


@pytest.mark.parametrize(
    "moment",
    [
        "1999-12-31T23:59:59Z",
        "2100-01-01T00:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
    ],
)
def test_a_time_outside_this_century_is_refused(moment: str) -> None:
    assert "between the years" in _refused("noted", text="x", occurred_at=moment)


def test_a_window_ends_after_it_starts() -> None:
    same = "2024-05-21T09:00:00Z"
    assert "after window_start" in _refused("appointed", window_start=same, window_end=same)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("10m", 600), ("1h30m", 5400), ("1.5h", 5400), ("5d", 432000), ("0s", 0)],
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text", ["", "10", "m", "10 m", "10m!", "ten minutes", "1e3s", "9" * 400 + "d"]
)
def test_what_is_no_duration_is_said_to_be_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"write (a length of time|at most)"):
        parse_duration(text)


# --- test results -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "result",
    ["制冷正常", "OK!", "fine.", "It's OK", "修好了", "Looks good", "一切正常", "okay, fine"],
)
def test_a_test_result_must_be_measured(result: str) -> None:
    assert "measured result" in _refused("completed", test_result=result)


@pytest.mark.parametrize(
    "result",
    ["出风口 12 °C", "outlet 16 °C at 30 °C ambient", "绝缘电阻大于2MΩ", "no leak in 10 min"],
)
def test_a_measured_test_result_is_taken(result: str) -> None:
    assert isinstance(_sent("completed", test_result=result), Completed)


# --- descriptions -------------------------------------------------------------------------------


def _request(description: str, **product: Any) -> NewRequest:
    return NewRequest.model_validate(
        {
            "type": "repair",
            "channel": "phone",
            "description": description,
            "customer": {"name": "张三", "phone": "138 1234 5678", "address": "上海市浦东新区"},
            "product": {"model": "KFR-35GW", "serial": "SN1", **product},
        }
    )


@pytest.mark.parametrize(
    "description",
    [
        "坏了",
        "空调坏了",
        "我家的空调坏了!!!",
        "broken",
        "It is broken.",
        "it doesn't work",
        "空调 有问题",
        "维修",
        "冰箱突然不好使了。",
        "The product is not working",
        "...",
    ],
)
def test_a_vague_description_is_refused_with_advice(description: str) -> None:
    with pytest.raises(ValidationError, match="too vague"):
        _request(description)


@pytest.mark.parametrize(
    "description",
    [
        "不制冷",
        "外机不启动,有异响",
        "空调坏了,显示E4",
        "leaks water when cooling",
        "The display is broken: it shows E4",
        "洗衣机脱水时剧烈震动",
    ],
)
def test_a_specific_description_is_taken(description: str) -> None:
    assert _request(description).description == description


@pytest.mark.parametrize("piece", ["坏 ", "it ", "空调坏了", "it's ", "has a ", "__"])
@pytest.mark.timeout(5)
def test_no_description_takes_long_to_judge(piece: str) -> None:
    text = piece * (3990 // len(piece)) + "漏水"
    assert _request(text).description == text


def test_a_product_needs_something_to_verify_it_by() -> None:
    with pytest.raises(ValidationError, match="serial"):
        _request("不制冷", serial=None)
    assert _request("不制冷", serial=None, proof="订单 1").product.proof == "订单 1"


@pytest.mark.parametrize("bought", ["9999-12-31", "1900-01-01"])
def test_a_purchase_date_is_of_our_time(bought: str) -> None:
    with pytest.raises(ValidationError, match="purchased_on"):
        _request("不制冷", purchased_on=bought)


# --- money --------------------------------------------------------------------------------------


@pytest.mark.parametrize("amount", [-1, 0, "0.001", "NaN", "Infinity", "10000000.01", "1e400"])
def test_what_is_no_payment_is_refused(amount: object) -> None:
    _refused("paid", amount=amount, method="cash")


def test_money_is_rounded_to_the_fen() -> None:
    assert Paid(amount=Decimal("0.125"), method=PaymentMethod.cash).amount == Decimal("0.13")


def test_money_does_not_drift_on_the_wire() -> None:
    amount = Decimal("9999999.99")
    paid = Paid(amount=amount, method=PaymentMethod.cash)
    for _ in range(100):
        paid = Paid.model_validate_json(paid.model_dump_json())
    assert paid.amount == amount


@given(
    st.lists(
        st.tuples(st.integers(1, 9999), st.integers(0, 10_000_000_00)), min_size=1, max_size=20
    )
)
def test_a_total_is_exact_to_the_fen(lines: list[tuple[int, int]]) -> None:
    quoted = _sent(
        "quoted",
        lines=[
            {"item": "x", "quantity": quantity, "unit_price": str(Decimal(fen) / 100)}
            for quantity, fen in lines
        ],
    )
    assert total(price_lines(quoted.lines, {})) * 100 == sum(q * fen for q, fen in lines)


def test_ten_times_ten_fen_are_one_yuan() -> None:
    lines = _sent("quoted", lines=[{"item": "x", "unit_price": 0.1}] * 10).lines
    assert total(price_lines(lines, {})) == Decimal("1.00")


def test_a_line_keeps_the_list_price_it_departs_from() -> None:
    lines = _sent("quoted", lines=[{"item": "fan", "unit_price": 80}, {"item": "fan"}]).lines
    dear, listed = price_lines(lines, {"fan": Decimal(100)})
    assert (dear.unit_price, dear.list_price) == (Decimal(80), Decimal(100))
    assert (listed.unit_price, listed.list_price) == (Decimal(100), None)
