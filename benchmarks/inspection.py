"""What does a whole inspection cost, against a bare decode of the same file?

    python benchmarks/inspection.py [--pixels 12] [--repeat 7] [--folder DIR] [CLASS …]

For each class of image one photograph of 12 megapixels (that of ``corpus.py``). *Inspection*: everything that a
decode worker does with a file: stat, read, sha256 and md5 of the bytes, structure and tags, payload digest, checks,
decode, both digests of the samples, near hash, stat again. *Decode*: the samples from the bytes in memory, by the
fastest decoder of this machine that is exact for the class (each is tried, and held against the samples that were
written). Raw TIFF needs no decoder, so its reference is reading the file with its sha256 and md5. *Floor*: the
reading, that decoder, and the five digests that the definitions demand (sha256, md5, ``pay1`` over the file;
``pix1`` and ``view1`` over the samples), without anything else. In turn, in one process; medians of the ratios pair
by pair.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from corpus import photograph
from measuring import paired, verdict, workplace

Decoder = Callable[[bytes], Any]
CHUNK = 1 << 16
GOALS = {"Deflate TIFF": 2.0, "LZW TIFF": 2.0, "PNG": 2.0, "JPEG": 2.0, "raw TIFF": 1.6}


@dataclass(frozen=True)
class Timed:
    wall: float
    cpu: float


def written(samples: Any) -> dict[str, bytes]:
    import tifffile
    from PIL import Image

    def tiff(**options: Any) -> bytes:
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, samples, photometric="rgb", metadata=None, **options)
        return buffer.getvalue()

    def saved(kind: str, **options: Any) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(samples).save(buffer, kind, **options)
        return buffer.getvalue()

    return {
        "raw TIFF": tiff(rowsperstrip=64),
        "Deflate TIFF": tiff(rowsperstrip=64, compression="zlib", predictor=True),
        "LZW TIFF": tiff(rowsperstrip=64, compression="lzw"),
        "PNG": saved("PNG", compress_level=6),
        "JPEG": saved("JPEG", quality=92),
        "WebP lossless": saved("WEBP", lossless=True, method=0, exact=True),
    }


# ------------------------------------------------------------------------------------------------ decoders


def by_pillow(content: bytes) -> Any:
    from PIL import Image

    with Image.open(io.BytesIO(content)) as image:
        image.load()
        return image


def by_cv2(content: bytes) -> Any:
    import cv2

    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)


def by_tifffile(content: bytes) -> Any:
    import tifffile

    return tifffile.imread(io.BytesIO(content), maxworkers=1)


def by_codec(name: str) -> Decoder:
    import imagecodecs

    decode: Decoder = getattr(imagecodecs, name)
    return decode


def decoders(kind: str) -> dict[str, Decoder]:
    found: dict[str, Decoder] = {"Pillow": by_pillow, "OpenCV": by_cv2}
    if kind.endswith("TIFF"):
        return found | {"tifffile": by_tifffile, "imagecodecs": by_codec("tiff_decode")}
    codec = {"PNG": "png_decode", "JPEG": "jpeg_decode", "WebP lossless": "webp_decode"}[kind]
    return found | {"imagecodecs": by_codec(codec)}


def exact(kind: str, name: str, decode: Decoder, content: bytes, samples: Any) -> bool:
    """Whether it delivers what was written; for a lossy class, what Pillow delivers."""
    try:
        array = np.asarray(decode(content))
    except Exception as error:  # noqa: BLE001 - a decoder that refuses is no reference
        print(f"  {name} refuses {kind}: {error}")
        return False
    array = array[:, :, ::-1] if name == "OpenCV" else array
    wanted = np.asarray(by_pillow(content)) if kind == "JPEG" else samples
    return bool(np.array_equal(array, wanted))


# ------------------------------------------------------------------------------------------------- measuring


def timed(work: Callable[[], Any]) -> Timed:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Timed(time.perf_counter() - wall, time.process_time() - cpu)


def bare_read(path: str) -> None:
    with open(path, "rb") as stream:
        content = stream.read()
    hashlib.sha256(content).digest()
    hashlib.md5(content, usedforsecurity=False).digest()


def floor(path: str, decode: Decoder | None, samples: Any) -> None:
    """What nobody can leave out who wants the digests."""
    bare_read(path)
    with open(path, "rb") as stream:
        content = stream.read()
    hashlib.sha256(content).digest()
    array = samples if decode is None else decode(content)
    view = memoryview(np.ascontiguousarray(array)).cast("B")
    hashes = [hashlib.sha256(), hashlib.sha256()]
    for at in range(0, len(view), CHUNK):
        for each in hashes:
            each.update(view[at : at + CHUNK])


def inspection(path: str) -> Callable[[], None]:
    from catalog.pixels.analyse import analyse
    from catalog.pixels.reading import Reader
    from catalog.terms import Failure, Limits

    limits = Limits()
    reader = Reader(limits)
    folder, name = os.path.split(os.fsencode(path))

    def look() -> None:
        found = reader.read(folder, name)
        assert not isinstance(found, Failure) and found.body is not None
        assert analyse(found.body, limits=limits, complaints=list).fidelity.sound  # as a worker listens

    return look


def measure(kind: str, content: bytes, samples: Any, folder: str, repeat: int) -> str:
    path = os.path.join(folder, kind.replace(" ", "-"))
    with open(path, "wb") as stream:
        stream.write(content)
    look = inspection(path)
    decode: Decoder | None = None
    if kind == "raw TIFF":
        name, reference = "read, sha256, md5", lambda: bare_read(path)
    else:
        able = {n: d for n, d in decoders(kind).items() if exact(kind, n, d, content, samples)}
        trials = {n: min(timed(lambda d=d: d(content)).cpu for _ in range(3)) for n, d in able.items()}
        name = min(trials, key=trials.__getitem__)
        decode = able[name]
        reference = lambda: able[name](content)  # noqa: E731
    rounds = [
        (timed(look), timed(reference), timed(lambda: floor(path, decode, samples)))
        for _ in range(repeat + 1)
    ]
    looks, references, floors = zip(*rounds[1:], strict=True)
    by_cpu = paired((each.cpu for each in looks), (each.cpu for each in references))
    by_wall = paired((each.wall for each in looks), (each.wall for each in references))
    to_floor = paired((each.cpu for each in looks), (each.cpu for each in floors))
    took, against = (1000 * statistics.median(each.cpu for each in side) for side in (looks, references))
    goal = GOALS.get(kind)
    told = verdict(by_cpu, goal, at_least=False) if goal else f"{by_cpu:.2f}"
    return (
        f"{kind:<14} {took:6.0f} ms against {against:5.0f} ms ({name}): {told} by CPU, {by_wall:.2f} by time;"
        f" {to_floor:.2f} of the floor; {len(content) / 1e6:.1f} MB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("classes", nargs="*", metavar="CLASS", help="e.g. 'LZW TIFF'; default: all")
    parser.add_argument("--pixels", type=float, default=12.0, metavar="MILLIONS")
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--folder", help="parent of the folder for the files")
    given = parser.parse_args()
    import cv2

    cv2.setNumThreads(1)
    samples = photograph(np.random.default_rng(1), given.pixels)
    with workplace(given.folder) as folder:
        for kind, content in written(samples).items():
            if not given.classes or kind in given.classes:
                print(measure(kind, content, samples, folder, given.repeat), flush=True)


if __name__ == "__main__":
    main()
