"""The shares of a catalogue: add, remove, and note their state. Works beside a running daemon."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Final

from catalog.errors import NotFound, UsageError
from catalog.record.batch import Batch, now_ms, signed
from catalog.record.rows import text_of
from catalog.store.codes import ROOT_STATE
from catalog.terms import EventKind, RootState, joined, path_fields, printable, quoted


@dataclass(frozen=True, slots=True)
class Root:
    """One share as the record knows it. ``path`` is absolute and without symbolic links."""

    root_id: int
    name: str
    path: bytes
    state: RootState
    state_reason: str | None
    marker: str | None
    fs_type: str | None
    fs_source: str | None
    root_inode: int | None
    inode_trusted: bool
    ctime_trusted: bool
    mtime_granularity_ns: int
    last_reconcile_ms: int | None
    identity: str | None
    """What the share guard knows the share by, JSON."""
    refounded_ms: int | None
    """When its folder turned out to be another one than before, until all that was known is seen again, or an admin
    confirms what is not: so long every absence is held."""
    confirmed_ms: int | None
    """When an admin confirmed absences that were held, the last time."""


_COLUMNS: Final = (
    "root_id, name, path, state, state_reason, marker, fs_type, fs_source, root_inode, inode_trusted,"
    " ctime_trusted, mtime_granularity_ns, last_reconcile_ms, identity, refounded_ms, confirmed_ms"
)


@dataclass(frozen=True, slots=True)
class MountRecord:
    """What was found out about the mount of a root."""

    fs_type: str
    fs_source: str
    root_inode: int
    inode_trusted: bool
    ctime_trusted: bool
    mtime_granularity_ns: int
    identity: str


@dataclass(frozen=True, slots=True)
class Stakes:
    """What goes with a share that is removed."""

    files: int
    """Those that may still be there."""
    cases: int
    """Open cases of drift, which are closed."""
    waiting: int
    """Paths whose inspection is due, which are forgotten."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A file as it is recorded; ``path`` is relative to its share."""

    path: bytes
    size: int
    mtime_ns: int
    sha256: bytes | None


