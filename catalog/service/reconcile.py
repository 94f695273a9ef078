"""One comparison of a share with its record, in steps: walk, compare, inspect what differs, judge absences.

A scan runs the steps to the end; the daemon takes them between its other work. Nothing needs a cursor: what
is recorded is skipped by the next walk, which costs microseconds a file.
"""

from __future__ import annotations

import errno
import time
from collections import defaultdict
from collections.abc import Callable, Container, Generator, Sequence
from enum import Enum
from typing import Final, cast

from catalog.record import FileRow
from catalog.record.batch import now_ms
from catalog.record.roots import Root
from catalog.record.rows import split
from catalog.service.absence import Answer, confirm_absences
from catalog.service.plans import Plan, Tally
from catalog.service.session import Session
from catalog.service.walks import Queued
from catalog.terms import Job, WatchMode, counted
from catalog.watch.mounts import watch_mode
from catalog.watch.reconcile import Coverage, Differences, KnownFile, compare
from catalog.watch.selection import Ignored
from catalog.watch.walk import Listing, Look, joined_path, walk
from catalog.watch.walker_process import WalkApart

AHEAD_JOBS: Final = 100_000
"""Paths that the walk may be ahead of the inspection: lets progress know the whole, bounds the memory."""
FIRST_SECONDS: Final = 0.01
"""How long a walk goes on before the first files that it found are given to the workers."""
APART_FILES: Final = 5_000
"""A share with so many files is walked by another process: the start of one costs 40 ms."""
PROBLEMS_TOLD: Final = 1000
SURE_SECONDS: Final = 1.0
"""How long the guard's word is good enough for making suspects; nothing is concluded from them without it."""


class Phase(Enum):
    WALK = "walking"
    INSPECT = "inspecting"
    SEEN = "everything was seen"
    JUDGE = "looking for what is gone"
    DONE = "done"


