"""Acceptance of the watching: only whole contents, every change of them, and names and things of any kind."""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance import assert_record_is_truth, recorded_checksums, untrue
from tests.asking import picture
from tests.in_process import Cataloguing, Watching, cataloguing_in

pytestmark = pytest.mark.slow


@pytest.fixture
def home(tmp_path: Path, share: Path) -> Iterator[Cataloguing]:
    with cataloguing_in(tmp_path, writer_quiet_seconds=60.0) as home:
        home.add(share)
        yield home
    assert_record_is_truth(home.database, share)


def settled(home: Cataloguing, watching: Watching, share: Path) -> None:
    compared = "SELECT 1 FROM root WHERE last_reconcile_ms IS NOT NULL"
    watching.until(lambda: home.ask(compared) and not untrue(home.ask, share), 60.0)


def compare(watching: Watching) -> None:
    """Have the share walked, as after a lost event."""
    (watch,) = watching.daemon.watches.values()
    watch.hints.ask_reconcile()


class Closed:
    """Remembers what files held whenever somebody had closed them."""

    def __init__(self) -> None:
        self.checksums: set[str] = set()

    def note(self, path: Path) -> None:
        self.checksums.add(hashlib.sha256(path.read_bytes()).hexdigest())


def write_slowly(path: Path, whole: bytes, watching: Watching, *, stall_seconds: float) -> None:
    """As a scanner does: pieces, and a long pause in the middle; walks come by all the time."""
    with open(path, "ab") as stream:
        for start in range(0, len(whole), 600):
            stream.write(whole[start : start + 600])
            stream.flush()
            compare(watching)
            watching.turns(stall_seconds if start == 1200 else 0.15)


@pytest.mark.parametrize("stall_seconds", [0.6, pytest.param(8.0, marks=pytest.mark.slow)])
def test_no_partial_content_of_a_slow_writer_is_ever_recorded(
    home: Cataloguing, share: Path, tmp_path: Path, stall_seconds: float
) -> None:
    """T17: a slow writer who pauses."""
    whole = picture(tmp_path / "whole.tif", 3).read_bytes()
    with home.watching() as watching:
        settled(home, watching, share)
        write_slowly(share / "slow.tif", whole, watching, stall_seconds=stall_seconds)
        settled(home, watching, share)
    assert recorded_checksums(home.ask) == {hashlib.sha256(whole).hexdigest()}


def test_no_partial_content_of_any_way_to_write_is_ever_recorded(
    home: Cataloguing, share: Path, tmp_path: Path
) -> None:
    """T17: appending, and what copying programs do."""
    original = tmp_path / "original.tif"
    original.write_bytes(picture(tmp_path / "p.tif", 3).read_bytes() + os.urandom(4_000_000))
    closed = Closed()
    closed.note(original)
    commands = [
        "cp -p {original} {share}/copied.tif",
        "cp {original} {share}/x.tmp && mv {share}/x.tmp {share}/renamed.tif",
        "rsync -a --bwlimit=4000 {original} {share}/synced.tif",
        "rsync -a --inplace --bwlimit=4000 {original} {share}/in-place.tif",
    ]
    with home.watching() as watching:
        settled(home, watching, share)
        for _ in range(5):
            with open(share / "grows.tif", "ab") as stream:
                stream.write(os.urandom(10_000))
            closed.note(share / "grows.tif")
            watching.turns(0.2)
        for command in commands:
            if shutil.which(command.partition(" ")[0]) is None:
                continue
            words = command.format(original=original, share=share)
            with subprocess.Popen(["sh", "-ec", words]) as copying:

                def over(copying: subprocess.Popen[bytes] = copying) -> bool:
                    compare(watching)
                    return copying.poll() is not None

                watching.until(over, 30.0)
            assert copying.returncode == 0
        settled(home, watching, share)
    assert recorded_checksums(home.ask) <= closed.checksums


