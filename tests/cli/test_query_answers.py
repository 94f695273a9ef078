"""Questions as users ask them: formats, narrowing, exit codes, hostile names."""

from __future__ import annotations

import base64
import csv
import io
import json
import os
import pty
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from catalog.terms import EventKind, Fidelity, Kind, Manner, Outcome, Presence, RootState, Severity, Tag
from tests.unit.catalogue_rows import NOON_MS, CatalogueRows, Picture, sha256

HOSTILE = b"new\nline \xff\x1b[31m.tif"
LISTINGS = ["files", "errors", "missing", "drift", "dupes", "events", "tags"]
COMPRESSION = Tag(259, "Compression", 3, 1, b"\5\0")


@pytest.fixture
def rows(catalog_cli: Any) -> Iterator[CatalogueRows]:
    with CatalogueRows(str(catalog_cli.database)) as made:
        yield made


@pytest.fixture
def full(rows: CatalogueRows, tmp_path: Path) -> Path:
    """A catalogue with one hostile name in every answer; gives the folder of the share."""
    share = tmp_path / "share"
    share.mkdir()
    root = rows.root("share", os.fsencode(share))
    picture = Picture(bytes="1", tags=(COMPRESSION,))
    rows.file(root, b"keep.tif", picture, allocated=8192)
    first = rows.file(root, HOSTILE, picture)
    rows.file(root, b"lost/" + HOSTILE, Picture(bytes="2"), presence=Presence.MISSING, reason="gone")
    broken = Picture(bytes="3", pixels=None, fidelity=Fidelity.UNDECODABLE, reason="too short", format=None)
    rows.file(root, b"broken/" + HOSTILE, broken)
    rows.event(EventKind.ROOT_ADDED, root_id=root)
    rows.event(EventKind.ADDED, root_id=root, file_id=first, to_rev_id=2)
    rows.drift(first, Kind.PICTURE, reasons=["the picture\x1b changed", "size 900 → 1,000"])
    return share


def words(question: str) -> list[str]:
    return ["query", question, "Compression"] if question == "tags" else ["query", question]


def rows_of(document: Any, question: str) -> list[Any]:
    name = {"errors": "files", "missing": "files", "dupes": "groups"}.get(question, question)
    return list(document[name])


def path_of(row: Any) -> bytes:
    return base64.b64decode(row["path_b64"]) if "path_b64" in row else row["path"].encode()


def flat(found: list[Any], question: str) -> list[Any]:
    return [each for group in found for each in group["files"]] if question == "dupes" else found


# ------------------------------------------------------------------------------------------------ formats


@pytest.mark.parametrize("question", LISTINGS)
def test_every_format_holds_the_same_rows(catalog_cli: Any, full: Path, question: str) -> None:
    ran = catalog_cli(*words(question), "--json")
    assert (ran.code, ran.stderr) == (0, "")
    document = ran.json
    name = "tagged-files" if question == "tags" else question
    assert document["schema"] == f"catalog.{name}/1"
    assert (document["complete"], document["incomplete"]) == (True, [])
    found = rows_of(document, question)
    paths = [path_of(row) for row in flat(found, question) if row["path"]]
    assert any(path.endswith(HOSTILE) for path in paths)
    lines = catalog_cli(*words(question), "--ndjson").out.splitlines()
    assert [json.loads(line) for line in lines] == found
    table = list(csv.DictReader(io.StringIO(catalog_cli(*words(question), "--csv").out)))
    assert [path_of({n: value for n, value in row.items() if value}) for row in table if row["path"]] == paths


@pytest.mark.parametrize("question", LISTINGS)
def test_paths_are_bytes_as_they_are(catalog_cli: Any, full: Path, question: str) -> None:
    ended_by_nul = catalog_cli(*words(question), "--paths0").stdout
    paths = {
        "files": [b"broken/" + HOSTILE, b"keep.tif", b"lost/" + HOSTILE, HOSTILE],
        "errors": [b"broken/" + HOSTILE],
        "missing": [b"lost/" + HOSTILE],
        "dupes": [HOSTILE],
        "drift": [HOSTILE],
        "events": [HOSTILE],
        "tags": [b"keep.tif", HOSTILE],
    }[question]
    whole = [os.fsencode(full) + b"/" + path for path in paths]
    assert sorted(ended_by_nul.split(b"\0")[:-1]) == sorted(whole)
    assert catalog_cli(*words(question), "--paths").stdout == ended_by_nul.replace(b"\0", b"\n")


