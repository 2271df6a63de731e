"""Bodies read with the domain's own models; what is wrong is told by field, never by value."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from api.language import Text
from api.problems import FieldError, Problem
from domain.cloud_events import CloudEvent
from domain.events import EVENTS, BaseEvent, parse_event
from domain.intake import VAGUE_ADVICE, NewRequest
from domain.masking import mask_text
from domain.values import LONGEST
from workflows.messages import MOST_EVENTS_AT_ONCE

M = TypeVar("M", bound=BaseModel)

_LONGEST_NAME = 100
_UNKNOWN_TYPE = ("union_tag_invalid", "union_tag_not_found")

_CHINESE: dict[str, str] = {
    "missing": "此项必填",
    "extra_forbidden": "没有这个字段",
    "string_type": "应为文本",
    "string_too_short": "至少{min_length}个字符",
    "string_too_long": "最多{max_length}个字符",
    "string_pattern_mismatch": "格式不正确",
    "string_unicode": "文本不是有效的 Unicode",
    "enum": "应为以下之一：{expected}",
    "literal_error": "应为以下之一：{expected}",
    "timezone_aware": "时间必须带时区",
    "datetime_type": "应为 RFC 3339 时间",
    "datetime_parsing": "应为 RFC 3339 时间",
    "datetime_from_date_parsing": "应为 RFC 3339 时间",
    "bool_type": "应为 true 或 false",
    "bool_parsing": "应为 true 或 false",
    "date_type": "应为日期(YYYY-MM-DD)",
    "date_parsing": "应为日期(YYYY-MM-DD)",
    "date_from_datetime_parsing": "应为日期(YYYY-MM-DD)",
    "date_from_datetime_inexact": "应为日期(YYYY-MM-DD)",
    "uuid_type": "应为 UUID",
    "uuid_parsing": "应为 UUID",
    "int_type": "应为整数",
    "int_parsing": "应为整数",
    "int_parsing_size": "整数过大",
    "int_from_float": "应为整数",
    "float_type": "应为数字",
    "float_parsing": "应为数字",
    "finite_number": "应为有限的数字",
    "decimal_type": "应为金额",
    "decimal_parsing": "应为金额",
    "greater_than": "必须大于{gt}",
    "greater_than_equal": "不得小于{ge}",
    "less_than": "必须小于{lt}",
    "less_than_equal": "不得大于{le}",
    "list_type": "应为列表",
    "too_short": "至少{min_length}项",
    "too_long": "最多{max_length}项",
    "time_delta_type": "应为时长，如 3d",
    "time_delta_parsing": "应为时长，如 3d",
    "model_type": "应为 JSON 对象",
    "model_attributes_type": "应为 JSON 对象",
    "dict_type": "应为 JSON 对象",
}
"""What pydantic says, by its error type."""

_OUR_CHINESE: dict[str, str] = {
    VAGUE_ADVICE: (
        "描述过于笼统，请询问故障现象、发生时间与频率、有无报错代码、异响或异味，以及客户已尝试的处理"
    ),
    "window_end must be after window_start": "预约结束时间必须晚于开始时间",
    "give actorrole and actorid, or neither": "actorrole 与 actorid 须同时填写或同时留空",
    "give urgency or request_type, or both": "请填写 urgency 或 request_type",
    "write the time out as RFC 3339, such as 2026-05-20T09:15:00+08:00": (
        "应为 RFC 3339 时间，如2026-05-20T09:15:00+08:00"
    ),
    "time must lie between the years 2000 and 2100": "时间必须在2000年至2100年之间",
    "give a type of event that is sent, a family such as request.*, or *": (
        "请填写会发出的事件类型、类别(如 request.*)或 *"
    ),
    "must not be null; leave it out to keep it": "不得为 null；不修改则省略此项",
    "write a length of time, such as 90s, 10m, 2h, 1h30m or 5d": (
        "应为时长，如90s、10m、2h、1h30m、5d"
    ),
    f"write at most {LONGEST.days}d": f"最多 {LONGEST.days}d",
    "text must not contain control characters": "文本不得包含控制字符",
    "give the product's serial, or an order or invoice number as proof": (
        "请填写产品序列号，或以 proof 提供订单号、发票号"
    ),
    "write the day as YYYY-MM-DD": "请按 YYYY-MM-DD 填写日期",
    "say dry_run: true to see what would happen, or false to do it": (
        "请明确填写 dry_run：true 仅试算，false 实际执行"
    ),
    "give at least one condition": "请至少填写一个条件",
    "choose the requests in one way: numbers, filter": "numbers 与 filter 必须且只能填写一项",
    "choose the requests in one way: from_engineer, numbers, filter": (
        "from_engineer、numbers 与 filter 必须且只能填写一项"
    ),
    "test_result must be a measured result, such as 'outlet 16 °C at 30 °C ambient'": (
        "test_result 应为实测结果，例如“室温30 °C时出风口16 °C”"
    ),
}
"""What the domain's own rules say."""

