"""The glossary as types: the values that pass between the stages. Imports nothing of ours.

Paths are bytes, times are integers whose name carries the unit (``_ns`` file system, ``_ms`` catalogue
clock, UTC), sizes are bytes. Everything here is frozen: a stage hands a value on and never changes it.
"""

from __future__ import annotations

import base64
import os
import re
import shlex
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

# ---------------------------------------------------------------------------------------------- identity

SPEC_VERSION: Final = 1
"""Version of the pixel checksum specification (``pix1``, ``view1``, ``pay1``)."""


class Level(StrEnum):
    """Which question an identity answers, from the strictest to the mildest."""

    BYTES = "bytes"
    PAYLOAD = "payload"
    PIXELS = "pixels"
    VIEW = "view"


class Fidelity(StrEnum):
    """How much a pixel checksum proves (docs/pixel-checksum.md)."""

    EXACT = "exact"
    DECODER = "decoder"
    LOSSY = "lossy"
    UNVERIFIED = "unverified"
    DAMAGED = "damaged"
    UNDECODABLE = "undecodable"

    @property
    def sound(self) -> bool:
        """Whether a digest of this class may be called identical to another one."""
        return self in (Fidelity.EXACT, Fidelity.DECODER)


_PREFIX = {Level.PIXELS: "pix", Level.VIEW: "view", Level.PAYLOAD: "pay"}


def printed(level: Level, fidelity: Fidelity, digest: bytes | None) -> str | None:
    """The digest as people read it: ``pix1:<hex>``, ``pix1-lossy:<hex>`` …, or None without samples."""
    if digest is None:
        return None
    unsound = "" if fidelity.sound or level is Level.PAYLOAD else f"-{fidelity.value}"
    return f"{_PREFIX[level]}{SPEC_VERSION}{unsound}:{digest.hex()}"


# ------------------------------------------------------------------------------------------- file system


@dataclass(frozen=True, slots=True)
class Stat:
    """What ``lstat`` says of a file, as far as the record needs it. ``inode`` is the kernel's u64."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    dev: int
    nlink: int
    allocated: int
    """Bytes on disk (``st_blocks * 512``)."""

    @classmethod
    def of(cls, result: os.stat_result) -> Stat:
        return cls(
            result.st_size,
            result.st_mtime_ns,
            result.st_ctime_ns,
            result.st_ino,
            result.st_dev,
            result.st_nlink,
            result.st_blocks * 512,
        )


class RootState(StrEnum):
    ONLINE = "online"
    OFFLINE = "offline"
    REPLACED = "replaced"
    HUNG = "hung"
    RETIRED = "retired"


class WatchMode(StrEnum):
    INOTIFY = "inotify"
    POLL = "poll"
    BOTH = "both"


class Presence(StrEnum):
    """Is the file there? ``suspect``: not seen, absence not yet proven (still counted as present)."""

    PRESENT = "present"
    SUSPECT = "suspect"
    MISSING = "missing"


class Outcome(StrEnum):
    """What the last inspection of the file came to. ``other``: not an image format, raw checksums only."""

    PENDING = "pending"
    OK = "ok"
    UNREADABLE = "unreadable"
    UNDECODABLE = "undecodable"
    OTHER = "other"


class Severity(StrEnum):
    INFO = "info"
    NOTICE = "notice"
    WARNING = "warning"
    CRITICAL = "critical"


class Kind(StrEnum):
    """What changed (docs/drift.md). The order is the order of the table there."""

    METADATA = "metadata"
    REENCODED = "reencoded"
    DISPLAY = "display"
    REPRESENTATION = "representation"
    PICTURE = "picture"
    UNPROVEN = "unproven"
    BROKEN = "broken"
    MISSING = "missing"
    UNREADABLE = "unreadable"


class Manner(StrEnum):
    """How it came about, judged against the last observed stat."""

    ROT = "rot"
    STEALTH = "stealth"
    UNEXPLAINED = "unexplained"
    ORDINARY = "ordinary"


class EventKind(StrEnum):
    """What happened; the closed list of ``query events --kind``."""

    ADDED = "added"
    CHANGED = "changed"
    TOUCHED = "touched"
    MOVED = "moved"
    MISSING = "missing"
    REAPPEARED = "reappeared"
    UNREADABLE = "unreadable"
    READABLE = "readable"
    RESTORED = "restored"
    REPAIRED = "repaired"
    ACCEPTED = "accepted"
    RETIRED = "retired"
    DECODER = "decoder"
    ROOT_ADDED = "root-added"
    ROOT_REMOVED = "root-removed"
    ROOT_STATE = "root-state"
    SCAN = "scan"
    HELD = "held"
    ALARM = "alarm"
    CONFIRMED = "confirmed"
    """Absences that were held back were confirmed by an admin."""
    ROOT_RELOCATED = "root-relocated"
    ROOT_MARKED = "root-marked"
    AUDIT = "audit"


class CheckResult(StrEnum):
    """What one fixity check of one file came to."""

    INTACT = "intact"
    DIFFERS = "differs"
    """A first reading gave other bytes than the record; what a second one said stands beside it."""
    ROT = "rot"
    STEALTH = "stealth"
    UNEXPLAINED = "unexplained"
    BROKEN = "broken"
    CHANGED = "changed"
    """Ordinary drift: somebody saved it."""
    UNREADABLE = "unreadable"


class ReadHow(StrEnum):
    """How the bytes of a check came to us."""

    CACHED = "cached"
    """Perhaps from the page cache: says what the memory holds."""
    UNCACHED = "uncached"
    """The page cache let go of the file first: says what the disk, or the server, holds."""


# --------------------------------------------------------------------------------------- what is in a file


class IfdKind(StrEnum):
    PAGE = "page"
    THUMBNAIL = "thumbnail"
    MASK = "mask"
    SUBIFD = "subifd"
    EXIF = "exif"
    GPS = "gps"
    INTEROP = "interop"


TAG_RAW_LIMIT: Final = 65536
"""Bytes of a tag's value that travel to the record; longer ones are cut, and their sha256 speaks for them."""