@pytest.mark.parametrize("question", LISTINGS)
def test_a_table_never_lets_control_characters_through(catalog_cli: Any, full: Path, question: str) -> None:
    ran = catalog_cli(*words(question), cwd=full)
    assert ran.code == 0
    assert b"\x1b" not in ran.stdout
    assert b"new\\nline \\xff\\x1b[31m.tif" in ran.stdout
    assert os.fsencode(full) not in ran.stdout  # paths as people type them


@pytest.mark.parametrize("question", ["files", "dupes"])
def test_nothing_reaches_a_terminal_raw_in_any_format(catalog_cli: Any, full: Path, question: str) -> None:
    for form in ("--json", "--ndjson", "--csv", "--paths"):
        ours, theirs = pty.openpty()
        try:
            with catalog_cli.start(
                *words(question), form, stdout=theirs, stderr=subprocess.DEVNULL
            ) as started:
                os.close(theirs)
                shown = _all_of(ours)
            assert started.returncode == 0
        finally:
            os.close(ours)
        assert b"\x1b" not in shown
        assert b"\xff" not in shown


def _all_of(terminal: int) -> bytes:
    parts = []
    while True:
        try:
            part = os.read(terminal, 65536)
        except OSError:  # EIO: the other side is closed
            return b"".join(parts)
        if not part:
            return b"".join(parts)
        parts.append(part)


@pytest.mark.parametrize("question", ["files", "dupes"])
def test_two_formats_at_once_are_a_usage_error(catalog_cli: Any, full: Path, question: str) -> None:
    ran = catalog_cli(*words(question), "--json", "--csv")
    assert (ran.code, ran.stdout) == (2, b"")
    assert ran.stderr == "catalog: two formats at once: --json --csv; choose one\n"


@pytest.mark.parametrize("question", LISTINGS)
def test_an_empty_answer_keeps_its_shape(catalog_cli: Any, rows: CatalogueRows, question: str) -> None:
    ran = catalog_cli(*words(question), "--json")
    assert (ran.code, rows_of(ran.json, question), ran.json["complete"]) == (0, [], True)
    assert catalog_cli(*words(question)).out.startswith("no ")


@pytest.mark.parametrize("question", LISTINGS)
def test_a_limit_cuts_and_says_so(catalog_cli: Any, full: Path, rows: CatalogueRows, question: str) -> None:
    root = rows.run_sql("SELECT root_id FROM root")[0][0]
    for number in range(3):
        picture = Picture(bytes=f"more {number}", tags=(COMPRESSION,))
        broken = Picture(bytes=f"no {number}", pixels=None, fidelity=Fidelity.UNDECODABLE, reason="short")
        file_id = rows.file(root, b"more/%d" % number, picture)
        rows.file(root, b"more/%d copy" % number, picture)
        rows.file(root, b"more/%d broken" % number, broken)
        rows.file(root, b"more/%d lost" % number, picture, presence=Presence.MISSING)
        rows.drift(file_id, Kind.METADATA, severity=Severity.INFO)
        rows.event(EventKind.TOUCHED, root_id=root, file_id=file_id)
    ran = catalog_cli(*words(question), "--json", "--limit", "2")
    assert (len(rows_of(ran.json, question)), ran.json["truncated"]) == (2, True)
    every = rows_of(catalog_cli(*words(question), "--json").json, question)
    assert rows_of(ran.json, question) == every[:2]
    assert "only the first 2; there is more" in catalog_cli(*words(question), "--limit", "2").stderr


# -------------------------------------------------------------------------------------------------- dupes


