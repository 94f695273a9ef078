"""The TIFF walker: directories, tags, and files that lie about them."""

from __future__ import annotations

import hashlib
import struct
from typing import Any

import pytest

from catalog.pixels.structure import Frame, NotAnImage, parse
from catalog.pixels.tiff import MAX_DIRECTORIES
from catalog.terms import TAG_RAW_LIMIT, Fidelity, IfdKind, PageRole, Tag
from tests.unit.tiff_bytes import build, page

ORDERS = pytest.mark.parametrize("order", ["little", "big"])
SIZES = pytest.mark.parametrize("big", [False, True], ids=["classic", "big"])


def first(content: bytes) -> Frame:
    return parse(content).frames[0]


def tags(content: bytes, index: int = 0) -> dict[int, Tag]:
    return {tag.code: tag for tag in parse(content).ifds[index].tags}


def gray(**more: Any) -> bytes:
    return build(page(**more))


@ORDERS
@SIZES
def test_values_are_little_endian_whatever_the_file_is(order: str, big: bool) -> None:
    values: dict[int, tuple[int, Any]] = {
        65000: (1, [1, 2, 250]),
        65001: (2, b"first\0second\0"),
        65002: (3, [1, 515, 65535, 7, 9]),
        65003: (4, [70_000]),
        65004: (5, [(72, 1), (3, 7)]),
        65006: (6, [-3]),
        65007: (7, b"\1\2\3\4\5\6\7\x08\x09"),
        65008: (8, [-30_000, 2]),
        65009: (9, [-70_000]),
        65010: (10, [(-1, 3)]),
        65011: (11, [1.5]),
        65012: (12, [-2.25, 1e300]),
        65016: (16, [2**40]),
        65017: (17, [-(2**40)]),
    }
    found = tags(build(page(tags=values), order=order, big=big))
    assert found[65000].value == [1, 2, 250]
    assert found[65001].value == ["first", "second"]
    assert found[65002].value == [1, 515, 65535, 7, 9]
    assert found[65004].value == [[72, 1], [3, 7]]
    assert found[65007].raw == b"\1\2\3\4\5\6\7\x08\x09"
    assert found[65010].value == [[-1, 3]]
    assert found[65012].value == [-2.25, 1e300]
    little = tags(build(page(tags=values)))
    for code, (kind, content) in values.items():
        assert found[code].raw == little[code].raw
        assert (found[code].type, found[code].count) == (kind, len(content))
        assert found[code].broken is None
        assert found[code].name == f"0x{code:04x}" or found[code].name


@ORDERS
@SIZES
def test_structure_is_the_same_in_every_order_and_size(order: str, big: bool) -> None:
    structure = parse(build(page(), order=order, big=big))
    assert structure.layout.byte_order == order
    assert structure.layout.container == ("BigTIFF" if big else "TIFF")
    frame = structure.frames[0]
    assert (frame.width, frame.height, frame.model, frame.dtype) == (4, 3, "gray", "u8")
    assert frame.tiff is not None
    assert frame.tiff.counts == (12,)
    assert structure.defects == ()


@SIZES
def test_children_come_right_after_their_directory(big: bool) -> None:
    exif = page(tags={36864: (7, b"0300"), 33434: (5, [(1, 60)])}, strips=[])
    exif.children[40965] = [page(tags={1: (2, b"R98\0")}, strips=[])]
    gps = page(tags={1: (2, b"N\0"), 2: (5, [(1, 1), (2, 1), (3, 1)])}, strips=[])
    main = page(children={330: [page(), page(width=2)], 34665: [exif], 34853: [gps]})
    structure = parse(build(main, page(), big=big))
    assert [(ifd.index, ifd.kind, ifd.parent) for ifd in structure.ifds] == [
        (0, IfdKind.PAGE, None),
        (1, IfdKind.SUBIFD, 0),
        (2, IfdKind.SUBIFD, 0),
        (3, IfdKind.EXIF, 0),
        (4, IfdKind.INTEROP, 3),
        (5, IfdKind.GPS, 0),
        (6, IfdKind.PAGE, None),
    ]
    by_name = {tag.name: tag.value for tag in structure.ifds[5].tags}
    assert by_name["GPSLatitudeRef"] == ["N"]
    assert {"InteroperabilityIndex"} <= {tag.name for tag in structure.ifds[4].tags}
    assert [(frame.ifd, frame.role, frame.counted) for frame in structure.frames] == [
        (0, PageRole.PAGE, True),
        (1, PageRole.SUBIFD, False),
        (2, PageRole.SUBIFD, False),
        (6, PageRole.PAGE, True),
    ]


