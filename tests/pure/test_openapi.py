"""Every operation of the HTTP API says what whoever generates a client from it needs to know."""

from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema_rs import Draft202012Validator
from pydantic import SecretStr

from api.app import create_app
from api.problems import KINDS, MEDIA_TYPE
from runtime.settings import Settings

Json = dict[str, Any]
METHODS = ("get", "post", "put", "patch", "delete")


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Json:
    settings = Settings(
        _env_file=None, data_dir=tmp_path_factory.mktemp("data"), token_secret=SecretStr("s" * 40)
    )
    return create_app(settings).openapi()


def operations(document: Json) -> Iterator[tuple[str, Json]]:
    for path, methods in document["paths"].items():
        for method in METHODS:
            if method in methods:
                yield f"{method} {path}", methods[method]


def test_every_operation_is_named_and_explained(document: Json) -> None:
    said = dict(operations(document))
    names = [operation["operationId"] for operation in said.values()]
    assert len(set(names)) == len(names)
    tags = {tag["name"] for tag in document["tags"]}
    for where, operation in said.items():
        assert operation["summary"], where
        assert operation["description"], where
        assert operation["tags"], where
        assert set(operation["tags"]) <= tags, where


def test_every_body_and_every_answer_has_an_example_that_fits(document: Json) -> None:
    for where, operation in operations(document):
        bodies = operation.get("requestBody", {}).get("content", {})
        assert all(_examples(each) for each in bodies.values()), where
        answers = [
            content
            for status, response in operation["responses"].items()
            for kind, content in response.get("content", {}).items()
            if status.startswith("2") and kind == "application/json"
        ]
        assert all(_examples(each) for each in answers), where
        for content in [*bodies.values(), *answers]:
            schema = {**content["schema"], "components": document["components"]}
            validator = Draft202012Validator(schema, validate_formats=True)
            for example in _examples(content):
                wrong = [(e.message, e.instance_path) for e in validator.iter_errors(example)]
                assert not wrong, (where, wrong)


def test_every_operation_says_what_can_go_wrong(document: Json) -> None:
    told: set[str] = set(document["components"]["responses"])
    for where, operation in operations(document):
        problems = {
            status: response["content"][MEDIA_TYPE]["examples"]
            for status, response in operation["responses"].items()
            if int(status) >= 400
        }
        if "/v1/" in where:
            assert {"401", "403", "500"} <= set(problems), where
        for status, examples in problems.items():
            assert examples, where
            assert {KINDS[code].status for code in examples} == {int(status)}, where
            told |= set(examples)
    assert told == set(KINDS)


def _examples(content: Json) -> list[Any]:
    if "example" in content:
        return [content["example"]]
    return [example["value"] for example in content.get("examples", {}).values()]
