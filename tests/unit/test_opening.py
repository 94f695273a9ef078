"""Where a catalogue may lie."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from catalog.errors import UsageError
from catalog.service import opening
from catalog.service.opening import make_ready, refuse_inside
from catalog.watch.mounts import Mount

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("fstype", ["nfs4", "cifs", "fuse.sshfs", "9p"])
def test_catalogue_on_a_network_file_system_is_refused_with_the_way_out(
    fstype: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mount = Mount(2, 1, "0:42", b"/", os.fsencode(tmp_path), "rw", fstype, b"server:/export", "rw")
    monkeypatch.setattr(opening, "mount_of", lambda folder: mount)
    with pytest.raises(UsageError, match=rf"network file system \({fstype}\).*--database"):
        make_ready(str(tmp_path / "deep" / "catalog.sqlite3"))
    assert list(tmp_path.iterdir()) == []


def test_local_folders_are_made_on_the_way(tmp_path: Path) -> None:
    database = tmp_path / "a" / "b" / "catalog.sqlite3"
    assert make_ready(str(database)) is True
    assert make_ready(str(database)) is False


def test_link_into_a_share_is_seen_through(tmp_path: Path) -> None:
    share = tmp_path / "share"
    share.mkdir()
    (tmp_path / "link").symlink_to(share)
    with pytest.raises(UsageError, match="inside the share"):
        refuse_inside(str(tmp_path / "link" / "catalog.sqlite3"), [os.fsencode(share)])
    refuse_inside(str(tmp_path / "share2" / "catalog.sqlite3"), [os.fsencode(share)])


SORTING = """
import sqlite3, sys
from catalog.service.opening import fence
fence(sys.argv[1])
connection = sqlite3.connect(sys.argv[1])
connection.execute("PRAGMA temp_store = FILE")
connection.execute("PRAGMA cache_size = 10")
numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)"
rows = connection.execute(numbers + " SELECT hex(zeroblob(500)) || i AS word FROM n ORDER BY word DESC").fetchall()
assert len(rows) == 3000
"""


def test_behind_the_fence_large_answers_are_sorted_in_the_folder_for_temporary_files(tmp_path: Path) -> None:
    """SQLite would take /var/tmp, where nothing may be written then: "unable to open database file"."""
    named = ("SQLITE_TMPDIR", "TMPDIR")
    environment = {name: value for name, value in os.environ.items() if name not in named}
    command = [sys.executable, "-c", SORTING, tmp_path / "x.sqlite3"]
    ran = subprocess.run(command, env=environment, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
