"""``catalog accept`` as a user runs it: what is chosen, what is asked, what is told. The record's own rules are
tested in ``tests/unit/test_record_accepting.py``."""

from __future__ import annotations

import os
import pty
import re
from collections.abc import Iterator
from typing import Any

import pytest

from catalog.service.opening import Desk
from catalog.terms import Outcome, Tag
from tests.recordings import BASIC, Shelf, analysis, saved, stat
from tests.unit.test_record_accepting import choice

SOFTWARE = Tag(305, "Software", 2, 5, b"Gimp\0")


@pytest.fixture
def shelf(catalog_cli: Any) -> Iterator[Shelf]:
    """The share ``/share``: two files with a tag more, and one of everything that is accepted by name only."""
    with Shelf(catalog_cli.home) as made:
        for name in (
            b"x/a.tif",
            b"x/b.tif",
            b"x/broken.tif",
            b"x/rot.tif",
            b"x/gone.tif",
            b"good.tif",
            b"x/eio.tif",
        ):
            made.see(name, f"{name!r}", saw=analysis(f"{name!r}", payload="p"), commit=False)
        for name in (b"x/a.tif", b"x/b.tif"):
            tagged = analysis(f"{name!r}", payload="p", tags=(*BASIC, SOFTWARE))
            made.see(name, f"{name!r} again", saw=tagged, at=saved(stat()), commit=False)
        made.see(b"x/broken.tif", "cut", saw=analysis(None), at=saved(stat()), commit=False)
        made.see(b"x/rot.tif", "flipped", commit=False)
        made.recorder.missing(made.row(b"x/gone.tif"), "not there")
        made.recorder.failed(made.root_id, b"x/eio.tif", made.row(b"x/eio.tif"), Outcome.UNREADABLE, "EIO")
        made.recorder.commit()
        yield made
    made.check()


def results(document: Any) -> dict[str, str]:
    return {row["path"].removeprefix("/share/"): row["result"] for row in document["files"]}


def open_cases(shelf: Shelf) -> set[str]:
    return {row["path"].removeprefix("/share/") for row in shelf.ask("SELECT path FROM v_drift_open")}


def test_a_folder_gives_what_may_be_accepted_together(catalog_cli: Any, shelf: Shelf) -> None:
    everything = open_cases(shelf)
    dry = catalog_cli("accept", "/share/x", "--dry-run", "--json")
    expected = {
        "x/a.tif": "accepted",
        "x/b.tif": "accepted",
        "x/broken.tif": "left",
        "x/eio.tif": "left",
        "x/gone.tif": "left",
        "x/rot.tif": "left",
    }
    assert (dry.code, results(dry.json), dry.json["dry_run"]) == (3, expected, True)
    assert [row["event"] for row in dry.json["files"]] == [None] * 6
    assert open_cases(shelf) == everything

    unasked = catalog_cli("accept", "/share/x")
    assert (unasked.code, unasked.stdout) == (4, b"")
    assert "2 files (2 metadata)" in unasked.stderr
    assert open_cases(shelf) == everything

    ran = catalog_cli("accept", "/share/x", "--yes", "--reason", "new tags", "--actor", "ana", "--json")
    assert (ran.code, results(ran.json)) == (3, expected)
    document = ran.json
    assert (document["schema"], document["actor"], document["reason"]) == (
        "catalog.accept/1",
        "ana",
        "new tags",
    )
    assert document["counts"] == {"accepted": 2, "retired": 0, "no_case": 0, "left": 4, "undone": 0}
    assert (document["complete"], sum(each["files"] for each in document["incomplete"])) == (False, 4)
    first = document["files"][0]
    told = shelf.ask(
        "SELECT kind, actor, from_rev_id, to_rev_id FROM v_event WHERE event_id = ?", first["event"]
    )
    assert told == [
        {
            "kind": "accepted",
            "actor": "ana",
            "from_rev_id": first["from_revision"],
            "to_rev_id": first["to_revision"],
        }
    ]
    assert open_cases(shelf) == everything - {"x/a.tif", "x/b.tif"}


