"""Other people's programs judge scripts, cabinets and catalogues that we signed, and we judge what they signed.

osslsigncode is the judge of PowerShell, MOF, CAB and CAT; where it is known to be wrong a test says so and names who is
right. Nothing on Linux judges VBScript, JScript and Windows Script Files: ``script_rules.py`` says by what rules.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from tests.formats.cab_builder import cabinet
from tests.formats.cat_builder import catalogue as a_catalogue
from tests.formats.cat_builder import member
from tests.formats.pe_builder import program
from tests.formats.script_rules import SAMPLES
from tests.formats.signing import APPEND, signatory, stamp
from tests.formats.test_scripts import ENCODED
from tests.formats.walking import describe, look, remove, sign, stamp_later, wrong

from privyseal.pki import certificates

POWERSHELL = sorted({"ps1", "psm1", "psd1", "ps1xml", "psc1", "cdxml", "mof"})
THEIRS = ("ascii", "utf-8", "utf-8-bom", "utf-16-le")
"""Encodings that osslsigncode reads; UTF-16 the other way round it takes for UTF-8."""
P256 = "ecdsa-p256"


def osslsigncode(*arguments: object) -> str:
    """Run it and return all it said; its exit code says little, so the callers read."""
    command = ["osslsigncode", *(str(argument) for argument in arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout + done.stderr


def verify(path: Path, *more: object) -> tuple[int, int]:
    """Have osslsigncode verify every signature; return how many it accepted, and how many timestamps."""
    roots = path.with_suffix(".roots")
    roots.write_bytes(certificates.pem(signatory().root) + certificates.pem(stamp().root))
    said = osslsigncode("verify", "-CAfile", roots, "-TSA-CAfile", roots, *more, "-in", path)
    assert "Failed" not in said and "Succeeded" in said and "MISMATCH" not in said, said
    assert len(re.findall(r"Signature Index: \d+", said)) == len(re.findall("^Signature verification: ok", said, re.M))
    stated = re.findall(r"^Current message digest\s*: (\S+)", said, re.M)
    assert stated == re.findall(r"^Calculated message digest\s*: (\S+)", said, re.M)
    return len(re.findall(r"Signature Index: \d+", said)), said.count("Timestamp Server Signature verification: ok")


@pytest.mark.parametrize("encoding", THEIRS)
@pytest.mark.parametrize("kind", POWERSHELL)
def test_osslsigncode_accepts_scripts(tmp_path: Path, kind: str, encoding: str):
    """One signature, a second one nested, timestamps of both: all that it reads the same way."""
    path = tmp_path / f"script.{kind}"
    path.write_bytes(original := ENCODED[encoding](SAMPLES[kind]))
    sign(path, signatory(), stamped=True)
    assert verify(path) == (1, 1)
    sign(path, signatory(P256), options=APPEND, digest="sha384")
    stamp_later(path, 1)
    assert verify(path) == (2, 2)
    bare = tmp_path / f"bare.{kind}"
    assert "Succeeded" in osslsigncode("remove-signature", "-in", path, "-out", bare)
    assert bare.read_bytes() == original
    remove(path)
    assert path.read_bytes() == original


@pytest.mark.parametrize("kind", ["ps1", "ps1xml", "mof"])
def test_what_windows_takes_for_its_code_page(tmp_path: Path, kind: str):
    """osslsigncode takes text without a mark for UTF-8; Windows only where its first 32 octets say so, as we do.

    With a byte order mark nobody has to guess, and all agree.
    """
    text = SAMPLES[kind] + " " * 32 + "\xe4\r\n"
    path = tmp_path / f"script.{kind}"
    path.write_bytes(text.encode("utf-8"))
    sign(path, signatory(P256))
    assert not wrong(path)
    assert "MISMATCH" in osslsigncode("verify", "-in", path)
    path.write_bytes(text.encode("utf-8-sig"))
    sign(path, signatory(P256))
    assert verify(path) == (1, 0)


@pytest.mark.parametrize("kind", ["ps1", "ps1xml"])
def test_utf16_the_other_way_round(tmp_path: Path, kind: str):
    """osslsigncode and relic take it for UTF-8 and hash something else; the text is the same, and so is its digest."""
    path = tmp_path / f"script.{kind}"
    path.write_bytes(ENCODED["utf-16-le"](SAMPLES[kind]))
    straight = describe(path).digest
    path.write_bytes(ENCODED["utf-16-be"](SAMPLES[kind]))
    assert describe(path).digest == straight
    sign(path, signatory(P256))
    assert not wrong(path)
    assert "Succeeded" not in osslsigncode("verify", "-in", path)


@pytest.mark.parametrize("kind", ["vbs", "js", "wsf"])
def test_osslsigncode_is_no_judge_of_windows_script_host(tmp_path: Path, kind: str):
    """Here it knows none of them; from 2.10 on it signs js wrongly: ``test_scripts.py`` shows how and who is right."""
    path = tmp_path / f"script.{kind}"
    path.write_text(SAMPLES[kind], newline="")
    sign(path, signatory(P256))
    assert "Succeeded" not in osslsigncode("verify", "-in", path)


@pytest.mark.parametrize("encoding", THEIRS)
@pytest.mark.parametrize("kind", ["ps1", "mof"])
def test_we_accept_osslsigncodes_scripts(tmp_path: Path, kind: str, encoding: str):
    """What it signs, and nests, is what we would have written; ours on top is accepted by both."""
    chain, key, _ = signatory().write_pem(tmp_path)
    source, once, twice = (tmp_path / f"{name}.{kind}" for name in ("in", "once", "twice"))
    source.write_bytes(original := ENCODED[encoding](SAMPLES[kind]))
    how = ("sign", "-certs", chain, "-key", key, "-n", "A name", "-i", "https://example.com/")
    assert "Succeeded" in osslsigncode(*how, "-h", "sha256", "-in", source, "-out", once)
    assert not wrong(once) and look(once).signatures[0].program_name == "A name"
    assert "Succeeded" in osslsigncode(*how, "-nest", "-h", "sha512", "-in", once, "-out", twice)
    assert [one.digest_algorithm for one in look(twice).signatures] == ["sha256", "sha512"] and not wrong(twice)
    sign(twice, signatory(P256), options=APPEND)
    assert not wrong(twice) and verify(twice) == (3, 0)
    remove(twice)
    assert twice.read_bytes() == original


def test_osslsigncode_accepts_cabinets(tmp_path: Path):
    """Without a reserve and with one of exactly 20 octets, once and twice signed; and its removal is our original."""
    for how in ({}, {"reserve": bytes(20)}, {"folders": [[b"a" * 70_000], [b"b"]]}):
        path = tmp_path / "data.cab"
        path.write_bytes(original := cabinet(**how))
        sign(path, signatory(), stamped=True)
        assert verify(path) == (1, 1)
        sign(path, signatory(P256), options=APPEND, digest="sha384")
        stamp_later(path, 1)
        assert verify(path) == (2, 2)
        bare = tmp_path / "bare.cab"
        bare.unlink(missing_ok=True)
        assert "Succeeded" in osslsigncode("remove-signature", "-in", path, "-out", bare)
        remove(path)
        assert path.read_bytes() == bare.read_bytes()
        assert path.read_bytes() == (original if "reserve" not in how else cabinet())


def test_osslsigncode_does_not_read_other_reserves(tmp_path: Path):
    """It refuses a cabinet that reserves anything else than a signature, signed or not: jsign is the oracle there."""
    path = tmp_path / "data.cab"
    for how in ({"reserve": bytes(6144)}, {"folder_reserve": 128}):
        path.write_bytes(cabinet(**how))
        sign(path, signatory(P256))
        assert not wrong(path)
        assert "Additional header size" in osslsigncode("verify", "-in", path)


def test_we_accept_osslsigncodes_cabinets(tmp_path: Path):
    """What it signs, and nests, is what we would have written; ours on top is accepted by both."""
    chain, key, _ = signatory().write_pem(tmp_path)
    source, once, twice = (tmp_path / f"{name}.cab" for name in ("in", "once", "twice"))
    source.write_bytes(original := cabinet())
    how = ("sign", "-certs", chain, "-key", key)
    assert "Succeeded" in osslsigncode(*how, "-h", "sha256", "-in", source, "-out", once)
    assert not wrong(once)
    assert "Succeeded" in osslsigncode(*how, "-nest", "-h", "sha512", "-in", once, "-out", twice)
    assert [one.digest_algorithm for one in look(twice).signatures] == ["sha256", "sha512"] and not wrong(twice)
    sign(twice, signatory(P256), options=APPEND)
    assert not wrong(twice) and verify(twice) == (3, 0)
    remove(twice)
    assert twice.read_bytes() == original


def test_osslsigncode_accepts_catalogues_and_finds_members(tmp_path: Path):
    """It accepts ours, once and twice signed, and by it a program that the catalogue lists; not one it does not."""
    path, listed, other = tmp_path / "drivers.cat", tmp_path / "listed.exe", tmp_path / "other.exe"
    listed.write_bytes(program(overlay=b"listed"))
    other.write_bytes(program(overlay=b"other"))
    path.write_bytes(a_catalogue(member(describe(listed).digest)))
    sign(path, signatory(), stamped=True)
    assert verify(path) == (1, 1)
    roots = path.with_suffix(".roots")
    by = ("verify", "-catalog", path, "-CAfile", roots, "-TSA-CAfile", roots)
    assert "Signature verification: ok" in osslsigncode(*by, "-in", listed)
    assert "Signature verification: ok" not in osslsigncode(*by, "-in", other)
    sign(path, signatory(P256), options=APPEND, digest="sha384")
    stamp_later(path, 1)
    assert verify(path) == (2, 2)
    changed = bytearray(path.read_bytes())
    changed[changed.index(describe(listed).digest)] ^= 1
    path.write_bytes(changed)
    assert wrong(path) == {"message-digest", "digest-mismatch"}
    assert "digest failure" in osslsigncode("verify", "-CAfile", roots, "-in", path)


def test_we_accept_osslsigncodes_catalogues(tmp_path: Path):
    """What it signs is what we would have written; ours on top is accepted by both."""
    chain, key, _ = signatory().write_pem(tmp_path)
    source, once = tmp_path / "in.cat", tmp_path / "once.cat"
    source.write_bytes(original := a_catalogue(member(bytes(32)), member(bytes(range(32)))))
    how = ("sign", "-certs", chain, "-key", key, "-h", "sha256")
    assert "Succeeded" in osslsigncode(*how, "-in", source, "-out", once)
    assert not wrong(once) and len(look(once).signatures) == 1
    sign(once, signatory(P256), options=APPEND)
    assert not wrong(once) and verify(once) == (2, 0)
    remove(once)
    assert once.read_bytes() == original


def test_openssl_reads_catalogues(tmp_path: Path):
    """Another reader of PKCS#7 takes the whole apart: the list, the attributes over it, the certificates in order."""
    path = tmp_path / "drivers.cat"
    path.write_bytes(a_catalogue(member(bytes(32))))
    sign(path, signatory(P256))
    command = ["openssl", "pkcs7", "-inform", "DER", "-in", path]
    said = subprocess.run([*command, "-print", "-noout"], capture_output=True, text=True, check=True).stdout
    assert "1.3.6.1.4.1.311.10.1" in said and "messageDigest" in said and "1.3.6.1.4.1.311.12.1.1" in said
    listed = subprocess.run([*command, "-print_certs"], capture_output=True, text=True, check=True).stdout
    pem = b"".join(certificates.pem(one) for one in signatory(P256).identity.chain).decode()
    assert [one for one in listed.split() if len(one) == 64] == [one for one in pem.split() if len(one) == 64]
