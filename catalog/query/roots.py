"""``root list``: which shares does the catalogue know?"""

from __future__ import annotations

from typing import Any

from catalog.query.opening import opened
from catalog.query.status import root_statuses


def roots(database: str) -> list[dict[str, Any]]:
    """The shares as ``status`` shows them in JSON, by name. Raises as ``opened`` does."""
    with opened(database) as connection:
        return [each.fields() for each in root_statuses(connection)]
