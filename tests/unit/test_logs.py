"""Log lines as people and the journal get them, from a real process whose stderr is a real pipe."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

SPEAK = """
import logging, os, sys
from catalog import logs
logs.setup({arguments})
{more}
log = logging.getLogger("catalog.watch")
log.debug("looking at %s", b"a.tif")
log.info("share %s is online", "scans")
log.warning("lost %s", b"b\\n<0>forged\\x1b[2J\\xff.tif")
log.error("cannot write, 100%")
log.critical("the end")
logging.getLogger("library").info("chatter")
logging.getLogger("library").warning("deprecated")
"""
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
ALL = [
    "debug watch: looking at a.tif",
    "info watch: share scans is online",
    r"warning watch: lost b\n<0>forged\x1b[2J\xff.tif",
    "error watch: cannot write, 100%",
    "critical watch: the end",
]
DEPRECATED = "warning library: deprecated"


def spoken(arguments: str = "", *, journal: str | None = None, more: str = "") -> list[str]:
    """The stderr lines of a process that logs; ``journal`` "ours" makes its stderr the journal's stream."""
    reader, writer = os.pipe()
    environment = {key: value for key, value in os.environ.items() if key != "JOURNAL_STREAM"}
    if journal is not None:
        status = os.fstat(writer)
        environment["JOURNAL_STREAM"] = f"{status.st_dev}:{status.st_ino}" if journal == "ours" else journal
    try:
        subprocess.run(
            [sys.executable, "-c", SPEAK.format(arguments=arguments, more=more)],
            stderr=writer,
            env=environment,
            check=True,
            timeout=60,
        )
    finally:
        os.close(writer)
        with os.fdopen(reader, encoding="utf-8") as lines:
            text = lines.read()
    return text.splitlines()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("", [*ALL[2:], DEPRECATED]),
        ("1", [*ALL[1:], DEPRECATED]),
        ("2", [*ALL, DEPRECATED]),
        ("9", [*ALL, DEPRECATED]),
        ("2, True", ALL[3:]),
    ],
)
def test_verbosity_and_quiet_choose_the_lines_and_each_has_time_and_level(
    arguments: str, expected: list[str]
) -> None:
    lines = spoken(arguments)
    assert all(re.match(TIME, line) for line in lines)
    assert [re.sub(f"^{TIME} ", "", line) for line in lines] == expected


def test_the_journal_gets_priorities_instead_of_time_and_level() -> None:
    assert spoken("2", journal="ours") == [
        "<7>watch: looking at a.tif",
        "<6>watch: share scans is online",
        r"<4>watch: lost b\n<0>forged\x1b[2J\xff.tif",
        "<3>watch: cannot write, 100%",
        "<2>watch: the end",
        "<4>library: deprecated",
    ]


def test_an_inherited_journal_stream_that_is_not_our_stderr_gives_plain_lines() -> None:
    assert all(re.match(TIME, line) for line in spoken(journal="1:1"))


def test_each_line_of_a_traceback_has_its_priority_and_no_control_characters() -> None:
    raising = """
try:
    raise ValueError("bad\\x1b\\n<0>name")
except ValueError:
    logging.getLogger("catalog.service").exception("stage failed")
"""
    lines = spoken("0", journal="ours", more=raising)
    start = lines.index("<3>service: stage failed")
    traceback = lines[start : lines.index(r"<4>watch: lost b\n<0>forged\x1b[2J\xff.tif")]
    assert all(line.startswith("<3>") for line in traceback)
    assert traceback[-2:] == [r"<3>ValueError: bad\x1b", "<3><0>name"]


def test_a_traceback_for_people_is_indented_below_its_line() -> None:
    raising = """
try:
    raise ValueError("bad\\n2026-01-01T00:00:00.000Z error forged: name")
except ValueError:
    logging.getLogger("catalog.service").exception("stage failed")
"""
    lines = spoken(more=raising)
    assert "  2026-01-01T00:00:00.000Z error forged: name" in lines


def test_setting_up_twice_does_not_say_things_twice() -> None:
    lines = spoken("0", more="logs.setup(1)")
    assert [re.sub(f"^{TIME} ", "", line) for line in lines] == [*ALL[1:], DEPRECATED]


def test_lines_follow_a_replaced_stderr() -> None:
    assert spoken(more="sys.stderr = open(os.devnull, 'w')") == []


def test_a_process_without_stderr_logs_nowhere_and_goes_on() -> None:
    assert spoken(more="sys.stderr = None") == []
