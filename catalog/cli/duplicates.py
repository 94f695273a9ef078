"""How groups of duplicates are written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from catalog.cli.asking import Asked, path_of, shown_path
from catalog.cli.options import Format
from catalog.cli.output import Listing, write_line
from catalog.cli.tables import table
from catalog.errors import UsageError
from catalog.terms import compression_words, counted, human_size, printable

if TYPE_CHECKING:
    from catalog.query.dupes import Dupes
    from catalog.query.groups import Group, Member


def bytes_of(text: str | None) -> int:
    """``--min-size``. Raises UsageError."""
    from catalog.config import size

    if text is None:
        return 0
    try:
        return size(int(text) if text.isdecimal() else text)
    except ValueError:
        raise UsageError(f"not a size: {text}", hint="write it like 500000, 500kB or 2MiB") from None


def listing(form: Format) -> Listing:
    """A group a row in JSON, a file a row elsewhere; paths are those of redundant files that were asked about."""
    return Listing(
        "groups",
        (),
        (
            "group",
            "level",
            "root",
            "path",
            "size",
            "keep",
            "keep_reason",
            "relation",
            "distance",
            "transform",
            "redundant",
            "hard_link",
            "format",
            "compression",
            "orientation",
            "mtime",
            "in_scope",
            "differs",
            "reclaimable_bytes",
        ),
        "no duplicates",
        path_of,
        _redundant if form in (Format.PATHS, Format.PATHS0) else _flat,
    )


def _flat(group: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    shared = {"group": group["id"], "level": group["level"], "reclaimable_bytes": group["reclaimable_bytes"]}
    return ({**shared, **each} for each in group["files"])


def _redundant(group: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    return (each for each in group["files"] if each["redundant"] and each["in_scope"])


def write_groups(asked: Asked, answer: Dupes, limit: int | None) -> None:
    """Groups for people on stdout, the summary on stderr."""
    groups = iter(answer.groups)
    number = 0
    for number, group in enumerate(islice(groups, limit), 1):
        for line in _lines(number, group):
            write_line(line)
    if not number:
        write_line("no duplicates")
    if limit is not None and next(groups, None) is not None:
        asked.run.say(f"only the first {limit}; there is more")
    for place in answer.across:
        asked.run.say(
            f"-- {printable(place.name)}: {place.shared:,} of {counted(place.files, 'file')}"
            f" {'is' if place.shared == 1 else 'are'} in another of these places, too"
        )
    asked.run.say(_summary(asked, answer))
    for item in asked.frame("").incomplete:
        asked.run.warn(f"incomplete: {item.words}")


def _lines(number: int, group: Group) -> Iterator[str]:
    head = [
        f"group {number}",
        group.level.value,
        short_digest(group.id),
        counted(len(group.members), "file"),
        counted(group.byte_streams, "byte stream") if group.byte_streams == 1 else _distinct(group),
        f"reclaimable {human_size(group.reclaimable_bytes)}",
    ]
    yield "  ".join(head)
    rows = [_cells(member, group) for member in group.members]
    titles = [""] * len(rows[0])
    for line in list(table(titles, rows, right=(2,)))[1:]:
        yield f"  {line}"


def _distinct(group: Group) -> str:
    return f"{group.byte_streams} distinct byte streams"


def _cells(member: Member, group: Group) -> list[str]:
    copy, kept = member.copy, group.members[0].copy
    if member.keep:
        note = f"{_day(copy.mtime_ns)}  (rule: {member.keep_reason})"
    else:
        turned = copy.orientation != kept.orientation and copy.orientation is not None
        notes = [f"Orientation {copy.orientation}"] if turned else []
        note = ", ".join([*notes, *(f"other {what}" for what in member.differs)])
    relation = "hard link" if member.hard_link else member.relation
    compression = compression_words(copy.compression) if copy.compression else ""
    return [relation, shown_path(copy.path), human_size(copy.size), copy.format or "", compression, note]


def _day(mtime_ns: int) -> str:
    from catalog.terms import iso_ns

    return (iso_ns(mtime_ns) or "")[:10]


def short_digest(digest: str) -> str:
    """``9f3c…a1``: enough to tell groups apart by eye."""
    bare = digest.rpartition(":")[2]
    return f"{bare[:4]}…{bare[-2:]}"


def _summary(asked: Asked, answer: Dupes) -> str:
    totals, around = answer.totals, answer.around
    if asked.scope.everything:
        files = f"{counted(totals.files, 'file')} of {around.files:,}"
    else:
        files = f"{counted(totals.files, 'file')} in them ({around.files:,} asked about)"
    line = (
        f"-- {counted(totals.groups, 'group')}, {files},"
        f" {totals.redundant_files:,} redundant, reclaimable {human_size(totals.reclaimable_bytes)}"
    )
    unsound = around.uncompared - around.undecodable - around.awaiting
    lacking = (
        (around.undecodable, "file", "undecodable"),
        (around.offline_roots, "share", "offline"),
        (unsound, "file", "not decoded soundly (compared by bytes only)"),
        (around.awaiting, "file", "not compared until looked at with the new decoders"),
    )
    told = ", ".join(f"{counted(number, noun)} {words}" for number, noun, words in lacking if number > 0)
    return f"{line}; {told}" if told else line
