"""The program with decoders of another release, which make other samples of every lossy file.

``python -m tests.other_decoders db rebase`` is ``catalog db rebase`` after such an upgrade. Decode workers import
this module as their analyser; everything else is the real thing.
"""

from __future__ import annotations

import hashlib
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from catalog.pixels import epoch
from catalog.pixels.analyse import analyse as today
from catalog.terms import Analysis, Fidelity, Toolchain

CHECKOUT = str(Path(__file__).resolve().parent.parent)
ANALYSER = {"analyser": "tests.other_decoders:analyse", "python_path": [CHECKOUT]}


def analyse(content: bytes, **options: Any) -> Analysis:
    found = today(content, **options)
    if found.fidelity is not Fidelity.DECODER or found.pixels is None or found.view is None:
        return found
    pixels, view = (hashlib.sha256(b"other" + digest).digest() for digest in (found.pixels, found.view))
    return replace(found, pixels=pixels, view=view)


def toolchain() -> Toolchain:
    now = epoch.toolchain()
    return replace(now, epoch=hashlib.sha256(b"other" + now.epoch).digest())


def main() -> None:
    import catalog.inspection
    from catalog.inspection.pool import Pool

    catalog.inspection.Pool = partial(Pool, **ANALYSER)  # type: ignore[misc,assignment]
    from catalog.cli import main as catalog_main

    sys.argv[0] = "catalog"
    catalog_main()


if __name__ == "__main__":
    main()
