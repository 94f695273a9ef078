"""``catalog scan`` after files were moved, deleted, or not seen any more."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from tests.asking import Asking, picture

# ------------------------------------------------------------------------------------- moves and absence


def test_history_follows_a_renamed_file(catalog_cli: Any, share: Path, ask: Asking) -> None:
    catalog_cli("scan", share)
    (file,) = ask("SELECT file_id FROM v_file WHERE relative_path = 'c.png'")
    (share / "deep").mkdir()
    (share / "c.png").rename(share / "deep" / "d.png")
    answer = catalog_cli("scan", share, "--json").json
    assert (answer["files"]["moved"], answer["files"]["new"], answer["files"]["missing"]) == (1, 0, 0)
    (moved,) = ask("SELECT file_id FROM v_file WHERE relative_path = 'deep/d.png'")
    assert moved == file
    assert "c.png" not in ask.states()


def test_history_follows_a_renamed_folder(catalog_cli: Any, tmp_path: Path, ask: Asking) -> None:
    folder = tmp_path / "share"
    for shade in range(30):
        picture(folder / "old" / f"{shade}.tif", shade)
    catalog_cli("scan", folder)
    ids = {Path(row["relative_path"]).name: row["file_id"] for row in ask("SELECT * FROM v_file")}
    (folder / "old").rename(folder / "new")
    answer = catalog_cli("scan", folder, "--json").json
    assert (answer["files"]["moved"], answer["files"]["new"], answer["files"]["missing"]) == (30, 0, 0)
    rows = ask("SELECT * FROM v_file WHERE state = 'present'")
    assert {Path(row["relative_path"]).name: row["file_id"] for row in rows} == ids
    assert {Path(row["relative_path"]).parent.name for row in rows} == {"new"}


def test_three_files_renamed_in_a_ring_keep_their_histories(
    catalog_cli: Any, tmp_path: Path, ask: Asking
) -> None:
    folder = tmp_path / "share"
    paths = [picture(folder / f"{name}.tif", shade) for shade, name in enumerate("abc")]
    catalog_cli("scan", folder)
    before = {row["raw_sha256"]: row["file_id"] for row in ask("SELECT * FROM v_file")}
    paths[0].rename(folder / "t")
    paths[2].rename(paths[0])
    paths[1].rename(paths[2])
    (folder / "t").rename(paths[1])
    answer = catalog_cli("scan", folder, "--json").json
    assert (answer["files"]["moved"], answer["files"]["changed"]) == (3, 0)
    assert {row["raw_sha256"]: row["file_id"] for row in ask("SELECT * FROM v_file")} == before
    assert ask.open_drift() == []


def test_file_renamed_over_another_keeps_its_history_and_the_other_is_missing(
    catalog_cli: Any, tmp_path: Path, ask: Asking
) -> None:
    folder = tmp_path / "share"
    one, two = picture(folder / "1.tif", 1), picture(folder / "2.tif", 2)
    catalog_cli("scan", folder)
    ids = {row["relative_path"]: row["file_id"] for row in ask("SELECT * FROM v_file")}
    one.rename(two)
    answer = catalog_cli("scan", folder, "--json").json
    files = answer["files"]
    assert (files["moved"], files["changed"], files["missing"]) == (1, 0, 1)
    rows = {row["file_id"]: row for row in ask("SELECT * FROM v_file")}
    mover, other = rows[ids["1.tif"]], rows[ids["2.tif"]]
    assert (mover["relative_path"], mover["state"]) == ("2.tif", "present")
    assert (other["relative_path"], other["state"]) == ("2.tif", "missing")
    assert other["reason"] == f"another file was renamed over it: {one}"
    (lost,) = catalog_cli("query", "missing", "--json").json["files"]
    assert (lost["path"], lost["reason"]) == (str(two), other["reason"])


def test_copy_has_a_history_of_its_own(catalog_cli: Any, share: Path, ask: Asking) -> None:
    catalog_cli("scan", share)
    shutil.copy2(share / "c.png", share / "copy.png")
    answer = catalog_cli("scan", share, "--json").json
    assert (answer["files"]["moved"], answer["files"]["new"]) == (0, 1)


def test_two_new_copies_of_a_vanished_file_stay_separate(catalog_cli: Any, share: Path, ask: Asking) -> None:
    catalog_cli("scan", share)
    content = (share / "c.png").read_bytes()
    (share / "c.png").unlink()
    (share / "x.png").write_bytes(content)
    (share / "y.png").write_bytes(content)
    answer = catalog_cli("scan", share, "--json").json
    assert (answer["files"]["moved"], answer["files"]["new"], answer["files"]["missing"]) == (0, 2, 1)


def test_reused_inode_is_no_move(catalog_cli: Any, tmp_path: Path, ask: Asking) -> None:
    folder = tmp_path / "share"
    for shade in range(40):
        picture(folder / f"a{shade}.tif", shade)
    catalog_cli("scan", folder)
    for shade in range(40):
        (folder / f"a{shade}.tif").unlink()
        picture(folder / f"b{shade}.tif", 100 + shade)
    answer = catalog_cli("scan", folder, "--json").json
    assert (answer["files"]["moved"], answer["files"]["new"]) == (0, 40)


def test_deleted_file_is_missing_and_its_return_closes_the_case(
    catalog_cli: Any, share: Path, ask: Asking
) -> None:
    catalog_cli("scan", share)
    content = (share / "c.png").read_bytes()
    (share / "c.png").unlink()
    assert catalog_cli("scan", share, "--json").json["files"]["missing"] == 1
    assert ask.states()["c.png"] == "missing"
    assert [(name, kind) for name, kind, _ in ask.open_drift()] == [("c.png", "missing")]
    (share / "c.png").write_bytes(content)
    ran = catalog_cli("scan", share, "--json")
    assert ran.json["files"]["reappeared"] == 1
    assert "0 missing, 1 there again, 2 unchanged" in ran.stderr
    assert (ask.states()["c.png"], ask.open_drift()) == ("present", [])


def test_deleted_folder_takes_its_files_to_missing(catalog_cli: Any, share: Path, ask: Asking) -> None:
    catalog_cli("scan", share)
    shutil.rmtree(share / "scans")
    assert catalog_cli("scan", share, "--json").json["files"]["missing"] == 1
    assert ask.states()["scans/a.tif"] == "missing"


def test_mass_of_absences_is_held_back(catalog_cli: Any, tmp_path: Path, ask: Asking) -> None:
    folder = tmp_path / "share"
    for shade in range(100):
        picture(folder / f"{shade}.tif", shade)
    catalog_cli("scan", folder)
    for shade in range(60):
        (folder / f"{shade}.tif").unlink()
    ran = catalog_cli("scan", folder, "--json")
    assert ran.code == 3
    assert (ran.json["files"]["missing"], ran.json["files"]["held_missing"]) == (0, 60)
    assert list(ask.states().values()).count("suspect") == 60
    for shade in range(60):
        picture(folder / f"{shade}.tif", shade)
    assert catalog_cli("scan", folder).code == 0
    assert set(ask.states().values()) == {"present"}


def test_folder_made_anew_is_not_taken_for_a_deletion(catalog_cli: Any, share: Path, ask: Asking) -> None:
    catalog_cli("scan", share)
    shutil.move(share, share.with_name("elsewhere"))
    picture(share / "new.tif", 1)
    ran = catalog_cli("scan", share, "--json")
    assert ran.code == 3
    assert ran.json["files"]["held_missing"] == 3
    assert "catalog root confirm-missing" in ran.stderr
    assert set(ask.states().values()) == {"suspect", "present"}


# ------------------------------------------------------------------------------ what was not seen lately


def test_what_was_not_seen_lately_is_no_copy_to_keep(catalog_cli: Any, tmp_path: Path) -> None:
    """Somebody who removes the redundant files of an answer must never remove the last copy."""
    folder = tmp_path / "share"
    for shade in range(60):
        picture(folder / "a" / f"{shade}.tif", shade)
    shutil.copytree(folder / "a", folder / "b")
    catalog_cli("scan", folder)
    assert catalog_cli("query", "dupes", "--json").json["totals"]["redundant_files"] == 60
    shutil.rmtree(folder / "a")
    assert catalog_cli("scan", folder).code == 3  # held back: more than a fifth is gone
    ran = catalog_cli("query", "dupes", "--json")
    assert (ran.code, ran.json["complete"], ran.json["groups"]) == (3, False, [])
    assert ran.json["incomplete"][0]["files"] == 60
    assert catalog_cli("query", "dupes", "--paths", "--allow-incomplete").stdout == b""
    assert catalog_cli("query", "missing", "--json").json["complete"] is False


def test_files_behind_a_link_that_is_no_longer_followed_are_not_deleted(
    catalog_cli: Any, tmp_path: Path
) -> None:
    folder, elsewhere = tmp_path / "share", tmp_path / "elsewhere"
    picture(folder / "a.tif", 1)
    picture(elsewhere / "b.tif", 2)
    (folder / "link").symlink_to(elsewhere)
    assert catalog_cli("scan", "--follow-links", folder, "--json").json["files"]["new"] == 2
    assert catalog_cli("scan", folder, "--json").json["files"]["missing"] == 0
