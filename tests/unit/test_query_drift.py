"""What changed, how, and why?"""

from __future__ import annotations

import pytest
from sqlalchemy import Connection

from catalog.cli.cases import lines
from catalog.drift import shape, shapes
from catalog.query.drift import Wanted, drift_cases, drift_groups
from catalog.query.resolving import resolve
from catalog.terms import Fidelity, Kind, Manner, Severity
from tests.unit.catalogue_rows import NOON_MS, CatalogueRows, Picture, sha256


def ids(connection: Connection, wanted: Wanted | None = None, **scope: object) -> list[int]:
    found = drift_cases(connection, resolve(connection, **scope), wanted)  # type: ignore[arg-type]
    return [case.drift_id for case in found]


def several(rows: CatalogueRows) -> list[int]:
    """Cases 1 to 5; the last one is closed."""
    one, two = rows.root("one", b"/one"), rows.root("two", b"/two")
    files = [
        rows.file(one if number < 3 else two, b"x/%d" % number, Picture(bytes=str(number)))
        for number in range(5)
    ]
    minute = 60_000
    return [
        rows.drift(files[0], Kind.METADATA, severity=Severity.INFO, at_ms=NOON_MS + 5 * minute),
        rows.drift(files[1], Kind.PICTURE, at_ms=NOON_MS + 2 * minute),
        rows.drift(files[2], Kind.MISSING, at_ms=NOON_MS + 3 * minute),
        rows.drift(files[3], Kind.PICTURE, severity=Severity.CRITICAL, manner=Manner.ROT, at_ms=NOON_MS),
        rows.drift(
            files[4], Kind.REENCODED, severity=Severity.NOTICE, closed_ms=NOON_MS, resolution="restored"
        ),
    ]


def test_open_cases_come_by_urgency_and_then_newest_first(
    rows: CatalogueRows, connection: Connection
) -> None:
    several(rows)
    assert ids(connection) == [4, 3, 2, 1]
    assert ids(connection, Wanted(closed=True)) == [5, 4, 3, 2, 1]
    found = drift_cases(connection, resolve(connection), limit=2)
    assert [case.drift_id for case in found] == [4, 3]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Wanted(kinds=[Kind.PICTURE]), [4, 2]),
        (Wanted(kinds=[Kind.PICTURE, Kind.METADATA]), [4, 2, 1]),
        (Wanted(manners=[Manner.ROT]), [4]),
        (Wanted(severity=Severity.WARNING), [4, 3, 2]),
        (Wanted(severity=Severity.CRITICAL), [4]),
        (Wanted(since_ms=NOON_MS + 150_000), [3, 1]),
        (Wanted(pixels_same=True), [1]),
        (Wanted(pixels_same=True, closed=True), [5, 1]),
        (Wanted(pixels_same=False), [4, 2]),
        (Wanted(pixels_same=True, kinds=[Kind.PICTURE]), []),
    ],
)
def test_cases_can_be_selected(
    rows: CatalogueRows, connection: Connection, wanted: Wanted, found: list[int]
) -> None:
    several(rows)
    assert ids(connection, wanted) == found


def test_every_kind_is_proven_same_or_different_or_neither() -> None:
    from catalog.query.drift import OTHER_PIXELS, SAME_PIXELS

    undecided = {Kind.UNPROVEN, Kind.BROKEN, Kind.MISSING, Kind.UNREADABLE}
    assert {*SAME_PIXELS, *OTHER_PIXELS, *undecided} == set(Kind)
    assert not set(SAME_PIXELS) & set(OTHER_PIXELS)


def test_a_scope_narrows_cases(rows: CatalogueRows, connection: Connection) -> None:
    several(rows)
    assert ids(connection, roots=["one"]) == [3, 2, 1]
    assert ids(connection, paths=[b"/two/x", b"/one/x/0"]) == [4, 1]
    assert ids(connection, globs=["[02]"]) == [3, 1]