def test_duplicates_for_people(catalog_cli: Any, rows: CatalogueRows, tmp_path: Path) -> None:
    root = rows.root("masters", os.fsencode(tmp_path))
    rows.file(root, b"a.tif", Picture(bytes="1", pixels="p", size=23500), allocated=24576)
    rows.file(
        root, b"train/a.tif", Picture(bytes="1", pixels="p", size=23500), allocated=24576, mtime_ns=2 * 10**18
    )
    png = Picture(bytes="2", pixels="p", size=14200, format="PNG", compression="Deflate", orientation=6)
    rows.file(root, b"web/a.png", png, allocated=16384)
    rows.file(root, b"z.tif", Picture(bytes="4", pixels=None, fidelity=Fidelity.UNDECODABLE, reason="short"))
    ran = catalog_cli("query", "dupes", cwd=tmp_path)
    digest = sha256("1 p").hex()
    assert ran.out == (
        f"group 1  pixels  {digest[:4]}…{digest[-2:]}  3 files  2 distinct byte streams  reclaimable 41.0 kB\n"
        "  keep         a.tif        23.5 kB  TIFF  no compression  2025-10-09  (rule: oldest)\n"
        "  same bytes   train/a.tif  23.5 kB  TIFF  no compression\n"
        "  same pixels  web/a.png    14.2 kB  PNG   Deflate         Orientation 6\n"
    )
    assert ran.stderr == ("-- 1 group, 3 files of 4, 2 redundant, reclaimable 41.0 kB; 1 file undecodable\n")
    assert catalog_cli("-q", "query", "dupes").stderr == ""


def test_duplicates_as_json_are_those_of_the_contract(catalog_cli: Any, full: Path) -> None:
    document = catalog_cli("query", "dupes", "--json").json
    assert document["totals"] == {
        "groups": 1,
        "files": 2,
        "redundant_files": 1,
        "redundant_bytes": 1000,
        "reclaimable_bytes": 4096,
    }
    (group,) = document["groups"]
    assert {name: group[name] for name in ("id", "level", "max_distance", "reclaimable_bytes")} == {
        "id": f"pix1:{sha256('1 1').hex()}",
        "level": "pixels",
        "max_distance": None,
        "reclaimable_bytes": 4096,
    }
    kept, other = group["files"]
    wanted = ("root", "size", "keep", "keep_reason", "relation", "distance", "transform")
    assert [kept[name] for name in wanted] == ["share", 1000, True, "largest on disk", "keep", None, None]
    assert [other[name] for name in wanted] == ["share", 1000, False, None, "same bytes", None, None]


def test_check_finds_duplicates(catalog_cli: Any, full: Path) -> None:
    assert catalog_cli("query", "dupes", "--check").code == 1
    assert catalog_cli("query", "dupes", "--check", "--min-size", "1kB").code == 1
    assert catalog_cli("query", "dupes", "--check", "--min-size", "1001").code == 0
    assert catalog_cli("query", "dupes", "--check", "--glob", "*keep*").code == 1
    assert catalog_cli("query", "dupes", "--check", "--glob", "broken*").code == 0


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--level", "near"], "no such level: near; one of: bytes, pixels, view"),
        (["--level", "payload"], "no such level: payload; one of: bytes, pixels, view"),
        (["--min-size", "big"], "not a size: big; write it like 500000, 500kB or 2MiB"),
    ],
)
def test_words_that_make_no_sense_are_one_line(
    catalog_cli: Any, full: Path, options: list[str], complaint: str
) -> None:
    ran = catalog_cli("query", "dupes", *options)
    assert (ran.code, ran.stderr) == (2, f"catalog: {complaint}\n")


# -------------------------------------------------------------------------------------------------- drift


