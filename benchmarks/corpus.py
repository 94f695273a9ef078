"""Make the corpora that the benchmarks measure on. The same seed and scale give the same bytes.

    python benchmarks/corpus.py A|B|C FOLDER [--seed N] [--scale F]

A   2,000 TIFFs of 124x64 RGB: uncompressed, three strips, 15 tags, like frames cut from a film.
B   120 photographs of 2 to 12 megapixels: TIFF (raw, LZW, Deflate), JPEG and PNG.
C   100,000 tiny gray TIFFs in 1,000 folders.

``--scale`` multiplies the number of files. FOLDER must not exist, or be empty. What is a duplicate of what is
written beside it, to FOLDER.manifest.json: groups of relative paths with the same bytes, and with the same
pixels (those with the same bytes among them). No two files of different groups, and none outside of them,
have equal pixels, not even after turning them or reducing them without loss.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import struct
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Samples = NDArray[np.uint8]

IN_FOLDER = {"A": 200, "B": 40, "C": 100}
FILES = {"A": 2_000, "B": 120, "C": 100_000}


@dataclass
class Corpus:
    """Files as they are made: written at once, remembered by bytes and by picture."""

    folder: str
    in_folder: int
    count: int = 0
    size: int = 0
    by_bytes: dict[bytes, list[str]] = field(default_factory=lambda: defaultdict(list))
    by_picture: dict[int, list[str]] = field(default_factory=lambda: defaultdict(list))

    def add(self, content: bytes, suffix: str, picture: int) -> None:
        """Write one file; ``picture`` numbers its pixels."""
        number = self.count
        where = f"{number // self.in_folder:04d}"
        if number % self.in_folder == 0:
            os.makedirs(os.path.join(self.folder, where), exist_ok=True)
        name = f"{where}/frame_{number:06d}{suffix}"
        with open(os.path.join(self.folder, name), "wb") as file:
            file.write(content)
        self.count += 1
        self.size += len(content)
        self.by_picture[picture].append(name)
        # Files of the same bytes are of the same picture and length: all others need no digest here.
        self.by_bytes[picture.to_bytes(8, "big") + content[-4096:] + content[:4096]].append(name)

    def manifest(self, **facts: Any) -> dict[str, Any]:
        return {
            **facts,
            "files": self.count,
            "bytes": self.size,
            "same_bytes": sorted(names for names in self.by_bytes.values() if len(names) > 1),
            "same_pixels": sorted(names for names in self.by_picture.values() if len(names) > 1),
        }


# ----------------------------------------------------------------------------------------------- pictures


def frame(random: np.random.Generator, width: int, height: int) -> Samples:
    """A small picture of few colours with noise; never gray, never symmetric."""
    coarse = random.integers(0, 200, (height // 16 + 1, width // 16 + 1, 3), dtype=np.uint8)
    large = coarse.repeat(16, axis=0).repeat(16, axis=1)[:height, :width]
    noise: Samples = random.integers(0, 56, (height, width, 3), dtype=np.uint8)
    return large + noise


def photograph(random: np.random.Generator, megapixels: float) -> Samples:
    """Smooth areas, edges and the noise of a sensor: what compressors meet in photographs."""
    height = int((megapixels * 1e6 / 1.5) ** 0.5)
    width = int(height * 1.5)
    coarse = random.integers(20, 220, (9, 13, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))
    edges = np.asarray(Image.fromarray(coarse[::2, ::2]).resize((width, height), Image.Resampling.NEAREST))
    # One block of noise, laid out again and again with other offsets: a fresh one for each picture is slow.
    noise = random.normal(0, 2.5, (height // 4 + 64, width + 64, 3)).astype(np.int16)
    picture = (smooth.astype(np.int16) * 3 + edges) // 4
    for top in range(0, height, height // 4):
        rows = min(height // 4, height - top)
        down, right = random.integers(0, 64, 2)
        picture[top : top + rows] += noise[down : down + rows, right : right + width]
    samples: Samples = np.clip(picture, 0, 255).astype(np.uint8)
    return samples


# -------------------------------------------------------------------------------------------------- TIFF

_SIZES = {2: 1, 3: 2, 4: 4, 5: 8}


def tiff(samples: Samples, rows_per_strip: int, words: dict[int, str], *, order: str = "<") -> bytes:
    """An uncompressed baseline TIFF; ``words``: further tags of text. Strips first, then the directory."""
    height, width = samples.shape[:2]
    bands = samples.shape[2] if samples.ndim == 3 else 1
    rows = [samples[top : top + rows_per_strip].tobytes() for top in range(0, height, rows_per_strip)]
    offsets = [8]
    for strip in rows[:-1]:
        offsets.append(offsets[-1] + len(strip))
    tags: dict[int, tuple[int, Sequence[int]]] = {
        256: (3, [width]),
        257: (3, [height]),
        258: (3, [8] * bands),
        259: (3, [1]),
        262: (3, [2 if bands == 3 else 1]),
        273: (4, offsets),
        274: (3, [1]),
        277: (3, [bands]),
        278: (3, [rows_per_strip]),
        279: (4, [len(strip) for strip in rows]),
        282: (5, [72, 1]),
        283: (5, [72, 1]),
        284: (3, [1]),
        296: (3, [2]),
        **{code: (2, text.encode() + b"\0") for code, text in words.items()},
    }
    start = 8 + sum(map(len, rows))
    start += start % 2
    beyond = start + 2 + 12 * len(tags) + 4
    entries, further = b"", b""
    for code, (kind, values) in sorted(tags.items()):
        format_ = {2: "B", 3: "H", 4: "I", 5: "I"}[kind]
        packed = struct.pack(f"{order}{len(values)}{format_}", *values)
        count = len(packed) // _SIZES[kind]
        if len(packed) > 4:
            place = struct.pack(f"{order}I", beyond + len(further))
            further += packed + bytes(len(packed) % 2)
        else:
            place = packed.ljust(4, b"\0")
        entries += struct.pack(f"{order}HHI", code, kind, count) + place
    magic = b"II*\0" if order == "<" else b"MM\0*"
    body = magic + struct.pack(f"{order}I", start) + b"".join(rows)
    directory = struct.pack(f"{order}H", len(tags)) + entries + bytes(4)
    return body.ljust(start, b"\0") + directory + further


# ---------------------------------------------------------------------------------------------- corpora


def make_a(corpus: Corpus, random: np.random.Generator, files: int) -> None:
    """Of ten files one is a copy, one has the same pixels in other strips, and one differs in one sample of
    a picture that is here, too."""
    for number in range(files // 10 * 7 + files % 10):
        picture = frame(random, 124, 64)
        date = f"2024:{number % 12 + 1:02}:{number % 28 + 1:02} {number % 24:02}:{number % 60:02}:{number % 59:02}"
        content = tiff(picture, 22, {306: date})
        corpus.add(content, ".tif", number)
        if number >= files // 10:
            continue
        corpus.add(content, ".tif", number)
        corpus.add(tiff(picture, 64, {305: "resaved", 306: date}, order=">"), ".tif", number)
        near = picture.copy()
        near[number % 64, number % 124, number % 3] ^= 1
        corpus.add(tiff(near, 22, {306: date}), ".tif", files + number)


def make_b(corpus: Corpus, random: np.random.Generator, files: int) -> None:
    """Twelve files come from six photographs: raw, LZW, Deflate and PNG of the first, and a copy of the raw one;
    JPEG, the same with a comment, and its pixels as PNG of the second; and four that are there once."""
    sizes = (2.0, 5.0, 8.0, 9.0, 11.0, 12.0)
    dozens = 0
    while corpus.count < files:
        # Each dozen begins with another size.
        for content, suffix, which in _dozen(random, [sizes[(dozens + k) % 6] for k in range(6)]):
            if corpus.count < files:
                corpus.add(content, suffix, 6 * dozens + which)
        dozens += 1


def _dozen(random: np.random.Generator, megapixels: list[float]) -> Iterator[tuple[bytes, str, int]]:
    first = photograph(random, megapixels[0])
    raw = saved(first, "TIFF")
    yield raw, ".tif", 0
    yield saved(first, "TIFF", compression="tiff_lzw"), ".tif", 0
    yield saved(first, "TIFF", compression="tiff_adobe_deflate", tiffinfo={317: 2}), ".tif", 0
    yield saved(first, "PNG", compress_level=4), ".png", 0
    yield raw, ".tif", 0
    jpeg = saved(photograph(random, megapixels[1]), "JPEG", quality=90)
    yield jpeg, ".jpg", 1
    yield jpeg[:2] + b"\xff\xfe\x00\x0ea comment..\n" + jpeg[2:], ".jpg", 1
    with Image.open(io.BytesIO(jpeg)) as image:
        yield saved(np.asarray(image), "PNG", compress_level=4), ".png", 1
    yield saved(photograph(random, megapixels[2]), "TIFF"), ".tif", 2
    yield (
        saved(photograph(random, megapixels[3]), "TIFF", compression="tiff_lzw", tiffinfo={317: 2}),
        ".tif",
        3,
    )
    yield saved(photograph(random, megapixels[4]), "TIFF", compression="tiff_adobe_deflate"), ".tif", 4
    yield saved(photograph(random, megapixels[5]), "JPEG", quality=85, progressive=True), ".jpg", 5


def saved(samples: Samples, format_: str, **options: Any) -> bytes:
    """The picture in one of Pillow's formats."""
    buffer = io.BytesIO()
    Image.fromarray(samples).save(buffer, format=format_, **options)
    return buffer.getvalue()


