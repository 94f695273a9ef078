"""From the words of the command line to a scope: which share, which folder, which file."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Final

from sqlalchemy import Connection, select

from catalog.errors import NotFound, UsageError
from catalog.query.globs import Globs
from catalog.query.once import once_at
from catalog.query.scope import LIVING, NAMES_AT_ONCE, TOMBSTONE, Part, Root, Scope, living_roots, registered
from catalog.store.schema import dir_, file
from catalog.terms import joined, printable, quoted


def resolve(
    connection: Connection,
    *,
    paths: Sequence[bytes] = (),
    roots: Sequence[str] = (),
    globs: Sequence[str] = (),
    past: bool = False,
) -> Scope:
    """The scope of a question, from the words of the command line.

    ``past``: a path means the files that were moved away from it, too (``Scope.once``).

    ``paths`` are files and folders as people type them, relative to the working directory; a folder around
    several shares means all of them. Raises NotFound (naming the shares there are) and UsageError.
    """
    every = living_roots(connection)
    asked = [_named(name, every) for name in roots]
    chosen = tuple(each for each in every if not asked or each in asked)
    try:
        patterns = Globs(globs)
    except re.error as error:
        raise UsageError(f"not a glob: {' '.join(globs)} ({error})", hint="try '*.tif'") from error
    scope = Scope(chosen, len(chosen) == len(every), globs=patterns)
    if paths:
        scope = _narrowed(connection, scope, every, paths, past)
    return registered(connection, scope)


def named_files(connection: Connection, paths: Sequence[bytes]) -> frozenset[tuple[int, bytes, bytes]]:
    """(root_id, folder, name) of those paths that are files, living or missing; folders are left out.

    Raises NotFound for a path that is neither.
    """
    return frozenset(_find(connection, living_roots(connection), paths).files)


def located(connection: Connection, typed: bytes) -> list[tuple[Root, bytes, bytes]]:
    """(share, folder, name) of one file's path, the likeliest first. Raises NotFound when it is in no share."""
    every = living_roots(connection)
    found: list[tuple[Root, bytes, bytes]] = []
    for stage in _STAGES:
        inside = _below_a_root(stage(typed), every)
        if inside is not None and (place := (inside[0], *_split(inside[1]))) not in found:
            found.append(place)
    if not found:
        raise NotFound(f"not in any share: {printable(typed)}", hint=_there_are(every))
    return found


def _named(name: str, every: tuple[Root, ...]) -> Root:
    for each in every:
        if each.name == name:
            return each
    raise NotFound(f"no share is named {printable(name)}", hint=_there_are(every))


def _there_are(every: tuple[Root, ...]) -> str:
    if not every:
        return "there are no shares yet; make one with: catalog scan FOLDER"
    shown = [f"{printable(each.name)} ({printable(each.path)})" for each in every[:8]]
    more = [f"{len(every) - 8} more"] if len(every) > 8 else []
    return f"the shares are {joined(shown + more)}" if len(every) > 1 else f"the only share is {shown[0]}"


@dataclass(slots=True)
class _Places:
    trees: set[tuple[int, bytes]] = field(default_factory=set)
    files: set[tuple[int, bytes, bytes]] = field(default_factory=set)
    once: set[tuple[int, int]] = field(default_factory=set)
    """(root_id of the path, file_id): files that were moved away."""


def _narrowed(
    connection: Connection, scope: Scope, every: tuple[Root, ...], paths: Sequence[bytes], past: bool
) -> Scope:
    places = _find(connection, every, paths, past)
    chosen = {each.root_id for each in scope.roots}
    trees = {key for key in places.trees if key[0] in chosen}
    files = {key for key in places.files if key[0] in chosen}
    once = {key for key in places.once if key[0] in chosen}
    if not trees and not files and not once:
        names = joined(printable(each.name) for each in scope.roots)
        raise UsageError(f"none of these paths lies in share {names}", hint="leave out --root, or the paths")
    trees = {key for key in trees if not _inside(key[0], key[1], trees, proper=True)}
    files = {key for key in files if not _inside(key[0], key[1], trees, proper=False)}
    concerned = {key[0] for key in (*trees, *files, *once)}
    kept = tuple(each for each in scope.roots if each.root_id in concerned)
    moved = frozenset(file_id for _, file_id in once)
    return Scope(kept, False, frozenset(trees), frozenset(files), moved, scope.globs)


def _inside(root_id: int, folder: bytes, trees: set[tuple[int, bytes]], *, proper: bool) -> bool:
    if not proper and (root_id, folder) in trees:
        return True
    while folder:
        folder = folder.rpartition(b"/")[0]
        if (root_id, folder) in trees:
            return True
    return False


# ------------------------------------------------------------------------------- from words to places


def _as_typed(typed: bytes) -> bytes | None:
    """Without a look at the disk, which may not answer. ``..`` behind a link means another folder."""
    return None if b".." in typed.split(b"/") else os.path.abspath(typed)


def _without_links(typed: bytes) -> bytes:
    return os.path.realpath(typed)


def _in_its_folder(typed: bytes) -> bytes:
    """The last part may be a link that is catalogued as such."""
    whole = os.path.abspath(typed)
    return os.path.join(os.path.realpath(os.path.dirname(whole)), os.path.basename(whole))


_STAGES: Final[tuple[Callable[[bytes], bytes | None], ...]] = (_as_typed, _without_links, _in_its_folder)


