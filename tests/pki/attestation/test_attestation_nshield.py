"""nShield: the two bundles of Entrust's documents get its verdict on them, and ours what they were made for."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa
from tests.pki import mint
from tests.pki.attestation import makers, nshield_maker
from tests.pki.attestation.makers import AT
from tests.pki.attestation.nshield_maker import KM, PRIVATE, ROOT, acl, blob, group, operations, values, word
from tests.pki.attestation.test_attestation_flips import survive

from privyseal.errors import BadInput, PrivySealError, VerificationFailed
from privyseal.pki.attestation import ncore, nshield, nshield_acl, warrant
from privyseal.pki.attestation.judge import NotEvidenced, judge
from privyseal.pki.attestation.ncore import Reader
from privyseal.pki.attestation.protocol import Attested

KWARN_1 = "df8f05a39596bb9c4a8cc4d3b6de10607f362d7182e881ea82a5edc7cdcdf84f"
PINNED = [mint.spki(ROOT)]
RSA_KEY = mint.key("rsa-2048", 96)
OTHER = mint.key("ecdsa-p256", 976)
OFFICER = nshield_maker.key_data(nshield_maker.OFFICER).hash


def attested(found: dict[str, Any], *more: bytes) -> Attested:
    """Judge a bundle of ours, which must be attested."""
    seen = judge([nshield_maker.file(found), *more], AT, PINNED)
    assert isinstance(seen, Attested)
    return seen


# -- genuine -----------------------------------------------------------------------------------------------------------
def test_a_documented_key_that_cannot_leave() -> None:
    """Up to KWARN-1 as it is shipped; Entrust's own verifier calls it a softcard's, without recovery."""
    found = judge([nshield_maker.documented("softcard")], AT)
    assert isinstance(found, Attested)
    assert (found.format, found.maker, found.model, found.serial) == ("nshield", "Entrust", "nShield", "8938-1075-88BB")
    assert (found.generated_inside, found.never_extractable) == (True, True)
    assert (found.anchor, found.root, found.chain) == (KWARN_1, "maker", ())
    assert found.claims["protection"] == "by a softcard, that is a passphrase"
    assert "DSA with 1024 bits" in found.claims["warrant"]
    assert "FIPS140 2 3" in found.claims["approvals"]
    assert "ways out" not in found.claims


def test_a_documented_key_that_can_leave() -> None:
    """Entrust's verifier calls it recoverable: who holds the Administrator Card Set can even export it in the clear."""
    found = judge([nshield_maker.documented("module")], AT)
    assert isinstance(found, Attested)
    assert (found.generated_inside, found.never_extractable) == (True, False)
    assert found.claims["protection"] == "by the module alone"
    assert "in the clear by whoever holds the Administrator Card Set" in found.claims["ways out"]
    assert "archived under a recovery key" in found.claims["ways out"]


def test_no_flipped_documented_bundle_is_attested() -> None:
    survive([nshield_maker.documented("softcard")], 150)
    survive([nshield_maker.documented("module")], 60)


@pytest.mark.nightly
def test_no_octet_of_a_documented_bundle_can_be_flipped() -> None:
    """One bit of every single octet."""
    survive([nshield_maker.documented("softcard")], 1 << 20)


def test_a_documented_bundle_under_another_root() -> None:
    with pytest.raises(VerificationFailed, match="not signed by a pinned root"):
        nshield.Nshield().read([nshield_maker.documented("softcard")], PINNED, AT)
    for useless in ([makers.root().der], [mint.spki(OTHER)], []):
        with pytest.raises(VerificationFailed, match="No root is pinned"):
            nshield.Nshield().read([nshield_maker.documented("softcard")], useless, AT)


# -- made here ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("fips", [False, True], ids=["world", "fips-world"])
@pytest.mark.parametrize("private", [PRIVATE, mint.key("ecdsa-p384", 977), RSA_KEY], ids=["p256", "p384", "rsa"])
def test_a_bundle_of_ours(private: mint.Key, fips: bool) -> None:
    """Of a world on curves, in which KML and KNSO are keys on NISTP521; with the request of the key."""
    found = attested(values(private, fips=fips), makers.request(private), makers.root().pem)
    assert (found.spki, found.serial, found.root) == (mint.spki(private), nshield_maker.SERIAL, "caller")
    assert (found.generated_inside, found.never_extractable) == (True, True)
    assert found.claims["warrant"] == "ModuleInformation"
    assert found.claims["protection"] == "by the module alone"


def test_a_key_of_a_module_signed_with_dsa() -> None:
    """As older worlds have KML; the documented bundles' keys are of DSA too, and this one is small to be quick."""
    private = dsa.generate_private_key(1024)  # noqa: S505 - quick, and signs nothing that counts
    numbers = private.public_key().public_numbers()
    group_of = numbers.parameter_numbers
    key = ncore.KeyData(ncore.DSA_PUBLIC, 0, (group_of.p, group_of.q, group_of.g, numbers.y))
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

    r, s = decode_dss_signature(private.sign(b"said", hashes.SHA256()))
    written = word(ncore.DSA_SHA256) + nshield_maker.number(r) + nshield_maker.number(s)
    ncore.verify(key, written, b"said", "a test")
    assert ncore.key_data(Reader(nshield_maker.marshalled(key), "A key")) == key
    with pytest.raises(VerificationFailed, match="does not verify"):
        ncore.verify(key, written, b"else", "a test")
    with pytest.raises(VerificationFailed, match="not taken here"):
        ncore.verify(key, word(ncore.ECDSA_SHA512) + written[4:], b"said", "a test")


