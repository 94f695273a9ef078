"""The public read views: hex digests, ISO times, words instead of numbers, printable paths.

This is what ``sqlite3`` and Datasette users may rely on: columns are only ever added.
"""

from __future__ import annotations

from typing import Final

from catalog.store.codes import CHECK_RESULT, EVENT_KIND, FIDELITY, IFD_KIND, OUTCOME, READ_HOW, ROOT_STATE


def _time(column: str) -> str:
    return f"strftime('%Y-%m-%dT%H:%M:%S', {column} / 1000, 'unixepoch') || printf('.%03dZ', {column} % 1000)"


def _hex(column: str) -> str:
    return f"nullif(lower(hex({column})), '')"


# Names that are not UTF-8 carry a printable form in *_text; CAST of the BLOB would break the client.
_NAME: Final = "coalesce(f.name_text, CAST(f.name AS TEXT))"
_DIR: Final = "coalesce(d.path_text, CAST(d.path AS TEXT))"
_PATH: Final = f"CASE WHEN length(d.path) = 0 THEN {_NAME} ELSE {_DIR} || '/' || {_NAME} END"
_ROOT_PATH: Final = "coalesce(r.path_text, CAST(r.path AS TEXT))"

_STATE: Final = (
    "CASE WHEN f.presence = 3 THEN 'missing' WHEN r.state <> 1 THEN 'offline'"
    " WHEN f.presence = 2 THEN 'suspect'"
    f" ELSE CASE f.outcome WHEN 1 THEN 'present' ELSE {OUTCOME.sql_case('f.outcome')} END END"
)


def _digest(prefix: str, fidelity: str, column: str) -> str:
    unsound = f"CASE WHEN {fidelity} > 2 THEN '-' || {FIDELITY.sql_case(fidelity)} ELSE '' END"
    return f"'{prefix}1' || {unsound} || ':' || {_hex(column)}"


# The newest analysis speaks: one epoch is the rule, two stand side by side only while files are re-based.
_ANALYSIS: Final = (
    "LEFT JOIN analysis AS a ON a.content_id = f.content_id AND a.epoch_id ="
    " (SELECT max(n.epoch_id) FROM analysis AS n WHERE n.content_id = f.content_id)"
)

_V_ROOT: Final = f"""SELECT r.root_id, r.name, {_ROOT_PATH} AS path, {ROOT_STATE.sql_case("r.state")} AS state,
  r.state_reason, {_time("r.state_since_ms")} AS state_since, r.fs_type, r.fs_source, r.mode, r.mode_reason,
  {_time("r.last_reconcile_ms")} AS last_reconcile FROM root AS r"""

_V_FILE: Final = f"""SELECT f.file_id, r.name AS root, {_ROOT_PATH} || '/' || {_PATH} AS path,
  {_PATH} AS relative_path, {_STATE} AS state, f.reason, f.size,
  strftime('%Y-%m-%dT%H:%M:%SZ', f.mtime_ns / 1000000000, 'unixepoch') AS mtime,
  {_hex("c.sha256")} AS raw_sha256, {_hex("c.md5")} AS raw_md5,
  CASE WHEN a.payload IS NOT NULL THEN 'pay1:' || {_hex("a.payload")} END AS payload,
  {_digest("pix", "a.fidelity", "p.digest")} AS pixels, {_digest("view", "a.fidelity", "v.digest")} AS view,
  {FIDELITY.sql_case("a.fidelity")} AS fidelity, a.reason AS fidelity_reason, a.format, a.width,
  a.height, a.frames, a.model, a.dtype, a.channels, a.orientation, {_hex("a.icc_sha256")} AS icc_sha256,
  {_time("f.first_seen_ms")} AS first_seen, {_time("f.changed_ms")} AS last_changed,
  {_time("coalesce(k.verified_ms, n.observed_ms)")} AS verified
FROM file AS f JOIN dir AS d ON d.dir_id = f.dir_id JOIN root AS r ON r.root_id = f.root_id
LEFT JOIN content AS c ON c.content_id = f.content_id {_ANALYSIS}
LEFT JOIN raster AS p ON p.raster_id = a.pixel_id LEFT JOIN raster AS v ON v.raster_id = a.view_id
LEFT JOIN revision AS n ON n.rev_id = f.rev_id LEFT JOIN file_check AS k ON k.file_id = f.file_id
WHERE f.retired_ms IS NULL"""