_NO_EVENTS: Text = (
    f"send one event as an object, or a list of 1 to {MOST_EVENTS_AT_ONCE}",
    f"请以 JSON 对象提交一个事件，或提交包含1至{MOST_EVENTS_AT_ONCE}个事件的列表",
)
_KNOWN_TYPES: Text = (
    f"must be one of: {', '.join(EVENTS)}",
    f"应为以下之一：{'、'.join(EVENTS)}",
)


class Reported(NamedTuple):
    """The events of one call; `as_list`: they came as a list and are answered as one."""

    events: list[BaseEvent]
    as_list: bool


def new_request(body: Any) -> NewRequest:
    """The new request in `body`.

    Raises:
        Problem: `validation_failed`.
    """
    return read_as(NewRequest, body)


def read_as(model: type[M], body: Any) -> M:
    """The model in `body`.

    Raises:
        Problem: `validation_failed`.
    """
    try:
        return model.model_validate(body)
    except ValidationError as error:
        raise Problem("validation_failed", errors=field_errors(details(error))) from None


def reported(body: Any) -> Reported:
    """The event, or the list of events, in `body`.

    Raises:
        Problem: `validation_failed`, or `unknown_event_type` with the known ones.
    """
    if not isinstance(body, list):
        return Reported(_read([body], [()]), as_list=False)
    if not 1 <= len(body) <= MOST_EVENTS_AT_ONCE:
        raise Problem("validation_failed", errors=[FieldError("", _NO_EVENTS)])
    return Reported(_read(body, [(i,) for i in range(len(body))]), as_list=True)


def relayed(envelope: CloudEvent) -> BaseEvent:
    """The event in a CloudEvent.

    Raises:
        Problem: `unknown_event_type`, or `validation_failed` naming the attribute or the field of
            `data`.
    """
    if envelope.name not in EVENTS:
        errors = [FieldError("/type", _KNOWN_TYPES)]
        raise Problem("unknown_event_type", errors=errors, known_types=list(EVENTS))
    try:
        event: BaseEvent = parse_event(envelope.event)
    except ValidationError as error:
        # The first step of the location is the event's type, which is no field.
        found = ({**each, "loc": each["loc"][1:]} for each in details(error))
        raise Problem("validation_failed", errors=field_errors(found, at=["data"])) from None
    return event


def field_errors(found: Iterable[Any], at: Sequence[str | int] = ()) -> list[FieldError]:
    """What pydantic found wrong, by JSON pointer, in both languages."""
    return [FieldError(_pointer([*at, *each["loc"]]), _message(each)) for each in found]


def _read(items: list[Any], places: list[tuple[int, ...]]) -> list[BaseEvent]:
    events: list[BaseEvent] = []
    errors: list[FieldError] = []
    unknown_type = False
    for item, place in zip(items, places, strict=True):
        if not isinstance(item, dict):
            errors.append(FieldError(_pointer(place), _NO_EVENTS))
            continue
        try:
            events.append(parse_event(item))
        except ValidationError as error:
            found = details(error)
            if found[0]["type"] in _UNKNOWN_TYPE:
                unknown_type = True
                errors.append(FieldError(_pointer([*place, "type"]), _KNOWN_TYPES))
            else:
                # The first step of the location is the event's type, which is no field.
                errors += field_errors(({**d, "loc": d["loc"][1:]} for d in found), place)
    if unknown_type:
        raise Problem("unknown_event_type", errors=errors, known_types=list(EVENTS))
    if errors:
        raise Problem("validation_failed", errors=errors)
    return events


def details(error: ValidationError) -> list[Any]:
    """What pydantic found wrong, without the values."""
    return list(error.errors(include_input=False, include_url=False))


def _message(detail: Any) -> Text:
    english = str(detail["msg"]).removeprefix("Value error, ")
    if detail["type"] in _CHINESE:
        said = _CHINESE[detail["type"]].format(**detail.get("ctx", {}))
        # pydantic joins the choices as one does in English.
        return english, said.replace(", ", "、").replace(" or ", "或")
    return english, _OUR_CHINESE.get(english, english)


def _pointer(steps: Sequence[str | int]) -> str:
    """RFC 6901; an unknown field's name is masked and cut: a caller may send anything as one."""
    names = (
        mask_text(str(step))[:_LONGEST_NAME].replace("~", "~0").replace("/", "~1") for step in steps
    )
    return "".join(f"/{name}" for name in names)
