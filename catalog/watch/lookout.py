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

_AT_EMPTY_PATH = 0x1000
_STATX_BTIME = 0x800
_STATX_MNT_ID = 0x1000


def look(root: bytes, marker: bytes) -> dict[str, object]:
    """What is at the root now: a dictionary of plain values, with ``errno`` when it could not be seen."""
    seen: dict[str, object] = {}
    try:
        real = os.path.realpath(root)
        seen["realpath"] = real.hex()
        here = os.stat(root)
        seen["folder"] = stat.S_ISDIR(here.st_mode)
        if not seen["folder"]:
            return seen
        # All of one and the same folder, whatever is mounted over it meanwhile.
        fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            seen["inode"] = os.fstat(fd).st_ino
            seen["fsid"] = os.fstatvfs(fd).f_fsid
            seen["born"], seen["mount"] = born_and_mount(fd)
            with os.scandir(fd) as entries:
                seen["empty"] = next(entries, None) is None
            seen["marker"] = read_marker(fd, marker) if marker else None
        finally:
            os.close(fd)
    except OSError as error:
        seen["errno"] = error.errno
        seen["words"] = error.strerror or str(error)
    return seen


def born_and_mount(fd: int) -> tuple[int | None, int | None]:
    """When a file was made, and the number of its mount in ``mountinfo``, which Python's ``stat`` does not tell on
    Linux; None for what is not known.

    An inode number is handed out again at once: a folder made in the place of a removed one often has the same.
    """
    answer = ctypes.create_string_buffer(256)
    try:
        failed = ctypes.CDLL(None).statx(fd, b"", _AT_EMPTY_PATH, _STATX_BTIME | _STATX_MNT_ID, answer)
    except AttributeError:  # an old C library
        return None, None
    (mask,) = struct.unpack_from("=I", answer, 0)
    if failed:
        return None, None
    seconds, nanoseconds = struct.unpack_from("=qI", answer, 80)  # statx(2): stx_btime
    (mount,) = struct.unpack_from("=Q", answer, 144)  # stx_mnt_id
    born = int(seconds * 1_000_000_000 + nanoseconds)
    return born if mask & _STATX_BTIME else None, mount if mask & _STATX_MNT_ID else None


def read_marker(folder: int, name: bytes) -> str | None:
    """The token in the marker file of an open folder, in hexadecimal; None when there is no such file."""
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
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
