"""How the payload was laid out before and now, in the words of TIFF 6 and of people."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Final

from catalog.terms import Layout, compression_words, counted, joined, printable

_TIFF: Final = ("TIFF", "BigTIFF")

# (field, value -> words), in the order in which a reader wants to know
_WORDS: Final[tuple[tuple[str, dict[Any, str]], ...]] = (
    ("byte_order", {"big": "big-endian", "little": "little-endian"}),
    ("planar", {"separate": "separate planes", "contiguous": "interleaved samples"}),
    ("predictor", {1: "no predictor", 2: "horizontal predictor", 3: "floating-point predictor"}),
    ("fill_order", {1: "fill order 1", 2: "fill order 2"}),
    ("subsampling", {}),
)
_BESIDE: Final = frozenset(("trailing", "beside"))
_ASSUMED: Final[dict[str, Any]] = {"predictor": 1, "fill_order": 1, "planar": "contiguous"}
"""TIFF 6's defaults; a file that does not state them means them."""


def layout_changes(old: Layout, new: Layout) -> list[str]:
    """What differs, one short phrase each: ``LZW instead of no compression``. Empty when nothing does.

    Another container says it all: its fields mean other things, so they are not held against each other.
    Never raises.
    """
    if old == new:
        return []
    changes = []
    if old.container != new.container:
        changes.append(f"{printable(new.container)} instead of {printable(old.container)}")
        if old.container not in _TIFF or new.container not in _TIFF:
            return changes
    changes += [words for words in (_compression(old, new), _segments(old, new)) if words]
    changes += [words for name, known in _WORDS if (words := _plain(name, known, old, new))]
    interlaced = _interlaced(old, new)
    if interlaced:
        changes.append(interlaced)
    if old.rest != new.rest:
        changes.append("further pages laid out differently")
    if not changes and not same_arrangement(old, new):
        changes.append("laid out differently")
    return changes + _beside_changes(old, new)


def same_arrangement(old: Layout, new: Layout) -> bool:
    """Whether the samples lie as they lay, whatever stands beside them."""
    return all(
        getattr(old, field.name) == getattr(new, field.name)
        for field in fields(Layout)
        if field.name not in _BESIDE
    )


def _beside_changes(old: Layout, new: Layout) -> list[str]:
    """What came and went beside the picture."""
    before, after = beside(old), beside(new)
    came, went = (
        [word for word in one if word not in other] for one, other in ((after, before), (before, after))
    )
    changes = [f"{joined(words)} {verb}" for words, verb in ((came, "added"), (went, "dropped")) if words]
    extra, now = old.trailing or 0, new.trailing or 0
    if now > extra:
        changes.append(f"{counted(now - extra, 'byte')} appended after the end of the image")
    elif extra > now:
        changes.append(f"{counted(extra - now, 'byte')} after the end of the image cut off")
    return changes


def beside(layout: Layout) -> list[str]:
    """What stands beside the picture and is no tag."""
    return [printable(word) for word in layout.beside.split(", ")] if layout.beside else []


def _compression(old: Layout, new: Layout) -> str | None:
    if old.compression is None or new.compression is None or old.compression == new.compression:
        return None
    before, after = compression_words(old.compression), compression_words(new.compression)
    both = "none" not in (old.compression, new.compression)
    return f"{after}{' compression' if both else ''} instead of {before}"


def _segments(old: Layout, new: Layout) -> str | None:
    """Strips and tiles: the same kind compares numbers, another kind only names what there was."""
    fields = ("segments", "rows_per_strip", "tile_width", "tile_height")
    if all(getattr(old, name) == getattr(new, name) for name in fields):
        return None
    if new.tile_width is not None and new.tile_height is not None:
        return _tiles(old, new)
    if new.segments is None or new.rows_per_strip is None:
        return None
    strips = f"{counted(new.segments, 'strip')} of {counted(new.rows_per_strip, 'row')}"
    if old.tile_width is not None:
        return f"{strips} instead of tiles"
    if old.segments is None or old.rows_per_strip is None:
        return strips
    return f"{strips} instead of {old.segments:,} of {old.rows_per_strip:,}"


def _tiles(old: Layout, new: Layout) -> str:
    size = f"tiles of {new.tile_width}x{new.tile_height}"
    if old.tile_width is None or old.tile_height is None:
        return f"{size} instead of strips" if old.rows_per_strip is not None else size
    if (old.tile_width, old.tile_height) != (new.tile_width, new.tile_height):
        return f"{size} instead of {old.tile_width}x{old.tile_height}"
    return f"{new.segments} {size} instead of {old.segments}"


def _plain(name: str, known: dict[Any, str], old: Layout, new: Layout) -> str | None:
    before, after = (getattr(layout, name) for layout in (old, new))
    before = _ASSUMED.get(name) if before is None else before
    after = _ASSUMED.get(name) if after is None else after
    if before == after or before is None or after is None:
        return None
    label = name.replace("_", " ")
    words = [known.get(value, f"{label} {printable(str(value))}") for value in (after, before)]
    return f"{words[0]} instead of {words[1]}"


def _interlaced(old: Layout, new: Layout) -> str | None:
    if old.interlaced is None or new.interlaced is None or old.interlaced == new.interlaced:
        return None
    word = "progressive" if new.container == "JPEG" else "interlaced"
    return f"{word} instead of sequential" if new.interlaced else f"sequential instead of {word}"
