"""docs/watching.md names what proves it: each test and benchmark of its table exists."""

from __future__ import annotations

import re
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
DOCUMENT = (CHECKOUT / "docs" / "watching.md").read_text()
ROWS = re.findall(r"^\| (T\d+)[^|]*\|([^|]*)\|([^|]*)\|([^|]*)\|$", DOCUMENT, re.MULTILINE)
TEST = re.compile(r"`(tests/\S+?\.py)::(test_\w+)(?:\[(\w+)\])?`")


def test_every_promise_has_its_row() -> None:
    assert [row[0] for row in ROWS] == [f"T{number}" for number in range(1, 29)]


def with_scenarios(source: str) -> str:
    """The source of a test, and of the module that its scenarios stand in when they have one of their own."""
    modules = re.findall(r"^from (tests\.kernel\.\w+) import", source, re.MULTILINE)
    return source + "".join((CHECKOUT / f"{name.replace('.', '/')}.py").read_text() for name in modules)


def test_every_row_names_tests_that_exist() -> None:
    for number, _, _, named in ROWS:
        tests = TEST.findall(named)
        assert tests and TEST.sub("", named).strip() == "", number
        for path, test, scenario in tests:
            source = (CHECKOUT / path).read_text()
            assert re.search(rf"^def {test}\(", source, re.MULTILINE), f"{number}: {path}::{test}"
            if scenario:
                assert re.search(rf"^def {scenario}\(", with_scenarios(source), re.MULTILINE), (
                    f"{number}: {scenario}"
                )


def test_every_benchmark_that_is_named_exists() -> None:
    named = re.findall(r"`(benchmarks/\w+\.py)`", DOCUMENT)
    assert named
    for path in named:
        assert (CHECKOUT / path).is_file(), path
