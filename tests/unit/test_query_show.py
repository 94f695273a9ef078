"""Everything about one file."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
from sqlalchemy import Connection

from catalog.errors import NotFound, UsageError
from catalog.query.history import show
from catalog.query.showing import show_fields, time_line
from catalog.query.standing import standing_of_file
from catalog.terms import EventKind, Fidelity, Kind, Outcome, Presence, Severity, Tag
from tests.unit.catalogue_rows import NOON_MS, CatalogueRows, Picture, sha256

TAGS = (
    Tag(256, "ImageWidth", 3, 1, struct.pack("<H", 120)),
    Tag(282, "XResolution", 5, 1, struct.pack("<II", 72, 1)),
)


def test_everything_is_shown_as_json(rows: CatalogueRows, connection: Connection) -> None:
    root = rows.root("r", b"/r")
    file_id = rows.file(root, b"a.tif", Picture(bytes="1", tags=TAGS))
    rows.file(root, b"copy.tif", Picture(bytes="1", tags=TAGS))
    rows.file(root, b"other.png", Picture(bytes="2", pixels="1", format="PNG"))
    rows.file(root, b"gone.tif", Picture(bytes="1"), presence=Presence.MISSING)
    rows.event(EventKind.ADDED, root_id=root, file_id=file_id, to_rev_id=1)
    fields = show_fields(show(connection, b"/r/a.tif"))
    json.dumps(fields)
    assert (fields["moved"], fields["earlier"]) == (False, [])
    assert fields["file"]["raw_sha256"] == sha256("1").hex()
    assert fields["analysis"] == {
        "fidelity": "exact",
        "reason": None,
        "payload_reason": None,
        "complaints": [],
    }
    assert fields["image"]["format"] == "TIFF"
    assert fields["layout"]["compression"] == "none"
    assert fields["loaders"]["cv2_imread_md5"] == (b"c" * 16).hex()
    assert [page["pixels"] for page in fields["pages"]] == [f"pix1:{sha256('1 1').hex()}"]
    assert [(tag["name"], tag["value"]) for tag in fields["ifds"][0]["tags"]] == [
        ("ImageWidth", [120]),
        ("XResolution", [[72, 1]]),
    ]
    assert fields["decoder"] == {
        "epoch": "01" * 32,
        "components": {"Pillow": "13.0"},
        "analysed": "2025-10-09T08:53:20.000Z",
    }
    assert fields["copies"] == [
        {"path": "/r/copy.tif", "relation": "same bytes"},
        {"path": "/r/other.png", "relation": "same pixels"},
    ]
    assert [(each["revision"], each["baseline"], each["current"]) for each in fields["revisions"]] == [
        (1, True, True)
    ]
    assert [each["kind"] for each in fields["events"]] == ["added"]


def test_the_time_line_tells_events_revisions_and_verdicts_in_order(
    rows: CatalogueRows, connection: Connection
) -> None:
    root = rows.root("r", b"/r")
    file_id = rows.file(root, b"a.tif", Picture(bytes="1"))
    rows.event(EventKind.ADDED, root_id=root, file_id=file_id, to_rev_id=1)
    rev_id = rows.change(file_id, Picture(bytes="2", size=900), at_ms=NOON_MS + 60_000)
    detail = {"kind": "picture", "manner": "ordinary", "reason": "the picture changed"}
    rows.event(
        EventKind.CHANGED,
        root_id=root,
        file_id=file_id,
        from_rev_id=1,
        to_rev_id=rev_id,
        at_ms=NOON_MS + 60_000,
        detail=detail,
    )
    rows.change(file_id, Picture(bytes="3"), at_ms=NOON_MS + 120_000)
    rows.event(
        EventKind.ACCEPTED, root_id=root, file_id=file_id, to_rev_id=3, at_ms=NOON_MS + 180_000, actor="ana"
    )
    rows.event(
        EventKind.ACCEPTED,
        root_id=root,
        file_id=file_id,
        to_rev_id=1,
        at_ms=NOON_MS + 240_000,
        actor="ana",
        detail={"undo": 3, "kind": "picture", "manner": "ordinary", "reason": "too early"},
    )
    rows.drift(file_id, Kind.PICTURE, severity=Severity.WARNING)
    shown = show(connection, b"/r/a.tif")
    short = {key: sha256(key).hex()[:12] for key in "123"}
    assert time_line(shown.histories[0]) == [
        ("2025-10-09T08:53:20.000Z", f"added: 1,000 bytes, sha256 {short['1']}…"),
        (
            "2025-10-09T08:54:20.000Z",
            f"changed: picture ordinary; the picture changed; 900 bytes, sha256 {short['2']}…",
        ),
        ("2025-10-09T08:56:20.000Z", f"accepted: 1,000 bytes, sha256 {short['3']}…; by ana"),
        ("2025-10-09T08:57:20.000Z", "acceptance 3 undone: picture ordinary; too early; by ana"),
    ]
    fields = show_fields(shown)
    assert [case["open"] for case in fields["drift"]] == [True]
    assert [(each["baseline"], each["current"]) for each in fields["revisions"]] == [
        (True, False),
        (False, False),
        (False, True),
    ]


def test_a_revision_without_an_event_has_a_line_of_its_own(
    rows: CatalogueRows, connection: Connection
) -> None:
    rows.file(rows.root("r", b"/r"), b"a.tif", Picture(bytes="1"))
    ((moment, words),) = time_line(show(connection, b"/r/a.tif").histories[0])
    assert (moment, words[:23]) == ("2025-10-09T08:53:20.000Z", "revision 1: 1,000 bytes")


def test_the_time_line_says_what_a_touch_and_another_look_came_to(
    rows: CatalogueRows, connection: Connection
) -> None:
    root = rows.root("r", b"/r")
    file_id = rows.file(root, b"a.tif", Picture(bytes="1"))
    rows.event(EventKind.ADDED, root_id=root, file_id=file_id, to_rev_id=1)
    for kind, detail in (
        (EventKind.TOUCHED, {"moved": ["mtime", "inode"]}),
        (EventKind.DECODER, {"outcome": "ok", "pixels": "same"}),
        (EventKind.DECODER, {"outcome": "undecodable"}),
    ):
        rows.event(kind, root_id=root, file_id=file_id, to_rev_id=1, at_ms=NOON_MS + 60_000, detail=detail)
    words = [words for _, words in time_line(show(connection, b"/r/a.tif").histories[0])]
    assert words[1:] == [
        "touched: mtime, inode changed, the bytes did not",
        "decoder: looked at anew; pixels same",
        "decoder: now undecodable",
    ]


def test_a_missing_file_and_what_was_there_before_it(rows: CatalogueRows, connection: Connection) -> None:
    root = rows.root("r", b"/r")
    rows.file(root, b"a.tif", Picture(bytes="1"), presence=Presence.MISSING, reason="gone")
    assert [each.facts.state for each in show(connection, b"/r/a.tif").histories] == ["missing"]
    connection.rollback()
    rows.file(root, b"a.tif", Picture(bytes="2"))
    fields = show_fields(show(connection, b"/r/a.tif"))
    assert (fields["file"]["state"], fields["earlier"][0]["file"]["reason"]) == ("present", "gone")


def test_a_file_that_was_moved_away_is_found_by_its_old_path(
    rows: CatalogueRows, connection: Connection
) -> None:
    root = rows.root("r", b"/r")
    file_id = rows.file(root, b"old/a\xff.tif", Picture(bytes="1"))
    rows.run_sql(
        "UPDATE file SET dir_id = ?, name = ? WHERE file_id = ?", rows.folder(root, b"new"), b"b.tif", file_id
    )
    shown = show(connection, b"/r/old/a\xff.tif")
    assert (shown.moved, shown.histories[0].facts.path) == (True, b"/r/new/b.tif")
    assert [each.path for each in shown.histories[0].revisions] == [b"/r/old/a\xff.tif"]


def test_what_was_never_read_is_shown_without_claims(rows: CatalogueRows, connection: Connection) -> None:
    root = rows.root("r", b"/r")
    rows.file(root, b"a.tif", None, outcome=Outcome.UNREADABLE, reason="EACCES")
    broken = Picture(bytes="1", pixels=None, fidelity=Fidelity.UNDECODABLE, reason="short", format=None)
    rows.file(root, b"b.tif", broken)
    fields = show_fields(show(connection, b"/r/a.tif"))
    assert (fields["analysis"], fields["image"], fields["pages"], fields["ifds"]) == (None, None, [], [])
    assert (fields["revisions"], fields["decoder"], fields["file"]["reason"]) == ([], None, "EACCES")
    fields = show_fields(show(connection, b"/r/b.tif"))
    assert (fields["analysis"]["fidelity"], fields["analysis"]["reason"]) == ("undecodable", "short")
    assert fields["pages"] == []


def test_a_folder_and_an_unknown_path_are_refused(
    rows: CatalogueRows, connection: Connection, tmp_path: Path
) -> None:
    rows.file(rows.root("r", b"/r"), b"x/a.tif", Picture(bytes="1"))
    for folder in (b"/r", b"/r/x"):
        with pytest.raises(UsageError, match="a folder"):
            show(connection, folder)
    with pytest.raises(NotFound, match="no such file"):
        show(connection, b"/r/never.tif")
    with pytest.raises(NotFound, match="not in any share"):
        show(connection, b"/elsewhere/a.tif")


def test_the_answer_about_one_file_lacks_only_what_concerns_it(
    rows: CatalogueRows, connection: Connection
) -> None:
    root = rows.root("r", b"/r")
    rows.file(root, b"a.tif", Picture(bytes="1"))
    rows.file(root, b"b.tif", Picture(bytes="2"), outcome=Outcome.UNREADABLE)
    facts = {name: show(connection, b"/r/" + name).histories[0].facts for name in (b"a.tif", b"b.tif")}
    assert standing_of_file(connection, facts[b"a.tif"], rows.database).complete
    (lacking,) = standing_of_file(connection, facts[b"b.tif"], rows.database).incomplete
    assert (lacking.reason, lacking.files) == ("unreadable", 1)
