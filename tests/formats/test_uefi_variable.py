"""UEFI variables: signed as efitools and sbsigntool do, verified, replaced, taken apart; and what is none."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from tests.formats.signing import APPEND, blob_for, look, signatory, stamp, troubles
from tests.formats.test_windows_every_octet import flipped
from tests.formats.uefi_builder import (
    MINE,
    OWNER,
    SECURITY,
    SHA256,
    TIME,
    TIME_OCTETS,
    X509,
    db,
    openssl_verifies,
    pieces,
    signature_list,
    signed_octets,
)
from tests.formats.walking import remove, sign, wrong
from tests.pki import mint

from privyseal.errors import BadInput, Impossible, MalformedCode
from privyseal.formats import operations
from privyseal.formats.catalogue import BY_NAME, recognise
from privyseal.formats.protocol import Identity
from privyseal.formats.source import FileSource
from privyseal.pki import certificates
from privyseal.pki.chain import Anchors
from privyseal.terms.signatures import Described, Options, Signature
from privyseal.verify import Trust, verify_file

VARIABLE = BY_NAME["uefi-variable"]
PLAIN = Options(timestamp=False, efi_time=TIME)
ADDED = Options(timestamp=False, efi_time=TIME, efi_attributes=0x67)
LATER = Options(timestamp=False, efi_time="2027-01-31T23:59:59Z")
RSA = signatory()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "db.esl"
    path.write_bytes(db())
    return path


def described(path: Path, options: Options = PLAIN) -> Described:
    with FileSource.open(path) as code:
        return VARIABLE.prepare(code, VARIABLE.inspect(code), RSA.identity, options, "sha256").described[0]


def kind(path: Path) -> str:
    with FileSource.open(path) as code:
        found = recognise(code)
        return found.summarise(code, found.inspect(code)).kind


def test_there_and_back(path: Path):
    """Signed, signed anew at a later time, removed: the very file; what is signed is what the specification says."""
    assert kind(path) == "UEFI variable db with 1 certificate, 2 SHA-256"
    blob = sign(path, RSA, options=PLAIN)
    time, message, content = pieces(path.read_bytes())
    assert (time, message, content) == (TIME_OCTETS, blob, db()) and not wrong(path)
    assert openssl_verifies(message, signed_octets("db", SECURITY, 0x27, time, content), RSA.root, path.parent)
    assert not openssl_verifies(message, signed_octets("dbx", SECURITY, 0x27, time, content), RSA.root, path.parent)
    assert kind(path) == f"UEFI variable db with 1 certificate, 2 SHA-256, in its place as of {TIME}"
    sign(path, RSA, options=Options(timestamp=False))
    assert path.read_bytes() == TIME_OCTETS + struct.pack("<IHH", 24 + len(blob), 0x200, 0xEF1) + path.read_bytes()[24:]
    assert pieces(path.read_bytes()) == (time, message, content)
    sign(path, RSA, options=LATER)
    assert pieces(path.read_bytes())[0][:7] == bytes.fromhex("eb07011f173b3b") and not wrong(path)
    sign(path, RSA, options=ADDED)
    assert "added as of" in kind(path) and not wrong(path)
    remove(path)
    assert path.read_bytes() == db() and not look(path).signatures


@pytest.mark.parametrize("name", ["PK", "KEK", "db", "dbx"])  # of the others efitools does not know the vendor
@pytest.mark.parametrize("added", [False, True])
def test_efitools_makes_the_same_signature(tmp_path: Path, name: str, added: bool):
    """RSA by PKCS#1 v1.5 has one value for one content: sign-efi-sig-list makes it too; and we accept its files."""
    _, key, _ = RSA.write_pem(tmp_path)
    leaf, esl = tmp_path / "leaf.pem", tmp_path / f"{name}.esl"
    leaf.write_bytes(certificates.pem(RSA.identity.chain[0]))
    subprocess.run(["cert-to-efi-sig-list", "-g", MINE, leaf, esl], check=True, capture_output=True)
    theirs, ours = tmp_path / f"{name}.auth", tmp_path / f"{name}-ours.auth"
    command = ["sign-efi-sig-list", *(["-a"] if added else []), "-t", "2026-12-01 08:00:00", "-c", leaf, "-k", key]
    environment = {**os.environ, "TZ": "UTC"}
    subprocess.run([*command, name, esl, theirs], check=True, capture_output=True, env=environment)
    sign(esl, RSA, target=ours, options=ADDED if added else PLAIN)
    assert not wrong(theirs) and not wrong(ours) and kind(theirs) == kind(ours)
    (their,), (our,) = look(theirs).signatures, look(ours).signatures
    assert our.signature_value == their.signature_value and our.digest == their.digest
    alone = msgspec.structs.replace(RSA, identity=Identity(RSA.identity.chain[:1], "rsa-3072"))
    sign(esl, alone, target=ours, options=ADDED if added else PLAIN)
    assert ours.read_bytes() == theirs.read_bytes()


