"""When to reconcile: the whole of polling, and the safety net under the events."""

from __future__ import annotations

import random
from collections.abc import Collection
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


class UnlistedFolders:
    """Folders that a walk could not list: no event tells when they can be, so they are tried again.

    After ``first_seconds``, and each time in vain after twice as long, ``longest_seconds`` at most. Times are those
    of the caller's monotonic clock.
    """

    def __init__(self, first_seconds: float, longest_seconds: float) -> None:
        self._first = self._wait = first_seconds
        self._longest = max(first_seconds, longest_seconds)
        self._folders: set[bytes] = set()
        self._due = float("inf")

    def found(self, now: float, folders: Collection[bytes]) -> None:
        """A walk ended, and could not list these."""
        if folders:
            self._folders.update(folders)
            self._due = min(self._due, now + self._wait)
        elif not self._folders:
            self._wait = self._first

    def take(self, now: float) -> Collection[bytes]:
        """Those that are to be walked again now; they are asked for once."""
        if now < self._due:
            return ()
        folders, self._folders = self._folders, set()
        self._due = float("inf")
        self._wait = min(2 * self._wait, self._longest)
        return folders
