"""Runs, requests to the daemon, and the daemon's own row: what a bystander can read of the work."""

from __future__ import annotations

import json
import os
import socket
from dataclasses import dataclass
from typing import Any

from catalog import __version__
from catalog.record.batch import Batch, now_ms
from catalog.terms import EventKind


class Runs:
    """Rows of ``run``, ``request`` and ``daemon``, inside the batch's transactions."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch

    # ------------------------------------------------------------------------------------------- runs

    def start(self, kind: str, root_id: int | None) -> int:
        """Open a run; runs that were left open by a killed process become ``interrupted``."""
        self._batch.begin()
        moment = now_ms()
        self._batch.execute(
            "UPDATE run SET status = 'interrupted', finished_ms = coalesce(heartbeat_ms, started_ms)"
            " WHERE status = 'running' AND kind = ? AND root_id IS ?",
            (kind, root_id),
        )
        self._batch.execute(
            "INSERT INTO run (kind, root_id, started_ms, heartbeat_ms, status, host, pid, version)"
            " VALUES (?, ?, ?, ?, 'running', ?, ?, ?)",
            (kind, root_id, moment, moment, socket.gethostname(), os.getpid(), __version__),
        )
        run_id = int(self._batch.rows("SELECT max(run_id) FROM run")[0][0])
        self._batch.commit()
        return run_id

    def finish(self, run_id: int, status: str, counts: dict[str, Any], root_id: int | None) -> None:
        """Close a run; ``status``: ``complete`` or ``incomplete``. An event keeps its counts for ever.

        Of runs of a root that follow each other and found nothing to do, the last one stays: a polled share
        makes half a million a year.
        """
        moment = now_ms()
        if _uneventful(status, counts):
            self._drop_uneventful(run_id, root_id, counts)
        self._batch.execute(
            "UPDATE run SET status = ?, finished_ms = ?, counts = ? WHERE run_id = ?",
            (status, moment, json.dumps(counts, sort_keys=True), run_id),
        )
        if any(counts.get(name) for name in ("new", "changed", "missing", "moved", "unreadable")):
            detail = {"status": status, **counts}
            self._batch.event(EventKind.SCAN, at_ms=moment, root_id=root_id, detail=detail)
        self._batch.commit()

    def _drop_uneventful(self, run_id: int, root_id: int | None, counts: dict[str, Any]) -> None:
        before = self._batch.rows(
            "SELECT run_id, status, counts FROM run WHERE run_id < ? AND root_id IS ? ORDER BY run_id DESC LIMIT 1",
            (run_id, root_id),
        )
        for earlier, status, told in before:
            former = json.loads(told) if told else {}
            # What a look at the whole share has found is not known from a look at a part of it.
            says_more = former.get("whole", 0) > counts.get("whole", 0)
            if former and not says_more and _uneventful(status, former):
                self._batch.execute("DELETE FROM run WHERE run_id = ?", (earlier,))

    # ---------------------------------------------------------------------------------------- requests

    def ask(self, kind: str, arguments: dict[str, Any], actor: str | None) -> int:
        """Leave a request for the cataloguing process; returns its number."""
        self._batch.execute(
            "INSERT INTO request (kind, arguments, actor, requested_ms) VALUES (?, ?, ?, ?)",
            (kind, json.dumps(arguments), actor, now_ms()),
        )
        request_id = int(self._batch.rows("SELECT max(request_id) FROM request")[0][0])
        self._batch.commit()
        return request_id

    def asked(self) -> list[Request]:
        """Requests that nobody has finished, oldest first."""
        rows = self._batch.question(
            "SELECT request_id, kind, arguments, actor FROM request WHERE finished_ms IS NULL"
            " ORDER BY request_id",
            (),
        )
        return [Request(row[0], row[1], json.loads(row[2]), row[3]) for row in rows]

    def take(self, request_id: int) -> None:
        self._batch.execute("UPDATE request SET taken_ms = ? WHERE request_id = ?", (now_ms(), request_id))

    def progress(self, request_id: int, progress: dict[str, Any]) -> None:
        self._batch.execute(
            "UPDATE request SET progress = ? WHERE request_id = ?", (json.dumps(progress), request_id)
        )

    def answer(self, request_id: int, result: dict[str, Any]) -> None:
        self._batch.execute(
            "UPDATE request SET finished_ms = ?, result = ? WHERE request_id = ?",
            (now_ms(), json.dumps(result), request_id),
        )
        self._batch.commit()

    def progress_of(self, request_id: int) -> RequestProgress:
        """What the cataloguing process says of a request."""
        row = self._batch.question(
            "SELECT taken_ms, finished_ms, progress, result FROM request WHERE request_id = ?", (request_id,)
        )[0]
        return RequestProgress(
            row[0] is not None,
            row[1] is not None,
            json.loads(row[2]) if row[2] else {},
            json.loads(row[3]) if row[3] else None,
        )

    # ------------------------------------------------------------------------------------------ daemon

    def daemon_gone(self) -> None:
        """Called with the cataloguing lock in hand: no daemon lives, whatever its row says (it was killed), and
        whoever asked it for something has been told so. Nobody waits for these requests any more."""
        if not self._batch.question(
            "SELECT 1 FROM daemon UNION ALL SELECT 1 FROM request WHERE finished_ms IS NULL LIMIT 1", ()
        ):
            return
        self._batch.execute("DELETE FROM daemon")
        self._batch.execute(
            "UPDATE request SET finished_ms = ?, result = ? WHERE finished_ms IS NULL",
            (now_ms(), json.dumps({"error": "the daemon stopped before it had answered; ask again"})),
        )
        self._batch.commit()

    def daemon_started(self) -> None:
        moment = now_ms()
        self._batch.execute("DELETE FROM daemon")
        self._batch.execute(
            "INSERT INTO daemon (daemon_id, pid, host, version, started_ms, heartbeat_ms, status)"
            " VALUES (1, ?, ?, ?, ?, ?, '{}')",
            (os.getpid(), socket.gethostname(), __version__, moment, moment),
        )
        self._batch.commit()

    def daemon_beats(self, status: dict[str, Any]) -> None:
        self._batch.execute(
            "UPDATE daemon SET heartbeat_ms = ?, status = ?", (now_ms(), json.dumps(status, sort_keys=True))
        )

    def daemon_stopped(self) -> None:
        self._batch.execute("DELETE FROM daemon")
        self._batch.commit()


def _uneventful(status: str, counts: dict[str, Any]) -> bool:
    """Whether a run neither recorded nor read anything: no row refers to it."""
    idle = ("seen", "unchanged", "whole")
    return status == "complete" and not any(number for name, number in counts.items() if name not in idle)


@dataclass(frozen=True, slots=True)
class Request:
    """Something that another process asked the cataloguing process to do."""

    request_id: int
    kind: str
    arguments: dict[str, Any]
    actor: str | None


@dataclass(frozen=True, slots=True)
class RequestProgress:
    taken: bool
    finished: bool
    progress: dict[str, Any]
    result: dict[str, Any] | None