class Reconcile:
    """One pass over a root, or over some folders of it. ``step`` until ``phase`` is SEEN.

    Then the suspects of absence are judged: by ``judge`` and more steps until DONE (a scan, once it has seen
    all its shares: a file may have moved from one to the other), or in its own time by the daemon, which
    calls ``finish``. A pass that is not brought to its end must be given up by ``abandon``.

    ``share_there`` is the share guard's word, asked before anything is concluded from what is not seen.
    ``starts``: relative paths of folders, none below another. ``order``: when it was asked
    for, if that was earlier (``Session.next_order``). After the end, ``complete`` says whether every folder was
    listed and every file inspected, ``problems`` what was not.
    """

    def __init__(
        self,
        session: Session,
        root: Root,
        share_there: Callable[[], bool],
        *,
        starts: Sequence[bytes] = (b"",),
        order: int | None = None,
    ) -> None:
        self.session = session
        self.root = root
        self.starts = tuple(starts)
        self.tally = Tally()
        self.phase = Phase.WALK
        self.problems: list[tuple[bytes, str]] = []
        self._untold = 0
        self.folders: list[tuple[bytes, int]] = []
        """(path, inode) of what was walked."""
        self.unlisted: list[bytes] = []
        """Folders that could not be listed, or of which some names could not be looked at; no more than so many."""
        self.run_id = session.runs.start("reconcile", root.root_id)
        self.order = session.next_order() if order is None else order
        self._seen_order, self._judged_at = 0, 0.0
        self._share_there = share_there
        self._sure_until = 0.0
        self.share_left = False
        """The share went away while it was walked."""
        self._trust = session.trust(root.root_id)
        self._coverage = Coverage(self.starts[0] if len(self.starts) == 1 else b"")
        self._elsewhere: list[Queued] = []
        """In flight already, for an event: read before the walk looked, perhaps. Inspected when that is done."""
        self.began_ms = now_ms()
        self.walk_seconds = 0.0
        """What the walk alone took: reading what it found is no reason to look less often."""
        self._fresh = not session.waiting and not session.recorder.batch.question(
            "SELECT 1 FROM root_count WHERE root_id = ? AND n_files > 0", (root.root_id,)
        )
        if self._fresh:
            session.untouched.add(root.root_id)
        self._suspects_before: dict[bytes, dict[bytes, FileRow]] = defaultdict(dict)
        """By folder and name: those of earlier passes."""
        for row in session.recorder.rows.suspects(root.root_id):
            folder, _, name = row.path.rpartition(b"/")
            self._suspects_before[folder][name] = row
        self._given_up = (
            {} if self._fresh else session.recorder.rows.given_up(root.root_id, session.settings.limits)
        )
        """By folder: names of files that a limit kept from being decoded which is higher by now."""
        self._walker: WalkApart | None = None
        self._walk = self._listings()
        self._starved = False
        """The walk had nothing more to give when it was asked last."""
        self._next_beat = 0.0
        self._queue = session.walks.begin(self.order, root.root_id, fresh=self._fresh)

    def _listings(self) -> Generator[Listing | None]:
        """None: the next one takes its time; meanwhile something else can be done."""
        session, root = self.session, self.root
        for start in self.starts:
            lost = session.lost(root.root_id)
            if not self._apart(start):
                yield from walk(root.path, session.selection, start, lost=lost, pulse=session.pulse)
                continue
            # a slow folder is no dead share
            patience = max(30.0, 3 * session.settings.guard_deadline_seconds)
            self._walker = WalkApart(
                root.path, session.selection, start, lost=lost, patience_seconds=patience
            )
            try:
                yield from self._walker
            finally:
                self._walker.close()
                self._walker = None

    def _apart(self, start: bytes) -> bool:
        """Whether to walk in another process: where a mount may hang, and where there is much to compare."""
        if watch_mode(self.root.fs_type or "")[0] is not WatchMode.INOTIFY:
            return True
        return not start and self.session.recorder.rows.living(self.root.root_id) >= APART_FILES

    @property
    def whole(self) -> bool:
        """Whether it is a pass over the whole root."""
        return b"" in self.starts

    @property
    def complete(self) -> bool:
        tally = self.tally
        return not (self.problems or tally.pending or tally.unreadable or tally.held_missing)

    def inside(self, folder: bytes) -> bool:
        """Whether a folder lies in the part of the tree that is walked."""
        return any(not start or folder == start or folder.startswith(start + b"/") for start in self.starts)

    def step(self, seconds: float) -> None:
        """Work for about this long: walk while there is room, feed the workers, take their results."""
        batch = self.session.recorder.batch
        with self.session.contained():
            batch.run_id = self.run_id
            try:
                self._step(seconds)
            finally:
                batch.run_id = None

    def _step(self, seconds: float) -> None:
        session = self.session
        if self.phase is Phase.WALK and len(self._queue) < AHEAD_JOBS:
            began = time.monotonic()
            # What is found first goes to the workers at once: while they start, there is time to find the rest.
            self._walk_on(began + (seconds if session.in_flight else min(seconds, FIRST_SECONDS)))
            self.walk_seconds += time.monotonic() - began
        while self._queue and session.pool.wants_more and session.may_read():
            job, look = queued = self._queue.popleft()
            plan = Plan(self.tally, fresh=self._fresh, run_id=self.run_id, look=look)
            key = job.root_id, job.path
            if not session.submit(job, plan) and not session.arrivals.count_in(key, self.tally):
                self._elsewhere.append(queued)
        if not self._queue:
            session.pool.flush()
        waits = self.phase is not Phase.WALK or len(self._queue) >= AHEAD_JOBS or self._starved
        if waits and not session.busy() and self._walker is not None:
            began = time.monotonic()
            self._walker.wait(seconds)
            self.walk_seconds += time.monotonic() - began
        if waits and not session.busy() and self._queue:
            time.sleep(min(seconds, 0.05))  # the rate limit holds the next file back
        session.pump(seconds if waits and session.busy() else 0.0)
        self._beat()
        if self.phase in (Phase.INSPECT, Phase.JUDGE) and not self._queue and not session.busy(self.tally):
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
        session, root_id = self.session, self.root.root_id
        self._starved = False
        for listing in self._walk:
            if listing is None:
                self._starved = True
                return
            known = {} if self._fresh else session.recorder.rows.known(root_id, listing.path)
            for name in self._given_up.get(listing.path, ()):
                if name in known:
                    known[name] = (known[name][0], None, *known[name][2:])
            self._coverage.add(listing)
            self._note(listing)
            differences = compare(listing, cast(dict[bytes, KnownFile], known), self._trust)
            self._sort(listing, differences)
            if time.monotonic() >= until or len(self._queue) >= AHEAD_JOBS or self.share_left:
                return
            if session.recorder.due:
                session.commit()  # the next listing may take its time, and others want to write
        self._lost_folders()
        self._coverage = Coverage()  # as large as the tree, and done with
        self._suspects_before.clear()
        self.phase = Phase.INSPECT

    def _note(self, listing: Listing) -> None:
        tally = self.tally
        tally.seen += len(listing.entries)
        tally.symlinks += listing.symlinks
        tally.ignored += listing.ignored
        tally.special += listing.special
        if listing.identity is not None:
            self.folders.append((listing.path, listing.identity[1]))
        if listing.error is not None:
            tally.unknown_folders += 1
            self._problem(listing.path, f"cannot be listed: {listing.error.strerror}")
        if (listing.error is not None or listing.unknown) and len(self.unlisted) < PROBLEMS_TOLD:
            self.unlisted.append(listing.path)
        for name in listing.mounts:
            path = joined_path(listing.path, name)
            self._problem(path, "another file system is mounted here; add it as a share of its own")
        for name, error in listing.unknown.items():
            path = joined_path(listing.path, name)
            self._problem(path, f"cannot be looked at: {error.strerror}")

    def _problem(self, path: bytes, words: str) -> None:
        """Told one by one up to a limit: a bad disk must not fill the memory with its errors."""
        self._untold += len(self.problems) >= PROBLEMS_TOLD
        if not self._untold:
            self.problems.append((path, words))

    def _sort(self, listing: Listing, differences: Differences) -> None:
        tally, folder = self.tally, listing.path
        tally.unchanged += differences.unchanged
        for name, look in differences.new:
            self._enqueue(folder, name, look)
        for name, _, look in differences.altered:
            self._enqueue(folder, name, look)
        if folder in self._suspects_before:
            self._seen_again(listing)
        if differences.vanished:
            names = {name for name, _ in differences.vanished}
            self._suspect(folder, "gone", names)

    def _enqueue(self, folder: bytes, name: bytes, look: Look) -> None:
        size, mtime_ns, _, inode = look
        job = Job(self.root.root_id, joined_path(folder, name), size, self.session.selection.decodes(name))
        self._queue.append(Queued(job, (size, mtime_ns, inode)))
        self.tally.queued += 1
        self.tally.queued_bytes += size

    def _seen_again(self, listing: Listing) -> None:
        """Suspects of an earlier pass that this listing shows are no suspects any more."""
        for name, row in self._suspects_before.pop(listing.path).items():
            if name in listing.entries:
                self.session.suspects.pop(row.file_id, None)
                self.session.recorder.batch.begin()
                self.session.recorder.still_there(row)

    def _suspect(self, folder: bytes, reason: str, names: Container[bytes] | None = None) -> None:
        """The files that are recorded in a folder (of these names) were not seen."""
        if not self._sure():
            return
        for row in self.session.recorder.rows.below(self.root.root_id, folder):
            if names is not None and row.path.rpartition(b"/")[2] not in names:
                continue
            verdict = self.session.selection.verdict_of_path(row.path)
            if isinstance(verdict, Ignored) and self._is_there(row.absolute):
                continue  # not looked for any more, and there
            self.session.suspect(row, reason)

    def _is_there(self, path: bytes) -> bool:
        """Whether there is something at a path, or that cannot be told."""
        try:
            self.session.sight(self.root.root_id).stat(path)
        except OSError as error:
            return error.errno not in (errno.ENOENT, errno.ENOTDIR)
        return True

    def _lost_folders(self) -> None:
        """Folders with known files that the walk did not come to: gone, or unknown."""
        if self._fresh:
            return
        for start in self.starts:
            for folder in self.session.recorder.rows.folders(self.root.root_id, start):
                if not self._coverage.listed(folder) and self._coverage.gone(folder):
                    self._suspect(folder, "gone with its folder")

    def _sure(self) -> bool:
        """Whether the share is still there. If it is not, nothing more can be learned from it: an empty mount
        point makes no suspects of a million files."""
        if self.share_left:
            return False
        if time.monotonic() < self._sure_until:
            return True
        if self._share_there():
            self._sure_until = time.monotonic() + SURE_SECONDS
            return True
        self._leave()
        return False

    def _leave(self) -> None:
        if not self.share_left:
            self.share_left = True
            self._problem(b"", "the share went away; what was not seen is not judged")
            self._walk.close()
            self._queue.clear()

    # --------------------------------------------------------------------------------------- conclusion

    def _conclude(self) -> None:
        session = self.session
        session.commit()
        if self._elsewhere:
            self._queue.extend(self._elsewhere)
            self._elsewhere.clear()
            return
        if session.busy(self.tally):
            return
        if self.phase is Phase.INSPECT:
            self.phase = Phase.SEEN
            session.walks.end(self.order)
            self._seen_order = session.next_order()
            return
        late = time.monotonic() >= self._judged_at + session.patience_seconds
        if not late and session.horizon(asked=False, first=False) <= self._seen_order:
            return  # what was under way beside this pass may show where a file has moved
        session.placing.resolve(asked=False)
        if session.busy(self.tally):
            return  # a second reading
        answer = confirm_absences(session, self.root, self._share_there, self.tally, asked=False)
        if answer is Answer.AWAY:
            self._leave()
        if not session.busy(self.tally):  # else a suspect turned out to be there, and is inspected first
            self._note_unproven()
            self.finish()

    def judge(self) -> None:
        """Go on to the second look at what was not seen."""
        self.phase, self._judged_at = Phase.JUDGE, time.monotonic()
        self._seen_order = self.session.next_order()
        for suspect in self.session.suspects.values():
            if suspect.row.root_id == self.root.root_id and not suspect.last_call:
                suspect.last_call, suspect.called_at = self._seen_order, self._judged_at

    def _note_unproven(self) -> None:
        mine = [suspect.row for suspect in self.session.suspects.values() if suspect.order < self._seen_order]
        mine = [row for row in mine if row.root_id == self.root.root_id and self.inside(split(row.path)[0])]
        number = len(mine) - self.tally.held_missing
        if number > 0 and not self.share_left:
            words = f"{counted(number, 'file')} not found, and nothing proves that they are gone"
            self._problem(split(mine[0].path)[0], words)

    def abandon(self) -> None:
        """Give the pass up; what it would have seen is for the next one."""
        self._walk.close()
        self.session.walks.end(self.order)
        self.phase = Phase.DONE

    def finish(self) -> None:
        """Close the run."""
        session, tally = self.session, self.tally
        if tally.unread:
            files = counted(tally.unread, "file was", "files were")
            self._problem(b"", f"{files} not read: the share did not answer")
        if self._untold:
            self.problems.append((b"", f"{counted(self._untold, 'problem')} more"))
        if self.whole and not self.share_left:
            session.walks.compared(self.root.root_id)
        if self.whole and not tally.unknown_folders and not self.share_left and self._share_there():
            session.recorder.batch.begin()
            session.roots.reconciled(self.root.root_id, self.began_ms)
        counts = {
            name: getattr(tally, name)
            for name in (
                *("seen", "new", "changed", "touched", "unchanged", "missing", "moved", "reappeared"),
                *("unreadable", "undecodable", "pending", "bytes_read"),
            )
        }
        counts |= {"whole": int(self.whole), "unlisted_folders": tally.unknown_folders}
        status = "complete" if self.complete else "incomplete"
        session.recorder.batch.run_id = self.run_id
        session.runs.finish(self.run_id, status, counts, self.root.root_id)
        session.recorder.batch.run_id = None
        session.untouched.discard(self.root.root_id)
        self.phase = Phase.DONE
