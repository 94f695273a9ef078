"""When to reconcile: the whole of polling, and the safety net under the events."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Final

DUTY: Final = 0.1
"""The share of the time that scans may take."""


class ReconcileClock:
    """Says when the next reconcile of a root is due.

    ``interval_seconds``: between the end of one and the start of the next; stretched so that a scan takes
    at most ``duty`` of the time. ``jitter``: spread over 3/4 to 5/4 of the interval, so that many roots do
    not all walk at once (Syncthing's rule). The first reconcile is due at once. Times are seconds of one
    monotonic clock that the caller passes in.
    """

    def __init__(
        self,
        interval_seconds: float,
        *,
        jitter: bool = False,
        duty: float = DUTY,
        chance: random.Random | None = None,
    ) -> None:
        self.interval_seconds = interval_seconds
        self._jitter = jitter
        self._duty = duty
        self._chance = chance or random.Random()  # noqa: S311 - spreads load, guards no secret
        self._due = float("-inf")

    def due(self, now: float) -> bool:
        return now >= self._due

    def next_due(self) -> float:
        """The time of the next reconcile; minus infinity before the first."""
        return self._due

    def finished(self, now: float, scan_seconds: float) -> None:
        """A reconcile ended at ``now``, and its walk took ``scan_seconds``: sets the time of the next."""
        interval = self.interval_seconds
        if self._jitter:
            interval *= self._chance.uniform(0.75, 1.25)
        # scan / (scan + pause) <= duty
        self._due = now + max(interval, scan_seconds * (1 / self._duty - 1))

    def hurry(self) -> None:
        """Events were lost, the share came back, somebody asked: due at once."""
        self._due = float("-inf")


class Retries:
    """Paths that could not be listed or read: no event tells when they can be, so they are tried again.

    Each after ``first_seconds``, and each time in vain after twice as long, ``longest_seconds`` at most. What is
    beyond ``limit`` paths is left to the next walk. Times are those of the caller's monotonic clock.
    """

    def __init__(self, first_seconds: float, longest_seconds: float, limit: int = 1000) -> None:
        self._first = first_seconds
        self._longest = max(first_seconds, longest_seconds)
        self._limit = limit
        self._due: dict[bytes, float] = {}
        self._waited: dict[bytes, float] = {}
        """How long those had to wait that were taken, and may fail again."""
        self._next = float("inf")

    def failed(self, now: float, paths: Iterable[bytes]) -> None:
        """These are to be tried again."""
        for path in paths:
            if path in self._due or len(self._due) >= self._limit:
                continue
            wait = min(2 * self._waited.get(path, self._first / 2), self._longest)
            self._waited[path] = wait
            self._due[path] = now + wait
            self._next = min(self._next, now + wait)

    def take(self, now: float) -> list[bytes]:
        """Those that are to be tried now; they are given once."""
        if now < self._next:
            return []
        taken = [path for path, due in self._due.items() if due <= now]
        for path in taken:
            del self._due[path]
        self._next = min(self._due.values(), default=float("inf"))
        if len(self._waited) > 2 * self._limit:
            self._waited = {path: self._waited[path] for path in (*self._due, *taken)}
        return taken
