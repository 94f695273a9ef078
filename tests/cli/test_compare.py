"""``catalog compare`` as a user runs it: same picture or not, why, and where the samples differ."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from catalog.cli.compare import samples_words, verdict_words
from catalog.cli.single_files import changed_words
from tests.asking import picture
from tests.unit.tiff_bytes import build, page


def original(path: Path, *, change: tuple[int, int] | None = None) -> Path:
    """124x64 RGB in 3 strips of 22 rows with Orientation 1; ``change``: add 1 to the green sample there."""
    samples = bytearray((x * 2 + y + c * 40) % 251 for y in range(64) for x in range(124) for c in range(3))
    if change:
        samples[(change[1] * 124 + change[0]) * 3 + 1] += 1
    row = 124 * 3
    strips = [bytes(samples[top * row : (top + 22) * row]) for top in (0, 22, 44)]
    tags = {258: (3, [8, 8, 8]), 262: (3, [2]), 277: (3, [3]), 278: (4, [22]), 274: (3, [1])}
    path.write_bytes(build(page(124, 64, strips=strips, tags=tags)))
    return path


def without_orientation(path: Path) -> Path:
    with Image.open(path) as image:
        image.save(path.with_name("resaved.tif"))
    return path.with_name("resaved.tif")


def test_of_long_texts_that_begin_alike_the_part_that_differs_is_shown() -> None:
    """Two OME-XML descriptions were cut before their first difference, and looked the same."""
    one, other = "x" * 200 + "PhysicalSizeX=0.1" + "y" * 200, "x" * 200 + "PhysicalSizeX=0.2"
    old, new = changed_words([one], [other])
    assert "PhysicalSizeX=0.1" in old and "PhysicalSizeX=0.2" in new
    assert old.endswith("…' (417 characters, from 187)") and new.endswith("=0.2' (217 characters, from 187)")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (["scan 1"], ["scan 2"], ("'scan 1'", "'scan 2'")),
        ([1, 2], [1], ("1, 2", "1")),
        (["a", "b"], ["a"], ("'a', 'b'", "'a'")),
        ([[1, 72]], [[1, 1]], ("1/72", "1")),
    ],
)
def test_other_values_are_shown_from_their_beginning(old: Any, new: Any, words: tuple[str, str]) -> None:
    assert changed_words(old, new) == words


# --------------------------------------------------------------------------------- the notebook's story


def test_resave_is_the_same_picture_stored_otherwise(catalog_cli: Any, tmp_path: Path) -> None:
    one = original(tmp_path / "original.tif")
    other = without_orientation(one)
    ran = catalog_cli("compare", one, other, "--json")
    assert ran.code == 0, ran.stderr
    answer = ran.json
    assert (answer["schema"], answer["verdict"], answer["same_picture"]) == (
        "catalog.compare/1",
        "reencoded",
        True,
    )
    assert answer["same"] == {"bytes": False, "payload": False, "pixels": True, "view": True}
    assert answer["reasons"] == [
        "pixels identical",
        "1 strip of 64 rows instead of 3 of 22",
        "tag Orientation dropped",
    ]
    assert answer["tags"]["removed"] == [{"ifd": "page 0", "name": "Orientation", "old": [1]}]
    assert (answer["tags"]["added"], answer["tags"]["changed"]) == ([], [])
    assert answer["samples"] == {"differing": 0, "total": 23808, "max_abs_diff": 0, "bbox": None}
    words = catalog_cli("compare", one, other)
    first, *rest = words.out.splitlines()
    assert first == (
        "same picture: pixels identical; 1 strip of 64 rows instead of 3 of 22; tag Orientation dropped"
    )
    assert f"  pixels   same: {answer['old']['pixels']}" in rest
    assert "  bytes    different" in rest
    assert "  dropped  Orientation  page 0  1" in rest


def test_resave_of_the_first_butterfly(catalog_cli: Any, corpus: Path, tmp_path: Path) -> None:
    with Image.open(corpus / "shaggy" / "images" / "amalfreda_1.tif") as image:
        image.save(tmp_path / "resaved.tif")
    ran = catalog_cli("compare", corpus / "shaggy" / "images" / "amalfreda_1.tif", tmp_path / "resaved.tif")
    assert ran.code == 0
    assert ran.out.startswith(
        "same picture: pixels identical; 1 strip of 64 rows instead of 3 of 22; tag Orientation dropped\n"
    )


def test_one_sample_changed_by_one_is_another_picture(catalog_cli: Any, tmp_path: Path) -> None:
    one, other = original(tmp_path / "a.tif"), original(tmp_path / "b.tif", change=(106, 26))
    ran = catalog_cli("compare", one, other, "--json")
    assert (ran.code, ran.json["verdict"], ran.json["same_picture"]) == (1, "picture", False)
    assert ran.json["same"] == {"bytes": False, "payload": False, "pixels": False, "view": False}
    assert ran.json["samples"] == {
        "differing": 1,
        "total": 23808,
        "max_abs_diff": 1,
        "bbox": [106, 26, 107, 27],
    }
    words = catalog_cli("compare", one, other)
    assert words.code == 1
    assert words.out.splitlines()[0] == (
        "different pictures: 1 of 23,808 samples differs, largest difference 1, at (106, 26)"
    )


# ---------------------------------------------------------------------------------------------- verdicts


def test_equal_bytes_are_the_same_picture(catalog_cli: Any, tmp_path: Path) -> None:
    one = original(tmp_path / "a.tif")
    ran = catalog_cli("compare", one, one, "--json")
    assert (ran.code, ran.json["verdict"], ran.json["reasons"]) == (0, "identical", ["bytes identical"])
    assert all(ran.json["same"].values())


def test_equal_bytes_of_no_image_are_the_same_all_the_same(catalog_cli: Any, tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text("not a picture\n")
    ran = catalog_cli("compare", tmp_path / "a.txt", tmp_path / "b.txt")
    assert ran.code == 0
    assert ran.out.splitlines()[0] == "same picture: bytes identical"


def test_jpegs_of_equal_samples_are_comparable_in_one_run(catalog_cli: Any, tmp_path: Path) -> None:
    one = picture(tmp_path / "a.jpg", 1)
    content = one.read_bytes()
    other = tmp_path / "b.jpg"
    comment = b"another comment"
    other.write_bytes(
        content[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + content[2:]
    )
    ran = catalog_cli("compare", one, other, "--json")
    assert (ran.code, ran.json["verdict"], ran.json["old"]["fidelity"]) == (0, "metadata", "decoder")
    assert ran.json["same"] == {"bytes": False, "payload": True, "pixels": True, "view": True}


def test_opaque_alpha_is_the_same_picture_on_screen(catalog_cli: Any, tmp_path: Path) -> None:
    one = picture(tmp_path / "a.png", 1)
    with Image.open(one) as image:
        image.convert("RGBA").save(tmp_path / "b.png")
    ran = catalog_cli("compare", one, tmp_path / "b.png")
    assert ran.code == 0
    assert ran.out.startswith("same picture on screen: opaque alpha added")
    assert "\nall 3,600 samples are equal as displayed\n" in ran.out


def test_another_orientation_is_different_on_screen(catalog_cli: Any, tmp_path: Path) -> None:
    one = picture(tmp_path / "a.tif", 1)
    with Image.open(one) as image:
        image.save(tmp_path / "b.tif", tiffinfo={274: 6})
    ran = catalog_cli("compare", one, tmp_path / "b.tif", "--json")
    assert (ran.code, ran.json["verdict"]) == (1, "display")
    words = catalog_cli("compare", one, tmp_path / "b.tif").out
    assert words.startswith("different on screen: shown rotated 90° clockwise: Orientation 6 instead of 1; ")


def test_pictures_of_other_sizes_say_why_no_samples_are_compared(catalog_cli: Any, tmp_path: Path) -> None:
    one = picture(tmp_path / "a.png", 1)
    with Image.open(one) as image:
        image.crop((0, 0, 20, 30)).save(tmp_path / "b.png")
    ran = catalog_cli("compare", one, tmp_path / "b.png", "--json")
    assert (ran.code, ran.json["samples"]) == (1, None)
    assert "different sizes" in ran.json["samples_reason"]
    words = catalog_cli("compare", one, tmp_path / "b.png").out.splitlines()
    assert words[0].startswith("different pictures: 40 x 30 became 20 x 30")
    assert words[1].startswith("samples: different sizes")


def test_tag_changes_are_listed_with_both_values(catalog_cli: Any, tmp_path: Path) -> None:
    for name, tags in (("a.tif", {270: "old words", 315: "a\x1b[31m"}), ("b.tif", {270: "new words"})):
        Image.new("L", (4, 4)).save(tmp_path / name, tiffinfo=tags)
    ran = catalog_cli("compare", tmp_path / "a.tif", tmp_path / "b.tif", "--json")
    assert (ran.code, ran.json["verdict"]) == (0, "metadata")
    assert ran.json["tags"]["changed"] == [
        {"ifd": "page 0", "name": "ImageDescription", "old": ["old words"], "new": ["new words"]}
    ]
    words = catalog_cli("compare", tmp_path / "a.tif", tmp_path / "b.tif")
    assert "  changed  ImageDescription  page 0  'old words'  'new words'" in words.out.splitlines()
    assert b"\x1b" not in words.stdout


# ---------------------------------------------------------------------------------------- cannot tell


def test_file_that_does_not_decode_cannot_be_told(catalog_cli: Any, tmp_path: Path) -> None:
    one = original(tmp_path / "a.tif")
    other = tmp_path / "short.tif"
    other.write_bytes(one.read_bytes()[:9000])
    ran = catalog_cli("compare", one, other, "--json")
    assert (ran.code, ran.json["verdict"], ran.json["same_picture"]) == (3, "broken", None)
    assert ran.json["same"] == {"bytes": False, "payload": None, "pixels": None, "view": None}
    there = catalog_cli("compare", one, other).out.splitlines()[0]
    assert there.startswith("cannot tell whether it is the same picture: new does not decode: truncated")
    back = catalog_cli("compare", other, one)
    assert back.code == 3
    assert back.out.startswith("cannot tell whether it is the same picture: old did not decode (truncated")
    assert catalog_cli("compare", one, other, "--allow-incomplete").code == 0


def test_file_that_cannot_be_read_is_no_verdict(catalog_cli: Any, tmp_path: Path) -> None:
    one = original(tmp_path / "a.tif")
    os.mkfifo(tmp_path / "fifo.tif")
    for pair in ((one, tmp_path / "fifo.tif"), (tmp_path / "fifo.tif", one)):
        ran = catalog_cli("compare", *pair, "--json")
        assert (ran.code, ran.json["same_picture"], ran.json["complete"]) == (3, None, False)
        words = catalog_cli("compare", *pair).out
        assert words.startswith("cannot tell whether it is the same picture: ")
        assert "fifo.tif: not a regular file" in words


def test_missing_file_and_folder(catalog_cli: Any, tmp_path: Path) -> None:
    one = original(tmp_path / "a.tif")
    ran = catalog_cli("compare", one, tmp_path / "no.tif", "--json")
    assert (ran.code, ran.stdout) == (20, b"")
    assert ran.stderr == f"catalog: no such file: {tmp_path / 'no.tif'}\n"
    assert catalog_cli("compare", one, tmp_path).code == 2
    assert catalog_cli("compare", one).code == 2


# ------------------------------------------------------------------------------------ difference picture


def test_difference_picture_shows_the_sample_in_red(catalog_cli: Any, tmp_path: Path) -> None:
    one, other = original(tmp_path / "a.tif"), original(tmp_path / "b.tif", change=(7, 5))
    ran = catalog_cli("compare", one, other, "--picture", tmp_path / "diff.png")
    assert ran.code == 1
    assert f"difference picture: {tmp_path / 'diff.png'}" in ran.stderr
    with Image.open(tmp_path / "diff.png") as drawn:
        red = [(x, y) for x in range(124) for y in range(64) if drawn.getpixel((x, y)) == (255, 0, 0)]
        assert (drawn.size, red) == ((124, 64), [(7, 5)])
    assert sorted(os.listdir(tmp_path)) == ["a.tif", "b.tif", "diff.png"]


def test_difference_picture_never_overwrites_unasked(catalog_cli: Any, tmp_path: Path) -> None:
    one, other = original(tmp_path / "a.tif"), original(tmp_path / "b.tif", change=(7, 5))
    target = tmp_path / "diff.png"
    target.write_bytes(b"precious")
    ran = catalog_cli("compare", one, other, "--picture", target)
    assert (ran.code, ran.stdout, target.read_bytes()) == (2, b"", b"precious")
    assert "--force" in ran.stderr
    assert catalog_cli("compare", one, other, "--picture", target, "--force").code == 1
    with Image.open(io.BytesIO(target.read_bytes())) as drawn:
        assert drawn.format == "PNG"
    assert sorted(os.listdir(tmp_path)) == ["a.tif", "b.tif", "diff.png"]


@pytest.mark.parametrize("kind", ["itself", "hard link", "symbolic link"])
def test_difference_picture_never_replaces_what_is_compared(
    catalog_cli: Any, tmp_path: Path, kind: str
) -> None:
    one, other = picture(tmp_path / "a.png", 1), picture(tmp_path / "b.png", 2)
    before = one.read_bytes()
    target = {"itself": one}.get(kind, tmp_path / "link.png")
    if kind == "hard link":
        os.link(one, target)
    if kind == "symbolic link":
        target.symlink_to(one)
    ran = catalog_cli("compare", one, other, "--picture", target, "--force")
    assert (ran.code, ran.stdout) == (2, b"")
    assert one.read_bytes() == before


def test_difference_picture_that_cannot_be_drawn_or_written(catalog_cli: Any, tmp_path: Path) -> None:
    one = picture(tmp_path / "a.png", 1)
    Image.new("RGB", (3, 3)).save(tmp_path / "b.png")
    ran = catalog_cli("compare", one, tmp_path / "b.png", "--picture", tmp_path / "diff.png")
    assert ran.code == 1
    assert "warning: no difference picture: different sizes" in ran.stderr
    nowhere = catalog_cli("compare", one, one, "--picture", tmp_path / "none" / "diff.png")
    assert nowhere.code == 3
    assert "cannot be written" in nowhere.stderr
    assert catalog_cli("compare", one, one, "--picture", tmp_path / "diff.jpg").code == 2
    assert sorted(os.listdir(tmp_path)) == ["a.png", "b.png"]


# ------------------------------------------------------------------------------------------------ words


def test_many_samples_are_said_with_their_box() -> None:
    samples = {"differing": 1200, "total": 23808, "max_abs_diff": 76, "bbox": [10, 20, 40, 60]}
    assert samples_words(samples, displayed=False) == (
        "1,200 of 23,808 samples differ, largest difference 76, within 30x40 pixels at (10, 20)"
    )
    floats = {"differing": 1, "total": 2, "max_abs_diff": 0.25, "bbox": [0, 0, 1, 1]}
    assert (
        samples_words(floats, displayed=False) == "1 of 2 samples differs, largest difference 0.25, at (0, 0)"
    )
    assert samples_words(None, displayed=False) is None


def test_first_sentence_speaks_of_two_files() -> None:
    assert verdict_words(False, ["the picture changed on page 1 of 3 pages, counted from 0"]) == (
        "different pictures on page 1 of 3 pages, counted from 0"
    )
    assert verdict_words(None, ["cannot say whether the picture changed: old was not decoded"]) == (
        "cannot tell whether it is the same picture: old was not decoded"
    )
