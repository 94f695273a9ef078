"""Whether an answer is complete: what could not be seen, and why."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, func, select

from catalog.query.files import FileFacts
from catalog.query.scope import LIVING, ODD, Root, Scope, registered
from catalog.store.codes import OUTCOME
from catalog.store.schema import dir_, file, job, root_count, run
from catalog.terms import Outcome, RootState, counted

_PENDING: Final = OUTCOME.number[Outcome.PENDING]
_UNREADABLE: Final = OUTCOME.number[Outcome.UNREADABLE]
_MISSING: Final = 3
_SUSPECT: Final = 2


@dataclass(frozen=True, slots=True)
class Incomplete:
    """Why an answer may lack something of one share; ``files`` that are concerned, as far as they are known."""

    root: str
    reason: str
    files: int


@dataclass(frozen=True, slots=True)
class Standing:
    """When an answer was true, and what it may lack."""

    as_of_ms: int
    incomplete: tuple[Incomplete, ...]

    @property
    def complete(self) -> bool:
        return not self.incomplete


def now_ms() -> int:
    """The catalogue's clock: milliseconds since 1970, UTC."""
    return time.time_ns() // 1_000_000


def standing(connection: Connection, scope: Scope, database: str) -> Standing:
    """What the answer to a question about ``scope`` may lack.

    A share that is not online, files that wait for their inspection, files that cannot be read, a scan that
    never came to its end, files that were not found and are not proven gone. A file that does not decode is
    an answer, not a gap.
    """
    moment = now_ms()
    found: list[Incomplete] = []
    odd = odd_files(connection, scope, (_PENDING, _UNREADABLE))
    unseen = suspect_files(connection, scope)
    for each in scope.roots:
        if each.state is not RootState.ONLINE:
            found.append(Incomplete(each.name, each.state.value, living_files(connection, scope, each)))
        unfinished = unfinished_scan(connection, each.root_id, each.last_reconcile_ms, database)
        if unfinished is not None:
            found.append(Incomplete(each.name, unfinished, 0))
        # A file that waits has a row, or a place in the queue, or both.
        pending = max(odd.get((each.root_id, _PENDING), 0), _queued(connection, scope, each))
        if pending:
            found.append(Incomplete(each.name, "pending", pending))
        suspects = unseen.get(each.root_id, 0)
        if suspects and each.state is RootState.ONLINE:
            found.append(Incomplete(each.name, "not found any more, absence not proven", suspects))
        unreadable = odd.get((each.root_id, _UNREADABLE), 0)
        if unreadable:
            found.append(Incomplete(each.name, "unreadable", unreadable))
    return Standing(moment, tuple(found))


def standing_of_file(connection: Connection, facts: FileFacts, database: str) -> Standing:
    """What an answer about one file may lack."""
    place = (facts.root.root_id, facts.folder, facts.name)
    scope = Scope((facts.root,), False, frozenset(), frozenset({place}))
    return standing(connection, registered(connection, scope), database)


def living_files(connection: Connection, scope: Scope, each: Root) -> int:
    """How many files of one share are in the scope and may still be there."""
    if scope.whole_roots:
        counted = select(func.coalesce(func.sum(root_count.c.n_files), 0)).where(
            root_count.c.root_id == each.root_id, root_count.c.presence != _MISSING
        )
        return int(connection.execute(counted).scalar_one())
    total = 0
    for part in scope.parts():
        if part.root == each:
            statement = select(func.count()).select_from(dir_.join(file, file.c.dir_id == dir_.c.dir_id))
            statement = statement.where(*part.conditions(), *scope.globbed()).where(LIVING)
            total += int(connection.execute(statement).scalar_one())
    return total