def test_we_accept_sbsigntools(tmp_path: Path):
    """sbvarsign signs through attributes, which the specification has not and firmware takes; its list is ours too.

    It writes the number of the month from 0, so in January its time is none.
    """
    _, key, _ = RSA.write_pem(tmp_path)
    leaf, der, esl = tmp_path / "leaf.pem", tmp_path / "leaf.der", tmp_path / "db.esl"
    leaf.write_bytes(certificates.pem(RSA.identity.chain[0]))
    der.write_bytes(RSA.identity.chain[0])
    owner = "03020100-0504-0706-0809-0a0b0c0d0e0f"
    command = ["sbsiglist", "--owner", owner, "--type", "x509", "--output", esl, der]
    subprocess.run(command, check=True, capture_output=True)
    assert esl.read_bytes() == db(0)
    signed = tmp_path / "db.auth"
    command = ["sbvarsign", "--key", key, "--cert", leaf, "--output", signed, "db", esl]
    subprocess.run(command, check=True, capture_output=True)
    assert wrong(signed) - {"time"} == set() and ("time" in wrong(signed)) == (datetime.now(UTC).month == 1)
    assert kind(signed).startswith("UEFI variable db with 1 certificate, ")


REAL = Path(__file__).with_name("secureboot")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("dbxupdate_arm64.bin", "UEFI variable dbx with 26 SHA-256, added as of 2010-03-06T19:17:21Z"),
        ("KEKUpdate_AMI_PK1.bin", "UEFI variable KEK with 1 certificate, added as of "),
    ],
)
@pytest.mark.filterwarnings("ignore:Parsed a serial number")
def test_what_microsoft_and_makers_signed(tmp_path: Path, name: str, words: str):
    """Verified, under another name as well; no octet of time and content can be changed; signed anew by us."""
    path = tmp_path / name
    shutil.copy(REAL / name, path)
    assert not wrong(path) and kind(path).startswith(words)
    silent = tmp_path / "update.bin"
    shutil.copy(path, silent)
    assert not wrong(silent) and kind(silent) == kind(path)
    octets = path.read_bytes()
    content = len(octets) - len(pieces(octets)[2])
    assert flipped(path, [*range(60), *range(content, len(octets), 11)], (0x04,)) == []
    sign(path, RSA, options=Options(timestamp=False))
    assert not wrong(path) and kind(path) == kind(silent)
    assert pieces(path.read_bytes())[::2] == pieces(octets)[::2]


def test_efitools_reads_our_content(path: Path):
    sign(path, RSA, options=PLAIN)
    bare = path.with_name("bare.esl")
    bare.write_bytes(pieces(path.read_bytes())[2])
    subprocess.run(["sig-list-to-certs", bare, path.parent / "out"], check=True, capture_output=True)
    assert (path.parent / "out-0.der").read_bytes() == RSA.identity.chain[0]


def test_the_name_may_be_silent_or_lie(path: Path):
    """Which of Secure Boot's variables a signature is for is found; under another's name it holds for nothing."""
    sign(path, RSA, options=PLAIN)
    silent = path.with_name("example.auth")
    shutil.copy(path, silent)
    assert not wrong(silent) and "UEFI variable db with" in kind(silent)
    lying = path.with_name("KEK.auth")
    shutil.copy(path, lying)
    assert wrong(lying) == {"signature-value"}
    silent.write_bytes(db())
    with pytest.raises(MalformedCode, match="its name does not tell"):
        sign(silent, RSA, options=PLAIN)
    sign(silent, RSA, options=Options(timestamp=False, efi_time=TIME, efi_variable="dbx"))
    assert "UEFI variable dbx with" in kind(silent) and not wrong(silent)


@pytest.mark.parametrize("attributes", [0x22, 0x23, 0x26, 0x27, 0x67])
def test_other_variables_by_name_and_vendor(tmp_path: Path, attributes: int):
    """Any content, under a name as efivarfs has it; elsewhere named, nobody can tell what it is for."""
    path = tmp_path / f"Setup-{MINE.upper()}.var"
    path.write_bytes(b"any content")
    options = Options(timestamp=False, efi_time=TIME, efi_attributes=attributes)
    sign(path, RSA, options=options)
    vendor = bytes.fromhex("443322116655887799aabbccddeeff00")
    time, message, content = pieces(path.read_bytes())
    octets = signed_octets("Setup", vendor, attributes, time, content)
    assert openssl_verifies(message, octets, RSA.root, tmp_path) and not wrong(path)
    assert kind(path).startswith("UEFI variable Setup with 11 octets, ")
    other = shutil.copy(path, tmp_path / "other.auth")
    with pytest.raises(MalformedCode, match="is not called NAME-GUID"):
        wrong(other)
    path.write_bytes(db())
    sign(path, RSA, options=options)
    shutil.copy(path, other)
    assert "variable" in wrong(other)
    remove(path)
    assert path.read_bytes() == db()