def test_subifds_may_be_chained() -> None:
    content = bytearray(build(page(children={330: [page(width=1), page(width=2)]})))
    structure = parse(bytes(content))
    offsets = {
        ifd.index: frame for frame in structure.frames for ifd in structure.ifds if ifd.index == frame.ifd
    }
    second = offsets[2].tiff
    last = offsets[1].tiff
    assert second is not None and last is not None
    # Drop the second pointer and hang its directory behind the first one instead.
    number = struct.unpack_from("<H", content, last.ifd_offset)[0]
    struct.pack_into("<I", content, last.ifd_offset + 2 + 12 * number, second.ifd_offset)
    pointer = tags(bytes(content))[330]
    at = content.index(pointer.raw)
    struct.pack_into("<I", content, at + 4, last.ifd_offset)
    again = parse(bytes(content))
    assert [(ifd.kind, ifd.parent) for ifd in again.ifds] == [
        (IfdKind.PAGE, None),
        (IfdKind.SUBIFD, 0),
        (IfdKind.SUBIFD, 0),
    ]


def test_a_loop_of_directories_ends_and_is_damage() -> None:
    content = bytearray(build(page(), page()))
    offset = struct.unpack_from("<I", content, 4)[0]
    structure = parse(bytes(content))
    second = structure.frames[1].tiff
    assert second is not None
    number = struct.unpack_from("<H", content, second.ifd_offset)[0]
    struct.pack_into("<I", content, second.ifd_offset + 2 + 12 * number, offset)
    again = parse(bytes(content))
    assert len(again.frames) == 2
    assert again.defects == (f"the chain of directories leads back to byte {offset}",)


def test_a_shared_exif_directory_is_listed_once_and_no_damage() -> None:
    content = bytearray(build(page(children={34665: [page(strips=[])]}), page(tags={34665: (4, [0])})))
    structure = parse(bytes(content))
    pointer = tags(bytes(content))[34665].raw
    second = structure.frames[1].tiff
    assert second is not None
    at = content.index(struct.pack("<HHII", 34665, 4, 1, 0), second.ifd_offset)
    content[at + 8 : at + 12] = pointer
    again = parse(bytes(content))
    assert [ifd.kind for ifd in again.ifds].count(IfdKind.EXIF) == 1
    assert again.defects == ()


def test_thumbnails_and_masks_do_not_count() -> None:
    structure = parse(
        build(
            page(tags={254: (4, [1])}),
            page(),
            page(tags={254: (4, [4])}),
            page(tags={255: (3, [2])}),
            page(tags={255: (3, [3])}),
            page(tags={254: (4, [2])}),
        )
    )
    assert [frame.role.value for frame in structure.frames] == [
        "thumbnail",
        "page",
        "mask",
        "thumbnail",
        "page",
        "page",
    ]
    assert [frame.counted for frame in structure.frames] == [False, True, False, False, True, True]


def test_raw_photographs_count_their_full_resolution_subifds() -> None:
    raw = page(tags={254: (4, [0]), 262: (3, [32803]), 258: (3, [16])}, strips=[bytes(24)])
    preview = page(tags={254: (4, [1])})
    structure = parse(build(page(tags={254: (4, [1]), 274: (3, [6])}, children={330: [raw, preview]})))
    assert [(frame.role.value, frame.model, frame.counted) for frame in structure.frames] == [
        ("thumbnail", "gray", False),
        ("subifd", "cfa", True),
        ("thumbnail", "gray", False),
    ]
    assert structure.orientation == 6


def test_a_file_of_thumbnails_counts_its_first() -> None:
    structure = parse(build(page(tags={254: (4, [1])}), page(tags={254: (4, [1])})))
    assert [frame.counted for frame in structure.frames] == [True, False]


# ------------------------------------------------------------------------------------ broken and hostile


def test_hostile_counts_and_offsets_become_broken_tags() -> None:
    content = bytearray(gray(tags={270: (2, b"a description\0")}))
    at = content.index(struct.pack("<HH", 270, 2))
    for count, offset in ((0xFFFFFFFF, 8), (14, 0xFFFFFFF0), (0xFFFFFFFF, 0xFFFFFFFF)):
        struct.pack_into("<II", content, at + 4, count, offset)
        tag = tags(bytes(content))[270]
        assert tag.count == count
        assert tag.broken is not None and "beyond the end" in tag.broken
        assert first(bytes(content)).defects == ()


def test_unknown_types_are_kept() -> None:
    content = bytearray(gray(tags={65000: (1, [1, 2, 3, 4])}))
    at = content.index(struct.pack("<HH", 65000, 1))
    struct.pack_into("<H", content, at + 2, 99)
    tag = tags(bytes(content))[65000]
    assert (tag.type, tag.raw, tag.broken) == (99, b"\1\2\3\4", "unknown field type 99")
    assert tag.type_name == "99"


