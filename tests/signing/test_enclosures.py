"""What travels beside a description, as walks: page hashes of programs through the service, in both modes."""

from __future__ import annotations

import hashlib
import random
import shutil
from collections.abc import Iterator
from datetime import timedelta
from importlib import resources
from pathlib import Path

import msgspec
import pytest
from tests.signing.test_server_mode import Yard
from tests.world import SUBSCRIBER, WAYS, Ledger, Plan, Way

from privyseal.errors import BadInput, Conflict, NotFound, PrivySealError
from privyseal.formats import authenticode_blob, catalogue, pe_pages
from privyseal.formats.examine import examine
from privyseal.formats.patch import carry_out
from privyseal.formats.protocol import MAX_ENCLOSED, Prepared
from privyseal.formats.source import FileSource
from privyseal.records import requests, uploads
from privyseal.signing import artifacts, enclosures
from privyseal.signing import uploads as walk
from privyseal.signing.instance import Premises
from privyseal.signing.sign import advance
from privyseal.signing.submit import Submission, submit
from privyseal.signing.workshop import Workshop
from privyseal.terms.requests import Dossier, State
from privyseal.terms.signatures import Options
from privyseal.terms.uploads import NewUpload

PAGED = Options(page_hashes="sha256")
SAMPLE = 2
"""Faults of the records that each part of the product meets in every run, beside one of each kind of the spool's."""


@pytest.fixture(scope="module")
def workshop() -> Iterator[Workshop]:
    """Keep two children for all worlds of this module."""
    made = Workshop(2)
    yield made
    made.close()


class Paged(Yard):
    """A world whose clients want page hashes, and send the tables that they make."""

    tables: dict[str, bytes]

    def paged(self, mode: str, more: bytes = b"") -> Ledger:
        """Bring in a client that wants a program signed with page hashes."""
        if not hasattr(self, "tables"):
            self.tables = {}
        self.path = self.directory / "driver.exe"
        self.path.write_bytes((resources.files("distlib") / "t64.exe").read_bytes() + more)
        self.prepared = self._prepare()
        (described,), (table,) = self.prepared.described, self.prepared.enclosed
        assert described.facts["enclosed"] == hashlib.sha256(table).hexdigest()
        request = msgspec.structs.replace(self.request(0, (described,)), options=PAGED)
        octets = self.path.read_bytes()
        sha256 = hashlib.sha256(octets).hexdigest()
        if mode == "server":
            request = msgspec.structs.replace(request, mode="server", input=sha256)
            self.octets[sha256] = octets
        else:
            self.tables[request.timeless_digest()] = table
        ledger = Ledger(request, [request.timeless_digest()])
        self.ledgers.append(ledger)
        return ledger

    def _prepare(self) -> Prepared:
        _, identity = self.pair()
        with FileSource.open(self.path) as code:
            found = catalogue.recognise(code)
            return found.prepare(code, found.inspect(code), identity, PAGED, "sha256")

    def send(self, ledger: Ledger) -> None:
        """Send the file, or in local mode the table alone."""
        if ledger.request.mode == "server":
            super().send(ledger)
            return
        table = self.tables[ledger.request.timeless_digest()]
        wanted = NewUpload(filename="driver.exe", size=len(table), sha256=hashlib.sha256(table).hexdigest())
        upload, offset = walk.announce(self.seal, self.actor, SUBSCRIBER, wanted)
        if not upload.complete:
            with walk.open_part(self.seal, self.actor, SUBSCRIBER, upload.id, offset) as part:
                part.append(table[offset:])
                walk.accept(self.seal, self.actor, upload, part)

    def applied(self, ledger: Ledger, blob: bytes) -> bytes:
        """Sign the program in the client's own hands."""
        target = self.directory / "own-signed"
        with FileSource.open(self.path) as code:
            found = catalogue.recognise(code)
            carry_out(found.apply(code, self._prepare(), PAGED, [blob]), code, target)
        return target.read_bytes()

    def check_signed(self) -> None:
        """Every signature given states the table of pages that the client made, and holds."""
        for ledger in self.ledgers:
            for blobs, _ in ledger.given.values():
                stated = pe_pages.found_in(authenticode_blob.read(blobs[0]).subject)
                assert stated == ("sha256", self.prepared.enclosed[0])
                self.applied(ledger, blobs[0])
                with FileSource.open(self.directory / "own-signed") as code:
                    found = catalogue.recognise(code)
                    (signature,) = examine(found, code).signatures
                assert signature.problems == ()


