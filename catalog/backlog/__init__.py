"""The durable queue of paths awaiting inspection: a path is on disk before it leaves memory."""

from catalog.backlog.journal import Backlog, Due

__all__ = ["Backlog", "Due"]