class Roots:
    """Rows of shares, inside the batch's transactions."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch

    def all(self) -> list[Root]:
        """Every root that is not retired, by name."""
        rows = self._batch.question(f"SELECT {_COLUMNS} FROM root WHERE state <> 3 ORDER BY name", ())
        return [self._root(row) for row in rows]

    @staticmethod
    def _root(row: Any) -> Root:
        return Root(
            root_id=row[0],
            name=row[1],
            path=row[2],
            state=ROOT_STATE.word[row[3]],
            state_reason=row[4],
            marker=row[5],
            fs_type=row[6],
            fs_source=row[7],
            root_inode=row[8] + (1 << 64) if row[8] is not None and row[8] < 0 else row[8],
            inode_trusted=bool(row[9]),
            ctime_trusted=bool(row[10]),
            mtime_granularity_ns=row[11],
            last_reconcile_ms=row[12],
            identity=row[13],
            refounded_ms=row[14],
            confirmed_ms=row[15],
        )

    def by_id(self, root_id: int) -> Root:
        rows = self._batch.question(f"SELECT {_COLUMNS} FROM root WHERE root_id = ?", (root_id,))
        if not rows:
            raise NotFound(f"no share {root_id} is recorded")
        return self._root(rows[0])

    def named(self, name: str) -> Root:
        """Raises NotFound, naming the roots that there are."""
        for root in self.all():
            if name in (root.name, os.fsdecode(root.path)):
                return root
        names = joined(printable(root.name) for root in self.all()) or "none yet"
        raise NotFound(f"no share is named {printable(name)}", hint=f"the shares: {names}")

    def holding(self, path: bytes) -> Root | None:
        """The root that an absolute path is, or lies in."""
        for root in self.all():
            if path == root.path or path.startswith(root.path.rstrip(b"/") + b"/"):
                return root
        return None

    def add(self, path: bytes, name: str | None = None, actor: str | None = None) -> Root:
        """Register a share. Raises UsageError for a root in or around another one, for a name that is taken or
        cannot be shown."""
        if name is not None and printable(name) != name:
            raise UsageError(
                f"no name for a share: {printable(name)}",
                hint="a name is words that can be shown, and not bytes",
            )
        alone = not self._batch.open
        self._batch.begin()  # first: nobody else adds a share between the look and the row
        try:
            self._refuse_overlap(path, name)
        except UsageError:
            if alone:  # else it holds what was recorded before, which is none of this question's
                self._batch.rollback()
            raise
        moment = now_ms()
        chosen = name or self._free_name(path)
        self._batch.execute(
            "INSERT INTO root (name, path, path_text, state, state_since_ms, added_ms) VALUES (?, ?, ?, 1, ?, ?)",
            (chosen, path, text_of(path), moment, moment),
        )
        root_id = int(self._batch.rows("SELECT max(root_id) FROM root")[0][0])
        self._batch.event(
            EventKind.ROOT_ADDED,
            at_ms=moment,
            root_id=root_id,
            actor=actor,
            detail={"name": chosen, **path_fields(path)},
        )
        self._batch.commit()
        return self.by_id(root_id)

    def _refuse_overlap(self, path: bytes, name: str | None, but: int | None = None) -> None:
        around = self.holding(path)
        if around is not None and around.root_id != but:
            raise UsageError(
                f"{printable(path)} is in the share {around.name} ({printable(around.path)})",
                hint=f"scan it as a part of that share: catalog scan {quoted(path)}",
            )
        for root in self.all():
            if root.root_id == but:
                continue
            if root.path.startswith(path.rstrip(b"/") + b"/"):
                raise UsageError(
                    f"{printable(path)} contains the share {root.name} ({printable(root.path)})",
                    hint="scan the folders beside it, or remove that share first: catalog root remove "
                    + root.name,
                )
            if name is not None and root.name == name:
                raise UsageError(f"a share named {name} exists already", hint="choose another --name")

    def _free_name(self, path: bytes) -> str:
        base = printable(path.rstrip(b"/").rpartition(b"/")[2]) or "root"
        taken = {root.name for root in self.all()}
        number, name = 2, base
        while name in taken:
            name, number = f"{base}-{number}", number + 1
        return name

    def removed_at(self, path: bytes) -> tuple[str, int] | None:
        """(name, moment in milliseconds) of the last share with this path that was removed."""
        rows = self._batch.question(
            "SELECT name, state_since_ms FROM root WHERE path = ? AND state = 3 ORDER BY root_id DESC LIMIT 1",
            (path,),
        )
        return (rows[0][0], rows[0][1]) if rows else None

    def sample(self, root_id: int, files: int) -> list[Sample]:
        """Some files that are there and were read, by chance. Looks at every file of the record."""
        rows = self._batch.question(
            "SELECT d.path, f.name, f.size, f.mtime_ns, c.sha256 FROM file AS f JOIN dir AS d USING (dir_id)"
            " LEFT JOIN content AS c USING (content_id) WHERE f.file_id IN (SELECT file_id FROM file WHERE root_id = ?"
            " AND presence = 1 AND outcome IN (1, 3, 4) ORDER BY random() LIMIT ?)",
            (root_id, files),
        )
        return [Sample(row[0] + b"/" + row[1] if row[0] else row[1], *row[2:]) for row in rows]

    def stakes(self, root: Root) -> Stakes:
        """What ``remove`` would close."""
        counts = [
            self._batch.question(sql, (root.root_id,))[0][0]
            for sql in (
                "SELECT coalesce(sum(n_files), 0) FROM root_count WHERE root_id = ? AND presence <> 3",
                "SELECT count(*) FROM drift WHERE root_id = ? AND closed_ms IS NULL",
                "SELECT count(*) FROM job WHERE root_id = ?",
            )
        ]
        return Stakes(*counts)

    def remove(self, root: Root, actor: str | None = None) -> None:
        """Retire a share: its files leave every answer, its history stays."""
        self._batch.begin()
        moment = now_ms()
        self._batch.execute(
            "UPDATE root SET state = 3, state_since_ms = ?, state_reason = ? WHERE root_id = ?",
            (moment, "removed", root.root_id),
        )
        # Tombstones leave the groups of duplicates; their revisions and events stay.
        self._batch.execute(
            "UPDATE file SET presence = 3, retired_ms = ? WHERE root_id = ? AND retired_ms IS NULL",
            (moment, root.root_id),
        )
        self._batch.execute(
            "UPDATE drift SET closed_ms = ?, resolution = 'root removed', actor = ? WHERE root_id = ?"
            " AND closed_ms IS NULL",
            (moment, actor, root.root_id),
        )
        self._batch.execute("DELETE FROM job WHERE root_id = ?", (root.root_id,))
        self._batch.event(
            EventKind.ROOT_REMOVED,
            at_ms=moment,
            root_id=root.root_id,
            actor=actor,
            detail={"name": root.name},
        )
        self._batch.commit()

    def set_state(self, root: Root, state: RootState, reason: str | None) -> None:
        """Note a change of state, with an event; nothing when it is the same state."""
        if root.state is state and root.state_reason == reason:
            return
        self._batch.begin()
        moment = now_ms()
        # Not of a share that an admin has removed meanwhile: it would come back without its files. And not of one
        # that is elsewhere by now: what was seen is not it.
        changed = self._batch.execute(
            "UPDATE root SET state = ?, state_reason = ?, state_since_ms = CASE WHEN state = ? THEN"
            " state_since_ms ELSE ? END WHERE root_id = ? AND state <> 3 AND path = ?",
            (ROOT_STATE.number[state], reason, ROOT_STATE.number[state], moment, root.root_id, root.path),
        )
        if changed and root.state is not state:
            self._batch.event(
                EventKind.ROOT_STATE,
                at_ms=moment,
                root_id=root.root_id,
                detail={"from": root.state.value, "to": state.value, "reason": reason},
            )

    def set_mount(self, root_id: int, mount: MountRecord, path: bytes | None = None) -> None:
        """``path``: where that was found out. Nothing is noted of a share that is elsewhere by now."""
        self._batch.execute(
            "UPDATE root SET fs_type = ?, fs_source = ?, root_inode = ?, inode_trusted = ?, ctime_trusted = ?,"
            " mtime_granularity_ns = ?, identity = ? WHERE root_id = ? AND path = coalesce(?, path)",
            (
                mount.fs_type,
                mount.fs_source,
                signed(mount.root_inode),
                mount.inode_trusted,
                mount.ctime_trusted,
                mount.mtime_granularity_ns,
                mount.identity,
                root_id,
                path,
            ),
        )

    def set_mode(self, root_id: int, mode: str | None, reason: str | None, uncovered_dirs: int = 0) -> None:
        self._batch.execute(
            "UPDATE root SET mode = ?, mode_reason = ?, uncovered_dirs = ? WHERE root_id = ?",
            (mode, reason, uncovered_dirs, root_id),
        )

    def set_held(self, root_id: int, held: int) -> None:
        """How many absences the mass rule holds back."""
        self._batch.execute("UPDATE root SET n_held = ? WHERE root_id = ?", (held, root_id))

    def reconciled(self, root_id: int, moment: int) -> None:
        """A complete walk that began at this moment has been compared with the record. If nothing is under
        suspicion, a folder that was made anew holds all that the old one held."""
        self._batch.execute(
            "UPDATE root SET last_reconcile_ms = ?, refounded_ms = CASE WHEN refounded_ms > ? OR EXISTS"
            " (SELECT 1 FROM root_count WHERE root_id = ? AND presence = 2 AND n_files > 0) THEN refounded_ms END"
            " WHERE root_id = ?",
            (moment, moment, root_id, root_id),
        )

    # ------------------------------------------------------------------------------ what an admin decides

    def relocate(
        self, root: Root, path: bytes, identity: str, actor: str | None, detail: dict[str, Any]
    ) -> Root:
        """The share is found at another path from now on: every file keeps its history.

        ``identity``: what was seen there. Until a walk has found everything again, absences are held. ``detail``:
        how it was recognised, for the event. Raises UsageError for a path in or around another share.
        """
        self._batch.begin()
        try:
            self._refuse_overlap(path, None, but=root.root_id)
        except UsageError:
            self._batch.rollback()
            raise
        moment = now_ms()
        self._batch.execute(
            "UPDATE root SET path = ?, path_text = ?, identity = ?, state = 1, state_reason = NULL,"
            " state_since_ms = CASE WHEN state = 1 THEN state_since_ms ELSE ? END, refounded_ms = ? WHERE root_id = ?",
            (path, text_of(path), identity, moment, moment, root.root_id),
        )
        self._batch.event(
            EventKind.ROOT_RELOCATED,
            at_ms=moment,
            root_id=root.root_id,
            actor=actor,
            detail={**path_fields(root.path, "from"), **path_fields(path, "to"), **detail},
        )
        self._batch.commit()
        return self.by_id(root.root_id)

    def set_marker(self, root: Root, marker: str | None, actor: str | None) -> None:
        """The share is known by this token of its marker file from now on; None: by no marker any more."""
        self._batch.begin()
        self._batch.execute("UPDATE root SET marker = ? WHERE root_id = ?", (marker, root.root_id))
        self._batch.event(
            EventKind.ROOT_MARKED,
            at_ms=now_ms(),
            root_id=root.root_id,
            actor=actor,
            detail={"marker": marker},
        )
        self._batch.commit()

    def refounded(self, root: Root, reason: str) -> None:
        """At the path of the share is another folder than before. What is in it is the share; what is not in it is
        not believed to be gone. An alarm, in the open transaction."""
        self._batch.begin()
        moment = now_ms()
        changed = self._batch.execute(
            "UPDATE root SET refounded_ms = ? WHERE root_id = ? AND state <> 3 AND path = ?",
            (moment, root.root_id, root.path),
        )
        if changed:
            self._batch.event(EventKind.ALARM, at_ms=moment, root_id=root.root_id, detail={"reason": reason})

    def confirmed(self, root_id: int, files: int, actor: str | None) -> None:
        """An admin has confirmed absences that were held, and ``files`` became missing. What was lost so far is
        no part of a mass any more."""
        self._batch.begin()
        moment = now_ms()
        self._batch.execute(
            "UPDATE root SET refounded_ms = NULL, confirmed_ms = ?, n_held = min(n_held,"
            " (SELECT coalesce(sum(n_files), 0) FROM root_count WHERE root_id = ? AND presence = 2))"
            " WHERE root_id = ?",
            (moment, root_id, root_id),
        )
        self._batch.event(
            EventKind.CONFIRMED, at_ms=moment, root_id=root_id, actor=actor, detail={"files": files}
        )
        self._batch.commit()
