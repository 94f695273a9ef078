"""``catalog doctor``: needs nothing, says what is wrong and what to do, and fails when something is."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.asking import picture

STATES = {"ok", "warning", "failed"}


def checks(document: Any) -> dict[str, Any]:
    return {check["name"]: check for check in document["checks"]}


def test_without_a_catalogue_every_check_is_made_and_nothing_is_written(
    catalog_cli: Any, tmp_path: Path
) -> None:
    share = tmp_path / "share"
    picture(share / "sub" / "a.tif", 1)
    ran = catalog_cli("doctor", share, "--json")
    document = ran.json
    found = checks(document)
    assert document["schema"] == "catalog.doctor/1"
    assert (document["complete"], document["incomplete"]) == (True, [])
    assert {
        *("one picture, one checksum", "one sample, another checksum", "decoders agree", "loader checksums"),
        *("decoder epoch", "database file system", "database permission", "database disk space", "SQLite"),
        *("inotify watches", "inotify instances", "inotify queue", "Landlock", "memory", "clock"),
    } <= set(found)
    assert all(set(check) == {"name", "state", "what", "advice"} for check in document["checks"])
    assert {check["state"] for check in document["checks"]} <= STATES
    assert sum(document["summary"].values()) == len(document["checks"])
    assert ran.code == (1 if document["summary"]["failed"] else 0)
    assert found["one picture, one checksum"]["state"] == "ok"
    assert f"share {share}" in found
    assert not catalog_cli.database.exists()


@pytest.mark.slow
def test_a_share_that_is_away_and_a_foreign_database_fail(catalog_cli: Any, tmp_path: Path) -> None:
    share = tmp_path / "share"
    picture(share / "a.tif", 1)
    assert catalog_cli("scan", share).code == 0
    share.rename(tmp_path / "away")
    ran = catalog_cli("doctor")
    assert ran.code == 1
    (line,) = [line for line in ran.out.splitlines() if "share share" in line]
    assert line.startswith("FAILED")
    assert "offline" in line
    catalog_cli.database.write_bytes(
        b"this is no catalogue at all, but long enough to be read as a header" * 20
    )
    ran = catalog_cli("doctor", "--json")
    assert (ran.code, checks(ran.json)["catalogue"]["state"]) == (1, "failed")


def test_a_folder_that_is_not_there_is_a_mistake(catalog_cli: Any) -> None:
    assert catalog_cli("doctor", "/no/such/folder").code == 20


@pytest.mark.slow
def test_files_of_an_older_epoch_are_told(catalog_cli: Any, tmp_path: Path) -> None:
    from PIL import Image

    share = tmp_path / "share"
    share.mkdir()
    Image.linear_gradient("L").save(share / "a.jpg")
    assert catalog_cli("scan", share).code == 0
    found = checks(catalog_cli("doctor", "--json").json)
    assert found["digests in the catalogue"]["state"] == "ok"
    with sqlite3.connect(catalog_cli.database) as connection:
        connection.execute("UPDATE epoch SET digest = x'00'")
    connection.close()
    found = checks(catalog_cli("doctor", "--json").json)
    told = found["digests in the catalogue"]
    assert (told["state"], "1 lossy file was" in told["what"]) == ("warning", True)
    assert "catalog db rebase" in told["advice"]
