"""The document that integrators generate their clients from."""

from typing import Any

import pytest

from domain.clocks import Ticking
from domain.events import EVENTS, parse_event
from domain.intake import NewRequest
from tests.api.caller import Caller

pytestmark = pytest.mark.server

Json = dict[str, Any]


@pytest.fixture
async def document(caller: Caller) -> Json:
    answer: Json = (await caller.http.get("/openapi.json")).json()
    return answer


async def test_every_operation_says_what_it_does(document: Json) -> None:
    operations = [op for path in document["paths"].values() for op in path.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(set(names)) == len(names) == 20
    for operation in operations:
        assert operation["summary"]
        assert operation["description"]
        for status, response in operation["responses"].items():
            assert response["description"]
            if int(status) >= 400:
                (content,) = response["content"].items()
                assert content[0] == "application/problem+json"
                assert content[1]["examples"]


async def test_a_clock_stands_as_the_domain_says(document: Json) -> None:
    assert document["components"]["schemas"]["Ticking"]["enum"] == list(Ticking)


async def test_every_reference_leads_somewhere(document: Json) -> None:
    schemas = document["components"]["schemas"]

    def references(node: Any) -> set[str]:
        if isinstance(node, list):
            return set().union(*map(references, node))
        if not isinstance(node, dict):
            return set()
        own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
        return own.union(*map(references, node.values()))

    for reference in references(document):
        prefix, _, name = reference.rpartition("/")
        assert prefix == "#/components/schemas"
        assert name in schemas


async def test_events_are_told_apart_by_their_type(document: Json) -> None:
    schemas = document["components"]["schemas"]
    event = schemas["Event"]
    assert set(event["discriminator"]["mapping"]) == set(EVENTS)
    assert len(event["oneOf"]) == len(EVENTS)
    for name, reference in event["discriminator"]["mapping"].items():
        schema = schemas[reference.rpartition("/")[2]]
        assert schema["properties"]["type"]["const"] == name
        assert "type" in schema["required"]
        assert schema["additionalProperties"] is False


async def test_the_examples_are_true(document: Json) -> None:
    paths = document["paths"]
    content = paths["/v1/requests"]["post"]["requestBody"]["content"]["application/json"]
    for example in content["examples"].values():
        NewRequest.model_validate(example["value"])
    report = paths["/v1/requests/{number}/events"]["post"]
    examples = report["requestBody"]["content"]["application/json"]["examples"]
    parse_event(examples["one"]["value"])
    for each in examples["several"]["value"]:
        parse_event(each)


async def test_who_may_call_is_part_of_it(document: Json) -> None:
    (scheme,) = document["components"]["securitySchemes"]
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert bool(operation.get("security")) == path.startswith("/v1"), path
    assert document["components"]["securitySchemes"][scheme]["scheme"] == "bearer"
