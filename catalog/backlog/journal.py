"""Rows of ``job``: one for each dirty path, with a generation that tells a newer hint from an older one.

Walks need no rows: whatever they find is found again by the next one. Hints (events, retries, requests)
do, because nothing but the next reconcile would bring them back.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from catalog.terms import Change

MAX_ATTEMPTS: Final = 5
FIRST_DELAY_SECONDS: Final = 1.0
"""Back-off of a path that could not be inspected: 1, 4, 16, 64 … seconds, up to the longest."""
LONGEST_DELAY_SECONDS: Final = 3600.0


class Writer(Protocol):
    """The open write transaction of the recording side."""

    def execute(self, sql: str, parameters: tuple[Any, ...] = ()) -> int: ...

    def question(self, sql: str, parameters: tuple[Any, ...]) -> list[Any]: ...


@dataclass(frozen=True, slots=True)
class Due:
    """One path whose turn has come."""

    job_id: int
    root_id: int
    path: bytes
    generation: int
    attempts: int


class Backlog:
    """The queue, inside the transactions of the recording side, so that a result and its acknowledgement
    are one commit."""

    def __init__(self, writer: Writer, clock: Callable[[], int] | None = None) -> None:
        self._writer = writer
        self._now_ms = clock or (lambda: time.time_ns() // 1_000_000)

    def enqueue(self, changes: Iterable[Change], *, delay_seconds: float = 0.0) -> int:
        """Make hints durable. A path that waits already gets a new generation, and its turn no later than before.

        Returns how many there were. The caller commits.
        """
        moment = self._now_ms()
        number = 0
        for change in changes:
            self._writer.execute(
                "INSERT INTO job (root_id, path, reason, first_ms, not_before_ms) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (root_id, path) DO UPDATE SET generation = generation + 1, attempts = 0,"
                " reason = excluded.reason, not_before_ms = min(not_before_ms, excluded.not_before_ms)",
                (
                    change.root_id,
                    change.path,
                    change.reason.value,
                    moment,
                    moment + round(delay_seconds * 1000),
                ),
            )
            number += 1
        return number

    def due(self, limit: int, roots: Iterable[int]) -> list[Due]:
        """Paths whose time has come, oldest first, of these roots (those that are online).

        What is due stays in the queue, and is given again, until it is acknowledged or postponed.
        """
        moment = self._now_ms()
        rows: list[Any] = []
        for root_id in dict.fromkeys(roots):
            # Root by root: the hundred thousand paths of one that is offline are not walked over.
            rows += self._writer.question(
                "SELECT not_before_ms, job_id, root_id, path, generation, attempts FROM job"
                " WHERE root_id = ? AND not_before_ms <= ? ORDER BY not_before_ms, job_id LIMIT ?",
                (root_id, moment, limit),
            )
        return [Due(*row[1:]) for row in sorted(rows)[:limit]]

    def of_root(self, root_id: int, before_ms: int) -> list[Due]:
        """Every path of a root that has waited since before this moment, due or not."""
        rows = self._writer.question(
            "SELECT job_id, root_id, path, generation, attempts FROM job WHERE root_id = ? AND first_ms < ?",
            (root_id, before_ms),
        )
        return [Due(*row) for row in rows]

    def acknowledge(self, job: Due) -> None:
        """The path is recorded. A hint that came in meanwhile has raised the generation, and stays."""
        self._writer.execute(
            "DELETE FROM job WHERE job_id = ? AND generation = ?", (job.job_id, job.generation)
        )

    def postpone(self, job: Due, failure: str, *, delay_seconds: float | None = None) -> bool:
        """Try again later, at growing distances. False when the path has had its attempts."""
        attempts = job.attempts + 1
        if delay_seconds is None:
            delay_seconds = min(FIRST_DELAY_SECONDS * 4.0 ** min(attempts - 1, 16), LONGEST_DELAY_SECONDS)
        self._writer.execute(
            "UPDATE job SET attempts = ?, not_before_ms = ?, last_failure = ? WHERE job_id = ? AND generation = ?",
            (attempts, self._now_ms() + round(delay_seconds * 1000), failure, job.job_id, job.generation),
        )
        return attempts < MAX_ATTEMPTS

    def forget(self, root_id: int) -> None:
        """Drop every path of a root (it was removed). The caller commits."""
        self._writer.execute("DELETE FROM job WHERE root_id = ?", (root_id,))

    def waiting(self) -> int:
        """How many paths wait, due or not."""
        return int(self._writer.question("SELECT count(*) FROM job", ())[0][0])

    def next_due_seconds(self, roots: Iterable[int] | None = None) -> float | None:
        """Time until the next path of these roots (None: of all) is due; None when nothing waits."""
        if roots is None:
            roots = [row[0] for row in self._writer.question("SELECT root_id FROM root", ())]
        earliest = [
            self._writer.question("SELECT min(not_before_ms) FROM job WHERE root_id = ?", (root_id,))[0][0]
            for root_id in roots
        ]
        waiting = [moment for moment in earliest if moment is not None]
        return max(0.0, (min(waiting) - self._now_ms()) / 1000) if waiting else None
