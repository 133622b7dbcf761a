"""Asking for signatures: over a whole service in memory, whose answers can be lost, late or forged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec
import pytest
from tests.formats import pe_builder
from tests.world import World, found

from privyseal.cli import requests as asking
from privyseal.cli.client import Answer, Service
from privyseal.cli.pieces import Job, Made, Pending
from privyseal.cli.requests import Requester
from privyseal.errors import Denied, Failed, Misused, NotCompliant, PrivySealError, Unavailable, VerificationFailed
from privyseal.formats import catalogue
from privyseal.formats.protocol import EmbeddedSignature, Identity, Prepared
from privyseal.formats.source import FileSource
from privyseal.records import requests as kept
from privyseal.signing.submit import Submission, submit
from privyseal.terms.requests import Dossier, SigningRequest, State
from privyseal.terms.signatures import Options
from privyseal.tlog.entry import Intent, decode
from privyseal.web import views
from privyseal.web.views import KeyView, RequestView

T = TypeVar("T")


class Doors:
    """A service's native API without HTTP: what the handlers of ``web/api.py`` do, over a World."""

    subscriber = "demo"

    def __init__(self, world: World) -> None:
        self.world = world
        self.posts: list[tuple[str, str]] = []
        self.forge: Callable[[Any], Any] = lambda view: view
        self.before_post: Callable[[], None] = lambda: None

    def path(self, *elements: str) -> str:
        return "/".join(elements)

    def get(self, path: str, headers: object = None) -> Answer:
        kind, _, name = path.partition("/")
        if kind == "keys":
            pair, identity = self.world.pair(name)
            return self._answer(views.key_view(pair, [identity.chain]))
        asking_advance(self.world, self._recorded(name))  # as the service's duties do meanwhile
        return self._answer(views.request_view(self._recorded(name)))

    def post(self, path: str, document: bytes, idempotency_key: str) -> Answer:
        self.before_post()
        self.posts.append((path, idempotency_key))
        request = msgspec.json.decode(document, type=SigningRequest)
        (outcome,) = submit(self.world.seal, [Submission(self.world.actor, idempotency_key, request)])
        if isinstance(outcome, PrivySealError):
            raise outcome
        (dossier,) = asking_advance(self.world, outcome)
        if isinstance(dossier, PrivySealError):
            dossier = self._recorded(outcome.id)
        refused = views.refusal(dossier)
        if refused is not None:
            raise refused
        return self._answer(views.request_view(dossier))

    def _recorded(self, request_id: str) -> Dossier:
        with self.world.seal.records.reading("demo") as tx:
            return kept.get(tx, request_id)

    def _answer(self, view: object) -> Answer:
        return Answer(200, msgspec.json.encode(self.forge(view)))


def asking_advance(world: World, dossier: Dossier) -> list[Dossier | PrivySealError]:
    from privyseal.signing.sign import advance

    return advance(world.seal, [("demo", dossier.id)])


@pytest.fixture(scope="module")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return found(tmp_path_factory.mktemp("requests") / "founded")


@pytest.fixture
def doors(founded: Path, tmp_path: Path) -> Iterator[Doors]:
    """A service of its own for each test."""
    world = World(founded, tmp_path / "world")
    yield Doors(world)
    world.stop()


@pytest.fixture
def prepared(tmp_path: Path) -> Prepared:
    """A small program, described."""
    (tmp_path / "tiny.exe").write_bytes(pe_builder.program())
    with FileSource.open(tmp_path / "tiny.exe") as code:
        found_format = catalogue.recognise(code)
        layout = found_format.inspect(code)
        return found_format.prepare(code, layout, Identity((), ""), Options(), "sha256")


def requester(doors: Doors) -> Requester:
    return Requester(cast(Service, doors), "release", doors.world.policy())


def uses(world: World) -> int:
    return sum(entry.uses for entry in map(decode, world.entries()) if isinstance(entry, Intent))


