"""watchdog's inotify observer, taught to say when it has lost something.

watchdog 7.1 ends its reader thread at the first surprise (``mv share/scan /elsewhere; mkdir share/scan;
rmdir share/scan; rmdir /elsewhere/scan`` gives a KeyError, and nothing is ever reported again while every
``is_alive`` says True), and answers a queue overflow with a rebuild of all watches that overflows the
queue again. Both end here in one call, ``on_loss``; whoever owns the observer then builds a new one.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, cast

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileAttribEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers.api import BaseObserver
from watchdog.observers.inotify import InotifyFullEmitter, InotifyObserver, InotifyWatchGroup
from watchdog.observers.inotify_c import InotifyEvent, InotifyFD, WatchDescriptor

log = logging.getLogger(__name__)

EVENTS: Final[list[type[FileSystemEvent]]] = [
    FileCreatedEvent,
    FileModifiedEvent,
    FileClosedEvent,
    FileDeletedEvent,
    FileMovedEvent,
    FileAttribEvent,
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
]
"""Without Opened and ClosedNoWrite: watchdog's own walk makes four of those a folder, and 5,000 folders
overflow the kernel's queue before the first real event. Our reading of files would make more."""

OVERFLOW: Final = "the kernel's event queue overflowed"
_IN_UNMOUNT: Final = 0x00002000

Loss = Callable[[str], None]


def _not_of_the_end(record: logging.LogRecord) -> bool:
    """Leaves out what watchdog logs as an error whenever an emitter is stopped between two events."""
    return "called when the thread is inactive" not in str(record.msg)


class _Reader(InotifyFD):
    """Reads the kernel's queue; nothing that happens in a callback ends it."""

    def __init__(self, on_loss: Loss) -> None:
        self._on_loss = on_loss
        super().__init__()
        self.name = "inotify-reader"

    def handle_event(self, event: InotifyEvent) -> None:
        if event.is_queue_overflow:
            # Not passed on: watchdog would take down and set up every watch, in this thread.
            self._on_loss(OVERFLOW)
            return
        if event.mask & _IN_UNMOUNT:
            self._on_loss("the file system was unmounted")
        try:
            super().handle_event(event)
        except Exception as error:  # noqa: BLE001 - watchdog's bookkeeping is wrong: say so, and live on
            self._on_loss(f"watchdog lost its bookkeeping ({type(error).__name__}: {error})")


class _Group(InotifyWatchGroup):
    """The watches of one tree."""

    # The generated repr holds every watch, and watchdog formats it into each of its warnings (3.5 MB of
    # text in 25 warnings on 5,000 watches).
    __repr__ = object.__repr__

    def deactivate(self) -> None:
        """Forget all watches; closing the descriptor removes them, in one call instead of 100,000."""
        with self._lock:
            self._is_active = False
            self._active_callbacks_by_watch.clear()
            self._active_callbacks_by_path.clear()
            self._move_event_grouper.close()


class _Emitter(InotifyFullEmitter):
    """Tells renames into the tree (one name) from creations: those are whole at once."""

    def on_thread_start(self) -> None:
        self._inotify = _Group(
            self._inotify_fd,
            os.fsencode(self.watch.path),
            is_recursive=self.watch.is_recursive,
            event_mask=self.get_event_mask_from_filter(),
            follow_symlink=self.watch.follow_symlink,
        )

    @property
    def backlog(self) -> int:
        group = self._inotify
        return len(group._move_event_grouper._queue._queue) if group is not None else 0


class _Observer(InotifyObserver):
    def __init__(self, on_loss: Loss) -> None:
        self._inotify_fd = _Reader(on_loss)
        self._inotify_fd.start()
        BaseObserver.__init__(self, _Emitter, inotify_fd=self._inotify_fd)
        self.name = "inotify-dispatcher"

    @property
    def reader(self) -> InotifyFD:
        return self._inotify_fd


class _Handler(FileSystemEventHandler):
    """Passes events on and survives whatever that does: an exception here would end the dispatcher."""

    def __init__(self, on_event: Callable[[FileSystemEvent], None], on_loss: Loss) -> None:
        self._on_event = on_event
        self._on_loss = on_loss

    def dispatch(self, event: FileSystemEvent) -> None:
        try:
            self._on_event(event)
        except BaseException as error:
            log.exception("an event could not be noted")
            self._on_loss(f"an event could not be noted ({type(error).__name__}: {error})")


@dataclass(frozen=True, slots=True)
class Tree:
    """A folder to observe."""

    path: bytes
    recursive: bool
    on_event: Callable[[FileSystemEvent], None]


