"""``catalog scan`` as a user runs it, on real files."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.asking import Asking, picture
from tests.mounting import less_than_root

# ---------------------------------------------------------------------------------------- what is found


def test_first_scan_catalogues_every_picture_and_says_so(catalog_cli: Any, share: Path, ask: Asking) -> None:
    (share / "notes.csv").write_text("a,b\n")
    ran = catalog_cli("scan", share, "--json")
    assert ran.code == 0, ran.stderr
    answer = ran.json
    assert (answer["schema"], answer["complete"], answer["incomplete"]) == ("catalog.scan/1", True, [])
    assert answer["roots"] == [{"name": share.name, "path": str(share), "state": "online"}]
    assert (answer["files"]["seen"], answer["files"]["new"], answer["files"]["not_reread"]) == (3, 3, 0)
    assert answer["skipped"] == {"symlinks": 0, "ignored": 1, "special": 0}
    assert answer["bytes_read"] >= sum(
        p.stat().st_size for p in share.rglob("*") if p.suffix in (".tif", ".png")
    )
    assert ask.states() == {"b.tif": "present", "c.png": "present", "scans/a.tif": "present"}
    assert str(catalog_cli.database) in ran.stderr


def test_second_scan_says_that_unchanged_files_were_not_reread(catalog_cli: Any, share: Path) -> None:
    catalog_cli("scan", share)
    ran = catalog_cli("scan", share)
    assert ran.code == 0
    assert "3 unchanged files were not re-read" in ran.stderr
    again = catalog_cli("scan", "--json").json
    assert (again["files"]["not_reread"], again["bytes_read"]) == (3, 0)


def test_unchanged_rescan_adds_no_event_and_no_revision(catalog_cli: Any, share: Path, ask: Asking) -> None:
    catalog_cli("scan", share)
    counts = "SELECT (SELECT count(*) FROM event) AS e, (SELECT count(*) FROM revision) AS r"
    before = ask(counts)
    catalog_cli("scan", share)
    assert ask(counts) == before


def test_a_scan_without_news_needs_no_sqlalchemy(catalog_cli: Any, share: Path) -> None:
    """Importing it would be half of what such a scan costs."""
    catalog_cli("scan", share)
    code = """