_V_REVISION: Final = f"""SELECT f.rev_id, f.file_id, f.prev_rev_id, r.name AS root,
  {_ROOT_PATH} || '/' || CASE WHEN length(d.path) = 0 THEN {_NAME} ELSE {_DIR} || '/' || {_NAME} END AS path,
  f.size, strftime('%Y-%m-%dT%H:%M:%SZ', f.mtime_ns / 1000000000, 'unixepoch') AS mtime,
  {_hex("c.sha256")} AS raw_sha256, {_hex("c.md5")} AS raw_md5, {_time("f.observed_ms")} AS observed
FROM revision AS f JOIN dir AS d ON d.dir_id = f.dir_id
JOIN root AS r ON r.root_id = d.root_id JOIN content AS c ON c.content_id = f.content_id"""

_V_EVENT: Final = f"""SELECT e.event_id, {_time("e.at_ms")} AS at, {EVENT_KIND.sql_case("e.kind")} AS kind,
  r.name AS root, {_ROOT_PATH} || '/' || {_PATH} AS path, e.file_id, e.from_rev_id, e.to_rev_id, e.actor, e.detail
FROM event AS e LEFT JOIN file AS f ON f.file_id = e.file_id LEFT JOIN dir AS d ON d.dir_id = f.dir_id
LEFT JOIN root AS r ON r.root_id = coalesce(e.root_id, f.root_id)"""

_V_CHECK: Final = f"""SELECT x.file_id, x.check_no, r.name AS root, {_ROOT_PATH} || '/' || {_PATH} AS path,
  {_time("x.at_ms")} AS at, {READ_HOW.sql_case("x.how")} AS how, {CHECK_RESULT.sql_case("x.result")} AS result,
  x.rev_id, {_hex("x.sha256")} AS raw_sha256, x.run_id, x.detail
FROM evidence AS x JOIN file AS f ON f.file_id = x.file_id JOIN dir AS d ON d.dir_id = f.dir_id
JOIN root AS r ON r.root_id = f.root_id"""

_V_DRIFT: Final = f"""SELECT x.drift_id, r.name AS root, {_ROOT_PATH} || '/' || {_PATH} AS path, x.kind, x.manner,
  CASE x.severity WHEN 1 THEN 'info' WHEN 2 THEN 'notice' WHEN 3 THEN 'warning' ELSE 'critical' END AS severity,
  {_time("x.opened_ms")} AS opened, {_time("x.updated_ms")} AS at, {_time("x.closed_ms")} AS closed,
  x.resolution, x.reasons, x.baseline_rev_id, x.rev_id, x.file_id, x.actor, x.note
FROM drift AS x JOIN file AS f ON f.file_id = x.file_id JOIN dir AS d ON d.dir_id = f.dir_id
JOIN root AS r ON r.root_id = f.root_id"""


def _dupes(table: str, key: str, column: str, level: int | None) -> str:
    digest = _hex("g.sha256") if table == "content" else _hex("g.digest")
    where = "" if level is None else f" AND g.level = {level}"
    return f"""SELECT g.{key} AS group_id, {digest} AS digest, g.n_files, g.reclaimable AS reclaimable_bytes,
  {_ROOT_PATH} || '/' || {_PATH} AS path, f.file_id, f.size, f.allocated
FROM {table} AS g JOIN file AS f ON f.{column} = g.{key} AND f.presence <> 3
JOIN dir AS d ON d.dir_id = f.dir_id JOIN root AS r ON r.root_id = f.root_id WHERE g.n_files > 1{where}"""


_V_TAG: Final = f"""SELECT x.content_id, x.ifd_no, {IFD_KIND.sql_case("i.kind")} AS ifd,
  t.code, t.name, t.type, t.count,
  t.value, t.num FROM (
  SELECT i.content_id, i.ifd_no, m.tagval_id FROM ifd AS i JOIN tagset_member AS m ON m.tagset_id = i.tagset_id
  UNION ALL SELECT content_id, ifd_no, tagval_id FROM ifd_tag) AS x
JOIN ifd AS i ON i.content_id = x.content_id AND i.ifd_no = x.ifd_no
JOIN tagval AS t ON t.tagval_id = x.tagval_id"""


def views() -> dict[str, str]:
    """Name → ``CREATE VIEW`` statement."""
    every = {
        "v_root": _V_ROOT,
        "v_file": _V_FILE,
        "v_revision": _V_REVISION,
        "v_event": _V_EVENT,
        "v_check": _V_CHECK,
        "v_drift": _V_DRIFT,
        "v_drift_open": f"{_V_DRIFT} WHERE x.closed_ms IS NULL",
        "v_dupe_bytes": _dupes("content", "content_id", "content_id", None),
        "v_dupe_pixels": _dupes("raster", "raster_id", "pixel_id", 1),
        "v_dupe_view": _dupes("raster", "raster_id", "view_id", 2),
        "v_tag": _V_TAG,
    }
    return {name: f"CREATE VIEW {name} AS {body}" for name, body in every.items()}
