"""Tables for terminals: nothing that names a file is cut, however narrow they are."""

from __future__ import annotations

import pytest

from catalog.cli import tables


def test_wide_and_combining_characters_keep_the_columns_straight() -> None:
    lines = list(tables.table(["name", "n"], [["写真.tif", "1"], ["u\u0308.tif", "2"], ["plain.tif", "3"]]))
    assert [tables.cells(line) for line in lines] == [len("plain.tif  n")] * 4


@pytest.mark.parametrize("width", [30, 40, 200])
def test_a_narrow_terminal_cuts_a_value_in_the_middle(width: int) -> None:
    value = "a/very/long/folder/name/写真/picture.tif"
    lines = list(tables.table(["value", "size"], [[value, "12345"], ["b", "1"]], flexible=[0], width=width))
    assert max(map(tables.cells, lines)) <= width
    assert "picture.tif" in lines[1]
    assert (value in lines[1]) is (width == 200)
    assert lines[1].startswith("a/v")
    assert ("…" in lines[1]) is (width != 200)


def test_a_path_that_does_not_fit_stands_whole_on_a_line_of_its_own() -> None:
    """Cut in the middle it named no file, and could not be copied."""
    path = "box 03/a folder with a very long name/sheet 0001.tif"
    rows = [["missing", path, "none"], ["present", "b.tif", "b2.tif"]]
    titles = ["state", "path", "good copy"]
    assert list(tables.table(titles, rows, below=[1, 2], width=30)) == [
        "state    good copy",
        "    path",
        "missing  none",
        f"    {path}",
        "present  b2.tif",
        "    b.tif",
    ]
    assert path in list(tables.table(titles, rows, below=[1, 2], width=100))[1]
    assert path in list(tables.table(titles, rows, below=[1, 2]))[1]


def test_both_of_two_long_paths_leave_the_line_in_the_order_of_the_table() -> None:
    rows = [["1", "a" * 30, "b" * 40]]
    told = list(tables.table(["id", "path", "copy"], rows, below=[1, 2], width=30))
    assert told == ["id", "    path", "    copy", "1", "    " + "a" * 30, "    " + "b" * 40]


def test_a_table_that_is_too_wide_can_be_told_in_blocks() -> None:
    assert list(tables.blocks(["share", "path"], [["a", "/x\n"], ["b", "/y"], ["c", ""]])) == [
        "share  a",
        "path   /x\\n",
        "",
        "share  b",
        "path   /y",
        "",
        "share  c",
    ]


def test_a_sentence_that_does_not_fit_goes_below_its_row() -> None:
    sentence = "the picture changed; size 24,036 -> 24,000 bytes"
    rows = [["1", "a/long/folder/a.tif", sentence], ["2", "b.tif", ""]]
    wide = list(tables.table(["id", "path", "reason"], rows, below=[1], wraps=True, width=200))
    assert [line.split(maxsplit=2)[-1] for line in wide[:2]] == ["reason", sentence]
    assert list(tables.table(["id", "path", "reason"], rows, below=[1], wraps=True, width=30)) == [
        "id  path",
        "    reason",
        "1   a/long/folder/a.tif",
        "    the picture changed; size",
        "    24,036 -> 24,000 bytes",
        "2   b.tif",
    ]
