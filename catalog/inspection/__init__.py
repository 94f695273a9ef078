"""Inspection: a path goes in, decode workers look at the file, an ``Inspection`` value comes out."""

from catalog.inspection.pool import Pool

__all__ = ["Pool"]
