"""``pay1``: a metadata edit keeps it, anything that a decoder would see changes it."""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from catalog.pixels.structure import parse
from tests.unit.tiff_bytes import build, page


def pay1(content: bytes) -> bytes:
    digest = parse(content).payload
    assert digest is not None, parse(content).payload_reason
    return digest


def picture(mode: str = "RGB") -> Image.Image:
    return Image.effect_noise((33, 21), 60).convert(mode)


def saved(image: Image.Image, form: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def exif(orientation: int) -> Image.Exif:
    block = Image.Exif()
    block[274] = orientation
    block[315] = "Somebody"
    return block


def test_the_definition_holds_for_a_pgm() -> None:
    # By hand from the definition in catalog/pixels/payload.py: others must be able to compute it.
    header = b"5 2 1 1 255 0.0 "
    framed = b"pay1\nPPM\nheader %d\n%bpixels 2\n\7\x09" % (len(header), header)
    assert pay1(b"P5\n# a comment\n2 1\n255\n\7\x09") == hashlib.sha256(framed).digest()


def test_the_definition_holds_for_a_png() -> None:
    content = saved(Image.new("L", (2, 2)), "PNG")
    header = content[16:29]
    length = struct.unpack(">I", content[33:37])[0]
    assert content[37:41] == b"IDAT"
    data = content[41 : 41 + length]
    framed = b"pay1\nPNG\nIHDR 13\n%bIDAT %d\n%b" % (header, length, data)
    assert pay1(content) == hashlib.sha256(framed).digest()


def test_no_payload_when_it_is_not_asked_for() -> None:
    structure = parse(saved(picture(), "PNG"), payload=False)
    assert (structure.payload, structure.payload_reason) == (None, None)


# ---------------------------------------------------------------------------------------- what must not count

Edit = tuple[str, Callable[[], tuple[bytes, bytes]]]


def jpeg_edit() -> tuple[bytes, bytes]:
    stream = io.BytesIO(saved(picture(), "JPEG", quality=80))
    plain = stream.getvalue()
    comment = b"\xff\xfe\0\x0aa comment"[:12]
    exif_block = exif(6).tobytes()
    app1 = b"\xff\xe1" + struct.pack(">H", 2 + len(exif_block)) + exif_block
    return plain, plain[:2] + app1 + plain[2:20] + comment + plain[20:]


def png_edit() -> tuple[bytes, bytes]:
    plain = saved(picture(), "PNG")
    at = plain.index(b"IDAT") - 4
    words = b"tEXtTitle\0words"
    text = struct.pack(">I", len(words) - 4) + words + struct.pack(">I", zlib.crc32(words))
    return plain, plain[:at] + text + plain[at:]


def png_rechunked() -> tuple[bytes, bytes]:
    plain = saved(picture(), "PNG")
    at = plain.index(b"IDAT") - 4
    length = struct.unpack(">I", plain[at : at + 4])[0]
    stream = plain[at + 8 : at + 8 + length]
    parts = [b"IDAT" + stream[:100], b"IDAT", b"IDAT" + stream[100:]]
    chunks = [struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part)) for part in parts]
    return plain, plain[:at] + b"".join(chunks) + plain[at + 12 + length :]


def webp_edit(lossless: bool, mode: str) -> tuple[bytes, bytes]:
    image = picture(mode)
    if mode == "RGBA":
        image.putalpha(picture("L"))
    return saved(image, "WEBP", lossless=lossless), saved(image, "WEBP", lossless=lossless, exif=exif(3))


def gif_edit() -> tuple[bytes, bytes]:
    first, second = picture("P"), picture("P").rotate(180)
    options = {"save_all": True, "append_images": [second]}
    return (
        saved(first, "GIF", duration=40, **options),
        saved(first, "GIF", duration=90, comment=b"words", loop=3, **options),
    )


def tiff_edit(order: str) -> tuple[bytes, bytes]:
    more = {315: (2, b"Somebody\0"), 274: (3, [6]), 282: (5, [(300, 1)]), 700: (1, bytes(500))}
    edited = page(tags={**more, 256: (3, [4]), 339: (3, [1])}, children={34665: [page(strips=[])]})
    return build(page(), page(), order=order), build(edited, page(), order=order, padding=64)


EDITS: list[Edit] = [
    ("JPEG", jpeg_edit),
    ("PNG", png_edit),
    ("PNG IDAT", png_rechunked),
    ("WebP lossy", lambda: webp_edit(False, "RGB")),
    ("WebP lossy alpha", lambda: webp_edit(False, "RGBA")),
    ("WebP lossless", lambda: webp_edit(True, "RGB")),
    ("WebP lossless alpha", lambda: webp_edit(True, "RGBA")),
    ("GIF", gif_edit),
    ("TIFF little", lambda: tiff_edit("little")),
    ("TIFF big", lambda: tiff_edit("big")),
    ("BMP", lambda: (saved(picture(), "BMP"), saved(picture(), "BMP", dpi=(300, 300)))),
    ("PPM", lambda: (b"P6 1 1 255\nabc", b"P6\n# words\n1 1\n255\nabc")),
]