@pytest.fixture
def paged(founded: Path, tmp_path: Path, workshop: Workshop) -> Iterator[Paged]:
    made = Paged(founded, tmp_path / "yard", workshop)
    yield made
    made.stop()


def _released(outcome: Dossier | PrivySealError) -> Dossier:
    assert isinstance(outcome, Dossier), outcome
    assert outcome.state is State.RELEASED
    return outcome


@pytest.mark.parametrize("mode", ["local", "server"])
def test_pages_are_signed_through_the_service(paged: Paged, mode: str) -> None:
    """The table comes beside the description, or is made by the service; once released it is gone from the spool."""
    ledger = paged.paged(mode)
    dossier = _released(paged.ask([ledger])[0])
    paged.check()
    paged.check_signed()
    if mode == "server":
        paged.check_files()
    assert paged.inside() == ([f"out/{dossier.id}"] if mode == "server" else [])
    again = submit(paged.seal, [Submission(paged.actor, ledger.key, ledger.request)])[0]
    assert isinstance(again, Dossier) and again.id == dossier.id, "found again, though the table is gone"


def test_without_the_table_it_is_asked_for(paged: Paged) -> None:
    """NotFound, and no request comes of it; another table is not taken for the one that the description names."""
    ledger = paged.paged("local")
    assert isinstance(paged._submit(ledger), NotFound)
    (described,) = ledger.request.described
    wrong = b"0" * 36 * 3
    facts = described.facts | {"enclosed": hashlib.sha256(wrong).hexdigest()}
    request = msgspec.structs.replace(ledger.request, described=(msgspec.structs.replace(described, facts=facts),))
    paged.tables[request.timeless_digest()] = wrong
    other = Ledger(request, ["other"])
    paged.send(other)
    assert isinstance(paged._submit(other), BadInput), "it is no table"
    with paged.seal.records.reading(SUBSCRIBER) as tx:
        assert requests.by_idempotency_key(tx, ledger.key) is None
        assert requests.by_idempotency_key(tx, "other") is None


def test_a_table_that_a_request_needs_stays(paged: Paged) -> None:
    """Neither its owner nor the duties delete it before the last request that names it is over."""
    ledger = paged.paged("local")
    paged.send(ledger)
    first, second = (submit(paged.seal, [Submission(paged.actor, key, ledger.request)])[0] for key in ("one", "two"))
    assert isinstance(first, Dossier) and isinstance(second, Dossier)
    with paged.seal.records.reading(SUBSCRIBER) as tx:
        upload = uploads.by_digest(tx, enclosures.named(ledger.request)[0])
    assert upload is not None
    with pytest.raises(Conflict, match="not over"):
        walk.cancel(paged.seal, paged.actor, SUBSCRIBER, upload.id)
    _released(advance(paged.seal, [(SUBSCRIBER, first.id)])[0])
    assert paged.inside() == [f"in/{upload.id}"]
    paged.now += timedelta(minutes=59)
    assert artifacts.tidy(paged.seal) == 0
    _released(advance(paged.seal, [(SUBSCRIBER, second.id)])[0])
    assert paged.inside() == []


