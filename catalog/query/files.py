"""The files of the catalogue: which they are, in the order of their paths, and what is known of each."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    bindparam,
    exists,
    func,
    literal_column,
    select,
    union_all,
)

from catalog.query.opening import let_go
from catalog.query.scope import LIVING, ODD, TOMBSTONE, Part, Root, Scope
from catalog.store.codes import FIDELITY, OUTCOME, PRESENCE
from catalog.store.schema import analysis, content, dir_, file, file_check, raster, revision
from catalog.terms import (
    Fidelity,
    Level,
    Outcome,
    Presence,
    RootState,
    iso,
    iso_ns,
    path_fields,
    printed,
)

STATES: Final = (
    "pending",
    "present",
    "suspect",
    "missing",
    "offline",
    "unreadable",
    "undecodable",
    "other",
)
"""The closed list of ``state``."""
CHUNK: Final = 500
"""Files whose details are read in one statement and one short transaction."""

_PRESENCE: Final = PRESENCE.number
_OUTCOME: Final = OUTCOME.number


@dataclass(frozen=True, slots=True)
class FileFacts:
    """One file as a listing shows it. Times: ``_ns`` file system, ``_ms`` catalogue."""

    file_id: int
    root: Root
    folder: bytes
    name: bytes
    presence: Presence
    outcome: Outcome
    reason: str | None
    size: int
    mtime_ns: int
    sha256: bytes | None
    md5: bytes | None
    payload: bytes | None
    pixels: bytes | None
    view: bytes | None
    fidelity: Fidelity | None
    format: str | None
    width: int | None
    height: int | None
    first_seen_ms: int
    changed_ms: int
    state_since_ms: int
    verified_ms: int | None
    copies: int
    """Files that may still be there and hold the same bytes, this one among them."""

    @property
    def path(self) -> bytes:
        return self.root.absolute(self.folder, self.name)

    @property
    def state(self) -> str:
        """One word for presence, share and outcome; the same rule as the view ``v_file``."""
        return state_word(self.presence, self.root.state, self.outcome)

    def digests(self) -> dict[str, str | None]:
        """``raw_sha256 payload pixels view`` as people read them."""
        fidelity = self.fidelity or Fidelity.UNDECODABLE
        return {
            "raw_sha256": self.sha256.hex() if self.sha256 else None,
            "payload": printed(Level.PAYLOAD, fidelity, self.payload),
            "pixels": printed(Level.PIXELS, fidelity, self.pixels),
            "view": printed(Level.VIEW, fidelity, self.view),
        }

    def fields(self) -> dict[str, Any]:
        """The row as JSON shows it (``catalog.files/1``)."""
        digests = self.digests()
        known = self.sha256 is not None
        return {
            "root": self.root.name,
            **path_fields(self.path),
            "state": self.state,
            "size": self.size if known else None,
            "mtime": iso_ns(self.mtime_ns) if known else None,
            "raw_sha256": digests.pop("raw_sha256"),
            "raw_md5": self.md5.hex() if self.md5 else None,
            **digests,
            "fidelity": self.fidelity.value if self.fidelity else None,
            "format": self.format,
            "width": self.width,
            "height": self.height,
            "first_seen": iso(self.first_seen_ms),
            "last_changed": iso(self.changed_ms),
            "verified": iso(self.verified_ms),
        }


def state_word(presence: Presence, root: RootState, outcome: Outcome) -> str:
    """``missing`` before ``offline`` before ``suspect`` before what the last inspection came to."""
    if presence is Presence.MISSING:
        return "missing"
    if root is not RootState.ONLINE:
        return "offline"
    if presence is Presence.SUSPECT:
        return "suspect"
    return "present" if outcome is Outcome.OK else outcome.value


# ------------------------------------------------------------------------------------------------ details

newest_epoch = (
    select(func.max(analysis.c.epoch_id))
    .where(analysis.c.content_id == content.c.content_id)
    .correlate(content)
    .scalar_subquery()
)
"""The epoch of a content's newest analysis."""
_pixels = raster.alias("pixels")
_view = raster.alias("view")

_DETAILS: Final = (
    select(
        file.c.file_id,
        file.c.root_id,
        dir_.c.path.label("folder"),
        file.c.name,
        file.c.presence,
        file.c.outcome,
        file.c.reason,
        file.c.size,
        file.c.mtime_ns,
        content.c.sha256,
        content.c.md5,
        analysis.c.payload,
        _pixels.c.digest.label("pixels"),
        _view.c.digest.label("view"),
        analysis.c.fidelity,
        analysis.c.format,
        analysis.c.width,
        analysis.c.height,
        file.c.first_seen_ms,
        file.c.changed_ms,
        file.c.state_since_ms,
        func.coalesce(file_check.c.verified_ms, revision.c.observed_ms).label("verified_ms"),
        func.coalesce(content.c.n_files, 0).label("copies"),
    )
    .join(dir_, dir_.c.dir_id == file.c.dir_id)
    .outerjoin(content, content.c.content_id == file.c.content_id)
    .outerjoin(
        analysis, and_(analysis.c.content_id == content.c.content_id, analysis.c.epoch_id == newest_epoch)
    )
    .outerjoin(_pixels, _pixels.c.raster_id == analysis.c.pixel_id)
    .outerjoin(_view, _view.c.raster_id == analysis.c.view_id)
    .outerjoin(revision, revision.c.rev_id == file.c.rev_id)
    .outerjoin(file_check, file_check.c.file_id == file.c.file_id)
    .where(file.c.file_id.in_(bindparam("ids", expanding=True)))
)


