"""``catalog watch``: reconcile, then follow changes, until it is told to stop.

One thread does the work, in turns of a fraction of a second; the event sources and the systemd watchdog have
threads of their own. The watchdog is fed only while the turns come round.
"""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any, Final

from catalog import notify
from catalog.errors import CatalogError, DatabaseFull, Locked, UsageError
from catalog.record.roots import Root
from catalog.record.runs import Request
from catalog.service.audit_daemon import Audits
from catalog.service.confirming import Confirmation, RequestedConfirmation
from catalog.service.cookies import Cookies
from catalog.service.heart import Heart
from catalog.service.links import Links
from catalog.service.metrics import Counters, Metrics
from catalog.service.plans import Tally
from catalog.service.rebase import RequestedRebase
from catalog.service.reconcile import Phase, Reconcile
from catalog.service.scan import ScanResult, Target, add_tally, problem, targets
from catalog.service.session import Session
from catalog.service.shares import Shares
from catalog.service.signals import Stop
from catalog.service.watching import ShareWatch
from catalog.terms import RootState, counted, path_fields, printable

log = logging.getLogger(__name__)

IDLE_SECONDS: Final = 0.1
QUIET_SECONDS: Final = 0.25
"""The same while nothing settles: what is heard of meanwhile settles for longer than that."""
DESK_SECONDS: Final = 0.5
BEAT_SECONDS: Final = 2.0
PAIRING_SECONDS: Final = 0.5
"""How long watchdog keeps one half of a rename back, to see whether the other half comes."""
DUE_LIMIT: Final = 1000
IDLE_WORKERS_SECONDS: Final = 60.0
WAIT_SECONDS: Final = 5.0


