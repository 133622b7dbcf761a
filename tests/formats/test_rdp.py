"""RDP files signed, replaced, timestamped later, taken apart again, refused; rdpsign's rules, and openssl over them."""

from __future__ import annotations

import base64
import codecs
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA1
from tests.formats import rdp_rules
from tests.formats.rdp_rules import SETTINGS, connection
from tests.formats.signing import APPEND, PLAIN, signatory, stamp
from tests.formats.test_pe_layout import Held
from tests.formats.test_windows_every_octet import flipped
from tests.formats.walking import describe, look, remove, sign, stamp_later, wrong

from privyseal import verify
from privyseal.errors import BadInput, Impossible, MalformedCode
from privyseal.formats import operations
from privyseal.formats.catalogue import BY_NAME
from privyseal.pki.chain import Anchors
from privyseal.terms.signatures import Options

RDP = BY_NAME["rdp"]
SHAPES: dict[str, bytes] = {
    "utf-16": connection(),
    "utf-8": connection(encoding="utf-8-sig"),
    "ascii": connection(encoding="ascii"),
    "lf": connection(encoding="ascii", end="\n"),
    "open": connection(closed=False),
    "open lf": connection(encoding="utf-8-sig", end="\n", closed=False),
    "own address": connection("alternate full address:s:other.example.com"),
    "own address last": connection("alternate full address:s:rds.example.com", encoding="ascii", closed=False),
    "umlauts": connection("remoteapplicationname:s:Übersicht \U0001f600", "username:s:Jörg"),
    "ansi": connection("username:s:J\xf6rg", encoding="latin-1"),
    "blank lines": connection("", "", encoding="ascii"),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "example.rdp"
    path.write_bytes(connection())
    return path


def accepted(path: Path) -> bool:
    _, _, root = signatory().write_pem(path.parent)
    return rdp_rules.by_openssl(path, path.parent, root)


@pytest.mark.parametrize("shape", SHAPES)
def test_there_and_back(path: Path, shape: str):
    """Signed, a timestamp later, signed anew, removed: the very file; openssl accepts it all the way."""
    path.write_bytes(original := SHAPES[shape])
    first = describe(path)
    sign(path, signatory())
    assert not wrong(path) and accepted(path) and describe(path) == first
    text, _ = rdp_rules.text_and_message(path.read_bytes())
    (found,) = look(path).signatures
    assert text.decode("utf-16-le").startswith("full address:s:rds.example.com\r\n")
    assert len(text) == first.size and found.digest == first.digest
    stamp_later(path, 0)
    assert not wrong(path) and accepted(path) and look(path).signatures[0].timestamp and describe(path) == first
    sign(path, signatory(), digest="sha384", stamped=True)
    assert len(look(path).signatures) == 1 and not wrong(path) and accepted(path)
    remove(path)
    assert path.read_bytes() == original and not look(path).signatures and not look(path).problems
    remove(path)
    assert path.read_bytes() == original


def test_as_rdpsign_writes_it(path: Path):
    """The scope in rdpsign's order, an alternate address where there is none, base64 in pieces with two blanks."""
    sign(path, signatory())
    *before, alternate, scope, signature, last = path.read_bytes().decode("utf-16").split("\r\n")
    assert tuple(before) == SETTINGS and last == ""
    assert alternate == "Alternate Full Address:s:rds.example.com"
    assert scope == f"signscope:s:{rdp_rules.SCOPE}"
    value = signature.removeprefix("signature:s:")
    assert value.startswith("AQABAAEAAAB") and {len(one) for one in value.split("  ")[:-2]} == {64}
    assert describe(path).facts["Full Address"] == "full address:s:rds.example.com"


MICROSOFTS = (
    "redirectclipboard:i:0", "redirectprinters:i:0", "redirectcomports:i:1", "redirectsmartcards:i:0",
    "devicestoredirect:s:", "drivestoredirect:s:*", "redirectdrives:i:1", "session bpp:i:32",
    "prompt for credentials on client:i:1", "span monitors:i:1", "use multimon:i:1", "remoteapplicationmode:i:1",
    "server port:i:3389", "allow font smoothing:i:1", "promptcredentialonce:i:1", "authentication level:i:0",
    "gatewayusagemethod:i:2", "gatewayprofileusagemethod:i:0", "gatewaycredentialssource:i:0",
    "full address:s:RDVB9-101184.rdvteam.stbtest.microsoft.com", "alternate shell:s:||cmd",
    "remoteapplicationprogram:s:||cmd", "remoteapplicationname:s:cmd.exe", "remoteapplicationcmdline:s:",
    "workspace id:s:RDVB9-101184.rdvteam.stbtest.microsoft.com", "use redirection server name:i:1",
    "loadbalanceinfo:s:tsv://MS Terminal Services Plugin.1.RDVB9-101184",
    "alternate full address:s:RDVB9-101184.rdvteam.stbtest.microsoft.com",
)  # fmt: skip
MODULUS = (
    "oOOcj2o9ZWMG8iiz3e315xMvolgSVY/J6dy4pJz5ZlsGXODw56nq4r9En8/AxEDqMu2DYJA1mc05xHYzqhZullbAV1khgN+EE2Jy0r0XTt4slbiE"
    "ITmtMj5wSYW0qbyrpPP0+inU6Zm+FZhkte+Ery/rO+/09c2ei02VRboQaEox4jY22nLF7mOCsxdUzfBzFBE7pswtTl/qji6niTf7oyofKFOGZy4E"
    "wIrCadtHAvAlBR8GgZ6/snLurFl8bX0w0c5om/bQ51E0t6wPgjlitP41zokkWc9xubTgBb81jp0+J1SgszJoD1qfRsteafy/MImLVNVfoSHn35GO"
    "s9wmZQ=="
)
VALUE = (
    "Rg6AoNGE/Fg16ohkHCT+AivrjbLSELtfB62mMBkmwGGl4M6GsM7x/pnhMrE1iGMXy91Oc/wdv0hojRhLo43DEdu/sQ0GgIkzFOFuC1gmLu88wUp7"
    "L45o7lWtrhwOWWsjMVskbj//5XGrQ9dJnFb2s0cFhtCTEkKuXMRAdSPn0YFHS2Uzk6hhNMmjQ1+jlEJy5mFAod1jHAJrdwaQcE7Ttwp5jh0zntUb"
    "KFE61z26UTmt4V61+Z/eqwtPvcAyibgUwVl80TayNSbmUd7fqVDPVaO9D+Pn4k1pEzfR5dEvdHbLSCHbB7zr1YUh7KGsDCftNm7EIJZWXzoBnGwE"
    "6RAJSg=="
)


def test_the_text_that_microsoft_signed(path: Path):
    """The signature of the sample in [MS-RDWR] 4.2 is over the text that would be signed here of the same settings.

    The page names the server RDVB9-101180 in the settings and RDVB9-101184 in the certificate; the signature is of a
    file that has the latter.
    """
    path.write_bytes("\r\n".join((*MICROSOFTS, "")).encode())
    (tbs,) = RDP.to_be_signed(describe(path), signatory().identity, PLAIN)
    numbers = rsa.RSAPublicNumbers(65537, int.from_bytes(base64.b64decode(MODULUS), "big"))
    numbers.public_key().verify(base64.b64decode(VALUE), tbs.octets, padding.PKCS1v15(), SHA1())  # noqa: S303 - as signed in 2011


def test_what_others_signed(path: Path, tmp_path: Path):
    """Signed as nfedera's rdpsign does; then its lines go, and the address it added in lower case stays."""
    chain, key, _ = signatory().write_pem(tmp_path)
    target = tmp_path / "theirs.rdp"
    rdp_rules.openssl_signs(path, target, tmp_path, chain, key)
    (found,) = look(target).signatures
    assert not found.problems and wrong(target) <= {"not-canonical"}
    sign(target, signatory())
    assert not wrong(target) and accepted(target)
    remove(target)
    assert target.read_bytes() == connection("alternate full address:s:rds.example.com")


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
def test_every_octet_counts(path: Path):
    """Of the settings that are signed, the scope, and the signature; nothing covers how the window looks."""
    path.write_bytes(connection(encoding="ascii"))
    sign(path, signatory(), stamped=True)
    octets = path.read_bytes()
    at, covered = 0, []
    for line in octets.splitlines(keepends=True):
        name = line.split(b":")[0].decode().title()
        signed = name in rdp_rules.SCOPE.title().split(",") or name == "Signscope"
        covered += range(at, at + len(line.rstrip()) * signed)
        at += len(line)
    start = octets.index(b"signature:s:")
    assert flipped(path, covered[::2], (0x20,)) == flipped(path, covered[1::2], (0x01,)) == []
    assert flipped(path, [*range(start, start + 80), *range(len(octets) - 90, len(octets))], (0x01, 0x80)) == []
    assert judged(octets) == "valid"
    for at, flip in flipped(path, list(range(start, start + 5500, 31)), (0x01,)):
        # The intermediate's own signature: only the root, which is not carried, tells.
        assert judged(octets[:at] + bytes((octets[at] ^ flip,)) + octets[at + 1 :]) == "untrusted"


def judged(octets: bytes) -> str:
    code = Held(octets)
    code.filename = "example.rdp"
    anchors = Anchors((signatory().root, stamp().root))
    return verify.verify_file(code, trust=verify.Trust(anchors), at=datetime.now(UTC)).verdict


def test_settings_that_nothing_covers(path: Path):
    """A setting put in afterwards, one taken out, an address beside the signed one: each is named."""
    sign(path, signatory())
    text = path.read_bytes().decode("utf-16")

    def put(changed: str) -> set[str]:
        path.write_bytes(codecs.BOM_UTF16_LE + changed.encode("utf-16-le"))
        return wrong(path)

    assert put(text + "kdcproxyname:s:evil.example.com\r\n") == {"unsigned-setting"}
    assert put(text + "username:s:me\r\n") == set()
    assert put(text.replace("server port:i:3389\r\n", "")) == {"malformed-signature"}
    assert put(text.replace("server port:i:3389", "server port:i:3390")) == {"signature-value"}
    assert put(text.replace("signscope:s:Full Address,", "signscope:s:")) == {"signature-value", "unsigned-setting"}
    assert put(text.replace("SIGNATURE", "signature").replace("  ", " ")) == {"signature-line"}
    with pytest.raises(MalformedCode, match="'full address' stands in it more than once"):
        put(text + "Full Address:s:evil.example.com\r\n")
    with pytest.raises(MalformedCode, match="control character 0x0d"):
        put("a:s:b\rfull address:s:evil.example.com\r\n" + text)


BROKEN: dict[str, tuple[bytes, str]] = {
    "no address": (b"screen mode id:i:2\r\n", "has no full address"),
    "empty address": (b"full address:s:\r\n", "has no full address"),
    "blank before": (b"screen mode id:i:2\r\n full address:s:host\r\n", "line 2 is not written as Windows writes"),
    "blank in": (b"full address:s: host\r\n", "line 1 is not written as Windows writes"),
    "kind": (b"full address:x:host\r\nserver port:i:1\r\n", "is of no format"),
    "kind of another": (connection("pcb:x:1"), "line 18 is not written"),
    "which letters": (connection("remoteapplicationname:s:\xdc", encoding="latin-1"), "no byte order mark says which"),
    "big endian": (codecs.BOM_UTF16_BE + "full address:s:host\r\n".encode("utf-16-be"), "is of no format"),
    "half a unit": (connection() + b"\0", "is not of it"),
    "no utf-8": (connection(encoding="utf-8-sig") + b"\xff", "is not of it"),
    "a mark within": (b"a:s:b\r\n" + connection(encoding="utf-8-sig"), "a byte order mark in its midst"),
    "two marks": (codecs.BOM_UTF16_LE + connection(), "is of no format"),
    "nul": (connection(encoding="ascii") + b"a\0b", "control character 0x00"),
    "long": (connection("loadbalanceinfo:s:" + "x" * 20_000), "at most 32768 are signed"),
    "many lines": (connection(*["a:s:b"] * 5000), "more than 4096 lines"),
    "large": (connection("a:s:" + "x" * (1 << 20)), "at most 1048576 are read"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_what_cannot_be_signed(path: Path, how: str):
    octets, why = BROKEN[how]
    path.write_bytes(octets)
    with pytest.raises((MalformedCode, BadInput), match=why):
        sign(path, signatory())
    assert path.read_bytes() == octets


def test_broken_signatures_and_other_descriptions(path: Path):
    for value in ("", "AAAA", "not base64", "AQABAAEAAAAFAAAAcGtjczc="):
        path.write_bytes(connection("signscope:s:Full Address", f"signature:s:{value}"))
        assert "malformed-signature" in wrong(path), value
    path.write_bytes(connection("signscope:s:Full Address"))
    assert wrong(path) == {"scope"}
    path.write_bytes(connection())
    described = describe(path)
    who = signatory().identity
    facts = described.facts
    for other in (
        msgspec.structs.replace(described, format="pe"),
        msgspec.structs.replace(described, size=3),
        msgspec.structs.replace(described, digest=bytes(32)),
        msgspec.structs.replace(described, facts={}),
        msgspec.structs.replace(described, facts={**facts, "Server Port": 3389}),
        msgspec.structs.replace(described, facts={**facts, "Full Address": "full address:s:other"}),
        msgspec.structs.replace(described, facts={**facts, "username": "username:s:me"}),
        msgspec.structs.replace(described, facts={**facts, "Server Port": "server port:i:1\r\npcb:s:evil"}),
        msgspec.structs.replace(described, facts={key: facts[key] for key in facts if "Address" not in key}),
    ):
        with pytest.raises(BadInput):
            RDP.to_be_signed(other, who, PLAIN)
    with pytest.raises(BadInput, match="RSA"):
        RDP.to_be_signed(described, signatory("ecdsa-p256").identity, PLAIN)
    with pytest.raises(BadInput, match="one signature"):
        RDP.to_be_signed(described, who, Options(mode="append"))
    with pytest.raises(Impossible):
        operations.require_for(RDP, APPEND)
