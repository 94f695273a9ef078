"""Is the share really there? Asked before and after every scan, and before any absence is believed.

The looking is done by a small process of its own (``lookout.py``) that the guard keeps and can kill: a
thread that hangs in a dead NFS mount can never be ended, a process can. It stays, because a guard is asked
often and a start costs 8 ms and an answer 0.1 ms; and it is a fresh interpreter and no fork, because a
fork of a process with threads may deadlock (Python 3.12 warns of it).
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, replace
from typing import Any, Final

from catalog.errors import NotFound
from catalog.terms import RootState, WatchMode, printable
from catalog.watch import lookout
from catalog.watch.mounts import (
    Mount,
    is_below,
    mount_of,
    mounts,
    mounts_below,
    stable_source,
    trust_of,
    watch_mode,
)

MARKER: Final = b".catalog-share"
"""The file at the top of a share whose content (one token) identifies it."""

LOOKS: Final = 4
"""Looks at a share until the mount that it was seen on is there afterwards, too."""

# Where f_fsid stands for the file system itself (its uuid) and not for the device it lies on.
_FSID_IS_IDENTITY: Final = frozenset(("ext2", "ext3", "ext4", "btrfs", "zfs", "tmpfs"))


@dataclass(frozen=True, slots=True)
class ShareIdentity:
    """What makes a share this share. None: not known, takes no part."""

    realpath: bytes
    fstype: str | None = None
    source: bytes | None = None
    """``mounts.stable_source``: ``UUID=…``, device or ``server:/export``."""
    root_inode: int | None = None
    born_ns: int | None = None
    """When the folder was made: inode numbers are handed out again."""
    marker: bytes | None = None
    """The token of the marker file; when there is one, it alone decides."""
    not_empty: bool = False
    """The share had content."""
    mount_point: bytes | None = None
    fsid: int | None = None
    nested: frozenset[bytes] = frozenset()
    """Mounts below the root, relative paths: each is a domain whose loss is no deletion."""


@dataclass(frozen=True, slots=True)
class RootCheck:
    """One answer of the guard. ``reason``: why it is not online, in words; "" when it is."""

    state: RootState
    reason: str = ""
    refounded: bool = False
    """Replaced, but by somebody's decision and no mount's failure: the folder was deleted, renamed or made anew,
    or a link on the way to it was turned elsewhere. What is in it may be scanned as new, after ``adopt``; what
    is not in it must not be taken for deleted without confirmation."""
    lost: frozenset[bytes] = frozenset()
    """Nested mounts (relative paths) that are not mounted now: everything below them is unknown."""
    seen: ShareIdentity | None = None
    """What is there now; for ``ShareGuard.adopt``."""
    place: tuple[object, ...] = ()
    """Differs from that of an earlier look when another mount or folder is at the path, the same share or not:
    whatever watched the earlier one is deaf."""

    @property
    def online(self) -> bool:
        return self.state is RootState.ONLINE


class _Lookout:
    """The process that looks. One per guard, so that one hung share holds up no other."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._killed: list[subprocess.Popen[bytes]] = []
        self._ticket = 0

    def ask(self, root: bytes, marker: bytes, seconds: float) -> dict[str, Any] | None:
        """Its answer, or None when there was none in time."""
        self._reap()
        if self._killed:
            return None  # still stuck in the kernel after SIGKILL: another one would only join it
        deadline = time.monotonic() + seconds
        for _ in range(2):  # somebody may have ended it while it had nothing to do
            self._ticket += 1
            answer = self._exchange(root, marker, deadline)
            if answer is not None or time.monotonic() >= deadline:
                return answer
        return None

    def _exchange(self, root: bytes, marker: bytes, deadline: float) -> dict[str, Any] | None:
        if self._process is None or self._process.poll() is not None:
            self._end()
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", lookout.__file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,
                cwd="/",
                start_new_session=True,  # the terminal's ^C is not for it
            )
        request = {"root": root.hex(), "marker": marker.hex(), "ticket": self._ticket}
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        try:
            stdin.write(json.dumps(request).encode() + b"\n")
            line = b""
            while not line.endswith(b"\n"):
                left = deadline - time.monotonic()
                if left <= 0 or not select.select([stdout], [], [], left)[0]:
                    self._end()
                    return None
                piece = stdout.read(65536)
                if not piece:
                    self._end()
                    return None
                line += piece
        except BrokenPipeError:
            self._end()
            return None
        answer: dict[str, Any] = json.loads(line)
        assert answer["ticket"] == self._ticket
        return answer

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()
        process.kill()
        self._killed.append(process)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.2)
        self._reap()

    def _reap(self) -> None:
        self._killed = [process for process in self._killed if process.poll() is None]

    def close(self) -> None:
        self._end()


