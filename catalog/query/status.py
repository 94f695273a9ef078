"""``status``: how are the shares, the work that waits, the daemon, and what wants attention?"""

from __future__ import annotations

import json
import socket
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import Connection, Row, func, select

from catalog.drift import mass_sentence
from catalog.query.audits import PastAudit, last_audit
from catalog.query.drift import SEVERITY
from catalog.query.scope import ODD, RETIRED, TOMBSTONE
from catalog.query.standing import FIRST_SCAN_RUNS, holds, now_ms, unfinished_scan
from catalog.store.codes import OUTCOME, ROOT_STATE
from catalog.store.schema import daemon, drift, file, job, root, root_count, seal
from catalog.terms import Kind, Outcome, RootState, Severity, counted, iso, path_fields, quoted

BACKLOG_LATE_MS: Final = 3_600_000
"""Age of the oldest waiting path at which a backlog is a problem."""
HEARTBEAT_LATE_MS: Final = 180_000
"""Silence of a living daemon that is a problem."""


@dataclass(frozen=True, slots=True)
class MassChange:
    """Many contents of a share that changed within an hour, of which some wait to be looked at still."""

    event_id: int
    since_ms: int
    files: int
    of: int
    kinds: dict[str, int]
    open: int

    def fields(self) -> dict[str, Any]:
        return {
            "event": self.event_id,
            "since": iso(self.since_ms),
            "files": self.files,
            "of": self.of,
            "kinds": self.kinds,
            "open": self.open,
        }

    @property
    def words(self) -> str:
        waiting = "all open" if self.open >= self.files else f"{self.open:,} still open"
        return f"{mass_sentence(self.files, self.of, self.kinds)}; {waiting}"


@dataclass(frozen=True, slots=True)
class RootStatus:
    """One share."""

    name: str
    path: bytes
    state: RootState
    state_reason: str | None
    mode: str | None
    mode_reason: str | None
    present: int
    """Read and decoded; suspects still count."""
    missing: int
    unreadable: int
    undecodable: int
    pending: int
    other: int
    """Raw checksums only: files that ``--include`` added."""
    last_reconcile_ms: int | None
    uncovered_dirs: int
    held_missing: int
    open_drift: dict[Severity, int]
    mass_change: MassChange | None = None
    unfinished: str | None = None
    """Why the record may not be that of all its folders: a scan that did not come to its end, folders that
    cannot be listed."""

    @property
    def total(self) -> int:
        """Files that may still be there, whatever their inspection came to."""
        return self.present + self.unreadable + self.undecodable + self.pending + self.other

    def fields(self) -> dict[str, Any]:
        return {
            "name": self.name,
            **path_fields(self.path),
            "state": self.state.value,
            "state_reason": self.state_reason,
            "mode": self.mode,
            "mode_reason": self.mode_reason,
            "files": {
                "present": self.present,
                "missing": self.missing,
                "unreadable": self.unreadable,
                "undecodable": self.undecodable,
                "pending": self.pending,
                "other": self.other,
                "total": self.total,
            },
            "last_reconcile": iso(self.last_reconcile_ms),
            "unfinished": self.unfinished,
            "uncovered_dirs": self.uncovered_dirs,
            "held_missing": self.held_missing,
            "open_drift": {severity.value: self.open_drift.get(severity, 0) for severity in Severity},
            "mass_change": self.mass_change.fields() if self.mass_change else None,
        }


@dataclass(frozen=True, slots=True)
class DaemonStatus:
    """The daemon as its row and the kernel tell; ``known`` False: none was started, or it ended in order."""

    known: bool
    running: bool
    pid: int | None
    host: str | None
    version: str | None
    started_ms: int | None
    heartbeat_ms: int | None
    rebuilds: int
    overflows: int

    def fields(self) -> dict[str, Any]:
        return {
            "running": self.running,
            "pid": self.pid,
            "rebuilds": self.rebuilds,
            "overflows": self.overflows,
            "host": self.host,
            "version": self.version,
            "started": iso(self.started_ms),
            "heartbeat": iso(self.heartbeat_ms),
        }