def embedded(made: Made, prepared: Prepared, folder: Path) -> EmbeddedSignature:
    """Put a signature into the program and find it there."""
    with FileSource.open(folder / "tiny.exe") as code:
        found_format = catalogue.recognise(code)
        plan = found_format.apply(code, prepared, Options(), made.blobs)
        asking_patch(plan, code, folder / "signed.exe")
    with FileSource.open(folder / "signed.exe") as code:
        (one,) = found_format.signatures(code, found_format.inspect(code))
        return one


def asking_patch(plan: Any, code: FileSource, target: Path) -> None:
    from privyseal.formats.patch import carry_out

    carry_out(plan, code, target)


def test_the_same_file_is_signed_once_however_often_one_asks(doors: Doors, prepared: Prepared) -> None:
    """The Idempotency-Key is the request's digest without its time, so an hour later it is still the same request."""
    first = requester(doors).make(prepared, Options(), again=False)
    doors.world.now += timedelta(minutes=50)
    second = requester(doors).make(prepared, Options(), again=False)
    assert isinstance(first, Made) and first == second
    assert len({key for _, key in doors.posts}) == 1 and len(doors.posts[0][1]) == 64
    third = requester(doors).make(prepared, Options(), again=True)
    assert isinstance(third, Made) and third.request != first.request
    other = requester(doors).make(prepared, Options(program_name="x"), again=False)
    assert isinstance(other, Made) and other.request not in (first.request, third.request)


def test_what_failed_for_good_is_passed_by_and_nothing_is_signed_twice(doors: Doors, prepared: Prepared) -> None:
    """A key use whose outcome nobody knows ends FAILED for ever; the next key follows from it, in every run alike."""
    world = doors.world
    write, lost = world.write, []

    def losing(name: str, effect: Callable[[], T], error: Callable[[str], Exception]) -> T:
        if name == "key" and not lost:
            lost.append(name)
            raise error("the answer of the key store was lost")
        return write(name, effect, error)

    world.write = losing  # type: ignore[method-assign]
    made = requester(doors).make(prepared, Options(), again=False)
    assert isinstance(made, Made) and lost
    keys = [key for _, key in doors.posts]
    assert len(keys) == len(set(keys)) == 2
    spent = uses(world)
    again = requester(doors).make(prepared, Options(), again=False)
    assert again == made and uses(world) == spent
    assert [key for _, key in doors.posts[2:]] == keys


def refused_with(doors: Doors, error_code: str) -> None:
    """Let every request end FAILED for this reason from now on."""
    world = doors.world

    def fail(dossier: Dossier) -> None:
        with world.seal.records.writing("demo") as tx:
            claimed = kept.claim(tx, dossier.id, world.now)
            assert claimed is not None
            kept.fail(tx, kept.move(tx, claimed, State.SIGNING), error_code, "because of the test")

    original = doors._recorded

    def post(path: str, document: bytes, idempotency_key: str) -> Answer:
        doors.posts.append((path, idempotency_key))
        request = msgspec.json.decode(document, type=SigningRequest)
        (outcome,) = submit(world.seal, [Submission(world.actor, idempotency_key, request)])
        assert isinstance(outcome, Dossier)
        if outcome.state is State.APPROVED:
            fail(outcome)
        refused = views.refusal(original(outcome.id))
        assert refused is not None
        raise refused

    doors.post = post  # type: ignore[method-assign]


