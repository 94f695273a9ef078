"""What a daemon says of changes, line by line."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from catalog.logs import CHANGES, LineFormatter
from catalog.service.telling import NEW_TOLD, tell_changes
from catalog.terms import Outcome
from tests.recordings import Shelf, analysis, saved, stat


@pytest.fixture
def shelf(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[Shelf]:
    with Shelf(tmp_path) as made, caplog.at_level(logging.INFO, CHANGES):
        tell_changes(made.recorder.batch)
        yield made
    made.check()


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    lines = [record.getMessage() for record in caplog.records if record.name == CHANGES]
    caplog.clear()
    return lines


def test_each_change_is_a_line_in_plain_words(shelf: Shelf, caplog: pytest.LogCaptureFixture) -> None:
    shelf.see(b"a.tif", "a")
    assert said(caplog) == ["new: /share/a.tif"]
    shelf.see(b"a.tif", "lzw", saw=analysis("a", compression="LZW"), at=saved(stat()))
    (line,) = said(caplog)
    assert line.startswith("changed: /share/a.tif: reencoded: pixels identical; LZW instead of")
    shelf.see(b"a.tif", "a", at=saved(stat(), 20))
    assert said(caplog) == [
        "changed: /share/a.tif: back to the accepted content",
        "as accepted again: /share/a.tif",
    ]
    shelf.see(b"a.tif", "flipped", at=saved(stat(), 20))
    assert said(caplog)[0].startswith("changed: /share/a.tif: picture (rot): the picture changed")
    shelf.recorder.move(shelf.row(b"a.tif"), shelf.root_id, b"x/b\x1b.tif")
    shelf.recorder.commit()
    assert said(caplog) == [r"moved: /share/x/b\x1b.tif, from /share/a.tif"]
    row = shelf.row(b"x/b\x1b.tif")
    shelf.recorder.failed(shelf.root_id, row.path, row, Outcome.UNREADABLE, "Input/output error")
    shelf.recorder.missing(shelf.row(row.path), "gone")
    shelf.recorder.commit()
    assert said(caplog) == [
        r"unreadable: /share/x/b\x1b.tif: Input/output error",
        r"missing: /share/x/b\x1b.tif: its folder was listed to the end, without it",
    ]


def test_nothing_is_said_of_what_is_not_durable(shelf: Shelf, caplog: pytest.LogCaptureFixture) -> None:
    shelf.see(b"a.tif", "a", commit=False)
    shelf.recorder.batch.rollback()
    assert said(caplog) == []
    shelf.see(b"b.tif", "b", commit=False)
    assert said(caplog) == []
    shelf.recorder.commit()
    assert said(caplog) == ["new: /share/b.tif"]


def test_many_new_files_at_once_are_one_line(shelf: Shelf, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(NEW_TOLD + 1):
        shelf.see(b"%d.tif" % number, str(number), at=stat(inode=number + 1), commit=False)
    shelf.recorder.commit()
    assert said(caplog) == [f"{NEW_TOLD + 1} new files"]


def test_a_change_is_shown_without_level_and_module() -> None:
    record = logging.LogRecord(CHANGES, logging.INFO, "", 0, "%s", ("new: /share/a.tif",), None)
    _, _, words = LineFormatter().format(record).partition("Z ")
    assert words == "new: /share/a.tif"
