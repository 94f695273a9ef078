"""Exif inside JPEG, PNG and WebP: a TIFF block whose directories are the file's tags, never its images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from catalog.pixels.structure import NotAnImage
from catalog.pixels.tiff import walk
from catalog.terms import Ifd

EXIF_PREFIX: Final = b"Exif\0\0"


@dataclass(frozen=True, slots=True)
class Exif:
    """The directories of an Exif block: IFD0 (page), its Exif, GPS and Interop, IFD1 (thumbnail)."""

    ifds: tuple[Ifd, ...] = ()
    orientation: int = 1
    """1-8; 1 when absent or out of range."""
    notes: tuple[str, ...] = ()
    """What is wrong with the block. It cannot touch a sample."""


def parse_exif(block: bytes | memoryview, *, full_values: bool = False) -> Exif:
    """The block's directories; a broken one gives none and a note. Never raises.

    The block starts with the TIFF header, or with ``Exif\\0\\0`` before it (JPEG's form, which some writers
    carry over into PNG and WebP).
    """
    view = memoryview(block)
    if bytes(view[:6]) == EXIF_PREFIX:
        view = view[6:]
    try:
        found = walk(view, exif=True, full_values=full_values)
    except NotAnImage as error:
        return Exif(notes=(f"Exif: {error}",))
    orientation = found.directories[0].number(274, 1)
    complaints = [*found.defects, *found.notes, *([found.limited] if found.limited else [])]
    return Exif(
        ifds=tuple(directory.ifd() for directory in found.directories),
        orientation=orientation if 1 <= orientation <= 8 else 1,
        notes=tuple(f"Exif: {complaint}" for complaint in complaints),
    )