def test_drift_as_json_is_that_of_the_contract(catalog_cli: Any, full: Path) -> None:
    (case,) = catalog_cli("query", "drift", "--json").json["drift"]
    assert {name: case[name] for name in ("id", "root", "kind", "manner", "severity", "at", "open")} == {
        "id": 1,
        "root": "share",
        "kind": "picture",
        "manner": "ordinary",
        "severity": "warning",
        "at": "2025-10-09T08:54:20.000Z",
        "open": True,
    }
    for side in ("old", "new"):
        assert set(case[side]) == {"revision", "raw_sha256", "payload", "pixels", "view"}
    assert case["reasons"] == ["the picture\x1b changed", "size 900 → 1,000"]
    assert (case["restored_from"], case["good_copy"]) == (None, str(full / "keep.tif"))


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (["--kind", "picture,broken"], 1),
        (["--kind", "broken", "--kind", "missing"], 0),
        (["--manner", "rot"], 0),
        (["--severity", "notice"], 1),
        (["--severity", "critical"], 0),
        (["--pixels", "different"], 1),
        (["--pixels", "same"], 0),
        (["--since", "2025-10-09T08:54:20Z"], 1),
        (["--since", "2025-10-09T08:54:21Z"], 0),
        (["--since", "2025-10-10"], 0),
        (["--since", "52000w"], 1),
        (["--open"], 1),
        (["--all"], 1),
    ],
)
def test_drift_can_be_selected_and_checked(
    catalog_cli: Any, full: Path, options: list[str], found: int
) -> None:
    assert len(catalog_cli("query", "drift", "--json", *options).json["drift"]) == found
    assert catalog_cli("query", "drift", "--check", *options).code == found


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--kind", "odd"], f"no such kind: odd; one of: {', '.join(Kind)}"),
        (["--manner", "odd"], f"no such manner: odd; one of: {', '.join(Manner)}"),
        (["--severity", "odd"], f"no such severity: odd; one of: {', '.join(Severity)}"),
        (["--pixels", "odd"], "no such --pixels: odd; one of: same, different"),
        (["--since", "odd\n"], "not a time: odd\\n; write it like 2025-10-25, 2025-10-25T12:00:00Z or 90d"),
        (["--open", "--all"], "--open and --all at once; choose one"),
    ],
)
def test_selections_that_make_no_sense(
    catalog_cli: Any, full: Path, options: list[str], complaint: str
) -> None:
    ran = catalog_cli("query", "drift", *options)
    assert (ran.code, ran.stderr) == (2, f"catalog: {complaint}\n")


# ------------------------------------------------------------------------------------ narrowing, exit codes


@pytest.mark.parametrize("question", LISTINGS)
def test_paths_are_relative_to_the_working_directory(catalog_cli: Any, full: Path, question: str) -> None:
    narrow = [*words(question), *(["*"] if question == "tags" else []), "--json"]
    every = catalog_cli(*narrow, ".", cwd=full).json
    found = rows_of(catalog_cli(*words(question), "--json").json, question)
    about_files = [row for row in found if row.get("path", "of a group") is not None]
    assert rows_of(every, question) == about_files != []
    folder = full / "elsewhere"
    folder.mkdir()
    assert rows_of(catalog_cli(*narrow, "elsewhere", cwd=full).json, question) == []


def test_hostile_paths_can_be_asked_about(catalog_cli: Any, full: Path) -> None:
    (row,) = catalog_cli("query", "files", "--json", HOSTILE, cwd=full).json["files"]
    assert path_of(row) == os.fsencode(full) + b"/" + HOSTILE


def test_a_path_in_no_share_is_exit_20(catalog_cli: Any, full: Path) -> None:
    ran = catalog_cli("query", "files", "/nowhere/\x1b")
    assert (ran.code, ran.stdout) == (20, b"")
    assert ran.stderr == f"catalog: not in any share: /nowhere/\\x1b; the only share is share ({full})\n"
    assert catalog_cli("query", "files", "--root", "other").code == 20


@pytest.mark.parametrize("question", [*LISTINGS, "tag names"])
def test_an_incomplete_answer_is_exit_3_and_says_why(
    catalog_cli: Any, rows: CatalogueRows, question: str
) -> None:
    root = rows.root("far", b"/far", state=RootState.OFFLINE)
    rows.file(root, b"a", Picture(bytes="1"))
    rows.file(rows.root("near", b"/near"), b"b", Picture(bytes="2"), outcome=Outcome.UNREADABLE)
    asked = ["query", "tags"] if question == "tag names" else words(question)
    ran = catalog_cli(*asked, "--json")
    assert ran.code == 3
    assert ran.json["complete"] is False
    assert ran.json["incomplete"] == [
        {"root": "far", "reason": "offline", "files": 1},
        {"root": "near", "reason": "unreadable", "files": 1},
    ]
    for_people = catalog_cli(*asked, "--allow-incomplete")
    assert for_people.code == 0
    assert "warning: incomplete: far: offline (1 file)\n" in for_people.stderr


def test_a_finding_wins_over_incompleteness(catalog_cli: Any, full: Path, rows: CatalogueRows) -> None:
    rows.root("far", b"/far", state=RootState.OFFLINE)
    assert catalog_cli("query", "dupes", "--check").code == 1
    assert catalog_cli("query", "dupes", "--check", "--min-size", "1MB").code == 3
    assert catalog_cli("query", "dupes", "--check", "--root", "share").code == 1


