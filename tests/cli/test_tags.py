"""``catalog tags`` as a user runs it: every directory and every tag, whole in JSON and short for eyes."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path
from typing import Any

from PIL import Image

from tests.asking import picture
from tests.unit.tiff_bytes import build, page


def by_name(ifd: dict[str, Any]) -> dict[str, Any]:
    return {tag["name"]: tag for tag in ifd["tags"]}


def test_every_tag_of_the_first_butterfly(catalog_cli: Any, corpus: Path) -> None:
    ran = catalog_cli("tags", "amalfreda_1.tif", "--json", cwd=corpus / "shaggy" / "images")
    assert ran.code == 0, ran.stderr
    assert (ran.json["schema"], ran.json["path"], ran.json["complete"]) == (
        "catalog.tags/1",
        "amalfreda_1.tif",
        True,
    )
    (ifd,) = ran.json["ifds"]
    assert (ifd["index"], ifd["kind"], ifd["parent"]) == (0, "page", None)
    assert len(ifd["tags"]) == 14
    found = by_name(ifd)
    assert found["StripOffsets"] == {
        "code": 273,
        "name": "StripOffsets",
        "type": "LONG",
        "count": 3,
        "value": [8, 8192, 16376],
    }
    assert found["XResolution"]["value"] == [[72, 1]]
    lines = catalog_cli("tags", "amalfreda_1.tif", cwd=corpus / "shaggy" / "images").out.splitlines()
    assert lines[0].split() == ["ifd", "kind", "tag", "name", "type", "count", "value"]
    assert lines[6].split(maxsplit=6) == ["0", "page", "273", "StripOffsets", "LONG", "3", "8, 8192, 16376"]
    assert len(lines) == 15


def test_long_values_are_cut_for_eyes_and_whole_in_json(catalog_cli: Any, tmp_path: Path) -> None:
    strips = [bytes([row] * 4) for row in range(40)]
    text = "words " * 20_000
    tags = {278: (4, [1]), 270: (2, text.encode() + b"\0"), 40000: (7, bytes(range(256)) * 300)}
    path = tmp_path / "long.tif"
    path.write_bytes(build(page(4, 40, strips=strips, tags=tags)))
    found = by_name(catalog_cli("tags", path, "--json").json["ifds"][0])
    assert len(found["StripOffsets"]["value"]) == 40
    assert found["ImageDescription"]["value"] == [text]
    assert found["0x9c40"]["value"] == list(range(256)) * 300
    words = catalog_cli("tags", path).out
    offsets = found["StripOffsets"]["value"]
    assert f"{', '.join(map(str, offsets[:8]))} … (40 values)" in words
    assert "hex 00 01 02 03 04 05 06 07 … (76,800 bytes)" in words
    assert "…' (120,000 characters)" in words
    assert max(map(len, words.splitlines())) < 250


def test_nul_binary_and_control_characters_survive(catalog_cli: Any, tmp_path: Path) -> None:
    tags = {
        270: (2, b"one\0two\0"),
        305: (2, b"red \x1b[31m\xe9\0"),
        40000: (7, b"\0\xff\0\xfe\0"),
        40001: (12, [float("nan")]),
    }
    path = tmp_path / "odd.tif"
    path.write_bytes(build(page(tags=tags)))
    ran = catalog_cli("tags", path, "--json")
    found = by_name(ran.json["ifds"][0])
    assert found["ImageDescription"]["value"] == ["one", "two"]
    assert found["Software"]["value"] == ["red \x1b[31m\xe9"]
    assert found["0x9c40"]["value"] == [0, 255, 0, 254, 0]
    assert found["0x9c41"]["value"] == ["NaN"]
    words = catalog_cli("tags", path)
    assert b"\x1b" not in words.stdout
    assert "'one', 'two'" in words.out
    assert "'red \\x1b[31mé'" in words.out


def test_broken_tags_are_shown_with_the_reason(catalog_cli: Any, tmp_path: Path) -> None:
    whole = bytearray(build(page(tags={282: (3, [1]), 270: (2, b"a description\0")})))
    entry = (270).to_bytes(2, "little") + (2).to_bytes(2, "little")
    at = whole.index(entry) + 8
    whole[at : at + 4] = (0x7FFFFFF0).to_bytes(4, "little")
    path = tmp_path / "broken.tif"
    path.write_bytes(whole)
    ran = catalog_cli("tags", path, "--json")
    assert ran.code == 0
    found = by_name(ran.json["ifds"][0])
    assert "beyond the end" in found["ImageDescription"]["broken"]
    assert "broken" not in found["XResolution"]
    assert "(broken: " in catalog_cli("tags", path).out


def test_exif_and_gps_are_directories_of_their_own(catalog_cli: Any, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[271] = "Maker"
    exif.get_ifd(0x8769)[36864] = b"0232"
    exif.get_ifd(0x8825)[1] = "N"
    picture(tmp_path / "a.jpg", 1, exif=exif)
    ran = catalog_cli("tags", tmp_path / "a.jpg", "--json")
    assert ran.json["format"] == "JPEG"
    kinds = {ifd["kind"]: ifd for ifd in ran.json["ifds"]}
    assert {"page", "exif", "gps"} <= set(kinds)
    assert kinds["exif"]["parent"] == kinds["page"]["index"]
    assert by_name(kinds["exif"])["ExifVersion"]["value"] == list(b"0232")
    assert by_name(kinds["gps"])["GPSLatitudeRef"]["value"] == ["N"]
    assert "'0232'" in catalog_cli("tags", tmp_path / "a.jpg").out


def test_csv_holds_a_tag_a_line_and_ndjson_a_directory(catalog_cli: Any, tmp_path: Path) -> None:
    path = tmp_path / "two.tif"
    path.write_bytes(build(page(), page(5, 5)))
    document = catalog_cli("tags", path, "--json").json
    lines = catalog_cli("tags", path, "--ndjson").out.splitlines()
    assert [json.loads(line) for line in lines] == document["ifds"]
    rows = list(csv.DictReader(io.StringIO(catalog_cli("tags", path, "--csv").out)))
    assert len(rows) == sum(len(ifd["tags"]) for ifd in document["ifds"])
    assert [row["value"] for row in rows if row["name"] == "ImageWidth"] == ["[4]", "[5]"]


def test_file_without_tags_says_so(catalog_cli: Any, tmp_path: Path) -> None:
    path = picture(tmp_path / "a.png", 1)
    ran = catalog_cli("tags", path, "--json")
    assert (ran.code, ran.json["ifds"], ran.json["error"]) == (0, [], None)
    assert catalog_cli("tags", path).out == "no tags in this file (PNG)\n"


def test_file_whose_tags_cannot_be_read_is_no_file_without_tags(catalog_cli: Any, tmp_path: Path) -> None:
    (tmp_path / "notes.tif").write_text("not a picture\n")
    ran = catalog_cli("tags", tmp_path / "notes.tif", "--json")
    assert (ran.code, ran.json["complete"], ran.json["ifds"]) == (3, False, [])
    assert ran.json["error"] == "text, not an image"
    words = catalog_cli("tags", tmp_path / "notes.tif")
    assert (words.code, words.out) == (3, "")
    assert "text, not an image" in words.stderr
    os.mkfifo(tmp_path / "fifo.tif")
    assert catalog_cli("tags", tmp_path / "fifo.tif").code == 3


def test_file_above_the_limit_is_not_said_to_have_no_tags(catalog_cli: Any, tmp_path: Path) -> None:
    catalog_cli.config.write_text("decode_limit_bytes = 100\n")
    ran = catalog_cli("tags", picture(tmp_path / "a.tif", 1), "--json")
    assert (ran.code, ran.json["ifds"]) == (3, [])
    assert "too large" in ran.json["error"]


def test_missing_file_and_folder(catalog_cli: Any, tmp_path: Path) -> None:
    ran = catalog_cli("tags", tmp_path / "no.tif", "--json")
    assert (ran.code, ran.stdout) == (20, b"")
    assert catalog_cli("tags", tmp_path).code == 2
