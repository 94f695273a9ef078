"""A catalogue with its recorder, and looks at files that never were, for tests of the recording side."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from catalog.record import FileRow, Recorded, Recorder
from catalog.record.roots import Roots
from catalog.store import chain, recount
from catalog.store.migration import prepare
from catalog.terms import (
    Analysis,
    Fidelity,
    Ifd,
    IfdKind,
    ImageFacts,
    Inspection,
    Job,
    Kind,
    Layout,
    Page,
    PageRole,
    Stat,
    Tag,
    Toolchain,
)

TOOLCHAIN = Toolchain(1, b"e" * 32, (("Pillow", "13.0"),))
NEW_TOOLCHAIN = Toolchain(1, b"f" * 32, (("Pillow", "14.0"),))
BASIC = (
    Tag(256, "ImageWidth", 3, 1, b"\x78\x00"),
    Tag(257, "ImageLength", 3, 1, b"\x40\x00"),
    Tag(258, "BitsPerSample", 3, 3, b"\x08\x00\x08\x00\x08\x00"),
    Tag(259, "Compression", 3, 1, b"\x01\x00"),
    Tag(273, "StripOffsets", 4, 2, b"\x08\x00\x00\x00\x10\x00\x00\x00"),
    Tag(282, "XResolution", 5, 1, b"\x48\x00\x00\x00\x01\x00\x00\x00"),
)
START_NS = 1_760_000_000_000_000_000


def digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def stat(**fields: int) -> Stat:
    """An ordinary stat; ``size 1000, mtime and ctime START_NS, inode 100, dev 39, nlink 1, allocated 4096``."""
    usual = {
        "size": 1000,
        "mtime_ns": START_NS,
        "ctime_ns": START_NS,
        "inode": 100,
        "dev": 39,
        "nlink": 1,
        "allocated": 4096,
    }
    return Stat(**{**usual, **fields})


def saved(look: Stat, seconds: float = 10.0) -> Stat:
    """The stat after an ordinary save."""
    later = round(seconds * 1e9)
    return dataclasses.replace(look, mtime_ns=look.mtime_ns + later, ctime_ns=look.ctime_ns + later)


def analysis(
    pixels: str | None,
    *,
    view: str | None = None,
    fidelity: Fidelity = Fidelity.EXACT,
    payload: str | None = None,
    tags: Sequence[Tag] = BASIC,
    compression: str = "none",
    **more: Any,
) -> Analysis:
    """What decoders say; equal words for ``pixels`` are equal pixels, and the view follows them."""
    if pixels is None:
        return Analysis(Fidelity.UNDECODABLE, more.pop("reason", "truncated"), **more)
    samples, seen = digest(f"pixels {pixels}"), digest(f"view {view or pixels}")
    return Analysis(
        fidelity=fidelity,
        reason=None if fidelity.sound else "not every bit was delivered",
        pixels=samples,
        view=seen,
        payload=digest(f"payload {payload or pixels + compression}"),
        image=ImageFacts("TIFF", 120, 64, 1, "rgb", "u8", 3, 1),
        layout=Layout("TIFF", compression, "little", None, "contiguous", 2, 32),
        pages=(Page(0, PageRole.PAGE, 120, 64, "rgb", "u8", 3, samples, seen),),
        ifds=(Ifd(0, IfdKind.PAGE, None, tuple(tags)),),
        **more,
    )


class Shelf:
    """A migrated catalogue with one root ``/share``, its recorder and ways to look into it.

    ``see`` records a look the way a session does: known contents come without an analysis. A context manager.
    """

    def __init__(self, folder: Path, *, auto_accept: frozenset[Kind] = frozenset()) -> None:
        self.database = str(folder / "catalog.sqlite3")
        prepare(self.database)
        self.auto_accept = auto_accept
        self.open()
        known = self.roots.all()
        self.root_id = known[0].root_id if known else self.roots.add(b"/share").root_id

    def open(self, toolchain: Toolchain = TOOLCHAIN) -> None:
        """A new session, as after a restart."""
        self.recorder = Recorder(self.database, toolchain, auto_accept=self.auto_accept)
        self.roots = Roots(self.recorder.batch)

    def close(self) -> None:
        self.recorder.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ------------------------------------------------------------------------------------------ looks

    def look(
        self,
        path: bytes,
        content: str,
        *,
        at: Stat | None = None,
        saw: Analysis | None = None,
        decode: bool = True,
        started_ms: int = 0,
        root_id: int | None = None,
    ) -> Inspection:
        """An inspection; ``content`` names the bytes, and the pixels unless ``saw`` says otherwise."""
        job = Job(root_id or self.root_id, path, 1000, decode)
        md5 = hashlib.md5(content.encode()).digest()
        return Inspection(job, at or stat(), digest(content), md5, saw, started_ms=started_ms)

    def see(
        self,
        path: bytes,
        content: str,
        *,
        saw: Analysis | None = None,
        row: FileRow | None = None,
        commit: bool = True,
        **more: Any,
    ) -> Recorded:
        """Look at a path and record it."""
        look = self.look(path, content, saw=saw, **more)
        assert look.sha256 is not None
        known = self.recorder.known([look.sha256], loaders=False)
        if look.job.decode and saw is None and look.sha256 not in known:
            look = dataclasses.replace(look, analysis=analysis(content))
        recorded = self.recorder.record(look, row or self.recorder.rows.at(look.job.root_id, path))
        if commit:
            self.recorder.commit()
        return recorded

    def row(self, path: bytes) -> FileRow:
        found = self.recorder.rows.at(self.root_id, path)
        assert found is not None
        return found

    # -------------------------------------------------------------------------------------- questions

    def ask(self, sql: str, *parameters: Any) -> list[dict[str, Any]]:
        """What was committed, read by somebody else."""
        connection = sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)
        connection.row_factory = sqlite3.Row
        try:
            return [dict(row) for row in connection.execute(sql, parameters)]
        finally:
            connection.close()

    def one(self, sql: str, *parameters: Any) -> Any:
        """The only column of the only row."""
        (row,) = self.ask(sql, *parameters)
        (value,) = row.values()
        return value

    def events(self, path: bytes | None = None) -> list[str]:
        """Kinds of events in their order, of one file if it is named."""
        where = "" if path is None else f" WHERE file_id = {self.row(path).file_id}"
        return [row["kind"] for row in self.ask(f"SELECT kind FROM v_event{where} ORDER BY event_id")]

    def cases(self, path: bytes) -> list[dict[str, Any]]:
        """All cases of the file at a path, the oldest first, ``reasons`` and ``detail`` read."""
        rows = self.ask("SELECT * FROM drift WHERE file_id = ? ORDER BY drift_id", self.row(path).file_id)
        for row in rows:
            row["reasons"] = json.loads(row["reasons"])
            row["detail"] = json.loads(row["detail"] or "{}")
        return rows

    def case(self, path: bytes) -> dict[str, Any]:
        """The open case of the file at a path."""
        (case,) = [case for case in self.cases(path) if case["closed_ms"] is None]
        return case

    def check(self) -> None:
        """What must hold of every catalogue at rest: references, counters, chain, sound pages."""
        connection = sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)
        try:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
            assert recount.differences(connection) == []
            assert chain.verify(connection) is None
            history = "SELECT count(*) FROM revision AS n LEFT JOIN file AS f USING (file_id) WHERE f.file_id IS NULL"
            assert connection.execute(history).fetchone() == (0,)
        finally:
            connection.close()
