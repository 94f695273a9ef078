"""Mass changes of a share's contents, as they are recorded: counted by kind, and kept with the share."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Final

from catalog.record.batch import Batch
from catalog.terms import Kind

_CONTENTLESS: Final = tuple(kind.value for kind in (Kind.MISSING, Kind.UNREADABLE))


@dataclass(frozen=True, slots=True)
class Mass:
    """Files of one share whose content changed so close together that it is one thing."""

    event_id: int
    """The alarm."""
    since_ms: int
    """When the first of the cases became what it is."""
    until_ms: int
    """When it was counted last."""
    files: int
    of: int
    """Files of the share that may be there."""
    kinds: dict[str, int]


class Masses:
    """What ``root.mass_change`` holds, inside the batch's transactions."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch

    def changed(self, root_id: int, since_ms: int) -> tuple[int, dict[str, int]]:
        """(when the first of them was judged, kind → number) of the open cases of contents since a time."""
        # Each severity by itself: that is the order of the index.
        rows = self._batch.question(
            "SELECT kind, count(*), min(updated_ms) FROM drift INDEXED BY ix_drift_order"
            " WHERE closed_ms IS NULL AND severity IN (1, 2, 3, 4) AND updated_ms >= ? AND root_id = ?"
            " AND kind NOT IN (?, ?) GROUP BY kind ORDER BY count(*) DESC, kind",
            (since_ms, root_id, *_CONTENTLESS),
        )
        return min((row[2] for row in rows), default=since_ms), {row[0]: row[1] for row in rows}

    def standing(self, root_id: int) -> Mass | None:
        """The mass of which was told last."""
        rows = self._batch.question("SELECT mass_change FROM root WHERE root_id = ?", (root_id,))
        return Mass(**json.loads(rows[0][0])) if rows and rows[0][0] else None

    def keep(self, root_id: int, mass: Mass) -> None:
        """Let ``status`` tell of it."""
        text = json.dumps(asdict(mass), sort_keys=True)
        self._batch.execute("UPDATE root SET mass_change = ? WHERE root_id = ?", (text, root_id))
