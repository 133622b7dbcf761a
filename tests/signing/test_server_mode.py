"""Server mode as walks: the service describes, signs, makes and checks the file; whatever fails, what came out is right
and nothing is left."""

from __future__ import annotations

import hashlib
import random
import shutil
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from importlib import resources
from pathlib import Path

import msgspec
import pytest
from tests.world import SUBSCRIBER, WAYS, Ledger, Plan, Way, World

from privyseal.errors import (
    BadInput,
    Conflict,
    IdempotencyMismatch,
    LogUnavailable,
    NotFound,
    PrivySealError,
    Unavailable,
)
from privyseal.formats import catalogue
from privyseal.formats.patch import carry_out
from privyseal.formats.source import FileSource
from privyseal.records import requests, uploads
from privyseal.records.spool import Limits, Spool
from privyseal.signing import artifacts, duties
from privyseal.signing import uploads as walk
from privyseal.signing.instance import Premises
from privyseal.signing.sign import advance
from privyseal.signing.submit import Submission, submit
from privyseal.signing.workshop import Workshop
from privyseal.terms.parties import Actor, Factor, Member, Role
from privyseal.terms.requests import Dossier, State
from privyseal.terms.signatures import Options
from privyseal.terms.uploads import NewUpload
from privyseal.tlog.proof import read_receipt

KEEP = timedelta(hours=2)
SAMPLE = 3
"""Faults of the records that each part of the product meets in the suite, besides one of each kind of the spool's."""
STRANGER = Actor(Member("M-stranger", "other", "stranger", (Role.REQUESTER,)), (Factor.BEARER,))


@pytest.fixture(scope="module")
def workshop() -> Iterator[Workshop]:
    """Keep two children for all worlds of this module."""
    made = Workshop(2)
    yield made
    made.close()


class _FragileSpool(Spool):
    """The real spool, whose writes pass the world's hands."""

    def __init__(self, world: World) -> None:
        super().__init__(world.directory / "spool", Limits(spare=0))
        self._world = world

    def write(self, name: str, effect: Callable[[], object]) -> object:  # type: ignore[override]
        """Write, or not, or do and not say so."""
        return self._world.write(f"spool: {name}", lambda: super(_FragileSpool, self).write(name, effect), Unavailable)


