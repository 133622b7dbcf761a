"""``device-attest-01`` with a real TPM, and an ACME server that misbehaves: a stand-in with a real CA behind it."""

from __future__ import annotations

import base64
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import cbor2
import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_public_key
from tests.authorities import attestor
from tests.authorities.remote import WISHES, chain_of, kept, now, request
from tests.pki.attestation import makers
from tests.pki.attestation.makers import AT, BORN
from tests.pki.attestation.test_attestation_tpm import GOOD, Tpm
from tests.stubs.acme import AcmeStub

from privyseal.authorities import acme_proofs, acme_session, exchange
from privyseal.authorities.acme import Acme, AcmeIdentifier, AcmeSection
from privyseal.authorities.protocol import Issued, Refused, Revoked, Waiting
from privyseal.errors import BadInput, Misused, PrivySealError, Unavailable, VerificationFailed
from privyseal.pki import bundle, csr
from privyseal.signing.authorities import LEASE
from privyseal.terms.signatures import SCHEMES

DEVICE = (AcmeIdentifier(type="permanent-identifier", value="tpm-4711"),)


class Machine:
    """A TPM with a key of ours and an attestation key that the server's root vouches for."""

    def __init__(self, folder: Path) -> None:
        self.tpm = Tpm(folder)
        self.tpm.make("ours", GOOD)
        self.root = x509.load_der_x509_certificate(makers.root().der)
        draft = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "AK of a machine")]))
            .issuer_name(self.root.subject)
            .public_key(load_pem_public_key((folder / "ak.pem").read_bytes()))  # type: ignore[arg-type]
            .serial_number(7)
            .not_valid_before(BORN)
            .not_valid_after(AT.replace(year=2030))
        )
        made = draft.sign(makers.root().key, hashes.SHA256())  # type: ignore[arg-type]
        (folder / "ak.der").write_bytes(made.public_bytes(Encoding.DER))
        self.command = (sys.executable, attestor.__file__, str(folder), "ours", "81010002", "81010003", "{key_id}")
        for name, handle in (("ours", "0x81010002"), ("ak", "0x81010003")):
            self.tpm.ask("evictcontrol", "-C", "o", "-c", f"{name}.ctx", handle)
        os.environ["TPM2TOOLS_TCTI"] = self.tpm.environment["TPM2TOOLS_TCTI"]

    def request(self) -> bytes:
        """Return a CSR for the key in the TPM, signed there."""
        public = load_pem_public_key((self.tpm.folder / "ours.pem").read_bytes())
        spki = public.public_bytes(Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        name = x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "Acme GmbH")]).public_bytes()
        info = csr.information(name, spki)
        (self.tpm.folder / "info").write_bytes(info)
        self.tpm.ask("sign", "-c", "ours.ctx", "-g", "sha256", "-f", "plain", "-o", "signed", "info")
        return csr.request(info, SCHEMES["ecdsa-p256"], (self.tpm.folder / "signed").read_bytes())


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    """One for all tests here; the path of its socket has to be a short one."""
    before = os.environ.get("TPM2TOOLS_TCTI")
    with tempfile.TemporaryDirectory(prefix="tpm") as folder:
        found = Machine(Path(folder))
        yield found
        found.tpm.close()
    os.environ.pop("TPM2TOOLS_TCTI", None) if before is None else os.environ.update(TPM2TOOLS_TCTI=before)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[AcmeStub]:
    """A server that believes the machine's attestation key."""
    found = AcmeStub(tmp_path / "server", (x509.load_der_x509_certificate(makers.root().der),))
    yield found
    found.close()


def acme(server: AcmeStub, folder: Path, **changed: object) -> Acme:
    key = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    name = "account.pem" if (folder / "account.pem").exists() else kept(folder, "account.pem", key)
    section = AcmeSection(
        name="acme",
        directory=f"{server.url}/directory",
        account_key=name,
        identifiers=DEVICE,
        ca_file=str(server.ca_file),
    )
    return Acme(msgspec.structs.replace(section, **changed), folder)


def printing(folder: Path, text: str, code: int = 0) -> tuple[str, ...]:
    """Return an attestor that prints a text."""
    (folder / "printed").write_text(text)
    return ("/bin/sh", "-c", f"cat >/dev/null; cat {folder}/printed; exit {code}")


def packed(value: object) -> str:
    return json.dumps({"attObj": base64.urlsafe_b64encode(cbor2.dumps(value)).decode().rstrip("=")})


