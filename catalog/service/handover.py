"""A scan beside a running daemon: asked of it through the catalogue, watched until it is done."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
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
