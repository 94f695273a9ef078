"""Contents, rasters, pages and tags are stored once, come back whole, and survive what files claim."""

from __future__ import annotations

import dataclasses

import pytest

from catalog.record import Recorded
from catalog.store.facts import load_analysis
from catalog.terms import (
    Analysis,
    Fidelity,
    Ifd,
    IfdKind,
    ImageFacts,
    Loaders,
    Outcome,
    Page,
    PageRole,
    Tag,
)
from tests.recordings import BASIC, NEW_TOOLCHAIN, Shelf, analysis, digest, saved, stat

U64 = (1 << 64) - 1


def stored(shelf: Shelf, content: str) -> Analysis:
    """What the record holds of a content, read back."""
    shelf.recorder.commit()
    content_id = shelf.one("SELECT content_id FROM content WHERE sha256 = ?", digest(content))
    found = load_analysis(shelf.recorder.batch.connection, content_id)
    shelf.recorder.batch.connection.rollback()
    assert found is not None
    return found[0]


def known(shelf: Shelf, *contents: str, loaders: bool = False) -> list[bool]:
    digests = [digest(content) for content in contents]
    found = shelf.recorder.known(digests, loaders=loaders)
    return [each in found for each in digests]


# ------------------------------------------------------------------------------------------- contents


def test_copies_share_one_content_and_one_analysis(shelf: Shelf) -> None:
    for number in range(5):
        shelf.see(b"%d.tif" % number, "a", at=stat(inode=number))
    assert shelf.ask("SELECT n_files, n_bytes, reclaimable FROM content") == [
        {"n_files": 5, "n_bytes": 5000, "reclaimable": 4 * 4096}
    ]
    assert shelf.one("SELECT count(*) FROM analysis") == 1


def test_known_contents_need_no_decoding_and_unknown_ones_do(shelf: Shelf) -> None:
    assert known(shelf, "a", "b") == [False, False]
    shelf.see(b"a.tif", "a", commit=False)
    assert known(shelf, "a", "b") == [True, False]
    shelf.recorder.commit()
    assert known(shelf, "a", "b") == [True, False]
    shelf.close()
    shelf.open()
    assert known(shelf, "b", "a") == [False, True]
    shelf.close()
    shelf.open(NEW_TOOLCHAIN)
    assert known(shelf, "a") == [False]


def test_a_file_that_was_not_decoded_and_is_unknown_is_refused_whole(shelf: Shelf) -> None:
    with pytest.raises(LookupError):
        shelf.recorder.record(shelf.look(b"a.tif", "a"), None)
    shelf.recorder.commit()
    assert shelf.one("SELECT count(*) FROM content") == 0
    assert shelf.see(b"a.tif", "a") is Recorded.ADDED


def test_twins_of_one_batch_are_one_content(shelf: Shelf) -> None:
    recorder = shelf.recorder
    assert known(shelf, "a", "b") == [False, False]
    recorder.record(shelf.look(b"1.tif", "a", saw=analysis("a"), at=stat(inode=1)), None)
    recorder.record(shelf.look(b"2.tif", "a", at=stat(inode=2)), None)
    recorder.record(shelf.look(b"3.tif", "a", saw=analysis("a"), at=stat(inode=3)), None)
    recorder.record(shelf.look(b"1.txt", "b", decode=False, at=stat(inode=4)), None)
    recorder.record(shelf.look(b"2.txt", "b", decode=False, at=stat(inode=5)), None)
    recorder.commit()
    rows = shelf.ask("SELECT n_files FROM content ORDER BY content_id")
    assert rows == [{"n_files": 3}, {"n_files": 2}]
    assert shelf.events().count("decoder") == 0


@pytest.mark.parametrize("commit", [False, True])
def test_a_content_without_an_image_name_is_decoded_under_one(shelf: Shelf, commit: bool) -> None:
    shelf.see(b"a.dat", "a", decode=False, commit=commit)
    assert known(shelf, "a") == [False]
    shelf.see(b"a.tif", "a", at=stat(inode=2), commit=commit)
    shelf.see(b"b.dat", "a", at=stat(inode=3), decode=False)
    rows = shelf.ask("SELECT relative_path, state, pixels IS NULL AS bare FROM v_file ORDER BY 1")
    assert [row["state"] for row in rows] == ["other", "present", "other"]
    assert shelf.ask("SELECT n_files FROM content") == [{"n_files": 3}]
    assert shelf.ask("SELECT n_files FROM raster") == [{"n_files": 1}, {"n_files": 1}]
    assert shelf.row(b"a.dat").outcome is Outcome.OTHER