def test_a_variable_is_emptied(tmp_path: Path):
    """Empty content takes a variable away, such as the platform key."""
    path = tmp_path / "PK.esl"
    path.write_bytes(b"")
    sign(path, RSA, options=PLAIN)
    assert not wrong(path) and kind(path).startswith("UEFI variable PK with nothing, ")


def test_time_is_asked_for_and_no_clock_is_read(path: Path):
    with pytest.raises(MalformedCode, match="Since when") as caught:
        sign(path, RSA, options=Options(timestamp=False))
    assert "--efi-time now" in str(caught.value.hint)
    for bad in ("tomorrow", "2026-13-01T00:00:00Z", "1899-01-01T00:00:00Z", "2026-1-1T00:00:00Z"):
        with pytest.raises(BadInput, match="no time"):
            sign(path, RSA, options=Options(timestamp=False, efi_time=bad))
    assert path.read_bytes() == db()


def test_what_it_cannot():
    with pytest.raises(Impossible, match="one signature"):
        operations.require_for(VARIABLE, msgspec.structs.replace(APPEND, timestamp=False))
    with pytest.raises(Impossible, match="no timestamp"):
        operations.require_for(VARIABLE, Options())
    assert not operations.fitting(VARIABLE, Options()).timestamp and operations.fitting(BY_NAME["pe"], Options())
    named = Options(program_name="App", program_url="https://example.com/", timestamp=False)
    for name in operations.NAMELESS:
        assert operations.fitting(BY_NAME[name], named).program_name is None
        with pytest.raises(BadInput, match="no place for a program's name"):
            operations.require_for(BY_NAME[name], named)
    assert operations.fitting(BY_NAME["pe"], named) == named
    with pytest.raises(BadInput, match="has no efi time"):
        operations.require_for(BY_NAME["pe"], PLAIN)


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
def test_every_octet_counts(path: Path):
    """But those of the topmost certificate: nothing in the message is above it, so trust decides (the next test)."""
    sign(path, RSA, options=PLAIN)
    octets = path.read_bytes()
    top = octets.index(RSA.identity.chain[1])
    loose = range(top, top + len(RSA.identity.chain[1]))
    places = [at for at in range(len(octets)) if at not in loose and (at < 200 or at > loose.stop - 1 or at % 7 == 0)]
    assert flipped(path, places) == []
    edges = [*range(64), len(octets) - 1]
    assert flipped(path, edges, tuple(1 << bit for bit in range(8))) == []


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
def test_every_octet_of_the_topmost_certificate_counts_for_trust(path: Path):
    sign(path, RSA, options=PLAIN)
    trust = Trust(anchors=Anchors((RSA.root,)))
    octets = bytearray(path.read_bytes())
    top = octets.index(RSA.identity.chain[1])

    def verdict() -> str:
        path.write_bytes(octets)
        with FileSource.open(path) as code:
            return verify_file(code, trust=trust, at=datetime.now(UTC)).verdict

    assert verdict() == "valid"
    for at in range(top, top + len(RSA.identity.chain[1]), 13):
        octets[at] ^= 0x04
        assert verdict() != "valid", at
        octets[at] ^= 0x04


X = RSA.identity.chain[0]
BROKEN: dict[str, tuple[str, bytes, str]] = {
    "cut": ("db.esl", db()[:-1], "claims 124 octets"),
    "more behind": ("db.esl", db() + b"more", "are no signature list"),
    "entries that do not fit": ("db.esl", struct.pack("<16sIII", SHA256, 28 + 49, 0, 48) + bytes(49), "for entries of"),
    "entries of nothing": ("db.esl", db() + struct.pack("<16sIII", SHA256, 28, 0, 48), "0 octets for entries of 48"),
    "a size of none": ("db.esl", db() + struct.pack("<16sIII", SHA256, 28, 0, 0), "0 octets for entries of 0"),
    "an entry of another size": ("db.esl", signature_list(SHA256, [bytes(33)]), "for entries of 49"),
    "no certificate": ("db.esl", signature_list(X509, [b"\x04" + X[1:]]), "is none in DER"),
    "a header": ("db.esl", db() + struct.pack("<16sIII", SHA256, 84, 8, 48) + bytes(56), "8 of them header"),
    "a type of later": ("db.esl", db() + signature_list(OWNER, [bytes(32)]), "is of no known type"),
    "two platform keys": ("PK.esl", signature_list(X509, [X, X]), "one certificate"),
    "too large": ("db.esl", signature_list(SHA256, [bytes(32)] * 700), "at most 32768"),
    "far too large": ("db.esl", signature_list(SHA256, [bytes(32)] * 9000), "are read"),
    "a signature beyond the end": (
        "db.auth",
        TIME_OCTETS + struct.pack("<IHH", 5000, 0x200, 0xEF1) + bytes.fromhex("9dd2af4adf68ee498aa9347d375665a7"),
        "would end at 5016",
    ),
    "a signature of nothing": (
        "db.auth",
        TIME_OCTETS + struct.pack("<IHH", 24, 0x200, 0xEF1) + bytes.fromhex("9dd2af4adf68ee498aa9347d375665a7"),
        "its signature has 24 octets",
    ),
}


