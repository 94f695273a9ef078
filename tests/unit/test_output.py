"""The one way to answer: formats, tables, progress."""

from __future__ import annotations

import csv
import fcntl
import io
import json
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TextIO

import pytest
import typer

from catalog.cli.context import Invocation
from catalog.cli.options import Format, chosen, conclude
from catalog.cli.output import Column, Frame, Incomplete, Listing, answer, answer_rows
from catalog.cli.progress import Progress
from catalog.errors import Exit, UsageError
from catalog.terms import path_fields

FILES = Listing(
    name="files",
    columns=(
        Column("path", lambda row: row["path"], below=True),
        Column("size", lambda row: str(row["size"]), right=True),
    ),
    fields=("root", "path", "size", "raw.sha256"),
    empty="no files",
    location=lambda row: b"/s/" + row["at"],
)
FRAME = Frame("catalog.files/1", as_of_ms=1_700_000_000_123)


def file(path: bytes, size: int) -> dict[str, Any]:
    fields: dict[str, Any] = {"root": "s", **path_fields(path), "size": size, "raw": {"sha256": "ab"}}
    return {**fields, "at": path.decode("latin-1").encode("latin-1")}


ROWS = [file(b"a.tif", 10), file(b"\xff.tif", 2000)]


def plain(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key != "at"}


PLAIN_ROWS = [plain(row) for row in ROWS]


def listed(form: Format, rows: Any = PLAIN_ROWS, *, frame: Frame = FRAME, **options: Any) -> None:
    answer_rows(Invocation(), frame, FILES, iter(rows), form=form, **options)


# ------------------------------------------------------------------------------------------------- JSON


