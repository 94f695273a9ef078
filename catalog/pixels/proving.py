"""The proof, on this machine, that the checksums are what they are defined to be (``catalog doctor``).

Small pictures are made up, written into every container that can hold them, and read back through the same
way as any file. What must come out is computed here from the numbers alone (docs/pixel-checksum.md), not by
the code under test. Runs inside a decode worker; takes about a second, most of it imports.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any, Final

from catalog.pixels.made_up import Picture, pictures, seed
from catalog.pixels.raster import worded
from catalog.terms import Fidelity, Limits, counted, joined

OK, WARNING, FAILED = "ok", "warning", "failed"
_REINSTALL: Final = (
    "do not trust searches of this installation; reinstall Pillow, imagecodecs, tifffile and OpenCV as "
    "pixel-catalog asks for them, and report it if that does not help"
)
_SAVED: Final = "cb3a77e9d96944f14a49f81e3a9008f3"
"""md5 of the file that Pillow 13 writes when it saves the seed again."""


def prove(limits: Limits) -> list[dict[str, str]]:
    """The checks of the decoders: ``name state what advice`` each, in words. Never raises on a broken decoder."""
    checks = (_same_and_different, _decoders_agree, _loaders, _epoch)
    return [result for check in checks for result in _attempted(check, limits)]


def _attempted(check: Callable[[Limits], list[dict[str, str]]], limits: Limits) -> list[dict[str, str]]:
    try:
        return check(limits)
    except Exception as error:  # noqa: BLE001 (whatever a broken library raises is the finding)
        name = (check.__doc__ or "").split("\n")[0].rstrip(".")
        return [_result(name, FAILED, f"the check itself failed: {worded(error)}", _REINSTALL)]


def _result(name: str, state: str, what: str, advice: str = "") -> dict[str, str]:
    return {"name": name, "state": state, "what": what, "advice": advice}


# ------------------------------------------------------------------------------------------------- checks


def _same_and_different(limits: Limits) -> list[dict[str, str]]:
    """Pixel checksums."""
    from catalog.pixels.analyse import analyse

    wrong: list[str] = []
    blind: list[str] = []
    seen: dict[bytes, str] = {}
    files = 0
    for picture in pictures():
        expected, other = picture.digest(picture.samples), picture.digest(picture.changed())
        if expected in seen:
            blind.append(f"{picture.name} and {seen[expected]}")
        seen[expected] = picture.name
        flip = picture.changed() if picture.name not in ("palette", "two colours") else None
        for container, write in picture.writers.items():
            files += 1
            found = analyse(write(picture.samples), limits=limits)
            if found.fidelity is not Fidelity.EXACT or found.pixels != expected:
                wrong.append(f"{picture.name} in {container} ({found.reason or 'another checksum'})")
            if flip is None:
                continue
            files += 1
            if (
                analyse(write(flip), limits=limits).pixels in (expected, found.pixels, None)
                or other == expected
            ):
                blind.append(f"{picture.name} in {container}")
    blind += _alike(limits)
    same = _result(
        "one picture, one checksum", OK, f"{counted(files, 'canary file')}: each is what its numbers say"
    )
    if wrong:
        same = _result(
            "one picture, one checksum", FAILED, f"not what their numbers say: {_some(wrong)}", _REINSTALL
        )
    different = _result(
        "one sample, another checksum", OK, "a sample that differs by one is seen in every container"
    )
    if blind:
        what = f"pictures that differ have one checksum: {_some(blind)}"
        different = _result("one sample, another checksum", FAILED, what, _REINSTALL)
    return [same, different]


def _alike(limits: Limits) -> list[str]:
    """Files whose bytes behind the header are equal, and which are other pictures nevertheless."""
    from catalog.pixels.analyse import analyse

    body = bytes(range(1, 49))
    heads = {
        "4x6 gray, 16 bits": b"P5 4 6 65535\n",
        "6x4 gray, 16 bits": b"P5 6 4 65535\n",
        "4x6 gray, 14 bits": b"P5 4 6 16383\n",
        "8x6 gray, 8 bits": b"P5 8 6 255\n",
        "4x4 colour, 8 bits": b"P6 4 4 255\n",
    }
    found = {name: analyse(head + body, limits=limits).pixels for name, head in heads.items()}
    digests = list(found.values())
    return [name for name, digest in found.items() if digest is None or digests.count(digest) > 1]


def _decoders_agree(limits: Limits) -> list[dict[str, str]]:
    """Decoders."""
    import numpy as np

    del limits
    apart: list[str] = []
    voices: dict[str, int] = {}
    for picture in pictures():
        for container, write in picture.writers.items():
            content = write(picture.samples)
            for decoder, array in _deliveries(picture, container, content):
                voices[decoder] = voices.get(decoder, 0) + 1
                if isinstance(array, str):
                    apart.append(f"{decoder} on {picture.name} in {container} ({array})")
                elif not np.array_equal(array.reshape(picture.samples.shape), picture.samples):
                    apart.append(f"{decoder} on {picture.name} in {container}")
    words = joined(f"{name} on {counted(number, 'file')}" for name, number in sorted(voices.items()))
    if apart:
        return [
            _result("decoders agree", FAILED, f"other samples than were written: {_some(apart)}", _REINSTALL)
        ]
    return [_result("decoders agree", OK, f"{words} give the samples that were written")]


def _deliveries(picture: Picture, container: str, content: bytes) -> Iterator[tuple[str, Any]]:
    """What each decoder delivers that is known to be exact for such a file; words where it refuses."""
    deep_colour = picture.dtype == "u16" and picture.model == "rgb"
    whole = "planes" not in container
    if not deep_colour:  # Pillow gives 8 bits of them, and says nothing
        yield "Pillow", _tried(_pillow_array, content, picture.model)
    if container.startswith(("TIFF", "BigTIFF")):
        if picture.name not in ("palette", "two colours"):
            yield "tifffile", _tried(_tifffile_array, content, picture.model)
    elif picture.name != "RGBA, 8 bits" and container not in ("GIF palette", "PNG 1 bit"):
        yield "OpenCV", _tried(_cv2_array, content, picture.model)
    if whole and container in ("TIFF", "TIFF LZW", "TIFF Deflate"):
        yield "OpenCV", _tried(_cv2_array, content, picture.model)


def _tried(read: Callable[[bytes, str], Any], content: bytes, model: str) -> Any:
    try:
        return read(content, model)
    except ImportError:
        raise
    except Exception as error:  # noqa: BLE001 (any refusal is the finding)
        return worded(error)


def _pillow_array(content: bytes, model: str) -> Any:
    import numpy as np
    from PIL import Image

    with Image.open(BytesIO(content)) as image:
        mode = {"rgb": "RGB", "rgba": "RGBA", "gray": "L"}[model]
        plain = image if image.mode.startswith("I;16") else image.convert(mode)
        return np.asarray(plain)


def _tifffile_array(content: bytes, model: str) -> Any:
    import numpy as np
    import tifffile

    array = tifffile.imread(BytesIO(content))
    return np.moveaxis(array, 0, 2) if model == "rgb" and array.shape[0] == 3 else array


def _cv2_array(content: bytes, model: str) -> Any:
    import cv2
    import numpy as np

    array = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if array is None:
        raise ValueError("OpenCV cannot read it")
    return array[:, :, ::-1] if model == "rgb" else array


def _some(listed: list[str]) -> str:
    return joined(listed[:3]) + (f" and {len(listed) - 3} more" if len(listed) > 3 else "")


# ----------------------------------------------------------------------------------- loaders and the epoch


def _loaders(limits: Limits) -> list[dict[str, str]]:
    """Loader checksums."""
    from catalog.pixels.loaders import loader_checksums

    name = "loader checksums"
    content = seed()
    found, again = (loader_checksums(content, limits) for _ in range(2))
    if found.errors:
        failed = joined(f"{field}: {words}" for field, words in found.errors)
        return [_result(name, FAILED, f"a loader refuses a plain TIFF: {failed}", _REINSTALL)]
    samples = next(pictures()).samples
    digests = {
        "cv2": found.cv2_imread_md5,
        "pillow-tobytes": found.pillow_tobytes_md5,
        "pillow-save": found.pillow_save_md5,
    }
    if found != again or len(set(digests.values())) != len(digests):
        what = "the three loaders give the same, or another checksum each time"
        return [_result(name, FAILED, what, _REINSTALL)]
    known = {
        "cv2": hashlib.md5(samples[:, :, ::-1].tobytes(), usedforsecurity=False).digest(),
        "pillow-tobytes": hashlib.md5(samples.tobytes(), usedforsecurity=False).digest(),
    }
    other = [loader for loader, digest in known.items() if digests[loader] != digest]
    if other:
        return [_result(name, FAILED, f"other than its definition: {joined(other)}", _REINSTALL)]
    if digests["pillow-save"] != bytes.fromhex(_SAVED):
        what = "this Pillow saves other bytes than Pillow 13, with which published lists may have been made"
        return [_result(name, WARNING, what, "match such lists by pillow-tobytes or cv2, not by pillow-save")]
    what = "cv2 (BGR), pillow-tobytes (RGB) and pillow-save differ from each other, and are what they are known to be"
    return [_result(name, OK, what)]


def _epoch(limits: Limits) -> list[dict[str, str]]:
    """Decoder epoch."""
    from catalog.pixels.epoch import HEIF_CANARY, canaries, epoch

    del limits
    digest = epoch()
    found = canaries()
    blind = [
        name for name, fidelity, _ in found if fidelity == Fidelity.UNDECODABLE.value and name != HEIF_CANARY
    ]
    if digest != epoch():
        what = "the decoders give other samples each time"
        return [{**_result("decoder epoch", FAILED, what, _REINSTALL), "epoch": digest.hex()}]
    if blind:
        what = f"these decoders cannot read {_some(blind)}"
        advice = (
            "such files are recorded as undecodable; install builds of Pillow and imagecodecs with all codecs"
        )
        return [{**_result("decoder epoch", WARNING, what, advice), "epoch": digest.hex()}]
    what = f"{digest.hex()[:16]}, from {counted(len(found), 'canary image')}"
    return [{**_result("decoder epoch", OK, what), "epoch": digest.hex()}]
