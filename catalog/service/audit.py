"""An audit: files that nobody touched are read again from the disk, and held against what is recorded of them.

What is as recorded costs one reading and one sha256. Everything else, another digest, other times, an error,
goes through the same door as in a scan: inspected once more, judged, confirmed by a second reading where it
would raise an alarm. A file that is not where it was is looked for by a scan of its share.
"""

from __future__ import annotations

import functools
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from enum import Enum
from typing import Any, Final, Protocol

from catalog.query.coverage import Agenda, Candidate, agenda, candidates, coverage, missing_files, total
from catalog.query.opening import opened
from catalog.query.resolving import resolve
from catalog.record.batch import now_ms
from catalog.record.checks import AUDIT, AuditRuns
from catalog.record.roots import Root
from catalog.service.audit_result import AuditResult, Budget, place
from catalog.service.audit_verdicts import SETTLED, Doubt, Verdicts
from catalog.service.plans import Plan, Tally
from catalog.service.session import Session
from catalog.service.shares import Shares
from catalog.terms import (
    FailureKind,
    Inspection,
    Job,
    Outcome,
    Presence,
    RootState,
)

AHEAD_FILES: Final = 1024
AHEAD_BYTES: Final = 64 << 20
"""What may be under way: keeps the workers busy, and a limit of time from being overrun for long."""
PAGE: Final = 500
BEAT_SECONDS: Final = 2.0
SURE_SECONDS: Final = 1.0
"""How long the share guard's word is good enough for reading on after a file was not found."""


class Phase(Enum):
    READ = "reading"
    SEARCH = "looking for what is not where it was"
    DONE = "done"


class Search(Protocol):
    """A comparison of shares with their record, under way."""

    def step(self) -> bool:
        """Work for a moment; True when every share was compared, or cannot be."""