def _sighted(answer: dict[str, Any], mount: Mount | None, table: list[Mount]) -> ShareIdentity:
    real = bytes.fromhex(answer["realpath"])
    fsid = answer.get("fsid") or None
    return ShareIdentity(
        realpath=real,
        fstype=mount.fstype if mount else None,
        source=stable_source(mount) if mount else None,
        root_inode=answer.get("inode"),
        born_ns=answer.get("born"),
        marker=bytes.fromhex(answer["marker"]) if answer.get("marker") else None,
        not_empty=not answer.get("empty", True),
        mount_point=mount.point if mount else None,
        fsid=fsid if mount and mount.fstype in _FSID_IS_IDENTITY else None,
        nested=frozenset(os.path.relpath(below.point, real) for below in mounts_below(real, table)),
    )


def judge(known: ShareIdentity, seen: ShareIdentity, mount: Mount | None) -> RootCheck:
    """Whether what is seen is the share that is known. Pure; ``mount`` is where the root lies now."""
    if known.marker is not None:
        return _judge_marker(known, seen, mount)
    for judgement in (_judge_way, _judge_mount, _judge_folder, _judge_content):
        check = judgement(known, seen, mount)
        if check is not None:
            return replace(check, seen=seen)
    return RootCheck(RootState.ONLINE, lost=known.nested - seen.nested, seen=seen)


def _judge_marker(known: ShareIdentity, seen: ShareIdentity, mount: Mount | None) -> RootCheck:
    if seen.marker is None:
        unmounted = _judge_mount(known, seen, mount)
        if unmounted is not None and unmounted.state is RootState.OFFLINE:
            return replace(unmounted, seen=seen)
        # An empty folder is what an unmounted share leaves; files without their marker are somebody else's.
        state = RootState.REPLACED if seen.not_empty else RootState.OFFLINE
        return RootCheck(state, f"the marker {os.fsdecode(MARKER)} is not there", seen=seen)
    if seen.marker != known.marker:
        reason = f"the marker {os.fsdecode(MARKER)} belongs to another share"
        return RootCheck(RootState.REPLACED, reason, seen=seen)
    return RootCheck(RootState.ONLINE, lost=known.nested - seen.nested, seen=seen)


def _same_file_system(known: ShareIdentity, seen: ShareIdentity) -> bool:
    if known.fsid is not None and seen.fsid is not None:
        return known.fsid == seen.fsid  # a disk may come back under another device name
    same_type = known.fstype in (None, seen.fstype)
    return same_type and known.source in (None, seen.source)


def _judge_mount(known: ShareIdentity, seen: ShareIdentity, mount: Mount | None) -> RootCheck | None:
    if _same_file_system(known, seen):
        return None
    point = mount.point if mount is not None else b"/"
    if known.mount_point is not None:
        unmounted = len(point) < len(known.mount_point)
    else:
        unmounted = not seen.not_empty and point != seen.realpath
    if unmounted:
        where = known.mount_point or seen.realpath
        return RootCheck(RootState.OFFLINE, f"{printable(where)} is not mounted")
    was = f"{known.fstype or 'unknown'} {printable(known.source or b'?')}"
    now = f"{seen.fstype} {printable(seen.source or b'?')}"
    differs = (
        f": {now}, not {was}" if now != was else f" than the one that is known, of the same kind ({now})"
    )
    return RootCheck(RootState.REPLACED, f"another file system is mounted here{differs}")


def _judge_way(known: ShareIdentity, seen: ShareIdentity, mount: Mount | None) -> RootCheck | None:
    """A link that leads elsewhere was turned by somebody; no mount that fails does that."""
    del mount
    if seen.realpath == known.realpath:
        return None
    reason = f"the path now leads to {printable(seen.realpath)}, not to {printable(known.realpath)}"
    return RootCheck(RootState.REPLACED, reason, refounded=True)


def _judge_folder(known: ShareIdentity, seen: ShareIdentity, mount: Mount | None) -> RootCheck | None:
    if not trust_of(mount).inode_trusted or known.root_inode is None:
        return None
    of_one_birth = None in (known.born_ns, seen.born_ns) or known.born_ns == seen.born_ns
    if seen.root_inode == known.root_inode and of_one_birth:
        return None
    point = mount.point if mount is not None else b"/"
    if known.mount_point is not None and point != known.mount_point:
        # Folders of one file system, bound here and there: the file system alone does not tell them apart.
        if len(point) < len(known.mount_point):
            return RootCheck(RootState.OFFLINE, f"{printable(known.mount_point)} is not mounted")
        return RootCheck(RootState.REPLACED, f"another folder is mounted at {printable(point)}")
    if point == seen.realpath and point != b"/":
        # Nobody can remove a mount point: something else was mounted on it.
        return RootCheck(
            RootState.REPLACED, f"another folder of its file system is mounted at {printable(point)}"
        )
    return RootCheck(RootState.REPLACED, "the folder was deleted or renamed and made anew", refounded=True)


