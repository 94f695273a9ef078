"""The tables (docs/catalogue.md). Private: users read the views, whose columns are only ever added to.

Everything that is a function of the bytes hangs on ``content``, not on the file; ``revision`` and ``event``
are append-only; ``file`` caches the current state and can be rebuilt. Enumerations are small integers
(``codes.py``), ``_ns`` is file system time, ``_ms`` the catalogue's clock in UTC, names and paths are BLOBs.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    REAL,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)

SCHEMA_NUMBER: Final = 1
"""``PRAGMA user_version``: one more for each migration."""
SCHEMA_HEAD: Final = "0001"
"""The newest Alembic revision; a test holds it against the folder ``migrations``."""
APPLICATION_ID: Final = 0x43415431
"""``CAT1``: lets ``file`` and us tell a catalogue from another SQLite database."""

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _id(name: str) -> Column[int]:
    return Column(name, Integer, primary_key=True)


def _key(name: str) -> Column[int]:
    return Column(name, Integer, primary_key=True, autoincrement=False)


def _int(name: str, *, null: bool = False, default: int | None = None) -> Column[int]:
    return Column(
        name, Integer, nullable=null, server_default=None if default is None else text(str(default))
    )


def _text(name: str, *, null: bool = True) -> Column[str]:
    return Column(name, Text, nullable=null)


def _blob(name: str, *, null: bool = False) -> Column[bytes]:
    return Column(name, LargeBinary, nullable=null)


def _ref(name: str, target: str, *, null: bool = False) -> Column[int]:
    return Column(name, Integer, ForeignKey(target), nullable=null)


def _table(name: str, *columns: Any, rowid: bool = True) -> Table:
    return Table(name, metadata, *columns, sqlite_strict=True, sqlite_with_rowid=rowid)


def _group_counters() -> list[Column[int]]:
    """Counters of a duplicate group, kept by triggers on ``file`` (triggers.py)."""
    return [
        _int("n_files", default=0),
        _int("n_bytes", default=0),
        _int("n_allocated", default=0),
        _int("keep_bytes", default=0),
        _int("keep_allocated", default=0),
        _int("reclaimable", default=0),
    ]


setting = _table("setting", Column("name", Text, primary_key=True), _text("value", null=False), rowid=False)

root = _table(
    "root",
    _id("root_id"),
    _text("name", null=False),
    _blob("path"),
    _text("path_text"),
    _int("state", default=1),
    _text("state_reason"),
    _int("state_since_ms"),
    _int("added_ms"),
    _text("marker"),
    _text("fs_type"),
    _text("fs_source"),
    _int("root_inode", null=True),
    _text("identity"),
    _int("inode_trusted", default=1),
    _int("ctime_trusted", default=1),
    _int("mtime_granularity_ns", default=1),
    _text("mode"),
    _text("mode_reason"),
    _int("last_reconcile_ms", null=True),
    _int("n_held", default=0),
    _int("uncovered_dirs", default=0),
)
Index("uq_root_name", root.c.name, unique=True, sqlite_where=root.c.state != 3)
Index("uq_root_path", root.c.path, unique=True, sqlite_where=root.c.state != 3)

root_count = _table(
    "root_count",
    _key("root_id"),
    _key("presence"),
    _key("outcome"),
    _int("n_files", default=0),
    _int("n_bytes", default=0),
    rowid=False,
)

dir_ = _table(
    "dir",
    _id("dir_id"),
    _ref("root_id", "root.root_id"),
    _blob("path"),
    _text("path_text"),
    _blob("fingerprint", null=True),
    UniqueConstraint("root_id", "path"),
)

content = _table(
    "content",
    _id("content_id"),
    _blob("sha256"),
    _blob("md5"),
    _int("size"),
    *_group_counters(),
    UniqueConstraint("sha256"),
)
Index("ix_content_group", content.c.reclaimable, content.c.content_id, sqlite_where=content.c.n_files > 1)

raster = _table(
    "raster",
    _id("raster_id"),
    _int("level"),
    _int("class"),
    _blob("digest"),
    *_group_counters(),
    UniqueConstraint("digest", "level", "class"),
)
Index(
    "ix_raster_group",
    raster.c.level,
    raster.c.reclaimable,
    raster.c.raster_id,
    sqlite_where=raster.c.n_files > 1,
)

epoch = _table("epoch", _id("epoch_id"), _int("spec"), _blob("digest"), UniqueConstraint("spec", "digest"))

toolchain = _table(
    "toolchain",
    _id("toolchain_id"),
    _ref("epoch_id", "epoch.epoch_id"),
    _text("components", null=False),
    _int("first_used_ms"),
    UniqueConstraint("epoch_id", "components"),
)

layout = _table("layout", _id("layout_id"), _text("value", null=False), UniqueConstraint("value"))

analysis = _table(
    "analysis",
    Column("content_id", Integer, ForeignKey("content.content_id"), primary_key=True, autoincrement=False),
    Column("epoch_id", Integer, ForeignKey("epoch.epoch_id"), primary_key=True, autoincrement=False),
    _ref("toolchain_id", "toolchain.toolchain_id"),
    _int("fidelity"),
    _text("reason"),
    _ref("pixel_id", "raster.raster_id", null=True),
    _ref("view_id", "raster.raster_id", null=True),
    _blob("payload", null=True),
    _text("payload_reason"),
    _text("format"),
    _int("width", null=True),
    _int("height", null=True),
    _int("frames", null=True),
    _text("model"),
    _text("dtype"),
    _int("channels", null=True),
    _int("orientation", null=True),
    _blob("icc_sha256", null=True),
    _ref("layout_id", "layout.layout_id", null=True),
    _blob("cv2_imread_md5", null=True),
    _blob("pillow_tobytes_md5", null=True),
    _blob("pillow_save_md5", null=True),
    _text("loader_errors"),
    _text("complaints"),
    _int("analysed_ms"),
    rowid=False,
)

page = _table(
    "page",
    _key("content_id"),
    _key("epoch_id"),
    _key("page_no"),
    _int("role"),
    _int("width"),
    _int("height"),
    _text("model", null=False),
    _text("dtype", null=False),
    _int("channels"),
    _blob("pixels", null=True),
    _blob("view", null=True),
    rowid=False,
)

tagval = _table(
    "tagval",
    _id("tagval_id"),
    _blob("digest"),
    _int("code"),
    _text("name", null=False),
    _int("type"),
    _int("count"),
    _text("value", null=False),
    Column("num", REAL, nullable=True),
    _blob("raw"),
    _blob("sha256", null=True),
    _text("broken"),
    UniqueConstraint("digest"),
)
Index("ix_tagval_name", tagval.c.name, tagval.c.value)

tagset = _table("tagset", _id("tagset_id"), _blob("digest"), UniqueConstraint("digest"))
tagset_member = _table("tagset_member", _key("tagset_id"), _key("tagval_id"), rowid=False)
Index("ix_tagset_member_tagval", tagset_member.c.tagval_id, tagset_member.c.tagset_id)

ifd = _table(
    "ifd",
    _key("content_id"),
    _key("ifd_no"),
    _int("kind"),
    _int("parent_no", null=True),
    _ref("tagset_id", "tagset.tagset_id"),
    _int("width", null=True),
    _int("height", null=True),
    _blob("layout", null=True),
    rowid=False,
)
Index("ix_ifd_tagset", ifd.c.tagset_id)

ifd_tag = _table("ifd_tag", _key("content_id"), _key("ifd_no"), _key("tagval_id"), rowid=False)
Index("ix_ifd_tag_tagval", ifd_tag.c.tagval_id)

run = _table(
    "run",
    _id("run_id"),
    _text("kind", null=False),
    _int("root_id", null=True),
    _int("started_ms"),
    _int("heartbeat_ms", null=True),
    _int("finished_ms", null=True),
    _text("status", null=False),
    _text("counts"),
    _text("host"),
    _int("pid", null=True),
    _text("version"),
)

revision = _table(
    "revision",
    _id("rev_id"),
    _int("file_id"),
    _int("prev_rev_id", null=True),
    _ref("content_id", "content.content_id"),
    _ref("dir_id", "dir.dir_id"),
    _blob("name"),
    _text("name_text"),
    _int("size"),
    _int("mtime_ns"),
    _int("ctime_ns"),
    _int("inode"),
    _int("dev"),
    _int("nlink"),
    _int("allocated"),
    _int("observed_ms"),
    _int("run_id", null=True),
)
Index("ix_revision_file", revision.c.file_id)

file = _table(
    "file",
    _id("file_id"),
    _ref("root_id", "root.root_id"),
    _ref("dir_id", "dir.dir_id"),
    _blob("name"),
    _text("name_text"),
    _int("presence", default=1),
    _int("outcome", default=0),
    _text("reason"),
    _int("size"),
    _int("mtime_ns"),
    _int("ctime_ns"),
    _int("inode"),
    _int("nlink"),
    _int("allocated"),
    _ref("content_id", "content.content_id", null=True),
    _ref("pixel_id", "raster.raster_id", null=True),
    _ref("view_id", "raster.raster_id", null=True),
    _ref("rev_id", "revision.rev_id", null=True),
    _ref("baseline_rev_id", "revision.rev_id", null=True),
    _int("first_seen_ms"),
    _int("changed_ms"),
    _int("state_since_ms"),
    _int("retired_ms", null=True),
)
# A path belongs to one living file; the tombstones of files that were there before may share it.
Index("uq_file_path", file.c.dir_id, file.c.name, unique=True, sqlite_where=text("presence <> 3"))
Index("ix_file_tombstone", file.c.dir_id, file.c.name, sqlite_where=text("presence = 3"))
Index("ix_file_content", file.c.content_id, sqlite_where=file.c.content_id.is_not(None))
Index(
    "ix_file_pixel", file.c.pixel_id, file.c.allocated, file.c.size, sqlite_where=file.c.pixel_id.is_not(None)
)
Index("ix_file_view", file.c.view_id, file.c.allocated, file.c.size, sqlite_where=file.c.view_id.is_not(None))
Index("ix_file_inode", file.c.inode)
Index(
    "ix_file_odd",
    file.c.root_id,
    file.c.presence,
    file.c.outcome,
    sqlite_where=text("presence <> 1 OR outcome IN (0, 2, 3)"),
)

file_check = _table("file_check", _key("file_id"), _int("verified_ms"), _int("run_id", null=True))

event = _table(
    "event",
    _id("event_id"),
    _int("at_ms"),
    _int("kind"),
    _int("root_id", null=True),
    _int("file_id", null=True),
    _int("from_rev_id", null=True),
    _int("to_rev_id", null=True),
    _int("run_id", null=True),
    _text("actor"),
    _text("detail"),
)
Index("ix_event_file", event.c.file_id, sqlite_where=event.c.file_id.is_not(None))

seal = _table(
    "seal",
    _id("seal_id"),
    _int("first_event_id"),
    _int("last_event_id"),
    _int("at_ms"),
    _blob("chain"),
    UniqueConstraint("last_event_id"),
)

drift = _table(
    "drift",
    _id("drift_id"),
    _ref("file_id", "file.file_id"),
    _ref("root_id", "root.root_id"),
    _text("kind", null=False),
    _text("manner", null=False),
    _int("severity"),
    _int("opened_ms"),
    _int("updated_ms"),
    _int("closed_ms", null=True),
    _text("resolution"),
    _int("baseline_rev_id", null=True),
    _int("rev_id", null=True),
    _text("reasons", null=False),
    _text("detail"),
    _text("actor"),
    _text("note"),
)
Index("uq_drift_open", drift.c.file_id, unique=True, sqlite_where=drift.c.closed_ms.is_(None))
Index(
    "ix_drift_order",
    drift.c.severity,
    drift.c.updated_ms,
    drift.c.drift_id,
    sqlite_where=drift.c.closed_ms.is_(None),
)
Index("ix_drift_file", drift.c.file_id)

job = _table(
    "job",
    _id("job_id"),
    _ref("root_id", "root.root_id"),
    _blob("path"),
    _text("reason", null=False),
    _int("generation", default=1),
    _int("first_ms"),
    _int("attempts", default=0),
    _int("not_before_ms", default=0),
    _text("last_failure"),
    UniqueConstraint("root_id", "path"),
)
Index("ix_job_due", job.c.not_before_ms, job.c.job_id)

request = _table(
    "request",
    _id("request_id"),
    _text("kind", null=False),
    _text("arguments", null=False),
    _text("actor"),
    _int("requested_ms"),
    _int("taken_ms", null=True),
    _int("finished_ms", null=True),
    _text("progress"),
    _text("result"),
)
Index("ix_request_open", request.c.request_id, sqlite_where=request.c.finished_ms.is_(None))

daemon = _table(
    "daemon",
    _id("daemon_id"),
    _int("pid"),
    _text("host", null=False),
    _text("version", null=False),
    _int("started_ms"),
    _int("heartbeat_ms"),
    _text("status", null=False),
)
