"""What an admin decides of a share beside the daemon: absences confirmed, a folder made anew, another place."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from catalog.service.links import links_among
from catalog.service.relocating import compared, relocate
from tests.asking import picture, truth
from tests.in_process import Cataloguing, Watching, cataloguing_in


@pytest.fixture
def share(tmp_path: Path) -> Path:
    """Eight pictures in two folders."""
    folder = tmp_path / "share"
    for shade in range(4):
        picture(folder / "a" / f"{shade}.tif", shade)
        picture(folder / "b" / f"{4 + shade}.tif", 4 + shade)
    return folder


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Cataloguing]:
    with cataloguing_in(tmp_path, mass_missing_files=2) as opened:
        yield opened


def root(home: Cataloguing) -> dict[str, Any]:
    (row,) = home.ask("SELECT * FROM root WHERE state <> 3")
    return row


def here(home: Cataloguing, share: Path) -> bool:
    """The record holds what is there, and nothing else; held absences left aside."""
    recorded = home.ask.record()
    return truth(share).items() <= recorded.items() and not home.ask("SELECT 1 FROM job")


def watch(home: Cataloguing, watching: Watching, share: Path) -> None:
    home.add(share)
    watching.until(lambda: root(home)["last_reconcile_ms"] is not None and here(home, share))


def latest(home: Cataloguing) -> int:
    (row,) = home.ask("SELECT max(state_since_ms) AS at FROM file WHERE presence = 2")
    return int(row["at"])


def asked(home: Cataloguing, watching: Watching, until_ms: int) -> dict[str, Any]:
    """Ask the daemon as ``root confirm-missing`` does, and give its answer."""
    with home.desk() as desk:
        arguments = {"root_id": root(home)["root_id"], "until_ms": until_ms, "actor": "ada"}
        request = desk.runs.ask("confirm-missing", arguments, "ada")
        watching.until(lambda: desk.runs.progress_of(request).finished)
        answer = desk.runs.progress_of(request).result
    assert answer is not None
    return answer


# ------------------------------------------------------------------------------------ confirmed absences


@pytest.mark.slow
def test_held_absences_are_released_by_whom_the_events_name(home: Cataloguing, share: Path) -> None:
    with home.watching() as watching:
        watch(home, watching, share)
        shutil.rmtree(share / "a")
        watching.until(lambda: root(home)["n_held"] == 4)
        assert home.ask.events("missing") == []
        answer = asked(home, watching, latest(home))
        assert (answer["confirmed"], answer["there"], answer["unproven"]) == (4, 0, 0)
        assert root(home)["n_held"] == 0
        assert home.ask.record() == truth(share)
        actors = home.ask("SELECT kind, actor FROM v_event WHERE kind IN ('missing', 'confirmed')")
        assert actors == [{"kind": "missing", "actor": "ada"}] * 4 + [{"kind": "confirmed", "actor": "ada"}]
        # What was confirmed is no part of the next mass.
        (share / "b" / "4.tif").unlink()
        watching.until(lambda: home.ask.record() == truth(share))
        assert home.ask.states()["b/4.tif"] == "missing"


@pytest.mark.slow
def test_confirmation_covers_what_was_shown_and_nothing_later(home: Cataloguing, share: Path) -> None:
    with home.watching() as watching:
        watch(home, watching, share)
        shutil.rmtree(share / "a")
        watching.until(lambda: root(home)["n_held"] == 4)
        shown = latest(home)
        shutil.rmtree(share / "b")
        watching.until(lambda: root(home)["n_held"] == 8 and latest(home) > shown)
        assert asked(home, watching, shown)["confirmed"] == 4
        assert home.ask.states() | {f"b/{n}.tif": "suspect" for n in range(4, 8)} == home.ask.states()
        assert home.ask.states()["a/0.tif"] == "missing"


@pytest.mark.slow
def test_what_is_there_after_all_is_not_recorded_as_missing(home: Cataloguing, share: Path) -> None:
    with home.watching() as watching:
        watch(home, watching, share)
        (share / "a").rename(share.parent / "aside")
        watching.until(lambda: root(home)["n_held"] == 4)
        shown = latest(home)
        (share.parent / "aside").rename(share / "a")
        (share / "a" / "3.tif").unlink()
        watching.until(lambda: asked(home, watching, shown)["unproven"] == 0)
        watching.until(lambda: home.ask.record() == truth(share))
        assert home.ask.events("missing") == ["missing 3.tif"]


def test_nothing_is_confirmed_of_a_share_that_is_away(home: Cataloguing, share: Path) -> None:
    with home.watching() as watching:
        watch(home, watching, share)
        shutil.rmtree(share / "a")
        watching.until(lambda: root(home)["n_held"] == 4)
        shown = latest(home)
        share.rename(share.parent / "gone")
        assert "share is offline" in asked(home, watching, shown)["error"]
        assert home.ask.events("missing") == []
        (share.parent / "gone").rename(share)


@pytest.mark.slow
def test_a_daemon_that_was_started_anew_confirms_what_an_earlier_one_held(
    tmp_path: Path, share: Path
) -> None:
    with cataloguing_in(tmp_path, mass_missing_files=2) as home:
        home.scan(share)
        shutil.rmtree(share / "a")
        assert home.scan(share).tally.held_missing == 4
    with cataloguing_in(tmp_path, mass_missing_files=2) as home, home.watching() as watching:
        assert asked(home, watching, latest(home))["confirmed"] == 4
        assert home.ask.record() == truth(share)


# ------------------------------------------------------------------------------------ a folder made anew


def remove_and_make(share: Path) -> None:
    shutil.rmtree(share)
    share.mkdir()


def rename_and_make(share: Path) -> None:
    share.rename(share.with_name("aside"))
    share.mkdir()


def turn_into_a_link(share: Path) -> None:
    share.rename(share.with_name("aside"))
    share.with_name("other").mkdir()
    share.symlink_to(share.with_name("other"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        remove_and_make,
        pytest.param(rename_and_make, marks=pytest.mark.slow),
        pytest.param(turn_into_a_link, marks=pytest.mark.slow),
    ],
)
def test_new_folder_in_the_place_of_the_share_is_catalogued_and_the_old_files_are_held(
    tmp_path: Path, share: Path, change: Any
) -> None:
    with cataloguing_in(tmp_path) as home, home.watching() as watching:  # so few are no mass
        watch(home, watching, share)
        change(share)
        picture(share / "new.tif", 50)
        watching.until(lambda: home.ask.states().get("new.tif") == "present")
        watching.until(lambda: root(home)["n_held"] == 8)
        picture(share / "later.tif", 51)  # it is watched, too
        watching.until(lambda: home.ask.states().get("later.tif") == "present")
        assert home.ask.events("missing") == []
        (alarm,) = home.ask("SELECT detail FROM v_event WHERE kind = 'alarm'")
        assert "made anew" in alarm["detail"] or "now leads to" in alarm["detail"]
        assert asked(home, watching, latest(home))["confirmed"] == 8
        assert set(home.ask.record()) == {b"new.tif", b"later.tif"}
        (share / "new.tif").unlink()  # and from now on one by one
        watching.until(lambda: home.ask.states()["new.tif"] == "missing")


@pytest.mark.slow
def test_copy_in_the_place_of_the_share_ends_the_hold_by_itself(tmp_path: Path, share: Path) -> None:
    with cataloguing_in(tmp_path, reconcile_interval_seconds=0.2) as home, home.watching() as watching:
        watch(home, watching, share)
        copy = share.with_name("copy")
        shutil.copytree(share, copy)
        share.rename(share.with_name("old"))
        copy.rename(share)
        watching.until(lambda: home.ask("SELECT 1 FROM v_event WHERE kind = 'alarm'"))
        watching.until(lambda: root(home)["refounded_ms"] is None)
        assert home.ask.events("missing", "changed") == []
        (share / "a" / "0.tif").unlink()
        watching.until(lambda: home.ask.states()["a/0.tif"] == "missing")


@pytest.mark.slow
def test_link_that_is_turned_elsewhere_is_followed_and_the_old_share_stays(
    tmp_path: Path, share: Path
) -> None:
    link, other = tmp_path / "current", tmp_path / "other"
    link.symlink_to(share)
    picture(other / "new.tif", 60)
    with cataloguing_in(tmp_path) as home:
        only, links = (
            [home.add(share)],
            links_among([str(link), str(other)], [os.fsencode(share), os.fsencode(other)]),
        )
        assert links == {os.fsencode(link): os.fsencode(share)}
        with home.watching(only=only, links=links) as watching:
            watching.until(lambda: here(home, share))
            link.unlink()
            link.symlink_to(other)
            watching.until(lambda: home.ask.states().get("new.tif") == "present")
            picture(share / "late.tif", 61)
            watching.until(lambda: home.ask.states().get("late.tif") == "present")
            assert [row["name"] for row in home.ask("SELECT name FROM v_root ORDER BY name")] == [
                "other",
                "share",
            ]
            assert home.ask.events("missing", "moved") == []


# --------------------------------------------------------------------------------------- another place


def test_relocated_share_is_followed_at_its_new_place(home: Cataloguing, share: Path) -> None:
    with home.watching() as watching:
        watch(home, watching, share)
        before = home.ids()
        moved = share.with_name("moved")
        shutil.copytree(share, moved)
        shutil.rmtree(share)
        watching.until(lambda: root(home)["state"] != 1)
        with home.desk() as desk:
            known, path = desk.roots.named("share"), os.fsencode(moved)
            found, seen = compared(desk.roots, known, path)
            assert (found.how, found.same) == ("files", 8)
            relocate(desk.roots, known, path, found, seen, actor="ada", force=False)
        picture(moved / "late.tif", 90)
        watching.until(lambda: here(home, moved) and "late.tif" in home.ids())
        assert home.ids().items() >= before.items()
        assert home.ask.events("missing", "changed", "moved") == []
