"""Whether a folder is the share that the record knows."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from catalog.record.roots import Sample
from catalog.service.relocating import likeness
from catalog.watch.guard import ShareIdentity
from tests.recordings import Shelf


def test_a_folder_with_the_number_of_a_deleted_one_is_not_the_share(tmp_path: Path) -> None:
    """ext4 gives the number of a folder that was removed to the next one that is made."""
    sample = [Sample(b"a.tif", 1, 1, None)]
    known = ShareIdentity(b"/srv/share", fsid=7, root_inode=42, born_ns=1)
    with Shelf(tmp_path / "home") as shelf:
        root, path = shelf.roots.all()[0], os.fsencode(tmp_path)
        same = likeness(root, sample, path, replace(known, realpath=path), known)
        assert (same.how, same.alike) == ("folder", True)
        other = likeness(root, sample, path, replace(known, realpath=path, born_ns=2), known)
        assert (other.how, other.absent, other.alike) == ("files", 1, False)
        # Of a file system that tells no birth the number is all there is.
        untold = likeness(root, sample, path, replace(known, realpath=path, born_ns=None), known)
        assert untold.how == "folder"
