"""Whether the compressed streams inside a TIFF are of their codec's lossless kind.

JPEG, WebP and JPEG 2000 exist in both kinds under one compression code, and only the first bytes of each
segment tell: DNG's lossless JPEG is exact, a photograph's JPEG is what a decoder makes of it.
"""

from __future__ import annotations

from catalog.pixels.structure import TiffFrame

_LOSSLESS_HUFFMAN = 0xC3
_NO_LENGTH = frozenset((0x01, *range(0xD0, 0xD9)))


def lossless_stream(view: memoryview, tiff: TiffFrame) -> bool:
    """True when every segment says that it is lossless; False for other codecs, and when in doubt."""
    if tiff.compression in (7, 33007, 34892):
        probe = _jpeg_is_lossless
    elif tiff.compression in (50001, 34927):
        probe = _webp_is_lossless
    elif tiff.compression == 34712:
        probe = _j2k_is_reversible
    else:
        return False
    return bool(tiff.offsets) and all(
        probe(view[offset : offset + count]) for offset, count in zip(tiff.offsets, tiff.counts, strict=True)
    )


def _jpeg_is_lossless(stream: memoryview) -> bool:
    return start_of_frame(stream) == _LOSSLESS_HUFFMAN


def start_of_frame(stream: memoryview) -> int | None:
    """The SOFn marker of a JPEG stream (0xC0 baseline … 0xC3 lossless), None without one before its data."""
    if bytes(stream[:2]) != b"\xff\xd8":
        return None
    at = 2
    while at + 4 <= len(stream) and stream[at] == 0xFF:
        marker = stream[at + 1]
        if marker == 0xFF:
            at += 1
        elif marker in _NO_LENGTH:
            at += 2
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return marker
        elif marker in (0xD9, 0xDA):
            return None
        else:
            at += 2 + max(2, stream[at + 2] << 8 | stream[at + 3])
    return None


def _webp_is_lossless(stream: memoryview) -> bool:
    return bytes(stream[:4]) == b"RIFF" and bytes(stream[8:16]) == b"WEBPVP8L"


def _j2k_is_reversible(stream: memoryview) -> bool:
    """Whether the main header's COD names the reversible 5-3 wavelet and no COC overrides it (T.800, A.6)."""
    if bytes(stream[:4]) != b"\xff\x4f\xff\x51":
        return False
    at, reversible = 2, False
    while at + 4 <= len(stream) and stream[at] == 0xFF:
        marker, length = stream[at + 1], stream[at + 2] << 8 | stream[at + 3]
        if marker in (0x90, 0x53) or length < 2:
            return reversible and marker == 0x90
        if marker == 0x52:
            reversible = at + 13 < len(stream) and stream[at + 13] == 1
        at += 2 + length
    return False
