"""When a decoder epoch begins: what older decoders made of lossy files leaves its groups, and nothing is lost."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from catalog.query.opening import opened
from catalog.query.outdated import outdated_files
from catalog.query.resolving import resolve
from catalog.record.epochs import Epochs, current_epoch, volume, waiting
from catalog.terms import Analysis, Fidelity
from tests.recordings import NEW_TOOLCHAIN, TOOLCHAIN, Shelf, analysis, digest, stat

JPEG = analysis("p", fidelity=Fidelity.DECODER, compression="JPEG")


def groups(shelf: Shelf) -> list[list[bytes]]:
    """Names of the files of each group of equal pixels."""
    rows = shelf.ask(
        "SELECT raster_id, name FROM file JOIN raster ON raster_id = pixel_id WHERE n_files > 1 ORDER BY 1, 2"
    )
    found: dict[int, list[bytes]] = {}
    for row in rows:
        found.setdefault(row["raster_id"], []).append(row["name"])
    return sorted(found.values())


def fill(shelf: Shelf) -> None:
    shelf.see(b"a.jpg", "jpeg", saw=JPEG, at=stat(inode=1))
    shelf.see(b"a.png", "png", saw=analysis("p"), at=stat(inode=2))
    shelf.see(b"b.png", "b", saw=analysis("q"), at=stat(inode=3))
    shelf.see(b"b.tif", "b2", saw=analysis("q", compression="LZW"), at=stat(inode=4))
    shelf.see(b"bad.jpg", "bad", saw=analysis(None), at=stat(inode=5))
    assert groups(shelf) == [[b"a.jpg", b"a.png"], [b"b.png", b"b.tif"]]


def reopen(shelf: Shelf, new: bool = True) -> None:
    shelf.close()
    shelf.open(NEW_TOOLCHAIN if new else TOOLCHAIN)


def other(saw: Analysis) -> Analysis:
    return dataclasses.replace(saw, pixels=b"n" * 32, view=b"m" * 32)


def test_lossy_files_leave_their_groups_before_anything_is_recorded_in_a_new_epoch(shelf: Shelf) -> None:
    fill(shelf)
    reopen(shelf)
    assert groups(shelf)[0] == [b"a.jpg", b"a.png"]
    # Other decoders give these samples: nobody may call the older JPEG identical to them.
    shelf.see(b"new.jpg", "new", saw=JPEG, at=stat(inode=9))
    assert groups(shelf) == [[b"a.png", b"new.jpg"], [b"b.png", b"b.tif"]]
    assert shelf.one("SELECT count(*) FROM analysis WHERE epoch_id = 1") == 5
    assert shelf.cases(b"a.jpg") == []


def test_the_beginning_of_an_epoch_is_an_event_and_the_same_decoders_begin_none(shelf: Shelf) -> None:
    fill(shelf)
    reopen(shelf, new=False)
    shelf.see(b"c.tif", "c", at=stat(inode=6))
    assert "decoder" not in shelf.events()
    reopen(shelf)
    shelf.see(b"d.tif", "d", at=stat(inode=7))
    (event,) = shelf.ask("SELECT detail, path FROM v_event WHERE kind = 'decoder'")
    assert (json.loads(event["detail"]), event["path"]) == (
        {"epoch": NEW_TOOLCHAIN.epoch.hex(), "files": 1},
        None,
    )


def test_a_file_comes_back_when_it_is_looked_at_again(shelf: Shelf) -> None:
    fill(shelf)
    reopen(shelf)
    shelf.see(b"a.jpg", "jpeg", saw=JPEG, at=stat(inode=1))
    assert groups(shelf)[0] == [b"a.jpg", b"a.png"]
    assert shelf.events(b"a.jpg") == ["added", "decoder"]
    (event,) = shelf.ask("SELECT detail FROM v_event WHERE kind = 'decoder' AND path IS NOT NULL")
    assert json.loads(event["detail"])["pixels"] == "same"
    assert shelf.cases(b"a.jpg") == []


def test_each_return_to_older_decoders_is_an_epoch_of_its_own(shelf: Shelf) -> None:
    fill(shelf)
    reopen(shelf)
    shelf.see(b"a.jpg", "jpeg", saw=other(JPEG), at=stat(inode=1))
    reopen(shelf, new=False)
    shelf.see(b"copy.jpg", "copy", saw=JPEG, at=stat(inode=6))
    assert shelf.ask("SELECT epoch_id, digest FROM epoch ORDER BY epoch_id") == [
        {"epoch_id": 1, "digest": TOOLCHAIN.epoch},
        {"epoch_id": 2, "digest": NEW_TOOLCHAIN.epoch},
        {"epoch_id": 3, "digest": TOOLCHAIN.epoch},
    ]
    # Newest is what the decoders in between said, so it is looked at again before it is compared.
    assert groups(shelf)[0] == [b"a.png", b"copy.jpg"]
    shelf.see(b"a.jpg", "jpeg", saw=JPEG, at=stat(inode=1))
    assert groups(shelf)[0] == [b"a.jpg", b"a.png", b"copy.jpg"]


def test_what_waits_is_all_that_depends_on_decoders(shelf: Shelf) -> None:
    fill(shelf)
    shelf.see(b"jpeg-copy.jpg", "jpeg", at=stat(inode=8))
    batch = shelf.recorder.batch
    assert current_epoch(batch.committed, TOOLCHAIN) == (1, False)
    assert current_epoch(batch.committed, NEW_TOOLCHAIN) == (2, True)
    assert waiting(batch.committed, 1) == {}
    assert waiting(batch.committed, 2) == {shelf.root_id: (3, 2)}
    assert volume(batch.committed, 2) == (2, 2000)
    found = Epochs(batch).outdated(2, 0, 10)
    assert [(each.size, each.compared) for each in found] == [(1000, True), (1000, False)]
    assert len(Epochs(batch).holders(found[0].content_id)) == 2
    reopen(shelf)
    shelf.see(b"a.jpg", "jpeg", saw=JPEG, at=stat(inode=1))
    batch = shelf.recorder.batch
    assert waiting(batch.committed, 2) == {shelf.root_id: (1, 0)}
    assert Epochs(batch).seen(2, found[0].content_id)


def test_an_epoch_that_begins_inside_a_transaction_is_rolled_back_with_it(shelf: Shelf) -> None:
    fill(shelf)
    reopen(shelf)
    recorder = shelf.recorder
    recorder.batch.begin()
    assert recorder.facts.decoders.epoch_id == 2
    recorder.rollback()
    assert groups(shelf)[0] == [b"a.jpg", b"a.png"]
    assert shelf.one("SELECT count(*) FROM epoch") == 1
    assert recorder.known([digest("jpeg")], loaders=False) == set()
    assert groups(shelf) == [[b"b.png", b"b.tif"]]


def test_what_waits_is_found_by_indexes(shelf: Shelf) -> None:
    """Files by their content, each time: without the index a catalogue of a million files takes hours."""
    fill(shelf)
    batch = shelf.recorder.batch
    asked: list[str] = []

    def explained(sql: str, parameters: tuple[Any, ...]) -> list[Any]:
        asked.extend(row[3] for row in batch.committed(f"EXPLAIN QUERY PLAN {sql}", parameters))
        return batch.committed(sql, parameters)

    waiting(explained, 2)
    volume(explained, 2)
    monitored = Epochs(batch)
    monitored._batch = type("Asked", (), {"question": staticmethod(explained)})()  # type: ignore[assignment]
    monitored.outdated(2, 0, 10)
    monitored.holders(1)
    monitored.seen(2, 1)
    assert [line for line in asked if line.startswith("SCAN f") and "INDEX" not in line] == []
    assert len([line for line in asked if "ix_file_content" in line]) >= 4


@pytest.mark.parametrize("returned", [False, True])
def test_a_separation_that_was_killed_leaves_nothing_unsaid(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, *, returned: bool
) -> None:
    """Whatever decoders come next, the new ones or the older ones again, after an upgrade that was taken back: the
    files that have left their groups wait to be looked at, and are no duplicates of nothing for ever."""
    fill(shelf)
    shelf.see(b"z.jpg", "z", saw=dataclasses.replace(JPEG, pixels=b"z" * 32), at=stat(inode=6))
    monkeypatch.setattr("catalog.record.epochs._PART", 1)
    reopen(shelf)
    attached, asked = Epochs._attached, 0

    def killed(self: Epochs, epoch_id: int, after: int) -> list[int]:
        nonlocal asked
        asked += 1
        if asked == 2:
            raise KeyboardInterrupt
        return attached(self, epoch_id, after)

    monkeypatch.setattr(Epochs, "_attached", killed)
    with pytest.raises(KeyboardInterrupt):
        _ = shelf.recorder.facts.decoders
    shelf.recorder.rollback()
    assert groups(shelf) == [[b"b.png", b"b.tif"]]  # the first part is durable
    assert shelf.one("SELECT count(*) FROM epoch") == 1
    with opened(shelf.database) as connection:  # and every answer about duplicates says that it lacks them
        assert outdated_files(connection, resolve(connection)) == {shelf.root_id: 2}
    reopen(shelf, new=not returned)
    shelf.see(b"new.tif", "new", at=stat(inode=9))
    assert shelf.one("SELECT count(*) FROM epoch") == 2
    assert shelf.one("SELECT count(*) FROM setting") == 0
    batch = shelf.recorder.batch
    assert waiting(batch.committed, 2) == {shelf.root_id: (3, 2)}
    shelf.see(b"a.jpg", "jpeg", saw=JPEG, at=stat(inode=1))
    assert groups(shelf)[0] == [b"a.jpg", b"a.png"]
