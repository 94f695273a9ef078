"""How one share is watched: which source of events, whether it still works, and what it does not cover."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable
from typing import Final

from catalog.record.roots import Root
from catalog.service.session import Session
from catalog.terms import WatchMode, counted
from catalog.watch.hints import Hints
from catalog.watch.inotify import InotifySource
from catalog.watch.mounts import mount_of, watch_mode
from catalog.watch.polling import DUTY, ReconcileClock

log = logging.getLogger(__name__)

CHECK_SECONDS: Final = 5.0


class Events:
    """The source of hints of one share, and the clock of its reconciles, which depends on it.

    ``start`` when the share is there, ``stop`` when it is not; both may be called again.
    """

    def __init__(self, session: Session, root: Root, hints: Hints, cookie_dir: bytes) -> None:
        self._session = session
        self._root_id = root.root_id
        self._hints = hints
        self._cookie_dir = cookie_dir
        self._source: InotifySource | None = None
        self._ended = (0, 0)
        """Rebuilds and overflows of sources that are no more."""
        self.uncovered: list[bytes] = []
        """Folders without a kernel watch (limit, permission): because of them the share is polled, too."""
        self._walked: list[tuple[bytes, int]] = []
        """New folders that were walked of late: watchdog does not say which it could not watch."""
        self._unwatched: list[tuple[bytes, int]] = []
        """Those that had no watch when it was asked first."""
        self._next_check = 0.0
        self._mend_at = 0.0
        """When the watches may be set up anew because some are missing."""
        self.mode, self.mode_reason = self._choose()
        self.clock = self._new_clock()

    @property
    def _root(self) -> Root:
        return self._session.roots_by_id[self._root_id]

    @property
    def rebuilds(self) -> int:
        """How often the watches were set up anew."""
        return self._ended[0] + (self._source.rebuilds if self._source is not None else 0)

    @property
    def overflows(self) -> int:
        """How often the kernel's event queue overflowed."""
        return self._ended[1] + (self._source.overflows if self._source is not None else 0)

    def _choose(self) -> tuple[WatchMode, str]:
        settings = self._session.settings
        if settings.watch_mode != "auto":
            return WatchMode(settings.watch_mode), "as configured"
        mount = mount_of(self._root.path)
        return watch_mode(mount.fstype if mount else "")

    def _new_clock(self) -> ReconcileClock:
        settings = self._session.settings
        if self.mode is WatchMode.INOTIFY:
            return ReconcileClock(settings.reconcile_interval_seconds, jitter=True)
        return ReconcileClock(settings.poll_interval_seconds)

    def start(self, *, online: bool) -> None:
        """Choose the mode by what is mounted now, which may be another file system than when nothing was, and
        set up the watches. When it returns they stand: nothing that changes later goes unheard."""
        self.stop()
        self.mode, self.mode_reason = self._choose()
        self.clock = self._new_clock()
        if online and self.mode is not WatchMode.POLL:
            try:
                source = InotifySource(
                    self._root.path,
                    self._hints,
                    os.path.join(self._cookie_dir, b"%d" % self._root_id),
                    selection=self._session.selection,
                    cookie_seconds=self._session.settings.cookie_seconds,
                )
                source.start()
            except (OSError, ValueError) as error:  # ValueError: the share holds the folder of our own
                words = error.strerror if isinstance(error, OSError) else None
                self._degrade(f"events are not to be had: {words or error}")
            else:
                self._source = source
        self._tell()

    def stop(self) -> None:
        source, self._source = self._source, None
        if source is not None:
            source.stop()
            self._ended = (self._ended[0] + source.rebuilds, self._ended[1] + source.overflows)

    def lost(self) -> bool:
        """Whether events may have been lost since the last call; the source is set up anew, or given up."""
        source = self._source
        reason = source.health() if source is not None else None
        if source is None or reason is None:
            return False
        if source.unstable:
            self._degrade(f"the event source failed too often: {reason}")
        else:
            self._rebuild(source, reason)
        return True

    def _rebuild(self, source: InotifySource, reason: str) -> None:
        try:
            source.rebuild(reason)
        except OSError as error:
            self._degrade(f"events are not to be had: {error.strerror or error}")

    def _degrade(self, reason: str) -> None:
        """Poll from now on, and say so loudly."""
        log.error("share %s is polled from now on: %s", self._root.name, reason)
        self.stop()
        self.mode, self.mode_reason = WatchMode.POLL, reason
        self.clock = self._new_clock()
        self._tell()

    def _tell(self) -> None:
        session = self._session
        session.commit()
        session.roots.set_mode(self._root_id, self.mode.value, self.mode_reason, len(self.uncovered))
        session.commit()

    def bare(self, folders: Iterable[tuple[bytes, int]]) -> list[bytes]:
        """Which of these walked folders, (path, inode), no watch covers."""
        return self._source.uncovered(folders) if self._source is not None else []

    def walked(self, folders: Iterable[tuple[bytes, int]]) -> None:
        """Folders, (path, inode), that a walk came upon, and that may be new; see ``check``."""
        if not self.uncovered:
            self._walked += folders

    def forget_walked(self) -> None:
        """All of the share was walked: see ``audit``."""
        self._walked.clear()
        self._unwatched.clear()

    def check(self, now: float) -> bool:
        """Whether a whole pass is to follow: a new folder has found no watch, which the pass finds out and has the
        share polled for, or a watch has lost its folder. Asked twice, because a watch may come a little later than its
        folder. To be called often: does something every few seconds."""
        if now < self._next_check or not (self._walked or self._unwatched or self.doubtful):
            return False
        lost = bool(self.bare([each for each in self._unwatched if self._is_at(*each)]))
        missing = set(self.bare(self._walked))
        self._unwatched = [each for each in self._walked if each[0] in missing]
        self._walked.clear()
        lost |= self.doubtful and self._source is not None and self._source.astray()
        took = time.monotonic() - now
        self._next_check = now + max(
            min(CHECK_SECONDS, self._session.settings.poll_interval_seconds), took / DUTY
        )
        return lost

    def _is_at(self, path: bytes, inode: int) -> bool:
        sight = self._session.sight(self._root_id)
        try:
            return sight.stat(os.path.join(self._root.path, path)).st_ino == inode
        except OSError:
            return False

    @property
    def doubtful(self) -> bool:
        """Whether watches may have lost their folders, of which renames were heard."""
        # Where a look may hang, the share is polled anyway.
        return self.mode is WatchMode.INOTIFY and self._source is not None and self._source.doubtful

    def audit(self, folders: Iterable[tuple[bytes, int]]) -> bool:
        """All folders of the share were walked: if some have no watch, the whole share is polled, it costs little.

        True when the watches were set up anew for it, which is tried first, and again from time to time: a walk
        is to follow. Watches get lost where folders are renamed faster than watchdog looks, and limits are raised.
        """
        bare = self.bare(folders)
        settings = self._session.settings
        if bare and time.monotonic() >= self._mend_at and self._source is not None:
            self._mend_at = time.monotonic() + settings.reconcile_interval_seconds
            self._rebuild(self._source, f"{counted(len(bare), 'folder has', 'folders have')} no watch")
            return True
        polled = self.mode is not WatchMode.INOTIFY or bool(bare)
        self.clock.interval_seconds = (
            settings.poll_interval_seconds if polled else settings.reconcile_interval_seconds
        )
        if len(bare) != len(self.uncovered):
            if bare:
                log.warning(
                    "share %s: %s no watch (sysctl fs.inotify.max_user_watches, or permissions); polled",
                    self._root.name,
                    counted(len(bare), "folder has", "folders have"),
                )
            self.uncovered = bare
            self._tell()
        return False