def test_a_table_that_the_disk_lost_can_be_sent_again(paged: Paged) -> None:
    """The request stays where it is and says so; sent again, it is signed."""
    ledger = paged.paged("local")
    paged.send(ledger)
    dossier = submit(paged.seal, [Submission(paged.actor, ledger.key, ledger.request)])[0]
    assert isinstance(dossier, Dossier)
    (path,) = (paged.directory / "spool" / SUBSCRIBER / "in").iterdir()
    octets = path.read_bytes()
    path.write_bytes(b"\0" * len(octets))
    outcome = advance(paged.seal, [(SUBSCRIBER, dossier.id)])[0]
    assert isinstance(outcome, NotFound) and "upload it" in str(outcome.hint)
    path.unlink()
    paged.send(ledger)
    _released(advance(paged.seal, [(SUBSCRIBER, dossier.id)])[0])
    paged.ask([ledger])
    paged.check()
    paged.check_signed()


def test_no_more_travels_than_the_signer_takes(paged: Paged, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that comes beside one request fits into one question to the signer, or is refused before anything is read."""
    ledger = paged.paged("local")
    paged.send(ledger)
    table = paged.prepared.enclosed[0]
    assert len(table) < MAX_ENCLOSED
    monkeypatch.setattr(enclosures, "MAX_ENCLOSED", len(table) - 1)
    outcome = paged._submit(ledger)
    assert isinstance(outcome, BadInput) and "divide it" in str(outcome.hint)


def test_a_service_without_a_spool_says_so(founded: Path, tmp_path: Path, workshop: Workshop) -> None:
    """It has nowhere to put a table."""

    class Bare(Paged):
        def premises(self) -> Premises:
            return None  # type: ignore[return-value]

    world = Bare(founded, tmp_path / "bare", workshop)
    try:
        outcome = world._submit(world.paged("local"))
        assert isinstance(outcome, BadInput) and "page hashes" in str(outcome.hint)
    finally:
        world.stop()


def _places(founded: Path, directory: Path, workshop: Workshop, mode: str, seed: str | None) -> list[int]:
    """Say which writes of a story to break: all with the records' between them, or one of each kind and some."""
    world = Paged(founded, directory, workshop)
    try:
        world.paged(mode)
        world.story()
        world.check_signed()
        kinds = {name: at for at, name in enumerate(world.writes) if name.startswith("spool")}
        assert {"spool: append", "spool: settle", "spool: remove in"} <= set(kinds)
        every = [at for at, name in enumerate(world.writes) if name.startswith(("spool", "records"))]
        others = [at for at in every if at not in kinds.values()]
        return every if seed is None else sorted([*kinds.values(), *random.Random(seed).sample(others, SAMPLE)])
    finally:
        world.stop()
        shutil.rmtree(directory)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("everywhere", [False, pytest.param(True, marks=pytest.mark.nightly)], ids=["sample", "all"])
@pytest.mark.parametrize("mode", ["local", "server"])
@pytest.mark.parametrize("way", WAYS)
# Each is a part of the story.
def test_no_fault_loses_what_travels_beside(
    founded: Path,
    tmp_path: Path,
    workshop: Workshop,
    monkeypatch: pytest.MonkeyPatch,
    way: Way,
    mode: str,
    everywhere: bool,
) -> None:
    """Whatever write fails however, the signature states the client's pages, and in the end nothing is left."""
    seed = None if everywhere else f"{(founded / 'database').exists()} {way} {mode}"
    monkeypatch.setattr(artifacts, "ORPHAN_AGE", timedelta(seconds=-10))  # of the disk's clock, which nobody turns
    for turn, nth in enumerate(_places(founded, tmp_path / "first", workshop, mode, seed)):
        for crash in (False, True) if everywhere else (bool(turn % 2) == (way == "lost"),):
            world = Paged(founded, tmp_path / f"{nth}{crash}", workshop, Plan(nth, way, crash))
            told = ""
            try:
                world.paged(mode)
                world.story()
                told = f"fault at write {nth}: {world.writes[nth] if nth < len(world.writes) else 'none'}"
                assert [len(ledger.given) for ledger in world.ledgers] == [1], told
                world.check()
                world.check_signed()
                world.now += timedelta(hours=4)
                artifacts.tidy(world.seal)
                assert world.inside() == [], told
            except AssertionError as error:
                raise AssertionError(f"{told}: {error}") from error
            finally:
                world.stop()
                shutil.rmtree(world.directory)
