"""The bound: what two workers do at least. No catalogue, no tags, no payload digest, no checks, no limits.

    python benchmarks/bare_loop.py FOLDER [--workers N] [--decoders same|pillow|ours] [--digests FILE]

Each worker takes batches of files from a shared counter, and for each file: reads it, takes sha256 and md5,
decodes it, and takes both digests of the samples (``pix1`` and ``view1``) in one pass. Copies of a file are
hashed and not decoded, as in a scan. Prints one JSON object: ``seconds`` and ``cpu`` between the moment when
all workers have imported everything and the end of the last one, ``files``, ``bytes``, ``peaks`` (VmHWM of
each worker, bytes).

``--decoders same``: the libraries that the catalogue uses for each format, called as directly as can be;
uncompressed TIFF strips are hashed where they lie, which costs next to nothing. ``pillow``: ``Image.open(…)
.tobytes()`` for everything. ``ours``: the catalogue's own look at a file, with stats, tags, payload digest and
checks, but without pipes and catalogue. ``same`` and ``pillow`` do not prove that ``view1`` needs no other
arrangement of the samples; the corpora need none.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import multiprocessing as mp
import os
import re
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from measuring import CHECKOUT

BATCH_FILES = 16
BATCH_BYTES = 4 << 20
CHUNK = 1 << 16
THREAD_PAYS = 1 << 20


@dataclass(frozen=True)
class Picture:
    model: str
    width: int
    height: int
    channels: int
    bands: list[Any]
    """Buffers of 8-bit samples."""


Decoder = Callable[[bytes], Picture]
Look = Callable[[str, bool], tuple[bytes, bytes | None]]
"""(path, decode) to (sha256, ``pix1`` digest)."""


# ---------------------------------------------------------------------------------------------- decoding


def by_format(content: bytes) -> Picture:
    """By the library that the catalogue uses, too."""
    if content[:2] in (b"II", b"MM"):
        return _tiff(content)
    if content[:4] == b"\x89PNG":
        import imagecodecs

        return _picture(imagecodecs.png_decode(content))
    return by_pillow(content)


def by_pillow(content: bytes) -> Picture:
    from PIL import Image

    with Image.open(io.BytesIO(content)) as image:
        samples = image.tobytes()
        model = {"L": "gray", "RGB": "rgb"}[image.mode]
        return Picture(model, *image.size, len(image.mode), [samples])


def _picture(samples: Any) -> Picture:
    height, width = samples.shape[:2]
    channels = samples.shape[2] if samples.ndim == 3 else 1
    return Picture("rgb" if channels == 3 else "gray", width, height, channels, [samples.reshape(-1).data])


def _tiff(content: bytes) -> Picture:
    """One page of 8-bit samples in strips; as little of the directory as that needs."""
    order = "<" if content[0] == 0x49 else ">"
    (start,) = struct.unpack_from(f"{order}I", content, 4)
    (number,) = struct.unpack_from(f"{order}H", content, start)
    tags: dict[int, tuple[int, ...]] = {277: (1,), 317: (1,)}
    for at in range(start + 2, start + 2 + 12 * number, 12):
        code, kind, count = struct.unpack_from(f"{order}HHI", content, at)
        if kind in (3, 4) and code in (256, 257, 259, 273, 277, 278, 279, 317):
            size = count * (2 if kind == 3 else 4)
            place = at + 8 if size <= 4 else struct.unpack_from(f"{order}I", content, at + 8)[0]
            tags[code] = struct.unpack_from(f"{order}{count}{'H' if kind == 3 else 'I'}", content, place)
    (width,), (height,), (channels,), (rows,) = tags[256], tags[257], tags[277], tags[278]
    view = memoryview(content)
    strips: list[Any] = [view[at : at + size] for at, size in zip(tags[273], tags[279], strict=True)]
    (compression,), (predictor,) = tags[259], tags[317]
    if compression == 1:
        return Picture("rgb" if channels == 3 else "gray", width, height, channels, list(strips))
    import imagecodecs
    import numpy as np

    if compression == 5:
        return _picture(imagecodecs.tiff_decode(content))
    samples = np.empty((height, width, channels), np.uint8)
    for top, strip in zip(range(0, height, rows), strips, strict=True):
        part = samples[top : top + rows]
        into: Any = part.reshape(-1)
        imagecodecs.deflate_decode(strip, out=into)
        if predictor == 2:
            imagecodecs.delta_decode(part, axis=-2, out=part)
    return _picture(samples)


# ------------------------------------------------------------------------------------------ looks at a file


def look(decoder: Decoder, path: str, decode: bool) -> tuple[bytes, bytes | None]:
    """The least that must be done; without ``decode`` the file is hashed only."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        content = os.read(descriptor, os.fstat(descriptor).st_size)
    finally:
        os.close(descriptor)
    sha256 = hashlib.sha256()
    if len(content) < THREAD_PAYS:
        sha256.update(content)
        hashlib.md5(content).digest()
    else:
        beside = threading.Thread(target=hashlib.md5, args=(content,))
        beside.start()
        sha256.update(content)
        beside.join()
    if not decode:
        return sha256.digest(), None
    picture = decoder(content)
    head = f"{picture.model} u8 {picture.width}x{picture.height}x{picture.channels}\n"
    pixels, view = hashlib.sha256(f"pix1\n{head}".encode()), hashlib.sha256(f"view1\n{head}".encode())
    for band in picture.bands:
        whole = memoryview(band)
        for start in range(0, len(whole), CHUNK):
            part = whole[start : start + CHUNK]
            pixels.update(part)
            view.update(part)
    view.digest()
    return sha256.digest(), pixels.digest()