class Yard(World):
    """A world whose service sees files, and clients that send them."""

    def __init__(self, founded: Path, directory: Path, workshop: Workshop, plan: Plan | None = None) -> None:
        self.workshop = workshop
        self.octets: dict[str, bytes] = {}
        super().__init__(founded, directory, plan)

    def premises(self) -> Premises:
        return Premises(_FragileSpool(self), self.workshop, keep=KEEP, stale=timedelta(hours=1))

    def file(self, name: str = "hello.exe", more: bytes = b"") -> Ledger:
        """Bring in a client that wants a file signed; it describes the file itself, as the command line does."""
        octets = (resources.files("distlib") / "t64.exe").read_bytes() + more
        path = self.directory / name
        path.write_bytes(octets)
        _, identity = self.pair()
        with FileSource.open(path) as code:
            found = catalogue.recognise(code)
            prepared = found.prepare(code, found.inspect(code), identity, Options(), "sha256")
        sha256 = hashlib.sha256(octets).hexdigest()
        request = msgspec.structs.replace(self.request(0, prepared.described), mode="server", input=sha256)
        self.octets[sha256] = octets
        ledger = Ledger(request, [request.timeless_digest()])
        self.ledgers.append(ledger)
        return ledger

    def send(self, ledger: Ledger) -> None:
        """Announce a client's file and send what is missing of it."""
        sha256 = str(ledger.request.input)
        octets = self.octets[sha256]
        wanted = NewUpload(filename="hello.exe", size=len(octets), sha256=sha256)
        upload, offset = walk.announce(self.seal, self.actor, SUBSCRIBER, wanted)
        if upload.complete:
            return
        with walk.open_part(self.seal, self.actor, SUBSCRIBER, upload.id, offset) as part:
            for at in range(offset, len(octets), 60_000):
                part.append(octets[at : at + 60_000])
            walk.accept(self.seal, self.actor, upload, part)

    def ask(self, ledgers: Iterable[Ledger]) -> list[Dossier | PrivySealError]:
        """Let clients ask, one after the other; who hears that the file is not there sends it and asks again."""
        return [self._ask_one(ledger) for ledger in ledgers]

    def _ask_one(self, ledger: Ledger) -> Dossier | PrivySealError:
        try:
            outcome = self._submit(ledger)
            if isinstance(outcome, NotFound):
                self.send(ledger)
                outcome = self._submit(ledger)
            if isinstance(outcome, Dossier) and outcome.state not in (State.RELEASED, State.REQUESTED):
                outcome = advance(self.seal, [(SUBSCRIBER, outcome.id)], files=True)[0]
        except PrivySealError as error:
            return error
        self._give(ledger, outcome)
        return outcome

    def _submit(self, ledger: Ledger) -> Dossier | PrivySealError:
        return submit(self.seal, [Submission(self.actor, ledger.key, ledger.request)])[0]

    def inside(self) -> list[str]:
        """List what is in the spool, as ``in/...`` and ``out/...``."""
        folder = self.directory / "spool" / SUBSCRIBER
        return sorted(str(path.relative_to(folder)) for path in folder.glob("*/*"))

    def check_files(self) -> None:
        """Each file handed out is what applying the client's own signature to its own file gives, and is in the log."""
        for ledger in self.ledgers:
            for key, (blobs, receipt) in ledger.given.items():
                with self.seal.records.reading(SUBSCRIBER) as tx:
                    known = requests.by_idempotency_key(tx, key)
                assert known is not None
                opened = artifacts.fetch(self.seal, self.actor, SUBSCRIBER, known[0].id)[1]
                with opened:
                    octets = opened.read()
                assert octets == self.applied(ledger, blobs[0])
                completed = read_receipt(receipt, self.policy()).completed
                assert completed.files == (hashlib.sha256(octets).hexdigest(),)

    def applied(self, ledger: Ledger, blob: bytes) -> bytes:
        """Sign the client's file in the client's own hands."""
        source, target = self.directory / "own", self.directory / "own-signed"
        source.write_bytes(self.octets[str(ledger.request.input)])
        _, identity = self.pair()
        with FileSource.open(source) as code:
            found = catalogue.recognise(code)
            prepared = found.prepare(code, found.inspect(code), identity, Options(), "sha256")
            carry_out(found.apply(code, prepared, Options(), [blob]), code, target)
        return target.read_bytes()


@pytest.fixture
def yard(founded: Path, tmp_path: Path, workshop: Workshop) -> Iterator[Yard]:
    made = Yard(founded, tmp_path / "yard", workshop)
    yield made
    made.stop()


def _released(outcome: Dossier | PrivySealError) -> Dossier:
    assert isinstance(outcome, Dossier), outcome
    assert outcome.state is State.RELEASED
    return outcome


def test_a_file_goes_in_and_comes_out_signed(yard: Yard) -> None:
    """The walk from the announcement to the file that the log binds; the upload is gone at release."""
    ledger = yard.file()
    dossier = _released(yard.ask([ledger])[0])
    assert yard.inside() == [f"out/{dossier.id}"]
    yard.check()
    yard.check_files()


def test_nothing_is_left_in_the_end(yard: Yard) -> None:
    """A signed file is kept as long as was promised and not longer; the request itself stays."""
    dossier = _released(yard.ask([yard.file()])[0])
    yard.now += KEEP - timedelta(seconds=1)
    assert artifacts.tidy(yard.seal) == 0
    yard.now += timedelta(seconds=2)
    assert artifacts.tidy(yard.seal) == 1
    assert yard.inside() == []
    with pytest.raises(NotFound):
        artifacts.fetch(yard.seal, yard.actor, SUBSCRIBER, dossier.id)
    assert _released(yard.ask(yard.ledgers)[0]) == dossier, "the answer is the same without the file"


