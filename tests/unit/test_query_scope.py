"""What a question is about: shares, files and folders as people type them, globs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection

from catalog.errors import NoCatalogue, NotFound, SchemaMismatch, UsageError
from catalog.query.files import files
from catalog.query.globs import Globs
from catalog.query.opening import let_go, opened
from catalog.query.resolving import resolve
from catalog.query.scope import Root, Scope
from catalog.terms import Presence, RootState
from tests.unit.catalogue_rows import CatalogueRows, Picture

HOSTILE = [b"a\nb.tif", b"\xff.tif", b" lead.tif", b"*star.tif", b"pct%0A.tif", b"x" * 255, "é.tif".encode()]


def paths(connection: Connection, scope: Scope) -> list[bytes]:
    return [each.path for each in files(connection, scope)]


def fill(rows: CatalogueRows) -> tuple[int, int]:
    one, two = rows.root("one", b"/data/one"), rows.root("two", b"/data/two")
    for path in (b"a.tif", b"x/b.tif", b"x/y/c.tif", b"x-y/d.tif", b"x0/e.tif"):
        rows.file(one, path, Picture(bytes=path.hex()))
    rows.file(two, b"x/f.png", Picture(bytes="f", format="PNG"))
    return one, two


def test_without_words_everything_is_meant_in_the_order_of_paths(
    rows: CatalogueRows, connection: Connection
) -> None:
    fill(rows)
    scope = resolve(connection)
    assert scope.everything
    assert paths(connection, scope) == [
        b"/data/one/a.tif",
        b"/data/one/x/b.tif",
        b"/data/one/x-y/d.tif",
        b"/data/one/x/y/c.tif",
        b"/data/one/x0/e.tif",
        b"/data/two/x/f.png",
    ]


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ([b"/data/one/x"], [b"x/b.tif", b"x/y/c.tif"]),
        ([b"/data/one/x/"], [b"x/b.tif", b"x/y/c.tif"]),
        ([b"/data/one/x/y", b"/data/one/x"], [b"x/b.tif", b"x/y/c.tif"]),
        ([b"/data/one/x0", b"/data/one/x-y", b"/data/one/a.tif"], [b"a.tif", b"x-y/d.tif", b"x0/e.tif"]),
        ([b"/data/one/x/b.tif", b"/data/one/x/b.tif"], [b"x/b.tif"]),
        ([b"/data/one/x/../a.tif"], [b"a.tif"]),
        ([b"/data/one"], [b"a.tif", b"x/b.tif", b"x-y/d.tif", b"x/y/c.tif", b"x0/e.tif"]),
    ],
)
def test_files_and_folders_narrow_without_overlap(
    rows: CatalogueRows, connection: Connection, typed: list[bytes], found: list[bytes]
) -> None:
    fill(rows)
    assert paths(connection, resolve(connection, paths=typed)) == [b"/data/one/" + path for path in found]


def test_a_folder_around_shares_means_all_of_them(rows: CatalogueRows, connection: Connection) -> None:
    fill(rows)
    rows.root("far", b"/far")
    scope = resolve(connection, paths=[b"/data"])
    assert [each.name for each in scope.roots] == ["one", "two"]
    assert len(paths(connection, scope)) == 6


def test_relative_paths_and_links_are_resolved_from_the_working_directory(
    rows: CatalogueRows, connection: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    share = tmp_path / "share"
    (share / "in").mkdir(parents=True)
    (tmp_path / "link").symlink_to(share)
    rows.file(rows.root("s", os.fsencode(share)), b"in/a.tif", Picture(bytes="1"))
    monkeypatch.chdir(share / "in")
    for typed in (b".", b"a.tif", b"../in", os.fsencode(tmp_path / "link/in/a.tif"), b"../../link"):
        assert paths(connection, resolve(connection, paths=[typed])) == [os.fsencode(share / "in/a.tif")]


def test_a_catalogued_link_is_found_by_its_own_name(
    rows: CatalogueRows, connection: Connection, tmp_path: Path
) -> None:
    share = tmp_path / "share"
    share.mkdir()
    (tmp_path / "elsewhere.tif").touch()
    (share / "link.tif").symlink_to(tmp_path / "elsewhere.tif")
    rows.file(rows.root("s", os.fsencode(share)), b"link.tif", Picture(bytes="1"))
    scope = resolve(connection, paths=[os.fsencode(share / "link.tif")])
    assert paths(connection, scope) == [os.fsencode(share / "link.tif")]


def test_a_path_in_no_share_is_not_found_and_the_shares_are_named(
    rows: CatalogueRows, connection: Connection
) -> None:
    with pytest.raises(NotFound, match="there are no shares yet"):
        resolve(connection, paths=[b"/nowhere"])
    let_go(connection)
    fill(rows)
    with pytest.raises(NotFound) as caught:
        resolve(connection, paths=[b"/nowhere/\xff\n"])
    assert str(caught.value) == (
        "not in any share: /nowhere/\\xff\\n; the shares are one (/data/one) and two (/data/two)"
    )


def test_a_path_that_the_catalogue_never_saw_is_not_found(
    rows: CatalogueRows, connection: Connection, tmp_path: Path
) -> None:
    share = tmp_path / "share"
    (share / "empty").mkdir(parents=True)
    (share / "new.tif").touch()
    rows.root("s", os.fsencode(share))
    with pytest.raises(NotFound, match="no such file"):
        resolve(connection, paths=[os.fsencode(share / "never.tif")])
    with pytest.raises(NotFound, match=r"not in the catalogue.*it may be new"):
        resolve(connection, paths=[os.fsencode(share / "new.tif")])
    assert paths(connection, resolve(connection, paths=[os.fsencode(share / "empty")])) == []


def test_a_missing_file_and_its_vanished_folder_can_be_named(
    rows: CatalogueRows, connection: Connection
) -> None:
    root = rows.root("s", b"/gone")
    rows.file(root, b"old/a.tif", Picture(bytes="1"), presence=Presence.MISSING)
    for typed in (b"/gone/old/a.tif", b"/gone/old"):
        assert paths(connection, resolve(connection, paths=[typed])) == [b"/gone/old/a.tif"]


def test_a_folder_that_took_the_name_of_a_missing_file(rows: CatalogueRows, connection: Connection) -> None:
    root = rows.root("s", b"/s")
    rows.file(root, b"x", Picture(bytes="1"), presence=Presence.MISSING)
    rows.file(root, b"x/a.tif", Picture(bytes="2"))
    assert paths(connection, resolve(connection, paths=[b"/s/x"])) == [b"/s/x", b"/s/x/a.tif"]


def test_a_recorded_path_is_found_without_a_look_at_a_share_that_may_hang(
    rows: CatalogueRows, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows.file(rows.root("s", b"/s", state=RootState.HUNG), b"x/a.tif", Picture(bytes="1"))

    def hang(*_: object) -> bool:
        raise AssertionError("this look would never come back")

    for name in ("realpath", "isdir", "lexists"):
        monkeypatch.setattr(os.path, name, hang)
    for typed in (b"/s", b"/s/x", b"/s/x/a.tif"):
        assert paths(connection, resolve(connection, paths=[typed])) == [b"/s/x/a.tif"]


def test_a_link_inside_a_share_is_followed_when_it_is_not_catalogued_itself(
    rows: CatalogueRows, connection: Connection, tmp_path: Path
) -> None:
    share = tmp_path / "share"
    (share / "real").mkdir(parents=True)
    (share / "alias").symlink_to("real")
    rows.file(rows.root("s", os.fsencode(share)), b"real/a.tif", Picture(bytes="1"))
    scope = resolve(connection, paths=[os.fsencode(share / "alias")])
    assert paths(connection, scope) == [os.fsencode(share / "real/a.tif")]


def test_shares_by_name(rows: CatalogueRows, connection: Connection) -> None:
    fill(rows)
    rows.root("old", b"/old", state=RootState.RETIRED)
    scope = resolve(connection, roots=["two"])
    assert (paths(connection, scope), scope.everything) == ([b"/data/two/x/f.png"], False)
    assert resolve(connection, roots=["two", "one"]).everything
    with pytest.raises(NotFound, match=r"no share is named old; the shares are one .* and two"):
        resolve(connection, roots=["old"])
    with pytest.raises(UsageError, match="none of these paths lies in share two"):
        resolve(connection, roots=["two"], paths=[b"/data/one/a.tif"])


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_found_by_path_and_by_glob(
    rows: CatalogueRows, connection: Connection, name: bytes
) -> None:
    root = rows.root("s", b"/s\xff")
    rows.file(root, b"d\xfe/" + name, Picture(bytes="1"))
    rows.file(root, b"plain.tif", Picture(bytes="2"))
    whole = b"/s\xff/d\xfe/" + name
    assert paths(connection, resolve(connection, paths=[whole])) == [whole]
    escaped = "".join(f"[{c}]" if c in "*?[" else c for c in os.fsdecode(name))
    assert paths(connection, resolve(connection, globs=[escaped])) == [whole]
    assert paths(connection, resolve(connection, globs=["d?/*"])) == [whole]


def test_two_scopes_on_one_connection_do_not_mix(rows: CatalogueRows, connection: Connection) -> None:
    fill(rows)
    png, tif = resolve(connection, globs=["*.png"]), resolve(connection, globs=["*.tif"])
    assert len(paths(connection, png)) == 1
    assert len(paths(connection, tif)) == 5


def test_a_backward_range_is_a_usage_error(rows: CatalogueRows, connection: Connection) -> None:
    with pytest.raises(UsageError, match="not a glob"):
        resolve(connection, globs=["[z-a]"])


@pytest.mark.parametrize(
    ("globs", "path", "meant"),
    [
        (["*.tif"], b"a/b.tif", True),
        (["*.tif"], b"a.TIF", False),
        (["a/*.tif"], b"a/b.tif", True),
        (["a/*.tif"], b"a/c/b.tif", False),
        (["a/**"], b"a/c/b.tif", True),
        (["**/c/*"], b"a/c/b.tif", True),
        (["**/c/*"], b"c/b.tif", True),
        (["/b.tif"], b"b.tif", True),
        (["/b.tif"], b"a/b.tif", False),
        (["[!a]*"], b"b", True),
        (["[!a]*"], b"a", False),
        (["?.tif"], b"\xff.tif", True),
        (["*"], b"a\nb", True),
        (["!*.png"], b"a.tif", True),
        (["!*.png"], b"a.png", False),
        (["a*", "!*.png"], b"a.png", False),
        (["*.png", "*.tif"], b"a.tif", True),
        (["a.tif"], b"aXtif", False),
        (["["], b"[", True),
    ],
)
def test_globs(globs: list[str], path: bytes, meant: bool) -> None:
    folder, _, name = path.rpartition(b"/")
    assert Globs(globs).match(folder, name) is meant


NAME = st.binary(min_size=1, max_size=3).filter(lambda name: not {0, 47} & set(name))
PLACE = st.lists(NAME, min_size=1, max_size=3).map(b"/".join)


@given(st.sets(PLACE, max_size=4), PLACE, NAME)
def test_the_range_of_the_index_and_the_filter_mean_the_same(
    folders: set[bytes], folder: bytes, name: bytes
) -> None:
    root = Root(1, "r", b"/r", RootState.ONLINE, 0)
    outermost = {one for one in folders if not any(one.startswith(two + b"/") for two in folders)}
    scope = Scope((root,), False, frozenset((1, one) for one in outermost))
    hits = 0
    for part in scope.parts():
        assert part.folder is not None
        low, high = (part.folder + b"/", part.folder + b"0") if part.below else (part.folder, None)
        hits += folder == low if high is None else low <= folder < high
    assert hits == int(scope.covers(1, folder, name))


def test_there_is_no_catalogue_yet(tmp_path: Path) -> None:
    with pytest.raises(NoCatalogue), opened(str(tmp_path / "none.sqlite3")):
        pass


@pytest.mark.parametrize("number", [0, 99])
def test_another_schema_is_refused(rows: CatalogueRows, number: int) -> None:
    rows.run_sql(f"PRAGMA user_version={number}")
    with pytest.raises(SchemaMismatch), opened(rows.database):
        pass


def test_a_question_sees_one_state_until_it_lets_go(rows: CatalogueRows, connection: Connection) -> None:
    root = rows.root("s", b"/s")
    count = "SELECT count(*) FROM file"
    assert connection.exec_driver_sql(count).scalar() == 0
    rows.file(root, b"a", Picture(bytes="1"))
    assert connection.exec_driver_sql(count).scalar() == 0
    let_go(connection)
    assert connection.exec_driver_sql(count).scalar() == 1
