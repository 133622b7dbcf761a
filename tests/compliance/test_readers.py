"""Requests, CRLs, OCSP responses, tokens: what OpenSSL makes is read, and whatever else there is, is one sentence."""

import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.compliance.builders import crl as crls
from tests.compliance.builders import ocsp as responses
from tests.compliance.builders import request as requests
from tests.compliance.builders import token as tokens

from privyseal.compliance import crl, ocsp, pkix_status, request, rfc_rules, token
from privyseal.compliance.catalogue import REQUIREMENTS
from privyseal.compliance.evaluate import evaluate
from privyseal.compliance.outcome import Verdict
from privyseal.compliance.requirement import Asked, DatedBy
from privyseal.errors import BadInput

KINDS: dict[str, tuple[Any, bytes, Callable[[Any], Any]]] = {
    "request": (request, requests.octets({"key": "ec-p256"}), rfc_rules.request_findings),
    "crl": (
        crl,
        crls.octets({"only": "user", "entries": [{"serial": 7, "reason": "keyCompromise"}, {"serial": 8}]}),
        pkix_status.crl_findings,
    ),
    "ocsp": (ocsp, responses.octets({"status": "revoked", "reason": "keyCompromise"}), pkix_status.ocsp_findings),
    "token": (token, tokens.octets({}), rfc_rules.token_findings),
}
NAMES = sorted(KINDS)
ASKED = Asked(datetime(2026, 11, 25, tzinfo=UTC))

_CONFIGURATION = """
[ca]
default_ca = own
[own]
database = index.txt
certificate = ca.pem
private_key = ca.key
default_md = sha256
default_days = 365
policy = any
new_certs_dir = .
serial = serial
crlnumber = crlnumber
crl_extensions = crl
copy_extensions = copy
[any]
commonName = supplied
[req]
distinguished_name = name
x509_extensions = authority
[name]
[authority]
basicConstraints = critical,CA:true
subjectKeyIdentifier = hash
[crl]
authorityKeyIdentifier = keyid
[leaf]
basicConstraints = CA:false
[responder]
extendedKeyUsage = OCSPSigning
noCheck = ignored
[stamp]
extendedKeyUsage = critical,timeStamping
[tsa]
default_tsa = stamping
[stamping]
serial = serial
default_policy = 1.2.3.4
digests = sha256, sha1
signer_digest = sha256
ess_cert_id_alg = sha256
"""


