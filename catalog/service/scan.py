"""``catalog scan``: bring the record of some shares up to date, once, and say what was found."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from catalog.errors import NotFound, UsageError
from catalog.record.roots import Root, Roots
from catalog.record.rows import split
from catalog.service.plans import Tally
from catalog.service.reconcile import Phase, Reconcile
from catalog.service.session import Session
from catalog.service.shares import Shares
from catalog.terms import Outcome, RootState, path_fields, printable

STEP_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Target:
    """A share, or one folder of it, that is to be scanned."""

    root: Root
    start: bytes


@dataclass(slots=True)
class ScanResult:
    """What a scan saw, in sums over its roots."""

    tally: Tally = field(default_factory=Tally)
    roots: list[dict[str, Any]] = field(default_factory=list)
    problems: list[dict[str, Any]] = field(default_factory=list)
    """``{"root", "path", "reason"}``: what could not be seen or finished."""
    seconds: float = 0.0
    interrupted: bool = False

    @property
    def complete(self) -> bool:
        tally = self.tally
        return not (
            self.problems or self.interrupted or tally.pending or tally.unreadable or tally.held_missing
        )

    def document(self) -> dict[str, Any]:
        """The JSON fields of ``catalog scan --json`` (docs: README, "JSON")."""
        tally = self.tally
        return {
            "roots": self.roots,
            "files": {
                "seen": tally.seen,
                "new": tally.new,
                "changed": tally.changed,
                "unchanged": tally.unchanged + tally.touched,
                "not_reread": tally.unchanged - tally.reread,
                "missing": tally.missing,
                "moved": tally.moved,
                "reappeared": tally.reappeared,
                "unreadable": tally.unreadable,
                "undecodable": tally.undecodable,
                "flawed": tally.flawed,
                "pending": tally.pending,
                "held_missing": tally.held_missing,
            },
            "skipped": {
                "symlinks": tally.symlinks,
                "ignored": tally.ignored,
                "special": tally.special,
            },
            "bytes_read": tally.bytes_read,
            "seconds": round(self.seconds, 3),
            "problems": self.problems,
        }


def resolved(paths: Sequence[str]) -> list[bytes]:
    """Absolute folders without symbolic links. Raises NotFound and UsageError with the path as it was typed."""
    folders = []
    for path in paths:
        real = os.path.realpath(os.fsencode(path))
        try:
            os.stat(real)
        except OSError as error:
            raise NotFound(
                f"{printable(path)}: {error.strerror}",
                hint="check the spelling, and that the share is mounted",
            ) from error
        if not os.path.isdir(real):
            raise UsageError(
                f"{printable(path)} is a file, not a folder", hint="scan the folder that holds it"
            )
        folders.append(real)
    return folders


def targets(roots: Roots, folders: Sequence[bytes], *, name: str | None, actor: str | None) -> list[Target]:
    """The shares that the folders are or lie in; new ones are registered. No folder: every share."""
    if not folders:
        return [Target(root, b"") for root in roots.all()]
    found: list[Target] = []
    for folder in folders:
        root = roots.holding(folder)
        if root is None:
            root = roots.add(folder, name, actor)
        start = folder[len(root.path.rstrip(b"/")) + 1 :]
        found.append(Target(root, start))
    # A folder inside another one of the same call would be walked twice.
    return [
        target
        for target in dict.fromkeys(found)
        if not any(
            other.root.root_id == target.root.root_id
            and other.start != target.start
            and (not other.start or target.start.startswith(other.start + b"/"))
            for other in found
        )
    ]


def scan(
    session: Session,
    chosen: Sequence[Target],
    *,
    progress: Callable[[Tally, Phase], None] = lambda _tally, _phase: None,
    stop: Callable[[], bool] = lambda: False,
) -> ScanResult:
    """Reconcile each target, one after the other. ``stop`` ends it early with everything recorded so far."""
    result = ScanResult()
    began = time.monotonic()
    with closing(Shares(session)) as shares:
        _scan_each(session, shares, chosen, result, progress, stop)
    result.seconds = time.monotonic() - began
    return result


def _scan_each(  # noqa: PLR0917 - what scan() holds, no more
    session: Session,
    shares: Shares,
    chosen: Sequence[Target],
    result: ScanResult,
    progress: Callable[[Tally, Phase], None],
    stop: Callable[[], bool],
) -> None:
    passes: list[Reconcile] = []
    for target in chosen:
        root = shares.open(target.root)
        if root.state is not RootState.ONLINE:
            result.problems.append(problem(root, b"", f"{root.state.value}: {root.state_reason or ''}"))
            continue
        reconcile = Reconcile(session, root, lambda root=root: shares.there(root), starts=(target.start,))  # type: ignore[misc]
        passes.append(reconcile)
        _steps(reconcile, Phase.SEEN, result, progress, stop)
        if result.interrupted:
            break
    for reconcile in passes:
        # Only now: what is not in one share may have moved to another one of this scan.
        if not result.interrupted:
            reconcile.judge()
            _steps(reconcile, Phase.DONE, result, progress, stop)
        reconcile.abandon()
        add_tally(result.tally, reconcile.tally)
        result.problems.extend(problem(reconcile.root, path, reason) for path, reason in reconcile.problems)
        if reconcile.complete and not result.interrupted:
            _drop_jobs(session, reconcile)
    session.mass_changes.look(at_once=True)
    if result.interrupted:
        session.commit()
        session.start_over()
    for root_id in dict.fromkeys(target.root.root_id for target in chosen):
        root = session.roots.by_id(root_id)
        result.roots.append({"name": root.name, **path_fields(root.path), "state": root.state.value})


def _drop_jobs(session: Session, reconcile: Reconcile) -> None:
    """Take the paths from the backlog that the walk has brought up to date: a daemon left them, or a file that
    would not come to rest. What a walk inspects needs no row there."""
    jobs = session.backlog.of_root(reconcile.root.root_id, reconcile.began_ms)
    for due in jobs:
        row = session.recorder.rows.at(due.root_id, due.path)
        if reconcile.inside(split(due.path)[0]) and (row is None or row.outcome is not Outcome.PENDING):
            session.backlog.acknowledge(due)
    if jobs:
        session.commit()


def _steps(
    reconcile: Reconcile,
    until: Phase,
    result: ScanResult,
    progress: Callable[[Tally, Phase], None],
    stop: Callable[[], bool],
) -> None:
    while reconcile.phase is not until:
        reconcile.step(STEP_SECONDS)
        progress(reconcile.tally, reconcile.phase)
        if stop():
            result.interrupted = True
            return


def problem(root: Root, path: bytes, reason: str) -> dict[str, Any]:
    """What could not be seen or finished, as the JSON shows it."""
    absolute = os.path.join(root.path, path) if path else root.path
    return {"root": root.name, **path_fields(absolute), "reason": reason}


def add_tally(total: Tally, part: Tally) -> None:
    """Sum two tallies into the first."""
    for name in Tally.__slots__:
        setattr(total, name, getattr(total, name) + getattr(part, name))
