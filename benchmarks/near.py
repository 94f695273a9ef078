"""What does the near hash cost an inspection?

    python benchmarks/near.py [--seconds 1.0]

For pictures of several sizes and encodings: CPU microseconds of everything that a worker does with the bytes (both
raw checksums and the whole analysis), of the near hash in it, and its share. The minimum of many, by turns.
"""

from __future__ import annotations

import os

os.environ |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # as a worker has it; before numpy

import argparse
import hashlib
import io
import sys
import time
from collections.abc import Callable

CHECKOUT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, CHECKOUT)

import numpy as np  # noqa: E402 (the path must be set first)
from PIL import Image  # noqa: E402

from catalog.pixels import analyse as analysing  # noqa: E402
from catalog.terms import Limits  # noqa: E402

LIMITS = Limits()
SIZES = ((124, 64), (640, 480), (2000, 1500), (4000, 3000))
ENCODINGS: dict[str, dict[str, object]] = {
    "raw TIFF": {"format": "TIFF"},
    "LZW TIFF": {"format": "TIFF", "compression": "tiff_lzw"},
    "PNG": {"format": "PNG", "compress_level": 1},
    "JPEG": {"format": "JPEG", "quality": 90},
}
GOAL = 0.03


def encoded(width: int, height: int, **options: object) -> bytes:
    rows, columns = np.mgrid[0:height, 0:width]
    grain = np.random.default_rng(1).integers(0, 12, (height, width))
    bands = [120 + 60 * np.sin(columns / width * (3 + band) + rows / height * 4) + grain for band in range(3)]
    buffer = io.BytesIO()
    Image.fromarray(np.stack(bands, axis=2).astype(np.uint8)).save(buffer, **options)
    return buffer.getvalue()


def fastest(measure: Callable[[], float], seconds: float) -> float:
    best, until = measure(), time.perf_counter() + seconds
    while time.perf_counter() < until:
        best = min(best, measure())
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--seconds", type=float, default=1.0, help="for each line")
    seconds = parser.parse_args().seconds
    real, spent = analysing.near_hash, [0.0]

    def clocked(*arguments: object) -> bytes | None:
        began = time.process_time()
        found = real(*arguments)  # type: ignore[arg-type]
        spent[0] = time.process_time() - began
        return found

    analysing.near_hash = clocked  # type: ignore[assignment]
    print(f"{'picture':24} {'inspection µs':>14} {'near hash µs':>13} {'share':>7}")
    for width, height in SIZES:
        for name, options in ENCODINGS.items():
            content = encoded(width, height, **options)

            def inspection(content: bytes = content) -> float:
                began = time.process_time()
                hashlib.sha256(content), hashlib.md5(content)
                analysing.analyse(content, limits=LIMITS)
                return time.process_time() - began

            def near(look: Callable[[], float] = inspection) -> float:
                look()
                return spent[0]

            whole, part = fastest(inspection, seconds), fastest(near, seconds)
            share = part / whole
            print(
                f"{name + f' {width}x{height}':24} {whole * 1e6:14,.0f} {part * 1e6:13,.0f} {share:7.1%}"
                f"{'' if share <= GOAL else f'  above {GOAL:.0%}'}"
            )


if __name__ == "__main__":
    main()
