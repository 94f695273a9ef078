"""The chain of seals over the events: what was recorded cannot be edited, deleted or reordered unseen.

Each transaction that adds events adds one seal: SHA-256 over the previous seal's chain (32 zero bytes before
the first), the seal's own line and the canonical lines of its events. A line is a JSON list without spaces,
in ASCII, and a line feed; an event's line ends with the raw digest of the content that ``to_rev_id`` stands
for. What was cut off at the end leaves no trace in here: only a head that left the machine shows it.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

BEFORE_THE_FIRST: Final = bytes(32)

_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=True).encode
_EVENTS: Final = (
    "SELECT e.event_id, e.at_ms, e.kind, e.root_id, e.file_id, e.from_rev_id, e.to_rev_id, e.run_id, e.actor,"
    " e.detail, c.sha256 FROM event AS e LEFT JOIN revision AS n ON n.rev_id = e.to_rev_id"
    " LEFT JOIN content AS c ON c.content_id = n.content_id"
    " WHERE e.event_id BETWEEN ? AND ? ORDER BY e.event_id"
)


def event_line(columns: Sequence[Any], sha256: bytes | None) -> bytes:
    """One event as the seal sees it: its ten columns in the order of the table, and a content's digest."""
    # What JSON makes of such a list, at half the price: most columns are integers or nothing.
    parts = [
        "null" if value is None else str(value) if type(value) is int else _encode(value) for value in columns
    ]
    parts.append("null" if sha256 is None else f'"{sha256.hex()}"')
    return f"[{','.join(parts)}]\n".encode("ascii")


def seal_line(seal_id: int, first_event_id: int, last_event_id: int, at_ms: int) -> bytes:
    return _encode([seal_id, first_event_id, last_event_id, at_ms]).encode("ascii") + b"\n"


def link(previous: bytes | None, seal: bytes, events: Iterable[bytes]) -> bytes:
    """The chain value of a seal, from the previous one's and the lines of this one."""
    digest = hashlib.sha256(BEFORE_THE_FIRST if previous is None else previous)
    digest.update(seal)
    for line in events:
        digest.update(line)
    return digest.digest()


@dataclass(frozen=True, slots=True)
class BrokenSeal:
    """Where the chain does not hold, and why, in words."""

    seal_id: int
    first_event_id: int
    last_event_id: int
    why: str


def verify(connection: sqlite3.Connection, *, head: bytes | None = None) -> BrokenSeal | None:
    """The first seal that does not hold, or None. Reads seal by seal, never in one long transaction.

    ``head``: a chain value that was noted elsewhere; the chain must still hold it. Raises sqlite3.Error.
    """
    previous: bytes | None = None
    number = last = 0
    head_found = head is None
    while True:
        seal = connection.execute(
            "SELECT seal_id, first_event_id, last_event_id, at_ms, chain FROM seal WHERE seal_id > ?"
            " ORDER BY seal_id LIMIT 1",
            (number,),
        ).fetchone()
        if seal is None:
            break
        seal_id, first_event, last_event, _, chain = seal
        if seal_id != number + 1:
            return BrokenSeal(number + 1, last + 1, last, "the seal is not there")
        if not _written_by_us(seal):
            return BrokenSeal(seal_id, last + 1, last, "it holds what was never written")
        why = _broken(connection, previous, seal, last)
        if why is not None:
            return BrokenSeal(seal_id, first_event, last_event, why)
        number, last, previous = seal_id, last_event, chain
        head_found = head_found or chain == head
    unsealed = connection.execute(
        "SELECT min(event_id), max(event_id), count(*) FROM event WHERE event_id > ?"
        # A batch of this very moment commits its events together with their seal.
        " AND NOT EXISTS (SELECT 1 FROM seal WHERE seal_id > ?)",
        (last, number),
    ).fetchone()
    if unsealed[2]:
        return BrokenSeal(number + 1, unsealed[0], unsealed[1], f"{unsealed[2]:,} events have no seal")
    if not head_found:
        return BrokenSeal(number, 1, last, "the chain does not hold the noted head: its end was cut off")
    return None


def _written_by_us(seal: tuple[Any, ...]) -> bool:
    """A damaged page gives values of any type."""
    *numbers, chain = seal
    return all(isinstance(number, int) for number in numbers) and isinstance(chain, bytes)


def _broken(
    connection: sqlite3.Connection, previous: bytes | None, seal: tuple[Any, ...], last: int
) -> str | None:
    seal_id, first_event, last_event, at_ms, chain = seal
    if first_event != last + 1 or last_event < first_event:
        return f"it begins at event {first_event}, not at {last + 1}"
    try:
        rows = connection.execute(_EVENTS, (first_event, last_event)).fetchall()
    except sqlite3.DatabaseError as error:
        # Without a code: Python could not make a value of what a page holds.
        if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF != sqlite3.SQLITE_CORRUPT:
            raise
        return f"its events cannot be read: {error}"
    if len(rows) != last_event - first_event + 1:
        return f"{last_event - first_event + 1 - len(rows):,} of its events are not there"
    try:
        lines = [event_line(row[:10], row[10]) for row in rows]
    except (TypeError, AttributeError):
        return "its events hold what was never written"
    if link(previous, seal_line(seal_id, first_event, last_event, at_ms), lines) != chain:
        return "its events, or the contents they speak of, are not those that were sealed"
    return None
