"""Audits of real files that were edited, rewritten in secret, moved, lost, or left alone."""

from __future__ import annotations

import errno
import json
import os
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from catalog.service.audit_result import Budget
from catalog.service.auditing import audit
from catalog.terms import Failure, FailureKind, Inspection
from tests.asking import picture
from tests.auditing import audit_times, audited, checks, code, readings_of, rewrite
from tests.in_process import Cataloguing, cataloguing_in


@pytest.fixture
def share(tmp_path: Path) -> Path:
    for shade in range(6):
        picture(tmp_path / "share" / f"{shade}.tif", shade)
    return tmp_path / "share"


# ----------------------------------------------------------------------------------------------- verdicts


def test_untouched_files_are_intact_and_read_once(home: Cataloguing, share: Path) -> None:
    home.scan(share)
    result = audited(home)
    assert (code(result), result.checked, result.intact) == (0, 6, 6)
    assert result.bytes_read == sum(path.stat().st_size for path in share.iterdir())
    assert result.sentence().startswith(
        "6 of 6 files read, all intact; 100 % verified within 90 days; oldest 2"
    )
    assert checks(home, "3.tif") == ["intact"]
    assert home.ask("SELECT count(*) AS n FROM v_event WHERE kind = 'audit'") == [{"n": 1}]


def test_a_rewrite_with_its_mtime_put_back_is_stealth_by_two_readings(home: Cataloguing, share: Path) -> None:
    home.scan(share)
    rewrite(share / "3.tif", 2000)
    result = audited(home)
    assert code(result) == 5
    (corrupt,) = result.corrupt
    assert (corrupt["path"], corrupt["manner"]) == (str(share / "3.tif"), "stealth")
    assert checks(home, "3.tif") == ["differs", "stealth"]
    assert result.intact == 5


def test_an_ordinary_edit_is_drift_and_nothing_worse(home: Cataloguing, share: Path) -> None:
    home.scan(share)
    picture(share / "3.tif", 77)
    result = audited(home)
    assert (code(result), result.drift, result.corrupt) == (1, {"picture": 1}, [])
    assert checks(home, "3.tif") == ["changed"]


def test_a_finding_stays_one_until_it_is_accepted_or_restored(home: Cataloguing, share: Path) -> None:
    home.scan(share)
    good = (share / "3.tif").read_bytes()
    rewrite(share / "3.tif", 2000)
    assert [code(audited(home)), code(audited(home))] == [5, 5]
    (share / "3.tif").write_bytes(good)
    result = audited(home)
    assert (code(result), result.intact) == (0, 6)
    assert checks(home, "3.tif")[-1] == "intact"


def test_a_file_without_its_share_of_fate_is_missing_and_a_renamed_one_is_not(
    home: Cataloguing, share: Path
) -> None:
    home.scan(share)
    before = home.ids()
    (share / "1.tif").unlink()
    (share / "2.tif").rename(share / "two.tif")
    result = audited(home)
    assert (code(result), result.drift, result.missing) == (1, {"missing": 1}, 1)
    assert home.ids()["two.tif"] == before["2.tif"]
    assert home.ask.states()["1.tif"] == "missing"
    assert code(audited(home)) == 1, "a loss that nobody accepted is forgotten"


def test_a_swap_of_equally_old_files_by_renames_is_no_corruption(home: Cataloguing, share: Path) -> None:
    one, two = share / "1.tif", share / "2.tif"
    for path in (one, two):
        os.utime(path, ns=(1_700_000_000_000_000_000,) * 2)
    assert one.stat().st_size == two.stat().st_size
    home.scan(share)
    before = home.ids()
    one.rename(share / "aside")
    two.rename(one)
    (share / "aside").rename(two)
    result = audited(home)
    assert (code(result), result.moved) == (0, 2)
    assert home.ids() == before | {"1.tif": before["2.tif"], "2.tif": before["1.tif"]}
    assert home.ask.open_drift() == []


