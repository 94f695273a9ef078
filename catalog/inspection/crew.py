"""The living workers: start them, wait for all at once, watch their deadlines, bury them."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Iterator
from typing import Any, Final

from catalog.inspection.death import Cause, Death
from catalog.inspection.slot import Announcement
from catalog.inspection.tickets import Ticket
from catalog.inspection.worker_process import WorkerProcess
from catalog.pixels.wire import BadFrame, Frame, Phase

TICK_SECONDS: Final = 0.1
START_SECONDS: Final = 60.0
EXIT_SECONDS: Final = 2.0


class Worker(WorkerProcess):
    """A worker with what the pool gave it."""

    def __init__(self, setup: dict[str, Any]) -> None:
        super().__init__(setup)
        self.tickets: dict[int, Ticket] = {}
        self.bytes = 0
        self.asked = False
        """It is to tell the toolchain."""
        self.ready = False
        """It has said HELLO."""
        self.fresh = True
        """Nothing was decoded in it yet: its memory is as sound as at the start."""
        self.alone = False
        """What it has is to be tried alone."""
        self.condemned: Announcement | None = None
        """What it was about when it was killed for it."""
        self.killed_at = 0.0

    def drop(self, ticket: Ticket) -> None:
        if self.tickets.pop(ticket.number, None):
            self.bytes -= ticket.size
            self.alone = self.alone and bool(self.tickets)


class Crew:
    """Workers and one epoll over all their pipes. Runs on the caller's thread."""

    def __init__(self, setup: dict[str, Any], seconds: float) -> None:
        self._setup = setup
        self._seconds = seconds
        self._epoll = select.epoll()
        self._by_descriptor: dict[int, Worker] = {}
        self._stuck: list[Worker] = []
        self._ticked = time.monotonic()
        self.workers: list[Worker] = []

    def fileno(self) -> int:
        return self._epoll.fileno()

    def start(self, *, toolchain: bool) -> None:
        """One more worker. Raises OSError when the system has no process or descriptor left."""
        worker = Worker(self._setup | {"toolchain": toolchain})
        worker.asked = toolchain
        self.workers.append(worker)
        self._by_descriptor[worker.source] = worker
        self._epoll.register(worker.source, select.EPOLLIN)
        self._watch_sink(worker)

    def send(self, worker: Worker, kind: Frame, payload: bytes) -> None:
        worker.send(kind, payload)
        self._watch_sink(worker)

    def turn(self, wait: float) -> Iterator[tuple[Worker, list[tuple[Frame, bytes]] | Death]]:
        """Wait ``wait`` seconds at most; the frames that came, and the deaths (such a worker is buried)."""
        for descriptor, _ in self._epoll.poll(wait):
            worker = self._by_descriptor.get(descriptor)
            if worker is None:  # buried in this very round
                continue
            if descriptor == worker.sink:
                worker.pump()
                self._watch_sink(worker)
                continue
            try:
                frames = worker.receive()
            except BadFrame:
                yield worker, self.bury(worker, Cause.NONSENSE)
                continue
            yield worker, self.bury(worker) if frames is None else frames
        now = time.monotonic()
        if now - self._ticked >= TICK_SECONDS:
            self._ticked = now
            for worker in list(self.workers):
                if self._overdue(worker, now):
                    yield worker, self.bury(worker)
            self._stuck = [worker for worker in self._stuck if not worker.gone()]

    def bury(self, worker: Worker, cause: Cause | None = None) -> Death:
        """Take a worker out of the crew, dead or alive."""
        self.workers.remove(worker)
        for descriptor in (worker.source, worker.sink):
            if self._by_descriptor.pop(descriptor, None):
                self._epoll.unregister(descriptor)
        if cause:
            worker.kill(cause)
        death = worker.bury()
        if death.code is None:
            self._stuck.append(worker)
        return death

    def dismiss(self, worker: Worker) -> None:
        """End an idle worker."""
        worker.dismiss()
        self.bury(worker)

    def close(self) -> None:
        """Kill all of them. May be called again."""
        for worker in self.workers:
            worker.kill(Cause.STOPPED)
        for worker in list(self.workers):
            self.bury(worker)
        self._stuck = [worker for worker in self._stuck if not worker.gone()]
        if not self._epoll.closed:
            self._epoll.close()

    def _watch_sink(self, worker: Worker) -> None:
        """Writable is an event only as long as something waits to be written."""
        watched = worker.sink in self._by_descriptor
        if worker.backed_up and not watched:
            self._by_descriptor[worker.sink] = worker
            self._epoll.register(worker.sink, select.EPOLLOUT)
        elif watched and not worker.backed_up:
            del self._by_descriptor[worker.sink]
            self._epoll.unregister(worker.sink)

    def _overdue(self, worker: Worker, now: float) -> bool:
        """Kill a worker that stands still. True when it should be dead by now and its pipe does not say so:
        the kernel holds it (a hung share), or somebody else holds the pipe."""
        if worker.cause:
            return now - worker.killed_at > EXIT_SECONDS
        if worker.ready and not worker.tickets:
            return False
        if worker.stalled() <= (self._seconds if worker.ready else START_SECONDS):
            return False
        worker.condemned = worker.slot.read()
        worker.killed_at = now
        worker.kill(Cause.STOPPED if worker.suspended() else Cause.DEADLINE)
        return False


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0))


def blamed(death: Death, condemned: Announcement | None) -> int | None:
    """Number of the job that the worker had in hand when it died, None if it had none.

    A worker that was killed at its deadline may have gone on to another file before the signal came.
    """
    last = death.announcement
    if last is None or last.phase not in (Phase.READING, Phase.DECODING):
        return None
    if death.cause is Cause.DEADLINE and condemned != last:
        return None
    return last.job if death.cause in (None, Cause.DEADLINE) else None
