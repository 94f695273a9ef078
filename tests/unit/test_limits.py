"""Why a file is given up at a limit, and when it is worth another look."""

from __future__ import annotations

import pytest

from catalog.config import KEYS
from catalog.terms import Limits


def test_a_reason_says_which_setting_to_raise_and_how_far() -> None:
    limits = Limits(decode_pixels=1000)
    assert limits.too_large("decode_limit_pixels", 1000) is None
    reason = limits.too_large("decode_limit_pixels", 1001)
    assert reason == "too large: raise decode_limit_pixels to 1001"
    assert "decode_limit_pixels" in KEYS


@pytest.mark.parametrize("pixels", [1, 999, 1000, 1001, 5000])
def test_another_look_is_worth_it_exactly_when_the_file_would_pass(pixels: int) -> None:
    reason = Limits(decode_pixels=10).too_large("decode_limit_pixels", 1000)
    raised = Limits(decode_pixels=pixels)
    assert raised.lifted(reason) is (raised.too_large("decode_limit_pixels", 1000) is None)
    assert raised.lifted(f"image 3 of 9: {reason}") is raised.lifted(reason)


def test_a_file_that_used_up_a_limit_is_worth_another_look_at_a_higher_one_only() -> None:
    for old, same, higher, setting in (
        (Limits(memory_bytes=4 << 30), Limits(), Limits(memory_bytes=(4 << 30) + 1), "worker_memory_bytes"),
        (Limits(seconds=0.25), Limits(seconds=0.25), Limits(seconds=0.5), "decode_seconds"),
    ):
        reason = old.exhausted("no end in sight", setting)
        assert reason.startswith(f"no end in sight: raise {setting} above ")
        assert not same.lifted(reason)
        assert higher.lifted(reason)


@pytest.mark.parametrize(
    "reason",
    [
        None,
        "",
        "16 bits cut to 8",
        "too large: raise decode_limit",
        "decoder: raise ValueError to 3",
        "too large: raise decode_limit_pixels to 1.2.3",
    ],
)
def test_no_other_reason_has_a_file_looked_at_again(reason: str | None) -> None:
    assert not Limits().lifted(reason)
