"""What leaves by webhook: the right lines, as valid CloudEvents, and nothing that anybody typed."""

import json
from datetime import datetime
from typing import Any

import pytest
from cloudevents.http import from_json

from domain.clocks import Kind
from domain.effects import Entry
from domain.events import EVENTS
from domain.outgoing import OUTGOING, PING, cloud_event, full, told, type_of, wanted
from domain.vocabulary import OfferState, Stage
from tests.pure.builders import PAYLOADS, START, event, given

IDS = {"cause", "code", "engineer", "event", "event_id", "station", "subject", "webhook"}
"""What may be a string without being a word of a vocabulary: our own ids and codes."""


def line(kind: Any, name: str, **data: Any) -> Entry:
    return Entry(seq=7, at=START, recorded_at=START, kind=kind, name=name, data=data)


def leaves(entry: Entry) -> dict[str, Any]:
    """The data that leaves, valid for the model that the documents promise."""
    type_ = type_of(entry)
    assert type_ is not None, entry.name
    data = told(entry, type_, Stage.service, "pudong")
    OUTGOING[type_].model.model_validate_json(json.dumps(data))
    return data


def strings(schema: Any, name: str = "") -> set[str]:
    """The fields that may hold any text at all."""
    if isinstance(schema, list):
        return set().union(*(strings(each, name) for each in schema), set())
    if not isinstance(schema, dict):
        return set()
    free = schema.get("type") == "string" and not {"enum", "const", "format"} & schema.keys()
    inner = [
        strings(each, key if key not in ("anyOf", "items") else name)
        for key, each in schema.items()
        if key != "properties"
    ]
    fields = [strings(each, key) for key, each in schema.get("properties", {}).items()]
    return set().union({name} if free else set(), *inner, *fields)


def test_no_type_has_room_for_what_somebody_typed() -> None:
    for type_, out in OUTGOING.items():
        assert strings(out.model.model_json_schema(mode="serialization")) <= IDS, type_


def test_every_event_clock_and_offer_has_its_type() -> None:
    expected = (
        {f"request.{name}" for name in EVENTS}
        | {f"clock.{kind}" for kind in Kind}
        | {f"offer.{state}" for state in OfferState if state is not OfferState.open}
    )
    assert {f"aftersales.{name}" for name in expected} <= set(OUTGOING)


@pytest.mark.parametrize("name", EVENTS)
def test_of_an_event_only_the_facts_leave(name: str) -> None:
    reported = event(name)
    data = reported.model_dump(mode="json", by_alias=True, exclude_none=True)
    told = leaves(line("event", name, **data))
    typed = {
        text
        for field, text in PAYLOADS[name].items()
        if isinstance(text, str) and field not in OUTGOING[f"aftersales.request.{name}"].fields
    }
    assert not typed & {str(value) for value in told.values()}
    assert told["stage"] == "service"
    assert told["station"] == "pudong"


def test_a_whole_request_leaves_without_its_words() -> None:
    story = given().walked("surveyed")
    lines = [entry for entry in story.lines if type_of(entry)]
    assert lines == story.lines  # Nothing of an ordinary repair stays at home.
    text = json.dumps([leaves(entry) for entry in lines], ensure_ascii=False)
    for typed in ("张", "不制冷", "压缩机", "outlet 12", "138****", "1381234"):
        assert typed not in text


def test_the_clock_says_which_promise_and_until_when() -> None:
    story = given()
    started = next(entry for entry in story.lines if entry.name == "first_response.started")
    assert type_of(started) == "aftersales.clock.started"
    assert leaves(started)["rule"] == "first_response"
    story.passes("11m")
    (breached,) = story.happened("first_response.breached")
    assert type_of(breached) == "aftersales.clock.breached"
    leaves(breached)


def test_a_refusal_says_which_event_and_why_but_not_in_words() -> None:
    story = given().heard("noted").heard("paid")
    story.passes("20m")
    (refused,) = (entry for entry in story.lines if entry.kind == "refused")
    data = leaves(refused)
    assert (data["event"], data["code"]) == ("paid", "expired_early")
    assert "reason" not in data


def test_a_line_that_nobody_put_into_the_table_stays_at_home() -> None:
    assert type_of(line("system", "phone_number_seen", phone="138")) is None


def test_it_is_a_valid_cloud_event() -> None:
    sent = cloud_event(
        id="CR20240520-001:7",
        source="/aftersales",
        subject="CR20240520-001",
        seq=7,
        type="aftersales.request.closed",
        time=START,
        data={"stage": "closed"},
    )
    read = from_json(json.dumps(sent))
    assert read["sequence"] == "0000000007"
    assert datetime.fromisoformat(read["time"]) == START
    assert read.data == {"stage": "closed"}


@pytest.mark.parametrize(
    ("pattern", "written"),
    [
        ("*", "*"),
        (" * ", "*"),
        ("request.closed", "aftersales.request.closed"),
        ("aftersales.request.closed", "aftersales.request.closed"),
        ("request.*", "aftersales.request.*"),
        ("aftersales.*", "aftersales.*"),
        ("webhook.ping", PING),
        ("request.close*", None),
        ("request.*.x", None),
        ("**", None),
        ("request", None),
        ("", None),
        ("请求", None),
    ],
)
def test_a_pattern_is_written_out_or_unknown(pattern: str, written: str | None) -> None:
    assert full(pattern) == written


def test_a_pattern_takes_in_its_family() -> None:
    assert wanted(["aftersales.clock.*"], "aftersales.clock.breached")
    assert not wanted(["aftersales.clock.*"], "aftersales.request.closed")
    assert wanted(["*"], "aftersales.request.closed")
    assert not wanted([], "aftersales.request.closed")


def test_every_model_can_be_described() -> None:
    titles = [out.model.__name__ for out in OUTGOING.values()]
    assert len(set(titles)) == len(titles)
    assert all(out.says for out in OUTGOING.values())
