"""A reading that only checks: one sha256, from the disk, between two stats."""

from __future__ import annotations

import ctypes
import hashlib
import mmap
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from catalog.pixels.reading import CHECK_PIECE, NO_MD5, PIECE, Reader, Reading
from catalog.terms import Failure, FailureKind, Limits


@pytest.fixture
def reader() -> Iterator[Reader]:
    reader = Reader(Limits())
    yield reader
    reader.release()


def checked(reader: Reader, path: Path) -> Reading | Failure:
    folder, name = os.path.split(os.fsencode(path))
    return reader.read(folder, name, False, uncached=True, check=True)


@pytest.mark.parametrize("size", [0, 1, 24_036, CHECK_PIECE - 1, CHECK_PIECE, CHECK_PIECE + 1, PIECE + 77])
def test_digest_is_that_of_the_whole_file(reader: Reader, tmp_path: Path, size: int) -> None:
    body = os.urandom(size)
    (tmp_path / "a.tif").write_bytes(body)
    found = checked(reader, tmp_path / "a.tif")
    assert isinstance(found, Reading)
    assert (found.sha256, found.md5, found.body) == (hashlib.sha256(body).digest(), NO_MD5, None)
    assert found.stat.size == size


def test_file_that_grows_while_it_is_read_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(bytes(PIECE + CHECK_PIECE))

    def grow() -> None:
        with open(path, "ab") as stream:
            stream.write(b"more")

    reader = Reader(Limits(), grow)
    found = checked(reader, path)
    reader.release()
    assert isinstance(found, Failure)
    assert found.kind is FailureKind.MOVING


def cached_pages(path: Path) -> int:
    """Pages of a file that are in memory (mincore)."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open(path, "rb") as stream, mmap.mmap(stream.fileno(), 0, mmap.MAP_PRIVATE) as memory:
        view = (ctypes.c_char * len(memory)).from_buffer(memory)
        flags = (ctypes.c_ubyte * -(-len(memory) // mmap.PAGESIZE))()
        failed = libc.mincore(ctypes.c_void_p(ctypes.addressof(view)), ctypes.c_size_t(len(memory)), flags)
        del view
        if failed:
            pytest.skip(f"mincore does not work here: {os.strerror(ctypes.get_errno())}")
        return sum(flag & 1 for flag in flags)


def test_check_reads_past_the_page_cache_and_leaves_nothing_in_it(reader: Reader, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(os.urandom(256 * mmap.PAGESIZE))
    descriptor = os.open(path, os.O_RDWR)
    os.fsync(descriptor)
    os.close(descriptor)
    path.read_bytes()
    if not cached_pages(path):
        pytest.skip("this file system keeps no pages")
    with open(path, "rb") as stream:
        os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    if cached_pages(path):
        pytest.skip("this file system does not let go of its pages (tmpfs)")
    path.read_bytes()
    assert cached_pages(path)
    found = checked(reader, path)
    assert isinstance(found, Reading)
    assert cached_pages(path) == 0
