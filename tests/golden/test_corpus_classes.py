"""Every file of the corpus through real decode workers: no crash, no hang, a class with a reason, known digests.

The digests are kept as hashes of lines, so that no picture and no list of pictures is in the project.
"""

from __future__ import annotations

import hashlib
import os
import random
import re
import shutil
import subprocess
import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from catalog.inspection import Pool
from catalog.pixels.analyse import analyse
from catalog.pixels.digest import frame_digests
from catalog.pixels.raster import Raster, decode_frames, orientation_of
from catalog.pixels.structure import parse
from catalog.terms import Analysis, Fidelity, Inspection, Job, Limits, Toolchain

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

FOLDERS = ("exif-orientation", "image-tiff", "libtiff", "pngsuite", "shaggy")
CLASSES = {
    "exif-orientation": {"decoder": 18},
    "image-tiff": {"exact": 202, "decoder": 9, "unverified": 4, "damaged": 2, "undecodable": 3},
    "libtiff": {"exact": 31, "decoder": 6, "unverified": 1},
    "pngsuite": {"exact": 323, "undecodable": 14},
    "shaggy": {"exact": 107, "undecodable": 3},
}
"""Folder -> how many files are of which class."""
REASONS = (
    r"(JPEG|JPEG \(old style\)|WebP) compression: samples depend on the decoder",
    r"(image 1 of 2: )?subsampled YCbCr: samples depend on the decoder",
    r"SGI LogLuv( 24)? compression is not known to be exact",
    r"image 1 of 2: imcd_packints_decode returned -1",  # ThunderScan data that end too early
    r"tiles 1, 2, 3 of 3 beyond the end of the file: .*",
    r"truncated: (directory 1|the first directory) is at byte [\d,]+ of [\d,]+.*",
    r"directory 0 has no image size \(0 x (0|255)\)",
    r"PNG: there is no color type \d with \d+ bits",
    r"the PNG signature is damaged .*",
    r"chunk (IDAT|IHDR) at byte \d+ has a wrong CRC; .*",
    r"no image data \(IDAT\); .*",
    r"text, not an image",
)
"""Why files of the corpus are of another class than exact."""


# --------------------------------------------------------------------------------------------- the workers


@dataclass(frozen=True)
class Everything:
    inspections: dict[str, Inspection]
    analyses: dict[str, Analysis]
    toolchain: Toolchain

    def of(self, folder: str) -> list[tuple[str, Analysis]]:
        return sorted((name, one) for name, one in self.analyses.items() if name.startswith(f"{folder}/"))


@pytest.fixture(scope="module")
def everything(corpus: Path) -> Everything:
    """Two workers, 20 seconds for each file by the parent's clock; equal contents are analysed once."""
    paths = sorted(path for folder in FOLDERS for path in (corpus / folder).rglob("*") if path.is_file())
    found: dict[str, Inspection] = {}
    limits = Limits(seconds=20)
    with Pool(
        workers=2, limits=limits, root_paths=lambda _: os.fsencode(corpus), known=lambda _: set()
    ) as pool:
        for path in paths:
            pool.submit(Job(1, os.fsencode(path.relative_to(corpus)), path.stat().st_size))
        end = time.monotonic() + 200
        while pool.outstanding:
            assert time.monotonic() < end, f"{pool.outstanding} files are still out"
            found |= {os.fsdecode(each.job.path): each for each in pool.poll(1.0)}
        toolchain = pool.toolchain
    assert len(found) == len(paths)
    contents = {each.sha256: each.analysis for each in found.values() if each.analysis is not None}
    analyses = {name: contents[each.sha256] for name, each in found.items()}
    return Everything(found, analyses, toolchain)


def test_no_file_crashes_or_holds_up_a_worker(everything: Everything) -> None:
    for name, inspection in everything.inspections.items():
        assert inspection.failure is None, name
        reason = everything.analyses[name].reason or ""
        assert not re.search("worker|memory|seconds|limit|decoder failed:", reason), (name, reason)


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_file_is_of_its_class(folder: str, everything: Everything) -> None:
    assert Counter(one.fidelity.value for _, one in everything.of(folder)) == CLASSES[folder]


def test_every_class_but_exact_has_a_known_reason(everything: Everything) -> None:
    for name, one in everything.analyses.items():
        if one.fidelity is Fidelity.EXACT:
            assert (one.reason, one.pixels is None, one.view is None) == (None, False, False), name
        else:
            assert any(re.fullmatch(reason, one.reason or "") for reason in REASONS), (name, one.reason)
        assert (one.payload is None) == bool(one.payload_reason) or not one.pages, name


