"""One share under watch: its hints, its settling paths, its reconciles, its guard."""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from catalog.backlog import Due
from catalog.record.roots import Root
from catalog.service.absence import Answer, confirm_absences
from catalog.service.events import Events
from catalog.service.examining import Found, examine
from catalog.service.news import News, Newsroom
from catalog.service.plans import Tally
from catalog.service.reconcile import Phase, Reconcile
from catalog.service.session import Session
from catalog.service.shares import Shares
from catalog.terms import Change, Reason, RootState, printable
from catalog.watch.hints import Hints
from catalog.watch.mounts import borders_below
from catalog.watch.polling import Retries
from catalog.watch.settle import Settler, writer_probe
from catalog.watch.walk import walk_key

log = logging.getLogger(__name__)

HEALTH_SECONDS: Final = 1.0
STEP_SECONDS: Final = 0.05


@dataclass(slots=True)
class PassRequest:
    """A reconcile that is to be done."""

    starts: tuple[bytes, ...]
    order: int
    """When it was asked for: ``Session.next_order``."""
    heard_at: float = math.inf
    """time.monotonic() of the first news of what is walked; infinity when nothing was heard."""
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
        self.hints = Hints()
        self._settler = Settler(
            self._settings.settle_seconds,
            self._settings.quiet_seconds,
            self._settings.writer_quiet_seconds,
            self._settings.busy_seconds,
            has_writer=self._has_writer,
        )
        self.is_written = self._settler.is_written
        self.events = Events(session, root, self.hints, cookie_dir)
        self._passes: deque[PassRequest] = deque()
        """Asked for by others."""
        self._subtrees: dict[bytes, int] = {}
        """Folders of which something was heard: start → order. All that wait make one pass."""
        self._subtrees_since = math.inf
        """time.monotonic() of the first news of those; infinity when a walk alone spoke of them."""
        self._current: tuple[Reconcile, PassRequest] | None = None
        self._hurried = False
        """A whole pass was asked for after the present one had begun."""
        self._following = False
        """Whether the share was online when it was looked at last, and is followed."""
        self._told = root.state
        self._foundings = shares.foundings(root.root_id)
        self._whole = 0
        """Order of the whole pass that is to come, if it was asked for."""
        self._news = Newsroom()
        self._retries = Retries(
            self._settings.poll_interval_seconds, self._settings.reconcile_interval_seconds
        )
        self._borders: frozenset[bytes] = frozenset()
        """Absolute folders where another file system is mounted: not ours."""
        self._next_guard = 0.0
        self._next_health = 0.0
        self._next_absence = 0.0

    @property
    def root(self) -> Root:
        return self.session.roots_by_id[self.root_id]

    @property
    def online(self) -> bool:
        return self.root.state is RootState.ONLINE

    def unseen_since(self) -> float:
        """time.monotonic() of the oldest news that is not in the backlog yet, of whoever is not still writing.
        Infinity while the share is away: nobody waits for that."""
        if not self.online:
            return math.inf
        walked = self._current[1].heard_at if self._current is not None else math.inf
        waiting = min(self._subtrees_since, walked, self._news.since())
        return min(self.hints.oldest(), self._settler.oldest(), waiting)

    @property
    def expecting(self) -> bool:
        """Whether something was heard of that is to be looked at within a fraction of a second."""
        return self.online and bool(self.hints.pending or self._settler.waiting)

    def _has_writer(self, path: bytes) -> bool | None:
        """By the file system that is mounted now, which may have come after the watch."""
        probe = writer_probe(self.root.path, self.root.fs_type or "")
        return probe(path) if probe is not None else None

    def start(self) -> None:
        """Watch for events, and let the first reconcile be due. Watches come before the walk: nothing
        that changes after its folder was listed goes unheard."""
        self._following = self.online
        self.events.start(online=self.online)
        if self.online:
            self._hurry()

    def _hurry(self) -> None:
        """Let a whole pass begin soon, after the one that is under way."""
        self._hurried = True
        self.events.clock.hurry()
        if not self._whole:
            self._whole = self.session.next_order()
            self._ask(self._whole)

    def stop(self, why: str = "the daemon stopped") -> None:
        """End the event source; what was not yet durable is found by the next start's reconcile."""
        self.events.stop()
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
        self._ask(order)
        self._passes.append(PassRequest((start,), order, progress=progress, finished=finished))

    def _ask(self, order: int) -> None:
        """A walk is to come: whoever waits for it waits for this order."""
        self.session.walks.asked[order] = self.root_id

    def _unask(self, *orders: int) -> None:
        for order in orders:
            self.session.walks.asked.pop(order, None)

    def _dismiss(self, why: str) -> None:
        """Tell those who wait that there will be no pass."""
        while self._passes:
            request = self._passes.popleft()
            self._unask(request.order)
            if request.finished is not None:
                request.finished(None, why)
        self._unask(self._whole, *self._subtrees.values())
        self._whole, self._subtrees_since = 0, math.inf
        self._subtrees.clear()
        self._news.forget()

    def tick(self) -> bool:
        """Do what is due, for a moment. Whether there is more to do at once."""
        now = time.monotonic()
        if now >= self._next_guard:
            self._next_guard = now + self._settings.guard_interval_seconds
            if self._shares.check(self.root).online:
                self._borders = borders_below(self.root.path)
        if self._foundings != self._shares.foundings(self.root_id):
            self._follow_anew()
        if self.root.state is not self._told or self.online is not self._following:
            self._follow()
        if not self.online:
            self._dismiss(f"{self.root.name} is {self.root.state.value}")
            return False
        if now >= self._next_health:
            self._next_health = now + HEALTH_SECONDS
            if self.events.lost():
                self._hurry()
        if self.events.check(now):
            self._hurry()
        again = self._retries.take(now)
        if again:
            self._keep([Change(self.root_id, path, Reason.RETRY) for path in again])
        self._take_hints(now)
        if now >= self._next_absence:
            self._confirm_absences(now)
        return self._reconcile(now)

    def _follow(self) -> None:
        """The share went away, or came back: whoever asked the guard."""
        why = f": {self.root.state_reason}" if self.root.state_reason else ""
        log.warning("share %s: %s%s", self.root.name, self.root.state.value, why)
        self._told = self.root.state
        if self.online and not self._following:
            self.start()  # whatever happened meanwhile was not heard
        elif not self.online and self._following:
            self._following = False
            self.events.stop()
            self.abandon(f"the share went {self.root.state.value}")

    def _follow_anew(self) -> None:
        """Another folder is the share now: of it, nothing was heard yet."""
        self._foundings = self._shares.foundings(self.root_id)
        self.lose("its folder was made anew")
        if self.online and self._following:
            self.start()

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
        self._news.forget()  # it may not have come to the backlog
        self._hurry()
        self._forget_suspects()
        if current is not None:
            reconcile, request = current
            reconcile.abandon()
            if request.finished is not None:
                request.order = self.session.next_order()
                self._ask(request.order)
                self._passes.appendleft(request)

    def _forget_suspects(self) -> None:
        suspects = self.session.suspects
        for file_id in [i for i, suspect in suspects.items() if suspect.row.root_id == self.root_id]:
            del suspects[file_id]

    # ------------------------------------------------------------------------------------------ hints

    def unreadable(self, path: bytes) -> None:
        """It could not be read: permission may come back, and no event would tell."""
        self._retries.failed(time.monotonic(), [path])

    def _take_hints(self, now: float) -> None:
        if self.hints.pending:
            self._settler.take(self.hints.drain())
        ready = self._settler.ready(now)
        if not ready:
            return
        changes = []
        for path, subtree, freed, since in ready:
            if not path:
                self._hurry()
            elif subtree:
                self._ask_subtree(path)
                self._subtrees_since = min(self._subtrees_since, since)
            else:
                changes.append(Change(self.root_id, path, Reason.EVENT))
                self._news.remember(path, News(freed, since))
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
            self._ask(order)

    def examine(self, due: Due) -> None:
        """One path from the backlog: look at it, and have it inspected if it is not as recorded."""
        # What is on its way already comes again afterwards.
        waits = self.session.waiting_for(due.root_id, due.path)
        news = self._news.of(due.path, keep=waits)
        found = examine(self.session, self.root, due, self.tally, self._borders, news=news)
        if found is Found.FOLDER:
            self._ask_subtree(due.path)
        elif found is Found.TROUBLE:
            self._next_guard = 0.0

    # -------------------------------------------------------------------------------------- reconciles

    def _reconcile(self, now: float) -> bool:
        if self._current is None:
            request = self._next_pass(now)
            if request is None:
                return False
            self._current = self._begin(request), request
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

    def _begin(self, request: PassRequest) -> Reconcile:
        there = lambda: self._shares.there(self.root)  # noqa: E731 - short, and used once
        try:
            reconcile = Reconcile(self.session, self.root, there, starts=request.starts, order=request.order)
        except BaseException:  # no room for its row: nobody waits for what does not come
            self._hurry()
            if request.finished is not None:
                self._passes.appendleft(request)
            else:
                self._unask(request.order)
            raise
        self._unask(request.order)
        return reconcile

    def _next_pass(self, now: float) -> PassRequest | None:
        session = self.session
        if self._passes:
            request = self._passes.popleft()
        elif self.events.clock.due(now):
            # It sees them all, and what waits for one of them waits for it.
            orders = [order for order in (self._whole, *self._subtrees.values()) if order]
            self._unask(*orders)
            self._subtrees.clear()
            request = PassRequest((b"",), min(orders, default=session.next_order()))
        elif self._subtrees:
            order = min(self._subtrees.values())
            self._unask(*self._subtrees.values())
            starts, self._subtrees = outermost(self._subtrees), {}
            request = PassRequest(starts, order)
        else:
            return None
        if request.finished is None:
            request.heard_at, self._subtrees_since = self._subtrees_since, math.inf
        if b"" in request.starts:
            self._hurried = False
            self._unask(self._whole)
            self._whole = 0
        return request

    def _finished(self, reconcile: Reconcile, request: PassRequest) -> None:
        now, tally = time.monotonic(), reconcile.tally
        self._retries.failed(now, reconcile.unlisted)
        if reconcile.whole:
            self.events.forget_walked()
            if not reconcile.share_left and self.events.audit(reconcile.folders):
                self._hurry()
            self.events.clock.finished(now, reconcile.walk_seconds)
            if self._hurried:
                self.events.clock.hurry()
        else:
            self.events.walked(reconcile.folders)
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
            "mode": self.events.mode.value,
            "mode_reason": self.events.mode_reason,
            "settling": self._settler.waiting,
            "busy": [printable(path) for path, _ in self._settler.busy(time.monotonic())[:20]],
            "reconciling": self._current is not None,
            "rebuilds": self.events.rebuilds,
            "overflows": self.events.overflows,
        }


def outermost(folders: Iterable[bytes]) -> tuple[bytes, ...]:
    """Without those that lie below another one, sorted."""
    kept: list[bytes] = []
    for folder in sorted(folders, key=walk_key):
        if not kept or not (not kept[-1] or folder == kept[-1] or folder.startswith(kept[-1] + b"/")):
            kept.append(folder)
    return tuple(kept)