def test_no_torn_content_of_a_file_that_is_rewritten_all_the_time_is_ever_recorded(
    home: Cataloguing, share: Path
) -> None:
    """T18: every recorded content is one that the file had when it was closed."""
    size, closed, over = 400_000, set[str](), threading.Event()

    def rewrite() -> None:
        generation = 0
        while not over.is_set():
            generation += 1
            content = bytes([generation % 256]) * size
            with open(share / "restless.tif", "r+b", buffering=0) as stream:
                for start in range(0, size, size // 8):
                    stream.seek(start)
                    stream.write(content[start : start + size // 8])
            closed.add(hashlib.sha256(content).hexdigest())

    (share / "restless.tif").write_bytes(bytes(size))
    closed.add(hashlib.sha256(bytes(size)).hexdigest())
    with home.watching() as watching:
        settled(home, watching, share)
        writer = threading.Thread(target=rewrite)
        writer.start()
        try:
            for _ in range(40):
                compare(watching)
                watching.turns(0.3)
        finally:
            over.set()
            writer.join()
        settled(home, watching, share)
    assert recorded_checksums(home.ask) <= closed


def test_changes_that_make_no_event_are_found_by_the_next_comparison(
    home: Cataloguing, share: Path, tmp_path: Path
) -> None:
    """T19: a store into a mapping, a write by a link from outside, a rewrite with its mtime put back."""
    for shade, name in enumerate(("mapped", "linked", "rewritten")):
        picture(share / f"{name}.tif", shade)
    os.link(share / "linked.tif", tmp_path / "outside")
    with home.watching() as watching:
        settled(home, watching, share)
        with open(share / "mapped.tif", "r+b") as stream:
            mapped = mmap.mmap(stream.fileno(), 0)
        watching.turns(0.3)  # the close is heard, and what it brought is done with
        mapped[500] ^= 255
        mapped.flush()
        mapped.close()
        with open(tmp_path / "outside", "r+b") as stream:
            stream.seek(500)
            stream.write(b"by the other name")
        look = (share / "rewritten.tif").stat()
        content = bytearray((share / "rewritten.tif").read_bytes())
        content[500] ^= 255
        with open(share / "rewritten.tif", "r+b") as stream:
            stream.write(content)
        os.utime(share / "rewritten.tif", ns=(look.st_atime_ns, look.st_mtime_ns))
        compare(watching)
        settled(home, watching, share)
        watching.until(lambda: len(home.ask.open_drift()) == 3)
    found = home.ask("SELECT path, manner FROM v_drift_open")
    assert {Path(row["path"]).stem: row["manner"] for row in found} == {
        "mapped": "ordinary",
        "linked": "ordinary",
        "rewritten": "stealth",
    }


def test_names_of_any_kind_are_catalogued_and_told(home: Cataloguing, share: Path, catalog_cli: Any) -> None:
    """T21"""
    top = os.fsencode(share)
    names = [
        b"\xff.tif",
        b"line\nbreak.tif",
        "gr\u00fcn.tif".encode(),
        "gru\u0308n.tif".encode(),
        b"n" * 251 + b".tif",
        b"'quoted' \"twice\" \\ \t\x1b[31m.tif",
    ]
    with home.watching() as watching:
        settled(home, watching, share)
        for shade, name in enumerate(names):
            os.rename(picture(share / "x.jpg", shade, format="TIFF"), os.path.join(top, name))
        deep = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
        folder, path = b"d" * 250, top
        while len(path) < 3700:
            os.mkdir(folder, dir_fd=deep)
            below = os.open(folder, os.O_RDONLY | os.O_DIRECTORY, dir_fd=deep)
            os.close(deep)
            deep, path = below, path + b"/" + folder
        picture(share / "x.jpg", 50, format="TIFF")
        os.rename(top + b"/x.jpg", b"f" * (4000 - len(path) - 5) + b".tif", dst_dir_fd=deep)
        os.close(deep)
        settled(home, watching, share)
    told = catalog_cli("query", "files", "--json", env={"CATALOG_DATABASE": str(home.database)})
    assert told.code == 0, told.stderr
    files = told.json["files"]
    assert len(files) == len(names) + 1
    json.dumps(files)
    listed = catalog_cli("query", "files", "--paths0", env={"CATALOG_DATABASE": str(home.database)})
    paths = set(listed.stdout.rstrip(b"\0").split(b"\0"))
    assert {os.path.basename(path) for path in paths if path.count(b"/") == top.count(b"/") + 1} == set(names)
    assert max(map(len, paths)) == 4000
    shown = catalog_cli("query", "events", env={"CATALOG_DATABASE": str(home.database)})
    assert shown.code == 0
    assert b"\x1b[31m" not in shown.stdout


def test_what_is_no_regular_file_holds_nothing_up(home: Cataloguing, share: Path) -> None:
    """T25"""
    picture(share / "real.tif", 1)
    os.link(share / "real.tif", share / "second.tif")
    with home.watching() as watching:
        settled(home, watching, share)
        os.mkfifo(share / "pipe.tif")
        (share / "dangling.tif").symlink_to(share / "nowhere")
        (share / "loop").symlink_to(share)
        (share / "around.tif").symlink_to("around.tif")
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(share / "socket.tif"))
            compare(watching)
            picture(share / "late.tif", 2)
            watching.until(lambda: "late.tif" in home.ask.states())
            settled(home, watching, share)
        assert set(home.ask.states()) == {"real.tif", "second.tif", "late.tif"}
