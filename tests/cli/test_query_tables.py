"""What tables say in fewer lines than there are files; JSON and CSV name every one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.TiffImagePlugin import AppendingTiffWriter

from tests.asking import picture


def broken(folder: Path, number: int) -> None:
    """Pictures that end too early, each at another byte, and text that is called a picture."""
    whole = picture(folder / "whole.png", 1).read_bytes()
    for each in range(number):
        (folder / f"cut{each}.png").write_bytes(whole[: 60 + each])
        (folder / f"text{each}.tif").write_text(f"not a picture {each}\n")


def lines(told: str) -> list[str]:
    return told.splitlines()[1:]


def test_errors_with_one_cause_are_one_line_and_json_names_each_file(
    catalog_cli: Any, tmp_path: Path
) -> None:
    broken(tmp_path / "share", 4)
    assert catalog_cli("scan", tmp_path / "share").code == 0
    cut, text = lines(catalog_cli("query", "errors").out)
    assert str(tmp_path / "share" / "cut0.png") + " and 3 other files" in cut
    assert "such as: truncated: chunk IDAT" in cut
    assert str(tmp_path / "share" / "text0.tif") + " and 3 other files" in text
    assert text.endswith("  text, not an image")
    assert len(catalog_cli("query", "errors", "--json").json["files"]) == 8
    assert len(lines(catalog_cli("query", "errors", "--csv").out)) == 8
    assert len(lines(catalog_cli("query", "errors", "--limit", "6").out)) == 6


def test_few_errors_with_one_cause_stay_lines_of_their_own(catalog_cli: Any, tmp_path: Path) -> None:
    broken(tmp_path / "share", 3)
    assert catalog_cli("scan", tmp_path / "share").code == 0
    assert len(lines(catalog_cli("query", "errors").out)) == 6


def stack(path: Path, software: list[str]) -> None:
    """A TIFF of so many pages, each with its own Software."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with AppendingTiffWriter(str(path), new=True) as writer:
        for value, words in enumerate(software):
            Image.new("L", (8, 8), value).save(writer, "TIFF", tiffinfo={305: words})
            writer.newFrame()


def test_pages_that_say_the_same_are_one_line_that_names_them(catalog_cli: Any, tmp_path: Path) -> None:
    share = tmp_path / "share"
    stack(share / "same.tif", ["scan"] * 5)
    stack(share / "other.tif", ["scan", "scan", "edit", "scan", "scan", "scan"])
    picture(share / "one.tif", 1, tiffinfo={305: "scan"})
    assert catalog_cli("scan", share).code == 0
    found = {
        tuple(line.split("  ")) for line in _squeezed(catalog_cli("query", "tags", "Software", cwd=share).out)
    }
    assert found == {
        ("page 2", "Software", "edit", "other.tif"),
        ("5 pages: 0–1, 3–5", "Software", "scan", "other.tif"),
        ("5 pages: 0–4", "Software", "scan", "same.tif"),
        ("page 0", "Software", "scan", "one.tif"),
    }
    assert len(lines(catalog_cli("query", "tags", "Software", "--all-pages").out)) == 12
    assert len(lines(catalog_cli("query", "tags", "Software", "--limit", "12").out)) == 12
    whole = catalog_cli("query", "tags", "Software", "--json").json
    assert (whole["schema"], len(whole["tags"])) == ("catalog.tagged-files/1", 12)
    assert len(lines(catalog_cli("query", "tags", "Software", "--csv").out)) == 12


def _squeezed(told: str) -> list[str]:
    return [re.sub(" {2,}", "  ", line) for line in lines(told)]