def test_swap_is_no_corruption_when_the_budget_shows_one_half_only(home: Cataloguing, share: Path) -> None:
    one, two = share / "1.tif", share / "2.tif"
    for path in (one, two):
        os.utime(path, ns=(1_700_000_000_000_000_000,) * 2)
    home.scan(share)
    before = home.ids()
    one.rename(share / "aside")
    two.rename(one)
    (share / "aside").rename(two)
    assert code(audited(home, one)) == 0
    assert home.ids() == before | {"1.tif": before["2.tif"], "2.tif": before["1.tif"]}


@pytest.mark.parametrize("step_ns", [100, 1_000_000_000, 2_000_000_000])
def test_times_cut_down_by_a_server_are_no_finding(home: Cataloguing, share: Path, step_ns: int) -> None:
    home.scan(share)
    for path in share.iterdir():
        mtime = path.stat().st_mtime_ns // step_ns * step_ns
        os.utime(path, ns=(mtime, mtime))
    result = audited(home)
    assert (code(result), result.intact) == (0, 6)


@pytest.mark.parametrize("hours", [-1, 1])
def test_times_shifted_by_an_hour_are_no_finding(home: Cataloguing, share: Path, hours: int) -> None:
    home.scan(share)
    for path in share.iterdir():
        mtime = path.stat().st_mtime_ns + hours * 3_600_000_000_000
        os.utime(path, ns=(mtime, mtime))
    result = audited(home)
    assert (code(result), result.intact) == (0, 6)
    assert home.ask.open_drift() == []


def test_edits_within_one_second_are_ordinary(home: Cataloguing, share: Path) -> None:
    whole = 1_700_000_000_000_000_000
    os.utime(share / "3.tif", ns=(whole, whole))
    home.scan(share)
    picture(share / "3.tif", 78)
    os.utime(share / "3.tif", ns=(whole, whole + 999_999_999))
    assert (code(result := audited(home)), result.drift) == (1, {"picture": 1})


def test_names_that_look_the_same_are_two_files(home: Cataloguing, share: Path) -> None:
    for shade, form in ((21, "NFC"), (22, "NFD")):
        picture(share / "x.tif", shade).rename(share / unicodedata.normalize(form, "é.tif"))
    home.scan(share)
    result = audited(home)
    assert (code(result), result.intact) == (0, 8)


def test_files_that_do_not_decode_are_audited_like_others(home: Cataloguing, share: Path) -> None:
    (share / "broken.tif").write_bytes(b"II*\0 no picture at all")
    home.scan(share)
    assert (code(result := audited(home)), result.intact) == (0, 7)
    rewrite(share / "broken.tif", 8)
    result = audited(home)
    assert (code(result), result.corrupt[0]["manner"]) == (5, "stealth")


def test_one_bad_reading_is_no_verdict(home: Cataloguing, share: Path) -> None:
    """The first reading of a file gives other bytes than the disk holds: a cable, a memory, a server."""
    home.scan(share)

    def lie(seen: Inspection) -> Inspection | None:
        if not seen.job.check:
            return None
        return Inspection(seen.job, seen.stat, b"\1" * 32, started_ms=seen.started_ms)

    with readings_of(home, b"3.tif", lie):
        result = audited(home)
    assert (code(result), result.intact, result.transient) == (0, 6, 1)
    assert checks(home, "3.tif") == ["differs", "intact"]


