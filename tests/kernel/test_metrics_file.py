"""A real daemon writes its metrics, though it may write nowhere else but beside its catalogue."""

from __future__ import annotations

import signal
import stat
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests.asking import picture


@pytest.mark.slow
def test_daemon_writes_its_metrics_and_counts_what_it_inspects(
    catalog_cli: Any, tmp_path: Path, eventually: Any
) -> None:
    share = tmp_path / "share"
    out = Path(tempfile.mkdtemp(prefix="catalog-metrics-", dir="/var/tmp"))  # not where everything may write
    file = out / "catalog.prom"
    try:
        size = picture(share / "a.tif", 1).stat().st_size
        catalog_cli.config.write_text(f'metrics_file = "{file}"\nworkers = 1\n')
        with catalog_cli.start("watch", share, stderr=subprocess.DEVNULL) as process:
            try:
                eventually(lambda: f"catalog_inspected_bytes_total {size}\n" in file.read_text(), 40.0)
                content = file.read_text()
                assert 'catalog_files{root="share",state="present"} 1\n' in content
                assert 'catalog_root_state{root="share",state="online"} 1\n' in content
                assert stat.S_IMODE(file.stat().st_mode) == 0o644
            finally:
                process.send_signal(signal.SIGTERM)
                process.communicate(timeout=20)
        assert process.returncode == 0
    finally:
        for left in out.iterdir():
            left.unlink()
        out.rmdir()


def test_folder_of_the_metrics_must_be_there(catalog_cli: Any, tmp_path: Path) -> None:
    catalog_cli.config.write_text('metrics_file = "nowhere/catalog.prom"\n')
    ran = catalog_cli("watch", tmp_path)
    assert (ran.code, "there is no folder" in ran.stderr) == (2, True)