class Observing:
    """One running observer of some disjoint trees: built to be thrown away at the first sign of trouble.

    The constructor returns when every folder has its watch (or was refused one: see ``inodes``). Raises
    OSError when a tree cannot be watched at all: ENOENT, ENOSPC (no watches left), EMFILE (no instances).
    """

    def __init__(self, trees: list[Tree], on_loss: Loss) -> None:
        self._trees = len(trees)
        logging.getLogger("watchdog").setLevel(logging.WARNING)  # at DEBUG it formats every event twice
        logging.getLogger("watchdog.observers.inotify").addFilter(_not_of_the_end)
        # Process-wide, but for watchdog alone: it warns of watches that it adds twice, which is normal.
        warnings.filterwarnings("ignore", category=RuntimeWarning, message="Callback with id")
        self._observer = _Observer(on_loss)
        try:
            self._observer.start()
            # One after the other, in this order: a large tree may take the last watch.
            for tree in trees:
                self._observer.schedule(
                    _Handler(tree.on_event, on_loss),
                    cast(str, tree.path),  # bytes in, bytes out: names need not be text
                    recursive=tree.recursive,
                    event_filter=EVENTS,
                )
        except BaseException:
            self.dispose()
            raise

    def ailment(self) -> str | None:
        """Which of its threads is dead, or None."""
        if not self._observer.reader.is_alive():
            return "the reader thread is dead"
        if not self._observer.is_alive():
            return "the dispatcher thread is dead"
        alive = sum(emitter.is_alive() for emitter in list(self._observer.emitters))
        if alive < self._trees:
            return "an emitter thread is dead (was the folder removed?)"
        return None

    @property
    def backlog(self) -> int:
        """Events that wait in watchdog's unbounded queues."""
        emitters = [cast(_Emitter, emitter) for emitter in list(self._observer.emitters)]
        return self._observer.event_queue.qsize() + sum(emitter.backlog for emitter in emitters)

    def watches(self) -> dict[int, WatchDescriptor]:
        """The inode numbers of the watched folders → their watches, as the kernel has them (proc_pid_fdinfo(5))."""
        try:
            with open(f"/proc/self/fdinfo/{self._observer.reader._inotify_fd}", "rb") as stream:
                lines = [line for line in stream if line.startswith(b"inotify ")]
        except OSError:
            return {}
        return {_hexadecimal(line, b" ino:"): WatchDescriptor(_hexadecimal(line, b" wd:")) for line in lines}

    def inodes(self) -> frozenset[int]:
        """The inode numbers of the watched folders."""
        return frozenset(self.watches())

    def put_right(self, watch: WatchDescriptor, path: bytes, inode: int) -> bool:
        """Have the events of a watch told of the path at which its folder is; whether they were told of another one.

        watchdog follows renamed folders in its own tables, event by event, and late: an exchange of two folders,
        or a second rename before it has read the first, leaves it with the paths mixed up.
        """
        for emitter in list(self._observer.emitters):
            group = cast(_Emitter, emitter)._inotify
            if group is None or not group.is_recursive:
                continue
            by_watch, by_path = group._active_callbacks_by_watch, group._active_callbacks_by_path
            told = by_watch.get(watch)
            if (told == path and by_path.get(path) == watch) or not _is_at(path, inode):
                return False
            with group._lock:
                if told is not None and by_path.get(told) == watch:
                    del by_path[told]
                by_watch[watch], by_path[path] = path, watch
            return True
        return False

    def astray(self) -> frozenset[tuple[WatchDescriptor, bytes]]:
        """Watches that tell of a path where their folder is not, with that path: of a folder that was moved out, or
        that watchdog has lost track of. Looks at every folder."""
        paths: dict[WatchDescriptor, bytes] = {}
        for emitter in list(self._observer.emitters):
            group = cast(_Emitter, emitter)._inotify
            if group is not None and group.is_recursive:
                with group._lock:
                    paths.update(group._active_callbacks_by_watch)
        told = ((watch, paths.get(watch), inode) for inode, watch in self.watches().items())
        return frozenset(
            (watch, path) for watch, path, inode in told if path is not None and not _is_at(path, inode)
        )

    def dispose(self, timeout: float = 5.0) -> bool:
        """End all threads and give the descriptors back; False when that takes longer than ``timeout``.

        It then goes on in the background. A reader that is inside a hung folder cannot be ended at all.
        """
        ending = threading.Thread(target=self._end, name="inotify-disposal", daemon=True)
        ending.start()
        ending.join(timeout)
        return not ending.is_alive()

    def _end(self) -> None:
        observer = self._observer
        with contextlib.suppress(Exception):
            observer.stop()
        # If stop() failed half-way, the rest is still to be done.
        with contextlib.suppress(Exception):
            observer.reader.stop()
        observer.event_queue.put(observer.stop_event)
        for thread in (observer.reader, observer, *list(observer.emitters)):
            with contextlib.suppress(RuntimeError):  # never started
                thread.join()


def _hexadecimal(line: bytes, name: bytes) -> int:
    return int(line.partition(name)[2].partition(b" ")[0], 16)


def _is_at(path: bytes, inode: int) -> bool:
    try:
        return os.lstat(path).st_ino == inode
    except OSError:
        return False
