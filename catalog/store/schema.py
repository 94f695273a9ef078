"""The tables (docs/catalogue.md). Private: users read the views, whose columns are only ever added to.

Everything that is a function of the bytes hangs on ``content``, not on the file; ``revision`` and ``event``
are append-only; ``file`` caches the current state and can be rebuilt. Enumerations are small integers
(``codes.py``), ``_ns`` is file system time, ``_ms`` the catalogue's clock in UTC, names and paths are BLOBs.
"""

from __future__ import annotations

from sqlalchemy import (
    REAL,
    Column,
    Index,
    Text,
    UniqueConstraint,
    text,
)

from catalog.store.columns import (
    blob,
    group_counters,
    id_column,
    integer,
    key,
    metadata,
    reference,
    table,
    words,
)

__all__ = ["metadata"]

setting = table("setting", Column("name", Text, primary_key=True), words("value", null=False), rowid=False)

root = table(
    "root",
    id_column("root_id"),
    words("name", null=False),
    blob("path"),
    words("path_text"),
    integer("state", default=1),
    words("state_reason"),
    integer("state_since_ms"),
    integer("added_ms"),
    words("marker"),
    words("fs_type"),
    words("fs_source"),
    integer("root_inode", null=True),
    words("identity"),
    integer("inode_trusted", default=1),
    integer("ctime_trusted", default=1),
    integer("mtime_granularity_ns", default=1),
    words("mode"),
    words("mode_reason"),
    integer("last_reconcile_ms", null=True),
    integer("n_held", default=0),
    integer("uncovered_dirs", default=0),
    words("mass_change"),
    integer("refounded_ms", null=True),
    integer("confirmed_ms", null=True),
)
Index("uq_root_name", root.c.name, unique=True, sqlite_where=root.c.state != 3)
Index("uq_root_path", root.c.path, unique=True, sqlite_where=root.c.state != 3)

root_count = table(
    "root_count",
    key("root_id"),
    key("presence"),
    key("outcome"),
    integer("n_files", default=0),
    integer("n_bytes", default=0),
    rowid=False,
)

dir_ = table(
    "dir",
    id_column("dir_id"),
    reference("root_id", "root.root_id"),
    blob("path"),
    words("path_text"),
    blob("fingerprint", null=True),
    UniqueConstraint("root_id", "path"),
)

content = table(
    "content",
    id_column("content_id"),
    blob("sha256"),
    blob("md5"),
    integer("size"),
    *group_counters(),
    UniqueConstraint("sha256"),
)
Index("ix_content_group", content.c.reclaimable, content.c.content_id, sqlite_where=content.c.n_files > 1)

raster = table(
    "raster",
    id_column("raster_id"),
    integer("level"),
    integer("class"),
    blob("digest"),
    *group_counters(),
    UniqueConstraint("digest", "level", "class"),
)
Index(
    "ix_raster_group",
    raster.c.level,
    raster.c.reclaimable,
    raster.c.raster_id,
    sqlite_where=raster.c.n_files > 1,
)

# A row for each time that an epoch began: after a step back to older decoders, theirs is the newest again.
epoch = table("epoch", id_column("epoch_id"), integer("spec"), blob("digest"))

toolchain = table(
    "toolchain",
    id_column("toolchain_id"),
    reference("epoch_id", "epoch.epoch_id"),
    words("components", null=False),
    integer("first_used_ms"),
    UniqueConstraint("epoch_id", "components"),
)

layout = table("layout", id_column("layout_id"), words("value", null=False), UniqueConstraint("value"))

analysis = table(
    "analysis",
    key("content_id", "content.content_id"),
    key("epoch_id", "epoch.epoch_id"),
    reference("toolchain_id", "toolchain.toolchain_id"),
    integer("fidelity"),
    words("reason"),
    reference("pixel_id", "raster.raster_id", null=True),
    reference("view_id", "raster.raster_id", null=True),
    blob("payload", null=True),
    words("payload_reason"),
    words("format"),
    integer("width", null=True),
    integer("height", null=True),
    integer("frames", null=True),
    words("model"),
    words("dtype"),
    integer("channels", null=True),
    integer("orientation", null=True),
    blob("icc_sha256", null=True),
    reference("layout_id", "layout.layout_id", null=True),
    blob("cv2_imread_md5", null=True),
    blob("pillow_tobytes_md5", null=True),
    blob("pillow_save_md5", null=True),
    words("loader_errors"),
    words("complaints"),
    blob("near", null=True),
    integer("analysed_ms"),
    rowid=False,
)

