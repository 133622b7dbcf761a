"""``privyseal approve``, ``deny`` and ``request wait`` against a service that lies, is away, or is right."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from privyseal.cli import approve, deny, request
from privyseal.cli.client import Answer
from privyseal.cli.main import run
from privyseal.errors import PrivySealError, Unavailable
from privyseal.signing.review import Earlier, Review, review
from privyseal.strongroom.approvals import why_not
from privyseal.terms.keys import Approver, Assurance, KeyPair, KeyProtection, Stage
from privyseal.terms.requests import Approval, Dossier, SigningRequest, State, approvals_digest, approved_octets
from privyseal.terms.signatures import Described, Options
from privyseal.web import views

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
KEYS = {name: Ed25519PrivateKey.generate() for name in ("ann", "bob")}
PAIR = KeyPair(
    subscriber="demo",
    name="release",
    key_id="ab" * 32,
    scheme="ecdsa-p256",
    uri="softfile:x",
    public_key=b"spki",
    key_tag="cd" * 32,
    protection=KeyProtection("softfile", Assurance.SOFTWARE, True, False),
    born=NOW,
    rehearsal=True,
    approvers=tuple(Approver(n, k.public_key().public_bytes_raw(), member=f"M-{n}") for n, k in KEYS.items()),
    quorum=2,
    stages=(Stage(1, names=("ann",)), Stage(1, names=("bob",))),
)
REQUEST = SigningRequest(
    subscriber="demo",
    key="release",
    key_id=PAIR.key_id,
    scheme="ecdsa-p256",
    certificate="ef" * 32,
    mode="local",
    options=Options(program_name="Setup"),
    described=(
        Described(format="pe", filename="a\x1b[2J.exe", digest_algorithm="sha256", digest=b"\7" * 32, size=4100),
    ),
    expires_at=NOW + timedelta(hours=1),
    requester="M-ci",
)


def dossier(asked: SigningRequest = REQUEST, state: State = State.REQUESTED) -> Dossier:
    return Dossier(
        id="R-abcdefgh",
        subscriber="demo",
        idempotency_key="k",
        requester="M-ci",
        state=state,
        canonical=asked.canonical(),
        digest=asked.digest().hex(),
        created=NOW,
        salt=b"",
        completion_salt=b"",
    )


def approval(name: str, stage: int = 0, earlier: bytes = b"") -> Approval:
    digest = REQUEST.digest()
    return Approval(
        approver=name,
        public_key=KEYS[name].public_key().public_bytes_raw(),
        request_digest=digest,
        signature=KEYS[name].sign(approved_octets(digest, stage, earlier)),
        stage=stage,
    )


class Stub:
    """A service of one request, which keeps what is sent to it."""

    subscriber = "demo"

    def __init__(self) -> None:
        self.shown: Review = review(dossier(), PAIR, (), None)
        self.sent: list[tuple[str, bytes]] = []
        self.states: list[State | PrivySealError] = []
        self.slept = 0.0

    def path(self, *elements: str) -> str:
        return "/" + "/".join(elements)

    def get(self, path: str, headers: object = None) -> Answer:
        if path.endswith("/review"):
            return _answer(self.shown)
        if path.startswith("/keys"):
            return _answer(views.key_view(PAIR, ()))
        now = self.states.pop(0) if self.states else State.REQUESTED
        if isinstance(now, PrivySealError):
            raise now
        return _answer(views.request_view(dossier(state=now)))

    def post(self, path: str, document: bytes, key: str) -> Answer:
        self.sent.append((path, document))
        return _answer(views.request_view(dossier()))

    def sleep(self, seconds: float) -> None:
        self.slept += seconds


def _answer(document: Any) -> Answer:
    return Answer(200, msgspec.json.encode(document))


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Stub:
    made = Stub()
    for module in (approve, deny, request):
        monkeypatch.setattr(module, "connect", lambda *given: made)
    return made


@pytest.fixture
def key(tmp_path: Path) -> Callable[[Any, int], str]:
    def write(private: Any, mode: int = 0o600) -> str:
        path = tmp_path / "identity.pem"
        path.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        path.chmod(mode)
        return str(path)

    return write


def test_what_is_shown_is_what_is_signed(stub: Stub, key: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """All that changes the meaning is on the screen, nothing moves the cursor, and the signature is over it."""
    assert run(["approve", "R-abcdefgh", "--identity-key", key(KEYS["ann"]), "--yes"]) == 0
    shown = capsys.readouterr().err
    for words in ("a\\x1b[2J.exe", "07" * 32, "release of demo", "ef" * 32, "M-ci", "Setup", "with a timestamp"):
        assert words in shown, words
    assert REQUEST.digest().hex() in shown and "2026-11-30 13:00:00" in shown and "does not see the file" in shown
    (path, document), = stub.sent  # fmt: skip
    sent = msgspec.json.decode(document, type=Approval)
    assert path.endswith("/approvals")
    assert why_not(sent, PAIR.approvers[0], REQUEST.digest(), b"") is None


def test_a_later_stage_signs_over_what_verifies_here(stub: Stub, key: Any) -> None:
    """The service says who agreed; only approvals that verify on this machine count."""
    first = approval("ann")
    stub.shown = review(dossier(), PAIR, (first,), None)
    assert run(["approve", "R-abcdefgh", "--identity-key", key(KEYS["bob"]), "--yes"]) == 0
    sent = msgspec.json.decode(stub.sent[0][1], type=Approval)
    assert why_not(sent, PAIR.approvers[1], REQUEST.digest(), approvals_digest([first])) is None
    forged = msgspec.structs.replace(first, signature=bytes(64))
    stub.shown = review(dossier(), PAIR, (forged,), None)
    assert run(["approve", "R-abcdefgh", "--identity-key", key(KEYS["bob"]), "--yes"]) == 5
    assert len(stub.sent) == 1


OTHER = msgspec.structs.replace(REQUEST, options=Options(program_name="Evil"))


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"request": OTHER.canonical()}, 3, "not that of the request it shows"),
        ({"digest": OTHER.digest().hex()}, 3, "not that of the request it shows"),
        ({"request": b"{}"}, 3, "cannot be read"),
        ({"state": State.RELEASED}, 2, "does not wait"),
        ({"approvers": ()}, 5, "not that of an approver"),
        ({"last": Earlier("R-x", b"[]")}, 3, "earlier release that cannot be read"),
    ],
)
def test_a_service_that_lies_gets_no_signature(
    stub: Stub, key: Any, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], code: int, words: str
) -> None:
    """One sentence, and nothing is sent."""
    stub.shown = msgspec.structs.replace(stub.shown, **changes)
    assert run(["approve", "R-abcdefgh", "--identity-key", key(KEYS["ann"]), "--yes"]) == code
    assert words in capsys.readouterr().err
    assert stub.sent == []


def test_keys_that_are_no_good_are_refused(stub: Stub, key: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Readable by others, another kind, none at all; and without a terminal nobody agrees by silence."""
    assert run(["approve", "R-abcdefgh", "--identity-key", key(KEYS["ann"], 0o640), "--yes"]) == 2
    assert run(["approve", "R-abcdefgh", "--identity-key", key(ec.generate_private_key(ec.SECP256R1())), "--yes"]) == 2
    assert run(["approve", "R-abcdefgh"]) == 2
    assert run(["approve", "R-abcdefgh", "--identity-key", key(KEYS["ann"])]) == 2
    said = capsys.readouterr().err
    for words in ("chmod 600", "no Ed25519 key", "--identity-key FILE", "--yes agrees"):
        assert words in said, words
    assert "PRIVATE" not in said and stub.sent == []


