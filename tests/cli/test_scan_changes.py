"""``catalog scan`` after files were changed: what changed, and how."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from PIL import Image

from tests.asking import Asking, picture


def test_resaved_picture_is_reencoded_and_says_why(catalog_cli: Any, tmp_path: Path, ask: Asking) -> None:
    path = picture(tmp_path / "share" / "a.tif", 1)
    catalog_cli("scan", path.parent)
    with Image.open(path) as image:
        image.load()
    image.save(path, compression="tiff_lzw")
    answer = catalog_cli("scan", path.parent, "--json").json
    assert answer["files"]["changed"] == 1
    ((name, kind, reasons),) = ask.open_drift()
    assert (name, kind, reasons[0]) == ("a.tif", "reencoded", "pixels identical")
    assert "LZW" in " ".join(reasons)


def test_one_changed_sample_is_a_changed_picture(catalog_cli: Any, tmp_path: Path, ask: Asking) -> None:
    path = picture(tmp_path / "share" / "a.tif", 1)
    catalog_cli("scan", path.parent)
    with Image.open(path) as image:
        image.load()
    image.putpixel((20, 20), (1, 2, 3))
    image.save(path)
    catalog_cli("scan", path.parent)
    assert [(name, kind) for name, kind, _ in ask.open_drift()] == [("a.tif", "picture")]


def test_case_closes_when_the_baseline_content_returns(catalog_cli: Any, tmp_path: Path, ask: Asking) -> None:
    path = picture(tmp_path / "share" / "a.tif", 1)
    original = path.read_bytes()
    catalog_cli("scan", path.parent)
    picture(path, 2)
    catalog_cli("scan", path.parent)
    assert len(ask.open_drift()) == 1
    path.write_bytes(original)
    catalog_cli("scan", path.parent)
    assert ask.open_drift() == []
    assert [row["resolution"] for row in ask("SELECT * FROM v_drift")] == ["restored"]
    assert ask.events("restored") == ["restored a.tif"]


def test_touched_file_is_an_event_and_no_case(catalog_cli: Any, share: Path, ask: Asking) -> None:
    catalog_cli("scan", share)
    os.utime(share / "b.tif")
    answer = catalog_cli("scan", share, "--json").json
    assert (answer["files"]["changed"], answer["files"]["unchanged"], answer["files"]["not_reread"]) == (
        0,
        3,
        2,
    )
    assert (ask.open_drift(), ask.events("touched")) == ([], ["touched b.tif"])


def test_file_that_no_longer_decodes_is_broken(catalog_cli: Any, tmp_path: Path, ask: Asking) -> None:
    path = picture(tmp_path / "share" / "a.png", 1)
    picture(tmp_path / "share" / "b.png", 2)
    catalog_cli("scan", path.parent)
    path.write_bytes(path.read_bytes()[:20])
    catalog_cli("scan", path.parent)
    ((name, kind, reasons),) = ask.open_drift()
    assert (name, kind) == ("a.png", "broken")
    assert "no longer decodes" in reasons[0]


def test_files_that_do_not_decode_are_counted_not_contents(
    catalog_cli: Any, tmp_path: Path, ask: Asking
) -> None:
    folder = tmp_path / "share"
    whole = picture(folder / "whole.png", 1).read_bytes()
    for name in ("a.png", "b.png", "c.png"):
        (folder / name).write_bytes(whole[:60])
    ran = catalog_cli("scan", folder, "--json")
    assert ran.json["files"]["undecodable"] == list(ask.states().values()).count("undecodable") == 3
    assert "3 files that were read do not decode: catalog query errors" in ran.stderr


def test_contents_swapped_by_writing_are_told_as_a_swap(
    catalog_cli: Any, tmp_path: Path, ask: Asking
) -> None:
    one, two = picture(tmp_path / "share" / "1.tif", 1), picture(tmp_path / "share" / "2.tif", 2)
    catalog_cli("scan", one.parent)
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)
    catalog_cli("scan", one.parent)
    cases = ask.open_drift()
    assert [(name, kind) for name, kind, _ in cases] == [("1.tif", "picture"), ("2.tif", "picture")]
    assert all("swapped" in " ".join(reasons) for _, _, reasons in cases)
    assert ask.events("moved") == []


def test_verbose_scan_tells_each_change_in_a_line(catalog_cli: Any, share: Path) -> None:
    first = catalog_cli("scan", share, "-v").stderr
    assert f"Z new: {share / 'b.tif'}\n" in first
    (share / "b.tif").rename(share / "d.tif")
    picture(share / "c.png", 5)
    (share / "scans" / "a.tif").unlink()
    told = [line.partition("Z ")[2] for line in catalog_cli("scan", share, "-v").stderr.splitlines()]
    assert f"moved: {share / 'd.tif'}, from {share / 'b.tif'}" in told
    assert any(line.startswith(f"changed: {share / 'c.png'}: picture: ") for line in told)
    assert any(line.startswith(f"missing: {share / 'scans' / 'a.tif'}: ") for line in told)
    picture(share / "c.png", 6)
    assert "changed: " not in catalog_cli("scan", share).stderr
