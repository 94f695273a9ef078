"""What ``checksum``, ``tags`` and ``compare`` share: the named files, and the words for what is in them."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from typing import Any, Final

from catalog.errors import CatalogError, NotFound, UsageError
from catalog.terms import Analysis, Failure, Fidelity, Tag, counted, human_size, printable, quoted

VALUES_SHOWN: Final = 8
"""Values of a long array that a line shows."""
TEXT_SHOWN: Final = 100
"""Characters of a long text that a line shows."""
TEXT_BEFORE: Final = 30
"""Characters before the first that differs which are shown of two long texts."""

IMAGE_FIELDS: Final = (
    *("format", "width", "height", "frames", "model", "dtype", "channels", "orientation", "icc_sha256"),
)
NO_SUCH_FILE: Final = "no such file"

_ABSENT: Final = (errno.ENOENT, errno.ENOTDIR)
_PROVES: Final = {
    Fidelity.EXACT: "every declared bit was decoded",
    Fidelity.DECODER: "lossy codec; comparable wherever the decoders have this epoch",
}


# ------------------------------------------------------------------------------------------- named files


def is_absent(path: bytes) -> bool:
    """Whether no file has this name (a link to nothing is none). Raises UsageError for a folder.

    A path that cannot be looked at is not known to be absent: reading it will say why.
    """
    try:
        found = os.stat(path)
    except OSError as error:
        return error.errno in _ABSENT
    if stat.S_ISDIR(found.st_mode):
        name = printable(path)
        raise UsageError(
            f"this is a folder: {name}", hint=f"catalogue its files with: catalog scan {quoted(name)}"
        )
    return False


def existing(*paths: bytes) -> tuple[bytes, ...]:
    """The same paths, all of them there. Raises NotFound naming those that are not, UsageError for a folder."""
    absent = [path for path in dict.fromkeys(paths) if is_absent(path)]
    if absent:
        raise not_found(absent)
    return paths


def vanished(failure: Failure) -> bool:
    """Whether the file went away between its naming and its reading."""
    return failure.errno in _ABSENT


def not_found(paths: Sequence[bytes]) -> CatalogError:
    """The error that ends the command when named files do not exist."""
    names = ", ".join(printable(path) for path in paths)
    return NotFound(f"{NO_SUCH_FILE}: {names}" if len(paths) == 1 else f"no such files: {names}")


# ------------------------------------------------------------------------------------------------ fields


def hexed(digest: bytes | None) -> str | None:
    return None if digest is None else digest.hex()


def image_fields(analysis: Analysis) -> dict[str, Any] | None:
    """``image`` of ``checksum --json``; None when the header could not be read."""
    image = analysis.image
    if image is None:
        return None
    return {name: getattr(image, name) for name in IMAGE_FIELDS} | {"icc_sha256": hexed(image.icc_sha256)}


# ---------------------------------------------------------------------------------------------- for eyes


def fidelity_words(fidelity: str, reason: str | None) -> str:
    """The class of the samples and why it is that: ``exact: every declared bit was decoded``."""
    why = reason or _PROVES.get(Fidelity(fidelity))
    return fidelity + (f": {why}" if why else "")


def image_words(image: dict[str, Any]) -> str:
    """``TIFF, 124x64 rgb u8, 3 images, Orientation 6``, from ``image_fields``."""
    words = [image["format"], f"{image['width']}x{image['height']} {image['model']} {image['dtype']}"]
    if image["frames"] > 1:
        words.append(counted(image["frames"], "image"))
    if image["orientation"] != 1:
        words.append(f"Orientation {image['orientation']}")
    if image["icc_sha256"]:
        words.append("with ICC profile")
    return ", ".join(words)


def size_words(size: int) -> str:
    """``24,036 bytes (24.0 kB)``."""
    return counted(size, "byte") + (f" ({human_size(size)})" if size >= 1000 else "")


def tag_words(tag: Tag) -> str:
    """A tag's value on one line: long ones cut, bytes that are no text in hexadecimal, and what is wrong."""
    words = _bytes_words(tag.raw, tag.count) if tag.type in (1, 7) else values_words(tag.value)
    return " ".join(part for part in (words, f"(broken: {tag.broken})" if tag.broken else "") if part)


def values_words(values: Any) -> str:
    """The same from a value as JSON shows it: a list, or type, count and sha256 of a long one."""
    if isinstance(values, dict):
        return f"{values['count']:,} {values['type']}, sha256 {values['sha256']}"
    shown = ", ".join(_value_words(value) for value in values[:VALUES_SHOWN])
    return f"{shown} … ({len(values):,} values)" if len(values) > VALUES_SHOWN else shown


def changed_words(old: Any, new: Any) -> tuple[str, str]:
    """Two values of one tag in words, cut so that what differs is seen: an OME-XML begins like any other."""
    shown = values_words(old), values_words(new)
    texts = [values[0] for values in (old, new) if isinstance(values, list) and len(values) == 1]
    if len(texts) != 2 or not all(isinstance(text, str) for text in texts):
        return shown
    old_text, new_text = texts
    shorter = min(len(old_text), len(new_text))
    same = next((at for at in range(shorter) if old_text[at] != new_text[at]), shorter)
    if same < TEXT_SHOWN - TEXT_BEFORE:
        return shown
    return _from_text(old_text, same - TEXT_BEFORE), _from_text(new_text, same - TEXT_BEFORE)


def _from_text(text: str, start: int) -> str:
    end = start + TEXT_SHOWN
    return (
        f"'…{text[start:end]}{'…' if end < len(text) else ''}' ({len(text):,} characters, from {start + 1:,})"
    )


def _value_words(value: Any) -> str:
    if isinstance(value, str):
        cut = len(value) > TEXT_SHOWN
        return f"'{value[:TEXT_SHOWN]}…' ({len(value):,} characters)" if cut else f"'{value}'"
    if isinstance(value, list):
        over, under = value
        return str(over) if under == 1 else f"{over}/{under}"
    return f"{value:.9g}" if isinstance(value, float) else str(value)


def _bytes_words(raw: bytes, count: int) -> str:
    """BYTE and UNDEFINED hold numbers, text (ExifVersion, XMP) and anything else."""
    try:
        text = raw.rstrip(b"\0").decode()
    except UnicodeDecodeError:
        text = ""
    # XMP holds a byte order mark in its first line.
    if len(text) >= 4 and all(c.isprintable() or c.isspace() or c == "\ufeff" for c in text):
        return _value_words(text)
    if len(raw) <= 4:
        return values_words(list(raw))
    more = f" … ({counted(max(count, len(raw)), 'byte')})" if len(raw) > VALUES_SHOWN else ""
    return "hex " + raw[:VALUES_SHOWN].hex(" ") + more
