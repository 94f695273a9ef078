"""Small catalogues for tests of questions: rows put in with Core, as the recording side would leave them."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from typing import Any, Self

from sqlalchemy import Table, insert, select

from catalog.store import schema
from catalog.store.codes import EVENT_KIND, FIDELITY, IFD_KIND, OUTCOME, PRESENCE, ROOT_STATE
from catalog.store.engine import lent, open_writer
from catalog.store.migration import prepare
from catalog.store.positional import pack
from catalog.terms import (
    EventKind,
    Fidelity,
    IfdKind,
    Kind,
    Layout,
    Manner,
    Outcome,
    Presence,
    RootState,
    Severity,
    Tag,
    tag_value,
)

SEVERITY = {Severity.INFO: 1, Severity.NOTICE: 2, Severity.WARNING: 3, Severity.CRITICAL: 4}
POSITIONAL = frozenset({256, 257, 273, 279, 324, 325, 330, 513, 514, 34665, 34853})
SINGULAR = frozenset({270, 306})
NOON_MS = 1_760_000_000_000
"""2025-10-09T08:53:20Z, when everything in these catalogues was first seen."""


def sha256(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def text_of(name: bytes) -> str | None:
    try:
        name.decode()
    except UnicodeDecodeError:
        return name.decode("utf-8", "backslashreplace")
    return None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Picture:
    """One content. Equal ``bytes`` are one content, equal ``pixels`` one picture; ``view`` follows pixels."""

    bytes: str
    pixels: str | None = ""
    """None: no samples; "" (the default): as ``bytes``."""
    view: str | None = ""
    fidelity: Fidelity = Fidelity.EXACT
    reason: str | None = None
    format: str | None = "TIFF"
    compression: str | None = "none"
    orientation: int = 1
    size: int = 1000
    tags: tuple[Tag, ...] = ()
    analysed: bool = True


class CatalogueRows:
    """A migrated database and short ways to fill it. A context manager; each call commits."""

    def __init__(self, database: str) -> None:
        self.database = database
        prepare(database)
        self._writer = open_writer(database)
        self._connection = lent(self._writer, database)  # each statement is a transaction
        self.epoch_id = self.epoch(b"\x01" * 32)
        self._inode = 100

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        self._writer.close()

    # ------------------------------------------------------------------------------------------- rows

    def put(self, table: Table, **values: Any) -> int:
        """Insert one row; gives its id (0 for a table without one)."""
        key = self._connection.execute(insert(table).values(**values)).inserted_primary_key
        self._connection.commit()
        return int(key[0]) if key else 0

    def run_sql(self, sql: str, *parameters: Any) -> list[Any]:
        """Any statement; gives its rows."""
        result = self._connection.exec_driver_sql(sql, parameters)
        rows = list(result) if result.returns_rows else []
        self._connection.commit()
        return rows

    def _found(self, table: Table, key: str, **values: Any) -> int | None:
        conditions = [table.c[name] == value for name, value in values.items()]
        found = self._connection.execute(select(table.c[key]).where(*conditions)).scalar()
        self._connection.rollback()
        return found

    def _one(self, table: Table, key: str, more: dict[str, Any] | None = None, **values: Any) -> int:
        found = self._found(table, key, **values)
        return self.put(table, **values, **(more or {})) if found is None else found

    def epoch(self, digest: bytes) -> int:
        """A decoder epoch with a toolchain of the same number; later pictures belong to it."""
        self.epoch_id = self._one(schema.epoch, "epoch_id", spec=1, digest=digest)
        self._one(
            schema.toolchain,
            "toolchain_id",
            {"first_used_ms": NOON_MS},
            epoch_id=self.epoch_id,
            components='{"Pillow": "13.0"}',
        )
        return self.epoch_id

    def root(
        self,
        name: str,
        path: bytes,
        *,
        state: RootState = RootState.ONLINE,
        reconciled_ms: int | None = NOON_MS,
        **more: Any,
    ) -> int:
        return self.put(
            schema.root,
            name=name,
            path=path,
            path_text=text_of(path),
            state=ROOT_STATE.number[state],
            state_since_ms=NOON_MS,
            added_ms=NOON_MS,
            last_reconcile_ms=reconciled_ms,
            **more,
        )

    # --------------------------------------------------------------------------------------- contents

    def content(self, picture: Picture) -> int:
        """The content and its analysis in the current epoch."""
        content_id = self._one(
            schema.content,
            "content_id",
            {"md5": sha256(picture.bytes)[:16], "size": picture.size},
            sha256=sha256(picture.bytes),
        )
        known = self._found(schema.analysis, "content_id", content_id=content_id, epoch_id=self.epoch_id)
        if picture.analysed and known is None:
            self._analysis(content_id, picture)
        return content_id

    def _raster(self, level: int, key: str | None, fidelity: Fidelity) -> int | None:
        if key is None:
            return None
        kind = 1 if fidelity.sound else FIDELITY.number[fidelity]
        values: dict[str, Any] = {"level": level, "class": kind, "digest": sha256(f"{level} {key}")}
        return self._one(schema.raster, "raster_id", **values)

    def rasters(self, picture: Picture) -> tuple[int | None, int | None]:
        """(pixel raster, view raster) of a picture, made when they are new."""
        pixels = picture.bytes if picture.pixels == "" else picture.pixels
        view = pixels if picture.view == "" else picture.view
        return self._raster(1, pixels, picture.fidelity), self._raster(2, view, picture.fidelity)

    def _analysis(self, content_id: int, picture: Picture) -> None:
        pixel_id, view_id = self.rasters(picture)
        layout_id = None
        if picture.compression is not None:
            fields = dataclasses.asdict(Layout(picture.format or "?", picture.compression))
            value = json.dumps({name: value for name, value in fields.items() if value is not None})
            layout_id = self._one(schema.layout, "layout_id", value=value)
        facts = zip(
            ["width", "height", "frames", "model", "dtype", "channels"],
            (120, 64, 1, "rgb", "u8", 3),
            strict=True,
        )
        image = {**dict(facts), "orientation": picture.orientation} if picture.format is not None else {}
        self.put(
            schema.analysis,
            content_id=content_id,
            epoch_id=self.epoch_id,
            toolchain_id=1,
            fidelity=FIDELITY.number[picture.fidelity],
            reason=picture.reason,
            pixel_id=pixel_id,
            view_id=view_id,
            payload=sha256(f"payload {picture.bytes}"),
            format=picture.format,
            **image,
            layout_id=layout_id,
            loader_errors="{}",
            cv2_imread_md5=b"c" * 16,
            analysed_ms=NOON_MS,
        )
        if picture.tags and self._found(schema.ifd, "content_id", content_id=content_id) is None:
            self._ifd(content_id, 0, IfdKind.PAGE, None, picture.tags)

    def _ifd(
        self, content_id: int, number: int, kind: IfdKind, parent: int | None, tags: Sequence[Tag]
    ) -> None:
        shared = sorted(
            self._tag(tag) for tag in tags if tag.code not in POSITIONAL and tag.code not in SINGULAR
        )
        key = hashlib.sha256(json.dumps(shared).encode()).digest()[:16]
        tagset_id = self._found(schema.tagset, "tagset_id", digest=key)
        if tagset_id is None:
            tagset_id = self.put(schema.tagset, digest=key)
            for tagval_id in shared:
                self.put(schema.tagset_member, tagset_id=tagset_id, tagval_id=tagval_id)
        positional = [tag for tag in tags if tag.code in POSITIONAL]
        self.put(
            schema.ifd,
            content_id=content_id,
            ifd_no=number,
            kind=IFD_KIND.number[kind],
            parent_no=parent,
            tagset_id=tagset_id,
            width=120,
            height=64,
            layout=pack(positional) if positional else None,
        )
        for tag in tags:
            if tag.code in SINGULAR:
                self.put(schema.ifd_tag, content_id=content_id, ifd_no=number, tagval_id=self._tag(tag))

    def _tag(self, tag: Tag) -> int:
        digest = hashlib.sha256(repr(tag).encode()).digest()[:16]
        value = tag_value(tag.type, tag.raw)
        shown = ", ".join(f"{part[0]}/{part[1]}" if isinstance(part, list) else str(part) for part in value)
        single = len(value) == 1 and isinstance(value[0], int | float)
        more = {
            "code": tag.code,
            "name": tag.name,
            "type": tag.type,
            "count": tag.count,
            "value": shown,
            "num": float(value[0]) if single else None,
            "raw": b"=" + tag.raw,
        }
        return self._one(schema.tagval, "tagval_id", more, digest=digest)

    # ------------------------------------------------------------------------------------------ files

    def folder(self, root_id: int, path: bytes) -> int:
        return self._one(schema.dir_, "dir_id", {"path_text": text_of(path)}, root_id=root_id, path=path)

    def revision(self, file_id: int, content_id: int, root_id: int, path: bytes, **more: Any) -> int:
        folder, _, name = path.rpartition(b"/")
        previous = self.run_sql("SELECT max(rev_id) FROM revision WHERE file_id = ?", file_id)[0][0]
        values: dict[str, Any] = {
            "size": 1000,
            "mtime_ns": NOON_MS * 1_000_000,
            "ctime_ns": NOON_MS * 1_000_000,
            "inode": 1,
            "dev": 1,
            "nlink": 1,
            "allocated": 4096,
            "observed_ms": NOON_MS,
        }
        return self.put(
            schema.revision,
            file_id=file_id,
            prev_rev_id=previous,
            content_id=content_id,
            dir_id=self.folder(root_id, folder),
            name=name,
            name_text=text_of(name),
            **{**values, **more},
        )

    def file(
        self,
        root_id: int,
        path: bytes,
        picture: Picture | None,
        *,
        presence: Presence = Presence.PRESENT,
        outcome: Outcome | None = None,
        reason: str | None = None,
        allocated: int = 4096,
        mtime_ns: int = NOON_MS * 1_000_000,
        inode: int | None = None,
        nlink: int = 1,
        **more: Any,
    ) -> int:
        """A file with its first revision; without a picture nothing was ever read of it."""
        folder, _, name = path.rpartition(b"/")
        self._inode += 1
        chosen = self._inode if inode is None else inode
        undecodable = picture is not None and picture.fidelity is Fidelity.UNDECODABLE
        default = Outcome.UNDECODABLE if undecodable else Outcome.OK if picture else Outcome.PENDING
        content_id = self.content(picture) if picture else None
        sound = picture is not None and picture.fidelity.sound and picture.analysed
        pixel_id, view_id = self.rasters(picture) if picture is not None and sound else (None, None)
        file_id = self.put(
            schema.file,
            root_id=root_id,
            dir_id=self.folder(root_id, folder),
            name=name,
            name_text=text_of(name),
            presence=PRESENCE.number[presence],
            outcome=OUTCOME.number[outcome or default],
            reason=reason or (picture.reason if undecodable and picture else None),
            size=picture.size if picture else 0,
            mtime_ns=mtime_ns,
            ctime_ns=mtime_ns,
            inode=chosen - (1 << 64) if chosen >= 1 << 63 else chosen,
            nlink=nlink,
            allocated=allocated,
            content_id=content_id,
            pixel_id=pixel_id,
            view_id=view_id,
            first_seen_ms=NOON_MS,
            changed_ms=NOON_MS,
            state_since_ms=NOON_MS,
            **more,
        )
        if content_id is not None:
            rev_id = self.revision(
                file_id, content_id, root_id, path, mtime_ns=mtime_ns, allocated=allocated, nlink=nlink
            )
            self.run_sql(
                "UPDATE file SET rev_id = ?, baseline_rev_id = ? WHERE file_id = ?", rev_id, rev_id, file_id
            )
        return file_id

    def change(self, file_id: int, picture: Picture, *, at_ms: int = NOON_MS + 60_000) -> int:
        """The file holds another content now: a revision beyond its baseline. Gives the revision."""
        root_id, folder, name = self.run_sql(
            "SELECT f.root_id, d.path, f.name FROM file AS f JOIN dir AS d ON d.dir_id = f.dir_id"
            " WHERE f.file_id = ?",
            file_id,
        )[0]
        path = folder + b"/" + name if folder else name
        content_id = self.content(picture)
        rev_id = self.revision(file_id, content_id, root_id, path, observed_ms=at_ms, size=picture.size)
        pixel_id, view_id = self.rasters(picture) if picture.fidelity.sound else (None, None)
        undecodable = picture.fidelity is Fidelity.UNDECODABLE
        self.run_sql(
            "UPDATE file SET content_id = ?, pixel_id = ?, view_id = ?, rev_id = ?, changed_ms = ?, size = ?,"
            " outcome = ? WHERE file_id = ?",
            content_id,
            pixel_id,
            view_id,
            rev_id,
            at_ms,
            picture.size,
            OUTCOME.number[Outcome.UNDECODABLE if undecodable else Outcome.OK],
            file_id,
        )
        return rev_id

    # -------------------------------------------------------------------------------- events and cases

    def event(self, kind: EventKind, *, at_ms: int = NOON_MS, detail: Any = None, **more: Any) -> int:
        text = json.dumps(detail) if detail is not None else None
        return self.put(schema.event, at_ms=at_ms, kind=EVENT_KIND.number[kind], detail=text, **more)

    def drift(
        self,
        file_id: int,
        kind: Kind,
        *,
        severity: Severity = Severity.WARNING,
        manner: Manner = Manner.ORDINARY,
        reasons: Sequence[str] = ("the picture changed",),
        at_ms: int = NOON_MS + 60_000,
        closed_ms: int | None = None,
        detail: Any = None,
        **more: Any,
    ) -> int:
        root_id, baseline, rev_id = self.run_sql(
            "SELECT root_id, baseline_rev_id, rev_id FROM file WHERE file_id = ?", file_id
        )[0]
        return self.put(
            schema.drift,
            file_id=file_id,
            root_id=root_id,
            kind=kind.value,
            manner=manner.value,
            severity=SEVERITY[severity],
            opened_ms=at_ms,
            updated_ms=at_ms,
            closed_ms=closed_ms,
            baseline_rev_id=baseline,
            rev_id=rev_id,
            reasons=json.dumps(list(reasons)),
            detail=json.dumps(detail) if detail is not None else None,
            **more,
        )

    def job(self, root_id: int, path: bytes, *, attempts: int = 0, failure: str | None = None) -> int:
        return self.put(
            schema.job,
            root_id=root_id,
            path=path,
            reason="event",
            first_ms=NOON_MS,
            attempts=attempts,
            last_failure=failure,
        )
