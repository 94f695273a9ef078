"""``catalog db`` as a user runs it: what the catalogue's file is, and bringing it up to date."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from catalog.store.marks import SCHEMA_NUMBER
from tests.asking import Asking


def user_version(database: Path, number: int | None = None) -> int:
    connection = sqlite3.connect(database)
    try:
        if number is not None:
            connection.execute(f"PRAGMA user_version={number}")
            connection.commit()
        return int(connection.execute("PRAGMA user_version").fetchone()[0])
    finally:
        connection.close()


def run_with_next_schema(cli: Any, *words: str) -> subprocess.CompletedProcess[str]:
    """``catalog`` as a program whose schema is one further (with no migration of its own)."""
    program = (
        "import catalog.store.marks as marks; marks.SCHEMA_NUMBER += 1;import catalog.cli; catalog.cli.main()"
    )
    return subprocess.run(
        [sys.executable, "-c", program, *words],
        env=cli.environment(),
        cwd=cli.home,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("command", ["info", "upgrade"])
def test_without_catalogue_nothing_is_made(catalog_cli: Any, command: str) -> None:
    ran = catalog_cli("db", command, "--json")
    assert (ran.code, ran.stdout) == (10, b"")
    assert "catalog scan" in ran.stderr
    assert not catalog_cli.database.exists()


def test_info_tells_place_schema_counts_and_chain_head(catalog_cli: Any, share: Path) -> None:
    catalog_cli("scan", share)
    (share / "c.png").unlink()
    catalog_cli("scan")
    ran = catalog_cli("db", "info", "--json")
    assert ran.code == 0, ran.stderr
    answer = ran.json
    ask = Asking(catalog_cli.database)
    assert (answer["schema"], answer["path"]) == ("catalog.db-info/1", str(catalog_cli.database))
    assert answer["source"] == "CATALOG_DATABASE"
    assert answer["size"] == catalog_cli.database.stat().st_size
    assert answer["schema_number"] == answer["program_schema_number"] == SCHEMA_NUMBER
    assert answer["sqlite_version"] == sqlite3.sqlite_version
    assert answer["counts"] == {
        "roots": 1,
        "files": sum(state != "missing" for state in ask.states().values()),
        "missing": 1,
        "contents": ask("SELECT count(*) AS n FROM content")[0]["n"],
        "revisions": ask("SELECT count(*) AS n FROM revision")[0]["n"],
        "events": ask("SELECT count(*) AS n FROM event")[0]["n"],
        "seals": ask("SELECT count(*) AS n FROM seal")[0]["n"],
    }
    assert answer["counts"]["files"] == 2
    (last,) = ask("SELECT lower(hex(chain)) AS chain FROM seal ORDER BY seal_id DESC LIMIT 1")
    assert answer["chain_head"] == last["chain"]
    words = catalog_cli("db", "info").out
    assert f"path        {catalog_cli.database}\n" in words
    assert f"chain head  {last['chain']}\n" in words
    assert "\nfiles       2\nmissing     1\n" in words


def test_current_catalogue_is_left_alone(catalog_cli: Any, share: Path) -> None:
    catalog_cli("scan", share)
    before = catalog_cli.database.read_bytes()
    ran = catalog_cli("db", "upgrade")
    assert (ran.code, ran.out) == (0, f"already current: schema {SCHEMA_NUMBER}: {catalog_cli.database}\n")
    document = catalog_cli("db", "upgrade", "--json").json
    assert {name: document[name] for name in ("schema", "upgraded", "from", "to", "copy")} == {
        "schema": "catalog.db-upgrade/1",
        "upgraded": False,
        "from": SCHEMA_NUMBER,
        "to": SCHEMA_NUMBER,
        "copy": None,
    }
    assert catalog_cli.database.read_bytes() == before


def test_newer_catalogue_is_refused_and_still_described(catalog_cli: Any, share: Path) -> None:
    catalog_cli("scan", share)
    user_version(catalog_cli.database, SCHEMA_NUMBER + 98)
    ran = catalog_cli("db", "upgrade")
    assert (ran.code, ran.stdout) == (11, b"")
    assert f"has schema {SCHEMA_NUMBER + 98}" in ran.stderr
    described = catalog_cli("db", "info", "--json")
    assert (described.code, described.json["schema_number"], described.json["counts"]) == (
        11,
        SCHEMA_NUMBER + 98,
        None,
    )
    assert "newer pixel-catalog" in described.stderr
    assert user_version(catalog_cli.database) == SCHEMA_NUMBER + 98


def test_older_catalogue_is_copied_and_migrated(catalog_cli: Any, share: Path) -> None:
    catalog_cli("scan", share)
    described = run_with_next_schema(catalog_cli, "db", "info")
    assert described.returncode == 11
    assert "catalog db upgrade" in described.stderr
    ran = run_with_next_schema(catalog_cli, "db", "upgrade")
    assert ran.returncode == 0, ran.stderr
    copy = Path(f"{catalog_cli.database}.pre-{SCHEMA_NUMBER}")
    assert ran.stdout == (
        f"upgraded from schema {SCHEMA_NUMBER} to {SCHEMA_NUMBER + 1}: {catalog_cli.database}\n"
        f"as it was before: {copy}\n"
    )
    assert str(catalog_cli.database) in ran.stderr
    assert user_version(catalog_cli.database) == SCHEMA_NUMBER + 1
    assert user_version(copy) == SCHEMA_NUMBER
    assert Asking(copy).states() == Asking(catalog_cli.database).states() != {}
    again = run_with_next_schema(catalog_cli, "db", "upgrade")
    assert again.stdout.startswith("already current: ")


def test_file_of_another_program_is_not_touched(catalog_cli: Any) -> None:
    connection = sqlite3.connect(catalog_cli.database)
    connection.execute("CREATE TABLE notes (words TEXT)")
    connection.close()
    before = catalog_cli.database.read_bytes()
    for command in ("info", "upgrade"):
        ran = catalog_cli("db", command)
        assert (ran.code, ran.stdout) == (13, b"")
        assert "another program" in ran.stderr
    assert catalog_cli.database.read_bytes() == before


def test_damaged_file_is_said_to_be_damaged(catalog_cli: Any) -> None:
    catalog_cli.database.write_bytes(os.urandom(5000))
    for command in ("info", "upgrade"):
        assert catalog_cli("db", command).code == 13
