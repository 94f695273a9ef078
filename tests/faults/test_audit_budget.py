"""Which files an audit reads, in which order, and what ends it."""

from __future__ import annotations

from pathlib import Path

import pytest

from catalog.service.audit_result import Budget
from catalog.service.auditing import audit
from tests.asking import picture
from tests.auditing import audit_times, audited, backdate, code
from tests.in_process import Cataloguing


@pytest.fixture
def share(tmp_path: Path) -> Path:
    for shade in range(6):
        picture(tmp_path / "share" / f"{shade}.tif", shade)
    return tmp_path / "share"


def test_order_is_never_audited_first_then_the_longest_unchecked(home: Cataloguing, share: Path) -> None:
    home.scan(share)
    audited(home)
    backdate(home, {"4.tif": 100, "1.tif": 200, "0.tif": 50})
    picture(share / "new.tif", 50)
    home.scan(share)
    before = audit_times(home)
    assert audited(home, max_files=3).checked == 3
    after = audit_times(home)
    assert {name for name in after if before[name] != after[name]} == {"new.tif", "1.tif", "4.tif"}


def test_older_than_leaves_out_what_was_audited_lately(home: Cataloguing, share: Path) -> None:
    home.scan(share)
    audited(home)
    backdate(home, {"4.tif": 100, "1.tif": 80})
    result = audited(home, older_than_seconds=90 * 86_400)
    assert (result.checked, result.files) == (1, 6)
    assert audited(home, older_than_seconds=90 * 86_400).checked == 0


@pytest.mark.parametrize(("percent", "files"), [(1, 1), (50, 3), (51, 4), (100, 6)])
def test_percent_is_of_the_files_and_rounds_up(
    home: Cataloguing, share: Path, percent: float, files: int
) -> None:
    home.scan(share)
    assert audited(home, percent=percent).checked == files


def test_data_ends_the_audit_before_it_is_exceeded_and_one_file_always_fits(
    home: Cataloguing, share: Path
) -> None:
    home.scan(share)
    size = (share / "0.tif").stat().st_size
    result = audited(home, max_bytes=2 * size + 1)
    assert (result.checked, result.budget, result.bytes_read) == (2, "data", 2 * size)
    assert audited(home, max_bytes=1).checked == 1
    assert sum(moment is not None for moment in audit_times(home).values()) == 3


def test_time_that_is_over_ends_the_audit_and_is_no_incompleteness(home: Cataloguing, share: Path) -> None:
    home.scan(share)
    result = audited(home, max_seconds=1e-9)
    assert (code(result), result.checked, result.budget) == (0, 0, "time")


def test_rate_holds_the_next_file_back(home: Cataloguing, share: Path) -> None:
    home.scan(share)
    total = sum(path.stat().st_size for path in share.iterdir())
    result = audited(home, rate_bytes=total * 2)
    assert result.seconds >= 0.5 * 5 / 6 - 0.01
    assert result.checked == 6


def test_scope_is_a_file_or_a_folder(home: Cataloguing, share: Path) -> None:
    picture(share / "deep" / "a.tif", 60)
    picture(share / "deep" / "er" / "b.tif", 61)
    home.scan(share)
    assert audited(home, share / "2.tif").checked == 1
    assert audited(home, share / "deep").checked == 2
    assert {name for name, moment in audit_times(home).items() if moment} == {"2.tif", "a.tif", "b.tif"}


def test_an_interrupted_audit_goes_on_where_it_was(home: Cataloguing, share: Path) -> None:
    home.scan(share)
    wanted = iter([False, True])
    first = audit(
        home.session,
        database=str(home.database),
        budget=Budget(rate_bytes=(share / "0.tif").stat().st_size * 20),
        stop=lambda: sum(m is not None for m in audit_times(home).values()) >= 2 and next(wanted, True),
    )
    assert first.interrupted
    stamped = {name: moment for name, moment in audit_times(home).items() if moment is not None}
    assert 2 <= len(stamped) < 6
    second = audited(home)
    assert second.resumed_ms is not None
    assert second.checked == 6 - len(stamped)
    assert {name: audit_times(home)[name] for name in stamped} == stamped
    assert audited(home).checked == 6, "a complete audit is begun anew"


def test_times_to_come_do_not_keep_a_file_from_being_audited(home: Cataloguing, share: Path) -> None:
    """The clock was a year ahead when it was audited last."""
    home.scan(share)
    audited(home)
    backdate(home, {"4.tif": -365})
    result = audited(home, older_than_seconds=90 * 86_400)
    assert result.checked == 1
    assert audit_times(home)["4.tif"] is not None