class Daemon:
    """Watches the shares of one session. ``run`` returns when ``stop`` says so; ``close`` ends the threads."""

    def __init__(
        self,
        session: Session,
        *,
        only: Sequence[int] | None,
        stop: Stop,
        links: Mapping[bytes, bytes] | None = None,
    ) -> None:
        self.session = session
        self.shares = Shares(session)
        self.watches: dict[int, ShareWatch] = {}
        self._only = set(only) if only is not None else None
        self._links = Links(links or {}, session.settings.guard_deadline_seconds)
        self._next_links = 0.0
        self._stop = stop
        self._heart = Heart(patience_seconds=max(60.0, 3 * session.settings.guard_deadline_seconds))
        self._cookies = Cookies(session.database)
        session.pulse = self._heart.beat
        session.names.heed = True
        session.patience_seconds = session.settings.elsewhere_seconds
        session.outcomes.is_written = self._is_written
        session.outcomes.unreadable = self._unreadable
        self._next_desk = 0.0
        self._next_beat = 0.0
        self._taken: set[int] = set()
        """Requests that are being worked on."""
        self._unsaid: deque[tuple[Request, dict[str, Any]]] = deque()
        """Answers that are not durable yet."""
        self._confirmations: list[RequestedConfirmation] = []
        path = session.settings.metrics_file
        self._metrics = Metrics(path, session.database) if path else None
        self._rebases: list[RequestedRebase] = []
        self._audits = Audits(session, self.shares, self.watches, self.answer)
        self._busy_since = time.monotonic()

    def close(self) -> None:
        """Give everything back, whatever of it fails."""
        with ExitStack() as stack:
            stack.callback(self._cookies.cleanup)
            stack.callback(self._heart.stop)
            if self._metrics is not None:
                stack.callback(self._metrics.stop)
            stack.callback(self._links.close)
            stack.callback(self.shares.close)
            stack.callback(self._audits.close)
            for watch in self.watches.values():
                stack.callback(watch.stop)

    # ------------------------------------------------------------------------------------------- loop

    def run(self, ready: Callable[[], None] = lambda: None) -> None:
        """Watch until the end. ``ready`` is called once, when every share's watches are up."""
        self.session.runs.daemon_started()
        self._heart.start()
        if self._metrics is not None:
            self._metrics.start()
        with self._heart.patient():  # the watches of a large share on a slow server take their time
            self._follow_roots()
        ready()
        notify.ready(self._words())
        while not self._stop():
            try:
                with self.session.contained():
                    if not self._turn():
                        self._rest()
            except (DatabaseFull, Locked) as error:
                self._wait_for_room(error)
        notify.stopping("stopping")
        notify.extend_timeout(60)
        self._audits.stop()
        self.session.commit()
        self.session.runs.daemon_stopped()

    def _turn(self) -> bool:
        """One round over everything. Whether there is more to do at once."""
        self._heart.beat()
        now = time.monotonic()
        if now >= self._next_desk:
            self._next_desk = now + DESK_SECONDS
            self._follow_links(now)
            self._follow_roots()
            self._serve_requests()
        more = False
        for watch in list(self.watches.values()):
            more = watch.tick() or more
        self._confirmations = [each for each in self._confirmations if not each.step()]
        more = self._take_due() or more
        self._rebases = [each for each in self._rebases if not each.step()]
        self._audits.tick()
        if self.session.busy():
            self.session.pool.flush()
            self.session.pump(0.0 if more else IDLE_SECONDS)
            self._busy_since = now
        if self.session.arrivals:
            wait = self.session.settings.absence_seconds
            self.session.placing.resolve(overwriting_seconds=wait, heard_until=self._heard_until())
        if now >= self._next_beat:
            self._next_beat = now + BEAT_SECONDS
            self.session.mass_changes.look()
            self._beat()
        elif self.session.recorder.due:
            self.session.commit()
        return more or self.session.busy()

    def _heard_until(self) -> float:
        """time.monotonic() up to which all that was heard of is inspected, or on its way: what a name held before
        may have gone to any of those. Nobody waits for the rest for longer than for an absence."""
        settings, now = self.session.settings, time.monotonic()
        heard = min(
            self.session.heard_until(),
            *(watch.unseen_since() for watch in self.watches.values()),
            math.inf,
        )
        return max(
            now - settings.absence_seconds, min(heard, now - PAIRING_SECONDS - settings.settle_seconds)
        )

    def _wait_for_room(self, error: CatalogError) -> None:
        """The catalogue's disk is full, or somebody keeps it locked: nothing is lost, what was not recorded is
        found again."""
        log.error("%s; waiting", error)
        notify.status(str(error))
        self.session.start_over()
        until = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < until and not self._stop():
            self._heart.beat()
            time.sleep(IDLE_SECONDS)
        for watch in self.watches.values():
            watch.lose("the catalogue could not be written")
        self._audits.lose("the catalogue could not be written")

    def _take_due(self) -> bool:
        session = self.session
        if session.in_flight > DUE_LIMIT // 2 or not session.may_read():
            return False
        session.names.taken()
        online = [watch.root_id for watch in self.watches.values() if watch.online]
        # Those that are on their way already are given again, and may all be among the first.
        for job in session.backlog.due(DUE_LIMIT + session.waiting, online):
            self.watches[job.root_id].examine(job)
        return False

    def _rest(self) -> None:
        if self.session.recorder.batch.open:
            self.session.commit()
        if time.monotonic() - self._busy_since > IDLE_WORKERS_SECONDS:
            self.session.pool.stop_idle()
            self._busy_since = time.monotonic()
        expecting = any(watch.expecting for watch in self.watches.values())
        time.sleep(IDLE_SECONDS if expecting else QUIET_SECONDS)

    # ------------------------------------------------------------------------------------------ shares

    def _follow_roots(self) -> None:
        """Watch the shares that were added since, let go of those that were removed."""
        current = {root.root_id: root for root in self.session.roots.all()}
        for root_id in set(self.watches) - set(current):
            log.info("share %s was removed", self.watches[root_id].root.name)
            self._let_go(root_id, "the share was removed")
        for root_id, root in current.items():
            if self._stop():
                return
            watch = self.watches.get(root_id)
            if watch is not None and (watch.root.path, watch.root.identity) != (root.path, root.identity):
                # Decided by an admin: what is found out here stands in our row already.
                log.info("share %s is now at %s", root.name, printable(root.path))
                self._let_go(root_id, "the share was relocated")
                self._watch(root)
            elif watch is not None:
                self.shares.demand(root)
            elif self._only is None or root_id in self._only:
                self._watch(root)

    def _follow_links(self, now: float) -> None:
        if self._only is not None and now >= self._next_links:
            self._next_links = now + self.session.settings.guard_interval_seconds
            self._only.update(self._links.follow(self.session))

    def _is_written(self, root_id: int, path: bytes) -> bool:
        watch = self.watches.get(root_id)
        return watch is not None and watch.is_written(path)

    def _unreadable(self, root_id: int, path: bytes) -> None:
        if root_id in self.watches:
            self.watches[root_id].unreadable(path)

    def _let_go(self, root_id: int, why: str) -> None:
        self.watches.pop(root_id).stop(why)
        self.shares.forget(root_id)
        self.session.forget(root_id)

    def _watch(self, root: Root) -> ShareWatch:
        opened = self.shares.open(root)
        watch = ShareWatch(self.session, self.shares, opened, self._cookies.outside(root.path))
        self.watches[root.root_id] = watch
        with self._heart.patient():
            watch.start()
        log.info(
            "share %s: %s (%s), %s",
            root.name,
            watch.events.mode.value,
            watch.events.mode_reason,
            opened.state.value,
        )
        return watch

    # ---------------------------------------------------------------------------------------- requests

    def _serve_requests(self) -> None:
        runs = self.session.runs
        self._say()
        for request in runs.asked():
            if request.request_id in self._taken:
                continue
            self._taken.add(request.request_id)
            runs.take(request.request_id)
            self.session.commit()
            try:
                if request.kind == "confirm-missing":
                    self._start_confirmation(request)
                    continue
                if request.kind == "rebase":
                    self._start_rebase(request)
                elif request.kind == "scan":
                    self._start_scan(request)
                elif request.kind == "audit":
                    self._audits.ask(request)
                else:
                    raise UsageError(f"this daemon does not know the request {request.kind}")
            except CatalogError as error:
                if isinstance(error, DatabaseFull | Locked):
                    self._taken.discard(request.request_id)
                    raise
                self.answer(request, {"error": str(error)})

    def answer(self, request: Request, document: dict[str, Any]) -> None:
        """Tell who asked. What was recorded for it is durable by then."""
        self._unsaid.append((request, document))
        self._say()

    def _say(self) -> None:
        while self._unsaid:
            request, document = self._unsaid[0]
            self.session.commit()
            self.session.runs.answer(request.request_id, document)
            self._unsaid.popleft()
            self._taken.discard(request.request_id)

    def _start_rebase(self, request: Request) -> None:
        answer = partial(self.answer, request)
        self._rebases.append(RequestedRebase(self.session, self.shares, request, answer))

    def _start_scan(self, request: Request) -> None:
        try:
            folders = [bytes.fromhex(folder) for folder in request.arguments["folders"]]
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(f"a request that cannot be understood: {error!r}") from error
        chosen = targets(self.session.roots, folders, name=request.arguments.get("name"), actor=request.actor)
        for target in chosen:
            if target.root.root_id not in self.watches:
                self._watch(target.root)
        RequestedScan(self, request, chosen).start()

    def _start_confirmation(self, request: Request) -> None:
        try:
            root_id, until_ms = int(request.arguments["root_id"]), int(request.arguments["until_ms"])
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(f"a request that cannot be understood: {error!r}") from error
        root = self.session.roots.by_id(root_id)
        work = Confirmation(self.session, root, until_ms=until_ms, actor=request.arguments.get("actor"))
        self._confirmations.append(RequestedConfirmation(work, partial(self.answer, request)))

    # ------------------------------------------------------------------------------------------ status

    def _beat(self) -> None:
        status: dict[str, Any] = {
            "rebuilds": sum(watch.events.rebuilds for watch in self.watches.values()),
            "overflows": sum(watch.events.overflows for watch in self.watches.values()),
            "in_flight": self.session.in_flight,
            "only": None if self._only is None else sorted({*self._only, *self.watches}),
            "roots": {watch.root.name: watch.status() for watch in self.watches.values()},
        }
        if self._metrics is not None:
            read = self.session.bytes_read
            self._metrics.counters = Counters(time.time(), status["overflows"], status["rebuilds"], read)
        self.session.commit()
        self.session.recorder.batch.begin(durable=False)  # no sync of the disk for a sign of life
        self.session.runs.daemon_beats(status)
        self.session.commit()
        notify.status(self._words())

    def _words(self) -> str:
        watches = self.watches.values()
        online = sum(watch.root.state is RootState.ONLINE for watch in watches)
        return (
            f"watching {counted(online, 'share')} of {len(self.watches)},"
            f" {counted(self.session.backlog.waiting(), 'path')} waiting"
        )


