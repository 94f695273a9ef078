"""The shares of a catalogue: add, remove, and note their state. Works beside a running daemon."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Final

from catalog.errors import NotFound, UsageError
from catalog.record.batch import Batch, now_ms, signed
from catalog.record.rows import text_of
from catalog.store.codes import ROOT_STATE
from catalog.terms import EventKind, RootState, path_fields, printable


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


_COLUMNS: Final = (
    "root_id, name, path, state, state_reason, marker, fs_type, fs_source, root_inode, inode_trusted,"
    " ctime_trusted, mtime_granularity_ns, last_reconcile_ms, identity"
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
        names = ", ".join(root.name for root in self.all()) or "none yet"
        raise NotFound(f"no share is named {name!r}", hint=f"there are: {names}")

    def holding(self, path: bytes) -> Root | None:
        """The root that an absolute path is, or lies in."""
        for root in self.all():
            if path == root.path or path.startswith(root.path.rstrip(b"/") + b"/"):
                return root
        return None

    def add(self, path: bytes, name: str | None = None, actor: str | None = None) -> Root:
        """Register a share. Raises UsageError for a root in or around another one, or a name that is taken."""
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

    def _refuse_overlap(self, path: bytes, name: str | None) -> None:
        around = self.holding(path)
        if around is not None:
            raise UsageError(
                f"{printable(path)} is in the share {around.name} ({printable(around.path)})",
                hint=f"scan it as a part of that share: catalog scan {printable(path)}",
            )
        for root in self.all():
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
        # Not of a share that an admin has removed meanwhile: it would come back without its files.
        changed = self._batch.execute(
            "UPDATE root SET state = ?, state_reason = ?, state_since_ms = CASE WHEN state = ? THEN"
            " state_since_ms ELSE ? END WHERE root_id = ? AND state <> 3",
            (ROOT_STATE.number[state], reason, ROOT_STATE.number[state], moment, root.root_id),
        )
        if changed and root.state is not state:
            self._batch.event(
                EventKind.ROOT_STATE,
                at_ms=moment,
                root_id=root.root_id,
                detail={"from": root.state.value, "to": state.value, "reason": reason},
            )

    def set_mount(self, root_id: int, mount: MountRecord) -> None:
        self._batch.execute(
            "UPDATE root SET fs_type = ?, fs_source = ?, root_inode = ?, inode_trusted = ?, ctime_trusted = ?,"
            " mtime_granularity_ns = ?, identity = ? WHERE root_id = ?",
            (
                mount.fs_type,
                mount.fs_source,
                signed(mount.root_inode),
                mount.inode_trusted,
                mount.ctime_trusted,
                mount.mtime_granularity_ns,
                mount.identity,
                root_id,
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
        """A complete walk has been compared with the record."""
        self._batch.execute("UPDATE root SET last_reconcile_ms = ? WHERE root_id = ?", (moment, root_id))
