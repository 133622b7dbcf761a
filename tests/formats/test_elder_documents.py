"""Office documents of before 2007: each refused in a sentence that says what to do, and no installer taken for one.

There is no verifier to ask, for nothing is signed. The documents are compound files by the second book, with the
streams that Microsoft's documents name, and nothing in them.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from tests.formats import cfb_builder
from tests.formats.signing import signatory
from tests.formats.walking import look, sign, wrong

from privyseal.errors import MalformedCode

EXCEL, WORD, NOTHING = (bytes.fromhex(f"{one}0000000000c000000000000046") for one in ("200802", "060902", "000000"))
PROJECT: dict[str, Any] = {"VBA": {"dir": b"d" * 900, "_VBA_PROJECT": b"v" * 70}, "PROJECT": b'Name="VBAProject"\r\n'}
SUMMARY = {"\5SummaryInformation": b"s" * 300, "\5DocumentSummaryInformation": b"d" * 300}
LARGE = bytes(range(256)) * 40
"""More than the beginning by which a format is told: the directory stands behind it."""

REFUSED: dict[str, tuple[dict[str, Any], bytes, str, str]] = {
    "book.xls": ({"Workbook": LARGE, "_VBA_PROJECT_CUR": PROJECT}, EXCEL, "an Excel workbook in", "xlsm, xltm or xlam"),
    "old.xla": ({"Book": b"b" * 900, "_VBA_PROJECT_CUR": PROJECT}, NOTHING, "an Excel workbook in", "xlsm, xltm"),
    "capitals.xls": ({"WORKBOOK": b"w" * 900, "_VBA_PROJECT_CUR": PROJECT}, NOTHING, "an Excel workbook in", "xlsm"),
    "text.doc": (
        {"WordDocument": LARGE, "1Table": b"t", "Macros": PROJECT},
        WORD,
        "a Word document in",
        "docm or dotm",
    ),
    "slides.ppt": (
        {"PowerPoint Document": LARGE, "Current User": b"c"},
        NOTHING,
        "a PowerPoint presentation in",
        "pptm",
    ),
    "plan.vsd": ({"VisioDocument": b"v" * 900}, NOTHING, "a Visio drawing in", "vsdm"),
    "plain.xls": ({"Workbook": LARGE}, EXCEL, "plain.xls has no macros", "signed in Office"),
    "plain.dot": ({"WordDocument": LARGE, "1Table": b"t"}, WORD, "plain.dot has no macros", "signed in Office"),
    "secret.xlsm": ({"EncryptedPackage": LARGE, "EncryptionInfo": b"e"}, NOTHING, "with a password", "password off"),
    "vbaProject.bin": (PROJECT, NOTHING, "a VBA project without its document", "sign the document"),
}


@pytest.mark.parametrize("major", [3, 4])
@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_one_sentence(tmp_path: Path, name: str, major: int):
    """Whatever it is called, and wherever in the file the directory stands."""
    tree, clsid, words, advice = REFUSED[name]
    for called in (name, "attachment"):
        path = cfb_builder.build(tmp_path / called, {**SUMMARY, **tree}, major=major, clsid=clsid)
        before = path.read_bytes()
        with pytest.raises(MalformedCode) as caught:
            sign(path, signatory("ecdsa-p256"))
        assert words.replace(name, called) in caught.value.detail and advice in (caught.value.hint or "")
        assert path.read_bytes() == before


def test_why_is_said(tmp_path: Path):
    path = cfb_builder.build(tmp_path / "book.xls", REFUSED["book.xls"][0], major=3, clsid=EXCEL)
    with pytest.raises(MalformedCode, match="not settled where Office keeps their newer signatures in it"):
        look(path)


def test_other_compound_files_are_called_what_they_are(tmp_path: Path):
    path = cfb_builder.build(tmp_path / "mail.msg", {"__properties_version1.0": b"p" * 70}, major=3, clsid=NOTHING)
    with pytest.raises(MalformedCode, match="none of Windows Installer"):
        look(path)


def test_an_installer_stays_one(tmp_path: Path):
    """Its class says so, whatever its name and its streams."""
    tree = {
        **cfb_builder.tables(),
        "Workbook": b"w",
        "WordDocument": b"w",
        "EncryptedPackage": b"e",
        "VBA": {"a": b"a"},
    }
    path = cfb_builder.build(tmp_path / "setup.xls", tree)
    sign(path, signatory("ecdsa-p256"))
    assert not wrong(path) and look(path).signatures[0].format == "msi"


def test_mutants(tmp_path: Path):
    """2,000 broken ones: a sentence for each, and no other error.

    Their reader is the one of installers, whose memory and time ``test_windows_hostile.py`` measures.
    """
    wholes = []
    for name, (tree, clsid, _, _) in REFUSED.items():
        path = cfb_builder.build(tmp_path / name, {**SUMMARY, **tree}, major=3, clsid=clsid)
        wholes.append((path, path.read_bytes()))
    told = 0
    for seed in range(2000):
        chance = random.Random(seed)
        path, whole = wholes[seed % len(wholes)]
        octets = bytearray(whole)
        for _ in range(chance.choice((1, 1, 2, 5))):
            size = chance.choice((1, 2, 4))
            structure = 128 * chance.randrange(1 + len(octets) // 128) + chance.randrange(64, 124, 4)
            at = min(chance.choice((chance.randrange(0x18, 0x60), structure)), len(octets) - size)
            octets[at : at + size] = chance.choice((bytes(4), b"\xff" * 4, chance.randbytes(4)))[:size]
        if chance.random() < 0.1:
            del octets[chance.randrange(len(octets)) :]
        path.write_bytes(octets)
        with pytest.raises(MalformedCode) as caught:
            look(path)
        told += "none of Windows Installer" not in caught.value.detail and "no compound file" not in caught.value.detail
    assert told > 500