@pytest.mark.parametrize("asked", [["query", "files"], ["show", "x"], ["status"]])
def test_no_catalogue_is_10_and_an_old_schema_11(catalog_cli: Any, asked: list[str]) -> None:
    ran = catalog_cli(*asked)
    assert (ran.code, ran.stdout) == (10, b"")
    assert ran.stderr.count("\n") == 1
    with CatalogueRows(str(catalog_cli.database)) as rows:
        rows.run_sql("PRAGMA user_version=0")
    assert catalog_cli(*asked).code == 11


def test_tags_with_values_and_names(catalog_cli: Any, full: Path) -> None:
    found = catalog_cli("query", "tags", "Compression", "5", "--json").json["tags"]
    assert [(row["code"], row["type"], row["count"], row["value"]) for row in found] == [
        (259, "SHORT", 1, [5]),
        (259, "SHORT", 1, [5]),
    ]
    names = catalog_cli("query", "tags", "--json").json
    assert names["names"] == [{"name": "Compression", "code": 259, "files": 2}]
    assert catalog_cli("query", "tags", "--paths").code == 2


def test_who_asks_for_a_value_that_no_file_has_is_told_which_ones_there_are(
    catalog_cli: Any, full: Path
) -> None:
    ran = catalog_cli("query", "tags", "compression", "LZW")
    assert (ran.code, ran.out) == (0, "no file carries this tag with this value\n")
    assert ran.stderr == "recorded values of compression are, for example: 5\n"
    assert catalog_cli("query", "tags", "Compression", "5").stderr == ""
    assert catalog_cli("query", "tags", "Nonsense", "5").stderr == ""


def test_files_by_state_and_format(catalog_cli: Any, full: Path) -> None:
    def names(*options: str) -> list[str]:
        found = catalog_cli("query", "files", "--json", *options).json["files"]
        return [row["state"] for row in found]

    assert sorted(names()) == ["missing", "present", "present", "undecodable"]
    assert names("--state", "missing,undecodable") == ["undecodable", "missing"]
    assert names("--format", "tiff", "--state", "present") == ["present", "present"]
    assert names("--format", "tif") == names("--format", "TIFF")
    ran = catalog_cli("query", "files", "--format", "tfif")
    assert (ran.code, ran.stderr) == (2, "catalog: no such image format: tfif; did you mean tif?\n")
    ran = catalog_cli("query", "files", "--state", "odd")
    assert (ran.code, ran.stderr.split(";")[0]) == (2, "catalog: no such state: odd")


def test_events_by_kind(catalog_cli: Any, full: Path) -> None:
    (found,) = catalog_cli("query", "events", "--kind", "added", "--json").json["events"]
    assert (found["kind"], found["at"], found["root"]) == ("added", "2025-10-09T08:53:20.000Z", "share")
    assert catalog_cli("query", "events", "--kind", "moved", "--json").json["events"] == []
    assert NOON_MS == 1_760_000_000_000


def test_tags_may_be_narrowed_without_a_value(catalog_cli: Any, full: Path) -> None:
    def paths(*words: str | bytes) -> list[str]:
        return [
            Path(row["path"]).name
            for row in catalog_cli("query", "tags", *words, "--json", cwd=full).json["tags"]
        ]

    assert "keep.tif" in paths("Compression")
    (full / "lost").mkdir()
    (full / "keep.tif").touch()
    assert paths("Compression", ".") == paths("Compression")
    assert paths("Compression", "lost") == []
    assert paths("Compression", "keep.tif") == ["keep.tif"]
    assert paths("Compression", "5", "lost", ".") == paths("Compression", "5")
    names = catalog_cli("query", "tags", ".", "--json", cwd=full).json["names"]
    assert "Compression" in [row["name"] for row in names]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["query", "files", "--limit", "abc"], "invalid value for '--limit': expected a whole number"),
        (["query", "files", "--limit", "0"], "invalid value for '--limit': expected 1 or more"),
    ],
)
def test_a_bad_number_is_told_in_plain_words(catalog_cli: Any, words: list[str], complaint: str) -> None:
    ran = catalog_cli(*words)
    assert (ran.code, ran.stderr) == (2, f"catalog: {complaint}; see: catalog query files --help\n")
