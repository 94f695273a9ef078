"""The hot statements: text and column order for lists of tuples.

Statements of SQLAlchemy Core cost twice as much a row with dictionaries, ten times row by row
(docs/performance.md). That each names columns that the tables have is held by a test: importing the tables
costs what a scan without news costs to do.
"""

from __future__ import annotations

from typing import Final


def insert_text(table: str, *columns: str, otherwise: str = "") -> str:
    """``INSERT INTO table (columns) VALUES (?, …)`` for ``executemany(text, [tuple, …])``.

    ``otherwise``: what SQLite does on a conflict (``IGNORE``, ``ROLLBACK``) instead of undoing the statement.
    """
    verb = f"INSERT OR {otherwise} INTO" if otherwise else "INSERT INTO"
    return f"{verb} {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"


CONTENT: Final = ("content_id", "sha256", "md5", "size")
RASTER: Final = ("raster_id", "level", "class", "digest")
ANALYSIS: Final = (
    "content_id",
    "epoch_id",
    "toolchain_id",
    "fidelity",
    "reason",
    "pixel_id",
    "view_id",
    "payload",
    "payload_reason",
    "format",
    "width",
    "height",
    "frames",
    "model",
    "dtype",
    "channels",
    "orientation",
    "icc_sha256",
    "layout_id",
    "cv2_imread_md5",
    "pillow_tobytes_md5",
    "pillow_save_md5",
    "loader_errors",
    "complaints",
    "near",
    "analysed_ms",
)
PAGE: Final = (
    "content_id",
    "epoch_id",
    "page_no",
    "role",
    "width",
    "height",
    "model",
    "dtype",
    "channels",
    "pixels",
    "view",
)
TAGVAL: Final = (
    "tagval_id",
    "digest",
    "code",
    "name",
    "type",
    "count",
    "value",
    "num",
    "raw",
    "sha256",
    "broken",
)
REVISION: Final = (
    "rev_id",
    "file_id",
    "prev_rev_id",
    "content_id",
    "dir_id",
    "name",
    "name_text",
    "size",
    "mtime_ns",
    "ctime_ns",
    "inode",
    "dev",
    "nlink",
    "allocated",
    "observed_ms",
    "run_id",
)
FILE: Final = (
    "file_id",
    "root_id",
    "dir_id",
    "name",
    "name_text",
    "presence",
    "outcome",
    "reason",
    "size",
    "mtime_ns",
    "ctime_ns",
    "inode",
    "nlink",
    "allocated",
    "content_id",
    "pixel_id",
    "view_id",
    "rev_id",
    "baseline_rev_id",
    "first_seen_ms",
    "changed_ms",
    "state_since_ms",
)
EVENT: Final = (
    "event_id",
    "at_ms",
    "kind",
    "root_id",
    "file_id",
    "from_rev_id",
    "to_rev_id",
    "run_id",
    "actor",
    "detail",
)

# In the order of their references: what is flushed first is referred to by what follows.
ORDER: Final[dict[str, str]] = {
    "dir": insert_text("dir", "dir_id", "root_id", "path", "path_text"),
    "content": insert_text("content", *CONTENT),
    "raster": insert_text("raster", *RASTER),
    "layout": insert_text("layout", "layout_id", "value"),
    "analysis": insert_text("analysis", *ANALYSIS),
    "page": insert_text("page", *PAGE),
    "tagval": insert_text("tagval", *TAGVAL),
    "tagset": insert_text("tagset", "tagset_id", "digest"),
    "tagset_member": insert_text("tagset_member", "tagset_id", "tagval_id", otherwise="IGNORE"),
    "ifd": insert_text(
        "ifd", "content_id", "ifd_no", "kind", "parent_no", "tagset_id", "width", "height", "layout"
    ),
    "ifd_tag": insert_text("ifd_tag", "content_id", "ifd_no", "tagval_id", otherwise="IGNORE"),
    "revision": insert_text("revision", *REVISION),
    # ROLLBACK: a batch that fails is rolled back anyway; knowing that, SQLite need not remember the pages of
    # each statement, which for one with triggers costs as much as the statement itself.
    "file": insert_text("file", *FILE, otherwise="ROLLBACK"),
    "event": insert_text("event", *EVENT),
}