def test_workers_find_what_the_library_finds(everything: Everything, corpus: Path) -> None:
    """What decoders say on descriptor 2 is heard in the worker alone; no good file makes them speak."""
    for name, one in everything.analyses.items():
        here = analyse((corpus / name).read_bytes(), limits=Limits())
        assert (here.fidelity, here.pixels, here.view) == (one.fidelity, one.pixels, one.view), name
        assert here.payload == one.payload, name


# ------------------------------------------------------------------------------------------ golden digests

GOLDEN: dict[str, tuple[str, str]] = {
    "exif-orientation": (
        "7071221b9dfdd3a72ed9b35709fedefa29339da3641ec5f27588bae82c854927",
        """
cc70e23377addd1d333ff6b9081c7644102345555d2194e2dee80d87cd9446d4add2cd53
""",
    ),
    "image-tiff": (
        "cdb091ac89c79421e2fbd8e7fe46adb9db783d1b04264d50eec8e1f1b9137a89",
        """
80582b2c5283bc94649de975d28999107f918cac6c3db9281b1bf3a28c5421dc10dc0f59310c2edd44ae8d04bfe6658ffd3ddebafa2e5654
a74ea72ea15539f04aca599ea167b6ac0c35805ff4846d631a9e76712b8e301068d8e8f3a21499af4092dd4b0a05fc40958d9f8cccd4f0f8
653af9684fe5f539077143988b86336937f4bd373355106d6632294810a259183f14aa102e1f26c0095db8e8d59d0cfa2bb6000a5a6aa591
bac078e29cad7c72b95ed83eba611248f19559475e2ba566500aff3178425f184bd6aa19e1198c323d1bb9f9f55ffeb9fdcc0c07434ff2b0
194343f8bfec390f84f673e4c0b88ba6288bec1d253f4d93ed82c0cdc3738eb86e5fc1dca1dd512deae8dfdc16d529c8b5df038cf77d0bc9
6d2187561f1a758543082a67806adef610e51d32db79657d4e233b15729f1b4be53f8e81f55eb40004baffa131b6829e223538e2291c3e2f
f237b715e658cf708acc2e8da637b9a34bd35737895f22b6b4ce0796a68dc74acba7ea840138b6834677eca2c02dc950e5f87ec6b3d4fc54
245ea1d4795686c1f9092d3108713bed086fcf64a0b5f96876fcd1a1b463f9711454527a2b3a68ccae3922e1b0a3f627
""",
    ),
    "libtiff": (
        "7683fb850701ef11ef5c2760e6bf075153b7cf0eeee9e95dae485b454ec9ae78",
        """
1688a3605ede560f42afc66ec0c1647f9e8ac55045f5f378b884464412be0f64e795d56432e460796c509e312e87577ec9dd04763ed41283
34fe386fefd10fbfc0814a4b343638feb2ed3228
""",
    ),
    "pngsuite": (
        "921e5565fbb2af6eefff0349ee6b107ca6f3fb3c8aad0e52acfc348316bcf545",
        """
7f04e0118599fe3d5ee222c124c833ee7141603b0a169a20a5ae4f9d44978aa0efde15f6616220035a77f1adf1c42ceb7a439df74a2c609b
ca1867fe6e109962940537aab8682e40969d272d084dd9565163d3ca01a11af099129d64f629f51a3bfc5e6d3b05b572f34001d2b9579f09
d8ea550a4ffc1f26ed9264bfc93c03b55a0c1df03096d3638e298ef7728908cf62cf39e5fce115f73da9100add2533785d27795da2cfc89b
3f2b6e18882ddd0957dd557854f7e7457994ce74d8708531ca525c63ba66e7875840a92fcdc28d51b1738d1d581f4f9df8b9b80c6fc78134
774c2bace259691acebbe666a095b14b6dceb50210651dc32568924ed5c1ae563a59ca07687a3e762571da9ec3f2dc9b9d0c4730552f6a70
34f006664d1f8d07a6753c5a2adc6fb913e86135c0da7c1fbc3fca40be02110d29139510feba380eec18ba2adbc1944b0cd37d23cc629e36
c6acfe798c1085909f85b2f5ae771f8c87a2bcc7cb1e34a6471c7f7fc307528a1438f03cf497135ab6ad1bd3ee6aa8152e3de0c29789aa37
96b90fc1c2c7191f4a38979016845a18a4518c1fe693623289e27dc6399921a0ac94f46f1652e504c06660aa29a49e74b6eff0c61c8ea640
26ce333d3fbe39c717ece4a4f6d98bfb9aa78960e7292987b1859ecf71e43ec298e9d3c16ceb905fcade15f6410beb3f08b2d4f1aa9be818
cdadb4fffb628bc4cfbcae61cf6d71769555f74e59b5bc6e03c5a720dfda803f971d879dae0ac52cf80bce9d9e314ecdb349b1f67a794b2a
3bbbd0631d7b3a6e75ff3938213ab59917791ae7b473dda2c0f1bda8630d8cc2c42de68a4a7245d029f2b93235d92a5dfd8afe8e5242574f
2f3ad9f964a7b9ae0984ae1407163fc6be1c1e829ebc598c81578881d02d54077c03733a6d146062b2505df3f027899d40e8ece3d96cfc40
db65
""",
    ),
    "shaggy": (
        "8b9622f8de05eb7b106bae7d7fe1781d5846fb2fd040ee8c763520e3ecfc81ff",
        """
cdd29735553a346db982b46b527fb5600db1fdb353883169d8f9dfab0a83882151fe6784e13f4702e8170832d9a1e75a50516a6c8e16cad4
c42a06981e6411981928acb2d9020bc4341b97a3b1fce5bebc130134779dff70621a814cfe7811e031b18de0c8174b915338b09618c4ffbc
1c310366a8fb7271ed9a349e3aad8dea38a606064bfc52b0a9c797569c92fb873ecd18f7b0ca7cc897c889b53346407b22749acf208729b5
3926607ffeed11f47ede8a4201503e169a71b91fdbb6e29cfc03bde46d4fdfbcfd1a9aa4d8e79908d53c059e6e334040cb4d2969
""",
    ),
}
"""Folder -> SHA-256 of all lines, and the first two bytes of each line's, in the order of the paths."""
DECODED: tuple[str, str] = (
    "87641bb3c35a25cf1fb41323e921a2e36e63e27f550a60a13d87a37974d3a621",
    "1201601d1e887806ea370c4726f04ca55988ff5fe34a87fa1ae81286ae49f54b",
)
"""(Epoch, SHA-256 of the lines of the class ``decoder``)."""


