"""AVIF and HEIF: the items of a still picture, their properties and where their bytes are.

Sources: ISO/IEC 23008-12 (HEIF), 14496-12 (boxes), 14496-15 (hvcC); AV1 ISOBMFF 2.3 (av1C); MIAF.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Final

from catalog.pixels.boxes import Box, Fields, boxes
from catalog.pixels.exif import Exif, parse_exif
from catalog.pixels.structure import Frame, NotAnImage, Structure, Wanted
from catalog.terms import Fidelity, Layout, PageRole

_ALPHA: Final = (b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha", b"urn:mpeg:hevc:2015:auxid:1")
_CODECS: Final = {b"av01": "AV1", b"hvc1": "HEVC", b"grid": "grid"}
# (irot's quarter turns against the clock, imir's axis or None) -> Orientation; libavif's table
_TURNS: Final[dict[tuple[int, int | None], int]] = {
    **{(0, None): 1, (1, None): 8, (2, None): 3, (3, None): 6},
    **{(0, 0): 4, (0, 1): 2, (1, 0): 5, (1, 1): 7, (2, 0): 2, (2, 1): 4, (3, 0): 7, (3, 1): 5},
}
_MOST: Final = 4096
"""Items, extents and properties that are listed."""


@dataclass(slots=True)
class Items:
    """The ``meta`` box."""

    primary: int = 0
    kinds: dict[int, bytes] = field(default_factory=dict)
    references: dict[tuple[bytes, int], list[int]] = field(default_factory=lambda: defaultdict(list))
    """(kind, from) -> to."""
    properties: list[Box] = field(default_factory=list)
    of_item: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    """Item -> numbers of its properties, from 1."""
    places: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    """Item -> (offset, length) of its extents in the file; none for those inside ``meta``."""

    def having(self, item: int, kind: bytes) -> memoryview | None:
        """The first property of this kind."""
        for number in self.of_item.get(item, ()):
            if 0 < number <= len(self.properties) and self.properties[number - 1].kind == kind:
                return self.properties[number - 1].body
        return None


def parse_isobmff(view: memoryview, wanted: Wanted, name: str) -> Structure:
    """What an AVIF or HEIF (``name``) says of itself (``structure.parse``).

    Raises NotAnImage; with ``format`` for a sequence, which has no parser here.
    """
    items = Items()
    defects: list[str] = []
    meta: Box | None = None
    for box in boxes(view):
        if box.kind == b"moov":
            raise NotAnImage(f"{name}: an image sequence has no header parser", format=name)
        if box.kind == b"meta" and meta is None:
            meta = box
        if not box.whole:
            word = box.kind.decode("latin-1")
            defects.append(
                f"truncated: box {word!r} at byte {box.at:,} reaches beyond the end ({len(view):,} bytes)"
            )
    if meta is None:
        raise NotAnImage(f"{name}: no meta box", claims=name)
    try:
        _read(meta, items)
        frame = _frame(items, name, defects, len(view))
    except IndexError as error:
        raise NotAnImage(f"{name}: its header is broken: {error}", claims=name) from error
    exif = _exif(items, view, wanted)
    notes = exif.notes if exif else ()
    return Structure(
        format=name,
        frames=(frame,),
        layout=Layout(container=name, compression=_compression(items)),
        orientation=_orientation(items),
        ifds=exif.ifds if exif else (),
        icc=_icc(items),
        payload_reason=f"no payload digest for {name}" if wanted.payload else None,
        defects=tuple(defects),
        detail={"notes": notes},
    )


# --------------------------------------------------------------------------------------------- the meta box


def _read(meta: Box, items: Items) -> None:
    for box in boxes(meta.body[4:]):
        fields = Fields(box.body)
        if box.kind == b"pitm":
            items.primary = fields.number(2 if fields.version()[0] == 0 else 4)
        elif box.kind == b"iinf":
            fields.number(2 if fields.version()[0] == 0 else 4)
            for each in boxes(fields.rest):
                _entry(each, items)
        elif box.kind == b"iref":
            _references(fields, items)
        elif box.kind == b"iprp":
            for each in boxes(box.body):
                if each.kind == b"ipco":
                    items.properties = [
                        found for _, found in zip(range(_MOST), boxes(each.body), strict=False)
                    ]
                elif each.kind == b"ipma":
                    _associations(Fields(each.body), items)
        elif box.kind == b"iloc":
            _places(fields, items)


def _entry(box: Box, items: Items) -> None:
    fields = Fields(box.body)
    version, _ = fields.version()
    if box.kind == b"infe" and version in (2, 3) and len(items.kinds) < _MOST:
        number = fields.number(2 if version == 2 else 4)
        fields.number(2)
        items.kinds[number] = fields.take(4)


def _references(fields: Fields, items: Items) -> None:
    size = 2 if fields.version()[0] == 0 else 4
    for each in boxes(fields.rest):
        inner = Fields(each.body)
        source = inner.number(size)
        for _ in range(min(inner.number(2), _MOST)):
            items.references[each.kind, source].append(inner.number(size))


def _associations(fields: Fields, items: Items) -> None:
    version, flags = fields.version()
    for _ in range(min(fields.number(4), _MOST)):
        item = fields.number(2 if version < 1 else 4)
        for _ in range(fields.number(1)):
            number = fields.number(2 if flags & 1 else 1)
            items.of_item[item].append(number & (0x7FFF if flags & 1 else 0x7F))


def _places(fields: Fields, items: Items) -> None:
    version, _ = fields.version()
    sizes = fields.number(2)
    offset_size, length_size, base_size = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15
    index_size = sizes & 15 if version in (1, 2) else 0
    for _ in range(min(fields.number(4 if version == 2 else 2), _MOST)):
        item = fields.number(4 if version == 2 else 2)
        method = fields.number(2) & 15 if version in (1, 2) else 0
        fields.number(2)
        base = fields.number(base_size)
        extents = []
        # Extents of no size cost a file nothing: so many of them for each item would cost us everything.
        most = _MOST if index_size + offset_size + length_size else 1
        for _ in range(min(fields.number(2), most)):
            fields.number(index_size)
            extents.append((base + fields.number(offset_size), fields.number(length_size)))
        items.places[item] = extents if method == 0 else []


# ------------------------------------------------------------------------------------------------ the picture


def _frame(items: Items, name: str, defects: list[str], size: int) -> Frame:
    primary = items.primary
    extent = items.having(primary, b"ispe")
    if extent is None:
        raise NotAnImage(f"{name}: the primary item has no size", claims=name)
    sides = Fields(extent)
    sides.version()
    width, height = sides.number(4), sides.number(4)
    cut = _clean(items) if name == "HEIF" else None
    if cut is not None:  # HEVC codes whole blocks, so that encoders cut odd sizes out of even ones
        width, height = min(width, cut[0]), min(height, cut[1])
    if not width or not height:
        raise NotAnImage(f"{name}: no image size ({width} x {height})", claims=name)
    coded = _coded(items)
    alpha = _alpha_item(items)
    parts = (*coded, *([alpha] if alpha is not None else []))
    last = max(
        (offset + length for item in parts for offset, length in items.places.get(item, ())), default=0
    )
    if last > size:
        defects.append(f"truncated: image data to byte {last:,}, the file has {size:,}")
    bits, gray = _depth(items, coded)
    model = ("gray" if gray else "rgb") + ("" if alpha is None else "a")
    fidelity, reason = Fidelity.DECODER, f"{name} compression: samples depend on the decoder"
    quirk = _quirk(items, bits, alpha)
    if cut is None and items.having(primary, b"clap") is not None:
        quirk = quirk or "a clean aperture: readers differ in whether they crop to it"
    if quirk:
        fidelity, reason = Fidelity.UNVERIFIED, quirk
    return Frame(
        index=0,
        role=PageRole.PAGE,
        width=width,
        height=height,
        model=model,
        dtype=f"u{bits or 8}",
        channels=(1 if gray else 3) + (alpha is not None),
        fidelity=fidelity,
        fidelity_reason=reason,
        defects=tuple(defects),
    )


def _coded(items: Items) -> list[int]:
    """The items that hold compressed image data of the picture: itself, or the tiles of a grid; each once, however
    often it is named."""
    return list(dict.fromkeys(items.references.get((b"dimg", items.primary), ()))) or [items.primary]


def _depth(items: Items, coded: list[int]) -> tuple[int | None, bool]:
    """(bits of each sample, whether there is no colour) by the codec's configuration; of tiles they must agree."""
    found = set()
    for item in coded:
        av1, hevc = items.having(item, b"av1C"), items.having(item, b"hvcC")
        if av1 is not None and len(av1) >= 4:
            found.add((12 if av1[2] & 0x20 else 10 if av1[2] & 0x40 else 8, bool(av1[2] & 0x10)))
        elif hevc is not None and len(hevc) >= 19:
            found.add((8 + (hevc[17] & 7), not hevc[16] & 3))
        else:
            found.add((0, False))
    bits, gray = next(iter(found)) if len(found) == 1 else (0, False)
    return bits or None, gray


