"""The decode worker: ``python -E -s -m catalog.pixels.worker SLOT_FD``, spoken to in frames (wire.py).

It handles hostile bytes, so it may crash, hang or eat memory at any file: before each phase of each file it
writes into its slot of shared memory which one it is, and the parent reads that when it has to bury it.
Descriptor 2 is a memfd of the parent's: what decoders say there are complaints, and after a death the last
words. Descriptors 0 and 1 lead nowhere, so that a stray print cannot break a frame. The worker ends when its
input closes, and the kernel ends it when the parent dies.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":
    # `-m` puts the start folder first: it finds this package, but must not come before the standard library.
    sys.path.append(sys.path.pop(0))

import contextlib
import ctypes
import faulthandler
import gc
import hashlib
import importlib
import importlib.util
import io
import mmap
import os
import resource
import select
import signal
import time
import traceback
import warnings
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any, Final, NoReturn

from catalog import terms
from catalog.pixels import wire
from catalog.pixels.analysis_wire import encode_analysis
from catalog.pixels.reading import Reader, Reading
from catalog.pixels.wire import Frame, Phase
from catalog.sandbox import restrict_writes
from catalog.terms import Analysis, Failure, Fidelity, Limits, Toolchain, human_size

HELD_LIMIT: Final = 16 << 20
"""Bytes that wait for the parent's answer before no further file is read."""
LOOKS_BYTES: Final = 4 << 20
SEND_SECONDS: Final = 0.02
"""Results wait no longer than this for their frame to fill."""
WORDS_LIMIT: Final = 1 << 20
"""Bytes of descriptor 2's memfd (RLIMIT_FSIZE); beyond that writes fail and nobody minds."""
COMPLAINT_BYTES: Final = 32 << 10

_PR_SET_PDEATHSIG: Final = 1
_DECODERS: Final = ("PIL", "cv2", "imagecodecs", "numpy", "pillow_heif", "tifffile")


class Announcer:
    """Writes this worker's slot: which file, which phase. 0.3 µs, against 28 µs for a message on a pipe."""

    def __init__(self, descriptor: int) -> None:
        self._memory = mmap.mmap(descriptor, wire.SLOT.size)
        self._sequence = 0
        self._job = 0
        self._phase = 0

    def __call__(self, job: int, phase: int) -> None:
        self._job = job
        self._phase = phase
        self._sequence = sequence = self._sequence + 1
        wire.SLOT.pack_into(self._memory, 0, sequence, job, phase, sequence & 0xFFFFFFFF, time.monotonic())

    def pulse(self) -> None:
        """The same file and phase, but not the same moment: it makes progress."""
        self(self._job, self._phase)


class Complaints:
    """What was said on descriptor 2 since ``begin``. Costs one lseek a file as long as nobody speaks."""

    def begin(self) -> None:
        if os.lseek(2, 0, os.SEEK_END):
            os.ftruncate(2, 0)
            os.lseek(2, 0, os.SEEK_SET)

    def __call__(self) -> tuple[str, ...]:
        """Each line once, control characters escaped; the last line tells if there was more."""
        size = os.lseek(2, 0, os.SEEK_END)
        if not size:
            return ()
        lines = wire.spoken_lines(os.pread(2, min(size, COMPLAINT_BYTES), 0))
        if size > COMPLAINT_BYTES:
            lines += (f"and {size - COMPLAINT_BYTES:,} bytes more",)
        return lines


class Voice(io.RawIOBase):
    """Descriptor 2 for Python code: unbuffered, so that nothing is said late, in the time of another file;
    and what does not fit any more is lost, not raised."""

    def writable(self) -> bool:
        return True

    def write(self, said: Any) -> int:
        with contextlib.suppress(OSError):
            os.write(2, said)
        return len(said)


