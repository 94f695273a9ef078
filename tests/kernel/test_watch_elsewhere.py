"""A file that is gone from one share is told of soon, whatever walk may still find it elsewhere; and it keeps its
history when one does."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from catalog.service.plans import Plan, Tally
from catalog.service.reconcile import Phase, Reconcile
from catalog.terms import Job
from tests.asking import picture
from tests.in_process import Cataloguing, Watching, cataloguing_in

SOON = {"absence_seconds": 0.1, "elsewhere_seconds": 0.5}
NEVER = {"absence_seconds": 0.1, "elsewhere_seconds": 3600.0}


class Beside:
    """Two shares: the first is watched, the second is walked by nobody but the test."""

    def __init__(self, home: Cataloguing, watching: Watching, other_id: int) -> None:
        self.home, self.watching = home, watching
        self._shares = watching.daemon.shares
        self.other = self._shares.open(home.session.roots.by_id(other_id))
        self.walk = Reconcile(home.session, self.other, self._there)

    def _there(self) -> bool:
        return self._shares.there(self.other)

    def go_on(self) -> None:
        """Let the second share be walked to its end, and whatever it found be recorded."""
        while self.walk.phase is not Phase.SEEN:
            self.walk.step(0.05)
        self.walk.finish()
        self.watching.until(lambda: not self.home.session.waiting)

    def again(self) -> None:
        """Walk the second share once more."""
        self.walk = Reconcile(self.home.session, self.other, self._there)
        self.go_on()

    def missing(self) -> list[str]:
        return [each["path"] for each in self.home.ask("SELECT path FROM v_file WHERE state = 'missing'")]


@contextmanager
def beside(folder: Path, *, compared: bool = False, **settings: float) -> Iterator[Beside]:
    one, two = folder / "one", folder / "two"
    picture(one / "stays.tif", 0)
    two.mkdir(exist_ok=True)
    with cataloguing_in(folder, **settings) as home:
        if compared:
            home.scan(two)
        ids = home.add(one), home.add(two) if not compared else home.session.roots.all()[-1].root_id
        with home.watching(only=[ids[0]]) as watching:
            watching.until(lambda: "stays.tif" in home.ids() and not home.session.waiting)
            walk = Beside(home, watching, ids[1])
            try:
                yield walk
            finally:
                walk.walk.abandon()


@pytest.mark.parametrize("compared", [False, True], ids=["first walk", "walk that lasts"])
def test_a_deletion_is_told_while_another_share_is_walked(tmp_path: Path, compared: bool) -> None:
    gone = picture(tmp_path / "one" / "gone.tif", 1)
    picture(tmp_path / "two" / "other.tif", 2)
    with beside(tmp_path, compared=compared, **(SOON if compared else NEVER)) as both:
        gone.unlink()
        both.watching.until(both.missing)
        assert both.missing() == [str(gone)]
        assert both.walk.phase is Phase.WALK


def test_a_walk_of_a_share_that_is_known_is_waited_for(tmp_path: Path) -> None:
    gone = picture(tmp_path / "one" / "gone.tif", 1)
    (tmp_path / "two").mkdir()
    with beside(tmp_path, compared=True, **NEVER) as both:
        before = both.home.ids()["gone.tif"]
        shutil.copy2(gone, tmp_path / "two" / "there.tif")
        gone.unlink()
        both.watching.until(lambda: both.home.ask("SELECT 1 FROM v_file WHERE state = 'suspect'"))
        both.watching.turns(0.3)
        assert both.missing() == []
        both.go_on()
        both.watching.until(lambda: both.home.ids().get("there.tif") == before)
        assert both.home.ask.events("missing") == []


@pytest.mark.parametrize("how", ["renamed", "copied"])
def test_a_file_that_turns_up_after_it_was_missed_keeps_its_history(tmp_path: Path, how: str) -> None:
    gone = picture(tmp_path / "one" / "gone.tif", 1)
    with beside(tmp_path, **NEVER) as both:
        before, there = both.home.ids()["gone.tif"], tmp_path / "two" / "there.tif"
        if how == "copied":
            shutil.copyfile(gone, there)
            gone.unlink()
        else:
            gone.rename(there)
        both.watching.until(both.missing)
        both.go_on()
        assert both.home.ids()["there.tif"] == before
        events = both.home.ask("SELECT kind FROM v_event WHERE file_id = ? ORDER BY event_id", before)
        assert [each["kind"] for each in events] == ["added", "missing", "moved", "reappeared"]
        assert both.missing() == []
        assert both.home.ask.open_drift() == []


def test_of_two_copies_of_a_gone_file_none_takes_its_history(tmp_path: Path) -> None:
    gone = picture(tmp_path / "one" / "gone.tif", 1)
    shutil.copyfile(gone, tmp_path / "copy")
    with beside(tmp_path, **NEVER) as both:
        gone.unlink()
        both.watching.until(both.missing)
        for name in ("a.tif", "b.tif"):
            shutil.copyfile(tmp_path / "copy", tmp_path / "two" / name)
        both.go_on()
        assert both.home.ask.events("moved") == []
        assert both.missing() == [str(gone)]
        assert {"a.tif", "b.tif"} <= set(both.home.ids())


def test_a_copy_of_a_gone_file_that_has_another_living_copy_takes_no_history(tmp_path: Path) -> None:
    gone = picture(tmp_path / "one" / "gone.tif", 1)
    shutil.copyfile(gone, tmp_path / "one" / "twin.tif")
    with beside(tmp_path, **NEVER) as both:
        shutil.copyfile(gone, tmp_path / "two" / "there.tif")
        gone.unlink()
        both.watching.until(both.missing)
        both.go_on()
        assert both.home.ask.events("moved") == []
        assert both.missing() == [str(gone)]


def test_a_file_that_was_missed_and_comes_back_over_another_one_ends_no_history(tmp_path: Path) -> None:
    gone = picture(tmp_path / "one" / "gone.tif", 1)
    (tmp_path / "kept").hardlink_to(gone)
    with beside(tmp_path, **SOON) as both:
        before = both.home.ids()["stays.tif"]
        gone.unlink()
        both.watching.until(both.missing)
        both.walk.abandon()
        (tmp_path / "kept").rename(tmp_path / "one" / "stays.tif")
        both.watching.until(lambda: both.home.ask.events("changed"))
        assert both.home.ids()["stays.tif"] == before
        assert both.missing() == [str(gone)]


def test_what_was_missed_before_the_last_comparison_of_a_share_did_not_move_there(tmp_path: Path) -> None:
    gone = picture(tmp_path / "one" / "gone.tif", 1)
    shutil.copyfile(gone, tmp_path / "copy")
    with beside(tmp_path, **NEVER) as both:
        gone.unlink()
        both.watching.until(both.missing)
        both.go_on()
        both.again()  # the first one began before the file was missed
        shutil.copyfile(tmp_path / "copy", tmp_path / "two" / "there.tif")
        both.again()
        assert "there.tif" in both.home.ids()
        assert both.home.ask.events("moved") == []
        assert both.missing() == [str(gone)]


def test_a_new_copy_of_a_gone_file_waits_no_longer_than_that_for_a_long_reading(tmp_path: Path) -> None:
    gone = picture(tmp_path / "one" / "gone.tif", 1)
    with beside(tmp_path, **SOON) as both:
        both.walk.abandon()
        before, session = both.home.ids()["gone.tif"], both.home.session
        job = Job(both.walk.root.root_id, b"long.tif", 1, True)
        session.submit_later(job, Plan(Tally()), 3600.0)
        shutil.copyfile(gone, tmp_path / "one" / "new.tif")
        gone.unlink()
        both.watching.until(lambda: "new.tif" in both.home.ids())
        assert both.home.ids()["new.tif"] == before
        assert both.home.ask.events("missing") == []


def test_a_renamed_file_that_was_seen_and_is_still_to_be_read_is_not_missed(tmp_path: Path) -> None:
    gone = picture(tmp_path / "one" / "gone.tif", 1)
    with beside(tmp_path, **{**SOON, "elsewhere_seconds": 0.0}) as both:
        there, session = tmp_path / "two" / "there.tif", both.home.session
        before = both.home.ids()["gone.tif"]
        gone.rename(there)
        look = there.stat()
        seen = (look.st_size, look.st_mtime_ns, look.st_ino)
        job = Job(both.other.root_id, b"there.tif", look.st_size, True)
        session.submit_later(job, Plan(Tally(), look=seen), 3600.0)
        both.watching.until(lambda: both.home.ask("SELECT 1 FROM v_file WHERE state = 'suspect'"))
        both.watching.turns(0.5)
        assert both.missing() == []
        session.submit_later(job, Plan(Tally(), look=seen), 0.0)
        both.watching.until(lambda: both.home.ids().get("there.tif") == before)
        assert both.home.ask.events("missing") == []
