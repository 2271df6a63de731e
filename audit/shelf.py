"""Things put down on disk until they are shown, so that no month is too long for the memory."""

import pickle
import sqlite3
import weakref
import zlib
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Shelf(Generic[T]):
    """Things in their places, each in memory only while it is looked at.

    What is taken from it is a copy: to change a thing, put it back. One thread may hand it to the
    next, as the API does; two at once may not use it.
    """

    def __init__(self) -> None:
        # Without a name it is a file of nobody else's, gone with the connection.
        self._file = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        weakref.finalize(self, self._file.close)
        self._file.execute("CREATE TABLE thing (place INTEGER PRIMARY KEY, content BLOB NOT NULL)")

    def put(self, place: int, thing: T) -> None:
        """Put it into its place, instead of what was there."""
        content = zlib.compress(pickle.dumps(thing, pickle.HIGHEST_PROTOCOL), 1)
        self._file.execute("INSERT OR REPLACE INTO thing VALUES (?, ?)", (place, content))

    def __iter__(self) -> Iterator[T]:
        """Each of them, by their places."""
        for (content,) in self._file.execute("SELECT content FROM thing ORDER BY place"):
            yield pickle.loads(zlib.decompress(content))  # noqa: S301 # We put it there.

    def __len__(self) -> int:
        (count,) = self._file.execute("SELECT count(*) FROM thing").fetchone()
        return int(count)