class Town:
    """A CA, a responder and a timestamp authority of OpenSSL's, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "openssl.cnf").write_text(_CONFIGURATION)
        (folder / "index.txt").write_text("")
        for name in ("serial", "crlnumber"):
            (folder / name).write_text("1000\n")
        new = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -config openssl.cnf -days 30"
        self.run(*new.split(), "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Town CA")
        for name, section in (("responder", "responder"), ("stamp", "stamp"), ("acme", "leaf")):
            self.issue(name, section)

    def run(self, *arguments: str) -> None:
        done = subprocess.run(["openssl", *arguments], cwd=self.folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def issue(self, name: str, section: str) -> None:
        new = "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -config openssl.cnf"
        self.run(*new.split(), "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        signing = f"ca -batch -config openssl.cnf -extensions {section} -in {name}.csr -out {name}.pem -notext"
        self.run(*signing.split())

    def der(self, kind: str, name: str) -> bytes:
        self.run(kind, "-in", name, "-outform", "DER", "-out", "out.der")
        return self.read("out.der")

    def read(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Town:
    return Town(tmp_path_factory.mktemp("town"))


def test_a_request_of_openssl(town: Town) -> None:
    read = request.read(town.der("req", "acme.csr"), "acme", datetime(2026, 6, 1, tzinfo=UTC))
    assert (read.title, read.possession, read.key.curve) == ("acme", True, "1.2.840.10045.3.1.7")
    assert read.when(DatedBy.ISSUANCE) == datetime(2026, 6, 1, tzinfo=UTC)
    assert [each.verdict for each in rfc_rules.request_findings(read)] == [Verdict.MET]


def test_a_request_signed_with_another_key(town: Town) -> None:
    octets = bytearray(town.der("req", "acme.csr"))
    octets[octets.index(b"acme")] ^= 0x20
    [finding] = rfc_rules.request_findings(request.read(bytes(octets), "acme"))
    assert finding.verdict is Verdict.NOT_MET


def test_a_crl_of_openssl(town: Town) -> None:
    town.run("ca", "-config", "openssl.cnf", "-revoke", "acme.pem", "-crl_reason", "keyCompromise")
    town.run("ca", "-config", "openssl.cnf", "-gencrl", "-crldays", "9", "-out", "list.pem")
    read = crl.read(town.der("crl", "list.pem"), "list")
    assert read.next_update is not None
    assert read.next_update - read.this_update == timedelta(days=9)
    assert [(each.reason, each.invalid_since) for each in read.entries] == [("keyCompromise", None)]
    assert (read.number, read.covers, str(read.signature)) == (0x1000, None, "ecdsa with sha256")
    assert [each.verdict for each in pkix_status.crl_findings(read)] == [Verdict.MET]


def test_an_ocsp_response_of_openssl(town: Town) -> None:
    town.run("ocsp", "-issuer", "ca.pem", "-cert", "acme.pem", "-no_nonce", "-reqout", "ask.der")
    answer = "ocsp -index index.txt -rsigner responder.pem -rkey responder.key -CA ca.pem -reqin ask.der -ndays 3"
    town.run(*answer.split(), "-respout", "answer.der")
    issuer = town.der("x509", "ca.pem")
    read = ocsp.read(town.read("answer.der"), "answer", ocsp.Beside(issuer=issuer))
    [single] = read.singles
    assert single.next_update is not None
    assert single.next_update - single.this_update == timedelta(days=3)
    assert (read.responder.signer, read.responder.for_ocsp, read.responder.nocheck) == ("delegated", True, True)
    assert str(read.signature) == "ecdsa with sha256"
    assert ocsp.read(town.read("answer.der"), "answer").responder.signer == "unproven"


@pytest.mark.parametrize("form", ["-token_out", ""])
@pytest.mark.parametrize("digest", ["sha256", "sha1"])
def test_a_token_of_openssl_alone_or_in_its_response(town: Town, digest: str, form: str) -> None:
    (town.folder / "data").write_bytes(b"code")
    town.run("ts", "-query", "-data", "data", f"-{digest}", "-cert", "-out", "ask.tsq")
    reply = "ts -reply -queryfile ask.tsq -inkey stamp.key -signer stamp.pem -config openssl.cnf -out reply.tsr"
    town.run(*reply.split(), *form.split())
    read = token.read(town.read("reply.tsr"), "reply")
    assert (read.policy, read.imprint_algorithm, read.digest_algorithm) == ("1.2.3.4", digest, "sha256")
    assert read.authority is not None
    assert read.authority.signature_digest == "sha256"
    assert str(read.signature) == "ecdsa with sha256"
    assert [each.verdict for each in rfc_rules.token_findings(read)] == [Verdict.MET]
    assert token.recognise(town.read("reply.tsr"))


def test_a_token_without_its_certificate_is_not_called_good(town: Town) -> None:
    [finding] = rfc_rules.token_findings(tokens.build({"bare": True}))
    assert finding.verdict is Verdict.NOT_EVIDENCED


@pytest.mark.parametrize(
    ("words", "slug"),
    [
        ({"broken": True}, "signature"),
        ({"lacks": ["hash"]}, "certificate_hash"),
        ({"lacks": ["purpose"]}, "extended_key_usage"),
        ({"not_before": datetime(2026, 6, 20, 0, 0, 1, tzinfo=UTC)}, "outside_validity"),
    ],
)
def test_what_is_wrong_with_a_token_has_a_name(words: dict[str, Any], slug: str) -> None:
    found = [(each.requirement, each.verdict) for each in rfc_rules.token_findings(tokens.build(words))]
    assert found == [(f"PKIX-tsp.{slug}", Verdict.NOT_MET)]


# -- whatever else there is --------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", NAMES)
def test_each_kind_is_told_from_every_other(name: str) -> None:
    octets = KINDS[name][1]
    assert [other for other in NAMES if KINDS[other][0].recognise(octets)] == [name]


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_too_large_to_be_refused(name: str) -> None:
    module = KINDS[name][0]
    limit = max(value for key, value in vars(module).items() if key.startswith("MAX_") and key.endswith("_OCTETS"))
    with pytest.raises(BadInput, match="at most"):
        module.read(KINDS[name][1] + b"\0" * limit, "large")


def test_a_response_that_refuses_is_one_sentence() -> None:
    with pytest.raises(BadInput, match=r"^The OCSP response is of status try later and says nothing"):
        ocsp.read(b"\x30\x03\x0a\x01\x03", "refused")


def test_a_timestamp_response_without_a_token_is_one_sentence() -> None:
    with pytest.raises(BadInput, match=r"^The timestamp response has status 2 and no token"):
        token.read(b"\x30\x05\x30\x03\x02\x01\x02", "refused")


def test_a_crl_of_more_entries_than_are_read_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crl, "MAX_ENTRIES", 2)
    crl.read(crls.octets({"entries": [{"serial": 7}, {"serial": 8}]}), "two")
    with pytest.raises(BadInput, match="has 3 entries; at most 2 are read"):
        crl.read(crls.octets({"entries": [{"serial": 7}, {"serial": 8}, {"serial": 9}]}), "three")


def _judge(name: str, octets: bytes) -> None:
    """Read octets and judge what they are, if they are something; nothing but BadInput may come out."""
    module, _, others = KINDS[name]
    module.recognise(octets)
    try:
        subject = module.read(octets, "damaged")
    except BadInput as error:
        assert error.detail.endswith("."), error.detail
        assert "\n" not in error.detail
        return
    assert subject.title
    assert subject.dated
    found = list(evaluate(subject, REQUIREMENTS, ASKED, everything=True))
    assert not [each for each in found if each.verdict is Verdict.BROKEN]
    list(others(subject))


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=300))
def test_any_octets_are_one_sentence(name: str, octets: bytes) -> None:
    _judge(name, octets)
    _judge(name, b"\x30" + octets)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=150, deadline=None)
@given(at=st.integers(0, 1 << 16), octet=st.integers(0, 255), cut=st.integers(0, 3), more=st.binary(max_size=3))
def test_damaged_octets_are_one_sentence_or_judged(name: str, at: int, octet: int, cut: int, more: bytes) -> None:
    octets = KINDS[name][1]
    at %= len(octets)
    _judge(name, octets[:at] + bytes((octet,)) + octets[at + 1 :])
    if cut or more:
        _judge(name, octets[:at] + more + octets[at + cut :])
