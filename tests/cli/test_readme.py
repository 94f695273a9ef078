"""The README shows real output: each transcript is run again, each table is held to the program.

``python tests/cli/test_readme.py`` writes the transcripts anew.
"""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

README = Path(__file__).resolve().parents[2] / "README.md"
TRANSCRIPT = re.compile(r"(<!-- transcript \w+ -->\n```console\n)(.*?)(```\n)", re.DOTALL)


def seed_folder(images: Path, folder: Path) -> None:
    """The seed's file, Pillow's re-save of it, and one with a single sample raised by one."""
    from PIL import Image

    folder.mkdir(exist_ok=True)
    shutil.copy(images / "amalfreda_1.tif", folder)
    with Image.open(folder / "amalfreda_1.tif") as image:
        image.load()
    image.save(folder / "resaved.tif")
    red, green, blue = image.getpixel((50, 30))
    image.putpixel((50, 30), (red + 1, green, blue))
    image.save(folder / "changed.tif")


def told_again(block: str, run: Callable[[list[str]], str]) -> str:
    """The block with the output of its commands as it is now."""
    lines = []
    for command in re.findall(r"^\$ catalog (.*)$", block, re.MULTILINE):
        lines += [f"$ catalog {command}", *run(shlex.split(command)).rstrip("\n").split("\n")]
    # Which libraries are here is not part of the story.
    kept = [line for line in lines if not line.startswith("decoders:")]
    while kept and not kept[-1]:
        kept.pop()
    return "\n".join(kept) + "\n"


def test_transcripts_are_what_the_program_says(catalog_cli: Any, corpus: Path, tmp_path: Path) -> None:
    seed_folder(corpus / "shaggy" / "images", tmp_path)
    blocks = [match[2] for match in TRANSCRIPT.finditer(README.read_text())]
    assert len(blocks) == 3
    for block in blocks:
        assert told_again(block, lambda words: catalog_cli(*words, cwd=tmp_path).out) == block


def test_exit_codes_are_those_of_the_program() -> None:
    from catalog.cli.app import EXIT_CODES

    stated = re.search(r"<!-- exit codes -->\n(.*?)\n\n", README.read_text(), re.DOTALL)
    assert stated is not None
    rows = re.findall(r"^\| (\d+) \| (.*) \|$", stated[1], re.MULTILINE)
    assert rows == [(str(code.value), words) for code, words in EXIT_CODES.items()]


def test_every_command_is_in_the_readme_and_every_command_of_the_readme_exists(catalog_cli: Any) -> None:
    from catalog.cli.app import available

    table = README.read_text().split("## Commands")[1].split("\n## ")[0]
    named = set(re.findall(r"`catalog ([a-z]+)", table))
    assert named == set(available())


def test_every_document_that_the_readme_links_is_there() -> None:
    for link in re.findall(r"\]\((docs/[^)#]+)", README.read_text()):
        assert (README.parent / link).is_file(), link


def _write() -> None:
    import subprocess
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        seed_folder(README.parent.parent / "shared" / "corpus" / "shaggy" / "images", Path(folder))

        def run(words: list[str]) -> str:
            command = [sys.executable, "-m", "catalog", *words]
            return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stdout

        text = TRANSCRIPT.sub(lambda m: m[1] + told_again(m[2], run) + m[3], README.read_text())
    README.write_text(text)


if __name__ == "__main__":
    _write()
