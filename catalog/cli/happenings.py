"""What an event says, in words for people."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any, Final

from catalog.cli.asking import shown_path
from catalog.terms import EventKind, counted, human_size, printable

Detail = Mapping[str, Any]

_COUNTS: Final = ("new", "changed", "moved", "missing", "reappeared", "touched")
_TROUBLES: Final = ("pending", "unreadable", "undecodable")


def event_words(event: Mapping[str, Any]) -> str:
    """The detail of an event (its JSON fields) in words, and who acted, where somebody did."""
    detail: Detail = event["detail"]
    told = _TOLD.get(EventKind(event["kind"]), _reason)(detail) or _listed(detail)
    actor = [f"by {event['actor']}"] if event["actor"] else []
    return printable("; ".join([*filter(None, [told]), *actor]))


def _reason(detail: Detail) -> str:
    kind = [str(detail["kind"])] if detail.get("kind") else []
    return ": ".join([*kind, str(detail["reason"])]) if detail.get("reason") else ""


def _missing(detail: Detail) -> str:
    from catalog.drift import absence_words

    return absence_words(str(detail["reason"])) if detail.get("reason") else ""


def _from(detail: Detail) -> str:
    return f"from {_place(detail, 'from')}" if "from" in detail else ""


def _touched(detail: Detail) -> str:
    moved = detail.get("moved")
    return f"{', '.join(moved)} changed, the bytes did not" if isinstance(moved, list) else ""


def _accepted(detail: Detail) -> str:
    if "undo" in detail:
        return _because(f"acceptance {detail['undo']} undone", detail)
    manner = f" ({detail['manner']})" if detail.get("manner") not in (None, "ordinary") else ""
    return _because(f"{detail['kind']}{manner}", detail) if detail.get("kind") else _reason(detail)


def _retired(detail: Detail) -> str:
    return _because(f"its loss was accepted by event {detail['accepted']}", detail)


def _because(words: str, detail: Detail) -> str:
    return f"{words}: {detail['reason']}" if detail.get("reason") else words


def _root_added(detail: Detail) -> str:
    return _place(detail, "path")


def _root_state(detail: Detail) -> str:
    return _because(f"{detail['from']} -> {detail['to']}", detail)


def _relocated(detail: Detail) -> str:
    return f"from {_place(detail, 'from')} to {_place(detail, 'to')}"


def _scan(detail: Detail) -> str:
    """``complete, 3,053 files seen: 67 changed, 2,762 unchanged; 1.6 MB read``."""
    if "seen" not in detail:
        return ""
    counts = [f"{detail[name]:,} {name}" for name in (*_COUNTS, "unchanged") if detail.get(name)]
    seen = f"{counted(detail['seen'], 'file')} seen"
    parts = [f"{seen}: {', '.join(counts)}" if counts else seen]
    parts += [f"{detail[name]:,} {name}" for name in _TROUBLES if detail.get(name)]
    if folders := detail.get("unlisted_folders"):
        parts.append(f"{counted(folders, 'folder')} not listed")
    parts.append(f"{human_size(detail.get('bytes_read') or 0)} read")
    return f"{detail.get('status') or 'ended'}, {'; '.join(parts)}"


def _files(detail: Detail) -> str:
    return counted(detail["files"], "file") if isinstance(detail.get("files"), int) else ""


_TOLD: Final[Mapping[EventKind, Callable[[Detail], str]]] = {
    EventKind.MISSING: _missing,
    EventKind.MOVED: _from,
    EventKind.TOUCHED: _touched,
    EventKind.ACCEPTED: _accepted,
    EventKind.RETIRED: _retired,
    EventKind.ROOT_ADDED: _root_added,
    EventKind.ROOT_STATE: _root_state,
    EventKind.ROOT_RELOCATED: _relocated,
    EventKind.SCAN: _scan,
    EventKind.HELD: _files,
    EventKind.CONFIRMED: _files,
}


def _place(detail: Detail, name: str) -> str:
    if f"{name}_b64" in detail:
        return shown_path(base64.b64decode(detail[f"{name}_b64"]))
    return shown_path(str(detail.get(name, "")).encode("utf-8", "surrogateescape"))


def _listed(detail: Detail) -> str:
    """What has no sentence of its own: each number and word with its name."""
    return ", ".join(
        f"{name.replace('_', ' ')} {value:,}" if type(value) is int else f"{name.replace('_', ' ')} {value}"
        for name, value in detail.items()
        if value not in (None, 0, "", [], {}) and not isinstance(value, bool) and not name.endswith("_b64")
    )
