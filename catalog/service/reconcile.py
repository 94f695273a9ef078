"""One comparison of a share with its record, in steps: walk, compare, inspect what differs, judge absences.

A scan runs the steps to the end; the daemon takes them between its other work. Nothing needs a cursor: what
is recorded is skipped by the next walk, which costs microseconds a file.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Final, cast

from catalog.record.batch import now_ms
from catalog.record.roots import Root
from catalog.service.absence import confirm_absences
from catalog.service.plans import Plan, Tally
from catalog.service.session import Session
from catalog.terms import Job
from catalog.watch.reconcile import Coverage, Differences, KnownFile, compare
from catalog.watch.walk import Listing, joined_path, walk

AHEAD_JOBS: Final = 100_000
"""Paths that the walk may be ahead of the inspection: lets progress know the whole, bounds the memory."""


class Phase(Enum):
    WALK = "walking"
    INSPECT = "inspecting"
    SEEN = "everything was seen"
    JUDGE = "looking for what is gone"
    DONE = "done"


class Reconcile:
    """One pass over a root, or over one folder of it. ``step`` until ``phase`` is SEEN.

    Then the suspects of absence are judged: by ``judge`` and more steps until DONE (a scan, once it has seen
    all its shares: a file may have moved from one to the other), or in its own time by the daemon, which
    calls ``finish``.

    ``share_there`` is the share guard's word, asked before anything is concluded from what is not seen.
    After the end, ``complete`` says whether every folder was listed and every file inspected, ``problems``
    what was not.
    """

    def __init__(
        self, session: Session, root: Root, share_there: Callable[[], bool], *, start: bytes = b""
    ) -> None:
        self.session = session
        self.root = root
        self.start = start
        self.tally = Tally()
        self.phase = Phase.WALK
        self.problems: list[tuple[bytes, str]] = []
        self.folders: list[tuple[bytes, int]] = []
        """(path, inode) of what was walked."""
        self.run_id = session.runs.start("reconcile", root.root_id)
        self._share_there = share_there
        self._trust = session.trust(root.root_id)
        self._coverage = Coverage(start)
        self._queue: deque[Job] = deque()
        self._began_ms = now_ms()
        self._fresh = not session.recorder.batch.question(
            "SELECT 1 FROM root_count WHERE root_id = ? AND n_files > 0", (root.root_id,)
        )
        self._suspects_before = {row.file_id: row for row in session.recorder.rows.suspects(root.root_id)}
        self._walk: Iterator[Listing] = walk(
            root.path, session.selection, start, lost=session.lost_mounts.get(root.root_id, frozenset())
        )
        self._next_beat = 0.0

    @property
    def complete(self) -> bool:
        tally = self.tally
        return not (self.problems or tally.pending or tally.unreadable or tally.held_missing)

    def step(self, seconds: float) -> None:
        """Work for about this long: walk while there is room, feed the workers, take their results."""
        with self.session.contained():
            self._step(seconds)

    def _step(self, seconds: float) -> None:
        session = self.session
        session.recorder.batch.run_id = self.run_id
        if self.phase is Phase.WALK and len(self._queue) < AHEAD_JOBS:
            self._walk_on(time.monotonic() + seconds)
        while self._queue and session.pool.wants_more and session.may_read():
            job = self._queue.popleft()
            session.submit(job, Plan(self.tally, fresh=self._fresh))
        if not self._queue:
            session.pool.flush()
        waits = self.phase is not Phase.WALK or len(self._queue) >= AHEAD_JOBS
        if waits and not session.busy() and self._queue:
            time.sleep(min(seconds, 0.05))  # the rate limit holds the next file back
        session.pump(seconds if waits and session.busy() else 0.0)
        self._beat()
        if self.phase in (Phase.INSPECT, Phase.JUDGE) and not self._queue and not session.busy():
            self._conclude()

    def _beat(self) -> None:
        if time.monotonic() >= self._next_beat:
            self._next_beat = time.monotonic() + 2.0
            if self.session.recorder.batch.open:
                self.session.recorder.batch.execute(
                    "UPDATE run SET heartbeat_ms = ? WHERE run_id = ?", (now_ms(), self.run_id)
                )

    # ------------------------------------------------------------------------------------------- walk

    def _walk_on(self, until: float) -> None:
        rows, root_id = self.session.recorder.rows, self.root.root_id
        for listing in self._walk:
            known = {} if self._fresh else rows.known(root_id, listing.path)
            self._coverage.add(listing)
            self._note(listing)
            differences = compare(listing, cast(dict[bytes, KnownFile], known), self._trust)
            self._sort(listing, differences)
            if time.monotonic() >= until or len(self._queue) >= AHEAD_JOBS:
                return
        self._lost_folders()
        self.phase = Phase.INSPECT

    def _note(self, listing: Listing) -> None:
        tally = self.tally
        tally.seen += len(listing.entries)
        tally.symlinks += listing.symlinks
        tally.ignored += listing.ignored
        tally.special += listing.special
        if listing.dir_stat is not None:
            self.folders.append((listing.path, listing.dir_stat.st_ino))
        if listing.error is not None:
            tally.unknown_folders += 1
            self.problems.append((listing.path, f"cannot be listed: {listing.error.strerror}"))
        for name in listing.mounts:
            path = joined_path(listing.path, name)
            self.problems.append((path, "another file system is mounted here; add it as a share of its own"))
        for name, error in listing.unknown.items():
            path = joined_path(listing.path, name)
            self.problems.append((path, f"cannot be looked at: {error.strerror}"))

    def _sort(self, listing: Listing, differences: Differences) -> None:
        tally, folder = self.tally, listing.path
        tally.unchanged += differences.unchanged
        for name, look in differences.new:
            self._enqueue(folder, name, look[0])
        for name, _, look in differences.altered:
            self._enqueue(folder, name, look[0])
        if self._suspects_before:
            self._seen_again(listing)
        if differences.vanished:
            self._suspect(folder, {name for name, _ in differences.vanished})

    def _enqueue(self, folder: bytes, name: bytes, size: int) -> None:
        decode = self.session.selection.decodes(name)
        self._queue.append(Job(self.root.root_id, joined_path(folder, name), size, decode))
        self.tally.queued += 1
        self.tally.queued_bytes += size

    def _seen_again(self, listing: Listing) -> None:
        """Suspects of an earlier pass that this listing shows are no suspects any more."""
        for file_id, row in list(self._suspects_before.items()):
            folder, _, name = row.path.rpartition(b"/")
            if folder == listing.path and name in listing.entries:
                del self._suspects_before[file_id]
                self.session.suspects.pop(file_id, None)
                self.session.recorder.batch.begin()
                self.session.recorder.still_there(row)

    def _suspect(self, folder: bytes, names: set[bytes]) -> None:
        for row in self.session.recorder.rows.below(self.root.root_id, folder):
            if row.path.rpartition(b"/")[2] in names:
                self.session.suspect(row, "gone")

    def _lost_folders(self) -> None:
        """Folders with known files that the walk did not come to: gone, or unknown."""
        if self._fresh:
            return
        for folder in self.session.recorder.rows.folders(self.root.root_id):
            if not self._inside(folder) or self._coverage.listed(folder):
                continue
            if self._coverage.gone(folder):
                for row in self.session.recorder.rows.below(self.root.root_id, folder):
                    self.session.suspect(row, "gone with its folder")

    def _inside(self, folder: bytes) -> bool:
        return not self.start or folder == self.start or folder.startswith(self.start + b"/")

    # --------------------------------------------------------------------------------------- conclusion

    def _conclude(self) -> None:
        session = self.session
        session.resolve_moves()
        if session.busy():
            return
        session.commit()
        if session.busy():
            return
        if self.phase is Phase.INSPECT:
            self.phase = Phase.SEEN
            return
        confirm_absences(session, self.root, self._share_there, self.tally)
        if not session.busy():  # else a suspect turned out to be there, and is inspected first
            self.finish()

    def judge(self) -> None:
        """Go on to the second look at what was not seen."""
        self.phase = Phase.JUDGE

    def finish(self) -> None:
        """Close the run."""
        session, tally = self.session, self.tally
        session.recorder.batch.begin()
        if not self.start and not tally.unknown_folders and self._share_there():
            session.roots.reconciled(self.root.root_id, self._began_ms)
        counts = {
            name: getattr(tally, name)
            for name in (
                "seen",
                "new",
                "changed",
                "touched",
                "unchanged",
                "missing",
                "moved",
                "reappeared",
                "unreadable",
                "undecodable",
                "pending",
                "bytes_read",
            )
        }
        status = "complete" if self.complete else "incomplete"
        session.runs.finish(self.run_id, status, counts, self.root.root_id)
        session.recorder.batch.run_id = None
        self.phase = Phase.DONE
