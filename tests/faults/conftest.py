"""What the fault tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.poisoned_share import Share


@pytest.fixture
def share(tmp_path: Path) -> Share:
    (tmp_path / "share").mkdir()
    return Share(tmp_path / "share")