def test_a_tpm_attests_its_key_to_the_server(machine: Machine, server: AcmeStub, tmp_path: Path) -> None:
    """Ordered under a profile, attested for this challenge, finalised with the key's CSR, fetched when it is ready."""
    server.processing = 2
    authority, octets = acme(server, tmp_path, attestor=machine.command, profile="codesigning"), machine.request()
    answer = authority.ask(octets, WISHES, now())
    assert server.profile == "codesigning"
    assert server.wanted == [{"type": "permanent-identifier", "value": "tpm-4711"}]
    assert isinstance(answer, Waiting)
    assert answer.again is not None
    assert answer.again - now() <= timedelta(seconds=4)
    chain = chain_of(authority.collect(answer.order, octets, now()), octets)
    assert isinstance(authority.revoke(chain, "superseded", now(), now()), Revoked)
    assert server.ca.revoked[x509.load_der_x509_certificate(chain[0]).serial_number][1] == 4
    assert isinstance(authority.revoke(chain, "superseded", now(), now()), Revoked)


def test_another_key_than_the_attested_one_gets_nothing(machine: Machine, server: AcmeStub, tmp_path: Path) -> None:
    answer = acme(server, tmp_path, attestor=machine.command).ask(request(), WISHES, now())
    assert answer == Refused(why="ACME acme says no (badCSR): the CSR is for another key than was attested.")


def test_an_attestation_for_another_challenge_ends_the_order(
    machine: Machine, server: AcmeStub, tmp_path: Path
) -> None:
    """As of a replay: the server says what is wrong with it."""
    authorization = "x" * 20 + "." + "y" * 43
    old = acme_proofs.attest("x", machine.command, "0" * 64, authorization)
    again = printing(tmp_path, json.dumps({"attObj": old}))
    answer = acme(server, tmp_path, attestor=again).ask(machine.request(), WISHES, now())
    assert isinstance(answer, Refused)
    assert "it was made for another challenge" in answer.why


def test_without_an_attestor_the_order_waits_for_whoever_can_prove_it(server: AcmeStub, tmp_path: Path) -> None:
    authority = acme(server, tmp_path)
    answer = authority.ask(request(), WISHES, now())
    assert isinstance(answer, Waiting)
    assert "wants permanent-identifier tpm-4711 proved by device-attest-01" in answer.words
    server.proof, server.status = "valid", "ready"  # somebody has authorised it at the CA
    server.attested = x509.load_der_x509_csr(request()).public_key()  # type: ignore[assignment]
    chain_of(authority.collect(answer.order, request(), now()), request())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no attestation object"),
        ("{}", "no attestation object"),
        ('{"attObj":"%%%"}', "no attestation object"),
        ('{"attObj":"gw"}', "no attestation object"),
        (packed(7), "no attestation object"),
        (packed({"fmt": "tpm"}), "no attestation object"),
        (packed({"fmt": ["tpm"], "attStmt": {}}), "no attestation object"),
        (json.dumps({"attObj": "gQ" * 30000}), "no attestation object"),
        ("x" * 200_000, "printed 200000 octets"),
        (packed({"fmt": "step", "attStmt": {"sig": b"canary"}}), "in the format 'step'; only tpm is passed on"),
        (packed({"fmt": "none", "attStmt": {}}), "in the format 'none'"),
    ],
)
def test_what_an_attestor_prints_is_looked_at(text: str, words: str, server: AcmeStub, tmp_path: Path) -> None:
    """And nothing reaches the server in which the Subscriber's own key has signed."""
    authority = acme(server, tmp_path, attestor=printing(tmp_path, text))
    with pytest.raises(Misused, match=words):
        authority.ask(request(), WISHES, now())
    assert "chall" not in server.calls


def test_an_attestor_that_fails_is_one_sentence(
    server: AcmeStub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Unavailable, match="failed with exit code 3"):
        acme(server, tmp_path, attestor=printing(tmp_path, "{}", 3)).ask(request(), WISHES, now())
    with pytest.raises(Misused, match="is not there"):
        acme(server, tmp_path, attestor=(str(tmp_path / "none"),)).ask(request(), WISHES, now())
    monkeypatch.setattr(acme_proofs, "ATTESTOR_SECONDS", 0.2)
    since = now()
    with pytest.raises(Unavailable, match="did not end in time"):
        acme(server, tmp_path, attestor=("/bin/sh", "-c", "sleep 60; true")).ask(request(), WISHES, now())
    assert now() - since < timedelta(seconds=40)


