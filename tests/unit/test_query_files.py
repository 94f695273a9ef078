"""Listings of files: states, formats, what is missing, what is broken."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator

import pytest
from sqlalchemy import Connection

from catalog.query.files import STATES, FileFacts, files
from catalog.query.resolving import resolve
from catalog.query.roots import roots
from catalog.query.troubles import errors, missing_rows
from catalog.terms import Fidelity, Outcome, Presence, RootState
from tests.unit.catalogue_rows import NOON_MS, CatalogueRows, Picture, sha256


def named(found: Iterator[FileFacts]) -> list[tuple[bytes, str]]:
    return [(each.name, each.state) for each in found]


def of_every_state(rows: CatalogueRows) -> None:
    online = rows.root("on", b"/on")
    offline = rows.root("off", b"/off", state=RootState.HUNG)
    broken = Picture(bytes="6", pixels=None, fidelity=Fidelity.UNDECODABLE, reason="short", format=None)
    rows.file(online, b"1-present", Picture(bytes="1"))
    rows.file(online, b"2-pending", None)
    rows.file(online, b"3-suspect", Picture(bytes="3"), presence=Presence.SUSPECT)
    rows.file(online, b"4-missing", Picture(bytes="4"), presence=Presence.MISSING, reason="gone")
    rows.file(online, b"5-unreadable", Picture(bytes="5"), outcome=Outcome.UNREADABLE, reason="EIO")
    rows.file(online, b"6-undecodable", broken)
    rows.file(online, b"7-other", Picture(bytes="7", analysed=False), outcome=Outcome.OTHER)
    rows.file(online, b"8-retired", Picture(bytes="8"), presence=Presence.MISSING, retired_ms=NOON_MS)
    rows.file(offline, b"1-offline", Picture(bytes="1"))
    rows.file(offline, b"2-lost", Picture(bytes="9"), presence=Presence.MISSING)


def test_each_state_has_its_word_as_in_the_public_view(rows: CatalogueRows, connection: Connection) -> None:
    of_every_state(rows)
    found = {each.path: each.state for each in files(connection, resolve(connection))}
    view = rows.run_sql("SELECT path, state FROM v_file")
    assert found == {path.encode(): state for path, state in view}
    assert set(found.values()) == set(STATES)
    assert b"/on/8-retired" not in found


@pytest.mark.parametrize("state", STATES)
def test_a_state_selects_what_has_it(rows: CatalogueRows, connection: Connection, state: str) -> None:
    of_every_state(rows)
    every = named(files(connection, resolve(connection)))
    wanted = [each for each in every if each[1] == state]
    assert wanted
    assert named(files(connection, resolve(connection), states=[state])) == wanted
    assert named(files(connection, resolve(connection, globs=["*"]), states=[state])) == wanted
    others = [other for other in STATES if other != state]
    rest = named(files(connection, resolve(connection), states=others))
    assert rest == [each for each in every if each[1] != state]


def test_tombstones_stand_in_their_place(rows: CatalogueRows, connection: Connection) -> None:
    root = rows.root("r", b"/r")
    for name, presence in ((b"a", 1), (b"b", 3), (b"c", 1), (b"d", 3)):
        rows.file(root, name, Picture(bytes=name.hex()), presence=list(Presence)[presence - 1])
    rows.file(root, b"b", Picture(bytes="again"))
    found = [(each.name, each.state) for each in files(connection, resolve(connection))]
    assert found == [
        (b"a", "present"),
        (b"b", "missing"),
        (b"b", "present"),
        (b"c", "present"),
        (b"d", "missing"),
    ]
    assert named(files(connection, resolve(connection), limit=3)) == found[:3]


def test_a_limit_spans_shares_and_folders(rows: CatalogueRows, connection: Connection) -> None:
    for name in ("b", "a"):
        root = rows.root(name, f"/{name}".encode())
        for path in (b"1", b"x/2", b"x/3"):
            rows.file(root, path, Picture(bytes=f"{name}{path!r}"))
    every = [each.path for each in files(connection, resolve(connection))]
    assert every == [b"/a/1", b"/a/x/2", b"/a/x/3", b"/b/1", b"/b/x/2", b"/b/x/3"]
    for limit in range(1, 7):
        found = files(connection, resolve(connection), limit=limit)
        assert [each.path for each in found] == every[:limit]


def test_more_files_than_one_chunk_come_once_each(
    rows: CatalogueRows, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("catalog.query.files.CHUNK", 3)
    root = rows.root("r", b"/r")
    for number in range(10):
        rows.file(root, b"%02d" % number, Picture(bytes="same"))
    assert [each.name for each in files(connection, resolve(connection))] == [b"%02d" % n for n in range(10)]


def test_formats_in_any_case(rows: CatalogueRows, connection: Connection) -> None:
    root = rows.root("r", b"/r")
    rows.file(root, b"a", Picture(bytes="1", format="TIFF"))
    rows.file(root, b"b", Picture(bytes="2", format="PNG"))
    rows.file(root, b"c", Picture(bytes="3", format="JPEG"))
    rows.epoch(b"\x02" * 32)
    rows.content(Picture(bytes="1", format="TIFF"))
    found = files(connection, resolve(connection), formats=["tiff", "Png"])
    assert [each.name for each in found] == [b"a", b"b"]


def test_the_fields_are_those_of_the_contract(rows: CatalogueRows, connection: Connection) -> None:
    root = rows.root("r", b"/r\xfe")
    picture = Picture(bytes="1", fidelity=Fidelity.LOSSY, reason="12 bits were asked for, 8 came")
    rows.file(root, b"a\n\xff.tif", picture, mtime_ns=1_700_000_000_000_000_001)
    (found,) = files(connection, resolve(connection))
    fields = found.fields()
    assert fields == {
        "root": "r",
        "path": "/r\\xfe/a\n\\xff.tif",
        "path_b64": base64.b64encode(b"/r\xfe/a\n\xff.tif").decode(),
        "state": "present",
        "size": 1000,
        "mtime": "2023-11-14T22:13:20.000000001Z",
        "raw_sha256": sha256("1").hex(),
        "raw_md5": sha256("1")[:16].hex(),
        "payload": f"pay1:{sha256('payload 1').hex()}",
        "pixels": f"pix1-lossy:{sha256('1 1').hex()}",
        "view": f"view1-lossy:{sha256('2 1').hex()}",
        "fidelity": "lossy",
        "format": "TIFF",
        "width": 120,
        "height": 64,
        "first_seen": "2025-10-09T08:53:20.000Z",
        "last_changed": "2025-10-09T08:53:20.000Z",
        "verified": "2025-10-09T08:53:20.000Z",
    }
    json.dumps(fields)


def test_nothing_is_claimed_of_a_file_that_was_never_read(
    rows: CatalogueRows, connection: Connection
) -> None:
    rows.file(rows.root("r", b"/r"), b"a", None)
    (found,) = files(connection, resolve(connection))
    known = {name for name, value in found.fields().items() if value is not None}
    assert known == {"root", "path", "state", "first_seen", "last_changed"}


def test_the_last_check_is_the_newest_evidence(rows: CatalogueRows, connection: Connection) -> None:
    file_id = rows.file(rows.root("r", b"/r"), b"a", Picture(bytes="1"))
    rows.run_sql("INSERT INTO file_check VALUES (?, ?, NULL, NULL)", file_id, NOON_MS + 1000)
    (found,) = files(connection, resolve(connection))
    assert found.verified_ms == NOON_MS + 1000


def test_the_newest_epoch_speaks(rows: CatalogueRows, connection: Connection) -> None:
    rows.file(rows.root("r", b"/r"), b"a", Picture(bytes="1", pixels="old"))
    rows.epoch(b"\x02" * 32)
    rows.content(Picture(bytes="1", pixels="new"))
    (found,) = files(connection, resolve(connection))
    assert found.pixels == sha256("1 new")


# ------------------------------------------------------------------------------------- errors and missing


def test_errors_are_what_failed_and_never_what_only_waits(
    rows: CatalogueRows, connection: Connection
) -> None:
    of_every_state(rows)
    root = rows.run_sql("SELECT root_id FROM root WHERE name = 'on'")[0][0]
    rows.job(root, b"2-pending")
    rows.job(root, b"new/9-failed\xff", attempts=3, failure="still being written")
    rows.file(root, b"0-busy", None, reason="still being written: size moved")
    rows.job(root, b"5-unreadable", attempts=1, failure="EIO again")
    found = [(each.path, each.state, each.reason) for each in errors(connection, resolve(connection))]
    assert found == [
        (b"/on/0-busy", "pending", "still being written: size moved"),
        (b"/on/5-unreadable", "unreadable", "EIO"),
        (b"/on/6-undecodable", "undecodable", "short"),
        (b"/on/new/9-failed\xff", "pending", "still being written"),
    ]
    assert [each.path for each in errors(connection, resolve(connection), limit=2)] == [
        path for path, _, _ in found[:2]
    ]
    narrow = errors(connection, resolve(connection, globs=["new/*"]))
    assert [each.fields() for each in narrow] == [
        {
            "root": "on",
            "path": "/on/new/9-failed\\xff",
            "path_b64": base64.b64encode(b"/on/new/9-failed\xff").decode(),
            "state": "pending",
            "reason": "still being written",
            "since": "2025-10-09T08:53:20.000Z",
        }
    ]


def test_missing_files_tell_how_many_copies_are_left(rows: CatalogueRows, connection: Connection) -> None:
    of_every_state(rows)
    root = rows.run_sql("SELECT root_id FROM root WHERE name = 'on'")[0][0]
    rows.file(root, b"copy", Picture(bytes="4"))
    found = list(missing_rows(connection, resolve(connection)))
    assert [(each["path"], each["copies"], each["good_copy"]) for each in found] == [
        ("/off/2-lost", 0, None),
        ("/on/4-missing", 1, "/on/copy"),
    ]
    assert found[1]["reason"] == "gone"
    assert found[1]["pixels"] == f"pix1:{sha256('1 4').hex()}"


def test_a_copy_that_cannot_be_fetched_counts_and_is_not_named_good(
    rows: CatalogueRows, connection: Connection
) -> None:
    here, away = rows.root("here", b"/here"), rows.root("away", b"/away", state=RootState.OFFLINE)
    rows.file(here, b"a.tif", Picture(bytes="1"), presence=Presence.MISSING)
    rows.file(away, b"a.tif", Picture(bytes="1"))
    rows.file(here, b"b.tif", Picture(bytes="2", pixels="p"), presence=Presence.MISSING)
    rows.file(here, b"b.png", Picture(bytes="3", pixels="p"))
    found = missing_rows(connection, resolve(connection))
    assert [(each["copies"], each["good_copy"], each["good_copy_relation"]) for each in found] == [
        (1, None, None),
        (0, "/here/b.png", "same pixels"),
    ]


def test_roots_are_listed_with_their_counts(rows: CatalogueRows) -> None:
    of_every_state(rows)
    rows.root("removed", b"/removed", state=RootState.RETIRED)
    off, on = roots(rows.database)
    assert (off["name"], off["state"], on["name"], on["state"]) == ("off", "hung", "on", "online")
    assert on["files"] == {
        "present": 2,
        "missing": 1,
        "unreadable": 1,
        "undecodable": 1,
        "pending": 1,
        "other": 1,
        "total": 6,
    }


def test_what_is_damaged_or_too_large_is_an_error_with_its_reason(
    rows: CatalogueRows, connection: Connection
) -> None:
    root = rows.root("r", b"/r")
    large = "image 2 of 3: too large: raise decode_limit_pixels to 400000000"
    for name, fidelity, reason in (
        (b"damaged.tif", Fidelity.DAMAGED, "strip 2 is short"),
        (b"large.tif", Fidelity.UNVERIFIED, large),
        (b"odd.tif", Fidelity.UNVERIFIED, "readers disagree"),
        (b"cut.png", Fidelity.LOSSY, "16 bits cut to 8"),
        (b"good.tif", Fidelity.EXACT, None),
    ):
        rows.file(root, name, Picture(bytes=str(name), fidelity=fidelity, reason=reason))
    gone = Picture(bytes="gone", fidelity=Fidelity.UNVERIFIED, reason=large)
    rows.file(root, b"gone.tif", gone, presence=Presence.MISSING)
    expected = [(b"damaged.tif", "damaged", "strip 2 is short"), (b"large.tif", "unverified", large)]
    found = list(errors(connection, resolve(connection)))
    assert [(each.name, each.state, each.reason) for each in found] == expected
    narrow = list(errors(connection, resolve(connection, globs=["l*"])))
    assert [each.name for each in narrow] == [b"large.tif"]
