"""The daemon against a world that moves while it looks: real events, real workers, its turns taken by the test."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from catalog.service import daemon as daemon_module
from catalog.service import outcomes as outcomes_module
from catalog.service import watching as watching_module
from catalog.terms import Change, Reason
from tests.asking import picture, truth
from tests.in_process import Cataloguing, cataloguing_in


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Cataloguing]:
    with cataloguing_in(tmp_path) as opened:
        yield opened


def true_to(home: Cataloguing, share: Path) -> bool:
    return home.ask.record() == truth(share) and not home.ask("SELECT 1 FROM job")


def reconciled(home: Cataloguing) -> bool:
    return all(row["at"] is not None for row in home.ask("SELECT last_reconcile_ms AS at FROM root"))


# -------------------------------------------------------------------------------------- walks and events


def test_file_that_changes_during_the_first_walk_is_recorded_once(home: Cataloguing, share: Path) -> None:
    for shade in range(400):
        picture(share / f"{shade:03}.tif", shade)
    home.add(share)
    with home.watching() as watching:
        watching.until(lambda: watching.daemon.session.in_flight)
        for shade in (0, 200, 399):
            picture(share / f"{shade:03}.tif", 1000 + shade)
        watching.until(lambda: reconciled(home) and true_to(home, share), 60.0)
        assert set(home.ask.states().values()) == {"present"}


def test_events_lost_during_a_whole_pass_are_made_up_for_by_the_next(tmp_path: Path, share: Path) -> None:
    for shade in range(300):
        picture(share / f"{shade:03}.tif", shade)
    with cataloguing_in(tmp_path, watch_mode="poll", poll_interval_seconds=3600.0) as home:
        root_id = home.add(share)
        with home.watching() as watching:
            watching.until(lambda: watching.daemon.session.in_flight)
            picture(share / "late.tif", 500)
            watching.daemon.watches[root_id].hints.ask_reconcile()
            watching.until(lambda: true_to(home, share), 60.0)


@pytest.mark.slow
def test_files_that_take_long_to_read_do_not_put_off_the_next_look(tmp_path: Path, share: Path) -> None:
    """Else a first scan of three hours would be followed by a day without any look at a polled share."""
    for shade in range(20):
        picture(share / f"{shade}.tif", shade)
    rate = 20 * (share / "1.tif").stat().st_size * 2 // 3
    with cataloguing_in(
        tmp_path, watch_mode="poll", poll_interval_seconds=0.1, max_rate_bytes=rate, quiet_seconds=0.0
    ) as home:
        home.add(share)
        with home.watching() as watching:
            watching.until(lambda: true_to(home, share), 60.0)
            picture(share / "late.tif", 500)
            watching.until(lambda: true_to(home, share), 12.0)


def test_thousand_new_folders_do_not_make_a_thousand_passes(home: Cataloguing, share: Path) -> None:
    home.add(share)
    with home.watching() as watching:
        watching.until(lambda: reconciled(home))
        for number in range(300):
            picture(share / f"{number}" / "x.tif", number)
        watching.until(lambda: true_to(home, share), 60.0)
        assert home.ask("SELECT count(*) AS n FROM run")[0]["n"] < 60


# ------------------------------------------------------------------------------------- moves and absence


@pytest.mark.slow
def test_slow_swap_of_two_names_keeps_both_histories(tmp_path: Path, share: Path) -> None:
    with cataloguing_in(tmp_path, absence_seconds=3.0) as home:
        one, two = picture(share / "1.tif", 1), picture(share / "2.tif", 2)
        home.add(share)
        with home.watching() as watching:
            watching.until(lambda: true_to(home, share))
            before = {row["raw_sha256"]: row["file_id"] for row in home.ask("SELECT * FROM v_file")}
            one.rename(share / "aside")
            watching.turns(0.4)
            two.rename(one)
            watching.turns(0.4)
            (share / "aside").rename(two)
            watching.until(lambda: home.ask.record() == truth(share))
            watching.turns(0.2)
        after = {row["raw_sha256"]: row["file_id"] for row in home.ask("SELECT * FROM v_file")}
        assert after == before
        assert (
            home.ask.events("missing", "added") == ["added 1.tif", "added 2.tif"]
            or home.ask.events("missing") == []
        )


@pytest.mark.slow
def test_absence_is_not_believed_while_the_walk_that_may_find_the_file_goes_on(
    tmp_path: Path, share: Path
) -> None:
    for shade in range(300):
        picture(share / "m" / f"{shade:03}.tif", shade)
    moved = picture(share / "a" / "x.tif", 500)
    with cataloguing_in(tmp_path) as home:
        home.scan(share)
        before = home.ids()["a/x.tif"]
    (share / "z").mkdir()
    shutil.copy2(moved, share / "z" / "y.tif")  # another inode: only its content tells
    moved.unlink()
    for shade in range(300):
        os.utime(share / "m" / f"{shade:03}.tif")  # work, so that the walk is ahead for long
    with (
        cataloguing_in(tmp_path, absence_seconds=0.0, max_rate_bytes=1_000_000) as home,
        home.watching() as w,
    ):
        w.until(lambda: "z/y.tif" in home.ids(), 60.0)
        assert home.ids()["z/y.tif"] == before
        assert home.ask.events("missing") == []


@pytest.mark.slow
def test_folder_that_is_emptied_file_by_file_is_held_by_the_brake(home: Cataloguing, share: Path) -> None:
    for shade in range(150):
        picture(share / f"{shade:03}.tif", shade)
    home.add(share)
    with home.watching() as watching:
        watching.until(lambda: true_to(home, share), 60.0)
        for start in range(0, 120, 20):
            for shade in range(start, start + 20):
                (share / f"{shade:03}.tif").unlink()
            watching.turns(0.8)
        watching.until(lambda: home.ask("SELECT n_held FROM root")[0]["n_held"] > 0)
        states = list(home.ask.states().values())
        assert states.count("missing") <= 60
        assert states.count("suspect") >= 60


def test_absence_is_proven_although_another_share_is_busy(tmp_path: Path, share: Path) -> None:
    picture(share / "a.tif", 1)
    busy = tmp_path / "busy"
    for shade in range(300):
        picture(busy / f"{shade:03}.tif", shade)
    with cataloguing_in(tmp_path) as home:
        home.scan(share)
        home.add(busy)
    with cataloguing_in(tmp_path, max_rate_bytes=20_000) as home, home.watching() as watching:
        watching.until(lambda: home.ask("SELECT count(*) AS n FROM file")[0]["n"] > 2)
        watching.until(lambda: reconciled(home) or home.ask.states()["a.tif"] == "present")
        (share / "a.tif").unlink()
        watching.until(lambda: home.ask.states()["a.tif"] == "suspect")


# ------------------------------------------------------------------------------------------ the catalogue


@pytest.mark.slow
def test_full_disk_of_the_catalogue_loses_nothing(
    home: Cataloguing, share: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon_module, "WAIT_SECONDS", 0.2)
    picture(share / "0.tif", 0)
    home.add(share)
    driver = home.session.recorder.batch.connection.connection.driver_connection
    assert driver is not None
    (pages,) = driver.execute("PRAGMA page_count").fetchone()
    with home.watching() as watching, home.desk() as desk:
        watching.until(lambda: true_to(home, share))
        (pages,) = driver.execute("PRAGMA page_count").fetchone()
        driver.execute(f"PRAGMA max_page_count = {pages + 2}")
        request_id = desk.runs.ask("scan", {"folders": [str(share).encode().hex()]}, "somebody")
        for shade in range(1, 200):
            picture(share / f"{shade}.tif", shade)
        watching.turns(2.0)
        assert home.ask.record() != truth(share)
        driver.execute("PRAGMA max_page_count = 1000000000")
        watching.until(lambda: true_to(home, share), 60.0)
        watching.until(lambda: desk.runs.progress_of(request_id).finished)
        assert not watching.daemon.session.busy()


@pytest.mark.slow
def test_catalogue_locked_by_somebody_else_is_waited_for(
    home: Cataloguing, share: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon_module, "WAIT_SECONDS", 0.2)
    home.add(share)
    with home.watching() as watching:
        watching.until(lambda: reconciled(home))
        driver = home.session.recorder.batch.connection.connection.driver_connection
        assert driver is not None
        driver.execute("PRAGMA busy_timeout = 50")
        with closing(sqlite3.connect(home.database, isolation_level=None)) as other:
            turns = iter(range(60))

            def recorded() -> bool:
                turn = next(turns, None)
                if turn == 1:
                    other.execute("BEGIN IMMEDIATE")
                    picture(share / "a.tif", 1)
                elif turn == 20:
                    other.execute("ROLLBACK")
                return turn is None or (turn > 20 and true_to(home, share))

            watching.until(recorded)
        assert home.ask.record() == truth(share)


@pytest.mark.slow
def test_hints_survive_a_file_that_spoils_the_transaction(home: Cataloguing, share: Path) -> None:
    home.add(share)
    record = home.session.recorder.record

    def spoiled(inspection, row):  # type: ignore[no-untyped-def]
        if inspection.job.path == b"bad.tif":
            batch = home.session.recorder.batch
            batch.begin()
            batch.add("layout", (batch.new_id("layout"), "\ud800"))
        return record(inspection, row)

    home.session.recorder.record = spoiled  # type: ignore[method-assign]
    with home.watching() as watching:
        watching.until(lambda: reconciled(home))
        picture(share / "bad.tif", 1)
        for shade in range(30):
            picture(share / f"{shade}.tif", 10 + shade)
            watching.turns(0.05)
        watching.until(lambda: list(home.ask.states().values()).count("present") == 30, 30.0)
        watching.until(lambda: home.ask.states().get("bad.tif") == "unreadable")


# ------------------------------------------------------------------------------- admins beside the daemon


def test_share_that_is_removed_in_the_middle_of_its_first_walk_stays_removed(
    home: Cataloguing, share: Path
) -> None:
    for shade in range(300):
        picture(share / f"{shade:03}.tif", shade)
    home.add(share)
    with home.watching() as watching, home.desk() as desk:
        watching.until(lambda: home.ask("SELECT count(*) AS n FROM file")[0]["n"] > 10, 60.0)
        desk.roots.remove(desk.roots.named("share"))
        watching.until(lambda: not home.session.busy() and not watching.daemon.watches)
        watching.turns(0.3)
    assert home.ask("SELECT 1 FROM file WHERE presence <> 3") == []
    assert home.ask("SELECT 1 FROM job") == []
    assert home.ask("SELECT 1 FROM root WHERE state <> 3") == []


def test_requests_of_those_who_went_away_are_not_carried_out(tmp_path: Path, share: Path) -> None:
    picture(share / "a.tif", 1)
    with cataloguing_in(tmp_path) as home:
        home.session.runs.daemon_started()  # as a daemon that is killed leaves it
        with home.desk() as desk:
            request_id = desk.runs.ask("scan", {"folders": [str(share).encode().hex()]}, "somebody")
    with cataloguing_in(tmp_path) as home:
        assert home.ask("SELECT 1 FROM daemon") == []
        with home.watching() as watching, home.desk() as desk:
            watching.turns(0.3)
            result = desk.runs.progress_of(request_id).result
        assert result is not None and "error" in result
        assert home.ask("SELECT 1 FROM root") == []


def test_request_that_cannot_be_understood_is_answered(home: Cataloguing) -> None:
    with home.watching() as watching, home.desk() as desk:
        requests = [desk.runs.ask("scan", {"folders": ["xyz"]}, None), desk.runs.ask("dance", {}, None)]
        watching.until(lambda: all(desk.runs.progress_of(each).finished for each in requests))
        assert all("error" in (desk.runs.progress_of(each).result or {}) for each in requests)


def test_scan_that_is_asked_for_says_what_is_missing(tmp_path: Path, share: Path) -> None:
    for shade in range(4):
        picture(share / f"{shade}.tif", shade)
    with cataloguing_in(tmp_path, absence_seconds=3600.0) as home:
        home.add(share)
        with home.watching() as watching, home.desk() as desk:
            watching.until(lambda: true_to(home, share))
            (share / "1.tif").unlink()
            ids = home.ids()
            (share / "2.tif").rename(share / "3.tif")
            request_id = desk.runs.ask("scan", {"folders": []}, "somebody")
            watching.until(lambda: desk.runs.progress_of(request_id).finished)
            files = (desk.runs.progress_of(request_id).result or {})["files"]
            assert files["missing"] == 2, "one was removed, another was renamed over"
            assert files["moved"] == 1
            assert home.ids() == {"0.tif": ids["0.tif"], "3.tif": ids["2.tif"]}


@pytest.mark.slow
def test_walk_that_comes_upon_a_file_in_the_making_does_not_record_half_of_it(
    tmp_path: Path, share: Path
) -> None:
    whole = picture(tmp_path / "whole.tif", 1).read_bytes()
    with cataloguing_in(tmp_path, writer_quiet_seconds=60.0) as home:
        root_id = home.add(share)
        with home.watching() as watching:
            watching.until(lambda: reconciled(home))
            with open(share / "a.tif", "wb") as writer:
                writer.write(whole[:1000])
                writer.flush()
                for _ in range(3):
                    watching.daemon.watches[root_id].hints.ask_reconcile()
                    watching.turns(0.4)
                writer.write(whole[1000:])
            watching.until(lambda: true_to(home, share))
    assert [row["size"] for row in home.ask("SELECT size FROM v_revision")] == [len(whole)]


@pytest.mark.slow
def test_writer_that_events_tell_of_is_waited_for_where_no_lease_can_be_had(
    tmp_path: Path, share: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for a service that does not own the files."""
    for module in (outcomes_module, watching_module):
        monkeypatch.setattr(module, "writer_probe", lambda root, fstype: lambda path: None)
    whole = picture(tmp_path / "whole.tif", 1).read_bytes()
    with cataloguing_in(tmp_path, writer_quiet_seconds=60.0) as home:
        root_id = home.add(share)
        with home.watching() as watching:
            watching.until(lambda: reconciled(home))
            with open(share / "a.tif", "wb") as writer:
                writer.write(whole[:1000])
                writer.flush()
                watching.daemon.watches[root_id].hints.ask_reconcile()
                watching.turns(1.5)  # longer than a file without a writer would rest
                writer.write(whole[1000:])
            watching.until(lambda: true_to(home, share))
    assert [row["size"] for row in home.ask("SELECT size FROM v_revision")] == [len(whole)]


