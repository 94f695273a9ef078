"""An ``Analysis`` as bytes and back, quickly: the parent's time per file limits the throughput.

What repeats from file to file (most tags, the header facts, the layout) is cut out as one piece of bytes, and
equal pieces decode to one shared value through a bounded cache; the values are frozen. Every fault is a
``BadFrame``: the bytes come from a process that handles hostile files.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator
from dataclasses import fields
from functools import lru_cache
from typing import Any, Final

from catalog.pixels.wire import BadFrame, clean, decode_json, encode_json
from catalog.terms import (
    Analysis,
    Fidelity,
    Ifd,
    IfdKind,
    ImageFacts,
    Layout,
    Loaders,
    Page,
    PageRole,
    Tag,
)

_SHARED_LIMIT: Final = 256
"""Bytes of the longest tag that is kept for sharing (times 8,192: about 4 MB)."""
_SHARED_HEAD_LIMIT: Final = 4096

_FIDELITIES = tuple(Fidelity)
_ROLES = tuple(PageRole)
_IFD_KINDS = tuple(IfdKind)

_HEAD = struct.Struct("<BBIIII")  # fidelity, digests present, pages, IFDs, bytes of the head, of the loaders
_PAGE = struct.Struct("<BI")  # digests present, bytes of the shape
_IFD = struct.Struct("<IBiI")  # index, kind, parent or -1, tags
_TAG = struct.Struct("<HHQBHI")  # code, type, count, has a sha256, bytes of the name, of the value


def encode_analysis(analysis: Analysis) -> bytes:
    """All of it. Raises ValueError or struct.error when a field is out of its range (our bug)."""
    head = _encode_head(
        analysis.reason, analysis.payload_reason, analysis.image, analysis.layout, analysis.complaints
    )
    loaders = _encode_loaders(analysis.loaders) if analysis.loaders else b""
    present, digests = _encode_digests(analysis.pixels, analysis.view, analysis.payload, analysis.near)
    fidelity = _FIDELITIES.index(analysis.fidelity)
    counts = (len(analysis.pages), len(analysis.ifds), len(head), len(loaders))
    parts = [_HEAD.pack(fidelity, present, *counts), digests, head, loaders]
    for page in analysis.pages:
        shape = _encode_shape(
            page.index, page.role, page.width, page.height, page.model, page.dtype, page.channels
        )
        present, digests = _encode_digests(page.pixels, page.view)
        parts += (_PAGE.pack(present, len(shape)), digests, shape)
    for ifd in analysis.ifds:
        parent = -1 if ifd.parent is None else ifd.parent
        parts.append(_IFD.pack(ifd.index, _IFD_KINDS.index(ifd.kind), parent, len(ifd.tags)))
        pieces = [_encode_tag(tag) for tag in ifd.tags]
        parts.append(array("I", map(len, pieces)).tobytes())
        parts += pieces
    return b"".join(parts)


def decode_analysis(payload: bytes) -> Analysis:
    """Raises BadFrame."""
    try:
        return _decode_analysis(payload)
    except (struct.error, IndexError, KeyError, TypeError, ValueError) as error:
        raise BadFrame(f"analysis: {error}") from error


def _decode_analysis(payload: bytes) -> Analysis:
    fidelity, present, page_count, ifd_count, head_size, loaders_size = _HEAD.unpack_from(payload)
    at, (pixels, view, pay, near) = _decode_digests(payload, _HEAD.size, present, 4)
    end = at + head_size
    piece = payload[at:end]
    reason, payload_reason, image, layout, complaints = (
        _decode_head(piece) if head_size <= _SHARED_HEAD_LIMIT else _decode_head.__wrapped__(piece)
    )
    at = end + loaders_size
    loaders = _decode_loaders(payload[end:at]) if loaders_size else None
    pages = []
    for _ in range(page_count):
        present, shape_size = _PAGE.unpack_from(payload, at)
        at, (page_pixels, page_view) = _decode_digests(payload, at + _PAGE.size, present, 2)
        end = at + shape_size
        pages.append(Page(*_decode_shape(payload[at:end]), page_pixels, page_view))
        at = end
    ifds = []
    for _ in range(ifd_count):
        ifd, at = _decode_ifd(payload, at)
        ifds.append(ifd)
    if at != len(payload):
        raise BadFrame("analysis: wrong length")
    return Analysis(
        _FIDELITIES[fidelity],
        reason,
        pixels,
        view,
        pay,
        payload_reason,
        image,
        layout,
        tuple(pages),
        tuple(ifds),
        loaders,
        complaints,
        near,
    )


# --------------------------------------------------------------------------------------------------- digests


def _encode_digests(*digests: bytes | None) -> tuple[int, bytes]:
    """A bit for each digest that is there, and those one after the other."""
    present = 0
    for bit, digest in enumerate(digests):
        if digest is not None:
            if len(digest) != 32:
                raise ValueError(f"a SHA-256 of {len(digest)} bytes")
            present |= 1 << bit
    return present, b"".join([digest for digest in digests if digest is not None])


def _decode_digests(payload: bytes, at: int, present: int, count: int) -> tuple[int, list[bytes | None]]:
    if present == (1 << count) - 1:  # all of them: the usual case
        end = at + 32 * count
        if end > len(payload):
            raise BadFrame("analysis: cut short")
        return end, [payload[start : start + 32] for start in range(at, end, 32)]
    digests: list[bytes | None] = []
    for bit in range(count):
        if present >> bit & 1:
            digests.append(payload[at : at + 32])
            at += 32
        else:
            digests.append(None)
    if at > len(payload):
        raise BadFrame("analysis: cut short")
    return at, digests


# ------------------------------------------------------------------------------------------------------ tags


def _encode_tag(tag: Tag) -> bytes:
    name = tag.name.encode("utf-8", "backslashreplace")
    head = _TAG.pack(tag.code, tag.type, tag.count, tag.sha256 is not None, len(name), len(tag.raw))
    if tag.sha256 is None and tag.broken is None:
        return b"".join((head, name, tag.raw))
    broken = b"" if tag.broken is None else b"!" + tag.broken.encode("utf-8", "backslashreplace")
    return b"".join((head, name, tag.raw, _encode_digests(tag.sha256)[1], broken))


def _decode_ifd(payload: bytes, at: int) -> tuple[Ifd, int]:
    index, kind, parent, count = _IFD.unpack_from(payload, at)
    at += _IFD.size
    sizes = array("I", payload[at : at + 4 * count])
    if len(sizes) != count:
        raise BadFrame("tags: cut short")
    at += 4 * count
    tags = []
    for size in sizes:
        end = at + size
        piece = payload[at:end]
        tags.append(_shared_tag(piece) if size <= _SHARED_LIMIT else _decode_tag(piece))
        at = end
    return Ifd(index, _IFD_KINDS[kind], None if parent == -1 else parent, tuple(tags)), at


def _decode_tag(piece: bytes) -> Tag:
    code, type_code, count, hashed, name_size, raw_size = _TAG.unpack_from(piece)
    raw_at = _TAG.size + name_size
    raw_end = raw_at + raw_size
    at, (sha256,) = _decode_digests(piece, raw_end, hashed, 1)
    broken = piece[at:]
    return Tag(
        code,
        piece[_TAG.size : raw_at].decode(),
        type_code,
        count,
        piece[raw_at:raw_end],
        sha256,
        broken[1:].decode() if broken else None,
    )


_shared_tag = lru_cache(maxsize=8192)(_decode_tag)


# ---------------------------------------------------------------------------------------- flat values as JSON

_TYPES: Final[dict[str, type]] = {
    "str": str,
    "int": int,
    "bool": bool,
    "bytes": bytes,
    "None": type(None),
}


def _columns(kind: type[ImageFacts] | type[Layout]) -> tuple[tuple[str, tuple[type, ...]], ...]:
    """(field, its types) of a dataclass that holds nothing but scalars, from its annotations."""
    return tuple((f.name, tuple(_TYPES[word] for word in str(f.type).split(" | "))) for f in fields(kind))


_IMAGE = _columns(ImageFacts)
_LAYOUT = _columns(Layout)


def _flat(value: ImageFacts | Layout | None, columns: tuple[tuple[str, tuple[type, ...]], ...]) -> Any:
    if value is None:
        return None
    listed = [getattr(value, name) for name, _ in columns]
    return [item.hex() if isinstance(item, bytes) else item for item in listed]


def _checked(listed: Any, columns: tuple[tuple[str, tuple[type, ...]], ...]) -> Iterator[Any]:
    """The fields, each of a type that its dataclass allows."""
    for item, (name, types) in zip(listed, columns, strict=True):
        value = bytes.fromhex(item) if bytes in types and isinstance(item, str) else item
        if not isinstance(value, types):
            raise BadFrame(f"{name}: {type(value).__name__}")
        yield clean(value) if isinstance(value, str) else value


@lru_cache(maxsize=1024)
def _encode_head(
    reason: str | None,
    payload_reason: str | None,
    image: ImageFacts | None,
    layout: Layout | None,
    complaints: tuple[str, ...],
) -> bytes:
    listed = [reason, payload_reason, _flat(image, _IMAGE), _flat(layout, _LAYOUT), complaints]
    return encode_json(listed)


@lru_cache(maxsize=1024)
def _decode_head(
    piece: bytes,
) -> tuple[str | None, str | None, ImageFacts | None, Layout | None, tuple[str, ...]]:
    reason, payload_reason, image, layout, complaints = decode_json(piece)
    return (
        _words(reason),
        _words(payload_reason),
        None if image is None else ImageFacts(*_checked(image, _IMAGE)),
        None if layout is None else Layout(*_checked(layout, _LAYOUT)),
        tuple(_words(line) or "" for line in complaints),
    )


def _words(text: Any) -> str | None:
    if text is not None and not isinstance(text, str):
        raise BadFrame(f"{type(text).__name__} in place of words")
    return None if text is None else clean(text)


_SHAPE: Final = (int, int, int, int, str, str, int)


@lru_cache(maxsize=1024)
def _encode_shape(  # noqa: PLR0917  lru_cache is quicker without keywords
    index: int, role: PageRole, width: int, height: int, model: str, dtype: str, channels: int
) -> bytes:
    return encode_json([index, _ROLES.index(role), width, height, model, dtype, channels])


@lru_cache(maxsize=1024)
def _decode_shape(piece: bytes) -> tuple[int, PageRole, int, int, str, str, int]:
    listed = decode_json(piece)
    for item, kind in zip(listed, _SHAPE, strict=True):
        if not isinstance(item, kind):
            raise BadFrame(f"{type(item).__name__} in a page")
    index, role, width, height, model, dtype, channels = listed
    return index, _ROLES[role], width, height, clean(model), clean(dtype), channels


def _encode_loaders(loaders: Loaders) -> bytes:
    digests = (loaders.cv2_imread_md5, loaders.pillow_tobytes_md5, loaders.pillow_save_md5)
    return encode_json([[None if d is None else d.hex() for d in digests], loaders.errors])


def _decode_loaders(piece: bytes) -> Loaders:
    digests, errors = decode_json(piece)
    first, second, third = (None if d is None else bytes.fromhex(d) for d in digests)
    return Loaders(
        first, second, third, tuple((_words(name) or "", _words(why) or "") for name, why in errors)
    )