def odd_files(connection: Connection, scope: Scope, outcomes: Sequence[int]) -> dict[tuple[int, int], int]:
    """(root_id, outcome) → files of the scope that may still be there, for rare outcomes (codes)."""
    if scope.whole_roots:
        statement: Any = (
            select(root_count.c.root_id, root_count.c.outcome, func.sum(root_count.c.n_files))
            .where(root_count.c.root_id.in_([each.root_id for each in scope.roots]))
            .where(root_count.c.presence != _MISSING, root_count.c.outcome.in_(outcomes))
            .group_by(root_count.c.root_id, root_count.c.outcome)
        )
    else:
        statement = (
            select(file.c.root_id, file.c.outcome, func.count())
            .join(dir_, dir_.c.dir_id == file.c.dir_id)
            .where(file.c.root_id.in_([each.root_id for each in scope.roots]))
            .where(file.c.presence.in_((1, 2)), file.c.outcome.in_(outcomes), *scope.covered())
            .where(ODD)
            .group_by(file.c.root_id, file.c.outcome)
        )
    return {(root_id, outcome): files for root_id, outcome, files in connection.execute(statement) if files}


def suspect_files(connection: Connection, scope: Scope) -> dict[int, int]:
    """root_id → files of the scope that were not found where they were, and are not proven gone."""
    if scope.whole_roots:
        statement: Any = (
            select(root_count.c.root_id, func.sum(root_count.c.n_files))
            .where(root_count.c.root_id.in_([each.root_id for each in scope.roots]))
            .where(root_count.c.presence == _SUSPECT)
            .group_by(root_count.c.root_id)
        )
    else:
        statement = (
            select(file.c.root_id, func.count())
            .join(dir_, dir_.c.dir_id == file.c.dir_id)
            .where(file.c.root_id.in_([each.root_id for each in scope.roots]))
            .where(file.c.presence == _SUSPECT, *scope.covered())
            .where(ODD)
            .group_by(file.c.root_id)
        )
    return {root_id: files for root_id, files in connection.execute(statement) if files}


def _queued(connection: Connection, scope: Scope, each: Root) -> int:
    if scope.whole_roots:
        counted = select(func.count()).select_from(job).where(job.c.root_id == each.root_id)
        return int(connection.execute(counted).scalar_one())
    paths = connection.execute(select(job.c.path).where(job.c.root_id == each.root_id)).scalars()
    return sum(1 for path in paths if scope.covers(each.root_id, *_split(path)))


def _split(path: bytes) -> tuple[bytes, bytes]:
    folder, _, name = path.rpartition(b"/")
    return folder, name


FIRST_SCAN_RUNS: Final = "first scan still running"


def unfinished_scan(
    connection: Connection, root_id: int, last_reconcile_ms: int | None, database: str
) -> str | None:
    """Why the record of a share may not be that of all its folders; None when the last scan saw them all."""
    latest = connection.execute(
        select(run.c.status, run.c.pid, run.c.host)
        .where(run.c.root_id == root_id)
        .order_by(run.c.run_id.desc())
        .limit(1)
    ).first()
    if latest is not None and latest.status == "running":
        if not holds(database, latest.pid, latest.host):
            return "scan interrupted"
        if last_reconcile_ms is None:
            return FIRST_SCAN_RUNS
    unlisted = _unlisted_folders(connection, root_id)
    if unlisted:
        return f"{counted(unlisted, 'folder')} could not be listed by the last scan"
    return "never scanned to the end" if last_reconcile_ms is None else None


def _unlisted_folders(connection: Connection, root_id: int) -> int:
    """How many folders of the share the last look at all of it could not list."""
    counts = connection.execute(
        select(func.json_extract(run.c.counts, "$.unlisted_folders"))
        .where(run.c.root_id == root_id, func.json_extract(run.c.counts, "$.whole") == 1)
        .order_by(run.c.run_id.desc())
        .limit(1)
    ).scalar()
    return int(counts or 0)


# -------------------------------------------------------------------------------- who is cataloguing now


def holds(database: str, pid: int | None, host: str | None) -> bool:
    """Whether this process is alive on this machine and the cataloguing lock is held.

    Asks for the lock only when the process is there, so that a question never gets in the way of a
    daemon that is about to start.
    """
    return pid is not None and host == socket.gethostname() and _alive(pid) and lock_held(database)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError as error:
        return error.errno == errno.EPERM
    return True


def lock_held(database: str) -> bool:
    """Whether a cataloguing process holds the lock (``store/lock.py`` says where it lies)."""
    try:
        descriptor = os.open(f"{os.path.realpath(database)}.lock", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False
