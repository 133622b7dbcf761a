"""What shows where a key lives: kept with it, believed as far as it proves itself, given out in one signed file."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from tests.pki.attestation import makers
from tests.pki.attestation.makers import OTHER
from tests.signing.test_custody import generate
from tests.world import SUBSCRIBER, World

from privyseal.errors import BadInput, KeyStoreUnavailable, NotFound, VerificationFailed
from privyseal.keystore.softfile import SoftFile
from privyseal.pki import csr
from privyseal.pki.attestation import enclosure, evidence, pieces
from privyseal.pki.attestation.judge import judge
from privyseal.pki.attestation.protocol import Attested
from privyseal.records import lives
from privyseal.signing import births, certificate_requests, key_evidence
from privyseal.signing.certificate_requests import Wishes
from privyseal.tlog.entry import Statement, decode

KEY = "release"


def own(world: World) -> ec.EllipticCurvePrivateKey:
    """Return the Private Key of the world's release key, as only a test can have it."""
    pair, _ = world.pair()
    store = world._rooms["signer"]._judge._stores["softfile"]._inner
    assert isinstance(store, SoftFile)
    private = store._open(pair.uri)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    return private


def judged(world: World, made: key_evidence.KeyEvidence, *more: bytes) -> Attested:
    """Judge a file as its CA does, who pinned the attestation key."""
    found = judge([made.file, *more], world.now, [made.certificate, makers.root().der])
    assert isinstance(found, Attested)
    return found


def test_the_file_for_the_ca_says_what_is_so(world: World) -> None:
    """A key in a file was born inside and can leave; the log's proof of its birth holds, and of no other key's."""
    made = key_evidence.evidence(world.seal, None, SUBSCRIBER, KEY)
    pair, _ = world.pair()
    found = judged(world, made, makers.request(own(world)))
    assert (found.spki, found.generated_inside, found.never_extractable) == (pair.public_key, True, False)
    assert (found.maker, found.model) == ("Privy Seal", "softfile (software)")
    assert found.claims["purposes"] == "sign"
    inside = enclosure.read(enclosure.found_in([made.file])[0])
    assert inside.verdict.startswith("not-evidenced")
    born = births.check(inside.birth, pair.key_id, world.policy())
    assert decode(world.entries()[born.index]) == Statement(about="key", commitment=_commitment(world, born.index))
    other = generate(world, "second")
    with pytest.raises(VerificationFailed, match="something else"):
        births.check(inside.birth, other.key_id, world.policy())
    cut = inside.birth.replace("index ", "index 1", 1)
    with pytest.raises(VerificationFailed):
        births.check(cut, pair.key_id, world.policy())
    world.check()


def _commitment(world: World, index: int) -> bytes:
    entry = decode(world.entries()[index])
    assert isinstance(entry, Statement)
    return entry.commitment


def test_one_attestation_key_speaks_for_all_keys_and_after_a_restart(world: World) -> None:
    """It is born once, and the Subscriber's keys are not used for it: no intent is logged."""
    before, used = len(world.entries()), world.key_uses
    first = key_evidence.evidence(world.seal, None, SUBSCRIBER, KEY)
    generate(world, "second")
    world.crash()
    second = key_evidence.evidence(world.seal, None, SUBSCRIBER, "second")
    assert first.certificate == second.certificate
    assert judged(world, first).spki != judged(world, second).spki
    verbs = [getattr(decode(each), "verb", "") for each in world.entries()[before:]]
    assert set(verbs) == {"", "generate"}
    assert world.key_uses >= used
    with pytest.raises(NotFound):
        key_evidence.evidence(world.seal, None, SUBSCRIBER, "none")


def test_a_module_that_lies_is_caught(world: World) -> None:
    """An attestation key that was exchanged in its store signs nothing that leaves."""
    key_evidence.evidence(world.seal, None, SUBSCRIBER, KEY)
    store = world._rooms["signer"]._judge._stores["softfile"]
    inner = store._inner
    real = inner.sign
    inner.sign = lambda uri, tbs: real("softfile:demo/release", tbs)
    with pytest.raises(KeyStoreUnavailable, match="does not verify"):
        key_evidence.evidence(world.seal, None, SUBSCRIBER, KEY)
    inner.sign = real


