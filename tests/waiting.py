"""Waiting for facts: nothing in the tests waits for time alone."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

PATIENCE = 10 if os.environ.get("CATALOG_FULL_SIZE") else 1
"""Tests at their full size take longer."""


def sized(usual: int, full: int) -> int:
    """A number of files, kills, seconds …; the full one with CATALOG_FULL_SIZE in the environment. Give
    ``pytest --timeout=0`` then."""
    return full if PATIENCE > 1 else usual


def until(predicate: Callable[[], T], timeout: float = 5.0, interval: float = 0.01, what: str = "") -> T:
    """Poll until the predicate is true, and give what it gave. ``timeout`` and ``interval`` are seconds.

    The last exception of the predicate, or its last value, stands in the failure, and ``what`` was waited for.
    """
    deadline = time.monotonic() + timeout * PATIENCE
    while True:
        trouble: Exception | None = None
        value: Any = None
        try:
            value = predicate()
        except Exception as error:  # noqa: BLE001 - a predicate may fail until the fact is there
            trouble = error
        if value:
            return value
        if time.monotonic() >= deadline:
            told = f"{what}: " if what else ""
            raise AssertionError(f"{told}not within {timeout} s; last: {trouble or value!r}") from trouble
        time.sleep(interval)