# TIFF 6 field types, with BigTIFF's (TIFF 6, page 15; BigTIFF 16-18): code -> (name, struct letter, bytes)
TAG_TYPES: Final[dict[int, tuple[str, str, int]]] = {
    1: ("BYTE", "B", 1),
    2: ("ASCII", "s", 1),
    3: ("SHORT", "H", 2),
    4: ("LONG", "I", 4),
    5: ("RATIONAL", "I", 8),
    6: ("SBYTE", "b", 1),
    7: ("UNDEFINED", "B", 1),
    8: ("SSHORT", "h", 2),
    9: ("SLONG", "i", 4),
    10: ("SRATIONAL", "i", 8),
    11: ("FLOAT", "f", 4),
    12: ("DOUBLE", "d", 8),
    13: ("IFD", "I", 4),
    16: ("LONG8", "Q", 8),
    17: ("SLONG8", "q", 8),
    18: ("IFD8", "Q", 8),
    129: ("UTF8", "s", 1),  # Exif 3.0
}


@dataclass(frozen=True, slots=True)
class Tag:
    """One field of an IFD, as it stands in the file, whatever it is.

    ``raw`` is the value in little-endian order whatever the file's order (so that equal values are equal
    bytes), cut at ``TAG_RAW_LIMIT`` unless the caller asked for all of it; ``sha256`` is of the whole value
    and only set when ``raw`` was cut. ``broken`` says in words why the value could not be read (offset
    beyond the end, unknown type …); then ``raw`` holds what there was.
    """

    code: int
    name: str
    """Standard name, or the number in hexadecimal (``0xc4a5``) when nobody defined one."""
    type: int
    count: int
    raw: bytes
    sha256: bytes | None = None
    broken: str | None = None

    @property
    def type_name(self) -> str:
        return TAG_TYPES[self.type][0] if self.type in TAG_TYPES else str(self.type)

    @property
    def value(self) -> list[Any]:
        """The value as JSON can hold it: numbers, ``[numerator, denominator]`` pairs, or strings.

        ASCII gives one string for each NUL-terminated part; bytes that are not UTF-8 are read as Latin-1.
        """
        return tag_value(self.type, self.raw)


