"""When two files are the same, and how much that proves."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

SPEC_VERSION: Final = 1
"""Version of the pixel checksum specification (``pix1``, ``view1``, ``pay1``)."""


class Level(StrEnum):
    """Which question an identity answers, from the strictest to the mildest."""

    BYTES = "bytes"
    PAYLOAD = "payload"
    PIXELS = "pixels"
    VIEW = "view"


class Fidelity(StrEnum):
    """How much a pixel checksum proves (docs/pixel-checksum.md)."""

    EXACT = "exact"
    DECODER = "decoder"
    LOSSY = "lossy"
    UNVERIFIED = "unverified"
    DAMAGED = "damaged"
    UNDECODABLE = "undecodable"

    @property
    def sound(self) -> bool:
        """Whether a digest of this class may be called identical to another one."""
        return self in (Fidelity.EXACT, Fidelity.DECODER)


_PREFIX = {Level.PIXELS: "pix", Level.VIEW: "view", Level.PAYLOAD: "pay"}


def printed(level: Level, fidelity: Fidelity, digest: bytes | None) -> str | None:
    """The digest as people read it: ``pix1:<hex>``, ``pix1-lossy:<hex>`` …, or None without samples."""
    if digest is None:
        return None
    unsound = "" if fidelity.sound or level is Level.PAYLOAD else f"-{fidelity.value}"
    return f"{_PREFIX[level]}{SPEC_VERSION}{unsound}:{digest.hex()}"