def refused(kind: type[PrivySealError], words: str, found: dict[str, Any], *more: bytes) -> None:
    with pytest.raises(kind, match=words):
        judge([nshield_maker.file(found), *more], AT, PINNED)


def test_what_is_another_keys_is_refused() -> None:
    """Each link binds the next one, and the request."""
    refused(VerificationFailed, "certificate request for the key", values(), makers.request(OTHER))
    refused(
        VerificationFailed, "another key", values(pubkeydata=nshield_maker.marshalled(nshield_maker.key_data(OTHER)))
    )
    by_another = nshield_maker.signed(OTHER, nshield_maker.generation())
    refused(VerificationFailed, r"\(kcsig\) does not verify", values(kcsig=by_another))
    refused(VerificationFailed, r"\(modstatesig\) does not", values(modstatesig=nshield_maker.signed(OTHER, b"state")))
    refused(VerificationFailed, "is of 9999, and", values(modstatemsg=nshield_maker.state("9999")))
    refused(VerificationFailed, "knsopub", values(knsopub=nshield_maker.marshalled(nshield_maker.key_data(OTHER))))
    refused(VerificationFailed, "hkm", values(hkm=word(44) + bytes([9]) * 20))
    refused(VerificationFailed, "CertKMaKMCbKNSO", values(hkmc=word(44) + bytes(20)))
    refused(VerificationFailed, "CertKMaKMCaKFIPSbKNSO", values(fips=True, hkfips=word(44) + bytes(20)))
    refused(VerificationFailed, "CertKREaKRAbKNSO", values(hkre=word(44) + bytes(20)))
    rsa_made = word(2) + word(0) + word(2) + word(0) + word(2048) + nshield_maker.ORDINARY + bytes(20)
    refused(VerificationFailed, "of another kind", values(kcmsg=rsa_made))
    refused(VerificationFailed, "another root", values(root="KWARN-2"))


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda: nshield_maker.a_warrant(nshield_maker.delegation(OTHER_521)), "by a pinned root"),
        (
            lambda: nshield_maker.a_warrant(nshield_maker.delegation(), nshield_maker.module(ROOT)),
            "by the one above it",
        ),
        (lambda: nshield_maker.a_warrant(nshield_maker.delegation()), "does not end in"),
        (lambda: nshield_maker.a_warrant(nshield_maker.module(ROOT), nshield_maker.module(KLF2)), "delegates nothing"),
        (
            lambda: nshield_maker.a_warrant(
                nshield_maker.delegation(SigMech=(warrant.Symbol("ECDSA"), warrant.Symbol("SHA1"))),
                nshield_maker.module(),
            ),
            "delegates nothing",
        ),
    ],
)
def test_a_warrant_that_does_not_hold(made: Callable[[], bytes], words: str) -> None:
    refused(VerificationFailed, words, values(warrant=made()))


OTHER_521, KLF2 = mint.key("ecdsa-p521", 978), nshield_maker.KLF2


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"warrant": b"\x91\x20"}, "below KWARN-1"),
        ({"warrant": nshield_maker.a_warrant(root="KWARN-2")}, "below KWARN-1"),
        ({"warrant": nshield_maker.a_warrant() + b"\0"}, "followed by 1"),
        ({"warrant": nshield_maker.a_warrant()[:-1]}, "cut short"),
        ({"warrant": b"\x91" * 20 + b"\0"}, "nests more than"),
        ({"warrant": b"\xe0"}, "0xe0"),
        ({"warrant": bytes([0xB2, 0x31, 65, 0, 0x31, 65, 0])}, "stand twice"),
        ({"warrant": bytes(20_000)}, "at most"),
        ({"modstatemsg": nshield_maker.state() + b"\0"}, "followed by 1"),
        ({"modstatemsg": word(2) + word(0)}, "not written as one"),
        ({"modstatemsg": word(4) + word(0) + word(1) + word(77)}, r"attribute \(77\)"),
        ({"modstatemsg": word(4) + word(0) + word(1 << 30)}, "announces more"),
        ({"modstatemsg": word(4) + word(0) + word(0)}, "lacks its serial number"),
        ({"kcmsg": word(4) + word(0)}, "not written as one"),
        ({"kcmsg": nshield_maker.generation() + b"\0"}, "followed by 1"),
        ({"pubkeydata": word(77)}, "type 77"),
        ({"pubkeydata": word(46) + word(9) + word(0)}, "number 9"),
        ({"pubkeydata": word(1) + word(1 << 20)}, "at most 2048"),
        ({"hkm": word(45) + KM}, "mechanism 45"),
        ({"knsopub": None}, "not kept"),
        ({"ciphersuite": "a\0b"}, "cipher suite"),
        ({"CertKMaKMCbKNSO": None}, "one signature of its world"),
        ({"kcsig": "!!"}, "not base64url"),
        ({"kcsig": "AB"}, "not base64url"),
        ({"surprise": "x"}, "'surprise'"),
    ],
)
def test_what_cannot_be_read_is_refused(changes: dict[str, Any], words: str) -> None:
    """One sentence each, and never attested by default."""
    refused(BadInput, words, values(**changes))


