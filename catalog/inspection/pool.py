"""The pool of decode workers: jobs in, inspections out, whatever a file does to the worker that opens it.

Measured design: batches of 64 files or 4 MiB, up to 4 of them in a worker's pipe, two phases (digests first,
then a decode only where the content is new), one worker per core. Everything runs on the caller's thread,
inside ``poll``. A death costs one file: the one that the slot names is tried once more alone, all others of
that worker are given to the next.
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict
from time import monotonic, time_ns
from typing import Final, Self

from catalog.errors import WorkerFailed
from catalog.inspection.crew import TICK_SECONDS, Crew, Worker, blamed, cores
from catalog.inspection.death import Cause, Death
from catalog.inspection.tickets import BATCH_FILES, Leaders, Queue, Ticket, distinct
from catalog.pixels import wire
from catalog.pixels.analysis_wire import decode_analysis
from catalog.pixels.wire import BadFrame, Frame, Phase
from catalog.terms import Analysis, Failure, FailureKind, Fidelity, Inspection, Job, Limits, Toolchain

PIPED_FILES: Final = 4 * BATCH_FILES
PIPED_BYTES: Final = 16 << 20
FALSE_STARTS: Final = 3
KILLED_STARTS: Final = 10  # the same, when they are killed from outside
CRASHES: Final = 2
"""Deaths of the worker with one file in hand that prove it to be the file's fault."""
OUTSIDE_KILLS: Final = 4
"""The same, when the worker was killed from outside: a storm of kills must not look like bad files."""
LOSSES: Final = 3
"""Times that a job may be lost with a worker before it is tried alone."""


