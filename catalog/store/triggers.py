"""Triggers: append-only guards, and the counters that make a page of duplicates an index scan.

Re-created after every migration: Alembic's batch mode drops the triggers of a table that it rebuilds.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

_GROUPS: Final = (
    ("content", "content_id", "content_id"),
    ("raster", "raster_id", "pixel_id"),
    ("raster", "raster_id", "view_id"),
)


def _counted(row: str, column: str) -> str:
    """A file counts in a group while it may still be there (present or suspect)."""
    return f"{row}.presence <> 3 AND {row}.{column} IS NOT NULL"


def _allocated(row: str, column: str, linked: str) -> str:
    """Blocks that ``row`` adds to its group: none while the same inode is in it under another name.

    Entering and leaving use the same rule, so the order in which links come and go does not matter.
    """
    return (
        f"CASE WHEN {linked} AND EXISTS (SELECT 1 FROM file AS twin WHERE twin.inode = {row}.inode"
        f" AND twin.{column} = {row}.{column} AND twin.root_id = {row}.root_id AND twin.presence <> 3"
        f" AND twin.file_id <> {row}.file_id) THEN 0 ELSE {row}.allocated END"
    )


def _enter(table: str, key: str, column: str, linked: str) -> str:
    allocated = _allocated("NEW", column, linked)
    better = (
        "n_files = 0 OR NEW.allocated > keep_allocated"
        " OR (NEW.allocated = keep_allocated AND NEW.size > keep_bytes)"
    )
    return f"""UPDATE {table} SET n_files = n_files + 1, n_bytes = n_bytes + NEW.size,
    n_allocated = n_allocated + {allocated},
    keep_bytes = CASE WHEN {better} THEN NEW.size ELSE keep_bytes END,
    keep_allocated = max(keep_allocated, NEW.allocated),
    reclaimable = n_allocated + {allocated} - max(keep_allocated, NEW.allocated)
  WHERE {key} = NEW.{column} AND {_counted("NEW", column)};"""


def _leave(table: str, key: str, column: str, linked: str) -> str:
    allocated = _allocated("OLD", column, linked)
    best = f"FROM file WHERE {column} = OLD.{column} AND presence <> 3 ORDER BY allocated DESC, size DESC LIMIT 1"
    return f"""UPDATE {table} SET n_files = n_files - 1, n_bytes = n_bytes - OLD.size,
    n_allocated = n_allocated - {allocated},
    keep_bytes = coalesce((SELECT size {best}), 0),
    keep_allocated = coalesce((SELECT allocated {best}), 0),
    reclaimable = n_allocated - {allocated} - coalesce((SELECT allocated {best}), 0)
  WHERE {key} = OLD.{column} AND {_counted("OLD", column)};"""


def _group_triggers() -> Iterator[tuple[str, str]]:
    for table, key, column in _GROUPS:
        group = column.removesuffix("_id")
        enter = _enter(table, key, column, "NEW.nlink > 1")
        yield (
            f"tr_file_insert_{group}",
            f"AFTER INSERT ON file WHEN {_counted('NEW', column)}\nBEGIN\n  {enter}\nEND",
        )
        watched = ("presence", "size", "allocated", "nlink", "inode", column)
        moved = " OR ".join(f"OLD.{name} IS NOT NEW.{name}" for name in watched)
        linked = "max(OLD.nlink, NEW.nlink) > 1"
        leave, enter = _leave(table, key, column, linked), _enter(table, key, column, linked)
        # One trigger for both: SQLite does not promise an order between two triggers of one event.
        yield (
            f"tr_file_update_{group}",
            f"AFTER UPDATE OF {', '.join(watched)} ON file WHEN {moved}\nBEGIN\n  {leave}\n  {enter}\nEND",
        )


def _root_count_triggers() -> Iterator[tuple[str, str]]:
    enter = """INSERT INTO root_count (root_id, presence, outcome, n_files, n_bytes)
  VALUES (NEW.root_id, NEW.presence, NEW.outcome, 1, NEW.size)
  ON CONFLICT (root_id, presence, outcome) DO UPDATE SET n_files = n_files + 1, n_bytes = n_bytes + NEW.size;"""
    leave = """UPDATE root_count SET n_files = n_files - 1, n_bytes = n_bytes - OLD.size
  WHERE root_id = OLD.root_id AND presence = OLD.presence AND outcome = OLD.outcome;"""
    watched = ("root_id", "presence", "outcome", "size")
    moved = " OR ".join(f"OLD.{name} IS NOT NEW.{name}" for name in watched)
    yield "tr_file_insert_count", f"AFTER INSERT ON file\nBEGIN\n  {enter}\nEND"
    yield (
        "tr_file_update_count",
        f"AFTER UPDATE OF {', '.join(watched)} ON file WHEN {moved}\nBEGIN\n  {leave}\n  {enter}\nEND",
    )


def _append_only() -> Iterator[tuple[str, str]]:
    for table in ("revision", "event", "seal"):
        for verb in ("UPDATE", "DELETE"):
            yield (
                f"tr_{table}_no_{verb.lower()}",
                f"BEFORE {verb} ON {table}\nBEGIN\n  SELECT RAISE(ABORT, '{table} is append-only');\nEND",
            )
    # Rows of files are tombstones, never removed: their history would dangle.
    yield (
        "tr_file_no_delete",
        "BEFORE DELETE ON file\nBEGIN\n  SELECT RAISE(ABORT, 'rows of files are never deleted');\nEND",
    )


def triggers() -> dict[str, str]:
    """Name → ``CREATE TRIGGER`` statement."""
    every = [*_append_only(), *_root_count_triggers(), *_group_triggers()]
    return {name: f"CREATE TRIGGER {name} {body}" for name, body in every}