def _find(
    connection: Connection, every: tuple[Root, ...], paths: Sequence[bytes], past: bool = False
) -> _Places:
    """Each path as the record knows it; missing files are not on the disk any more."""
    places = _Places()
    waiting, seen_in = list(dict.fromkeys(paths)), dict[bytes, tuple[Root, bytes]]()
    for stage in _STAGES:
        inside = {typed: found for typed in waiting if (found := _below_a_root(stage(typed), every))}
        seen_in.update(inside)
        recorded = _look_up(connection, inside, places)
        waiting = [typed for typed in waiting if typed not in recorded]
        if not waiting:
            break
    left = _left(connection, seen_in, places) if past else set()
    for typed in waiting:
        if typed not in left:
            _place_unrecorded(typed, seen_in.get(typed), every, places)
    return places


def _left(connection: Connection, seen_in: dict[bytes, tuple[Root, bytes]], places: _Places) -> set[bytes]:
    """Note the files that were moved away from these paths; gives the paths."""
    left = set()
    for typed, (root_, below) in seen_in.items():
        if below and (root_.root_id, below) not in places.trees:
            found = {(root_.root_id, file_id) for file_id in once_at(connection, root_, *_split(below))}
            places.once |= found
            left.update([typed] if found else [])
    return left


def _place_unrecorded(
    typed: bytes, inside: tuple[Root, bytes] | None, every: tuple[Root, ...], places: _Places
) -> None:
    if inside is None:
        around = _around_roots(typed, every)
        if not around:
            raise NotFound(f"not in any share: {printable(typed)}", hint=_there_are(every))
        places.trees.update((each.root_id, b"") for each in around)
    elif os.path.isdir(typed):
        places.trees.add((inside[0].root_id, inside[1]))
    else:
        raise uncatalogued(typed, inside[0])


def _below_a_root(path: bytes | None, every: tuple[Root, ...]) -> tuple[Root, bytes] | None:
    """(share, path below it), b"" for the share itself."""
    for each in every:
        top = each.path.rstrip(b"/")
        if path is not None and (path == each.path or path.startswith(top + b"/")):
            return each, path[len(top) + 1 :]
    return None


def _around_roots(typed: bytes, every: tuple[Root, ...]) -> list[Root]:
    top = os.path.realpath(typed).rstrip(b"/") + b"/"
    return [each for each in every if each.path.startswith(top)]


def _look_up(connection: Connection, inside: dict[bytes, tuple[Root, bytes]], places: _Places) -> set[bytes]:
    """Note the places of recorded files and folders; gives the paths that were found."""
    found = {typed for typed, (_, below) in inside.items() if not below}
    places.trees.update((inside[typed][0].root_id, b"") for typed in found)
    split = [(root_, *_split(below), typed) for typed, (root_, below) in inside.items() if below]
    split.sort(key=lambda item: (item[0].root_id, item[1], item[2]))
    for (root_, folder), items in groupby(split, key=lambda item: (item[0], item[1])):
        listed = list(items)
        recorded = _recorded_names(connection, root_, folder, [item[2] for item in listed])
        for _, _, name, typed in listed:
            below = folder + b"/" + name if folder else name
            if name in recorded:
                places.files.add((root_.root_id, folder, name))
                found.add(typed)
            # A folder may have taken the name of a file that is missing.
            if not recorded.get(name) and recorded_folder(connection, root_, below):
                places.trees.add((root_.root_id, below))
                found.add(typed)
    return found


def uncatalogued(typed: bytes, root_: Root) -> NotFound:
    """What to say of a path inside a share that the catalogue knows nothing of."""
    name = printable(root_.name)
    if os.path.lexists(typed):
        return NotFound(f"not in the catalogue: {printable(typed)}", hint=_why_not(typed, root_))
    return NotFound(
        f"no such file: {printable(typed)}", hint=f"share {name} never had one, as far as the catalogue knows"
    )


def _why_not(typed: bytes, root_: Root) -> str:
    """Why a path that is there is not catalogued, as far as its name and kind tell."""
    name = os.path.basename(os.path.abspath(typed))
    if os.path.islink(typed):
        return "it is a symbolic link: only scan --follow-links catalogues what links lead to"
    if name.startswith(b"."):
        return "hidden files are not catalogued"
    hidden = [
        part for part in os.path.abspath(typed)[len(root_.path) :].split(b"/")[:-1] if part.startswith(b".")
    ]
    if hidden:
        return f"hidden folders are not catalogued: {printable(hidden[0])}"
    if not os.path.isfile(typed):
        return "it is not a regular file"
    return (
        f"it may be new (catalog scan {quoted(root_.path)}), or is left out by its name: see extensions and"
        " exclude in catalog config show"
    )


def _split(below: bytes) -> tuple[bytes, bytes]:
    folder, _, name = below.rpartition(b"/")
    return folder, name


def _recorded_names(
    connection: Connection, root_: Root, folder: bytes, names: list[bytes]
) -> dict[bytes, bool]:
    """The names that files have or had, and whether a living one has it."""
    found: dict[bytes, bool] = {}
    for at in range(0, len(names), NAMES_AT_ONCE):
        part = Part(root_, folder, names=tuple(names[at : at + NAMES_AT_ONCE]))
        # Two questions, since living files and tombstones have an index each.
        for presence, living in ((TOMBSTONE, False), (LIVING, True)):
            statement = select(file.c.name).join(dir_, dir_.c.dir_id == file.c.dir_id)
            statement = statement.where(*part.conditions(), file.c.retired_ms.is_(None)).where(presence)
            found.update((name, living) for name in connection.execute(statement).scalars())
    return found


def recorded_folder(connection: Connection, root_: Root, folder: bytes) -> bool:
    """Whether files are recorded in or below this folder."""
    for part in (Part(root_, folder), Part(root_, folder, below=True)):
        if connection.execute(select(dir_.c.dir_id).where(*part.conditions()).limit(1)).first():
            return True
    return False