@dataclass(frozen=True, slots=True)
class Status:
    """The whole answer; ``problems`` is what ``--check`` complains of, the most urgent first."""

    as_of_ms: int
    roots: tuple[RootStatus, ...]
    backlog: int
    backlog_since_ms: int | None
    daemon: DaemonStatus
    chain_head: str | None
    problems: tuple[str, ...]
    last_audit: PastAudit | None = None
    """The newest that came to its end; its sentence says how much was verified by then."""

    def fields(self) -> dict[str, Any]:
        return {
            "roots": [each.fields() for each in self.roots],
            "backlog": self.backlog,
            "backlog_since": iso(self.backlog_since_ms),
            "daemon": self.daemon.fields(),
            "chain_head": self.chain_head,
            "last_audit": None if self.last_audit is None else self.last_audit.summary(),
            "problems": list(self.problems),
        }


def status(connection: Connection, database: str) -> Status:
    """The state of the catalogue. Counters only: the same cost at any number of files."""
    moment = now_ms()
    roots = tuple(
        replace(each, unfinished=unfinished_scan(connection, root_id, each.last_reconcile_ms, database))
        for root_id, each in _root_statuses(connection)
    )
    backlog, since = connection.execute(select(func.count(), func.min(job.c.first_ms)).select_from(job)).one()
    chain = connection.execute(select(seal.c.chain).order_by(seal.c.seal_id.desc()).limit(1)).scalar()
    found = Status(
        moment, roots, backlog, since, _daemon(connection, database), chain.hex() if chain else None, ()
    )
    return Status(
        found.as_of_ms,
        found.roots,
        found.backlog,
        found.backlog_since_ms,
        found.daemon,
        found.chain_head,
        tuple(_problems(found)),
        last_audit(connection),
    )


# --------------------------------------------------------------------------------------------------- roots


def backlog_files(connection: Connection) -> int:
    """How many paths wait for their inspection."""
    return int(connection.execute(select(func.count()).select_from(job)).scalar_one())


def root_statuses(connection: Connection) -> tuple[RootStatus, ...]:
    """Every share that was not removed, by name."""
    return tuple(each for _, each in _root_statuses(connection))


def _root_statuses(connection: Connection) -> list[tuple[int, RootStatus]]:
    counts: dict[tuple[int, int], int] = defaultdict(int)
    living = select(root_count.c.root_id, root_count.c.outcome, root_count.c.n_files).where(
        root_count.c.presence != 3
    )
    for root_id, outcome, files in connection.execute(living):
        counts[root_id, outcome] += files
    cases: dict[int, dict[Severity, int]] = defaultdict(dict)
    statement = (
        select(drift.c.root_id, drift.c.severity, func.count())
        .where(drift.c.closed_ms.is_(None))
        .group_by(drift.c.root_id, drift.c.severity)
    )
    for root_id, severity, number in connection.execute(statement):
        cases[root_id][SEVERITY[severity]] = number
    rows = connection.execute(select(root).where(root.c.state != RETIRED).order_by(root.c.name)).all()
    return [(row.root_id, _root(connection, row, counts, cases[row.root_id])) for row in rows]


def _root(
    connection: Connection,
    row: Row[Any],
    counts: dict[tuple[int, int], int],
    cases: dict[Severity, int],
) -> RootStatus:
    def living(outcome: Outcome) -> int:
        return counts.get((row.root_id, OUTCOME.number[outcome]), 0)

    # Tombstones that were retired are no longer missed, and the counters do not tell them apart.
    missing = connection.execute(
        select(func.count())
        .select_from(file)
        .where(file.c.root_id == row.root_id, file.c.retired_ms.is_(None))
        .where(TOMBSTONE)
        .where(ODD)
    ).scalar_one()
    return RootStatus(
        name=row.name,
        path=row.path,
        state=ROOT_STATE.word[row.state],
        state_reason=row.state_reason,
        mode=row.mode,
        mode_reason=row.mode_reason,
        present=living(Outcome.OK),
        missing=missing,
        unreadable=living(Outcome.UNREADABLE),
        undecodable=living(Outcome.UNDECODABLE),
        pending=living(Outcome.PENDING),
        other=living(Outcome.OTHER),
        last_reconcile_ms=row.last_reconcile_ms,
        uncovered_dirs=row.uncovered_dirs,
        held_missing=row.n_held,
        open_drift=cases,
        mass_change=_mass_change(connection, row),
    )


