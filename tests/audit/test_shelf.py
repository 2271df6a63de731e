"""A shelf gives back what was put on it, in order, whatever the order in which it came."""

import os
from pathlib import Path

import pytest

from audit.shelf import Shelf


def test_things_are_given_back_by_their_places() -> None:
    shelf: Shelf[str] = Shelf()
    assert (len(shelf), list(shelf)) == (0, [])
    for place in (2, 0, 1):
        shelf.put(place, f"thing {place}")
    shelf.put(1, "another")
    assert list(shelf) == list(shelf) == ["thing 0", "another", "thing 2"]
    assert len(shelf) == 3


def test_what_was_taken_is_a_copy() -> None:
    shelf: Shelf[list[int]] = Shelf()
    shelf.put(0, [1])
    next(iter(shelf)).append(2)
    assert list(shelf) == [[1]]


def test_nothing_of_it_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Much more than SQLite keeps in memory, and no file that could stay behind."""
    monkeypatch.setenv("SQLITE_TMPDIR", str(tmp_path))
    shelf: Shelf[bytes] = Shelf()
    things = [os.urandom(100_000) for _ in range(100)]
    for place, thing in enumerate(things):
        shelf.put(place, thing)
    assert list(tmp_path.iterdir()) == []
    assert list(shelf) == things
