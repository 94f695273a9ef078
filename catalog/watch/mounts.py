"""What is mounted where, and what its file system can be trusted with. Reads /proc, never the share.

The exception is ``probe``, which looks (only looks) at a few files of the share.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from catalog.terms import WatchMode


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_LOCAL: Final = _set("ext2 ext3 ext4 xfs btrfs zfs f2fs bcachefs jfs tmpfs ntfs3 exfat vfat")
_NETWORK: Final = _set(
    "nfs nfs4 cifs smb3 smbfs 9p afs ceph lustre gpfs beegfs glusterfs orangefs coda ocfs2 gfs2 "
    "virtiofs vboxsf prl_fs davfs"
)
_NETWORK_FUSE: Final = _set(
    "sshfs rclone glusterfs s3fs davfs2 davfs curlftpfs ceph-fuse ceph smbnetfs gvfsd-fuse gcsfuse "
    "juicefs seaweedfs mfs moosefs lizardfs goofys blobfuse blobfuse2 onedriver httpdirfs"
)
_MTIME_GRANULARITY_NS: Final = {
    "vfat": 2_000_000_000,
    "msdos": 2_000_000_000,
    "exfat": 10_000_000,
    "cifs": 100,
    "smb3": 100,
    "ntfs3": 100,
    "fuse.sshfs": 1_000_000_000,
    "fuse.rclone": 1_000_000_000,
    "fuse.davfs2": 1_000_000_000,
}
# vfat and exfat make inode numbers up at each mount; the others pass them on or invent them as they like.
# (Measured: sshfs and unionfs change them, and generic FUSE says nothing of what is beneath.)
_INODES_CHANGE: Final = _set("vfat msdos exfat 9p vboxsf prl_fs davfs overlay autofs smbfs")
_NO_CTIME: Final = _set("vfat msdos exfat vboxsf prl_fs davfs smbfs")
"""No change time on the medium: what ``st_ctime`` shows is the mtime, or dies with the mount."""


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of mountinfo (proc_pid_mountinfo(5)), unescaped."""

    mount_id: int
    parent_id: int
    device: str
    """``major:minor``."""
    root: bytes
    """Which folder of the file system is mounted (bind mounts, subvolumes)."""
    point: bytes
    options: str
    fstype: str
    source: bytes
    super_options: str


@dataclass(frozen=True, slots=True)
class MountTrust:
    """What stat fields of a mount mean. ``reason`` says why, in words."""

    inode_trusted: bool = True
    """The inode number identifies a file as long as it is there, over remounts too."""
    ctime_trusted: bool = True
    """Every change of content or metadata moves ctime: an unmoved one proves that nobody wrote."""
    mtime_granularity_ns: int = 1
    reason: str = ""
    ctime_compared: bool = True
    """ctime at least stays still while nobody writes, so that a moved one is worth a look."""


TRUSTED: Final = MountTrust()


def _unescape(field: bytes) -> bytes:
    return re.sub(rb"\\([0-7]{3})", lambda m: bytes([int(m[1], 8)]), field) if b"\\" in field else field


def parse(text: bytes) -> list[Mount]:
    """The mounts in the order of mountinfo; lines that do not fit the format are left out."""
    mounts = []
    for line in text.split(b"\n"):
        head, separator, tail = line.partition(b" - ")
        left, right = head.split(b" "), tail.split(b" ")
        if not separator or len(left) < 6 or len(right) < 2:
            continue
        mounts.append(
            Mount(
                int(left[0]),
                int(left[1]),
                left[2].decode("ascii"),
                _unescape(left[3]),
                _unescape(left[4]),
                left[5].decode("utf-8", "replace"),
                right[0].decode("ascii", "replace"),
                _unescape(right[1]),
                right[2].decode("utf-8", "replace") if len(right) > 2 else "",
            )
        )
    return mounts


def mounts() -> list[Mount]:
    """The mounts of this process now. Never blocks on a share."""
    with open("/proc/self/mountinfo", "rb") as stream:
        return parse(stream.read())


def is_below(path: bytes, folder: bytes) -> bool:
    """Whether a path is a folder, or lies in it."""
    return folder in (path, b"/") or path.startswith(folder + b"/")


def mount_of(path: bytes, table: Sequence[Mount] | None = None) -> Mount | None:
    """The mount that an absolute path (without symbolic links) lies on; None if the table has none.

    Follows the kernel's way down: from the root mount into the child mounted highest on the path, and so
    on. (The longest mount point alone is wrong when a folder above it was mounted over later.) Of mounts
    on one point the last wins.
    """
    table = mounts() if table is None else table
    candidates = [mount for mount in table if is_below(path, mount.point)]
    ids = {mount.mount_id for mount in candidates}
    roots = [mount for mount in candidates if mount.parent_id not in ids or mount.parent_id == mount.mount_id]
    if not roots:
        return None
    here = min(reversed(roots), key=lambda mount: len(mount.point))
    while True:
        children = [
            mount
            for mount in candidates
            if mount.parent_id == here.mount_id and mount.mount_id != here.mount_id
        ]
        if not children:
            return here
        here = min(reversed(children), key=lambda mount: len(mount.point))


