"""What tests read of a catalogue, the way ``sqlite3`` users do, and pictures to put into it."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from pathlib import Path
from typing import Any


class Asking:
    """The read views of a catalogue; sees what was committed."""

    def __init__(self, database: Path) -> None:
        self._database = database

    def __call__(self, sql: str, *parameters: Any) -> list[dict[str, Any]]:
        connection = sqlite3.connect(f"file:{self._database}?mode=ro", uri=True, timeout=5.0)
        connection.row_factory = sqlite3.Row
        try:
            return [dict(row) for row in connection.execute(sql, parameters)]
        finally:
            connection.close()

    def states(self) -> dict[str, str]:
        """Relative path → state, one row a file; a living file wins over a tombstone."""
        rows = self("SELECT * FROM v_file ORDER BY state = 'missing' DESC")
        return {row["relative_path"]: row["state"] for row in rows}

    def open_drift(self) -> list[tuple[str, str, list[str]]]:
        rows = self("SELECT * FROM v_drift_open ORDER BY path")
        return [(Path(row["path"]).name, row["kind"], json.loads(row["reasons"])) for row in rows]

    def events(self, *kinds: str) -> list[str]:
        rows = self("SELECT * FROM v_event WHERE path IS NOT NULL ORDER BY event_id")
        return [f"{row['kind']} {Path(row['path']).name}" for row in rows if row["kind"] in kinds]

    def record(self) -> dict[bytes, str]:
        """What the catalogue holds to be there: relative path (bytes) → raw sha256."""
        rows = self(
            "SELECT d.path AS folder, f.name, c.sha256 FROM file AS f JOIN dir AS d ON d.dir_id = f.dir_id"
            " LEFT JOIN content AS c ON c.content_id = f.content_id WHERE f.presence <> 3"
        )
        return {
            (row["folder"] + b"/" if row["folder"] else b"") + row["name"]: (row["sha256"] or b"").hex()
            for row in rows
        }


def truth(folder: Path) -> dict[bytes, str]:
    """What is there: a walk with fresh hashes."""
    import os

    found = {}
    top = os.fsencode(folder)
    for here, _, names in os.walk(top):
        for name in names:
            path = here + b"/" + name
            if os.path.isfile(path) and not os.path.islink(path):
                with open(path, "rb") as stream:
                    found[path[len(top) + 1 :]] = hashlib.sha256(stream.read()).hexdigest()
    return found


def picture(path: Path, shade: int, **options: Any) -> Path:
    """A small picture that differs from every other shade's."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.linear_gradient("L").resize((40, 30)).convert("RGB")
    image.putpixel((shade % 40, shade // 40 % 30), (shade % 256, 255 - shade % 256, 7))
    image.save(path, **options)
    return path
