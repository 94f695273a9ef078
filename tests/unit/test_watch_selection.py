"""Which names are catalogued, and why the others are not."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.config import IMAGE_EXTENSIONS
from catalog.watch.selection import (
    REFUSED_EXTENSIONS,
    Ignored,
    Selected,
    Selection,
    Why,
)


def why(name: bytes, selection: Selection | None = None, *, directory: bool = False) -> Why | None:
    base = name.rpartition(b"/")[2]
    verdict = (selection or Selection()).verdict(base, name, directory=directory)
    return verdict.why if isinstance(verdict, Ignored) else None


def extensions_of_pillow() -> set[str]:
    """Those of Pillow itself: the extra for HEIF may have added its own in this process."""
    from PIL import Image

    Image.init()
    return {e.lstrip(".") for e, format_id in Image.registered_extensions().items() if format_id != "HEIF"}


def test_every_extension_that_pillow_opens_is_either_catalogued_or_refused_with_a_reason():
    assert extensions_of_pillow() - set(IMAGE_EXTENSIONS) == set(REFUSED_EXTENSIONS)
    assert not set(IMAGE_EXTENSIONS) & set(REFUSED_EXTENSIONS)


def test_extensions_that_pillow_does_not_know_are_tiff_dialects_pam_or_heif():
    import tifffile

    # DNG is TIFF by its own specification; PAM is read by OpenCV; HEIF by the extra of that name.
    elsewhere = {"dng", "pam", "heic", "heif", "hif"}
    known = extensions_of_pillow() | set(tifffile.TIFF.FILE_EXTENSIONS)
    assert set(IMAGE_EXTENSIONS) - known == elsewhere


@pytest.mark.parametrize(
    "name", [b"a.tif", b"A.TIF", b"a.Tiff", b"a.tIf", b"\xff.jpg", b"a\nb.png", b"x.tmp.tif"]
)
def test_pictures_are_selected_whatever_the_case_and_the_bytes(name: bytes):
    assert Selection().verdict(name, b"folder/" + name) == Selected(decode=True)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (b".hidden.tif", Why.HIDDEN),
        (b"._a.tif", Why.HIDDEN),
        (b".DS_Store", Why.HIDDEN),
        (b".a.tif.Xy12zQ", Why.HIDDEN),  # rsync
        (b".~lock.a.tif#", Why.HIDDEN),  # LibreOffice
        (b".a.tif.swp", Why.HIDDEN),  # vim
        (b".goutputstream-8XQZ", Why.HIDDEN),  # gedit
        (b".fuse_hidden0000001", Why.HIDDEN),
        (b".nfs00000001", Why.HIDDEN),
        (b"Thumbs.db", Why.SYSTEM),
        (b"a.tif~", Why.TEMPORARY),
        (b"a.tif.part", Why.TEMPORARY),
        (b"a.tif.crdownload", Why.TEMPORARY),
        (b"a.tif.tmp", Why.TEMPORARY),
        (b"#a.tif#", Why.TEMPORARY),
        (b"psA1B2.tmp", Why.TEMPORARY),
        (b"4913", Why.TEMPORARY),
        (b"a.tif\n~", Why.TEMPORARY),
        (b"notes.txt", Why.EXTENSION),
        (b"tif", Why.EXTENSION),
        (b"a.", Why.EXTENSION),
    ],
)
def test_other_names_are_ignored_for_a_reason(name: bytes, reason: Why):
    assert why(name) is reason


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (b"@eaDir", Why.SYSTEM),
        (b"#recycle", Why.SYSTEM),
        (b"$RECYCLE.BIN", Why.SYSTEM),
        (b"lost+found", Why.SYSTEM),
        (b".cache", Why.HIDDEN),
        (b"scans", None),
        (b"x.part", None),
        (b"\xfe", None),
    ],
)
def test_folders_are_entered_unless_hidden_or_made_by_the_system(name: bytes, reason: Why | None):
    assert why(name, directory=True) is reason


def test_include_adds_files_that_are_hashed_but_not_decoded():
    selection = Selection(include=["*.xmp", "raw/**/*.nef", "*.part"])
    assert selection.verdict(b"a.xmp", b"x/a.xmp") == Selected(decode=False)
    assert selection.verdict(b"a.nef", b"raw/a.nef") == Selected(decode=False)
    assert selection.verdict(b"a.nef", b"raw/1/2/a.nef") == Selected(decode=False)
    assert why(b"other/a.nef", selection) is Why.EXTENSION
    assert why(b".a.xmp", selection) is Why.HIDDEN
    assert why(b"a.tif.part", selection) is Why.TEMPORARY
    assert selection.decodes(b"a.TIF")
    assert not selection.decodes(b"a.xmp")


@pytest.mark.parametrize(
    ("glob", "path", "directory", "excluded"),
    [
        ("*.gif", b"a/b.gif", False, True),
        ("*.gif", b"a/b.tif", False, False),
        ("b.tif", b"a/b.tif", False, True),
        ("a/*.tif", b"a/b.tif", False, True),
        ("a/*.tif", b"a/c/b.tif", False, False),
        ("a/**/*.tif", b"a/c/d/b.tif", False, True),
        ("a/**", b"a/c/b.tif", False, True),
        ("/b.tif", b"b.tif", False, True),
        ("/b.tif", b"a/b.tif", False, False),
        ("trash/", b"a/trash", True, True),
        ("trash/", b"a/trash", False, False),
        ("a/trash/", b"a/trash", True, True),
        ("a/trash/", b"b/a/trash", True, False),
        ("[ab]?.tif", b"b1.tif", False, True),
        ("[!ab]?.tif", b"b1.tif", False, False),
        ("?.tif", b"\xff.tif", False, True),
        ("ü*.tif", "x/übung.tif".encode(), False, True),
        ("a[b.tif", b"a[b.tif", False, True),
    ],
)
def test_exclude_globs(glob: str, path: bytes, directory: bool, excluded: bool):
    reason = why(path, Selection(exclude=[glob], extensions=["tif", "gif"]), directory=directory)
    assert (reason is Why.EXCLUDED) is excluded


def test_a_path_below_a_folder_that_is_left_out_is_left_out():
    selection = Selection(exclude=["old/"])
    assert selection.verdict_of_path(b"a/b/c.tif") == Selected()
    assert selection.verdict_of_path(b"a/.b/c.tif") == Ignored(Why.HIDDEN)
    assert selection.verdict_of_path(b"a/old/c.tif") == Ignored(Why.EXCLUDED)
    assert selection.verdict_of_path(b"@eaDir/c.tif") == Ignored(Why.SYSTEM)
    assert selection.enters(b"") is None
    assert selection.enters(b"a/b") is None
    assert selection.enters(b"a/old/b") == Ignored(Why.EXCLUDED)


@given(st.binary(min_size=1, max_size=20).filter(lambda b: b"/" not in b and b"\0" not in b))
def test_the_short_cut_of_the_walk_never_disagrees_with_the_verdict(name: bytes):
    selection = Selection()
    for candidate in (name, name + b".tif", b"." + name + b".TIF"):
        text = os.fsdecode(candidate)
        if text[text.rfind(".") :] in selection.plain_suffixes and text[0] != ".":
            assert selection.verdict(candidate, candidate) == Selected(decode=True)


def test_with_an_exclude_there_is_no_short_cut():
    assert not Selection(exclude=["*.gif"]).plain_suffixes