def _judge_content(known: ShareIdentity, seen: ShareIdentity, mount: Mount | None) -> RootCheck | None:
    if seen.not_empty or not known.not_empty:
        return None
    local = mount is not None and watch_mode(mount.fstype)[0] is WatchMode.INOTIFY
    if local and known.root_inode is not None:
        return None  # the very same folder of a local disk: somebody emptied it, and the mass rule asks
    return RootCheck(RootState.OFFLINE, "it is empty, and was not: the mount or its server is gone")


class ShareGuard:
    """Watches over one share's identity. ``root``: absolute path as configured.

    Without ``identity`` the first look that finds a folder is taken for it. Methods may be called from any
    thread, one at a time waits for the other. ``close`` ends the process that looks; may be called twice.
    """

    def __init__(self, root: bytes, identity: ShareIdentity | None = None) -> None:
        self.root = root
        self.identity = identity
        self._lookout = _Lookout()
        self._lock = threading.Lock()

    def check(self, deadline_seconds: float = 10.0) -> RootCheck:
        """Look at the share; takes ``deadline_seconds`` at the most. Never raises for what the share does."""
        with self._lock:
            sight = self._look(deadline_seconds)
            if isinstance(sight, RootCheck):
                return sight
            answer, mount, table = sight
            seen = _sighted(answer, mount, table)
            if self.identity is None:
                self.identity = replace(seen, marker=None)
            check = judge(self.identity, seen, mount)
            if check.online:
                self._learn(seen)
            trusted = trust_of(mount).inode_trusted
            folder = (seen.root_inode, seen.born_ns) if trusted else ()
            return replace(check, place=(seen.realpath, mount.mount_id if mount else None, *folder))

    def _look(self, seconds: float) -> RootCheck | tuple[dict[str, Any], Mount | None, list[Mount]]:
        """What is at the path, the mount that it was seen on, and all mounts: a share that is unmounted, or mounted,
        between two looks must not be taken for a folder that somebody put in its place."""
        deadline = time.monotonic() + seconds
        looks: list[tuple[dict[str, Any], Mount | None, list[Mount]]] = []
        while len(looks) < LOOKS:
            answer = self._answer(seconds, deadline)
            if isinstance(answer, RootCheck):
                return answer
            # First the look, then the mounts: an automount comes up when it is looked at.
            real, table = bytes.fromhex(answer["realpath"]), mounts()
            for mount in table:
                # Numbers of mounts are handed out again at once.
                if mount.mount_id == answer["mount"] and is_below(real, mount.point):
                    return answer, mount, table
            looks.append((answer, mount_of(real, table), table))
            if answer["mount"] is None:  # an old kernel
                break
        same = {(look["mount"], look["realpath"], mount) for look, mount, _ in looks}
        if len(same) > 1:
            return RootCheck(RootState.OFFLINE, "its mount came or went whenever it was looked at")
        # Nothing did: mounts above the root of a process (chroot) are kept from it.
        return looks[-1]

    def _answer(self, seconds: float, deadline: float) -> RootCheck | dict[str, Any]:
        """What the process that looks says of a folder; or why it is none, or nobody knows."""
        try:
            answer = self._lookout.ask(self.root, MARKER, max(0.0, deadline - time.monotonic()))
        except OSError as error:  # no memory, no process left: that says nothing good of the share
            return RootCheck(RootState.OFFLINE, f"nobody could look at it: {error.strerror}")
        if answer is None:
            return RootCheck(RootState.HUNG, f"no answer within {seconds:g} s")
        if "errno" in answer:
            return RootCheck(RootState.OFFLINE, f"{answer['words']}: {printable(self.root)}")
        if not answer["folder"]:
            return RootCheck(RootState.OFFLINE, f"{printable(self.root)} is no folder")
        return answer

    def adopt(self, seen: ShareIdentity) -> None:
        """Take what is there now for the share."""
        with self._lock:
            self.identity = replace(seen, marker=None)

    def demand(self, marker: bytes | None) -> None:
        """Know the share by the token of its marker from now on; None: by everything else, as without one."""
        with self._lock:
            known = self.identity or ShareIdentity(realpath=self.root)
            if known.marker != marker:
                self.identity = replace(known, marker=marker)

    def _learn(self, seen: ShareIdentity) -> None:
        """Fill in what was not known, and keep what may only grow."""
        known = self.identity
        assert known is not None
        self.identity = replace(
            seen,
            marker=known.marker,
            not_empty=known.not_empty or seen.not_empty,
            nested=known.nested | seen.nested,
        )

    def close(self) -> None:
        with self._lock:
            self._lookout.close()


def identify(root: bytes, deadline_seconds: float = 10.0) -> ShareIdentity:
    """The identity of what is at this path now, marker included if there is one.

    Raises NotFound when it is no folder, cannot be seen, or does not answer.
    """
    guard = ShareGuard(root)
    try:
        check = guard.check(deadline_seconds)
    finally:
        guard.close()
    if check.seen is None:
        raise NotFound(f"the share cannot be seen: {check.reason}", hint="is it mounted?")
    return check.seen
