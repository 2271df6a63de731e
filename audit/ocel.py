"""Event logs as OCEL 2.0 in JSON: events and the things they are about, with how.

The format wants all things and all events in two lists. The events are therefore put down beside
the file until the end, so that only what several requests share stays in memory.
"""

import json
import shutil
import tempfile
from collections.abc import Mapping
from datetime import datetime
from typing import Any, TextIO

from audit.event_log import (
    EVENT_ATTRIBUTES,
    OBJECT_ATTRIBUTES,
    Happening,
    Scalar,
    Thing,
    Trace,
)
from audit.xes import legible, written

_KINDS: dict[type, str] = {
    bool: "boolean",
    int: "integer",
    float: "float",
    datetime: "time",
    str: "string",
}
_SHARED = ("engineer", "station", "product_model")


class OcelWriter:
    """Writes a log request by request."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._events = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 -- see close
        self._shared: set[str] = set()
        self._objects = self._count = 0
        types = {
            "objectTypes": [_type(name, given) for name, given in OBJECT_ATTRIBUTES.items()],
            "eventTypes": [_type(name, given) for name, given in EVENT_ATTRIBUTES.items()],
        }
        head = json.dumps(types, ensure_ascii=False)
        file.write(f'{head[:-1]},\n"objects": [')

    def add(self, trace: Trace) -> None:
        """Write one request, its things and its events."""
        for thing in trace.things:
            if thing.type in _SHARED:
                if thing.id in self._shared:
                    continue
                self._shared.add(thing.id)
            self._file.write(_item(_object(thing), self._objects))
            self._objects += 1
        for happening in trace.happenings:
            self._events.write(_item(_event(happening), self._count))
            self._count += 1

    def close(self) -> None:
        """Write the events behind the things, and the end of the log."""
        self._file.write('\n],\n"events": [')
        self._events.seek(0)
        shutil.copyfileobj(self._events, self._file)
        self._file.write("\n]}\n")

    def release(self) -> None:
        """Give back what was put down beside the file."""
        self._events.close()


def _type(name: str, attributes: Mapping[str, type]) -> dict[str, Any]:
    given = [{"name": each, "type": _KINDS[kind]} for each, kind in attributes.items()]
    return {"name": name, "attributes": given}


def _object(thing: Thing) -> dict[str, Any]:
    since = written(thing.since)
    return {
        "id": thing.id,
        "type": thing.type,
        "attributes": [
            {"name": name, "value": _plain(value), "time": since}
            for name, value in thing.attributes.items()
        ],
        "relationships": _related(thing.related),
    }


def _event(happening: Happening) -> dict[str, Any]:
    attributes = happening.attributes.items()
    return {
        "id": happening.id,
        "type": happening.activity,
        "time": written(happening.at),
        "attributes": [{"name": name, "value": _plain(value)} for name, value in attributes],
        "relationships": _related(happening.things),
    }


def _related(things: tuple[tuple[str, str], ...]) -> list[dict[str, str]]:
    return [{"objectId": id, "qualifier": how} for id, how in things]


def _plain(value: Scalar) -> str | int | float | bool:
    return written(value) if isinstance(value, datetime) else value


def _item(content: dict[str, Any], place: int) -> str:
    # Half a surrogate pair cannot be written at all, and the rest reads as in the other log.
    return f"{',' if place else ''}\n{legible(json.dumps(content, ensure_ascii=False))}"