def test_the_fields_are_those_of_the_contract(rows: CatalogueRows, connection: Connection) -> None:
    root = rows.root("r", b"/r")
    file_id = rows.file(root, b"a.tif", Picture(bytes="1", pixels="p"))
    rev_id = rows.change(file_id, Picture(bytes="2", pixels="p", fidelity=Fidelity.DAMAGED))
    rows.drift(
        file_id,
        Kind.UNPROVEN,
        reasons=["the samples cannot be compared: strip 2 is short", "size 1,000 → 900"],
        detail={"restored_from": 7, "tags": {"added": []}},
    )
    (case,) = drift_cases(connection, resolve(connection))
    fields = case.fields()
    assert {
        name: fields[name] for name in ("id", "root", "path", "kind", "manner", "severity", "at", "open")
    } == {
        "id": 1,
        "root": "r",
        "path": "/r/a.tif",
        "kind": "unproven",
        "manner": "ordinary",
        "severity": "warning",
        "at": "2025-10-09T08:54:20.000Z",
        "open": True,
    }
    assert fields["old"] == {
        "revision": 1,
        "raw_sha256": sha256("1").hex(),
        "payload": f"pay1:{sha256('payload 1').hex()}",
        "pixels": f"pix1:{sha256('1 p').hex()}",
        "view": f"view1:{sha256('2 p').hex()}",
    }
    assert (fields["new"]["revision"], fields["new"]["pixels"]) == (
        rev_id,
        f"pix1-damaged:{sha256('1 p').hex()}",
    )
    assert fields["reasons"] == ["the samples cannot be compared: strip 2 is short", "size 1,000 → 900"]
    assert (fields["restored_from"], fields["good_copy"]) == (7, None)


@pytest.mark.parametrize("kind", [Kind.MISSING, Kind.UNREADABLE])
def test_what_has_no_content_shows_none(rows: CatalogueRows, connection: Connection, kind: Kind) -> None:
    file_id = rows.file(rows.root("r", b"/r"), b"a.tif", Picture(bytes="1"))
    rows.drift(file_id, kind)
    (case,) = drift_cases(connection, resolve(connection))
    assert set(case.new.fields().values()) == {None}
    assert case.old.raw_sha256 == sha256("1").hex()


def test_cases_of_one_shape_are_one_line(rows: CatalogueRows, connection: Connection) -> None:
    """As if they had one cause: not those that have another reason besides."""
    root = rows.root("r", b"/r")
    minute = 60_000
    for number in range(12):
        file_id = rows.file(root, b"%02d" % number, Picture(bytes=str(number)))
        reasons = [
            "pixels identical",
            f"tag Software changed from 'a' to '{number}'",
            f"size {number} -> 9 bytes",
        ]
        if number >= 8:
            reasons.insert(2, "colour profile removed (samples identical, look may differ)")
        if number == 3:
            reasons = ["pixels identical", "another cause"]
        rows.drift(file_id, Kind.METADATA, reasons=reasons, at_ms=NOON_MS + number * minute)
    listed = list(lines(drift_groups(connection, resolve(connection), least=4)))
    assert [(row["path"], row.get("files"), list(row["told"])) for row in listed] == [
        ("/r/11", 4, ["pixels identical", "tag Software changed", "and 1 other reason, the same for all"]),
        ("/r/07", 7, ["pixels identical", "tag Software changed"]),
        ("/r/03", None, ["pixels identical", "another cause"]),
    ]
    assert (listed[1]["since"], listed[1]["until"]) == (
        "2025-10-09T08:53:20.000Z",
        "2025-10-09T09:00:20.000Z",
    )
    assert [alike for _, alike in drift_groups(connection, resolve(connection), least=20)] == [None] * 12


@pytest.mark.parametrize(
    ("reason", "left"),
    [
        ("tag Software changed from 'a' to 'b from c to d'", "tag Software changed"),
        ("tag DateTime (subifd 0) changed from 1 to 2", "tag DateTime (subifd 0) changed"),
        ("1 strip of 64 rows instead of 3 of 22", "… strip of … rows instead of … of …"),
        ("contents swapped with /x/1 2.tif, as seen 2025-10-09T08:53:20.000Z", "contents swapped with …"),
        (
            "missing: another file was renamed over it: /x/y.tif",
            "missing: another file was renamed over it: …",
        ),
        ("back to the content of 2025-10-09T08:53:20.000Z", "back to the content of …"),
        ("the picture changed", "the picture changed"),
    ],
)
def test_the_shape_of_a_reason(reason: str, left: str) -> None:
    assert shape(reason) == left
    assert shapes([reason, "size 1,000 -> 20 bytes"]) == (left,)
