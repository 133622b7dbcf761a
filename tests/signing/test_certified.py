"""The service's own certificates are judged in the walk, once each, and whatever befalls one befalls no other."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from tests.world import SUBSCRIBER, World

from privyseal.compliance.catalogue import BY_ID
from privyseal.compliance.outcome import Finding, Verdict
from privyseal.compliance.requirement import Kind
from privyseal.records import events, findings, keys
from privyseal.records.findings import Kept
from privyseal.signing import certified, evaluation
from privyseal.web.findings import finding_view


@pytest.fixture(autouse=True)
def _settled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "SETTLED", timedelta(seconds=-1))


@pytest.fixture
def asked_of(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the labels of the certificates that are judged from now on."""
    seen: list[str] = []
    judge = certified.judge

    def noting(subject: certified.Judgeable, asked: object) -> Iterable[Finding]:
        seen.append(subject.label)
        return judge(subject, asked)  # type: ignore[arg-type]

    monkeypatch.setattr(certified, "judge", noting)
    return seen


def found(world: World, owner: str | None) -> dict[tuple[str, str], Kept]:
    with world.seal.records.reading_all_subscribers() as connection:
        kept = findings.current(connection, owner)
    return {(each.subject, each.requirement): each for each in kept if each.kind is Kind.CERTIFICATE}


def a_certificate(world: World, **given: int) -> bytes:
    """Return one for code signing that says little: no policy, no addresses, as many days as asked for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Acme")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(given.get("serial", 1)).not_valid_before(world.now)
    builder = builder.not_valid_after(world.now + timedelta(days=given.get("days", 300), seconds=-1))
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), False)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def install(world: World, *chain: bytes) -> str:
    fingerprint = hashlib.sha256(chain[0]).hexdigest()
    pair, _ = world.pair()
    with world.seal.records.writing(SUBSCRIBER) as tx:
        keys.install_certificate(tx, fingerprint=fingerprint, key_id=pair.key_id, chain=chain, now=world.now)
        events.record(tx, events.Event(world.now, "service", "certificate installed", fingerprint))
    return fingerprint[:16]


def test_the_rehearsals_own_certificates_are_judged(world: World) -> None:
    """That of the key is the Subscriber's; those of the CAs and of the Timestamp Authority are the service's."""
    evaluation.walk(world.seal, world.now)
    mine, services = found(world, SUBSCRIBER), found(world, None)
    assert {subject.rsplit(" ", 1)[-1] for subject, _ in mine} == {world.request(0).certificate[:16]}
    chain = world.seal.stamper.health().chain
    stamps = hashlib.sha256(chain[0]).hexdigest()[:16]
    assert [subject for subject, _ in services if subject.endswith(stamps)]
    assert len({subject for subject, _ in services}) >= 3  # two issuing CAs, and the Timestamp Authority
    for each in (*mine.values(), *services.values()):
        assert each.verdict not in (Verdict.MET, Verdict.BROKEN)
        assert finding_view(each).binds == BY_ID[each.requirement].binds
    assert any(finding_view(each).binds == ("ca",) for each in mine.values())


def test_what_was_judged_is_not_judged_again(world: World, asked_of: list[str]) -> None:
    """Neither in the next hour nor on the next day, nor where other things happen; and what comes is, alone."""
    evaluation.walk(world.seal, world.now)
    assert len(asked_of) >= 4
    asked_of.clear()
    world.ask([world.client(1)])
    evaluation.walk(world.seal, world.now)
    world.now += timedelta(days=1)
    evaluation.walk(world.seal, world.now)
    assert asked_of == []
    name = install(world, a_certificate(world))
    evaluation.walk(world.seal, world.now)
    assert asked_of == [f"Acme {name}"]
    assert found(world, SUBSCRIBER)[f"Acme {name}", "CSBR-7.1-01"].verdict is Verdict.NOT_MET


def test_a_certificate_is_judged_by_the_day_of_its_issuance(world: World) -> None:
    """460 days is what may be issued since March 2026 (CSBR 6.3.2), and a second more may not."""
    names = [install(world, a_certificate(world, days=days, serial=2**70 + days)) for days in (460, 461)]
    evaluation.walk(world.seal, world.now)
    mine = found(world, SUBSCRIBER)
    assert [(f"Acme {name}", "CSBR-6.3.2-01") in mine for name in names] == [False, True]


def test_another_catalogue_is_another_question(
    world: World, asked_of: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All are judged again, and what is the same writes nothing."""
    evaluation.walk(world.seal, world.now)
    first, before = list(asked_of), found(world, None)
    asked_of.clear()
    monkeypatch.setattr(certified, "basis", lambda _: "another")
    done = evaluation.walk(world.seal, world.now)
    assert sorted(asked_of) == sorted(first)
    assert (done.judged, done.changed) == (len(first), 0)
    assert found(world, None) == before


def test_one_that_cannot_be_read_keeps_nobody_from_being_judged(world: World) -> None:
    """It has one finding that says so; where only what stands above it is damaged, it is judged all the same."""
    broken = install(world, b"\x30\x03\x02\x01\x05")
    good = install(world, a_certificate(world), b"\x30\x00")
    evaluation.walk(world.seal, world.now)
    mine = found(world, SUBSCRIBER)
    assert [each.verdict for (name, _), each in mine.items() if name.endswith(broken)] == [Verdict.BROKEN]
    assert (f"Acme {good}", "CSBR-7.1-01") in mine
    assert evaluation.walk(world.seal, world.now).judged == 0


def test_a_stamper_that_is_away_changes_nothing(
    world: World, asked_of: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its certificates were judged, and are not judged anew when it is back; another chain is."""
    evaluation.walk(world.seal, world.now)
    state = world.seal.stamper.health()
    asked_of.clear()
    for chain in ((), state.chain, (a_certificate(world),)):
        told = type(state)(state.ready, state.why, state.authority, state.not_after, chain)
        monkeypatch.setattr(world.seal.stamper, "health", lambda told=told: told)
        evaluation.walk(world.seal, world.now)
    assert [each.split()[0] for each in asked_of] == ["Acme"]


def test_young_certificates_are_judged_at_once_where_several_nodes_write(
    world: World, asked_of: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And once more when their event has settled, for one with a smaller number may have come in between."""
    evaluation.walk(world.seal, world.now)
    monkeypatch.setattr(evaluation, "SETTLED", timedelta(minutes=1))
    asked_of.clear()
    world.now += timedelta(seconds=10)
    name = install(world, a_certificate(world))
    for _ in range(2):
        evaluation.walk(world.seal, world.now)
    assert (f"Acme {name}", "CSBR-7.1-01") in found(world, SUBSCRIBER)
    world.now += timedelta(minutes=2)
    evaluation.walk(world.seal, world.now)
    assert set(asked_of) == {f"Acme {name}"}
    asked_of.clear()
    evaluation.walk(world.seal, world.now)
    assert asked_of == []