# What was given up at a limit (``Limits.lifted``): looked for at the begin of each pass.
Index("ix_analysis_stopped", analysis.c.content_id, sqlite_where=text("instr(reason, ': raise ') > 0"))

page = table(
    "page",
    key("content_id"),
    key("epoch_id"),
    key("page_no"),
    integer("role"),
    integer("width"),
    integer("height"),
    words("model", null=False),
    words("dtype", null=False),
    integer("channels"),
    blob("pixels", null=True),
    blob("view", null=True),
    rowid=False,
)

tagval = table(
    "tagval",
    id_column("tagval_id"),
    blob("digest"),
    integer("code"),
    words("name", null=False),
    integer("type"),
    integer("count"),
    words("value", null=False),
    Column("num", REAL, nullable=True),
    blob("raw"),
    blob("sha256", null=True),
    words("broken"),
    UniqueConstraint("digest"),
)
Index("ix_tagval_name", tagval.c.name, tagval.c.value)

tagset = table("tagset", id_column("tagset_id"), blob("digest"), UniqueConstraint("digest"))
tagset_member = table("tagset_member", key("tagset_id"), key("tagval_id"), rowid=False)
Index("ix_tagset_member_tagval", tagset_member.c.tagval_id, tagset_member.c.tagset_id)

ifd = table(
    "ifd",
    key("content_id"),
    key("ifd_no"),
    integer("kind"),
    integer("parent_no", null=True),
    reference("tagset_id", "tagset.tagset_id"),
    integer("width", null=True),
    integer("height", null=True),
    blob("layout", null=True),
    rowid=False,
)
Index("ix_ifd_tagset", ifd.c.tagset_id)

ifd_tag = table("ifd_tag", key("content_id"), key("ifd_no"), key("tagval_id"), rowid=False)
Index("ix_ifd_tag_tagval", ifd_tag.c.tagval_id)

run = table(
    "run",
    id_column("run_id"),
    words("kind", null=False),
    integer("root_id", null=True),
    integer("started_ms"),
    integer("heartbeat_ms", null=True),
    integer("finished_ms", null=True),
    words("status", null=False),
    words("counts"),
    words("host"),
    integer("pid", null=True),
    words("version"),
)

revision = table(
    "revision",
    id_column("rev_id"),
    integer("file_id"),
    integer("prev_rev_id", null=True),
    reference("content_id", "content.content_id"),
    reference("dir_id", "dir.dir_id"),
    blob("name"),
    words("name_text"),
    integer("size"),
    integer("mtime_ns"),
    integer("ctime_ns"),
    integer("inode"),
    integer("dev"),
    integer("nlink"),
    integer("allocated"),
    integer("observed_ms"),
    integer("run_id", null=True),
)
Index("ix_revision_file", revision.c.file_id)

file = table(
    "file",
    id_column("file_id"),
    reference("root_id", "root.root_id"),
    reference("dir_id", "dir.dir_id"),
    blob("name"),
    words("name_text"),
    integer("presence", default=1),
    integer("outcome", default=0),
    words("reason"),
    integer("size"),
    integer("mtime_ns"),
    integer("ctime_ns"),
    integer("inode"),
    integer("nlink"),
    integer("allocated"),
    reference("content_id", "content.content_id", null=True),
    reference("pixel_id", "raster.raster_id", null=True),
    reference("view_id", "raster.raster_id", null=True),
    reference("rev_id", "revision.rev_id", null=True),
    reference("baseline_rev_id", "revision.rev_id", null=True),
    integer("first_seen_ms"),
    integer("changed_ms"),
    integer("state_since_ms"),
    integer("retired_ms", null=True),
)
# A path belongs to one living file; the tombstones of files that were there before may share it.
Index("uq_file_path", file.c.dir_id, file.c.name, unique=True, sqlite_where=text("presence <> 3"))
Index("ix_file_tombstone", file.c.dir_id, file.c.name, sqlite_where=text("presence = 3"))
# Groups count living files only: what is gone must not slow down the search for the next best copy.
for _name, _order in (("content", ()), ("pixel", ("allocated", "size")), ("view", ("allocated", "size"))):
    _members = (file.c[column] for column in (f"{_name}_id", *_order))
    Index(f"ix_file_{_name}", *_members, sqlite_where=text(f"{_name}_id IS NOT NULL AND presence <> 3"))
