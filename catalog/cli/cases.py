"""How drift is written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from catalog.cli.asking import path_of, short_time, shown_path
from catalog.cli.output import Column, Listing
from catalog.terms import counted

if TYPE_CHECKING:
    from catalog.query.drift import Case

Row = Mapping[str, Any]

TOGETHER: Final = 4
"""Cases of one cause that become one line of the table."""


def listing(every: bool) -> Listing:
    """Cases of drift; ``every``: closed ones are among them."""
    state = (Column("state", lambda row: "open" if row["open"] else row["resolution"]),) if every else ()
    return Listing(
        "drift",
        (
            Column("id", lambda row: str(row["id"]), right=True),
            Column("severity", lambda row: row["severity"]),
            Column("kind", lambda row: row["kind"]),
            Column("manner", lambda row: row["manner"]),
            Column("at", lambda row: short_time(row["at"])),
            *state,
            Column("path", _place, flexible=True),
            Column("reason", lambda row: "; ".join(row.get("told", row["reasons"]))),
        ),
        (
            "id",
            "root",
            "path",
            "kind",
            "manner",
            "severity",
            "at",
            "open",
            "old.revision",
            "old.raw_sha256",
            "old.payload",
            "old.pixels",
            "old.view",
            "new.revision",
            "new.raw_sha256",
            "new.payload",
            "new.pixels",
            "new.view",
            "reasons",
            "restored_from",
            "good_copy",
            "good_copy_relation",
        ),
        "no drift",
        path_of,
    )


def told(case: Case) -> tuple[str, ...]:
    """The reasons of a case, and where the old picture is to be had if the file has lost it."""
    from catalog.drift import good_copy_sentence

    copy = case.picture_elsewhere
    return case.reasons if copy is None else (*case.reasons, good_copy_sentence(shown_path(copy.path)))


def _place(row: Row) -> str:
    path = shown_path(path_of(row))
    more = row.get("more", 0)
    return f"{path} and {counted(more, 'other file')}" if more else path


def lines(groups: Iterable[tuple[Case, int]]) -> Iterator[Row]:
    """Rows for the table: of cases that share a cause, the first one with the number of the others."""
    from catalog.drift import PROOFS

    for case, more in groups:
        shared = case.reasons[: 2 if case.reasons[0] in PROOFS else 1]
        yield {**case.fields(), "more": more, "told": shared if more else told(case)}
