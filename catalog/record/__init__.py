"""The only writer: files, revisions, tags, events, cases, with the backlog's acknowledgement."""

from catalog.record.recorder import Recorded, Recorder
from catalog.record.rows import FileRow, KnownRow

__all__ = ["FileRow", "KnownRow", "Recorded", "Recorder"]