class Worker:
    """The loop: answers first, then new looks, so that bytes are held no longer than needed."""

    def __init__(self, source: int, sink: int, announce: Announcer) -> None:
        self._source = source
        self._sink = sink
        self._announce = announce
        self._complaints = Complaints()
        self._frames = wire.FrameReader()
        self._poll = select.poll()
        self._poll.register(source, select.POLLIN)
        self._jobs: deque[tuple[int, bytes, int, bytes]] = deque()
        self._wanted: deque[int] = deque()
        self._held: dict[int, bytes | str] = {}  # the bytes, or why they are not kept
        self._held_bytes = 0

    def run(self) -> None:
        """Serve until the input closes."""
        kind, payload = self._first_frame()
        if kind is not Frame.SETUP:
            raise wire.BadFrame(f"{kind.name} before SETUP")
        self._set_up(wire.decode_json(payload))
        while True:
            room = self._held_bytes < HELD_LIMIT
            self._receive(wait=not self._wanted and not (self._jobs and room))
            if self._wanted:
                self._decode()
            elif self._jobs and room:
                self._look()

    # ------------------------------------------------------------------------------------------- starting

    def _first_frame(self) -> tuple[Frame, bytes]:
        # Piece by piece: JOBS may follow in the same pipe, and belong to the loop.
        while True:
            for found in self._frames.feed(os.read(self._source, 65536) or _leave()):
                return found

    def _set_up(self, setup: dict[str, Any]) -> None:
        self._limits = Limits(**setup["limits"])
        self._options = {"loaders": setup["loaders"], "full_values": setup["full_values"]}
        self._reader = Reader(self._limits, self._announce.pulse, follow_links=setup["follow_links"])
        sys.path += setup["python_path"]
        resource.setrlimit(resource.RLIMIT_AS, (self._limits.memory_bytes, self._limits.memory_bytes))
        module_name, _, function = setup["analyser"].partition(":")
        module = importlib.import_module(module_name)
        self._analyse: Callable[..., Analysis] = getattr(module, function)
        toolchain: Toolchain | None = None
        if setup["toolchain"]:
            toolchain = (getattr(module, "toolchain", None) or _canary_toolchain())()
        # After the imports, so that their bytecode can be cached; before the first byte of a stranger.
        abi = restrict_writes()
        gc.collect()
        gc.freeze()
        gc.set_threshold(20_000, 50, 50)
        self._send(Frame.HELLO, wire.encode_hello(toolchain, installation_mark(module), abi))

    # -------------------------------------------------------------------------------------------- frames

    def _receive(self, *, wait: bool) -> None:
        if not wait and not self._poll.poll(0):
            return
        for kind, payload in self._frames.feed(os.read(self._source, 1 << 16) or _leave()):
            if kind is Frame.JOBS:
                self._jobs.extend(wire.decode_jobs(payload))
            elif kind is Frame.ANSWER:
                wanted, dropped = wire.decode_answer(payload)
                self._wanted.extend(wanted)
                for number in dropped:
                    self._forget(number)
            elif kind is Frame.TASK:
                self._perform(wire.decode_json(payload))
            else:
                raise wire.BadFrame(f"{kind.name} is not for a worker")

    def _send(self, kind: Frame, payload: bytes) -> None:
        view = memoryview(wire.frame(kind, payload))
        while view:
            view = view[os.write(self._sink, view) :]

    def _forget(self, number: int) -> bytes | str:
        body = self._held.pop(number)
        self._held_bytes -= len(body)
        return body

    # -------------------------------------------------------------------------------------------- phase 1

    def _look(self) -> None:
        """Read the next files, until a frame's worth of looks is taken."""
        looks: list[wire.Look] = []
        taken = 0
        announce, reading = self._announce, int(Phase.READING)
        begun = time.perf_counter()
        now = begun
        while self._jobs and len(looks) < 64 and taken < LOOKS_BYTES:
            number, root, flags, path = self._jobs.popleft()
            decode = bool(flags & wire.DECODE)
            announce(number, reading)
            started_ms = time.time_ns() // 1_000_000
            before = now
            found = self._reader.read(
                root,
                path,
                decode,
                uncached=bool(flags & wire.UNCACHED),
                check=bool(flags & wire.CHECK),
            )
            now = time.perf_counter()
            if isinstance(found, Failure):
                looks.append((number, None, b"", b"", found, started_ms, now - before))
            else:
                looks.append((number, found.stat, found.sha256, found.md5, None, started_ms, now - before))
                if decode:
                    taken += self._hold(number, found)
            if now - begun > SEND_SECONDS:
                break
        self._announce(0, Phase.IDLE)
        if not self._jobs:
            self._reader.release()
        self._send(Frame.LOOKS, wire.encode_looks(looks))

    def _hold(self, number: int, found: Reading) -> int:
        body = found.unkept if found.body is None else found.body
        self._held[number] = body
        self._held_bytes += len(body)
        return len(body)

    # -------------------------------------------------------------------------------------------- phase 2

    def _decode(self) -> None:
        """Analyse what was answered for, until it is time to send."""
        facts: list[bytes] = []
        size = 0
        begun = time.perf_counter()
        now = begun
        announce, decoding = self._announce, int(Phase.DECODING)
        while self._wanted:
            number = self._wanted.popleft()
            announce(number, decoding)
            before = now
            encoded = self._analysis_of(self._forget(number))
            now = time.perf_counter()
            facts.append(wire.encode_fact(number, now - before, encoded))
            size += len(encoded)
            if now - begun > SEND_SECONDS or size > LOOKS_BYTES:
                break
        self._announce(0, Phase.IDLE)
        self._send(Frame.FACTS, b"".join(facts))

    def _analysis_of(self, body: bytes | str) -> bytes:
        """The encoded analysis; what a decoder raises is a fact about this file."""
        if isinstance(body, str):
            return encode_analysis(Analysis(Fidelity.UNVERIFIED, body))
        self._complaints.begin()
        try:
            analysis = self._analyse(body, limits=self._limits, complaints=self._complaints, **self._options)
            encoded = encode_analysis(analysis)
            if len(encoded) > wire.FRAME_LIMIT // 4:
                encoded = encode_analysis(
                    replace(analysis, ifds=(), complaints=(*analysis.complaints, "tags left out: too large"))
                )
        except MemoryError:
            limit = human_size(self._limits.memory_bytes)
            words = self._limits.exhausted(
                f"needs more memory than the limit of {limit}", "worker_memory_bytes"
            )
        except ModuleNotFoundError:
            # A library that is not installed is no fact about a file.
            self._announce(0, Phase.UNFIT)
            raise
        except Exception as error:  # noqa: BLE001  hostile headers raise anything inside a decoder
            words = f"the decoder failed: {type(error).__name__}: {error}"[:500]
            traceback.print_exc()
        else:
            return encoded
        gc.collect()
        return encode_analysis(Analysis(Fidelity.UNDECODABLE, words, complaints=self._complaints()))

    # ---------------------------------------------------------------------------------------------- tasks

    def _perform(self, task: dict[str, Any]) -> None:
        """A one-off question on several files (tasks.py)."""
        from catalog.pixels.tasks import perform

        self._announce(1, Phase.DECODING)
        document, body = perform(task, self._reader, self._limits)
        self._reader.release()
        self._announce(0, Phase.IDLE)
        self._send(Frame.RESULT, wire.encode_result(document, body))


