"""The document that integrators generate their event handlers from."""

from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema_rs import Draft202012Validator

from api.asyncapi import document
from api.validation import relayed
from domain.cloud_events import CloudEvent
from domain.events import EVENTS
from domain.outgoing import OUTGOING, PING, cloud_event, told, type_of
from tests.pure.builders import START, given

Json = dict[str, Any]
DOCUMENT = document("https://aftersales.example.com/")
MESSAGES: Json = DOCUMENT["components"]["messages"]


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for each in node.values():
            yield from references(each)
    elif isinstance(node, list):
        for each in node:
            yield from references(each)


def at(reference: str) -> Any:
    """What a reference leads to."""
    found: Any = DOCUMENT
    for step in reference.removeprefix("#/").split("/"):
        found = found[step.replace("~1", "/").replace("~0", "~")]
    return found


def test_it_has_the_shape_of_asyncapi_3() -> None:
    assert DOCUMENT["asyncapi"] == "3.0.0"
    assert {"title", "version"} <= set(DOCUMENT["info"])
    assert set(DOCUMENT) <= {
        *("asyncapi", "id", "info", "servers", "defaultContentType"),
        *("channels", "operations", "components"),
    }
    for server in DOCUMENT["servers"].values():
        assert server["host"] == "aftersales.example.com"
        assert server["protocol"] == "https"
    for channel in DOCUMENT["channels"].values():
        assert channel["address"] is None or channel["address"].startswith("/")
        assert channel["messages"]
        assert channel["title"]
        assert channel["description"]
    for operation in DOCUMENT["operations"].values():
        assert operation["action"] in ("send", "receive")
        assert operation["bindings"]["http"]["method"] == "POST"
        channel = operation["channel"]["$ref"]
        assert {each["$ref"] for each in operation["messages"]} == {
            f"{channel}/messages/{key}" for key in at(channel)["messages"]
        }


def test_every_reference_leads_somewhere() -> None:
    assert all(at(reference) for reference in set(references(DOCUMENT)))


def test_every_channel_has_an_operation_and_every_message_a_channel() -> None:
    used = {operation["channel"]["$ref"] for operation in DOCUMENT["operations"].values()}
    assert used == {f"#/channels/{name}" for name in DOCUMENT["channels"]}
    told = [key for channel in DOCUMENT["channels"].values() for key in channel["messages"]]
    assert sorted(told) == sorted(MESSAGES)
    assert len(EVENTS) == 40
    assert set(MESSAGES) == {f"in.{name}" for name in EVENTS} | {f"out.{n}" for n in OUTGOING}


@pytest.mark.parametrize("key", MESSAGES)
def test_an_example_fits_its_schema(key: str) -> None:
    message = MESSAGES[key]
    schema = {**message["payload"], "components": DOCUMENT["components"]}
    for example in message["examples"]:
        assert Draft202012Validator(schema, validate_formats=True).is_valid(example["payload"])


@pytest.mark.parametrize("name", EVENTS)
def test_an_example_that_comes_in_is_taken(name: str) -> None:
    (example,) = MESSAGES[f"in.{name}"]["examples"]
    event = relayed(CloudEvent.model_validate(example["payload"]))
    assert event.name == name
    payload = example["payload"]["data"]
    assert set(payload) <= set(event.model_dump(by_alias=True))


def fits(sent: Json) -> bool:
    """Whether what is sent is as the document describes it."""
    schema = {**MESSAGES[f"out.{sent['type']}"]["payload"], "components": DOCUMENT["components"]}
    return bool(Draft202012Validator(schema, validate_formats=True).is_valid(sent))


def test_what_is_really_sent_is_as_described() -> None:
    story = given().walked("offered")
    story.passes("20m")  # Nobody answers: the promise breaks, the next one is asked.
    types = set()
    for line in story.lines:
        if (type_ := type_of(line)) is None:
            continue
        sent = cloud_event(
            id=f"CR20240520-001:{line.seq}",
            source="/aftersales",
            subject="CR20240520-001",
            seq=line.seq,
            type=type_,
            time=line.at,
            data=told(line, type_, story.request.stage, "pudong"),
        )
        assert fits(sent), sent
        assert not fits({**sent, "data": {**sent["data"], "name": "张三"}})
        types.add(type_)
    assert {
        "aftersales.request.received",
        "aftersales.request.responded",
        "aftersales.clock.started",
        "aftersales.clock.breached",
        "aftersales.offer.no_answer",
    } <= types


def test_a_ping_is_as_described_and_every_call_is_signed() -> None:
    data = {"webhook": "wh_1"}
    assert fits(
        cloud_event(
            id="wh_1:1", source="/x", subject="wh_1", seq=1, type=PING, time=START, data=data
        )
    )
    for type_ in OUTGOING:
        assert "webhook-signature" in MESSAGES[f"out.{type_}"]["headers"]["required"]