TROUBLES: list[tuple[str, str, type[PrivySealError], str]] = [
    ("directory", "down", Unavailable, "answered 503"),
    ("directory", "huge", BadInput, "more than 1048576 octets"),
    ("directory", "html", BadInput, "otherwise than ACME has it"),
    ("directory", "other json", BadInput, "otherwise than ACME has it"),
    ("newNonce", "no nonce", BadInput, "otherwise than ACME has it"),
    ("newAccount", "drop before", Unavailable, "cannot be reached"),
    ("newAccount", "junk", BadInput, "otherwise than ACME has it"),
    ("newOrder", "html", BadInput, r"otherwise than ACME has it|does not say where"),
    ("newOrder", "elsewhere", BadInput, "does not say where the order is"),
    ("newOrder", "rude", BadInput, "otherwise than ACME has it"),
    ("order", "no status", BadInput, "otherwise than ACME has it"),
    ("order", "deep", BadInput, "in the state 'dancing'"),
    ("order", "conflict", BadInput, "otherwise than ACME has it"),
    ("authz", "huge", BadInput, "more than 1048576 octets"),
    ("authz", "other json", BadInput, "otherwise than ACME has it"),
]


@pytest.mark.parametrize(("call", "fault", "kind", "words"), TROUBLES)
def test_trouble_is_one_sentence_and_the_next_question_is_answered(
    call: str, fault: str, kind: type[PrivySealError], words: str, server: AcmeStub, tmp_path: Path
) -> None:
    """Exit 8 where it is worth asking again, 2 where the answer is no use."""
    authority = acme(server, tmp_path)
    server.order(call, fault)
    with pytest.raises(kind, match=words) as raised:
        authority.ask(request(), WISHES, now())
    assert raised.value.exit == (8 if kind is Unavailable else 2)
    assert str(raised.value).startswith("ACME acme")
    assert "\n" not in str(raised.value)
    assert isinstance(authority.ask(request(), WISHES, now()), Waiting)


def test_a_slow_one_is_cut_off(server: AcmeStub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "STEP_LIMIT_S", 0.3)
    server.order("newOrder", "hang")
    with pytest.raises(Unavailable, match="did not answer in time"):
        acme(server, tmp_path).ask(request(), WISHES, now())


def test_a_visit_is_over_before_the_lease_of_its_order(
    server: AcmeStub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many requests it takes, each of which is answered in time."""
    assert acme_session.VISIT_S + max(exchange.ALL_S, acme_proofs.ATTESTOR_SECONDS) < LEASE.total_seconds()
    monkeypatch.setattr(acme_session, "VISIT_S", 0.0)
    with pytest.raises(Unavailable, match="takes its time"):
        acme(server, tmp_path).ask(request(), WISHES, now())


def test_nonces_are_asked_for_again_and_not_for_ever(server: AcmeStub, tmp_path: Path) -> None:
    server.order("newOrder", *["bad nonce"] * 3)
    assert isinstance(acme(server, tmp_path).ask(request(), WISHES, now()), Waiting)
    server.order("newOrder", *["bad nonce"] * 50)
    with pytest.raises(Unavailable, match=r"cannot now \(badNonce\): stale"):
        acme(server, tmp_path).ask(request(), WISHES, now())


def test_a_certificate_for_another_key_is_of_no_use(server: AcmeStub, tmp_path: Path) -> None:
    """Whoever receives the answer looks for the CSR's key in it."""
    authority = acme(server, tmp_path)
    answer = authority.ask(request(), WISHES, now())
    assert isinstance(answer, Waiting)
    other = x509.load_der_x509_csr(request(key=ec.generate_private_key(ec.SECP256R1())))
    server.issued, server.status = server.ca.sign(other), "valid"
    got = authority.collect(answer.order, request(), now())
    assert isinstance(got, Issued)
    with pytest.raises(VerificationFailed, match="for another key"):
        bundle.chain_of(csr.read(request()).key_id, got.chain, now())


def test_what_a_server_is_asked_for_and_does_not_do(server: AcmeStub, tmp_path: Path) -> None:
    names = (AcmeIdentifier(type="dns", value="a.example.org"),)
    answer = acme(server, tmp_path, identifiers=names).ask(request(), WISHES, now())
    assert answer == Refused(why="ACME acme says no (unsupportedIdentifier): this server signs for devices.")
