"""Rows become subjects: with what the records say, None for what they do not, and the same in whatever portions."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import insert

from privyseal.access.passkeys import Passkey
from privyseal.compliance.known import Known
from privyseal.records import events, evidence, keys, parties, people, released
from privyseal.records.database import Records
from privyseal.records.events import Event
from privyseal.records.released import Released
from privyseal.records.tables import approvals
from privyseal.records.tables import requests as table
from privyseal.terms.keys import Assurance, KeyPair, KeyProtection
from privyseal.terms.parties import Factor, Member, Role
from privyseal.terms.requests import SigningRequest
from privyseal.terms.scans import Scan, Seen
from privyseal.terms.signatures import Described, Options

START = datetime(2026, 6, 1, tzinfo=UTC)
NOW = datetime(2026, 11, 25, tzinfo=UTC)
FINGERPRINT = "ab" * 32


def a_certificate(begins: datetime = START - timedelta(days=10), days: int = 100) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Acme")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(begins).not_valid_after(begins + timedelta(days=days))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def a_pair(name: str = "release", **changes: Any) -> KeyPair:
    guard = KeyProtection("pkcs11", Assurance.HARDWARE, True, True, "Maker Model 7", ("CKA_LOCAL=true",))
    given: dict[str, Any] = {
        "subscriber": "demo",
        "name": name,
        "key_id": f"{sum(name.encode()):064x}",
        "scheme": "ecdsa-p256",
        "uri": "pkcs11:x",
        "public_key": b"x",
        "key_tag": "0" * 64,
        "protection": guard,
        "born": START,
        "rehearsal": False,
        "quorum": 1,
    }
    return KeyPair(**given | changes)


def sign(
    records: Records, number: int, at: datetime, *what: tuple[str, str], key: str = "release", **more: Any
) -> None:
    """Write down a request that was released, with the events that stand around it."""
    who = "M-ci"
    request = SigningRequest(
        subscriber="demo",
        key=key,
        key_id="0" * 64,
        scheme="ecdsa-p256",
        certificate=FINGERPRINT,
        mode="local",
        options=Options(),
        described=(Described(format="pe", filename="a.exe", digest_algorithm="sha256", digest=b"1" * 32, size=1),),
        expires_at=NOW,
    )
    request = msgspec.structs.replace(request, **more)
    row: dict[str, Any] = {"id": f"R-{number}", "subscriber": "demo", "idempotency_key": f"{number}"}
    row |= {"timeless_digest": "0" * 64, "requester": who, "state": "released", "canonical": request.canonical()}
    row |= {"digest": "0" * 64, "created": at, "expires": NOW, "salt": b"", "completion_salt": b""}
    row |= {"intent_index": 2 * number, "intent_seq": number, "fence": 1}
    with records.writing("demo") as tx:
        tx.connection.execute(
            insert(table).values(row | {"intent_index": 2 * number, "intent_seq": number, "fence": 1})
        )
        events.record(tx, Event(at, who, "submitted, approved", f"R-{number}"))
        for actor, said in what:
            events.record(tx, Event(at, actor, said, f"R-{number}"))
            if said.startswith("approved as"):
                mine = {"request": f"R-{number}", "public_key": actor.encode(), "subscriber": "demo"}
                tx.connection.execute(
                    insert(approvals).values(mine | {"approver": actor, "signature": b"", "created": at})
                )
    with records.writing("demo") as tx:
        events.record(tx, Event(at + timedelta(seconds=1), "service", "released", f"R-{number}"))


@pytest.fixture
def filled(records: Records) -> Records:
    """Return records with two keys, one certificate, and members of whom one is known to be a machine."""
    with records.writing("demo") as tx:
        for name in ("release", "test"):
            keys.add_key_pair(tx, a_pair(name))
        keys.install_certificate(
            tx, fingerprint=FINGERPRINT, key_id=a_pair().key_id, chain=(a_certificate(),), now=START
        )
        parties.add_member(tx, Member("M-ci", "demo", "ci", (Role.REQUESTER,), workload=True))
        parties.add_member(tx, Member("M-ada", "demo", "ada", (Role.APPROVER,)))
        parties.add_token(tx, "M-ci", b"1" * 32, START, None)
        parties.add_client_certificate(tx, "M-ci", b"2" * 32, START, None)
    return records


def test_a_key_pair_is_what_its_key_store_said(filled: Records) -> None:
    with filled.reading_all_subscribers() as connection:
        [portion] = evidence.key_pairs_of_all_subscribers(connection, Known(), NOW)
    (owner, release), (_, other) = portion
    assert (owner, release.label, other.label) == ("demo", "release", "test")
    assert (release.store, release.cloud, release.assurance) == ("pkcs11", False, Assurance.HARDWARE)
    assert (release.generated_inside, release.never_extractable) == (True, True)
    assert release.issued == START - timedelta(days=10)
    assert other.issued is None


def test_a_key_in_a_cloud_is_known_by_its_store() -> None:
    guard = msgspec.structs.replace(a_pair().protection, store="awskms")
    assert evidence.key_pair(a_pair(protection=guard), Known(), NOW).cloud is True


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_all_key_pairs_come_in_whatever_portions(filled: Records, monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    with filled.writing("other") as tx:
        for number in range(4):
            keys.add_key_pair(tx, a_pair(f"k{number}", subscriber="other", key_id=f"{number:064x}"))
    monkeypatch.setattr(evidence, "BATCH", batch)
    with filled.reading_all_subscribers() as connection:
        portions = list(evidence.key_pairs_of_all_subscribers(connection, Known(), NOW))
        touched = list(evidence.key_pairs_of_all_subscribers(connection, Known(), NOW, {f"{2:064x}"}))
    assert max(map(len, portions)) == batch
    names = [(of, each.label) for portion in portions for of, each in portion]
    assert names == [("demo", "release"), ("demo", "test"), *(("other", f"k{n}") for n in range(4))]
    assert [[each.label for _, each in portion] for portion in touched] == [["k2"]]


def test_members_are_what_was_said_of_them(filled: Records) -> None:
    with filled.reading_all_subscribers() as connection:
        found = {each.label: each for _, each in evidence.members_of_all_subscribers(connection, Known(), NOW)}
    assert (found["M-ci"].workload, found["M-ada"].workload) == (True, None)
    assert found["M-ci"].credentials == (Factor.BEARER, Factor.CLIENT_CERTIFICATE)
    assert found["M-ada"].credentials == ()


def test_a_subscriber_signed_first_when_something_was_released(filled: Records) -> None:
    with filled.reading_all_subscribers() as connection:
        assert evidence.subscriber(connection, "demo", Known(), NOW).first_signature is None
    for number in (3, 1, 2):
        sign(filled, number, START + timedelta(days=number))
    with filled.reading_all_subscribers() as connection:
        first = evidence.subscriber(connection, "demo", Known(), NOW)
    assert first.first_signature == START + timedelta(days=1, seconds=1)
    assert first.commitments is None


BY = "by bearer and client-certificate"


def test_who_asked_and_agreed_is_what_the_events_say() -> None:
    machines = {"M-ci": True}
    told = [("M-ci", "submitted, requested"), ("M-ci", BY), ("M-ada", "approved as ada"), ("M-bob", "approved as bob"),
            ("M-bob", "by client-certificate")]  # fmt: skip
    asked, ada, bob = evidence.told_by(told, machines)
    assert (asked.who, asked.did, asked.workload) == ("M-ci", "asked", True)
    assert asked.factors == (Factor.BEARER, Factor.CLIENT_CERTIFICATE)
    assert (ada.did, ada.factors, ada.workload) == ("agreed", (Factor.BEARER,), None)
    assert bob.factors == (Factor.CLIENT_CERTIFICATE,)


def test_a_factor_that_is_not_known_is_not_taken_for_a_token() -> None:
    [one] = evidence.told_by([("M-x", "submitted, approved"), ("M-x", "by telepathy")], {})
    assert one.factors is None
    [one] = evidence.told_by([("M-x", "submitted, approved"), ("M-y", BY)], {})
    assert one.factors == (Factor.BEARER,)


@settings(max_examples=200)
@given(st.lists(st.sampled_from(Factor), min_size=1, unique=True))
def test_whatever_factors_there_are_fit_into_events_and_come_back(factors: list[Factor]) -> None:
    """An event has forty characters; what does not fit into one stands in the next, and is put together again."""
    asked = Event(NOW, "M-ci", "submitted, approved", "R-1")
    told = [asked, *events.proofs(asked, factors)]
    assert all(len(each.what) <= events.LONGEST for each in told)
    [one] = evidence.told_by([(each.actor, each.what) for each in told], {})
    assert one.factors == tuple(factors)


def test_a_member_has_every_kind_of_credential_that_is_kept_of_it(filled: Records) -> None:
    """Each where it is, and none where it is not: a passkey that is refused, an app that was not confirmed."""
    with filled.writing("demo") as tx:
        people.add_account(tx, "M-ada", "ada")
        people.change_account(tx, "M-ada", password="$argon2id$x", totp_pending=b"x")
        people.replace_recovery_codes(tx, "M-ada", [b"r" * 32])
        people.link(tx, "M-ada", "https://idp.example", "17", NOW)
        for number, synced in enumerate((False, True)):
            made = Passkey(
                credential=bytes([number]), member="M-ada", public_key=b"k", rp_id="x", origin="https://x",
                cose=b"c", count=0, backed_up=synced, synced=synced, label="key",
            )  # fmt: skip
            people.add_passkey(tx, made, NOW)
        people.refuse_passkey(tx, bytes([1]))
    with filled.reading_all_subscribers() as connection:
        found = {
            each.label: each.credentials for _, each in evidence.members_of_all_subscribers(connection, Known(), NOW)
        }
    assert set(found["M-ada"] or ()) == {Factor.PASSWORD, Factor.RECOVERY_CODE, Factor.OIDC, Factor.PASSKEY}
    assert found["M-ci"] == (Factor.BEARER, Factor.CLIENT_CERTIFICATE)


def test_what_scanners_said_is_told_of_each_signature(filled: Records) -> None:
    """The worst of several; none where the file stayed with who asked, or where no scanner was asked."""
    said: list[dict[str, Any]] = [{}, {"mode": "server", "input": "0" * 64}]
    for verdicts in (("clean",), ("clean", "clean"), ("clean", "outdated")):
        scans = tuple(
            Scan(scanner=f"s{place}", engine="e 1", verdict=verdict, time=NOW.replace(microsecond=0))
            for place, verdict in enumerate(verdicts)
        )
        said.append(said[1] | {"seen": Seen(sha256="0" * 64, scans=scans)})
    for number, more in enumerate(said):
        sign(filled, number, START, **more)
    found: Counter[str | None] = Counter()
    with filled.reading_all_subscribers() as connection:
        reader = Released(connection, Known(), NOW)
        for portion in reader.since(0):
            for alike, seen in portion.groups.items():
                found[reader.record(alike, seen).scan] += seen.number
    assert found == {None: 1, "none": 1, "clean": 2, "outdated": 1}


def counted(records: Records, since: int = 0, known: Known | None = None) -> Counter[tuple[Any, ...]]:
    """Return how many signatures there are with each key, each way of asking, before and after each limit."""
    found: Counter[tuple[Any, ...]] = Counter()
    with records.reading_all_subscribers() as connection:
        reader = Released(connection, known or Known(), NOW)
        for portion in reader.since(since):
            for alike, seen in portion.groups.items():
                record = reader.record(alike, seen)
                by = tuple((each.who, each.factors) for each in record.by or ())
                found[alike.key, by, record.agreed, alike.epoch] += seen.number
    return found


def test_signatures_that_are_alike_are_one_group(filled: Records) -> None:
    for number in range(6):
        sign(filled, number, START + timedelta(minutes=number))
    sign(filled, 6, START, ("M-ci", BY))
    sign(filled, 7, START, key="test")
    found = counted(filled)
    assert sorted(found.values()) == [1, 1, 6]
    with filled.reading_all_subscribers() as connection:
        [portion] = Released(connection, Known(), NOW).since(0)
    first = next(seen for alike, seen in portion.groups.items() if seen.number == 6)
    assert (first.request, first.intent) == ("R-0", 0)


def test_every_limit_parts_what_is_before_from_what_is_after(filled: Records) -> None:
    """The end of the certificate, an acceptance: the last second before and the first after are two groups."""
    ends = START + timedelta(days=90)
    accepted = START + timedelta(days=1)
    for number, at in enumerate((accepted - timedelta(seconds=1), accepted, ends, ends + timedelta(seconds=1))):
        sign(filled, number, at - timedelta(seconds=1))  # released one second later
    assert sorted(counted(filled).values()) == [1, 3]
    assert sorted(counted(filled, known=Known(accepted={FINGERPRINT: accepted})).values()) == [1, 1, 2]


@pytest.mark.parametrize(("portion", "pending"), [(1, 100), (3, 0), (7, 2), (10_000, 100_000)])
def test_it_comes_to_the_same_in_whatever_portions(
    filled: Records, monkeypatch: pytest.MonkeyPatch, portion: int, pending: int
) -> None:
    """Also where who asked stands in another portion, or is not kept in mind any more."""
    draw = random.Random(7)
    ways: list[tuple[tuple[str, str], ...]] = [
        (),
        (("M-ci", BY),),
        (("M-ada", "approved as ada"),),
        (("M-ci", "by client-certificate"), ("M-ada", "approved as ada"), ("M-ada", "by client-certificate")),
    ]
    wanted: Counter[int] = Counter()
    for number in range(40):
        way = draw.randrange(4)
        wanted[way] += 1
        sign(filled, number, START + timedelta(hours=number), *ways[way])
    whole = counted(filled)
    assert sorted(whole.values()) == sorted(wanted.values())
    monkeypatch.setattr(released, "PORTION", portion)
    monkeypatch.setattr(released, "MOST_PENDING", pending)
    assert counted(filled) == whole


def test_reading_goes_on_where_it_ended(filled: Records) -> None:
    for number in range(4):
        sign(filled, number, START)
    with filled.reading_all_subscribers() as connection:
        end = released.newest_event_of_all_subscribers(connection)
    assert counted(filled, end) == Counter()
    sign(filled, 9, START, ("M-ci", BY))
    assert sum(counted(filled, end).values()) == 1


def test_a_request_whose_certificate_is_gone_is_still_judged(filled: Records) -> None:
    """With nothing known of the certificate, which is never met."""
    sign(filled, 1, START, key="gone")
    with filled.reading_all_subscribers() as connection:
        reader = Released(connection, Known(), NOW)
        [portion] = reader.since(0)
        [(alike, seen)] = portion.groups.items()
        record = reader.record(alike, seen)
    assert record.quorum is None
