"""A share whose server stops answering holds up nobody else: neither another share nor the end of the daemon."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.mounting import held_to, namespaces

PATIENT = """
settle_seconds = 0.05
quiet_seconds = 0.2
absence_seconds = 0.5
poll_interval_seconds = 0.5
guard_interval_seconds = 0.3
guard_deadline_seconds = 1.0
workers = 1
"""


@pytest.mark.slow
def test_a_hung_share_holds_up_nobody(catalog_cli: Any, tmp_path: Path) -> None:
    if shutil.which("bindfs") is None:
        pytest.skip("bindfs is not installed: apt install bindfs")
    prefix = namespaces()
    catalog_cli.config.write_text(PATIENT)
    script = Path(__file__).with_name("hung_share.py")
    ran = subprocess.run(
        [*prefix, catalog_cli.python, str(script), str(tmp_path), str(catalog_cli.database)],
        env=catalog_cli.environment(),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    held_to(ran)
