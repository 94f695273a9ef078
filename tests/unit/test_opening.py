"""Where a catalogue may lie."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from catalog.errors import UsageError
from catalog.service import opening
from catalog.service.opening import make_ready, refuse_inside
from catalog.watch.mounts import Mount


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
