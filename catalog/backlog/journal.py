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
"""Back-off of a path that could not be inspected: 1, 4, 16, 64 … seconds."""


class Writer(Protocol):
    """The open write transaction of the recording side."""

    def execute(self, sql: str, parameters: tuple[Any, ...] = ()) -> None: ...

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
        """Make hints durable. A path that waits already gets a new generation, and its turn at once.

        Returns how many there were. The caller commits.
        """
        moment = self._now_ms()
        number = 0
        for change in changes:
            self._writer.execute(
                "INSERT INTO job (root_id, path, reason, first_ms, not_before_ms) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (root_id, path) DO UPDATE SET generation = generation + 1, attempts = 0,"
                " reason = excluded.reason, not_before_ms = excluded.not_before_ms",
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
        """Paths whose time has come, oldest first, of roots that are online."""
        ids = list(roots)
        if not ids:
            return []
        rows = self._writer.question(
            "SELECT job_id, root_id, path, generation, attempts FROM job WHERE not_before_ms <= ?"
            f" AND root_id IN ({','.join('?' * len(ids))}) ORDER BY not_before_ms, job_id LIMIT ?",
            (self._now_ms(), *ids, limit),
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
            delay_seconds = FIRST_DELAY_SECONDS * 4 ** (attempts - 1)
        self._writer.execute(
            "UPDATE job SET attempts = ?, not_before_ms = ?, last_failure = ? WHERE job_id = ? AND generation = ?",
            (attempts, self._now_ms() + round(delay_seconds * 1000), failure, job.job_id, job.generation),
        )
        return attempts < MAX_ATTEMPTS

    def waiting(self) -> int:
        """How many paths wait, due or not."""
        return int(self._writer.question("SELECT count(*) FROM job", ())[0][0])

    def next_due_seconds(self) -> float | None:
        """Time until the next path is due; None when nothing waits."""
        row = self._writer.question("SELECT min(not_before_ms) FROM job", ())[0]
        return None if row[0] is None else max(0.0, (row[0] - self._now_ms()) / 1000)
