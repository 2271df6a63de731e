"""The access log as it is archived: some rows of it in one file, in clear."""

import gzip
import json
import zlib
from collections.abc import Iterable
from typing import Any

from domain.values import canonical
from records.tables import Access


class NoReads(ValueError):
    """A file that holds no rows of the access log."""


def written(rows: Iterable[Access]) -> bytes:
    """The file's content: always the same for the same rows."""
    content = canonical([row.model_dump(mode="json") for row in rows])
    return gzip.compress(content.encode(), compresslevel=6, mtime=0)


def read(content: bytes) -> list[dict[str, Any]]:
    """The rows in a file.

    Raises:
        NoReads: there are none in it.
    """
    try:
        rows: Any = json.loads(gzip.decompress(content))
    except (OSError, EOFError, ValueError, zlib.error):
        raise NoReads("no rows of the access log in this file") from None
    if not isinstance(rows, list):
        raise NoReads("no rows of the access log in this file")
    return rows
