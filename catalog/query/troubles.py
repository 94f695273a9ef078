"""``query errors`` and ``query missing``: which files could not be read or decoded, and which are gone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, or_, select

from catalog.query.files import FileFacts, chunks, facts_in_order, facts_of, file_ids, newest_epoch
from catalog.query.good_copies import GoodCopy, good_copies, good_copy_fields
from catalog.query.levels import UNDECODED
from catalog.query.opening import let_go
from catalog.query.scope import LIVING, ODD, Root, Scope
from catalog.store.codes import FIDELITY, OUTCOME
from catalog.store.schema import analysis, content, dir_, file, job
from catalog.terms import Fidelity, Outcome, iso, path_fields

_FAILED = (Outcome.UNREADABLE, Outcome.UNDECODABLE)


@dataclass(frozen=True, slots=True)
class Trouble:
    """A file that could not be inspected, or only in part."""

    root: Root
    folder: bytes
    name: bytes
    state: str
    """``unreadable``, ``undecodable``, ``pending`` (tried, and to be tried again), or of files that were read:
    ``damaged`` (decoded in spite of it) and ``unverified`` (too large to be decoded)."""
    reason: str | None
    since_ms: int

    @property
    def path(self) -> bytes:
        return self.root.absolute(self.folder, self.name)

    def fields(self) -> dict[str, Any]:
        return {
            "root": self.root.name,
            **path_fields(self.path),
            "state": self.state,
            "reason": self.reason,
            "since": iso(self.since_ms),
        }


def errors(connection: Connection, scope: Scope, *, limit: int | None = None) -> Iterator[Trouble]:
    """Files that are there and cannot be read or decoded (also: only with damage, or too large), or whose
    inspection failed and is due again. In the order of shares and paths.
    """
    waiting = _failed_jobs(connection, scope)
    found: list[Trouble] = []
    statement = (
        select(file.c.root_id, dir_.c.path, file.c.name, file.c.outcome, file.c.reason, file.c.state_since_ms)
        .join(dir_, dir_.c.dir_id == file.c.dir_id)
        .where(file.c.root_id.in_([each.root_id for each in scope.roots]), file.c.presence.in_((1, 2)))
        .where(file.c.outcome.in_([OUTCOME.number[outcome] for outcome in (*_FAILED, Outcome.PENDING)]))
        .where(*scope.covered())
        .where(ODD)
        .where(LIVING)
    )
    for root_id, folder, name, outcome, reason, since_ms in connection.execute(statement):
        state = OUTCOME.word[outcome]
        job_of_file = waiting.pop((root_id, folder, name), None)
        if state is Outcome.PENDING and not reason:
            # Waiting for its first look is no failure.
            if job_of_file is not None:
                found.append(job_of_file)
            continue
        found.append(Trouble(scope.by_id[root_id], folder, name, state.value, reason, since_ms))
    found += _half_decoded(connection, scope)
    let_go(connection)
    found += waiting.values()
    order = {each.root_id: number for number, each in enumerate(scope.roots)}
    found.sort(key=lambda trouble: (order[trouble.root.root_id], trouble.folder, trouble.name))
    return iter(found[:limit])


def _half_decoded(connection: Connection, scope: Scope) -> Iterator[Trouble]:
    """Files whose pixels prove nothing because they are damaged, or were not decoded for their size."""
    newest = and_(analysis.c.content_id == content.c.content_id, analysis.c.epoch_id == newest_epoch)
    too_large = and_(
        analysis.c.fidelity == FIDELITY.number[Fidelity.UNVERIFIED], analysis.c.reason.contains(": raise ")
    )
    statement = (
        select(
            file.c.root_id,
            dir_.c.path,
            file.c.name,
            analysis.c.fidelity,
            analysis.c.reason,
            file.c.changed_ms,
        )
        .join(dir_, dir_.c.dir_id == file.c.dir_id)
        .join(content, content.c.content_id == file.c.content_id)
        .join(analysis, newest)
        .where(*UNDECODED, *scope.covered(), file.c.outcome == OUTCOME.number[Outcome.OK])
        .where(or_(analysis.c.fidelity == FIDELITY.number[Fidelity.DAMAGED], too_large))
    )
    for root_id, folder, name, fidelity, reason, since_ms in connection.execute(statement):
        if root_id in scope.by_id:
            word = FIDELITY.word[fidelity].value
            yield Trouble(scope.by_id[root_id], folder, name, word, reason, since_ms)


def _failed_jobs(connection: Connection, scope: Scope) -> dict[tuple[int, bytes, bytes], Trouble]:
    """Paths of the backlog that were tried in vain, whether the catalogue knows a file there or not."""
    statement = select(job.c.root_id, job.c.path, job.c.last_failure, job.c.first_ms).where(
        job.c.attempts > 0, job.c.root_id.in_([each.root_id for each in scope.roots])
    )
    found = {}
    for root_id, path, failure, first_ms in connection.execute(statement):
        folder, _, name = path.rpartition(b"/")
        if scope.covers(root_id, folder, name):
            trouble = Trouble(scope.by_id[root_id], folder, name, "pending", failure, first_ms)
            found[root_id, folder, name] = trouble
    return found


def missing(connection: Connection, scope: Scope, *, limit: int | None = None) -> Iterator[FileFacts]:
    """Files that are proven gone and were not retired, in the order of shares and paths."""
    ids = file_ids(connection, scope, states=("missing",), limit=limit)
    let_go(connection)
    return facts_in_order(connection, ids, scope.by_id)


def missing_rows(
    connection: Connection, scope: Scope, *, limit: int | None = None
) -> Iterator[dict[str, Any]]:
    """The files of ``missing`` as JSON shows them, each with where its picture is to be had now."""
    ids = file_ids(connection, scope, states=("missing",), limit=limit)
    let_go(connection)
    for chunk in chunks(ids):
        found, copies = facts_of(connection, chunk, scope.by_id), good_copies(connection, chunk)
        let_go(connection)
        yield from (
            missing_fields(found[file_id], copies.get(file_id)) for file_id in chunk if file_id in found
        )


def missing_fields(facts: FileFacts, copy: GoodCopy | None) -> dict[str, Any]:
    """The row as JSON shows it (``catalog.missing/1``).

    ``copies`` counts the files that may still be there with the bytes that were seen last, wherever they are;
    ``good_copy`` is that of ``query drift``: one that can be fetched now, and holds what was accepted as good.
    """
    digests = facts.digests()
    return {
        "root": facts.root.name,
        **path_fields(facts.path),
        "state": "missing",
        "reason": facts.reason,
        "since": iso(facts.state_since_ms),
        "size": facts.size,
        "raw_sha256": digests["raw_sha256"],
        "pixels": digests["pixels"],
        "last_changed": iso(facts.changed_ms),
        "verified": iso(facts.verified_ms),
        "copies": facts.copies,
        **good_copy_fields(copy),
    }
