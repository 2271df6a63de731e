"""JSON of which one list is too long for the memory."""

import json
from collections.abc import Iterable, Iterator
from typing import Any


def in_pieces(name: str, things: Iterable[Any], others: dict[str, Any]) -> Iterator[str]:
    """An object whose first field is the long list, one piece for each of its things."""
    yield f'{{\n "{name}": ['
    for place, thing in enumerate(things):
        yield f"{',' if place else ''}\n{_written(thing)}"
    yield f"\n ],{_written(others).removeprefix('{')}\n"


def _written(content: Any) -> str:
    return json.dumps(content, ensure_ascii=False, indent=1)