def _mass_change(connection: Connection, row: Row[Any]) -> MassChange | None:
    """The last alarm on changed contents, as long as a case of it is open."""
    if row.mass_change is None:
        return None
    told = json.loads(row.mass_change)
    waiting = connection.execute(
        select(func.count())
        .select_from(drift)
        .where(drift.c.closed_ms.is_(None), drift.c.root_id == row.root_id)
        .where(drift.c.updated_ms >= told["since_ms"], drift.c.updated_ms <= told["until_ms"])
        .where(drift.c.kind.not_in((Kind.MISSING.value, Kind.UNREADABLE.value)))
    ).scalar_one()
    if not waiting:
        return None
    told = {name: told[name] for name in ("event_id", "since_ms", "files", "of", "kinds")}
    return MassChange(**told, open=waiting)


# -------------------------------------------------------------------------------------------------- daemon


def _daemon(connection: Connection, database: str) -> DaemonStatus:
    row = connection.execute(select(daemon).order_by(daemon.c.daemon_id.desc()).limit(1)).first()
    if row is None:
        return DaemonStatus(False, False, None, None, None, None, None, 0, 0)
    said: dict[str, Any] = json.loads(row.status)
    if row.host == socket.gethostname():
        running = holds(database, row.pid, row.host)
    else:
        # Of a daemon in a container or on another machine, only the beat of its heart is heard here.
        running = now_ms() - row.heartbeat_ms < HEARTBEAT_LATE_MS
    return DaemonStatus(
        True,
        running,
        row.pid,
        row.host,
        row.version,
        row.started_ms,
        row.heartbeat_ms,
        int(said.get("rebuilds", 0)),
        int(said.get("overflows", 0)),
    )


# ------------------------------------------------------------------------------------------------- problems


def _problems(found: Status) -> list[str]:
    critical = [
        f"{each.name}: {counted(each.open_drift[Severity.CRITICAL], 'case')} of critical drift open"
        for each in found.roots
        if each.open_drift.get(Severity.CRITICAL)
    ]
    masses = [f"{each.name}: {each.mass_change.words}" for each in found.roots if each.mass_change]
    shares = [
        f"{each.name} is {each.state.value}" + (f": {each.state_reason}" if each.state_reason else "")
        for each in found.roots
        if each.state is not RootState.ONLINE
    ]
    held = [
        f"{each.name}: {counted(each.held_missing, 'absence')} held back until an admin confirms:"
        f" catalog root confirm-missing {quoted(each.name)}"
        for each in found.roots
        if each.held_missing
    ]
    unfinished = [
        f"{each.name}: {_unfinished_words(each)}"
        for each in found.roots
        if each.unfinished not in (None, FIRST_SCAN_RUNS) and each.state is RootState.ONLINE
    ]
    uncovered = [
        f"{each.name}: {counted(each.uncovered_dirs, 'folder')} not watched, only polled"
        for each in found.roots
        if each.uncovered_dirs and each.state is RootState.ONLINE
    ]
    return [*critical, *masses, *shares, *held, *unfinished, *_daemon_problems(found), *uncovered]


def _unfinished_words(each: RootStatus) -> str:
    """What was left undone, and what goes on with it."""
    again = f"go on with: catalog scan {quoted(each.path)}"
    if each.unfinished == "scan interrupted":
        first = "the first scan" if each.last_reconcile_ms is None else "the last scan"
        return f"{first} was interrupted; {again}"
    if each.unfinished == "never scanned to the end":
        return f"never scanned to the end; {again}"
    return f"{each.unfinished}; check their permissions, then {again}"


def _daemon_problems(found: Status) -> list[str]:
    problems = []
    one = found.daemon
    if one.known and not one.running:
        problems.append(f"the daemon (process {one.pid} on {one.host}) died without a word")
    elif one.running and one.heartbeat_ms is not None:
        silent = found.as_of_ms - one.heartbeat_ms
        if silent >= HEARTBEAT_LATE_MS:
            problems.append(f"the daemon (process {one.pid}) has said nothing for {silent // 60_000} minutes")
    if found.backlog_since_ms is not None and found.as_of_ms - found.backlog_since_ms >= BACKLOG_LATE_MS:
        waiting = (found.as_of_ms - found.backlog_since_ms) // 60_000
        problems.append(f"{counted(found.backlog, 'path')} waiting, the oldest for {waiting} minutes")
    return problems
