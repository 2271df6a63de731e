"""Where the archive is kept: a folder, or any store that fsspec knows, such as S3."""

import contextlib
import posixpath
from collections.abc import Iterator

import fsspec


class Missing(LookupError):
    """The store holds nothing under this name."""


class Unreachable(OSError):
    """The store does not answer, or not as a store does; the message says which and how."""


class Store:
    """Whole files by name, such as `2026-11/CR20261120-001.json.gz`.

    Every method raises `Unreachable` when the store does not answer.

    Args:
        url: `file:///var/lib/aftersales/archive`, `s3://bucket/folder`, `memory://` …
        options: what the store's driver wants, such as `endpoint_url`.
    """

    def __init__(self, url: str, **options: object) -> None:
        self.url, self.options = url, options
        if url.startswith("file:") or "://" not in url:
            options = {"auto_mkdir": True, **options}
        self._files, self._root = fsspec.core.url_to_fs(url, **options)

    def put(self, name: str, content: bytes) -> None:
        """Keep a file; one of the same name is replaced."""
        with self._asked(name):
            self._files.pipe_file(self._path(name), content)

    def get(self, name: str) -> bytes:
        """A file's content.

        Raises:
            Missing: there is none of this name.
        """
        with self._asked(name):
            content: bytes = self._files.cat_file(self._path(name))
        return content

    def remove(self, name: str) -> None:
        """Remove a file; it may be gone already."""
        with contextlib.suppress(Missing), self._asked(name):
            self._files.rm_file(self._path(name))

    def names(self, folder: str = "") -> list[str]:
        """The names of everything directly in a folder, in order; none if there is no folder."""
        # A store may remember what it listed before; others write to it as well.
        self._files.invalidate_cache()
        found: list[str] = []
        with contextlib.suppress(Missing), self._asked(folder):
            found = self._files.ls(self._path(folder), detail=False)
            # A file in the folder's place is listed as the only one in it.
            if found == [self._path(folder)]:
                raise NotADirectoryError
        return sorted(posixpath.join(folder, posixpath.basename(path)) for path in found)

    @contextlib.contextmanager
    def _asked(self, name: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise Missing(name) from None
        except Exception as error:  # Each driver has errors of its own.
            raise Unreachable(f"{self.url} ({type(error).__name__})") from error

    def _path(self, name: str) -> str:
        return posixpath.join(self._root, name) if name else self._root
