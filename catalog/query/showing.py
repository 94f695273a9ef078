"""The JSON of ``show`` and its time line: one file, from its first sight to now."""

from __future__ import annotations

import dataclasses
from typing import Any

from catalog.drift import absence_words
from catalog.drift.tags import labelled
from catalog.query.history import History, Shown
from catalog.terms import Analysis, EventKind, Fidelity, Level, iso, path_fields, printed


def show_fields(shown: Shown) -> dict[str, Any]:
    """``catalog.show/1``: the file, and under ``earlier`` those that were at its path before it."""
    first, *earlier = [_history_fields(each) for each in shown.histories]
    return {**first, "moved": shown.moved, "earlier": earlier}


def _history_fields(history: History) -> dict[str, Any]:
    facts = history.facts
    return {
        "file": {
            **facts.fields(),
            "reason": facts.reason,
            "state_since": iso(facts.state_since_ms),
            "retired": iso(history.retired_ms),
        },
        **_analysis_fields(history.analysis),
        "decoder": history.decoder.fields() if history.decoder else None,
        "copies": [{**path_fields(path), "relation": relation} for path, relation in history.copies],
        "revisions": [each.fields() for each in history.revisions],
        "events": [each.fields() for each in history.events],
        "drift": [each.fields() for each in history.cases],
    }


def _analysis_fields(analysis: Analysis | None) -> dict[str, Any]:
    if analysis is None:
        return dict.fromkeys(("analysis", "image", "layout", "loaders")) | {"pages": [], "ifds": []}
    image, layout = analysis.image, analysis.layout
    return {
        "analysis": {
            "fidelity": analysis.fidelity.value,
            "reason": analysis.reason,
            "payload_reason": analysis.payload_reason,
            "complaints": list(analysis.complaints),
        },
        "image": _image_fields(image) if image else None,
        "layout": dataclasses.asdict(layout) if layout else None,
        "loaders": _loader_fields(analysis),
        "pages": [_page_fields(page, analysis.fidelity) for page in analysis.pages],
        "ifds": [
            {
                "index": ifd.index,
                "kind": ifd.kind.value,
                "parent": ifd.parent,
                "label": label,
                "tags": [
                    {
                        "code": tag.code,
                        "name": tag.name,
                        "type": tag.type_name,
                        "count": tag.count,
                        "value": tag.value,
                        "broken": tag.broken,
                    }
                    for tag in ifd.tags
                ],
            }
            for label, ifd in labelled(analysis.ifds)
        ],
    }


def _image_fields(image: Any) -> dict[str, Any]:
    fields = dataclasses.asdict(image)
    icc = fields.pop("icc_sha256")
    return {**fields, "icc_sha256": icc.hex() if icc else None}


def _page_fields(page: Any, fidelity: Fidelity) -> dict[str, Any]:
    return {
        "index": page.index,
        "role": page.role.value,
        "pixels": printed(Level.PIXELS, fidelity, page.pixels),
        "view": printed(Level.VIEW, fidelity, page.view),
        "width": page.width,
        "height": page.height,
        "model": page.model,
        "dtype": page.dtype,
        "channels": page.channels,
    }


def _loader_fields(analysis: Analysis) -> dict[str, Any] | None:
    loaders = analysis.loaders
    if loaders is None:
        return None
    return {
        "cv2_imread_md5": loaders.cv2_imread_md5.hex() if loaders.cv2_imread_md5 else None,
        "pillow_tobytes_md5": loaders.pillow_tobytes_md5.hex() if loaders.pillow_tobytes_md5 else None,
        "pillow_save_md5": loaders.pillow_save_md5.hex() if loaders.pillow_save_md5 else None,
        "errors": dict(loaders.errors),
    }


def _told(kind: EventKind, name: str, words: str) -> str:
    if kind is EventKind.MISSING and name == "reason":
        return absence_words(words)
    return f"from {words}" if name == "from" else words


def time_line(history: History) -> list[tuple[str, str]]:
    """(moment, words) from the first sight to now, for people.

    An event that led to a revision and the revision are one line; a revision that no event speaks of has
    one of its own.
    """
    revisions = {each.rev_id: each for each in history.revisions}
    told: set[int] = set()
    lines: list[tuple[int, str]] = []
    for event in history.events:
        detail = dict(event.detail)
        undone = detail.get("undo")  # taking an acceptance back is an acceptance of the former baseline
        words = [event.kind.value if undone is None else f"acceptance {undone} undone"]
        if kind := detail.get("kind"):
            words.append(" ".join(str(word) for word in (kind, detail.get("manner")) if word))
        if isinstance(detail.get("moved"), list):
            words.append(f"{', '.join(detail['moved'])} changed, the bytes did not")
        if event.kind is EventKind.DECODER:
            words.append(
                "looked at anew" if detail.get("outcome") == "ok" else f"now {detail.get('outcome')}"
            )
            words += [f"pixels {detail['pixels']}"] if detail.get("pixels") else []
        for name in ("reason", "from", "note"):
            if detail.get(name):
                words.append(_told(event.kind, name, str(detail[name])))
        to_rev = revisions.get(event.to_rev_id or 0)
        if to_rev is not None and to_rev.rev_id not in told:
            told.add(to_rev.rev_id)
            words.append(f"{to_rev.size:,} bytes, sha256 {to_rev.sha256.hex()[:12]}…")
        if event.actor:
            words.append(f"by {event.actor}")
        lines.append((event.at_ms, ": ".join([words[0], "; ".join(words[1:])]) if words[1:] else words[0]))
    for each in history.revisions:
        if each.rev_id not in told:
            words = [f"revision {each.rev_id}: {each.size:,} bytes, sha256 {each.sha256.hex()[:12]}…"]
            lines.append((each.observed_ms, words[0]))
    return [(iso(at_ms) or "", words) for at_ms, words in sorted(lines, key=lambda line: line[0])]
