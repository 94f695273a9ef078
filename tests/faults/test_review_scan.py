"""Scans against a world that moves: shares that go away, files that change places, hostile times."""

from __future__ import annotations

import errno
import json
import os
import shutil
from contextlib import closing
from pathlib import Path

import pytest

from catalog.service.plans import Plan, Tally
from catalog.service.reconcile import Phase
from catalog.service.shares import Shares
from catalog.terms import Failure, FailureKind, Inspection, Job
from catalog.watch.mounts import MountTrust
from tests.asking import picture, truth
from tests.in_process import Cataloguing, cataloguing_in


@pytest.fixture
def share(tmp_path: Path) -> Path:
    folder = tmp_path / "share"
    folder.mkdir()
    return folder


# ---------------------------------------------------------------------------------------------- moves


def test_file_that_moves_between_two_readings_of_one_round_keeps_its_history(
    home: Cataloguing, share: Path
) -> None:
    picture(share / "old.tif", 1)
    session, root_id = home.session, home.add(share)
    with closing(Shares(session)) as shares:
        shares.open(session.roots.by_id(root_id))
        readings: list[Inspection] = []
        for name in ("old.tif", "new.tif"):
            session.pool.submit(Job(root_id, name.encode(), 0))
            while session.pool.outstanding:
                readings += session.pool.poll(1.0)
            if name == "old.tif":
                (share / "old.tif").rename(share / "new.tif")
        taken = [(each, Plan(Tally())) for each in readings]
        session.outcomes.expect(taken)
        for each, plan in taken:
            session.outcomes.take(each, plan)
        session.outcomes.expect(())
        session.commit()
    kinds = [row["kind"] for row in home.ask("SELECT kind FROM v_event WHERE file_id IS NOT NULL")]
    assert kinds[:2] == ["added", "moved"]
    assert list(home.ids()) == ["new.tif"]


def test_copy_of_a_share_that_is_away_is_no_move(home: Cataloguing, share: Path, tmp_path: Path) -> None:
    for shade in range(5):
        picture(share / f"{shade}.tif", shade)
    home.scan(share)
    before = home.ids()
    copy = shutil.copytree(share, tmp_path / "copy")
    share.rename(tmp_path / "unplugged")
    result = home.scan(copy)
    assert (result.tally.moved, result.tally.new) == (0, 5)
    (tmp_path / "unplugged").rename(share)
    assert home.scan(share).complete
    rows = home.ask("SELECT file_id FROM v_file WHERE path LIKE ? || '%'", str(share))
    assert {row["file_id"] for row in rows} == set(before.values())


def test_renamed_file_whose_name_was_taken_by_a_new_one_keeps_its_history(
    home: Cataloguing, share: Path
) -> None:
    picture(share / "a.tif", 1)
    home.scan(share)
    before = home.ids()
    (share / "a.tif").rename(share / "old.tif")
    picture(share / "a.tif", 2)
    result = home.scan(share)
    assert home.ask.record() == truth(share)
    assert home.ids()["old.tif"] == before["a.tif"]
    assert (result.tally.moved, result.tally.new, result.tally.changed) == (1, 1, 0)
    assert home.ask.open_drift() == []


def test_renamed_file_whose_name_was_taken_keeps_its_history_in_either_order(
    home: Cataloguing, share: Path
) -> None:
    picture(share / "b.tif", 1)
    home.scan(share)
    before = home.ids()
    (share / "b.tif").rename(share / "0.tif")
    picture(share / "b.tif", 2)
    home.scan(share)
    assert home.ask.record() == truth(share)
    assert home.ids()["0.tif"] == before["b.tif"]


def test_second_link_to_a_file_is_no_move(tmp_path: Path, share: Path) -> None:
    store = picture(tmp_path / "store" / "x.tif", 1)
    (share / "one.tif").symlink_to(store)
    with cataloguing_in(tmp_path, follow_links=True) as home:
        home.scan(share)
        before = home.ids()
        (share / "two.tif").symlink_to(store)
        result = home.scan(share)
        assert (result.tally.moved, result.tally.new) == (0, 1)
        assert home.ids()["one.tif"] == before["one.tif"]


def test_move_is_followed_after_the_decoders_were_upgraded(tmp_path: Path, share: Path) -> None:
    for shade in range(3):
        picture(share / f"{shade}.tif", shade)
    with cataloguing_in(tmp_path) as home:
        home.scan(share)
        before = home.ids()
        batch = home.session.recorder.batch
        batch.execute("UPDATE epoch SET digest = x'00'")  # what was recorded is another epoch's now
        batch.commit()
    (share / "1.tif").rename(share / "moved.tif")
    with cataloguing_in(tmp_path) as later:
        result = later.scan(share)
        assert (result.tally.moved, result.tally.new, result.tally.missing) == (1, 0, 0)
        assert later.ids()["moved.tif"] == before["1.tif"]


# -------------------------------------------------------------------------------------------- absence


def test_share_that_goes_away_after_the_walk_makes_the_scan_incomplete(
    home: Cataloguing, share: Path, tmp_path: Path
) -> None:
    for shade in range(3):
        picture(share / f"{shade}.tif", shade)
    home.scan(share)
    (share / "1.tif").unlink()

    def unplug(_: object, phase: Phase) -> None:
        if phase is Phase.SEEN:
            share.rename(tmp_path / "unplugged")

    result = home.scan(share, progress=unplug)
    assert result.tally.missing == 0
    assert not result.complete
    (tmp_path / "unplugged").rename(share)
    assert home.scan(share).tally.missing == 1


