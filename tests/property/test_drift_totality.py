"""Verdicts for every pair of content states that can be thought of: one kind, one manner, no exception."""

from __future__ import annotations

import json
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.drift import SEVERITY, compare_levels, comparison, layout_changes, manner, same_picture, verdict
from catalog.terms import (
    Analysis,
    Evidence,
    Fidelity,
    Ifd,
    IfdKind,
    ImageFacts,
    Kind,
    Layout,
    Level,
    Manner,
    Page,
    PageRole,
    Severity,
    Stat,
    Tag,
)

# Few digests, so that equal ones are common; any bytes elsewhere
digests = st.none() | st.sampled_from([bytes([value]) * 32 for value in range(3)])
small = st.integers(0, 3)
words = st.none() | st.text(max_size=5)

tags = st.builds(
    Tag,
    code=st.sampled_from([256, 273, 274, 305, 34665, 34675, 50000]),
    name=st.text(max_size=5),
    type=st.integers(0, 20) | st.just(129),
    count=small,
    raw=st.binary(max_size=20) | st.binary(min_size=5000, max_size=5001),
    sha256=digests,
    broken=words,
)
ifds = st.builds(
    Ifd,
    index=small,
    kind=st.sampled_from(IfdKind),
    parent=st.none() | small,
    tags=st.lists(tags, max_size=3).map(tuple),
)
images = st.builds(
    ImageFacts,
    format=st.sampled_from(["TIFF", "PNG"]),
    width=small,
    height=small,
    frames=small,
    model=st.sampled_from(["gray", "graya", "rgb", "rgba", "cmyk"]) | st.text(max_size=5),
    dtype=st.sampled_from(["u8", "u16", "f32"]) | st.text(max_size=5),
    channels=small,
    orientation=st.integers(0, 9),
    icc_sha256=digests,
)
counts = st.none() | small
layouts = st.builds(
    Layout,
    container=st.sampled_from(["TIFF", "BigTIFF", "PNG", "JPEG"]) | st.text(max_size=5),
    compression=st.none() | st.sampled_from(["none", "LZW"]) | words,
    byte_order=words,
    predictor=counts,
    planar=words,
    segments=counts,
    rows_per_strip=counts,
    tile_width=counts,
    tile_height=counts,
    fill_order=counts,
    interlaced=st.none() | st.booleans(),
    subsampling=words,
    rest=words,
)
pages = st.builds(
    Page,
    index=small,
    role=st.sampled_from(PageRole),
    width=small,
    height=small,
    model=st.just("rgb"),
    dtype=st.just("u8"),
    channels=small,
    pixels=digests,
    view=digests,
)
analyses = st.builds(
    Analysis,
    fidelity=st.sampled_from(Fidelity),
    reason=words,
    pixels=digests,
    view=digests,
    payload=digests,
    payload_reason=words,
    image=st.none() | images,
    layout=st.none() | layouts,
    pages=st.lists(pages, max_size=3).map(tuple),
    ifds=st.lists(ifds, max_size=3).map(tuple),
)
evidences = st.builds(
    Evidence,
    state=st.sampled_from(["ok", "undecodable", "missing", "unreadable"]) | st.text(max_size=5),
    size=st.none() | small,
    sha256=digests,
    analysis=st.none() | analyses,
    epoch=digests,
    reason=words,
)
contents = evidences.map(lambda side: replace(side, state="ok", sha256=side.sha256 or b"\0" * 32))
times = st.integers(-(2**63), 2**63 - 1) | st.integers(0, 10)
stats = st.builds(Stat, small, times, times, small, small, small, small)


@settings(max_examples=400)
@given(evidences, evidences, st.sampled_from(Manner))
def test_every_pair_has_one_kind_with_reasons_that_reach_a_terminal_safely(
    old: Evidence, new: Evidence, how: Manner
) -> None:
    found = verdict(old, new, how)
    assert found.kind is None or found.kind in Kind
    assert found.manner is how
    assert found.reasons
    assert all(reason.isprintable() and reason for reason in found.reasons)
    alarm = how in (Manner.ROT, Manner.UNEXPLAINED)
    if found.kind is None:
        assert found.severity is Severity.INFO
    else:
        assert found.severity is (Severity.CRITICAL if alarm else SEVERITY[found.kind])