def test_the_client_may_leave_the_description_to_the_service(yard: Yard) -> None:
    """An empty ``described`` is filled in; under the same key it is the same request, with another file it is not."""
    ledger = yard.file()
    yard.send(ledger)
    bare = msgspec.structs.replace(ledger.request, described=())
    first = submit(yard.seal, [Submission(yard.actor, "key", bare)])[0]
    assert isinstance(first, Dossier) and first.canonical == ledger.request.canonical()
    again = submit(yard.seal, [Submission(yard.actor, "key", bare)])[0]
    assert isinstance(again, Dossier) and again.id == first.id
    other = yard.file("other.exe", b"12345678")
    yard.send(other)
    changed = msgspec.structs.replace(other.request, described=())
    assert isinstance(submit(yard.seal, [Submission(yard.actor, "key", changed)])[0], IdempotencyMismatch)


def test_what_the_client_says_of_the_file_is_not_believed(yard: Yard) -> None:
    """A description of other content is refused, and no request comes of it."""
    ledger = yard.file()
    yard.send(ledger)
    wrong = msgspec.structs.replace(ledger.request.described[0], digest=bytes(32))
    request = msgspec.structs.replace(ledger.request, described=(wrong,))
    outcome = submit(yard.seal, [Submission(yard.actor, "key", request)])[0]
    assert isinstance(outcome, BadInput) and "otherwise" in outcome.detail
    with yard.seal.records.reading(SUBSCRIBER) as tx:
        assert requests.by_idempotency_key(tx, "key") is None


def test_a_neighbour_in_local_mode_does_not_wait(yard: Yard) -> None:
    """The walk without files takes a local request to its end and leaves the other SIGNED, free to be taken up."""
    ledger = yard.file()
    yard.send(ledger)
    mine = submit(yard.seal, [Submission(yard.actor, ledger.key, ledger.request)])[0]
    local = submit(yard.seal, [Submission(yard.actor, "local", yard.request(1))])[0]
    assert isinstance(mine, Dossier) and isinstance(local, Dossier)
    outcomes = advance(yard.seal, [(SUBSCRIBER, mine.id), (SUBSCRIBER, local.id)])
    assert [each.state for each in outcomes if isinstance(each, Dossier)] == [State.SIGNED, State.RELEASED]
    (taken_up,) = duties.recover(yard.seal)
    assert _released(taken_up).id == mine.id


def test_an_upload_that_is_needed_stays(yard: Yard) -> None:
    """While a request is not over, neither its owner nor the duties delete its file; afterwards it goes."""
    ledger = yard.file()
    yard.send(ledger)
    first, second = (submit(yard.seal, [Submission(yard.actor, key, ledger.request)])[0] for key in ("first", "second"))
    assert isinstance(first, Dossier) and isinstance(second, Dossier)
    with yard.seal.records.reading(SUBSCRIBER) as tx:
        upload = uploads.by_digest(tx, str(ledger.request.input))
    assert upload is not None
    with pytest.raises(Conflict, match="not over"):
        walk.cancel(yard.seal, yard.actor, SUBSCRIBER, upload.id)
    _released(advance(yard.seal, [(SUBSCRIBER, first.id)], files=True)[0])
    assert f"in/{upload.id}" in yard.inside()
    _released(advance(yard.seal, [(SUBSCRIBER, second.id)], files=True)[0])
    assert f"in/{upload.id}" not in yard.inside()


def test_an_upload_that_nobody_goes_on_with_is_deleted(yard: Yard) -> None:
    """Half an upload lives an hour from its last octet, a whole one that nobody has signed too."""
    ledger = yard.file()
    octets = yard.octets[str(ledger.request.input)]
    wanted = NewUpload(filename="a", size=len(octets), sha256=str(ledger.request.input))
    upload, _ = walk.announce(yard.seal, yard.actor, SUBSCRIBER, wanted)
    for at in (0, 1000):
        yard.now += timedelta(minutes=50)
        with walk.open_part(yard.seal, yard.actor, SUBSCRIBER, upload.id, at) as part:
            part.append(octets[at : at + 1000])
        assert artifacts.tidy(yard.seal) == 0
    yard.now += timedelta(minutes=61)
    assert artifacts.tidy(yard.seal) == 1
    assert yard.inside() == []


