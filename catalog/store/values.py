"""A tag's value as people read it, and as queries compare it."""

from __future__ import annotations

import hashlib
from typing import Final

from catalog.terms import Tag

VALUE_LIMIT: Final = 256
"""Bytes of a tag's value that are shown as text; longer ones are cut and named by their digest."""


def shown_value(tag: Tag) -> tuple[str, float | None]:
    """A tag's value as text for eyes and queries, and as a number when it is a single one.

    Several values are joined by a comma, rationals read ``72/1``; what is longer than ``VALUE_LIMIT``
    bytes is cut and named by its digest.
    """
    value = tag.value
    number: float | None = None
    if len(value) == 1 and isinstance(value[0], int | float):
        number = float(value[0])
    words = [f"{part[0]}/{part[1]}" if isinstance(part, list) else str(part) for part in value[:VALUE_LIMIT]]
    shown = ", ".join(words)
    if len(tag.raw) > VALUE_LIMIT or tag.sha256:
        digest = tag.sha256 or hashlib.sha256(tag.raw).digest()
        shown = f"{shown[:VALUE_LIMIT]}… (sha256:{digest.hex()[:16]})"
    return shown.replace("\0", "\\0"), number
