"""One file's bytes in, everything that follows from them out: facts, digests, tags, and what they prove.

The header's truth comes from ``structure``, the samples from ``raster``; here they are held against each
other, and what decoders said on descriptor 2 is weighed. Soundness first: a class is only ever lowered.
"""

from __future__ import annotations

import hashlib
import re
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from catalog.pixels.digest import combined, frame_digests
from catalog.pixels.jpeg_complaints import somebody_listens
from catalog.pixels.near import near_hash
from catalog.pixels.raster import (
    Decoded,
    decode_frames,
    orientation_of,
    worded,
    worst,
)
from catalog.pixels.structure import Frame, NotAnImage, Structure, parse
from catalog.terms import Analysis, Fidelity, ImageFacts, Layout, Limits, Loaders, Page

Complaints = Callable[[], Sequence[str]]

_TIFF_ORDERS: Final = (b"II", b"MM")
_HARMLESS: Final = re.compile(
    "|".join(
        (
            # ancillary chunks that touch no sample (tRNS does, and is not here)
            r"PNG warning: (?:bKGD|cHRM|cICP|cLLI|eXIf|gAMA|hIST|iCCP|iTXt|mDCV|oFFs|pCAL|pHYs|sBIT|sCAL|sPLT|sRGB"
            r"|sTER|tEXt|tIME|zTXt)\b",
            # libtiff about tags that it does not know, and tags in the wrong order
            r"Unknown field with tag",
            r"tags are not sorted in ascending order",
            r"does not end in null byte",
            # old bit order of LZW codes: decoded by the rules of its time
            r"Old-style LZW codes",
            # Pillow about metadata
            r"EXIF data",
            r"Metadata Warning",
            r"Truncated File Read",
            r"Palette images with Transparency",
            r"malformed MPO file",
            # libjpeg about parameters that it does not need
            r"Invalid SOS parameters for sequential JPEG",
            r"unknown JFIF revision number",
            r"Unknown Adobe color transform code",
        )
    )
)
"""What decoders say of files whose samples are right. Everything else that they say makes a file damaged."""
_DOUBTFUL: Final = re.compile(r"Corrupt JPEG data: \d+ extraneous bytes before marker")
"""What a broken JPEG may be told by alone, and what some cameras write behind a whole picture."""
_ABOUT_US: Final = "Interlace handling should be turned on when using png_read_image"
"""libpng to imagecodecs, about each interlaced image, which it reads rightly nevertheless."""


def analyse(
    content: bytes | memoryview,
    *,
    limits: Limits,
    loaders: bool = False,
    full_values: bool = False,
    complaints: Complaints | None = None,
) -> Analysis:
    """Everything that is a function of the bytes and of the decoders of this machine.

    Never raises on what a file holds: without samples the class is ``undecodable`` and ``reason`` says why.
    ``loaders``: compute the three loader checksums, too. ``full_values``: no tag value is cut.
    ``complaints`` gives the lines that libraries wrote to descriptor 2 since this call began; without it
    such complaints are not heard (those that reach Python are), and a file that only libtiff's own codecs
    grumbled about may pass for whole.
    """
    ears = sys.modules.get("catalog.pixels.complaints")
    if ears is not None:
        ears.heard()  # what was said about another file
    somebody_listens.set(complaints is not None)
    said: list[str] = []
    if content[:2] in _TIFF_ORDERS:  # none of its decoders warns in Python's way, and this costs 5 µs
        analysis = _analysed(content, limits, full_values)
    else:
        with warnings.catch_warnings(record=True) as raised:
            warnings.simplefilter("always")
            analysis = _analysed(content, limits, full_values)
        said.extend(" ".join(str(each.message).split()) for each in raised)
    ears = sys.modules.get("catalog.pixels.complaints")  # there only when a decoder was needed
    if ears is not None:
        said.extend(ears.heard())
    if complaints is not None:
        said.extend(complaints())
    if said:
        analysis = _weighed(analysis, said)
    if loaders:
        analysis = replace(analysis, loaders=_loaders(content, limits, analysis))
    return analysis


