"""Rows of files, revisions and folders: what is written of a look, without any judgement of it."""

from __future__ import annotations

from typing import Final

from catalog.record.batch import INT64, Batch, bounded, now_ms, signed
from catalog.record.facts import Known
from catalog.record.rows import FileRow, split, text_of
from catalog.store.codes import OUTCOME, PRESENCE
from catalog.terms import Inspection, Outcome, Presence, Stat

_PRESENT: Final = PRESENCE.number[Presence.PRESENT]
_FOLDERS_LIMIT: Final = 20_000


def storable(stat: Stat) -> Stat:
    """A stat as the record holds it: u64 numbers signed, times beyond 64 bits of nanoseconds cut down.

    ext4 keeps times until 2446, 64 bits of nanoseconds end in 2262; such a file is looked at again and again.
    """
    if (
        stat.inode <= INT64
        and stat.dev <= INT64
        and -INT64 <= stat.mtime_ns <= INT64
        and -INT64 <= stat.ctime_ns <= INT64
    ):
        return stat
    return Stat(
        size=stat.size,
        mtime_ns=bounded(stat.mtime_ns),
        ctime_ns=bounded(stat.ctime_ns),
        inode=signed(stat.inode),
        dev=signed(stat.dev),
        nlink=stat.nlink,
        allocated=stat.allocated,
    )


class Files:
    """Writes through one batch. Ids of folders are remembered, and forgotten with a rolled-back transaction.

    Every ``stat`` here is ``storable``.
    """

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._folders: dict[tuple[int, bytes], int] = {}
        batch.after_rollback(self._folders.clear)

    def folder(self, root_id: int, path: bytes) -> int:
        """The id of a folder, which is made when it is new. Only inside a transaction."""
        found = self._folders.get((root_id, path))
        if found is not None:
            return found
        row = self._batch.lookup("SELECT dir_id FROM dir WHERE root_id = ? AND path = ?", (root_id, path))
        if row is None:
            found = self._batch.new_id("dir")
            self._batch.add("dir", (found, root_id, path, text_of(path)))
        else:
            found = int(row[0])
        if len(self._folders) >= _FOLDERS_LIMIT:
            self._batch.flush()
            self._folders.clear()
        self._folders[root_id, path] = found
        return found

    def add_revision(
        self, inspection: Inspection, stat: Stat, file_id: int, previous: int | None, content_id: int
    ) -> int:
        """One observed content state, with the path at which it was seen; its id."""
        job = inspection.job
        folder, name = split(job.path)
        rev_id = self._batch.new_id("revision")
        self._batch.add(
            "revision",
            (
                *(rev_id, file_id, previous, content_id),
                *(self.folder(job.root_id, folder), name, text_of(name)),
                *(stat.size, stat.mtime_ns, stat.ctime_ns, stat.inode, stat.dev, stat.nlink, stat.allocated),
                *(inspection.started_ms or now_ms(), self._batch.run_id),
            ),
        )
        return rev_id

    def add(self, inspection: Inspection, stat: Stat, known: Known, moment: int) -> tuple[int, int]:
        """A file that was never seen before, with its first revision; (file, revision)."""
        job = inspection.job
        file_id = self._batch.new_id("file")
        rev_id = self.add_revision(inspection, stat, file_id, None, known.content_id)
        folder, name = split(job.path)
        self._batch.add(
            "file",
            (
                *(file_id, job.root_id, self.folder(job.root_id, folder), name, text_of(name)),
                *(_PRESENT, OUTCOME.number[known.outcome], known.reason),
                *(stat.size, stat.mtime_ns, stat.ctime_ns, stat.inode, stat.nlink, stat.allocated),
                *(known.content_id, known.pixel_id, known.view_id, rev_id, rev_id),
                *(moment, moment, moment),
            ),
        )
        return file_id, rev_id

    def add_unread(self, root_id: int, path: bytes, outcome: Outcome, reason: str, moment: int) -> int:
        """A file of which nothing is known but that it is there; its id."""
        folder, name = split(path)
        file_id = self._batch.new_id("file")
        self._batch.add(
            "file",
            (
                *(file_id, root_id, self.folder(root_id, folder), name, text_of(name)),
                *(_PRESENT, OUTCOME.number[outcome], reason),
                *(0, 0, 0, 0, 1, 0),
                *(None,) * 5,
                *(moment, moment, moment),
            ),
        )
        return file_id

    def set_state(self, row: FileRow, stat: Stat, known: Known, moment: int, rev_id: int | None) -> None:
        """What the look showed. ``rev_id``: a new revision, which is the baseline, too, when it is the first."""
        settled = row.presence is Presence.PRESENT and row.outcome is known.outcome
        self._batch.execute(
            "UPDATE OR ROLLBACK file SET presence = 1, outcome = ?, reason = ?, size = ?, mtime_ns = ?, ctime_ns = ?,"
            " inode = ?, nlink = ?, allocated = ?, content_id = ?, pixel_id = ?, view_id = ?,"
            " rev_id = coalesce(?, rev_id), baseline_rev_id = coalesce(baseline_rev_id, ?),"
            " changed_ms = coalesce(?, changed_ms), state_since_ms = coalesce(?, state_since_ms)"
            " WHERE file_id = ?",
            (
                *(OUTCOME.number[known.outcome], known.reason),
                *(stat.size, stat.mtime_ns, stat.ctime_ns, stat.inode, stat.nlink, stat.allocated),
                *(known.content_id, known.pixel_id, known.view_id, rev_id, rev_id),
                *(None if rev_id is None else moment, None if settled else moment, row.file_id),
            ),
        )

    def verified(self, file_id: int, moment: int) -> None:
        """The bytes were read and are those of the record."""
        self._batch.execute(
            "INSERT INTO file_check (file_id, verified_ms, run_id) VALUES (?, ?, ?) ON CONFLICT (file_id)"
            " DO UPDATE SET verified_ms = excluded.verified_ms, run_id = excluded.run_id",
            (file_id, moment, self._batch.run_id),
        )

    def place(self, file_id: int, root_id: int, path: bytes) -> None:
        """Put the file's row at a path, which is free."""
        folder, name = split(path)
        self._batch.execute(
            "UPDATE file SET root_id = ?, dir_id = ?, name = ?, name_text = ?,"
            # Of all that were ever missed at this path, it is the one that is seen there next.
            " state_since_ms = CASE WHEN presence = 3 THEN max(state_since_ms, ?) ELSE state_since_ms END"
            " WHERE file_id = ?",
            (root_id, self.folder(root_id, folder), name, text_of(name), now_ms(), file_id),
        )
        self._batch.execute("UPDATE drift SET root_id = ? WHERE file_id = ?", (root_id, file_id))
