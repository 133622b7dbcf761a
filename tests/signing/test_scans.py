"""Scanning as a walk: the verdict is in the request that is approved and logged; what is infected or unseen is not."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from tests.signing.test_server_mode import Yard
from tests.world import SUBSCRIBER, Ledger

from privyseal.errors import BadInput, IdempotencyMismatch, Infected, PrivySealError, TooLarge, Unavailable
from privyseal.records import events, requests, uploads
from privyseal.scanning.protocol import Standing
from privyseal.signing import artifacts, scans
from privyseal.signing.instance import Premises
from privyseal.signing.submit import Submission, submit
from privyseal.signing.workshop import Workshop
from privyseal.terms.canonical import decode_canonical
from privyseal.terms.requests import Dossier, SigningRequest, State
from privyseal.terms.scans import Scan, Seen
from privyseal.tlog.proof import read_receipt
from privyseal.web.views import NOT_SEEN, sight


class _Scripted:
    """A scanner that says what the test wants: an error, or a verdict."""

    def __init__(self, name: str = "own") -> None:
        self.name = name
        self.says: PrivySealError | None = None
        self.asked = 0

    def standing(self, now: datetime) -> Standing:
        return Standing(engine="Own 1")

    def scan(self, path: Path, now: datetime) -> Scan:
        self.asked += 1
        assert hashlib.sha256(path.read_bytes()).hexdigest()
        if self.says is not None:
            raise self.says
        return Scan(scanner=self.name, engine="Own 1", verdict="clean", time=now.astimezone(UTC).replace(microsecond=0))


class _Guarded(Yard):
    """A yard with scanners."""

    def __init__(self, founded: Path, directory: Path, workshop: Workshop) -> None:
        self.scanners = (_Scripted("first"), _Scripted("second"))
        self.infected = "delete"
        super().__init__(founded, directory, workshop)

    def premises(self) -> Premises:
        return replace(super().premises(), scanners=self.scanners)

    def submitted(self, ledger: Ledger, key: str = "key") -> Dossier | PrivySealError:
        return submit(self.seal, [Submission(self.actor, key, ledger.request)])[0]

    def told(self, upload_id: str) -> list[str]:
        with self.seal.records.reading(SUBSCRIBER) as tx:
            return [each.what for each in events.events_about(tx, upload_id)]

    def upload(self, ledger: Ledger) -> str:
        self.send(ledger)
        with self.seal.records.reading(SUBSCRIBER) as tx:
            found = uploads.by_digest(tx, str(ledger.request.input))
        assert found is not None
        return found.id


@pytest.fixture(scope="module")
def workshop() -> Iterator[Workshop]:
    made = Workshop(1)
    yield made
    made.close()


@pytest.fixture
def yard(founded: Path, tmp_path: Path, workshop: Workshop) -> Iterator[_Guarded]:
    made = _Guarded(founded, tmp_path / "yard", workshop)
    yield made
    made.stop()


def test_the_verdict_is_in_what_is_approved_and_logged(yard: _Guarded) -> None:
    """The canonical request names the SHA-256 and each scanner, and the receipt opens the intent to those octets."""
    ledger = yard.file()
    (dossier,) = yard.ask([ledger])
    assert isinstance(dossier, Dossier) and dossier.state is State.RELEASED
    request = decode_canonical(dossier.canonical, SigningRequest)
    assert isinstance(request.seen, Seen) and request.scanned
    assert request.seen.sha256 == request.input
    assert [(each.scanner, each.verdict, each.time) for each in request.seen.scans] == [
        ("first", "clean", yard.now),
        ("second", "clean", yard.now),
    ]
    assert read_receipt(str(dossier.receipt), yard.policy()).payload == dossier.canonical
    assert sight(dossier.canonical) == ("seen by the service and scanned", request.seen.scans)
    yard.check_files()


def test_a_resend_finds_the_same_request(yard: _Guarded) -> None:
    """Later, described or not, it is the same request, and nobody scans again; of another file it is another one."""
    ledger = yard.file()
    yard.send(ledger)
    first = yard.submitted(ledger)
    assert isinstance(first, Dossier)
    yard.now += timedelta(seconds=61)
    bare = msgspec.structs.replace(ledger.request, described=())
    for request in (ledger.request, bare):
        again = submit(yard.seal, [Submission(yard.actor, "key", request)])[0]
        assert isinstance(again, Dossier) and again.id == first.id and again.canonical == first.canonical
    assert yard.scanners[0].asked == 1
    other = yard.file("other.exe", b"12345678")
    yard.send(other)
    assert isinstance(yard.submitted(other), IdempotencyMismatch)


def test_the_client_cannot_say_what_scanners_saw(yard: _Guarded) -> None:
    """Not for a file that it has sent, nor for one that stayed with it."""
    ledger = yard.file()
    yard.send(ledger)
    seen = Seen(
        sha256=str(ledger.request.input), scans=(Scan(scanner="own", engine="x", verdict="clean", time=yard.now),)
    )
    forged = msgspec.structs.replace(ledger.request, seen=seen)
    outcome = submit(yard.seal, [Submission(yard.actor, "key", forged)])[0]
    assert isinstance(outcome, BadInput) and "service's to say" in outcome.detail
    with pytest.raises(ValueError, match="of no other"):
        msgspec.structs.replace(forged, input="0" * 64)
    local = msgspec.json.encode(msgspec.structs.replace(ledger.request, mode="local", input=msgspec.UNSET))
    plain = msgspec.json.decode(local) | {"seen": msgspec.to_builtins(seen)}
    with pytest.raises(msgspec.ValidationError, match="of no other"):
        msgspec.convert(plain, SigningRequest)


def test_an_infected_file_is_not_signed_and_not_kept(yard: _Guarded) -> None:
    """No request, no file, an event that says what was found; the second scanner is not asked any more."""
    ledger = yard.file()
    upload = yard.upload(ledger)
    yard.scanners[0].says = Infected("Scanner first found Worm. It is a long sentence, longer than an event may be.")
    outcome = yard.submitted(ledger)
    assert isinstance(outcome, Infected) and outcome.exit == 5
    assert yard.inside() == [] and yard.scanners[1].asked == 0
    assert yard.told(upload)[-2:] == ["infected, deleted", "first found Worm. It is a long sentence,"]
    with yard.seal.records.reading(SUBSCRIBER) as tx:
        assert requests.by_idempotency_key(tx, "key") is None
        assert uploads.by_digest(tx, str(ledger.request.input)) is None


def test_an_infected_file_can_be_put_away(yard: _Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    """Quarantined it is readable for its owner alone, no upload any more, and no duty deletes it; of many, a few."""
    assert yard.seal.premises is not None
    monkeypatch.setattr(scans, "MOST_QUARANTINED", 1)
    yard.seal.premises = replace(yard.seal.premises, infected="quarantine")
    yard.scanners[1].says = Infected("Scanner second found Worm.")
    first, second = yard.file(), yard.file("b.exe", b"12345678")
    names = [yard.upload(first), yard.upload(second)]
    assert isinstance(yard.submitted(first), Infected) and isinstance(yard.submitted(second), Infected)
    assert yard.inside() == [f"in/infected-{names[0]}"]
    path = yard.directory / "spool" / SUBSCRIBER / "in" / f"infected-{names[0]}"
    assert path.stat().st_mode & 0o777 == 0o400
    monkeypatch.setattr(artifacts, "ORPHAN_AGE", -artifacts.ORPHAN_AGE)
    artifacts.tidy(yard.seal)
    assert yard.inside() == [f"in/infected-{names[0]}"]
    yard.scanners[1].says = None
    assert yard.upload(first) != names[0], "sent again, it is a new upload"


@pytest.mark.parametrize("error", [Unavailable("Scanner first is away."), TooLarge("Scanner first took half.")])
def test_a_file_that_nobody_looked_at_is_not_signed(yard: _Guarded, error: PrivySealError) -> None:
    """The upload stays, and once the scanner is back the very same request is signed."""
    ledger = yard.file()
    upload = yard.upload(ledger)
    yard.scanners[0].says = error
    outcome = yard.submitted(ledger)
    assert outcome is error and yard.inside() == [f"in/{upload}"]
    with yard.seal.records.reading(SUBSCRIBER) as tx:
        assert requests.by_idempotency_key(tx, "key") is None
    yard.scanners[0].says = None
    assert isinstance(yard.submitted(ledger), Dossier)


def test_a_file_that_changed_since_it_came_is_not_signed(yard: _Guarded) -> None:
    """The verdict is bound to the digest that was uploaded: other octets in the spool are nobody's."""
    ledger = yard.file()
    upload = yard.upload(ledger)
    path = yard.directory / "spool" / SUBSCRIBER / "in" / upload
    octets = bytearray(path.read_bytes())
    octets[5000] ^= 1
    path.write_bytes(octets)
    bare = msgspec.structs.replace(ledger.request, described=())
    outcome = submit(yard.seal, [Submission(yard.actor, "key", bare)])[0]
    assert isinstance(outcome, Unavailable) and "no longer what came in" in outcome.detail