class RequestedScan:
    """A scan that another process asked for: passes on its shares, one answer when the last is done."""

    def __init__(self, daemon: Daemon, request: Request, chosen: Sequence[Target]) -> None:
        self._daemon = daemon
        self._request = request
        self._chosen = list(chosen)
        self._result = ScanResult()
        self._began = time.monotonic()
        self._open = len(self._chosen)
        self._tallies: dict[int, Tally] = {}
        self._next_note = 0.0

    def start(self) -> None:
        if not self._chosen:
            self._answer()
        for number, target in enumerate(self._chosen):
            self._daemon.watches[target.root.root_id].ask_pass(
                target.start, self._progress_of(number), self._finished_of(target)
            )

    def _progress_of(self, number: int) -> Callable[[Tally, Phase], None]:
        def progress(tally: Tally, phase: Phase) -> None:
            self._tallies[number] = tally
            if time.monotonic() < self._next_note:
                return
            self._next_note = time.monotonic() + DESK_SECONDS
            total: dict[str, Any] = {
                name: sum(getattr(each, name) for each in self._tallies.values())
                for name in ("inspected", "bytes_read", "queued", "queued_bytes")
            }
            if phase is Phase.WALK:
                del total["queued"], total["queued_bytes"]
            self._daemon.session.recorder.batch.begin()
            self._daemon.session.runs.progress(self._request.request_id, total)

        return progress

    def _finished_of(self, target: Target) -> Callable[[Reconcile | None, str | None], None]:
        def finished(reconcile: Reconcile | None, why: str | None) -> None:
            root = self._daemon.session.roots.by_id(target.root.root_id)
            self._result.roots.append(
                {"name": root.name, **path_fields(root.path), "state": root.state.value}
            )
            if reconcile is not None:
                add_tally(self._result.tally, reconcile.tally)
                self._result.problems.extend(problem(root, path, words) for path, words in reconcile.problems)
            if why is not None:
                self._result.problems.append(problem(root, target.start, why))
            self._open -= 1
            if self._open == 0:
                self._answer()

        return finished

    def _answer(self) -> None:
        self._result.seconds = time.monotonic() - self._began
        self._daemon.answer(self._request, self._result.document())