import sys
from catalog.cli import run
assert run(sys.argv[1:]) == 0
print([name for name in ("sqlalchemy", "alembic", "numpy") if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", code, "scan", str(share)],
        env=catalog_cli.environment(),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.splitlines()[-1:] == ["[]"], done.stderr
    assert "0 new, 0 changed" in done.stderr


def test_equal_pixels_in_unequal_files_share_a_pixel_checksum(
    catalog_cli: Any, share: Path, ask: Asking
) -> None:
    catalog_cli("scan", share)
    pixels = {row["relative_path"]: row["pixels"] for row in ask("SELECT * FROM v_file")}
    assert pixels["b.tif"] == pixels["scans/a.tif"] != pixels["c.png"]
    assert all(digest.startswith("pix1:") for digest in pixels.values())


def test_names_of_every_kind_are_catalogued(catalog_cli: Any, tmp_path: Path, ask: Asking) -> None:
    folder = tmp_path / "share"
    names = [
        b"\xff\xfe.png",
        b"new\nline.png",
        b"\x1b[31mred.png",
        "nfc-é.png".encode(),
        "nfd-é.png".encode(),
    ]
    names.append(b"a" * 251 + b".png")
    for shade, name in enumerate(names):
        os.rename(picture(folder / "x.png", shade), os.fsencode(folder) + b"/" + name)
    ran = catalog_cli("scan", folder, "--json")
    assert ran.code == 0, ran.stderr
    assert ran.json["files"]["new"] == len(names)
    stored = {row["name"] for row in ask("SELECT name FROM file WHERE outcome = 1")}
    assert stored == set(names)
    assert "\x1b" not in ran.stderr


def test_what_is_no_picture_costs_a_record_or_a_count_and_nothing_hangs(
    catalog_cli: Any, tmp_path: Path, ask: Asking
) -> None:
    folder = tmp_path / "share"
    picture(folder / "good.png", 1)
    os.mkfifo(folder / "fifo.tif")
    with socket.socket(socket.AF_UNIX) as server:
        here = os.getcwd()
        os.chdir(folder)  # the kernel takes 107 bytes of a socket's path
        try:
            server.bind("socket.tif")
        finally:
            os.chdir(here)
    (folder / "dangling.tif").symlink_to("nowhere")
    (folder / "loop").symlink_to(folder)
    (folder / "zero.tif").touch()
    (folder / "text.png").write_text("not a picture\n")
    answer = catalog_cli("scan", folder, "--json").json
    assert answer["skipped"] == {"symlinks": 2, "ignored": 0, "special": 2}
    assert answer["files"]["undecodable"] == 2
    reasons = {
        row["relative_path"]: row["reason"] for row in ask("SELECT * FROM v_file WHERE state = 'undecodable'")
    }
    assert set(reasons) == {"zero.tif", "text.png"}
    assert all(reasons.values())


def test_sparse_file_beyond_the_limit_is_hashed_in_a_stream(
    catalog_cli: Any, tmp_path: Path, ask: Asking
) -> None:
    folder = tmp_path / "share"
    folder.mkdir()
    with open(folder / "huge.tif", "wb") as stream:
        stream.truncate(32 << 20)
    catalog_cli.config.write_text('decode_limit_bytes = "1MiB"\nworker_memory_bytes = "1GiB"\n')
    assert catalog_cli("scan", folder).code == 0
    (row,) = ask("SELECT * FROM v_file")
    assert (row["fidelity"], row["pixels"], row["size"]) == ("unverified", None, 32 << 20)
    assert "decode_limit" in row["fidelity_reason"]


def test_included_files_get_raw_checksums_only(catalog_cli: Any, share: Path, ask: Asking) -> None:
    (share / "notes.csv").write_text("a,b\n")
    catalog_cli("scan", share, "--include", "*.csv")
    (row,) = ask("SELECT * FROM v_file WHERE relative_path = 'notes.csv'")
    assert (row["state"], row["pixels"], row["format"]) == ("other", None, None)
    assert row["raw_sha256"]


def test_scan_of_a_folder_inside_a_share_scans_that_part(catalog_cli: Any, share: Path, ask: Asking) -> None:
    catalog_cli("scan", share)
    picture(share / "scans" / "new.tif", 5)
    picture(share / "top.tif", 6)
    answer = catalog_cli("scan", share / "scans", "--json").json
    assert (answer["files"]["seen"], answer["files"]["new"]) == (2, 1)
    assert "top.tif" not in ask.states()


# ----------------------------------------------------------------------------------------------- errors


def test_missing_folder_is_exit_20(catalog_cli: Any, tmp_path: Path) -> None:
    ran = catalog_cli("scan", tmp_path / "nowhere")
    assert (ran.code, ran.stdout) == (20, b"")
    assert "nowhere" in ran.stderr
    assert not catalog_cli.database.exists()


def test_file_instead_of_a_folder_is_a_usage_error(catalog_cli: Any, share: Path) -> None:
    assert catalog_cli("scan", share / "b.tif").code == 2


def test_root_around_a_root_is_refused(catalog_cli: Any, share: Path) -> None:
    catalog_cli("scan", share / "scans")
    ran = catalog_cli("scan", share)
    assert ran.code == 2
    assert "contains the share scans" in ran.stderr


def test_catalogue_inside_the_share_is_refused(catalog_cli: Any, share: Path) -> None:
    ran = catalog_cli("scan", share, "--database", share / "catalog.sqlite3")
    assert ran.code == 2
    assert not (share / "catalog.sqlite3").exists()


def test_scan_without_shares_says_what_to_type(catalog_cli: Any) -> None:
    ran = catalog_cli("scan")
    assert ran.code == 2
    assert "catalog scan FOLDER" in ran.stderr


def test_nothing_on_the_share_is_touched(catalog_cli: Any, share: Path) -> None:
    def look() -> dict[Path, tuple[int, int, int, bytes]]:
        files = [path for path in share.rglob("*") if path.is_file()]
        stats = {path: path.stat() for path in files}
        return {p: (s.st_mtime_ns, s.st_ctime_ns, s.st_ino, p.read_bytes()) for p, s in stats.items()}

    before, folders = look(), {path: path.stat().st_mtime_ns for path in (share, share / "scans")}
    catalog_cli("scan", share)
    assert look() == before
    assert {path: path.stat().st_mtime_ns for path in folders} == folders


def test_interrupted_scan_keeps_what_it_has_and_the_next_goes_on(
    catalog_cli: Any, tmp_path: Path, ask: Asking, eventually: Any
) -> None:
    folder = tmp_path / "share"
    for shade in range(200):
        picture(folder / f"{shade:03}.tif", shade)
    with catalog_cli.start("scan", folder, "--max-rate", "300kB", "--json") as scanning:
        eventually(lambda: ask("SELECT count(*) AS n FROM file")[0]["n"] >= 10, 20.0)
        scanning.send_signal(signal.SIGINT)
        stdout, stderr = scanning.communicate(timeout=30)
    assert scanning.returncode == 130, stderr
    assert json.loads(stdout)["complete"] is False
    done = ask("SELECT count(*) AS n FROM file WHERE outcome = 1")[0]["n"]
    assert 10 <= done < 200
    answer = catalog_cli("scan", folder, "--json").json
    assert (answer["files"]["new"], answer["files"]["not_reread"]) == (200 - done, done)


def test_second_scan_at_the_same_time_is_told_who_holds_the_catalogue(
    catalog_cli: Any, tmp_path: Path, ask: Asking, eventually: Any
) -> None:
    folder = tmp_path / "share"
    for shade in range(200):
        picture(folder / f"{shade:03}.tif", shade)
    with catalog_cli.start("scan", folder, "--max-rate", "100kB") as scanning:
        eventually(lambda: ask("SELECT count(*) AS n FROM file")[0]["n"] >= 1, 20.0)
        ran = catalog_cli("scan", folder)
        assert ran.code == 12
        assert str(scanning.pid) in ran.stderr
        scanning.send_signal(signal.SIGINT)
        scanning.communicate(timeout=30)


# ---------------------------------------------------------------------------------------- what was left undone


def test_a_folder_that_cannot_be_listed_is_found_by_a_check(catalog_cli: Any, share: Path) -> None:
    prefix = less_than_root()
    catalog_cli("scan", share)
    (share / "scans").chmod(0)
    try:
        assert catalog_cli("scan", share, prefix=prefix).code == 3
    finally:
        (share / "scans").chmod(0o755)
    ran = catalog_cli("status", "--check")
    assert ran.code == 1
    assert "1 folder could not be listed by the last scan" in ran.stderr
    catalog_cli("scan", share)
    assert catalog_cli("status", "--check").code == 0


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        ([], 2, "no folder was named and there is no share yet; run: catalog scan FOLDER"),
        (["--name", "x"], 2, "--name goes with one folder; catalog scan FOLDER --name NAME"),
        (["nowhere"], 20, "nowhere: No such file or directory"),
    ],
)
def test_a_scan_that_cannot_begin_makes_no_catalogue(
    catalog_cli: Any, tmp_path: Path, words: list[str], code: int, complaint: str
) -> None:
    ran = catalog_cli("scan", *words, cwd=tmp_path)
    assert (ran.code, complaint in ran.stderr) == (code, True)
    assert not catalog_cli.database.exists()


