"""The walk on real folders: order, cursor, what is left out, what cannot be seen."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catalog.watch.selection import Selection
from catalog.watch.walk import PULSE_ENTRIES, Listing, list_folder, walk, walk_key


def plant(root: Path, *paths: str | bytes) -> bytes:
    base = os.fsencode(root)
    for path in paths:
        full = os.path.join(base, os.fsencode(path))
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "wb") as stream:
            stream.write(os.fsencode(path))
    return base


def listed(root: bytes, **options: object) -> list[Listing]:
    return list(walk(root, Selection(), **options))  # type: ignore[arg-type]


def files(listings: list[Listing]) -> list[bytes]:
    return [os.path.join(at.path, name) for at in listings for name in sorted(at.entries)]


def test_lists_each_folder_once_parents_first_in_sorted_order(tmp_path: Path):
    root = plant(tmp_path, "b/2.tif", "a.tif", "b/c/3.tif", "b-x/4.tif", "a/1.tif")
    listings = listed(root)
    assert [at.path for at in listings] == [b"", b"a", b"b", b"b/c", b"b-x"]
    assert files(listings) == [b"a.tif", b"a/1.tif", b"b/2.tif", b"b/c/3.tif", b"b-x/4.tif"]
    assert listings[0].subdirs == [b"a", b"b", b"b-x"]


def test_a_look_is_what_lstat_says(tmp_path: Path):
    root = plant(tmp_path, "a.tif")
    look = os.lstat(os.path.join(root, b"a.tif"))
    (listing,) = listed(root)
    assert listing.entries == {b"a.tif": (look.st_size, look.st_mtime_ns, look.st_ctime_ns, look.st_ino)}
    assert listing.identity is not None
    assert listing.identity[1] == os.stat(root).st_ino
    assert listing.clean


def test_names_are_bytes_and_need_not_be_text(tmp_path: Path):
    names = [b"\xff.tif", b"new\nline.tif", "e\u0301.tif".encode(), "\xe9.tif".encode(), b"x" * 251 + b".tif"]
    root = plant(tmp_path, *names)
    (listing,) = listed(root)
    assert set(listing.entries) == set(names)


def test_links_special_files_and_left_out_names_are_counted_not_entered(tmp_path: Path):
    root = plant(tmp_path, "a.tif", ".hidden.tif", "note.txt", "@eaDir/a.tif", "d/b.tif")
    os.symlink(b"d", os.path.join(root, b"link"))
    os.symlink(b"nowhere", os.path.join(root, b"dangling.tif"))
    os.symlink(b"a.tif", os.path.join(root, b"b.tif"))
    os.mkfifo(os.path.join(root, b"fifo.tif"))
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(os.path.join(root, b"socket.png"))
    listener.close()
    listings = listed(root)
    assert files(listings) == [b"a.tif", b"d/b.tif"]
    assert (listings[0].symlinks, listings[0].special, listings[0].ignored) == (3, 2, 3)


def test_followed_links_give_their_targets_and_loops_end(tmp_path: Path):
    root = plant(tmp_path, "store/blob.tif", "blob")
    os.mkdir(os.path.join(root, b"view"))
    os.symlink(b"../store/blob.tif", os.path.join(root, b"view/a.tif"))
    os.symlink(b"../store", os.path.join(root, b"view/store"))
    os.symlink(b"..", os.path.join(root, b"view/loop"))
    os.symlink(b"nowhere", os.path.join(root, b"view/x.tif"))
    listings = list(walk(root, Selection(follow_links=True)))
    assert files(listings) == [b"store/blob.tif", b"view/a.tif", b"view/store/blob.tif"]
    assert sum(at.symlinks for at in listings) == 1
    look = os.stat(os.path.join(root, b"store/blob.tif"))
    view = next(at for at in listings if at.path == b"view")
    assert view.entries[b"a.tif"][3] == look.st_ino


def test_a_missing_root_is_an_error_and_a_missing_folder_is_gone(tmp_path: Path):
    root = plant(tmp_path, "a.tif")
    (nowhere,) = listed(os.path.join(root, b"nowhere"))
    assert nowhere.error is not None
    assert nowhere.error.errno == errno.ENOENT
    assert not nowhere.clean
    (gone,) = listed(root, start=b"no/such")
    assert gone.gone
    assert gone.clean


def test_a_folder_that_became_a_file_or_a_link_is_gone(tmp_path: Path):
    root = plant(tmp_path, "a.tif", "real/b.tif")
    os.symlink(b"real", os.path.join(root, b"link"))
    for start in (b"a.tif", b"link"):
        (listing,) = listed(root, start=start)
        assert listing.gone, start
    os.mkdir(os.path.join(root, b"real/below"))
    (through,) = listed(root, start=b"link/below")
    assert through.gone


def test_a_start_walks_that_part_only(tmp_path: Path):
    root = plant(tmp_path, "a/1.tif", "b/2.tif", "b/c/3.tif", "d/4.tif", ".h/5.tif")
    assert [at.path for at in listed(root, start=b"b")] == [b"b", b"b/c"]
    assert listed(root, start=b".h") == []


def test_an_unlistable_name_is_an_error_of_that_folder_alone(tmp_path: Path):
    root = plant(tmp_path, "a/1.tif", "b/2.tif")
    too_long = b"/".join([b"x" * 250] * 20)
    listing = list_folder(root, too_long, Selection())
    assert listing.error is not None
    assert listing.error.errno == errno.ENAMETOOLONG


def test_borders_are_named_and_not_entered(tmp_path: Path):
    root = plant(tmp_path, "a/1.tif", "b/2.tif", "b/c/3.tif")
    points = frozenset([os.path.join(root, b"b/c"), os.path.join(root, b"a")])
    listings = listed(root, borders=lambda: points)
    assert [at.path for at in listings] == [b"", b"b"]
    assert [at.mounts for at in listings] == [[b"a"], [b"c"]]
    assert [at.path for at in listed(root, borders=lambda: points, cross_devices=True)] == [
        b"",
        b"a",
        b"b",
        b"b/c",
    ]


FOLDERS = st.lists(
    st.lists(st.sampled_from(["a", "b", "a-b", "a b", "z", "aa"]), min_size=1, max_size=4).map("/".join),
    max_size=12,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(folders=FOLDERS)
def test_a_walk_may_be_cut_anywhere_and_go_on(tmp_path_factory: pytest.TempPathFactory, folders: list[str]):
    root = os.fsencode(tmp_path_factory.mktemp("tree"))
    for folder in folders:
        os.makedirs(os.path.join(root, os.fsencode(folder)), exist_ok=True)
    whole = [at.path for at in listed(root)]
    assert whole == sorted(whole, key=walk_key)
    assert len(whole) == len(set(whole))
    for position, path in enumerate(whole):
        assert [at.path for at in listed(root, after=path)] == whole[position + 1 :]
    assert [at.path for at in listed(root, after=b"a/nothing-here")] == [
        path for path in whole if walk_key(path) > [b"a", b"nothing-here"]
    ]
    for start in folders:
        part = [p for p in whole if p == start.encode() or p.startswith(start.encode() + b"/")]
        assert [at.path for at in listed(root, start=start.encode())] == part


def test_a_large_folder_is_listed_with_signs_of_life(tmp_path: Path):
    root = plant(tmp_path, *(f"{number}.tif" for number in range(2 * PULSE_ENTRIES + 1)))
    signs: list[None] = []
    listing = list_folder(root, b"", Selection(), lambda: signs.append(None))
    assert len(listing.entries) == 2 * PULSE_ENTRIES + 1
    assert len(signs) == 3
