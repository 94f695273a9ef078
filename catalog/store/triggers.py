"""Triggers: append-only guards, and the counters that make a page of duplicates an index scan.

Re-created after every migration: Alembic's batch mode drops the triggers of a table that it rebuilds.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from catalog.store.codes import CHECK_RESULT, OUTCOME, PRESENCE
from catalog.terms import CheckResult

_GROUPS: Final = (
    ("content", "content_id", "content_id"),
    ("raster", "raster_id", "pixel_id"),
    ("raster", "raster_id", "view_id"),
)


def _counted(row: str, column: str) -> str:
    """A file counts in a group while it may still be there (present or suspect)."""
    return f"{row}.presence <> 3 AND {row}.{column} IS NOT NULL"


def _allocated(row: str, column: str) -> str:
    """Blocks that ``row`` brings to its group, or takes away: those beyond its other names' there.

    Names with a link count above one, one inode and one root are one file on disk, which counts with its
    largest observed allocation (file systems allocate late). Entering and leaving follow the same rule, so
    the order in which names come and go does not matter. Of a name whose link count is one nothing is looked
    up: when a link to it appears, its own ctime moves, and the next look brings both together.
    """
    others = (
        f"(SELECT twin.allocated FROM file AS twin WHERE twin.inode = {row}.inode"
        f" AND twin.root_id = {row}.root_id AND twin.{column} = {row}.{column} AND twin.nlink > 1"
        f" AND twin.presence <> 3 AND twin.file_id <> {row}.file_id ORDER BY twin.allocated DESC LIMIT 1)"
    )
    beyond = f"CASE WHEN {row}.allocated > {others} THEN {row}.allocated - {others} ELSE 0 END"
    return f"CASE WHEN {row}.nlink > 1 AND {others} IS NOT NULL THEN {beyond} ELSE {row}.allocated END"


def _enter(table: str, key: str, column: str) -> str:
    allocated = _allocated("NEW", column)
    larger = "NEW.allocated > keep_allocated"
    better = f"{larger} OR (NEW.allocated = keep_allocated AND NEW.size > keep_bytes)"
    return f"""UPDATE {table} SET n_files = n_files + 1, n_bytes = n_bytes + NEW.size,
    n_allocated = n_allocated + {allocated},
    keep_bytes = CASE WHEN {better} THEN NEW.size ELSE keep_bytes END,
    keep_allocated = CASE WHEN {larger} THEN NEW.allocated ELSE keep_allocated END,
    reclaimable = n_allocated + {allocated} - CASE WHEN {larger} THEN NEW.allocated ELSE keep_allocated END
  WHERE {key} = NEW.{column} AND {_counted("NEW", column)};"""


def _leave(table: str, key: str, column: str) -> tuple[str, str]:
    """Take a file out; then, only where nobody as large as the kept one is left, choose another to keep."""
    allocated = _allocated("OLD", column)
    living = f"FROM file WHERE {column} = OLD.{column} AND presence <> 3"
    best = f"{living} ORDER BY allocated DESC, size DESC LIMIT 1"
    return (
        f"""UPDATE {table} SET n_files = n_files - 1, n_bytes = n_bytes - OLD.size,
    n_allocated = n_allocated - {allocated}, reclaimable = reclaimable - {allocated}
  WHERE {key} = OLD.{column} AND {_counted("OLD", column)};""",
        f"""UPDATE {table} SET keep_bytes = coalesce((SELECT size {best}), 0),
    keep_allocated = coalesce((SELECT allocated {best}), 0),
    reclaimable = n_allocated - coalesce((SELECT allocated {best}), 0)
  WHERE {key} = OLD.{column} AND {_counted("OLD", column)} AND NOT EXISTS (SELECT 1 {living}
    AND allocated = keep_allocated AND size = keep_bytes);""",
    )


_ROOT_ENTER: Final = """UPDATE root_count SET n_files = n_files + 1, n_bytes = n_bytes + NEW.size
  WHERE root_id = NEW.root_id AND presence = NEW.presence AND outcome = NEW.outcome;"""
_ROOT_LEAVE: Final = """UPDATE root_count SET n_files = n_files - 1, n_bytes = n_bytes - OLD.size
  WHERE root_id = OLD.root_id AND presence = OLD.presence AND outcome = OLD.outcome;"""


def _root_trigger() -> tuple[str, str]:
    """All counters of a root from the start: an upsert for each file would cost as much as three updates."""
    rows = ", ".join(
        f"(NEW.root_id, {presence}, {outcome})" for presence in PRESENCE.word for outcome in OUTCOME.word
    )
    insert = f"INSERT INTO root_count (root_id, presence, outcome) VALUES {rows};"
    return "tr_root_insert", f"AFTER INSERT ON root\nBEGIN\n  {insert}\nEND"


def _insert_trigger() -> tuple[str, str]:
    """One trigger for all counters: each one more would cost as much as a small statement.

    No upsert and no function may stand in it (CASE instead of max, coalesce is none): either makes SQLite
    copy every page that the statement touches, in case it fails half-way. That doubles the cost of a file.
    """
    entries = [_ROOT_ENTER, *(_enter(*group) for group in _GROUPS)]
    return "tr_file_insert", "AFTER INSERT ON file\nBEGIN\n  " + "\n  ".join(entries) + "\nEND"


def _update_trigger(name: str, watched: tuple[str, ...], statements: list[str]) -> tuple[str, str]:
    # Leaving and entering in one trigger: SQLite does not promise an order between two of one event.
    moved = " OR ".join(f"OLD.{column} IS NOT NEW.{column}" for column in watched)
    body = "\n  ".join(statements)
    return name, f"AFTER UPDATE OF {', '.join(watched)} ON file WHEN {moved}\nBEGIN\n  {body}\nEND"


def _counter_triggers() -> Iterator[tuple[str, str]]:
    yield _root_trigger()
    yield _insert_trigger()
    watched = ("root_id", "presence", "outcome", "size")
    yield _update_trigger("tr_file_update_count", watched, [_ROOT_LEAVE, _ROOT_ENTER])
    for table, key, column in _GROUPS:
        members = ("presence", "size", "allocated", "nlink", "inode", "root_id", column)
        statements = [*_leave(table, key, column), _enter(table, key, column)]
        yield _update_trigger(f"tr_file_update_{column.removesuffix('_id')}", members, statements)


def _append_only() -> Iterator[tuple[str, str]]:
    for table in ("revision", "event", "seal"):
        for verb in ("UPDATE", "DELETE"):
            yield (
                f"tr_{table}_no_{verb.lower()}",
                f"BEFORE {verb} ON {table}\nBEGIN\n  SELECT RAISE(ABORT, '{table} is append-only');\nEND",
            )
    # Evidence is thinned out, and never rewritten; what did not pass stays for good.
    yield (
        "tr_evidence_no_update",
        "BEFORE UPDATE ON evidence\nBEGIN\n  SELECT RAISE(ABORT, 'evidence is append-only');\nEND",
    )
    yield (
        "tr_evidence_no_delete",
        f"BEFORE DELETE ON evidence WHEN OLD.result <> {CHECK_RESULT.number[CheckResult.INTACT]}\nBEGIN\n"
        "  SELECT RAISE(ABORT, 'checks that did not pass are kept');\nEND",
    )
    # Rows of files are tombstones, never removed: their history would dangle.
    yield (
        "tr_file_no_delete",
        "BEFORE DELETE ON file\nBEGIN\n  SELECT RAISE(ABORT, 'rows of files are never deleted');\nEND",
    )


def triggers() -> dict[str, str]:
    """Name → ``CREATE TRIGGER`` statement."""
    every = [*_append_only(), *_counter_triggers()]
    return {name: f"CREATE TRIGGER {name} {body}" for name, body in every}