def test_named_one_by_one_everything_with_a_state_is_accepted(catalog_cli: Any, shelf: Shelf) -> None:
    named = [f"/share/x/{name}.tif" for name in ("broken", "rot", "gone", "eio")]
    # A folder around a named file does not take its name away.
    ran = catalog_cli(
        "accept", *named, "/share/x", "/share/good.tif", "--kind", "broken,picture,missing", "--yes"
    )
    assert ran.code == 0, ran.stderr
    lines = {line.split("/share/")[1].split()[0]: line.split()[0] for line in ran.out.splitlines()[1:]}
    assert lines == {
        "good.tif": "no",
        "x/broken.tif": "accepted",
        "x/eio.tif": "no",
        "x/gone.tif": "retired",
        "x/rot.tif": "accepted",
    }
    assert "no open case: there is nothing to accept" in ran.out
    assert "2 accepted and 1 retired: 1 picture (rot), 1 broken, 1 missing" in ran.stderr
    assert open_cases(shelf) == {"x/a.tif", "x/b.tif", "x/eio.tif"}
    assert shelf.ask("SELECT path FROM v_file WHERE state = 'missing'") == []


def test_an_acceptance_is_taken_back_by_its_event(catalog_cli: Any, shelf: Shelf) -> None:
    with Desk(shelf.database) as desk:
        done = desk.accepting.accept(choice(shelf, b"x/rot.tif"), "ana")
        desk.commit()
    assert done is not None
    event = str(done.event_id)
    dry = catalog_cli("accept", "--undo", event, "--dry-run", "--json")
    assert (dry.code, results(dry.json), dry.json["files"][0]["event"]) == (0, {"x/rot.tif": "undone"}, None)
    assert "x/rot.tif" not in open_cases(shelf)
    ran = catalog_cli("accept", "--undo", event, env={"SUDO_USER": "bob", "USER": "root"})
    assert ran.code == 0, ran.stderr
    assert "its case of drift is open again" in ran.out
    assert (shelf.case(b"x/rot.tif")["manner"], shelf.row(b"x/rot.tif").baseline_rev_id) == ("rot", 4)
    assert shelf.ask("SELECT actor FROM v_event ORDER BY event_id DESC LIMIT 1") == [{"actor": "bob"}]


def test_a_person_is_asked(catalog_cli: Any, shelf: Shelf) -> None:
    before = open_cases(shelf)
    for answer, code in ((b"n\n", 4), (b"y\n", 3)):
        master, terminal = pty.openpty()
        try:
            os.write(master, answer)
            words = ("accept", "--glob", "*.tif", "--kind", "metadata,broken", "--json")
            with catalog_cli.start(*words, stdin=terminal) as started:
                out, err = started.communicate(timeout=60)
        finally:
            os.close(master)
            os.close(terminal)
        assert started.returncode == code, err
        assert b"Accept the current state of 2 files (2 metadata)? [y/N]: " in err
        assert out[:1] == (b"" if code == 4 else b"{")
        assert open_cases(shelf) == (before if code == 4 else before - {"x/a.tif", "x/b.tif"})


def test_one_file_is_accepted_without_a_question_beside_a_writer(catalog_cli: Any, shelf: Shelf) -> None:
    shelf.see(b"new.tif", "new", commit=False)
    shelf.recorder.batch.flush()  # the write lock is held, as by a daemon in the middle of a batch
    with catalog_cli.start("accept", "/share/x/a.tif") as started:
        line = started.stderr.readline()
        assert line.decode() == f"catalogue: {shelf.database}\n"
        shelf.recorder.commit()
        out, err = started.communicate(timeout=60)
    assert started.returncode == 0, err
    assert re.search(rb"^accepted +metadata +ordinary +/share/x/a.tif +\d+", out, re.MULTILINE)
    assert re.search(rb"take it back with: catalog accept --undo \d+\n", err)
    # The writer asks the record again: it holds the next change against what was accepted meanwhile.
    accepted = shelf.row(b"x/a.tif").rev_id
    shelf.see(b"x/a.tif", "third", at=saved(stat(), 50))
    assert shelf.case(b"x/a.tif")["baseline_rev_id"] == accepted


def test_words_that_do_not_fit_together_are_refused(catalog_cli: Any, shelf: Shelf) -> None:
    ran = catalog_cli("accept")
    assert (ran.code, ran.stdout, "nothing is named" in ran.stderr) == (2, b"", True)
    ran = catalog_cli("accept", "--undo", "3", "/share/x")
    assert (ran.code, ran.stdout) == (2, b"")


def test_without_catalogue_nothing_is_made(catalog_cli: Any) -> None:
    ran = catalog_cli("accept", "/share")
    assert (ran.code, catalog_cli.database.exists()) == (10, False)
