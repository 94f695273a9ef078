"""Which canonical raster a TIFF frame must decode to: model, dtype, channels, and how much that proves.

This is rules 2-4 of the pixel checksum and the table of fidelities, from the header alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from catalog.pixels.structure import TiffFrame
from catalog.pixels.tagnames import compression_name, photometric_name
from catalog.terms import Fidelity, counted

CCITT: Final = frozenset((2, 3, 4, 32771))
JPEG: Final = frozenset((7, 33007, 34892))
PREDICTED: Final = frozenset((5, 8, 32946, 34925, 50000, 34926))
"""Compressions that honour Predictor (rule 7): LZW, Deflate, LZMA, ZSTD."""
# Exact whatever the stream says. JPEG, JPEG 2000 and WebP depend on their streams (tiff_streams).
_LOSSLESS: Final = frozenset(
    (1, 2, 3, 4, 5, 8, 32946, 32766, 32771, 32773, 32809, 34661, 34715, 34925, 34926, 34933, 50000)
)
_LOSSY: Final = frozenset(
    (6, 7, 33003, 33004, 33005, 33007, 34712, 34887, 34892, 34927, 34934, 50001, 50002, 52546)
)
_INVERTIBLE: Final = frozenset((1, 4))
_ALPHAS: Final = frozenset((1, 2))
_RANK: Final = {Fidelity.EXACT: 0, Fidelity.DECODER: 1, Fidelity.UNVERIFIED: 2}


@dataclass(slots=True)
class Canonical:
    """``Frame``'s model, dtype, channels and fidelity while they are being found out."""

    model: str = "gray"
    channels: int = 1
    dtype: str = "u8"
    fidelity: Fidelity = Fidelity.EXACT
    reason: str | None = None

    def lower(self, fidelity: Fidelity, reason: str) -> None:
        """Keep the worst class and the first reason for it."""
        if _RANK[fidelity] > _RANK[self.fidelity]:
            self.fidelity, self.reason = fidelity, reason


def canonical(tiff: TiffFrame, *, lossless_stream: bool = False) -> Canonical:
    """The canonical raster of one frame.

    ``lossless_stream``: every segment is of a lossless kind of its codec (JPEG SOF3, WebP VP8L, JPEG 2000
    with the 5-3 wavelet).
    """
    found = Canonical()
    compression = tiff.compression
    words = compression_name(compression)
    if compression in _LOSSY and not lossless_stream:
        found.lower(Fidelity.DECODER, f"{words} compression: samples depend on the decoder")
    elif compression not in _LOSSLESS and compression not in _LOSSY:
        found.lower(Fidelity.UNVERIFIED, f"{words} compression is not known to be exact")
    _model(tiff, found, lossless_stream)
    _dtype(tiff, found)
    return found


def _model(tiff: TiffFrame, found: Canonical, lossless_stream: bool) -> None:
    photometric, samples = tiff.photometric, tiff.samples
    if photometric is None:
        photometric = 0 if tiff.compression in CCITT else 1 if samples < 3 else 2
    if photometric in (0, 1, 4, 51177, 52527) or (photometric == 34892 and samples < 3):
        _with_extras(tiff, found, "gray", 1)
    elif photometric in (2, 34892) and samples >= 3:
        _with_extras(tiff, found, "rgb", 3)
    elif photometric == 3:
        _palette(tiff, found)
    elif photometric == 5:
        _separated(tiff, found)
    elif photometric == 6:
        _ycbcr(tiff, found, lossless_stream)
    elif photometric in (8, 9, 10):
        _lab(tiff, found, photometric)
    elif photometric == 32803:
        _with_extras(tiff, found, "cfa", 1)
    else:
        _inks(found, samples, 0)
        words = f"photometric {photometric_name(photometric)} with {counted(samples, 'sample')}"
        found.lower(Fidelity.UNVERIFIED, f"{words} has no canonical form")


def _with_extras(tiff: TiffFrame, found: Canonical, base: str, colors: int) -> None:
    """Name the samples behind the colours: alpha when ExtraSamples calls the first so, others are ``+N``."""
    more = tiff.samples - colors
    stated = tiff.extra_samples
    if stated and len(stated) != more:
        found.lower(Fidelity.UNVERIFIED, f"ExtraSamples has {len(stated)} values for {more} further samples")
    elif more and stated:
        if stated[0] in _ALPHAS and base != "cfa":
            base += "a-premul" if stated[0] == 1 else "a"
            more -= 1
            stated = stated[1:]
        if not _ALPHAS.isdisjoint(stated):
            # "+N" says nothing of what a sample means, and the same numbers would be another picture
            found.lower(
                Fidelity.UNVERIFIED, "alpha that is not the first further sample has no canonical form"
            )
    found.model = f"{base}+{more}" if more > 0 else base
    found.channels = tiff.samples


def _inks(found: Canonical, inks: int, more: int) -> None:
    found.model = f"ink{inks}+{more}" if more else f"ink{inks}"
    found.channels = inks + more


