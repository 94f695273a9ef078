"""History follows the file: renames, renames over others, swaps and rings, between folders and shares."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from catalog.record import FileRow, Recorded
from catalog.terms import Presence
from tests.recordings import Shelf, saved, stat


def put(shelf: Shelf, *paths: bytes) -> dict[bytes, FileRow]:
    """Files of different contents, each with an inode of its own."""
    for number, path in enumerate(paths):
        shelf.see(path, path.decode("latin-1"), at=stat(inode=1000 + number))
    return {path: shelf.row(path) for path in paths}


def history(shelf: Shelf, path: bytes) -> list[tuple[str, bytes]]:
    """(event, path of its revision) of the file that is at a path now."""
    rows = shelf.ask(
        "SELECT e.kind, d.path AS folder, n.name FROM v_event AS e JOIN revision AS n ON n.rev_id = e.to_rev_id"
        " JOIN dir AS d USING (dir_id) WHERE e.file_id = ? ORDER BY e.event_id",
        shelf.row(path).file_id,
    )
    return [(row["kind"], b"/".join(filter(None, (row["folder"], row["name"])))) for row in rows]


def move_all(shelf: Shelf, moves: Sequence[tuple[FileRow, bytes]]) -> None:
    """As a session does: first whoever is in the way steps aside, then each takes its place."""
    recorder = shelf.recorder
    moving = {row.file_id for row, _ in moves}
    for _, path in moves:
        there = recorder.rows.at(shelf.root_id, path)
        if there is not None and there.presence is not Presence.MISSING:
            if there.file_id in moving:
                recorder.displace(there)
            else:
                recorder.missing(there, "another file was renamed over it")
    for row, path in moves:
        moved = recorder.move(row, shelf.root_id, path)
        look = shelf.look(path, row.path.decode("latin-1"), at=stat(inode=row.inode))
        recorder.record(look, moved)
    recorder.commit()


def test_a_renamed_file_keeps_its_history(shelf: Shelf) -> None:
    row = put(shelf, b"in/a.tif")[b"in/a.tif"]
    move_all(shelf, [(row, b"out/\xff.tif")])
    assert shelf.row(b"out/\xff.tif").file_id == row.file_id
    assert shelf.recorder.rows.at(shelf.root_id, b"in/a.tif") is None
    assert history(shelf, b"out/\xff.tif") == [("added", b"in/a.tif"), ("moved", b"in/a.tif")]
    (event,) = shelf.ask("SELECT detail, path FROM v_event WHERE kind = 'moved'")
    detail = json.loads(event["detail"])
    assert (detail["from"], detail["to"]) == ("/share/in/a.tif", "out/\\xff.tif")
    assert event["path"] == "/share/out/\\xff.tif"
    assert shelf.one("SELECT count(*) FROM file") == 1
    shelf.see(b"out/\xff.tif", "new", at=saved(stat(inode=row.inode)))
    assert history(shelf, b"out/\xff.tif")[-1] == ("changed", b"out/\xff.tif")


def test_renamed_over_another_file_the_mover_lives_and_the_other_is_gone(shelf: Shelf) -> None:
    rows = put(shelf, b"a.tif", b"b.tif")
    move_all(shelf, [(rows[b"a.tif"], b"b.tif")])
    assert shelf.row(b"b.tif").file_id == rows[b"a.tif"].file_id
    (gone,) = shelf.ask("SELECT file_id, reason FROM v_file WHERE state = 'missing'")
    assert gone == {"file_id": rows[b"b.tif"].file_id, "reason": "another file was renamed over it"}
    (case,) = shelf.ask("SELECT kind, file_id FROM v_drift_open")
    assert case == {"kind": "missing", "file_id": rows[b"b.tif"].file_id}


@pytest.mark.parametrize(
    "ring", [(b"a.tif", b"b.tif"), (b"a.tif", b"b.tif", b"c.tif"), (b"x/1.tif", b"y/1.tif")]
)
def test_files_that_swap_their_names_keep_their_histories(shelf: Shelf, ring: tuple[bytes, ...]) -> None:
    rows = put(shelf, *ring)
    targets = (*ring[1:], ring[0])
    move_all(shelf, [(rows[path], target) for path, target in zip(ring, targets, strict=True)])
    for path, target in zip(ring, targets, strict=True):
        assert shelf.row(target).file_id == rows[path].file_id
        assert shelf.events(target) == ["added", "moved"]
    assert shelf.one("SELECT count(*) FROM v_file WHERE state = 'present'") == len(ring)
    assert shelf.ask("SELECT * FROM drift") == []
    assert shelf.ask("SELECT name FROM file WHERE instr(name, x'00')") == []


def test_a_missing_file_that_is_found_elsewhere_is_the_same_file(shelf: Shelf) -> None:
    row = put(shelf, b"a.tif")[b"a.tif"]
    shelf.recorder.missing(row, "gone")
    shelf.recorder.commit()
    moved = shelf.recorder.move(shelf.row(b"a.tif"), shelf.root_id, b"b.tif")
    look = shelf.look(b"b.tif", "a.tif", at=stat(inode=row.inode))
    assert shelf.recorder.record(look, moved) is Recorded.REAPPEARED
    shelf.recorder.commit()
    assert shelf.events(b"b.tif") == ["added", "missing", "moved", "reappeared"]
    assert shelf.ask("SELECT * FROM v_drift_open") == []


def test_a_file_that_moves_between_shares_takes_its_case_along(shelf: Shelf) -> None:
    other = shelf.roots.add(b"/other")
    shelf.see(b"a.tif", "a")
    shelf.see(b"a.tif", "b", at=saved(stat()))
    moved = shelf.recorder.move(shelf.row(b"a.tif"), other.root_id, b"deep/a.tif")
    shelf.recorder.commit()
    assert (moved.root_id, moved.path, moved.absolute) == (other.root_id, b"deep/a.tif", b"/other/deep/a.tif")
    assert shelf.ask("SELECT root, path FROM v_drift_open") == [
        {"root": "other", "path": "/other/deep/a.tif"}
    ]
    assert shelf.recorder.rows.living(shelf.root_id) == 0
    assert shelf.recorder.rows.living(other.root_id) == 1


def test_a_rolled_back_move_never_was(shelf: Shelf) -> None:
    rows = put(shelf, b"a.tif", b"b.tif")
    shelf.recorder.displace(rows[b"b.tif"])
    shelf.recorder.move(rows[b"a.tif"], shelf.root_id, b"b.tif")
    shelf.recorder.rollback()
    assert {path: shelf.row(path) for path in rows} == rows
    assert shelf.events() == ["root-added", "added", "added"]


# A list of constants, the few shares, and the last seal (backwards by its key, one row).
HARMLESS = ("SCAN CONSTANT ROW", "SCAN root", "SCAN seal")


def test_lookups_of_files_follow_indexes(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each runs once for a file: one that walks the table turns a thousand files into a million steps."""
    asked: list[str] = []
    batch = shelf.recorder.batch
    for name in ("question", "lookup", "rows", "committed", "execute"):
        original = getattr(batch, name)

        def noting(sql: str, *more: object, original: object = original) -> object:
            asked.append(sql)
            return original(sql, *more)  # type: ignore[operator]

        monkeypatch.setattr(batch, name, noting)
    rows = put(shelf, b"a.tif", b"b.tif")
    shelf.see(b"a.tif", "b.tif", at=saved(stat(inode=1000)))
    shelf.see(b"b.tif", "a.tif", at=saved(stat(inode=1001)))
    shelf.recorder.missing(rows[b"a.tif"], "gone")
    shelf.recorder.rows.by_content(b"c" * 32)
    shelf.recorder.rows.by_inode(5, 1000, 0)
    shelf.recorder.rows.below(shelf.root_id, b"")
    shelf.recorder.rows.known(shelf.root_id, b"")
    shelf.recorder.rows.suspects(shelf.root_id)
    shelf.recorder.commit()
    plans = 0
    for sql in dict.fromkeys(asked):
        for row in shelf.ask(f"EXPLAIN QUERY PLAN {sql}", *([None] * sql.count("?"))):
            plans += 1
            assert not row["detail"].startswith("SCAN") or row["detail"] in HARMLESS, (row["detail"], sql)
    assert plans > 30
