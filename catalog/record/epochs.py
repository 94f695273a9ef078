"""Decoder epochs in the record: which one holds, and what was last looked at in an older one.

A digest of a lossy codec means something inside its epoch alone. When the decoders of this machine begin to
give other samples, its files leave their groups of duplicates in the same breath, and come back one by one
as they are looked at again. The older analyses stay; nothing is called changed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from catalog.record.batch import Batch, now_ms
from catalog.store.codes import FIDELITY, PARTING
from catalog.terms import EventKind, Fidelity, Toolchain

Question = Callable[[str, tuple[Any, ...]], list[Any]]
"""Runs a statement: its rows."""

_DECODER: Final = FIDELITY.number[Fidelity.DECODER]
_EXACT: Final = FIDELITY.number[Fidelity.EXACT]
_PART: Final = 2000
"""Files that leave their groups in one transaction (some 30 ms)."""

_OUTDATED: Final = (
    "a.epoch_id < ? AND a.fidelity <> ? AND NOT EXISTS"
    " (SELECT 1 FROM analysis AS n WHERE n.content_id = a.content_id AND n.epoch_id > a.epoch_id)"
)
"""The newest analysis of a content, of an older epoch, and not independent of the decoders."""
# The first condition is that of the index of contents, word for word.
_READABLE: Final = "f.presence <> 3 AND f.presence = 1 AND f.outcome IN (1, 3)"


class Outdated(NamedTuple):
    """A content that the present decoders have not seen."""

    content_id: int
    size: int
    compared: bool
    """Of the class ``decoder``: it would take part in comparisons of pixels."""


class Waiting(NamedTuple):
    """What the present decoders have not seen of one share."""

    files: int
    compared: int
    """Files among them that no comparison of pixels can take part in until then."""


def current_epoch(ask: Question, toolchain: Toolchain) -> tuple[int, bool]:
    """(number of the epoch that holds, whether it would be a new one)."""
    newest = ask("SELECT epoch_id, spec, digest FROM epoch ORDER BY epoch_id DESC LIMIT 1", ())
    if not newest:
        return 1, True
    epoch_id, spec, digest = newest[0]
    # A separation that was cut short has begun to end the newest one: its decoders came back too late.
    ended = bool(ask("SELECT 1 FROM setting WHERE name = ?", (PARTING,)))
    same = not ended and (spec, bytes(digest)) == (toolchain.spec, toolchain.epoch)
    return (epoch_id, False) if same else (epoch_id + 1, True)


def waiting(ask: Question, epoch_id: int) -> dict[int, Waiting]:
    """root_id → files that may still be there and were last looked at in an epoch before this one."""
    rows = ask(
        "SELECT f.root_id, count(*), sum(a.fidelity = ?) FROM analysis AS a"
        " JOIN file AS f ON f.content_id = a.content_id AND f.presence <> 3 AND f.outcome <> 4"
        " JOIN root AS r ON r.root_id = f.root_id AND r.state <> 3"
        f" WHERE {_OUTDATED} GROUP BY f.root_id",
        (_DECODER, epoch_id, _EXACT),
    )
    return {root_id: Waiting(files, compared) for root_id, files, compared in rows}


def volume(ask: Question, epoch_id: int) -> tuple[int, int]:
    """(contents, bytes) that must be read to bring every file to this epoch, as far as files can be read."""
    rows = ask(
        "SELECT count(*), coalesce(sum(c.size), 0) FROM analysis AS a JOIN content AS c USING (content_id)"
        f" WHERE {_OUTDATED} AND EXISTS (SELECT 1 FROM file AS f WHERE f.content_id = a.content_id AND {_READABLE})",
        (epoch_id, _EXACT),
    )
    return rows[0][0], rows[0][1]


class Epochs:
    """The epochs of one record, inside the batch's transactions."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch

    def enter(self, toolchain: Toolchain) -> int:
        """The number of the epoch that holds from now on; a row of its own for each time it begins.

        A new epoch begins with the separation of what was decoded before: in short transactions, unless one is
        open already. Killed half-way, it goes on the next time; nothing is recorded in the new epoch before. Should
        the older decoders be back by then, that is an epoch of its own, too: some files have left their groups.
        """
        alone = not self._batch.open
        epoch_id, new = current_epoch(self._batch.lookups, toolchain)
        if not new:
            return epoch_id
        parted = last = 0
        while files := self._attached(epoch_id, last):
            last = files[-1]
            marks = ",".join("?" * len(files))
            self._batch.execute(
                f"UPDATE file SET pixel_id = NULL, view_id = NULL WHERE file_id IN ({marks})", tuple(files)
            )
            parted += len(files)
            if alone:
                self._batch.execute("INSERT OR IGNORE INTO setting (name, value) VALUES (?, '')", (PARTING,))
                self._batch.commit()
        self._batch.execute("DELETE FROM setting WHERE name = ?", (PARTING,))
        self._batch.execute(
            "INSERT INTO epoch (epoch_id, spec, digest) VALUES (?, ?, ?)",
            (epoch_id, toolchain.spec, toolchain.epoch),
        )
        if epoch_id > 1:
            detail = {"epoch": toolchain.epoch.hex(), "files": parted}
            self._batch.event(EventKind.DECODER, at_ms=now_ms(), detail=detail)
        return epoch_id

    def _attached(self, epoch_id: int, after: int) -> list[int]:
        """Some files in groups of duplicates by a digest that an epoch before this one gave them."""
        rows = self._batch.rows(
            "SELECT f.file_id FROM file AS f WHERE f.file_id > ? AND f.content_id IS NOT NULL"
            " AND (f.pixel_id IS NOT NULL OR f.view_id IS NOT NULL) AND"
            " (SELECT a.fidelity FROM analysis AS a WHERE a.content_id = f.content_id AND a.epoch_id < ?"
            f" ORDER BY a.epoch_id DESC LIMIT 1) = ? ORDER BY f.file_id LIMIT {_PART}",
            (after, epoch_id, _DECODER),
        )
        return [row[0] for row in rows]

    # ---------------------------------------------------------------------------------------- looking again

    def outdated(self, epoch_id: int, after: int, limit: int) -> list[Outdated]:
        """Contents that the present decoders have not seen and that a readable file holds, by their number."""
        rows = self._batch.question(
            "SELECT c.content_id, c.size, a.fidelity = ? FROM analysis AS a JOIN content AS c USING (content_id)"
            f" WHERE a.content_id > ? AND {_OUTDATED} AND EXISTS"
            f" (SELECT 1 FROM file AS f WHERE f.content_id = a.content_id AND {_READABLE})"
            " ORDER BY a.content_id LIMIT ?",
            (_DECODER, after, epoch_id, _EXACT, limit),
        )
        return [Outdated(row[0], row[1], bool(row[2])) for row in rows]

    def seen(self, epoch_id: int, content_id: int) -> bool:
        """Whether a content was looked at in this epoch."""
        sql = "SELECT 1 FROM analysis WHERE content_id = ? AND epoch_id >= ?"
        return bool(self._batch.question(sql, (content_id, epoch_id)))

    def holders(self, content_id: int, limit: int = 16) -> list[int]:
        """Readable files (file_id) that hold a content, of shares that are there."""
        rows = self._batch.question(
            "SELECT f.file_id FROM file AS f JOIN root AS r ON r.root_id = f.root_id AND r.state = 1"
            f" WHERE f.content_id = ? AND {_READABLE} ORDER BY f.file_id LIMIT ?",
            (content_id, limit),
        )
        return [row[0] for row in rows]

    def unproven(self, after: int, limit: int) -> list[int]:
        """Files (file_id) with an open case that could not tell whether the picture changed."""
        rows = self._batch.question(
            "SELECT x.file_id FROM drift AS x JOIN file AS f ON f.file_id = x.file_id"
            " WHERE x.closed_ms IS NULL AND x.kind = 'unproven' AND f.presence <> 3 AND f.outcome IN (1, 3)"
            " AND x.file_id > ? ORDER BY x.file_id LIMIT ?",
            (after, limit),
        )
        return [row[0] for row in rows]
