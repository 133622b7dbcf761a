"""EJBCA, step-ca and Vault behind the protocol, against stand-ins with real CAs: issued, refused, waiting, down."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import hvac
import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from tests.authorities.remote import PRIVATE, WISHES, chain_of, kept, now, request
from tests.stubs import ejbca as ejbca_stub
from tests.stubs import vaultpki as vault_stub
from tests.stubs.ca import DER, Ca
from tests.stubs.ejbca import EjbcaStub
from tests.stubs.stepca import PROVISIONER, StepCaStub
from tests.stubs.vaultpki import VaultPkiStub

from privyseal.authorities import catalogue, exchange
from privyseal.authorities.catalogue import Section
from privyseal.authorities.ejbca import EjbcaSection
from privyseal.authorities.protocol import CertificateAuthority, Issued, Refused, Revoked, Waiting
from privyseal.authorities.stepca import StepCaSection
from privyseal.authorities.vaultpki import VaultPkiSection
from privyseal.errors import BadInput, Misused, PrivySealError, Unavailable, VerificationFailed
from privyseal.pki import bundle, csr


class Remote(NamedTuple):
    """One kind, with its stand-in."""

    kind: str
    stub: Any
    section: Section
    base: Path
    call: str
    """What the stand-in calls the question for a certificate."""
    secret: str
    """A part of the credential, that nothing may show."""

    def authority(self, **changed: object) -> CertificateAuthority:
        """Return the authority, its section otherwise in some points."""
        return catalogue.authority(msgspec.structs.replace(self.section, **changed), self.base, None)


def vault(folder: Path) -> Remote:
    stub = VaultPkiStub(folder / "vault")
    token = kept(folder, "token", vault_stub.TOKEN + "\n")
    section = VaultPkiSection(
        name="vault", url=stub.url, role="code", verbatim=True, token_file=token, ca_file=str(stub.ca_file)
    )
    return Remote("vault", stub, section, folder, "sign-verbatim", vault_stub.TOKEN)


def stepca(folder: Path) -> Remote:
    stub = StepCaStub(folder / "stepca")
    key = stub.key.as_dict(private=True)
    name = kept(folder, "provisioner.json", json.dumps(key))
    section = StepCaSection(
        name="step", url=stub.url, provisioner=PROVISIONER, key_file=name, ca_file=str(stub.ca_file)
    )
    return Remote("step-ca", stub, section, folder, "/1.0/sign", str(key["d"]))


def ejbca(folder: Path) -> Remote:
    stub = EjbcaStub(folder / "ejbca")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "privyseal")])
    client = stub.ca.sign_key(key.public_key(), name, ExtendedKeyUsageOID.CLIENT_AUTH).public_bytes(
        serialization.Encoding.PEM
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    section = EjbcaSection(
        name="ejbca",
        url=stub.url,
        ca="IssuingCA",
        certificate_profile="CodeSigning",
        end_entity_profile="CodeSigning",
        certificate=kept(folder, "client.pem", client, 0o644),
        key=kept(folder, "client.key", private),
        code_file=kept(folder, "code", ejbca_stub.CODE),
        ca_file=str(stub.ca_file),
    )
    return Remote("ejbca", stub, section, folder, "pkcs10enroll", ejbca_stub.CODE)


MAKERS: dict[str, Callable[[Path], Remote]] = {"vault": vault, "stepca": stepca, "ejbca": ejbca}


@pytest.fixture(params=MAKERS)
def remote(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Remote]:
    """One of each kind."""
    found = MAKERS[request.param](tmp_path)
    yield found
    found.stub.close()


def test_a_certificate_is_issued_for_our_key_and_subject_and_revoked_once(remote: Remote) -> None:
    """The CSR's key and subject are in it, its issuer comes along, and a second revocation says the same."""
    authority = remote.authority()
    assert not authority.by_people
    octets = request()
    chain = chain_of(authority.ask(octets, WISHES, now()), octets)
    assert len(chain) == 2
    leaf = x509.load_der_x509_certificate(chain[0])
    assert leaf.public_key() == PRIVATE.public_key()
    assert leaf.subject == x509.load_der_x509_csr(octets).subject
    assert leaf.serial_number in remote.stub.ca.issued
    first = authority.revoke(chain, "keyCompromise", now(), now())
    assert isinstance(first, Revoked)
    assert abs(first.at - now()) < timedelta(seconds=30)
    _, reason = remote.stub.ca.revoked[leaf.serial_number]
    assert reason == {"vault": None, "step-ca": 1, "ejbca": "KEY_COMPROMISE"}[remote.kind]
    assert isinstance(authority.revoke(chain, "superseded", now(), now()), Revoked)
    assert remote.stub.ca.revoked[leaf.serial_number][1] == reason


