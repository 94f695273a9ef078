"""Whole analyses: digests, classes, facts, complaints; and that nothing raises."""

from __future__ import annotations

import hashlib
import importlib.util
import subprocess
import sys
import time
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from catalog.pixels.analyse import analyse
from catalog.pixels.epoch import HEIF_CANARY, canaries, components, epoch, toolchain
from catalog.terms import Analysis, Fidelity, Level, Limits, PageRole, printed
from tests.unit.tiff_bytes import build, page

RNG = np.random.default_rng(5)


def analysed(content: bytes, **options: Any) -> Analysis:
    return analyse(content, limits=options.pop("limits", Limits()), **options)


def tiff(array: np.ndarray, **options: Any) -> bytes:
    buffer = BytesIO()
    photometric = "rgb" if array.ndim == 3 and array.shape[2] == 3 else "minisblack"
    tifffile.imwrite(buffer, array, **({"photometric": photometric, "metadata": None} | options))
    return buffer.getvalue()


def pillow(array: np.ndarray, form: str, **options: Any) -> bytes:
    buffer = BytesIO()
    Image.fromarray(array).save(buffer, form, **options)
    return buffer.getvalue()


def noise(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, shape, dtype=np.uint8)


def test_the_seed_file_has_its_known_digests(corpus: Path) -> None:
    content = (corpus / "shaggy/images/amalfreda_1.tif").read_bytes()
    assert hashlib.md5(content).hexdigest() == "baf9cc4fd984f80dea07ec93308c3a7b"
    found = analysed(content, loaders=True)
    assert found.fidelity is Fidelity.EXACT
    assert str(printed(Level.PIXELS, found.fidelity, found.pixels)).startswith("pix1:d9c669ad")
    assert str(printed(Level.VIEW, found.fidelity, found.view)).startswith("view1:a03e6362")
    assert found.image is not None
    assert (found.image.model, found.image.dtype, found.image.width, found.image.height) == (
        "rgb",
        "u8",
        124,
        64,
    )
    assert found.loaders is not None
    assert found.loaders.cv2_imread_md5 == bytes.fromhex("a2b85e3545d8b525fe20d90ebe5d847e")


def test_facts_are_the_headers() -> None:
    profile = b"any bytes will do"
    found = analysed(pillow(noise(20, 30, 3), "JPEG", icc_profile=profile))
    assert found.image is not None
    assert (found.image.format, found.image.width, found.image.height, found.image.frames) == (
        "JPEG",
        30,
        20,
        1,
    )
    assert found.image.icc_sha256 == hashlib.sha256(profile).digest()
    assert (found.payload is None, found.payload_reason) == (False, None)
    assert found.layout is not None
    assert found.layout.container == "JPEG"


def test_bytes_and_memoryviews_give_the_same() -> None:
    for content in (tiff(noise(9, 9, 3)), pillow(noise(9, 9, 3), "PNG"), pillow(noise(9, 9, 3), "JPEG")):
        assert analysed(content) == analyse(memoryview(content), limits=Limits())


# ----------------------------------------------------------------------------------------------- pages


def test_pages_combine_and_each_has_its_own_digest() -> None:
    pages = noise(3, 8, 9)
    found = analysed(tiff(pages))
    singles = [analysed(tiff(each)) for each in pages]
    assert [each.pixels for each in found.pages] == [each.pixels for each in singles]
    text = "pix1 multi 3\n" + "\n".join(each.pixels.hex() for each in singles if each.pixels)
    assert found.pixels == hashlib.sha256(text.encode()).digest()
    text = "view1 multi 3\n" + "\n".join(each.view.hex() for each in singles if each.view)
    assert found.view == hashlib.sha256(text.encode()).digest()
    assert found.image is not None
    assert found.image.frames == 3


def test_a_thumbnail_does_not_belong_to_the_picture() -> None:
    picture, small = bytes(range(48)), bytes(6)
    main = page(8, 6, strips=[picture])
    both = build(main, page(3, 2, strips=[small], tags={254: (4, [1])}))
    found = analysed(both)
    assert found.pixels == analysed(build(main)).pixels
    assert [each.role for each in found.pages] == [PageRole.PAGE, PageRole.THUMBNAIL]
    assert found.pages[1].pixels == analysed(build(page(3, 2, strips=[small]))).pixels


def test_a_broken_thumbnail_does_not_touch_the_picture_and_has_no_digest() -> None:
    main = page(8, 6, strips=[bytes(range(48))])
    found = analysed(build(main, page(3, 2, strips=[b"x"], tags={254: (4, [1])})))
    assert found.fidelity is Fidelity.EXACT
    assert (found.pages[0].pixels is None, found.pages[1].pixels) == (False, None)


