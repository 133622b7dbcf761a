"""The ACME client against pebble, which proves for real, refuses nonces and reuses authorisations on purpose."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from tests.authorities.remote import PRIVATE, WISHES, chain_of, kept, now, request
from tests.pebble import KID, MAC, Pebble, pebble
from tests.strongroom.processes import wait_until

from privyseal.authorities import catalogue
from privyseal.authorities.acme import Acme, AcmeIdentifier, AcmeSection
from privyseal.authorities.acme_session import LONGEST_PAUSE, PAUSE, again_of
from privyseal.authorities.protocol import Answer, Refused, Revoked, Waiting
from privyseal.errors import BadInput, Misused, PrivySealError, Unavailable

NAME = "signing.example.org"
DNS = (AcmeIdentifier(type="dns", value=NAME),)


def pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pebble]:
    """One pebble for all tests here."""
    with pebble(tmp_path_factory.mktemp("pebble")) as found:
        yield found


@pytest.fixture
def section(server: Pebble, tmp_path: Path) -> AcmeSection:
    """An account of its own for each test."""
    return AcmeSection(
        name="acme",
        directory=server.directory,
        account_key=kept(tmp_path, "account.pem", pem(ec.generate_private_key(ec.SECP256R1()))),
        identifiers=DNS,
        contact=("mailto:certificates@example.org",),
        terms_agreed=True,
        eab_kid=KID,
        eab_file=kept(tmp_path, "mac", MAC + "\n"),
        webroot=str(server.webroot),
        ca_file=str(server.ca_file),
    )


def acme(section: AcmeSection, folder: Path, **changed: object) -> Acme:
    found = catalogue.authority(msgspec.structs.replace(section, **changed), folder, None)
    assert isinstance(found, Acme)
    return found


def followed(authority: Acme, octets: bytes, answer: Answer) -> Answer:
    """Ask on, as the duty does, until the order is over."""
    answers = [answer]

    def over() -> bool:
        if isinstance(answers[-1], Waiting):
            assert answers[-1].again is not None
            assert now() < answers[-1].again <= now() + timedelta(hours=6)
            answers.append(authority.collect(answers[-1].order, octets, now()))
        return not isinstance(answers[-1], Waiting)

    wait_until(over, 30)
    return answers[-1]


def test_pebble_issues_to_us_for_our_csr_and_revokes(section: AcmeSection, tmp_path: Path, server: Pebble) -> None:
    """Account with external binding, order, proof, finalisation, chain; then revoked, with the reason, and again."""
    authority, octets = acme(section, tmp_path), request(NAME)
    first = authority.ask(octets, WISHES, now())
    chain = chain_of(followed(authority, octets, first), octets)
    leaf = x509.load_der_x509_certificate(chain[0])
    assert leaf.public_key() == PRIVATE.public_key()
    assert len(chain) == 2
    assert server.status(leaf.serial_number)["Status"] == "Valid"
    assert isinstance(authority.revoke(chain, "keyCompromise", now(), now()), Revoked)
    told = server.status(leaf.serial_number)
    assert (told["Status"], told["Reason"]) == ("Revoked", 1)
    assert isinstance(authority.revoke(chain, "superseded", now(), now()), Revoked)


@pytest.mark.parametrize("kind", ["P-384", "RSA"])
def test_accounts_have_keys_of_several_kinds(section: AcmeSection, tmp_path: Path, kind: str) -> None:
    key = ec.generate_private_key(ec.SECP384R1()) if kind == "P-384" else rsa.generate_private_key(65537, 2048)
    kept(tmp_path, "account.pem", pem(key))
    authority, octets = acme(section, tmp_path), request(NAME)
    chain_of(followed(authority, octets, authority.ask(octets, WISHES, now())), octets)


def test_a_code_signing_csr_does_not_fit_a_dns_order(section: AcmeSection, tmp_path: Path) -> None:
    """Pebble issues for names of hosts only, and says so; the order is over, in its words."""
    authority, octets = acme(section, tmp_path), request()
    answer = followed(authority, octets, authority.ask(octets, WISHES, now()))
    assert isinstance(answer, Refused)
    assert answer.why.startswith("ACME acme says no (")
    assert "CSR" in answer.why or "names" in answer.why


def test_other_identifiers_are_not_pebbles(section: AcmeSection, tmp_path: Path) -> None:
    device = (AcmeIdentifier(type="permanent-identifier", value="serial-1"),)
    answer = acme(section, tmp_path, identifiers=device).ask(request(), WISHES, now())
    assert isinstance(answer, Refused)
    assert "says no (" in answer.why


def test_without_a_way_to_prove_the_order_waits_and_says_for_what(section: AcmeSection, tmp_path: Path) -> None:
    name = f"other-{now().timestamp():.0f}.example.org"
    authority = acme(section, tmp_path, webroot=None, identifiers=(AcmeIdentifier(type="dns", value=name),))
    answer = authority.ask(request(name), WISHES, now())
    assert isinstance(answer, Waiting)
    assert f"wants dns {name} proved by dns-01, http-01, tls-alpn-01" in answer.words
    assert isinstance(authority.collect(answer.order, request(name), now()), Waiting)


def test_a_proof_that_fails_ends_the_order(section: AcmeSection, tmp_path: Path) -> None:
    """The web server shows another folder; the server's own words say that the proof was not there."""
    name = f"wrong-{now().timestamp():.0f}.example.org"
    elsewhere = (AcmeIdentifier(type="dns", value=name),)
    authority = acme(section, tmp_path, webroot=str(tmp_path / "nobody-looks"), identifiers=elsewhere)
    answer = followed(authority, request(name), authority.ask(request(name), WISHES, now()))
    assert isinstance(answer, Refused)
    assert "404" in answer.why or "nauthorized" in answer.why or "Non-200" in answer.why
    assert (tmp_path / "nobody-looks/.well-known/acme-challenge").is_dir()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"eab_kid": "nobody"}, "does not let us|says no"),
        ({"eab_kid": "", "eab_file": None}, "externalAccountRequired"),
        ({"terms_agreed": False}, "terms"),
        ({"contact": ("mailto:not an address",)}, "ontact"),
    ],
)
def test_an_account_that_is_not_let_in(
    section: AcmeSection, tmp_path: Path, changed: dict[str, object], words: str
) -> None:
    """Exit 2: our configuration is wrong, and the order may wait until it is put right."""
    with pytest.raises(Misused, match=words) as raised:
        acme(section, tmp_path, **changed).ask(request(NAME), WISHES, now())
    assert MAC not in str(raised.value)


