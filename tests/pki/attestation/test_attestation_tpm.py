"""TPM2_Certify: a real TPM's attestations verify under a CA of ours, and the working group's sample under its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_public_key
from tests.pki.attestation import makers
from tests.pki.attestation.makers import AT, BORN, sample
from tests.pki.attestation.test_attestation_flips import survive

from privyseal.errors import BadInput, VerificationFailed
from privyseal.pki.attestation import pieces, tpm2
from privyseal.pki.attestation.judge import NotEvidenced, judge
from privyseal.pki.attestation.protocol import Attested

GOOD = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|sign"
THEN = datetime(2024, 11, 1, tzinfo=UTC)
"""When the sample's certificates were in force, for a month."""


class Tpm:
    """A TPM 2.0 in software (swtpm) behind a Unix socket, asked by tpm2-tools, with an attestation key in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        socket, control = folder / "s", folder / "s.ctrl"  # tpm2-tss looks for it under this name
        command = ["swtpm", "socket", "--tpm2", "--flags", "not-need-init,startup-clear"]
        command += ["--tpmstate", f"dir={folder}", "--pid", f"file={folder / 'pid'}"]
        command += ["--server", f"type=unixio,path={socket}", "--ctrl", f"type=unixio,path={control}"]
        subprocess.run([*command, "--daemon"], check=True, capture_output=True, timeout=20)  # returns when it listens
        self.environment = {**os.environ, "TPM2TOOLS_TCTI": f"swtpm:path={socket}"}
        self.ask("createprimary", "-C", "e", "-c", "primary.ctx")
        self.make("ak", GOOD + "|restricted")

    def ask(self, command: str, *arguments: str) -> None:
        """Ask the TPM, which has room for three objects at once and is emptied before."""
        for each in (["tpm2_flushcontext", "-t"], [f"tpm2_{command}", "-Q", *arguments]):
            done = subprocess.run(each, cwd=self.folder, env=self.environment, capture_output=True, timeout=20)
            assert done.returncode == 0, (each, done.stderr)

    def make(self, name: str, attributes: str, kind: str = "ecc256:ecdsa-sha256:null") -> None:
        """Have a key made inside."""
        files = ("-u", f"{name}.pub", "-r", f"{name}.priv")
        self.ask("create", "-C", "primary.ctx", "-g", "sha256", "-G", kind, "-a", attributes, *files)
        self.ask("load", "-C", "primary.ctx", *files, "-c", f"{name}.ctx")
        self.ask("readpublic", "-c", f"{name}.ctx", "-f", "pem", "-o", f"{name}.pem")

    def certify(self, name: str) -> list[bytes]:
        """Have the attestation key certify a key: the attestation, the signature, the public area."""
        self.ask("certify", "-c", f"{name}.ctx", "-C", "ak.ctx", "-g", "sha256", "-o", "attest", "-s", "signature")
        return [(self.folder / each).read_bytes() for each in ("attest", "signature", f"{name}.pub")]

    def close(self) -> None:
        """End it."""
        os.kill(int((self.folder / "pid").read_text()), signal.SIGTERM)


@pytest.fixture(scope="module")
def tpm() -> Iterator[Tpm]:
    """Run one TPM for all tests; the path of its socket has to be a short one."""
    assert shutil.which("swtpm") and shutil.which("tpm2_certify"), "swtpm and tpm2-tools are Debian packages"
    with tempfile.TemporaryDirectory(prefix="tpm") as folder:
        running = Tpm(Path(folder))
        try:
            yield running
        finally:
            running.close()


@pytest.fixture(scope="module")
def ak(tpm: Tpm) -> bytes:
    """Certify its attestation key, as the CA of whoever enrolled the machine does."""
    issuer = makers.root()
    draft = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "AK of a machine")]))
        .issuer_name(x509.load_der_x509_certificate(issuer.der).subject)
        .public_key(load_pem_public_key((tpm.folder / "ak.pem").read_bytes()))  # type: ignore[arg-type]
        .serial_number(7)
        .not_valid_before(BORN)
        .not_valid_after(AT.replace(year=2030))
        .add_extension(x509.ExtendedKeyUsage([x509.ObjectIdentifier(tpm2.AIK_CERTIFICATE)]), critical=False)
    )
    return draft.sign(issuer.key, hashes.SHA256()).public_bytes(Encoding.DER)  # type: ignore[arg-type]


def attested(files: list[bytes], pinned: list[bytes] | None = None) -> Attested:
    """Judge files that must be attested."""
    found = judge(files, AT, [makers.root().der] if pinned is None else pinned)
    assert isinstance(found, Attested)
    return found


@pytest.mark.parametrize("kind", ["ecc256:ecdsa-sha256:null", "ecc384:ecdsa-sha384:null", "rsa2048:rsassa-sha256:null"])
def test_a_real_tpm_attests_its_keys(kind: str, tpm: Tpm, ak: bytes) -> None:
    """Elliptic and RSA, files in any order; the public key is the one that the TPM gives out as PEM."""
    name = kind.partition(":")[0]
    tpm.make(name, GOOD, kind)
    files = tpm.certify(name)
    found = attested([files[2], ak, files[0], files[1]])
    assert (found.format, found.generated_inside, found.never_extractable) == ("tpm2", True, True)
    given = load_pem_public_key((tpm.folder / f"{name}.pem").read_bytes())
    assert given == load_pem_public_key(_pem(found.spki))


def _pem(spki: bytes) -> bytes:
    from privyseal.pki.attestation.enclosure import _block

    return _block("PUBLIC KEY", spki)


def test_a_key_that_may_be_moved_is_said_to_be(tpm: Tpm, ak: bytes) -> None:
    """Made inside, and free to be given to another TPM."""
    tpm.make("free", "sensitivedataorigin|userwithauth|sign")
    found = attested([*tpm.certify("free"), ak])
    assert (found.generated_inside, found.never_extractable) == (True, False)


def test_what_does_not_belong_together_is_refused(tpm: Tpm, ak: bytes) -> None:
    """Another key's public area, a signature over something else, no certificate, another root, something quoted."""
    tpm.make("one", GOOD)
    tpm.make("two", GOOD)
    one, two = tpm.certify("one"), tpm.certify("two")
    pinned = [makers.root().der]
    for files, words in (
        ([one[0], one[1], two[2], ak], "another key"),
        ([one[0], two[1], one[2], ak], "attestation key that signed"),
        (one, "attestation key that signed"),
        ([one[0], one[1], ak], "missing: the public area"),
        ([*one, ak, makers.request()], "certificate request for the key"),
    ):
        with pytest.raises((BadInput, VerificationFailed), match=words):
            judge(files, AT, pinned)
    with pytest.raises(VerificationFailed, match="No path leads"):
        judge([*one, ak], AT)
    tpm.ask("quote", "-c", "ak.ctx", "-l", "sha256:0", "-m", "attest", "-s", "signature")
    quoted = [(tpm.folder / each).read_bytes() for each in ("attest", "signature")]
    with pytest.raises(VerificationFailed, match="something else"):
        judge([*quoted, one[2], ak], AT, pinned)
    assert isinstance(judge([ak], AT, pinned), NotEvidenced)


def test_no_flipped_attestation_of_a_tpm_is_attested(tpm: Tpm, ak: bytes) -> None:
    """One bit anywhere in the three files or in the certificate."""
    tpm.make("flipped", GOOD)
    survive([*tpm.certify("flipped"), ak], 300, [makers.root().der])


def test_the_sample_verifies_and_its_request_does_not() -> None:
    """The TPM's word is good as of then, under the sample's own root; whoever made the request did not hold the key."""
    octets = sample("tpm.pem")
    carried = tpm2._carried(pieces.unpack([octets]))
    root = next(each for each in carried if tpm2.devices.read(each).name == "test-rootCA")
    read = partial(tpm2.Tpm2().read, [octets], [root])
    found = read(THEN)
    assert (found.generated_inside, found.never_extractable, found.maker) == (True, True, "test-rootCA")
    with pytest.raises(VerificationFailed, match="expired"):
        read(AT)
    with pytest.raises(VerificationFailed, match="own signature does not verify"):
        judge([octets], THEN, [root])
