"""How drift is written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from catalog.cli.asking import path_of, short_time, shown_path
from catalog.cli.output import Column, Listing
from catalog.terms import counted, iso

if TYPE_CHECKING:
    from catalog.query.drift import Alike, Case

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
            Column("at", span_words),
            *state,
            Column("path", place_words, below=True),
            Column("reason", lambda row: "; ".join(row.get("told", row["reasons"])), wraps=True),
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
            "near_distance",
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


def place_words(row: Row) -> str:
    """The path of a row; of one that stands for several ``files``, the first of them and how many more there are."""
    path = shown_path(path_of(row))
    return f"{path} and {counted(row['files'] - 1, 'other file')}" if row.get("files") else path


def span_words(row: Row) -> str:
    """When it was seen; of several cases the first and the last time."""
    first = short_time(row.get("since") or row["at"])
    last = short_time(row.get("until") or row.get("at") or row["since"])
    if first == last:
        return last
    return f"{first.removesuffix(' UTC')} – {last[11:] if first[:10] == last[:10] else last}"


def lines(groups: Iterable[tuple[Case, Alike | None]]) -> Iterator[Row]:
    """Rows for the table: of cases that are alike, the first one with what holds for all of them."""
    for case, alike in groups:
        if alike is None:
            yield {**case.fields(), "told": told(case)}
        else:
            span = {"since": iso(alike.since_ms), "until": iso(alike.until_ms), "files": alike.files}
            yield {**case.fields(), **span, "told": _of_all(case, alike)}


def _of_all(case: Case, alike: Alike) -> tuple[str, ...]:
    """The first reason of cases that are alike, and how many further ones each of them has."""
    from catalog.drift import PROOFS

    own = [reason for reason in case.reasons if not reason.startswith("size ")]
    first = 1 if own[0] in PROOFS and len(own) > 1 else 0
    words = own[first] if alike.reasons is not None else of_several(own[first])
    others = len(own) - first - 1
    more = (f"and {counted(others, 'other reason')}, the same for all",) if others else ()
    return (*own[:first], words, *more)


def of_several(reason: str) -> str:
    """A reason that stands for several which are the same but for values, numbers and paths."""
    from catalog.drift import shape

    words = shape(reason)
    if words == reason:
        return reason
    return words if "…" not in words else f"such as: {reason}"
