"""Looks through a process that can be killed: the same answers, and an error instead of a hang."""

from __future__ import annotations

import errno
import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from catalog.watch.sight import Apart, Direct


@pytest.fixture
def apart() -> Iterator[Apart]:
    sight = Apart(deadline_seconds=20.0)
    yield sight
    sight.close()


@pytest.fixture
def root(tmp_path: Path) -> bytes:
    for name in (b"a.tif", b"\xff.tif"):
        (tmp_path / os.fsdecode(name)).write_bytes(name)
    (tmp_path / "link").symlink_to("a.tif")
    (tmp_path / "dangling").symlink_to("nowhere")
    return os.fsencode(tmp_path)


def pid(sight: Apart) -> int:
    assert sight._process is not None
    return sight._process.pid


@pytest.mark.parametrize("follow", [False, True])
def test_it_sees_what_a_direct_look_sees(apart: Apart, root: bytes, follow: bool) -> None:
    for name in (b"", b"a.tif", b"\xff.tif", b"link"):
        path = os.path.join(root, name)
        assert apart.stat(path, follow_links=follow) == Direct().stat(path, follow_links=follow)
        assert (
            apart.stat(path, follow_links=follow).st_mtime_ns
            == os.stat(path, follow_symlinks=follow).st_mtime_ns
        )
    with pytest.raises(OSError, match="No such file") as error:
        apart.stat(os.path.join(root, b"gone"))
    assert error.value.errno == errno.ENOENT
    paths = [b"a.tif", b"gone", b"a.tif/below", b"dangling", b"gone/too"]
    many = paths * 100
    assert list(apart.proofs(root, many, lost=frozenset([b"x"]), follow_links=follow)) == list(
        Direct().proofs(root, many, lost=frozenset([b"x"]), follow_links=follow)
    )


def test_a_share_that_hangs_is_an_error_until_it_was_seen_again(root: bytes) -> None:
    sight = Apart(deadline_seconds=0.2)
    path = os.path.join(root, b"a.tif")
    try:
        while True:  # the first start may take longer than so short a deadline
            try:
                sight.stat(path)
                break
            except OSError:
                sight.open()
        stopped = pid(sight)
        os.kill(stopped, signal.SIGSTOP)  # as one that hangs in the kernel
        for _ in range(3):
            with pytest.raises(OSError, match="does not answer") as error:
                sight.stat(path)
            assert error.value.errno == errno.ETIMEDOUT
        assert sight._process is None  # and is not started for each question
        for proof in sight.proofs(root, [b"gone", b"a.tif"], lost=frozenset(), follow_links=False):
            assert not proof.absent
            assert not proof.there
    finally:
        sight.close()


def test_the_share_is_looked_at_again_when_it_is_back(apart: Apart, root: bytes) -> None:
    path = os.path.join(root, b"a.tif")
    apart.stat(path)
    apart._shut = True
    with pytest.raises(OSError, match="does not answer"):
        apart.stat(path)
    apart.open()
    assert apart.stat(path) == Direct().stat(path)


def test_an_answer_that_nobody_waited_for_is_not_taken_for_another(apart: Apart, root: bytes) -> None:
    proofs = apart.proofs(root, [b"gone"] * 100, lost=frozenset(), follow_links=False)
    next(proofs)
    path = os.path.join(root, b"a.tif")
    assert apart.stat(path) == Direct().stat(path)


def test_a_process_that_can_open_nothing_proves_nothing(apart: Apart, root: bytes) -> None:
    apart.stat(root)
    before = resource.prlimit(pid(apart), resource.RLIMIT_NOFILE)
    resource.prlimit(pid(apart), resource.RLIMIT_NOFILE, (3, before[1]))
    proofs = list(apart.proofs(root, [b"gone", b"a.tif"], lost=frozenset(), follow_links=False))
    assert [(proof.path, proof.absent) for proof in proofs] == [(b"gone", False), (b"a.tif", False)]
    assert "Too many open files" in proofs[0].reason
    resource.prlimit(pid(apart), resource.RLIMIT_NOFILE, before)
    (proof,) = apart.proofs(root, [b"gone"], lost=frozenset(), follow_links=False)
    assert proof.absent


def test_a_process_that_was_ended_is_replaced(apart: Apart, root: bytes) -> None:
    path = os.path.join(root, b"a.tif")
    apart.stat(path)
    first = pid(apart)
    os.kill(first, signal.SIGKILL)
    assert apart.stat(path) == Direct().stat(path)
    assert pid(apart) != first