def our_look() -> Look:
    """The catalogue's look, with both of its phases."""
    sys.path.insert(0, CHECKOUT)
    from catalog.pixels.analyse import analyse
    from catalog.pixels.reading import Reader
    from catalog.terms import Limits

    limits = Limits()
    reader = Reader(limits)

    def whole(path: str, decode: bool) -> tuple[bytes, bytes | None]:
        folder, _, name = path.rpartition("/")
        found: Any = reader.read(os.fsencode(folder), os.fsencode(name), decode)
        return found.sha256, analyse(found.body, limits=limits).pixels if decode else None

    return whole


LOOKS: dict[str, Callable[[], Look]] = {
    "same": lambda: partial(look, by_format),
    "pillow": lambda: partial(look, by_pillow),
    "ours": our_look,
}


# --------------------------------------------------------------------------------------------- one worker


def worker(
    batches: list[list[tuple[str, bool]]], kind: str, taken: Any, gate: Any, results: Any, keep: bool
) -> None:
    looking = LOOKS[kind]()
    warm_up()
    gate.wait()
    began = time.process_time()
    found: list[tuple[str, str | None]] = []
    while True:
        with taken.get_lock():
            number = taken.value
            taken.value += 1
        if number >= len(batches):
            break
        for path, decode in batches[number]:
            _, pixels = looking(path, decode)
            if keep:
                found.append((path, pixels.hex() if pixels else None))
    results.put((time.process_time() - began, peak(), found))


def warm_up() -> None:
    """Import what decoding imports, as a worker does that has decoded its canaries."""
    import imagecodecs
    import numpy as np
    from PIL import Image

    small = np.zeros((8, 8, 3), np.uint8)
    by_format(bytes(imagecodecs.png_encode(small)))
    imagecodecs.deflate_decode(imagecodecs.deflate_encode(bytes(64)))
    imagecodecs.delta_decode(small, axis=-2)
    for options in ({"format": "TIFF", "compression": "tiff_lzw"}, {"format": "JPEG"}):
        buffer = io.BytesIO()
        Image.fromarray(small).save(buffer, **options)
        by_format(buffer.getvalue())
        by_pillow(buffer.getvalue())


def peak() -> int:
    """Peak resident bytes of this process."""
    with open("/proc/self/status", encoding="ascii") as status:
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read())
    return int(found[1]) * 1024 if found else 0


# ---------------------------------------------------------------------------------------------- the loop


def batches_of(folder: str, copies: Iterable[str]) -> tuple[list[list[tuple[str, bool]]], int, int]:
    """(batches of (path, decode), files, bytes) of a folder; large files first, so that none is the tail."""
    left_out = {os.path.join(folder, name) for name in copies}
    files: list[tuple[int, str]] = []
    for where, _, names in os.walk(folder):
        files += [(os.stat(os.path.join(where, name)).st_size, os.path.join(where, name)) for name in names]
    files.sort(key=lambda each: (-each[0] if each[0] >= BATCH_BYTES else 0, each[1]))
    batches: list[list[tuple[str, bool]]] = []
    room = 0
    for size, path in files:
        if not batches or len(batches[-1]) == BATCH_FILES or size > room:
            batches.append([])
            room = BATCH_BYTES
        batches[-1].append((path, path not in left_out))
        room -= size
    return batches, len(files), sum(size for size, _ in files)


def copies_in(folder: str) -> list[str]:
    """By the corpus's manifest: all but the first of each group of the same bytes."""
    try:
        with open(f"{folder}.manifest.json", encoding="utf-8") as file:
            return [name for names in json.load(file)["same_bytes"] for name in sorted(names)[1:]]
    except FileNotFoundError:
        return []


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--decoders", choices=sorted(LOOKS), default="same")
    parser.add_argument("--digests", metavar="FILE", help="write path and pix1 digest of each decoded file")
    chosen = parser.parse_args()
    folder = os.path.realpath(chosen.folder)
    batches, files, size = batches_of(folder, copies_in(folder))
    context = mp.get_context("fork")
    taken, gate, results = context.Value("q", 0), context.Barrier(chosen.workers + 1), context.SimpleQueue()
    arguments = (batches, chosen.decoders, taken, gate, results, chosen.digests is not None)
    processes = [context.Process(target=worker, args=arguments) for _ in range(chosen.workers)]
    for process in processes:
        process.start()
    gate.wait()
    began = time.perf_counter()
    ends = [results.get() for _ in processes]
    seconds = time.perf_counter() - began
    for process in processes:
        process.join()
    if chosen.digests:
        with open(chosen.digests, "w", encoding="utf-8") as file:
            json.dump({path: pixels for _, _, found in ends for path, pixels in found if pixels}, file)
    print(
        json.dumps(
            {
                "seconds": seconds,
                "cpu": sum(cpu for cpu, _, _ in ends),
                "files": files,
                "bytes": size,
                "peaks": [peak_ for _, peak_, _ in ends],
                "parent_peak": peak(),
            }
        )
    )


if __name__ == "__main__":
    main()
