"""Many contents of a share that change at once are one alarm with counts, not a line for each."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from catalog.service.auditing import audit
from catalog.terms import EventKind
from tests.in_process import Cataloguing, cataloguing_in
from tests.pictures import scan_tif

FILES = 20


@pytest.fixture
def share(tmp_path: Path) -> Path:
    folder = tmp_path / "scans"
    folder.mkdir()
    scan_tif(folder / "00.tif", 0)
    content = (folder / "00.tif").read_bytes()
    for number in range(1, FILES):
        # The description tells them apart; the samples are the same, which is all the same here.
        (folder / f"{number:02}.tif").write_bytes(
            content.replace(b"specimen 0", b"specimen %x" % (number % 16))
        )
    return folder


@pytest.fixture
def home(tmp_path: Path, share: Path) -> Iterator[Cataloguing]:
    """The share is catalogued."""
    with cataloguing_in(tmp_path, mass_change_share=0.25, mass_change_files=3) as made:
        made.scan(share)
        yield made


def append(share: Path, numbers: range) -> None:
    for number in numbers:
        with (share / f"{number:02}.tif").open("ab") as file:
            file.write(b"garbage")


def alarms(home: Cataloguing) -> list[dict[str, Any]]:
    return home.ask("SELECT * FROM v_event WHERE kind = ?", EventKind.ALARM.value)


def status(home: Cataloguing, catalog_cli: Any) -> Any:
    return catalog_cli("status", "--check", "--json", env={"CATALOG_DATABASE": str(home.database)})


def test_an_audit_that_finds_a_mass_raises_the_alarm_with_all_of_it(home: Cataloguing, share: Path) -> None:
    """Also one that is over before anybody counts."""
    append(share, range(9))
    result = audit(home.session, database=str(home.database))
    assert sum(result.drift.values()) == 9
    assert len(alarms(home)) == 1
    (root,) = home.ask("SELECT mass_change FROM root")
    assert json.loads(root["mass_change"])["files"] == 9


def test_a_mass_is_one_alarm_and_stands_until_it_was_looked_at(
    home: Cataloguing, share: Path, catalog_cli: Any, caplog: pytest.LogCaptureFixture
) -> None:
    append(share, range(8))
    (share / "08.tif").write_bytes(b"II*\0encrypted")
    with caplog.at_level(logging.INFO):
        home.scan(share)
    told = "9 of 20 files changed within an hour: 8 metadata and 1 broken"
    assert [record.getMessage() for record in caplog.records] == [f"share scans: {told}"]
    assert len(alarms(home)) == 1 and told in alarms(home)[0]["detail"]

    checked = status(home, catalog_cli)
    assert checked.code == 1
    (root,) = checked.json["roots"]
    mass = root["mass_change"]
    assert mass.pop("since") is not None
    assert mass == {
        "event": alarms(home)[0]["event_id"],
        "files": 9,
        "of": 20,
        "kinds": {"metadata": 8, "broken": 1},
        "open": 9,
    }
    assert f"scans: {told}; all open" in checked.json["problems"]

    # More of it: the same alarm, with new counts.
    append(share, range(9, 12))
    home.scan(share)
    assert len(alarms(home)) == 1
    assert status(home, catalog_cli).json["roots"][0]["mass_change"]["kinds"] == {"metadata": 11, "broken": 1}

    environment = {"CATALOG_DATABASE": str(home.database)}
    assert catalog_cli("accept", share, "--yes", "--kind", "metadata", env=environment).code == 0
    waiting = status(home, catalog_cli).json["roots"][0]["mass_change"]
    assert (waiting["files"], waiting["open"]) == (12, 1)
    assert catalog_cli("accept", share / "08.tif", env=environment).code == 0
    settled = status(home, catalog_cli)
    assert settled.json["roots"][0]["mass_change"] is None
    assert (settled.code, settled.json["problems"]) == (0, [])


@pytest.mark.parametrize("number", [3, 5])
def test_a_few_are_no_mass(home: Cataloguing, share: Path, number: int) -> None:
    """3 are not more than the least number, 5 of 20 are not more than a quarter."""
    append(share, range(number))
    home.scan(share)
    assert len(home.ask.open_drift()) == number
    assert alarms(home) == []


def test_the_daemon_raises_the_alarm_while_it_watches(tmp_path: Path, share: Path) -> None:
    with cataloguing_in(tmp_path, mass_change_share=0.0, mass_change_files=3) as home:
        home.scan(share)
        with home.watching() as daemon:
            daemon.until(lambda: home.ask("SELECT mode FROM v_root")[0]["mode"])
            append(share, range(12))
            daemon.until(lambda: alarms(home))
            daemon.until(lambda: len(home.ask.open_drift()) == 12)
        assert len(alarms(home)) == 1


def test_files_that_are_gone_are_counted_elsewhere(home: Cataloguing, share: Path) -> None:
    for number in range(8):
        (share / f"{number:02}.tif").unlink()
    home.scan(share)
    assert alarms(home) == []
