"""Inspection: a path goes in, decode workers look at the file, an ``Inspection`` value comes out."""

from catalog.inspection.alone import checksum_files, run_alone
from catalog.inspection.pool import Pool

__all__ = ["Pool", "checksum_files", "run_alone"]