def _palette(tiff: TiffFrame, found: Canonical) -> None:
    more = tiff.samples - 1
    found.model, found.channels = (f"rgb+{more}" if more else "rgb"), 3 + more
    if more:
        found.lower(Fidelity.UNVERIFIED, f"a palette with {more} further samples has no canonical form")
    if tiff.sample_format[0] not in _INVERTIBLE:
        found.lower(Fidelity.UNVERIFIED, "palette indexes that are not unsigned numbers")


def _separated(tiff: TiffFrame, found: Canonical) -> None:
    if tiff.ink_set == 1 and tiff.samples >= 4:
        _with_extras(tiff, found, "cmyk", 4)
        return
    more = len(tiff.extra_samples)
    if more >= tiff.samples:
        found.lower(Fidelity.UNVERIFIED, f"ExtraSamples has {more} values for {tiff.samples} samples")
        more = 0
    _inks(found, tiff.samples - more, more)
    if not _ALPHAS.isdisjoint(tiff.extra_samples):
        found.lower(Fidelity.UNVERIFIED, "alpha beside inks has no canonical form")


def _ycbcr(tiff: TiffFrame, found: Canonical, lossless_stream: bool) -> None:
    coded = tiff.compression in _LOSSY and not lossless_stream
    if tiff.samples < 3:
        _inks(found, tiff.samples, 0)
        found.lower(Fidelity.UNVERIFIED, f"photometric YCbCr with {tiff.samples} samples")
    elif coded or tiff.subsampling != (1, 1):
        # Readers deliver RGB: the chroma has to be spread over the pixels, and each does it its own way.
        _with_extras(tiff, found, "rgb", 3)
        if not coded:
            found.lower(Fidelity.DECODER, "subsampled YCbCr: samples depend on the decoder")
    else:
        _with_extras(tiff, found, "ycbcr", 3)


def _lab(tiff: TiffFrame, found: Canonical, photometric: int) -> None:
    if tiff.samples < 3:
        _inks(found, tiff.samples, 0)
        found.lower(Fidelity.UNVERIFIED, f"photometric Lab with {tiff.samples} samples")
        return
    _with_extras(tiff, found, "lab", 3)
    if photometric != 8:
        # The same numbers mean other colours than in CIELab, and the model cannot tell them apart.
        found.lower(Fidelity.UNVERIFIED, f"{photometric_name(photometric)} has no canonical form")


def _dtype(tiff: TiffFrame, found: Canonical) -> None:
    bits, kind = tiff.bits[0], tiff.sample_format[0]
    if any(other != bits for other in tiff.bits):
        listed = ", ".join(map(str, tiff.bits[:8]))
        found.lower(Fidelity.UNVERIFIED, f"samples of different depths ({listed})")
        bits = max(tiff.bits)
    if any(other != kind for other in tiff.sample_format):
        found.lower(Fidelity.UNVERIFIED, "samples of different formats")
    if tiff.photometric == 0 and (kind not in _INVERTIBLE or "premul" in found.model):
        # nothing to subtract from: kept as stored, the samples would pass for those of the negative
        found.lower(Fidelity.UNVERIFIED, "white is zero in samples that are not plain unsigned numbers")
    if tiff.photometric == 3:
        found.dtype, quirk = palette_dtype(tiff.color_map)
        if quirk:
            found.lower(Fidelity.UNVERIFIED, quirk)
    elif kind == 3:
        _float(bits, found)
    elif kind in (5, 6):
        found.dtype = "f32" if bits <= 64 else "f64"
        found.lower(Fidelity.UNVERIFIED, "complex samples have no canonical form")
    elif kind == 2:
        found.dtype = f"i{bits}"
    else:
        if kind not in _INVERTIBLE:
            found.lower(Fidelity.UNVERIFIED, f"unknown SampleFormat {kind}")
        found.dtype = "u8" if widened(bits, found.model) else f"u{bits}"
    if bits > 64:
        found.lower(Fidelity.UNVERIFIED, f"{bits} bits for each sample have no canonical form")


def _float(bits: int, found: Canonical) -> None:
    if bits in (16, 32, 64):
        found.dtype = f"f{bits}"
        return
    found.dtype = "f16" if bits < 16 else "f32" if bits < 32 else "f64"
    found.lower(Fidelity.UNVERIFIED, f"{bits}-bit floats have no canonical form")


def widened(bits: int, model: str) -> bool:
    """Whether unsigned samples of this depth become ``u8`` (rule 2): 1 bit always, 2 and 4 bits of gray."""
    return bits == 1 or (bits in (2, 4) and model.startswith("gray"))


def palette_dtype(color_map: tuple[int, ...]) -> tuple[str, str | None]:
    """``u8`` or ``u16`` for a ColorMap (rule 4), and the quirk that makes it unverified."""
    if all(value % 257 == 0 for value in color_map):
        return "u8", None
    if all(value % 256 == 0 for value in color_map):
        return "u8", None
    if max(color_map) < 256:
        return "u8", "ColorMap with 8-bit values: readers differ in how they take it"
    return "u16", None
