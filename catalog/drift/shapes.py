"""The shape of a reason: what is left of the sentence without the values, numbers and paths of one file."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

_SIZE: Final = re.compile(r"size [\d,]+ -> [\d,]+ bytes")
_VALUES: Final = re.compile(r"^(tag .+? changed) from .* to .*$", re.DOTALL)
_PATH: Final = re.compile(
    r"((?:^| )(?:swapped with|renamed over it:|good copy of the old picture is) ).*$", re.DOTALL
)
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d(?:T[\d:.]+Z)?")
_NUMBER: Final = re.compile(r"\d[\d,.]*")


@lru_cache(maxsize=10_000)
def shape(reason: str) -> str:
    """``tag Software changed`` for ``tag Software changed from 'a' to 'b'``; other values become ``…``."""
    values = _VALUES.match(reason)
    if values:
        return values[1]
    for pattern, kept in ((_PATH, r"\1…"), (_TIME, "…"), (_NUMBER, "…")):
        reason = pattern.sub(kept, reason)
    return reason


def shapes(reasons: Iterable[str]) -> tuple[str, ...]:
    """The shapes of the sentences of one case; its size is that of one file, and tells of no cause."""
    return tuple(shape(reason) for reason in reasons if not _SIZE.fullmatch(reason))
