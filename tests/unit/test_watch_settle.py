"""Lists of signs in, lists of ready paths out: one case per real program."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.watch.hints import Freed, Hints, Sign
from catalog.watch.settle import Settler, has_writer, writer_probe

C, M, X, A, L, T, F, S = (
    Sign.CREATED,
    Sign.MODIFIED,
    Sign.CLOSED,
    Sign.ARRIVED,
    Sign.LEFT,
    Sign.ATTRIB,
    Sign.FOUND,
    Sign.SUBTREE,
)

Event = tuple[float, bytes, Sign]


def play(
    events: list[Event], settler: Settler | None = None, until: float = 10_000
) -> list[tuple[float, bytes]]:
    """What becomes ready, and when, if the settler is asked exactly at its own deadlines."""
    settler = Settler() if settler is None else settler
    out: list[tuple[float, bytes]] = []
    clock = 0.0

    def ask_up_to(limit: float) -> None:
        nonlocal clock
        while (deadline := settler.next_deadline()) is not None and deadline <= limit:
            clock = max(clock, deadline)
            out.extend((clock, settled.path) for settled in settler.ready(clock))
        clock = max(clock, limit)

    for now, path, sign in events:
        ask_up_to(now)
        settler.note(path, sign, now)
    ask_up_to(until)
    return out


def test_plain_write():
    assert play([(0, b"a", C), (0, b"a", M), (0.1, b"a", X)]) == [(0.6, b"a")]


def test_gedit_saves_beside_and_renames():
    # .goutputstream-XXXX is hidden and never noted; the final name only arrives. The old file's backup link
    # makes a Created of a~ which is not selected either.
    assert play([(0, b"a.tif", L), (0, b"a.tif", A), (0, b"a.tif", T)]) == [(0.5, b"a.tif")]


def test_vim_moves_the_old_file_away_and_writes_a_new_one():
    events = [(0, b"a", L), (0.01, b"a", C), (0.01, b"a", M), (0.02, b"a", X), (0.03, b"a", T)]
    assert play(events) == [(pytest.approx(0.53), b"a")]


def test_rsync_renames_its_temporary_file():
    assert play([(0, b"d/a", A), (0, b"d/a", T)]) == [(0.5, b"d/a")]


def test_rsync_inplace_is_a_long_write():
    events = [(t / 10, b"a", M) for t in range(100)] + [(10.0, b"a", X)]
    assert play(events) == [(10.5, b"a")]


def test_cp_p_sets_times_before_it_closes():
    assert play([(0, b"a", C), (0.2, b"a", M), (1.0, b"a", T), (1.0, b"a", X)]) == [(1.5, b"a")]


def test_tar_x_sets_times_after_it_closed():
    assert play([(0, b"a", C), (0, b"a", M), (0.1, b"a", X), (0.1, b"a", T)]) == [(0.6, b"a")]


def test_a_scanner_that_writes_chunks_with_pauses_is_waited_for():
    events = [(0.0, b"a", C)] + [(t * 5.0, b"a", M) for t in range(1, 12)] + [(60.0, b"a", X)]
    assert play(events) == [(60.5, b"a")]


def test_a_writer_that_stalls_for_less_than_a_minute_is_waited_for():
    assert play([(0, b"a", C), (1, b"a", M), (55, b"a", M), (56, b"a", X)]) == [(56.5, b"a")]


def test_a_writer_that_never_closes_is_believed_to_be_gone_after_a_minute():
    assert play([(0, b"a", C), (1, b"a", M)]) == [(61.0, b"a")]


def test_photoshop_safe_save():
    # writes psXXXX.tmp (not selected), moves the old file away, renames the new one into its place
    events = [
        (0, b"p.psd", L),
        (0.01, b"p.psd", A),
        (0.02, b"p.psd", T),
        (0.05, b"p.psd", M),
        (0.06, b"p.psd", X),
    ]
    assert play(events) == [(pytest.approx(0.56), b"p.psd")]


def test_a_chain_of_appends_is_ready_once():
    events = [(t * 0.3, b"a", sign) for t in range(5) for sign in (M, X)]
    assert play(events) == [(pytest.approx(1.7), b"a")]


def test_a_moved_in_file_and_a_moved_out_one():
    assert play([(0, b"in", A), (0, b"out", L)]) == [(0.5, b"in"), (0.5, b"out")]


def test_a_hard_link_or_a_file_in_a_new_folder_has_no_closed():
    assert play([(0, b"d/a", C)]) == [(10.0, b"d/a")]


def test_chmod_alone():
    assert play([(0, b"a", T)]) == [(0.5, b"a")]


def test_chmod_does_not_end_a_write():
    assert play([(0, b"a", M), (0.1, b"a", T)]) == [(60.1, b"a")]


def test_found_by_a_walk_counts_from_its_last_change():
    assert play([(100, b"z", X), (60, b"old", F), (99, b"young", F)]) == [
        (100, b"old"),
        (100.5, b"z"),
        (102.0, b"young"),
    ]


def test_found_by_a_walk_while_a_writer_is_known_waits_for_the_writer():
    assert play([(0, b"a", M), (1, b"a", F), (7, b"a", X)]) == [(7.5, b"a")]


def test_a_folder_in_a_storm_is_walked_all_the_same():
    events = [(t * 0.1, b"d", S) for t in range(50)]
    out = play(events)
    assert out[0] == (3.0, b"d")
    assert out[-1][0] <= 5.5


def test_a_resave_is_known_well_within_five_seconds():
    (ready,) = play([(0, b"a", M), (0.2, b"a", X)])
    assert ready[0] <= 1.0


def test_after_ready_the_next_sign_begins_anew():
    assert play([(0, b"a", X), (5, b"a", X)]) == [(0.5, b"a"), (5.5, b"a")]


def test_a_settled_folder_says_that_it_is_one():
    settler = Settler()
    settler.note(b"d", S, 0)
    settler.note(b"f", X, 0)
    assert sorted(each[:3] for each in settler.ready(1)) == [
        (b"d", True, Freed.NEVER),
        (b"f", False, Freed.NEVER),
    ]
    assert settler.waiting == 0
    assert settler.next_deadline() is None


# --------------------------------------------------------------------------------------------- writers


def test_a_probe_that_sees_no_writer_ends_the_wait():
    settler = Settler(has_writer=lambda path: False)
    assert play([(0, b"a", C), (1, b"a", M)], settler) == [(4.0, b"a")]


def test_a_probe_that_sees_a_writer_holds_even_a_closed_file_back():
    writing = True
    settler = Settler(has_writer=lambda path: writing)
    settler.note(b"a", X, 0)
    assert settler.ready(0.5) == []
    assert settler.next_deadline() == 3.5
    writing = False
    assert [each[:3] for each in settler.ready(3.5)] == [(b"a", False, Freed.NEVER)]


def test_never_ending_writers_are_busy_and_never_given_out():
    settler = Settler(has_writer=lambda path: True)
    assert play([(0, b"a", M)], settler, until=700) == []
    assert settler.busy(599) == []
    assert settler.busy(700) == [(b"a", 700.0)]


def test_endless_appends_are_busy_too():
    settler = Settler()
    assert play([(t * 0.4, b"a", X) for t in range(1600)], settler, until=640) == []
    assert [path for path, _ in settler.busy(640)] == [b"a"]


def test_a_deleted_file_is_not_probed():
    asked: list[bytes] = []
    settler = Settler(has_writer=lambda path: bool(asked.append(path)))
    settler.note(b"gone", L, 0)
    assert [each[:3] for each in settler.ready(1)] == [(b"gone", False, Freed.PERHAPS)]
    assert asked == []


def test_the_lease_probe_sees_writers_and_only_writers(tmp_path: Path):
    path = os.fsencode(tmp_path / "a.tif")
    with open(path, "wb") as writer:
        writer.write(b"x")
        writer.flush()
        assert has_writer(path) is True
    with open(path, "rb"):
        assert has_writer(path) is False
    assert has_writer(path + b"-not-there") is None
    os.symlink(path, path + b"-link")
    assert has_writer(path + b"-link") is None


def test_found_files_need_two_equal_looks_when_somebody_can_look():
    looks = {b"grows": (1, 1, 1, 1), b"still": (1, 1, 1, 1)}
    settler = Settler(look=looks.get, found_quiet_seconds=10)
    settler.note(b"grows", F, 0)
    settler.note(b"still", F, 0)
    looks[b"grows"] = (2, 2, 2, 1)
    assert [each[:3] for each in settler.ready(10)] == [(b"still", False, Freed.NEVER)]
    assert settler.next_deadline() == 20
    looks[b"grows"] = (3, 3, 3, 1)
    assert settler.ready(20) == []
    assert [each[:3] for each in settler.ready(30)] == [(b"grows", False, Freed.NEVER)]


def test_a_found_file_that_vanished_meanwhile_is_given_out():
    settler = Settler(look=lambda path: None)
    settler.note(b"gone", F, 0)
    assert [each[:3] for each in settler.ready(3)] == [(b"gone", False, Freed.NEVER)]


def test_what_lies_below_a_settled_subtree_is_not_given_twice():
    settler = Settler()
    for path, sign in ((b"d", S), (b"d/e", S), (b"d/e/f", X), (b"de", X), (b"g/h", X)):
        settler.note(path, sign, 0)
    found = [each[:2] for each in sorted(settler.ready(1))]
    assert found == [(b"d", True), (b"de", False), (b"g/h", False)]
    for path, sign in ((b"", S), (b"x", X), (b"x/y", S)):
        settler.note(path, sign, 2)
    assert [each[:3] for each in settler.ready(3)] == [(b"", True, Freed.NEVER)]


def test_network_shares_have_no_probe_because_a_refused_lease_means_nothing_there(tmp_path: Path):
    assert all(writer_probe(b"/srv", fstype) is None for fstype in ("nfs4", "cifs", "fuse", "new"))
    probe = writer_probe(os.fsencode(tmp_path), "ext4")
    assert probe is not None
    (tmp_path / "a").touch()
    assert probe(b"a") is False
    with open(tmp_path / "a", "ab"):
        assert probe(b"a") is True


# --------------------------------------------------------------------------------------------- memory


def test_a_storm_collapses_into_folders():
    settler = Settler(limit=100)
    for i in range(101):
        settler.note(b"full/%d" % i, X, 0)
    settler.note(b"other/x", X, 0)
    assert settler.waiting == 2
    assert sorted(each[:3] for each in settler.ready(1)) == [
        (b"full", True, Freed.NEVER),
        (b"other/x", False, Freed.NEVER),
    ]


@given(
    st.lists(
        st.tuples(
            st.floats(0, 5),
            st.sampled_from([b"a", b"d/a", b"d/b", b"d/e/c", b"d"]),
            st.sampled_from(list(Sign)),
        ),
        max_size=40,
    ),
    st.integers(2, 6),
)
def test_whatever_was_noted_becomes_ready_itself_or_by_a_folder_above_it(steps, limit):
    now, events = 0.0, []
    for pause, path, sign in steps:
        now += pause
        events.append((now, path, sign))
    settler = Settler(limit=limit)
    out = play(events, settler)
    assert settler.waiting == 0
    for at, path, _ in events:
        covers = {path, b""} | {path[:i] for i, c in enumerate(path) if c == 47}
        assert any(when >= at and ready in covers for when, ready in out), path


@given(
    st.lists(
        st.tuples(st.floats(0, 2), st.sampled_from([b"a", b"b"]), st.sampled_from(list(Sign))), max_size=30
    )
)
def test_traces_folded_by_the_hints_settle_like_single_signs(steps):
    clock = [0.0]
    hints, one, other = Hints(clock=lambda: clock[0]), Settler(), Settler()
    for pause, path, sign in steps:
        clock[0] += pause
        hints.mark(path, sign)
        one.note(path, sign, clock[0])
    other.take(hints.drain())
    end = clock[0] + 1000
    assert one.next_deadline() == other.next_deadline()
    assert sorted(one.ready(end)) == sorted(other.ready(end))