def test_full_resolution_sub_directories_make_the_picture_of_a_raw_file() -> None:
    full = page(8, 6, strips=[bytes(range(48))], tags={254: (4, [0])})
    preview = page(3, 2, strips=[bytes(6)], tags={254: (4, [1]), 274: (3, [6])}, children={330: [full]})
    found = analysed(build(preview))
    assert found.image is not None
    assert (found.image.width, found.image.orientation) == (8, 6)
    straight = analysed(build(page(8, 6, strips=[bytes(range(48))], tags={274: (3, [6])})))
    assert (found.pixels, found.view) == (straight.pixels, straight.view)


def test_each_page_is_turned_by_its_own_orientation() -> None:
    one = page(8, 6, strips=[bytes(range(48))], tags={274: (3, [6])})
    other = page(8, 6, strips=[bytes(range(48))])
    found = analysed(build(one, other))
    assert found.pages[0].pixels == found.pages[1].pixels
    assert found.pages[0].view == analysed(build(one)).view
    assert found.pages[1].view == analysed(build(other)).view


def test_one_page_without_samples_makes_the_file_damaged_and_leaves_no_digest() -> None:
    good = page(8, 6, strips=[zlib.compress(bytes(48))], tags={259: (3, [8])})
    bad = page(8, 6, strips=[b"no stream"], tags={259: (3, [8])})
    found = analysed(build(good, bad))
    assert (found.fidelity, found.pixels, found.view) == (Fidelity.DAMAGED, None, None)
    assert "image 2 of 2" in str(found.reason)
    assert found.pages[0].pixels is not None


# ---------------------------------------------------------------------------------------------- classes


@pytest.mark.parametrize(
    ("content", "fidelity", "words"),
    [
        (b"", Fidelity.UNDECODABLE, "empty"),
        (b"plain words", Fidelity.UNDECODABLE, "text"),
        (bytes(5000), Fidelity.UNDECODABLE, "zero bytes"),
        (b"II*\0\xff\xff\xff\x7f", Fidelity.UNDECODABLE, "truncated"),
        (b"\x89PNG\r\n\x1a\n", Fidelity.UNDECODABLE, ""),
        (b"\xff\xd8\xff\xe0", Fidelity.UNDECODABLE, ""),
        (b"GIF89a", Fidelity.UNDECODABLE, ""),
        (b"BM" + bytes(12) + b"\x28\0\0\0", Fidelity.UNDECODABLE, ""),
    ],
)
def test_what_is_no_image_says_why(content: bytes, fidelity: Fidelity, words: str) -> None:
    found = analysed(content)
    assert (found.fidelity, found.pixels, found.view) == (fidelity, None, None)
    assert found.reason
    assert words in found.reason


def test_a_truncated_file_is_damaged_by_proof_of_its_header() -> None:
    content = tiff(noise(40, 40, 3), rowsperstrip=10)
    with tifffile.TiffFile(BytesIO(content)) as file:
        end = file.pages[0].dataoffsets[-1] + 5
    found = analysed(content[:end])
    assert found.fidelity is Fidelity.DAMAGED
    assert "beyond the end of the file" in str(found.reason)
    assert str(printed(Level.PIXELS, found.fidelity, found.pixels)).startswith("pix1-damaged:")
    assert found.pixels != analysed(content).pixels


def test_defects_are_said_once() -> None:
    content = build(page(8, 6, strips=[bytes(20)]))
    reason = str(analysed(content).reason)
    parts = reason.split("; ")
    assert len(parts) == len(set(parts))


def test_a_file_beyond_the_byte_limit_is_not_even_parsed() -> None:
    content = tiff(noise(40, 40))
    found = analysed(content, limits=Limits(decode_bytes=len(content) - 1))
    reason = f"too large: raise decode_limit_bytes to {len(content)}"
    assert (found.fidelity, found.reason, found.image) == (Fidelity.UNVERIFIED, reason, None)


def test_an_image_beyond_the_pixel_limit_keeps_its_facts() -> None:
    for content in (tiff(noise(40, 40)), pillow(noise(40, 40), "PNG"), pillow(noise(40, 40), "JPEG")):
        found = analysed(content, limits=Limits(decode_pixels=1599), loaders=True)
        assert (found.fidelity, found.reason, found.pixels) == (
            Fidelity.UNVERIFIED,
            "too large: raise decode_limit_pixels to 1600",
            None,
        )
        assert found.image is not None
        assert (found.image.width, found.payload is None) == (40, False)
        assert found.loaders is not None
        assert found.loaders.pillow_tobytes_md5 is None


