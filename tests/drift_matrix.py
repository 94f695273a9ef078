"""The mutations of ``tests/mutation_cases.py`` done to real shares, and the table that docs/drift.md makes of them.

python -m tests.drift_matrix        writes the table anew (needs all the tools)
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.in_process import cataloguing_in
from tests.mutation_cases import GROUPS
from tests.mutations import MAKERS, Mutation, apply

DOCS = Path(__file__).resolve().parent.parent / "docs" / "drift.md"
BEGIN, END = "<!-- drift matrix: python -m tests.drift_matrix -->\n", "<!-- end of the drift matrix -->\n"

_SIZES = re.compile(r"size [\d,]+ -> [\d,]+ bytes")
_NEAR = re.compile(r"near distance [1-9]\d* of 256")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT([\d:.]+Z|…)")
_PLACE = re.compile(r"(beyond the end|is truncated) .*")


@dataclass(frozen=True)
class Verdict:
    """What the catalogue says of one mutation."""

    mutation: Mutation
    kind: str | None
    manner: str | None
    reasons: tuple[str, ...]
    events: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """The reasons up to the last one that names a cause: what follows differs from tool to tool."""
        causes = self.mutation.causes
        last = max(
            (i for i, reason in enumerate(self.reasons) if any(c in reason for c in causes)), default=-1
        )
        shown = self.reasons[: last + 1]
        return "; ".join(shown) + (" …" if len(shown) < len(self.reasons) else "")

    @property
    def row(self) -> str:
        """As it stands in the table."""
        words = self.mutation.words
        if self.mutation.kind is None:
            return f"| {words} | - | - | no case; the event `{self.mutation.event}` |"
        return f"| {words} | `{self.kind}` | `{self.manner}` | {self.sentence} |"


def verdicts(folder: Path, mutations: Sequence[Mutation], first: int) -> Iterator[Verdict]:
    """Make a file for each mutation, catalogue them, do it to them, catalogue them again."""
    share = folder / "share"
    share.mkdir()
    for number, mutation in enumerate(mutations, first):
        path = share / mutation.name
        MAKERS[path.suffix](path, number)
    with cataloguing_in(folder) as home:
        home.scan(share)
        before = home.ask("SELECT max(event_id) AS last FROM v_event")[0]["last"]
        apply(share, mutations)
        home.scan(share)
        cases = {_name(row): row for row in home.ask("SELECT * FROM v_drift_open")}
        events = home.ask("SELECT path, kind FROM v_event WHERE event_id > ?", before)
    for mutation in mutations:
        case: Any = cases.pop(mutation.name, None)
        reasons = [reason.replace(str(folder), "") for reason in json.loads(case["reasons"])] if case else []
        yield Verdict(
            mutation,
            case["kind"] if case else None,
            case["manner"] if case else None,
            tuple(reasons),
            tuple(row["kind"] for row in events if _name(row) == (mutation.now or mutation.name)),
        )
    assert not cases, f"nobody touched them: {sorted(cases)}"


def _name(row: Any) -> str:
    return str(row["path"] or "").rsplit("/", 1)[-1]


def alike(row: str) -> str:
    """A row without what depends on the version of a tool, on the time, or on a codec's rounding."""
    row = _NEAR.sub("near distance N of 256", _SIZES.sub("size", row))
    return _PLACE.sub(r"\1 …", _TIME.sub("TIME", row))


def numbered() -> Iterator[tuple[str, tuple[str, ...], Sequence[Mutation], int]]:
    """(title, tools, mutations, number of the first picture) of each group: no two pictures are the same."""
    first = 1000
    for title, (tools, mutations) in GROUPS.items():
        yield title, tools, mutations, first
        first += len(mutations)


def table(rows: Sequence[str]) -> str:
    return "\n".join(("| what happened | kind | manner | the sentence |", "|---|---|---|---|", *rows, ""))


def main() -> None:
    rows: dict[str, list[str]] = {}
    for title, tools, mutations, first in numbered():
        lacking = [tool for tool in tools if shutil.which(tool) is None]
        if lacking:
            sys.exit(f"not installed: {', '.join(lacking)}")
        with tempfile.TemporaryDirectory() as folder:
            rows[title] = [_dated(verdict.row) for verdict in verdicts(Path(folder), mutations, first)]
    text = DOCS.read_text()
    head, rest = text.split(BEGIN)
    _, tail = rest.split(END)
    every = [row for title in GROUPS for row in rows[title]]
    DOCS.write_text(head + BEGIN + table(every) + END + tail)


def _dated(row: str) -> str:
    return _TIME.sub("2025-11-02T…", row)


if __name__ == "__main__":
    main()
