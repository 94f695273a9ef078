"""``query tags``: which files carry a tag (with a certain value), and which tags there are at all.

Sets of tags are interned, so a search goes from the value to its sets, to the contents, to the files, each
step by an index. Tags that say where bytes lie in the file are kept in a blob: a search for one of those
reads every file of the scope.
"""

from __future__ import annotations

import fnmatch
import re
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Integer, bindparam, func, or_, select

from catalog.drift.tags import labelled
from catalog.query.files import CHUNK, chunks, file_ids
from catalog.query.opening import let_go
from catalog.query.scope import LIVING, Root, Scope
from catalog.store.codes import IFD_KIND
from catalog.store.facts import TAG_COLUMNS, positional_tags, tag_of
from catalog.store.positional import NAMES as POSITIONAL
from catalog.store.schema import dir_, file, ifd, ifd_tag, tagset_member, tagval
from catalog.store.values import shown_value
from catalog.terms import Ifd, Tag, path_fields


@dataclass(frozen=True, slots=True)
class TagOfFile:
    """One tag of one file."""

    root: Root
    folder: bytes
    name: bytes
    ifd: str
    """The directory in words, as in a comparison of two files: ``page 1``, ``exif`` …"""
    tag: Tag

    @property
    def path(self) -> bytes:
        return self.root.absolute(self.folder, self.name)

    @property
    def shown(self) -> str:
        return shown_value(self.tag)[0]

    def fields(self) -> dict[str, Any]:
        tag = self.tag
        return {
            "root": self.root.name,
            **path_fields(self.path),
            "ifd": self.ifd,
            "code": tag.code,
            "name": tag.name,
            "type": tag.type_name,
            "count": tag.count,
            "value": tag.value,
        }


@dataclass(frozen=True, slots=True)
class TagName:
    """A tag of the scope and how many files carry it."""

    name: str
    code: int
    files: int

    def fields(self) -> dict[str, Any]:
        return {"name": self.name, "code": self.code, "files": self.files}


# ------------------------------------------------------------------------------------------------- search


def files_with_tag(
    connection: Connection, scope: Scope, name: str, value: str | None = None, *, limit: int | None = None
) -> Iterator[TagOfFile]:
    """Files that may still be there and carry the tag, by value and then in the order of their records.

    ``name`` in any case, or the code (``305``, ``0x131``). ``value`` is what a table shows (``72/1``), a
    number, or a glob (``*Photoshop*``). Positional tags come in the order of paths.
    """
    found = _search(connection, scope, _meant(connection, name), value, limit)
    positional = _positional(name)
    if positional:
        found = chain(found, _search_blobs(connection, scope, positional, _matcher(value)))
    return islice(found, limit)


def _code(name: str) -> int | None:
    try:
        return int(name, 0)
    except ValueError:
        return None


def _meant(connection: Connection, name: str) -> list[str]:
    """Recorded names that are meant."""
    code, known = _code(name), all_names(connection)
    if code is not None and name not in known:
        return [each for each, its_code in known.items() if its_code == code]
    return [name] if name in known else [each for each in known if each.lower() == name.lower()]


def all_names(connection: Connection) -> dict[str, int]:
    """Every recorded name but the positional ones, with its code, sorted by name.

    Steps from name to name through the index: there may be millions of values to a name.
    """
    first = select(func.min(tagval.c.name).label("name")).cte("names", recursive=True)
    after = select(func.min(tagval.c.name)).where(tagval.c.name > first.c.name).correlate(first)
    names = first.union_all(select(after.scalar_subquery()).where(first.c.name.is_not(None)))
    code = select(tagval.c.code).where(tagval.c.name == names.c.name).limit(1).correlate(names)
    statement = select(names.c.name, code.scalar_subquery().label("code")).where(names.c.name.is_not(None))
    return {row.name: row.code for row in connection.execute(statement)}


def some_values(connection: Connection, name: str, limit: int = 8) -> list[str]:
    """Some of the values that are recorded of a tag, wherever; none of a positional one. For who asked for another."""
    statement = (
        select(tagval.c.value)
        .where(tagval.c.name.in_(_meant(connection, name)))
        .distinct()
        .order_by(tagval.c.value)
        .limit(limit)
    )
    return list(connection.execute(statement).scalars())


def _positional(name: str) -> frozenset[int]:
    code = _code(name)
    return frozenset(
        number for number, each in POSITIONAL.items() if number == code or each.lower() == name.lower()
    )


def _is_glob(value: str) -> bool:
    return any(character in value for character in "*?[")


def _number(value: str) -> float | None:
    try:
        return float(value)
    except ValueError:
        return None