@pytest.mark.slow
def test_file_that_nobody_can_be_asked_about_is_recorded_when_two_looks_are_equal(
    tmp_path: Path, share: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a file server: no lease tells of a writer."""
    monkeypatch.setattr(outcomes_module, "writer_probe", lambda root, fstype: None)
    whole = picture(tmp_path / "whole.tif", 1).read_bytes()
    with cataloguing_in(tmp_path, watch_mode="poll", poll_interval_seconds=0.1, quiet_seconds=0.8) as home:
        home.add(share)
        with home.watching() as watching:
            watching.until(lambda: reconciled(home))
            for end in range(400, len(whole), 1200):
                (share / "a.tif").write_bytes(whole[:end])
                watching.turns(0.2)
            (share / "a.tif").write_bytes(whole)
            watching.until(lambda: true_to(home, share))
    assert [row["size"] for row in home.ask("SELECT size FROM v_revision")] == [len(whole)]


def test_scan_of_a_share_that_never_rests_is_answered(home: Cataloguing, share: Path, tmp_path: Path) -> None:
    """Another share has something in flight all the time."""
    picture(share / "a.tif", 1)
    restless = tmp_path / "restless"
    restless.mkdir()
    root_id = home.add(restless)
    home.add(share)
    with home.watching() as watching, home.desk() as desk:
        watching.until(lambda: reconciled(home))
        request_id = desk.runs.ask("scan", {"folders": [str(share).encode().hex()]}, "somebody")
        number = 0

        def answered() -> bool:
            nonlocal number
            if home.session.in_flight < 3:
                for _ in range(5):
                    number += 1
                    name = os.fsencode(picture(restless / f"{number % 50}.tif", number).name)
                    home.session.backlog.enqueue([Change(root_id, name, Reason.EVENT)])
                home.session.commit()
            return desk.runs.progress_of(request_id).finished

        watching.until(answered, 10.0)
