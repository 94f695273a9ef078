"""The language between pool and workers: everything survives the way, and nothing broken is believed."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.pixels import wire
from catalog.pixels.analysis_wire import decode_analysis, encode_analysis
from catalog.pixels.wire import BadFrame, Frame, FrameReader
from catalog.terms import (
    Analysis,
    Failure,
    FailureKind,
    Fidelity,
    Ifd,
    IfdKind,
    ImageFacts,
    Layout,
    Loaders,
    Page,
    PageRole,
    Stat,
    Tag,
    Toolchain,
)

SHA = bytes(range(32))
MD5 = bytes(range(16))


def full_analysis() -> Analysis:
    """Every field of every value inside is set, and to no default."""
    return Analysis(
        fidelity=Fidelity.DAMAGED,
        reason="decoder complained, ünter anderem",
        pixels=SHA,
        view=SHA[::-1],
        payload=b"\xff" * 32,
        payload_reason="garbage between segments",
        image=ImageFacts("TIFF", 2**40, 64, 3, "rgb+1", "u12", 4, 6, icc_sha256=b"\x01" * 32),
        layout=Layout(
            "BigTIFF", "LZW", "big", 2, "separate", 9, 8, 256, 128, 2, True, "4:2:0", "ab" * 32, 70, "XMP"
        ),
        pages=(
            Page(0, PageRole.PAGE, 124, 64, "rgb", "u8", 3, SHA, SHA),
            Page(1, PageRole.THUMBNAIL, 12, 6, "gray", "u16", 1, None, SHA),
            Page(2, PageRole.FRAME, 12, 6, "gray", "f32", 1, SHA, None),
        ),
        ifds=(
            Ifd(0, IfdKind.PAGE, None, (Tag(256, "ImageWidth", 3, 1, b"\x7c\0"),)),
            Ifd(
                1,
                IfdKind.EXIF,
                0,
                (
                    Tag(0x927C, "MakerNote", 7, 2**40, b"\xff\0" * 400, sha256=SHA),
                    Tag(0xFFFF, "0xffff", 77, 2**64 - 1, b"", broken="offset beyond the end: ö"),
                    Tag(1, "x", 2, 3, b"abc", sha256=SHA, broken=""),
                ),
            ),
        ),
        loaders=Loaders(MD5, None, MD5[::-1], (("pillow_tobytes_md5", "ValueError: no"),)),
        complaints=("libtiff: Bad code word", "and again"),
        near=SHA[1:] + b"n",
    )


def test_every_field_of_an_analysis_survives() -> None:
    analysis = full_analysis()
    left_out = [f.name for f in dataclasses.fields(Analysis) if getattr(analysis, f.name) in (None, ())]
    assert not left_out, f"fields that this test does not cover: {left_out}"
    for part in (analysis.image, analysis.layout):
        assert part is not None
        empty = [f.name for f in dataclasses.fields(part) if getattr(part, f.name) is None]
        assert not empty, f"fields that this test does not cover: {empty}"
    assert decode_analysis(encode_analysis(analysis)) == analysis


def test_an_analysis_of_nothing_survives() -> None:
    analysis = Analysis(Fidelity.UNDECODABLE, None)
    assert decode_analysis(encode_analysis(analysis)) == analysis


def test_equal_tags_of_two_files_become_one_value() -> None:
    one, other = (decode_analysis(encode_analysis(full_analysis())) for _ in range(2))
    assert one.ifds[0].tags[0] is other.ifds[0].tags[0]
    assert one.layout is other.layout


def test_long_tags_are_not_kept_for_sharing() -> None:
    one, other = (decode_analysis(encode_analysis(full_analysis())) for _ in range(2))
    assert one.ifds[1].tags[0] == other.ifds[1].tags[0]
    assert one.ifds[1].tags[0] is not other.ifds[1].tags[0]


digests = st.none() | st.binary(min_size=32, max_size=32)
words = st.none() | st.text(st.characters(codec="utf-8"), max_size=40)
tags = st.builds(
    Tag,
    code=st.integers(0, 65535),
    name=st.text(st.characters(codec="utf-8"), max_size=20),
    type=st.integers(0, 65535),
    count=st.integers(0, 2**64 - 1),
    raw=st.binary(max_size=300),
    sha256=digests,
    broken=words,
)
analyses = st.builds(
    Analysis,
    fidelity=st.sampled_from(Fidelity),
    reason=words,
    pixels=digests,
    view=digests,
    payload=digests,
    payload_reason=words,
    ifds=st.lists(
        st.builds(
            Ifd,
            index=st.integers(0, 2**32 - 1),
            kind=st.sampled_from(IfdKind),
            parent=st.none() | st.integers(0, 2**31 - 1),
            tags=st.lists(tags, max_size=4).map(tuple),
        ),
        max_size=3,
    ).map(tuple),
    complaints=st.lists(st.text(st.characters(codec="utf-8"), max_size=20), max_size=3).map(tuple),
)


@settings(max_examples=150, deadline=None)
@given(analyses)
def test_any_analysis_survives(analysis: Analysis) -> None:
    assert decode_analysis(encode_analysis(analysis)) == analysis


def test_no_beginning_of_an_analysis_passes_for_one() -> None:
    encoded = encode_analysis(full_analysis())
    for length in range(len(encoded)):
        with pytest.raises(BadFrame):
            decode_analysis(encoded[:length])
    with pytest.raises(BadFrame):
        decode_analysis(encoded + b"\0")


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_damaged_analysis_is_a_bad_frame_or_another_analysis(data: st.DataObject) -> None:
    encoded = bytearray(encode_analysis(full_analysis()))
    for _ in range(data.draw(st.integers(1, 4))):
        encoded[data.draw(st.integers(0, len(encoded) - 1))] ^= 0xFF
    try:
        decoded = decode_analysis(bytes(encoded))
    except BadFrame:
        return
    assert isinstance(decoded, Analysis)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        (b'"rgb+1"', b"[[[1]]]"),  # a list for a string
        (b"1099511627776", b'"10995116277"'),  # a string for a number
        (b'"and again"', b"[1,2,3,4,5]"),
        (b"[0,0,124,64,", b"[0,9,124,64,"),  # no such role
        (b"[0,0,124,64,", b'[0,0,"12",6,'),
    ],
)
def test_values_of_a_wrong_type_are_refused(right: bytes, wrong: bytes) -> None:
    encoded = encode_analysis(full_analysis())
    assert encoded.count(right) == 1 and len(right) == len(wrong)
    with pytest.raises(BadFrame):
        decode_analysis(encoded.replace(right, wrong))


def test_lone_surrogates_cannot_reach_the_record() -> None:
    analysis = Analysis(Fidelity.DAMAGED, "bad \udcff", complaints=("said \ud800",))
    decoded = decode_analysis(encode_analysis(analysis))
    assert decoded.reason == "bad \\udcff" and decoded.complaints == ("said \\ud800",)


# ------------------------------------------------------------------------------------------ the other frames


def test_jobs_survive_whatever_the_name() -> None:
    roots = [b"/shares/\xff one", b"/"]
    lines = [
        (1, 0, wire.DECODE, b"a/\xff\n.tif"),
        (2**63, 1, 0, b"x" * 5000),
        (3, 0, wire.DECODE | wire.UNCACHED, "ä".encode()),
    ]
    assert wire.decode_jobs(wire.encode_jobs(roots, lines)) == [
        (number, roots[root], flags, path) for number, root, flags, path in lines
    ]


def test_looks_survive_with_extreme_numbers() -> None:
    stat_ = Stat(2**62, 5, -7, 2**64 - 1, 2**64 - 1, 3, 4096)
    far = Stat(1, 2**70, -(2**70), 1, 1, 1, 0)  # file systems with 64-bit seconds store such times
    gone = Failure(FailureKind.GONE, "no longer there", 2)
    moving = Failure(FailureKind.MOVING, "changed while it was read")
    looks: list[wire.Look] = [
        (1, stat_, SHA, MD5, None, 1_700_000_000_123, 0.25),
        (2, None, bytes(32), bytes(16), gone, 5, 0.0),
        (3, far, SHA, MD5, None, 6, 0.5),
        (4, None, bytes(32), bytes(16), moving, 7, 1.0),
    ]
    assert wire.decode_looks(wire.encode_looks(looks)) == looks


def test_looks_with_a_failure_that_lacks_its_words_are_refused() -> None:
    failure = Failure(FailureKind.UNREADABLE, "Input/output error", 5)
    encoded = wire.encode_looks([(1, None, bytes(32), bytes(16), failure, 0, 0.0)])
    without_tail = encoded[: encoded.index(b"[[0,")]
    for payload in (without_tail, without_tail + b"[]", encoded.replace(b"[[0,", b"[[7,")):
        with pytest.raises(BadFrame):
            wire.decode_looks(payload)


def test_answers_and_facts_survive() -> None:
    assert wire.decode_answer(wire.encode_answer([5, 2**64 - 1], [7])) == ([5, 2**64 - 1], [7])
    assert wire.decode_answer(wire.encode_answer([], [])) == ([], [])
    payload = wire.encode_fact(1, 0.5, b"first") + wire.encode_fact(2, 0.25, b"")
    assert list(wire.decode_facts(payload)) == [(1, 0.5, b"first"), (2, 0.25, b"")]
    with pytest.raises(BadFrame):
        list(wire.decode_facts(payload + wire.encode_fact(3, 0.0, b"cut short")[:-1]))


def test_hello_and_results_survive() -> None:
    toolchain = Toolchain(1, SHA, (("Pillow", "13.0.0"), ("numpy", "2.4.6")))
    assert wire.decode_hello(wire.encode_hello(toolchain, "mark", 7)) == (toolchain, "mark", 7)
    assert wire.decode_hello(wire.encode_hello(None, "mark", None)) == (None, "mark", None)
    assert wire.decode_result(wire.encode_result({"samples": None}, b"PNG")) == ({"samples": None}, b"PNG")


@pytest.mark.parametrize(
    "payload", [b"", b"{", b"[1,2]", b"[null,1,null]", b'[[1,2,3],"m",null]', b"[" * 5000]
)
def test_a_broken_hello_is_a_bad_frame(payload: bytes) -> None:
    with pytest.raises(BadFrame):
        wire.decode_hello(payload)


def test_frames_are_found_however_the_stream_is_cut() -> None:
    frames = [(Frame.SETUP, b"{}"), (Frame.JOBS, b""), (Frame.FACTS, bytes(1000))]
    stream = b"".join(wire.frame(kind, payload) for kind, payload in frames)
    for size in (1, 2, 7, 1009, len(stream)):
        reader = FrameReader()
        found: list[Any] = []
        for start in range(0, len(stream), size):
            found += reader.feed(stream[start : start + size])
        assert found == frames


def test_a_frame_of_another_kind_or_without_measure_is_refused() -> None:
    with pytest.raises(BadFrame):
        list(FrameReader().feed(b"\x00\x00\x00\x00\x63"))
    with pytest.raises(BadFrame):
        list(FrameReader().feed(b"\xff\xff\xff\xff\x04"))


def test_what_was_said_becomes_printable_lines() -> None:
    said = b"libtiff: warning\x1b[31m\nlibtiff: warning\x1b[31m\n\n  \xff odd \n" + b"x" * 1000
    assert wire.spoken_lines(said) == ("libtiff: warning\\x1b[31m", "\ufffd odd", "x" * 300)


def test_nothing_that_unpickles_is_loaded_by_the_parent() -> None:
    code = "import catalog.inspection.pool, sys; print(*{'pickle', 'marshal', 'shelve'} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() in ([], ["marshal"])  # marshal is the import system's own
