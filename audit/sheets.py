"""Tables on a terminal of any width."""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

LONGEST = 20
"""What is longer than this, as a file's name, may go over two lines: no rule's name is."""


class _Row(NamedTuple):
    cells: tuple[str, ...]
    style: str


class Sheet:
    """A table that gives way to the terminal's width, and never shortens what it says.

    Where its columns do not fit beside each other, the widest go over several lines, between words;
    where not even their words do, every row is told in lines of its own.
    """

    def __init__(self, *headers: str, caption: str | None = None) -> None:
        self._headers, self._caption = headers, caption
        self._rows: list[_Row] = []

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, *cells: str, bold: bool = False) -> None:
        """Add a row."""
        self._rows.append(_Row(cells, "bold" if bold else ""))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        columns = list(zip(self._headers, *(row.cells for row in self._rows), strict=True))
        whole = [max(map(_width, column)) for column in columns]
        least = [max(map(_narrowest, column)) for column in columns]
        gaps = len(columns) - 1
        if sum(least) + gaps <= options.max_width:
            widths = _fitted(whole, least, options.max_width - gaps)
            roomy = sum(whole) + 3 * gaps <= options.max_width
            yield self._table(widths, roomy=roomy, wrapped=widths != whole)
        else:
            yield from self._told()
        yield ""

    def _table(self, widths: Sequence[int], *, roomy: bool, wrapped: bool) -> Table:
        table = Table(
            box=SIMPLE_HEAD,
            show_edge=False,
            pad_edge=False,
            padding=(0, 1) if roomy else 0,
            # An empty line, so that it is seen where a row ends.
            show_lines=wrapped,
            caption=self._caption,
            caption_justify="left",
        )
        for header, width in zip(self._headers, widths, strict=True):
            table.add_column(header, width=width, overflow="fold")
        for cells, style in self._rows:
            table.add_row(*cells, style=style)
        return table

    def _told(self) -> Iterator[Text | Padding]:
        for (name, *cells), style in self._rows:
            yield Text(name, style, overflow="fold")
            said = zip(self._headers[1:], cells, strict=True)
            told = " · ".join(f"{header}: {_in_a_line(cell)}" for header, cell in said)
            yield Padding(Text(told, style, overflow="fold"), (0, 0, 0, 2))
        if self._caption:
            yield Text(self._caption, "italic", overflow="fold")


def _fitted(whole: Sequence[int], least: Sequence[int], room: int) -> list[int]:
    """The widths that fit, taken from the widest columns that have something to give."""
    widths = list(whole)
    while sum(widths) > room:
        giving = [place for place, width in enumerate(widths) if width > least[place]]
        widths[max(giving, key=widths.__getitem__)] -= 1
    return widths


def _width(text: str) -> int:
    return max(map(cell_len, text.split("\n")))


def _narrowest(text: str) -> int:
    """The width of its longest word; a line of Chinese may end after any character."""
    words = re.split(r"\s+|(?<=[\u2e80-\uffef])", text)
    return min(max(map(cell_len, words)), LONGEST)


def _in_a_line(cell: str) -> str:
    return "; ".join(cell.split("\n"))