def test_a_stack_of_many_pages_is_shown_on_a_few_screens(catalog_cli: Any, tmp_path: Path) -> None:
    folder = tmp_path / "stacks"
    folder.mkdir()
    pages = [Image.new("L", (8, 8), value) for value in range(12)]
    pages[0].save(folder / "stack.tif", save_all=True, append_images=pages[1:])
    assert catalog_cli("scan", folder).code == 0
    lines = catalog_cli("show", folder / "stack.tif").out.splitlines()
    assert "  image          TIFF, 8x8 gray u8, 12 images" in lines
    assert "  page 7" in lines
    assert "  page 8" not in lines
    assert "  and 4 more directories: --json" in lines
    assert len(catalog_cli("show", folder / "stack.tif", "--json").json["ifds"]) == 12


@pytest.mark.parametrize(
    ("setting", "low", "high"),
    [("decode_limit_pixels", 1199, 1200), ("decode_limit_bytes", 10, "1MB")],
)
def test_an_untouched_file_that_was_too_large_is_looked_at_again_once_the_limit_is_higher(
    catalog_cli: Any, share: Path, ask: Asking, setting: str, low: object, high: object
) -> None:
    def scanned(limit: object) -> tuple[dict[str, int], list[str]]:
        catalog_cli.config.write_text(f"{setting} = {limit!r}\n")
        ran = catalog_cli("scan", share, "--json")
        assert ran.code == 0
        told = "files that were read are damaged or too large to be decoded whole: catalog query errors"
        assert ran.json["files"]["flawed"] == (4 if told in ran.stderr else 0)
        wrong = catalog_cli("query", "errors", "--json").json["files"]
        return ran.json["files"], [each["reason"] for each in wrong]

    (share / "copy.tif").write_bytes((share / "b.tif").read_bytes())
    files, reasons = scanned(low)
    assert (files["new"], files["flawed"]) == (4, 4)
    assert reasons and all(f"raise {setting} to " in reason for reason in reasons)
    files, again = scanned(low)
    assert (files["unchanged"], files["not_reread"], again) == (4, 4, reasons)
    files, none = scanned(high)
    assert (files["unchanged"], files["not_reread"], files["changed"], none) == (4, 0, 0, [])
    assert {row["fidelity"] for row in ask("SELECT fidelity FROM v_file")} == {"exact"}
    assert scanned(high)[0]["not_reread"] == 4
    # A lower limit takes nothing away from what is known.
    assert scanned(low)[0]["not_reread"] == 4


def test_a_limit_that_is_higher_but_too_low_still_has_nothing_read_again(
    catalog_cli: Any, share: Path
) -> None:
    for limit in (1, 2, 1000):
        catalog_cli.config.write_text(f"decode_limit_pixels = {limit}\n")
        ran = catalog_cli("scan", share, "--json")
        assert ran.json["bytes_read"] == (0 if limit > 1 else ran.json["bytes_read"])
    assert ran.json["files"]["not_reread"] == 3
