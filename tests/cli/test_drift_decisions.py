"""What people decide about drift of real files: policies, acceptances, damage by name only, second thoughts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from catalog.terms import Kind
from tests.in_process import Cataloguing, cataloguing_in
from tests.mutations import cut, mtime_kept, one_sample, pillow
from tests.pictures import scan_tif


def described(path: Path) -> None:
    """Another description; the samples lie where they lay."""
    content = path.read_bytes()
    path.write_bytes(content.replace(b"specimen", b"SPECIMEN"))


CHANGES = {
    "metadata.tif": described,
    "stealth.tif": mtime_kept(described),
    "resaved.tif": pillow(),
    "sample.tif": one_sample,
    "cut.tif": cut(0.5),
    "gone.tif": lambda path: path.unlink(),
}


@pytest.fixture
def share(tmp_path: Path) -> Path:
    folder = tmp_path / "share"
    folder.mkdir()
    for number, name in enumerate(CHANGES):
        scan_tif(folder / name, number)
    return folder


def drifted(home: Cataloguing, share: Path) -> None:
    home.scan(share)
    for name, change in CHANGES.items():
        change(share / name)
    home.scan(share)


def open_cases(home: Cataloguing) -> dict[str, str]:
    return {name: kind for name, kind, _ in home.ask.open_drift()}


def test_a_policy_accepts_its_kinds_and_never_what_was_done_in_secret(tmp_path: Path, share: Path) -> None:
    with cataloguing_in(tmp_path, auto_accept=(Kind.METADATA, Kind.REENCODED)) as home:
        drifted(home, share)
        assert open_cases(home) == {
            "stealth.tif": "metadata",
            "sample.tif": "picture",
            "cut.tif": "broken",
            "gone.tif": "missing",
        }
        accepted = home.ask("SELECT path, actor FROM v_event WHERE kind = 'accepted' ORDER BY path")
        assert [(Path(row["path"]).name, row["actor"]) for row in accepted] == [
            ("metadata.tif", "policy"),
            ("resaved.tif", "policy"),
        ]
        home.scan(share)
        assert len(open_cases(home)) == 4


def test_a_folder_is_accepted_but_for_damage_and_each_decision_can_be_taken_back(
    tmp_path: Path, share: Path, catalog_cli: Any
) -> None:
    with cataloguing_in(tmp_path) as home:
        environment = {"CATALOG_DATABASE": str(home.database)}
        drifted(home, share)
        before = open_cases(home)
        assert set(before) == set(CHANGES)
        assert catalog_cli("accept", share, "--yes", env=environment).code == 3
        assert open_cases(home) == {
            "stealth.tif": "metadata",
            "cut.tif": "broken",
            "gone.tif": "missing",
        }
        named = [share / name for name in ("stealth.tif", "cut.tif", "gone.tif")]
        ran = catalog_cli("accept", *named, "--yes", "--json", "--actor", "ana", env=environment)
        assert (ran.code, open_cases(home)) == (0, {})
        events = {Path(row["path"]).name: row["event"] for row in ran.json["files"]}
        home.scan(share)
        assert open_cases(home) == {}  # what was accepted is what is there

        undone = catalog_cli("accept", "--undo", str(events["cut.tif"]), env=environment)
        assert undone.code == 0, undone.stderr
        assert open_cases(home) == {"cut.tif": "broken"}
        home.scan(share)
        assert open_cases(home) == {"cut.tif": "broken"}
        shown = catalog_cli("show", share / "cut.tif", env=environment).out
    assert "accepted: broken ordinary; by ana" in shown
    assert f"acceptance {events['cut.tif']} undone: broken ordinary" in shown
