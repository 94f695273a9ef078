"""One share under watch: its hints, its settling paths, its reconciles, its guard."""

from __future__ import annotations

import errno
import logging
import os
import stat
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from catalog.backlog import Due
from catalog.record.roots import Root
from catalog.service.absence import Answer, confirm_absences
from catalog.service.plans import Plan, Tally
from catalog.service.reconcile import Phase, Reconcile
from catalog.service.session import Session
from catalog.service.shares import Shares
from catalog.terms import Change, Job, Reason, RootState, WatchMode, counted, printable
from catalog.watch.hints import Hints
from catalog.watch.inotify import InotifySource
from catalog.watch.mounts import mount_of, watch_mode
from catalog.watch.polling import ReconcileClock
from catalog.watch.reconcile import KnownFile, same_look
from catalog.watch.selection import Selected
from catalog.watch.settle import Settler, writer_probe
from catalog.watch.walk import Look, walk_key

log = logging.getLogger(__name__)

HEALTH_SECONDS: Final = 1.0
STEP_SECONDS: Final = 0.05


@dataclass(slots=True)
class PassRequest:
    """A reconcile that is to be done."""

    starts: tuple[bytes, ...]
    order: int
    """When it was asked for: ``Session.next_order``."""
    progress: Callable[[Tally, Phase], None] = lambda _tally, _phase: None
    finished: Callable[[Reconcile | None, str | None], None] | None = None
    """Told the outcome, when somebody waits for it (another process): what is missing is then judged at its end,
    as a scan does, and not in its own time."""


