"""Snapshots inside a share: a btrfs subvolume repeats the inode numbers of what it was taken of, on no mount of its
own."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.asking import picture
from tests.in_process import cataloguing_in
from tests.kernel.test_audit_disk import Disk, need, run

pytestmark = [pytest.mark.slow, pytest.mark.root]


def test_a_snapshot_of_files_takes_no_history_from_them(tmp_path: Path) -> None:
    """It holds the same inodes, each of one name. A copy of the same content that is gone makes it worth asking who
    has moved."""
    need("mkfs.btrfs", "btrfs", "mount", "losetup")
    disk = Disk(tmp_path, ("mkfs.btrfs", "-q"), 128)
    with disk.mounted() as mounted:
        share = mounted / "share"
        run("btrfs", "subvolume", "create", share)
        kept = picture(share / "pictures" / "kept.tif", 1)
        copy = Path(shutil.copy(kept, kept.with_name("copy.tif")))
        os.sync()
        with cataloguing_in(tmp_path) as home:
            home.scan(share)
            before = home.ids()
            copy.unlink()
            run("btrfs", "subvolume", "snapshot", "-r", share, share / "snapshot")
            tally = home.scan(share).tally
            after = home.ids()
            assert after["pictures/kept.tif"] == before["pictures/kept.tif"]
            assert set(after) >= {"pictures/kept.tif", "snapshot/pictures/kept.tif"}
            assert tally.unproven == 0