def _matcher(value: str | None) -> Callable[[Tag], bool]:
    """The same rules as ``_value_conditions``, for tags in hand."""
    if value is None:
        return lambda _: True
    pattern = re.compile(fnmatch.translate(value)) if _is_glob(value) else None
    number = _number(value)

    def matches(tag: Tag) -> bool:
        shown, single = shown_value(tag)
        if shown == value or (number is not None and single == number):
            return True
        return pattern is not None and pattern.match(shown) is not None

    return matches


def _value_conditions(value: str | None) -> list[ColumnElement[bool]]:
    if value is None:
        return []
    one_of: list[ColumnElement[bool]] = [tagval.c.value == value]
    number = _number(value)
    if number is not None:
        one_of.append(tagval.c.num == number)
    if _is_glob(value):
        one_of.append(tagval.c.value.op("GLOB")(value))
    return [or_(*one_of)]


def _search(
    connection: Connection, scope: Scope, names: Sequence[str], value: str | None, limit: int | None
) -> Iterator[TagOfFile]:
    """From values to files: first where each tag stands (three numbers), then what it says."""
    values, files, directories = array("q"), array("q"), array("q")
    for name in names:
        for statement, more in _place_statements(connection, scope, name, value):
            rest = None if limit is None else limit - len(values)
            if rest is not None and rest <= 0:
                break
            for tagval_id, file_id, ifd_no in connection.execute(statement.limit(rest), more):
                values.append(tagval_id)
                files.append(file_id)
                directories.append(ifd_no)
    let_go(connection)
    for at in range(0, len(values), CHUNK):
        page = slice(at, at + CHUNK)
        found = _files(connection, scope, files[page])
        labels = _labels(connection, {row.content_id for row in found.values()})
        tags = _tags(connection, values[page])
        let_go(connection)
        for tagval_id, file_id, ifd_no in zip(values[page], files[page], directories[page], strict=True):
            if file_id in found:
                row = found[file_id]
                label = labels.get((row.content_id, ifd_no), str(ifd_no))
                yield TagOfFile(scope.by_id[row.root_id], row.path, row.name, label, tags[tagval_id])


def _place_statements(
    connection: Connection, scope: Scope, name: str, value: str | None
) -> Iterator[tuple[Any, dict[str, int]]]:
    """Statements for (tagval_id, file_id, ifd_no) with their parameters, in the order of the answer.

    Each follows its indexes from end to end, so that a limit ends the search early.
    """
    named = [tagval.c.name == name, *_value_conditions(value)]
    sets = (
        select(tagval.c.tagval_id, tagset_member.c.tagset_id)
        .join(tagset_member, tagset_member.c.tagval_id == tagval.c.tagval_id)
        .where(*named)
        .order_by(tagval.c.value, tagval.c.tagval_id, tagset_member.c.tagset_id)
    )
    shared = (
        select(bindparam("tagval", type_=Integer), file.c.file_id, ifd.c.ifd_no)
        .select_from(ifd)
        .join(file, file.c.content_id == ifd.c.content_id)
        .order_by(ifd.c.content_id, ifd.c.ifd_no, file.c.file_id)
    )
    in_set = _placed(scope, shared).where(ifd.c.tagset_id == bindparam("tagset"))
    for tagval_id, tagset_id in connection.execute(sets).all():
        yield in_set, {"tagval": tagval_id, "tagset": tagset_id}
    single = (
        select(tagval.c.tagval_id, file.c.file_id, ifd_tag.c.ifd_no)
        .select_from(tagval)
        .join(ifd_tag, ifd_tag.c.tagval_id == tagval.c.tagval_id)
        .join(file, file.c.content_id == ifd_tag.c.content_id)
        .order_by(tagval.c.value, tagval.c.tagval_id)
        .order_by(ifd_tag.c.content_id, ifd_tag.c.ifd_no, file.c.file_id)
    )
    yield _placed(scope, single).where(*named), {}


def _placed(scope: Scope, statement: Any) -> Any:
    joined = statement if scope.whole_roots else statement.join(dir_, dir_.c.dir_id == file.c.dir_id)
    return joined.where(*scope.covered()).where(LIVING)


_FILES: Final = (
    select(file.c.file_id, file.c.root_id, dir_.c.path, file.c.name, file.c.content_id)
    .join(dir_, dir_.c.dir_id == file.c.dir_id)
    .where(file.c.file_id.in_(bindparam("ids", expanding=True)))
)
_IFDS: Final = (
    select(ifd.c.content_id, ifd.c.ifd_no, ifd.c.kind, ifd.c.parent_no, ifd.c.layout)
    .where(ifd.c.content_id.in_(bindparam("ids", expanding=True)))
    .order_by(ifd.c.content_id, ifd.c.ifd_no)
)
_TAGVALS: Final = select(tagval.c.tagval_id, *TAG_COLUMNS).where(
    tagval.c.tagval_id.in_(bindparam("ids", expanding=True))
)