class ShareWatch:
    """Follows one share. Everything runs on the caller's thread in ``tick``, but for the event source.

    The disk is the truth: hints only say where to look, and a reconcile follows every doubt.
    """

    def __init__(self, session: Session, shares: Shares, root: Root, cookie_dir: bytes) -> None:
        self.session = session
        self.root_id = root.root_id
        self.tally = Tally()
        """What events brought; reconciles have their own."""
        self._shares = shares
        self._settings = session.settings
        self._cookie_dir = cookie_dir
        self.hints = Hints()
        self._settler = Settler(
            self._settings.settle_seconds,
            self._settings.quiet_seconds,
            self._settings.writer_quiet_seconds,
            self._settings.busy_seconds,
            has_writer=self._has_writer,
        )
        self._source: InotifySource | None = None
        self._rebuilds = self._overflows = 0
        """Of sources that are no more."""
        self.uncovered: list[bytes] = []
        """Folders without a kernel watch (limit, permission): because of them the share is polled, too."""
        self._passes: deque[PassRequest] = deque()
        """Asked for by others."""
        self._subtrees: dict[bytes, int] = {}
        """Folders of which something was heard: start → order. All that wait make one pass."""
        self._current: tuple[Reconcile, PassRequest] | None = None
        self._hurried = False
        """A whole pass was asked for after the present one had begun."""
        self._following = False
        """Whether the share was online when it was looked at last, and is followed."""
        self._pass_began = 0.0
        self._next_guard = 0.0
        self._next_health = 0.0
        self._next_absence = 0.0
        self.mode, self.mode_reason = self._choose_mode()
        self._clock = self._new_clock()

    @property
    def root(self) -> Root:
        return self.session.roots_by_id[self.root_id]

    @property
    def rebuilds(self) -> int:
        """How often the watches were set up anew."""
        return self._rebuilds + (self._source.rebuilds if self._source is not None else 0)

    @property
    def overflows(self) -> int:
        """How often the kernel's event queue overflowed."""
        return self._overflows + (self._source.overflows if self._source is not None else 0)

    @property
    def online(self) -> bool:
        return self.root.state is RootState.ONLINE

    # ------------------------------------------------------------------------------------------- mode

    def _has_writer(self, path: bytes) -> bool | None:
        """By the file system that is mounted now, which may have come after the watch."""
        probe = writer_probe(self.root.path, self.root.fs_type or "")
        return probe(path) if probe is not None else None

    def _choose_mode(self) -> tuple[WatchMode, str]:
        if self._settings.watch_mode != "auto":
            return WatchMode(self._settings.watch_mode), "as configured"
        mount = mount_of(self.root.path)
        return watch_mode(mount.fstype if mount else "")

    def _new_clock(self) -> ReconcileClock:
        if self.mode is WatchMode.INOTIFY:
            return ReconcileClock(self._settings.reconcile_interval_seconds, jitter=True)
        return ReconcileClock(self._settings.poll_interval_seconds)

    def start(self) -> None:
        """Watch for events, and let the first reconcile be due. Watches come before the walk: nothing
        that changes after its folder was listed goes unheard."""
        self._following = self.online
        # Now, and not before: what is mounted there may be another file system than when nothing was.
        self.mode, self.mode_reason = self._choose_mode()
        self._clock = self._new_clock()
        if self.online and self.mode is not WatchMode.POLL:
            self._start_source()
        self._tell_mode()
        self._hurry()

    def _hurry(self) -> None:
        """Let a whole pass begin soon, after the one that is under way."""
        self._hurried = True
        self._clock.hurry()

    def _start_source(self) -> None:
        try:
            source = InotifySource(
                self.root.path,
                self.hints,
                os.path.join(self._cookie_dir, b"%d" % self.root_id),
                selection=self.session.selection,
                cookie_seconds=self._settings.cookie_seconds,
            )
            source.start()
        except (OSError, ValueError) as error:  # ValueError: the share holds the folder of our own
            words = error.strerror if isinstance(error, OSError) else None
            self._degrade(f"events are not to be had: {words or error}")
        else:
            self._source = source

    def _degrade(self, reason: str) -> None:
        """Poll from now on, and say so loudly."""
        log.error("share %s is polled from now on: %s", self.root.name, reason)
        self._stop_source()
        self.mode, self.mode_reason = WatchMode.POLL, reason
        self._clock = self._new_clock()
        self._tell_mode()

    def _tell_mode(self) -> None:
        self.session.recorder.batch.begin()
        self.session.roots.set_mode(self.root_id, self.mode.value, self.mode_reason, len(self.uncovered))
        self.session.commit()

    def _stop_source(self) -> None:
        source, self._source = self._source, None
        if source is not None:
            source.stop()
            self._rebuilds += source.rebuilds
            self._overflows += source.overflows

    def stop(self, why: str = "the daemon stopped") -> None:
        """End the event source; what was not yet durable is found by the next start's reconcile."""
        self._stop_source()
        self.abandon(why)
        self._dismiss(why)

    # ------------------------------------------------------------------------------------------- tick

    def ask_pass(
        self,
        start: bytes,
        progress: Callable[[Tally, Phase], None],
        finished: Callable[[Reconcile | None, str | None], None],
    ) -> None:
        """Have a folder compared with the record for somebody who waits for it."""
        order = self.session.next_order()
        self.session.asked.add(order)
        self._passes.append(PassRequest((start,), order, progress, finished))

    def _dismiss(self, why: str) -> None:
        """Tell those who wait that there will be no pass."""
        while self._passes:
            request = self._passes.popleft()
            self.session.asked.discard(request.order)
            if request.finished is not None:
                request.finished(None, why)
        self.session.asked.difference_update(self._subtrees.values())
        self._subtrees.clear()

    def tick(self) -> bool:
        """Do what is due, for a moment. Whether there is more to do at once."""
        now = time.monotonic()
        if now >= self._next_guard:
            self._next_guard = now + self._settings.guard_interval_seconds
            self._shares.check(self.root)
        if self.online is not self._following:
            self._follow()
        if not self.online:
            self._dismiss(f"{self.root.name} is {self.root.state.value}")
            return False
        if now >= self._next_health:
            self._next_health = now + HEALTH_SECONDS
            self._check_source()
        self._take_hints(now)
        if now >= self._next_absence:
            self._confirm_absences(now)
        return self._reconcile(now)

    def _follow(self) -> None:
        """The share went away, or came back: whoever asked the guard."""
        log.warning("share %s: %s %s", self.root.name, self.root.state.value, self.root.state_reason or "")
        self._stop_source()
        self._following = self.online
        if self.online:
            self.start()  # whatever happened meanwhile was not heard
        else:
            self.abandon(f"the share went {self.root.state.value}")

    def abandon(self, why: str) -> None:
        """Give a reconcile up; a new one is due at once, and finds again what was under suspicion."""
        current, self._current = self._current, None
        self._hurry()
        self._forget_suspects()
        if current is not None:
            reconcile, request = current
            reconcile.abandon()
            if request.finished is not None:
                request.finished(None, why)

    def lose(self, why: str) -> None:
        """Part of the work was lost: begin again with a whole pass. Who waits for the present one waits on."""
        log.info("share %s is compared anew: %s", self.root.name, why)
        current, self._current = self._current, None
        self._hurry()
        self._forget_suspects()
        if current is not None:
            reconcile, request = current
            reconcile.abandon()
            if request.finished is not None:
                request.order = self.session.next_order()
                self.session.asked.add(request.order)
                self._passes.appendleft(request)

    def _forget_suspects(self) -> None:
        suspects = self.session.suspects
        for file_id in [i for i, suspect in suspects.items() if suspect.row.root_id == self.root_id]:
            del suspects[file_id]

    def _check_source(self) -> None:
        if self._source is None:
            return
        reason = self._source.health()
        if reason is None:
            return
        source = self._source
        if source.unstable:
            self._degrade(f"the event source failed too often: {reason}")
        else:
            try:
                source.rebuild(reason)
            except OSError as error:
                self._degrade(f"events are not to be had: {error.strerror or error}")
        self._hurry()

    # ------------------------------------------------------------------------------------------ hints

    def _take_hints(self, now: float) -> None:
        if self.hints.pending:
            self._settler.take(self.hints.drain())
        ready = self._settler.ready(now)
        if not ready:
            return
        changes = []
        for path, subtree in ready:
            if not path:
                self._hurry()
            elif subtree:
                self._ask_subtree(path)
            else:
                changes.append(Change(self.root_id, path, Reason.EVENT))
        if changes:
            self._keep(changes)

    def _keep(self, changes: list[Change]) -> None:
        """Durable before they leave memory. With the power they may be lost: then the start's reconcile follows."""
        session = self.session
        session.commit()  # what another file may spoil goes first
        session.recorder.batch.begin(durable=False)
        session.backlog.enqueue(changes)
        session.commit()

    def _ask_subtree(self, path: bytes) -> None:
        if path not in self._subtrees:
            order = self._subtrees[path] = self.session.next_order()
            self.session.asked.add(order)

    def examine(self, due: Due) -> None:
        """One path from the backlog: look at it, and have it inspected if it is not as recorded."""
        session, path = self.session, due.path
        if session.waiting_for(self.root_id, path):
            return
        row = session.recorder.rows.at(self.root_id, path)
        try:
            look = os.stat(os.path.join(self.root.path, path), follow_symlinks=session.follow_links)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR):
                self._not_there(due, "gone")
            else:
                session.recorder.batch.begin()
                session.backlog.postpone(due, error.strerror or str(error))
                self._next_guard = 0.0
            return
        if stat.S_ISDIR(look.st_mode):
            self._ask_subtree(path)
            self._not_there(due, "it is a folder now")
            return
        verdict = session.selection.verdict(path.rpartition(b"/")[2], path)
        if not stat.S_ISREG(look.st_mode) or not isinstance(verdict, Selected) or self._left_out(path):
            self._not_there(due, "no regular file of a catalogued name any more")
            return
        seen: Look = (look.st_size, look.st_mtime_ns, look.st_ctime_ns, look.st_ino)
        if (
            row is not None
            and row.presence.value == "present"
            and row.outcome.value not in ("pending", "unreadable")
        ):
            inode = row.inode + (1 << 64) if row.inode < 0 else row.inode
            known = KnownFile(row.file_id, row.size, row.mtime_ns, row.ctime_ns, inode)
            if same_look(known, seen, session.trust(self.root_id)):
                session.recorder.batch.begin()
                session.backlog.acknowledge(due)
                return
        job = Job(self.root_id, path, look.st_size, verdict.decode, due.generation, due.attempts)
        session.submit(job, Plan(self.tally, due=due))

    def _left_out(self, path: bytes) -> bool:
        folder = path.rpartition(b"/")[0]
        return bool(folder) and self.session.selection.enters(folder) is not None

    def _not_there(self, due: Due, reason: str) -> None:
        session = self.session
        session.recorder.batch.begin()
        row = session.recorder.rows.at(self.root_id, due.path)
        if row is not None:
            session.suspect(row, reason)
        session.backlog.acknowledge(due)

    # -------------------------------------------------------------------------------------- reconciles

    def _reconcile(self, now: float) -> bool:
        if self._current is None:
            request = self._next_pass(now)
            if request is None:
                return False
            self._pass_began = now
            there = lambda: self._shares.there(self.root)  # noqa: E731 - short, and used once
            self._current = (
                Reconcile(self.session, self.root, there, starts=request.starts, order=request.order),
                request,
            )
            self.session.asked.discard(request.order)
        reconcile, request = self._current
        reconcile.step(STEP_SECONDS)
        request.progress(reconcile.tally, reconcile.phase)
        if reconcile.phase is Phase.SEEN:
            if request.finished is not None:
                reconcile.judge()
                return True
            reconcile.finish()
        if reconcile.phase is not Phase.DONE:
            return True
        self._current = None
        self._finished(reconcile, request)
        return bool(self._passes or self._subtrees)

    def _next_pass(self, now: float) -> PassRequest | None:
        session = self.session
        if self._passes:
            request = self._passes.popleft()
        elif self._clock.due(now):
            session.asked.difference_update(self._subtrees.values())  # it sees them all
            self._subtrees.clear()
            request = PassRequest((b"",), session.next_order())
        elif self._subtrees:
            # The earliest order of all: what waits for one of them waits for this pass.
            order = min(self._subtrees.values())
            session.asked.difference_update(self._subtrees.values())
            starts, self._subtrees = outermost(self._subtrees), {}
            request = PassRequest(starts, order)
        else:
            return None
        if b"" in request.starts:
            self._hurried = False
        return request

    def _finished(self, reconcile: Reconcile, request: PassRequest) -> None:
        now, tally = time.monotonic(), reconcile.tally
        if reconcile.whole:
            self._audit_coverage(reconcile)
            self._clock.finished(now, now - self._pass_began)
            if self._hurried:
                self._clock.hurry()
        if tally.new or tally.changed or tally.missing or tally.moved or reconcile.problems:
            where = printable(b", ".join(reconcile.starts[:3])) or "all of it"
            log.info(
                "share %s, %s: %d files, %d new, %d changed, %d moved, %d missing, %d problems",
                self.root.name,
                where,
                *(tally.seen, tally.new, tally.changed, tally.moved, tally.missing),
                len(reconcile.problems),
            )
        if request.finished is not None:
            request.finished(reconcile, None)

    def _audit_coverage(self, reconcile: Reconcile) -> None:
        """Folders that were walked and have no watch are polled: the whole share is, it costs little."""
        bare = self._source.uncovered(reconcile.folders) if self._source is not None else []
        polled = self.mode is not WatchMode.INOTIFY or bool(bare)
        settings = self._settings
        self._clock.interval_seconds = (
            settings.poll_interval_seconds if polled else settings.reconcile_interval_seconds
        )
        if len(bare) != len(self.uncovered):
            if bare:
                log.warning(
                    "share %s: %s no watch (sysctl fs.inotify.max_user_watches, or permissions); polled",
                    self.root.name,
                    counted(len(bare), "folder has", "folders have"),
                )
            self.uncovered = bare
            self._tell_mode()

    def _confirm_absences(self, now: float) -> None:
        wait = self._settings.absence_seconds
        self._next_absence = now + min(1.0, max(wait, 0.05))
        answer = confirm_absences(
            self.session, self.root, lambda: self._shares.there(self.root), self.tally, after_seconds=wait
        )
        if answer is Answer.AWAY:
            self._next_guard = 0.0

    # ----------------------------------------------------------------------------------------- status

    def status(self) -> dict[str, Any]:
        """What ``catalog status`` shows of this share beside its row."""
        return {
            "mode": self.mode.value,
            "mode_reason": self.mode_reason,
            "settling": self._settler.waiting,
            "busy": [printable(path) for path, _ in self._settler.busy(time.monotonic())[:20]],
            "reconciling": self._current is not None,
            "rebuilds": self.rebuilds,
            "overflows": self.overflows,
        }


def outermost(folders: Iterable[bytes]) -> tuple[bytes, ...]:
    """Without those that lie below another one, sorted."""
    kept: list[bytes] = []
    for folder in sorted(folders, key=walk_key):
        if not kept or not (not kept[-1] or folder == kept[-1] or folder.startswith(kept[-1] + b"/")):
            kept.append(folder)
    return tuple(kept)
