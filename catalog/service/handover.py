"""A scan beside a running daemon: asked of it through the catalogue, watched until it is done."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from catalog.errors import CatalogError, Exit
from catalog.record.runs import RequestProgress
from catalog.service.opening import Desk, actor
from catalog.store.engine import open_reader


class HandoverFailed(CatalogError):
    """The daemon went away, or could not do what was asked."""

    code = Exit.INCOMPLETE


def daemon_runs(database: str) -> bool:
    """Whether the process that holds the catalogue is a daemon that answers requests."""
    connection = open_reader(database)
    try:
        row = connection.execute("SELECT pid FROM daemon").fetchone()
    finally:
        connection.close()
    if row is None:
        return False
    try:
        os.kill(row[0], 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


@dataclass(frozen=True, slots=True)
class Follower:
    """A running daemon, and which shares it watches."""

    pid: int
    only: tuple[int, ...] | None
    """The roots that it was started with; None: all, also those that are added later."""

    def follows(self, root_id: int) -> bool:
        return self.only is None or root_id in self.only


def follower(database: str) -> Follower | None:
    """The daemon that runs on a catalogue; None when none does, or it has said nothing of itself yet."""
    connection = open_reader(database)
    try:
        row = connection.execute("SELECT pid, status FROM daemon").fetchone()
    finally:
        connection.close()
    status = json.loads(row[1]) if row is not None else {}
    if "only" not in status or not daemon_runs(database):
        return None
    return Follower(row[0], None if status["only"] is None else tuple(status["only"]))


def hand_over(
    database: str,
    kind: str,
    arguments: dict[str, Any],
    progress: Callable[[dict[str, Any]], None],
) -> dict[str, Any]:
    """Ask the daemon and wait for its answer. Raises HandoverFailed when it goes away meanwhile."""
    with Desk(database) as desk:
        request_id = desk.runs.ask(kind, arguments, actor())
        while True:
            state: RequestProgress = desk.runs.progress_of(request_id)
            if state.result is not None:
                break
            if state.progress:
                progress(state.progress)
            if not daemon_runs(database):
                raise HandoverFailed(
                    "the daemon stopped before it had answered", hint="run the same command again"
                )
            time.sleep(0.1)
    if "error" in state.result:
        raise HandoverFailed(state.result["error"], hint="see: catalog status")
    return state.result
