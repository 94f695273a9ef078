"""The one way to answer: a JSON document, NDJSON, CSV, paths, or words for people.

stdout carries the answer and nothing else. Every answer stands in a frame (``schema``, ``as_of``,
``complete``, ``incomplete``); a listing says once how its rows look in each format.
"""

from __future__ import annotations

import io
import json
import math
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any, Final

from catalog.cli import tables
from catalog.cli.context import Invocation
from catalog.cli.options import Format
from catalog.terms import Level, counted, iso, printable

Row = Mapping[str, Any]
"""One row as JSON shows it; a path by ``terms.path_fields``."""

LEVEL_WORDS: Final = {
    Level.BYTES: "same bytes",
    Level.PAYLOAD: "same payload",
    Level.PIXELS: "same pixels",
    Level.VIEW: "same on screen",
}
"""What a table calls the identity levels."""


@dataclass(frozen=True, slots=True)
class Incomplete:
    """Why an answer may lack something. ``root`` is None where no share is concerned."""

    root: str | None
    reason: str
    files: int = 0

    @property
    def words(self) -> str:
        where = f"{self.root}: " if self.root else ""
        return where + self.reason + (f" ({counted(self.files, 'file')})" if self.files else "")


@dataclass(frozen=True, slots=True)
class Frame:
    """What stands around every answer. ``schema`` is ``catalog.files/1``; ``as_of_ms`` None means now."""

    schema: str
    as_of_ms: int | None = None
    incomplete: tuple[Incomplete, ...] = ()

    def fields(self) -> dict[str, Any]:
        now = time.time_ns() // 1_000_000
        return {
            "schema": self.schema,
            "as_of": iso(now if self.as_of_ms is None else self.as_of_ms),
            "complete": not self.incomplete,
            "incomplete": [
                {"root": item.root, "reason": item.reason, "files": item.files} for item in self.incomplete
            ],
        }


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table for people. ``words`` makes the cell from a row; None is an empty cell."""

    title: str
    words: Callable[[Row], str | None]
    right: bool = False
    flexible: bool = False
    """May be cut in the middle when the terminal is narrow (values)."""
    below: bool = False
    """Goes to a line of its own, in full, when the terminal is narrow: paths, which are there to be copied."""
    wraps: bool = False
    """Of the last column: goes below its row when the terminal is narrow (sentences)."""


@dataclass(frozen=True, slots=True)
class Listing:
    """How the rows of one question look in each format."""

    name: str
    """The JSON key of the rows: ``files``, ``groups`` …"""
    columns: tuple[Column, ...]
    fields: tuple[str, ...]
    """The CSV header; a dot descends (``raw.sha256``). ``path`` brings ``path_b64`` with it."""
    empty: str
    """What a person reads when there are no rows: ``no duplicates``."""
    location: Callable[[Row], bytes] | None = None
    """The absolute path of a (flat) row, for ``--paths``; None: the command has no ``--paths``."""
    flat: Callable[[Row], Iterable[Row]] = field(default=lambda row: (row,))
    """Rows of CSV, paths and table where a JSON row holds several (a group of duplicates and its files)."""


# ---------------------------------------------------------------------------------------------- answering


def answer(
    frame: Frame, body: Mapping[str, Any], *, as_json: bool, words: Callable[[], Iterable[str]]
) -> None:
    """One document: ``body`` inside the frame as JSON, or lines for people (escaped here)."""
    if as_json:
        write(_json({**frame.fields(), **body}, _indented if on_terminal() else _compact) + "\n")
    else:
        for line in words():
            write_line(line)


def answer_rows(
    invocation: Invocation,
    frame: Frame,
    listing: Listing,
    rows: Iterable[Row],
    *,
    form: Format = Format.TABLE,
    limit: int | None = None,
    more: Mapping[str, Any] | None = None,
) -> None:
    """A listing in the format that was asked for.

    ``rows`` may be lazy; no more than ``limit`` + 1 of them are taken, so a query may stop there, too.
    ``more`` holds further fields of the JSON document (``totals``). When ``limit`` cut something off, the
    document says ``"truncated": true`` and people read it on stderr.
    """
    cut = _Cut(rows, limit)
    if form is Format.JSON:
        _write_document(frame, listing, cut, more or {})
        return
    if form is Format.NDJSON:
        for row in cut:
            write(_json(row) + "\n")
    elif form is Format.CSV:
        _write_csv(listing, cut)
    elif form in (Format.PATHS, Format.PATHS0):
        _write_paths(listing, cut, b"\0" if form is Format.PATHS0 else b"\n")
    else:
        _write_table(listing, cut)
    if cut.truncated:
        invocation.say(f"only the first {limit}; there is more")
    for item in frame.incomplete:
        invocation.warn(f"incomplete: {item.words}")


class _Cut:
    """The first rows; afterwards ``truncated`` says whether there were more."""

    def __init__(self, rows: Iterable[Row], limit: int | None) -> None:
        self._rows = iter(rows)
        self._limit = limit
        self.truncated = False

    def __iter__(self) -> Iterator[Row]:
        yield from islice(self._rows, self._limit)
        if self._limit is not None:
            self.truncated = next(self._rows, None) is not None


def _write_document(frame: Frame, listing: Listing, rows: _Cut, more: Mapping[str, Any]) -> None:
    """The document with one row a line, written as the rows come: a million rows need no memory."""
    opening = _json({**frame.fields(), **more})
    write(f"{opening[:-1]}, {_json(listing.name)}: [")
    separator = "\n"
    for row in rows:
        write(separator + _json(row))
        separator = ",\n"
    end = "" if separator == "\n" else "\n"
    write(f'{end}], "truncated": {_json(rows.truncated)}}}\n')


def _write_csv(listing: Listing, rows: Iterable[Row]) -> None:
    import csv

    header = list(
        chain.from_iterable((name, "path_b64") if name == "path" else (name,) for name in listing.fields)
    )
    terminal = on_terminal()
    line = io.StringIO()
    writer = csv.writer(line, lineterminator="\n")

    def put(values: Iterable[str]) -> None:
        writer.writerow(values)
        text = line.getvalue()
        line.seek(0)
        line.truncate()
        write(_tame(text) if terminal else text)

    put(header)
    for row in chain.from_iterable(map(listing.flat, rows)):
        put(_csv_value(_within(row, name)) for name in header)


def _within(row: Any, name: str) -> Any:
    for part in name.split("."):
        row = row.get(part) if isinstance(row, Mapping) else None
    return row


def _csv_value(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return _json(value)


def _write_paths(listing: Listing, rows: Iterable[Row], end: bytes) -> None:
    assert listing.location is not None, "a command without location offers no --paths"
    terminal = on_terminal()
    for row in chain.from_iterable(map(listing.flat, rows)):
        path = listing.location(row)
        write((printable(path).encode() if terminal else path) + end)


def _write_table(listing: Listing, rows: Iterable[Row]) -> None:
    drawn = [
        [column.words(row) or "" for column in listing.columns]
        for row in chain.from_iterable(map(listing.flat, rows))
    ]
    if not drawn:
        write_line(listing.empty)
        return
    lines = tables.table(
        [column.title for column in listing.columns],
        drawn,
        right=[index for index, column in enumerate(listing.columns) if column.right],
        flexible=[index for index, column in enumerate(listing.columns) if column.flexible],
        below=[index for index, column in enumerate(listing.columns) if column.below],
        wraps=listing.columns[-1].wraps,
        width=tables.terminal_width(),
    )
    for line in lines:
        write_line(line)


# ------------------------------------------------------------------------------------------------ writing


def on_terminal() -> bool:
    """Whether the answer goes to a terminal."""
    return sys.stdout is not None and sys.stdout.isatty()


def write_line(line: str) -> None:
    """A line for people, in the terminal's encoding; control characters are escaped."""
    print(printable(line))


def write(answer: str | bytes) -> None:
    """Part of an answer for programs: UTF-8, or bytes as they are.

    It goes past the text layer of stdout: one command answers through ``write`` or ``write_line``, not both.
    """
    content = answer.encode() if isinstance(answer, str) else answer
    if sys.stdout is not None:
        sys.stdout.buffer.write(content)


# Control characters and bidirectional overrides: they stand in JSON strings only, never between them, so
# they may be written as escapes. Everything else stays readable.
_UNTAMED = re.compile("[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_CONTROLS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


_compact = json.JSONEncoder(ensure_ascii=False, allow_nan=False)
_indented = json.JSONEncoder(ensure_ascii=False, allow_nan=False, indent=2)


def _json(value: Any, encoder: json.JSONEncoder = _compact) -> str:
    try:
        text = encoder.encode(value)
    except ValueError:
        text = encoder.encode(_finite(value))
    return _UNTAMED.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _finite(value: Any) -> Any:
    """JSON has neither NaN nor infinity, TIFF tags have: ``"NaN"``, ``"Infinity"``, ``"-Infinity"``."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def _tame(text: str) -> str:
    return _CONTROLS.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)