def _files(connection: Connection, scope: Scope, ids: Sequence[int]) -> dict[int, Any]:
    rows = connection.execute(_FILES, {"ids": list(set(ids))})
    return {row.file_id: row for row in rows if row.root_id in scope.by_id}


def _tags(connection: Connection, ids: Sequence[int]) -> dict[int, Tag]:
    return {row[0]: tag_of(row[1:]) for row in connection.execute(_TAGVALS, {"ids": list(set(ids))})}


def _labels(connection: Connection, contents: set[int]) -> dict[tuple[int, int], str]:
    """(content, number of the directory) → its name in words."""
    directories: dict[int, list[Ifd]] = defaultdict(list)
    for row in connection.execute(_IFDS, {"ids": list(contents)}):
        directories[row.content_id].append(Ifd(row.ifd_no, IFD_KIND.word[row.kind], row.parent_no, ()))
    return {
        (content_id, each.index): label
        for content_id, ifds in directories.items()
        for label, each in labelled(ifds)
    }


def _search_blobs(
    connection: Connection, scope: Scope, codes: frozenset[int], matches: Callable[[Tag], bool]
) -> Iterator[TagOfFile]:
    living = ("present", "pending", "suspect", "offline", "unreadable", "undecodable", "other")
    for chunk in chunks(file_ids(connection, scope, states=living)):
        found = _files(connection, scope, chunk)
        contents = {row.content_id for row in found.values() if row.content_id is not None}
        labels = _labels(connection, contents)
        tags: dict[int, list[tuple[int, Tag]]] = defaultdict(list)
        for row in connection.execute(_IFDS, {"ids": list(contents)}):
            tags[row.content_id] += [(row.ifd_no, tag) for tag in positional_tags(row.layout)]
        let_go(connection)
        for file_id in chunk:
            if file_id not in found:
                continue
            place = found[file_id]
            for ifd_no, tag in tags.get(place.content_id, ()):
                if tag.code in codes and matches(tag):
                    label = labels[place.content_id, ifd_no]
                    yield TagOfFile(scope.by_id[place.root_id], place.path, place.name, label, tag)


# -------------------------------------------------------------------------------------------------- names


def tag_names(connection: Connection, scope: Scope) -> list[TagName]:
    """Every tag of the scope's living files with the number of files that carry it, by name.

    Reads the directories of every content: seconds for a million files.
    """
    counts: Counter[tuple[str, int]] = Counter()
    sets: dict[int, frozenset[tuple[str, int]]] = {}
    highest = connection.execute(select(func.max(ifd.c.content_id))).scalar() or 0
    for start in range(1, highest + 1, _CONTENTS):
        bounds = {"low": start, "high": start + _CONTENTS}
        names: dict[int, set[tuple[str, int]]] = defaultdict(set)
        for content_id, tagset_id, blob in connection.execute(_SETS, bounds):
            if tagset_id not in sets:
                sets[tagset_id] = _names_of_set(connection, tagset_id)
            names[content_id] |= sets[tagset_id]
            names[content_id].update((tag.name, tag.code) for tag in positional_tags(blob))
        for content_id, name, code in connection.execute(_SINGLES, bounds):
            names[content_id].add((name, code))
        for content_id, files in connection.execute(_holders(scope), bounds):
            for key in names.get(content_id, ()):
                counts[key] += files
        let_go(connection)
    return [TagName(name, code, files) for (name, code), files in sorted(counts.items())]


def _names_of_set(connection: Connection, tagset_id: int) -> frozenset[tuple[str, int]]:
    rows = connection.execute(_MEMBERS, {"tagset": tagset_id})
    return frozenset((name, code) for name, code in rows)


_CONTENTS: Final = 10_000
"""Contents that are counted in one short transaction."""


def _between(column: ColumnElement[int]) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return column >= bindparam("low"), column < bindparam("high")


_SETS: Final = select(ifd.c.content_id, ifd.c.tagset_id, ifd.c.layout).where(*_between(ifd.c.content_id))
_SINGLES: Final = (
    select(ifd_tag.c.content_id, tagval.c.name, tagval.c.code)
    .join(tagval, tagval.c.tagval_id == ifd_tag.c.tagval_id)
    .where(*_between(ifd_tag.c.content_id))
)
_MEMBERS: Final = (
    select(tagval.c.name, tagval.c.code)
    .join(tagset_member, tagset_member.c.tagval_id == tagval.c.tagval_id)
    .where(tagset_member.c.tagset_id == bindparam("tagset"))
)


def _holders(scope: Scope) -> Any:
    """(content_id, files of the scope that hold it)."""
    statement = select(file.c.content_id, func.count()).where(*_between(file.c.content_id), *scope.covered())
    if not scope.whole_roots:
        statement = statement.join(dir_, dir_.c.dir_id == file.c.dir_id)
    return statement.where(LIVING).group_by(file.c.content_id)
