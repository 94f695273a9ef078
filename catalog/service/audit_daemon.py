"""The audits of a daemon: those that somebody asked for, one after the other, and its own in the background."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from catalog.errors import CatalogError, DatabaseFull, Locked, UsageError
from catalog.query.coverage import any_due
from catalog.query.opening import opened
from catalog.record.batch import now_ms
from catalog.record.checks import AUDIT, BACKGROUND
from catalog.record.runs import Request
from catalog.service.audit import Audit
from catalog.service.audit_result import Budget
from catalog.service.reconcile import Reconcile
from catalog.service.session import Session
from catalog.service.shares import Shares
from catalog.service.watching import ShareWatch

log = logging.getLogger(__name__)

NOTE_SECONDS: Final = 0.5
DAY_SECONDS: Final = 86_400.0
LOOK_SECONDS: Final = 3600.0
"""Time between two looks for files that are due, when none was."""
FIRST_LOOK_SECONDS: Final = 60.0
"""After the start the shares are compared with the record first."""

Answer = Callable[[Request, dict[str, Any]], None]


class AskedSearch:
    """Has the watches of some shares compare them with their record."""

    def __init__(self, watches: Mapping[int, ShareWatch], root_ids: Sequence[int]) -> None:
        watched = [watches[root_id] for root_id in root_ids if root_id in watches]
        self._open = len(watched)
        for watch in watched:
            watch.ask_pass(b"", lambda _tally, _phase: None, self._finished)

    def _finished(self, _reconcile: Reconcile | None, _why: str | None) -> None:
        self._open -= 1

    def step(self) -> bool:
        return self._open == 0


class Audits:
    """Runs them between the daemon's other work: ``tick`` often, ``stop`` at the end, ``lose`` after an error of
    the database. ``answer`` tells who asked."""

    def __init__(
        self, session: Session, shares: Shares, watches: Mapping[int, ShareWatch], answer: Answer
    ) -> None:
        self._session = session
        self._shares = shares
        self._watches = watches
        self._answer = answer
        self._asked: deque[Request] = deque()
        self._current: tuple[Audit, Request] | None = None
        self._own: Audit | None = None
        self._next_note = 0.0
        self._next_look = time.monotonic() + FIRST_LOOK_SECONDS

    def ask(self, request: Request) -> None:
        """Somebody wants an audit; it begins when those before it are done."""
        self._asked.append(request)

    def look_soon(self) -> None:
        """Let the daemon's own audit begin with the next ``tick``, if one is configured and anything is due."""
        self._next_look = 0.0

    def tick(self) -> None:
        """Go on with what is under way, for a moment."""
        if self._current is None and self._asked:
            self._begin(self._asked.popleft())
        if self._current is not None:
            audit, request = self._current
            audit.step()
            self._note(audit, request)
            if audit.done:
                self._current = None
                self._answer(request, audit.result.document())
        self._tick_own()

    def _begin(self, request: Request) -> None:
        try:
            self._current = self._made(request), request
        except (DatabaseFull, Locked):
            self._asked.appendleft(request)
            raise
        except CatalogError as error:
            self._answer(request, {"error": str(error)})

    def _made(self, request: Request) -> Audit:
        words = request.arguments
        try:
            scope = [bytes.fromhex(path) for path in words["scope"]]
            roots = [str(name) for name in words["roots"]]
            budget = Budget(**words["budget"])
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(f"a request that cannot be understood: {error!r}") from error
        return self._audit(AUDIT, budget, scope, roots, request.actor)

    def _audit(
        self,
        kind: str,
        budget: Budget,
        scope: Sequence[bytes] = (),
        roots: Sequence[str] = (),
        actor: str | None = None,
    ) -> Audit:
        return Audit(
            self._session,
            self._shares,
            lambda root_ids: AskedSearch(self._watches, root_ids),
            database=self._session.database,
            scope=scope,
            roots=roots,
            budget=budget,
            kind=kind,
            actor=actor,
        )

    def _note(self, audit: Audit, request: Request) -> None:
        if time.monotonic() >= self._next_note and not audit.done:
            self._next_note = time.monotonic() + NOTE_SECONDS
            self._session.recorder.batch.begin()
            self._session.runs.progress(request.request_id, audit.progress())

    # ------------------------------------------------------------------------------------ the daemon's own

    def _tick_own(self) -> None:
        if self._own is None and time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + LOOK_SECONDS
            self._begin_own()
        if self._own is None:
            return
        self._own.step()
        if self._own.done:
            log.info("background audit: %s", self._own.result.sentence())
            if self._own.result.budget == "time":
                self._next_look = 0.0  # what did not fit into a day is due still
            self._own = None

    def _begin_own(self) -> None:
        settings = self._session.settings
        if not settings.audit_days:
            return
        older, moment = settings.audit_days * DAY_SECONDS, now_ms()
        with opened(self._session.database) as connection:
            if not any_due(connection, before_ms=moment - round(older * 1000), now_ms=moment):
                return
        budget = Budget(
            max_seconds=DAY_SECONDS, older_than_seconds=older, rate_bytes=settings.audit_rate_bytes
        )
        watched = sorted(watch.root.name for watch in self._watches.values() if watch.online)
        if watched:
            self._own = self._audit(BACKGROUND, budget, roots=watched)

    # ---------------------------------------------------------------------------------------------- the end

    def stop(self) -> None:
        """The daemon ends: what was read is recorded; the same audit goes on when it is asked for again."""
        if self._own is not None:
            self._own.interrupt()
        if self._current is not None:
            self._current[0].interrupt()
        self.close()

    def lose(self, why: str) -> None:
        """Part of the work was lost: go on anew with what was not recorded. Who waits waits on."""
        if self._current is not None:
            request = self._current[1]
            self._current[0].close()
            self._current = None
            self._asked.appendleft(request)
        if self._own is not None:
            self._own.close()
            self._own = None
        log.info("audits begin anew: %s", why)

    def close(self) -> None:
        """Give everything back. May be called again."""
        for audit in [self._own, *([self._current[0]] if self._current else [])]:
            if audit is not None:
                audit.close()
        self._own = self._current = None
        self._asked.clear()
