"""Whatever a CA answers ends in a chain, in waiting, in its refusal, or in one sentence: seeded mutations."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from tests.authorities.remote import WISHES, chain_of, now, request
from tests.authorities.test_acme_devices import acme
from tests.authorities.test_remote import MAKERS
from tests.stubs.acme import AcmeStub
from tests.stubs.server import Stub

from privyseal.authorities.exchange import Line, Replied
from privyseal.authorities.protocol import CertificateAuthority, Issued, Refused, Waiting
from privyseal.errors import PrivySealError

ODD: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1e300,
    "",
    "x",
    "\x00\ud7ff",
    [],
    {},
    [[]],
    ["x"] * 100,
    {"x": "y"},
    "A" * 5000,
)


def mutated(octets: bytes, chance: random.Random) -> bytes:
    """Change an answer: a value of its JSON, some octets, or its length."""
    way = chance.randrange(4)
    try:
        value = json.loads(octets)
    except ValueError:
        way = max(way, 1)
    else:
        if way == 0:
            return json.dumps(_changed(value, chance)).encode()
    if way == 1:
        return octets[: chance.randrange(len(octets) + 1)]
    changed = bytearray(octets or b"{")
    for _ in range(chance.randrange(1, 4)):
        changed[chance.randrange(len(changed))] = chance.randrange(256)
    return bytes(changed) + (chance.randbytes(8) if way == 3 else b"")


def _changed(value: Any, chance: random.Random) -> Any:
    if isinstance(value, dict) and value and chance.random() < 0.8:
        name = chance.choice(sorted(value))
        if chance.random() < 0.15:
            return {key: each for key, each in value.items() if key != name}
        return {**value, name: _changed(value[name], chance)}
    if isinstance(value, list) and value and chance.random() < 0.5:
        return [_changed(value[0], chance), *value[1:]]
    return chance.choice(ODD)


def opened(kind: str, folder: Path) -> tuple[Stub, CertificateAuthority]:
    """Return a stand-in, and the authority that speaks to it."""
    if kind == "acme":
        server = AcmeStub(folder / "acme")
        return server, acme(server, folder)
    remote = MAKERS[kind](folder)
    return remote.stub, remote.authority()


@pytest.fixture(params=["acme", "ejbca", "stepca", "vault"])
def spoken(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Stub, CertificateAuthority]]:
    """Each kind in turn."""
    found = opened(request.param, tmp_path)
    yield found
    found[0].close()


def campaign(
    spoken: tuple[Stub, CertificateAuthority], monkeypatch: pytest.MonkeyPatch, seeds: range
) -> dict[str, int]:
    """Ask, and have one answer of each visit changed; return how the visits ended."""
    server, authority = spoken
    octets, ends = request(), dict.fromkeys(("chain", "waiting", "refused", "sentence"), 0)
    right: Callable[..., Replied] = Line.ask
    turn = 0

    def ask(line: Line, *given: Any, **more: Any) -> Replied:
        nonlocal turn
        turn -= 1
        replied = right(line, *given, **more)
        if turn != 0:
            return replied
        headers = dict(replied.headers)
        if headers and chance.random() < 0.2:
            headers[chance.choice(sorted(headers))] = chance.choice(["", "x", "-1", "\x00", "https://evil.example/"])
        return replied._replace(body=mutated(replied.body, chance), headers=headers)

    monkeypatch.setattr(Line, "ask", ask)
    for seed in seeds:
        chance = random.Random(seed)
        if isinstance(server, AcmeStub):  # somebody has authorised the identifier before
            server.attested = x509.load_der_x509_csr(octets).public_key()  # type: ignore[assignment]
            server.proof, server.status = "valid", "pending"
        wishes = WISHES.__class__(reference=f"O-{seed}", subscriber="demo", key="release")
        turn = chance.randrange(1, 8 if isinstance(server, AcmeStub) else 3)
        try:
            answer = authority.ask(octets, wishes, now())
            if isinstance(server, AcmeStub) and isinstance(answer, Waiting):
                server.proof, server.status = "valid", "ready"
                answer = authority.collect(answer.order, octets, now())
            if isinstance(answer, Issued):
                assert len(chain_of(answer, octets)) <= 3  # a root that a bit made another is taken along
            ends[
                "chain" if isinstance(answer, Issued) else "waiting" if isinstance(answer, Waiting) else "refused"
            ] += 1
            assert isinstance(answer, Issued | Waiting | Refused)
        except PrivySealError as error:
            ends["sentence"] += 1
            assert error.exit in {2, 3, 8}, (seed, error)
            assert str(error).isprintable(), (seed, error)
    return ends


def test_no_mutated_answer_is_more_than_one_sentence(
    spoken: tuple[Stub, CertificateAuthority], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing else escapes, and both good and bad ends were met."""
    ends = campaign(spoken, monkeypatch, range(30))
    assert ends["sentence"] > 5, ends
    assert ends["chain"] > 0, ends


@pytest.mark.nightly
def test_no_mutated_answer_of_many_is_more_than_one_sentence(
    spoken: tuple[Stub, CertificateAuthority], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same, longer."""
    campaign(spoken, monkeypatch, range(1000, 1300))