def mounts_below(root: bytes, table: Sequence[Mount] | None = None) -> list[Mount]:
    """The visible mounts strictly below a folder, outermost first: each a domain of its own."""
    table = mounts() if table is None else table
    return sorted(
        {
            mount.point: mount
            for mount in table
            if mount.point != root and is_below(mount.point, root) and mount_of(mount.point, table) == mount
        }.values(),
        key=lambda mount: mount.point,
    )


def borders_below(root: bytes, table: Sequence[Mount] | None = None) -> frozenset[bytes]:
    """The points below a folder where another file system is mounted (not: binds of the same one)."""
    table = mounts() if table is None else table
    real = os.path.realpath(root)
    here = mount_of(real, table)
    return frozenset(
        os.path.join(root, os.path.relpath(mount.point, real))
        for mount in mounts_below(real, table)
        if here is None or mount.device != here.device
    )


def stable_source(mount: Mount, by_uuid: bytes = b"/dev/disk/by-uuid") -> bytes:
    """The source of a mount as it should be remembered: ``UUID=…`` for a disk, whose name may change at a boot."""
    if not mount.source.startswith(b"/dev/"):
        return mount.source
    try:
        device = os.stat(mount.source).st_rdev
        for name in sorted(os.listdir(by_uuid)):
            if os.stat(os.path.join(by_uuid, name)).st_rdev == device:
                return b"UUID=" + name
    except OSError:
        pass  # a container without devices: the name must do
    return mount.source


def is_network(fstype: str) -> bool:
    """Whether other machines write beneath this file system (no place for a database, either)."""
    return fstype in _NETWORK or fstype.removeprefix("fuse.") in _NETWORK_FUSE


def watch_mode(fstype: str) -> tuple[WatchMode, str]:
    """How a file system is watched, and why, in words."""
    if fstype in _LOCAL:
        return WatchMode.INOTIFY, f"{fstype} reports every local change"
    if is_network(fstype):
        return WatchMode.BOTH, f"{fstype} does not report changes made by other machines"
    if fstype.startswith("fuse"):
        return WatchMode.POLL, f"{fstype} does not report changes made beneath it"
    if fstype == "overlay":
        return WatchMode.POLL, "overlay does not report changes made in its layers"
    if fstype == "autofs":
        return WatchMode.POLL, "autofs: nothing is mounted yet"
    return WatchMode.POLL, f"{fstype} is not known to report every change"


def trust_of(mount: Mount | None) -> MountTrust:
    """What is known of a mount's stat fields from its type and options alone."""
    if mount is None:
        return MountTrust(False, False, 1, "the mount is not known")
    fstype = mount.fstype
    fuse = fstype.startswith("fuse")
    inode = not fuse and fstype not in _INODES_CHANGE
    reasons = []
    if fstype in ("cifs", "smb3") and "noserverino" in mount.super_options.split(","):
        inode = False
    if not inode:
        reasons.append(f"{fstype} does not keep inode numbers")
    ctime = not fuse and fstype not in _NO_CTIME and fstype != "9p"
    if not ctime:
        reasons.append(f"{fstype} does not keep a change time of its own")
    granularity = _MTIME_GRANULARITY_NS.get(fstype, 1)
    if granularity > 1:
        reasons.append(f"times in steps of {_words(granularity)}")
    return MountTrust(
        inode, ctime, granularity, "; ".join(reasons) or f"{fstype}: trusted", fstype not in _NO_CTIME
    )


def _words(nanoseconds: int) -> str:
    for unit, size in (("s", 1_000_000_000), ("ms", 1_000_000), ("µs", 1000)):
        if nanoseconds >= size:
            return f"{nanoseconds // size} {unit}"
    return f"{nanoseconds} ns"


def _observed_granularity(ctimes: Iterable[int]) -> int:
    """The coarsest step that all of these change times keep, 1 ns if there are too few to tell.

    Change times, because nobody can set them: a tar of whole seconds on ext4 must not look like a coarse
    file system. (ext4 made with 128-byte inodes is one, whatever its name says.)
    """
    distinct = set(ctimes)
    if len(distinct) < 8:
        return 1
    for step in (2_000_000_000, 1_000_000_000, 1_000_000, 1000, 100):
        if all(ctime % step == 0 for ctime in distinct):
            return step
    return 1


def probe(root: bytes, table: Sequence[Mount] | None = None, files: int = 256) -> MountTrust:
    """What this share's stat fields can be trusted with: type, options, and a look at up to ``files`` files.

    Writes nothing. Looks at the share, so it can hang with it: run it where a deadline holds.
    """
    trust = trust_of(mount_of(os.path.realpath(root), table))
    observed = _observed_granularity(_some_ctimes(root, files))
    if observed <= trust.mtime_granularity_ns:
        return trust
    return MountTrust(
        trust.inode_trusted,
        trust.ctime_trusted,
        observed,
        f"{trust.reason}; times seen in steps of {_words(observed)}",
        trust.ctime_compared,
    )


def _some_ctimes(root: bytes, files: int) -> list[int]:
    ctimes: list[int] = []
    folders = [root]
    for _ in range(32):
        if not folders or len(ctimes) >= files:
            break
        folder = folders.pop(0)
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if len(ctimes) >= files:
                        break
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                        continue
                    look = entry.stat(follow_symlinks=False)
                    if stat.S_ISREG(look.st_mode):
                        ctimes.append(look.st_ctime_ns)
        except OSError:
            continue  # too little seen means: nothing concluded
    return ctimes