def test_a_file_that_an_earlier_request_needs_stays(yard: _Guarded) -> None:
    """Clean yesterday, infected today: the new request is refused, and the earlier one is not robbed of its file."""
    ledger = yard.file()
    upload = yard.upload(ledger)
    assert isinstance(yard.submitted(ledger, "earlier"), Dossier)
    yard.scanners[0].says = Infected("Scanner first found Worm.")
    assert isinstance(yard.submitted(ledger, "later"), Infected)
    assert yard.inside() == [f"in/{upload}"]
    assert yard.told(upload)[-2] == "infected, kept for an earlier request"


def test_what_is_local_was_not_seen(yard: _Guarded) -> None:
    """The record says so, and no scanner was asked."""
    outcome = submit(yard.seal, [Submission(yard.actor, "local", yard.request(1))])[0]
    assert isinstance(outcome, Dossier)
    assert sight(outcome.canonical) == (NOT_SEEN, ()) and NOT_SEEN == "not seen by the service"
    assert not decode_canonical(outcome.canonical, SigningRequest).scanned
    assert yard.scanners[0].asked == 0


@pytest.mark.parametrize(
    "scan",
    [
        {"engine": "two\nlines"},
        {"engine": "bell\x07"},
        {"engine": ""},
        {"engine": "x" * 201},
        {"scanner": "Own"},
        {"scanner": ""},
        {"verdict": "infected"},
        {"time": "2026-11-30T12:00:00.5Z"},
        {"time": "2026-11-30T12:00:00+01:00"},
        {"time": "2026-11-30T12:00:00"},
    ],
)
def test_a_scan_says_one_thing_in_one_way(scan: dict[str, str]) -> None:
    """Words that a terminal would obey, fractions of seconds and unknown verdicts are refused."""
    plain = {"scanner": "own", "engine": "Own 1", "verdict": "clean", "time": "2026-11-30T12:00:00Z"}
    assert msgspec.json.decode(msgspec.json.encode(plain), type=Scan).in_words().startswith("own: clean (Own 1)")
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(msgspec.json.encode(plain | scan), type=Scan)
