"""What the recording side stores of an analysis comes back as it was."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection

from catalog.record.batch import Batch
from catalog.record.facts import Facts
from catalog.store.facts import load_analysis
from catalog.store.migration import prepare
from catalog.terms import (
    Analysis,
    Fidelity,
    Ifd,
    IfdKind,
    ImageFacts,
    Inspection,
    Job,
    Layout,
    Loaders,
    Page,
    PageRole,
    Stat,
    Tag,
    Toolchain,
)

TAGS = (
    Tag(256, "ImageWidth", 3, 1, b"\x78\x00"),
    Tag(257, "ImageLength", 3, 1, b"\x40\x00"),
    Tag(259, "Compression", 3, 1, b"\x05\x00"),
    Tag(273, "StripOffsets", 4, 2, b"\x08\x00\x00\x00\x10\x00\x00\x00"),
    Tag(282, "XResolution", 5, 1, b"\x48\x00\x00\x00\x01\x00\x00\x00"),
    Tag(305, "Software", 2, 5, b"Gimp\x00"),
    Tag(306, "DateTime", 2, 20, b"2025:10:25 12:00:00\x00"),
    Tag(700, "XMP", 1, 3000, bytes(3000)),
    Tag(0xC4A5, "0xc4a5", 7, 70000, b"\x01" * 65536, bytes(range(32))),
    Tag(0xC4A6, "0xc4a6", 4, 9, b"", None, "the value lies beyond the end of the file"),
)
IMAGE = ImageFacts("TIFF", 120, 64, 1, "rgb", "u8", 3, 6, b"i" * 32)
ONE_PAGE = Page(0, PageRole.PAGE, 120, 64, "rgb", "u8", 3, b"p" * 32, b"v" * 32)
FULL = Analysis(
    fidelity=Fidelity.EXACT,
    reason=None,
    pixels=b"p" * 32,
    view=b"v" * 32,
    payload=b"y" * 32,
    image=IMAGE,
    layout=Layout("TIFF", "LZW", "big", 2, "contiguous", 2, 32),
    pages=(ONE_PAGE,),
    ifds=(Ifd(0, IfdKind.PAGE, None, TAGS), Ifd(1, IfdKind.EXIF, 0, TAGS[6:7])),
    loaders=Loaders(b"c" * 16, None, b"s" * 16, (("pillow_tobytes_md5", "cannot write mode F"),)),
    complaints=("libtiff: unknown tag 50341",),
    near=b"n" * 32,
)
TOOLCHAIN = Toolchain(1, b"e" * 32, (("Pillow", "13.0"),))


@pytest.fixture
def batch(tmp_path: Path) -> Iterator[Batch]:
    database = str(tmp_path / "catalog.sqlite3")
    prepare(database)
    batch = Batch(database)
    yield batch
    batch.close()


def store(batch: Batch, analysis: Analysis, toolchain: Toolchain = TOOLCHAIN, content: bytes = b"1") -> int:
    batch.commit()
    facts = Facts(batch, toolchain)
    batch.begin()
    job = Job(1, b"a.tif", 10)
    stat = Stat(10, 0, 0, 1, 1, 1, 512)
    known = facts.intern(Inspection(job, stat, content * 32, content * 16, analysis))
    batch.commit()
    return known.content_id


def loaded(connection: Connection, content_id: int, epoch_id: int | None = None) -> Analysis:
    found = load_analysis(connection, content_id, epoch_id)
    assert found is not None
    return found[0]


MANY_PAGES = dataclasses.replace(
    FULL,
    image=dataclasses.replace(IMAGE, frames=2),
    pages=(
        ONE_PAGE,
        dataclasses.replace(ONE_PAGE, index=1, pixels=None, view=None, dtype="u16"),
        Page(2, PageRole.THUMBNAIL, 12, 6, "gray", "u8", 1, b"t" * 32, b"u" * 32),
    ),
)
UNDECODABLE = Analysis(Fidelity.UNDECODABLE, "the first IFD lies beyond the end of the file")
TOO_LARGE = Analysis(
    Fidelity.UNVERIFIED,
    "too large: raise decode_limit",
    payload_reason="too large",
    image=dataclasses.replace(IMAGE, frames=3, icc_sha256=None),
)


@pytest.mark.parametrize(
    "analysis",
    [FULL, MANY_PAGES, UNDECODABLE, TOO_LARGE, dataclasses.replace(FULL, loaders=None, complaints=())],
    ids=["full", "many pages", "undecodable", "too large", "no loaders"],
)
def test_an_analysis_comes_back_as_it_was_recorded(batch: Batch, analysis: Analysis) -> None:
    content_id = store(batch, analysis)
    assert loaded(batch.connection, content_id) == analysis


def test_tags_come_back_sorted_by_code_whatever_the_order_in_the_file(batch: Batch) -> None:
    shuffled = dataclasses.replace(FULL, ifds=(Ifd(0, IfdKind.PAGE, None, TAGS[::-1]),))
    content_id = store(batch, shuffled)
    assert loaded(batch.connection, content_id).ifds[0].tags == TAGS


def test_the_newest_epoch_speaks_unless_another_is_named(batch: Batch) -> None:
    content_id = store(batch, FULL)
    later = Analysis(Fidelity.DECODER, None, b"q" * 32, b"w" * 32, image=IMAGE)
    store(batch, later, Toolchain(1, b"f" * 32, (("Pillow", "14.0"),)))
    found = load_analysis(batch.connection, content_id)
    assert found is not None
    assert (found[0].pixels, found[1]) == (b"q" * 32, b"f" * 32)
    assert loaded(batch.connection, content_id, 1).pixels == b"p" * 32
    assert load_analysis(batch.connection, content_id, 99) is None


def test_an_unsound_digest_keeps_its_own_class(batch: Batch) -> None:
    damaged = dataclasses.replace(FULL, fidelity=Fidelity.DAMAGED, reason="strip 2 is short")
    first, second = store(batch, FULL), store(batch, damaged, content=b"2")
    assert loaded(batch.connection, first).pixels == loaded(batch.connection, second).pixels
    rasters = batch.connection.exec_driver_sql("SELECT count(*) FROM raster").scalar()
    assert rasters == 4


def test_a_content_without_analysis_gives_nothing(batch: Batch) -> None:
    assert load_analysis(batch.connection, 1) is None
