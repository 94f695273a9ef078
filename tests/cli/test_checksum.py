"""``catalog checksum`` as a user runs it: every checksum of a file, without a catalogue."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import pty
import select
from pathlib import Path
from typing import Any

from PIL import Image

from tests.asking import picture
from tests.mounting import less_than_root


def test_every_checksum_of_the_first_butterfly(catalog_cli: Any, corpus: Path) -> None:
    ran = catalog_cli("checksum", "amalfreda_1.tif", "--json", cwd=corpus / "shaggy" / "images")
    assert ran.code == 0, ran.stderr
    assert (ran.json["schema"], ran.json["complete"], ran.json["incomplete"]) == (
        "catalog.checksum/1",
        True,
        [],
    )
    (file,) = ran.json["files"]
    assert (file["path"], file["size"], file["error"]) == ("amalfreda_1.tif", 24036, None)
    assert file["raw"] == {
        "md5": "baf9cc4fd984f80dea07ec93308c3a7b",
        "sha256": "ccce449dc4edec2f5ab38697bb105c9521a2bc72fe3aca6ca77a07af8e21a4ef",
    }
    assert file["loaders"] == {
        "cv2_imread_md5": "a2b85e3545d8b525fe20d90ebe5d847e",
        "pillow_tobytes_md5": "6c2fa1935394b7489494647bb6ee35b3",
        "pillow_save_md5": "d0dd3bc05dead39e2177c59f2925cd2b",
    }
    assert file["loader_errors"] == {}
    assert file["pixels"].startswith("pix1:d9c669ad")
    assert file["view"].startswith("view1:a03e6362")
    assert file["payload"].startswith("pay1:")
    assert (file["fidelity"], file["fidelity_reason"]) == ("exact", None)
    facts = {"width": 124, "height": 64, "model": "rgb", "dtype": "u8", "channels": 3}
    assert file["pages"] == [
        {"index": 0, "role": "page", "pixels": file["pixels"], "view": file["view"], **facts}
    ]
    assert file["image"] == {"format": "TIFF", "frames": 1, "orientation": 1, "icc_sha256": None, **facts}
    assert len(bytes.fromhex(file["decoder"]["epoch"])) == 32
    assert {"Pillow", "imagecodecs", "numpy"} <= set(file["decoder"]["components"])


def test_words_for_people_stand_in_aligned_lines(catalog_cli: Any, tmp_path: Path) -> None:
    path = picture(tmp_path / "a.tif", 1)
    ran = catalog_cli("checksum", "a.tif", cwd=tmp_path)
    assert ran.code == 0, ran.stderr
    lines = ran.out.splitlines()
    assert lines[0] == "a.tif"
    assert {line[2:16].strip(): line[18:] for line in lines[1:] if line.startswith("  ")}.items() >= {
        "md5": hashlib.md5(path.read_bytes()).hexdigest(),
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "fidelity": "exact: every declared bit was decoded",
        "image": "TIFF, 40x30 rgb u8",
    }.items()
    labels = [line[2:16].strip() for line in lines[1:] if line.startswith("  ")]
    assert labels == [
        *("md5", "cv2", "pillow-tobytes", "pillow-save", "sha256", "payload", "pixels", "view"),
        *("fidelity", "image", "size"),
    ]
    assert lines[-1].startswith("decoders: Pillow ")
    assert ran.stderr == ""


def test_another_container_and_layout_keep_the_pixel_checksum(catalog_cli: Any, tmp_path: Path) -> None:
    names = ["plain.tif", "packed.tif", "other.png"]
    for name, options in zip(names, [{}, {"compression": "tiff_lzw"}, {}], strict=True):
        picture(tmp_path / name, 5, **options)
    files = catalog_cli("checksum", *names, "--json", cwd=tmp_path).json["files"]
    assert len({file["pixels"] for file in files}) == len({file["view"] for file in files}) == 1
    assert len({file["raw"]["sha256"] for file in files}) == 3


def test_lossy_codecs_are_named_as_the_decoders_opinion(catalog_cli: Any, tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg", 1)
    (file,) = catalog_cli("checksum", tmp_path / "a.jpg", "--json").json["files"]
    assert file["fidelity"] == "decoder"
    assert "  fidelity        decoder: " in catalog_cli("checksum", tmp_path / "a.jpg").out


def test_pages_of_a_document_are_listed(catalog_cli: Any, tmp_path: Path) -> None:
    frames = [Image.new("L", (5, 4), shade) for shade in range(12)]
    frames[0].save(tmp_path / "book.tif", save_all=True, append_images=frames[1:])
    ran = catalog_cli("checksum", tmp_path / "book.tif", "--json")
    (file,) = ran.json["files"]
    assert [page["index"] for page in file["pages"]] == list(range(12))
    assert len({page["pixels"] for page in file["pages"]}) == 12
    assert file["image"]["frames"] == 12
    words = catalog_cli("checksum", tmp_path / "book.tif").out
    assert f"  page 0          {file['pages'][0]['pixels']}  5x4 gray u8" in words
    assert "and 4 more: --json" in words


# ------------------------------------------------------------------------------------------------ formats


def test_ndjson_and_csv_hold_one_file_a_line_in_the_order_given(catalog_cli: Any, tmp_path: Path) -> None:
    names = [f"{number}.png" for number in range(6)]
    for shade, name in enumerate(names):
        picture(tmp_path / name, shade)
    names.reverse()
    whole = catalog_cli("checksum", *names, "--json", cwd=tmp_path).json["files"]
    lines = catalog_cli("checksum", *names, "--ndjson", cwd=tmp_path).out.splitlines()
    assert [json.loads(line) for line in lines] == whole
    assert [file["path"] for file in whole] == names
    rows = list(csv.DictReader(io.StringIO(catalog_cli("checksum", *names, "--csv", cwd=tmp_path).out)))
    assert [row["pixels"] for row in rows] == [file["pixels"] for file in whole]
    assert [row["raw.md5"] for row in rows] == [file["raw"]["md5"] for file in whole]
    assert rows[0]["image.width"] == "40"


def test_two_formats_at_once_are_a_usage_error(catalog_cli: Any, tmp_path: Path) -> None:
    ran = catalog_cli("checksum", picture(tmp_path / "a.png", 1), "--json", "--csv")
    assert (ran.code, ran.stdout) == (2, b"")


def test_names_of_any_bytes(catalog_cli: Any, tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/\xff\x1b[31m.png"
    os.rename(picture(tmp_path / "a.png", 1), name)
    (file,) = catalog_cli("checksum", name, "--json").json["files"]
    assert file["error"] is None
    assert "path_b64" in file
    assert b"\x1b" not in catalog_cli("checksum", name).stdout


def test_the_same_file_named_twice_is_answered_twice(catalog_cli: Any, tmp_path: Path) -> None:
    path = picture(tmp_path / "a.png", 1)
    (tmp_path / "link.png").symlink_to(path)
    files = catalog_cli("checksum", path, path, tmp_path / "link.png", "--json").json["files"]
    assert len(files) == 3
    assert len({file["pixels"] for file in files}) == 1 and files[0]["pixels"]


# ------------------------------------------------------------------------------------- what goes wrong


def test_missing_file_exits_with_20_and_the_others_are_answered(catalog_cli: Any, tmp_path: Path) -> None:
    picture(tmp_path / "a.png", 1)
    (tmp_path / "dangling.png").symlink_to("nowhere")
    ran = catalog_cli("checksum", "no.png", "a.png", "dangling.png", "a.png/x", "--json", cwd=tmp_path)
    assert ran.code == 20
    assert ran.stderr == "catalog: no such files: no.png, dangling.png, a.png/x\n"
    assert ran.json["complete"] is False and len(ran.json["incomplete"]) == 3
    errors = {file["path"]: file["error"] for file in ran.json["files"]}
    assert errors == {
        "no.png": "no such file",
        "a.png": None,
        "dangling.png": "no such file",
        "a.png/x": "no such file",
    }
    words = catalog_cli("checksum", "no.png", "a.png", cwd=tmp_path)
    assert words.code == 20
    assert words.out.startswith("no.png\n  error           no such file\n\na.png\n  md5 ")


def test_only_missing_files_are_an_answer_of_the_same_shape(catalog_cli: Any, tmp_path: Path) -> None:
    ran = catalog_cli("checksum", tmp_path / "no.png", "--json")
    assert ran.code == 20
    (file,) = ran.json["files"]
    (tmp_path / "some.png").write_bytes(b"x")
    (other,) = catalog_cli("checksum", tmp_path / "some.png", "--json").json["files"]
    assert list(file) == list(other)
    assert file["raw"] == {"md5": None, "sha256": None}


def test_file_that_cannot_be_read_is_an_entry_with_the_error(catalog_cli: Any, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.tif")
    good = picture(tmp_path / "good.tif", 1)
    ran = catalog_cli("checksum", tmp_path / "fifo.tif", good, "--json")
    assert ran.code == 3
    broken, whole = ran.json["files"]
    assert (broken["error"], broken["raw"]["md5"]) == ("not a regular file", None)
    assert whole["error"] is None
    assert ran.json["complete"] is False
    assert catalog_cli("checksum", tmp_path / "fifo.tif", good, "--allow-incomplete").code == 0
    words = catalog_cli("checksum", tmp_path / "fifo.tif")
    assert words.code == 3
    assert f"cannot be read: {tmp_path / 'fifo.tif'}: not a regular file" in words.stderr


def test_file_without_permission_names_the_reason(catalog_cli: Any, tmp_path: Path) -> None:
    picture(tmp_path / "a.png", 1).chmod(0)
    ran = catalog_cli("checksum", tmp_path / "a.png", "--json", prefix=less_than_root())
    assert (ran.code, ran.json["files"][0]["error"]) == (3, "Permission denied")


def test_file_that_does_not_decode_is_an_answer(catalog_cli: Any, tmp_path: Path) -> None:
    (tmp_path / "notes.tif").write_text("not a picture\n")
    ran = catalog_cli("checksum", tmp_path / "notes.tif", "--json")
    assert ran.code == 0
    (file,) = ran.json["files"]
    assert (file["fidelity"], file["pixels"], file["image"]) == ("undecodable", None, None)
    assert file["fidelity_reason"] == "text, not an image"
    assert file["raw"]["md5"] == hashlib.md5(b"not a picture\n").hexdigest()
    assert set(file["loader_errors"]) == set(file["loaders"])
    words = catalog_cli("checksum", tmp_path / "notes.tif").out
    assert "  fidelity        undecodable: text, not an image" in words
    assert "  pixels          none: not decoded" in words


def test_damage_shows_in_the_printed_checksum(catalog_cli: Any, tmp_path: Path) -> None:
    path = picture(tmp_path / "a.tif", 1)
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])  # its strip stands at the end
    (file,) = catalog_cli("checksum", path, "--json").json["files"]
    assert file["fidelity"] == "damaged"
    assert file["fidelity_reason"]
    assert file["pixels"] is None or file["pixels"].startswith("pix1-damaged:")
    assert f"  fidelity        damaged: {file['fidelity_reason']}" in catalog_cli("checksum", path).out


def test_folder_is_a_usage_error_that_names_scan(catalog_cli: Any, tmp_path: Path) -> None:
    ran = catalog_cli("checksum", picture(tmp_path / "a.png", 1), tmp_path)
    assert (ran.code, ran.stdout) == (2, b"")
    assert f"catalog scan {tmp_path}" in ran.stderr


def test_no_catalogue_is_needed_and_none_is_made(catalog_cli: Any, tmp_path: Path) -> None:
    ran = catalog_cli("checksum", picture(tmp_path / "a.png", 1))
    assert ran.code == 0
    assert not catalog_cli.database.exists()


def test_reader_that_goes_away_ends_the_command_quietly(catalog_cli: Any, tmp_path: Path) -> None:
    paths = [picture(tmp_path / f"{shade}.png", shade) for shade in range(40)]
    with catalog_cli.start("checksum", "--ndjson", *paths * 20) as process:
        assert process.stdout.readline().startswith(b'{"path"')
        process.stdout.close()
        assert process.wait(60) == 0
        assert process.stderr.read() == b""


def test_progress_bar_on_the_terminal_leaves_the_answer_in_the_file(catalog_cli: Any, tmp_path: Path) -> None:
    names = []
    for shade in range(60):
        image = Image.effect_noise((400, 300), 40 + shade)
        image.save(tmp_path / f"{shade}.png")
        names.append(f"{shade}.png")
    ours, theirs = pty.openpty()
    try:
        with (
            open(tmp_path / "answer.txt", "wb") as answer,
            catalog_cli.start("checksum", *names, cwd=tmp_path, stdout=answer, stderr=theirs) as process,
        ):
            shown = b""
            while process.poll() is None or select.select([ours], [], [], 0)[0]:
                if select.select([ours], [], [], 0.1)[0]:
                    shown += os.read(ours, 65536)
            assert process.returncode == 0
    finally:
        os.close(ours)
        os.close(theirs)
    text = (tmp_path / "answer.txt").read_text()
    assert [line for line in text.splitlines() if line.endswith(".png")] == names
    assert text.count("\n  pixels          pix1:") == 60
    assert b"pix1:" not in shown
