"""A FUSE file system of our own: the files of a folder, read-only, with errors and hangs on demand.

    python -m tests.kernel.faulty_share FOLDER MOUNTPOINT RULES

Speaks the kernel's protocol (linux/fuse.h, 7.31) over /dev/fuse, so that it needs no library. Nothing is cached: what
changes in FOLDER is seen at once, and makes no event. RULES is a JSON file, read again with each request::

    [{"op": "read", "match": "bad.tif", "errno": 5}, {"op": "readdir", "match": "shut", "hang": true}]

``op``: lookup, getattr, open, read, readdir, or any; ``match``: a part of the path ("" is every path).
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.mounting import not_here

CHECKOUT = Path(__file__).resolve().parents[2]
REQUEST = struct.Struct("<IIQQIIIHH")
REPLY = struct.Struct("<IiQ")
ATTRIBUTES = struct.Struct("<QQQQQQIIIIIIIIII")
DIRECT_IO = 1
MS_RDONLY, MS_NOSUID, MS_NODEV = 1, 2, 4
SILENT = frozenset((2, 36, 42))
"""FORGET, INTERRUPT and BATCH_FORGET have no answer."""


class Server:
    """Answers the requests of one mount until it is unmounted."""

    def __init__(self, folder: bytes, rules: Path) -> None:
        self._folder = folder
        self._rules = rules
        self._paths = {1: b""}
        self._nodes = {b"": 1}
        self._write = threading.Lock()
        self._answers: dict[int, tuple[str, Callable[[int, bytes], bytes]]] = {
            1: ("lookup", self._lookup),
            3: ("getattr", self._getattr),
            14: ("open", lambda node, body: struct.pack("<QII", 0, DIRECT_IO, 0)),
            15: ("read", self._read),
            17: (
                "statfs",
                lambda node, body: struct.pack("<QQQQQIIII24x", 1, 0, 0, 1, 0, 4096, 255, 4096, 0),
            ),
            18: ("release", lambda node, body: b""),
            25: ("flush", lambda node, body: b""),
            26: (
                "init",
                lambda node, body: struct.pack("<IIIIHHIIHHI28x", 7, 31, 0, 0, 16, 12, 4096, 1, 0, 0, 0),
            ),
            27: ("opendir", lambda node, body: struct.pack("<QII", 0, 0, 0)),
            28: ("readdir", self._readdir),
            29: ("releasedir", lambda node, body: b""),
        }

    def mount(self, point: bytes) -> int:
        """Mount it here; the descriptor of /dev/fuse. Raises OSError."""
        device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        options = b"fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other" % device
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mount(b"faulty", point, b"fuse.faulty", MS_RDONLY | MS_NOSUID | MS_NODEV, options):
            raise OSError(ctypes.get_errno(), "no FUSE mount")
        return device

    def serve(self, device: int) -> None:
        while True:
            try:
                request = os.read(device, 1 << 20)
            except InterruptedError:
                continue
            except OSError:  # unmounted
                return
            # A thread for each: one that hangs holds up no other.
            threading.Thread(target=self._serve_one, args=(device, request), daemon=True).start()

    def _serve_one(self, device: int, request: bytes) -> None:
        _, code, unique, node, *_ = REQUEST.unpack_from(request)
        if code in SILENT:
            return
        try:
            name, answer = self._answers[code]
            path = self._paths.get(node, b"")  # INIT has no node
            if name == "lookup":
                path = self._below(path, request[REQUEST.size :])
            self._obey(name, path)
            number, body = 0, answer(node, request[REQUEST.size :])
        except KeyError:
            number, body = errno.ENOSYS, b""
        except OSError as error:
            number, body = error.errno or errno.EIO, b""
        with self._write:
            try:
                os.write(device, REPLY.pack(REPLY.size + len(body), -number, unique) + body)
            except OSError:
                return  # whoever asked is gone

    def _obey(self, name: str, path: bytes) -> None:
        while True:
            rules: list[dict[str, Any]] = json.loads(self._rules.read_text())
            for rule in rules:
                if rule["op"] in (name, "any") and name != "init" and rule["match"] in os.fsdecode(path):
                    break
            else:
                return
            if not rule.get("hang"):
                raise OSError(rule["errno"], "as told")
            time.sleep(0.02)

    def _below(self, folder: bytes, name: bytes) -> bytes:
        return os.path.join(folder, name.rstrip(b"\0"))

    def _at(self, path: bytes) -> bytes:
        return os.path.join(self._folder, path)

    def _attributes(self, path: bytes) -> bytes:
        look = os.lstat(self._at(path))
        stamps = [look.st_atime_ns, look.st_mtime_ns, look.st_ctime_ns]
        seconds, rests = [ns // 10**9 for ns in stamps], [ns % 10**9 for ns in stamps]
        owner = look.st_mode, look.st_nlink, 0, 0, 0, 4096, 0
        return ATTRIBUTES.pack(look.st_ino, look.st_size, look.st_blocks, *seconds, *rests, *owner)

    def _lookup(self, node: int, body: bytes) -> bytes:
        path = self._below(self._paths[node], body)
        attributes = self._attributes(path)
        with self._write:
            number = self._nodes.setdefault(path, len(self._nodes) + 1)
            self._paths[number] = path
        return struct.pack("<QQQQII", number, 0, 0, 0, 0, 0) + attributes

    def _getattr(self, node: int, body: bytes) -> bytes:
        return struct.pack("<QII", 0, 0, 0) + self._attributes(self._paths[node])

    def _read(self, node: int, body: bytes) -> bytes:
        _, offset, size = struct.unpack_from("<QQI", body)
        with open(self._at(self._paths[node]), "rb", buffering=0) as stream:
            return os.pread(stream.fileno(), size, offset)

    def _readdir(self, node: int, body: bytes) -> bytes:
        _, offset, size = struct.unpack_from("<QQI", body)
        listing, names = b"", sorted(os.listdir(self._at(self._paths[node])))
        for number, name in enumerate(names[offset:], offset + 1):
            entry = struct.pack("<QQII", number + 1, number, len(name), 0) + name
            entry += bytes(-len(entry) % 8)
            if len(listing) + len(entry) > size:
                break
            listing += entry
        return listing


class FaultyShare:
    """A mount of ``folder`` at ``point`` whose server is a process of its own."""

    def __init__(self, folder: Path, point: Path, rules: Path) -> None:
        self._words = [sys.executable, "-m", "tests.kernel.faulty_share", folder, point, rules]
        self._rules, self._point = rules, point
        self._server: subprocess.Popen[bytes] | None = None
        self.set()

    def set(self, *rules: dict[str, Any]) -> None:
        """What fails or hangs from now on."""
        fresh = self._rules.with_suffix(".new")
        fresh.write_text(json.dumps(rules))
        fresh.replace(self._rules)

    def start(self) -> None:
        """Mount; ends the program as ``not_here`` where no FUSE can be mounted."""
        self._server = subprocess.Popen(self._words, cwd=CHECKOUT, stdout=subprocess.PIPE)
        assert self._server.stdout is not None
        said = self._server.stdout.readline().decode().strip()
        if said != "mounted":
            self.kill()
            not_here(f"no FUSE mounts here: {said}")

    def kill(self) -> None:
        """kill -9: whoever looks is told that the transport endpoint is not connected."""
        assert self._server is not None and self._server.stdout is not None
        self._server.kill()
        self._server.wait()
        self._server.stdout.close()

    def unmount(self) -> None:
        subprocess.run(["umount", "-l", self._point], check=True)


def main() -> None:
    folder, point, rules = sys.argv[1:]
    server = Server(os.fsencode(folder), Path(rules))
    try:
        device = server.mount(os.fsencode(point))
    except OSError as error:
        print(error, flush=True)
        return
    print("mounted", flush=True)
    server.serve(device)


if __name__ == "__main__":
    main()
