"""What the tests of commands share."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.asking import Asking


@pytest.fixture
def ask(catalog_cli: Any) -> Asking:
    """The catalogue of ``catalog_cli``, as ``sqlite3`` users read it."""
    return Asking(catalog_cli.database)


@pytest.fixture
def share(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small share: three pictures in two folders, two of them with equal pixels in unequal files."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("share")
    (folder / "scans").mkdir()
    picture = Image.linear_gradient("L").resize((40, 30))
    picture.save(folder / "scans" / "a.tif")
    picture.save(folder / "b.tif", compression="tiff_lzw")
    picture.rotate(180).save(folder / "c.png")
    return folder


@pytest.fixture(scope="session")
def sealed_catalogue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalogue of two files, one of them changed: four seals. To be copied, not to be touched."""
    from tests.recordings import Shelf, saved, stat

    with Shelf(tmp_path_factory.mktemp("sealed")) as shelf:
        shelf.see(b"a.tif", "a")
        shelf.see(b"b.tif", "b")
        shelf.see(b"a.tif", "changed", at=saved(stat()))
    return Path(shelf.database)


@pytest.fixture
def database(sealed_catalogue: Path, tmp_path: Path) -> Path:
    """A copy of ``sealed_catalogue`` in a folder of its own."""
    (tmp_path / "var").mkdir()
    return Path(shutil.copy(sealed_catalogue, tmp_path / "var"))
