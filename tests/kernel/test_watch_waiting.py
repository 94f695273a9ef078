"""What a daemon records soon, whatever else takes its time."""

from __future__ import annotations

from pathlib import Path

import pytest

from catalog.service.reconcile import Reconcile
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
