"""One cataloguing process: the decode workers, the recorder, the backlog, and what is in flight between."""

from __future__ import annotations

import dataclasses
import heapq
import itertools
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from catalog.backlog import Backlog
from catalog.config import Settings
from catalog.errors import CatalogError
from catalog.inspection import Pool
from catalog.record import FileRow, Recorder
from catalog.record.roots import Root, Roots
from catalog.record.runs import Runs
from catalog.service.moves import Arrivals
from catalog.service.outcomes import Outcomes
from catalog.service.plans import Key, Plan, Suspect
from catalog.store.engine import writing_engine
from catalog.terms import Inspection, Job, Outcome, Presence, printable
from catalog.watch.mounts import MountTrust
from catalog.watch.selection import Selection

log = logging.getLogger(__name__)


class Session:
    """Owns the pool of decode workers and the recorder. Used by one thread; ``close`` gives everything back.

    The caller holds the cataloguing lock. ``submit`` never blocks; ``pump`` does the work.
    """

    def __init__(self, database: str, settings: Settings) -> None:
        self.settings = settings
        self.roots_by_id: dict[int, Root] = {}
        self.suspects: dict[int, Suspect] = {}
        """By file_id: not found where they were, absence not proven."""
        self.lost_mounts: dict[int, frozenset[bytes]] = {}
        """By root: relative paths where another file system was mounted, and is not now."""
        self.share_trouble: set[int] = set()
        """Roots on which a file failed with an error of the share: ask the guard."""
        self._engine = writing_engine(database)
        self._plans: dict[Key, Plan] = {}
        self._retries: list[tuple[float, int, Job, Plan]] = []
        self._retried: set[Key] = set()
        self._order = itertools.count()
        self._read_at = 0.0
        self._uncommitted: list[tuple[Job, Plan]] = []
        self._alone = 0
        """Files that are to be recorded in a transaction of their own, after one of them spoiled another."""
        self.pool = Pool(
            workers=settings.workers,
            limits=settings.limits,
            loaders=settings.record_loader_checksums,
            follow_links=settings.follow_links,
            root_paths=lambda root_id: self.roots_by_id[root_id].path,
            known=lambda digests: self.recorder.known(digests, loaders=settings.record_loader_checksums),
        )
        try:
            self.recorder = Recorder(
                self._engine,
                database,
                lambda: self.pool.toolchain,  # asked with the first new content: it starts a worker
                auto_accept=frozenset(settings.auto_accept),
            )
        except BaseException:
            self.pool.close()
            raise
        self.roots = Roots(self.recorder.batch)
        self.runs = Runs(self.recorder.batch)
        self.backlog = Backlog(self.recorder.batch)
        self.arrivals = Arrivals(self.recorder, self._inode_trusted)
        self._outcomes = Outcomes(self)
        self.selection = Selection(
            extensions=settings.extensions,
            include=settings.include,
            exclude=settings.exclude,
            follow_links=settings.follow_links,
        )

    def close(self) -> None:
        """Stop the workers, record what is known, close the database. What was in flight is found again."""
        try:
            self.pool.close()
            self.recorder.close()
        finally:
            self._engine.dispose()

    def trust(self, root_id: int) -> MountTrust:
        """What the stat fields of a root's mount are worth."""
        root = self.roots_by_id[root_id]
        return MountTrust(root.inode_trusted, root.ctime_trusted, root.mtime_granularity_ns)

    def _inode_trusted(self, root_id: int) -> bool:
        root = self.roots_by_id.get(root_id) or self.roots.by_id(root_id)
        return root.inode_trusted

    # --------------------------------------------------------------------------------------- in flight

    def busy(self) -> bool:
        """Whether anything is in flight or waits for its retry."""
        return bool(self._plans or self._retries)

    @property
    def in_flight(self) -> int:
        return len(self._plans)

    def waiting_for(self, root_id: int, path: bytes) -> bool:
        """Whether a path is in flight, waits for its retry, or was put aside as a possible move."""
        key = (root_id, path)
        return key in self._plans or key in self._retried or key in self.arrivals

    def may_read(self) -> bool:
        """Whether the rate limit lets another file be read now."""
        return not self.settings.max_rate_bytes or time.monotonic() >= self._read_at

    def submit(self, job: Job, plan: Plan) -> bool:
        """Have a path inspected. False when it is on its way already."""
        if self.waiting_for(job.root_id, job.path):
            return False
        self._plans[job.root_id, job.path] = plan
        if self.settings.max_rate_bytes:
            seconds = job.size_hint / self.settings.max_rate_bytes
            self._read_at = max(time.monotonic(), self._read_at) + seconds
        self.pool.submit(job)
        return True

    def submit_later(self, job: Job, plan: Plan, seconds: float) -> None:
        """Have a path inspected once more, a little later."""
        self._retried.add((job.root_id, job.path))
        heapq.heappush(self._retries, (time.monotonic() + seconds, next(self._order), job, plan))

    def pump(self, timeout: float) -> int:
        """Take what the workers have finished (waiting up to ``timeout`` seconds); the number of results."""
        self._resubmit()
        if self._retries:
            timeout = min(timeout, max(0.0, self._retries[0][0] - time.monotonic()))
        results = self.pool.poll(timeout)
        keys = [(each.job.root_id, each.job.path) for each in results]
        try:
            with self.contained():
                expected = [(each, self._plans[key]) for each, key in zip(results, keys, strict=True)]
                self._outcomes.expect(expected)
            for inspection, key in zip(results, keys, strict=True):
                self._take(inspection, self._plans.pop(key))
        finally:
            self._outcomes.expect(())
        if not self._plans and self._retries and timeout > 0 and not results:
            time.sleep(timeout)  # the pool returns at once when it has nothing to do
        if self.recorder.due:
            self.commit()
        return len(results)

    def _take(self, inspection: Inspection, plan: Plan) -> None:
        self._uncommitted.append((inspection.job, plan))
        with self.contained():
            self._outcomes.take(inspection, plan)
            if self._alone:
                self._alone -= 1
                self.commit()

    def commit(self) -> None:
        """Make durable what was recorded. What cannot be written, for a fault of ours, costs one file."""
        with self.contained():
            self.recorder.commit()
            self._uncommitted.clear()

    @contextmanager
    def contained(self) -> Iterator[None]:
        """Keep a fault of ours in the block from costing more than the file that provokes it.

        The world's errors pass, and so does a fault that no file of the open transaction explains.
        """
        try:
            yield
        except CatalogError:
            self._uncommitted.clear()
            raise
        except Exception as error:
            if not self._uncommitted:
                raise
            self._isolate(error)

    def _isolate(self, error: Exception) -> None:
        """Something in this transaction cannot be recorded. Everything is inspected again, a file at a time;
        the one that fails alone is recorded with the reason."""
        self.recorder.rollback()
        self._outcomes.expect(())
        lost, self._uncommitted = self._uncommitted, []
        if len(lost) > 1:
            log.warning("a transaction of %d files failed, each is tried alone: %r", len(lost), error)
            self._alone += len(lost)
            for job, plan in lost:
                self.submit_later(job, dataclasses.replace(plan, counted=True), 0.0)
            return
        for job, plan in lost:
            log.error("%s cannot be recorded, a bug of ours", printable(job.path), exc_info=error)
            reason = f"could not be recorded, a bug of catalog: {type(error).__name__}: {error}"
            self.recorder.failed(job.root_id, job.path, None, Outcome.UNREADABLE, printable(reason))
            if plan.due is not None:
                self.backlog.acknowledge(plan.due)
            plan.tally.unreadable += 1
        self.recorder.commit()

    def _resubmit(self) -> None:
        while self._retries and self._retries[0][0] <= time.monotonic():
            _, _, job, plan = heapq.heappop(self._retries)
            self._retried.discard((job.root_id, job.path))
            self._plans[job.root_id, job.path] = plan
            self.pool.submit(job)
            self.pool.flush()

    # -------------------------------------------------------------------------------- moves and absence

    def suspect(self, row: FileRow, reason: str) -> None:
        """A file was not found where it was. Absence needs proof: see ``absence.py``."""
        if row.presence is Presence.MISSING or row.file_id in self.suspects:
            return
        self.suspects[row.file_id] = Suspect(row, time.monotonic(), reason)
        self.recorder.batch.begin()
        self.recorder.suspect(row)

    def resolve_moves(self) -> int:
        """Give each arrival that was put aside its history; the number of moves."""
        if not self.arrivals.waiting():
            return 0
        moved, rest, overwritten = self.arrivals.resolve()
        for row in overwritten:
            self.suspects.pop(row.file_id, None)
        for row, arrival in moved:
            self.suspects.pop(row.file_id, None)
            arrival.plan.tally.moved += 1
            arrival.plan.counted = True
            self._outcomes.record(arrival.inspection, arrival.plan)
        for arrival in rest:
            self._outcomes.record(arrival.inspection, arrival.plan)
        return len(moved)


__all__ = ["Session"]