def test_samples_that_would_not_fit_into_the_memory_limit_are_not_decoded() -> None:
    strip = zlib.compress(bytes(8 * 100 * 100))
    content = build(page(100, 100, strips=[strip], tags={258: (3, [64]), 259: (3, [8])}))
    assert analysed(content).fidelity is Fidelity.EXACT
    found = analysed(content, limits=Limits(memory_bytes=100_000))
    assert (found.fidelity, found.reason, found.pixels) == (
        Fidelity.UNVERIFIED,
        "too large: raise worker_memory_bytes to 240000",
        None,
    )


def test_formats_without_a_header_parser_prove_nothing() -> None:
    array = noise(20, 30, 3)
    assert analysed(pillow(array, "TGA")).fidelity in (Fidelity.UNVERIFIED, Fidelity.UNDECODABLE)
    assert analysed(pillow(array, "QOI")).fidelity is Fidelity.UNVERIFIED


def test_avif_and_jpeg2000_are_decoded_with_every_declared_bit() -> None:
    import imagecodecs

    array = noise(20, 30, 3)
    deep = array.astype(np.uint16) * 4
    files = {
        ("AVIF", "u8"): pillow(array, "AVIF"),
        ("AVIF", "u10"): imagecodecs.avif_encode(deep, bitspersample=10),
        ("JPEG2000", "u8"): pillow(array, "JPEG2000"),
        ("JPEG2000", "u16"): imagecodecs.jpeg2k_encode(deep * 60, reversible=True),
    }
    for (form, dtype), content in files.items():
        found = analysed(bytes(content))
        assert (found.fidelity, found.image and found.image.format) == (Fidelity.DECODER, form), found.reason
        assert found.image is not None
        assert (found.image.width, found.image.height, found.image.dtype) == (30, 20, dtype)
    lossless = analysed(bytes(files["JPEG2000", "u16"]))
    assert lossless.pixels == analysed(tiff(deep * 60)).pixels


def test_an_animated_avif_is_not_taken_for_its_first_frame() -> None:
    images = [Image.fromarray(noise(20, 30, 3)) for _ in range(2)]
    buffer = BytesIO()
    images[0].save(buffer, "AVIF", save_all=True, append_images=images[1:], duration=50)
    assert analysed(buffer.getvalue()).fidelity is Fidelity.UNVERIFIED


# ------------------------------------------------------------------------------------------- complaints


def test_what_decoders_say_on_descriptor_2_makes_a_file_damaged() -> None:
    content = tiff(noise(9, 9))
    found = analysed(content, complaints=lambda: ["Fax4Decode: Bad code word at line 3 of strip 0"])
    assert found.fidelity is Fidelity.DAMAGED
    assert "Bad code word" in str(found.reason)
    assert found.complaints == ("Fax4Decode: Bad code word at line 3 of strip 0",)
    assert found.pixels == analysed(content).pixels


@pytest.mark.parametrize(
    "line",
    [
        "TIFFReadDirectory: Warning, Unknown field with tag 42034 (0xa432) encountered.",
        "PNG warning: iCCP: known incorrect sRGB profile",
        "PNG warning: hIST: out of place",
    ],
)
def test_harmless_words_are_kept_and_change_nothing(line: str) -> None:
    content = pillow(noise(9, 9), "PNG")
    found = analysed(content, complaints=lambda: [line])
    assert (found.fidelity, found.complaints) == (Fidelity.EXACT, (line,))


@pytest.mark.parametrize("line", ["PNG warning: tRNS: invalid", "PNG warning: IDAT: Too much image data"])
def test_words_about_samples_are_not_harmless(line: str) -> None:
    assert analysed(pillow(noise(9, 9), "PNG"), complaints=lambda: [line]).fidelity is Fidelity.DAMAGED


def test_libtiff_is_heard_through_the_real_descriptor() -> None:
    black = (RNG.random((64, 64)) > 0.9).astype(np.uint8) * 255
    buffer = BytesIO()
    Image.fromarray(black).convert("1").save(buffer, "TIFF", compression="group4")
    program = """
import os, sys, tempfile
from catalog.pixels.analyse import analyse
from catalog.pixels.structure import parse
from catalog.terms import Limits
content = bytearray(sys.stdin.buffer.read())
tiff = parse(bytes(content)).frames[0].tiff
file = tempfile.TemporaryFile()
os.dup2(file.fileno(), 2)
def said():
    os.lseek(2, 0, 0)
    return os.read(2, 10000).decode().splitlines()
print(analyse(bytes(content), limits=Limits(), complaints=said).fidelity)
content[tiff.offsets[0] + 30] ^= 0xFF
found = analyse(bytes(content), limits=Limits(), complaints=said)
print(found.fidelity.sound, bool(found.complaints) or "disagree" in found.reason)
"""
    ran = subprocess.run(
        [sys.executable, "-c", program], input=buffer.getvalue(), capture_output=True, check=True
    )
    assert ran.stdout.decode().splitlines() == ["exact", "False True"]