def _alpha_item(items: Items) -> int | None:
    for (kind, source), targets in items.references.items():
        if kind == b"auxl" and items.primary in targets:
            told = items.having(source, b"auxC")
            if told is not None and bytes(told[4:]).split(b"\0")[0] in _ALPHA:
                return source
    return None


def _quirk(items: Items, bits: int | None, alpha: int | None) -> str | None:
    kind = items.kinds.get(items.primary, b"")
    if kind not in _CODECS:
        word = kind.decode("latin-1") or "none"
        return f"a picture derived in another way than by a grid ({word!r})"
    if bits is None:
        return "its codec's configuration does not tell the depth"
    if alpha is not None and (b"prem", items.primary) in items.references:
        return "premultiplied alpha is converted by the decoder"
    if _turns(items) not in (
        [],
        [b"irot"],
        [b"imir"],
        [b"irot", b"imir"],
    ):  # MIAF 7.3.6.7 allows no other order
        return "turned twice, or mirrored before it is turned: readers differ in what they show"
    return None


def _turns(items: Items) -> list[bytes]:
    """What turns or mirrors the picture, in its order."""
    listed = items.of_item.get(items.primary, ())
    kinds = [items.properties[number - 1].kind for number in listed if 0 < number <= len(items.properties)]
    return [kind for kind in kinds if kind in (b"irot", b"imir")]