class Pool:
    """Inspect files in worker processes.

    ``root_paths`` gives a share's absolute path. ``known`` is asked on the caller's thread, inside ``poll``,
    which of these sha256s need no decode; it should count results that ``poll`` delivered and that are not
    recorded yet, else those contents are decoded once more. The first of equal contents in flight carries
    the analysis, the others have ``analysis=None`` and are delivered after it.

    ``full_values``: no tag value is cut. ``follow_links``: links inside a share are read, not refused.
    No worker is started before there is something to do. The first one computes the toolchain, and ``known`` is not
    asked before that is there, so that it may ask for it; ``with_toolchain`` False: only when it is asked for.

    ``fileno`` is readable when ``poll`` has something to do; while anything is outstanding, call ``poll`` a
    few times a second in any case, since it watches the deadlines. Not for several threads, and the thread
    that makes a worker start must live as long as the pool (the kernel ends workers with it).

    ``analyser`` and ``python_path`` (folders for ``sys.path`` of the workers) are there for tests.
    """

    def __init__(
        self,
        *,
        workers: int | None = None,
        limits: Limits,
        loaders: bool = False,
        full_values: bool = False,
        follow_links: bool = False,
        with_toolchain: bool = True,
        root_paths: Callable[[int], bytes],
        known: Callable[[Sequence[bytes]], set[bytes]],
        analyser: str = "catalog.pixels.analyse:analyse",
        python_path: Sequence[str] = (),
    ) -> None:
        self._size = workers or cores()
        self._limits = limits
        setup = {
            "limits": asdict(limits),
            "loaders": loaders,
            "full_values": full_values,
            "follow_links": follow_links,
            "analyser": analyser,
            "python_path": list(python_path),
        }
        self._root_paths = root_paths
        self._known = known
        self._with_toolchain = with_toolchain
        self._toolchain: Toolchain | None = None
        self._mark: str | None = None
        self.landlock: int | None = None
        """Landlock ABI that the workers enforce, None when this kernel has none."""
        self._tickets: dict[int, Ticket] = {}
        self._last_number = 0
        self._queue = Queue()
        self._alone: deque[Ticket] = deque()
        self._leaders = Leaders()
        self._looked: list[tuple[Worker, Ticket]] = []
        self._done: list[Inspection] = []
        self._false_starts = 0
        self._broken: WorkerFailed | None = None
        self._crew = Crew(setup, limits.seconds)

    # ------------------------------------------------------------------------------------ for the caller

    @property
    def toolchain(self) -> Toolchain:
        """The decoders and their epoch. Starts a worker if need be, and waits for it; raises WorkerFailed."""
        while self._toolchain is None:
            if not self._toolchain_comes:
                self._start_worker(toolchain=True)
            self._turn(TICK_SECONDS)
        return self._toolchain

    @property
    def outstanding(self) -> int:
        """Jobs that were submitted and not delivered yet."""
        return len(self._tickets)

    @property
    def wants_more(self) -> bool:
        """Whether the window has room. Feed while it has; more is taken, but only lies in memory."""
        return len(self._tickets) < self._size * PIPED_FILES * 2

    def fileno(self) -> int:
        return self._crew.fileno()

    def submit(self, job: Job) -> None:
        """Take a job; never blocks. Partly filled batches go out with ``poll`` to idle workers."""
        self._last_number += 1
        ticket = Ticket(self._last_number, job, max(0, job.size_hint))
        self._tickets[ticket.number] = ticket
        self._queue.add(ticket)
        if len(self._queue) % BATCH_FILES == 0:
            self._dispatch()

    def flush(self) -> None:
        """Send partly filled batches now, to busy workers too."""
        self._dispatch(partial=True)

    def poll(self, timeout: float) -> list[Inspection]:
        """Inspections that are done, after ``timeout`` seconds at most; [] when there are none.

        Returns at once when nothing is outstanding. Watches over workers: deadlines, deaths, restarts. Raises
        WorkerFailed when workers cannot be started; the jobs stay, and the next call tries again.
        """
        end = monotonic() + timeout
        self._dispatch()
        while True:
            left = end - monotonic()
            waiting = self._tickets and not self._done
            self._turn(min(max(left, 0.0), TICK_SECONDS) if waiting else 0.0)
            if self._done or left <= 0 or not self._tickets:
                done, self._done = self._done, []
                return done

    def stop_idle(self) -> None:
        """End the workers that have nothing to do; they come back with the next job."""
        for worker in [w for w in self._crew.workers if w.ready and not w.tickets]:
            self._crew.dismiss(worker)

    def close(self) -> list[Job]:
        """End all workers at once; the jobs that were submitted and not delivered. May be called again."""
        unfinished = [done.job for done in self._done] + [ticket.job for ticket in self._tickets.values()]
        self._crew.close()
        self._done.clear()
        self._tickets.clear()
        self._looked.clear()
        self._alone.clear()
        self._queue, self._leaders = Queue(), Leaders()
        return unfinished

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ------------------------------------------------------------------------------------------ the loop

    def _turn(self, wait: float) -> None:
        """Wait for something to happen, once, and do what follows from it."""
        for worker, news in self._crew.turn(wait):
            if isinstance(news, Death):
                self._mourn(worker, news)
                continue
            try:
                for kind, payload in news:
                    self._take(worker, kind, payload)
            except BadFrame:
                self._mourn(worker, self._crew.bury(worker, Cause.NONSENSE))
        self._answer()
        self._dispatch()
        if self._broken:
            broken, self._broken = self._broken, None
            raise broken

    def _take(self, worker: Worker, kind: Frame, payload: bytes) -> None:
        if kind is Frame.LOOKS:
            for look in wire.decode_looks(payload):
                self._take_look(worker, look)
        elif kind is Frame.FACTS:
            for number, seconds, encoded in wire.decode_facts(payload):
                ticket = worker.tickets.get(number)
                if ticket is None or ticket.awaits is not Frame.FACTS:
                    raise BadFrame(f"facts of job {number}")
                analysis = decode_analysis(encoded)
                worker.drop(ticket)
                self._finish(ticket, analysis, seconds=seconds)
            worker.fresh = False
        elif kind is Frame.HELLO:
            self._greet(worker, payload)
        else:
            raise BadFrame(f"{kind.name} is not for a parent")

    def _greet(self, worker: Worker, payload: bytes) -> None:
        if worker.ready:
            raise BadFrame("a second HELLO")
        toolchain, mark, landlock = wire.decode_hello(payload)
        if self._mark is not None and mark != self._mark:
            self._broken = WorkerFailed(
                "the program or its decoders were replaced while it ran", hint="restart it"
            )
            worker.kill(Cause.STOPPED)
            return
        self._mark = mark
        self.landlock = landlock
        self._toolchain = toolchain or self._toolchain
        self._false_starts = 0
        worker.ready = True

    # ------------------------------------------------------------------------------------------- results

    def _take_look(self, worker: Worker, look: wire.Look) -> None:
        ticket = worker.tickets.get(look[0])
        if ticket is None or ticket.awaits is not Frame.LOOKS:
            raise BadFrame(f"look of job {look[0]}")
        if ticket.look and ticket.look[2] != look[2]:  # tried again, and it is another content by now
            self._queue.put_back(self._leaders.resign(ticket.look[2], ticket))
        ticket.look = look
        ticket.awaits = Frame.ANSWER
        if look[4] or not ticket.job.decode:
            worker.drop(ticket)
            self._finish(ticket, None)
        else:
            self._looked.append((worker, ticket))

    def _answer(self) -> None:
        """Ask the record about all new contents at once, and tell the workers what to decode."""
        if not self._looked:
            return
        if self._with_toolchain and self._toolchain is None:
            if not self._toolchain_comes:  # its worker died over it
                self._start_worker(toolchain=True)
            return
        contents = [ticket.look[2] for _, ticket in self._looked if ticket.look]
        unknown = [sha256 for sha256 in distinct(contents) if sha256 not in self._leaders]
        known = self._known(unknown) if unknown else set()
        # Of those that are about to be delivered the record cannot know yet.
        known.update(done.sha256 for done in self._done if done.sha256 and done.analysis)
        answers: dict[Worker, tuple[list[int], list[int]]] = {}
        looked, self._looked = self._looked, []
        for (worker, ticket), sha256 in zip(looked, contents, strict=True):
            wanted, dropped = answers.setdefault(worker, ([], []))
            if sha256 in known:
                dropped.append(ticket.number)
                worker.drop(ticket)
                self._finish(ticket, None)
            elif self._leaders.leads(sha256, ticket):
                wanted.append(ticket.number)
                ticket.awaits = Frame.FACTS
            else:
                dropped.append(ticket.number)
                worker.drop(ticket)
        for worker, (wanted, dropped) in answers.items():
            self._crew.send(worker, Frame.ANSWER, wire.encode_answer(wanted, dropped))

    def _finish(self, ticket: Ticket, analysis: Analysis | None, *, seconds: float = 0.0) -> None:
        assert ticket.look
        _, stat, sha256, md5, failure, started_ms, looked_seconds = ticket.look
        del self._tickets[ticket.number]
        if failure:
            self._done.append(
                Inspection(ticket.job, None, None, None, None, failure, started_ms, looked_seconds)
            )
            return
        taken = None if ticket.job.check else md5
        self._done.append(
            Inspection(ticket.job, stat, sha256, taken, analysis, None, started_ms, looked_seconds + seconds)
        )
        if ticket.job.decode:
            for other in self._leaders.resign(sha256, ticket):
                self._finish(other, None)

    # -------------------------------------------------------------------------------------- handing out

    def _dispatch(self, *, partial: bool = False) -> None:
        """Fill the workers' pipes, the least loaded first; start workers while there is more."""
        if not (self._queue or self._alone):
            return
        able = [w for w in self._crew.workers if w.ready and not w.cause and not w.alone]
        self._dispatch_alone(able)
        able = [w for w in able if not w.alone]
        share = min(BATCH_FILES, -(-len(self._queue) // (len(able) or 1)))  # the last ones are divided
        # A single file does not wait behind others as long as another worker could take it.
        may_grow = len(self._crew.workers) < self._size or any(not w.ready for w in self._crew.workers)
        progress = True
        while progress and self._queue:
            progress = False
            for worker in sorted(able, key=lambda w: w.bytes):
                full = self._queue.fills_a_batch or (partial and not may_grow)
                if self._queue and self._has_room(worker) and (full or not worker.tickets):
                    self._give(worker, self._queue.take(share))
                    progress = True
        busy = sum(1 for w in self._crew.workers if w.tickets)
        wanted = min(self._size, busy + self._queue.batches + len(self._alone))
        for _ in range(wanted - len(self._crew.workers)):
            self._start_worker(toolchain=self._with_toolchain and not self._toolchain_comes)

    def _dispatch_alone(self, able: list[Worker]) -> None:
        """Suspects go to workers that have decoded nothing: the crash may have been another file's doing."""
        for worker in able:
            if not self._alone:
                return
            others = any(w.fresh for w in self._crew.workers if w is not worker)
            if not worker.tickets and (worker.fresh or not others):
                worker.alone = True
                self._give(worker, [self._alone.popleft()])

    def _has_room(self, worker: Worker) -> bool:
        if not worker.tickets:
            return True
        if worker.bytes + self._queue.next_bytes <= PIPED_BYTES:
            return len(worker.tickets) <= PIPED_FILES - BATCH_FILES
        # While a large file is decoded the next one lies in the pipe, but not so near the end that another
        # worker would run dry.
        return len(worker.tickets) == 1 and len(self._queue) > self._size

    def _give(self, worker: Worker, batch: list[Ticket]) -> None:
        roots: dict[int, int] = {}
        try:
            paths = [self._root_paths(root) for root in dict.fromkeys(t.job.root_id for t in batch)]
        except BaseException:
            self._queue.put_back(batch)
            raise
        lines = [ticket.line(roots.setdefault(ticket.job.root_id, len(roots))) for ticket in batch]
        if not worker.tickets:
            worker.watch()
        for ticket in batch:
            ticket.awaits = Frame.LOOKS
            worker.tickets[ticket.number] = ticket
            worker.bytes += ticket.size
        self._crew.send(worker, Frame.JOBS, wire.encode_jobs(paths, lines))

    @property
    def _toolchain_comes(self) -> bool:
        """It is there, or a worker is about to tell it."""
        return self._toolchain is not None or any(worker.asked for worker in self._crew.workers)

    def _start_worker(self, *, toolchain: bool) -> None:
        try:
            self._crew.start(toolchain=toolchain)
        except OSError as error:
            if not self._crew.workers:
                self._broken = WorkerFailed(f"cannot start a decode worker: {error.strerror}")

    # -------------------------------------------------------------------------------------------- deaths

    def _mourn(self, worker: Worker, death: Death) -> None:
        """A worker is dead: find out whose fault it was, and save the rest of its work."""
        self._looked = [(w, t) for w, t in self._looked if w is not worker]
        last = death.announcement
        if death.cause is not Cause.STOPPED and not worker.ready:
            self._false_starts += 1
            if self._false_starts >= (KILLED_STARTS if death.from_outside else FALSE_STARTS):
                self._false_starts = 0
                self._break("decode workers cannot be started", death)
        elif last and last.phase is Phase.UNFIT:
            self._break("a decoder is missing", death)
        number = blamed(death, worker.condemned)
        lost = list(worker.tickets.values())
        named = worker.tickets.get(number) if number is not None else None
        at_a_loss = death.cause is not Cause.STOPPED and (
            death.cause is not Cause.DEADLINE or worker.condemned == last
        )
        if worker.alone and not named and at_a_loss:
            named = lost[0]
        rest = [ticket for ticket in lost if ticket is not named]
        for ticket in rest:
            ticket.losses += 1
        self._alone.extend(t for t in rest if t.losses > LOSSES)
        self._queue.put_back(t for t in rest if t.losses <= LOSSES)
        if named:
            reading = named.look is None or (last is not None and last.phase is Phase.READING)
            self._judge(named, death, Phase.READING if reading else Phase.DECODING)

    def _judge(self, ticket: Ticket, death: Death, phase: Phase) -> None:
        """Try the file alone, or record what it does to a worker."""
        ticket.crashes += 1
        enough = OUTSIDE_KILLS if death.from_outside else CRASHES
        if death.cause is not Cause.DEADLINE and ticket.crashes < enough:
            self._alone.append(ticket)
            return
        reason = death.reason(phase, self._limits)
        if phase is Phase.DECODING:
            self._finish(ticket, Analysis(Fidelity.UNDECODABLE, reason, complaints=death.testimony))
            return
        if ticket.look:
            self._queue.put_back(self._leaders.resign(ticket.look[2], ticket))
        number = errno.ETIMEDOUT if death.cause is Cause.DEADLINE else None
        failure = Failure(FailureKind.UNREADABLE, reason, number)
        ticket.look = (ticket.number, None, b"", b"", failure, time_ns() // 1_000_000, 0.0)
        self._finish(ticket, None)

    def _break(self, what: str, death: Death) -> None:
        said = death.words[-1] if death.words else death.reason(Phase.DECODING, self._limits)
        self._broken = WorkerFailed(f"{what}: {said}")