def test_what_libpng_says_through_imagecodecs_is_heard_without_a_descriptor() -> None:
    content = pillow(noise(9, 9), "PNG")
    at = content.index(b"IDAT")
    length = int.from_bytes(content[at - 4 : at], "big")
    body = b"IDAT" + zlib.compress(
        zlib.decompress(content[at + 4 : at + 4 + length]) + b"more than the image needs"
    )
    chunk = (len(body) - 4).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")
    found = analysed(content[: at - 4] + chunk + content[at + 8 + length :])
    assert found.fidelity is Fidelity.DAMAGED
    assert any("Too much image data" in line for line in found.complaints)
    assert analysed(content).complaints == ()


def test_python_warnings_are_complaints() -> None:
    buffer = BytesIO()
    Image.fromarray(noise(16, 16, 3)).save(buffer, "ICO", sizes=[(16, 16)])
    content = bytearray(buffer.getvalue())
    content[6] = 20  # the width that the directory tells
    found = analysed(bytes(content))
    assert not found.fidelity.sound
    assert any("not the expected size" in line for line in found.complaints)


# ----------------------------------------------------------------------------------------- hostile bytes


def test_no_flipped_or_lost_byte_ever_raises() -> None:
    rgb, gray = noise(12, 14, 3), noise(12, 14)
    whole = [
        tiff(rgb),
        tiff(rgb, compression="lzw", predictor=True, tile=(16, 16)),
        tiff(gray, compression="zlib"),
        tiff(gray.astype("f4"), compression="zstd", predictor=3),
        tiff(rgb, compression="jpeg"),
        pillow(rgb, "PNG"),
        pillow(rgb, "JPEG"),
        pillow(gray, "GIF"),
        pillow(rgb, "BMP"),
        pillow(rgb, "WEBP"),
        pillow(gray, "PPM"),
        pillow(rgb, "TIFF", compression="packbits"),
    ]
    random = np.random.default_rng(1)
    for content in whole:
        for _ in range(25):
            broken = bytearray(content)
            for at in random.integers(0, min(len(content), 600), random.integers(1, 4)):
                broken[at] ^= 0xFF
            found = analysed(bytes(broken), limits=Limits(decode_pixels=1_000_000))
            assert isinstance(found.fidelity, Fidelity)
            assert found.fidelity is Fidelity.EXACT or found.fidelity is Fidelity.DECODER or found.reason
            analysed(content[: int(random.integers(0, len(content)))])


# ---------------------------------------------------------------------------------------------- the epoch


def test_the_epoch_is_the_same_every_time_and_every_canary_lives() -> None:
    assert epoch() == epoch()
    found = canaries()
    assert len(found) > 25
    with_heif = importlib.util.find_spec("pillow_heif") is not None
    alive = ("exact", "decoder", "unverified")
    dead = [name for name, fidelity, pixels in found if fidelity not in alive or pixels == "-"]
    assert [name for name, fidelity, _ in found if fidelity == "unverified"] == ["animated.gif"]
    assert dead == ([] if with_heif else [HEIF_CANARY])


def test_canaries_that_hold_the_same_picture_agree() -> None:
    digests = {name: pixels for name, _, pixels in canaries()}
    assert len({digests[name] for name in ("lzw.tif", "zstd.tif", "lossless.webp", "reversible.jp2")}) == 1
    assert digests["deep.png"] == digests["deflate.tif"]
    assert digests["arithmetic.jpg"] == digests["baseline-420.jpg"]
    lossy = [pixels for name, pixels in digests.items() if name.startswith("baseline-")]
    assert len(set(lossy)) == len(lossy)


def test_the_toolchain_names_its_libraries_without_importing_opencv() -> None:
    names = [name for name, _ in components()]
    assert names == sorted(names)
    assert {"Pillow", "imagecodecs", "numpy"} <= set(names)
    program = (
        "import sys; from catalog.pixels.epoch import toolchain; toolchain(); print('cv2' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"


def test_the_toolchain_is_found_out_in_a_moment() -> None:
    toolchain()
    before = time.process_time()
    found = toolchain()
    assert time.process_time() - before < 0.5
    assert (found.spec, len(found.epoch)) == (1, 32)
