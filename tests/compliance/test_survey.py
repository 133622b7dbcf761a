"""What Subscribers share is told with its numbers, from the threshold on, and held against what they declared."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from tests.compliance.attestations import key_of, said, signed, subscriber
from tests.pki import mint

from privyseal.compliance.attested import Claimed
from privyseal.compliance.declaration import Declared, Keeping, Owner, alike, verified
from privyseal.compliance.survey import THRESHOLDS, Marker, Order, Survey, Surveyed
from privyseal.errors import BadInput, VerificationFailed


def survey(*orders: Order, attested: tuple[Claimed, ...] = (), declared: tuple[Declared, ...] = ()) -> Surveyed:
    """Survey these."""
    begun = Survey()
    for order in orders:
        begun.add(order)
    for each in attested:
        begun.attest(each)
    for one in declared:
        begun.declare(one)
    return begun.result()


def own(name: str, **more: object) -> Declared:
    """A declaration as if its signature had been checked."""
    return Declared(said(name, **more), "ed25519:00", False, "")


@pytest.mark.parametrize(
    ("marker", "least"), [("device", 2), ("intermediate", 3), ("cloud_account", 2), ("submitter", 5)]
)
def test_sharing_is_told_from_the_threshold_on(marker: str, least: int) -> None:
    """One Subscriber fewer is nothing; many certificates of one Subscriber are nothing."""
    orders = [Order(subscriber=f"S{number}", **{marker: "X"}) for number in range(least)]
    assert survey(*orders[1:], *orders[1:]).suspicions == ()
    found = survey(*orders)
    assert len(found.suspicions) == 1
    suspicion = found.suspicions[0]
    assert (suspicion.marker.value.replace("-", "_"), suspicion.value) == (marker, "X")
    assert (suspicion.subscribers, suspicion.certificates, suspicion.threshold) == (least, least, least)
    assert f"{least} Subscribers (S0, S1" in suspicion.text
    assert f"{least} declared nothing" in suspicion.text
    assert suspicion.text.endswith("ask who holds the keys.")


def test_an_attestation_counts_for_the_certificate_with_its_key() -> None:
    """Two Subscribers whose keys one device attests; a third attestation belongs to nobody here."""
    attested = tuple(Claimed(key * 64, "YubiHSM 7", "Y (7)") for key in "abc")
    found = survey(Order(subscriber="A", key="a" * 64), Order(subscriber="B", key="b" * 64), attested=attested)
    assert [(each.marker, each.value, each.names) for each in found.suspicions] == [
        (Marker.DEVICE, "YubiHSM 7", ("A", "B"))
    ]
    assert (found.attestations, found.unmatched) == (3, 1)


def test_one_key_in_the_names_of_two() -> None:
    """A Key Pair belongs to one Subscriber; the same certificate twice is one."""
    shared = [Order(subscriber=name, key="a" * 64) for name in ("A", "B", "B")]
    found = survey(*shared).suspicions
    assert [(each.marker, each.subscribers, each.certificates) for each in found] == [(Marker.KEY, 2, 2)]


def test_a_spelling_makes_no_other_subscriber() -> None:
    """Capitals and spaces do not count, and the first spelling is shown."""
    assert survey(Order(subscriber="ACME  Inc", device="X"), Order(subscriber="Acme inc", device="X")).suspicions == ()


def test_a_declared_signing_service_is_not_hidden() -> None:
    """All of them declared the same one: it is explained, and still shown; two services explain nothing."""
    orders = [Order(subscriber=name, device="Luna 1") for name in "AB"]
    service = {"keeping": Keeping.SIGNING_SERVICE, "owner": Owner.SIGNING_SERVICE}
    same = survey(*orders, declared=(own("A", which="Seal", **service), own("b", which="SEAL", **service)))
    assert [(each.explained, each.declared) for each in same.suspicions] == [(True, {"signing-service": 2})]
    assert same.differences == ()
    other = survey(*orders, declared=(own("A", which="Seal", **service), own("B", which="Other", **service)))
    assert [each.explained for each in other.suspicions] == [False]
    one = survey(*orders, declared=(own("A", which="Seal", **service),))
    assert [(each.explained, each.declared) for each in one.suspicions] == [
        (False, {"signing-service": 1, "nothing": 1})
    ]


@pytest.mark.parametrize(
    ("more", "order", "text"),
    [
        ({}, {"device": "X"}, "It declared own-module, and shares X with 1 other Subscriber."),
        ({"device": "Y"}, {"device": "X"}, "It declared Y, and its keys are attested in X."),
        ({}, {"cloud_account": "X"}, "It declared a module of its own, and ordered from the cloud account X."),
        (
            {"keeping": Keeping.CLOUD, "cloud_account": "Y"},
            {"cloud_account": "X"},
            "It declared the cloud account Y, and ordered from X.",
        ),
        (
            {"owner": Owner.SIGNING_SERVICE},
            {"device": "Z"},
            "It declared own-module, and that the module is a Signing Service's.",
        ),
        (
            {"key": "b" * 64},
            {"key": "a" * 64},
            "It declared the key bbbbbbbbbbbbbbbb..., which is in none of its certificates here.",
        ),
    ],
)
def test_what_was_declared_is_held_against_what_is_found(
    more: dict[str, object], order: dict[str, str], text: str
) -> None:
    """Each difference is a sentence with what was said and what is there."""
    found = survey(Order(subscriber="A", **order), Order(subscriber="B", device="X"), declared=(own("A", **more),))
    assert text in [each.text for each in found.differences]
    assert {each.subscriber for each in found.differences} == {"A"}


def test_what_fits_makes_no_difference() -> None:
    """An own module with its own serial and key, and the latest declaration counts."""
    fits = own("A", device="YubiKey 1", key="a" * 64)
    order = Order(subscriber="A", key="a" * 64, device="YubiKey 1")
    assert survey(order, declared=(fits,)).differences == ()
    older = own("A", device="YubiKey 2", declared_at=datetime(2025, 3, 1, tzinfo=UTC))
    assert survey(order, declared=(fits, older)).differences == ()
    absent = survey(order, declared=(own("B"),)).differences
    assert [each.text for each in absent] == ["It declared a key, and none of its certificates is in the survey."]


@given(st.lists(st.tuples(st.sampled_from("ABCDEFG"), st.sampled_from("XY"), st.sampled_from(["", "1", "2"]))))
def test_what_is_told_is_counted_rightly(rows: list[tuple[str, str, str]]) -> None:
    """For any rows: each shared device is told exactly when two Subscribers have it, with their number."""
    found = survey(*(Order(subscriber=who, device=device, submitter=sender or None) for who, device, sender in rows))
    told = {(each.marker, each.value): (each.subscribers, each.certificates) for each in found.suspicions}
    for marker, at in ((Marker.DEVICE, 1), (Marker.SUBMITTER, 2)):
        for value in {row[at] for row in rows if row[at]}:
            who = [row[0] for row in rows if row[at] == value]
            expected = (len(set(who)), len(who)) if len(set(who)) >= THRESHOLDS[marker].subscribers else None
            assert told.get((marker, value)) == expected


A = subscriber("Acme Inc.", 1)
RSA = subscriber("Acme Inc.", 2, mint.key("rsa-3072", 3))


@pytest.mark.parametrize("by", [A, RSA], ids=["ecdsa", "rsa"])
def test_a_declaration_is_signed_by_the_certificates_key(by: mint.Minted) -> None:
    """The signature holds, and says whose it is; spelling does not matter."""
    found = verified(signed(said("ACME Inc.", key=key_of(by)), by))
    assert (found.by_certificate, found.signer, found.subject) == (True, key_of(by), "Acme Inc.")
    assert found.declaration.key == key_of(by)


def test_a_declaration_is_signed_by_an_ed25519_key() -> None:
    """The public key is named, for the CA to know."""
    private = Ed25519PrivateKey.generate()
    found = verified(signed(said("Acme"), private))
    assert found.signer == "ed25519:" + private.public_key().public_bytes_raw().hex()


@pytest.mark.parametrize("field", ["subscriber", "order", "keeping", "which", "owner", "declared_at", "device"])
def test_no_field_can_be_changed(field: str) -> None:
    """The signature covers every one, also one that is added."""
    for by in (Ed25519PrivateKey.generate(), A):
        line = json.loads(signed(said("Acme Inc."), by))
        changed = {
            "keeping": "cloud",
            "owner": "other",
            "declared_at": "2026-03-01T00:00:01Z",
            "subscriber": "Acme inc.",
        }
        line["declaration"][field] = changed.get(field, "changed")
        with pytest.raises(VerificationFailed):
            verified(json.dumps(line).encode())


def test_the_certificate_of_another_does_not_speak_for_one() -> None:
    """Its signature holds, and names somebody else."""
    with pytest.raises(VerificationFailed, match=r"Victim declares, and the certificate is Acme Inc\.'s"):
        verified(signed(said("Victim"), A))


@pytest.mark.parametrize(
    "change",
    [
        lambda line: line | {"signature": ""},
        lambda line: line | {"ed25519": "AA=="},
        lambda line: {name: value for name, value in line.items() if name != "ed25519"},
        lambda line: line | {"certificate": "AA=="},
        lambda line: line | {"more": 1},
        lambda line: line | {"declaration": line["declaration"] | {"declared_at": "2026-03-01T00:00:00"}},
        lambda line: line | {"declaration": line["declaration"] | {"subscriber": ""}},
        lambda line: line | {"declaration": line["declaration"] | {"key": "A" * 64}},
    ],
)
def test_what_is_no_signed_declaration_is_one_sentence(change: object) -> None:
    """Refused, and never counted as made."""
    line = json.loads(signed(said("Acme"), Ed25519PrivateKey.generate()))
    with pytest.raises((BadInput, VerificationFailed)):
        verified(json.dumps(change(line)).encode())  # type: ignore[operator]


@given(st.binary(max_size=300))
def test_any_line_is_refused_in_one_sentence(line: bytes) -> None:
    """Noise raises what we raise."""
    with pytest.raises(BadInput):
        verified(line)


def test_a_line_too_long_is_not_looked_at() -> None:
    """128 KiB hold any certificate."""
    with pytest.raises(BadInput, match="at most 131072"):
        verified(b" " * 131073)


def test_names_alike() -> None:
    """Case and spaces only."""
    assert alike(" ACME \t Inc") == alike("acme inc") != alike("acmeinc")
