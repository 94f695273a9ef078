"""A storm of renames, swaps, copies, rewrites and deletions, then rest: the record equals the disk."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import pytest

from tests.asking import picture, truth
from tests.in_process import Cataloguing, cataloguing_in


class Storm:
    """Does one thing after the other to a share, by a seed."""

    def __init__(self, share: Path, seed: int) -> None:
        self.share = share
        self.chance = random.Random(seed)
        self.shade = 0
        (share / "sub").mkdir()
        for _ in range(12):
            self.make()

    def name(self) -> Path:
        folder = self.chance.choice([self.share, self.share / "sub", self.share / "other"])
        return folder / f"{self.chance.randrange(14)}.tif"

    def some(self) -> Path | None:
        files = sorted(path for path in self.share.rglob("*.tif") if path.is_file())
        return self.chance.choice(files) if files else None

    def make(self) -> None:
        self.shade += 1
        picture(self.name(), self.shade)

    def step(self) -> None:
        one, two = self.some(), self.some()
        what = self.chance.randrange(9)
        if one is None or two is None or what == 0:
            self.make()
        elif what == 1:
            target = self.name()
            target.parent.mkdir(exist_ok=True)
            one.rename(target)
        elif what == 2 and one != two:
            aside = self.share / "aside"
            one.rename(aside)
            two.rename(one)
            aside.rename(two)
        elif what == 3:
            one.unlink()
        elif what == 4:
            target = self.name()
            target.parent.mkdir(exist_ok=True)
            if not target.exists() or not target.samefile(one):
                shutil.copy2(one, target)
        elif what == 5:
            self.shade += 1
            picture(one, self.shade)  # in place
        elif what == 6:
            self.shade += 1
            picture(self.share / ".save.tif", self.shade).rename(one)
        elif what == 7:
            sub, other = self.share / "sub", self.share / "other"
            if sub.exists() and not other.exists():
                sub.rename(other)
            elif other.exists() and not sub.exists():
                other.rename(sub)
        else:
            target = self.name()
            target.parent.mkdir(exist_ok=True)
            if not target.exists():
                os.link(one, target)


def settled(home: Cataloguing, share: Path) -> bool:
    return (
        home.ask.record() == truth(share)
        and not home.ask("SELECT 1 FROM job")
        and not home.ask("SELECT 1 FROM file WHERE presence = 2 OR outcome IN (0, 2)")
    )


@pytest.mark.parametrize("seed", range(4))
def test_record_equals_the_disk_after_a_storm_of_events(tmp_path: Path, seed: int) -> None:
    share = tmp_path / "share"
    share.mkdir()
    storm = Storm(share, seed)
    with cataloguing_in(tmp_path, mass_missing_files=1000) as home:
        home.add(share)
        with home.watching() as watching:
            steps = iter(range(150))

            def over() -> bool:
                if next(steps, None) is None:
                    return True
                for _ in range(storm.chance.randrange(3)):
                    storm.step()
                return False

            watching.until(over, 60.0)
            watching.until(lambda: settled(home, share), 30.0)


@pytest.mark.parametrize("seed", range(4))
def test_record_equals_the_disk_after_scans_between_storms(tmp_path: Path, seed: int) -> None:
    share = tmp_path / "share"
    share.mkdir()
    storm = Storm(share, 100 + seed)
    with cataloguing_in(tmp_path, mass_missing_files=1000) as home:
        for _ in range(6):
            result = home.scan(share)
            assert result.complete, result.problems
            assert home.ask.record() == truth(share)
            for _ in range(storm.chance.randrange(25)):
                storm.step()


@pytest.mark.parametrize("seed", range(3))
def test_histories_follow_their_files_through_a_storm_of_renames(tmp_path: Path, seed: int) -> None:
    share = tmp_path / "share"
    chance = random.Random(seed)
    for shade in range(24):
        picture(share / "ab"[shade % 2] / f"{shade}.tif", shade)
    with cataloguing_in(tmp_path, absence_seconds=4.0) as home:
        home.add(share)
        with home.watching() as watching:
            watching.until(lambda: settled(home, share))
            before = {row["raw_sha256"]: row["file_id"] for row in home.ask("SELECT * FROM v_file")}
            steps = iter(range(120))

            def over() -> bool:
                if next(steps, None) is None:
                    return True
                if chance.random() < 0.5:
                    rename(share, chance)
                return False

            watching.until(over, 60.0)
            watching.until(lambda: settled(home, share), 30.0)
        after = {row["raw_sha256"]: row["file_id"] for row in home.ask("SELECT * FROM v_file")}
        assert home.ask.events("missing", "changed") == []
        assert after == before


def rename(share: Path, chance: random.Random) -> None:
    """Something gets another name, and nothing is lost."""
    files = sorted(path for path in share.rglob("*.tif"))
    one, two = chance.sample(files, 2)
    what = chance.randrange(4)
    if what == 0:
        target = chance.choice(sorted(share.iterdir())) / f"{chance.randrange(60)}.tif"
        if not target.exists():
            one.rename(target)
    elif what == 1:
        aside = share / "aside"
        one.rename(aside)
        two.rename(one)
        aside.rename(two)
    elif what == 2:
        folders = sorted(share.iterdir())
        folder = chance.choice(folders)
        folder.rename(share / chance.choice([name for name in "abcdef" if not (share / name).exists()]))
    else:
        first, second = chance.sample(sorted(share.iterdir()), 2)
        aside = share / "aside"
        first.rename(aside)
        second.rename(first)
        aside.rename(second)
