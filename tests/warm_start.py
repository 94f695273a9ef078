"""Processes of ``catalog`` that begin where the imports end: nine tenths of a test's run of the program are those.

A *starter* imports the program once and forks for each run: a real process with its own descriptors, environment,
folder, session and signals, which then does what ``python -m catalog`` does. What the start itself is about
(other encodings, ``PYTHON…`` variables, modules that must not be loaded) runs cold.
"""

from __future__ import annotations

import array
import atexit
import contextlib
import importlib
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Final

LENGTH: Final = struct.Struct("<I")
LOADED: Final = ("catalog.cli", "catalog.query", "catalog.service", "catalog.store")
"""Packages of which every module is imported: what commands import when they begin."""


class Starter:
    """Forks runs of the program for one test process. ``close`` ends it."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", "from tests.warm_start import serve; serve()", str(theirs.fileno())],
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        self._socket = ours
        self._lock = threading.Lock()

    def run(
        self,
        words: Sequence[str | bytes | os.PathLike[str]],
        *,
        cwd: str,
        environment: Mapping[str, str],
        descriptors: Sequence[int],
        timeout: float,
    ) -> int:
        """Run to the end with these three standard descriptors; the exit code as ``subprocess`` gives it.

        A run that takes longer than ``timeout`` seconds is killed with all its processes: TimeoutError.
        """
        request = json.dumps(
            {
                "words": [os.fsencode(word).hex() for word in words],
                "cwd": os.fsencode(cwd).hex(),
                "environment": {name: os.fsencode(value).hex() for name, value in environment.items()},
            }
        ).encode()
        passed = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
        with self._lock:
            self._socket.sendmsg([LENGTH.pack(len(request))], passed)
            self._socket.sendall(request)
            (pid,) = LENGTH.unpack(_exactly(self._socket, LENGTH.size))
            late = not select.select([self._socket], [], [], timeout)[0]
            if late:
                os.killpg(pid, signal.SIGKILL)
            (status,) = LENGTH.unpack(_exactly(self._socket, LENGTH.size))
        if late:
            raise TimeoutError(f"catalog {words} took longer than {timeout} s")
        return os.waitstatus_to_exitcode(status)

    def close(self) -> None:
        self._socket.close()
        self._process.wait()


def _exactly(source: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        piece = source.recv(size - len(found))
        if not piece:
            raise EOFError
        found += piece
    return found


def serve() -> None:
    """The starter: forks until its socket ends; a forked one goes on as the program."""
    import gc
    import pkgutil

    for package in LOADED:
        for module in pkgutil.iter_modules(importlib.import_module(package).__path__, package + "."):
            importlib.import_module(module.name)
    gc.freeze()
    with socket.socket(fileno=int(sys.argv[1])) as line:
        while (run := _begun(line)) is None:
            pass
    if run:
        from catalog.cli import main

        sys.argv[1:] = run["words"]
        try:
            main()
        except SystemExit as end:
            threading._shutdown()  # type: ignore[attr-defined] - waits for threads, as the end of Python does
            atexit._run_exitfuncs()
            os._exit(end.code if isinstance(end.code, int) else 1)  # taking the modules down costs 30 ms


def _begun(line: socket.socket) -> dict[str, Any] | None:
    """Fork for one request: None in the starter; in the process that is to run it, the request. {}: the end."""
    head, ancillary, _, _ = line.recvmsg(LENGTH.size, socket.CMSG_SPACE(3 * 4))
    if not head:
        return {}
    given = array.array("i")
    for _, _, content in ancillary:
        given.frombytes(content)
    request = json.loads(_exactly(line, *LENGTH.unpack(head)))
    pid = os.fork()
    if pid:
        for descriptor in given:
            os.close(descriptor)
        line.sendall(LENGTH.pack(pid))
        _, status = os.waitpid(pid, 0)
        with contextlib.suppress(BrokenPipeError):
            line.sendall(LENGTH.pack(status))
        return None
    os.setsid()
    for standard, descriptor in enumerate(given):
        os.dup2(descriptor, standard, inheritable=True)
        os.close(descriptor)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(bytes.fromhex(request["cwd"]))
    os.environb.clear()
    for name, value in request["environment"].items():
        os.environb[name.encode()] = bytes.fromhex(value)
    return {"words": [os.fsdecode(bytes.fromhex(word)) for word in request["words"]]}
