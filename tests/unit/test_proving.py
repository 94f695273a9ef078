"""The proof of the decoders: it holds here, and a decoder that lies does not pass it."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Any

import cv2
import numpy as np
import pytest

from catalog.pixels import analyse, epoch, loaders, made_up, proving
from catalog.terms import Analysis, Fidelity, Limits

NAMES = [
    "one picture, one checksum",
    "one sample, another checksum",
    "decoders agree",
    "loader checksums",
    "decoder epoch",
]


def states() -> dict[str, str]:
    return {check["name"]: check["state"] for check in proving.prove(Limits())}


def test_decoders_of_this_machine_pass() -> None:
    checks = proving.prove(Limits())
    assert [(check["name"], check["state"]) for check in checks] == [(name, "ok") for name in NAMES]
    assert checks[-1]["epoch"] == epoch.epoch().hex()
    assert not any(check["advice"] for check in checks)


def test_every_container_is_tried() -> None:
    tried = {name for picture in made_up.pictures() for name in picture.writers}
    assert {
        *("TIFF", "TIFF LZW", "TIFF Deflate", "TIFF tiles", "TIFF planes", "TIFF big-endian", "BigTIFF"),
        *("PNG", "WEBP lossless", "BMP", "PPM", "GIF palette", "TIFF G4", "PNG by OpenCV"),
    } <= tried


def test_an_analysis_that_sees_no_samples_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def blind(content: bytes, **_: Any) -> Analysis:
        return Analysis(Fidelity.EXACT, None, pixels=b"\0" * 32)

    monkeypatch.setattr(analyse, "analyse", blind)
    found = states()
    assert (found[NAMES[0]], found[NAMES[1]]) == ("failed", "failed")


def test_an_analysis_that_forgets_the_depth_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    real = analyse.analyse

    def shallow(content: bytes, **options: Any) -> Analysis:
        found = real(content, **options)
        if content[:2] != b"P5":
            return found
        return dataclasses.replace(found, pixels=hashlib.sha256(content[-48:]).digest())

    monkeypatch.setattr(analyse, "analyse", shallow)
    found = proving.prove(Limits())[1]
    assert found["state"] == "failed"
    assert "16 bits" in found["what"]


def test_a_decoder_that_is_off_by_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = cv2.imdecode

    def off(*given: Any) -> Any:
        array = real(*given)
        array[0, 0] ^= 1
        return array

    monkeypatch.setattr(cv2, "imdecode", off)
    found = {check["name"]: check for check in proving.prove(Limits())}
    assert found["decoders agree"]["state"] == "failed"
    assert "OpenCV" in found["decoders agree"]["what"]
    assert found["loader checksums"]["state"] == "failed"
    assert "cv2" in found["loader checksums"]["what"]


def test_another_encoder_of_pillow_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    real = loaders.loader_checksums
    monkeypatch.setattr(
        loaders,
        "loader_checksums",
        lambda *given: dataclasses.replace(real(*given), pillow_save_md5=b"\1" * 16),
    )
    assert states()["loader checksums"] == "warning"


def test_a_library_that_raises_is_a_finding_and_the_other_checks_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken() -> bytes:
        raise RuntimeError("libjpeg is gone")

    monkeypatch.setattr(epoch, "epoch", broken)
    checks = proving.prove(Limits())
    assert [check["state"] for check in checks] == ["ok"] * 4 + ["failed"]
    assert "libjpeg is gone" in checks[-1]["what"]


def test_the_canaries_are_what_they_claim_to_be() -> None:
    for picture in made_up.pictures():
        differs = np.argwhere(picture.changed() != picture.samples)
        assert len(differs) == 1
        assert picture.digest(picture.changed()) != picture.digest(picture.samples)
