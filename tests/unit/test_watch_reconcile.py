"""A walk against the record: nothing missed, nothing invented."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.watch.mounts import MountTrust
from catalog.watch.reconcile import (
    Coverage,
    KnownFile,
    MassRule,
    compare,
    racy_until_ns,
    recheck_absence,
)
from catalog.watch.selection import Selection
from catalog.watch.walk import Listing, Look, walk

LOOK: Look = (100, 10**18, 10**18 + 5, 42)
NO_INODE = MountTrust(False, True, 1, "", True)
NO_CTIME = MountTrust(False, False, 1, "", False)
COARSE = MountTrust(True, True, 100, "", True)


def known(look: Look, file_id: int = 1) -> KnownFile:
    return KnownFile(file_id, *look)


def test_equal_looks_are_unchanged_and_the_rest_is_sorted_out():
    listing = Listing(b"", entries={b"same": LOOK, b"new": LOOK, b"alt": (1, 2, 3, 4)})
    record = {b"same": known(LOOK), b"alt": known(LOOK, 2), b"lost": known(LOOK, 3)}
    found = compare(listing, record)
    assert found.unchanged == 1
    assert found.new == [(b"new", LOOK)]
    assert found.altered == [(b"alt", record[b"alt"], (1, 2, 3, 4))]
    assert found.vanished == [(b"lost", record[b"lost"])]
    assert found.unknown == []


@pytest.mark.parametrize("field", range(4))
def test_any_moved_field_is_work(field: int):
    moved = tuple(value + (i == field) for i, value in enumerate(LOOK))
    assert len(compare(Listing(b"", entries={b"a": moved}), {b"a": known(LOOK)}).altered) == 1  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("trust", "moved", "altered"),
    [
        (NO_INODE, (100, 10**18, 10**18 + 5, 43), 0),
        (NO_INODE, (100, 10**18, 10**18 + 6, 42), 1),
        (NO_CTIME, (100, 10**18, 7, 43), 0),
        (NO_CTIME, (100, 10**18 + 1, 10**18 + 5, 42), 1),
        (NO_CTIME, (101, 10**18, 10**18 + 5, 42), 1),
    ],
)
def test_fields_that_the_mount_does_not_keep_take_no_part(trust: MountTrust, moved: Look, altered: int):
    assert len(compare(Listing(b"", entries={b"a": moved}), {b"a": known(LOOK)}, trust).altered) == altered


def test_stamps_that_the_server_cut_down_are_equal_but_no_others():
    fine, cut, other = (
        (1, 10**18 + 77, 10**18 + 77, 4),
        (1, 10**18, 10**18, 4),
        (1, 10**18 + 78, 10**18 + 77, 4),
    )
    for before, after, altered in ((fine, cut, 0), (cut, fine, 0), (fine, other, 1)):
        assert (
            len(compare(Listing(b"", entries={b"a": after}), {b"a": known(before)}, COARSE).altered)
            == altered
        )


def test_a_row_without_a_look_is_altered():
    record = {b"a": KnownFile(1, None, None, None, None)}
    for trust in (MountTrust(), NO_INODE, COARSE):
        assert len(compare(Listing(b"", entries={b"a": LOOK}), record, trust).altered) == 1


def test_nothing_vanishes_from_a_listing_that_failed():
    record = {b"seen": known(LOOK), b"lost": known(LOOK, 2)}
    listing = Listing(b"d", entries={b"seen": LOOK}, error=OSError(errno.EIO, "I/O error"))
    found = compare(listing, record)
    assert (found.unchanged, found.vanished, found.unknown) == (1, [], [(b"lost", record[b"lost"])])


def test_a_name_that_could_not_be_looked_at_is_unknown():
    record = {b"a": known(LOOK), b"b": known(LOOK, 2)}
    listing = Listing(b"d", unknown={b"a": OSError(errno.EACCES, "denied")})
    found = compare(listing, record)
    assert found.unknown == [(b"a", record[b"a"])]
    assert found.vanished == [(b"b", record[b"b"])]


LOOKS = st.tuples(*[st.integers(0, 3)] * 4)
NAMES = st.sampled_from([bytes([c]) for c in range(97, 105)])


@given(
    seen=st.dictionaries(NAMES, LOOKS),
    record=st.dictionaries(NAMES, LOOKS),
    failed=st.booleans(),
    trust=st.sampled_from([MountTrust(), NO_INODE, NO_CTIME, COARSE]),
)
def test_every_file_falls_into_exactly_one_class(seen, record, failed, trust):
    rows = {name: known(look, i) for i, (name, look) in enumerate(record.items())}
    listing = Listing(b"", entries=seen, error=OSError(errno.EIO, "x") if failed else None)
    found = compare(listing, rows, trust)
    assert {n for n, _ in found.new} == set(seen) - set(record)
    assert {n for n, _ in found.vanished} == (set() if failed else set(record) - set(seen))
    assert {n for n, _ in found.unknown} == (set(record) - set(seen) if failed else set())
    assert found.unchanged + len(found.altered) == len(set(seen) & set(record))
    identical = {n for n in set(seen) & set(record) if seen[n] == record[n]}
    assert not identical & {n for n, _, _ in found.altered}
    if trust == MountTrust():
        assert found.unchanged == len(identical)


def test_racy_stamps_last_one_step_of_the_mount():
    assert racy_until_ns(LOOK) == LOOK[2] + 20_000_000
    assert racy_until_ns(LOOK, MountTrust(False, False, 2 * 10**9)) == LOOK[1] + 2 * 10**9


# --------------------------------------------------------------------------------------------- coverage


def plant(root: Path, *paths: str) -> bytes:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"x")
    return os.fsencode(root)


def covered(root: bytes, **options) -> Coverage:
    coverage = Coverage(options.get("start", b""), options.get("after"))
    for listing in walk(root, Selection(), **options):
        coverage.add(listing)
    return coverage


def test_a_known_folder_is_gone_when_a_clean_listing_above_it_has_it_not(tmp_path: Path):
    root = plant(tmp_path, "a/b/1.tif", "c/2.tif")
    coverage = covered(root)
    assert coverage.listed(b"a/b")
    assert not coverage.gone(b"a/b")
    assert coverage.gone(b"a/x")
    assert coverage.gone(b"a/x/y/z")
    assert coverage.gone(b"nowhere")


def test_nothing_is_gone_below_what_could_not_be_listed():
    coverage = Coverage()
    coverage.add(Listing(b"", subdirs=[b"bad", b"ok"], mounts=[b"mnt"]))
    coverage.add(Listing(b"bad", error=OSError(errno.EACCES, "denied")))
    coverage.add(Listing(b"ok", unknown={b"odd": OSError(errno.EIO, "x")}))
    for folder in (b"bad", b"bad/x", b"bad/x/y", b"mnt", b"mnt/x", b"ok/odd", b"ok/odd/x"):
        assert not coverage.gone(folder), folder
    assert coverage.gone(b"ok/other")
    assert coverage.gone(b"else/where")


def test_a_walk_of_a_part_says_nothing_of_the_rest(tmp_path: Path):
    root = plant(tmp_path, "a/b/1.tif", "c/2.tif")
    part = covered(root, start=b"a")
    assert part.gone(b"a/x")
    assert not part.gone(b"x")
    resumed = covered(root, after=b"a/b")
    assert not resumed.gone(b"a/a")


# ---------------------------------------------------------------------------------------------- absence


def proofs(root: bytes, *paths: bytes) -> list[bool]:
    return [proof.absent for proof in recheck_absence(root, paths)]


def test_absence_needs_a_clean_listing_and_a_failed_lstat(tmp_path: Path):
    root = plant(tmp_path, "a/1.tif")
    assert proofs(root, b"a/1.tif", b"a/2.tif", b"x/y/3.tif") == [False, True, True]


def test_a_file_that_became_something_else_is_absent(tmp_path: Path):
    root = plant(tmp_path, "a/1.tif", "b")
    (tmp_path / "2.tif").mkdir()
    (tmp_path / "3.tif").symlink_to("a/1.tif")
    (tmp_path / "link").symlink_to("a")
    (tmp_path / "4.tif").symlink_to("nowhere")
    found = recheck_absence(root, [b"2.tif", b"4.tif", b"b/x.tif", b"link/2.tif", b"a/1.tif"])
    assert [proof.absent for proof in found] == [True, True, True, True, False]
    assert "folder" in found[0].reason
    assert "link" in found[3].reason


def test_a_file_that_a_link_still_leads_to_is_not_absent(tmp_path: Path):
    """Recorded while links were followed, walked without: nobody deleted anything."""
    root = plant(tmp_path, "a/1.tif")
    (tmp_path / "3.tif").symlink_to("a/1.tif")
    (tmp_path / "link").symlink_to("a")
    found = recheck_absence(root, [b"3.tif", b"link/1.tif"])
    assert [proof.absent for proof in found] == [False, False]
    assert "not followed" in found[0].reason


def test_no_absence_is_proven_when_the_root_is_not_there(tmp_path: Path):
    (proof,) = recheck_absence(os.fsencode(tmp_path / "nowhere"), [b"a.tif"])
    assert not proof.absent
    assert "cannot be listed" in proof.reason


def test_the_mass_rule_needs_both_a_share_and_a_number():
    rule = MassRule()
    assert not rule.holds(50, 60)
    assert not rule.holds(2000, 10_000)
    assert rule.holds(2001, 10_000)
    assert rule.holds(51, 51)
