"""A timestamp key that another CA certifies: request, certificate, in use; refused where the certificate is not fit.

``openssl`` reads the request, plays the CA, and verifies tokens under the new certificate.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.pki.other_ca import OtherCa
from tests.softhsm import SoftHsm

from privyseal.cli import tsa
from privyseal.cli.init import found_rehearsal
from privyseal.compliance.lint import lint
from privyseal.compliance.outcome import Verdict
from privyseal.compliance.requirement import Asked
from privyseal.errors import NotCompliant, PrivySealError, VerificationFailed
from privyseal.pki import bundle, certificates
from privyseal.pki.chain import PinnedAnchor
from privyseal.signing.timestamp_certificates import Judged, require_fit
from privyseal.strongroom import rooms
from privyseal.strongroom.client import StamperClient
from privyseal.strongroom.stamps import Stamps
from privyseal.terms.keys import Assurance, KeyProtection
from privyseal.timestamp.messages import granted
from privyseal.timestamp.token import token_certificates

SUBJECT = "CN=Example TSA 2027,O=Example Ltd,L=Berlin,C=DE"


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> OtherCa:
    return OtherCa(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("founded") / "svc"
    directory.mkdir()
    found_rehearsal(directory, "ecdsa-p256", "TSA")
    return directory


@pytest.fixture
def unpinned(founded: Path, tmp_path: Path) -> Path:
    """A rehearsal whose stamper knows no other CA; its key is in a file."""
    return Path(shutil.copytree(founded, tmp_path / "svc"))


@pytest.fixture
def service(unpinned: Path, ca: OtherCa) -> Path:
    """One whose stamper takes the other CA for a private one."""
    return pin(unpinned, ca)


def pin(directory: Path, ca: OtherCa) -> Path:
    """Have a service's stamper take a CA for a private one."""
    pinned = f'\n[[anchors]]\nstanding = "private"\npem = {json.dumps(ca.root.read_text())}\n'
    toml = directory / "stamper" / "stamper.toml"
    toml.write_text(toml.read_text() + pinned)
    return directory


def run(*arguments: object) -> Result:
    return CliRunner().invoke(tsa.tsa, [str(each) for each in arguments], catch_exceptions=True)


def ask(service: Path, *more: object, scheme: str = "ecdsa-p256") -> Path:
    target = service.parent / "tsa.csr"
    done = run("renew", "--dir", service, "--csr", target, "--subject", SUBJECT, "--scheme", scheme, *more)
    assert done.exit_code == 0, (done.output, done.exception)
    return target


def install(service: Path, sent: Path, *more: object) -> Result:
    return run("install", "--dir", service, "--certificate", sent, *more)


def shown(service: Path) -> dict[str, object]:
    return json.loads(run("show", "--dir", service, "--json").stdout)  # type: ignore[no-any-return]


def stamped(service: Path) -> bytes:
    """Have a stamper of this room stamp what stands in ``data``, as after a restart; return the token."""
    built = rooms.ROOMS["stamper"](service / "stamper" / "stamper.toml", lambda: datetime.now(UTC))
    try:
        (token,) = StamperClient(built.room.handle).stamp("sha256", [hashlib.sha256(b"data").digest()])
        return token
    finally:
        built.room.close()


def diary(service: Path) -> list[str]:
    books = Stamps(service / "stamper" / "stamps.sqlite3")
    found = [each.what for each in books.entries(0)]
    books.close()
    return [each for each in found if each not in ("started", "stopped", "configured")]


def private_keys(service: Path) -> int:
    files = (service / "stamper" / "keys").rglob("*.key")
    return sum(b"destroyed" not in each.read_bytes() for each in files)