def test_a_file_that_moves_while_it_is_read_is_tried_again(home: Cataloguing, share: Path) -> None:
    home.scan(share)
    seen = 0

    def moving_once(found: Inspection) -> Inspection | None:
        nonlocal seen
        seen += 1
        failure = Failure(FailureKind.MOVING, "changed while it was read")
        return Inspection(found.job, None, failure=failure) if seen == 1 else None

    with readings_of(home, b"3.tif", moving_once):
        result = audited(home)
    assert (code(result), result.intact, seen) == (0, 6, 2)


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES])
def test_a_file_that_cannot_be_read_is_told_by_its_error(home: Cataloguing, share: Path, number: int) -> None:
    home.scan(share)
    failure = Failure(FailureKind.UNREADABLE, os.strerror(number), number)
    with readings_of(home, b"3.tif", lambda seen: Inspection(seen.job, None, failure=failure)):
        result = audited(home)
    assert (code(result), result.intact, result.unreadable_files) == (3, 5, 1)
    assert result.unreadable[0]["reason"].startswith(os.strerror(number))
    assert checks(home, "3.tif") == ["unreadable"]
    assert audit_times(home)["3.tif"] is None
    again = audited(home)
    assert (code(again), again.intact) == (0, 6)
    assert home.ask.open_drift() == []


def test_a_share_that_goes_away_makes_the_audit_incomplete_and_nothing_missing(
    home: Cataloguing, share: Path, tmp_path: Path
) -> None:
    home.scan(share)
    share.rename(tmp_path / "unplugged")
    result = audited(home)
    assert (code(result), result.checked) == (3, 0)
    assert set(home.ask.states().values()) == {"offline"}


def test_a_share_that_goes_away_meanwhile_makes_nothing_missing(
    home: Cataloguing, share: Path, tmp_path: Path
) -> None:
    home.scan(share)

    def unplug(state: dict[str, Any]) -> None:
        if share.exists() and state["inspected"] >= 1:
            share.rename(tmp_path / "unplugged")

    result = audit(
        home.session, database=str(home.database), budget=Budget(rate_bytes=40_000), progress=unplug
    )
    assert code(result) == 3
    assert result.unread + result.checked == 6
    assert not home.ask.events("missing")


def test_files_of_an_older_epoch_are_rebased_as_they_are_read(tmp_path: Path, share: Path) -> None:
    with cataloguing_in(tmp_path) as home:
        home.scan(share)
        batch = home.session.recorder.batch
        batch.execute("UPDATE epoch SET digest = x'00'")  # what was recorded is another epoch's now
        batch.commit()
    with cataloguing_in(tmp_path) as later:
        result = audited(later)
        assert (code(result), result.intact) == (0, 6)
        rows = later.ask("SELECT epoch_id, count(*) AS n FROM analysis GROUP BY epoch_id ORDER BY 1")
        assert [row["n"] for row in rows] == [6, 6]
        assert later.ask.open_drift() == []


def test_scan_keeps_both_readings_of_an_alarm_too(home: Cataloguing, share: Path) -> None:
    home.scan(share)
    rewrite(share / "3.tif", 2000)
    home.scan(share)
    rows = home.ask("SELECT how, result FROM v_check ORDER BY check_no")
    assert rows == [{"how": "cached", "result": "differs"}, {"how": "uncached", "result": "stealth"}]


def test_the_event_of_an_audit_says_what_was_read(home: Cataloguing, share: Path) -> None:
    home.scan(share)
    audited(home, share / "2.tif", max_files=4)
    (event,) = home.ask("SELECT detail FROM v_event WHERE kind = 'audit'")
    detail = json.loads(event["detail"])
    assert detail["scope"] == [str(share / "2.tif")]
    assert detail["options"] == {"max_files": 4}
    assert (detail["checked"], detail["intact"], detail["how"], detail["status"]) == (
        1,
        1,
        "uncached",
        "complete",
    )


def test_a_file_that_was_not_there_for_a_moment_is_told_as_not_read(home: Cataloguing, share: Path) -> None:
    home.scan(share)
    gone = Failure(FailureKind.GONE, "no longer there")

    def vanish(seen: Inspection) -> Inspection | None:
        return Inspection(seen.job, None, failure=gone) if seen.job.check else None

    with readings_of(home, b"3.tif", vanish):
        result = audited(home)
    assert (code(result), result.intact, result.unread) == (3, 5, 1)
    assert set(home.ask.states().values()) == {"present"}
