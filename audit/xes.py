"""Event logs as XES (IEEE 1849-2016): one trace per request, written one after another."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import TextIO
from xml.sax.saxutils import quoteattr

from audit.event_log import Scalar, Trace

_HEAD = """\
<?xml version="1.0" encoding="UTF-8"?>
<log xes.version="1849-2016" xes.features="" xmlns="http://www.xes-standard.org/">
 <extension name="Concept" prefix="concept" uri="http://www.xes-standard.org/concept.xesext"/>
 <extension name="Time" prefix="time" uri="http://www.xes-standard.org/time.xesext"/>
 <extension name="Lifecycle" prefix="lifecycle" uri="http://www.xes-standard.org/lifecycle.xesext"/>
 <extension name="Organizational" prefix="org" uri="http://www.xes-standard.org/org.xesext"/>
 <global scope="trace">
  <string key="concept:name" value=""/>
  <string key="aftersales:type" value=""/>
 </global>
 <global scope="event">
  <string key="concept:name" value=""/>
  <date key="time:timestamp" value="1970-01-01T00:00:00.000+00:00"/>
  <string key="lifecycle:transition" value="complete"/>
  <string key="aftersales:id" value=""/>
  <string key="aftersales:stage" value=""/>
  <date key="aftersales:recorded_at" value="1970-01-01T00:00:00.000+00:00"/>
  <string key="aftersales:run" value=""/>
  <int key="aftersales:history_event" value="0"/>
 </global>
 <classifier name="Activity" keys="concept:name"/>
 <classifier name="Activity in its stage" keys="concept:name aftersales:stage"/>
 <classifier name="Stage" keys="aftersales:stage"/>
 <string key="concept:name" value="Aftersales service requests"/>
 <string key="lifecycle:model" value="standard"/>
"""

_STANDARD = {"resource": "org:resource", "role": "org:role"}
_KINDS: dict[type, str] = {
    bool: "boolean",
    int: "int",
    float: "float",
    datetime: "date",
    str: "string",
}


_ILLEGIBLE = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class XesWriter:
    """Writes a log trace by trace; nothing of it stays in memory."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        file.write(_HEAD)

    def add(self, trace: Trace) -> None:
        """Write one request."""
        write = self._file.write
        write(f" <trace>\n{_line('concept:name', trace.number)}")
        for name, value in trace.attributes.items():
            write(_line(f"aftersales:{name}", value))
        for happening in trace.happenings:
            write(f"  <event>\n{_line('concept:name', happening.activity, 3)}")
            write(_line("time:timestamp", happening.at, 3))
            write(_line("lifecycle:transition", "complete", 3))
            write(_line("aftersales:id", happening.id, 3))
            for name, value in _named(happening.attributes).items():
                write(_line(name, value, 3))
            write("  </event>\n")
        write(" </trace>\n")

    def close(self) -> None:
        """Write the end of the log."""
        self._file.write("</log>\n")

    def release(self) -> None:
        """Nothing is held."""


def _named(attributes: Mapping[str, Scalar]) -> dict[str, Scalar]:
    return {_STANDARD.get(name, f"aftersales:{name}"): value for name, value in attributes.items()}


def _line(key: str, value: Scalar, indent: int = 2) -> str:
    kind = _KINDS[datetime if isinstance(value, datetime) else type(value)]
    return f"{' ' * indent}<{kind} key={quoteattr(key)} value={quoteattr(written(value))}/>\n"


def written(value: Scalar) -> str:
    """A value as XML Schema writes it, times to the microsecond."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return value.isoformat(timespec="microseconds")
    return legible(str(value))


def legible(text: str) -> str:
    """The text with U+FFFD for each character that XML 1.0 has no way to write."""
    return _ILLEGIBLE.sub("\ufffd", text)