# What was not decoded soundly is compared by its bytes; there is little of it.
Index(
    "ix_file_uncompared",
    file.c.content_id,
    sqlite_where=text("content_id IS NOT NULL AND view_id IS NULL AND presence <> 3"),
)
# A file that is found elsewhere after it was missed.
Index(
    "ix_file_gone",
    file.c.content_id,
    sqlite_where=text("content_id IS NOT NULL AND presence = 3 AND retired_ms IS NULL"),
)
Index("ix_file_inode", file.c.inode)
Index(
    "ix_file_odd",
    file.c.root_id,
    file.c.presence,
    file.c.outcome,
    sqlite_where=text("presence <> 1 OR outcome IN (0, 2, 3)"),
)

# When the bytes were read last and found to be the record's; by an audit, that is past the page cache, last.
file_check = table(
    "file_check",
    key("file_id"),
    integer("verified_ms"),
    integer("run_id", null=True),
    integer("audited_ms", null=True),
)

# What was found when a file was read again; of those that passed, record/checks.py keeps some.
evidence = table(
    "evidence",
    key("file_id"),
    key("check_no"),
    integer("at_ms"),
    integer("how"),
    integer("result"),
    integer("rev_id", null=True),
    blob("sha256", null=True),
    integer("run_id", null=True),
    words("detail"),
    rowid=False,
)

event = table(
    "event",
    id_column("event_id"),
    integer("at_ms"),
    integer("kind"),
    integer("root_id", null=True),
    integer("file_id", null=True),
    integer("from_rev_id", null=True),
    integer("to_rev_id", null=True),
    integer("run_id", null=True),
    words("actor"),
    words("detail"),
)
Index("ix_event_file", event.c.file_id, sqlite_where=event.c.file_id.is_not(None))

seal = table(
    "seal",
    id_column("seal_id"),
    integer("first_event_id"),
    integer("last_event_id"),
    integer("at_ms"),
    blob("chain"),
    UniqueConstraint("last_event_id"),
)

drift = table(
    "drift",
    id_column("drift_id"),
    reference("file_id", "file.file_id"),
    reference("root_id", "root.root_id"),
    words("kind", null=False),
    words("manner", null=False),
    integer("severity"),
    integer("opened_ms"),
    integer("updated_ms"),
    integer("closed_ms", null=True),
    words("resolution"),
    integer("baseline_rev_id", null=True),
    integer("rev_id", null=True),
    words("reasons", null=False),
    words("detail"),
    words("actor"),
    words("note"),
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

# AUTOINCREMENT: a number that is handed out again would let a late acknowledgement hit another path's row.
job = table(
    "job",
    id_column("job_id"),
    reference("root_id", "root.root_id"),
    blob("path"),
    words("reason", null=False),
    integer("generation", default=1),
    integer("first_ms"),
    integer("attempts", default=0),
    integer("not_before_ms", default=0),
    words("last_failure"),
    UniqueConstraint("root_id", "path"),
    autoincrement=True,
)
Index("ix_job_due", job.c.root_id, job.c.not_before_ms, job.c.job_id)

request = table(
    "request",
    id_column("request_id"),
    words("kind", null=False),
    words("arguments", null=False),
    words("actor"),
    integer("requested_ms"),
    integer("taken_ms", null=True),
    integer("finished_ms", null=True),
    words("progress"),
    words("result"),
)
Index("ix_request_open", request.c.request_id, sqlite_where=request.c.finished_ms.is_(None))

daemon = table(
    "daemon",
    id_column("daemon_id"),
    integer("pid"),
    words("host", null=False),
    words("version", null=False),
    integer("started_ms"),
    integer("heartbeat_ms"),
    words("status", null=False),
)
