"""What events say, in words for people."""

from __future__ import annotations

from typing import Any

import pytest

from catalog.cli.happenings import event_words


@pytest.mark.parametrize(
    ("kind", "actor", "detail", "words"),
    [
        ("moved", None, {"from": "/a\x1b.tif", "to": "b.tif"}, r"from /a\x1b.tif"),
        ("moved", None, {"from": "x", "from_b64": "L/8=", "to": "b.tif"}, r"from /\xff"),
        ("touched", None, {"moved": ["mtime", "ctime"]}, "mtime, ctime changed, the bytes did not"),
        ("missing", None, {"reason": "gone", "path": "x"}, "its folder was listed to the end, without it"),
        (
            "changed",
            None,
            {"kind": "picture", "manner": "rot", "reason": "the picture changed"},
            "picture: the picture changed",
        ),
        (
            "accepted",
            "ann",
            {"case": 3, "kind": "picture", "manner": "stealth", "reason": "restored"},
            "picture (stealth): restored; by ann",
        ),
        ("accepted", "ann", {"case": 3, "kind": "picture", "manner": "ordinary"}, "picture; by ann"),
        ("accepted", "ann", {"undo": 12, "kind": "picture"}, "acceptance 12 undone; by ann"),
        ("retired", "ann", {"accepted": 12}, "its loss was accepted by event 12; by ann"),
        ("root-state", None, {"from": "offline", "to": "online", "reason": None}, "offline -> online"),
        (
            "root-state",
            None,
            {"from": "online", "to": "offline", "reason": "/s is not mounted"},
            "online -> offline: /s is not mounted",
        ),
        ("root-added", "ann", {"name": "s", "path": "/s"}, "/s; by ann"),
        (
            "scan",
            None,
            {"status": "complete", "seen": 2765, "changed": 3, "unchanged": 2762, "new": 0, "whole": 1}
            | {"bytes_read": 1582894, "undecodable": 1, "unlisted_folders": 2},
            "complete, 2,765 files seen: 3 changed, 2,762 unchanged; 1 undecodable; 2 folders not listed;"
            " 1.6 MB read",
        ),
        ("held", None, {"files": 1300}, "1,300 files"),
        ("added", None, {}, ""),
        ("decoder", None, {"files": 1300, "epoch": "ab", "old": None}, "files 1,300, epoch ab"),
    ],
)
def test_what_an_event_says_in_words(
    kind: str, actor: str | None, detail: dict[str, Any], words: str
) -> None:
    assert event_words({"kind": kind, "actor": actor, "detail": detail}) == words
