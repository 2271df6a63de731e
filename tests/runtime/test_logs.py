"""Logs: one JSON line each, about a request, without the person behind it."""

import json
import logging
from collections.abc import Iterator
from io import StringIO
from types import SimpleNamespace

import pytest
import structlog
from temporalio import workflow

from runtime import logs
from runtime.settings import Settings

PERSON = {"name": "张三丰", "phone": "13812345678", "address": "世纪大道1号"}


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Iterator[StringIO]:
    """What the process writes, not being at a terminal."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    monkeypatch.setattr("sys.stderr", stream := StringIO())
    logs.configure(Settings())
    yield stream
    root.handlers[:], root.level = handlers, level
    logging.captureWarnings(False)
    structlog.reset_defaults()


def test_every_line_is_json_and_names_its_request(written: StringIO) -> None:
    with logs.about(number="CR20240520-001"):
        structlog.get_logger("ours").info("offered", engineer="E-1")
        logging.getLogger("theirs").warning("took %s s", 3)
    ours, theirs = (json.loads(line) for line in written.getvalue().splitlines())
    assert ours["event"] == "offered"
    assert ours["engineer"] == "E-1"
    assert theirs["event"] == "took 3 s"
    assert theirs["level"] == "warning"
    assert {ours["number"], theirs["number"]} == {"CR20240520-001"}


def test_personal_data_is_blanked_wherever_it_stands(written: StringIO) -> None:
    log = structlog.get_logger("ours")
    log.info("new", customer=PERSON, body={"people": [PERSON]}, text="坏了")
    log.warning("客户电话13812345678, mail zhang@example.com")
    try:
        raise ValueError(f"input_value={PERSON['phone']}")
    except ValueError:
        log.exception("failed")
    text = written.getvalue()
    assert not any(value in text for value in (*PERSON.values(), "坏了", "zhang@"))
    assert "ValueError" in text


def test_no_line_shows_a_tracking_link(written: StringIO) -> None:
    link = "/track/eyJhbGciOi.eyJpc3Mi.c2lnbmF0dXJl"
    access = logging.getLogger("uvicorn.access")
    access.warning('%s - "%s %s HTTP/%s" %d', "10.0.0.1", "GET", f"{link}?x=1", "1.1", 200)
    structlog.get_logger("ours").error("call_failed", path=link, url=f"https://a.example{link}")
    first, second = map(json.loads, written.getvalue().splitlines())
    assert first["event"] == '10.0.0.1 - "GET /track/***?*** HTTP/1.1" 200'
    assert (second["path"], second["url"]) == ("/track/***", "https://a.example/track/***")


def test_no_line_shows_what_an_address_was_asked_with(written: StringIO) -> None:
    asked = "/v1/requests/CR20240520-001/customer?reason=%E7%8E%8B%E8%8A%B3"
    access, http = logging.getLogger("uvicorn.access"), logging.getLogger("httpx")
    access.warning('%s - "%s %s HTTP/%s" %d', "10.0.0.1", "GET", asked, "1.1", 200)
    http.warning('HTTP Request: %s %s "%s"', "POST", "https://a.example/x?token=t", "HTTP/1.1 204")
    structlog.get_logger("ours").info("really? yes", path=asked)
    text = written.getvalue()
    assert "%E7" not in text
    assert "token=t" not in text
    assert "really? yes" in text
    assert "/customer?*** HTTP/1.1" in text


def test_our_own_names_are_left_alone(written: StringIO) -> None:
    structlog.get_logger("ours").info("CR20240520-001 WO20240520-001", took=1.5, count=13812345678)
    line = json.loads(written.getvalue())
    assert line["event"] == "CR20240520-001 WO20240520-001"
    assert line["took"] == 1.5


def test_talkative_libraries_are_quiet_unless_they_warn(
    written: StringIO,
) -> None:
    logging.getLogger("httpx").info("GET https://example.com")
    logging.getLogger("uvicorn.access").info("GET /")
    logging.getLogger("uvicorn.error").warning("odd")
    assert [json.loads(line)["event"] for line in written.getvalue().splitlines()] == ["odd"]


def test_a_replayed_workflow_is_silent(written: StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workflow, "in_workflow", lambda: True)
    monkeypatch.setattr(workflow, "info", lambda: SimpleNamespace(workflow_id="CR20240520-001"))
    monkeypatch.setattr(workflow.unsafe, "is_replaying", lambda: True)
    structlog.get_logger("ours").info("again")
    monkeypatch.setattr(workflow.unsafe, "is_replaying", lambda: False)
    structlog.get_logger("ours").info("news")
    [line] = map(json.loads, written.getvalue().splitlines())
    assert line["event"] == "news"
    assert line["workflow_id"] == "CR20240520-001"
