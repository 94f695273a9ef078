"""``show`` and ``status`` as users ask them, and questions about a share that was really scanned."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from catalog.store import schema
from catalog.terms import EventKind, Kind, Presence, RootState, Severity, Tag
from tests.unit.catalogue_rows import NOON_MS, CatalogueRows, Picture, sha256

HOSTILE = b"new\nline \xff\x1b[31m.tif"


@pytest.fixture
def rows(catalog_cli: Any) -> Iterator[CatalogueRows]:
    with CatalogueRows(str(catalog_cli.database)) as made:
        yield made


# --------------------------------------------------------------------------------------------------- show


def test_show_tells_everything_to_people(catalog_cli: Any, rows: CatalogueRows, tmp_path: Path) -> None:
    root = rows.root("share", os.fsencode(tmp_path))
    tags = (Tag(259, "Compression", 3, 1, b"\5\0"), Tag(305, "Software", 2, 4, b"a\x1bb\0"))
    file_id = rows.file(root, HOSTILE, Picture(bytes="1", tags=tags))
    rows.file(root, b"copy.tif", Picture(bytes="1"))
    rows.event(EventKind.ADDED, root_id=root, file_id=file_id, to_rev_id=1)
    rows.drift(file_id, Kind.PICTURE, reasons=["the picture changed"])
    ran = catalog_cli("show", HOSTILE, cwd=tmp_path)
    assert (ran.code, ran.stderr) == (0, "")
    assert b"\x1b" not in ran.stdout
    lines = ran.out.splitlines()
    assert lines[0] == "new\\nline \\xff\\x1b[31m.tif"
    for line in (
        "  state          present",
        f"  pixels         pix1:{sha256('1 1').hex()}",
        "  image          TIFF, 120x64 rgb u8",
        "      259 Compression                  5",
        "      305 Software                     a\\x1bb",
        "  same bytes   copy.tif",
        "  warning picture (ordinary), case 1",
        "    the picture changed",
        f"  2025-10-09 08:53:20 UTC  added: 1,000 bytes, sha256 {sha256('1').hex()[:12]}…",
    ):
        assert line in lines


def test_show_as_json_for_a_missing_file(catalog_cli: Any, rows: CatalogueRows, tmp_path: Path) -> None:
    root = rows.root("share", os.fsencode(tmp_path))
    rows.file(root, b"x/" + HOSTILE, Picture(bytes="1"), presence=Presence.MISSING, reason="gone")
    ran = catalog_cli("show", b"x/" + HOSTILE, "--json", cwd=tmp_path)
    assert (ran.code, ran.json["schema"], ran.json["complete"]) == (0, "catalog.show/1", True)
    assert (ran.json["file"]["state"], ran.json["file"]["reason"]) == ("missing", "gone")


def test_show_of_a_file_on_a_share_that_is_away_is_incomplete(catalog_cli: Any, rows: CatalogueRows) -> None:
    rows.file(rows.root("far", b"/far", state=RootState.OFFLINE), b"a.tif", Picture(bytes="1"))
    ran = catalog_cli("show", "/far/a.tif")
    assert (ran.code, ran.stderr) == (3, "warning: incomplete: far: offline (1 file)\n")
    assert catalog_cli("show", "/far/a.tif", "--allow-incomplete").code == 0


def test_show_refuses_what_it_does_not_know(catalog_cli: Any, rows: CatalogueRows, tmp_path: Path) -> None:
    rows.root("share", os.fsencode(tmp_path))
    assert catalog_cli("show", "never.tif", cwd=tmp_path).code == 20
    assert catalog_cli("show", "/elsewhere.tif").code == 20
    ran = catalog_cli("show", ".", cwd=tmp_path)
    assert (ran.code, ran.stderr) == (
        2,
        "catalog: a folder: .; ask with: catalog query files FOLDER\n",
    )


def test_show_says_why_a_path_is_not_catalogued(
    catalog_cli: Any, rows: CatalogueRows, tmp_path: Path
) -> None:
    rows.file(rows.root("share", os.fsencode(tmp_path)), b"a.tif", Picture(bytes="1"))
    (tmp_path / ".thumbs").mkdir()
    for name in ("a.tif", ".hidden.tif", ".thumbs/b.tif", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "broken.tif").symlink_to("nowhere")
    (tmp_path / "link.tif").symlink_to("a.tif")
    for name, why in (
        (".hidden.tif", "hidden files are not catalogued"),
        (".thumbs/b.tif", "hidden folders are not catalogued: .thumbs"),
        ("notes.txt", "left out by its name"),
        ("broken.tif", "it is a symbolic link"),
    ):
        ran = catalog_cli("show", name, cwd=tmp_path)
        assert (ran.code, why in ran.stderr) == (20, True), ran.stderr
    ran = catalog_cli("show", "link.tif", cwd=tmp_path)
    assert (ran.code, ran.out.splitlines()[0]) == (0, "a.tif")
    assert ran.stderr == "a symbolic link, which is not catalogued itself: this is what it leads to\n"


# ------------------------------------------------------------------------------------------------- status


def test_status_as_json_is_that_of_the_contract(catalog_cli: Any, rows: CatalogueRows) -> None:
    root = rows.root("share", b"/share\xff", mode="poll", mode_reason="nfs4")
    rows.file(root, b"a", Picture(bytes="1"))
    rows.event(EventKind.SCAN, root_id=root)
    rows.put(schema.seal, first_event_id=1, last_event_id=1, at_ms=NOON_MS, chain=b"\xcd" * 32)
    ran = catalog_cli("status", "--json")
    document = ran.json
    assert (ran.code, document["schema"], document["complete"]) == (0, "catalog.status/1", True)
    (share,) = document["roots"]
    wanted = {"name", "path", "state", "mode", "mode_reason", "files", "last_reconcile"}
    assert wanted | {"uncovered_dirs", "held_missing", "open_drift"} <= set(share)
    assert {"present", "missing", "unreadable", "undecodable"} <= set(share["files"])
    assert (share["path"], share["path_b64"]) == ("/share\\xff", "L3NoYXJl/w==")
    assert document["backlog"] == 0
    assert {name: document["daemon"][name] for name in ("running", "pid", "rebuilds", "overflows")} == {
        "running": False,
        "pid": None,
        "rebuilds": 0,
        "overflows": 0,
    }
    assert document["chain_head"] == "cd" * 32


def test_status_for_people_and_for_monitoring(catalog_cli: Any, rows: CatalogueRows) -> None:
    root = rows.root("masters", b"/masters", mode="both", mode_reason="cifs may be written elsewhere")
    file_id = rows.file(root, b"a", Picture(bytes="1"))
    ran = catalog_cli("status", "--check")
    assert (ran.code, ran.stderr) == (0, "")
    lines = ran.out.splitlines()
    assert lines[1].split() == [
        *("masters", "online", "both", "1", "0", "0", "0", "none"),
        *("2025-10-09", "08:53:20", "UTC", "/masters"),
    ]
    assert lines[2:] == [
        "masters: both, because cifs may be written elsewhere",
        "backlog      0 paths",
        "daemon       not running",
        "last audit   never: catalog audit",
        "chain head   no events yet",
    ]
    rows.drift(file_id, Kind.BROKEN, severity=Severity.CRITICAL)
    rows.root("far\x1b", b"/far", state=RootState.HUNG, state_reason="no answer for 30 s")
    ran = catalog_cli("status", "--check")
    assert ran.code == 1
    assert "1 critical" in ran.out
    assert ran.stderr == (
        "warning: masters: 1 case of critical drift open\nwarning: far\\x1b is hung: no answer for 30 s\n"
    )
    assert b"\x1b" not in ran.stdout
    rows.root("two words", b"/two words", state=RootState.REPLACED, state_reason="another file system")
    said = catalog_cli("status")
    assert said.code == 0
    assert "on another disk: catalog root relocate 'two words' '/two words'" in said.out
    assert catalog_cli("status", "--check", "--json").json["problems"][0].startswith("masters: 1 case")


def test_status_of_a_catalogue_without_shares(catalog_cli: Any, rows: CatalogueRows) -> None:
    assert catalog_cli("status").out.startswith("no shares yet")


def test_root_list_shows_the_shares(catalog_cli: Any, rows: CatalogueRows) -> None:
    rows.file(rows.root("masters", b"/masters"), b"a", Picture(bytes="1"))
    (share,) = catalog_cli("root", "list", "--json").json["roots"]
    assert (share["name"], share["state"], share["files"]["present"]) == ("masters", "online", 1)


# ------------------------------------------------------------------------------------- a share, really scanned


def test_the_corpus_of_wings_has_32_pairs(catalog_cli: Any, corpus: Path, tmp_path: Path) -> None:
    share = tmp_path / "shaggy"
    shutil.copytree(corpus / "shaggy", share)
    assert catalog_cli("scan", share).code == 0
    ran = catalog_cli("query", "dupes", "--json", cwd=share)
    totals = ran.json["totals"]
    assert (totals["groups"], totals["files"], totals["redundant_files"]) == (32, 64, 32)
    assert totals["redundant_bytes"] == sum(
        row["size"] for group in ran.json["groups"] for row in group["files"] if row["redundant"]
    )
    for_people = catalog_cli("query", "dupes", cwd=share)
    assert for_people.stderr.startswith("-- 32 groups, 64 files of 108, 32 redundant, reclaimable ")
    assert for_people.stderr.endswith("; 1 file undecodable\n")
    for level in ("bytes", "view"):
        assert catalog_cli("query", "dupes", "--level", level, "--json").json["totals"]["groups"] == 32
    (broken,) = catalog_cli("query", "errors", "--json").json["files"]
    assert (broken["path"].rpartition("/")[2], broken["state"]) == ("amalfreda_0.tif", "undecodable")
    found = catalog_cli("query", "tags", "ImageWidth", "719", "--paths").out
    assert os.path.basename(found.strip()) == "thelxiopeia_13.tif"
    _shown(catalog_cli, next(share.rglob("amalfreda_1.tif")))


def _shown(catalog_cli: Any, path: Path) -> None:
    document = catalog_cli("show", path, "--json").json
    assert document["file"]["raw_md5"] == "baf9cc4fd984f80dea07ec93308c3a7b"
    assert document["file"]["pixels"].startswith("pix1:d9c669ad")
    assert document["file"]["view"].startswith("view1:a03e6362")
    assert [copy["path"].rpartition("/")[2] for copy in document["copies"]] == ["amalfreda_15.tif"]
    tags = {tag["name"]: tag["value"] for tag in document["ifds"][0]["tags"]}
    assert (tags["ImageWidth"], tags["ImageLength"], tags["StripOffsets"]) == ([124], [64], [8, 8192, 16376])
    json.dumps(document)
