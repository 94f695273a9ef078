"""The language between the pool and its decode workers: frames on a pipe, and terms values inside them.

A frame is ``<IB`` (length of the payload, kind) and the payload. Nothing is ever unpickled: a worker handles
hostile bytes, so the parent reads fixed structs, checked JSON and length-prefixed strings, and every fault in
them is a ``BadFrame``. Numbers are little-endian. Both sides run the same version (``HELLO`` proves it).

========  ================  =========================================================
SETUP     parent → worker   JSON: limits, analyser, what to compute
HELLO     worker → parent   JSON: toolchain, marks of the installation
JOBS      parent → worker   paths to look at
LOOKS     worker → parent   phase 1: stat and message digests, or the failure
ANSWER    parent → worker   which of the looks are to be decoded
FACTS     worker → parent   phase 2: one analysis per wanted look
TASK      parent → worker   JSON: a one-off question
RESULT    worker → parent   JSON and bytes: its answer
========  ================  =========================================================
"""

from __future__ import annotations

import json
import struct
from array import array
from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import Any, Final

from catalog.terms import Failure, FailureKind, Stat, Toolchain, printable

FRAME_LIMIT: Final = 256 << 20
"""Bytes of the longest frame that is believed."""


class Frame(IntEnum):
    SETUP = 1
    HELLO = 2
    JOBS = 3
    LOOKS = 4
    ANSWER = 5
    FACTS = 6
    TASK = 7
    RESULT = 8


class Phase(IntEnum):
    """What a worker does at this moment, as its slot says."""

    IDLE = 0
    READING = 1
    DECODING = 2
    UNFIT = 3
    """The worker itself is broken (a library is missing); no file is to blame."""


SLOT: Final = struct.Struct("<QQIId")
"""The announcement in shared memory: sequence, job, phase, the sequence's low half again, monotonic time."""


class BadFrame(ValueError):
    """The other side does not speak this language: it is broken, or no longer itself."""


# ---------------------------------------------------------------------------------------------------- frames

_HEADER = struct.Struct("<IB")


def frame(kind: Frame, payload: bytes) -> bytes:
    """One frame, ready to be written."""
    return _HEADER.pack(len(payload), kind) + payload


class FrameReader:
    """Cuts a byte stream into frames, whatever the sizes of the pieces it comes in."""

    __slots__ = ("_pending",)

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, piece: bytes) -> Iterator[tuple[Frame, bytes]]:
        """The frames that are complete with this piece. Raises BadFrame."""
        pending = self._pending
        pending += piece
        start = 0
        try:
            while len(pending) - start >= _HEADER.size:
                length, kind = _HEADER.unpack_from(pending, start)
                if length > FRAME_LIMIT:
                    raise BadFrame(f"a frame of {length} bytes")
                end = start + _HEADER.size + length
                if len(pending) < end:
                    break
                payload = bytes(memoryview(pending)[start + _HEADER.size : end])
                start = end
                yield _known_kind(kind), payload
        finally:
            del pending[:start]


def _known_kind(kind: int) -> Frame:
    try:
        return Frame(kind)
    except ValueError:
        raise BadFrame(f"frame kind {kind}") from None


