"""``show``: everything that is known of one file, and what happened to it."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, and_, select

from catalog.errors import CatalogError, UsageError
from catalog.query.drift import Case, cases_of_file
from catalog.query.events import Happened, events_of_file
from catalog.query.files import FileFacts, facts_of, newest_epoch
from catalog.query.once import once_at
from catalog.query.resolving import located, recorded_folder, uncatalogued
from catalog.query.scope import LIVING, TOMBSTONE, Part, Root, living_roots
from catalog.store.codes import FIDELITY
from catalog.store.facts import load_analysis
from catalog.store.schema import analysis, content, dir_, epoch, file, raster, revision, toolchain
from catalog.terms import Analysis, Fidelity, Level, iso, iso_ns, path_fields, printable, printed


@dataclass(frozen=True, slots=True)
class Revision:
    """One content state, with the path at which it was seen."""

    rev_id: int
    observed_ms: int
    root: str | None
    """None when the file was seen in a share that was removed since; then ``path`` is relative to it."""
    path: bytes
    size: int
    mtime_ns: int
    sha256: bytes
    pixels: bytes | None
    fidelity: Fidelity | None
    baseline: bool
    current: bool

    def fields(self) -> dict[str, Any]:
        return {
            "revision": self.rev_id,
            "at": iso(self.observed_ms),
            "root": self.root,
            **path_fields(self.path),
            "size": self.size,
            "mtime": iso_ns(self.mtime_ns),
            "raw_sha256": self.sha256.hex(),
            "pixels": printed(Level.PIXELS, self.fidelity or Fidelity.UNDECODABLE, self.pixels),
            "baseline": self.baseline,
            "current": self.current,
        }


@dataclass(frozen=True, slots=True)
class Decoder:
    """What looked at the file: the epoch and the libraries of that day."""

    epoch: str
    components: dict[str, str]
    """Library → version."""
    analysed_ms: int

    def fields(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "components": self.components, "analysed": iso(self.analysed_ms)}


@dataclass(frozen=True, slots=True)
class History:
    """The answer of ``show``."""

    facts: FileFacts
    retired_ms: int | None
    analysis: Analysis | None
    decoder: Decoder | None
    copies: tuple[tuple[bytes, str], ...]
    """(path, relation) of other files that are the same, at most ``COPIES_SHOWN``."""
    revisions: tuple[Revision, ...]
    events: tuple[Happened, ...]
    cases: tuple[Case, ...]


COPIES_SHOWN: Final = 20


@dataclass(frozen=True, slots=True)
class Shown:
    """What was found for a path."""

    histories: tuple[History, ...]
    """The living file, then the tombstones of files that were there before it, the latest first."""
    moved: bool
    """No file is or was recorded there last: these were seen there once, and are elsewhere now."""


def show(connection: Connection, path: bytes) -> Shown:
    """Everything about the file at a path, also when it is missing or was moved away.

    Raises NotFound for a path that never had a file, UsageError for a folder.
    """
    found = located(connection, path)
    parts = [Part(each, folder, names=(name,)) for each, folder, name in found if name]
    ids = next(filter(None, (_ids_at(connection, part) for part in parts)), [])
    moved = not ids
    if moved:
        ids = next(
            filter(None, (once_at(connection, each, folder, name) for each, folder, name in found if name)),
            [],
        )
    if not ids:
        raise _refused(connection, path, parts)
    every = {each.root_id: each for each in living_roots(connection)}
    histories = [_history(connection, file_id, every) for file_id in ids]
    return Shown(tuple(each for each in histories if each is not None), moved)


def _refused(connection: Connection, path: bytes, parts: list[Part]) -> CatalogError:
    """Why there is nothing to show."""
    folders = (
        recorded_folder(
            connection, part.root, part.folder + b"/" + part.names[0] if part.folder else part.names[0]
        )
        for part in parts
    )
    if not parts or any(folders) or os.path.isdir(path):
        return UsageError(f"a folder: {printable(path)}", hint="ask with: catalog query files FOLDER")
    return uncatalogued(path, parts[0].root)


def _ids_at(connection: Connection, part: Part) -> list[int]:
    found: list[int] = []
    for presence in (LIVING, TOMBSTONE):
        statement = select(file.c.file_id).join(dir_, dir_.c.dir_id == file.c.dir_id)
        statement = statement.where(*part.conditions()).where(presence)
        ordered = statement.order_by(file.c.state_since_ms.desc(), file.c.file_id.desc())
        found += connection.execute(ordered).scalars()
    return found


def _history(connection: Connection, file_id: int, roots: dict[int, Root]) -> History | None:
    facts = facts_of(connection, [file_id], roots).get(file_id)
    if facts is None:  # in a share that was removed
        return None
    row = connection.execute(
        select(
            file.c.content_id, file.c.rev_id, file.c.baseline_rev_id, file.c.retired_ms, file.c.root_id
        ).where(file.c.file_id == file_id)
    ).one()
    loaded = load_analysis(connection, row.content_id) if row.content_id is not None else None
    return History(
        facts,
        row.retired_ms,
        loaded[0] if loaded else None,
        _decoder(connection, row.content_id) if loaded else None,
        _copies(connection, file_id, roots),
        _revisions(connection, file_id, row.rev_id, row.baseline_rev_id, roots),
        tuple(events_of_file(connection, file_id)),
        tuple(cases_of_file(connection, file_id, roots[row.root_id])),
    )


def _decoder(connection: Connection, content_id: int) -> Decoder:
    row = connection.execute(
        select(epoch.c.digest, toolchain.c.components, analysis.c.analysed_ms)
        .select_from(analysis)
        .join(epoch, epoch.c.epoch_id == analysis.c.epoch_id)
        .join(toolchain, toolchain.c.toolchain_id == analysis.c.toolchain_id)
        .where(analysis.c.content_id == content_id)
        .order_by(analysis.c.epoch_id.desc())
        .limit(1)
    ).one()
    return Decoder(row.digest.hex(), json.loads(row.components), row.analysed_ms)


def _copies(connection: Connection, file_id: int, roots: dict[int, Root]) -> tuple[tuple[bytes, str], ...]:
    """Other living files of the same bytes, then of the same pixels."""
    own = connection.execute(
        select(file.c.content_id, file.c.pixel_id).where(file.c.file_id == file_id)
    ).one()
    found: dict[int, tuple[bytes, str]] = {}
    for column, value, words in (
        (file.c.content_id, own.content_id, "same bytes"),
        (file.c.pixel_id, own.pixel_id, "same pixels"),
    ):
        if value is None:
            continue
        statement = (
            select(file.c.file_id, file.c.root_id, dir_.c.path, file.c.name)
            .join(dir_, dir_.c.dir_id == file.c.dir_id)
            .where(column == value, file.c.file_id != file_id)
            .where(LIVING)
            .order_by(file.c.file_id)
            .limit(COPIES_SHOWN)
        )
        for other, root_id, folder, name in connection.execute(statement):
            if root_id in roots:
                found.setdefault(other, (roots[root_id].absolute(folder, name), words))
    return tuple(found.values())[:COPIES_SHOWN]


def _revisions(
    connection: Connection, file_id: int, current: int | None, baseline: int | None, roots: dict[int, Root]
) -> tuple[Revision, ...]:
    statement = (
        select(
            revision.c.rev_id,
            revision.c.observed_ms,
            dir_.c.root_id,
            dir_.c.path,
            revision.c.name,
            revision.c.size,
            revision.c.mtime_ns,
            content.c.sha256,
            raster.c.digest,
            analysis.c.fidelity,
        )
        .join(dir_, dir_.c.dir_id == revision.c.dir_id)
        .join(content, content.c.content_id == revision.c.content_id)
        .outerjoin(
            analysis, and_(analysis.c.content_id == content.c.content_id, analysis.c.epoch_id == newest_epoch)
        )
        .outerjoin(raster, raster.c.raster_id == analysis.c.pixel_id)
        .where(revision.c.file_id == file_id)
        .order_by(revision.c.rev_id)
    )
    found = []
    for row in connection.execute(statement):
        at = roots.get(row.root_id)
        below = row.path + b"/" + row.name if row.path else row.name
        found.append(
            Revision(
                row.rev_id,
                row.observed_ms,
                at.name if at else None,
                at.absolute(row.path, row.name) if at else below,
                row.size,
                row.mtime_ns,
                row.sha256,
                row.digest,
                None if row.fidelity is None else FIDELITY.word[row.fidelity],
                row.rev_id == baseline,
                row.rev_id == current,
            )
        )
    return tuple(found)
