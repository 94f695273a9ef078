"""Where the picture that a file had is still to be had: asked now, never remembered.

A copy may be moved, changed or deleted at any time after a case was recorded, so nothing of this is stored.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, and_, bindparam, func, or_, select, text

from catalog.query.scope import Root
from catalog.store.codes import FIDELITY, OUTCOME, ROOT_STATE
from catalog.store.schema import analysis, dir_, epoch, file, revision, root
from catalog.terms import Fidelity, Outcome, RootState, path_fields

SAME_BYTES: Final = "same bytes"
SAME_PIXELS: Final = "same pixels"


@dataclass(frozen=True, slots=True)
class GoodCopy:
    """Another file that was there when its share was last looked at, and holds what the baseline held."""

    path: bytes
    """Absolute."""
    relation: str
    """``same bytes`` or ``same pixels``."""


def good_copy_fields(copy: GoodCopy | None) -> dict[str, str | None]:
    """``good_copy`` (absolute, or null) and ``good_copy_relation``, as JSON shows them."""
    if copy is None:
        return {"good_copy": None, "good_copy_relation": None}
    return {**path_fields(copy.path, "good_copy"), "good_copy_relation": copy.relation}


_lost = file.alias("lost")
_copy = file.alias("copy")
_old = analysis.alias("old")
_new = analysis.alias("new")
_EXACT: Final = FIDELITY.number[Fidelity.EXACT]
_DECODER: Final = FIDELITY.number[Fidelity.DECODER]
_NEWEST: Final = select(func.max(epoch.c.epoch_id)).scalar_subquery()


def _seen(*outcomes: Outcome) -> list[Any]:
    """Conditions of a file that can be fetched: seen lately, readable, on a share that is there."""
    online = select(root.c.root_id).where(root.c.state == ROOT_STATE.number[RootState.ONLINE])
    # Another name of the very file that changed changed with it, whenever it is looked at.
    same_body = and_(
        _copy.c.root_id == _lost.c.root_id,
        _copy.c.inode == _lost.c.inode,
        _copy.c.nlink > 1,
        _lost.c.presence == 1,
    )
    return [
        text("copy.presence <> 3"),  # word for word: the condition of the partial indexes
        text("copy.presence = 1"),
        _copy.c.outcome.in_([OUTCOME.number[outcome] for outcome in outcomes]),
        _copy.c.file_id != _lost.c.file_id,
        _copy.c.root_id.in_(online),
        ~same_body,
    ]


def _sound(side: Any) -> Any:
    """An old epoch's digest of a lossy codec is comparable to nothing (docs/pixel-checksum.md)."""
    return or_(side.c.fidelity == _EXACT, and_(side.c.fidelity == _DECODER, side.c.epoch_id == _NEWEST))


def _wanted(of: Any) -> Any:
    """(baseline's content, lost file) for each of ``files``; ``of`` is what is looked for."""
    return (
        select(_lost.c.file_id, of)
        .join(revision, revision.c.rev_id == _lost.c.baseline_rev_id)
        .where(_lost.c.file_id.in_(bindparam("files", expanding=True)))
    )


_BY_BYTES: Final = _wanted(
    select(_copy.c.file_id)
    .where(
        _copy.c.content_id == revision.c.content_id, *_seen(Outcome.OK, Outcome.UNDECODABLE, Outcome.OTHER)
    )
    .order_by(_copy.c.file_id)
    .limit(1)
    .correlate(_lost, revision)
    .scalar_subquery()
    .label("copy_id")
)
_BY_PIXELS: Final = _wanted(
    select(_copy.c.file_id)
    .select_from(_old)
    .join(_copy, _copy.c.pixel_id == _old.c.pixel_id)
    .join(_new, and_(_new.c.content_id == _copy.c.content_id, _new.c.pixel_id == _old.c.pixel_id))
    .where(_old.c.content_id == revision.c.content_id, _sound(_old), _sound(_new), *_seen(Outcome.OK))
    .order_by(_copy.c.allocated.desc(), _copy.c.size.desc(), _copy.c.file_id.desc())
    .limit(1)
    .correlate(_lost, revision)
    .scalar_subquery()
    .label("copy_id")
)
_PLACES: Final = (
    select(
        file.c.file_id,
        root.c.root_id,
        root.c.name,
        root.c.path,
        dir_.c.path.label("folder"),
        file.c.name.label("file_name"),
    )
    .join(dir_, dir_.c.dir_id == file.c.dir_id)
    .join(root, root.c.root_id == file.c.root_id)
    .where(file.c.file_id.in_(bindparam("files", expanding=True)))
)


def good_copies(connection: Connection, files: Iterable[int]) -> dict[int, GoodCopy]:
    """file_id → a living file with the bytes of that file's baseline, or else provably with its pixels.

    Files that have none are left out. At most ``files.CHUNK`` at once. Several candidates: always the same one.
    """
    wanted = list(files)
    found: dict[int, tuple[int, str]] = {}
    for statement, relation in ((_BY_BYTES, SAME_BYTES), (_BY_PIXELS, SAME_PIXELS)):
        left = [file_id for file_id in wanted if file_id not in found]
        if left:
            rows = connection.execute(statement, {"files": left})
            found.update((row.file_id, (row.copy_id, relation)) for row in rows if row.copy_id is not None)
    if not found:
        return {}
    copies = {copy_id for copy_id, _ in found.values()}
    places = {
        row.file_id: Root(row.root_id, row.name, row.path, RootState.ONLINE, None).absolute(
            row.folder, row.file_name
        )
        for row in connection.execute(_PLACES, {"files": list(copies)})
    }
    return {
        file_id: GoodCopy(places[copy_id], relation)
        for file_id, (copy_id, relation) in found.items()
        if copy_id in places
    }
