"""Which files are the same, which is kept, and what would it free?"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from catalog.query.dupes import Dupes, dupes
from catalog.query.groups import Group
from catalog.query.opening import opened
from catalog.query.resolving import resolve
from catalog.terms import Fidelity, Level, Outcome, Presence, RootState, Tag
from tests.unit.catalogue_rows import NOON_MS, CatalogueRows, Picture, sha256


def ask(
    connection: Connection, *, roots: tuple[str, ...] = (), globs: tuple[str, ...] = (), **more: object
) -> Dupes:
    return dupes(connection, resolve(connection, roots=roots, globs=globs), **more)  # type: ignore[arg-type]


def names(group: Group) -> list[tuple[bytes, str]]:
    return [(member.copy.name, member.relation) for member in group.members]


def test_relations_are_told_against_the_kept_file(rows: CatalogueRows, connection: Connection) -> None:
    root = rows.root("masters", b"/m")
    rows.file(root, b"a.tif", Picture(bytes="1", pixels="p"), allocated=8192)
    rows.file(root, b"copies/a.tif", Picture(bytes="1", pixels="p"))
    rows.file(root, b"a.png", Picture(bytes="2", pixels="p", format="PNG", compression="Deflate"))
    rows.file(root, b"turned.tif", Picture(bytes="3", pixels="q", view="p"))
    rows.file(root, b"other.tif", Picture(bytes="4"))
    (group,) = ask(connection).groups
    assert names(group) == [(b"a.tif", "keep"), (b"a.tif", "same bytes"), (b"a.png", "same pixels")]
    assert group.id == f"pix1:{sha256('1 p').hex()}"
    (seen,) = ask(connection, level=Level.VIEW).groups
    assert names(seen)[-1] == (b"turned.tif", "same on screen")
    (equal,) = ask(connection, level=Level.BYTES).groups
    assert names(equal) == [(b"a.tif", "keep"), (b"a.tif", "same bytes")]
    assert equal.id == sha256("1").hex()


@pytest.mark.parametrize(
    ("better", "worse", "rule"),
    [
        ({"allocated": 8192}, {}, "largest on disk"),
        ({"mtime_ns": 1}, {"mtime_ns": 2}, "oldest"),
        ({"path": b"z.tif"}, {"path": b"aa.tif"}, "shortest path"),
        ({"path": b"a.tif"}, {"path": b"b.tif"}, "first path"),
    ],
)
def test_the_kept_file_is_chosen_by_the_first_rule_that_decides(
    rows: CatalogueRows, connection: Connection, better: dict, worse: dict, rule: str
) -> None:
    root = rows.root("r", b"/r")
    worse, better = {"path": b"d.tif", **worse}, {"path": b"e.tif", **better}
    rows.file(root, worse.pop("path"), Picture(bytes="1"), **worse)
    kept = better.pop("path")
    rows.file(root, kept, Picture(bytes="1"), **better)
    (group,) = ask(connection).groups
    assert (group.members[0].copy.name, group.members[0].keep_reason) == (kept, rule)
    assert [member.keep_reason for member in group.members[1:]] == [None]


def test_the_larger_of_two_files_with_equal_blocks_is_kept(
    rows: CatalogueRows, connection: Connection
) -> None:
    root = rows.root("r", b"/r")
    rows.file(root, b"a.tif", Picture(bytes="1", pixels="p", size=900))
    rows.file(root, b"b.tif", Picture(bytes="2", pixels="p", size=901))
    (group,) = ask(connection).groups
    assert (group.members[0].copy.name, group.members[0].keep_reason) == (b"b.tif", "largest file")
    assert group.redundant_bytes == 900


def test_groups_come_by_reclaimable_bytes_and_then_by_digest(
    rows: CatalogueRows, connection: Connection
) -> None:
    root = rows.root("r", b"/r")
    for key, blocks in (("1", 1), ("2", 3), ("3", 3), ("4", 2)):
        for name in (b"a", b"b"):
            rows.file(root, name + key.encode(), Picture(bytes=key), allocated=blocks * 4096)
    found = list(ask(connection).groups)
    assert [group.reclaimable_bytes for group in found] == [12288, 12288, 8192, 4096]
    assert found[0].id < found[1].id
    assert [group.id for group in ask(connection, limit=3).groups] == [group.id for group in found[:3]]


def test_pages_follow_each_other_without_gap_or_repetition(
    rows: CatalogueRows, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = rows.root("r", b"/r")
    for key in range(11):
        for name in (b"a", b"b"):
            rows.file(root, name + b"%d" % key, Picture(bytes=str(key)), allocated=4096 * (1 + key // 4))
    at_once = [group.id for group in ask(connection).groups]
    monkeypatch.setattr("catalog.query.dupes.PAGE", 3)
    assert [group.id for group in ask(connection).groups] == at_once
    assert len(set(at_once)) == 11


def test_hard_links_are_one_file_and_free_nothing(rows: CatalogueRows, connection: Connection) -> None:
    root = rows.root("r", b"/r")
    for name in (b"a", b"a-link"):
        rows.file(root, name, Picture(bytes="1"), inode=7, nlink=2, allocated=8192)
    for name in (b"b", b"b-link"):
        rows.file(root, name, Picture(bytes="1"), inode=8, nlink=2)
    for name in (b"only", b"only-link"):
        rows.file(root, name, Picture(bytes="2"), inode=9, nlink=2)
    answer = ask(connection)
    (group,) = answer.groups
    assert [(member.copy.name, member.hard_link) for member in group.members] == [
        (b"a", False),
        (b"a-link", True),
        (b"b", False),
        (b"b-link", True),
    ]
    assert [member.copy.name for member in group.redundant] == [b"b", b"b-link"]
    assert group.reclaimable_bytes == 4096
    totals = answer.totals.fields()
    assert totals == {
        "groups": 1,
        "files": 4,
        "redundant_files": 1,
        "redundant_bytes": 1000,
        "reclaimable_bytes": 4096,
    }
    narrow = ask(connection, globs=("*",))
    assert narrow.totals == answer.totals
    assert [each.fields() for each in narrow.groups] == [group.fields()]


def test_links_of_files_without_blocks_are_found_too(rows: CatalogueRows, connection: Connection) -> None:
    root = rows.root("r", b"/r")
    for name in (b"a", b"b"):
        rows.file(root, name, Picture(bytes="1"), inode=7, nlink=2, allocated=0)
    answer = ask(connection)
    assert (answer.totals.groups, list(answer.groups)) == (0, [])


@pytest.mark.parametrize(
    "fidelity", [Fidelity.LOSSY, Fidelity.UNVERIFIED, Fidelity.DAMAGED, Fidelity.UNDECODABLE]
)
def test_an_unsound_digest_is_never_the_same_as_anything(
    rows: CatalogueRows, connection: Connection, fidelity: Fidelity
) -> None:
    root = rows.root("r", b"/r")
    pixels = None if fidelity is Fidelity.UNDECODABLE else "p"
    rows.file(root, b"a", Picture(bytes="1", pixels=pixels, fidelity=fidelity, reason="damaged"))
    rows.file(root, b"b", Picture(bytes="2", pixels=pixels, fidelity=fidelity, reason="damaged"))
    rows.file(root, b"c", Picture(bytes="3", pixels="p"))
    assert list(ask(connection).groups) == []
    assert list(ask(connection, level=Level.VIEW).groups) == []


def test_a_file_that_is_missing_or_not_found_is_no_copy(rows: CatalogueRows, connection: Connection) -> None:
    root = rows.root("r", b"/r")
    rows.file(root, b"a", Picture(bytes="1"))
    rows.file(root, b"b", Picture(bytes="1"), presence=Presence.MISSING)
    rows.file(root, b"c", Picture(bytes="2"))
    rows.file(root, b"d", Picture(bytes="2"), presence=Presence.SUSPECT)
    rows.file(root, b"e", Picture(bytes="3"))
    rows.file(root, b"f", Picture(bytes="3"))
    found = ask(connection)
    assert [names(group) for group in found.groups] == [[(b"e", "keep"), (b"f", "same bytes")]]
    assert (found.totals.groups, found.totals.files) == (1, 2)


def test_a_narrow_question_shows_the_groups_that_it_touches_whole(
    rows: CatalogueRows, connection: Connection
) -> None:
    first, second = rows.root("one", b"/one"), rows.root("two", b"/two")
    rows.file(first, b"a.tif", Picture(bytes="1"))
    rows.file(first, b"x/b.tif", Picture(bytes="1"))
    rows.file(second, b"c.tif", Picture(bytes="1"))
    rows.file(second, b"d.tif", Picture(bytes="2"))
    rows.file(first, b"x/e.tif", Picture(bytes="2"))
    rows.file(second, b"alone.tif", Picture(bytes="3"))

    def found(**scope: object) -> list[list[tuple[bytes, bool]]]:
        answer = dupes(connection, resolve(connection, **scope))  # type: ignore[arg-type]
        groups = list(answer.groups)
        assert answer.totals.groups == len(groups)
        assert answer.totals.files == sum(len(group.members) for group in groups)
        return sorted(
            sorted((member.copy.path, member.in_scope) for member in group.members) for group in groups
        )

    assert found(paths=[b"/one/a.tif"]) == [
        [(b"/one/a.tif", True), (b"/one/x/b.tif", False), (b"/two/c.tif", False)]
    ]
    assert found(paths=[b"/two/alone.tif"]) == []
    assert (
        found(paths=[b"/one/x"])
        == found(globs=["x/*"])
        == [
            [(b"/one/a.tif", False), (b"/one/x/b.tif", True), (b"/two/c.tif", False)],
            [(b"/one/x/e.tif", True), (b"/two/d.tif", False)],
        ]
    )
    assert found(roots=["two"]) == [
        [(b"/one/a.tif", False), (b"/one/x/b.tif", False), (b"/two/c.tif", True)],
        [(b"/one/x/e.tif", False), (b"/two/d.tif", True)],
    ]
    answer = dupes(connection, resolve(connection, paths=[b"/one/x", b"/two/d.tif"]))
    assert (answer.around.files, answer.totals.redundant_files) == (3, 3)


@pytest.mark.parametrize("level", [Level.PIXELS, Level.VIEW])
@pytest.mark.parametrize(
    "fidelity", [Fidelity.LOSSY, Fidelity.UNVERIFIED, Fidelity.DAMAGED, Fidelity.UNDECODABLE]
)
def test_equal_bytes_are_the_same_at_every_level(
    rows: CatalogueRows, connection: Connection, fidelity: Fidelity, level: Level
) -> None:
    one, two = rows.root("one", b"/one"), rows.root("two", b"/two")
    unsound = Picture(bytes="1", pixels=None, fidelity=fidelity, reason="short")
    rows.file(one, b"a", unsound, allocated=8192)
    rows.file(two, b"b", unsound)
    rows.file(one, b"alone", Picture(bytes="2", pixels=None, fidelity=fidelity))
    for name, blocks in ((b"x", 4096), (b"y", 4096), (b"z", 1)):
        rows.file(one, name, Picture(bytes="3"), allocated=blocks)
    rows.file(one, b"v", Picture(bytes="4"), allocated=1)
    rows.file(one, b"w", Picture(bytes="4"), allocated=1)
    answer = ask(connection, level=level)
    groups = list(answer.groups)
    assert [names(group)[0][0] for group in groups] == [b"x", b"a", b"v"]
    assert (groups[1].id, groups[1].level) == (sha256("1").hex(), Level.BYTES)
    assert names(groups[1]) == [(b"a", "keep"), (b"b", "same bytes")]
    assert (answer.totals.groups, answer.totals.files, answer.totals.redundant_files) == (3, 7, 4)
    assert answer.totals.reclaimable_bytes == sum(group.reclaimable_bytes for group in groups)
    assert answer.around.uncompared == 3
    again = ask(connection, level=level, globs=("*",))
    assert (again.totals, [group.fields() for group in again.groups]) == (
        answer.totals,
        [group.fields() for group in groups],
    )
    (narrow,) = dupes(connection, resolve(connection, paths=[b"/two"]), level=level).groups
    assert [(member.copy.path, member.in_scope) for member in narrow.members] == [
        (b"/one/a", False),
        (b"/two/b", True),
    ]
    assert len(list(ask(connection, level=level, limit=2).groups)) == 2


def test_what_does_not_show_in_the_samples_is_told(rows: CatalogueRows, connection: Connection) -> None:
    def tag(code: int, name: str, text: bytes) -> Tag:
        return Tag(code, name, 2, len(text), text)

    root = rows.root("r", b"/r")
    software, artist = tag(305, "Software", b"Gimp\0"), tag(315, "Artist", b"Me\0")
    packed = Tag(259, "Compression", 3, 1, b"\5\0")
    for name, tags in (
        (b"a", (software,)),
        (b"b", (software, packed)),
        (b"c", (software, artist)),
        (b"d", ()),
    ):
        rows.file(root, name, Picture(bytes=name.decode(), pixels="p", tags=tags))
    rows.run_sql(
        "UPDATE analysis SET icc_sha256 = ? WHERE content_id = (SELECT content_id FROM file WHERE name = ?)",
        b"i" * 32,
        b"d",
    )
    for answer in (ask(connection), ask(connection, globs=("*",))):
        (group,) = answer.groups
        assert [(member.copy.name, member.differs) for member in group.members] == [
            (b"a", ()),
            (b"b", ()),
            (b"c", ("tags",)),
            (b"d", ("tags", "colour profile")),
        ]


def test_small_files_do_not_count(rows: CatalogueRows, connection: Connection) -> None:
    root = rows.root("r", b"/r")
    for name in (b"a", b"b"):
        rows.file(root, name, Picture(bytes="1", size=999))
        rows.file(root, name + name, Picture(bytes="2", size=1000))
    (group,) = ask(connection, min_size=1000).groups
    assert [member.copy.name for member in group.members] == [b"aa", b"bb"]


def test_the_summary_counts_what_takes_no_part(rows: CatalogueRows, connection: Connection) -> None:
    online, gone = rows.root("on", b"/on"), rows.root("off", b"/off", state=RootState.OFFLINE)
    rows.file(online, b"a", Picture(bytes="1", pixels=None, fidelity=Fidelity.UNDECODABLE, reason="short"))
    rows.file(gone, b"b", Picture(bytes="2"))
    rows.file(online, b"c", None, outcome=Outcome.UNREADABLE)
    rows.file(online, b"d", Picture(bytes="3"), presence=Presence.MISSING)
    around = ask(connection).around
    assert (around.files, around.undecodable, around.offline_roots) == (3, 1, 1)


def test_files_that_await_the_new_decoders_are_counted_not_compared(
    rows: CatalogueRows, connection: Connection
) -> None:
    root = rows.root("r", b"/r")
    old = Picture(bytes="1", pixels="p", fidelity=Fidelity.DECODER, format="JPEG")
    file_id = rows.file(root, b"old.jpg", old)
    rows.file(root, b"exact.tif", Picture(bytes="3"))
    rows.run_sql("UPDATE file SET pixel_id = NULL, view_id = NULL WHERE file_id = ?", file_id)
    assert ask(connection).around.awaiting == 0
    rows.epoch(b"\x02" * 32)
    rows.file(root, b"new.png", Picture(bytes="2", pixels="p"))
    answer = ask(connection)
    assert (answer.around.awaiting, answer.totals.groups) == (1, 0)
    assert ask(connection, globs=("*.tif",)).around.awaiting == 0
    rows.content(old)
    assert ask(connection).around.awaiting == 0


FILES = st.lists(
    st.tuples(
        st.integers(0, 3),  # content
        st.integers(0, 2),  # pixels
        st.sampled_from([0, 4096, 8192]),
        st.integers(0, 2),  # inode among hard links
        st.sampled_from([1, 3]),
        st.sampled_from(list(Presence)),
    ),
    max_size=12,
)


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(FILES)
def test_counters_and_a_recount_give_the_same_answer(
    tmp_path_factory: pytest.TempPathFactory, listed: list[tuple[int, int, int, int, int, Presence]]
) -> None:
    with CatalogueRows(str(tmp_path_factory.mktemp("db") / "catalog.sqlite3")) as rows:
        root = rows.root("r", b"/r")
        linked: dict[int, tuple[str, int]] = {}
        for number, (key, pixels, blocks, inode, nlink, presence) in enumerate(listed):
            content, allocated = f"{key}{pixels}", blocks
            if nlink > 1:  # names of one inode hold the same bytes on the same blocks
                content, allocated = linked.setdefault(inode, (content, allocated))
            picture = Picture(bytes=content, pixels=content[1])
            rows.file(
                root,
                b"%d" % number,
                picture,
                allocated=allocated,
                inode=inode if nlink > 1 else 50 + number,
                nlink=nlink,
                presence=presence,
                mtime_ns=NOON_MS + number,
            )
        with opened(rows.database) as connection:
            for level in (Level.BYTES, Level.PIXELS, Level.VIEW):
                counted = ask(connection, level=level)
                recounted = ask(connection, level=level, globs=("*",))
                assert counted.totals == recounted.totals
                groups = [group.fields() for group in counted.groups]
                assert groups == [group.fields() for group in recounted.groups]
                assert counted.totals.groups == len(groups)
                assert counted.totals.reclaimable_bytes == sum(g["reclaimable_bytes"] for g in groups)
