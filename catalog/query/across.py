"""Groups that lie in two or more places at once: a picture of the test set that is in the training set, too.

Unlike duplicates that take room, names of one file on disk count here: a hard link from train to test is a leak.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from sqlalchemy import Connection

from catalog.errors import UsageError
from catalog.query.levels import GroupLevel
from catalog.query.narrowed import Found, found_by, keys_in
from catalog.query.resolving import resolve
from catalog.query.scope import Root, Scope
from catalog.query.standing import living_files
from catalog.terms import path_fields, printable


@dataclass(frozen=True, slots=True)
class Place:
    """One of the places that are held against each other: a folder, a file or a share, as it was named."""

    name: bytes
    scope: Scope


@dataclass(frozen=True, slots=True)
class Shared:
    """How much of a place is in another one, too."""

    name: bytes
    files: int
    """Files of the place that may still be there."""
    shared: int
    """Those of them that are the same as a file of another place."""

    def fields(self) -> dict[str, Any]:
        return {**path_fields(self.name, "place"), "files": self.files, "shared": self.shared}


def places(
    connection: Connection, *, paths: Sequence[bytes], roots: Sequence[str], globs: Sequence[str]
) -> tuple[Place, ...]:
    """Each of the paths, or without any each of the shares. Raises UsageError for fewer than two, or two of which
    one lies in the other, and what ``resolve`` may raise."""
    if paths:
        found = [Place(path, resolve(connection, paths=[path], roots=roots, globs=globs)) for path in paths]
    else:
        found = [Place(name.encode(), resolve(connection, roots=[name], globs=globs)) for name in roots]
    if len(found) < 2:
        raise UsageError(
            "--across holds places against each other",
            hint="name two: catalog query dupes train test --across",
        )
    for one, other in combinations(found, 2):
        if _meet(one.scope, other.scope) or _meet(other.scope, one.scope):
            raise UsageError(
                f"{printable(one.name)} and {printable(other.name)} have files in common",
                hint="name places that lie apart",
            )
    return tuple(found)


def found_across(
    connection: Connection,
    among: Sequence[Place],
    kind: GroupLevel,
    min_size: int,
    roots: Mapping[int, Root],
) -> tuple[list[Found], list[int]]:
    """Groups with files in at least two of the places, in the order of the answer; and how many files of each
    place are in them."""
    inside = [Counter(keys_in(connection, place.scope, kind, min_size)) for place in among]
    holding = Counter(key for keys in inside for key in keys)
    spanning = sorted(key for key, number in holding.items() if number > 1)
    shared = [sum(keys[key] for key in spanning) for keys in inside]
    return found_by(connection, kind, spanning, min_size, roots), shared


def shares_of(connection: Connection, among: Sequence[Place], shared: Iterable[int]) -> tuple[Shared, ...]:
    return tuple(
        Shared(
            place.name, sum(living_files(connection, place.scope, each) for each in place.scope.roots), number
        )
        for place, number in zip(among, shared, strict=True)
    )


def _meet(one: Scope, other: Scope) -> bool:
    """Whether a tree or a file of one lies in the other; the other way round is another question."""
    tops = {(each.root_id, b"") for each in other.roots} if other.trees is None else other.trees
    trees = {(each.root_id, b"") for each in one.roots} if one.trees is None else one.trees
    if one.files & other.files:
        return True
    return any(_inside(root_id, folder, tops) for root_id, folder in trees) or any(
        _inside(root_id, folder, tops) for root_id, folder, _ in one.files
    )


def _inside(root_id: int, folder: bytes, tops: Iterable[tuple[int, bytes]]) -> bool:
    return any(
        root_id == each and (not top or folder == top or folder.startswith(top + b"/")) for each, top in tops
    )