@pytest.mark.parametrize("how", BROKEN)
def test_what_is_no_variable(tmp_path: Path, how: str):
    name, octets, why = BROKEN[how]
    path = tmp_path / name
    path.write_bytes(octets)
    with pytest.raises(MalformedCode, match=why):
        sign(path, RSA, options=PLAIN)
    assert path.read_bytes() == octets


OTHERS: dict[str, dict[str, object]] = {
    "variable": {"variable": "dbx"},
    "vendor": {"vendor": "D719B2CB-3d3a-4596-a3bc-dad00e67656f"},
    "unprintable": {"variable": "a\nb"},
    "half a character": {"variable": "\ud800"},
    "attributes": {"attributes": 7},
    "other attributes": {"attributes": 0x67},
    "time": {"time": "2026-12-02T08:00:00Z"},
    "no time": {"time": ""},
    "words": {"holds": "1 certificate"},
    "content": {"content": "AAAA"},
    "not base64": {"content": "!"},
    "padding": {"content": "AB=="},
    "more": {"more": 1},
}


@pytest.mark.parametrize("how", OTHERS)
def test_other_descriptions(path: Path, how: str):
    """The key side signs what the description says, once it agrees with itself and with the options."""
    good = described(path)
    assert VARIABLE.to_be_signed(good, RSA.identity, PLAIN)[0].octets == signed_octets(
        "db", SECURITY, 0x27, TIME_OCTETS, db()
    )
    with pytest.raises(BadInput):
        VARIABLE.to_be_signed(
            msgspec.structs.replace(good, facts={**good.facts, **OTHERS[how]}), RSA.identity, Options(timestamp=False)
        )


def test_the_key_side_refuses(path: Path):
    good = described(path)
    for options in (
        LATER,
        msgspec.structs.replace(PLAIN, mode="append"),
        msgspec.structs.replace(PLAIN, efi_variable="dbx"),
        msgspec.structs.replace(PLAIN, efi_variable="nonsense"),
        msgspec.structs.replace(PLAIN, efi_attributes=0x67),
    ):
        with pytest.raises(BadInput):
            VARIABLE.to_be_signed(good, RSA.identity, options)
    for other in (
        msgspec.structs.replace(good, format="pe"),
        msgspec.structs.replace(good, size=3),
        msgspec.structs.replace(good, digest_algorithm="sha384", digest=bytes(48)),
    ):
        with pytest.raises(BadInput):
            VARIABLE.to_be_signed(other, RSA.identity, PLAIN)
    with pytest.raises(BadInput, match="RSA keys"):
        VARIABLE.to_be_signed(good, signatory("ecdsa-p256").identity, PLAIN)
    (wanted,) = VARIABLE.to_be_signed(good, RSA.identity, PLAIN)
    value = RSA.sign(wanted)
    with pytest.raises(BadInput, match="no timestamp"):
        VARIABLE.finish(good, RSA.identity, PLAIN, [value], [stamp().token(value.value)])
    elsewhere = Signature(msgspec.structs.replace(wanted, octets=b"other"), value.value)
    for signed in ([], [value, value], [elsewhere]):
        with pytest.raises(BadInput, match="one signature"):
            VARIABLE.finish(good, RSA.identity, PLAIN, signed, [])


def test_certificates_that_have_nothing_to_do_with_it(path: Path):
    """Nothing would bind them. One that stands there twice is bound twice."""
    stranger = mint.certify("Stranger", mint.key("rsa-3072", 97), ca=True).der
    for chain, why in (((*RSA.identity.chain, stranger), {"certificate-binding"}), (RSA.identity.chain * 2, set())):
        path.write_bytes(db())
        other = msgspec.structs.replace(RSA, identity=Identity(chain, "rsa-3072"))
        with FileSource.open(path) as code:
            prepared = VARIABLE.prepare(code, VARIABLE.inspect(code), other.identity, PLAIN, "sha256")
            blob = blob_for(prepared, other, PLAIN)
        sign(path, other, options=PLAIN)
        assert blob in path.read_bytes() and troubles(look(path)) == why
    path.write_bytes(db())
    rooted = signatory(with_root=True)
    sign(path, rooted, options=PLAIN)
    assert not wrong(path)