@pytest.mark.parametrize("edit", [edit for _, edit in EDITS], ids=[name for name, _ in EDITS])
def test_metadata_edits_keep_the_payload(
    edit: Callable[[], tuple[bytes, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = picture()  # one picture: effect_noise gives another each time
    monkeypatch.setitem(globals(), "picture", lambda mode="RGB": noise.convert(mode))
    before, after = edit()
    assert before != after
    assert pay1(before) == pay1(after)


def test_eight_bit_samples_have_no_byte_order_and_deeper_ones_do() -> None:
    assert pay1(build(page(), order="little")) == pay1(build(page(), order="big"))
    deep = page(tags={258: (3, [16])}, strips=[bytes(range(24))])
    assert pay1(build(deep, order="little")) != pay1(build(deep, order="big"))


def test_bigtiff_is_another_container_of_the_same_payload() -> None:
    assert pay1(build(page())) == pay1(build(page(), big=True))


def test_thumbnails_and_subifds_do_not_count() -> None:
    thumbnail = page(width=1, height=1, strips=[b"x"], tags={254: (4, [1])})
    assert pay1(build(page())) == pay1(build(page(children={330: [page()]}), thumbnail))


# ------------------------------------------------------------------------------------------- what must count


def test_every_decode_relevant_tag_of_a_tiff_counts() -> None:
    changes: list[dict[int, Any]] = [
        {},
        {256: (4, [3]), 257: (4, [4]), 278: (4, [4])},
        {262: (3, [0])},
        {266: (3, [2])},
        {339: (3, [2])},
        {259: (3, [5])},
        {259: (3, [5]), 317: (3, [2])},
        {258: (3, [4]), 256: (4, [8])},
        {262: (3, [3]), 320: (3, [257 * (index % 256) for index in range(768)])},
        {262: (3, [3]), 320: (3, [257 * (index % 255) for index in range(768)])},
        {259: (3, [3])},
        {259: (3, [3]), 292: (4, [1])},
        {259: (3, [4])},
        {347: (7, b"\xff\xd8\xff\xd9")},
    ]
    digests = [pay1(build(page(tags=change))) for change in changes]
    assert len(set(digests)) == len(changes)


def test_strip_boundaries_count() -> None:
    rows = bytes(range(12))
    one = build(page(strips=[rows]))
    two = build(page(strips=[rows[:8], rows[8:]], tags={278: (4, [2])}))
    three = build(page(strips=[rows[:4], rows[4:8], rows[8:]], tags={278: (4, [1])}))
    assert len({pay1(one), pay1(two), pay1(three)}) == 3


def test_pages_count_in_their_order() -> None:
    red, blue = page(strips=[bytes(12)]), page(strips=[b"\1" * 12])
    digests = {pay1(build(*pages)) for pages in ((red,), (blue,), (red, blue), (blue, red), (red, red))}
    assert len(digests) == 5


@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "packbits"])
def test_recompression_counts(compression: str | None) -> None:
    array = np.arange(900, dtype="u1").reshape(30, 30)

    def written(**options: Any) -> bytes:
        stream = io.BytesIO()
        tifffile.imwrite(stream, array, **options)
        return stream.getvalue()

    assert pay1(written(compression=compression)) != pay1(written(compression=compression, rowsperstrip=7))
    assert (pay1(written()) == pay1(written(compression=compression))) is (compression is None)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "PPM", "TIFF"])
def test_one_flipped_bit_of_the_samples_counts(form: str) -> None:
    content = bytearray(saved(picture("P" if form == "GIF" else "RGB"), form))
    before = pay1(bytes(content))
    content[-200] ^= 0x10
    after = parse(bytes(content))
    assert after.payload != before
    assert after.payload is not None or after.payload_reason


def test_jpeg_tables_and_color_markers_count() -> None:
    plain = saved(picture(), "JPEG", quality=80)
    at = plain.index(b"\xff\xdb") + 10
    tables = bytearray(plain)
    tables[at] += 1
    jfif = plain.index(b"\xff\xe0")
    without = plain[:jfif] + plain[jfif + 18 :]
    adobe = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\0"
    assert pay1(without) == pay1(plain)  # the components' numbers say YCbCr, too
    assert len({pay1(plain), pay1(bytes(tables)), pay1(without[:2] + adobe + without[2:])}) == 3


def test_two_formats_of_equal_parts_differ() -> None:
    assert pay1(b"P5 1 1 255\nx") != pay1(b"P6 1 1 255\nxyz")


# ------------------------------------------------------------------------------------------------ no payload


def test_damage_and_overlap_have_a_reason_instead() -> None:
    cut = parse(build(page())[:-30])
    assert cut.payload is None and str(cut.payload_reason).startswith("damaged: ")
    many = 5_000
    same = build(
        page(
            width=1,
            height=many,
            strips=[],
            tags={278: (4, [1]), 273: (4, [8] * many), 279: (4, [4_000] * many)},
        ),
        padding=4_000,
    )
    overlapping = parse(same)
    assert overlapping.payload is None
    assert overlapping.payload_reason == "segments overlap: together they are longer than the file"
