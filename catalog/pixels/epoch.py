"""The decoders of this machine: which they are, and what they make of the canary images.

A digest of the class ``decoder`` may be compared only with those of the same epoch. The epoch is a digest of
what the decoders deliver for the canaries, so that an upgrade which changes no sample changes no epoch.
The canaries are small images of the project's own (tests/golden/make_canaries.py), one for each way that a
codec may take: chroma layouts, progressive, arithmetic, CMYK and 12-bit JPEG, WebP, AVIF, JPEG 2000 …
"""

from __future__ import annotations

import hashlib
import os
from typing import Final

from catalog.terms import SPEC_VERSION, Limits, Toolchain

_FOLDER: Final = os.path.join(os.path.dirname(os.path.abspath(__file__)), "canaries")
_LIBRARIES: Final = (
    "Pillow",
    "imagecodecs",
    "numpy",
    "opencv-python-headless",
    "opencv-python",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
    "pillow-heif",
)
HEIF_CANARY: Final = "lossy.heic"
"""Decodes only where the extra ``heif`` is installed."""
_PILLOW_CODECS: Final = ("libjpeg_turbo", "webp", "avif", "jpg_2000", "libtiff", "zlib")
_IMAGECODECS_CODECS: Final = ("deflate", "jpeg2k", "jpeg8", "jpegxl", "jpegxr", "png", "tiff", "webp", "zstd")


def toolchain() -> Toolchain:
    """The epoch of this machine's decoders, with the versions of everything that takes part.

    A decoder that is missing or fails is part of the epoch, too. Costs some 20 ms beside the imports.
    """
    return Toolchain(SPEC_VERSION, epoch(), components())


def epoch() -> bytes:
    """SHA-256 over what each canary decodes to: its name, class and ``pix1`` digest."""
    digest = hashlib.sha256(f"epoch {SPEC_VERSION}\n".encode())
    for name, fidelity, pixels in canaries():
        digest.update(f"{name} {fidelity} {pixels}\n".encode())
    return digest.digest()


def canaries() -> list[tuple[str, str, str]]:
    """(name, fidelity, ``pix1`` digest in hexadecimal or ``-``) of every canary, sorted by name."""
    from catalog.pixels.analyse import analyse

    limits = Limits()
    found = []
    for name in sorted(os.listdir(_FOLDER)):
        with open(os.path.join(_FOLDER, name), "rb") as file:
            analysis = analyse(file.read(), limits=limits)
        found.append((name, analysis.fidelity.value, analysis.pixels.hex() if analysis.pixels else "-"))
    return found


def components() -> tuple[tuple[str, str], ...]:
    """(library, version) of the decoders and of the codecs inside them, sorted. OpenCV is not imported."""
    from importlib import metadata

    import imagecodecs
    from PIL import features

    found: dict[str, str] = {}
    for library in _LIBRARIES:
        try:
            found[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            continue
    for codec in _PILLOW_CODECS:
        version = features.version(codec)
        if version:
            found[f"Pillow {codec}"] = version
    for codec in _IMAGECODECS_CODECS:
        try:
            found[f"imagecodecs {codec}"] = str(getattr(imagecodecs, f"{codec}_version")())
        except (AttributeError, ImportError):  # built without it
            continue
    return tuple(sorted(found.items()))
