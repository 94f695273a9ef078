"""What are the checksums of these files?"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import typer

from catalog.cli.context import Invocation, invocation
from catalog.cli.options import AllowIncomplete, Csv, Files, Format, Json, Ndjson, chosen, conclude

if TYPE_CHECKING:
    from catalog.cli.output import Listing
    from catalog.config import Settings
    from catalog.terms import Analysis, Inspection, Toolchain

app = typer.Typer()

LOADERS: Final = ("cv2_imread_md5", "pillow_tobytes_md5", "pillow_save_md5")
PAGES_SHOWN: Final = 8
"""Pages of a document that get a line each."""


@app.command()
def checksum(
    context: typer.Context,
    files: Files,
    *,
    as_json: Json = False,
    ndjson: Ndjson = False,
    csv: Csv = False,
    allow_incomplete: AllowIncomplete = False,
) -> None:
    """What are the checksums of these files?

    Every one that somebody may have published: md5 and sha256 of the bytes, the md5 sums of what OpenCV and
    Pillow make of them, and those that survive a change of container: payload, pixels and view. Two files
    with the same "pix1:" hold the same samples, whatever their compression, layout or tags. Needs no
    catalogue.

    \b
    Examples:
      catalog checksum scan.tif
      catalog checksum --ndjson *.tif > checksums.ndjson
    """
    from contextlib import closing

    from catalog.cli.output import Frame, Incomplete, answer_rows
    from catalog.cli.single_files import is_absent, not_found
    from catalog.terms import printable

    run = invocation(context)
    form = chosen(json=as_json, ndjson=ndjson, csv=csv)
    paths = [os.fsencode(path) for path in files]
    trouble = _Trouble({path for path in paths if is_absent(path)})
    frame = Frame("catalog.checksum/1")
    with closing(_entries(run, paths, form, trouble)) as entries:
        if form is Format.TABLE:
            _write_blocks(entries)
        elif form is Format.JSON:
            collected = list(entries)
            lacking = (Incomplete(None, f"{e['path']}: {e['error']}") for e in collected if e["error"])
            frame = Frame("catalog.checksum/1", None, tuple(lacking))
            answer_rows(run, frame, _listing(), collected, form=form)
        else:
            answer_rows(run, frame, _listing(), entries, form=form)
    for path, words in trouble.unread if form is not Format.JSON else ():
        run.warn(f"cannot be read: {printable(path)}: {words}")
    if trouble.absent:
        raise not_found([path for path in dict.fromkeys(paths) if path in trouble.absent])
    conclude(incomplete=bool(trouble.unread), allow_incomplete=allow_incomplete)


@dataclass
class _Trouble:
    """What the exit code has to tell of, filled while the entries are taken."""

    absent: set[bytes]
    unread: list[tuple[bytes, str]] = field(default_factory=list)


def _entries(
    run: Invocation, paths: list[bytes], form: Format, trouble: _Trouble
) -> Generator[dict[str, Any], None, None]:
    """An entry for each path in the order given, as the files are done."""
    from contextlib import closing

    from catalog.cli.output import on_terminal
    from catalog.cli.progress import Progress
    from catalog.cli.single_files import NO_SUCH_FILE, vanished
    from catalog.inspection import Pool

    settings = run.settings
    there = [path for path in paths if path not in trouble.absent]
    total_bytes = sum(map(_size, there))
    done = done_bytes = 0
    # Where the answer scrolls by on the same screen, it is the progress.
    quiet = run.quiet or (on_terminal() and form is not Format.JSON)
    with (
        # Its worker finds out the epoch while others read the files.
        Pool(workers=1, limits=settings.limits, root_paths=lambda _: b"/", known=lambda _: set()) as oracle,
        closing(_inspections(there, settings)) as inspections,
        Progress("checksum", quiet=quiet) as bar,
    ):
        toolchain = oracle.toolchain
        oracle.stop_idle()
        for path in paths:
            if path in trouble.absent:
                yield _entry(path, None, toolchain, NO_SUCH_FILE)
                continue
            _, found = next(inspections)
            if found.failure is None:
                yield _entry(path, found, toolchain, None)
            elif vanished(found.failure):
                trouble.absent.add(path)
                yield _entry(path, None, toolchain, NO_SUCH_FILE)
            else:
                trouble.unread.append((path, found.failure.reason))
                yield _entry(path, None, toolchain, found.failure.reason)
            done += 1
            done_bytes += found.stat.size if found.stat else 0
            bar.update(done, done_bytes, total_files=len(there), total_size=total_bytes)


def _inspections(paths: list[bytes], settings: Settings) -> Generator[tuple[bytes, Inspection], None, None]:
    from catalog.inspection import checksum_files

    yield from checksum_files(paths, settings.limits, workers=settings.workers)


def _size(path: bytes) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


# ------------------------------------------------------------------------------------------------- fields


def _entry(path: bytes, found: Inspection | None, toolchain: Toolchain, error: str | None) -> dict[str, Any]:
    """One file as JSON shows it; every key is there whatever became of the file."""
    from catalog.cli.single_files import hexed, image_fields
    from catalog.terms import Level, path_fields, printed

    analysis = found.analysis if found else None
    loaders = analysis.loaders if analysis else None

    def digest(level: Level) -> str | None:
        return printed(level, analysis.fidelity, getattr(analysis, level.value)) if analysis else None

    return {
        **path_fields(path),
        "size": found.stat.size if found and found.stat else None,
        "raw": {name: hexed(getattr(found, name, None)) for name in ("md5", "sha256")},
        "loaders": {name: hexed(getattr(loaders, name, None)) for name in LOADERS},
        "loader_errors": dict(loaders.errors) if loaders else {},
        "payload": digest(Level.PAYLOAD),
        "payload_reason": analysis.payload_reason if analysis else None,
        "pixels": digest(Level.PIXELS),
        "view": digest(Level.VIEW),
        "fidelity": analysis.fidelity.value if analysis else None,
        "fidelity_reason": analysis.reason if analysis else None,
        "pages": _pages(analysis) if analysis else [],
        "image": image_fields(analysis) if analysis else None,
        "complaints": list(analysis.complaints) if analysis else [],
        "decoder": {"epoch": toolchain.epoch.hex(), "components": dict(toolchain.components)},
        "error": error,
    }


def _pages(analysis: Analysis) -> list[dict[str, Any]]:
    from catalog.terms import Level, printed

    return [
        {
            "index": page.index,
            "role": page.role.value,
            "pixels": printed(Level.PIXELS, analysis.fidelity, page.pixels),
            "view": printed(Level.VIEW, analysis.fidelity, page.view),
            "width": page.width,
            "height": page.height,
            "model": page.model,
            "dtype": page.dtype,
            "channels": page.channels,
        }
        for page in analysis.pages
    ]


def _listing() -> Listing:
    from catalog.cli.output import Listing
    from catalog.cli.single_files import IMAGE_FIELDS

    fields = (
        *("path", "size", "raw.md5", "raw.sha256", *(f"loaders.{name}" for name in LOADERS)),
        *(
            "payload",
            "pixels",
            "view",
            "fidelity",
            "fidelity_reason",
            *(f"image.{name}" for name in IMAGE_FIELDS),
        ),
        *("decoder.epoch", "error"),
    )
    return Listing("files", (), fields, "")


# ------------------------------------------------------------------------------------------------ for eyes


def _write_blocks(entries: Iterable[dict[str, Any]]) -> None:
    """A block of aligned lines for each file as it is done, and last which decoders had a say."""
    from catalog.cli.output import on_terminal, write, write_line
    from catalog.terms import printable

    terminal = on_terminal()

    def put(line: str) -> None:
        # While a progress bar is drawn, rich takes what is printed for its own console, which is stderr.
        if terminal:
            write_line(line)
        else:
            write(printable(line) + "\n")

    decoder = None
    for entry in entries:
        if decoder is not None:
            put("")
        put(entry["path"])
        for label, words in _lines(entry):
            put(f"  {label:<14}  {words}")
        decoder = entry["decoder"]
    if decoder is not None:
        # "Pillow zlib" is a part of Pillow, and --json tells those, too.
        names = (f"{name} {version}" for name, version in decoder["components"].items() if " " not in name)
        put("")
        put(f"decoders: {', '.join(names)}; epoch {decoder['epoch'][:16]}")


def _lines(entry: dict[str, Any]) -> Iterator[tuple[str, str]]:
    from catalog.cli.single_files import fidelity_words, image_words, size_words

    if entry["error"]:
        yield "error", entry["error"]
        return
    yield "md5", entry["raw"]["md5"]
    for label, name in zip(("cv2", "pillow-tobytes", "pillow-save"), LOADERS, strict=True):
        digest = entry["loaders"][name]
        yield label, digest or f"none: {entry['loader_errors'].get(name, 'not decoded')}"
    yield "sha256", entry["raw"]["sha256"]
    yield "payload", entry["payload"] or f"none: {entry['payload_reason'] or 'not decoded'}"
    for level in ("pixels", "view"):
        yield level, entry[level] or "none: not decoded"
    yield "fidelity", fidelity_words(entry["fidelity"], entry["fidelity_reason"])
    if entry["image"]:
        yield "image", image_words(entry["image"])
    yield "size", size_words(entry["size"])
    yield from _page_lines(entry["pages"])


def _page_lines(pages: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    if len(pages) < 2:
        return
    for page in pages[:PAGES_SHOWN]:
        shape = f"{page['width']}x{page['height']} {page['model']} {page['dtype']}"
        yield f"{page['role']} {page['index']}", f"{page['pixels'] or 'no checksum'}  {shape}"
    if len(pages) > PAGES_SHOWN:
        yield "", f"and {len(pages) - PAGES_SHOWN:,} more: --json"
