"""The jobs between ``submit`` and their inspection: batches to hand out, equal contents that wait for one."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from catalog.pixels.wire import CHECK, DECODE, UNCACHED, Frame, JobLine, Look
from catalog.terms import Job

BATCH_FILES: Final = 64
BATCH_BYTES: Final = 4 << 20


@dataclass(slots=True, eq=False)
class Ticket:
    """One job on its way, and what has happened to it so far."""

    number: int
    job: Job
    size: int
    """From the hint; decides how files are batched."""
    look: Look | None = None
    awaits: Frame = Frame.LOOKS
    """What comes next for it: LOOKS, our ANSWER, or FACTS."""
    crashes: int = 0
    """Deaths of workers that had just this file in hand."""
    losses: int = 0
    """Deaths of workers that had something else in hand."""

    def line(self, root: int) -> JobLine:
        """What a worker is told; ``root`` is an index into the roots of the same frame."""
        flags = DECODE * self.job.decode | UNCACHED * self.job.uncached | CHECK * self.job.check
        return self.number, root, flags, self.job.path


class Queue:
    """What waits for a worker. Large files come first within a window, so that none is the long tail; the
    next window opens when this one is handed out, so that small files never wait for an endless row of large
    ones."""

    def __init__(self) -> None:
        self._incoming: list[Ticket] = []
        self._ready: deque[Ticket] = deque()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._incoming) + len(self._ready)

    def add(self, ticket: Ticket) -> None:
        self._incoming.append(ticket)
        self.bytes += ticket.size

    def put_back(self, tickets: Iterable[Ticket]) -> None:
        """Before all others, in this order."""
        listed = list(tickets)
        self._ready.extendleft(reversed(listed))
        self.bytes += sum(ticket.size for ticket in listed)

    @property
    def fills_a_batch(self) -> bool:
        return len(self) >= BATCH_FILES or self.bytes >= BATCH_BYTES

    @property
    def batches(self) -> int:
        """How many it will make, about."""
        return max(-(-len(self) // BATCH_FILES), -(-self.bytes // BATCH_BYTES)) if len(self) else 0

    @property
    def next_bytes(self) -> int:
        """Size of the file that is next, 0 when there is none."""
        self._open_window()
        return self._ready[0].size if self._ready else 0

    def take(self, files: int) -> list[Ticket]:
        """The next batch: at most ``files`` and ``BATCH_BYTES``, a large file alone."""
        self._open_window()
        ready = self._ready
        batch: list[Ticket] = []
        size = 0
        while ready and len(batch) < files and (not batch or size + ready[0].size <= BATCH_BYTES):
            ticket = ready.popleft()
            batch.append(ticket)
            size += ticket.size
        self.bytes -= size
        return batch

    def _open_window(self) -> None:
        if self._ready or not self._incoming:
            return
        large = [ticket for ticket in self._incoming if ticket.size >= BATCH_BYTES]
        large.sort(key=lambda ticket: -ticket.size)
        self._ready.extend(large)
        self._ready.extend(ticket for ticket in self._incoming if ticket.size < BATCH_BYTES)
        self._incoming.clear()


class Leaders:
    """Equal contents in flight: the first one leads and is decoded, the others wait for it."""

    def __init__(self) -> None:
        self._leader: dict[bytes, Ticket] = {}
        self._waiting: dict[bytes, list[Ticket]] = {}

    def __contains__(self, sha256: bytes) -> bool:
        return sha256 in self._leader

    def leads(self, sha256: bytes, ticket: Ticket) -> bool:
        """Make ``ticket`` the leader of this content if there is none; False: it now waits for another."""
        leader = self._leader.setdefault(sha256, ticket)
        if leader is ticket:
            return True
        self._waiting.setdefault(sha256, []).append(ticket)
        return False

    def resign(self, sha256: bytes, ticket: Ticket) -> list[Ticket]:
        """Those that waited for ``ticket``, which leads no more; empty if it did not lead."""
        if self._leader.get(sha256) is not ticket:
            return []
        del self._leader[sha256]
        return self._waiting.pop(sha256, [])


def distinct(numbers: Iterable[bytes]) -> Iterator[bytes]:
    """Each once, in order."""
    return iter(dict.fromkeys(numbers))
