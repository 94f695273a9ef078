"""Phase 1: a file is read once, as one state of one path, or not at all."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import resource
import signal
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from catalog.pixels import reading
from catalog.pixels.reading import NOT_REGULAR, Reader, Reading
from catalog.terms import Failure, FailureKind, Limits, Stat
from tests.mounting import as_nobody

Look = Callable[..., Reading | Failure]


@pytest.fixture
def share(tmp_path: Path) -> bytes:
    return os.fsencode(tmp_path)


@pytest.fixture
def look(share: bytes) -> Iterator[Look]:
    """``look(path)`` with a reader whose folder is let go at the end."""
    reader = Reader(Limits(decode_bytes=20 << 20))
    yield lambda path, keep=True: reader.read(share, path, keep)
    reader.release()


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> int:
    """Large files begin at 4 kB, so that something can happen in the middle of one."""
    monkeypatch.setattr(reading, "PIECE", 4096)
    return 4096


def read_as(found: Reading | Failure) -> Reading:
    assert isinstance(found, Reading), found
    return found


def failed_as(found: Reading | Failure) -> Failure:
    assert isinstance(found, Failure), found
    return found


@pytest.mark.parametrize("size", [0, 1, 4095, 1 << 20, (8 << 20) - 1, 8 << 20, (17 << 20) + 3])
@pytest.mark.parametrize("keep", [True, False])
def test_digests_bytes_and_stat_are_those_of_the_file(
    tmp_path: Path, look: Look, size: int, keep: bool
) -> None:
    content = (b"sample " * (size // 7 + 1))[:size]
    (tmp_path / "a.tif").write_bytes(content)
    found = read_as(look(b"a.tif", keep))
    assert found.sha256 == hashlib.sha256(content).digest()
    assert found.md5 == hashlib.md5(content).digest()
    assert found.body == (content if keep else None)
    assert found.unkept == ""
    assert found.stat == Stat.of(os.lstat(tmp_path / "a.tif"))


def test_past_the_page_cache_the_bytes_are_the_same(tmp_path: Path, share: bytes) -> None:
    content = os.urandom(100_000)
    with open(tmp_path / "a.tif", "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())  # dirty pages would stay in the cache
    reader = Reader(Limits())
    found = read_as(reader.read(share, b"a.tif", uncached=True))
    reader.release()
    assert found.body == content


def test_a_file_above_the_limit_is_hashed_in_little_memory(tmp_path: Path, look: Look) -> None:
    with open(tmp_path / "huge.tif", "wb") as file:
        file.truncate(200 << 20)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = read_as(look(b"huge.tif"))
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert found.body is None and found.unkept == f"too large: raise decode_limit_bytes to {200 << 20}"
    digest = hashlib.md5()
    for _ in range(200):
        digest.update(bytes(1 << 20))
    assert found.md5 == digest.digest()
    assert grown < 40 << 20


def test_each_piece_of_a_large_file_is_a_sign_of_life(
    tmp_path: Path, share: bytes, small_pieces: int
) -> None:
    (tmp_path / "a.tif").write_bytes(bytes(10 * small_pieces))
    signs: list[int] = []
    for keep in (True, False):
        reader = Reader(Limits(), lambda: signs.append(1))
        read_as(reader.read(share, b"a.tif", keep))
        reader.release()
        assert len(signs) == 10
        signs.clear()


def test_names_are_bytes(tmp_path: Path, look: Look, share: bytes) -> None:
    os.mkdir(share + b"/\xff\n")
    with open(share + b"/\xff\n/\xfe.tif", "wb") as file:
        file.write(b"x")
    assert read_as(look(b"\xff\n/\xfe.tif")).body == b"x"


def test_paths_beyond_the_kernels_limit_are_reached_step_by_step(look: Look, share: bytes) -> None:
    folder = os.open(share, os.O_RDONLY)
    for _ in range(20):
        os.mkdir(b"d" * 250, dir_fd=folder)
        below = os.open(b"d" * 250, os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = below
    file = os.open("deep.tif", os.O_CREAT | os.O_WRONLY, dir_fd=folder)
    os.write(file, b"deep")
    os.close(file)
    os.close(folder)
    path = b"/".join([b"d" * 250] * 20) + b"/deep.tif"
    assert len(share + path) > 4096
    assert read_as(look(path)).body == b"deep"
    assert failed_as(look(path + b"x")).kind is FailureKind.GONE


# ------------------------------------------------------------------------------------- not (or no more) a file


def test_a_missing_file_is_gone(look: Look) -> None:
    assert failed_as(look(b"no.tif")) == Failure(FailureKind.GONE, "no longer there", errno.ENOENT)
    assert failed_as(look(b"no/folder.tif")).kind is FailureKind.GONE


def test_a_folder_that_became_a_file_makes_what_was_below_gone(tmp_path: Path, look: Look) -> None:
    (tmp_path / "scans").write_bytes(b"")
    assert failed_as(look(b"scans/a.tif")).kind is FailureKind.GONE


def test_links_are_not_followed(tmp_path: Path, look: Look) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.tif").write_bytes(b"x")
    (tmp_path / "link.tif").symlink_to("real/a.tif")
    (tmp_path / "linked").symlink_to("real")
    for path in (b"link.tif", b"linked/a.tif"):
        assert failed_as(look(path)).kind is FailureKind.GONE


def test_links_are_followed_where_the_share_says_so(tmp_path: Path, share: bytes) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.tif").write_bytes(b"x")
    (tmp_path / "link.tif").symlink_to("real/a.tif")
    (tmp_path / "linked").symlink_to("real")
    reader = Reader(Limits(), follow_links=True)
    try:
        for path in (b"link.tif", b"linked/a.tif"):
            found = read_as(reader.read(share, path))
            assert found.stat == Stat.of(os.stat(tmp_path / "real" / "a.tif"))
    finally:
        reader.release()


def test_no_path_leads_out_of_the_root(tmp_path: Path, share: bytes, look: Look) -> None:
    (tmp_path / "inside").mkdir()
    (tmp_path / "a.tif").write_bytes(b"x")
    reader = Reader(Limits())
    try:
        for path in (b"../a.tif", b"./../a.tif", b"x//../a.tif"):
            assert failed_as(reader.read(share + b"/inside", path)).kind is FailureKind.GONE
    finally:
        reader.release()


def test_a_pipe_a_socket_and_a_folder_are_refused_at_once(tmp_path: Path, look: Look) -> None:
    os.mkfifo(tmp_path / "fifo.tif")
    (tmp_path / "folder.tif").mkdir()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.fspath(tmp_path / "s.tif"))
        for name in (b"fifo.tif", b"s.tif", b"folder.tif"):
            assert look(name) == NOT_REGULAR


def test_an_error_of_the_disk_keeps_its_number() -> None:
    reader = Reader(Limits())
    try:
        found = failed_as(reader.read(b"/proc/self", b"mem"))  # a regular file whose first page is not there
    finally:
        reader.release()
    assert found == Failure(FailureKind.UNREADABLE, "Input/output error", errno.EIO)


def test_a_file_that_we_may_not_read_is_unreadable(public_path: Path) -> None:
    (public_path / "a.tif").write_bytes(b"x")
    (public_path / "a.tif").chmod(0)
    reader = Reader(Limits())
    try:
        with as_nobody():
            found = failed_as(reader.read(os.fsencode(public_path), b"a.tif"))
    finally:
        reader.release()
    assert found == Failure(FailureKind.UNREADABLE, "Permission denied", errno.EACCES)


# ---------------------------------------------------------------------------------------- changes meanwhile


def _truncate(path: Path) -> None:
    os.truncate(path, 5000)


def _append(path: Path) -> None:
    with open(path, "ab") as file:
        file.write(b"more")


def _rewrite_and_restore_mtime(path: Path) -> None:
    before = path.stat()
    with open(path, "r+b") as file:
        file.seek(30_000)
        file.write(b"other")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def _replace(path: Path) -> None:
    before = path.stat()
    path.with_name("new").write_bytes(path.read_bytes())
    os.utime(path.with_name("new"), ns=(before.st_atime_ns, before.st_mtime_ns))
    path.with_name("new").rename(path)


def _move_the_folder(path: Path) -> None:
    path.parent.rename(path.parent.with_name("elsewhere"))
    path.parent.mkdir()
    path.write_bytes(bytes(40_960))


@pytest.mark.parametrize(
    "change", [_truncate, _append, _rewrite_and_restore_mtime, _replace, _move_the_folder]
)
@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.usefixtures("small_pieces")
def test_a_file_that_changes_while_it_is_read_is_moving(
    tmp_path: Path, share: bytes, change: Callable[[Path], None], keep: bool
) -> None:
    (tmp_path / "scans").mkdir()
    path = tmp_path / "scans" / "a.tif"
    path.write_bytes(bytes(40_960))
    due = [change]
    reader = Reader(Limits(), lambda: due.pop()(path) if due else None)
    try:
        found = failed_as(reader.read(share, b"scans/a.tif", keep))
    finally:
        reader.release()
    assert not due
    assert found == Failure(FailureKind.MOVING, "changed while it was read")


@pytest.mark.usefixtures("small_pieces")
def test_a_file_that_is_deleted_while_it_is_read_is_gone(tmp_path: Path, share: bytes) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(bytes(40_960))
    reader = Reader(Limits(), lambda: path.unlink(missing_ok=True))
    try:
        assert failed_as(reader.read(share, b"a.tif")).kind is FailureKind.GONE
    finally:
        reader.release()


def test_a_file_under_an_oplock_is_moving(tmp_path: Path, look: Look) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(b"x")
    heard = signal.signal(signal.SIGIO, signal.SIG_IGN)
    try:
        with open(path, "r+b") as holder:
            try:
                fcntl.fcntl(holder, fcntl.F_SETLEASE, fcntl.F_WRLCK)
            except OSError as error:
                pytest.skip(f"no leases on this file system: {error}")
            assert failed_as(look(b"a.tif")).kind is FailureKind.MOVING
    finally:
        signal.signal(signal.SIGIO, heard)


# ------------------------------------------------------------------------------------------------- manners


def test_reading_leaves_the_access_time_alone(tmp_path: Path, look: Look) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(b"x")
    os.utime(path, ns=(10**18, path.stat().st_mtime_ns))  # so old that `relatime` would renew it
    before = path.stat()
    read_as(look(b"a.tif"))
    after = path.stat()
    assert after.st_atime_ns == 10**18
    assert after == before


def test_a_released_reader_holds_nothing_open(tmp_path: Path, share: bytes) -> None:
    (tmp_path / "a.tif").write_bytes(b"x")
    before = sorted(os.listdir("/proc/self/fd"))
    reader = Reader(Limits())
    read_as(reader.read(share, b"a.tif"))
    assert failed_as(reader.read(share, b"no/such.tif"))
    read_as(reader.read(share, b"a.tif"))
    reader.release()
    reader.release()
    assert sorted(os.listdir("/proc/self/fd")) == before


def test_without_a_second_thread_the_digests_are_the_same(
    tmp_path: Path, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = os.urandom(3 << 20)
    (tmp_path / "a.tif").write_bytes(content)

    def no_thread(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", no_thread)
    found = read_as(look(b"a.tif"))
    assert (found.sha256, found.md5) == (hashlib.sha256(content).digest(), hashlib.md5(content).digest())


def test_a_regular_file_is_told_by_its_open_descriptor(tmp_path: Path, look: Look) -> None:
    """A device or pipe that takes the name after the walk is never read."""
    if not os.path.exists("/dev/zero") or os.geteuid() != 0:
        pytest.skip("needs root for a device node")
    try:
        os.mknod(tmp_path / "zero.tif", stat.S_IFCHR | 0o600, os.makedev(1, 5))
    except OSError as error:
        pytest.skip(f"no device nodes here: {error}")
    assert failed_as(look(b"zero.tif")).kind in (FailureKind.GONE, FailureKind.UNREADABLE)
