"""Landlock: a process gives up, for itself and all its children, the right to change files.

The daemon's systemd unit makes shares read-only, but not one that is mounted after the start; Landlock covers
that, too. It does not govern chmod, utime or setxattr, nor descriptors that are open already.
Source: landlock(7), linux/landlock.h.
"""

from __future__ import annotations

import ctypes
import os
import struct
from typing import Final

_CREATE_RULESET: Final = 444
_ADD_RULE: Final = 445
_RESTRICT_SELF: Final = 446
_VERSION_FLAG: Final = 1
_RULE_PATH_BENEATH: Final = 1
_PR_SET_NO_NEW_PRIVS: Final = 38

_WRITE_FILE: Final = 1 << 1
_REMOVE_AND_MAKE: Final = sum(1 << bit for bit in range(4, 13))  # remove dir, file; make char … sym
_REFER: Final = 1 << 13  # since ABI 2
_TRUNCATE: Final = 1 << 14  # since ABI 3


def landlock_abi() -> int | None:
    """The Landlock version of this kernel, or None where it is missing, disabled or filtered away."""
    try:
        return _system_call(_CREATE_RULESET, 0, 0, _VERSION_FLAG)
    except OSError:
        return None


def restrict_writes(*directories: str | bytes) -> int | None:
    """Allow writes only below ``directories`` (none: nowhere) from now on; return the ABI, None if missing.

    Covers the calling thread and what it starts afterwards, threads and children, and cannot be undone: call
    it before any thread is started. Sets ``no_new_privs``. Raises OSError when a directory cannot be opened.
    """
    abi = landlock_abi()
    if abi is None:
        return None
    rights = _WRITE_FILE | _REMOVE_AND_MAKE
    if abi >= 2:
        rights |= _REFER
    if abi >= 3:
        rights |= _TRUNCATE
    opened: list[int] = []
    try:
        for directory in directories:
            opened.append(os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
        return abi if _enforce(rights, opened) else None
    finally:
        for descriptor in opened:
            os.close(descriptor)


def _enforce(rights: int, directories: list[int]) -> bool:
    try:
        ruleset = _system_call(_CREATE_RULESET, struct.pack("=Q", rights), 8, 0)
    except OSError:
        return False
    try:
        for directory in directories:
            rule = struct.pack("=Qi", rights, directory)
            _system_call(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, rule, 0)
        _libc().prctl(_PR_SET_NO_NEW_PRIVS, *(ctypes.c_ulong(n) for n in (1, 0, 0, 0)))
        _system_call(_RESTRICT_SELF, ruleset, 0)
    except OSError:
        return False  # a seccomp filter that knows the first call only, or 16 layers already
    finally:
        os.close(ruleset)
    return True


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _system_call(number: int, *arguments: int | bytes) -> int:
    """Linux ``syscall(2)``; bytes are passed as a pointer. Raises OSError."""
    passed = [ctypes.c_char_p(a) if isinstance(a, bytes) else ctypes.c_long(a) for a in arguments]
    result: int = _libc().syscall(ctypes.c_long(number), *passed)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result
