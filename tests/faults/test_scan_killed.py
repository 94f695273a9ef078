"""kill -9 during a scan, again and again: the end is that of an undisturbed scan."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.asking import Asking, picture

# Everything but ids and times: those depend on the order in which workers answered.
STATE = {
    "files": "SELECT relative_path, state, reason, size, raw_sha256, raw_md5, payload, pixels, view, fidelity,"
    " format, width, height FROM v_file ORDER BY relative_path",
    "revisions": "SELECT path, raw_sha256 FROM v_revision ORDER BY path",
    "events": "SELECT kind, path, detail FROM v_event WHERE kind <> 'scan' ORDER BY kind, path",
    "groups": "SELECT digest, n_files, reclaimable_bytes FROM v_dupe_pixels ORDER BY digest, path",
    "tags": "SELECT c.sha256, t.ifd_no, t.code, t.value FROM v_tag AS t JOIN content AS c USING (content_id)"
    " ORDER BY c.sha256, t.ifd_no, t.code",
    "counters": "SELECT presence, outcome, n_files, n_bytes FROM root_count WHERE n_files > 0 ORDER BY 1, 2",
    "jobs": "SELECT path FROM job",
}


def state(database: Path) -> dict[str, list[tuple[Any, ...]]]:
    with sqlite3.connect(database) as connection:
        (verdict,) = connection.execute("PRAGMA integrity_check").fetchone()
        assert verdict == "ok"
        found = {name: connection.execute(sql).fetchall() for name, sql in STATE.items()}
    connection.close()
    return found


def share_of(folder: Path, files: int) -> Path:
    for number in range(files):
        path = folder / f"{number % 7}" / f"{number:04}.tif"
        # Every fifth is a byte copy of another, every seventh its pixels in another file.
        shade = number - number % 5 if number % 5 == 1 else number
        picture(path, shade, **({"compression": "tiff_lzw"} if number % 7 == 3 else {}))
    (folder / "broken.tif").write_bytes(b"II*\0")
    return folder


def scan_with_kills(cli: Any, share: Path, kills: int, seed: int) -> int:
    """Scan until it ends by itself, killing the first ``kills`` runs after a random time; how many died.

    Those runs are slowed down, so that they are still at work then.
    """
    chance, died = random.Random(seed), 0
    rate = str(sum(path.stat().st_size for path in share.rglob("*.tif")) // 3)
    for _ in range(kills):
        with cli.start(
            "scan",
            share,
            "--max-rate",
            rate,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ) as scanning:
            try:
                scanning.wait(chance.uniform(0.3, 1.2))
            except subprocess.TimeoutExpired:
                os.kill(scanning.pid, signal.SIGKILL)
                died += 1
    ran = cli("scan", share, timeout=300)
    assert ran.code == 0, ran.stderr
    return died


def check(cli: Any, tmp_path: Path, *, files: int, kills: int, seed: int) -> None:
    share = share_of(tmp_path / "share", files)
    assert cli("scan", share, timeout=300).code == 0
    undisturbed = state(cli.database)
    for leftover in cli.database.parent.glob(f"{cli.database.name}*"):
        leftover.unlink()
    assert scan_with_kills(cli, share, kills, seed) == kills
    assert state(cli.database) == undisturbed
    assert len(Asking(cli.database).states()) == files + 1


@pytest.mark.slow
def test_scan_that_is_killed_and_continued_ends_like_an_undisturbed_one(
    catalog_cli: Any, tmp_path: Path
) -> None:
    check(catalog_cli, tmp_path, files=600, kills=4, seed=1)


@pytest.mark.slow
def test_five_thousand_files_and_ten_kills(catalog_cli: Any, tmp_path: Path) -> None:
    check(catalog_cli, tmp_path, files=5000, kills=10, seed=2)
