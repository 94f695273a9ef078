"""Where is the old picture still to be had, now?"""

from __future__ import annotations

import pytest

from catalog.cli.cases import told
from catalog.query.drift import Case, drift_cases
from catalog.query.history import show
from catalog.query.opening import opened
from catalog.query.resolving import resolve
from catalog.terms import Fidelity, Outcome, RootState
from tests.recordings import NEW_TOOLCHAIN, Shelf, analysis, saved, stat


def case_of(shelf: Shelf, path: bytes) -> Case:
    with opened(shelf.database) as connection:
        cases = [
            case for case in drift_cases(connection, resolve(connection)) if case.path == b"/share/" + path
        ]
    (case,) = cases
    return case


def copy_of(shelf: Shelf, path: bytes = b"a.tif") -> tuple[str, str] | None:
    """(absolute path, relation) as JSON shows them."""
    fields = case_of(shelf, path).fields()
    if fields["good_copy"] is None:
        assert fields["good_copy_relation"] is None
        return None
    return fields["good_copy"], fields["good_copy_relation"]


@pytest.fixture
def changed(shelf: Shelf) -> Shelf:
    """``a.tif`` holds another picture; ``copies/a.tif`` holds the one that it had."""
    shelf.see(b"a.tif", "a", at=stat(inode=1))
    shelf.see(b"copies/a.tif", "a", at=stat(inode=2))
    shelf.see(b"a.tif", "b", at=saved(stat(inode=1)))
    return shelf


def test_a_copy_of_the_old_bytes_is_named(changed: Shelf) -> None:
    assert copy_of(changed) == ("/share/copies/a.tif", "same bytes")
    assert told(case_of(changed, b"a.tif"))[-1] == "a good copy of the old picture is /share/copies/a.tif"
    with opened(changed.database) as connection:
        (history,) = show(connection, b"/share/a.tif").histories
    assert history.cases == (case_of(changed, b"a.tif"),)


def test_a_copy_that_moved_is_named_where_it_is(changed: Shelf) -> None:
    changed.recorder.move(changed.row(b"copies/a.tif"), changed.root_id, b"archive/a.tif")
    changed.recorder.commit()
    assert copy_of(changed) == ("/share/archive/a.tif", "same bytes")


def test_a_copy_that_came_later_is_named(shelf: Shelf) -> None:
    shelf.see(b"a.tif", "a", at=stat(inode=1))
    shelf.see(b"a.tif", "b", at=saved(stat(inode=1)))
    assert copy_of(shelf) is None
    shelf.see(b"restored.tif", "a", at=stat(inode=2))
    assert copy_of(shelf) == ("/share/restored.tif", "same bytes")


@pytest.mark.parametrize("fate", ["changed", "missing", "suspect", "unreadable", "offline"])
def test_a_copy_that_is_none_any_more_is_not_named(changed: Shelf, fate: str) -> None:
    row, recorder = changed.row(b"copies/a.tif"), changed.recorder
    if fate == "changed":
        changed.see(b"copies/a.tif", "c", at=saved(stat(inode=2)))
    elif fate == "missing":
        recorder.missing(row, "gone")
    elif fate == "suspect":
        recorder.suspect(row)
    elif fate == "unreadable":
        recorder.failed(changed.root_id, row.path, row, Outcome.UNREADABLE, "Input/output error")
    else:
        changed.roots.set_state(changed.roots.by_id(changed.root_id), RootState.OFFLINE, "unmounted")
    recorder.commit()
    assert copy_of(changed) is None


def test_a_copy_of_the_old_pixels_is_named_for_what_is_gone(shelf: Shelf) -> None:
    shelf.see(b"a.tif", "a", at=stat(inode=1))
    shelf.see(b"web/a.png", "png", saw=analysis("a"), at=stat(inode=2))
    shelf.recorder.missing(shelf.row(b"a.tif"), "gone")
    shelf.recorder.commit()
    assert copy_of(shelf) == ("/share/web/a.png", "same pixels")


def test_what_cannot_be_proved_is_no_good_copy(shelf: Shelf) -> None:
    lossy = analysis("a", fidelity=Fidelity.LOSSY)
    shelf.see(b"a.tif", "a", at=stat(inode=1), saw=lossy)
    shelf.see(b"other.tif", "b", at=stat(inode=2), saw=lossy)
    shelf.see(b"a.tif", "d", at=saved(stat(inode=1)), saw=analysis("d"))
    assert copy_of(shelf) is None


def test_the_same_samples_from_other_decoders_are_no_good_copy(shelf: Shelf) -> None:
    jpeg = analysis("a", fidelity=Fidelity.DECODER)
    shelf.see(b"a.jpg", "one", saw=jpeg, at=stat(inode=1))
    shelf.see(b"b.jpg", "two", saw=jpeg, at=stat(inode=2))
    shelf.see(b"a.jpg", "three", saw=analysis("c", fidelity=Fidelity.DECODER), at=saved(stat(inode=1)))
    assert copy_of(shelf, b"a.jpg") == ("/share/b.jpg", "same pixels")
    shelf.close()
    shelf.open(NEW_TOOLCHAIN)
    shelf.see(b"new.jpg", "four", saw=analysis("z", fidelity=Fidelity.DECODER), at=stat(inode=3))
    assert copy_of(shelf, b"a.jpg") is None


def test_another_name_of_the_changed_file_is_no_copy_of_what_it_was(shelf: Shelf) -> None:
    """The record of the other name is only older."""
    linked = stat(inode=1, nlink=2)
    shelf.see(b"a.tif", "a", at=linked)
    shelf.see(b"link.tif", "a", at=linked)
    shelf.see(b"a.tif", "b", at=saved(linked))
    assert copy_of(shelf) is None


def test_a_copy_with_an_odd_name_is_named_whole(shelf: Shelf) -> None:
    shelf.see(b"a.tif", "a", at=stat(inode=1))
    shelf.see(b"odd\xff.tif", "a", at=stat(inode=2))
    shelf.see(b"a.tif", "b", at=saved(stat(inode=1)))
    fields = case_of(shelf, b"a.tif").fields()
    assert (fields["good_copy"], fields["good_copy_b64"]) == ("/share/odd\\xff.tif", "L3NoYXJlL29kZP8udGlm")


def test_a_case_that_left_the_picture_alone_does_not_speak_of_copies(shelf: Shelf) -> None:
    shelf.see(b"a.tif", "a", at=stat(inode=1))
    shelf.see(b"copy.tif", "a", at=stat(inode=2))
    shelf.see(b"a.tif", "lzw", saw=analysis("a", compression="LZW"), at=saved(stat(inode=1)))
    assert copy_of(shelf) == ("/share/copy.tif", "same bytes")
    case = case_of(shelf, b"a.tif")
    assert told(case) == case.reasons


def test_a_closed_case_names_no_copy(changed: Shelf) -> None:
    changed.see(b"a.tif", "a", at=saved(stat(inode=1), 20))
    with opened(changed.database) as connection:
        (history,) = show(connection, b"/share/a.tif").histories
    assert [(case.open, case.good_copy) for case in history.cases] == [(False, None)]
