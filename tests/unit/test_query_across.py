"""Which pictures lie in two places that must not share any, train and test of a data set?"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from catalog.errors import UsageError
from catalog.query.across import places
from catalog.query.dupes import Dupes, dupes
from catalog.query.resolving import resolve
from catalog.terms import Fidelity, Level, Presence
from tests.unit.catalogue_rows import CatalogueRows, Picture


def across(
    connection: Connection,
    *paths: bytes,
    roots: tuple[str, ...] = (),
    globs: tuple[str, ...] = (),
    **more: Any,
) -> Dupes:
    apart = places(connection, paths=paths, roots=roots, globs=globs)
    scope = resolve(connection, paths=paths, roots=roots, globs=globs)
    return dupes(connection, scope, across=apart, **more)


def groups(answer: Dupes) -> list[list[bytes]]:
    return [
        sorted(member.copy.folder + b"/" + member.copy.name for member in group.members)
        for group in answer.groups
    ]


def shared(answer: Dupes) -> dict[bytes, tuple[int, int]]:
    return {each.name: (each.shared, each.files) for each in answer.across}


@pytest.fixture
def splits(rows: CatalogueRows) -> CatalogueRows:
    """Two pictures of train stand in test, too: one as it is, one stored anew; two others only in train."""
    root = rows.root("set", b"/set")
    rows.file(root, b"train/1.tif", Picture(bytes="1", pixels="p"))
    rows.file(root, b"test/1.tif", Picture(bytes="1", pixels="p"))
    rows.file(root, b"train/2.tif", Picture(bytes="2", pixels="q"))
    rows.file(root, b"test/deep/2.png", Picture(bytes="2b", pixels="q"))
    rows.file(root, b"train/3.tif", Picture(bytes="3", pixels="r"))
    rows.file(root, b"train/3 again.tif", Picture(bytes="3", pixels="r"))
    rows.file(root, b"test/4.tif", Picture(bytes="4", pixels="s"))
    rows.file(root, b"elsewhere/4.tif", Picture(bytes="4", pixels="s"))
    return rows


def test_only_what_lies_in_both_places_is_told(splits: CatalogueRows, connection: Connection) -> None:
    answer = across(connection, b"/set/train", b"/set/test")
    assert sorted(groups(answer)) == [
        [b"test/1.tif", b"train/1.tif"],
        [b"test/deep/2.png", b"train/2.tif"],
    ]
    assert shared(answer) == {b"/set/train": (2, 4), b"/set/test": (2, 3)}
    assert (answer.totals.groups, answer.totals.files) == (2, 4)


def test_level_bytes_sees_copies_only(splits: CatalogueRows, connection: Connection) -> None:
    answer = across(connection, b"/set/train", b"/set/test", level=Level.BYTES)
    assert groups(answer) == [[b"test/1.tif", b"train/1.tif"]]


def test_two_of_three_places_are_enough(splits: CatalogueRows, connection: Connection) -> None:
    answer = across(connection, b"/set/train", b"/set/test", b"/set/elsewhere")
    assert answer.totals.groups == 3
    assert shared(answer) == {b"/set/train": (2, 4), b"/set/test": (3, 3), b"/set/elsewhere": (1, 1)}
    assert len(list(across(connection, b"/set/train", b"/set/test", b"/set/elsewhere", limit=2).groups)) == 2


def test_a_hard_link_between_the_places_counts(rows: CatalogueRows, connection: Connection) -> None:
    root = rows.root("set", b"/set")
    for path in (b"train/1.tif", b"test/1.tif"):
        rows.file(root, path, Picture(bytes="1", pixels="p"), inode=7, nlink=2)
    answer = across(connection, b"/set/train", b"/set/test")
    assert groups(answer) == [[b"test/1.tif", b"train/1.tif"]]
    assert (answer.totals.groups, answer.totals.reclaimable_bytes) == (1, 0)


def test_files_that_do_not_decode_are_held_against_each_other_by_their_bytes(
    rows: CatalogueRows, connection: Connection
) -> None:
    root = rows.root("set", b"/set")
    broken = Picture(bytes="1", pixels=None, fidelity=Fidelity.UNDECODABLE, reason="short")
    for path in (b"train/1.tif", b"test/1.tif"):
        rows.file(root, path, broken)
    answer = across(connection, b"/set/train", b"/set/test")
    assert [group.level for group in answer.groups] == [Level.BYTES]
    assert shared(answer) == {b"/set/train": (1, 1), b"/set/test": (1, 1)}


def test_what_is_missing_is_shared_with_nobody(rows: CatalogueRows, connection: Connection) -> None:
    root = rows.root("set", b"/set")
    rows.file(root, b"train/1.tif", Picture(bytes="1", pixels="p"))
    rows.file(root, b"train/1b.tif", Picture(bytes="1", pixels="p"))
    rows.file(root, b"test/1.tif", Picture(bytes="1", pixels="p"), presence=Presence.MISSING, reason="gone")
    assert across(connection, b"/set/train", b"/set/test").totals.groups == 0


def test_shares_are_places_too_and_globs_narrow_them(rows: CatalogueRows, connection: Connection) -> None:
    for name in ("one", "two"):
        root = rows.root(name, b"/" + name.encode())
        rows.file(root, b"a.tif", Picture(bytes="1", pixels="p"))
        rows.file(root, b"b.png", Picture(bytes="2", pixels="q"))
    assert across(connection, roots=("one", "two")).totals.groups == 2
    assert groups(across(connection, roots=("one", "two"), globs=("*.png",))) == [[b"/b.png", b"/b.png"]]


@pytest.mark.parametrize(
    ("named", "complaint"),
    [
        ([b"/set"], "holds places against each other"),
        ([], "holds places against each other"),
        ([b"/set/train", b"/set/train"], "have files in common"),
        ([b"/set", b"/set/test"], "have files in common"),
        ([b"/set/test", b"/set/test/deep"], "have files in common"),
        ([b"/set/test/4.tif", b"/set/test"], "have files in common"),
    ],
)
def test_places_are_two_that_lie_apart(
    splits: CatalogueRows, connection: Connection, named: list[bytes], complaint: str
) -> None:
    with pytest.raises(UsageError, match=complaint):
        across(connection, *named)


def test_test_files_of_the_seed_data_set_that_are_in_its_training_set(
    catalog_cli: Any, corpus: Path, tmp_path: Path
) -> None:
    """What the question finds in real data: 15 of 27 test files, as copies of other names."""
    import csv

    with open(corpus / "shaggy" / "metadata.csv", newline="") as stream:
        for row in csv.DictReader(stream):
            folder = tmp_path / row["split"]
            folder.mkdir(exist_ok=True)
            os.symlink(corpus / "shaggy" / row["file_name"], folder / Path(row["file_name"]).name)
    assert catalog_cli("scan", tmp_path, "--follow-links").code == 0
    ran = catalog_cli("query", "dupes", "train", "test", "--across", "--check", "--json", cwd=tmp_path)
    assert ran.code == 1, ran.stderr
    assert ran.json["across"] == [
        {"place": "train", "files": 81, "shared": 15},
        {"place": "test", "files": 27, "shared": 15},
    ]
    assert ran.json["totals"]["groups"] == 15
    words = catalog_cli("query", "dupes", "train", "test", "--across", cwd=tmp_path).stderr
    assert "-- test: 15 of 27 files are in another of these places, too" in words