_encode_json = json.JSONEncoder(separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode


def encode_json(value: Any) -> bytes:
    return _encode_json(value).encode("ascii")


def decode_json(payload: bytes) -> Any:
    """Raises BadFrame."""
    try:
        return json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise BadFrame(f"not JSON: {error}") from error


def clean(text: str) -> str:
    """Text that any UTF-8 sink takes: lone surrogates are escaped."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
    return text


def encode_hello(toolchain: Toolchain | None, mark: str, landlock: int | None) -> bytes:
    """A worker's first words: its decoders (if asked), the mark of its installation, the Landlock ABI."""
    told = [toolchain.spec, toolchain.epoch.hex(), toolchain.components] if toolchain else None
    return encode_json([told, mark, landlock])


def decode_hello(payload: bytes) -> tuple[Toolchain | None, str, int | None]:
    """Raises BadFrame."""
    try:
        told, mark, landlock = decode_json(payload)
        toolchain = None
        if told:
            spec, epoch, components = told
            pairs = tuple((str(name), str(version)) for name, version in components)
            toolchain = Toolchain(_checked(spec, int), bytes.fromhex(epoch), pairs)
        return toolchain, _checked(mark, str), _checked(landlock, int, type(None))
    except (TypeError, ValueError) as error:
        raise BadFrame(f"hello: {error}") from error


def spoken_lines(said: bytes) -> tuple[str, ...]:
    """What a decoder said: each line once, printable, of at most 300 characters."""
    lines = (line.strip() for line in said.decode("utf-8", "replace").splitlines())
    return tuple(dict.fromkeys(printable(line[:300]) for line in lines if line))


# ------------------------------------------------------------------------------------------------------ jobs

_JOBS_HEAD = struct.Struct("<II")
_JOB = struct.Struct("<QHBI")

DECODE = 1
"""Job flag: a decode may be wanted, not only the digests."""
UNCACHED = 2
"""Job flag: read from the disk, not from the page cache."""
CHECK = 4
"""Job flag: the sha256 alone, to be compared; the md5 of its look is zeros."""

JobLine = tuple[int, int, int, bytes]
"""Identifier, index into the roots, flags, path relative to that root."""


def encode_jobs(roots: Sequence[bytes], jobs: Sequence[JobLine]) -> bytes:
    pack = _JOB.pack
    return b"".join(
        [
            _JOBS_HEAD.pack(len(roots), len(jobs)),
            *[struct.pack("<I", len(root)) + root for root in roots],
            *[pack(number, root, flags, len(path)) for number, root, flags, path in jobs],
            *[job[3] for job in jobs],
        ]
    )


def decode_jobs(payload: bytes) -> list[tuple[int, bytes, int, bytes]]:
    """(identifier, absolute root, flags, relative path) in order. Raises BadFrame."""
    try:
        root_count, job_count = _JOBS_HEAD.unpack_from(payload)
        at = _JOBS_HEAD.size
        roots = []
        for _ in range(root_count):
            (length,) = struct.unpack_from("<I", payload, at)
            roots.append(payload[at + 4 : at + 4 + length])
            at += 4 + length
        path_at = at + job_count * _JOB.size
        jobs = []
        for number, root, flags, length in _JOB.iter_unpack(payload[at:path_at]):
            jobs.append((number, roots[root], flags, payload[path_at : path_at + length]))
            path_at += length
    except (struct.error, IndexError) as error:
        raise BadFrame(f"jobs: {error}") from error
    if path_at != len(payload) or len(jobs) != job_count:
        raise BadFrame("jobs: wrong length")
    return jobs


# ----------------------------------------------------------------------------------------------------- looks

Look = tuple[int, Stat | None, bytes, bytes, Failure | None, int, float]
"""Identifier, stat, sha256, md5, failure, started (ms UTC), seconds; without stat exactly if it failed."""

_LOOK = struct.Struct("<QBqqqQQQq32s16sqd")
_COUNT = struct.Struct("<I")
_FAILURES = tuple(FailureKind)
_WORD = 1 << 63
_NONE_32, _NONE_16 = bytes(32), bytes(16)


def encode_looks(looks: Sequence[Look]) -> bytes:
    """Fixed records, and a JSON tail for what does not fit: words of failures, times beyond 64 bits."""
    records = [_COUNT.pack(len(looks))]
    tail: list[list[Any]] = []
    pack = _LOOK.pack
    for index, (number, stat, sha256, md5, failure, started_ms, seconds) in enumerate(looks):
        if stat is None:
            assert failure is not None
            tail.append([index, failure.reason, failure.errno])
            status = 1 + _FAILURES.index(failure.kind)
            records.append(pack(number, status, 0, 0, 0, 0, 0, 0, 0, _NONE_32, _NONE_16, started_ms, seconds))
            continue
        mtime, ctime = stat.mtime_ns, stat.ctime_ns
        if not (-_WORD <= mtime < _WORD and -_WORD <= ctime < _WORD):
            tail.append([index, mtime, ctime])  # after the year 2262: some file systems store it
            mtime = ctime = 0
        records.append(
            pack(
                number,
                0,
                stat.size,
                mtime,
                ctime,
                stat.inode,
                stat.dev,
                stat.nlink,
                stat.allocated,
                sha256,
                md5,
                started_ms,
                seconds,
            )
        )
    if tail:
        records.append(encode_json(tail))
    return b"".join(records)


def decode_looks(payload: bytes) -> list[Look]:
    """The looks in order. Raises BadFrame."""
    try:
        (count,) = _COUNT.unpack_from(payload)
        end = _COUNT.size + count * _LOOK.size
        if end > len(payload):
            raise BadFrame("looks: cut short")
        looks: list[Look] = []
        odd = []
        for index, record in enumerate(_LOOK.iter_unpack(payload[_COUNT.size : end])):
            number, status, size, mtime, ctime, inode, dev, nlink, allocated, sha, md5, started, secs = record
            if status:
                odd.append((index, _FAILURES[status - 1]))
                looks.append((number, None, sha, md5, None, started, secs))
            else:
                stat = Stat(size, mtime, ctime, inode, dev, nlink, allocated)
                looks.append((number, stat, sha, md5, None, started, secs))
        if end < len(payload):
            _apply_tail(looks, dict(odd), decode_json(payload[end:]))
        elif odd:
            raise BadFrame("looks: a failure without words")
    except (struct.error, IndexError, KeyError, TypeError, ValueError) as error:
        raise BadFrame(f"looks: {error}") from error
    return looks


def _apply_tail(looks: list[Look], failed: dict[int, FailureKind], tail: list[list[Any]]) -> None:
    for index, first, second in tail:
        number, stat, sha256, md5, _, started, seconds = looks[index]
        if stat is None:
            reason = _checked(first, str)
            failure = Failure(failed.pop(index), clean(reason), _checked(second, int, type(None)))
            looks[index] = (number, None, sha256, md5, failure, started, seconds)
        else:
            times = (_checked(first, int), _checked(second, int))
            stat = Stat(stat.size, *times, stat.inode, stat.dev, stat.nlink, stat.allocated)
            looks[index] = (number, stat, sha256, md5, None, started, seconds)
    if failed:
        raise BadFrame("looks: a failure without words")


def _checked(value: Any, *kinds: type) -> Any:
    if not isinstance(value, kinds):
        raise BadFrame(f"{type(value).__name__} in place of {kinds[0].__name__}")
    return value


# ----------------------------------------------------------------------------------------- answers and facts

_FACT = struct.Struct("<QdI")


def encode_answer(wanted: Sequence[int], dropped: Sequence[int]) -> bytes:
    """Of the looks: the identifiers to decode, in this order, and those whose bytes may be forgotten."""
    return _COUNT.pack(len(wanted)) + array("Q", [*wanted, *dropped]).tobytes()


def decode_answer(payload: bytes) -> tuple[list[int], list[int]]:
    """(wanted, dropped). Raises BadFrame."""
    try:
        (count,) = _COUNT.unpack_from(payload)
        numbers = array("Q", payload[_COUNT.size :]).tolist()
    except (struct.error, ValueError) as error:
        raise BadFrame(f"answer: {error}") from error
    if count > len(numbers):
        raise BadFrame("answer: cut short")
    return numbers[:count], numbers[count:]


def encode_fact(number: int, seconds: float, analysis: bytes) -> bytes:
    """One entry of a FACTS frame: identifier, seconds of phase 2, the encoded analysis."""
    return _FACT.pack(number, seconds, len(analysis)) + analysis


def decode_facts(payload: bytes) -> Iterator[tuple[int, float, bytes]]:
    """(identifier, seconds, encoded analysis) in order. Raises BadFrame."""
    at = 0
    while at < len(payload):
        try:
            number, seconds, length = _FACT.unpack_from(payload, at)
        except struct.error as error:
            raise BadFrame(f"facts: {error}") from error
        at += _FACT.size
        yield number, seconds, payload[at : at + length]
        at += length
    if at != len(payload):
        raise BadFrame("facts: cut short")


# --------------------------------------------------------------------------------------- answers to a task


def encode_result(document: Any, body: bytes = b"") -> bytes:
    """A RESULT: a JSON document and raw bytes."""
    text = encode_json(document)
    return _COUNT.pack(len(text)) + text + body


def decode_result(payload: bytes) -> tuple[Any, bytes]:
    """(document, raw bytes). Raises BadFrame."""
    try:
        (length,) = _COUNT.unpack_from(payload)
    except struct.error as error:
        raise BadFrame(f"result: {error}") from error
    return decode_json(payload[_COUNT.size : _COUNT.size + length]), payload[_COUNT.size + length :]