def test_the_modules_attestation_is_kept_stated_and_given_on(world: World) -> None:
    """What a YubiKey says of the key goes into the statement, and word for word into the file."""
    files = (makers.yubikey(own(world)).der, makers.yubikey_device().der)
    kept = key_evidence.attest(world.seal, None, SUBSCRIBER, KEY, files, [makers.root().der])
    assert kept.stated.module is not None
    assert (kept.stated.format, kept.stated.module.maker) == ("yubikey-piv", "Yubico")
    assert kept.verdict == "not-evidenced"  # nobody has said what its certificate is
    made = key_evidence.evidence(world.seal, None, SUBSCRIBER, KEY)
    assert enclosure.read(enclosure.found_in([made.file])[0]).attestation == files
    found = judged(world, made)
    assert (found.format, found.never_extractable) == ("yubikey-piv", True)
    with world.seal.records.reading(SUBSCRIBER) as tx:
        stands = lives.find(tx, KEY)
        assert key_evidence.attested_as(tx, world.pair()[0].key_id) == kept.stated
    assert stands is not None
    assert stands.state == "active"  # it had that step behind it


def test_what_is_not_the_keys_is_not_kept(world: World) -> None:
    """Another key's, our own word, a damaged one: refused, and nothing is stated."""
    before = len(world.entries())
    device = makers.yubikey_device().der
    for files, words in (
        ((makers.yubikey(OTHER).der, device), "is for the key"),
        ((makers.yubikey(own(world)).der[:-1], device), "announces"),
    ):
        with pytest.raises((BadInput, VerificationFailed), match=words):
            key_evidence.attest(world.seal, None, SUBSCRIBER, KEY, files, [makers.root().der])
    assert len(world.entries()) == before
    made = key_evidence.evidence(world.seal, None, SUBSCRIBER, KEY)
    with pytest.raises(BadInput, match="own Evidence"):
        key_evidence.attest(world.seal, None, SUBSCRIBER, KEY, (made.file,), [made.certificate])


def test_an_unknown_attestation_is_kept_and_shows_nothing(world: World) -> None:
    """Never attested by default."""
    kept = key_evidence.attest(world.seal, None, SUBSCRIBER, KEY, (b"an attestation of a kind that nobody knows",))
    assert (kept.verdict, kept.stated.module) == ("not-evidenced", None)
    made = key_evidence.evidence(world.seal, None, SUBSCRIBER, KEY)
    assert "no attestation of the module" in judged(world, made).claims["module"]


def test_a_request_for_a_certificate_carries_evidence(world: World) -> None:
    """Attested from the request alone, by whoever pinned the attestation key; left out where that is wished."""
    made = key_evidence.evidence(world.seal, None, SUBSCRIBER, KEY)
    request = certificate_requests.request(world.seal, None, Wishes(subscriber=SUBSCRIBER, key=KEY))
    found = judge([request], world.now, [made.certificate])
    assert isinstance(found, Attested)
    assert found.spki == csr.read(request).spki
    (one,) = csr.read_bundle(csr.read(request).attestation or b"").statements
    assert one.kind == evidence.ARC
    bare = certificate_requests.request(world.seal, None, Wishes(subscriber=SUBSCRIBER, key=KEY, attested=False))
    assert csr.read(bare).attestation is None


def test_evidence_holds_public_halves_only(world: World) -> None:
    """Neither the key's private number is in the file, nor the attestation key's."""
    made = key_evidence.evidence(world.seal, None, SUBSCRIBER, KEY)
    plain = b"".join(each.octets for each in pieces.unpack([made.file]).others)
    uri, _ = world._rooms["signer"]._journal.attesting()
    speaker = world._rooms["signer"]._judge._stores["softfile"]._inner._open(uri)
    for private in (own(world), speaker):
        secret = private.private_numbers().private_value.to_bytes(32, "big")
        assert secret not in plain
        assert secret not in made.certificate
