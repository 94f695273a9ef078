"""Which image format the first bytes claim, by Pillow's names. No claim is believed any further than that."""

from __future__ import annotations

from typing import Final

# (offset, bytes, format). The first match counts.
_MAGIC: Final[tuple[tuple[int, bytes, str], ...]] = (
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
    (0, b"II+\0", "TIFF"),
    (0, b"MM\0+", "TIFF"),
    (0, b"GIF87a", "GIF"),
    (0, b"GIF89a", "GIF"),
    (0, b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG2000"),
    (0, b"8BPS\0\1", "PSD"),
    (0, b"\0\0\1\0", "ICO"),
    (0, b"icns", "ICNS"),
    (0, b"DDS ", "DDS"),
    (0, b"qoif", "QOI"),
    (0, b"\x01\xda", "SGI"),
    (0, b"\x59\xa6\x6a\x95", "SUN"),
    (0, b"\xb1\x68\xde\x3a", "DCX"),
    (0, b"/* XPM */", "XPM"),
    (0, b"SIMPLE  =", "FITS"),
    (0, b"%!PS", "EPS"),
    (0, b"\xc5\xd0\xd3\xc6", "EPS"),
    (0, b"\xd7\xcd\xc6\x9a\0\0", "WMF"),
    (0, b"DanM", "MSP"),
    (0, b"LinS", "MSP"),
    (0, b"\x80\xe8\0\0", "PIXAR"),
    (0, b"BLP1", "BLP"),
    (0, b"BLP2", "BLP"),
    (0, b"FTEX", "FTEX"),
    (0, b"FTU\0", "FTEX"),
    (0, b"\0\0\0\0\0\0\0\4", "MCIDAS"),
    (0, b"\0\0\1\xb3", "MPEG"),
    (0, b"\x89HDF\r\n\x1a\n", "HDF5"),
    (0, b"GRIB", "GRIB"),
    (0, b"BUFR", "BUFR"),
    (0, b"ZCZC", "BUFR"),
    (4, b"\x11\xaf", "FLI"),
    (4, b"\x12\xaf", "FLI"),
    (20, b"GIMP", "GBR"),
    (2048, b"PCD_", "PCD"),
)
_FOUR: Final = {magic: name for at, magic, name in _MAGIC if at == 0 and len(magic) == 4}
_AVIF_BRANDS: Final = frozenset((b"avif", b"avis"))
_HEIF_BRANDS: Final = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"))
_PNM: Final = frozenset(b"1234567Ffy")
_BMP_HEADERS: Final = frozenset((12, 16, 40, 52, 56, 64, 108, 124))
_EMF: Final = b" EMF"


def sniff(data: bytes | memoryview) -> str | None:
    """Pillow's name of the format that the first (TGA: the last) bytes claim, ``HEIF``, or None.

    Formats without a signature of their own (raw, DIB, SPIDER, IM) are not recognised.
    """
    view = memoryview(data)
    head = bytes(view[:64])
    if head[:4] in _FOUR:
        return _FOUR[head[:4]]
    for at, magic, name in _MAGIC:
        found = head[at : at + len(magic)] if at < 64 else bytes(view[at : at + len(magic)])
        if found == magic:
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BMP_HEADERS:
        return "BMP"
    if head[4:8] == b"ftyp":
        return _boxes(head)
    return _weak(view, head)


def _boxes(head: bytes) -> str | None:
    """AVIF and HEIF by the brands of the file type box; other ISO media (MP4) are no pictures."""
    length = min(int.from_bytes(head[:4], "big"), len(head))
    brands = {head[8:12], *(head[at : at + 4] for at in range(16, length, 4))}
    if not _AVIF_BRANDS.isdisjoint(brands):
        return "AVIF"
    return None if _HEIF_BRANDS.isdisjoint(brands) else "HEIF"


def _weak(view: memoryview, head: bytes) -> str | None:
    """Signatures of two bytes or less, believed only with a second sign."""
    if head[:1] == b"P" and len(head) > 2 and head[1] in _PNM and head[2] in b" \t\r\n#":
        return "PPM"
    if head[:1] == b"\n" and head[1:2] in (b"\0", b"\2", b"\3", b"\5") and head[2:3] in (b"\0", b"\1"):
        return "PCX"
    if head[:4] == b"\1\0\0\0" and head[40:44] == _EMF:
        return "WMF"
    if head.lstrip().startswith(b"#define") and b"_width" in bytes(view[:512]):
        return "XBM"
    if bytes(view[-18:]) == b"TRUEVISION-XFILE.\0" or _looks_like_tga(head):
        return "TGA"
    return "CUR" if head[:4] == b"\0\0\2\0" and head[4:6] != b"\0\0" else None


def _looks_like_tga(head: bytes) -> bool:
    """TGA of before 1989 has no signature: every field of its header must make sense."""
    if len(head) < 18:
        return False
    map_type, kind, map_depth = head[1], head[2], head[7]
    width, height = int.from_bytes(head[12:14], "little"), int.from_bytes(head[14:16], "little")
    depths = {1: (8, 16), 2: (15, 16, 24, 32), 3: (1, 8, 16)}.get(kind & ~8, ())
    mapped = map_depth in (15, 16, 24, 32) if map_type else head[3:8] == bytes(5)
    return map_type <= 1 and mapped and width > 0 and height > 0 and head[16] in depths and head[17] < 0x40
