"""Aligned text for people: no rich, which takes longer to import than most questions take to answer."""

from __future__ import annotations

import os
import sys
import textwrap
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from catalog.terms import printable

GAP: Final = "  "
INDENT: Final = "    "
NARROWEST: Final = 16
"""A flexible column is cut no further than this."""


def cells(text: str) -> int:
    """How many cells of a terminal the text takes: 2 for wide characters, 0 for combining ones."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text
    )


def shortened(text: str, width: int) -> str:
    """The text in at most ``width`` cells, cut in the middle: of a path the beginning tells the place, and the end
    more than that."""
    if cells(text) <= width:
        return text
    front = max(0, (width - 1) // 3)
    head = _fitting(text, front)
    tail = _fitting(text[::-1], width - 1 - cells(head))[::-1]
    return f"{head}…{tail}"


def _fitting(text: str, width: int) -> str:
    """As much of the beginning as fits."""
    total = 0
    for number, character in enumerate(text):
        total += cells(character)
        if total > width:
            return text[:number]
    return text


def terminal_width() -> int | None:
    """Columns of the terminal behind stdout; None when it is none, and nothing is to be cut."""
    if sys.stdout is None or not sys.stdout.isatty():
        return None
    try:
        columns = os.get_terminal_size(sys.stdout.fileno()).columns
    except OSError:
        columns = 0
    return columns or 80


def table(
    titles: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    right: Sequence[int] = (),
    flexible: Sequence[int] = (),
    wraps: bool = False,
    width: int | None = None,
) -> Iterator[str]:
    """Lines of a table: titles, then rows; control characters are escaped.

    ``right``: columns aligned to the right. When a line is wider than ``width`` cells (None: nothing is cut):
    with ``wraps`` the last column goes to lines of its own, below its row; ``flexible`` columns are cut in the
    middle if that does not suffice.
    """
    drawn = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(cells, column)) for column in zip(titles, *drawn, strict=True)]
    below = wraps and width is not None and _line_width(widths) > width
    if below:
        widths.pop()
    if width is not None and flexible:
        _squeeze(widths, flexible, width)
    for row in [list(titles), *drawn]:
        line = GAP.join(
            _aligned(shortened(cell, wide) if index in flexible else cell, wide, index in right)
            for index, (cell, wide) in enumerate(zip(row, widths, strict=not below))
        )
        yield line.rstrip()
        if below and width is not None and row[-1]:
            yield from textwrap.wrap(
                row[-1], max(width, NARROWEST), initial_indent=INDENT, subsequent_indent=INDENT
            )


def _line_width(widths: Sequence[int]) -> int:
    return sum(widths) + len(GAP) * (len(widths) - 1)


def _squeeze(widths: list[int], flexible: Sequence[int], width: int) -> None:
    """Take from the widest flexible column, cell by cell, until the line fits or nothing more can give."""
    excess = _line_width(widths) - width
    while excess > 0:
        widest = max(flexible, key=lambda index: widths[index])
        if widths[widest] <= NARROWEST:
            return
        widths[widest] -= 1
        excess -= 1


def _aligned(cell: str, width: int, right: bool) -> str:
    padding = " " * (width - cells(cell))
    return padding + cell if right else cell + padding
