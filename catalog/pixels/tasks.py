"""One-off questions, answered inside a worker: where do two files differ, and can these decoders be trusted?"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from catalog.pixels.difference import difference, difference_picture
from catalog.pixels.reading import Reader
from catalog.terms import Failure, Limits


def perform(task: dict[str, Any], reader: Reader, limits: Limits) -> tuple[dict[str, Any], bytes]:
    """The answer as a JSON document and bytes.

    ``task``: ``name`` (``difference`` or ``picture``) and ``paths`` (two absolute ones, in hexadecimal).
    Document: ``sha256`` of what was compared, ``reason`` why there is no result (or what to be careful
    about), ``samples`` as in ``SampleDifference``. Bytes: the PNG of ``picture``, else none.
    ``name`` ``proof`` takes no paths; its document has ``checks`` (see ``proving.prove``).
    """
    if task["name"] == "proof":
        from catalog.pixels.proving import prove

        return {"sha256": [], "reason": None, "samples": None, "checks": prove(limits)}, b""
    contents: list[bytes] = []
    digests: list[str] = []
    for path in task["paths"]:
        found = reader.read(b"/", bytes.fromhex(path).lstrip(b"/"))
        if isinstance(found, Failure):
            return {"sha256": [], "reason": found.reason, "samples": None}, b""
        if found.body is None:
            return {"sha256": [], "reason": found.unkept, "samples": None}, b""
        contents.append(found.body)
        digests.append(found.sha256.hex())
    one, other = contents
    if task["name"] == "picture":
        png, reason = difference_picture(one, other, limits)
        return {"sha256": digests, "reason": reason, "samples": None}, png or b""
    samples, reason = difference(one, other, limits)
    return {"sha256": digests, "reason": reason, "samples": asdict(samples) if samples else None}, b""