def test_an_order_of_another_account_is_not_ours(section: AcmeSection, tmp_path: Path) -> None:
    """As after somebody put another account's key in the file: the order is over, and can be made again."""
    name = f"mine-{now().timestamp():.0f}.example.org"
    answer = acme(section, tmp_path, webroot=None, identifiers=(AcmeIdentifier(type="dns", value=name),)).ask(
        request(name), WISHES, now()
    )
    assert isinstance(answer, Waiting)
    kept(tmp_path, "other.pem", pem(ec.generate_private_key(ec.SECP256R1())))
    other = acme(section, tmp_path, account_key="other.pem").collect(answer.order, request(name), now())
    assert isinstance(other, Refused)
    assert "says no (" in other.why


def test_an_order_elsewhere_is_not_asked_about(section: AcmeSection, tmp_path: Path) -> None:
    """What stands in the records may lead to the CA's own server only."""
    for place in (
        "https://127.0.0.1:1/order",
        "http://example.org/",
        section.directory.replace("127.0.0.1", "127.0.0.2"),
    ):
        with pytest.raises(BadInput, match="leads to another server"):
            acme(section, tmp_path).collect(place, request(NAME), now())


def test_nobody_at_home_and_a_stranger_at_the_door(section: AcmeSection, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="Connection refused"):
        acme(section, tmp_path, directory="https://127.0.0.1:1/dir").ask(request(NAME), WISHES, now())
    with pytest.raises(Unavailable, match="its certificate is not accepted"):
        acme(section, tmp_path, ca_file=None).ask(request(NAME), WISHES, now())
    with pytest.raises(Misused, match="no https address"):
        acme(section, tmp_path, directory="http://acme.example/directory")


def test_what_is_not_acme_is_one_sentence(section: AcmeSection, tmp_path: Path, server: Pebble) -> None:
    """Another page of the same server: a directory that is none."""
    with pytest.raises(PrivySealError) as raised:
        acme(section, tmp_path, directory=server.directory + "/other").ask(request(NAME), WISHES, now())
    assert raised.value.exit == 2


@pytest.mark.parametrize("what", ["text", "ed25519", "public", "small", "readable"])
def test_an_account_key_that_is_none(section: AcmeSection, tmp_path: Path, what: str) -> None:
    """And nothing of it is in the sentence."""
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    texts = {
        "text": b"canary-not-a-key",
        "ed25519": pem(ed25519.Ed25519PrivateKey.generate()),
        "public": public,
        "small": pem(ec.generate_private_key(ec.SECP224R1())),
        "readable": pem(key),
    }
    kept(tmp_path, "account.pem", texts[what], 0o644 if what == "readable" else 0o600)
    with pytest.raises(Misused, match=r"others can read|no key for an account") as raised:
        acme(section, tmp_path).ask(request(NAME), WISHES, now())
    assert "canary" not in str(raised.value)


def test_a_mac_key_that_is_none(section: AcmeSection, tmp_path: Path) -> None:
    kept(tmp_path, "mac", "canary, not base64")
    with pytest.raises(Misused, match="holds no MAC key") as raised:
        acme(section, tmp_path).ask(request(NAME), WISHES, now())
    assert "canary" not in str(raised.value)


def test_no_ev_without_a_profile_of_it(section: AcmeSection, tmp_path: Path) -> None:
    answer = acme(section, tmp_path).ask(request(NAME), msgspec.structs.replace(WISHES, ev=True), now())
    assert isinstance(answer, Refused)


@pytest.mark.parametrize(
    "wrong",
    [
        {"eab_kid": "kid"},
        {"contact": ["certificates@example.org"]},
        {"identifiers": []},
        {"identifiers": [{"type": "ip", "value": "127.0.0.1"}]},
    ],
)
def test_a_section_that_makes_no_sense(wrong: dict[str, object]) -> None:
    good = {"kind": "acme", "name": "x", "directory": "https://acme.example/d", "account_key": "k"}
    good["identifiers"] = [{"type": "dns", "value": NAME}]  # type: ignore[assignment]
    assert msgspec.convert(good, catalogue.Section)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({**good, **wrong}, catalogue.Section)


def test_the_order_is_put_off_within_bounds() -> None:
    """By seconds, by a date, by nonsense."""
    moment = datetime.fromisoformat("2026-11-30T12:00:00Z")
    assert again_of("30", moment) == moment + timedelta(seconds=30)
    assert again_of("0", moment) == moment + timedelta(seconds=1)
    assert again_of("9" * 30, moment) in {moment + LONGEST_PAUSE, moment + PAUSE}
    assert again_of("Mon, 30 Nov 2026 12:01:00 GMT", moment) == moment + timedelta(minutes=1)
    for nonsense in ("", "soon", "-5", "Mon, 99 Nov 2026 12:01:00 GMT"):
        assert again_of(nonsense, moment) == moment + PAUSE