def test_who_can_be_asked_again_gives_the_same_certificate(remote: Remote) -> None:
    """After a crash between question and answer EJBCA finds it; the others sign another one for the same key."""
    authority = remote.authority()
    octets = request()
    first = chain_of(authority.ask(octets, WISHES, now()), octets)
    again = chain_of(authority.collect(WISHES.reference, octets, now()), octets)
    third = chain_of(authority.ask(octets, WISHES, now()), octets)
    assert (first == again == third) is (remote.kind == "ejbca")
    assert len(first) == len(again) == len(third) == 2


TROUBLES: dict[str, tuple[type[PrivySealError], str]] = {
    "sealed": (Unavailable, "answered 50"),
    "drop before": (Unavailable, "cannot be reached"),
    "huge": (BadInput, "more than 1048576 octets"),
    "html": (BadInput, "'text/html' where JSON was expected"),
    "junk": (BadInput, "where JSON was expected"),
    "other json": (BadInput, "other JSON than expected"),
    "no chain": (BadInput, "certificate"),
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_trouble_is_one_sentence_and_the_next_question_is_answered(remote: Remote, trouble: str) -> None:
    """Exit 8 where it is worth asking again, 2 where the answer is no use; no credential is in it."""
    kind, words = TROUBLES[trouble]
    authority = remote.authority()
    remote.stub.order(remote.call, trouble)
    with pytest.raises(kind, match=words) as raised:
        authority.ask(request(), WISHES, now())
    assert raised.value.exit == (8 if kind is Unavailable else 2)
    assert "\n" not in str(raised.value)
    assert remote.secret not in str(raised.value)
    assert isinstance(authority.ask(request(), WISHES, now()), Issued)


def test_a_slow_one_is_cut_off(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "STEP_LIMIT_S", 0.3)
    remote.stub.order(remote.call, "hang")
    with pytest.raises(Unavailable, match="did not answer in time"):
        remote.authority().ask(request(), WISHES, now())


def test_nobody_at_home_and_a_stranger_at_the_door(remote: Remote, tmp_path: Path) -> None:
    """Where nobody listens, and where somebody does whose certificate our anchors do not vouch for."""
    with pytest.raises(Unavailable, match="Connection refused"):
        remote.authority(url="https://127.0.0.1:1").ask(request(), WISHES, now())
    with pytest.raises(Unavailable, match="its certificate is not accepted"):
        remote.authority(ca_file=None).ask(request(), WISHES, now())
    assert not remote.stub.calls


def test_a_certificate_for_another_key_is_of_no_use(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever receives the answer looks for the CSR's key in it."""
    other = ec.generate_private_key(ec.SECP256R1())
    sign = remote.stub.ca.sign_key
    monkeypatch.setattr(remote.stub.ca, "sign_key", lambda _, *rest: sign(other.public_key(), *rest))
    octets = request()
    answer = remote.authority().ask(octets, WISHES, now())
    assert isinstance(answer, Issued)
    with pytest.raises(VerificationFailed, match="for another key"):
        bundle.chain_of(csr.read(octets).key_id, answer.chain, now())


def test_a_credential_that_others_can_read_is_not_used(remote: Remote) -> None:
    field = {"vault": "token_file", "step-ca": "key_file", "ejbca": "code_file"}[remote.kind]
    path = remote.base / getattr(remote.section, field)
    path.chmod(0o640)
    with pytest.raises(Misused, match="others can read") as raised:
        remote.authority().ask(request(), WISHES, now())
    assert remote.secret not in str(raised.value)
    assert remote.call not in remote.stub.calls
    path.unlink()
    with pytest.raises(Misused, match="cannot be read"):
        remote.authority().ask(request(), WISHES, now())


def test_no_ev_without_a_profile_of_it(remote: Remote) -> None:
    wishes = msgspec.structs.replace(WISHES, ev=True)
    answer = remote.authority().ask(request(), wishes, now())
    assert isinstance(answer, Refused)
    assert "EV" in answer.why
    assert not remote.stub.calls


def test_a_certificate_of_somebody_else_is_not_revoked(remote: Remote) -> None:
    """The CA says no, in its own words, or that nothing is there."""
    stranger = x509.CertificateBuilder(
        issuer_name=remote.stub.ca.issuer.subject,
        subject_name=x509.Name([]),
        public_key=PRIVATE.public_key(),
        serial_number=77,
        not_valid_before=now().replace(tzinfo=None),
        not_valid_after=now().replace(tzinfo=None) + timedelta(days=1),
    ).sign(PRIVATE, hashes.SHA256())
    chain = (stranger.public_bytes(DER),)
    if remote.kind == "step-ca":  # it revokes any serial number, also of what it has not issued
        assert isinstance(remote.authority().revoke(chain, "superseded", now(), now()), Revoked)
    elif remote.kind == "vault":
        answer = remote.authority().revoke(chain, "superseded", now(), now())
        assert isinstance(answer, Refused)
        assert answer.why == "Vault vault says no: certificate with serial 4d not found."
    else:
        with pytest.raises(Misused, match="answered 404, Certificate with serial number 4D was not found"):
            remote.authority().revoke(chain, "superseded", now(), now())


# -- each on its own ---------------------------------------------------------------------------------------------------
@pytest.fixture
def a_vault(tmp_path: Path) -> Iterator[Remote]:
    found = vault(tmp_path)
    yield found
    found.stub.close()


@pytest.fixture
def a_stepca(tmp_path: Path) -> Iterator[Remote]:
    found = stepca(tmp_path)
    yield found
    found.stub.close()


@pytest.fixture
def an_ejbca(tmp_path: Path) -> Iterator[Remote]:
    found = ejbca(tmp_path)
    yield found
    found.stub.close()


def refused(answer: object) -> str:
    assert isinstance(answer, Refused), answer
    return answer.why


def test_vault_says_no_in_its_words(a_vault: Remote) -> None:
    """A role that is not there, a life that the role does not allow, a CSR that lacks what the role takes."""
    ask = lambda **changed: a_vault.authority(**changed).ask(request(), WISHES, now())  # noqa: E731
    assert refused(ask(role="other")) == "Vault vault says no: unknown role: other."
    assert "as TTL would result" in refused(ask(days=460))
    nameless = a_vault.authority(verbatim=False).ask(request(name=""), WISHES, now())
    assert "common_name field is required" in refused(nameless)
    with pytest.raises(Misused, match="answered 404"):
        ask(mount="other/pki")
    a_vault.stub.order("sign-verbatim", "behind")
    with pytest.raises(Unavailable, match="answered 412"):
        ask()


def test_vault_gives_what_its_role_takes(a_vault: Remote) -> None:
    """Without ``verbatim`` the subject is what the role makes of the common name."""
    octets = request()
    chain = chain_of(a_vault.authority(verbatim=False, namespace="team/a").ask(octets, WISHES, now()), octets)
    assert len(x509.load_der_x509_certificate(chain[0]).subject) == 1
    assert a_vault.stub.namespaces == ["team/a"]
    assert a_vault.stub.asked[0]["ttl"] == "8760h"
    assert "ext_key_usage" not in a_vault.stub.asked[0]
    a_vault.authority().ask(octets, WISHES, now())
    assert a_vault.stub.asked[1]["ext_key_usage"] == ["CodeSigning"]


def test_vault_is_logged_in_to_by_approle(a_vault: Remote) -> None:
    octets = request()
    name = kept(a_vault.base, "secret-id", vault_stub.SECRET_ID)
    changed = {"token_file": None, "role_id": vault_stub.ROLE_ID, "secret_id_file": name}
    chain_of(a_vault.authority(**changed).ask(octets, WISHES, now()), octets)
    assert a_vault.stub.calls == ["approle", "sign-verbatim"]
    kept(a_vault.base, "secret-id", "canary-wrong")
    with pytest.raises(Misused, match="does not accept our AppRole") as raised:
        a_vault.authority(**changed).ask(octets, WISHES, now())
    assert "canary" not in str(raised.value)
    kept(a_vault.base, "token", "canary-wrong")
    with pytest.raises(Misused, match="answered 403"):
        a_vault.authority().ask(octets, WISHES, now())
    kept(a_vault.base, "token", "two\nlines")
    with pytest.raises(Misused, match="holds no token"):
        a_vault.authority().ask(octets, WISHES, now())


@pytest.mark.parametrize("wrong", [{}, {"token_file": "t", "role_id": "r", "secret_id_file": "s"}, {"role_id": "r"}])
def test_vault_wants_one_way_to_log_in(wrong: dict[str, str]) -> None:
    with pytest.raises(msgspec.ValidationError, match="needs token_file, or role_id"):
        msgspec.convert({"kind": "vault-pki", "name": "v", "url": "https://v", "role": "r", **wrong}, Section)


def test_a_client_of_others_finds_the_vault_that_we_find(a_vault: Remote) -> None:
    """hvac, which is HashiCorp's users' own, reads our stand-in's answers: signs, and revokes what we had signed."""
    client = hvac.Client(url=a_vault.stub.url, token=vault_stub.TOKEN, verify=str(a_vault.stub.ca_file))
    octets = request()
    chain = chain_of(a_vault.authority().ask(octets, WISHES, now()), octets)
    signed = client.secrets.pki.sign_certificate(
        "code", csr.pem(octets).decode(), "Acme, Söhne GmbH", extra_params={"ttl": "24h"}, mount_point="pki"
    )
    assert signed["data"]["ca_chain"]
    serial = x509.load_der_x509_certificate(chain[0]).serial_number
    octets_of_it = serial.to_bytes((serial.bit_length() + 7) // 8)
    assert client.secrets.pki.revoke_certificate(octets_of_it.hex(":"))["data"]["revocation_time"]
    client.adapter.close()
    assert isinstance(a_vault.authority().revoke(chain, "superseded", now(), now()), Revoked)


def test_a_token_for_step_ca_is_good_once(a_stepca: Remote) -> None:
    """Each call has one of its own, with the CSR's common name, or the serial number, as its subject."""
    octets = request()
    chain = chain_of(a_stepca.authority().ask(octets, WISHES, now()), octets)
    chain_of(a_stepca.authority().ask(octets, WISHES, now()), octets)
    first, second = a_stepca.stub.asked
    assert first["ott"] != second["ott"]
    assert isinstance(a_stepca.authority().revoke(chain, "superseded", now(), now()), Revoked)
    assert a_stepca.stub.asked[-1]["serial"] == str(x509.load_der_x509_certificate(chain[0]).serial_number)


def test_step_ca_says_no(a_stepca: Remote, tmp_path: Path) -> None:
    """Another provisioner, a clock that is wrong, a life that is too long, a CSR without a common name."""
    with pytest.raises(Misused, match="does not accept our token: it answered 401"):
        a_stepca.authority(provisioner="other").ask(request(), WISHES, now())
    with pytest.raises(Misused, match="answered 401"):
        a_stepca.authority().ask(request(), WISHES, now() - timedelta(minutes=10))
    assert "authorized maximum certificate duration" in refused(
        a_stepca.authority(days=460).ask(request(), WISHES, now())
    )
    assert "the CSR has none" in refused(a_stepca.authority().ask(request(name=""), WISHES, now()))


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", '{"kty":"EC"}', '{"kty":"oct","k":"c2VjcmV0"}', "public", "[" * 5000, '{"kty":"RSA","n":"AQAB"}'],
)
def test_a_provisioner_key_that_is_none_is_one_sentence(a_stepca: Remote, text: str) -> None:
    public = json.dumps(a_stepca.stub.key.as_dict(private=False))
    kept(a_stepca.base, "provisioner.json", public if text == "public" else text)
    with pytest.raises(Misused, match="holds no private JWK"):
        a_stepca.authority().ask(request(), WISHES, now())


def test_ejbca_waits_for_its_administrators(an_ejbca: Remote) -> None:
    """202, then nobody knows the end entity, then it enrols; and the same for a revocation."""
    authority, octets = an_ejbca.authority(), request()
    an_ejbca.stub.approvals = True
    waiting = authority.ask(octets, WISHES, now())
    assert isinstance(waiting, Waiting)
    assert waiting.order == WISHES.reference
    assert "added for approval" in waiting.words
    assert waiting.again is not None
    still = authority.collect(waiting.order, octets, now())
    assert isinstance(still, Waiting)
    assert "nonexisting user" in still.words
    an_ejbca.stub.approve()
    chain = chain_of(authority.collect(waiting.order, octets, now()), octets)
    assert len(chain) == 2
    answer = authority.revoke(chain, "privilegeWithdrawn", now(), now())
    assert isinstance(answer, Waiting)
    assert not an_ejbca.stub.ca.revoked.get(x509.load_der_x509_certificate(chain[0]).serial_number)


def test_ejbca_says_no_in_its_words(an_ejbca: Remote) -> None:
    """Profiles and CAs that are not there, a wrong enrolment code, a certificate that may not enrol."""
    ask = lambda **changed: an_ejbca.authority(**changed).ask(request(), WISHES, now())  # noqa: E731
    assert "Certificate profile Other does not exist" in refused(ask(certificate_profile="Other"))
    with pytest.raises(Misused, match="CA with name Other doesn't exist"):
        ask(ca="Other")
    an_ejbca.stub.order("search", "forbidden")
    with pytest.raises(Misused, match="not authorized"):
        ask()
    kept(an_ejbca.base, "code", "canary-wrong")
    assert "Wrong username or password" in refused(ask())
    with pytest.raises(Misused, match="answered 404, it does not say why"):
        ask(url=an_ejbca.section.url + "/proxy")  # type: ignore[union-attr]


def test_ejbca_gives_an_issuer_later_where_it_was_away(an_ejbca: Remote) -> None:
    """An order that has its certificate is not over because the next question was not answered."""
    authority, octets = an_ejbca.authority(), request()
    authority.ask(octets, WISHES, now())
    an_ejbca.stub.order("download", "sealed", "forbidden")
    with pytest.raises(Unavailable):
        authority.collect(WISHES.reference, octets, now())
    alone = authority.collect(WISHES.reference, octets, now())
    assert isinstance(alone, Issued)
    assert len(alone.chain) == 1
    assert len(chain_of(authority.collect(WISHES.reference, octets, now()), octets)) == 2


def test_ejbca_issues_ev_under_the_profile_of_it(an_ejbca: Remote) -> None:
    octets = request()
    authority = an_ejbca.authority(ev_certificate_profile="EVCodeSigning")
    chain_of(authority.ask(octets, msgspec.structs.replace(WISHES, ev=True), now()), octets)
    assert an_ejbca.stub.asked[-1][1]["certificate_profile_name"] == "EVCodeSigning"


def test_ejbca_revokes_from_an_earlier_moment_where_its_profile_allows(an_ejbca: Remote) -> None:
    octets = request()
    since = now() - timedelta(days=2)
    for backdate, expected in ((True, since), (False, now())):
        wishes = msgspec.structs.replace(WISHES, reference=f"O-{backdate}".lower())
        authority = an_ejbca.authority(backdate=backdate)
        chain = chain_of(authority.ask(octets, wishes, now()), octets)
        answer = authority.revoke(chain, "keyCompromise", since, now())
        assert isinstance(answer, Revoked)
        assert abs(answer.at - expected) < timedelta(seconds=30)


def test_ejbca_lets_nobody_in_who_is_not_known(an_ejbca: Remote) -> None:
    """A client certificate that its own anchors do not vouch for ends in one sentence."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "somebody")])
    made = Ca("Others").sign_key(key.public_key(), name, ExtendedKeyUsageOID.CLIENT_AUTH)
    kept(an_ejbca.base, "client.pem", made.public_bytes(serialization.Encoding.PEM), 0o644)
    kept(
        an_ejbca.base,
        "client.key",
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )
    with pytest.raises(Unavailable, match="cannot be reached"):
        an_ejbca.authority().ask(request(), WISHES, now())
    assert not an_ejbca.stub.calls


def test_ejbca_does_not_speak_to_whoever_has_a_key_that_others_read(an_ejbca: Remote) -> None:
    (an_ejbca.base / "client.key").chmod(0o644)
    with pytest.raises(Misused, match="others can read"):
        an_ejbca.authority()


@pytest.mark.parametrize("kind", ["vault-pki", "step-ca", "ejbca"])
def test_a_section_says_what_it_lacks(kind: str) -> None:
    with pytest.raises(msgspec.ValidationError, match="missing required field"):
        msgspec.convert({"kind": kind, "name": "x"}, Section)
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        msgspec.convert({"kind": kind, "name": "x", "colour": "red"}, Section)
