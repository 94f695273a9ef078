"""Names of files, under a daemon: hard links, names that change hands, folders that were closed for a while."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from catalog.terms import Outcome
from tests.asking import picture, truth
from tests.in_process import Cataloguing, cataloguing_in
from tests.storm_ground import RENAME_EXCHANGE, rename2

WALKS_NEVER = {"absence_seconds": 0.2, "reconcile_interval_seconds": 3600.0}


def overwrite(path: Path, shade: int) -> None:
    """Another picture in the same file."""
    content = picture(path.parent.parent / "aside.tif", shade).read_bytes()
    with path.open("r+b") as stream:
        stream.write(content)
        stream.truncate()


def true(home: Cataloguing, *shares: Path) -> bool:
    held = {path: digest for share in shares for path, digest in truth(share).items()}
    return home.ask.record() == held and not home.ask("SELECT 1 FROM job")


@pytest.mark.parametrize("end", ["removed", "renamed over", "moved out"])
def test_what_was_written_under_a_name_that_went_is_seen_under_the_others(tmp_path: Path, end: str) -> None:
    """The kernel tells of the write in the folder of one name, and that name is gone before anybody looks."""
    one, two = tmp_path / "one", tmp_path / "two"
    kept, written = picture(one / "kept.tif", 1), two / "written.tif"
    picture(two / "other.tif", 2)
    os.link(kept, written)
    with cataloguing_in(tmp_path, **WALKS_NEVER) as home:
        home.add(one)
        home.add(two)
        with home.watching() as watching:
            watching.until(lambda: true(home, one, two))
            overwrite(written, 3)
            if end == "removed":
                written.unlink()
            elif end == "renamed over":
                (two / "other.tif").rename(written)
            else:
                written.rename(tmp_path / "out.tif")
            watching.until(lambda: true(home, one, two))
            assert home.ask.open_drift()[0][1] == "picture" or end != "removed"


def test_file_whose_other_name_came_and_went_is_changed_and_nothing_was_renamed_over_it(
    tmp_path: Path,
) -> None:
    """The other name was recorded with what was written under it: its bytes and inode are those that are here now."""
    share = tmp_path / "share"
    kept, other = picture(share / "kept.tif", 1), share / "other.tif"
    with cataloguing_in(tmp_path, **WALKS_NEVER) as home:
        home.add(share)
        with home.watching() as watching:
            watching.until(lambda: true(home, share))
            before = home.ids()["kept.tif"]
            os.link(kept, other)
            overwrite(other, 2)
            watching.until(lambda: "other.tif" in home.ids())
            other.unlink()
            watching.until(lambda: true(home, share))
            assert home.ids() == {"kept.tif": before}
            assert home.ask.events("missing", "moved") == ["missing other.tif"]


def test_write_that_a_walk_finds_under_one_name_is_seen_under_the_other(tmp_path: Path) -> None:
    """Of a file in a folder that is new there is no event, only of its folder."""
    one, two = tmp_path / "one", tmp_path / "two"
    kept = picture(one / "kept.tif", 1)
    two.mkdir()
    with cataloguing_in(tmp_path, **WALKS_NEVER) as home:
        home.add(one)
        home.add(two)
        with home.watching() as watching:
            watching.until(lambda: true(home, one, two))
            made = tmp_path / "made"
            made.mkdir()
            os.link(kept, made / "linked.tif")
            overwrite(made / "linked.tif", 2)
            made.rename(two / "made")
            watching.until(lambda: true(home, one, two))


@pytest.mark.slow
def test_histories_change_places_when_one_half_of_a_swap_is_heard_late(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    here, there = picture(one / "here.tif", 1), picture(two / "there.tif", 2)
    with cataloguing_in(tmp_path, absence_seconds=15.0, reconcile_interval_seconds=3600.0) as home:
        home.add(one)
        home.add(two)
        with home.watching() as watching:
            watching.until(lambda: true(home, one, two))
            before = home.ids()
            rename2(os.fsencode(here), os.fsencode(there), RENAME_EXCHANGE)
            turns = iter(range(40))

            def fidgets() -> bool:
                """Somebody touches one of them again and again: it does not come to rest."""
                there.chmod(0o600 + 0o40 * (next(turns, 0) % 2))
                return next(turns, None) is None

            watching.until(fidgets)
            watching.until(lambda: true(home, one, two))
            assert home.ids() == {"here.tif": before["there.tif"], "there.tif": before["here.tif"]}
            assert home.ask.events("changed", "missing") == []


@pytest.mark.slow
def test_folder_whose_watch_tells_of_another_path_is_found_out(tmp_path: Path) -> None:
    """watchdog's tables of paths go wrong where folders are renamed faster than it reads: here, by our hand."""
    share = tmp_path / "share"
    for name in ("one", "two", "three"):
        picture(share / name / "a.tif", 1)
    out = tmp_path / "out"
    out.mkdir()
    with cataloguing_in(tmp_path, poll_interval_seconds=0.3, **WALKS_NEVER) as home:
        home.add(share)
        with home.watching() as watching:
            watching.until(lambda: true(home, share))
            (watch,) = watching.daemon.watches.values()
            (group,) = (
                emitter._inotify
                for emitter in watch.events._source._observing._observer.emitters
                if emitter._inotify.is_recursive
            )
            wrong = bytes(share / "one")
            descriptor = group._active_callbacks_by_path.pop(wrong)
            group._active_callbacks_by_watch[descriptor] = bytes(share / "none")
            picture(share / "one" / "unheard.tif", 2)
            (share / "three").rename(out / "three")
            watching.until(lambda: true(home, share))
            watching.until(lambda: not watch.events.doubtful)
            walks = "SELECT count(*) AS walks FROM run WHERE counts ->> 'whole' = 1"
            (before,) = home.ask(walks)
            (share / "two").rename(share / "four")
            watching.until(lambda: true(home, share))
            watching.until(lambda: not watch.events.doubtful)
            assert home.ask(walks) == [before], "a folder that was moved out is looked for once"


def test_names_that_go_together_ask_for_the_others_once(tmp_path: Path) -> None:
    """Of a thousand names each, all would be asked for a thousand times; and again when that was rolled back."""
    share = tmp_path / "share"
    first = picture(share / "name0.tif", 1)
    for number in range(1, 30):
        os.link(first, share / f"name{number}.tif")
    with cataloguing_in(tmp_path) as home:
        home.scan(share)
        session = home.session
        session.names.heed = True
        rows = session.recorder.rows.below(1, b"")
        asked = lambda: session.recorder.batch.question("SELECT max(generation), count(*) FROM job", ())[0]  # noqa: E731
        for row in rows[:20]:
            session.suspect(row, "gone")
        assert asked() == (1, 29)
        session.names.taken()
        session.suspect(rows[20], "gone")
        assert asked() == (2, 30)
        session.start_over()
        assert asked()[1] == 0
        session.names.left(rows[21])
        assert asked()[1] == 29
        session.start_over()


def test_files_that_were_never_read_are_no_names_of_each_other(tmp_path: Path) -> None:
    (tmp_path / "share").mkdir()
    with cataloguing_in(tmp_path) as home:
        root_id, session = home.add(tmp_path / "share"), home.session
        session.names.heed = True
        for path in (b"one.tif", b"two.tif"):
            session.recorder.failed(root_id, path, None, Outcome.UNREADABLE, "Permission denied (EACCES)")
        row = session.recorder.rows.at(root_id, b"one.tif")
        assert row is not None
        session.suspect(row, "gone")
        assert session.backlog.waiting() == 0
        session.start_over()