def test_json_is_one_document_in_the_frame(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    listed(Format.JSON, more={"totals": {"files": 2}})
    out, err = capsysbinary.readouterr()
    assert json.loads(out) == {
        "schema": "catalog.files/1",
        "as_of": "2023-11-14T22:13:20.123Z",
        "complete": True,
        "incomplete": [],
        "totals": {"files": 2},
        "files": [
            {"root": "s", "path": "a.tif", "size": 10, "raw": {"sha256": "ab"}},
            {"root": "s", "path": "\\xff.tif", "path_b64": "/y50aWY=", "size": 2000, "raw": {"sha256": "ab"}},
        ],
        "truncated": False,
    }
    assert err == b""


def test_an_empty_json_answer_keeps_its_shape(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    listed(Format.JSON, [])
    document = json.loads(capsysbinary.readouterr().out)
    assert document["files"] == []
    assert list(document) == ["schema", "as_of", "complete", "incomplete", "files", "truncated"]


def test_an_incomplete_answer_says_why(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    frame = Frame("catalog.files/1", 0, (Incomplete("photos", "offline", 12),))
    listed(Format.JSON, frame=frame)
    out, err = capsysbinary.readouterr()
    assert json.loads(out)["complete"] is False
    assert json.loads(out)["incomplete"] == [{"root": "photos", "reason": "offline", "files": 12}]
    assert err == b""
    listed(Format.PATHS, [], frame=frame)
    assert capsysbinary.readouterr().err == b"warning: incomplete: photos: offline (12 files)\n"


def test_json_is_utf8_and_escapes_what_could_steer_a_terminal(
    capsysbinary: pytest.CaptureFixture[bytes],
) -> None:
    name = "Grüße \x1b[2J \x9b2J \u202egpj.exe \x7f"
    answer(FRAME, {"name": name}, as_json=True, words=list)
    out = capsysbinary.readouterr().out
    assert json.loads(out)["name"] == name
    text = out.decode()
    assert "Grüße" in text
    assert text.rstrip("\n").isprintable()


def test_json_has_no_nan(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    values = (1.5, float("nan"), float("inf"), float("-inf"))
    answer(FRAME, {"value": values}, as_json=True, words=list)
    assert json.loads(capsysbinary.readouterr().out)["value"] == [1.5, "NaN", "Infinity", "-Infinity"]


def test_ndjson_is_one_row_a_line(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    listed(Format.NDJSON)
    lines = capsysbinary.readouterr().out.splitlines()
    assert [json.loads(line) for line in lines] == PLAIN_ROWS


def test_as_of_is_now_unless_told(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    answer(Frame("catalog.tags/1"), {}, as_json=True, words=list)
    assert json.loads(capsysbinary.readouterr().out)["as_of"] > "2024"


# ---------------------------------------------------------------------------------------- CSV and paths


def test_csv_has_a_header_and_brings_path_b64(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    listed(Format.CSV, [{**PLAIN_ROWS[0], "path": 'a,"b\nc'}, {**PLAIN_ROWS[1], "raw": None, "size": True}])
    rows = list(csv.reader(io.StringIO(capsysbinary.readouterr().out.decode(), newline="")))
    assert rows == [
        ["root", "path", "path_b64", "size", "raw.sha256"],
        ["s", 'a,"b\nc', "", "10", "ab"],
        ["s", "\\xff.tif", "/y50aWY=", "true", ""],
    ]


@pytest.mark.parametrize(("form", "end"), [(Format.PATHS, b"\n"), (Format.PATHS0, b"\0")])
def test_paths_are_the_bytes_of_the_file_system(
    capsysbinary: pytest.CaptureFixture[bytes], form: Format, end: bytes
) -> None:
    listed(form, [{"at": b"a.tif"}, {"at": b"\xff\x1b.tif"}])
    assert capsysbinary.readouterr().out == b"/s/a.tif" + end + b"/s/\xff\x1b.tif" + end


def test_a_group_is_flattened_for_csv_and_paths_only(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    groups = Listing(
        name="groups",
        columns=(Column("path", lambda row: row["path"]),),
        fields=("id", "path"),
        empty="no duplicates",
        location=lambda row: row["path"].encode(),
        flat=lambda group: ({"id": group["id"], **item} for item in group["files"]),
    )
    rows = [{"id": 1, "files": [{"path": "a"}, {"path": "b"}]}]
    answer_rows(Invocation(), FRAME, groups, rows, form=Format.PATHS)
    assert capsysbinary.readouterr().out == b"a\nb\n"
    answer_rows(Invocation(), FRAME, groups, rows, form=Format.CSV)
    assert capsysbinary.readouterr().out == b"id,path,path_b64\n1,a,\n1,b,\n"
    answer_rows(Invocation(), FRAME, groups, rows, form=Format.NDJSON)
    assert json.loads(capsysbinary.readouterr().out) == rows[0]


# ------------------------------------------------------------------------------------- limit, formats, end


@pytest.mark.parametrize(("limit", "truncated"), [(1, True), (2, False), (None, False)])
def test_limit_says_whether_there_was_more(
    capsysbinary: pytest.CaptureFixture[bytes], limit: int | None, truncated: bool
) -> None:
    listed(Format.JSON, limit=limit)
    document = json.loads(capsysbinary.readouterr().out)
    assert document["truncated"] is truncated
    assert len(document["files"]) == (limit or 2)
    listed(Format.NDJSON, limit=limit)
    assert (b"only the first" in capsysbinary.readouterr().err) is truncated


def test_limit_takes_no_more_rows_than_it_needs() -> None:
    taken = []

    def rows() -> Iterator[dict[str, Any]]:
        for number in range(1000):
            taken.append(number)
            yield {"at": b"x"}

    listed(Format.PATHS, rows(), limit=3)
    assert len(taken) == 4


def test_two_formats_at_once_are_a_usage_error() -> None:
    with pytest.raises(UsageError, match="two formats at once: --json --paths0; choose one") as caught:
        chosen(json=True, paths0=True)
    assert caught.value.code is Exit.USAGE
    assert chosen() is Format.TABLE
    assert [chosen(**{form.value: True}) for form in list(Format)[1:]] == list(Format)[1:]


@pytest.mark.parametrize(
    ("incomplete", "allowed", "findings", "code"),
    [
        (False, False, Exit.OK, 0),
        (True, False, Exit.OK, 3),
        (True, True, Exit.OK, 0),
        (True, False, Exit.FINDINGS, 1),
        (True, True, Exit.CORRUPTION, 5),
    ],
)
def test_the_exit_code_follows_from_findings_and_completeness(
    incomplete: bool, allowed: bool, findings: Exit, code: int
) -> None:
    with pytest.raises(typer.Exit) as caught:
        conclude(incomplete=incomplete, allow_incomplete=allowed, findings=findings)
    assert caught.value.exit_code == code


# ------------------------------------------------------------------------------------------------ tables


def test_a_table_is_aligned_and_escapes_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    listed(Format.TABLE, [file(b"a.tif", 10), file(b"b\x1b[2J\n.tif", 2000)])
    assert capsys.readouterr().out == (
        "path            size\n"
        "a.tif             10\n"
        "b\\x1b[2J\\n.tif  2000\n"
    )  # fmt: skip


def test_an_empty_table_says_so_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    listed(Format.TABLE, [])
    assert capsys.readouterr().out == "no files\n"


@dataclass
class Screen:
    """A real terminal: ``stream`` writes to it, ``text`` is what arrived."""

    stream: TextIO
    master: int

    def text(self) -> str:
        self.stream.flush()
        os.set_blocking(self.master, False)
        arrived = b""
        try:
            while chunk := os.read(self.master, 65536):
                arrived += chunk
        except BlockingIOError:
            pass
        return arrived.decode()


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Iterator[Screen]:
    # rich asks the environment, too.
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 40, 0, 0))
    with open(slave, "w") as stream:
        yield Screen(stream, master)
    os.close(master)


def test_on_a_terminal_the_table_fits_and_paths_are_escaped(
    screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", screen.stream)
    listed(Format.TABLE, [file(b"long/" * 12 + b"a.tif", 10)])
    path = "long/" * 12 + "a.tif"
    assert screen.text().splitlines() == ["size", "    path", "  10", f"    {path}"]
    listed(Format.PATHS, [{"at": b"\x1b]0;title\x07\xff"}])
    assert screen.stream.buffer.flush() is None
    assert screen.text() == "/s/\\x1b]0;title\\x07\\xff\r\n"
    listed(Format.CSV, [{"path": "a\x1bb"}])
    assert screen.text() == "root,path,path_b64,size,raw.sha256\r\n,a\\x1bb,,,\r\n"


# ---------------------------------------------------------------------------------------------- progress


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_elsewhere_a_plain_line_is_printed_every_30_seconds() -> None:
    clock, stream = Clock(), io.StringIO()
    with Progress("inspecting", stream=stream, clock=clock) as progress:
        for second in range(0, 75):
            clock.now = 1000.0 + second
            progress.update(second * 10, second * 2_000_000, total_files=1200, total_size=240_000_000)
    assert stream.getvalue() == (
        "inspecting: 300 of 1,200 files, 60.0 MB, 2.0 MB/s, 2 min left\n"
        "inspecting: 600 of 1,200 files, 120 MB, 2.0 MB/s, 60 s left\n"
    )


@pytest.mark.parametrize(
    ("update", "words"),
    [
        ((1, 0), "walking: 1 file\n"),
        ((5000, 0), "walking: 5,000 files\n"),
        ((0, 0), "walking: 0 files\n"),
        ((4, 4_000), "walking: 4 files, 4.0 kB, 100 B/s\n"),
    ],
)
def test_without_totals_no_time_is_promised(update: tuple[int, int], words: str) -> None:
    clock, stream = Clock(), io.StringIO()
    with Progress("walking", stream=stream, clock=clock) as progress:
        clock.now += 40
        progress.update(*update)
    assert stream.getvalue() == words


def test_quiet_means_quiet() -> None:
    clock, stream = Clock(), io.StringIO()
    with Progress("walking", quiet=True, stream=stream, clock=clock) as progress:
        clock.now += 100
        progress.update(1)
    assert stream.getvalue() == ""


def test_a_terminal_gets_a_bar_that_leaves_no_trace(screen: Screen) -> None:
    clock = Clock()
    with Progress("inspecting", stream=screen.stream, clock=clock) as progress:
        progress.update(0, 0, total_files=10)
        assert screen.text() == ""
        clock.now += 1
        progress.update(5, 0, total_files=10)
        drawn = screen.text()
        assert "━" in drawn
        clock.now += 0.01
        progress.update(6, 0, total_files=10)
        assert "6" not in screen.text(), "drawn ten times a second at most"
    assert screen.text().endswith("\x1b[2K"), "the line is erased at the end"


def test_the_bar_says_files_rate_and_time_left(screen: Screen) -> None:
    fcntl.ioctl(screen.stream, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    clock = Clock()
    with Progress("inspecting", stream=screen.stream, clock=clock) as progress:
        clock.now += 10
        progress.update(5, 50_000_000, total_files=20, total_size=200_000_000)
        assert "5 of 20 files, 50.0 MB, 5.0 MB/s, 30 s left" in screen.text()


# ------------------------------------------------------------------------------------------------- cost


@pytest.mark.parametrize("module", ["output", "progress", "tables", "options", "context"])
def test_answering_imports_nothing_heavy(module: str) -> None:
    heavy = ["rich", "sqlalchemy", "alembic", "PIL", "numpy", "cv2", "watchdog", "pydantic"]
    code = f"import sys, catalog.cli.{module}; print(*[name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
