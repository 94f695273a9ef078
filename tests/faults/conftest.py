"""What the fault tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.poisoned_share import Share
from tests.in_process import Cataloguing, cataloguing_in


@pytest.fixture
def share(tmp_path: Path) -> Share:
    (tmp_path / "share").mkdir()
    return Share(tmp_path / "share")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Cataloguing]:
    """A session on a catalogue of its own in ``tmp_path``."""
    with cataloguing_in(tmp_path) as opened:
        yield opened
