"""``root confirm-missing``, ``relocate``, ``mark``, and what ``add`` and ``remove`` say, as an admin runs them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import uuid
from pathlib import Path
from typing import Any

import pytest

from tests.asking import Asking, picture
from tests.mounting import namespaces


@pytest.fixture
def moved(share: Path, tmp_path: Path) -> Path:
    """A copy of the share with its times, elsewhere."""
    return Path(shutil.copytree(share, tmp_path / "moved"))


def scanned(catalog_cli: Any, share: Path) -> None:
    assert catalog_cli("scan", share, "--name", "pictures").code == 0


# -------------------------------------------------------------------------------------- confirm-missing


@pytest.fixture
def held(catalog_cli: Any, share: Path) -> Path:
    """A share of which two of three files are gone, and held."""
    catalog_cli.config.write_text("mass_missing_files = 1\nworkers = 1\n")
    scanned(catalog_cli, share)
    shutil.rmtree(share / "scans")
    (share / "b.tif").unlink()
    ran = catalog_cli("scan", share)
    assert ran.code == 3
    assert "held back: catalog root confirm-missing" in ran.stderr
    return share


@pytest.mark.slow
def test_held_absences_are_counted_by_folder_and_confirmed_after_a_question(
    catalog_cli: Any, held: Path, ask: Asking
) -> None:
    dry = catalog_cli("root", "confirm-missing", "pictures", "--dry-run", "--json")
    assert (dry.code, dry.json["held"], dry.json["confirmed"]) == (0, 2, 0)
    folders = [(each["path"], each["files"]) for each in dry.json["folders"]]
    assert folders == [(str(held), 1), (str(held / "scans"), 1)]
    declined = catalog_cli("root", "confirm-missing", "pictures")
    assert declined.code == 4
    assert "Record 2 files of pictures as missing?" in declined.stderr
    assert set(ask.states().values()) == {"suspect", "present"}
    done = catalog_cli("root", "confirm-missing", str(held), "--yes", "--actor", "ada", "--json")
    assert (done.code, done.json["confirmed"], done.json["unproven"]) == (0, 2, 0)
    assert ask.states() == {"b.tif": "missing", "scans/a.tif": "missing", "c.png": "present"}
    events = ask("SELECT kind, actor FROM v_event WHERE kind IN ('missing', 'confirmed') ORDER BY event_id")
    assert [event["kind"] for event in events] == ["missing", "missing", "confirmed"]
    assert {event["actor"] for event in events} == {"ada"}
    again = catalog_cli("root", "confirm-missing", "pictures", "--yes")
    assert (again.code, "nothing is held back" in again.stderr) == (0, True)


def test_nothing_is_confirmed_while_the_share_is_away(catalog_cli: Any, held: Path, ask: Asking) -> None:
    held.rename(held.with_name("away"))
    ran = catalog_cli("root", "confirm-missing", "pictures", "--yes")
    assert ran.code == 3
    assert "pictures is offline" in ran.stderr
    assert ask.events("missing") == []


def test_confirming_names_the_shares_that_there_are(catalog_cli: Any, share: Path) -> None:
    assert catalog_cli("root", "confirm-missing", "x").code == 10
    scanned(catalog_cli, share)
    ran = catalog_cli("root", "confirm-missing", "x", "--yes")
    assert (ran.code, "the shares: pictures" in ran.stderr) == (20, True)


# ---------------------------------------------------------------------------------------------- relocate


def test_share_that_moved_keeps_its_history(catalog_cli: Any, share: Path, moved: Path, ask: Asking) -> None:
    scanned(catalog_cli, share)
    files = ask("SELECT file_id, relative_path, first_seen FROM v_file ORDER BY file_id")
    shutil.rmtree(share)
    dry = catalog_cli("root", "relocate", "pictures", moved, "--dry-run")
    assert (dry.code, "3 there as recorded" in dry.stderr) == (0, True)
    ran = catalog_cli("root", "relocate", "pictures", moved, "--actor", "ada")
    assert ran.code == 0, ran.stderr
    assert catalog_cli("scan", moved, "--json").json["files"]["new"] == 0
    assert ask("SELECT file_id, relative_path, first_seen FROM v_file ORDER BY file_id") == files
    assert ask("SELECT path FROM v_root") == [{"path": str(moved)}]
    assert ask.events("missing", "changed", "moved") == []
    (event,) = ask("SELECT actor, detail FROM v_event WHERE kind = 'root-relocated'")
    assert event["actor"] == "ada"
    assert '"recognised_by":"files"' in event["detail"]


def test_copy_without_its_times_is_recognised_by_its_bytes(
    catalog_cli: Any, share: Path, moved: Path
) -> None:
    scanned(catalog_cli, share)
    for path in moved.rglob("*.*"):
        os.utime(path, (1, 1))
    ran = catalog_cli("root", "relocate", "pictures", moved, "--dry-run")
    assert (ran.code, "3 there as recorded" in ran.stderr) == (0, True)


@pytest.mark.slow
def test_another_folder_is_refused_with_counts_unless_forced(
    catalog_cli: Any, share: Path, moved: Path, ask: Asking
) -> None:
    scanned(catalog_cli, share)
    (moved / "b.tif").unlink()
    (moved / "scans" / "a.tif").unlink()
    for word in ("--dry-run", "-v"):
        ran = catalog_cli("root", "relocate", "pictures", moved, word)
        assert ran.code == 2
        assert "1 there as recorded, 0 different, 2 not there" in ran.stderr
    assert ask("SELECT path FROM v_root") == [{"path": str(share)}]
    assert catalog_cli("root", "relocate", "pictures", moved, "--force").code == 0
    ran = catalog_cli("scan", moved, "--json")
    assert (ran.code, ran.json["files"]["held_missing"]) == (
        3,
        2,
    )  # two of them are no mass, and held all the same
    assert ask.events("missing") == []


@pytest.mark.slow
def test_a_copy_with_times_of_its_own_is_recognised_by_the_bytes_of_some_of_its_files(
    catalog_cli: Any, tmp_path: Path
) -> None:
    folder, copy = tmp_path / "many", tmp_path / "restored"
    folder.mkdir()
    for number in range(45):
        (folder / f"{number}.png").write_bytes(b"picture %02d" % number)
    assert catalog_cli("scan", folder).code == 0
    shutil.copytree(folder, copy, copy_function=shutil.copyfile)
    for file in copy.iterdir():
        os.utime(file, ns=(1, 1))
    shutil.rmtree(folder)
    ran = catalog_cli("root", "relocate", "many", copy, "--dry-run", "--json")
    assert (ran.code, ran.json["same"], ran.json["unread"], ran.json["unknown"]) == (0, 20, 25, 0)
    for file in copy.iterdir():
        file.write_bytes(file.read_bytes()[::-1])
    assert catalog_cli("root", "relocate", "many", copy).code == 2


def test_relocating_into_another_share_is_refused(catalog_cli: Any, share: Path, moved: Path) -> None:
    scanned(catalog_cli, share)
    assert catalog_cli("root", "add", moved, "--name", "other").code == 0
    ran = catalog_cli("root", "relocate", "pictures", moved)
    assert (ran.code, "is in the share other" in ran.stderr) == (2, True)
    assert catalog_cli("root", "relocate", "pictures", moved / "nowhere").code == 20


# -------------------------------------------------------------------------------------------------- mark


@pytest.mark.slow
def test_marked_share_is_known_by_its_marker_alone(
    catalog_cli: Any, share: Path, moved: Path, ask: Asking
) -> None:
    scanned(catalog_cli, share)
    marker = share / ".catalog-share"
    assert catalog_cli("root", "mark", "pictures").code == 4
    assert catalog_cli("root", "mark", "pictures", "--dry-run").code == 0
    assert not marker.exists()
    assert catalog_cli("root", "mark", "pictures", "--yes", "--actor", "ada").code == 0
    token = marker.read_text().strip()
    assert str(uuid.UUID(token)) == token
    assert marker.stat().st_mode & 0o777 == 0o644
    assert catalog_cli("scan", share).code == 0
    assert ask("SELECT actor FROM v_event WHERE kind = 'root-marked'") == [{"actor": "ada"}]
    # A copy without it is not the share, however alike; with it, it is.
    ran = catalog_cli("root", "relocate", "pictures", moved)
    assert (ran.code, "its marker is another one, or there is none" in ran.stderr) == (2, True)
    shutil.copy(marker, moved)
    ran = catalog_cli("root", "relocate", "pictures", moved)
    assert (ran.code, "it carries the marker" in ran.stderr) == (0, True)
    assert catalog_cli("scan", moved).code == 0
    (moved / ".catalog-share").write_text("another\n")
    ran = catalog_cli("scan", moved, "--json")
    assert (ran.code, ran.json["roots"][0]["state"]) == (3, "replaced")
    ran = catalog_cli("root", "mark", "pictures", "--yes")
    assert (ran.code, "carries the marker of another share: another" in ran.stderr) == (2, True)
    assert catalog_cli("root", "mark", "--forget", "pictures").code == 0
    assert catalog_cli("scan", moved).code == 0
    assert catalog_cli("root", "mark", "pictures", "--yes").code == 0  # taken over, not written over
    assert ask("SELECT marker FROM root") == [{"marker": "another"}]
    assert ask.events("missing", "changed", "moved") == []


@pytest.mark.slow
def test_lost_marker_is_written_again_where_the_share_is_known_otherwise(
    catalog_cli: Any, share: Path
) -> None:
    scanned(catalog_cli, share)
    assert catalog_cli("root", "mark", "pictures", "--yes").code == 0
    marker = share / ".catalog-share"
    token = marker.read_text()
    marker.unlink()
    assert catalog_cli("scan", share).code == 3
    assert catalog_cli("root", "mark", "pictures", "--yes").code == 0
    assert marker.read_text() == token
    assert catalog_cli("scan", share).code == 0


def test_share_that_is_read_only_is_not_marked_and_the_reason_is_told(catalog_cli: Any, share: Path) -> None:
    prefix = namespaces()
    scanned(catalog_cli, share)
    script = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && exec "$2" -m catalog root mark pictures --yes'
    ran = subprocess.run(
        [*prefix, "sh", "-c", script, "sh", share, catalog_cli.python],
        env=catalog_cli.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if "mount:" in ran.stderr:
        pytest.skip(f"nothing can be mounted read-only here: {ran.stderr}")
    assert ran.returncode == 14, ran.stderr
    assert "Read-only file system" in ran.stderr
    assert "a share needs none" in ran.stderr


# ---------------------------------------------------------------------------------------- add and remove


@pytest.mark.slow
def test_removal_says_what_is_closed_and_adding_again_that_it_is_a_new_share(
    catalog_cli: Any, share: Path
) -> None:
    scanned(catalog_cli, share)
    picture(share / "b.tif", 77)
    assert catalog_cli("scan", share).code == 0
    ran = catalog_cli("root", "remove", "pictures")
    assert ran.code == 4
    assert "3 files leave every answer and 1 open case of drift will be closed" in ran.stderr
    assert "its files begin anew" in ran.stderr
    assert catalog_cli("root", "remove", "pictures", "--yes").code == 0
    ran = catalog_cli("root", "add", share)
    assert ran.code == 0
    assert "this is a new share" in ran.stderr
    assert f"catalog scan {share}" in ran.stderr


def test_link_is_followed_and_the_share_is_what_it_leads_to(
    catalog_cli: Any, share: Path, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(share)
    ran = catalog_cli("root", "add", "link", cwd=tmp_path)
    assert f"({share}, where {tmp_path / 'link'} leads now)" in ran.stderr


@pytest.mark.slow
def test_share_that_is_added_beside_a_daemon_of_named_shares_is_said_not_to_be_watched(
    catalog_cli: Any, share: Path, moved: Path, eventually: Any
) -> None:
    with catalog_cli.start("watch", share, stderr=subprocess.DEVNULL) as process:
        try:
            ask = Asking(catalog_cli.database)
            eventually(lambda: "only" in ask("SELECT status FROM daemon")[0]["status"], 30.0)
            ran = catalog_cli("root", "add", moved)
            assert ran.code == 0
            assert "watches only the shares that it was started with, not moved" in ran.stderr
            assert catalog_cli("scan", moved).code == 0  # asked once, it does
            picture(moved / "late.tif", 9)
            eventually(lambda: "late.tif" in ask.states(), 30.0)
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=20)


def test_another_name_for_a_known_share_is_told_as_not_heeded(catalog_cli: Any, share: Path) -> None:
    assert catalog_cli("root", "add", share, "--name", "pictures").code == 0
    told = f"{share} is in the share pictures already, which keeps its name: --name 'my scans' is not heeded"
    for command in (("root", "add"), ("scan",)):
        ran = catalog_cli(*command, share, "--name", "my scans")
        assert (ran.code, told in ran.stderr) == (0, True), ran.stderr
        assert "not heeded" not in catalog_cli(*command, share, "--name", "pictures").stderr
    assert [each["name"] for each in catalog_cli("root", "list", "--json").json["roots"]] == ["pictures"]
