"""What the record holds of single files, as the recording side needs it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from catalog.record.batch import INT64, Batch, signed
from catalog.store.codes import OUTCOME, PRESENCE
from catalog.terms import Limits, Outcome, Presence, Stat

KnownRow = tuple[int, int | None, int, int, int]
"""(file_id, size, mtime_ns, ctime_ns, inode): what a walk compares; size None forces another look."""


class FileRow(NamedTuple):
    """The current state of one file. ``path`` is relative to the root."""

    file_id: int
    root_id: int
    path: bytes
    presence: Presence
    outcome: Outcome
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    """Signed, as the record holds it."""
    content_id: int | None
    rev_id: int | None
    baseline_rev_id: int | None
    nlink: int
    allocated: int
    root_path: bytes

    @property
    def stat(self) -> Stat:
        """The last observed stat; the device is not kept."""
        return Stat(self.size, self.mtime_ns, self.ctime_ns, self.inode, 0, self.nlink, self.allocated)

    @property
    def absolute(self) -> bytes:
        return self.root_path.rstrip(b"/") + b"/" + self.path


_SELECT: Final = (
    "SELECT f.file_id, f.root_id, d.path, f.name, f.presence, f.outcome, f.size, f.mtime_ns, f.ctime_ns,"
    " f.inode, f.content_id, f.rev_id, f.baseline_rev_id, f.nlink, f.allocated, r.path"
    " FROM file AS f JOIN dir AS d ON d.dir_id = f.dir_id JOIN root AS r ON r.root_id = f.root_id "
)

# Nearly all of its time is SQLite's own: 0.9 of 1.0 us a row (benchmarks/recording.py).
_KNOWN: Final = (
    "SELECT f.name, f.file_id, CASE WHEN f.outcome IN (0, 2) THEN NULL ELSE f.size END, f.mtime_ns, f.ctime_ns,"
    " f.inode FROM dir AS d JOIN file AS f ON f.dir_id = d.dir_id AND f.presence <> 3"
    " WHERE d.root_id = ? AND d.path = ?"
)

# Files that are to be decoded, by the newest look at their content. From the index of what was given up, which
# is nearly empty, whatever the planner thinks of it.
_GIVEN_UP: Final = (
    "SELECT d.path, f.name, a.reason FROM analysis AS a INDEXED BY ix_analysis_stopped"
    " CROSS JOIN file AS f ON f.content_id = a.content_id AND f.content_id IS NOT NULL AND f.presence <> 3"
    " JOIN dir AS d ON d.dir_id = f.dir_id"
    " WHERE instr(a.reason, ': raise ') > 0 AND f.root_id = ? AND f.outcome IN (1, 3) AND NOT EXISTS"
    " (SELECT 1 FROM analysis AS n WHERE n.content_id = a.content_id AND n.epoch_id > a.epoch_id)"
)


def split(path: bytes) -> tuple[bytes, bytes]:
    """(folder, name) of a relative path; the folder of the root is b""."""
    folder, _, name = path.rpartition(b"/")
    return folder, name


def text_of(name: bytes) -> str | None:
    """A printable form for names that are not UTF-8; None for all others."""
    try:
        name.decode("utf-8")
    except UnicodeDecodeError:
        return name.decode("utf-8", "backslashreplace")
    return None


class Rows:
    """Lookups of single files, inside or outside a transaction."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch

    def _files(self, where: str, parameters: tuple[Any, ...]) -> list[FileRow]:
        return [
            FileRow(
                row[0],
                row[1],
                row[2] + b"/" + row[3] if row[2] else row[3],
                PRESENCE.word[row[4]],
                OUTCOME.word[row[5]],
                *row[6:],
            )
            for row in self._batch.question(_SELECT + where, parameters)
        ]

    def at(self, root_id: int, path: bytes) -> FileRow | None:
        """The living file of a path, else the last one that was there before."""
        folder, name = split(path)
        where = "WHERE d.root_id = ? AND d.path = ? AND f.name = ? AND "
        key = (root_id, folder, name)
        found = self._files(where + "f.presence <> 3", key) or self._files(
            where + "f.presence = 3 AND f.retired_ms IS NULL ORDER BY f.state_since_ms DESC, f.file_id DESC"
            " LIMIT 1",
            key,
        )
        return found[0] if found else None

    def by_id(self, file_id: int) -> FileRow:
        """Raises LookupError when there is no such file (its transaction was rolled back)."""
        found = self._files("WHERE f.file_id = ?", (file_id,))
        if not found:
            raise LookupError(f"no file {file_id} is recorded")
        return found[0]

    def find(self, file_id: int) -> FileRow | None:
        """The file as it is recorded now; None when its row went with a rolled-back transaction, or when
        somebody accepted its loss: what is at its path from then on has a history of its own."""
        found = self._files("WHERE f.file_id = ? AND (f.retired_ms IS NULL OR r.state = 3)", (file_id,))
        return found[0] if found else None

    def by_inode(self, inode: int, size: int, mtime_ns: int) -> list[FileRow]:
        """Living files that were last seen with this inode, size and mtime."""
        return self._files(
            "WHERE f.inode = ? AND f.size = ? AND f.mtime_ns = ? AND f.presence <> 3 AND r.state <> 3 LIMIT 8",
            (signed(inode), size, mtime_ns),
        )

    def names_of(self, inode: int, limit: int = 1000) -> list[FileRow]:
        """Living files that were last seen with this inode number: the names of one file, if it has several, in all
        shares of its disk; and whoever has the number on another one."""
        return self._files(
            "WHERE f.inode = ? AND f.presence <> 3 AND r.state <> 3 LIMIT ?", (signed(inode), limit)
        )

    def by_content(self, sha256: bytes, limit: int = 16) -> list[FileRow]:
        """Living files whose last content has this raw digest."""
        return self._files(
            "WHERE f.content_id = (SELECT content_id FROM content WHERE sha256 = ?) AND f.presence <> 3"
            f" AND r.state <> 3 ORDER BY f.file_id LIMIT {limit}",
            (sha256,),
        )

    def gone_with(
        self, sha256: bytes, *, since_ms: int = 0, inode: int = 0, mtime_ns: int = 0
    ) -> list[FileRow]:
        """Missing files whose last content has this raw digest, and whose loss nobody has accepted: those that were
        missed since a moment and held anything at all, and those with this inode and mtime."""
        return self._files(
            "WHERE f.content_id = (SELECT content_id FROM content WHERE sha256 = ?) AND f.content_id IS NOT NULL"
            " AND f.presence = 3 AND f.retired_ms IS NULL AND r.state <> 3"
            " AND ((f.state_since_ms >= ? AND f.size > 0) OR (f.inode = ? AND f.mtime_ns = ?))"
            " ORDER BY f.file_id LIMIT 64",
            (sha256, since_ms, signed(inode), mtime_ns),
        )

    def below(self, root_id: int, folder: bytes) -> list[FileRow]:
        """Living files directly in one folder."""
        return self._files("WHERE d.root_id = ? AND d.path = ? AND f.presence <> 3", (root_id, folder))

    def suspects(self, root_id: int, until_ms: int = INT64) -> list[FileRow]:
        """Files that were not seen, and whose absence is not proven; not seen for the first time by then."""
        # The condition of the index of odd files, word for word: a share holds few of them.
        odd = "(f.presence <> 1 OR f.outcome IN (0, 2, 3))"
        return self._files(
            f"WHERE f.root_id = ? AND f.presence = 2 AND {odd} AND f.state_since_ms <= ?", (root_id, until_ms)
        )

    def folders(self, root_id: int, start: bytes = b"") -> Iterator[bytes]:
        """Folders with living files, in no order: all of the root, or ``start`` and those below it."""
        where, span = "d.root_id = ?", [root_id, start, start + b"/", start + b"0"]  # b"0" comes after b"/"
        if start:
            where += " AND (d.path = ? OR (d.path > ? AND d.path < ?))"
        rows = self._batch.question(
            f"SELECT d.path FROM dir AS d WHERE {where} AND EXISTS"
            " (SELECT 1 FROM file AS f WHERE f.dir_id = d.dir_id AND f.presence <> 3)",
            tuple(span if start else span[:1]),
        )
        return (row[0] for row in rows)

    def living(self, root_id: int) -> int:
        """How many files of a root are counted as present."""
        row = self._batch.question(
            "SELECT coalesce(sum(n_files), 0) FROM root_count WHERE root_id = ? AND presence <> 3", (root_id,)
        )
        return int(row[0][0])

    def given_up(self, root_id: int, limits: Limits) -> dict[bytes, set[bytes]]:
        """Folder → names of files that were not decoded for a limit that is higher by now; committed state."""
        found: dict[bytes, set[bytes]] = {}
        for folder, name, reason in self._batch.committed(_GIVEN_UP, (root_id,)):
            if limits.lifted(reason):
                found.setdefault(folder, set()).add(name)
        return found

    def known(self, root_id: int, folder: bytes) -> dict[bytes, KnownRow]:
        """What a walk compares one folder with: name → row, living files only; committed state.

        Files that could not be read, or whose inspection is still due, have no size: look at them again.
        """
        rows = self._batch.committed(_KNOWN, (root_id, folder))
        return {row[0]: row[1:] if row[5] >= 0 else (*row[1:5], row[5] + (1 << 64)) for row in rows}
