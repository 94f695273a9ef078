"""One file that cannot be recorded, for whatever fault of ours, costs one record."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from catalog.config import Settings
from catalog.record import FileRow, Recorded
from catalog.service.opening import cataloguing, make_ready
from catalog.service.scan import resolved, scan, targets
from catalog.service.session import Session
from catalog.terms import Inspection
from tests.asking import Asking, picture


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    database = str(tmp_path / "catalog.sqlite3")
    make_ready(database)
    with cataloguing(database, Settings(workers=1), "scan") as opened:
        yield opened


def spoil(session: Session, path: bytes, how: Any) -> None:
    """Let the recording of one path fail, as a fault of ours would."""
    record = session.recorder.record

    def spoiled(inspection: Inspection, row: FileRow | None) -> Recorded:
        if inspection.job.path == path:
            how(inspection)
        return record(inspection, row)

    session.recorder.record = spoiled  # type: ignore[method-assign]


def run(session: Session, share: Path) -> Any:
    return scan(session, targets(session.roots, resolved([str(share)]), name=None, actor=None))


def check(session: Session, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    share = tmp_path / "share"
    for shade in range(12):
        picture(share / f"{shade}.tif", shade)
    with caplog.at_level(logging.CRITICAL):
        result = run(session, share)
    ask = Asking(tmp_path / "catalog.sqlite3")
    states = ask.states()
    assert {name for name, state in states.items() if state == "unreadable"} == {"7.tif"}
    assert list(states.values()).count("present") == 11
    (row,) = ask("SELECT reason FROM v_file WHERE state = 'unreadable'")
    assert "a bug of catalog" in row["reason"]
    assert result.tally.unreadable == 1
    assert not result.complete


def test_exception_while_recording_costs_one_file(
    session: Session, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(inspection: Inspection) -> None:
        raise ValueError("no such thing")

    spoil(session, b"7.tif", fail)
    check(session, tmp_path, caplog)


def test_row_that_the_database_refuses_at_the_commit_costs_one_file(
    session: Session, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def poison(inspection: Inspection) -> None:
        # A TEXT that cannot be encoded is only found when the list of rows is written.
        session.recorder.batch.begin()
        session.recorder.batch.add("layout", (session.recorder.batch.new_id("layout"), "\ud800"))

    spoil(session, b"7.tif", poison)
    check(session, tmp_path, caplog)


def test_file_that_could_not_be_recorded_is_tried_again_by_the_next_scan(
    session: Session, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(inspection: Inspection) -> None:
        raise ValueError("no such thing")

    whole = session.recorder.record
    spoil(session, b"7.tif", fail)
    check(session, tmp_path, caplog)
    session.recorder.record = whole  # type: ignore[method-assign]
    assert run(session, tmp_path / "share").complete
    assert set(Asking(tmp_path / "catalog.sqlite3").states().values()) == {"present"}