def line_of(name: str, one: Analysis, *, decoded: bool = False) -> str:
    """One file in one line; digests that depend on the decoders of the day only when asked for."""
    told = one.fidelity is Fidelity.EXACT or (decoded and one.fidelity is Fidelity.DECODER)
    digests = (one.pixels if told else None, one.view if told else None, one.payload)
    return " ".join([name, one.fidelity.value, *(each.hex() if each else "-" for each in digests)])


def sha256(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


@pytest.mark.parametrize("folder", FOLDERS)
def test_exact_and_payload_digests_are_what_they_were(folder: str, everything: Everything) -> None:
    lines = {name: line_of(name, one) for name, one in everything.of(folder)}
    whole, each = GOLDEN[folder]
    known = re.findall("....", each.replace("\n", ""))
    changed = [
        name
        for (name, line), code in zip(lines.items(), known, strict=True)
        if sha256(line)[:2].hex() != code
    ]
    assert changed == []
    assert sha256("\n".join(lines.values())).hex() == whole


def test_decoded_digests_are_those_of_their_epoch(everything: Everything) -> None:
    epoch, whole = DECODED
    if everything.toolchain.epoch.hex() != epoch:
        pytest.skip(f"these decoders are of the epoch {everything.toolchain.epoch.hex()}, not {epoch}")
    sound = [
        (name, one) for name, one in sorted(everything.analyses.items()) if one.fidelity is Fidelity.DECODER
    ]
    assert sha256("\n".join(line_of(name, one, decoded=True) for name, one in sound)).hex() == whole


# --------------------------------------------------------------------------------------------- single bits


def test_one_bit_of_any_sample_of_any_exact_image_changes_its_digests(
    everything: Everything, corpus: Path
) -> None:
    """Of each image the first sample, the last, and a random one: all of it is in the digest."""
    places = random.Random(3)
    images = 0
    for name, one in everything.analyses.items():
        if one.fidelity is not Fidelity.EXACT:
            continue
        content = (corpus / name).read_bytes()
        structure = parse(content)
        for frame, decoded in decode_frames(structure, content, Limits()):
            raster = decoded.raster
            assert raster is not None
            array = raster.array().copy()
            whole = array.reshape(-1).view(f"<u{raster.sample_bytes}")
            orientation = orientation_of(structure, frame)
            pixels, view = frame_digests(Raster.of(raster.model, raster.dtype, array), orientation)
            assert (pixels, view) == (one.pages[frame.index].pixels, one.pages[frame.index].view), name
            for at in {0, whole.size - 1, places.randrange(whole.size)}:
                bit = whole.dtype.type(1 << places.randrange(int(raster.dtype[1:])))
                whole[at] ^= bit
                changed = frame_digests(Raster.of(raster.model, raster.dtype, array), orientation)
                whole[at] ^= bit
                assert changed[0] != pixels, (name, at)
                assert changed[1] != view or raster.model.startswith(("rgba", "graya", "cmyka")), (
                    name,
                    at,
                )
            images += 1
    assert images > 663


# --------------------------------------------------------------------------------------------- ImageMagick

SIGNED = "%# %w %h %[colorspace] %i\n"


def signatures(paths: list[Path]) -> dict[Path, tuple[str, ...]]:
    """ImageMagick's own hash of each image, with what it leaves out: size and colour model."""
    identify = shutil.which("identify")
    if identify is None:
        pytest.skip("identify is not installed, so nothing was proved here: apt install imagemagick")
    found: dict[Path, tuple[str, ...]] = {}
    for start in range(0, len(paths), 16):
        todo = paths[start : start + 16]
        for group in (todo, *([path] for path in todo)):  # one file that it refuses ends the list
            missing = [path for path in group if path not in found]
            if not missing or (len(group) > 1 and missing != group):
                continue
            command = [identify, "-quiet", "-format", SIGNED, *missing]
            ran = subprocess.run(command, capture_output=True, timeout=100, check=False, text=True)
            for line in ran.stdout.splitlines():
                signature, width, height, space, name = line.split(" ", 4)
                found[Path(name)] = (signature, width, height, "CMYK" if space == "CMYK" else "")
    return found


def is_comparable(content: bytes, one: Analysis) -> bool:
    """Whether ``%#`` of ImageMagick 6 (Q16) is defined for the image. Its blind spots:

    - it keeps 16 bits of a sample and no sign: deeper, signed and floating samples are cut, further samples lost;
    - it does not turn WhiteIsZero round in samples of other depths than 1, 8 and 16;
    - it hashes 16-bit samples in the byte order of the file: the same picture has two hashes;
    - it opens the first of several images.
    """
    assert one.image is not None and one.layout is not None
    facts = one.image
    if len(one.pages) > 1 or facts.dtype[0] != "u" or int(facts.dtype[1:]) > 16 or "+" in facts.model:
        return False
    tiff = parse(content).frames[0].tiff
    odd_white = tiff is not None and tiff.photometric == 0 and tiff.bits[0] not in (1, 8, 16)
    return not odd_white and not (one.layout.byte_order == "big" and facts.dtype != "u8")


def test_imagemagick_and_we_see_the_same_groups_of_equal_pictures(
    everything: Everything, corpus: Path
) -> None:
    comparable = [
        corpus / name
        for name, one in sorted(everything.analyses.items())
        if one.fidelity is Fidelity.EXACT and is_comparable((corpus / name).read_bytes(), one)
    ]
    signed = signatures(comparable)
    assert len(signed) > 550
    by_pixels: dict[Any, set[Any]] = defaultdict(set)
    by_signature: dict[Any, set[Any]] = defaultdict(set)
    for path, signature in signed.items():
        one = everything.analyses[str(path.relative_to(corpus))]
        by_pixels[one.pixels].add(signature)
        by_signature[signature].add(one.view)
    assert [group for group in by_pixels.values() if len(group) > 1] == []
    assert [group for group in by_signature.values() if len(group) > 1] == []
    assert len(by_pixels) > 300


def test_pictures_that_imagemagick_cannot_tell_apart_have_digests_of_their_own(tmp_path: Path) -> None:
    samples = np.random.default_rng(1).integers(0, 256, 800, dtype=np.uint8)
    pairs = {
        "shape": [(samples[:600].reshape(10, 20, 3), "rgb"), (samples[:600].reshape(20, 10, 3), "rgb")],
        "model": [(samples.reshape(10, 20, 4), "separated"), (samples.reshape(10, 20, 4), "rgb")],
    }
    for name, (one, other) in pairs.items():
        found, paths = [], []
        for number, (array, photometric) in enumerate((one, other)):
            path = tmp_path / f"{name}{number}.tif"
            buffer = BytesIO()
            extra = {"extrasamples": ["unassalpha"]} if array.shape[2] == 4 and photometric == "rgb" else {}
            tifffile.imwrite(buffer, array, photometric=photometric, **extra)
            path.write_bytes(buffer.getvalue())
            paths.append(path)
            found.append(analyse(buffer.getvalue(), limits=Limits()))
        hashes = [signature for signature, *_ in signatures(paths).values()]
        assert hashes[0] == hashes[1], name
        assert found[0].pixels != found[1].pixels, name
        assert found[0].view != found[1].view, name
