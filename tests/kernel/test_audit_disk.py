"""Bits that rot below the file system: loop-mounted disks whose images are changed while nobody looks.

Root is needed for the mounts; what this machine lacks is said in the reason of the skip.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.asking import Asking, picture

pytestmark = [pytest.mark.slow, pytest.mark.root]

FIBMAP, FIGETBSZ = 1, 2
"""Requests of linux/fs.h: the block of the disk that holds a block of a file, and the size of both in bytes."""


def need(*tools: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting a disk needs root")
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"not installed here: {', '.join(missing)}")


def run(*words: str | Path) -> None:
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"{words}: {done.stderr}"


class Disk:
    """A file system in a file; ``mounted`` shows it at ``share``."""

    def __init__(self, folder: Path, make: tuple[str, ...], megabytes: int) -> None:
        self.image, self.share = folder / "disk.img", folder / "share"
        self.share.mkdir()
        with open(self.image, "wb") as stream:
            stream.truncate(megabytes << 20)
        run(*make, self.image)

    @contextmanager
    def mounted(self) -> Iterator[Path]:
        done = subprocess.run(
            ["mount", "-o", "loop", self.image, self.share], capture_output=True, text=True, check=False
        )
        if done.returncode:
            pytest.skip(f"no loop mount on this machine: {done.stderr.strip()}")
        try:
            yield self.share
        finally:
            # Whoever made a mount namespace meanwhile keeps the mount, and with it what was not yet written.
            run("sync", "--file-system", self.share)
            run("umount", self.share)

    def flip(self, at: int) -> None:
        """Flip the lowest bit of the byte ``at`` bytes from the beginning of the disk."""
        flip(self.image, at)

    def only_place_of(self, content: bytes) -> int:
        """Where on the disk these bytes lie; they must lie within one block of a file, or may be stored in pieces."""
        body = self.image.read_bytes()
        at = body.find(content)
        assert at >= 0, "the bytes are not stored as they are"
        assert body.find(content, at + 1) < 0, "the bytes are stored twice"
        return at


def flip(disk: str | Path, at: int) -> None:
    with open(disk, "r+b") as stream:
        stream.seek(at)
        (byte,) = stream.read(1)
        stream.seek(at)
        stream.write(bytes([byte ^ 1]))
        stream.flush()
        os.fsync(stream.fileno())


def place(path: Path, at: int) -> int:
    """Where on its disk byte ``at`` of a file lies: the kernel is asked, for a file may be stored in pieces."""
    with open(path, "rb") as stream:
        os.fsync(stream.fileno())
        (size,) = struct.unpack("i", fcntl.ioctl(stream, FIGETBSZ, struct.pack("i", 0)))
        (block,) = struct.unpack("i", fcntl.ioctl(stream, FIBMAP, struct.pack("i", at // size)))
    assert block > 0, f"no block holds byte {at} of {path.name}"
    return int(block * size + at % size)


@pytest.fixture
def ext4(tmp_path: Path) -> Disk:
    need("mkfs.ext4", "mount", "losetup")
    return Disk(tmp_path, ("mkfs.ext4", "-q"), 16)


def pictures(share: Path, number: int = 4, **options: Any) -> list[Path]:
    return [picture(share / f"{shade}.tif", shade, **options) for shade in range(number)]


def stats(path: Path) -> tuple[int, ...]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def test_one_flipped_bit_is_rot_by_two_readings_and_ends_with_5(catalog_cli: Any, ext4: Disk) -> None:
    with ext4.mounted() as share:
        victim = pictures(share)[2]
        assert catalog_cli("scan", share).code == 0
        assert catalog_cli("audit").code == 0
        content, before = victim.read_bytes(), stats(victim)
        middle = place(victim, len(content) // 2)
    ext4.flip(middle)
    with ext4.mounted() as share:
        assert stats(victim) == before, "rot leaves every time stamp as it was"
        assert catalog_cli("scan", share).code == 0, "a scan does not look at what nobody touched"
        ran = catalog_cli("audit", "--json")
        assert ran.code == 5, ran.stderr
        (corrupt,) = ran.json["corrupt"]
        assert (corrupt["path"], corrupt["manner"]) == (str(victim), "rot")
        assert (ran.json["checked"], ran.json["intact"]) == (4, 3)
        ask = Asking(catalog_cli.database)
        checks = ask("SELECT result, how FROM v_check WHERE path = ? ORDER BY check_no", str(victim))
        assert [each["result"] for each in checks] == ["intact", "differs", "rot"]
        assert {each["how"] for each in checks} == {"uncached"}
        case = ask("SELECT manner, severity FROM v_drift_open")
        assert case == [{"manner": "rot", "severity": "critical"}]
        assert victim.read_bytes() != content


def test_rot_in_a_packed_strip_names_the_strip_and_its_rows(catalog_cli: Any, ext4: Disk) -> None:
    from PIL import Image

    with ext4.mounted() as share:
        path = share / "scan.tif"
        noise = Image.frombytes("L", (100, 200), os.urandom(20_000))
        noise.save(path, compression="tiff_adobe_deflate", tiffinfo={278: 20})
        assert catalog_cli("scan", share).code == 0
        with Image.open(path) as image:
            offset, count = image.tag_v2[273][5], image.tag_v2[279][5]
        middle = place(path, offset + count // 2)
    ext4.flip(middle)
    with ext4.mounted():
        ran = catalog_cli("audit", "--json")
        assert ran.code == 5
        (corrupt,) = ran.json["corrupt"]
        assert (corrupt["manner"], corrupt["kind"]) == ("rot", "broken")
        words = "; ".join(corrupt["reasons"])
        assert "strip 6 of 10 (rows 100 to 119)" in words
        assert "100 to 119" in catalog_cli("audit").out


def test_what_changes_in_the_cache_only_is_not_taken_for_the_disk(catalog_cli: Any, ext4: Disk) -> None:
    """A file whose pages are in memory, and whose blocks rot meanwhile: only a reading of the disk sees it."""
    with ext4.mounted() as share:
        victim = pictures(share)[1]
        run("sync")
        assert catalog_cli("scan", share).code == 0
        content = victim.read_bytes()
        device = subprocess.run(
            ["findmnt", "-no", "SOURCE", share], capture_output=True, text=True, check=True
        ).stdout.strip()
        flip(device, place(victim, len(content) // 2))
        assert victim.read_bytes() == content, "the page cache still holds the good bytes"
        ran = catalog_cli("audit", "--json")
        assert (ran.code, ran.json["corrupt"][0]["manner"]) == (5, "rot")


def test_an_input_output_error_is_unreadable_and_no_rot(catalog_cli: Any, tmp_path: Path) -> None:
    """btrfs checks its own sums, and gives no bytes where they do not hold."""
    need("mkfs.btrfs", "mount", "losetup")
    disk = Disk(tmp_path, ("mkfs.btrfs", "-q", "-d", "single", "-m", "single"), 128)
    with disk.mounted() as share:
        from PIL import Image

        victim = share / "noise.png"
        Image.frombytes("L", (200, 200), os.urandom(40_000)).save(victim)
        pictures(share)
        assert catalog_cli("scan", share).code == 0
        content = victim.read_bytes()
    disk.flip(disk.only_place_of(content[4096:8192]) + 2048)
    with disk.mounted():
        ran = catalog_cli("audit", "--json")
        assert ran.code == 3, ran.stdout
        (unreadable,) = ran.json["unreadable"]
        assert unreadable["path"] == str(victim)
        assert unreadable["reason"].startswith("Input/output error")
        assert (ran.json["corrupt"], ran.json["intact"]) == ([], 4)
        ask = Asking(catalog_cli.database)
        assert ask.states()["noise.png"] == "unreadable"


def test_without_a_change_time_to_trust_it_is_unexplained(catalog_cli: Any, tmp_path: Path) -> None:
    need("bindfs", "fusermount")
    store, share = tmp_path / "store", tmp_path / "share"
    pictures(store)
    share.mkdir()
    done = subprocess.run(["bindfs", "-r", store, share], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"bindfs does not mount here: {done.stderr.strip()}")
    try:
        assert catalog_cli("scan", share).code == 0
        assert catalog_cli("audit").code == 0
        hidden = store / "2.tif"
        before, body = hidden.stat(), bytearray(hidden.read_bytes())
        body[2000] ^= 1
        hidden.write_bytes(body)
        os.utime(hidden, ns=(before.st_atime_ns, before.st_mtime_ns))
        ran = catalog_cli("audit", "--json")
        assert ran.code == 5, ran.stderr
        assert [each["manner"] for each in ran.json["corrupt"]] == ["unexplained"]
    finally:
        run("umount", share)