def tag_value(type_code: int, raw: bytes) -> list[Any]:
    """Decode a tag's little-endian bytes into a list (see ``Tag.value``). Never raises."""
    if type_code not in TAG_TYPES:
        return list(raw)
    _, letter, size = TAG_TYPES[type_code]
    if letter == "s":
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError:
            text = raw.decode("latin-1")
        return text[:-1].split("\0") if text.endswith("\0") else text.split("\0") if text else []
    whole = len(raw) // size * size
    if type_code in (5, 10):
        flat = struct.unpack(f"<{whole // 4}{letter}", raw[:whole])
        return [[flat[i], flat[i + 1]] for i in range(0, len(flat), 2)]
    return list(struct.unpack(f"<{whole // size}{letter}", raw[:whole]))


@dataclass(frozen=True, slots=True)
class Ifd:
    """One image file directory; Exif, GPS and Interop are IFDs like any other. ``parent`` is an index."""

    index: int
    kind: IfdKind
    parent: int | None
    tags: tuple[Tag, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """How the payload is laid out, and what lies beside it: everything that may change while each sample stays.

    Fields that a container does not have are None. ``rest`` is a hex digest over the layouts of the
    further pages, so that two layouts are equal only when all pages' are.
    """

    container: str
    """``TIFF``, ``BigTIFF``, ``PNG``, ``JPEG`` …"""
    compression: str | None = None
    """In words: ``none``, ``LZW``, ``Deflate``, ``PackBits``, ``JPEG``, ``CCITT G4`` …"""
    byte_order: str | None = None
    """``little`` or ``big``."""
    predictor: int | None = None
    planar: str | None = None
    """``contiguous`` or ``separate``."""
    segments: int | None = None
    """Number of strips or tiles."""
    rows_per_strip: int | None = None
    """None when the image is tiled."""
    tile_width: int | None = None
    tile_height: int | None = None
    fill_order: int | None = None
    interlaced: bool | None = None
    """PNG Adam7, interlaced GIF, progressive JPEG."""
    subsampling: str | None = None
    """JPEG: ``4:2:0`` …"""
    rest: str | None = None
    trailing: int | None = None
    """Bytes after the end of the image (JPEG, PNG); None for none."""
    beside: str | None = None
    """What stands beside the picture and is no tag, in words: ``comment, XMP``; None for nothing."""


class PageRole(StrEnum):
    PAGE = "page"
    THUMBNAIL = "thumbnail"
    MASK = "mask"
    SUBIFD = "subifd"
    FRAME = "frame"


@dataclass(frozen=True, slots=True)
class Page:
    """One image of a file. Digests are None where this page did not decode."""

    index: int
    role: PageRole
    width: int
    height: int
    model: str
    dtype: str
    channels: int
    pixels: bytes | None = None
    view: bytes | None = None


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What the header says (never what a decoder returned). Sizes are stored pixels, before orientation."""

    format: str
    """``TIFF``, ``PNG``, ``JPEG``, ``GIF``, ``BMP``, ``WEBP`` …"""
    width: int
    height: int
    frames: int
    """Pages or animation frames that belong to the picture."""
    model: str
    """``gray rgb rgba cmyk lab …`` as in docs/pixel-checksum.md."""
    dtype: str
    """``u8 u16 i16 f32 …`` with the declared bits."""
    channels: int
    orientation: int
    """1-8 as in TIFF tag 274; 1 when absent or out of range."""
    icc_sha256: bytes | None = None


@dataclass(frozen=True, slots=True)
class Loaders:
    """The three loader checksums: evidence of one loader at one version, never an identity.

    Each is an md5 (16 bytes) or None; the reasons for None are in ``errors`` (field name -> words).
    """

    cv2_imread_md5: bytes | None = None
    pillow_tobytes_md5: bytes | None = None
    pillow_save_md5: bytes | None = None
    errors: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Analysis:
    """Everything that is a function of the bytes and of the decoders: facts, digests, tags.

    ``pixels`` and ``view`` are SHA-256 (32 bytes); what they prove is ``fidelity``, and ``reason`` says in
    plain words why it is not ``exact`` or ``decoder``. ``payload`` is independent of the decoders.
    """

    fidelity: Fidelity
    reason: str | None
    pixels: bytes | None = None
    view: bytes | None = None
    payload: bytes | None = None
    payload_reason: str | None = None
    image: ImageFacts | None = None
    layout: Layout | None = None
    pages: tuple[Page, ...] = ()
    """All images of the file in order; empty when nothing is known of them."""
    ifds: tuple[Ifd, ...] = ()
    loaders: Loaders | None = None
    complaints: tuple[str, ...] = ()
    """What decoders said on fd 2 or in their logs."""
    near: bytes | None = None
    """``dct256-v1`` of the first image (32 bytes): what it looks like from afar, never an identity."""


@dataclass(frozen=True, slots=True)
class Toolchain:
    """The decoders of this machine. ``epoch`` is the digest of what they make of the canary images."""

    spec: int
    epoch: bytes
    components: tuple[tuple[str, str], ...]
    """(library, version), sorted."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one file may cost a decode worker."""

    decode_pixels: int = 178_956_970
    """Pixels of one image that are decoded; Pillow's own bomb limit."""
    decode_bytes: int = 1 << 30
    """Largest file that is held in memory and decoded; larger ones are hashed in a stream and recorded
    ``unverified``."""
    memory_bytes: int = 4 << 30
    """RLIMIT_AS of a worker."""
    seconds: float = 120.0
    """Time for one file in one phase, by the parent's clock."""

    @property
    def _settings(self) -> dict[str, float]:
        return {
            "decode_limit_pixels": self.decode_pixels,
            "decode_limit_bytes": self.decode_bytes,
            "worker_memory_bytes": self.memory_bytes,
            "decode_seconds": self.seconds,
        }

    def too_large(self, setting: str, needed: int) -> str | None:
        """Why a file that needs so much of a setting is not decoded; None when it may be."""
        return f"too large: raise {setting} to {needed}" if needed > self._settings[setting] else None

    def exhausted(self, what: str, setting: str) -> str:
        """Why a file was given up that took all that a setting allows, and nobody knows how much it needs."""
        return f"{what}: raise {setting} above {self._settings[setting]:.15g}"

    def lifted(self, reason: str | None) -> bool:
        """Whether the limit at which a file was given up, for this reason, is higher by now."""
        found = _LIMIT_NAMED.search(reason or "")
        if found is None or found[1] not in self._settings:
            return False
        limit, noted = self._settings[found[1]], float(found[3]) if "." in found[3] else int(found[3])
        return limit >= noted if found[2] == "to" else limit > noted


_LIMIT_NAMED: Final = re.compile(r": raise ([a-z_]+) (to|above) ([0-9]+(?:\.[0-9]+)?)(?![0-9.])")


# -------------------------------------------------------------------------------------------- the stages


class Reason(StrEnum):
    """Why a path is to be inspected."""

    NEW = "new"
    ALTERED = "altered"
    EVENT = "event"
    RETRY = "retry"
    REQUEST = "request"


@dataclass(frozen=True, slots=True)
class Change:
    """One coalesced hint: look at this path (watch → backlog). The disk is the truth, not the hint."""

    root_id: int
    path: bytes
    """Relative to the root, no leading slash."""
    reason: Reason
    subtree: bool = False
    """Look at everything below, too (directory events)."""


@dataclass(frozen=True, slots=True)
class Job:
    """One path for inspection (backlog → inspection)."""

    root_id: int
    path: bytes
    """Relative to the root."""
    size_hint: int
    """From the walk; decides how files are batched, nothing else."""
    decode: bool = True
    """False for files that ``--include`` added: raw checksums only."""
    generation: int = 0
    """Of the durable queue's row; 0 for a walk, which needs no row (it would find the file again)."""
    attempts: int = 0
    uncached: bool = False
    """Drop the file from the page cache first: what the disk holds is in question, not what the RAM holds."""
    check: bool = False
    """The sha256 alone is wanted, to be compared with the record: no md5, nothing is kept or decoded."""


class FailureKind(StrEnum):
    GONE = "gone"
    """Vanished, or no longer a regular file, between the hint and the look."""
    MOVING = "moving"
    """Changed while it was read: thrown away, to be tried again."""
    UNREADABLE = "unreadable"
    """open or read failed, with errno."""


@dataclass(frozen=True, slots=True)
class Failure:
    kind: FailureKind
    reason: str
    errno: int | None = None


@dataclass(frozen=True, slots=True)
class Inspection:
    """One complete look at one file (inspection → record).

    Exactly one of these holds: ``failure`` is set (nothing is known of the bytes) or ``sha256`` and ``md5``
    are set (a ``job.check`` has no md5). ``analysis`` is None when the parent knew the content already or
    ``job.decode`` was False.
    A decoder's crash, hang or bomb is an ``analysis`` of fidelity undecodable with the reason.
    """

    job: Job
    stat: Stat | None
    sha256: bytes | None = None
    md5: bytes | None = None
    analysis: Analysis | None = None
    failure: Failure | None = None
    started_ms: int = 0
    seconds: float = 0.0


# ------------------------------------------------------------------------------------------------- drift


@dataclass(frozen=True, slots=True)
class Evidence:
    """One side of a comparison: all that a verdict may use of one content state.

    ``state`` is ``ok`` (with content), ``undecodable`` (content without samples), ``missing`` or
    ``unreadable`` (no content). ``epoch`` is that of the analysis.
    """

    state: str
    size: int | None = None
    sha256: bytes | None = None
    analysis: Analysis | None = None
    epoch: bytes | None = None
    reason: str | None = None
    """Why missing, unreadable or undecodable."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What changed, how, and why. ``kind`` None: no drift (the contents are equal)."""

    kind: Kind | None
    manner: Manner
    severity: Severity
    reasons: tuple[str, ...]
    """Plain sentences, the most important first; ``"; ".join`` reads well."""
    same: tuple[tuple[str, bool | None], ...] = ()
    """(level, True | False | None = cannot tell) for bytes, payload, pixels, view."""
    tags: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """``added removed changed`` as in ``compare --json``."""


# ------------------------------------------------------------------------------------------- small habits


def iso(ms: int | None) -> str | None:
    """RFC 3339 UTC with milliseconds, from catalogue milliseconds."""
    if ms is None:
        return None
    moment = datetime.fromtimestamp(ms / 1000, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{ms % 1000:03d}Z"


def iso_ns(ns: int | None) -> str | None:
    """RFC 3339 UTC with nanoseconds, from file system nanoseconds (before 1970 and after 9999 too)."""
    if ns is None:
        return None
    seconds, rest = divmod(ns, 1_000_000_000)
    try:
        moment = datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return f"@{seconds}.{rest:09d}"
    return f"{moment.year:04d}" + moment.strftime("-%m-%dT%H:%M:%S.") + f"{rest:09d}Z"


def printable(path: bytes | str) -> str:
    """A path that may reach a terminal: control characters and bytes that are not UTF-8 are escaped."""
    text = path.decode("utf-8", "backslashreplace") if isinstance(path, bytes) else path
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def quoted(path: bytes | str) -> str:
    """A path or a name in a command that is to be copied from our words: quoted where a shell needs it."""
    return shlex.quote(printable(path))


def path_fields(path: bytes, name: str = "path") -> dict[str, str]:
    """JSON fields of a path: ``path``, and ``path_b64`` when it is not valid UTF-8."""
    try:
        return {name: path.decode("utf-8")}
    except UnicodeDecodeError:
        return {
            name: path.decode("utf-8", "backslashreplace"),
            f"{name}_b64": base64.b64encode(path).decode("ascii"),
        }


def counted(number: int, singular: str, plural: str | None = None) -> str:
    """``1 file``, ``1,204 files``."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def human_size(size: float) -> str:
    """``741 kB`` as curators read sizes (powers of 1000)."""
    if size < 1000:
        return f"{int(size)} B"
    for unit in ("kB", "MB", "GB", "TB"):
        size /= 1000
        if size < 999.5 or unit == "TB":
            return f"{size:.0f} {unit}" if size >= 99.95 else f"{size:.1f} {unit}"
    raise AssertionError("unreachable")


def joined(words: Iterable[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    listed = list(words)
    return " and ".join([", ".join(listed[:-1]), listed[-1]]) if len(listed) > 1 else "".join(listed)