def _analysed(content: bytes | memoryview, limits: Limits, full_values: bool) -> Analysis:
    if reason := limits.too_large("decode_limit_bytes", len(content)):
        return Analysis(Fidelity.UNVERIFIED, reason)
    try:
        structure = parse(content, full_values=full_values, checksums=False, unfinished=True)
        if structure.format == "PNG" and len(structure.frames) > 1:
            # libpng checks a still image's Adler-32 and length while it decodes; Pillow, with animations, does not
            structure = parse(content, full_values=full_values)
    except NotAnImage as error:
        if error.format is not None:
            return _without_header_parser(content, error.format, limits)
        return Analysis(Fidelity.UNDECODABLE, str(error))
    except MemoryError:
        words = limits.exhausted("not enough memory to read its header", "worker_memory_bytes")
        return Analysis(Fidelity.UNDECODABLE, words)
    except (ValueError, IndexError, KeyError, TypeError, OverflowError) as error:
        return Analysis(Fidelity.UNDECODABLE, f"its header defeats the parser: {worded(error)}")
    pages: list[Page] = []
    results: list[tuple[Frame, Decoded, Page]] = []
    near = None
    for frame, outcome in decode_frames(structure, content, limits):
        page, decoded = _page(structure, frame, outcome, limits)
        pages.append(page)
        if frame.counted:
            if not results:
                near = _near(structure, frame, outcome)
            results.append((frame, Decoded(None, decoded.fidelity, decoded.reason), page))
    fidelity, reason = _class(results)
    if structure.defects:
        fidelity, reason = _damaged(fidelity, reason, "; ".join(structure.defects[:4]))
    digests = [(page.pixels, page.view) for _, _, page in results]
    pixels = [first for first, _ in digests if first is not None]
    views = [second for _, second in digests if second is not None]
    whole = len(pixels) == len(results) and fidelity is not Fidelity.UNDECODABLE
    return Analysis(
        fidelity=fidelity,
        reason=reason,
        pixels=combined("pix1", pixels) if whole else None,
        view=combined("view1", views) if whole else None,
        payload=structure.unfinished.digest() if structure.unfinished else structure.payload,
        payload_reason=structure.payload_reason,
        image=_facts(structure, [frame for frame, _, _ in results]),
        layout=structure.layout,
        pages=tuple(pages),
        ifds=structure.ifds,
        near=near,
    )


def _page(structure: Structure, frame: Frame, decoded: Decoded, limits: Limits) -> tuple[Page, Decoded]:
    """One image with its digests; those of a thumbnail that proves nothing are left out."""
    pixels = view = None
    raster = decoded.raster
    if raster is not None:
        try:
            pixels, view = frame_digests(raster, orientation_of(structure, frame), structure.unfinished)
        except MemoryError:
            words = limits.exhausted("not enough memory for its view", "worker_memory_bytes")
            decoded = Decoded(None, Fidelity.UNDECODABLE, words)
            pixels = view = None
    if not frame.counted and not decoded.fidelity.sound:
        pixels = view = None
    page = Page(
        frame.index,
        frame.role,
        frame.width,
        frame.height,
        frame.model,
        frame.dtype,
        frame.channels,
        pixels,
        view,
    )
    return page, decoded


def _near(structure: Structure, frame: Frame, decoded: Decoded) -> bytes | None:
    """What the first image looks like from afar, whatever its class."""
    if decoded.raster is None:
        return None
    try:
        return near_hash(decoded.raster, orientation_of(structure, frame))
    except MemoryError:
        return None


def _class(results: list[tuple[Frame, Decoded, Page]]) -> tuple[Fidelity, str | None]:
    """The class of the file: the worst of its images; some samples missing are damage, not undecodable."""
    fidelity = worst(decoded.fidelity for _, decoded, _ in results)
    place, reason = next(
        (number, decoded.reason)
        for number, (_, decoded, _) in enumerate(results, 1)
        if decoded.fidelity is fidelity
    )
    if len(results) > 1 and reason:
        reason = f"image {place:,} of {len(results):,}: {reason}"
    if fidelity is Fidelity.UNDECODABLE and any(page.pixels is not None for _, _, page in results):
        fidelity = Fidelity.DAMAGED
    return fidelity, reason