def _facts(row: Sequence[Any], roots: dict[int, Root]) -> FileFacts:
    values = list(row)
    values[1] = roots[values[1]]
    values[4] = PRESENCE.word[values[4]]
    values[5] = OUTCOME.word[values[5]]
    values[14] = None if values[14] is None else FIDELITY.word[values[14]]
    return FileFacts(*values)


def facts_of(connection: Connection, ids: Sequence[int], roots: dict[int, Root]) -> dict[int, FileFacts]:
    """Facts by file_id, at most ``CHUNK`` files at once."""
    rows = connection.execute(_DETAILS, {"ids": list(ids)}).all()
    # A file may have moved to a share that nobody asked about since its id was read.
    return {row[0]: _facts(row, roots) for row in rows if row[1] in roots}


def chunks(ids: Iterable[int]) -> Iterator[list[int]]:
    """Lists of at most ``CHUNK`` ids."""
    listed = iter(ids)
    while chunk := list(islice(listed, CHUNK)):
        yield chunk


def facts_in_order(connection: Connection, ids: Iterable[int], roots: dict[int, Root]) -> Iterator[FileFacts]:
    """Facts of files in the given order; a short transaction for each chunk."""
    for chunk in chunks(ids):
        found = facts_of(connection, chunk, roots)
        let_go(connection)
        yield from (found[file_id] for file_id in chunk if file_id in found)


# ----------------------------------------------------------------------------------------------- questions


def files(
    connection: Connection,
    scope: Scope,
    *,
    states: Sequence[str] = (),
    formats: Sequence[str] = (),
    limit: int | None = None,
) -> Iterator[FileFacts]:
    """Files in the order of shares (by name), folders and names, as bytes.

    ``states`` (see ``STATES``; empty: all) and ``formats`` (``tiff``, any case) narrow them. What was
    retired by ``accept`` or with its share is no file of the catalogue any more.
    """
    ids = file_ids(connection, scope, states=states, formats=formats, limit=limit)
    let_go(connection)
    return facts_in_order(connection, ids, scope.by_id)


def file_ids(
    connection: Connection,
    scope: Scope,
    *,
    states: Sequence[str] = (),
    formats: Sequence[str] = (),
    limit: int | None = None,
) -> array[int]:
    """The files of ``files``: eight bytes for each, so that a whole catalogue fits."""
    found = array("q")
    for part in scope.parts():
        possible = _possible(part.root, states)
        rest = None if limit is None else limit - len(found)
        if rest is not None and rest <= 0:
            break
        if not possible:
            continue
        statement = _ids_of(part, scope, possible, formats).limit(rest)
        found.extend(row[2] for row in connection.execute(statement))
    return found


def _possible(root: Root, states: Sequence[str]) -> set[str]:
    """Which of these states files of the share can have."""
    wanted = set(states or STATES)
    return wanted - {"offline"} if root.state is RootState.ONLINE else wanted & {"offline", "missing"}


def _ids_of(part: Part, scope: Scope, states: set[str], formats: Sequence[str]) -> Any:
    """(folder, name, file_id) of one part, sorted; the two halves follow an index each and are merged."""
    halves = []
    common = [*part.conditions(), *scope.globbed(), file.c.retired_ms.is_(None), *_of_formats(formats)]
    columns = select(dir_.c.path, file.c.name, file.c.file_id).join(file, file.c.dir_id == dir_.c.dir_id)
    columns = columns.where(*common)
    living = states - {"missing"}
    if "missing" in states:
        tombstones = columns.where(TOMBSTONE)
        if part.whole and not living and not scope.globs:
            # Alone, the few are gathered and sorted; beside the living ones they come sorted by their index.
            tombstones = tombstones.where(file.c.root_id == part.root.root_id).where(ODD)
        halves.append(tombstones)
    if living == {"offline"} or len(living) == len(STATES) - 2:
        halves.append(columns.where(LIVING))
    elif living:
        halves.append(_living_of(columns, part, living))
    if len(halves) == 1:
        return halves[0].order_by(dir_.c.path, file.c.name, file.c.file_id)
    return union_all(*halves).order_by(*(literal_column(name) for name in ("path", "name", "file_id")))


def _living_of(statement: Any, part: Part, states: set[str]) -> Any:
    """Files of an online share in certain states; the rare states have an index of their own."""
    one_of: list[ColumnElement[bool]] = []
    if "suspect" in states:
        one_of.append(file.c.presence == _PRESENCE[Presence.SUSPECT])
    outcomes = [
        number
        for outcome, number in _OUTCOME.items()
        if ("present" if outcome is Outcome.OK else outcome.value) in states
    ]
    if outcomes:
        present = file.c.presence == _PRESENCE[Presence.PRESENT]
        one_of.append(and_(present, file.c.outcome.in_(outcomes)))
    condition = one_of[0] if len(one_of) == 1 else one_of[0] | one_of[1]
    if states & {"present", "other"}:
        return statement.where(condition).where(LIVING)
    return statement.where(condition, file.c.root_id == part.root.root_id).where(ODD)


def _of_formats(formats: Sequence[str]) -> list[ColumnElement[bool]]:
    if not formats:
        return []
    kinds = [name.upper() for name in formats]
    one = analysis.c.content_id == file.c.content_id
    return [exists().where(one, func.upper(analysis.c.format).in_(kinds)).correlate(file)]