def test_openssl_reads_what_is_asked_for(service: Path) -> None:
    """The one purpose, critical; digitalSignature, critical; the name as it was said; the key's own signature."""
    request = ask(service, scheme="rsa-3072")
    command = ["openssl", "req", "-in", request, "-noout", "-text", "-verify", "-nameopt", "RFC2253"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    text = done.stdout + done.stderr
    assert "verify OK" in text and "(3072 bit)" in text and SUBJECT in text, text
    assert "X509v3 Extended Key Usage: critical\n" in text and "Time Stamping\n" in text, text
    assert "X509v3 Key Usage: critical\n" in text and "Digital Signature\n" in text, text
    found = lint(request.read_bytes(), "tsa.csr", Asked(datetime.now(UTC)))
    wrong = [each for one in found for each in one.findings if each.verdict in (Verdict.NOT_MET, Verdict.BROKEN)]
    assert not wrong, wrong


def test_another_ca_certifies_the_key(service: Path, ca: OtherCa, tmp_path: Path) -> None:
    """It waits and signs nothing, over a restart too; installed it stamps, and openssl verifies by that CA's root."""
    request = ask(service)
    first = request.read_bytes()
    assert ask(service).read_bytes() == first and private_keys(service) == 2  # again: the same key, the same request
    before = shown(service)
    assert before["waiting"] == {"key_id": before["waiting"]["key_id"], "asked": True}  # type: ignore[index]
    old = token_certificates(stamped(service))[0]
    sent = ca.issue(request)
    done = install(service, sent, "--trust", ca.root)
    assert done.exit_code == 0, (done.output, done.exception)
    assert install(service, sent).exit_code == 0  # done already, and said again
    token = stamped(service)
    assert token_certificates(token)[0] != old
    (tmp_path / "data").write_bytes(b"data")
    (tmp_path / "reply").write_bytes(granted(token))
    verify = ["openssl", "ts", "-verify", "-data", "data", "-in", "reply", "-CAfile", ca.root, "-untrusted", ca.sub]
    said = subprocess.run(verify, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "Verification: OK" in said.stdout, said.stdout + said.stderr
    after = shown(service)
    assert after["waiting"] is None
    assert [each["in_use"] for each in after["keys"]] == [True, False]  # type: ignore[attr-defined]
    assert after["keys"][0]["key_id"] == before["waiting"]["key_id"]  # type: ignore[index]
    assert diary(service) == ["key born", "certificate asked", "key installed"]
    books = Stamps(service / "stamper" / "stamps.sqlite3")
    assert [each.number for each in books.entries(0)] == list(range(1, len(books.entries(0)) + 1))
    books.close()
    # The next one needs no subject: it is the one of the certificate in use.
    again = run("renew", "--dir", service, "--csr", request)
    assert again.exit_code == 0 and request.read_bytes() != first
    assert "waits for another CA" in str(run("renew", "--dir", service).exception)


def test_a_key_that_waits_is_cancelled(service: Path, ca: OtherCa) -> None:
    """It is destroyed, and its certificate, if it comes, is nobody's."""
    sent = ca.issue(ask(service))
    assert run("cancel", "--dir", service).exit_code == 0
    assert shown(service)["waiting"] is None and private_keys(service) == 1
    assert "no" in str(run("cancel", "--dir", service).exception).lower()
    assert "another key" in str(install(service, sent).exception)
    assert diary(service) == ["key born", "certificate asked", "key cancelled"]


@pytest.mark.parametrize(
    ("changes", "days", "kind", "words"),
    [
        ({"leaf__extendedKeyUsage": "critical,timeStamping,codeSigning"}, 3650, VerificationFailed, "timestamps alone"),
        ({"leaf__extendedKeyUsage": "timeStamping"}, 3650, VerificationFailed, "timestamps alone"),
        ({"leaf__extendedKeyUsage": "critical,codeSigning"}, 3650, VerificationFailed, "other purposes"),
        ({"leaf__keyUsage": "digitalSignature"}, 3650, NotCompliant, "keyUsage"),
        ({}, 4200, NotCompliant, "135 months"),
    ],
)
def test_a_certificate_that_is_not_fit_is_refused(
    service: Path, ca: OtherCa, changes: dict[str, str], days: int, kind: type[PrivySealError], words: str
) -> None:
    """And the key waits on; the stamper goes on with the one before."""
    sent = ca.issue(ask(service), days, **changes)
    done = install(service, sent)
    assert isinstance(done.exception, kind) and words in str(done.exception), (done.output, done.exception)
    assert shown(service)["waiting"] and "key installed" not in diary(service)


def test_a_chain_that_does_not_lead_where_it_must(service: Path, ca: OtherCa, tmp_path: Path) -> None:
    """Another root; a subordinate CA for code; no issuer's certificate; a certificate for another request."""
    request = ask(service)
    sent = ca.issue(request)
    other = OtherCa(tmp_path / "other", sub__extendedKeyUsage="codeSigning")
    done = install(service, sent, "--trust", other.root)
    assert isinstance(done.exception, VerificationFailed) and "No path" in str(done.exception)
    done = install(service, other.issue(request))
    assert isinstance(done.exception, VerificationFailed) and "issues for other purposes" in str(done.exception)
    done = install(service, ca.folder / "leaf.pem")
    assert isinstance(done.exception, VerificationFailed) and "did not come along" in str(done.exception)


def test_a_public_certificate_needs_a_module(unpinned: Path, ca: OtherCa) -> None:
    """An anchor that nobody pinned counts as public, and then a key in a file is refused (exit 5)."""
    done = install(unpinned, ca.issue(ask(unpinned)))
    assert isinstance(done.exception, NotCompliant) and "in software" in str(done.exception), done.exception
    assert done.exception.exit == 5 and private_keys(unpinned) == 2


def test_all_of_the_profile_is_asked_of_a_public_certificate(unpinned: Path, ca: OtherCa) -> None:
    """For a key in hardware it may be; without an address of its CRL it is refused, and of a private CA that is told.

    No module of the tests is hardware, so this one is only said to be.
    """
    request = ask(unpinned)
    hardware = KeyProtection("pkcs11", Assurance.HARDWARE, True, True)

    def judged(sent: Path, *pinned: PinnedAnchor) -> Judged:
        bag = bundle.read(sent.read_bytes())
        return require_fit(bag[::-1], hardware, datetime.now(UTC), pinned, roots)

    roots = certificates.pem_certificates(ca.root.read_bytes())
    assert judged(ca.issue(request)).standing == "public"
    bare = ca.issue(request, leaf__crlDistributionPoints="")
    with pytest.raises(NotCompliant, match="cRLDistributionPoints"):
        judged(bare)
    told = judged(bare, PinnedAnchor(roots[0], "private"))
    assert told.standing == "private" and any("cRLDistributionPoints" in each for each in told.notes)
    with pytest.raises(NotCompliant, match="15 months"):
        require_fit(bundle.read(bare.read_bytes())[::-1], hardware, datetime.now(UTC) + timedelta(days=480), (), roots)


def test_a_certificate_for_a_key_in_a_token(tmp_path: Path, ca: OtherCa) -> None:
    """The first one is a rehearsal's, and is followed by another CA's, and that by a rehearsal's again."""
    hsm = SoftHsm(tmp_path / "hsm", "stamper")
    directory = tmp_path / "svc"
    directory.mkdir()
    found_rehearsal(directory, "ecdsa-p256", "TSA", stamper=hsm.section("stamper"))
    done = install(pin(directory, ca), ca.issue(ask(directory)))
    assert done.exit_code == 0, (done.output, done.exception)
    assert hsm.tool("stamper", "--list-objects", "--type", "privkey").count("Private Key Object") == 2
    assert run("renew", "--dir", directory).exit_code == 0
    assert len(shown(directory)["keys"]) == 3  # type: ignore[arg-type]
