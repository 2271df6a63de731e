"""Where the archive is kept: a folder, or any store that fsspec knows, such as S3."""

import contextlib
import posixpath

import fsspec


class Missing(LookupError):
    """The store holds nothing under this name."""


class Store:
    """Whole files by name, such as `2026-11/CR20261120-001.json.gz`.

    Args:
        url: `file:///var/lib/aftersales/archive`, `s3://bucket/folder`, `memory://` …
        options: what the store's driver wants, such as `endpoint_url`.
    """

    def __init__(self, url: str, **options: object) -> None:
        self.url = url
        if url.startswith("file:") or "://" not in url:
            options = {"auto_mkdir": True, **options}
        self._files, self._root = fsspec.core.url_to_fs(url, **options)

    def put(self, name: str, content: bytes) -> None:
        """Keep a file; one of the same name is replaced."""
        self._files.pipe_file(self._path(name), content)

    def get(self, name: str) -> bytes:
        """A file's content.

        Raises:
            Missing: there is none of this name.
        """
        try:
            content: bytes = self._files.cat_file(self._path(name))
        except FileNotFoundError:
            raise Missing(name) from None
        return content

    def remove(self, name: str) -> None:
        """Remove a file; it may be gone already."""
        with contextlib.suppress(FileNotFoundError):
            self._files.rm_file(self._path(name))

    def names(self, folder: str = "") -> list[str]:
        """The names of everything directly in a folder, in order; none if there is no folder."""
        # A store may remember what it listed before; others write to it as well.
        self._files.invalidate_cache()
        try:
            found = self._files.ls(self._path(folder), detail=False)
        except FileNotFoundError:
            return []
        return sorted(posixpath.join(folder, posixpath.basename(path)) for path in found)

    def _path(self, name: str) -> str:
        return posixpath.join(self._root, name) if name else self._root