@given(evidences, evidences)
def test_every_pair_compares_into_json(old: Evidence, new: Evidence) -> None:
    answer = comparison(old, new)
    assert set(answer) == {"verdict", "same", "reasons", "tags"}
    assert set(answer["same"]) == {level.value for level in Level}
    assert set(answer["tags"]) == {"added", "removed", "changed", "layout"}
    json.loads(json.dumps(answer))


@given(evidences, evidences)
def test_what_is_the_same_is_the_same_from_either_side(old: Evidence, new: Evidence) -> None:
    assert compare_levels(old, new) == compare_levels(new, old)


@given(contents, evidences, st.sampled_from(Manner))
def test_equal_bytes_have_no_kind(old: Evidence, new: Evidence, how: Manner) -> None:
    copy = replace(new, state="ok", sha256=old.sha256)
    assert verdict(old, copy, how).kind is None
    assert same_picture(old, copy) is True


@given(contents, contents)
def test_only_equal_bytes_have_no_kind(old: Evidence, new: Evidence) -> None:
    assert (verdict(old, new, Manner.ORDINARY).kind is None) == (old.sha256 == new.sha256)


@given(contents, contents)
def test_unsound_samples_are_never_called_identical(old: Evidence, new: Evidence) -> None:
    levels = compare_levels(old, new)
    for side in (old, new):
        if side.analysis is None or not side.analysis.fidelity.sound:
            assert (levels[Level.PIXELS], levels[Level.VIEW]) == (None, None)
            kind = verdict(old, new, Manner.ORDINARY).kind
            assert kind not in (Kind.REENCODED, Kind.REPRESENTATION)
            if kind is Kind.METADATA:
                assert levels[Level.PAYLOAD] is True


@given(contents, contents)
def test_another_decoder_epoch_is_never_called_identical(old: Evidence, new: Evidence) -> None:
    sides = (old, new)
    if any(side.analysis and side.analysis.fidelity is Fidelity.DECODER for side in sides):
        levels = compare_levels(*(replace(side, epoch=bytes([i])) for i, side in enumerate(sides)))
        assert (levels[Level.PIXELS], levels[Level.VIEW]) == (None, None)


@settings(max_examples=400)
@given(contents, contents)
def test_a_view_known_to_differ_is_never_called_the_same_picture(old: Evidence, new: Evidence) -> None:
    if old.sha256 != new.sha256 and compare_levels(old, new)[Level.VIEW] is False:
        assert same_picture(old, new) is False
        kinds = (Kind.DISPLAY, Kind.PICTURE)
        assert verdict(old, new, Manner.ORDINARY).kind in kinds


@given(stats, stats, st.booleans(), st.integers(-1, 2_000_000_000))
def test_every_pair_of_stats_has_one_manner(old: Stat, new: Stat, trusted: bool, granule: int) -> None:
    found = manner(old, new, ctime_trusted=trusted, mtime_granularity_ns=granule)
    assert found in Manner
    if found is Manner.ROT:
        assert trusted
        assert (old.size, old.ctime_ns) == (new.size, new.ctime_ns)
    if found is Manner.UNEXPLAINED:
        assert not trusted
        assert old.size == new.size
    if found is Manner.STEALTH:
        assert trusted
        assert old.ctime_ns != new.ctime_ns


@given(stats, st.booleans())
def test_an_untouched_stat_is_never_ordinary(stat: Stat, trusted: bool) -> None:
    expected = Manner.ROT if trusted else Manner.UNEXPLAINED
    assert manner(stat, stat, ctime_trusted=trusted, mtime_granularity_ns=1) is expected


@given(layouts, layouts)
def test_layouts_that_differ_always_have_words(old: Layout, new: Layout) -> None:
    changes = layout_changes(old, new)
    assert bool(changes) == (old != new)
    assert all(change.isprintable() for change in changes)
