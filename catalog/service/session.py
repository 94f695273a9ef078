"""One cataloguing process: the decode workers, the recorder, the backlog, and what is in flight between."""

from __future__ import annotations

import dataclasses
import heapq
import itertools
import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from catalog.backlog import Backlog
from catalog.config import Settings
from catalog.errors import CatalogError
from catalog.inspection import Pool
from catalog.record import FileRow, Recorder
from catalog.record.batch import signed
from catalog.record.checks import Checks
from catalog.record.roots import Root, Roots
from catalog.record.runs import Runs
from catalog.service.mass_change import MassChanges
from catalog.service.moves import Arrivals
from catalog.service.names import Names
from catalog.service.outcomes import Outcomes
from catalog.service.placing import Placing
from catalog.service.plans import Key, Losses, Plan, Suspect, Tally
from catalog.service.sights import Sights
from catalog.service.walks import FileLook, Walks
from catalog.store.codes import ROOT_STATE
from catalog.terms import Inspection, Job, Outcome, Presence, RootState, printable
from catalog.watch.hints import Freed
from catalog.watch.mounts import MountTrust
from catalog.watch.selection import Selection
from catalog.watch.sight import Sight

log = logging.getLogger(__name__)


class Session:
    """Owns the pool of decode workers and the recorder. Used by one thread; ``close`` gives everything back.

    The caller holds the cataloguing lock. ``submit`` never blocks; ``pump`` does the work.
    """

    def __init__(self, database: str, settings: Settings) -> None:
        self.database = database
        self.settings = settings
        self.follow_links = settings.follow_links
        self.roots_by_id: dict[int, Root] = {}
        self.suspects: dict[int, Suspect] = {}
        """By file_id: not found where they were, absence not proven."""
        self.losses: dict[int, Losses] = {}
        """By root; see ``absence.py``."""
        self.sights = Sights(settings.guard_deadline_seconds)
        self.lost_mounts: dict[int, frozenset[bytes]] = {}
        """By root: relative paths where another file system was mounted, and is not now."""
        self.ask_share: Callable[[int], bool] = lambda _: False
        """Whether a share is surely there, now; set by ``Shares``. Nobody to ask: nothing is sure."""
        self.pulse: Callable[[], None] = lambda: None
        """Called now and then while something takes its time: a sign of life."""
        self.untouched: set[int] = set()
        """Roots that held no file when their walk began, and into which nothing but it has recorded since."""
        self.patience_seconds = math.inf
        """How long an absence, and a new copy of what is gone, waits for what is under way beside it."""
        self._plans: dict[Key, Plan] = {}
        self._retries: list[tuple[float, int, Key]] = []
        self._retried: dict[Key, tuple[int, Job, Plan]] = {}
        """What waits for its retry; the entry of the heap that counts is the one with this number."""
        self._order = itertools.count(1)
        self._read_at = 0.0
        self.uncommitted: list[tuple[Job, Plan]] = []
        """What the open transaction records: to be done again if it fails."""
        self.bytes_read = self._alone = 0
        """Bytes of the files that were inspected since the start; files that are to be recorded in a transaction of
        their own, after one of them spoiled another."""
        self._removed: tuple[int, dict[int, bool]] = (0, {})
        self.pool = Pool(
            workers=settings.workers,
            limits=settings.limits,
            loaders=settings.record_loader_checksums,
            follow_links=settings.follow_links,
            root_paths=self.root_path,
            known=lambda digests: self.recorder.known(
                digests, loaders=settings.record_loader_checksums, limits=settings.limits
            ),
        )
        try:
            self.recorder = Recorder(
                database,
                lambda: self.pool.toolchain,  # asked with the first new content: it starts a worker
                auto_accept=frozenset(settings.auto_accept),
            )
        except BaseException:
            self.pool.close()
            raise
        self.roots = Roots(self.recorder.batch)
        self.walks = Walks(self.roots)
        self.runs = Runs(self.recorder.batch)
        self.checks = Checks(self.recorder.batch)
        self.backlog = Backlog(self.recorder.batch)
        self.arrivals = Arrivals(self.recorder, self)
        self.names = Names(self.recorder.rows, self.backlog)
        self.outcomes = Outcomes(self)
        self.placing = Placing(self)
        self.mass_changes = MassChanges(self)
        self.selection = Selection(
            extensions=settings.extensions,
            include=settings.include,
            exclude=settings.exclude,
            follow_links=settings.follow_links,
        )

    def close(self) -> None:
        """Stop the workers, record what is known, close the database. What was in flight is found again."""
        try:
            self.sights.close()
            self.pool.close()
        finally:
            self.recorder.close()

    def trust(self, root_id: int) -> MountTrust:
        """What the stat fields of a root's mount are worth."""
        root = self.roots_by_id[root_id]
        return MountTrust(root.inode_trusted, root.ctime_trusted, root.mtime_granularity_ns)

    # --------------------------------------------------------------------------- what is known of shares

    def inode_trusted(self, root_id: int) -> bool:
        root = self.roots_by_id.get(root_id) or self.roots.by_id(root_id)
        return root.inode_trusted

    def sight(self, root_id: int) -> Sight:
        """How its paths are looked at: never by a call that may hang for ever."""
        return self.sights.of(self.roots_by_id.get(root_id) or self.roots.by_id(root_id))

    def compared_ms(self, root_id: int) -> int:
        """When the last complete comparison of a share began; 0 when there was none."""
        return self.roots.by_id(root_id).last_reconcile_ms or 0

    def root_path(self, root_id: int) -> bytes:
        return self.roots_by_id[root_id].path

    def share_there(self, root_id: int) -> bool:
        """Whether a share is surely there, now. What is open is committed first: nobody waits for a share with
        the write lock in hand."""
        if self.recorder.batch.open:
            self.commit()
        return self.ask_share(root_id)

    def lost(self, root_id: int) -> frozenset[bytes]:
        return self.lost_mounts.get(root_id, frozenset())

    def forget(self, root_id: int) -> None:
        """A share was removed: nothing that waits for it is wanted any more. What is in flight is dropped later."""
        for file_id in [i for i, suspect in self.suspects.items() if suspect.row.root_id == root_id]:
            del self.suspects[file_id]
        for key in [key for key in self._retried if key[0] == root_id]:
            del self._retried[key]
        self.arrivals.forget(root_id)
        self.untouched.discard(root_id)
        self.backlog.forget(root_id)
        self.commit()

    def is_removed(self, root_id: int) -> bool:
        """Whether an admin removed the share meanwhile; asked once a transaction, under its lock."""
        batch = self.recorder.batch
        batch.begin()
        transaction, answers = self._removed
        if transaction != batch.transactions:
            self._removed = (batch.transactions, answers := {})
        if root_id not in answers:
            row = batch.lookup("SELECT state FROM root WHERE root_id = ?", (root_id,))
            answers[root_id] = row is None or row[0] == ROOT_STATE.number[RootState.RETIRED]
        return answers[root_id]

    # --------------------------------------------------------------------------------------- in flight

    def next_order(self) -> int:
        """A number larger than all before: tells what was under way when something happened."""
        return next(self._order)

    def horizon(self, *, asked: bool = True, first: bool = True) -> float:
        """Whatever was begun before this order has been seen to its end: paths in flight, walks, and (``asked``)
        walks that are to come. Not ``first``: never mind the first walks of shares where patience has an end."""
        return min(
            (
                *(plan.order for plan in self._plans.values()),
                *(plan.order for _, _, plan in self._retried.values()),
                *self.walks.orders(asked=asked, first=first or self.patience_seconds == math.inf),
            ),
            default=math.inf,
        )

    def walked_until(self, root_id: int) -> float:
        """See ``Walks.until``."""
        return self.walks.until(root_id)

    def unread(self) -> set[FileLook]:
        """The looks of the files that were seen, and are still to be read; inodes as the record holds them."""
        waiting = (plan for _, _, plan in self._retried.values())
        on_way = {plan.look for plan in (*self._plans.values(), *waiting) if plan.look is not None}
        looks = on_way.union(self.walks.looks())
        return {(size, mtime_ns, signed(inode)) for size, mtime_ns, inode in looks}

    def heard_until(self) -> float:
        """time.monotonic() up to which all that was heard of, and was on its way, has been inspected."""
        waiting = (plan for _, _, plan in self._retried.values())
        return min((plan.heard_at for plan in (*self._plans.values(), *waiting)), default=math.inf)

    def heard_more(self, key: Key, freed: Freed) -> None:
        """News of a path that is in flight, waits for its retry, or was put aside."""
        for plan in (
            self._plans.get(key),
            self._retried.get(key, (0, None, None))[2],
            self.arrivals.plan(key),
        ):
            if plan is not None:
                plan.freed = max(plan.freed, freed)

    def busy(self, tally: Tally | None = None) -> bool:
        """Whether anything is in flight or waits for its retry (of the plans that count in ``tally``)."""
        if tally is None:
            return bool(self._plans or self._retried)
        return any(plan.tally is tally for plan in self._plans.values()) or any(
            plan.tally is tally for _, _, plan in self._retried.values()
        )

    @property
    def in_flight(self) -> int:
        return len(self._plans)

    @property
    def waiting(self) -> int:
        """Paths for which ``waiting_for`` is true, about."""
        return len(self._plans) + len(self._retried) + len(self.arrivals)

    def waiting_for(self, root_id: int, path: bytes) -> bool:
        """Whether a path is in flight, waits for its retry, or was put aside as a possible move."""
        key = (root_id, path)
        return key in self._plans or key in self._retried or key in self.arrivals

    def put_aside(self, root_id: int, path: bytes) -> bool:
        """Whether a path was inspected, and waits to be judged as a possible move."""
        return (root_id, path) in self.arrivals

    def may_read(self) -> bool:
        """Whether the rate limit lets another file be read now."""
        return not self.settings.max_rate_bytes or time.monotonic() >= self._read_at

    def submit(self, job: Job, plan: Plan) -> bool:
        """Have a path inspected. False when it is on its way already."""
        if self.waiting_for(job.root_id, job.path):
            return False
        if not plan.fresh:
            self.untouched.discard(job.root_id)
        plan.order = plan.order or self.next_order()
        self._plans[job.root_id, job.path] = plan
        if self.settings.max_rate_bytes:
            seconds = job.size_hint / self.settings.max_rate_bytes
            self._read_at = max(time.monotonic(), self._read_at) + seconds
        self.pool.submit(job)
        return True

    def submit_later(self, job: Job, plan: Plan, seconds: float) -> None:
        """Have a path inspected once more, a little later. There is one retry a path: the last that was asked for."""
        plan.order = plan.order or self.next_order()
        key, number = (job.root_id, job.path), self.next_order()
        self._retried[key] = number, job, plan
        heapq.heappush(self._retries, (time.monotonic() + seconds, number, key))

    def _next_retry(self) -> float:
        """time.monotonic() of the next retry; infinity when none waits."""
        while self._retries:
            moment, number, key = self._retries[0]
            if self._retried.get(key, (0,))[0] == number:
                return moment
            heapq.heappop(self._retries)
        return math.inf

    def _resubmit(self) -> None:
        while self._next_retry() <= time.monotonic():
            _, _, key = heapq.heappop(self._retries)
            _, job, plan = self._retried.pop(key)
            self._plans[key] = plan
            self.pool.submit(job)
            self.pool.flush()

    def pump(self, timeout: float) -> int:
        """Take what the workers have finished (waiting up to ``timeout`` seconds); the number of results."""
        self._resubmit()
        timeout = min(timeout, max(0.0, self._next_retry() - time.monotonic()))
        results = self.pool.poll(timeout)
        # All at once: an error of the database leaves none of them behind as in flight for ever.
        taken = [(each, self._plans.pop((each.job.root_id, each.job.path))) for each in results]
        run_id = self.recorder.batch.run_id
        try:
            with self.contained():
                self.outcomes.expect([each for each in taken if each[1].taker is None])
            for inspection, plan in taken:
                self._take(inspection, plan)
        finally:
            self.outcomes.expect(())
            self.recorder.batch.run_id = run_id
        if not self._plans and self._retried and timeout > 0 and not results:
            time.sleep(timeout)  # the pool returns at once when it has nothing to do
        if self.recorder.due:
            self.commit()
            self.mass_changes.look()
        return len(results)

    def _take(self, inspection: Inspection, plan: Plan) -> None:
        job = inspection.job
        if inspection.sha256 is not None and inspection.stat is not None:
            self.bytes_read += inspection.stat.size
        if self.is_removed(job.root_id):
            return
        self.uncommitted.append((job, plan))
        with self.contained():
            self.recorder.batch.run_id = plan.run_id
            if plan.taker is not None:
                plan.taker(inspection)
            else:
                self.outcomes.take(inspection, plan)
            if self._alone:
                self._alone -= 1
                self.commit()
            else:
                self.placing.relieve()

    # ----------------------------------------------------------------------------------------- durability

    def commit(self) -> None:
        """Make durable what was recorded. What cannot be written, for a fault of ours, costs one file."""
        with self.contained():
            self.recorder.commit()
            self.uncommitted.clear()

    @contextmanager
    def contained(self) -> Iterator[None]:
        """Keep a fault of ours in the block from costing more than the file that provokes it.

        The world's errors pass, and so does a fault that no file of the open transaction explains.
        """
        try:
            yield
        except CatalogError:
            self.uncommitted.clear()
            raise
        except Exception as error:
            if not self.uncommitted:
                raise
            self._isolate(error)

    def _isolate(self, error: Exception) -> None:
        """Something in this transaction cannot be recorded. Everything is inspected again, a file at a time;
        the one that fails alone is recorded with the reason."""
        self.recorder.rollback()
        self.names.forget()
        self.outcomes.expect(())
        lost, self.uncommitted = self.uncommitted, []
        if len(lost) > 1:
            log.warning("a transaction of %d files failed, each is tried alone: %r", len(lost), error)
            for job, plan in lost:
                if not self.waiting_for(job.root_id, job.path):  # else nothing of it was recorded yet
                    self._alone += 1
                    again = dataclasses.replace(plan, counted=True, fresh=False)
                    self.submit_later(job, again, 0.0)
            return
        for job, plan in lost:
            log.error("%s cannot be recorded, a bug of ours", printable(job.path), exc_info=error)
            reason = f"could not be recorded, a bug of catalog: {type(error).__name__}: {error}"
            self.recorder.failed(job.root_id, job.path, None, Outcome.UNREADABLE, printable(reason))
            if plan.due is not None:
                self.backlog.acknowledge(plan.due)
            plan.tally.unreadable += 1
        self.recorder.commit()

    def start_over(self) -> None:
        """After an error of the database: forget what waits to be judged. What was lost is found again by the
        reconcile that must follow; what is in flight comes back by itself."""
        self.recorder.rollback()
        self.uncommitted.clear()
        self.names.forget()
        self.arrivals.forget()
        self.suspects.clear()
        self.untouched.clear()

    # -------------------------------------------------------------------------------- moves and absence

    def suspect(self, row: FileRow, reason: str) -> None:
        """A file was not found where it was. Absence needs proof: see ``absence.py``."""
        if row.presence is Presence.MISSING or row.file_id in self.suspects:
            return
        self.suspects[row.file_id] = Suspect(row, time.monotonic(), reason, self.next_order())
        self.recorder.batch.begin()
        self.recorder.suspect(row)
        if self.inode_trusted(row.root_id):
            self.names.left(row)


__all__ = ["Session"]