def test_what_is_no_bundle() -> None:
    """A name that stands twice, another JSON, two bundles, and another file beside one."""
    whole = nshield_maker.file(values())
    for other in (b'{"kcmsg": "x"}', whole.replace(b"{", b'{"root": "KWARN-1", ', 1), whole + bytes(70_000)):
        assert isinstance(judge([other], AT, PINNED), NotEvidenced)
    for beside in (nshield_maker.documented("softcard"), b"a letter about the module"):
        with pytest.raises(BadInput, match="stand others"):
            judge([whole, beside], AT, PINNED)


# -- ACLs --------------------------------------------------------------------------------------------------------------
def plain(*actions: bytes) -> bytes:
    return acl(group(operations(nshield_maker.SIGN_AND_REST), *actions))


@pytest.mark.parametrize(
    ("access", "never", "words"),
    [
        (nshield_maker.SOFTCARD, True, "softcard"),
        (acl(group(blob(0x1E, token=0x3))), True, "set of cards"),
        (plain(), True, "not kept"),
        (plain(word(5) + word(0) + word(0) + word(29) + word(0)), True, "not kept"),
        (acl(group(operations(0x1004))), False, "in the clear"),
        (acl(group(operations(0x1040))), False, "can be widened"),
        (acl(group(operations(0x1004), certifier=OFFICER)), False, "in the clear by whoever holds the Administrator"),
        (acl(group(operations(0x1040), certifier=OFFICER)), False, "can be widened by whoever holds the Administrator"),
        (acl(group(operations(0x1004), certifier=KM)), False, "another key that certifies"),
        (plain(blob(module_key=bytes(20))), False, "something else than its world's module key"),
        (plain(blob(0x1)), False, "something else"),
        (plain(blob(0x25)), False, "something else"),
        (plain(blob(0x4)), False, "something else"),
        (plain(word(3) + word(1) + word(225) + nshield_maker.KRE), False, "archived"),
        (plain(word(47) + word(0) + word(0) + word(7) + word(0)), False, "derived"),
        (acl(group(operations(0x1010))), None, "SetAppData"),
        (acl(group(operations(0x11000))), None, "0x10000"),
    ],
    ids=range(17),
)
def test_by_which_ways_a_key_can_leave(access: bytes, never: bool | None, words: str) -> None:
    """What the ACL allows with cards is allowed; what is not judged is not known."""
    found = attested(values(access=access))
    assert found.never_extractable is never
    assert words in " ".join(found.claims.values())


@pytest.mark.parametrize(
    "access",
    [
        acl(group(word(9) + word(0))),
        acl(word(0x80) + word(0) + word(0)),
        acl(group(limits=word(2) + word(0))),
        acl(group(blob(0x80))),
        acl(group(word(3) + word(4) + word(0))),
        acl(group(word(5) + word(1) + word(0) + word(29) + word(0))),
        word(1 << 20),
    ],
    ids=range(7),
)
def test_an_acl_that_is_not_known_is_refused(access: bytes) -> None:
    refused(BadInput, "not read here|announces more", values(access=access))


def test_readers_of_strangers_octets_only_ever_refuse() -> None:
    """Seeded mutations of what is signed, as if whoever signed it were the stranger."""
    chance = random.Random(2026)
    of_module, of_key, chain = nshield_maker.state(), nshield_maker.ORDINARY, nshield_maker.a_warrant()
    readers: tuple[tuple[bytes, Callable[[bytes], object]], ...] = (
        (of_module, nshield.read_state),
        (of_key, lambda octets: nshield_acl.read(Reader(octets, "An ACL"), OFFICER)),
        (chain, lambda octets: warrant.decoded(octets, warrant.MOST_OCTETS)),
        (
            nshield_maker.marshalled(nshield_maker.key_data(PRIVATE)),
            lambda octets: ncore.key_data(Reader(octets, "x")).hash,
        ),
    )
    refusals = 0
    for octets, reader in readers:
        for _ in range(1000):
            changed = bytearray(octets)
            for _ in range(chance.randrange(1, 4)):
                changed[chance.randrange(len(changed))] = chance.randrange(256)
            try:
                reader(bytes(changed[: chance.randrange(1, len(changed) + 1)]))
            except BadInput:
                refusals += 1
    assert refusals > 2000


def test_json_that_is_deep_is_no_bundle() -> None:
    """Python's parser gives up on it, and so do we."""
    deep = b'{"kcmsg": ' + b"[" * 30_000 + b"]" * 30_000 + b"}"
    assert isinstance(judge([deep], AT), NotEvidenced)
    assert json.loads(nshield_maker.documented("softcard"))["root"] == warrant.ROOT
