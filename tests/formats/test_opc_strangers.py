"""Other people judge OPC packages: xmlsec1 and mono the signatures, mono the package, openssl the timestamps.

None of them holds the list of parts against the parts: PackageDigitalSignatureManager, which does, runs on Windows
only. ``opc_rules.py`` does it in its place.
"""

from __future__ import annotations

import subprocess
from functools import lru_cache
from pathlib import Path

import pytest
from tests.formats import opc_rules
from tests.formats.opc_builder import document, vsix
from tests.formats.signing import APPEND, Signatory, signatory, stamp
from tests.formats.walking import sign, stamp_later
from tests.pki import mint

from privyseal.formats.protocol import Identity
from privyseal.pki import certificates

OBJECT = "http://www.w3.org/2000/09/xmldsig#:Object"


def by_xmlsec(document: bytes, anchor: Path, folder: Path) -> bool:
    """Verify signature, what it covers in the document, and the chain."""
    path = folder / "signature.xml"
    path.write_bytes(document)
    how = ["--ignore-manifests", "--id-attr:Id", OBJECT, "--trusted-pem", anchor]
    done = subprocess.run(["xmlsec1", "--verify", *how, path], capture_output=True, text=True, check=False)
    return done.returncode == 0 and done.stderr.startswith("OK\nSignedInfo References (ok/all): 2/2\n")


@lru_cache
def judge(folder: Path) -> Path:
    """Compile the judge into a folder."""
    out = folder / "judge_opc.exe"
    source = Path(__file__).with_name("judge_opc.cs")
    subprocess.run(["mcs", "-r:WindowsBase", "-r:System.Security", f"-out:{out}", source], check=True, timeout=120)
    return out


def by_mono(path: Path, folder: Path) -> list[str]:
    """Return what mono says of a package, line by line."""
    done = subprocess.run(["mono", judge(folder), path], capture_output=True, text=True, check=True, timeout=120)
    return done.stdout.splitlines()


def by_openssl(document: bytes, folder: Path) -> bool:
    """Verify every timestamp in a signature: over its value, by the tests' authority."""
    anchor, value, token = folder / "tsa.pem", folder / "value", folder / "token"
    anchor.write_bytes(certificates.pem(stamp().root))
    value.write_bytes(opc_rules.value(document))
    for one in opc_rules.timestamps(document):
        token.write_bytes(one)
        command = ["openssl", "ts", "-verify", "-token_in", "-in", token, "-data", value, "-CAfile", anchor]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            return False
    return True


@lru_cache
def of_rsa() -> Signatory:
    """Return one whose whole chain is of RSA keys: mono knows no others."""
    root = mint.certify("RSA root", mint.key("rsa-3072", 80), ca=True, days=3000)
    leaf = mint.certify("Test RSA", mint.key("rsa-3072", 81), root, purposes=(mint.CODE_SIGNING,))
    return Signatory(Identity((leaf.der,), "rsa-3072"), leaf.key, root.der)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("judge")


@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
def test_xmlsec_and_openssl_accept_it(tmp_path: Path, digest: str):
    path, (_, _, root) = tmp_path / "example.vsix", signatory().write_pem(tmp_path)
    path.write_bytes(vsix())
    sign(path, signatory(), digest=digest, stamped=True)
    (found,) = opc_rules.signatures(path)
    assert found.wrong == [] and len(opc_rules.timestamps(found.document)) == 1
    assert by_xmlsec(found.document, root, tmp_path) and by_openssl(found.document, tmp_path)
    other = found.document.replace(b"Example.dll", b"Example.dlm", 1)
    assert not by_xmlsec(other, root, tmp_path)
    bound = found.document.index(b"idSigningCertificates", found.document.index(b"KeyInfo"))
    at = found.document.index(b"<DigestValue", bound) + 60
    other = found.document[:at] + bytes([found.document[at] ^ 1]) + found.document[at + 1 :]
    assert not by_xmlsec(other, root, tmp_path)


def test_mono_reads_the_package_and_accepts_every_signature(tmp_path: Path, compiled: Path):
    """All parts are there with their types, the signatures too; a changed document is refused."""
    path = tmp_path / "example.xps"
    path.write_bytes(document())
    sign(path, of_rsa(), stamped=True)
    sign(path, of_rsa(), options=APPEND, digest="sha512")
    stamp_later(path, 1)
    place = "/package/services/digital-signature"
    said = by_mono(path, compiled)
    assert f"part {place}/origin.psdor application/vnd.openxmlformats-package.digital-signature-origin" in said
    assert "part /b/c.png image/png" in said
    assert [one for one in said if not one.startswith("part ")] == [
        f"valid {place}/xml-signature/signature{number}.psdsxs" for number in (1, 2)
    ]
    octets = opc_rules.signatures(path)[0].document.replace(b"b/c.png", b"b/d.png")
    path.write_bytes(opc_rules.changed(path, f"{place[1:]}/xml-signature/signature1.psdsxs", octets))
    assert [one.split()[0] for one in by_mono(path, compiled) if not one.startswith("part ")] == ["invalid", "valid"]


def test_mono_accepts_an_extension(tmp_path: Path, compiled: Path):
    path = tmp_path / "example.vsix"
    path.write_bytes(vsix())
    sign(path, of_rsa())
    said = by_mono(path, compiled)
    assert [one.split()[0] for one in said if not one.startswith("part ")] == ["valid"]
    listed = {one.split()[1][1:] for one in said if one.startswith("part ")}
    assert listed == opc_rules.signatures(path)[0].covered | {opc_rules.signatures(path)[0].name}
