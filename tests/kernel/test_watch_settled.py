"""Real programs write, the kernel tells, the settler decides: whole files, each once, soon."""

from __future__ import annotations

import mmap
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from catalog.watch.hints import Hints
from catalog.watch.inotify import InotifySource
from catalog.watch.selection import Selection
from catalog.watch.settle import Settler, has_writer

Eventually = Callable[..., Any]


class Watched:
    """A share with its whole chain, at a tenth of the usual times. ``ready``: what came out, in order."""

    def __init__(self, folder: Path) -> None:
        self.root = os.fsencode(folder / "share")
        os.mkdir(self.root)
        self.hints = Hints()
        self.source = InotifySource(
            self.root, self.hints, os.fsencode(folder / "cookie"), selection=Selection()
        )
        self.settler = Settler(0.05, 0.3, 6, 60, created_quiet_seconds=1, has_writer=self._has_writer)
        self.ready: list[bytes] = []
        self.probe = True
        self.source.start()

    def _has_writer(self, path: bytes) -> bool | None:
        return has_writer(self.at(path)) if self.probe else None

    def at(self, name: bytes) -> bytes:
        return os.path.join(self.root, name)

    def turn(self) -> list[bytes]:
        self.settler.take(self.hints.drain())
        self.ready.extend(settled.path for settled in self.settler.ready(time.monotonic()))
        return self.ready

    def calm(self) -> bool:
        """Something came out, and nothing is waiting any more."""
        self.turn()
        return bool(self.ready) and not (self.settler.waiting or self.hints.pending)


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    made = Watched(tmp_path)
    yield made
    made.source.stop()


@pytest.fixture
def original(tmp_path: Path) -> Path:
    path = tmp_path / "original.tif"
    path.write_bytes(os.urandom(3_000_000))
    return path


@pytest.mark.parametrize("probe", [True, False])
@pytest.mark.parametrize(
    "command",
    [
        "cp -p {original} {share}/a.tif",
        "cp {original} {share}/x.tmp && mv {share}/x.tmp {share}/a.tif",
        "tar -C {folder} -cf - original.tif | tar -C {share} --transform s/original/a/ -xf -",
        "rsync -a {original} {share}/a.tif",
        "rsync -a --inplace {original} {share}/a.tif",
        "dd if={original} of={share}/a.tif bs=64k status=none",
        "vim -u NONE -N -es -c 'normal ix' -c wq {share}/a.tif",
        "cp {original} {share}/a.tif && sed -i s/a/b/ {share}/a.tif",
    ],
)
def test_a_program_that_writes_a_file_makes_it_ready_whole(
    watched: Watched, original: Path, eventually: Eventually, command: str, probe: bool
):
    program = command.partition(" ")[0]
    if not shutil.which(program):
        pytest.skip(f"{program} is not installed")
    watched.probe = probe
    share = os.fsdecode(watched.root)
    done = subprocess.Popen(
        ["sh", "-ec", command.format(original=original, share=share, folder=original.parent)]
    )
    eventually(lambda: watched.turn() is None or done.poll() is not None, timeout=10)
    assert done.wait() == 0
    eventually(watched.calm, timeout=10)
    assert watched.ready[-1] == b"a.tif"
    assert set(watched.ready) == {b"a.tif"}


def test_a_file_is_not_ready_before_its_writer_closes_it(watched: Watched, eventually: Eventually):
    with open(watched.at(b"scan.tif"), "wb") as scanner:
        for _ in range(8):
            scanner.write(os.urandom(65536))
            scanner.flush()
            patience = time.monotonic() + 0.35  # longer than quiet_seconds
            eventually(lambda until=patience: watched.turn() or time.monotonic() > until)
            assert watched.ready == []
        closing = time.monotonic()
    eventually(watched.turn)
    assert watched.ready == [b"scan.tif"]
    assert time.monotonic() - closing < 2.5


def test_without_the_probe_an_open_file_is_waited_for_by_its_closed(watched: Watched, eventually: Eventually):
    watched.probe = False
    with open(watched.at(b"scan.tif"), "wb") as scanner:
        scanner.write(b"x")
        scanner.flush()
        patience = time.monotonic() + 1.5
        eventually(lambda: watched.turn() or time.monotonic() > patience)
        assert watched.ready == []
    eventually(watched.turn)
    assert watched.ready == [b"scan.tif"]


def test_a_writable_mapping_counts_as_a_writer(watched: Watched, eventually: Eventually):
    path = watched.at(b"mapped.tif")
    with open(path, "w+b") as stream:
        stream.write(b"x" * 4096)
        stream.flush()
        mapped = mmap.mmap(stream.fileno(), 4096)
    patience = time.monotonic() + 0.8
    eventually(lambda: watched.turn() or time.monotonic() > patience)
    assert watched.ready == []
    mapped.close()
    eventually(watched.turn)
    assert watched.ready == [b"mapped.tif"]


def test_a_hard_link_made_in_the_share_is_ready_soon(
    watched: Watched, original: Path, eventually: Eventually
):
    os.link(original, watched.at(b"link.tif"))
    eventually(watched.turn)
    assert watched.ready == [b"link.tif"]


def test_a_resave_is_ready_soon_after_its_close(watched: Watched, original: Path, eventually: Eventually):
    shutil.copyfile(original, os.fsdecode(watched.at(b"a.tif")))
    eventually(watched.calm)
    watched.ready.clear()
    shutil.copyfile(original, os.fsdecode(watched.at(b"a.tif")))
    closed = time.monotonic()
    eventually(watched.turn)
    assert time.monotonic() - closed < 2.5