def test_a_file_that_no_row_knows_is_deleted_when_it_is_old(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash may leave a file without a row: gone after an hour; what is not ours in there is left alone."""
    folder = yard.directory / "spool" / SUBSCRIBER / "in"
    folder.mkdir(parents=True)
    orphan, stranger = folder / ("U-" + "a" * 24), folder / "README"
    orphan.write_bytes(b"1")
    stranger.write_bytes(b"2")
    assert artifacts.tidy(yard.seal) == 0
    monkeypatch.setattr(artifacts, "ORPHAN_AGE", timedelta(seconds=-10))
    assert artifacts.tidy(yard.seal) == 1
    assert (orphan.exists(), stranger.exists()) == (False, True)


def test_other_content_than_announced_is_dropped(yard: Yard) -> None:
    """The digest is that of the disk; a file that changed on the way is refused and leaves nothing."""
    wanted = NewUpload(filename="a", size=5, sha256=hashlib.sha256(b"hello").hexdigest())
    upload, _ = walk.announce(yard.seal, yard.actor, SUBSCRIBER, wanted)
    with (
        walk.open_part(yard.seal, yard.actor, SUBSCRIBER, upload.id, 0) as part,
        pytest.raises(BadInput, match="dropped"),
    ):
        part.append(b"hellO")
        walk.accept(yard.seal, yard.actor, upload, part)
    assert yard.inside() == []
    with pytest.raises(NotFound):
        walk.find(yard.seal, yard.actor, SUBSCRIBER, upload.id)


def test_a_stranger_finds_out_nothing(yard: Yard) -> None:
    """Another Subscriber's member gets the words used where there is none, whatever it knows."""
    ledger = yard.file()
    dossier = _released(yard.ask([ledger])[0])
    for question in (
        lambda: artifacts.fetch(yard.seal, STRANGER, SUBSCRIBER, dossier.id),
        lambda: artifacts.delete(yard.seal, STRANGER, SUBSCRIBER, dossier.id),
        lambda: walk.find(yard.seal, STRANGER, SUBSCRIBER, "U-x"),
        lambda: walk.cancel(yard.seal, STRANGER, SUBSCRIBER, "U-x"),
    ):
        with pytest.raises(NotFound, match="no Subscriber"):
            question()


def _signed(yard: Yard) -> tuple[Ledger, tuple[str, str], Path]:
    """Bring one request to SIGNED; return who asked, the request, and where its upload is."""
    ledger = yard.file()
    yard.send(ledger)
    dossier = submit(yard.seal, [Submission(yard.actor, ledger.key, ledger.request)])[0]
    assert isinstance(dossier, Dossier)
    name = (SUBSCRIBER, dossier.id)
    (signed,) = advance(yard.seal, [name])
    assert isinstance(signed, Dossier) and signed.state is State.SIGNED
    (path,) = (yard.directory / "spool" / SUBSCRIBER / "in").iterdir()
    return ledger, name, path


def _refused(yard: Yard, name: tuple[str, str]) -> str:
    """Let the file be made, which must fail and leave the request where it is; return what is said."""
    (outcome,) = advance(yard.seal, [name], files=True)
    assert isinstance(outcome, PrivySealError)
    with yard.seal.records.reading(SUBSCRIBER) as tx:
        assert requests.get(tx, name[1]).state is State.SIGNED
    return outcome.detail


def _released_without_a_file(yard: Yard, ledger: Ledger) -> None:
    """The duties have released it: the signature holds, its completion names no file, and there is none to fetch."""
    (dossier,) = [_released(outcome) for outcome in duties.recover(yard.seal)]
    yard._give(ledger, dossier)
    yard.check()
    assert read_receipt(str(dossier.receipt), yard.policy()).completed.files is msgspec.UNSET
    assert yard.applied(ledger, dossier.blobs[0]), "the client can make the file"
    with pytest.raises(NotFound, match="no file"):
        artifacts.fetch(yard.seal, yard.actor, SUBSCRIBER, dossier.id)


def test_a_file_that_is_lost_from_the_spool_is_said(yard: Yard) -> None:
    """SIGNED without its upload says so and is no crash; put back, it is finished."""
    _, name, path = _signed(yard)
    path.rename(yard.directory / "hidden")
    assert "lost from the spool" in _refused(yard, name)
    (yard.directory / "hidden").rename(path)
    _released(advance(yard.seal, [name], files=True)[0])


@pytest.mark.parametrize("left", [None, 1000], ids=["gone", "cut"])
def test_a_file_that_is_lost_can_be_sent_again(yard: Yard, left: int | None) -> None:
    """Announced again, the upload stands where the disk has it; other content is dropped, the right one is finished."""
    ledger, name, path = _signed(yard)
    octets = path.read_bytes()
    path.unlink() if left is None else path.write_bytes(octets[:left])
    assert "lost from the spool" in _refused(yard, name)
    wanted = NewUpload(filename="a", size=len(octets), sha256=str(ledger.request.input))
    upload, offset = walk.announce(yard.seal, yard.actor, SUBSCRIBER, wanted)
    assert (upload.complete, offset) == (False, left or 0)
    with walk.open_part(yard.seal, yard.actor, SUBSCRIBER, upload.id, offset) as part:
        part.append(bytes(len(octets) - offset))
        assert "lost from the spool" in _refused(yard, name), "an upload under way is not taken for one that is there"
        with pytest.raises(BadInput, match="dropped"):
            walk.accept(yard.seal, yard.actor, upload, part)
    yard.send(ledger)
    _released(advance(yard.seal, [name], files=True)[0])
    yard.ask([ledger])
    yard.check()
    yard.check_files()


def test_a_new_request_for_a_lost_file_asks_for_it(yard: Yard) -> None:
    """An upload that the disk lost before anything was signed counts as not uploaded."""
    ledger = yard.file()
    yard.send(ledger)
    (path,) = (yard.directory / "spool" / SUBSCRIBER / "in").iterdir()
    path.unlink()
    assert isinstance(yard._submit(ledger), NotFound)
    _released(yard.ask([ledger])[0])
    yard.check_files()


def test_what_is_signed_is_released_in_the_end_without_its_file(yard: Yard) -> None:
    """A lost file that nobody sends again by the request's time: the signature is released, whatever comes later."""
    ledger, name, path = _signed(yard)
    path.rename(yard.directory / "hidden")
    yard.now = ledger.request.expires_at - timedelta(seconds=1)
    assert "lost from the spool" in _refused(yard, name)
    yard.now += timedelta(seconds=1)
    _released_without_a_file(yard, ledger)


def test_what_is_signed_is_released_in_the_end_without_a_damaged_file(yard: Yard) -> None:
    """A file that is no longer what was approved is never signed; its signature is released all the same."""
    ledger, name, path = _signed(yard)
    octets = bytearray(path.read_bytes())
    octets[2000] ^= 1
    path.write_bytes(octets)
    assert "no longer the one that was approved" in _refused(yard, name)
    yard.now = ledger.request.expires_at
    _released_without_a_file(yard, ledger)


@pytest.mark.parametrize("way", WAYS)
def test_who_gave_a_file_up_does_not_find_it_again(yard: Yard, way: Way) -> None:
    """The log has one completion for an intent: once it may say that there is no file, none is made any more."""
    ledger, name, path = _signed(yard)
    path.rename(yard.directory / "hidden")
    yard.now = ledger.request.expires_at
    before = len(yard.writes)
    yard.plan = Plan(before + 3, way)  # claim, prolong and forget, then the logger's own writes
    _refused(yard, name)
    assert len(yard.writes) > before + 3
    (yard.directory / "hidden").rename(path)
    yard.now += timedelta(seconds=61)
    _released_without_a_file(yard, ledger)


def test_a_finished_file_that_is_lost_stays_bound(yard: Yard) -> None:
    """Made, written down, perhaps logged, then lost with its upload: the completion binds it as it may have before."""
    ledger, name, path = _signed(yard)
    commit, yard.plan = yard.seal.logger.append, None
    yard.seal.logger.append = lambda *_, **__: (_ for _ in ()).throw(LogUnavailable("away"))  # type: ignore[method-assign]
    assert "away" in _refused(yard, name)
    yard.seal.logger.append = commit  # type: ignore[method-assign]
    path.unlink()
    (finished,) = (yard.directory / "spool" / SUBSCRIBER / "out").iterdir()
    bound = hashlib.sha256(finished.read_bytes()).hexdigest()
    finished.unlink()
    assert "lost from the spool" in _refused(yard, name)
    yard.now = ledger.request.expires_at
    dossier = _released(duties.recover(yard.seal)[0])
    assert read_receipt(str(dossier.receipt), yard.policy()).completed.files == (bound,)
    with pytest.raises(NotFound, match="deleted"):
        artifacts.fetch(yard.seal, yard.actor, SUBSCRIBER, dossier.id)


def _places(founded: Path, directory: Path, workshop: Workshop, seed: str | None) -> list[int]:
    """Say which writes of a story are new in server mode: all with the records' between them, or one of each kind and
    with them as many of the others as the seed draws."""
    yard = Yard(founded, directory, workshop)
    try:
        yard.file()
        yard.story()
        yard.check_files()
        kinds = {name: at for at, name in enumerate(yard.writes) if name.startswith("spool")}
        assert set(kinds) == {
            f"spool: {name}" for name in ("folder", "open", "append", "settle", "finish", "remove in")
        }
        every = [at for at, name in enumerate(yard.writes) if name.startswith(("spool", "records"))]
        if seed is None:
            return every
        others = [at for at in every if at not in kinds.values()]
        return sorted([*kinds.values(), *random.Random(seed).sample(others, SAMPLE)])
    finally:
        yard.stop()
        shutil.rmtree(directory)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("everywhere", [False, pytest.param(True, marks=pytest.mark.nightly)], ids=["sample", "all"])
@pytest.mark.parametrize("crash", [False, True], ids=["goes-on", "crashes"])
@pytest.mark.parametrize("way", WAYS)
def test_no_fault_of_the_spool_breaks_a_promise(
    founded: Path,
    tmp_path: Path,
    workshop: Workshop,
    monkeypatch: pytest.MonkeyPatch,
    way: Way,
    crash: bool,
    everywhere: bool,
) -> None:
    """Whatever write fails however, the file comes out right, the log is whole, and in the end nothing is left."""
    places = _places(
        founded,
        tmp_path / "first",
        workshop,
        None if everywhere else f"{(founded / 'database').exists()} {way} {crash}",
    )
    print(f"{len(places)} faults")
    monkeypatch.setattr(artifacts, "ORPHAN_AGE", timedelta(seconds=-10))  # of the disk's clock, which nobody turns
    for nth in places:
        yard = Yard(founded, tmp_path / str(nth), workshop, Plan(nth, way, crash))
        told = ""
        try:
            yard.file()
            yard.story()
            told = f"fault at write {nth}: {yard.writes[nth] if nth < len(yard.writes) else 'none'}"
            assert [len(ledger.given) for ledger in yard.ledgers] == [1], told
            yard.check()
            yard.check_files()
            yard.now += KEEP + timedelta(hours=1)
            artifacts.tidy(yard.seal)
            assert yard.inside() == [], told
        except AssertionError as error:
            raise AssertionError(f"{told}: {error}") from error
        finally:
            yard.stop()
            shutil.rmtree(yard.directory)
