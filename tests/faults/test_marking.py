"""The only file that is ever written on a share, on a share that has no room for it."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from catalog.errors import NotPermitted
from catalog.service.marking import Marking, write


def test_a_share_without_room_is_left_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / ".catalog-share"
    marking = Marking(os.fsencode(path), "token", write=True)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # The file is made, and takes no byte: a full disk.
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        with pytest.raises(NotPermitted, match="cannot be written"):
            write(marking)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert os.listdir(tmp_path) == []
    write(marking)
    assert path.read_bytes() == b"token\n"
