"""Questions about single files, without a catalogue: the same limits, the same answers."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

from catalog.errors import UsageError, WorkerFailed
from catalog.inspection import alone, checksum_files, run_alone
from catalog.terms import Failure, FailureKind, Fidelity, Limits

LIMITS = Limits(seconds=30.0)


def picture(path: Path, *, mode: str = "RGB", size: tuple[int, int] = (40, 30), spot: int = 0) -> bytes:
    """An image file with a gradient, and ``spot`` pixels of another colour in its first row; its path."""
    image = Image.linear_gradient("L").resize(size).convert(mode)
    for x in range(spot):
        image.putpixel((x + 2, 1), tuple(255 - value for value in image.getpixel((x + 2, 1))))  # type: ignore[union-attr]
    image.save(path)
    return os.fsencode(path)


def test_checksums_come_in_the_given_order_with_all_that_was_found(tmp_path: Path) -> None:
    one = picture(tmp_path / "one.tif")
    other = picture(tmp_path / "other.png")
    os.symlink(one, tmp_path / "link.tif")
    paths = [other, one, os.fsencode(tmp_path / "missing.tif"), one, os.fsencode(tmp_path / "link.tif")]
    found = list(checksum_files(paths, LIMITS))
    assert [path for path, _ in found] == paths
    for path, inspection in (found[0], found[1], found[3], found[4]):
        content = Path(os.fsdecode(path)).read_bytes()
        assert inspection.sha256 == hashlib.sha256(content).digest()
        assert inspection.md5 == hashlib.md5(content).digest()
        analysis = inspection.analysis
        assert analysis and analysis.fidelity is Fidelity.EXACT and analysis.loaders
        assert analysis.loaders.pillow_tobytes_md5 is not None
    same = {inspection.analysis.pixels for _, inspection in found if inspection.analysis}
    assert len(same) == 1
    assert found[2][1].failure == Failure(FailureKind.GONE, "no longer there", 2)


def test_more_files_than_a_window_holds(tmp_path: Path) -> None:
    paths = [os.fsencode(tmp_path / f"{number:04}.pgm") for number in range(1200)]
    for number, path in enumerate(paths):
        with open(path, "wb") as file:
            file.write(b"P5 2 1 255\n" + number.to_bytes(2, "big"))
    found = list(checksum_files(paths, LIMITS, loaders=False, workers=1))
    assert [path for path, _ in found] == paths
    assert len({inspection.sha256 for _, inspection in found}) == 1200


def test_a_reader_that_stops_early_leaves_nothing_behind(tmp_path: Path) -> None:
    paths = [picture(tmp_path / f"{number}.png", spot=number) for number in range(20)]
    found = checksum_files(paths, LIMITS)
    assert next(found)[0] == paths[0]
    found.close()  # type: ignore[attr-defined]


def test_the_published_checksums_of_a_real_image(corpus: Path) -> None:
    path = os.fsencode(corpus / "shaggy" / "images" / "amalfreda_1.tif")
    found = run_alone("checksum", {"path": path}, LIMITS)["inspection"]
    assert found.md5.hex() == "baf9cc4fd984f80dea07ec93308c3a7b"
    assert found.analysis.loaders.cv2_imread_md5.hex() == "a2b85e3545d8b525fe20d90ebe5d847e"
    assert found.analysis.loaders.pillow_tobytes_md5.hex() == "6c2fa1935394b7489494647bb6ee35b3"
    assert found.analysis.loaders.pillow_save_md5.hex() == "d0dd3bc05dead39e2177c59f2925cd2b"


def test_tags_are_given_whole(tmp_path: Path) -> None:
    text = "a long description " * 5000
    Image.new("L", (2, 2)).save(tmp_path / "a.tif", tiffinfo={270: text})
    path = os.fsencode(tmp_path / "a.tif")
    found = run_alone("tags", {"path": path}, LIMITS)["inspection"]
    tags = {tag.name: tag for tag in found.analysis.ifds[0].tags}
    assert tags["ImageDescription"].value == [text]
    assert found.analysis.loaders is None


def test_compare_counts_the_samples_that_differ(tmp_path: Path) -> None:
    one, other = picture(tmp_path / "one.tif"), picture(tmp_path / "other.png", spot=3)
    answer = run_alone("compare", {"one": one, "other": other}, LIMITS)
    assert answer["one"].analysis.pixels != answer["other"].analysis.pixels
    assert answer["samples"]["differing"] == 9
    assert answer["samples"]["total"] == 40 * 30 * 3
    assert answer["samples"]["bbox"] == [2, 1, 5, 2]
    assert answer["reason"] is None


def test_compare_of_a_file_with_its_copy(tmp_path: Path) -> None:
    one = picture(tmp_path / "one.tif")
    shutil.copy(tmp_path / "one.tif", tmp_path / "copy.tif")
    answer = run_alone("compare", {"one": one, "other": os.fsencode(tmp_path / "copy.tif")}, LIMITS)
    assert answer["one"].analysis == answer["other"].analysis
    assert answer["one"].analysis is not None
    assert answer["samples"]["differing"] == 0


def test_compare_with_a_file_that_is_not_there(tmp_path: Path) -> None:
    one = picture(tmp_path / "one.tif")
    answer = run_alone("compare", {"one": one, "other": os.fsencode(tmp_path / "no.tif")}, LIMITS)
    assert answer["one"].failure is None
    assert answer["other"].failure.kind is FailureKind.GONE
    assert answer["samples"] is None


def test_the_picture_of_a_difference_is_red_where_samples_differ(tmp_path: Path) -> None:
    one, other = picture(tmp_path / "one.tif"), picture(tmp_path / "other.png", spot=3)
    answer = run_alone("picture", {"one": one, "other": other}, LIMITS)
    assert answer["reason"] is None
    with Image.open(io.BytesIO(answer["png"])) as image:
        assert image.size == (40, 30)
        red, green, blue = image.getpixel((3, 1))  # type: ignore[misc]
    assert red > 128 and green == blue == 0


def test_pictures_of_different_sizes_have_no_difference(tmp_path: Path) -> None:
    one, other = picture(tmp_path / "one.tif"), picture(tmp_path / "other.tif", size=(30, 30))
    answer = run_alone("picture", {"one": one, "other": other}, LIMITS)
    assert answer["png"] is None
    assert "different sizes" in answer["reason"]


def test_a_comparison_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    pair = []
    for number in range(2):
        path = tmp_path / f"{number}.pgm"
        with open(path, "wb") as file:
            file.write(b"P5 8000 8000 255\n" + bytes([number]) * 64_000_000)
        pair.append(os.fsencode(path))
    document, body = alone.ask("difference", (pair[0], pair[1]), Limits(seconds=0.01))
    assert document["samples"] is None and body == b""
    assert document["reason"] == "took longer than 0.01 s: raise decode_seconds above 0.01"


def test_a_worker_that_cannot_start_is_an_error(tmp_path: Path) -> None:
    one = picture(tmp_path / "one.tif")
    with pytest.raises(WorkerFailed, match="cannot be started"):
        run_alone("picture", {"one": one, "other": one}, Limits(memory_bytes=48 << 20))


def test_an_unknown_task_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        run_alone("guess", {"one": b"", "other": b""}, LIMITS)
