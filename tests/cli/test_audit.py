"""``catalog audit`` and what is asked about it, as users run them."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.asking import Asking, picture
from tests.auditing import rewrite
from tests.mounting import less_than_root


def stamped(ask: Asking) -> dict[bytes, int]:
    rows = ask("SELECT f.name, k.audited_ms FROM file AS f JOIN file_check AS k USING (file_id)")
    return {row["name"]: row["audited_ms"] for row in rows if row["audited_ms"] is not None}


# ------------------------------------------------------------------------------------------ the contract


def test_an_untouched_share_is_intact_and_says_so_in_a_sentence(catalog_cli: Any, share: Path) -> None:
    catalog_cli("scan", share)
    ran = catalog_cli("audit")
    assert ran.code == 0, ran.stderr
    assert ran.out.startswith("3 of 3 files read, all intact; 100 % verified within 90 days; oldest 20")
    assert ran.out.count("\n") == 1, "stdout carries the answer alone"


def test_json_has_the_fields_of_the_contract(catalog_cli: Any, share: Path) -> None:
    catalog_cli("scan", share)
    rewrite(share / "b.tif", 8)
    answer = catalog_cli("audit", "--json").json
    assert (answer["schema"], answer["complete"]) == ("catalog.audit/1", True)
    assert {
        "checked",
        "bytes_read",
        "intact",
        "drift",
        "corrupt",
        "unreadable",
        "seconds",
        "coverage",
    } <= set(answer)
    (corrupt,) = answer["corrupt"]
    assert (corrupt["root"], corrupt["path"], corrupt["manner"]) == (
        share.name,
        str(share / "b.tif"),
        "stealth",
    )
    assert (answer["checked"], answer["intact"], answer["drift"]) == (3, 2, {})
    coverage = answer["coverage"]
    assert coverage["within_days"] == {"30": 100.0, "90": 100.0, "365": 100.0}
    assert coverage["oldest"].endswith("Z")


def test_every_field_of_the_json_is_documented(catalog_cli: Any, share: Path) -> None:
    catalog_cli("scan", share)
    document = (Path(__file__).resolve().parents[2] / "docs" / "audit.md").read_text()
    frame = {"schema", "as_of", "complete", "incomplete", "truncated"}
    for words in (("audit",), ("audit", "--plan"), ("query", "coverage"), ("query", "audits")):
        answer = catalog_cli(*words, "--json").json
        fields = set(answer) | {
            name for rows in answer.values() if isinstance(rows, list) for row in rows for name in row
        }
        told = {name for name in fields if name in document}
        assert fields - told - frame == set(), words


def test_exit_codes_are_those_of_the_worst_finding(catalog_cli: Any, share: Path) -> None:
    catalog_cli("scan", share)
    picture(share / "c.png", 9)
    assert catalog_cli("audit").code == 1
    rewrite(share / "b.tif", 8)
    ran = catalog_cli("audit")
    assert ran.code == 5
    assert "stealth" in ran.out
    assert "1 corrupt" in ran.out.splitlines()[-1]


def test_a_share_that_is_offline_is_incomplete(catalog_cli: Any, share: Path, tmp_path: Path) -> None:
    catalog_cli("scan", share)
    share.rename(tmp_path / "unplugged")
    ran = catalog_cli("audit", "--json")
    assert (ran.code, ran.json["complete"], ran.json["checked"]) == (3, False, 0)
    assert catalog_cli("audit", "--allow-incomplete").code == 0


def test_without_a_catalogue_the_way_to_one_is_told(catalog_cli: Any) -> None:
    ran = catalog_cli("audit")
    assert ran.code == 10
    assert "catalog scan" in ran.stderr
    assert not catalog_cli.database.exists()


@pytest.mark.slow  # a process for each
@pytest.mark.parametrize(
    "words",
    [
        ("--percent", "0"),
        ("--percent", "101"),
        ("--max-time", "soon"),
        ("--max-data", "some"),
        ("--max-files", "0"),
        ("--older-than", "90"),
        ("--max-rate", "-1"),
        ("--every", "90d"),
        ("--plan", "--max-files", "3"),
    ],
)
def test_limits_that_are_none_are_usage_errors(catalog_cli: Any, words: tuple[str, ...]) -> None:
    ran = catalog_cli("audit", *words)
    assert ran.code == 2, ran.stderr


def test_a_path_outside_of_every_share_is_not_found(catalog_cli: Any, share: Path, tmp_path: Path) -> None:
    catalog_cli("scan", share)
    assert catalog_cli("audit", tmp_path).code == 20
    assert catalog_cli("audit", share / "nothing.tif").code == 20
    assert catalog_cli("audit", "--root", "nobody").code == 20


def test_paths_are_relative_to_the_working_directory(catalog_cli: Any, share: Path, ask: Asking) -> None:
    catalog_cli("scan", share)
    assert catalog_cli("audit", "scans", "--json", cwd=share).json["checked"] == 1
    assert set(stamped(ask)) == {b"a.tif"}


# ------------------------------------------------------------------------------------------------ resuming


@pytest.mark.slow
def test_kill_9_loses_no_stamp_and_the_next_audit_reads_the_rest_only(
    catalog_cli: Any, tmp_path: Path, ask: Asking, eventually: Any
) -> None:
    folder = tmp_path / "share"
    size = sum(picture(folder / f"{number:02}.tif", number).stat().st_size for number in range(30))
    catalog_cli("scan", folder)
    with catalog_cli.start(
        "audit",
        "--max-rate",
        str(size // 4),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as auditing:
        eventually(lambda: len(stamped(ask)) >= 5, timeout=30.0)
        os.killpg(auditing.pid, signal.SIGKILL)
    before = stamped(ask)
    assert 5 <= len(before) < 30, "the audit was to be killed half-way"
    answer = catalog_cli("audit", "--json").json
    assert answer["checked"] == 30 - len(before)
    assert answer["resumed"] is not None
    after = stamped(ask)
    assert len(after) == 30
    assert {name: after[name] for name in before} == before
    statuses = [row["status"] for row in ask("SELECT status FROM run WHERE kind = 'audit' ORDER BY run_id")]
    assert statuses == ["interrupted", "complete"]


@pytest.mark.slow
def test_an_interrupt_ends_it_cleanly_with_130(
    catalog_cli: Any, tmp_path: Path, ask: Asking, eventually: Any
) -> None:
    folder = tmp_path / "share"
    size = sum(picture(folder / f"{number:02}.tif", number).stat().st_size for number in range(12))
    catalog_cli("scan", folder)
    with catalog_cli.start("audit", "--max-rate", str(size // 8), "--json") as auditing:
        eventually(lambda: stamped(ask), timeout=30.0)
        auditing.send_signal(signal.SIGINT)
        stdout, stderr = auditing.communicate(timeout=30)
    assert auditing.returncode == 130, stderr
    assert b'"interrupted": true' in stdout
    (event,) = ask("SELECT detail FROM v_event WHERE kind = 'audit'")
    assert '"status":"interrupted"' in event["detail"]


# ----------------------------------------------------------------------------------------------- questions


def test_plan_says_what_it_takes_and_reads_nothing(catalog_cli: Any, share: Path, ask: Asking) -> None:
    catalog_cli("scan", share)
    answer = catalog_cli("audit", "--plan", "--every", "2d", "--json").json
    size = sum(path.stat().st_size for path in share.rglob("*.*"))
    assert (answer["schema"], answer["files"], answer["bytes"]) == ("catalog.audit-plan/1", 3, size)
    assert (answer["files_per_day"], answer["bytes_per_day"]) == (2, -(-size // 2))
    assert answer["bytes_per_second"] == 1
    assert answer["late"] == {"files": 3, "bytes": size}
    assert stamped(ask) == {}
    catalog_cli("audit", "--max-files", "1")
    words = catalog_cli("audit", "--plan").out
    assert "3 files" in words and "90 days" in words and "or never: 2 files" in words


def test_coverage_tells_share_by_share_what_was_verified(
    catalog_cli: Any, share: Path, tmp_path: Path
) -> None:
    picture(tmp_path / "other" / "x.tif", 1)
    catalog_cli("scan", share, tmp_path / "other")
    catalog_cli("audit", share / "scans")
    answer = catalog_cli("query", "coverage", "--json").json
    rows = {row["root"]: row for row in answer["roots"]}
    mine = rows[share.name]
    assert (mine["files"], mine["never"], mine["within_days"]) == (3, 2, {"30": 1, "90": 1, "365": 1})
    assert mine["percent"]["90"] == 33.3
    assert mine["oldest"] is not None
    assert (rows["other"]["never"], rows["other"]["oldest"]) == (1, None)
    assert answer["coverage"]["never"] == 3
    assert "33.3 %" in catalog_cli("query", "coverage").out


def test_audits_are_listed_with_their_results_newest_first(catalog_cli: Any, share: Path) -> None:
    catalog_cli("scan", share)
    catalog_cli("audit", "--max-files", "1")
    rewrite(share / "b.tif", 8)
    catalog_cli("audit", share)
    newest, oldest = catalog_cli("query", "audits", "--json").json["audits"]
    assert (newest["corrupt"], newest["checked"], newest["scope"]) == (1, 3, [str(share)])
    assert (oldest["status"], oldest["intact"], oldest["options"]) == ("complete", 1, {"max_files": 1})


def test_evidence_of_a_file_is_shown_when_it_is_asked_for(catalog_cli: Any, share: Path) -> None:
    catalog_cli("scan", share)
    rewrite(share / "b.tif", 8)
    catalog_cli("audit")
    answer = catalog_cli("show", share / "b.tif", "--evidence", "--json").json
    assert [each["result"] for each in answer["evidence"]] == ["differs", "stealth"]
    assert {each["how"] for each in answer["evidence"]} == {"uncached"}
    digests = {each["raw_sha256"] for each in answer["evidence"]}
    assert digests == {answer["file"]["raw_sha256"]}
    assert all(each["run"] for each in answer["evidence"])
    assert "stealth" in catalog_cli("show", share / "b.tif", "--evidence").out


# ------------------------------------------------------------------------------------------ who may read it


def test_a_file_that_may_not_be_read_is_unreadable_and_told_why(catalog_cli: Any, tmp_path: Path) -> None:
    prefix = less_than_root()
    folder = tmp_path / "share"
    for shade in range(3):
        picture(folder / f"{shade}.tif", shade)
    catalog_cli("scan", folder)
    closed = folder / "1.tif"
    closed.chmod(0)
    ran = catalog_cli("audit", "--json", prefix=prefix)
    assert ran.code == 3, ran.stderr
    answer = ran.json
    (unreadable,) = answer["unreadable"]
    assert unreadable["path"] == str(closed)
    assert unreadable["reason"].startswith("Permission denied")
    assert answer["intact"] == 2
    shown = Asking(catalog_cli.database)("SELECT result, detail FROM v_check WHERE result <> 'intact'")
    assert shown == [{"result": "unreadable", "detail": unreadable["reason"]}]