def test_scans_of_one_folder_after_the_other_do_not_slip_under_the_brake(
    home: Cataloguing, share: Path
) -> None:
    for folder in range(5):
        for shade in range(20):
            picture(share / f"{folder}" / f"{shade}.tif", 20 * folder + shade)
    home.scan(share)
    for folder in range(4):
        for path in (share / f"{folder}").iterdir():
            path.unlink()
    missing = sum(home.scan(share / f"{folder}").tally.missing for folder in range(4))
    assert missing <= 50
    assert home.ask("SELECT n_held FROM root")[0]["n_held"] > 0


def test_file_that_is_no_longer_selected_is_neither_read_nor_called_broken(
    tmp_path: Path, share: Path
) -> None:
    picture(share / "a.tif", 1)
    (share / "notes.csv").write_text("a,b\n")
    with cataloguing_in(tmp_path, include=("*.csv",)) as home:
        home.scan(share)
        assert home.ask.states() == {"a.tif": "present", "notes.csv": "other"}
    with cataloguing_in(tmp_path) as home:
        for _ in range(2):
            result = home.scan(share)
            assert (result.tally.inspected, result.tally.missing) == (0, 0)
            assert home.ask.states() == {"a.tif": "present", "notes.csv": "other"}
        (share / "notes.csv").unlink()
        assert home.scan(share).tally.missing == 1


# --------------------------------------------------------------------------------------- never-ending


def test_scan_leaves_no_job_behind_for_what_it_has_recorded(home: Cataloguing, share: Path) -> None:
    from catalog.terms import Change, Reason

    picture(share / "a.tif", 1)
    root_id = home.add(share)
    home.session.backlog.enqueue([Change(root_id, name, Reason.EVENT) for name in (b"a.tif", b"gone.tif")])
    home.session.commit()
    assert home.scan(share).complete
    assert home.ask("SELECT path FROM job") == []


def test_bug_that_looks_like_an_unknown_content_costs_one_file_and_ends(
    home: Cataloguing, share: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for shade in range(5):
        picture(share / f"{shade}.tif", shade)
    record = home.session.recorder.record

    def spoiled(inspection, row):  # type: ignore[no-untyped-def]
        if inspection.job.path == b"3.tif":
            raise KeyError("no such code")
        return record(inspection, row)

    home.session.recorder.record = spoiled  # type: ignore[method-assign]
    turns = iter(range(200))
    result = home.scan(share, stop=lambda: next(turns, None) is None)
    assert not result.interrupted
    assert result.tally.unreadable == 1


def test_fault_of_one_file_while_another_waits_for_its_second_reading_costs_one_file(
    home: Cataloguing, share: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Both are in the transaction that is given up; the second one is on its way again already."""
    for shade in range(4):
        picture(share / f"{shade}.tif", shade)
    home.scan(share)
    for shade in range(4):
        look = os.stat(share / f"{shade}.tif")
        picture(share / f"{shade}.tif", 100 + shade)
        os.utime(share / f"{shade}.tif", ns=(look.st_atime_ns, look.st_mtime_ns))  # stealth: read twice
    picture(share / "new.tif", 50)
    record = home.session.recorder.record

    def spoiled(inspection, row):  # type: ignore[no-untyped-def]
        if inspection.job.path == b"new.tif":
            raise ValueError("no such thing")
        return record(inspection, row)

    home.session.recorder.record = spoiled  # type: ignore[method-assign]
    result = home.scan(share)
    assert result.tally.unreadable == 1
    assert len(home.ask.open_drift()) == 4


def test_runs_that_find_nothing_to_do_leave_one_row(home: Cataloguing, share: Path) -> None:
    picture(share / "a.tif", 1)
    for _ in range(4):
        home.scan(share)
    picture(share / "b.tif", 2)
    for _ in range(3):
        home.scan(share)
    counts = [json.loads(row["counts"]) for row in home.ask("SELECT counts FROM run ORDER BY run_id")]
    assert [(each["new"], each["seen"]) for each in counts] == [(1, 1), (0, 1), (1, 2), (0, 2)]


def test_error_of_a_share_that_is_away_is_not_the_files(
    home: Cataloguing, share: Path, tmp_path: Path
) -> None:
    picture(share / "a.tif", 1)
    root_id = home.add(share)
    home.scan(share)
    failed = Inspection(
        Job(root_id, b"a.tif", 100),
        *(None, None, None, None),
        Failure(FailureKind.UNREADABLE, "Input/output error", errno.EIO),
        1,
        0.0,
    )
    with closing(Shares(home.session)) as shares:
        shares.open(home.session.roots.by_id(root_id))
        share.rename(tmp_path / "unplugged")
        tally = Tally()
        home.session.outcomes.take(failed, Plan(tally, attempts=1))
        home.session.commit()
        assert (tally.unreadable, tally.unread) == (0, 1)
        assert home.ask("SELECT 1 FROM file WHERE outcome <> 1") == []
        (tmp_path / "unplugged").rename(share)
        home.session.outcomes.take(failed, Plan(tally, attempts=1))
        home.session.commit()
        assert (tally.unreadable, tally.unread) == (1, 1)


def test_stamp_in_the_future_is_not_waited_for(home: Cataloguing, share: Path) -> None:
    """A camera's clock is ten years ahead, on a mount that keeps no change time of its own."""
    path = picture(share / "a.tif", 1)
    ahead = path.stat().st_mtime_ns + 10 * 365 * 86_400 * 10**9
    os.utime(path, ns=(ahead, ahead))
    home.session.trust = lambda _: MountTrust(True, False, 1)  # type: ignore[method-assign]
    turns = iter(range(200))
    assert not home.scan(share, stop=lambda: next(turns, None) is None).interrupted
