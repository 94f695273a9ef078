"""The marker of a share: a small file with a token. Nothing else is ever written on a share."""

from __future__ import annotations

import os
import uuid
from contextlib import suppress
from dataclasses import dataclass, replace

from catalog.errors import NotPermitted, UsageError
from catalog.record.roots import Root
from catalog.service.shares import identity_of
from catalog.terms import RootState, printable
from catalog.watch.guard import MARKER, ShareIdentity, identify, judge
from catalog.watch.mounts import mount_of


@dataclass(frozen=True, slots=True)
class Marking:
    """What ``root mark`` would do: the share is known by ``token`` from then on."""

    path: bytes
    """Of the marker file."""
    token: str
    write: bool
    """False: the file is there already, and holds the token."""


def plan(root: Root) -> Marking:
    """Look at the share, and decide on its token: the one it carries (another catalogue may have marked it), the
    one that is recorded, or a new one.

    Raises NotFound when the share cannot be seen, UsageError when what is there is not the share, or carries the
    marker of another one. Writes nothing.
    """
    seen = identify(root.path)
    _refuse_another(root, seen)
    there = seen.marker.decode("ascii", "backslashreplace") if seen.marker else None
    if root.marker is not None and there is not None and there != root.marker:
        raise UsageError(
            f"{root.name} carries the marker of another share: {there}",
            hint=f"if it is the share: catalog root mark --forget {root.name}, then mark it again",
        )
    token = there or root.marker or str(uuid.uuid4())
    return Marking(os.path.join(root.path, MARKER), token, there is None)


def _refuse_another(root: Root, seen: ShareIdentity) -> None:
    if root.identity is None:
        return
    known = replace(identity_of(root.identity), marker=None)
    check = judge(known, replace(seen, marker=None), mount_of(seen.realpath))
    if check.state is not RootState.ONLINE:
        raise UsageError(
            f"{root.name} is {check.state.value}: {check.reason}", hint="only a share that is there is marked"
        )


def write(marking: Marking) -> None:
    """Make the marker file, on the disk when this returns; never over a file that is there.

    Raises NotPermitted on a share that is read-only, or may not be written.
    """
    shown = printable(marking.path)
    try:
        descriptor = os.open(
            marking.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644
        )
    except FileExistsError as error:
        raise UsageError(
            f"something is there that is no marker: {shown}", hint="look at it, and remove it"
        ) from error
    except OSError as error:
        raise NotPermitted(
            f"the marker cannot be written: {shown} ({error.strerror})",
            hint="a share needs none: without it, it is known by its file system and its folder. Or let somebody who"
            f" may write there put {marking.token} into that file, and run this again",
        ) from error
    try:
        os.fchmod(descriptor, 0o644)  # the daemon is another user
        os.write(descriptor, marking.token.encode() + b"\n")
        os.fsync(descriptor)
    except OSError as error:
        with suppress(OSError):  # of a full disk nothing is left that is no marker
            os.unlink(marking.path)
        raise NotPermitted(
            f"the marker cannot be written: {shown} ({error.strerror})",
            hint="make room on the share, and try again",
        ) from error
    finally:
        os.close(descriptor)