def make_c(corpus: Corpus, random: np.random.Generator, files: int) -> None:
    """4x4 gray: each has its number written into its samples."""
    samples: Samples = random.integers(0, 256, (4, 4, 1), dtype=np.uint8)
    template = tiff(samples, 4, {})
    for number in range(files):
        content = template[:8] + number.to_bytes(4, "big") + template[12:]
        corpus.add(content, ".tif", number)


MAKERS = {"A": make_a, "B": make_b, "C": make_c}


def make(name: str, folder: str, *, seed: int = 1, scale: float = 1.0) -> dict[str, Any]:
    """Make corpus ``name`` in ``folder``; its manifest, which is also written beside it."""
    folder = os.path.abspath(folder)
    os.makedirs(folder, exist_ok=True)
    if os.listdir(folder):
        raise FileExistsError(f"not empty: {folder}")
    corpus = Corpus(folder, IN_FOLDER[name])
    files = max(1, round(FILES[name] * scale))
    MAKERS[name](corpus, np.random.default_rng(seed), files)
    manifest = corpus.manifest(corpus=name, seed=seed, scale=scale)
    with open(f"{folder}.manifest.json", "w", encoding="utf-8") as file:
        json.dump(manifest, file, indent=1)
        file.write("\n")
    return manifest


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("corpus", choices=sorted(MAKERS))
    parser.add_argument("folder")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scale", type=float, default=1.0)
    chosen = parser.parse_args()
    found = make(chosen.corpus, chosen.folder, seed=chosen.seed, scale=chosen.scale)
    same_bytes, same_pixels = len(found["same_bytes"]), len(found["same_pixels"])
    print(
        f"{found['files']:,} files, {found['bytes'] / 1e6:,.1f} MB,"
        f" {same_bytes:,} groups of the same bytes, {same_pixels:,} of the same pixels"
    )


if __name__ == "__main__":
    main()
