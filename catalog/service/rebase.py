"""``catalog db rebase``: look again, with the present decoders, at what older ones decoded.

Files are read through the same door as in a scan: bytes that are unchanged get digests of the present epoch,
bytes that differ are a change like any other. What is done is recorded as it comes, so nothing needs a
cursor: killed at any moment, the next run finds what is left.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Final

from catalog.config import Settings
from catalog.inspection import Pool
from catalog.record.epochs import Epochs, current_epoch, volume, waiting
from catalog.record.runs import Request
from catalog.service.plans import Plan, Tally
from catalog.service.session import Session
from catalog.service.shares import Shares
from catalog.store.engine import open_reader
from catalog.terms import Job, RootState

Answer = Callable[[dict[str, Any]], None]

PAGE: Final = 1000
"""Contents that are looked up, inspected and looked up again in one go."""
STEP_SECONDS: Final = 0.1
NOTE_SECONDS: Final = 0.5
_CASES: Final = 500


@dataclass(slots=True)
class RebaseResult:
    """What there was to do, and what was done."""

    epoch: bytes
    new_epoch: bool
    """The present decoders had recorded nothing yet."""
    files: int = 0
    """Files that were last looked at in an older epoch."""
    left: int = 0
    """Those among them that still are."""
    contents: int = 0
    size: int = 0
    """Bytes to read, as far as the files can be read."""
    tally: Tally = field(default_factory=Tally)
    problems: list[dict[str, Any]] = field(default_factory=list)
    """``{"root", "reason", "files"}``: what was left, by share."""
    seconds: float = 0.0
    interrupted: bool = False
    dry_run: bool = False

    @property
    def complete(self) -> bool:
        return self.dry_run or not (self.left or self.interrupted)

    def document(self) -> dict[str, Any]:
        """The JSON fields of ``catalog db rebase --json``."""
        return {
            "epoch": self.epoch.hex(),
            "new_epoch": self.new_epoch,
            "dry_run": self.dry_run,
            "files": {
                "outdated": self.files,
                "rebased": max(0, self.files - self.left),
                "left": self.left,
                "changed": self.tally.changed,
                "unreadable": self.tally.unreadable,
            },
            "to_read": {"contents": self.contents, "bytes": self.size},
            "bytes_read": self.tally.bytes_read,
            "seconds": round(self.seconds, 3),
            "problems": self.problems,
            "interrupted": self.interrupted,
        }


def outlook(database: str, settings: Settings) -> RebaseResult:
    """What a rebase would have to do; writes nothing, and asks no lock. Raises WorkerFailed, NoCatalogue."""
    pool = Pool(workers=1, limits=settings.limits, root_paths=lambda _: b"/", known=lambda _: set())
    with pool, closing(open_reader(database)) as reader:
        toolchain = pool.toolchain

        def ask(sql: str, parameters: tuple[Any, ...]) -> list[Any]:
            return reader.execute(sql, parameters).fetchall()

        reader.execute("BEGIN")
        epoch_id, new = current_epoch(ask, toolchain)
        files = sum(each.files for each in waiting(ask, epoch_id).values())
        contents, size = volume(ask, epoch_id)
    return RebaseResult(toolchain.epoch, new, files, files, contents, size, dry_run=True)


class Rebase:
    """One pass over what older decoders saw, in steps. Call ``step`` until it says that all is done."""

    def __init__(self, session: Session, shares: Shares) -> None:
        self._session = session
        self._epochs = Epochs(session.recorder.batch)
        ask = session.recorder.batch.committed
        new = current_epoch(ask, session.pool.toolchain)[1]
        for root in session.roots.all():
            shares.open(root)
        # The first question about the decoders separates what older ones made.
        decoders = session.recorder.facts.decoders
        self._epoch_id = decoders.epoch_id
        files = sum(each.files for each in waiting(ask, self._epoch_id).values())
        contents, size = volume(ask, self._epoch_id)
        self.result = RebaseResult(decoders.epoch, new, files, files, contents, size)
        self._run_id = session.runs.start("rebase", None)
        self._began = time.monotonic()
        self._after = 0
        self._page: dict[int, set[int]] = {}
        """Contents that are being looked at → their files that were tried."""
        self._queue: deque[tuple[int, int, Job]] = deque()
        """(content_id, file_id, job)."""
        self.done = False

    @property
    def tally(self) -> Tally:
        return self.result.tally

    def step(self, seconds: float) -> bool:
        """Feed the workers and take their results, for about this long. True when everything is done."""
        session = self._session
        batch = session.recorder.batch
        with session.contained():
            batch.run_id = self._run_id
            try:
                self._step(seconds)
            finally:
                batch.run_id = None
        return self.done

    def _step(self, seconds: float) -> None:
        session = self._session
        while self._queue and session.pool.wants_more and session.may_read():
            content_id, file_id, job = self._queue.popleft()
            if session.submit(job, Plan(self.tally, run_id=self._run_id)):
                continue
            if not session.put_aside(job.root_id, job.path):
                # On its way for another reason, and perhaps read before the epoch began: asked again.
                self._page[content_id].discard(file_id)
        session.pool.flush()
        if session.busy():
            session.pump(seconds)
        elif self._queue:
            time.sleep(min(seconds, 0.05))  # the rate limit holds the next file back
        if not self._queue and not session.busy(self.tally):
            self._turn_page()

    def _turn_page(self) -> None:
        """Try another file of what was not seen yet, else go on to the next contents, else end."""
        self._session.commit()
        for content_id, tried in list(self._page.items()):
            if self._epochs.seen(self._epoch_id, content_id) or not self._enqueue(content_id, tried):
                del self._page[content_id]
        while not self._queue:
            found = self._epochs.outdated(self._epoch_id, self._after, PAGE)
            if not found:
                self.finish()
                return
            self._after = found[-1].content_id
            for each in found:
                tried = self._page[each.content_id] = set()
                if not self._enqueue(each.content_id, tried):
                    del self._page[each.content_id]

    def _enqueue(self, content_id: int, tried: set[int]) -> bool:
        """Queue the next file that holds a content; False when all of them were tried, or cannot be."""
        session = self._session
        for file_id in self._epochs.holders(content_id):
            if file_id in tried:
                continue
            tried.add(file_id)
            row = session.recorder.rows.find(file_id)
            root = session.roots_by_id.get(row.root_id) if row is not None else None
            if row is None or root is None or root.state is not RootState.ONLINE:
                continue
            self._queue.append((content_id, file_id, Job(row.root_id, row.path, row.size)))
            return True
        return False

    def finish(self, *, interrupted: bool = False) -> None:
        """Judge anew what could not be judged before, count what is left, close the run."""
        session = self._session
        batch = session.recorder.batch
        if interrupted:
            session.commit()
        else:
            self._judge_again()
        session.mass_changes.look(at_once=True)
        result = self.result
        left = waiting(batch.committed, self._epoch_id)
        result.left = sum(each.files for each in left.values())
        result.interrupted = interrupted
        result.problems = [self._problem(root_id, each.files) for root_id, each in sorted(left.items())]
        result.seconds = time.monotonic() - self._began
        counts = {
            "inspected": result.tally.inspected,
            "bytes_read": result.tally.bytes_read,
            "rebased": max(0, result.files - result.left),
        }
        session.runs.finish(self._run_id, "complete" if result.complete else "incomplete", counts, None)
        self.done = True

    def _problem(self, root_id: int, files: int) -> dict[str, Any]:
        root = self._session.roots.by_id(root_id)
        online = root.state is RootState.ONLINE
        reason = "not looked at with the present decoders" if online else root.state.value
        return {"root": root.name, "reason": reason, "files": files}

    def _judge_again(self) -> None:
        """Cases that nobody could judge, because each side was decoded by others."""
        session, after = self._session, 0
        while found := self._epochs.unproven(after, _CASES):
            after = found[-1]
            for file_id in found:
                row = session.recorder.rows.find(file_id)
                if row is not None and row.content_id is not None and row.rev_id is not None:
                    session.recorder.cases.judge_again(row)
            session.commit()


def rebase(
    session: Session,
    *,
    progress: Callable[[RebaseResult], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
) -> RebaseResult:
    """Bring every file of the catalogue to the present decoder epoch. ``stop`` ends it early, with everything
    recorded so far."""
    with closing(Shares(session)) as shares:
        work = Rebase(session, shares)
        while not work.step(STEP_SECONDS):
            progress(work.result)
            if stop():
                work.finish(interrupted=True)
                session.start_over()
                break
    return work.result


class RequestedRebase:
    """A rebase that another process asked the daemon for, in steps between its other work."""

    def __init__(self, session: Session, shares: Shares, request: Request, answer: Answer) -> None:
        self._session = session
        self._request = request
        self._answer = answer
        self._work = Rebase(session, shares)
        self._next_note = 0.0

    def step(self) -> bool:
        """Whether it is done, and answered."""
        if self._work.step(0.0):
            self._answer(self._work.result.document())
            return True
        if time.monotonic() >= self._next_note:
            self._next_note = time.monotonic() + NOTE_SECONDS
            result = self._work.result
            progress = {
                "inspected": result.tally.inspected,
                "bytes_read": result.tally.bytes_read,
                "queued": result.contents,
                "queued_bytes": result.size,
            }
            self._session.recorder.batch.begin()
            self._session.runs.progress(self._request.request_id, progress)
        return False
