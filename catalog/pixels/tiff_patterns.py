"""Directories that are like an earlier one: the files of one scanner, the frames of one camera.

Where byte order, size of the file and entries are the same, the tags are, too, but for values that lie outside of the
entries; they alone are read anew. What follows from a directory is concluded once for all of its pattern.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from catalog.terms import Tag

PATTERN_BYTES: Final = 1024
"""Entries of a directory that is remembered, and values outside of them; longer ones are seldom alike."""
PATTERNS_LIMIT: Final = 256
ALIKE_LIMIT: Final = 16
"""Conclusions that are kept for each pattern. Where every file has deciding values of its own they never serve again,
and would add up to hundreds of megabytes over all patterns."""

_DESCRIBING: Final = frozenset((269, 270, 271, 272, 285, 305, 306, 315, 316, 33432))
"""Texts that say nothing of the samples: names, makers, times, rights."""
_POINTERS: Final = frozenset((330, 34665, 34853, 40965))
"""Whether they are sound depends on their values."""


@dataclass(slots=True)
class Pattern:
    """A directory that was read. One with the same entries in a file of the same size and byte order differs from it
    in values outside of its entries at most: so do the files of one scanner, and the frames of one camera."""

    tags: tuple[Tag, ...]
    by_code: dict[int, Tag]
    outside: list[tuple[int, int, int]]
    """(place in ``tags``, offset, bytes) of the values that do not fit into their entries."""
    values: list[bytes]
    """Those values, as they stand in the file."""
    deciding: list[int]
    """Which of them do more than describe: samples and all that is concluded of them depend on no others."""
    spent: int
    """Bytes of the values."""
    alike: dict[tuple[Any, ...], Any] = field(default_factory=dict)
    """What whoever reads the directory concluded from the rest and the deciding values."""


PATTERNS: Final[dict[tuple[object, ...], Pattern]] = {}
"""By everything that tags follow from, but the values outside: byte order, kind of TIFF, size, kind, entries."""


def remember(
    key: tuple[object, ...],
    tags: tuple[Tag, ...],
    by_code: dict[int, Tag],
    outside: list[tuple[int, int, int]],
    view: memoryview,
) -> Pattern | None:
    """Make a pattern of a directory that was read; None when it is too long for one, or something is broken.

    The values in ``view`` are copied only then: those of a hostile directory may overlap, and be many times the file.
    """
    codes = [tags[place].code for place, _, _ in outside]
    spent = sum(length for _, _, length in outside)
    if 12 * len(tags) > PATTERN_BYTES or spent > PATTERN_BYTES or not _POINTERS.isdisjoint(codes):
        return None
    if any(tag.broken for tag in tags):
        return None
    deciding = [number for number, code in enumerate(codes) if code not in _DESCRIBING]
    if len(PATTERNS) >= PATTERNS_LIMIT:
        PATTERNS.clear()
    values = [bytes(view[at : at + length]) for _, at, length in outside]
    PATTERNS[key] = pattern = Pattern(tags, by_code, outside, values, deciding, spent)
    return pattern
