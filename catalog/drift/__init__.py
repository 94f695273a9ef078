"""Drift: two content states in, one verdict with reasons out. Pure and total (docs/drift.md)."""

from catalog.drift.layout import layout_changes
from catalog.drift.near import near_distance
from catalog.drift.shapes import shape, shapes
from catalog.drift.tags import tag_changes
from catalog.drift.verdicts import SEVERITY, compare_levels, comparison, manner, same_picture, verdict
from catalog.drift.wording import (
    PROOFS,
    absence_words,
    good_copy_sentence,
    mass_sentence,
    restored_sentence,
    summary,
    swapped_sentence,
)

__all__ = [
    "PROOFS",
    "SEVERITY",
    "absence_words",
    "compare_levels",
    "comparison",
    "good_copy_sentence",
    "layout_changes",
    "manner",
    "mass_sentence",
    "near_distance",
    "restored_sentence",
    "same_picture",
    "shape",
    "shapes",
    "summary",
    "swapped_sentence",
    "tag_changes",
    "verdict",
]