def _damaged(fidelity: Fidelity, reason: str | None, words: str) -> tuple[Fidelity, str]:
    """Proof of damage outweighs everything but the absence of samples; no words are said twice."""
    known = reason if reason and fidelity in (Fidelity.UNDECODABLE, Fidelity.DAMAGED) else ""
    parts = [part for part, other in ((words, known), (known, words)) if part and part not in other]
    return (fidelity if fidelity is Fidelity.UNDECODABLE else Fidelity.DAMAGED), "; ".join(parts) or words


def _weighed(analysis: Analysis, said: list[str]) -> Analysis:
    """What decoders said: kept, and proof of damage unless it is known to be harmless."""
    lines = tuple(dict.fromkeys(line for line in said if _ABOUT_US not in line))
    grave = [line for line in lines if not _HARMLESS.search(line)]
    fidelity, reason = analysis.fidelity, analysis.reason
    if grave and fidelity is not Fidelity.UNDECODABLE and analysis.pixels is not None:
        broken = [line for line in grave if not _DOUBTFUL.search(line)]
        words = f"the decoder complained: {(broken or grave)[0]}"
        if broken:
            fidelity, reason = _damaged(fidelity, reason, words)
        elif fidelity.sound:
            fidelity, reason = Fidelity.UNVERIFIED, words
    return replace(analysis, fidelity=fidelity, reason=reason, complaints=lines)


def _facts(structure: Structure, counted: list[Frame]) -> ImageFacts:
    first = counted[0] if counted else structure.frames[0]
    icc = structure.icc
    return ImageFacts(
        format=structure.format,
        width=first.width,
        height=first.height,
        frames=len(counted),
        model=first.model,
        dtype=first.dtype,
        channels=first.channels,
        orientation=structure.orientation,
        icc_sha256=hashlib.sha256(icc).digest() if icc else None,
    )


def _without_header_parser(content: bytes | memoryview, format_name: str, limits: Limits) -> Analysis:
    """A format whose headers we do not read: Pillow's word for everything, so nothing is proved."""
    from catalog.pixels import pillow_raster

    if format_name == "EPS":  # whatever the file's name is: Pillow would let Ghostscript run it
        return Analysis(Fidelity.UNDECODABLE, "EPS: a program in PostScript, which is not run")
    try:
        frame, decoded = pillow_raster.unannounced(content, format_name, limits)
    except ImportError:
        raise
    except MemoryError:
        words = limits.exhausted("not enough memory to decode it", "worker_memory_bytes")
        return Analysis(Fidelity.UNDECODABLE, words)
    except Exception as error:  # noqa: BLE001 (decoders raise anything on hostile bytes)
        return Analysis(Fidelity.UNDECODABLE, f"{format_name}: {worded(error)}")
    structure = Structure(format_name, (frame,), Layout(format_name), 1)
    page, decoded = _page(structure, frame, decoded, limits)
    return Analysis(
        fidelity=decoded.fidelity,
        reason=decoded.reason,
        pixels=page.pixels,
        view=page.view,
        payload_reason=f"no payload digest for {format_name}",
        image=_facts(structure, [frame]),
        layout=structure.layout,
        pages=(page,),
        near=_near(structure, frame, decoded),
    )


def _loaders(content: bytes | memoryview, limits: Limits, analysis: Analysis) -> Loaders:
    from catalog.pixels.loaders import loader_checksums

    if analysis.reason is not None and analysis.reason.startswith("too large: "):
        names = ("cv2_imread_md5", "pillow_tobytes_md5", "pillow_save_md5")
        return Loaders(errors=tuple((name, analysis.reason) for name in names))
    return loader_checksums(content, limits)