class Audit:
    """One run over a scope. Call ``step`` and pump the session until ``done``; then ``result`` is whole.

    ``scope``: absolute paths as the user meant them; empty: every share. ``search`` begins a comparison of some
    roots (by id) with their record. Whoever cannot go on calls ``interrupt``. Raises NotFound for a path that no
    share holds.
    """

    def __init__(
        self,
        session: Session,
        shares: Shares,
        search: Callable[[Sequence[int]], Search],
        *,
        database: str,
        scope: Sequence[bytes] = (),
        roots: Sequence[str] = (),
        budget: Budget = Budget(),  # noqa: B008 - frozen
        kind: str = AUDIT,
        actor: str | None = None,
    ) -> None:
        self._session = session
        self._shares = shares
        self._begin_search = search
        self._budget = budget
        self._actor = actor
        self._runs = AuditRuns(session.recorder.batch, session.runs)
        self.result = AuditResult()
        self.phase = Phase.READ
        self._began = time.monotonic()
        self._next_beat = 0.0
        self._read_at = 0.0
        self._waiting: deque[Candidate] = deque()
        self._outdated: set[bytes] = set()
        """Contents that were analysed by other decoders than the present ones, if by any."""
        self._reading: dict[int, Candidate] = {}
        self._doubts: list[Doubt] = []
        self._lost: list[Doubt] = []
        self._search: Search | None = None
        self._away: set[int] = set()
        self._sure_until: dict[int, float] = {}
        self._verdicts = Verdicts(session, self.result, self._away)
        self._stack = ExitStack()
        self._connection = self._stack.enter_context(opened(database))
        try:
            self._scope = resolve(self._connection, paths=list(scope), roots=roots)
            self._roots = {each.root_id: self._open(each.root_id) for each in self._scope.roots}
            named = sorted(os.fsdecode(path).encode("utf-8", "backslashreplace").decode() for path in scope)
            run = self._runs.begin(kind, [*named, *sorted(roots)], budget.fields())
            self.run_id = self.result.run_id = run.run_id
            self.result.resumed_ms = run.since_ms if run.resumed else None
            self._agenda = self._planned(run.since_ms)
        except BaseException:
            self._stack.close()
            raise
        self._next = 0

    @property
    def done(self) -> bool:
        return self.phase is Phase.DONE

    def _open(self, root_id: int) -> Root:
        root = self._shares.open(self._session.roots.by_id(root_id))
        if root.state is not RootState.ONLINE:
            self._leave(root, f"{root.state.value}: {root.state_reason or ''}".rstrip(": "))
        return root

    def _leave(self, root: Root, why: str) -> None:
        """Nothing more can be read of a share."""
        if root.root_id not in self._away:
            self._away.add(root.root_id)
            self.result.problems.append({**place(root.name, root.path), "reason": why})

    def _planned(self, since_ms: int) -> Agenda:
        """What is to be read, in its order, as far as the budget goes."""
        result, budget = self.result, self._budget
        before = since_ms
        if budget.older_than_seconds is not None:
            before = min(before, now_ms() - round(budget.older_than_seconds * 1000))
        found = agenda(self._connection, self._scope, before_ms=before, now_ms=now_ms())
        result.files = found.files
        allowed, size, number = budget.files_of(found.files), 0, 0
        for each in found.sizes:
            if allowed is not None and number >= allowed:
                result.budget = "files"
                break
            if budget.max_bytes is not None and number and size + each > budget.max_bytes:
                result.budget = "data"
                break
            number, size = number + 1, size + each
        result.planned, result.planned_bytes = number, size
        return Agenda(found.ids[:number], found.sizes[:number], found.files)

    # ------------------------------------------------------------------------------------------ the steps

    def step(self) -> None:
        """Give the workers more to read, deal with what came back. The caller pumps the session."""
        self._beat()
        if self.phase is Phase.READ:
            self._feed()
            self._forget_removed()
            self._settle()
            if not (self._reading or self._doubts or self._more()):
                self._seek()
        if self.phase is Phase.SEARCH and (self._search is None or self._search.step()):
            self._conclude_lost()
            if not self._lost:
                self._finish("complete" if self.result.complete else "incomplete")

    def _conclude_lost(self) -> None:
        """What was compared is known; what waits to be judged as a move is not, as long as it waits."""
        found, self._lost = self._lost, []
        for doubt in found:
            root_id, path = doubt.candidate.root_id, doubt.candidate.path
            if root_id not in self._away and self._session.waiting_for(root_id, path):
                self._lost.append(doubt)
            else:
                self._verdicts.conclude(doubt)

    def _beat(self) -> None:
        if time.monotonic() >= self._next_beat and self._session.recorder.batch.open:
            self._next_beat = time.monotonic() + BEAT_SECONDS
            self._runs.beat(self.run_id)

    def _more(self) -> bool:
        if self.result.budget == "time":
            return False
        limit = self._budget.max_seconds
        if limit is not None and time.monotonic() - self._began >= limit:
            if self._waiting or self._next < len(self._agenda):
                self.result.budget = "time"
            self._waiting.clear()
            self._next = len(self._agenda)
            return False
        if not self._waiting and self._next < len(self._agenda):
            chunk = self._agenda.ids[self._next : self._next + PAGE]
            self._next += len(chunk)
            self._fetch(chunk)
        return bool(self._waiting) or self._next < len(self._agenda)

    def _fetch(self, ids: Sequence[int]) -> None:
        """Look up what is next, and which of it no present decoder has seen yet."""
        found = list(candidates(self._connection, ids))
        contents = [each.sha256 for each in found if each.sha256 is not None and self._is_decoded(each)]
        known = self._session.recorder.known(contents, loaders=False) if contents else set()
        if not self._waiting:
            self._outdated.clear()
        self._outdated.update(each for each in contents if each not in known)
        self._waiting.extend(found)

    def _is_decoded(self, candidate: Candidate) -> bool:
        name = candidate.path.rpartition(b"/")[2]
        return candidate.outcome is not Outcome.OTHER and self._session.selection.decodes(name)

    def _feed(self) -> None:
        session = self._session
        ahead = sum(each.size for each in self._reading.values())
        ahead += sum(each.candidate.size for each in self._doubts)
        while self._more() and self._has_room(ahead) and session.may_read():
            if not self._waiting:
                continue
            candidate = self._waiting.popleft()
            if candidate.root_id in self._away:
                self.result.unread += 1
                continue
            if session.waiting_for(candidate.root_id, candidate.path):
                # Something else reads it now: look whether that leaves anything to be read.
                self._doubts.append(Doubt(candidate, now_ms(), busy=True))
                continue
            self._submit(candidate)
            ahead += candidate.size
            if self._budget.rate_bytes:
                seconds = candidate.size / self._budget.rate_bytes
                self._read_at = max(time.monotonic(), self._read_at) + seconds
        session.pool.flush()

    def _has_room(self, ahead: int) -> bool:
        if time.monotonic() < self._read_at:
            return False
        under_way = len(self._reading) + len(self._doubts)
        few = under_way < 2 * self._session.settings.workers
        return few or (under_way < AHEAD_FILES and ahead < AHEAD_BYTES)

    def _submit(self, candidate: Candidate) -> None:
        if (
            candidate.sha256 is None
            or candidate.outcome not in SETTLED
            or (candidate.sha256 in self._outdated and self._is_decoded(candidate))
        ):
            # Of an older epoch: as it has to be read, the present decoders look at it, too.
            self._doubt(candidate, now_ms(), None)
            return
        job = Job(candidate.root_id, candidate.path, candidate.size, decode=False, uncached=True, check=True)
        plan = Plan(Tally(), counted=True, run_id=self.run_id)
        plan.taker = functools.partial(self._take, candidate)
        if self._session.submit(job, plan):
            self._reading[candidate.file_id] = candidate

    def _forget_removed(self) -> None:
        """Of a share that was removed meanwhile no result comes back."""
        waiting = self._session.waiting_for
        for each in [c for c in self._reading.values() if not waiting(c.root_id, c.path)]:
            del self._reading[each.file_id]
            self.result.unread += 1

    # -------------------------------------------------------------------------------------- what came back

    def _take(self, candidate: Candidate, inspection: Inspection) -> None:
        """One check is back, inside the session's transaction (again, if that one failed)."""
        first = self._reading.pop(candidate.file_id, None) is not None
        failure, began = inspection.failure, inspection.started_ms
        if failure is not None:
            if failure.kind is FailureKind.GONE:
                self._not_found(candidate, began)
            else:
                self._doubt(candidate, began, None)
            return
        assert inspection.stat is not None and inspection.sha256 is not None
        if first:
            self.result.bytes_read += inspection.stat.size
        row = self._session.recorder.rows.find(candidate.file_id)
        if row is None or (row.root_id, row.path) != (candidate.root_id, candidate.path):
            self._doubts.append(Doubt(candidate, began))
        elif self._verdicts.as_recorded(candidate, row, inspection):
            self._verdicts.same(candidate, row, began, first=first)
        else:
            self._doubt(candidate, began, self._verdicts.alarming(candidate, row, inspection))

    def _doubt(self, candidate: Candidate, began: int, first_reading: bytes | None) -> None:
        """Have a file inspected as a scan would; from the disk."""
        doubt = Doubt(candidate, began)
        decode = self._is_decoded(candidate)
        job = Job(candidate.root_id, candidate.path, candidate.size, decode, uncached=True)
        plan = Plan(doubt.tally, run_id=self.run_id, first_reading=first_reading)
        self._session.submit_later(job, plan, 0.0)
        self._doubts.append(doubt)

    def _not_found(self, candidate: Candidate, began: int) -> None:
        root = self._session.roots_by_id[candidate.root_id]
        if time.monotonic() >= self._sure_until.get(root.root_id, 0.0):
            if not self._session.share_there(root.root_id):
                self._leave(root, "the share went away")
            self._sure_until[root.root_id] = time.monotonic() + SURE_SECONDS
        if root.root_id in self._away:
            self.result.unread += 1
        else:
            self._lost.append(Doubt(candidate, began))

    # ------------------------------------------------------------------------------------------- doubts

    def _settle(self) -> None:
        """Conclude what the ordinary inspection has dealt with; what may be a move needs a wider look."""
        session, rest = self._session, []
        for doubt in self._doubts:
            root_id, path = doubt.candidate.root_id, doubt.candidate.path
            if not session.waiting_for(root_id, path):
                if doubt.busy:
                    self._fetch([doubt.candidate.file_id])
                elif self._is_lost(doubt):
                    self._lost.append(doubt)
                else:
                    self._verdicts.conclude(doubt)
            elif session.put_aside(root_id, path) and not doubt.busy:
                self._lost.append(doubt)
            else:
                rest.append(doubt)
        self._doubts = rest

    def _is_lost(self, doubt: Doubt) -> bool:
        row = self._session.recorder.rows.find(doubt.candidate.file_id)
        return row is not None and row.presence is Presence.SUSPECT

    def _seek(self) -> None:
        self.phase = Phase.SEARCH
        roots = sorted({doubt.candidate.root_id for doubt in self._lost} - self._away)
        if roots:
            self._session.commit()
            self._search = self._begin_search(roots)

    # --------------------------------------------------------------------------------------------- the end

    def interrupt(self) -> None:
        """End it early: what was read is recorded, and the next audit of the same scope goes on."""
        if not self.done:
            self.result.interrupted = True
            self._finish("interrupted")

    def _finish(self, status: str) -> None:
        session, result = self._session, self.result
        session.commit()
        session.mass_changes.look(at_once=True)
        result.seconds = time.monotonic() - self._began
        result.coverage = total(coverage(self._connection, self._scope, now_ms()))
        result.missing = missing_files(self._connection, self._scope)
        if result.missing:
            result.drift["missing"] = result.missing
        roots = list(self._roots)
        self._runs.finish(
            self.run_id, status, result.counts(), roots[0] if len(roots) == 1 else None, self._actor
        )
        self.close()

    def close(self) -> None:
        """Give up whatever is left; its run counts as interrupted. May be called again."""
        self.phase = Phase.DONE
        self._reading.clear()
        self._doubts.clear()
        self._lost.clear()
        self._stack.close()

    def progress(self) -> dict[str, Any]:
        """Where it is, for a bar."""
        done = self.result
        return {
            "inspected": done.done,
            "bytes_read": done.bytes_read,
            "queued": done.planned,
            "queued_bytes": done.planned_bytes,
        }


def absolute(paths: Iterable[str]) -> list[bytes]:
    """The words of the command line, independent of the working directory; links are left as they are."""
    here = os.getcwdb()
    return [os.path.join(here, os.fsencode(path)) for path in paths]
