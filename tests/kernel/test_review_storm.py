"""A storm beside a daemon, then rest: the record equals the disk, and histories are with their files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.asking import picture, truth
from tests.in_process import Cataloguing, Watching, cataloguing_in
from tests.storm import RENAMES, Storm
from tests.storm_judging import differences, moment, of_the_round, recorded


def stormed(
    folder: Path, seed: int, *, turns: int, only: Sequence[str] | None = None, absence_seconds: float = 4.0
) -> dict[str, list[str]]:
    """What was wrong after some turns of a daemon with an operation or two, or none, between them."""
    shares = [folder / "one", folder / "two"]
    storm = Storm([os.fsencode(share) for share in shares], os.fsencode(folder / "out"), seed, only=only)
    try:
        # The periodic walk does not help: it comes an hour apart.
        settings = {"mass_missing_files": 10_000, "poll_interval_seconds": 1.0}
        with cataloguing_in(folder, absence_seconds=absence_seconds, **settings) as home:
            for share in shares:
                home.add(share)
            with home.watching() as watching:
                watching.until(lambda: settled(home, storm), 60.0)
                histories = recorded(home.ask).histories
                bodies = {body.number: histories[path] for path, body in storm.inside().items()}
                storm.rest()
                blow(watching, storm, turns)
                storm.close()
                watching.until(lambda: settled(home, storm), 60.0)
            found = of_the_round(home.ask, lambda path: path, storm, 0, bodies)
    finally:
        storm.close()
    return {kind: said for kind, said in found.items() if said}


def blow(watching: Watching, storm: Storm, turns: int) -> None:
    left = iter(range(turns))

    def over() -> bool:
        if next(left, None) is None:
            return True
        for _ in range(storm.chance.randrange(3)):
            storm.step()
        return False

    watching.until(over, 60.0)


def settled(home: Cataloguing, storm: Storm) -> bool:
    return not differences(recorded(home.ask), moment(storm)) and not home.ask("SELECT 1 FROM job")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_record_equals_the_disk_after_a_storm_of_events(tmp_path: Path, seed: int) -> None:
    assert stormed(tmp_path, seed, turns=150) == {}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_histories_follow_their_files_through_a_storm_of_renames(tmp_path: Path, seed: int) -> None:
    assert stormed(tmp_path, seed, turns=120, only=RENAMES, absence_seconds=15.0) == {}


def test_write_under_one_name_is_seen_under_a_name_in_another_share(tmp_path: Path) -> None:
    """The kernel tells of it in one folder."""
    one, two = tmp_path / "one", tmp_path / "two"
    picture(one / "a.tif", 1)
    two.mkdir()
    os.link(one / "a.tif", two / "b.tif")
    with cataloguing_in(tmp_path) as home:
        home.add(one)
        home.add(two)
        with home.watching() as watching:
            watching.until(lambda: len(home.ids()) == 2)
            look = (one / "a.tif").stat()
            with (one / "a.tif").open("r+b") as stream:
                stream.seek(-1, os.SEEK_END)
                stream.write(b"x")
            os.utime(one / "a.tif", ns=(look.st_atime_ns, look.st_mtime_ns))
            both = {b"a.tif": truth(one)[b"a.tif"], b"b.tif": truth(two)[b"b.tif"]}
            watching.until(lambda: home.ask.record() == both)
