"""Aligned text for people: no rich, which takes longer to import than most questions take to answer."""

from __future__ import annotations

import os
import sys
import textwrap
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
    """The text in at most ``width`` cells, cut in the middle: both ends tell something."""
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
    below: Sequence[int] = (),
    wraps: bool = False,
    width: int | None = None,
) -> Iterator[str]:
    """Lines of a table: titles, then rows; control characters are escaped.

    ``right``: columns aligned to the right. When a line is wider than ``width`` cells (None: nothing is cut):
    with ``wraps`` the last column goes to lines of its own, below its row; then ``flexible`` columns are cut in
    the middle, and if that does not suffice columns of ``below`` go each to a line of its own, in full, the widest
    first: a path that is cut names no file.
    """
    drawn = [[printable(cell) for cell in row] for row in rows]
    widths = dict(enumerate(max(map(cells, column)) for column in zip(titles, *drawn, strict=True)))
    last = len(titles) - 1
    wrapped = wraps and width is not None and _line_width(widths) > width
    if wrapped:
        del widths[last]
    moved: list[int] = []
    if width is not None:
        widths, moved = _fitted(widths, [each for each in below if each in widths], flexible, width)
    for row in [list(titles), *drawn]:
        line = GAP.join(
            _aligned(shortened(row[index], wide) if index in flexible else row[index], wide, index in right)
            for index, wide in widths.items()
        )
        yield line.rstrip()
        yield from (INDENT + row[index] for index in moved if row[index])
        if wrapped and width is not None and row[-1]:
            yield from textwrap.wrap(
                row[-1], max(width, NARROWEST), initial_indent=INDENT, subsequent_indent=INDENT
            )


def blocks(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """What a table too wide for the terminal says, a line for each cell; an empty line parts its rows."""
    wide = max(map(cells, titles))
    for number, row in enumerate(rows):
        if number:
            yield ""
        for title, cell in zip(titles, row, strict=True):
            if cell:
                yield f"{_aligned(title, wide, False)}{GAP}{printable(cell)}"


def _line_width(widths: Mapping[int, int]) -> int:
    return sum(widths.values()) + len(GAP) * (len(widths) - 1)


def _fitted(
    widths: dict[int, int], below: Sequence[int], flexible: Sequence[int], width: int
) -> tuple[dict[int, int], list[int]]:
    """The columns that stay in the line with their widths, and those that leave it, in the order of the table."""
    leaving = sorted(below, key=lambda index: -widths[index])
    for number in range(len(leaving) + 1):
        moved = sorted(leaving[:number])
        left = {index: wide for index, wide in widths.items() if index not in moved}
        _squeeze(left, [index for index in flexible if index in left], width)
        if _line_width(left) <= width:
            break
    return left, moved


def _squeeze(widths: dict[int, int], flexible: Sequence[int], width: int) -> None:
    """Take from the widest flexible column, cell by cell, until the line fits or nothing more can give."""
    excess = _line_width(widths) - width
    while excess > 0 and flexible:
        widest = max(flexible, key=lambda index: widths[index])
        if widths[widest] <= NARROWEST:
            return
        widths[widest] -= 1
        excess -= 1


def _aligned(cell: str, width: int, right: bool) -> str:
    padding = " " * (width - cells(cell))
    return padding + cell if right else cell + padding
