"""The glossary as types: the values that pass between the stages. Imports nothing of ours.

Paths are bytes, times are integers whose name carries the unit (``_ns`` file system, ``_ms`` catalogue
clock, UTC), sizes are bytes. Everything here is frozen: a stage hands a value on and never changes it.
"""

from __future__ import annotations

from catalog.terms.drift import Evidence, Kind, Manner, Severity, Verdict
from catalog.terms.identity import SPEC_VERSION, Fidelity, Level, printed
from catalog.terms.images import (
    Analysis,
    ImageFacts,
    Layout,
    Loaders,
    Page,
    PageRole,
    Toolchain,
    compression_words,
)
from catalog.terms.limits import Limits
from catalog.terms.record import CheckResult, EventKind, Outcome, Presence, ReadHow, RootState, WatchMode
from catalog.terms.stages import Change, Failure, FailureKind, Inspection, Job, Reason, Stat
from catalog.terms.tags import TAG_RAW_LIMIT, TAG_TYPES, Ifd, IfdKind, Tag, tag_value
from catalog.terms.words import counted, human_size, iso, iso_ns, joined, path_fields, printable, quoted

__all__ = [
    "SPEC_VERSION",
    "TAG_RAW_LIMIT",
    "TAG_TYPES",
    "Analysis",
    "Change",
    "CheckResult",
    "EventKind",
    "Evidence",
    "Failure",
    "FailureKind",
    "Fidelity",
    "Ifd",
    "IfdKind",
    "ImageFacts",
    "Inspection",
    "Job",
    "Kind",
    "Layout",
    "Level",
    "Limits",
    "Loaders",
    "Manner",
    "Outcome",
    "Page",
    "PageRole",
    "Presence",
    "ReadHow",
    "Reason",
    "RootState",
    "Severity",
    "Stat",
    "Tag",
    "Toolchain",
    "Verdict",
    "WatchMode",
    "compression_words",
    "counted",
    "human_size",
    "iso",
    "iso_ns",
    "joined",
    "path_fields",
    "printable",
    "printed",
    "quoted",
    "tag_value",
]
