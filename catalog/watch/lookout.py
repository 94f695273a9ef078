"""The process that looks at a share for the guard, so that a hung mount hangs it and not the daemon.

A program of its own: started as ``python -I -S lookout.py``, it imports nothing but the standard library's
smallest parts. It reads one JSON request a line from stdin, answers one JSON line, and ends with its stdin.
It never writes anything and holds nothing of the share open between two requests.
"""

import ctypes
import json
import os
import stat
import struct
import sys

MARKER_LIMIT = 200

_AT_FDCWD = -100
_STATX_BTIME = 0x800


def look(root: bytes, marker: bytes) -> dict[str, object]:
    """What is at the root now: a dictionary of plain values, with ``errno`` when it could not be seen."""
    seen: dict[str, object] = {}
    try:
        real = os.path.realpath(root)
        seen["realpath"] = real.hex()
        here = os.stat(root)
        seen["folder"] = stat.S_ISDIR(here.st_mode)
        seen["inode"] = here.st_ino
        if not seen["folder"]:
            return seen
        seen["fsid"] = os.statvfs(root).f_fsid
        seen["born"] = born_ns(root)
        with os.scandir(root) as entries:
            seen["empty"] = next(entries, None) is None
        seen["marker"] = read_marker(os.path.join(root, marker)) if marker else None
    except OSError as error:
        seen["errno"] = error.errno
        seen["words"] = error.strerror or str(error)
    return seen


def born_ns(path: bytes) -> int | None:
    """When a file was made, which Python's ``stat`` does not tell on Linux; None where it is not known.

    An inode number is handed out again at once: a folder made in the place of a removed one often has the same.
    """
    answer = ctypes.create_string_buffer(256)
    try:
        failed = ctypes.CDLL(None).statx(_AT_FDCWD, path, 0, _STATX_BTIME, answer)
    except AttributeError:  # an old C library
        return None
    (mask,) = struct.unpack_from("=I", answer, 0)
    if failed or not mask & _STATX_BTIME:
        return None
    seconds, nanoseconds = struct.unpack_from("=qI", answer, 80)  # statx(2): stx_btime
    return int(seconds * 1_000_000_000 + nanoseconds)


def read_marker(path: bytes) -> str | None:
    """The token in the marker file, in hexadecimal; None when there is no such file."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        return os.read(fd, MARKER_LIMIT).strip().hex()
    finally:
        os.close(fd)


def main() -> None:
    os.chdir("/")  # never keep a share from being unmounted
    for line in sys.stdin.buffer:
        request = json.loads(line)
        answer = look(bytes.fromhex(request["root"]), bytes.fromhex(request["marker"]))
        answer["ticket"] = request["ticket"]
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