def test_values_that_overlap_cannot_be_read_without_end() -> None:
    # A million bytes of value, pointed to by 4,000 tags: 4 GB if each were believed.
    long = dict.fromkeys(range(40_000, 44_000), (7, b"12345678"))
    content = bytearray(gray(tags=long) + bytes(1_000_000))
    start = content.index(struct.pack("<HH", 40_000, 7))
    for index in range(4_000):
        struct.pack_into("<II", content, start + 12 * index + 4, 1_000_000, 64)
    found = parse(bytes(content)).ifds[0].tags
    broken = [tag for tag in found if tag.broken is not None]
    assert len(broken) > 3_900
    assert all("overlaps" in str(tag.broken) for tag in broken)


def test_long_values_are_cut_and_hashed() -> None:
    value = bytes(range(256)) * 300
    content = build(page(tags={65000: (7, value), 65001: (3, list(range(40_000)))}), order="big")
    cut, shorts = tags(content)[65000], tags(content)[65001]
    assert len(cut.raw) == TAG_RAW_LIMIT
    assert cut.sha256 == hashlib.sha256(value).digest()
    assert cut.count == len(value)
    whole = struct.pack("<40000H", *range(40_000))
    assert shorts.raw == whole[:TAG_RAW_LIMIT]
    assert shorts.sha256 == hashlib.sha256(whole).digest()
    full = {tag.code: tag for tag in parse(content, full_values=True).ifds[0].tags}
    assert full[65000].raw == value and full[65000].sha256 is None
    assert full[65001].raw == whole


def test_many_strips_are_read_in_full_though_their_tag_is_cut() -> None:
    height = 20_000
    structure = parse(
        gray(width=1, height=height, strips=[b"x"] * height, tags={278: (4, [1])}), payload=False
    )
    tiff = structure.frames[0].tiff
    assert tiff is not None
    assert len(tiff.offsets) == len(tiff.counts) == height
    assert len({tag.code: tag for tag in structure.ifds[0].tags}[273].raw) == TAG_RAW_LIMIT
    assert structure.layout.segments == height
    assert structure.defects == ()


def test_a_directory_of_thousands_of_tags_is_garbage() -> None:
    structure = parse(gray(tags=dict.fromkeys(range(40_000, 45_000), (3, [1]))))
    assert structure.defects == ("directory 0 is cut: 4,096 of its 5,009 tags were read",)
    assert len(structure.ifds[0].tags) == 4_096


@pytest.mark.slow
def test_a_chain_longer_than_the_limit_is_unverified() -> None:
    # 70,000 directories of one pixel each, 5 MB: as long as an honest file may take, and no longer.
    entries = [(256, 3, 1, 1), (257, 3, 1, 1), (273, 4, 1, 8), (279, 4, 1, 1)]
    body = struct.pack("<H", 4) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    step = len(body) + 4
    chain = b"".join(body + struct.pack("<I", 12 + step * (index + 1)) for index in range(70_000))
    structure = parse(b"II*\0" + struct.pack("<I", 12) + bytes(4) + chain + bytes(2))
    assert len(structure.frames) == MAX_DIRECTORIES
    assert {frame.fidelity for frame in structure.frames} == {Fidelity.UNVERIFIED}
    assert structure.frames[0].fidelity_reason == structure.payload_reason
    assert "only the first 65,536 were read" in str(structure.payload_reason)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"II*\0" + struct.pack("<I", 23_816) + bytes(20_472), "byte 23,816 of 20,480"),
        (b"II*\0\x08\0\0", "7 bytes are no TIFF header"),
        (b"MM\0*" + bytes(4), "never written"),
        (b"II*\0\x08\0\0\0\0\0\0\0\0\0", "no valid directory at byte 8"),
        (b"II+\0\4\0\0\0" + bytes(16), "offset size other than 8"),
    ],
)
def test_a_file_without_a_directory_says_so(content: bytes, reason: str) -> None:
    with pytest.raises(NotAnImage, match=reason) as caught:
        parse(content)
    assert caught.value.claims == "TIFF"
    assert caught.value.format is None


def test_a_page_beyond_the_end_is_truncation() -> None:
    content = build(page(), page())
    second = parse(content).frames[1].tiff
    assert second is not None
    cut = content[: second.offsets[0]]
    structure = parse(cut)
    assert len(structure.frames) == 1
    assert structure.defects == (f"truncated: directory 1 is at byte {second.ifd_offset} of {len(cut)}",)


def test_a_directory_that_is_cut_keeps_what_fits() -> None:
    content = gray()
    structure = parse(content[:-20])
    assert any("directory 0 is cut" in defect for defect in structure.defects)
    assert {tag.code for tag in structure.ifds[0].tags} >= {256, 257, 258}
