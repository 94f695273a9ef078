"""What a daemon says of each change, in a line: what happened, to which file, and why."""

from __future__ import annotations

import json
import logging
from typing import Any, Final

from catalog.drift import absence_words
from catalog.logs import CHANGES
from catalog.record.batch import Batch
from catalog.store.codes import EVENT_KIND
from catalog.terms import EventKind, counted, printable

log = logging.getLogger(CHANGES)

NEW_TOLD: Final = 20
"""New files of one transaction that get a line each; a first scan brings a thousand at once."""

_WORDS: Final = {
    EventKind.ADDED: "new",
    EventKind.CHANGED: "changed",
    EventKind.MOVED: "moved",
    EventKind.MISSING: "missing",
    EventKind.REAPPEARED: "there again",
    EventKind.UNREADABLE: "unreadable",
    EventKind.READABLE: "readable again",
    EventKind.RESTORED: "as accepted again",
    EventKind.REPAIRED: "repaired",
    EventKind.ACCEPTED: "accepted",
}
"""Events of files that get a line; the others have lines of their own, or change nothing."""

_EVENTS: Final = (
    "SELECT e.kind, e.detail, e.actor, r.path, d.path, f.name FROM event AS e JOIN file AS f USING (file_id)"
    " JOIN dir AS d ON d.dir_id = f.dir_id JOIN root AS r ON r.root_id = f.root_id"
    " WHERE e.event_id BETWEEN ? AND ? ORDER BY e.event_id"
)


def tell_changes(batch: Batch) -> None:
    """Have a line logged (level info) for each change that is recorded from now on, when it is durable."""

    def told(first: int, last: int) -> None:
        if log.isEnabledFor(logging.INFO):
            _tell(batch.committed(_EVENTS, (first, last)))

    batch.told = told


def _tell(rows: list[Any]) -> None:
    new = sum(EVENT_KIND.word[row[0]] is EventKind.ADDED for row in rows)
    for row in rows:
        kind = EVENT_KIND.word[row[0]]
        if kind in _WORDS and (kind is not EventKind.ADDED or new <= NEW_TOLD):
            log.info("%s", line(kind, json.loads(row[1] or "{}"), row[2], _path(row[3:])))
    if new > NEW_TOLD:
        log.info("%s", counted(new, "new file"))


def line(kind: EventKind, detail: dict[str, Any], actor: str | None, path: bytes) -> str:
    """``changed: /share/a.tif: metadata: pixels identical; tag Software changed``."""
    words = [f"{_WORDS[kind]}: {printable(path)}"]
    if kind is EventKind.MOVED:
        words[0] += f", from {detail.get('from')}"
    manner = detail.get("manner")
    if kind is EventKind.CHANGED and "kind" in detail:
        words.append(detail["kind"] if manner in (None, "ordinary") else f"{detail['kind']} ({manner})")
    if kind is EventKind.CHANGED and "kind" not in detail:
        words.append("back to the accepted content")
    if detail.get("reason"):
        words.append(absence_words(detail["reason"]) if kind is EventKind.MISSING else str(detail["reason"]))
    if kind is EventKind.ACCEPTED and actor:
        words.append(f"by {actor}")
    return ": ".join(words)


def _path(row: Any) -> bytes:
    root, folder, name = row
    below = folder + b"/" + name if folder else name
    return bytes(root.rstrip(b"/") + b"/" + below)
