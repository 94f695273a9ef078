"""Which files carry a tag with a value, and which tags are there?"""

from __future__ import annotations

import hashlib
import struct
from typing import Any

import pytest
from sqlalchemy import Connection

from catalog.query.resolving import resolve
from catalog.query.tags import files_with_tag, tag_names
from catalog.store.values import shown_value
from catalog.terms import Presence, Tag
from tests.unit.catalogue_rows import CatalogueRows, Picture


def short(code: int, name: str, *values: int) -> Tag:
    return Tag(code, name, 3, len(values), struct.pack(f"<{len(values)}H", *values))


def text(code: int, name: str, value: str) -> Tag:
    raw = value.encode() + b"\0"
    return Tag(code, name, 2, len(raw), raw)


RESOLUTION = Tag(282, "XResolution", 5, 1, struct.pack("<II", 72, 1))


def fill(rows: CatalogueRows) -> None:
    root = rows.root("r", b"/r")
    one = (
        short(256, "ImageWidth", 120),
        short(259, "Compression", 1),
        short(273, "StripOffsets", 8, 4096),
        RESOLUTION,
        text(305, "Software", "Adobe Photoshop 25"),
        text(306, "DateTime", "2025:10:25 12:00:00"),
    )
    two = (short(256, "ImageWidth", 2000), short(259, "Compression", 5), text(305, "Software", "GIMP"))
    rows.file(root, b"a.tif", Picture(bytes="1", tags=one))
    rows.file(root, b"copy/a.tif", Picture(bytes="1", tags=one))
    rows.file(root, b"b.tif", Picture(bytes="2", tags=two))
    rows.file(root, b"gone.tif", Picture(bytes="1", tags=one), presence=Presence.MISSING)
    rows.file(root, b"plain.png", Picture(bytes="3", format="PNG"))


def found(
    connection: Connection, *words: str, limit: int | None = None, **scope: Any
) -> list[tuple[bytes, Any]]:
    rows = files_with_tag(connection, resolve(connection, **scope), *words, limit=limit)
    return [(row.path, row.tag.value) for row in rows]


ONE = [b"/r/a.tif", b"/r/copy/a.tif"]


@pytest.mark.parametrize(
    ("words", "paths"),
    [
        (["Compression"], [*ONE, b"/r/b.tif"]),
        (["compression", "5"], [b"/r/b.tif"]),
        (["259", "5"], [b"/r/b.tif"]),
        (["0x103", "5.0"], [b"/r/b.tif"]),
        (["Compression", "7"], []),
        (["XResolution", "72/1"], ONE),
        (["Software", "*Photoshop*"], ONE),
        (["Software", "GIMP"], [b"/r/b.tif"]),
        (["Software", "[AG]*"], [*ONE, b"/r/b.tif"]),
        (["DateTime", "2025:10:25*"], ONE),
        (["ImageWidth", "2000"], [b"/r/b.tif"]),
        (["imagewidth"], [ONE[0], b"/r/b.tif", ONE[1]]),
        (["StripOffsets", "8, 4096"], ONE),
        (["273", "*4096"], ONE),
        (["NoSuchTag"], []),
        (["TileOffsets"], []),
    ],
)
def test_files_by_tag(
    rows: CatalogueRows, connection: Connection, words: list[str], paths: list[bytes]
) -> None:
    fill(rows)
    assert [path for path, _ in found(connection, *words)] == paths


def test_a_scope_and_a_limit_narrow_the_search(rows: CatalogueRows, connection: Connection) -> None:
    fill(rows)
    for name in ("Compression", "DateTime", "ImageWidth"):
        inside = found(connection, name, paths=[b"/r/copy"])
        assert [path for path, _ in inside] == [b"/r/copy/a.tif"]
        assert len(found(connection, name, limit=1)) == 1
    assert [path for path, _ in found(connection, "Compression", limit=2)] == ONE


def test_the_fields_are_those_of_the_contract(rows: CatalogueRows, connection: Connection) -> None:
    fill(rows)
    (row, _) = files_with_tag(connection, resolve(connection), "XResolution")
    assert row.fields() == {
        "root": "r",
        "path": "/r/a.tif",
        "ifd": "page 0",
        "code": 282,
        "name": "XResolution",
        "type": "RATIONAL",
        "count": 1,
        "value": [[72, 1]],
    }
    assert row.shown == "72/1"


def test_more_values_than_one_chunk(
    rows: CatalogueRows, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("catalog.query.tags.CHUNK", 2)
    root = rows.root("r", b"/r")
    for number in range(5):
        tags = (text(306, "DateTime", f"2025:10:2{number} 12:00:00"), short(259, "Compression", number % 2))
        rows.file(root, b"%d" % number, Picture(bytes=str(number), tags=tags))
    assert [path for path, _ in found(connection, "DateTime")] == [b"/r/%d" % number for number in range(5)]
    assert [path for path, _ in found(connection, "Compression")] == [
        b"/r/0",
        b"/r/2",
        b"/r/4",
        b"/r/1",
        b"/r/3",
    ]


def test_names_are_counted_by_living_files(rows: CatalogueRows, connection: Connection) -> None:
    fill(rows)
    counted = {each.name: (each.code, each.files) for each in tag_names(connection, resolve(connection))}
    assert counted == {
        "Compression": (259, 3),
        "DateTime": (306, 2),
        "ImageWidth": (256, 3),
        "Software": (305, 3),
        "StripOffsets": (273, 2),
        "XResolution": (282, 2),
    }
    narrow = tag_names(connection, resolve(connection, globs=["b.*"]))
    assert {each.name: each.files for each in narrow} == {"Compression": 1, "ImageWidth": 1, "Software": 1}


def test_a_catalogue_without_tags(rows: CatalogueRows, connection: Connection) -> None:
    assert tag_names(connection, resolve(connection)) == []
    assert found(connection, "Compression") == []


def test_a_value_is_shown_for_eyes_and_long_ones_are_named_by_their_digest() -> None:
    assert shown_value(RESOLUTION) == ("72/1", None)
    assert shown_value(short(258, "BitsPerSample", 8, 8)) == ("8, 8", None)
    assert shown_value(short(259, "Compression", 5)) == ("5", 5.0)
    assert shown_value(text(305, "Software", "a\0b")) == ("a, b", None)
    shown, number = shown_value(Tag(700, "XMP", 1, 3000, bytes(3000)))
    assert (shown[:9], number) == ("0, 0, 0, ", None)
    assert shown.endswith(f"… (sha256:{hashlib.sha256(bytes(3000)).hexdigest()[:16]})")
