"""Real files, changed by real programs: each must get exactly its kind, its manner, and a sentence that names the
cause; and docs/drift.md says so."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from catalog.terms import Kind
from tests.drift_matrix import BEGIN, DOCS, END, Verdict, alike, numbered, verdicts
from tests.in_process import cataloguing_in
from tests.mutations import Mutation
from tests.pictures import scan_tif

GROUPS = [pytest.param(*group, id=group[0]) for group in numbered()]


def documented() -> list[str]:
    """The rows of the table in docs/drift.md."""
    lines = DOCS.read_text().split(BEGIN)[1].split(END)[0].splitlines()
    return [alike(line) for line in lines[2:]]


def wrong(found: Verdict, rows: list[str]) -> list[str]:
    """What is not as it must be."""
    wanted = found.mutation
    got = (found.kind, found.manner)
    if wanted.kind is None:
        complaints = [] if got == (None, None) else [f"{got}, but no case is wanted"]
        if wanted.event not in found.events:
            complaints.append(f"events {found.events} without {wanted.event}")
    else:
        right = (wanted.kind.value, wanted.manner.value)
        complaints = [] if got == right else [f"{got} instead of {right}"]
        at = 0
        whole = "; ".join(found.reasons)
        for cause in wanted.causes:
            place = whole.find(cause, at)
            at = max(place, 0)
            if place < 0:
                complaints.append(f"{cause!r} is not said: {whole}")
    if alike(found.row) not in rows:
        complaints.append(f"docs/drift.md does not have it: {found.row}")
    return [f"{wanted.name}: {complaint}" for complaint in complaints]


@pytest.mark.parametrize(("title", "tools", "mutations", "first"), GROUPS)
def test_each_change_is_told_for_what_it_is(
    title: str, tools: tuple[str, ...], mutations: Sequence[Mutation], first: int, tmp_path: Path
) -> None:
    lacking = [tool for tool in tools if shutil.which(tool) is None]
    if lacking:
        pytest.skip(f"not installed: {', '.join(lacking)} ({len(mutations)} changes are not tried)")
    rows = documented()
    complaints = [each for found in verdicts(tmp_path, mutations, first) for each in wrong(found, rows)]
    assert not complaints, "\n".join(complaints)


def test_an_older_version_that_comes_back_is_named_by_its_date(tmp_path: Path, catalog_cli: Any) -> None:
    """A, then B, then A again is no drift; with B accepted, A is, and the sentence says when it was seen last."""
    share = tmp_path / "share"
    share.mkdir()
    with cataloguing_in(tmp_path) as home:
        path = share / "a.tif"
        scan_tif(path, 1)
        first = path.read_bytes()
        home.scan(share)
        scan_tif(path, 2)
        home.scan(share)
        path.write_bytes(first)
        home.scan(share)
        assert home.ask.open_drift() == []
        assert home.ask.events("restored") == ["restored a.tif"]
        last_seen = home.ask("SELECT observed FROM v_revision ORDER BY rev_id DESC")[0]["observed"]

        scan_tif(path, 2)
        home.scan(share)
        accepted = catalog_cli("accept", path, env={"CATALOG_DATABASE": str(home.database)})
        assert accepted.code == 0, accepted.stderr
        assert home.ask.open_drift() == []
        path.write_bytes(first)
        home.scan(share)
        ((_, kind, reasons),) = home.ask.open_drift()
        answer = catalog_cli("query", "drift", "--json", env={"CATALOG_DATABASE": str(home.database)})
        (told,) = answer.json["drift"]
    assert kind == Kind.PICTURE
    assert f"back to the content of {last_seen}" in reasons
    assert f"near distance {told['near_distance']} of 256" in reasons[1]


def test_the_table_has_no_other_rows() -> None:
    assert len(documented()) == sum(len(mutations) for _, _, mutations, _ in numbered())
