"""The only writer of files, revisions and events: turns what was seen into what is known."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from sqlalchemy import Engine

from catalog import drift
from catalog.record.batch import Batch, now_ms, signed
from catalog.record.cases import Cases
from catalog.record.facts import Facts, Known
from catalog.record.rows import FileRow, Rows, split, text_of
from catalog.store.codes import OUTCOME, PRESENCE
from catalog.terms import (
    EventKind,
    Inspection,
    Kind,
    Manner,
    Outcome,
    Presence,
    Stat,
    Toolchain,
    path_fields,
)


class Recorded(StrEnum):
    """What recording one inspection came to."""

    ADDED = "added"
    CHANGED = "changed"
    TOUCHED = "touched"
    REAPPEARED = "reappeared"
    UNCHANGED = "unchanged"


class MountFacts:
    """What can be trusted of a root's stat fields; from the root's row."""

    def __init__(self, inode_trusted: bool, ctime_trusted: bool, mtime_granularity_ns: int) -> None:
        self.inode_trusted = inode_trusted
        self.ctime_trusted = ctime_trusted
        self.mtime_granularity_ns = mtime_granularity_ns


class Recorder:
    """Records inspections, moves and absences of files. Used by one thread; holds one connection.

    Nothing is durable before ``commit``; ``due`` says when it is time. After an error the open transaction
    is rolled back by ``commit`` or must be by ``rollback``; the disk is the truth, and the next walk finds
    what was lost.
    """

    def __init__(self, engine: Engine, database: str, toolchain: Toolchain) -> None:
        self.batch = Batch(engine, database)
        self.rows = Rows(self.batch)
        self.cases = Cases(self.batch)
        self.facts = Facts(self.batch, toolchain)
        self._folders: dict[tuple[int, bytes], int] = {}
        self._mounts: dict[int, MountFacts] = {}

    # ------------------------------------------------------------------------------------ transaction

    @property
    def due(self) -> bool:
        return self.batch.due

    def commit(self) -> None:
        self.batch.commit()
        self.facts.trim()

    def rollback(self) -> None:
        self.batch.rollback()
        self._folders.clear()

    def close(self) -> None:
        """Commit what waits and close the connections."""
        try:
            self.commit()
        finally:
            self.batch.close()

    def known(self, sha256s: Sequence[bytes], *, loaders: bool) -> set[bytes]:
        """See ``Facts.known``."""
        return self.facts.known(sha256s, loaders=loaders)

    def trust(self, root_id: int) -> MountFacts:
        found = self._mounts.get(root_id)
        if found is None:
            row = self.batch.question(
                "SELECT inode_trusted, ctime_trusted, mtime_granularity_ns FROM root WHERE root_id = ?",
                (root_id,),
            )[0]
            found = self._mounts[root_id] = MountFacts(bool(row[0]), bool(row[1]), row[2])
        return found

    def forget_mounts(self) -> None:
        """The roots' trust flags may have changed."""
        self._mounts.clear()

    # ---------------------------------------------------------------------------------------- folders

    def folder(self, root_id: int, path: bytes) -> int:
        """The id of a folder, which is made when it is new. Only inside a transaction."""
        found = self._folders.get((root_id, path))
        if found is not None:
            return found
        row = self.batch.lookup("SELECT dir_id FROM dir WHERE root_id = ? AND path = ?", (root_id, path))
        if row is None:
            found = self.batch.new_id("dir")
            self.batch.add("dir", (found, root_id, path, text_of(path)))
        else:
            found = int(row[0])
        if len(self._folders) > 20_000:
            self.batch.flush()
            self._folders.clear()
        self._folders[root_id, path] = found
        return found

    # ------------------------------------------------------------------------------------ inspections

    def record(self, inspection: Inspection, row: FileRow | None) -> Recorded:
        """Record a look that has digests. ``row``: the file whose history it continues, None for a new one.

        Raises LookupError when the content must be decoded after all (see ``Facts.intern``).
        """
        self.batch.begin()
        known = self.facts.intern(inspection)
        self.batch.files += 1
        if row is None:
            self._added(inspection, known)
            return Recorded.ADDED
        if row.content_id == known.content_id:
            return self._same_content(inspection, row, known)
        return self._changed(inspection, row, known)

    def _revision(self, inspection: Inspection, file_id: int, previous: int | None, known: Known) -> int:
        stat, job = inspection.stat, inspection.job
        assert stat is not None
        folder, name = split(job.path)
        rev_id = self.batch.new_id("revision")
        self.batch.add(
            "revision",
            (
                rev_id,
                file_id,
                previous,
                known.content_id,
                self.folder(job.root_id, folder),
                name,
                text_of(name),
                stat.size,
                stat.mtime_ns,
                stat.ctime_ns,
                signed(stat.inode),
                signed(stat.dev),
                stat.nlink,
                stat.allocated,
                inspection.started_ms or now_ms(),
                self.batch.run_id,
            ),
        )
        return rev_id

    def _added(self, inspection: Inspection, known: Known) -> int:
        stat, job, moment = inspection.stat, inspection.job, now_ms()
        assert stat is not None
        folder, name = split(job.path)
        dir_id = self.folder(job.root_id, folder)
        file_id = self.batch.new_id("file")
        rev_id = self._revision(inspection, file_id, None, known)
        self.batch.add(
            "file",
            (
                file_id,
                job.root_id,
                dir_id,
                name,
                text_of(name),
                PRESENCE.number[Presence.PRESENT],
                OUTCOME.number[known.outcome],
                known.reason,
                stat.size,
                stat.mtime_ns,
                stat.ctime_ns,
                signed(stat.inode),
                stat.nlink,
                stat.allocated,
                known.content_id,
                known.pixel_id,
                known.view_id,
                rev_id,
                rev_id,
                moment,
                moment,
                moment,
            ),
        )
        self.batch.event(
            EventKind.ADDED,
            at_ms=moment,
            root_id=job.root_id,
            file_id=file_id,
            to_rev=rev_id,
            sha256=inspection.sha256,
        )
        return file_id

    def _same_content(self, inspection: Inspection, row: FileRow, known: Known) -> Recorded:
        """The bytes are what they were: refresh the stat, note that they were verified."""
        stat = inspection.stat
        assert stat is not None
        back = row.presence is Presence.MISSING
        readable = row.outcome is Outcome.UNREADABLE
        moved = _moved_fields(row, stat)
        self._set_state(row, stat, known, changed=False)
        moment = now_ms()
        self.batch.execute(
            "INSERT INTO file_check (file_id, verified_ms, run_id) VALUES (?, ?, ?) ON CONFLICT (file_id)"
            " DO UPDATE SET verified_ms = excluded.verified_ms, run_id = excluded.run_id",
            (row.file_id, inspection.started_ms or moment, self.batch.run_id),
        )
        kind = EventKind.REAPPEARED if back else EventKind.READABLE if readable else EventKind.TOUCHED
        if back or readable or moved:
            self.batch.event(
                kind,
                at_ms=moment,
                root_id=row.root_id,
                file_id=row.file_id,
                to_rev=row.rev_id,
                sha256=inspection.sha256,
                detail={"moved": moved} if moved else None,
            )
        if back or readable:
            self.cases.reopen_after_absence(row)
        return Recorded.REAPPEARED if back else Recorded.TOUCHED if moved else Recorded.UNCHANGED

    def _changed(self, inspection: Inspection, row: FileRow, known: Known) -> Recorded:
        """Another content: a new revision, judged against the baseline."""
        stat, moment = inspection.stat, now_ms()
        assert stat is not None
        back = row.presence is Presence.MISSING
        manner = Manner.ORDINARY
        if row.rev_id is not None and not back:
            trust = self.trust(row.root_id)
            manner = drift.manner(
                row.stat,
                stat,
                ctime_trusted=trust.ctime_trusted,
                mtime_granularity_ns=trust.mtime_granularity_ns,
            )
        rev_id = self._revision(inspection, row.file_id, row.rev_id, known)
        self.batch.flush()
        self._set_state(row, stat, known, changed=True)
        first = row.rev_id is None
        self.batch.execute(
            "UPDATE file SET rev_id = ?, baseline_rev_id = coalesce(baseline_rev_id, ?) WHERE file_id = ?",
            (rev_id, rev_id, row.file_id),
        )
        kind = EventKind.ADDED if first else EventKind.REAPPEARED if back else EventKind.CHANGED
        verdict = None if first else self.cases.content_changed(row, known.content_id, rev_id, manner)
        detail: dict[str, Any] | None = None
        if verdict is not None and verdict.kind is not None:
            detail = {
                "kind": verdict.kind.value,
                "manner": manner.value,
                "reason": "; ".join(verdict.reasons),
            }
        self.batch.event(
            kind,
            at_ms=moment,
            root_id=row.root_id,
            file_id=row.file_id,
            from_rev=row.rev_id,
            to_rev=rev_id,
            sha256=inspection.sha256,
            detail=detail,
        )
        return Recorded.ADDED if first else Recorded.CHANGED

    def _set_state(self, row: FileRow, stat: Stat, known: Known, *, changed: bool) -> None:
        moment = now_ms()
        state_moved = row.presence is not Presence.PRESENT or row.outcome is not known.outcome
        self.batch.execute(
            "UPDATE file SET presence = 1, outcome = ?, reason = ?, size = ?, mtime_ns = ?, ctime_ns = ?,"
            " inode = ?, nlink = ?, allocated = ?, content_id = ?, pixel_id = ?, view_id = ?,"
            " changed_ms = CASE WHEN ? THEN ? ELSE changed_ms END,"
            " state_since_ms = CASE WHEN ? THEN ? ELSE state_since_ms END WHERE file_id = ?",
            (
                OUTCOME.number[known.outcome],
                known.reason,
                stat.size,
                stat.mtime_ns,
                stat.ctime_ns,
                signed(stat.inode),
                stat.nlink,
                stat.allocated,
                known.content_id,
                known.pixel_id,
                known.view_id,
                changed,
                moment,
                state_moved,
                moment,
                row.file_id,
            ),
        )

    def failed(self, root_id: int, path: bytes, row: FileRow | None, outcome: Outcome, reason: str) -> None:
        """The file is there, but cannot be read (``unreadable``) or does not come to rest (``pending``).

        A file that was read before keeps its last content; what is known is not lost with one bad read.
        """
        self.batch.begin()
        moment = now_ms()
        if row is None:
            row = self._placeholder(root_id, path, outcome, reason)
        elif row.outcome is outcome and row.presence is Presence.PRESENT:
            self.batch.execute("UPDATE file SET reason = ? WHERE file_id = ?", (reason, row.file_id))
            return
        else:
            self.batch.execute(
                "UPDATE file SET presence = 1, outcome = ?, reason = ?, state_since_ms = ? WHERE file_id = ?",
                (OUTCOME.number[outcome], reason, moment, row.file_id),
            )
        if outcome is Outcome.UNREADABLE:
            self.batch.event(
                EventKind.UNREADABLE,
                at_ms=moment,
                root_id=root_id,
                file_id=row.file_id,
                detail={"reason": reason},
            )
            self.cases.gone(row, Kind.UNREADABLE, reason)

    def _placeholder(self, root_id: int, path: bytes, outcome: Outcome, reason: str) -> FileRow:
        """A row for a file of which nothing is known but that it is there."""
        moment = now_ms()
        folder, name = split(path)
        file_id = self.batch.new_id("file")
        fields = (PRESENCE.number[Presence.PRESENT], OUTCOME.number[outcome], reason)
        self.batch.add(
            "file",
            (
                *(file_id, root_id, self.folder(root_id, folder), name, text_of(name)),
                *fields,
                *(0, 0, 0, 0, 1, 0),
                *(None,) * 5,
                *(moment,) * 3,
            ),
        )
        self.batch.flush()
        return self.rows.by_id(file_id)

    # -------------------------------------------------------------------------------------- placement

    def move(self, row: FileRow, root_id: int, path: bytes) -> FileRow:
        """The file is now at another path (of any root): its history goes with it.

        The living file that was recorded at the new path must have been moved or proven gone before
        (``displace``). Returns the row under its new path.
        """
        self.batch.begin()
        folder, name = split(path)
        self.batch.execute(
            "UPDATE file SET root_id = ?, dir_id = ?, name = ?, name_text = ? WHERE file_id = ?",
            (root_id, self.folder(root_id, folder), name, text_of(name), row.file_id),
        )
        self.batch.event(
            EventKind.MOVED,
            at_ms=now_ms(),
            root_id=root_id,
            file_id=row.file_id,
            to_rev=row.rev_id,
            detail={**path_fields(row.absolute, "from"), **path_fields(path, "to")},
        )
        self.batch.execute("UPDATE drift SET root_id = ? WHERE file_id = ?", (root_id, row.file_id))
        self.batch.flush()
        return self.rows.by_id(row.file_id)

    def displace(self, row: FileRow) -> None:
        """Free a path that is about to be taken by a file that moves there, while this one moves away, too."""
        # No real name holds a NUL: the place is unique, and never seen outside this transaction.
        aside = b"\0" + str(row.file_id).encode("ascii")
        self.batch.execute("UPDATE file SET name = ? WHERE file_id = ?", (aside, row.file_id))

    def suspect(self, row: FileRow) -> None:
        """Not seen; the absence is not proven yet."""
        if row.presence is Presence.PRESENT:
            self.batch.execute(
                "UPDATE file SET presence = 2, state_since_ms = ? WHERE file_id = ?", (now_ms(), row.file_id)
            )

    def still_there(self, row: FileRow) -> None:
        """A suspect was seen again, untouched."""
        self.batch.execute(
            "UPDATE file SET presence = 1, state_since_ms = ? WHERE file_id = ? AND presence = 2",
            (now_ms(), row.file_id),
        )

    def missing(self, row: FileRow, reason: str) -> None:
        """The absence is proven: a tombstone, an event, and a case."""
        moment = now_ms()
        self.batch.execute(
            "UPDATE file SET presence = 3, reason = ?, state_since_ms = ? WHERE file_id = ?",
            (reason, moment, row.file_id),
        )
        self.batch.event(
            EventKind.MISSING,
            at_ms=moment,
            root_id=row.root_id,
            file_id=row.file_id,
            from_rev=row.rev_id,
            detail={"reason": reason, **path_fields(row.path)},
        )
        self.cases.gone(row, Kind.MISSING, reason)


def _moved_fields(row: FileRow, stat: Stat) -> list[str]:
    pairs = {
        "size": (row.size, stat.size),
        "mtime": (row.mtime_ns, stat.mtime_ns),
        "ctime": (row.ctime_ns, stat.ctime_ns),
        "inode": (row.inode, signed(stat.inode)),
    }
    return [name for name, (old, new) in pairs.items() if old != new]
