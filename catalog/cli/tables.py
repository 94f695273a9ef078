"""Aligned text for people: no rich, which takes longer to import than most questions take to answer."""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from catalog.terms import printable

GAP: Final = "  "
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
    """The text in at most ``width`` cells; the end of a path says more than its beginning."""
    if cells(text) <= width:
        return text
    kept = len(text)
    total = 0
    while kept > 0 and total + cells(text[kept - 1]) <= width - 1:
        kept -= 1
        total += cells(text[kept])
    return "…" + text[kept:]


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
    width: int | None = None,
) -> Iterator[str]:
    """Lines of a table: titles, then rows; control characters are escaped.

    ``right``: columns aligned to the right. ``flexible``: columns that may be cut at the front when a line
    is wider than ``width`` cells (None: nothing is cut).
    """
    drawn = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(cells, column)) for column in zip(titles, *drawn, strict=True)]
    if width is not None and flexible:
        _squeeze(widths, flexible, width)
    for row in [list(titles), *drawn]:
        line = GAP.join(
            _aligned(shortened(cell, wide) if index in flexible else cell, wide, index in right)
            for index, (cell, wide) in enumerate(zip(row, widths, strict=True))
        )
        yield line.rstrip()


def _squeeze(widths: list[int], flexible: Sequence[int], width: int) -> None:
    """Take from the widest flexible column, cell by cell, until the line fits or nothing more can give."""
    excess = sum(widths) + len(GAP) * (len(widths) - 1) - width
    while excess > 0:
        widest = max(flexible, key=lambda index: widths[index])
        if widths[widest] <= NARROWEST:
            return
        widths[widest] -= 1
        excess -= 1


def _aligned(cell: str, width: int, right: bool) -> str:
    padding = " " * (width - cells(cell))
    return padding + cell if right else cell + padding