def _clean(items: Items) -> tuple[int, int] | None:
    """Width and height of the clean aperture; None where there is none, or no whole number of pixels."""
    body = items.having(items.primary, b"clap")
    if body is None:
        return None
    fields = Fields(body)
    width, width_parts, height, height_parts = (fields.number(4) for _ in range(4))
    if not width_parts or not height_parts or width % width_parts or height % height_parts:
        return None
    return width // width_parts or 1, height // height_parts or 1


def _orientation(items: Items) -> int:
    turned, mirrored = items.having(items.primary, b"irot"), items.having(items.primary, b"imir")
    angle = turned[0] & 3 if turned is not None and len(turned) else 0
    axis = mirrored[0] & 1 if mirrored is not None and len(mirrored) else None
    return _TURNS[angle, axis]


def _compression(items: Items) -> str:
    kinds = {_CODECS.get(items.kinds.get(item, b""), "unknown") for item in _coded(items)}
    return kinds.pop() if len(kinds) == 1 else "mixed"


def _icc(items: Items) -> bytes | None:
    colour = items.having(items.primary, b"colr")
    return bytes(colour[4:]) if colour is not None and bytes(colour[:4]) in (b"prof", b"rICC") else None


def _exif(items: Items, view: memoryview, wanted: Wanted) -> Exif | None:
    """The Exif block that describes the picture; its Orientation does not count (irot and imir do)."""
    for item, kind in items.kinds.items():
        if kind == b"Exif" and items.places.get(item):
            offset, length = items.places[item][0]
            block = view[offset : offset + length]
            skip = int.from_bytes(block[:4], "big") + 4  # to the TIFF header
            return parse_exif(block[skip:], full_values=wanted.full_values)
    return None
