"""Files whose digests are of an older decoder epoch: what no comparison of pixels can tell of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import Connection, and_, exists, func, select

from catalog.query.scope import LIVING, Scope
from catalog.query.standing import Incomplete, Standing
from catalog.store.codes import FIDELITY, PARTING
from catalog.store.schema import analysis, dir_, drift, epoch, file, revision, setting
from catalog.terms import Fidelity, Kind

NOT_COMPARED: Final = "decoded by other decoders, not compared; look at them again with: catalog db rebase"
NOT_JUDGED: Final = "decoded by other decoders before they changed, so nobody can say whether the picture did"
_DECODER: Final = FIDELITY.number[Fidelity.DECODER]


def outdated_files(connection: Connection, scope: Scope) -> dict[int, int]:
    """root_id → files of the scope whose newest analysis is of an older epoch, and means something only in it."""
    epochs = connection.execute(select(epoch.c.epoch_id).order_by(epoch.c.epoch_id.desc()).limit(2)).all()
    # While files leave their groups, and after that was cut short: the next epoch has not begun, and this one is over.
    ended = connection.execute(select(setting.c.name).where(setting.c.name == PARTING)).first() is not None
    if not epochs or (len(epochs) < 2 and not ended):
        return {}
    newer = analysis.alias("newer")
    statement = (
        select(file.c.root_id, func.count())
        .select_from(analysis)
        .join(file, file.c.content_id == analysis.c.content_id)
        .where(
            analysis.c.epoch_id < epochs[0][0] + ended,
            analysis.c.fidelity == _DECODER,
            ~exists()
            .where(newer.c.content_id == analysis.c.content_id, newer.c.epoch_id > analysis.c.epoch_id)
            .correlate(analysis),
            *scope.covered(),
        )
        .where(LIVING)
        .group_by(file.c.root_id)
    )
    if not scope.whole_roots:
        statement = statement.join(dir_, dir_.c.dir_id == file.c.dir_id)
    return {row[0]: row[1] for row in connection.execute(statement)}


def _unjudged_files(connection: Connection, scope: Scope) -> dict[int, int]:
    """root_id → files with an open case that is unproven because each side is of another epoch."""
    before, now = analysis.alias("before"), analysis.alias("now")
    lossy = (before.c.fidelity == _DECODER, now.c.fidelity == _DECODER)
    seen_together = (
        exists()
        .where(analysis.c.content_id == file.c.content_id, analysis.c.epoch_id == before.c.epoch_id)
        .correlate(file, before)
    )
    statement = (
        select(file.c.root_id, func.count(file.c.file_id.distinct()))
        .select_from(drift)
        .join(file, file.c.file_id == drift.c.file_id)
        .join(revision, revision.c.rev_id == drift.c.baseline_rev_id)
        .join(before, and_(before.c.content_id == revision.c.content_id, _newest(before)))
        .join(now, and_(now.c.content_id == file.c.content_id, _newest(now)))
        .where(drift.c.closed_ms.is_(None), drift.c.kind == Kind.UNPROVEN.value)
        .where(before.c.epoch_id != now.c.epoch_id, *lossy, ~seen_together, *scope.covered())
        .group_by(file.c.root_id)
    )
    if not scope.whole_roots:
        statement = statement.join(dir_, dir_.c.dir_id == file.c.dir_id)
    return {row[0]: row[1] for row in connection.execute(statement)}


def _newest(side: Any) -> Any:
    other = analysis.alias()
    return ~exists().where(other.c.content_id == side.c.content_id, other.c.epoch_id > side.c.epoch_id)


def lacking_comparisons(connection: Connection, scope: Scope, standing: Standing) -> Standing:
    """The same standing, with the files that took part in no comparison of pixels."""
    return _with(standing, scope, outdated_files(connection, scope), NOT_COMPARED)


def lacking_judgements(connection: Connection, scope: Scope, standing: Standing) -> Standing:
    """The same standing, with the files whose change nobody could judge."""
    return _with(standing, scope, _unjudged_files(connection, scope), NOT_JUDGED)


def _with(standing: Standing, scope: Scope, files: dict[int, int], reason: str) -> Standing:
    found: Sequence[Incomplete] = [
        Incomplete(scope.by_id[root_id].name, reason, number)
        for root_id, number in sorted(files.items())
        if root_id in scope.by_id
    ]
    return replace(standing, incomplete=(*standing.incomplete, *found)) if found else standing
