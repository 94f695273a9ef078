"""``catalog audit`` in a process of its own: an audit, its session pumped, until it is done."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any

from catalog.service.audit import Audit, Phase
from catalog.service.audit_result import AuditResult, Budget
from catalog.service.reconcile import Phase as Pass
from catalog.service.reconcile import Reconcile
from catalog.service.session import Session
from catalog.service.shares import Shares

STEP_SECONDS = 0.1


class OwnSearch:
    """Compares shares with their record, as a scan does: all of them are seen before anything is judged."""

    def __init__(self, session: Session, shares: Shares, root_ids: Sequence[int]) -> None:
        roots = [session.roots_by_id[root_id] for root_id in root_ids]
        self._passes = [
            Reconcile(session, root, lambda root=root: shares.there(root))  # type: ignore[misc]
            for root in roots
        ]

    def step(self) -> bool:
        for until in (Pass.SEEN, Pass.DONE):
            for each in self._passes:
                if each.phase in (until, Pass.DONE):
                    continue
                if each.phase is Pass.SEEN:
                    each.judge()
                each.step(STEP_SECONDS)
                return False
        return True

    def abandon(self) -> None:
        for each in self._passes:
            each.abandon()


def audit(
    session: Session,
    *,
    database: str,
    scope: Sequence[bytes] = (),
    roots: Sequence[str] = (),
    budget: Budget = Budget(),  # noqa: B008 - frozen
    actor: str | None = None,
    progress: Callable[[dict[str, Any]], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
) -> AuditResult:
    """Audit a scope to the end of it, or of its budget. ``stop`` ends it early with everything recorded so far."""
    searches: list[OwnSearch] = []
    with closing(Shares(session)) as shares:

        def search(root_ids: Sequence[int]) -> OwnSearch:
            searches.append(OwnSearch(session, shares, root_ids))
            return searches[-1]

        running = Audit(
            session, shares, search, database=database, scope=scope, roots=roots, budget=budget, actor=actor
        )
        with closing(running):
            while not running.done:
                running.step()
                progress(running.progress())
                if running.phase is not Phase.DONE:
                    _pump(session)
                    if running.phase is Phase.SEARCH:
                        session.placing.resolve()
                if stop() and not running.done:
                    for each in searches:
                        each.abandon()
                    session.commit()
                    session.start_over()
                    running.interrupt()
    return running.result


def _pump(session: Session) -> None:
    if session.busy():
        session.pump(STEP_SECONDS)
    else:
        time.sleep(0.01)  # a limit of the rate holds the next file back