def test_what_changed_is_shown(stub: Stub, key: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Computed here, from the octets of both."""
    stub.shown = review(dossier(), PAIR, (), Earlier("R-last", OTHER.canonical()))
    stub.shown = msgspec.structs.replace(stub.shown, changes=())
    assert run(["approve", "R-abcdefgh", "--identity-key", key(KEYS["ann"]), "--yes"]) == 0
    assert "program name: Evil -> Setup" in capsys.readouterr().err


def test_denials_carry_their_reason(stub: Stub) -> None:
    """As it was given."""
    assert run(["deny", "R-abcdefgh", "--reason", "not ours"]) == 0
    assert stub.sent == [("/requests/R-abcdefgh/denial", b'{"reason":"not ours"}')]


def test_wait_outlives_a_service_that_starts_anew(stub: Stub, capsys: pytest.CaptureFixture[str]) -> None:
    """Dropped connections are told once and waited out; what ends the request ends the wait."""
    away = Unavailable("The service does not answer.")
    stub.states = [State.REQUESTED, away, away, State.REQUESTED, away, State.RELEASED]
    assert run(["request", "wait", "R-abcdefgh", "--timeout", "600"]) == 0
    assert capsys.readouterr().err.count("Waiting for it to come back") == 2
    assert stub.slept == 3 * request.AWAY
    stub.states = [State.REQUESTED, State.DENIED]
    assert run(["request", "wait", "R-abcdefgh"]) == 7
    stub.states = [away]
    assert run(["request", "wait", "R-abcdefgh"]) == 8
    assert run(["request", "wait", "R-abcdefgh", "--timeout", "0"]) == 6
