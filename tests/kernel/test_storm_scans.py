"""Storms with a scan now and then: after each scan the record equals the disk, and histories are with their files."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.asking import picture
from tests.in_process import Cataloguing, cataloguing_in
from tests.storm import Storm
from tests.storm_judging import Moment, Record, differences, misplaced, moment, recorded


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1])
def test_record_equals_the_disk_after_every_scan(tmp_path: Path, seed: int) -> None:
    assert scanned(tmp_path, seed, scans=4, steps=20) == []


@pytest.mark.slow
def test_record_equals_the_disk_after_every_scan_of_many_storms(tmp_path: Path) -> None:
    found = {}
    for seed in range(100, 112):
        folder = tmp_path / str(seed)
        folder.mkdir()
        found[seed] = scanned(folder, seed, scans=8, steps=25 if seed % 2 else 7)
    assert {seed: said for seed, said in found.items() if said} == {}


def scanned(folder: Path, seed: int, *, scans: int, steps: int) -> list[str]:
    """Scan the shares, storm a little, scan again …; what was wrong after the first scan that was not right."""
    shares = [folder / "one", folder / "two"]
    storm = Storm([os.fsencode(share) for share in shares], os.fsencode(folder / "out"), seed)
    was: Moment = {}
    before = Record({}, {}, [])
    try:
        with cataloguing_in(folder, mass_missing_files=10_000) as home:
            for _ in range(scans):
                result = home.scan(*shares)
                now, after = moment(storm), recorded(home.ask)
                said = [*map(str, result.problems), *differences(after, now)]
                said += misplaced(was, before, now, after)
                if said:
                    return said
                was, before = now, after
                for _ in range(storm.chance.randrange(steps)):
                    storm.step()
    finally:
        storm.close()
    return []


# ------------------------------------------------------------------------------------ what storms brought up


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Cataloguing]:
    with cataloguing_in(tmp_path) as home:
        yield home


@pytest.fixture
def share(tmp_path: Path) -> Path:
    (tmp_path / "share").mkdir()
    return tmp_path / "share"


def test_name_keeps_its_history_when_another_name_of_its_file_is_taken(
    home: Cataloguing, share: Path
) -> None:
    picture(share / "linked.tif", 1)
    os.link(share / "linked.tif", share / "taken.tif")
    picture(share / "mover.tif", 2)
    home.scan(share)
    before = home.ids()
    (share / "mover.tif").rename(share / "taken.tif")
    home.scan(share)
    assert home.ids() == {"linked.tif": before["linked.tif"], "taken.tif": before["mover.tif"]}
    assert home.ask.events("missing") == ["missing taken.tif"]


@pytest.mark.parametrize("copy", ["a copy.tif", "z copy.tif"])
def test_history_follows_a_file_that_left_a_copy_in_its_place(
    home: Cataloguing, share: Path, copy: str
) -> None:
    """Whether the walk comes to the copy before or after the file's new name."""
    picture(share / copy, 1)
    picture(share / "m.tif", 2)
    home.scan(share)
    before = home.ids()
    shutil.copy2(share / copy, share / "aside")
    (share / copy).rename(share / "m.tif")
    (share / "aside").rename(share / copy)
    home.scan(share)
    after = home.ids()
    assert after["m.tif"] == before[copy]
    assert after[copy] not in before.values()
    assert home.ask.events("changed") == []


def test_copy_that_takes_the_place_of_its_original_is_the_same_file(home: Cataloguing, share: Path) -> None:
    """What a restored share looks like: each inode is another one, and nothing else is."""
    for shade in range(3):
        picture(share / f"{shade}.tif", shade)
    home.scan(share)
    before = home.ids()
    shutil.copytree(share, share.parent / "restored")
    shutil.rmtree(share)
    (share.parent / "restored").rename(share)
    assert home.scan(share).document()["files"]["unchanged"] == 3
    assert home.ids() == before
    assert home.ask.events("missing", "moved", "changed") == []


def test_living_history_follows_its_file_to_a_place_where_a_lost_one_ended(
    home: Cataloguing, tmp_path: Path
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    picture(one / "a.tif", 1)
    (two).mkdir()
    home.scan(one, two)
    (one / "a.tif").rename(tmp_path / "away")
    home.scan(one, two)
    (tmp_path / "away").rename(two / "b.tif")
    home.scan(one, two)
    came_back = home.ids()["b.tif"]
    (two / "b.tif").rename(one / "a.tif")
    home.scan(one, two)
    assert home.ids() == {"a.tif": came_back}


def test_file_that_comes_back_to_its_place_has_its_history_though_a_copy_went(
    home: Cataloguing, share: Path
) -> None:
    picture(share / "a.tif", 1)
    home.scan(share)
    history = home.ids()["a.tif"]
    (share / "a.tif").rename(share / "a.bak")
    home.scan(share)
    shutil.copy(share / "a.bak", share / "copy.tif")
    home.scan(share)
    (share / "copy.tif").unlink()
    (share / "a.bak").rename(share / "a.tif")
    home.scan(share)
    assert home.ids() == {"a.tif": history}