def test_caches_are_trimmed_between_transactions_only(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("catalog.record.facts._CACHE_LIMIT", 3)
    monkeypatch.setattr("catalog.record.tagsets._CACHE_LIMIT", 3)
    monkeypatch.setattr("catalog.record.files._FOLDERS_LIMIT", 3)
    for turn in range(2):
        for number in range(20):
            tags = (*BASIC, Tag(305, "Software", 2, 3, b"%02d\0" % number))
            path = b"%d/%d/%d.tif" % (number % 5, turn, number)
            shelf.see(
                path, f"{number}", saw=analysis(f"{number}", tags=tags), at=stat(inode=number), commit=False
            )
        shelf.recorder.commit()
    counts = {
        name: shelf.one(f"SELECT count(*) FROM {name}") for name in ("content", "raster", "tagset", "layout")
    }
    assert counts == {"content": 20, "raster": 40, "tagset": 20, "layout": 1}
    assert shelf.one("SELECT count(*) FROM file") == 40


# -------------------------------------------------------------------------------------------- rasters


def test_equal_pixels_are_one_raster_and_unsound_ones_are_nobodys_twin(shelf: Shelf) -> None:
    shelf.see(b"a.tif", "1", saw=analysis("p"), at=stat(inode=1))
    shelf.see(b"b.png", "2", saw=analysis("p"), at=stat(inode=2))
    shelf.see(b"c.jpg", "3", saw=analysis("p", fidelity=Fidelity.DECODER), at=stat(inode=3))
    for number, fidelity in enumerate((Fidelity.LOSSY, Fidelity.UNVERIFIED, Fidelity.DAMAGED)):
        shelf.see(
            b"%d.tif" % number, f"4{number}", saw=analysis("p", fidelity=fidelity), at=stat(inode=4 + number)
        )
    rows = shelf.ask("SELECT class, n_files FROM raster WHERE level = 1 ORDER BY class")
    assert rows == [
        {"class": 1, "n_files": 3},
        {"class": 3, "n_files": 0},
        {"class": 4, "n_files": 0},
        {"class": 5, "n_files": 0},
    ]
    assert stored(shelf, "40").pixels == digest("pixels p")
    assert {row["path"] for row in shelf.ask("SELECT path FROM v_dupe_pixels")} == {
        "/share/a.tif",
        "/share/b.png",
        "/share/c.jpg",
    }


def test_pages_are_kept_with_their_roles(shelf: Shelf) -> None:
    one = analysis("a").pages[0]
    pages = (
        one,
        dataclasses.replace(one, index=1, pixels=None, view=None),
        Page(2, PageRole.THUMBNAIL, 9, 8, "gray", "u8", 1, b"t" * 32, b"u" * 32),
    )
    image = dataclasses.replace(analysis("a").image or ImageFacts("", 0, 0, 0, "", "", 0, 1), frames=2)
    many = dataclasses.replace(analysis("a"), pages=pages, image=image)
    shelf.see(b"a.tif", "a", saw=many)
    assert stored(shelf, "a").pages == pages
    assert shelf.one("SELECT count(*) FROM page") == 3


# ------------------------------------------------------------------------------------- looks that follow

LOADERS = Loaders(b"c" * 16, None, b"s" * 16, (("pillow_tobytes_md5", "cannot write mode F"),))


def test_loader_checksums_that_are_asked_for_later_are_added(shelf: Shelf) -> None:
    shelf.see(b"a.tif", "a")
    assert known(shelf, "a", loaders=True) == [False]
    shelf.see(b"a.tif", "a", saw=analysis("a", loaders=LOADERS))
    assert known(shelf, "a", loaders=True) == [True]
    assert stored(shelf, "a") == analysis("a", loaders=LOADERS)
    assert shelf.one("SELECT count(*) FROM analysis") == 1
    assert shelf.events() == ["root-added", "added"]


def test_a_later_look_without_loaders_keeps_their_checksums(shelf: Shelf) -> None:
    shelf.see(b"a.tif", "a", saw=analysis("a", loaders=LOADERS), commit=False)
    shelf.see(b"b.tif", "a", saw=analysis("a"), at=stat(inode=2))
    assert stored(shelf, "a").loaders == LOADERS


def test_loaders_that_wait_for_the_flush_are_known(shelf: Shelf) -> None:
    shelf.see(b"a.tif", "a", saw=analysis("a", loaders=LOADERS), commit=False)
    assert known(shelf, "a", loaders=True) == [True]
    shelf.see(b"b.tif", "b", saw=analysis("b"), at=stat(inode=2), commit=False)
    assert known(shelf, "a", "b", loaders=True) == [True, False]


def test_a_content_that_no_decoder_reads_is_not_decoded_again_for_its_loaders(shelf: Shelf) -> None:
    shelf.see(b"a.tif", "a", saw=analysis(None))
    assert known(shelf, "a", loaders=True) == [True]


def test_a_replaced_analysis_leaves_no_rows_behind(shelf: Shelf) -> None:
    first = analysis("a", tags=(*BASIC, Tag(306, "DateTime", 2, 5, b"once\0")))
    shelf.see(b"a.tif", "a", saw=dataclasses.replace(first, pages=first.pages * 3))
    shelf.see(b"a.tif", "a", saw=analysis("a"))
    assert stored(shelf, "a") == analysis("a")
    for table, rows in (("page", 0), ("ifd", 1), ("ifd_tag", 0), ("analysis", 1)):
        assert shelf.one(f"SELECT count(*) FROM {table}") == rows, table


# ------------------------------------------------------------------------------------------------ tags


def ifds(shelf: Shelf, *tags: Tag, kind: IfdKind = IfdKind.PAGE) -> tuple[Tag, ...]:
    """Tags as they come back from the record, after a walk through it."""
    saw = dataclasses.replace(analysis("a"), ifds=(Ifd(0, kind, None, tags),))
    shelf.see(b"a.tif", "a", saw=saw)
    (directory,) = stored(shelf, "a").ifds
    assert directory.kind is kind
    return directory.tags


@pytest.mark.parametrize(
    "tag",
    [
        Tag(270, "ImageDescription", 2, 12, b"one\0two\0\0\xff\0\0"),
        Tag(305, "Software", 2, 4, b"a\0b\0"),
        Tag(305, "Software", 2, 0, b""),
        Tag(65000, "0xfde8", 7, 10_000, bytes(range(250)) * 40),
        Tag(65001, "0xfde9", 7, 1 << 20, b"\x01" * 65536, b"s" * 32),
        Tag(65002, "0xfdea", 12, 3, b"\0\0\0\0\0\0\xf8\x7f" + b"\0" * 6 + b"\xf0\x7f" + b"\0" * 8),
        Tag(65003, "0xfdeb", 16, 1, b"\xff" * 8),
        Tag(65004, "0xfdec", 200, 3, b"\x01\x02\x03", None, "unknown type 200"),
        Tag(33432, "Copyright", 2, 5, "©\0é\0".encode()),
        Tag(33432, "Copyright", 2, 3, b"\xe9\0\0"),
        Tag(273, "StripOffsets", 4, 3, b"\x01\0\0\0" * 3),
        Tag(279, "StripByteCounts", 16, U64, b"", None, "more than the file holds"),
        Tag(256, "ImageWidth", 16, 1, b"\xff" * 8),
        Tag(257, "ImageLength", 5, 1, b"\x01\0\0\0\x02\0\0\0"),
        Tag(256, "ImageWidth", 3, 0, b""),
    ],
    ids=lambda tag: f"{tag.name} {tag.type} {tag.count}",
)
@pytest.mark.parametrize("kind", [IfdKind.PAGE, IfdKind.EXIF, IfdKind.GPS])
def test_any_tag_comes_back_as_it_stands_in_the_file(shelf: Shelf, tag: Tag, kind: IfdKind) -> None:
    assert ifds(shelf, tag, kind=kind) == (tag,)


def test_a_count_beyond_all_measure_is_cut_down(shelf: Shelf) -> None:
    tag = Tag(305, "Software", 16, U64, b"", None, "more than the file holds")
    assert ifds(shelf, tag) == (dataclasses.replace(tag, count=(1 << 63) - 1),)


def test_dimensions_beyond_all_measure_are_cut_down(shelf: Shelf) -> None:
    image = ImageFacts("TIFF", U64, U64, 1, "rgb", "u8", 3, 1)
    one = dataclasses.replace(analysis("a").pages[0], width=U64, height=U64)
    shelf.see(b"a.tif", "a", saw=dataclasses.replace(analysis("a"), image=image, pages=(one, one)))
    found = stored(shelf, "a")
    assert found.image is not None
    assert (found.image.width, found.pages[0].height) == ((1 << 63) - 1,) * 2


def test_files_with_the_same_tags_share_one_set(shelf: Shelf) -> None:
    for number in range(10):
        tags = (*BASIC, Tag(306, "DateTime", 2, 20, b"2025:10:09 12:00:%02d\0" % number))
        shelf.see(
            b"%d.tif" % number, f"{number}", saw=analysis(f"{number}", tags=tags), at=stat(inode=number)
        )
    assert shelf.one("SELECT count(*) FROM tagset") == 1
    assert shelf.one("SELECT count(*) FROM ifd_tag") == 10
    assert shelf.one("SELECT count(*) FROM tagval") == 3 + 10
    assert shelf.ask("SELECT DISTINCT width, height FROM ifd") == [{"width": 120, "height": 64}]
    rows = shelf.ask("SELECT count(*) AS files FROM v_tag WHERE name = 'Compression' AND num = 1")
    assert rows == [{"files": 10}]


def test_the_order_of_tags_makes_no_other_set(shelf: Shelf) -> None:
    shelf.see(b"a.tif", "a", saw=analysis("a", tags=BASIC))
    shelf.see(b"b.tif", "b", saw=analysis("b", tags=BASIC[::-1]), at=stat(inode=2))
    assert shelf.one("SELECT count(*) FROM tagset") == 1
    assert stored(shelf, "b").ifds[0].tags == BASIC


def test_directories_of_very_many_tags_are_stored_whole_and_not_kept_in_memory(shelf: Shelf) -> None:
    for number in range(3):
        tags = tuple(Tag(40_000 + at, "x", 7, 9, b"%09d" % number) for at in range(2_000))
        tags += (Tag(273, "StripOffsets", 4, 10_000, bytes(40_000)),)  # little, once it is packed
        shelf.see(
            b"%d.tif" % number, f"{number}", saw=analysis(f"{number}", tags=tags), at=stat(inode=number)
        )
    few = (Tag(273, "StripOffsets", 4, 10_000, bytes(40_000)), *BASIC)
    shelf.see(b"few.tif", "few", saw=analysis("few", tags=few), at=stat(inode=9))
    assert shelf.one("SELECT count(*) FROM tagset") == 4
    assert set(stored(shelf, "2").ifds[0].tags) == set(tags)
    kept = [*shelf.recorder.facts._tagsets._columns.values()]
    assert sum(len(tag.raw) for tags, _ in kept for tag in tags) < 20_000
    assert max(map(len, shelf.recorder.facts._tagsets._sets_by_tags)) < 2_000


def test_a_long_private_value_makes_no_set_of_its_own(shelf: Shelf) -> None:
    for number in range(3):
        tags = (*BASIC, Tag(65000, "0xfde8", 7, 10_000, b"%d" % number * 10_000))
        shelf.see(
            b"%d.tif" % number, f"{number}", saw=analysis(f"{number}", tags=tags), at=stat(inode=number)
        )
    assert shelf.one("SELECT count(*) FROM tagset") == 1
    assert shelf.one("SELECT max(length(raw)) FROM tagval") < 200
    assert shelf.one("SELECT max(length(value)) FROM tagval") < 300


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Tag(1, "a", 2, 1, b"x"), Tag(1, "a", 2, 1, b"y")),
        (Tag(1, "a", 2, 1, b"x"), Tag(1, "a", 1, 1, b"x")),
        (Tag(1, "a", 2, 1, b"x"), Tag(1, "a", 2, 2, b"x")),
        (Tag(1, "a", 2, 1, b"x"), Tag(1, "b", 2, 1, b"x")),
        (Tag(1, "a", 2, 1, b"x"), Tag(1, "a", 2, 1, b"x", None, "broken")),
        (Tag(1, "a", 2, 1, b"x", None, "None"), Tag(1, "a", 2, 1, b"x")),
        (Tag(1, "a", 2, 1, b"x", None, ""), Tag(1, "a", 2, 1, b"x")),
        (Tag(1, "a", 2, 1, b"x" * 33), Tag(1, "a", 2, 1, b"x", b"x" * 32)),
        (Tag(1, "a 2", 2, 1, b"x"), Tag(1, "a", 2, 1, b"2 x")),
    ],
)
def test_tags_that_differ_in_anything_are_two(shelf: Shelf, one: Tag, other: Tag) -> None:
    assert ifds(shelf, one) == (one,)
    shelf.see(
        b"b.tif", "b", saw=dataclasses.replace(analysis("b"), ifds=(Ifd(0, IfdKind.PAGE, None, (other,)),))
    )
    assert stored(shelf, "b").ifds[0].tags == (other,)


def test_a_rollback_forgets_interned_tags_and_layouts(shelf: Shelf) -> None:
    shelf.see(b"a.tif", "a", commit=False)
    shelf.recorder.batch.flush()
    shelf.recorder.rollback()
    other = analysis("a", tags=(*BASIC, Tag(305, "Software", 2, 2, b"x\0")), compression="LZW")
    shelf.see(b"a.tif", "a", saw=other)
    shelf.see(b"b.tif", "b", at=stat(inode=2))
    assert stored(shelf, "a") == other
    assert stored(shelf, "b") == analysis("b")


def test_two_sessions_intern_into_the_same_rows(shelf: Shelf) -> None:
    shelf.see(b"a.tif", "a")
    shelf.close()
    shelf.open()
    shelf.see(b"b.tif", "b", saw=analysis("a"), at=stat(inode=2))
    shelf.see(b"a.tif", "c", at=saved(stat()))
    for table, rows in (
        ("epoch", 1),
        ("toolchain", 1),
        ("tagset", 1),
        ("layout", 1),
        ("tagval", 3),
        ("raster", 4),
    ):
        assert shelf.one(f"SELECT count(*) FROM {table}") == rows, table
