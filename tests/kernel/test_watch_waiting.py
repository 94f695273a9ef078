"""What a daemon records soon, whatever else takes its time."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from catalog.service.plans import Plan, Tally
from catalog.service.reconcile import Reconcile
from catalog.terms import Job
from tests.asking import picture, truth
from tests.in_process import cataloguing_in


@pytest.mark.parametrize("freed", [False, True], ids=["renamed over", "deleted and made anew"])
def test_what_is_saved_over_a_file_waits_for_no_long_walk_of_another_share(
    tmp_path: Path, freed: bool
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    saved = picture(one / "saved.tif", 1)
    picture(two / "other.tif", 2)
    with cataloguing_in(tmp_path) as home:
        home.add(one)
        other = home.session.roots.by_id(home.add(two))
        with home.watching() as watching:
            watching.until(lambda: len(home.ids()) == 2 and not home.session.waiting)
            before = home.ids()
            walk = Reconcile(home.session, other, lambda: True)  # and nobody lets it go on
            try:
                if freed:
                    saved.unlink()
                picture(tmp_path / "new.tif", 3).rename(saved)
                watching.until(lambda: home.ask.record() == truth(one) | truth(two))
                assert home.ids() == before
            finally:
                walk.abandon()


def test_news_of_a_path_on_its_way_is_kept_until_it_is_looked_at(tmp_path: Path) -> None:
    """The look that is under way may have been before it: whatever waits for that news waits on."""
    share = tmp_path / "share"
    path = picture(share / "read.tif", 1)
    with cataloguing_in(tmp_path) as home:
        root_id = home.add(share)
        with home.watching() as watching:
            watching.until(lambda: home.ids() and not home.session.waiting)
            job = Job(root_id, b"read.tif", 1, True)
            home.session.submit_later(job, Plan(Tally()), 3600.0)
            picture(tmp_path / "new.tif", 2).rename(path)
            watching.until(lambda: home.ask("SELECT 1 FROM job"))
            watching.turns(0.5)
            assert watching.daemon.watches[root_id].unseen_since() < math.inf


def test_nobody_waits_for_the_news_of_a_share_that_is_away(tmp_path: Path) -> None:
    share = tmp_path / "share"
    picture(share / "one.tif", 1)
    with cataloguing_in(tmp_path, settle_seconds=3600.0, quiet_seconds=3600.0) as home:
        root_id = home.add(share)
        with home.watching() as watching:
            watching.until(lambda: home.ids() and not home.session.waiting)
            picture(tmp_path / "new.tif", 2).rename(share / "two.tif")
            watch = watching.daemon.watches[root_id]
            watching.until(lambda: watch.unseen_since() < math.inf)
            share.rename(tmp_path / "away")
            watching.until(lambda: not watch.online)
            assert watch.unseen_since() == math.inf
            assert not watch.expecting
