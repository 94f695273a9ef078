"""The only writer of files, revisions and events: turns what was seen into what is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from catalog import drift
from catalog.record.batch import Batch, now_ms
from catalog.record.cases import Cases
from catalog.record.facts import Facts, Known
from catalog.record.files import Files, storable
from catalog.record.rows import FileRow, Rows
from catalog.store.codes import FIDELITY, OUTCOME
from catalog.terms import (
    EventKind,
    Inspection,
    Job,
    Kind,
    Limits,
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


@dataclass(frozen=True, slots=True)
class MountFacts:
    """What can be trusted of a root's stat fields; from the root's row."""

    inode_trusted: bool
    ctime_trusted: bool
    mtime_granularity_ns: int


class Recorder:
    """Records inspections, moves and absences of files. Used by one thread; holds one connection.

    Nothing is durable before ``commit``; ``due`` says when it is time. After an error call ``rollback``: the
    disk is the truth, and the next walk finds what was lost. Every ``FileRow`` that is handed in may be old:
    the record is asked again, so that neither an accept nor a move of the meantime is undone.

    ``auto_accept``: kinds of drift whose ordinary cases become the new baseline by themselves; never damage
    nor absence. ``toolchain``: see ``Facts``.
    """

    def __init__(
        self,
        database: str,
        toolchain: Toolchain | Callable[[], Toolchain],
        *,
        auto_accept: frozenset[Kind] = frozenset(),
    ) -> None:
        self.batch = Batch(database)
        try:
            self.rows = Rows(self.batch)
            self.facts = Facts(self.batch, toolchain)
            self.cases = Cases(self.batch, self.facts, auto_accept)
        except BaseException:
            self.batch.close()
            raise
        self._files = Files(self.batch)
        self._mounts: dict[int, MountFacts] = {}
        self.outcome = Outcome.OK
        """What the look that was recorded last came to."""
        self.flawed = False
        """Whether it found damage, or a limit in its way."""

    # ------------------------------------------------------------------------------------ transaction

    @property
    def due(self) -> bool:
        return self.batch.due

    def commit(self) -> None:
        self.batch.commit()
        self.facts.trim()

    def rollback(self) -> None:
        self.batch.rollback()

    def close(self) -> None:
        """Commit what waits and close the connections."""
        try:
            self.commit()
            self.batch.optimize()
        finally:
            self.batch.close()

    def known(self, sha256s: Sequence[bytes], *, loaders: bool, limits: Limits | None = None) -> set[bytes]:
        """See ``Facts.known``."""
        return self.facts.known(sha256s, loaders=loaders, limits=limits)

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

    # ------------------------------------------------------------------------------------ inspections

    def record(self, inspection: Inspection, row: FileRow | None) -> Recorded:
        """Record a look that has digests. ``row``: the file whose history it continues, None for a new one.

        Raises ContentUnknown when the content must be decoded after all (see ``Facts.intern``).
        """
        self.batch.begin()
        assert inspection.stat is not None
        stat = storable(inspection.stat)
        current = None if row is None else self._current(row, inspection.job)
        known = self.facts.intern(inspection)
        self.outcome, self.flawed = known.outcome, known.flawed
        self.batch.count_file()
        if known.renewed:
            self._renewed(known, inspection.sha256)
        if current is None:
            self._added(inspection, stat, known)
            return Recorded.ADDED
        if current.content_id == known.content_id:
            return self._same_content(inspection, stat, current, known)
        return self._changed(inspection, stat, current, known)

    def _current(self, row: FileRow, job: Job) -> FileRow | None:
        """The file as it is recorded now; whoever is recorded at the path when it is no longer there."""
        found = self.rows.find(row.file_id)
        if found is not None and (found.root_id, found.path) == (job.root_id, job.path):
            return found
        return self.rows.at(job.root_id, job.path)

    def _added(self, inspection: Inspection, stat: Stat, known: Known) -> None:
        moment = now_ms()
        file_id, rev_id = self._files.add(inspection, stat, known, moment)
        self.batch.event(
            EventKind.ADDED,
            at_ms=moment,
            root_id=inspection.job.root_id,
            file_id=file_id,
            to_rev=rev_id,
            sha256=inspection.sha256,
        )

    def _same_content(self, inspection: Inspection, stat: Stat, row: FileRow, known: Known) -> Recorded:
        """The bytes are what they were: refresh the stat, note that they were verified."""
        moment = now_ms()
        back = row.presence is Presence.MISSING
        readable = row.outcome is Outcome.UNREADABLE
        moved = self._moved_fields(row, stat)
        self._files.set_state(row, stat, known, moment, None)
        self._files.verified(row.file_id, inspection.started_ms or moment)
        if back or readable or moved:
            kind = EventKind.REAPPEARED if back else EventKind.READABLE if readable else EventKind.TOUCHED
            self.batch.event(
                kind,
                at_ms=moment,
                root_id=row.root_id,
                file_id=row.file_id,
                to_rev=row.rev_id,
                sha256=inspection.sha256,
                detail={"moved": moved} if moved else None,
            )
        if back or row.outcome in (Outcome.UNREADABLE, Outcome.PENDING):
            self.cases.read_again(row)
        return Recorded.REAPPEARED if back else Recorded.TOUCHED if moved else Recorded.UNCHANGED

    def _moved_fields(self, row: FileRow, stat: Stat) -> list[str]:
        """Which stat fields say that somebody touched the file, as far as its mount keeps them."""
        trust = self.trust(row.root_id)
        granule = max(1, trust.mtime_granularity_ns)
        pairs = {
            "size": row.size != stat.size,
            "mtime": row.mtime_ns // granule != stat.mtime_ns // granule,
            "ctime": trust.ctime_trusted and row.ctime_ns != stat.ctime_ns,
            "inode": trust.inode_trusted and row.inode != stat.inode,
        }
        return [name for name, moved in pairs.items() if moved]

    def _changed(self, inspection: Inspection, stat: Stat, row: FileRow, known: Known) -> Recorded:
        """Another content: a new revision, judged against the baseline."""
        moment = now_ms()
        first, back = row.rev_id is None, row.presence is Presence.MISSING
        manner = Manner.ORDINARY
        if not first and not back:
            trust = self.trust(row.root_id)
            manner = drift.manner(
                row.stat,
                stat,
                ctime_trusted=trust.ctime_trusted,
                mtime_granularity_ns=trust.mtime_granularity_ns,
            )
        rev_id = self._files.add_revision(inspection, stat, row.file_id, row.rev_id, known.content_id)
        self._files.set_state(row, stat, known, moment, rev_id)
        self.batch.execute("DELETE FROM file_check WHERE file_id = ?", (row.file_id,))
        judgement = None if first else self.cases.judge(row, known.content_id, rev_id, manner)
        self.batch.event(
            EventKind.ADDED if first else EventKind.REAPPEARED if back else EventKind.CHANGED,
            at_ms=moment,
            root_id=row.root_id,
            file_id=row.file_id,
            from_rev=row.rev_id,
            to_rev=rev_id,
            sha256=inspection.sha256,
            detail=judgement.told() if judgement is not None else None,
        )
        if not first:
            self.cases.settle(row, judgement, rev_id)
        return Recorded.ADDED if first else Recorded.CHANGED

    def _renewed(self, known: Known, sha256: bytes | None) -> None:
        """A content was analysed anew: every living file that holds it refers to what is known now."""
        told: tuple[Any, ...] = (known.pixel_id, known.view_id, OUTCOME.number[known.outcome])
        living = "WHERE content_id = ? AND presence <> 3 AND outcome <> 4"
        differing = self.batch.rows(
            f"SELECT file_id, root_id, rev_id FROM file {living} AND (pixel_id IS NOT ? OR view_id IS NOT ?"
            " OR (outcome IN (1, 3) AND outcome <> ?))",
            (known.content_id, *told),
        )
        if differing:
            # One that cannot be read or rests not stays so; its content is known better all the same.
            self.batch.execute(
                "UPDATE file SET pixel_id = ?, view_id = ?,"
                " reason = CASE WHEN outcome IN (1, 3) THEN ? ELSE reason END,"
                " outcome = CASE WHEN outcome IN (1, 3) THEN ? ELSE outcome END " + living,
                (*told[:2], known.reason, told[2], known.content_id),
            )
        moment = now_ms()
        rebased = self._rebased(known) if differing else {}
        for file_id, root_id, rev_id in differing:
            self.batch.event(
                EventKind.DECODER,
                at_ms=moment,
                root_id=root_id,
                file_id=file_id,
                to_rev=rev_id,
                sha256=sha256,
                detail={"outcome": known.outcome.value, **rebased},
            )
        self.cases.analysed_anew(known.content_id)

    def _rebased(self, known: Known) -> dict[str, Any]:
        """What became of the pixels of a content with the decoders of another epoch: ``same``, ``different``, or
        ``unknown`` where one of the digests proves nothing. Empty when no other epoch saw it."""
        now = self.facts.decoders
        sql = (
            "SELECT a.fidelity, x.digest FROM analysis AS a LEFT JOIN raster AS x ON x.raster_id = a.pixel_id"
            " WHERE a.content_id = ? AND a.epoch_id {} ? ORDER BY a.epoch_id DESC LIMIT 1"
        )
        before, after = (
            self.batch.rows(sql.format(sign), (known.content_id, now.epoch_id)) for sign in ("<", "=")
        )
        if not before or not after:
            return {}
        sound = all(FIDELITY.word[side[0][0]].sound for side in (before, after))
        same = before[0][1] == after[0][1]
        return {
            "epoch": now.epoch.hex(),
            "pixels": "unknown" if not sound else "same" if same else "different",
        }

    def failed(self, root_id: int, path: bytes, row: FileRow | None, outcome: Outcome, reason: str) -> None:
        """The file is there, but cannot be read (``unreadable``) or does not come to rest (``pending``).

        A file that was read before keeps its last content; what is known is not lost with one bad read.
        """
        self.batch.begin()
        self.batch.count_file()
        moment = now_ms()
        current = None if row is None else self.rows.find(row.file_id)
        if current is None or (current.root_id, current.path) != (root_id, path):
            current = self.rows.at(root_id, path)
        if current is None:
            file_id = self._files.add_unread(root_id, path, outcome, reason, moment)
        else:
            file_id = current.file_id
            settled = current.presence is Presence.PRESENT and current.outcome is outcome
            self.batch.execute(
                "UPDATE file SET presence = 1, outcome = ?, reason = ?,"
                " state_since_ms = coalesce(?, state_since_ms) WHERE file_id = ?",
                (OUTCOME.number[outcome], reason, None if settled else moment, file_id),
            )
        detail = {"reason": reason}
        back = current is not None and current.presence is Presence.MISSING
        if back:
            self.batch.event(
                EventKind.REAPPEARED, at_ms=moment, root_id=root_id, file_id=file_id, detail=detail
            )
        if outcome is not Outcome.UNREADABLE:
            return
        if current is None or back or current.outcome is not outcome:
            self.batch.event(
                EventKind.UNREADABLE, at_ms=moment, root_id=root_id, file_id=file_id, detail=detail
            )
            if current is not None:
                self.cases.gone(current, Kind.UNREADABLE, reason)

    # -------------------------------------------------------------------------------------- placement

    def move(self, row: FileRow, root_id: int, path: bytes) -> FileRow:
        """The file is now at another path (of any root): its history goes with it.

        The living file that was recorded at the new path must have been moved or proven gone before
        (``displace``). Returns the row under its new path.
        """
        self.batch.begin()
        self._files.place(row.file_id, root_id, path)
        moved = self.rows.by_id(row.file_id)
        self.batch.event(
            EventKind.MOVED,
            at_ms=now_ms(),
            root_id=root_id,
            file_id=row.file_id,
            to_rev=moved.rev_id,
            detail={**path_fields(row.absolute, "from"), **path_fields(path, "to")},
        )
        return moved

    def displace(self, row: FileRow) -> None:
        """Free a path that is about to be taken by a file that moves there, while this one moves away, too.

        Only inside the transaction in which this one's own ``move`` follows.
        """
        # No real name holds a NUL: the place is unique, and never seen outside this transaction.
        aside = b"\0" + str(row.file_id).encode("ascii")
        self.batch.execute("UPDATE file SET name = ? WHERE file_id = ?", (aside, row.file_id))

    def suspect(self, row: FileRow) -> None:
        """Not seen; the absence is not proven yet."""
        self.batch.execute(
            "UPDATE file SET presence = 2, state_since_ms = ? WHERE file_id = ? AND presence = 1",
            (now_ms(), row.file_id),
        )

    def still_there(self, row: FileRow) -> None:
        """A suspect was seen again, untouched."""
        self.batch.execute(
            "UPDATE file SET presence = 1, state_since_ms = ? WHERE file_id = ? AND presence = 2",
            (now_ms(), row.file_id),
        )

    def missing(self, row: FileRow, reason: str, actor: str | None = None) -> bool:
        """The absence is proven: a tombstone, an event, and a case. ``actor``: who confirmed it, if it was held.

        False, and nothing is recorded, when the file has moved since or is missing already: then the proof
        speaks of a path that is not its own any more.
        """
        self.batch.begin()
        current = self.rows.find(row.file_id)
        if current is None or current.presence is Presence.MISSING:
            return False
        if (current.root_id, current.path) != (row.root_id, row.path):
            return False
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
            from_rev=current.rev_id,
            actor=actor,
            detail={"reason": reason, **path_fields(row.path)},
        )
        self.cases.gone(current, Kind.MISSING, reason)
        return True
