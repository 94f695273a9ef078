"""What a question is about: shares, files and folders, globs.

A narrow scope is asked in two ways. Where the folders lead (``Part.conditions``) it is a range of the index
on ``dir``; where something else leads (drift, odd files, groups) ``Scope.covered`` filters what is found.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import groupby
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, func, select, text

from catalog.query.globs import Globs
from catalog.query.opening import driver
from catalog.store.codes import ROOT_STATE
from catalog.store.schema import dir_, file, root
from catalog.terms import RootState

RETIRED: Final = ROOT_STATE.number[RootState.RETIRED]

# SQLite takes a partial index only when its condition stands in the statement word for word.
LIVING: Final = text("file.presence <> 3")
"""May still be there."""
SEEN: Final = text("file.presence = 1")
"""Beside LIVING: what nobody has seen lately must not pass for a copy that could be kept."""
TOMBSTONE: Final = text("file.presence = 3")
ODD: Final = text("(file.presence <> 1 OR file.outcome IN (0, 2, 3))")
"""Everything that is not simply present and read."""

NAMES_AT_ONCE: Final = 500
"""Names of one folder in one statement."""


@dataclass(frozen=True, slots=True)
class Root:
    """A share, as far as every question needs it."""

    root_id: int
    name: str
    path: bytes
    state: RootState
    last_reconcile_ms: int | None

    def absolute(self, folder: bytes, name: bytes) -> bytes:
        """The whole path of a file, given its folder below the share and its name."""
        below = folder + b"/" + name if folder else name
        return self.path.rstrip(b"/") + b"/" + below


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a share that is one range of the index: all of it, one folder, what lies below a folder,
    or some names of one folder. The order of parts is the order of their paths."""

    root: Root
    folder: bytes | None = None
    """None: the whole share."""
    below: bool = False
    """The folders below ``folder``, without itself."""
    names: tuple[bytes, ...] = ()

    @property
    def whole(self) -> bool:
        return self.folder is None

    def conditions(self) -> list[ColumnElement[bool]]:
        """For statements that join ``dir`` and ``file``."""
        found: list[ColumnElement[bool]] = [dir_.c.root_id == self.root.root_id]
        if self.folder is not None and self.below:
            # "0" is the byte after "/": everything that begins with "folder/"
            found += [dir_.c.path >= self.folder + b"/", dir_.c.path < self.folder + b"0"]
        elif self.folder is not None:
            found.append(dir_.c.path == self.folder)
        if self.names:
            found.append(file.c.name.in_(self.names))
        return found


@dataclass(frozen=True)
class Scope:
    """What a question is about: all of ``roots``, or the places of them in ``trees`` and ``files``."""

    roots: tuple[Root, ...]
    every_root: bool
    """No share was left out."""
    trees: frozenset[tuple[int, bytes]] | None = None
    """(root_id, folder): everything in and below it. None: all of the roots."""
    files: frozenset[tuple[int, bytes, bytes]] = field(default_factory=frozenset)
    """(root_id, folder, name)."""
    once: frozenset[int] = field(default_factory=frozenset)
    """Files (file_id) that left one of the named paths by a move; only questions of the past mean them."""
    globs: Globs = field(default_factory=lambda: Globs(()))
    number: int = 0
    """Among the scopes of its connection, for the SQL function ``in_scope``."""

    @property
    def whole_roots(self) -> bool:
        """Whether the scope is made of complete shares."""
        return self.trees is None and not self.globs

    @property
    def everything(self) -> bool:
        return self.whole_roots and self.every_root

    @cached_property
    def by_id(self) -> dict[int, Root]:
        return {each.root_id: each for each in self.roots}

    def parts(self) -> Iterator[Part]:
        """Ranges without overlap, share by share (by name), in the order of paths."""
        if self.trees is None:
            yield from (Part(each) for each in self.roots)
            return
        for each in self.roots:
            folders = sorted(folder for root_id, folder in self.trees if root_id == each.root_id)
            pieces = [Part(each) if not folder else Part(each, folder) for folder in folders]
            pieces += [Part(each, folder, below=True) for folder in folders if folder]
            loose = sorted(key[1:] for key in self.files if key[0] == each.root_id)
            for folder, keys in groupby(loose, key=lambda key: key[0]):
                names = [name for _, name in keys]
                pieces += [
                    Part(each, folder, names=tuple(names[at : at + NAMES_AT_ONCE]))
                    for at in range(0, len(names), NAMES_AT_ONCE)
                ]
            yield from sorted(pieces, key=lambda part: ((part.folder or b"") + b"/" * part.below, part.names))

    def covers(self, root_id: int, folder: bytes, name: bytes) -> bool:
        """Whether a file of one of the roots is meant."""
        if self.globs and not self.globs.match(folder, name):
            return False
        if self.trees is None or (root_id, folder, name) in self.files:
            return True
        while folder:
            if (root_id, folder) in self.trees:
                return True
            folder = folder.rpartition(b"/")[0]
        return (root_id, b"") in self.trees

    def covered(self, root_id: Any = file.c.root_id) -> list[ColumnElement[bool]]:
        """Conditions for statements that join ``file`` and ``dir``, whatever leads them."""
        found: list[ColumnElement[bool]] = []
        if not self.every_root:
            found.append(root_id.in_([each.root_id for each in self.roots]))
        if not self.whole_roots:
            found.append(self._in_scope())
        return found

    def globbed(self) -> list[ColumnElement[bool]]:
        """What is left to ask where ``Part.conditions`` stand already."""
        return [self._in_scope()] if self.globs else []

    def _in_scope(self) -> ColumnElement[bool]:
        return func.in_scope(self.number, file.c.root_id, dir_.c.path, file.c.name) == 1


def living_roots(connection: Connection) -> tuple[Root, ...]:
    """All shares that were not removed, by name."""
    rows = connection.execute(
        select(root.c.root_id, root.c.name, root.c.path, root.c.state, root.c.last_reconcile_ms)
        .where(root.c.state != RETIRED)
        .order_by(root.c.name)
    )
    return tuple(
        Root(row.root_id, row.name, row.path, ROOT_STATE.word[row.state], row.last_reconcile_ms)
        for row in rows
    )


def registered(connection: Connection, scope: Scope) -> Scope:
    """The scope with its number; SQL asks it through the function ``in_scope``."""
    scopes: list[Scope] = connection.info.setdefault("scopes", [])
    if not scopes:
        driver(connection).create_function(
            "in_scope", 4, lambda number, *place: scopes[number].covers(*place), deterministic=True
        )
    scopes.append(replace(scope, number=len(scopes)))
    return scopes[-1]
