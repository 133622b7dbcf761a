"""What jsign itself says our scripts and cabinets hash to.

jsign (release 8.0 in the making, July 2026) was compiled and run by hand: it found our one signature in each of these,
computed these digests of it before and after, and wrote the same file from the same signature, octet for octet. Only
lines of Windows Script Host's blocks it has longer than signtool, and of cabinets it leaves out the zeros that fill the
signature up. So the second writing-down of its rules
(``script_rules.py``, ``cab_builder.py``) is right where these are, and the suite needs no Java.

Two differences were found, and both are defects of jsign. A PowerShell script or wsf that is no UTF-8 and has no byte
order mark it reads as UTF-8 all the same, and what it writes has U+FFFD in place of every character that is none. And
it does not guess as PowerShell's package does, from the first 32 octets: XML files it takes for the code page always,
other scripts never.
"""

from __future__ import annotations

import pytest
from tests.formats.cab_builder import cabinet, digest_as_jsign
from tests.formats.script_rules import SAMPLES, digest
from tests.formats.signing import PLAIN, signatory
from tests.formats.test_cab import SHAPES
from tests.formats.test_pe_layout import Held
from tests.formats.test_scripts import ENCODED

from privyseal.formats.catalogue import recognise

SCRIPTS = {
    "ascii.ps1": "795d84834e3b89c930581c685f973e88ae8e9d18e25358eb0541c83c1d7e2c1d",
    "utf-8.ps1": "e45544a3e28671439cbe92c144b1926d50c1516a9960dddb567a5e04f5deaa69",
    "utf-8-bom.ps1": "99630576952e1292ca836ccced69b06dabfdba07f7bd85475845e092fa9afe79",
    "utf-16-be.ps1": "9a761ad732b87448db21009c54c05317319663d5cd9adc6af8911dbc236318b7",
    "ascii.ps1xml": "2626dc38a7d9a973890065418a22a05cc68790307e22bae244851f6cb545bb6d",
    "utf-8-bom.ps1xml": "da2ecb4b7ff143b3fcf279d075f07dd012be37e8dcc0dd167547bffd156bafff",
    "utf-16-be.ps1xml": "87dff1f70d2070aa406ea90574fc3a5eb618015f9ebe4ac7dcd9f5ecd3c0547c",
    "windows-1252.ps1xml": "83c26b4e3aaffeb6c33bcd81623e7677a3e245dae03a3209ee3560a06608486f",
    "ascii.vbs": "f9d0b8cc62718a33d942306ba3f767dede127d7b40730f5f62d898d5a0ace4ce",
    "utf-8.vbs": "10d926af0b62356666c02099800106c852d73b7a6002423fa2c57175ecd9cf49",
    "utf-8-bom.vbs": "7a1c104f2a0a38edd5baa2fa5a0670efaf299db86667e09713f4ca47a16504ba",
    "utf-16-be.vbs": "a178f82357c431d78c90cd794ed89f38631483d7a2c0dbea071dbc0c50417a57",
    "windows-1252.vbs": "fe46e1e474d747ee86493e1e35b392f6639c434e5855f0eebd838fa19e450516",
    "ascii.js": "42c5ae91400e1a3a0008b26216f23b40e58d366151db92c6ad991e39e9ebcffb",
    "utf-8.js": "50abba9cfe699cb23e6e3f4754b7ddb7037720168c6652349c2c23631df2af77",
    "utf-8-bom.js": "1002b41f2c2f8822eb456b430a798e5c03b74ee54826ba4d8c33129bce707de6",
    "utf-16-be.js": "4d9f072adda81ae8c940c6048a5d8abdeb369aa712e72940dacd45398e08aa65",
    "windows-1252.js": "bad130ac07e6336bee950a7670c350e2228cef3450aaea7ccaec79f753aac1ea",
    "ascii.wsf": "f5d505e641b57314709da40a7aa1ea92605148aed1c350f37a552375eb8ebf55",
    "utf-8.wsf": "ffdf767015795b85f76dde225581f8722c0efa2b287730e463d178f94aaeade1",
    "utf-8-bom.wsf": "ffdf767015795b85f76dde225581f8722c0efa2b287730e463d178f94aaeade1",
    "utf-16-be.wsf": "5fd69ddf6ec05b67c75c0f0cc56a11208ee0d249f015ce23f5ef39f3b94ebaf0",
}
CABINETS = {
    "plain": "2598862a7728f97dcc3cc48e5ca6eb16015b32b8ee20d2fca6c81fbe6e101234",
    "two folders": "46b361458ac22b1d2648dbbe862158a3c27a796251c8cfec056da61f8f839fa8",
    "reserve of 20": "2598862a7728f97dcc3cc48e5ca6eb16015b32b8ee20d2fca6c81fbe6e101234",
    "reserve of 6144": "b90cf5bfb653aedc86ce91bf45d31ec89274eaea7678581487350519af2bbe50",
    "reserve of 8": "2598862a7728f97dcc3cc48e5ca6eb16015b32b8ee20d2fca6c81fbe6e101234",
    "reserve in folders": "c9f990aa57913492e96f5e31c1403936e2bcafe30af113c4361585396473661c",
    "reserve in blocks": "f534b4102e73e284e83481e53832f66082c3beffc4cfd1d469e008f6a5c5aed0",
    "reserve everywhere": "721a77557c491260776e3b61c9f6460226d8b6b9ea10018aea26254df7e0d2f6",
    "somebody else's structure": "85306a1969d8876d125f45ad1c14f81348298b6ae7829753adc29c355c0a5621",
    "no room beside it": "d422ed19d96abe59397131f241bb50da12cd9f60f447a0b139a44c274ab699d7",
}


def described(octets: bytes, filename: str) -> str:
    code = Held(octets)
    code.filename = filename
    found = recognise(code)
    prepared = found.prepare(code, found.inspect(code), signatory("ecdsa-p256").identity, PLAIN, "sha256")
    return prepared.described[0].digest.hex()


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts(name: str):
    """We, and the rules as we wrote them down, give what jsign gives."""
    encoding, _, kind = name.rpartition(".")
    octets = ENCODED[encoding](SAMPLES[kind])
    assert described(octets, name) == SCRIPTS[name] == digest(octets, kind).hex()


@pytest.mark.parametrize("shape", CABINETS)
def test_cabinets(shape: str):
    """The same, for every kind of reserve."""
    octets = cabinet(**SHAPES[shape])
    assert described(octets, "x.cab") == CABINETS[shape] == digest_as_jsign(octets).hex()


@pytest.mark.parametrize("kind", ["ps1", "wsf"])
def test_what_jsign_spoils(kind: str):
    """Octets that are no UTF-8 are of the code page, and stay what they are (``test_scripts.py`` takes them back)."""
    octets = ENCODED["windows-1252"](SAMPLES[kind])
    assert b"\xe4" in octets and described(octets, f"x.{kind}") == digest(octets, kind).hex()
