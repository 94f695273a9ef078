"""Boxes of the ISO media family (AVIF, HEIF, JP2): type and content, with bounds on everything.

Source: ISO/IEC 14496-12, 4.2; ISO/IEC 15444-1, I.4.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

_MOST = 10_000


@dataclass(frozen=True, slots=True)
class Box:
    """One box; ``body`` is its content, cut at the end of what it lies in."""

    kind: bytes
    body: memoryview
    at: int
    """Where it begins, in the view that was walked."""
    end: int
    """Where it ends there."""
    whole: bool = True
    """False: it claims more bytes than there are."""


def boxes(view: memoryview) -> Iterator[Box]:
    """The boxes of a view in order; the last may be cut. What is too short for a box is nothing."""
    at, end = 0, len(view)
    for _ in range(_MOST):
        if at + 8 > end:
            return
        size, kind, head = int.from_bytes(view[at : at + 4], "big"), bytes(view[at + 4 : at + 8]), 8
        if size == 1 and at + 16 <= end:
            size, head = int.from_bytes(view[at + 8 : at + 16], "big"), 16
        elif size == 0:
            size = end - at
        if size < head:
            return
        stop = min(at + size, end)
        yield Box(kind, view[at + head : stop], at, stop, at + size <= end)
        at += size


class Fields:
    """Big-endian numbers of a box's body, one after the other. Raises IndexError beyond its end."""

    def __init__(self, body: memoryview) -> None:
        self._body = body
        self._at = 0

    def number(self, size: int) -> int:
        """An unsigned number of ``size`` bytes; 0 for none."""
        end = self._at + size
        if end > len(self._body):
            raise IndexError("a box is shorter than it says")
        value = int.from_bytes(self._body[self._at : end], "big")
        self._at = end
        return value

    def take(self, size: int) -> bytes:
        end = self._at + size
        if end > len(self._body):
            raise IndexError("a box is shorter than it says")
        taken = bytes(self._body[self._at : end])
        self._at = end
        return taken

    def version(self) -> tuple[int, int]:
        """(version, flags) of a full box."""
        return self.number(1), self.number(3)

    @property
    def rest(self) -> memoryview:
        return self._body[self._at :]