@pytest.fixture
def world_clock(doors: Doors, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the client's clock be the world's."""

    class Clock:
        @staticmethod
        def now(_zone: object) -> datetime:
            return doors.world.now

    monkeypatch.setattr(asking, "datetime", Clock)


def test_three_fresh_failures_are_enough_for_one_run(doors: Doors, prepared: Prepared, world_clock: None) -> None:
    """It gives up, says so, and the next run goes on behind what this one left."""
    refused_with(doors, "failed")
    for expected in (3, 6, 9):
        with pytest.raises(Failed, match="ended without a signature"):
            requester(doors).make(prepared, Options(), again=False)
        assert len({key for _, key in doors.posts}) == len(doors.posts) == expected
        doors.posts.clear()
        doors.world.now += timedelta(seconds=10)


def test_a_refusal_for_a_reason_is_told_at_once_and_does_not_stick(
    doors: Doors, prepared: Prepared, world_clock: None
) -> None:
    """Refused by a Requirement: told after one try. When the cause is gone, the same file is signed all the same."""
    post = doors.post
    refused_with(doors, "not-compliant")
    with pytest.raises(NotCompliant, match="because of the test"):
        requester(doors).make(prepared, Options(), again=False)
    assert len(doors.posts) == 1
    doors.post = post  # type: ignore[method-assign]
    doors.world.now += timedelta(seconds=10)
    assert isinstance(requester(doors).make(prepared, Options(), again=False), Made)


def test_what_was_denied_stays_denied(doors: Doors, prepared: Prepared) -> None:
    """A person said no: asking again does not ask them again."""
    world = doors.world

    def post(path: str, document: bytes, idempotency_key: str) -> Answer:
        doors.posts.append((path, idempotency_key))
        request = msgspec.json.decode(document, type=SigningRequest)
        (outcome,) = submit(world.seal, [Submission(world.actor, idempotency_key, request)])
        assert isinstance(outcome, Dossier)
        with world.seal.records.writing("demo") as tx:
            if outcome.state is State.APPROVED:
                kept.move(tx, outcome, State.DENIED)
        refused = views.refusal(doors._recorded(outcome.id))
        assert refused is not None
        raise refused

    doors.post = post  # type: ignore[method-assign]
    for _ in range(2):
        with pytest.raises(Denied):
            requester(doors).make(prepared, Options(), again=False)
    assert len({key for _, key in doors.posts}) == 1


def test_a_request_that_waits_for_people_is_named(doors: Doors, prepared: Prepared) -> None:
    """Neither done nor an error: its id is handed back."""
    forge: Callable[[Any], Any] = lambda view: (  # noqa: E731
        msgspec.structs.replace(view, state=State.REQUESTED, blobs=(), receipt=None)
        if isinstance(view, RequestView)
        else view
    )
    doors.forge = forge
    pending = requester(doors).make(prepared, Options(), again=False)
    assert isinstance(pending, Pending) and pending.request.startswith("R-")


def test_a_signature_in_the_making_is_waited_for_within_reason(doors: Doors, prepared: Prepared) -> None:
    """A service that never comes to an end is unavailable, after a bounded number of looks."""
    looks: list[str] = []
    get = doors.get

    def counting(path: str, headers: object = None) -> Answer:
        looks.append(path)
        return get(path, headers)

    doors.get = counting  # type: ignore[method-assign]
    asker = requester(doors)
    doors.forge = lambda view: msgspec.structs.replace(view, state=State.SIGNING, blobs=(), receipt=None)
    with pytest.raises(Unavailable, match="still busy with request R-"):
        asker.make(prepared, Options(), again=False)
    assert len([path for path in looks if path.startswith("requests/")]) == asking.LOOKS


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda view: msgspec.structs.replace(view, digest="0" * 64), "digest of the request is not that"),
        (lambda view: changed_request(view, key="other"), "another request than was asked"),
        (lambda view: changed_request(view, options=Options(program_name="evil")), "another request than was asked"),
        (lambda view: msgspec.structs.replace(view, request=b"{}", digest=digest_of(b"{}")), "cannot be read"),
        (lambda view: msgspec.structs.replace(view, blobs=()), "ended without a signature"),
        (lambda view: msgspec.structs.replace(view, receipt=None), "ended without a signature"),
    ],
)
def test_an_answer_to_something_else_is_refused(
    change: Callable[[RequestView], RequestView], said: str, doors: Doors, prepared: Prepared
) -> None:
    """A service that answers with another request, or half an answer, is not believed."""
    asker = requester(doors)
    doors.forge = lambda view: change(view) if isinstance(view, RequestView) else view
    with pytest.raises((VerificationFailed, Failed), match=said):
        asker.make(prepared, Options(), again=False)


def digest_of(octets: bytes) -> str:
    return asking.request_digest(octets).hex()


def changed_request(view: RequestView, **changes: Any) -> RequestView:
    request = msgspec.json.decode(view.request, type=SigningRequest)
    canonical = msgspec.structs.replace(request, **changes).canonical()
    return msgspec.structs.replace(view, request=canonical, digest=digest_of(canonical))


@pytest.mark.parametrize(
    "change",
    [
        lambda view: msgspec.structs.replace(view, key_id="0" * 64),
        lambda view: msgspec.structs.replace(view, public_key=b"\x30\x00"),
        lambda view: msgspec.structs.replace(
            view, certificates=(msgspec.structs.replace(view.certificates[0], chain=(b"\x30\x00",)),)
        ),
        lambda view: msgspec.structs.replace(
            view, certificates=(msgspec.structs.replace(view.certificates[0], chain=()),)
        ),
    ],
)
def test_a_certificate_of_another_key_is_refused(change: Callable[[KeyView], KeyView], doors: Doors) -> None:
    """What the service says of its key must hang together."""
    doors.forge = change
    with pytest.raises(VerificationFailed):
        requester(doors)


def test_a_key_without_a_certificate_is_misused(doors: Doors) -> None:
    """There is nothing to sign under yet."""
    doors.forge = lambda view: msgspec.structs.replace(view, certificates=())
    with pytest.raises(Misused, match="has no certificate yet"):
        requester(doors)


def test_the_receipt_must_be_of_this_request_and_signature(doors: Doors, prepared: Prepared, tmp_path: Path) -> None:
    """Written only if it holds: under the policy, of this request, of this signature."""
    asker = requester(doors)
    made, other = (asker.make(prepared, Options(program_name=name), again=False) for name in ("a", "b"))
    assert isinstance(made, Made) and isinstance(other, Made)
    found_one = embedded(made, prepared, tmp_path)
    job = Job("tiny.exe", str(tmp_path / "signed.exe"))
    for wrong, said in (
        (msgspec.structs.replace(made, receipt=other.receipt), "of another request"),
        (msgspec.structs.replace(made, receipt=other.receipt, canonical=other.canonical), "of another signature"),
        (msgspec.structs.replace(made, receipt="nonsense"), "cannot be read"),
        (msgspec.structs.replace(made, receipt=None), "gave no receipt"),
    ):
        for policy in (doors.world.policy(), None):
            asker._policy = policy
            with pytest.raises(VerificationFailed, match=said):
                asker.accept(wrong, found_one, job)
            assert not Path(job.receipt).exists()
    assert asker.accept(made, found_one, job) is None  # without a policy nobody knows where in which log
    asker._policy = doors.world.policy()
    facts = asker.accept(made, found_one, job)
    assert facts is not None and facts.size > facts.index
    assert asker.has_receipt(found_one, job)
    Path(job.receipt).write_text("cut")
    assert not asker.has_receipt(found_one, job)


def test_one_file_finds_out_for_all_that_nobody_is_there(doors: Doors, prepared: Prepared) -> None:
    """A thousand files do not each try for four seconds."""
    asker = requester(doors)

    def gone() -> None:
        raise Unavailable("Nobody.")

    doors.before_post = gone
    for _ in range(3):
        with pytest.raises(Unavailable, match="Nobody"):
            asker.make(prepared, Options(), again=False)
    doors.before_post = lambda: None
    with pytest.raises(Unavailable):
        asker.make(prepared, Options(), again=False)
    assert doors.posts == []
