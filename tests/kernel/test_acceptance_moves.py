"""Acceptance of the watching: whose history is whose when names change hands (docs/watching.md)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance import assert_record_is_truth, untrue
from tests.asking import picture
from tests.in_process import Cataloguing, Watching, cataloguing_in
from tests.waiting import sized

pytestmark = pytest.mark.slow


@pytest.fixture
def home(tmp_path: Path, share: Path) -> Iterator[Cataloguing]:
    with cataloguing_in(tmp_path, mass_missing_files=100_000, absence_seconds=3.0) as home:
        home.add(share)
        yield home
    assert_record_is_truth(home.database, share)


def histories(home: Cataloguing) -> dict[str, int]:
    """Raw checksum → file_id of what is there; every picture of these tests has bytes of its own."""
    rows = home.ask("SELECT raw_sha256, file_id FROM v_file WHERE state <> 'missing'")
    return {row["raw_sha256"]: row["file_id"] for row in rows}


def settled(home: Cataloguing, watching: Watching, share: Path) -> None:
    watching.until(lambda: not home.ask("SELECT 1 FROM job") and not untrue(home.ask, share), 100.0)


def assert_all_followed(home: Cataloguing, before: dict[str, int]) -> None:
    """Every file has the history that it had, and no history went to another file."""
    after = histories(home)
    kept = [sha256 for sha256, file_id in before.items() if after.get(sha256) == file_id]
    assert len(kept) == len(before)
    assert home.ask.events("missing", "changed") == []


@pytest.mark.parametrize("number", [15, pytest.param(300, marks=pytest.mark.slow)])
def test_chained_renames_of_a_folder_keep_every_history(home: Cataloguing, share: Path, number: int) -> None:
    """T15: 300 renames of one folder, with a new file after each."""
    for shade in range(20):
        picture(share / "0" / "deep" / f"{shade}.tif", shade)
    with home.watching() as watching:
        settled(home, watching, share)
        before = histories(home)
        for step in range(number):
            (share / f"{step}").rename(share / f"{step + 1}")
            picture(share / f"{step + 1}" / f"new{step}.tif", 100 + step)
            if step % 10 == 9:
                watching.turns(0.0)
        settled(home, watching, share)
        assert_all_followed(home, before)
        assert len(histories(home)) == 20 + number


@pytest.mark.parametrize("number", [5, pytest.param(101, marks=pytest.mark.slow)])
def test_swaps_of_two_folders_keep_every_history(home: Cataloguing, share: Path, number: int) -> None:
    """T15: A and B change places again and again."""
    for shade in range(20):
        picture(share / "AB"[shade % 2] / f"{shade // 2}.tif", shade)
    with home.watching() as watching:
        settled(home, watching, share)
        before = histories(home)
        for step in range(number):
            (share / "A").rename(share / "aside")
            (share / "B").rename(share / "A")
            (share / "aside").rename(share / "B")
            if step % 4 == 3:
                watching.turns(0.0)
        settled(home, watching, share)
        assert_all_followed(home, before)


@pytest.mark.parametrize("number", [60, pytest.param(sized(3000, 5000), marks=pytest.mark.slow)])
def test_renamed_files_keep_their_histories(home: Cataloguing, share: Path, number: int) -> None:
    """T15: as many renames of files as there are files, quicker than anybody can follow."""
    for shade in range(number):
        picture(share / f"{shade % 10}" / f"{shade}.tif", shade)
    with home.watching() as watching:
        settled(home, watching, share)
        before = histories(home)
        for shade in range(number):
            (share / f"{shade % 10}" / f"{shade}.tif").rename(share / f"{(shade + 1) % 10}" / f"r{shade}.tif")
        settled(home, watching, share)
        assert_all_followed(home, before)
        assert len(home.ask.events("moved")) == number


@pytest.mark.parametrize("number", [40, pytest.param(1000, marks=pytest.mark.slow)])
def test_a_new_file_with_the_inode_of_a_removed_one_is_no_move(
    tmp_path: Path, share: Path, number: int
) -> None:
    """T16"""
    for shade in range(number):
        picture(share / f"{shade}.a.tif", shade)
    with cataloguing_in(tmp_path, mass_missing_files=100_000) as home, home.watching() as watching:
        home.add(share)
        settled(home, watching, share)
        before = histories(home)
        reused = 0
        for shade in range(number):
            path = share / f"{shade}.a.tif"
            inode = path.stat().st_ino
            path.unlink()
            reused += picture(share / f"{shade}.b.tif", number + shade).stat().st_ino == inode
            os.utime(share / f"{shade}.b.tif", (1_000_000_000 + shade, 1_000_000_000 + shade))
        settled(home, watching, share)
        assert home.ask.events("moved", "changed") == []
        assert len(home.ask.events("missing")) == number
        assert not set(histories(home).values()) & set(before.values())
    assert_record_is_truth(home.database, share)
    if not reused:
        pytest.skip("this file system hands no inode number out again")