def _canary_toolchain() -> Callable[[], Toolchain]:
    from catalog.pixels.epoch import toolchain

    return toolchain


def installation_mark(analyser: ModuleType) -> str:
    """A digest over the files of this program and of the decoders, by stat.

    An upgrade under a running daemon replaces them: workers that start later would decode with other
    libraries than the epoch says, or speak another language than the parent.
    """
    folders = {os.path.dirname(os.path.abspath(str(m.__file__))) for m in (terms, wire, analyser)}
    files = [e.path for f in folders for e in os.scandir(f) if e.name.endswith(".py")]
    specs = [importlib.util.find_spec(name) for name in _DECODERS]
    files += [spec.origin for spec in specs if spec and spec.origin]
    digest = hashlib.sha256()
    for path in sorted(files):
        found = os.stat(path)
        digest.update(f"{path} {found.st_ino} {found.st_size} {found.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _leave() -> NoReturn:
    """The input closed: nobody waits for anything. No interpreter shutdown, libraries' exit code included."""
    os._exit(0)


def main() -> None:
    announce = Announcer(int(sys.argv[1]))
    parent = int(sys.argv[2])
    os.close(int(sys.argv[1]))
    source = os.dup(0)  # not inheritable, and out of the way of anybody who reads or prints
    sink = os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0, inheritable=False)
    os.dup2(nowhere, 1, inheritable=False)
    os.close(nowhere)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        _leave()
    faulthandler.enable(2, all_threads=False)
    sys.stderr = io.TextIOWrapper(Voice(), "utf-8", "backslashreplace", write_through=True)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (WORDS_LIMIT, WORDS_LIMIT))
    # Python shows a warning once per place: the second file would be judged otherwise than the first.
    warnings.simplefilter("ignore")
    try:
        Worker(source, sink, announce).run()
    except BrokenPipeError:
        _leave()


if __name__ == "__main__":
    main()
