"""What the unit tests share: catalogues that were filled by hand, or by the recorder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from tests.recordings import Shelf
    from tests.unit.catalogue_rows import CatalogueRows


@pytest.fixture
def rows(tmp_path: Path) -> Iterator[CatalogueRows]:
    """An empty catalogue whose rows the test writes itself."""
    from tests.unit.catalogue_rows import CatalogueRows

    with CatalogueRows(str(tmp_path / "catalog.sqlite3")) as made:
        yield made


@pytest.fixture
def connection(rows: CatalogueRows) -> Iterator[Connection]:
    """The catalogue of ``rows`` as questions open it."""
    from catalog.query.opening import opened

    with opened(rows.database) as made:
        yield made


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    """An empty catalogue for the recorder; what stands in it at the end must be sound."""
    from tests.recordings import Shelf

    with Shelf(tmp_path) as made:
        yield made
    made.check()
