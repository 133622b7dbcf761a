"""People come in and sign in: what opens, what opens once, and that everything used a second time is refused."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import cbor2
import msgspec
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key
from tests.world import World

from privyseal.access import passwords, sessions, totp
from privyseal.access.sealed import Sealer
from privyseal.errors import (
    BadInput,
    CounterWentBack,
    NotAuthenticated,
    NotFound,
    NotPermitted,
    PrivySealError,
    StepUpNeeded,
    TooSoon,
)
from privyseal.records import events
from privyseal.records import people as records
from privyseal.signing import commandline, enrol, people, signin
from privyseal.signing.gatehouse import Gatehouse
from privyseal.signing.instance import PrivySeal
from privyseal.terms.parties import Actor, Factor, Member, Role

ORIGIN = "http://localhost:8470"
WORDS = "seven quiet herons"
VISITOR = signin.Visitor(b"a" * 32, "Firefox on Linux")


class Authenticator:
    """A security key in software: what WebAuthn 6 and 7 ask of one."""

    def __init__(self, *, synced: bool = False, verified: bool = True) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.id = secrets.token_bytes(32)
        self.count = 0
        self.flags = 0x01 | (0x04 if verified else 0) | (0x18 if synced else 0)
        self.handle = b""

    def create(self, options: str, origin: str = ORIGIN) -> str:
        asked = json.loads(options)
        self.handle = decoded(asked["user"]["id"])
        numbers = self.key.public_key().public_numbers()
        cose = cbor2.dumps({1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32), -3: numbers.y.to_bytes(32)})
        data = self._data(asked["rp"]["id"], 0x40) + bytes(16) + len(self.id).to_bytes(2) + self.id + cose
        client = self._client("webauthn.create", asked["challenge"], origin)
        attested = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})
        return self._answer({"clientDataJSON": encoded(client), "attestationObject": encoded(attested)})

    def get(self, options: str, origin: str = ORIGIN) -> str:
        asked = json.loads(options)
        self.count += 1
        data = self._data(asked["rpId"], 0)
        client = self._client("webauthn.get", asked["challenge"], origin)
        signature = self.key.sign(data + hashlib.sha256(client).digest(), ec.ECDSA(hashes.SHA256()))
        response = {"clientDataJSON": encoded(client), "authenticatorData": encoded(data)}
        return self._answer(response | {"signature": encoded(signature), "userHandle": encoded(self.handle)})

    def _data(self, rp_id: str, more: int) -> bytes:
        return hashlib.sha256(rp_id.encode()).digest() + bytes([self.flags | more]) + self.count.to_bytes(4)

    def _client(self, kind: str, challenge: str, origin: str) -> bytes:
        return json.dumps({"type": kind, "challenge": challenge, "origin": origin, "crossOrigin": False}).encode()

    def _answer(self, response: dict[str, str]) -> str:
        named = {"id": encoded(self.id), "rawId": encoded(self.id), "type": "public-key"}
        return json.dumps(named | {"response": response, "clientExtensionResults": {}})


def encoded(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@pytest.fixture
def seal(world: World) -> PrivySeal:
    world.seal.gatehouse = Gatehouse(Sealer(secrets.token_bytes(32), secrets.token_bytes))
    return world.seal


def invited(seal: PrivySeal, name: str = "ada", *roles: Role) -> tuple[Member, str]:
    member = enrol.member(seal, "demo", name, roles or (Role.APPROVER,), workload=False)
    return member, people.invite(seal, None, "demo", member.id, name)


def with_password(seal: PrivySeal, name: str = "ada") -> Member:
    member, token = invited(seal, name)
    people.set_password(seal, member, WORDS, token)
    return member


def with_passkey(seal: PrivySeal, name: str = "ada", **key: bool) -> tuple[Member, Authenticator]:
    member, token = invited(seal, name)
    authenticator = Authenticator(**key)
    enrol_passkey(seal, member, authenticator, token)
    return member, authenticator


def enrol_passkey(seal: PrivySeal, who: Any, authenticator: Authenticator, token: str = "") -> None:
    member = who if isinstance(who, Member) else who.member
    options, note = people.begin_passkey(seal, member, ORIGIN)
    answer = authenticator.create(options)
    people.add_passkey(seal, who, people.Enrolment(note=note, answer=answer, origin=ORIGIN, label="key"), token)


def with_app(seal: PrivySeal, name: str = "ada") -> tuple[Member, bytes, tuple[str, ...]]:
    member = with_password(seal, name)
    _, session = signin.begin(seal, signin.Proof(member=member, factors=(Factor.PASSWORD,)), VISITOR)
    shown, uri = people.begin_totp(seal, session.actor(), "World")
    secret = base64.b32decode(shown)
    assert uri.startswith("otpauth://totp/") and shown in uri
    codes = people.confirm_totp(seal, session.actor(), totp.code(secret, totp.step_at(seal.clock())))
    return member, secret, codes


def signed_in(seal: PrivySeal, member: Member) -> sessions.Session:
    proof = signin.Proof(member=member, factors=(Factor.PASSKEY,), whole=True)
    return signin.begin(seal, proof, VISITOR)[1]


def refused(again: Callable[[], object], times: int) -> int:
    """Do something so many times; count how often it was accepted."""
    accepted = 0
    for _ in range(times):
        try:
            again()
        except PrivySealError:
            continue
        accepted += 1
    return accepted


def test_of_three_hundred_replays_none_is_accepted(seal: PrivySeal, world: World) -> None:
    """Invitations, assertions, enrolments, steps, recovery codes, loopback codes, device codes: each opens once."""
    tries = accepted = 0

    def replay(again: Callable[[], object], times: int = 40) -> None:
        nonlocal tries, accepted
        tries += times
        accepted += refused(again, times)

    member, token = invited(seal)
    people.set_password(seal, member, WORDS, token)
    replay(lambda: people.set_password(seal, member, WORDS, token), times=5)  # each is stretched before it is refused
    replay(lambda: people.invited(seal, token))

    owner, key = with_passkey(seal, "bea")
    options, note = signin.begin_passkey(seal, ORIGIN)
    answer = key.get(options)
    assert signin.by_passkey(seal, ORIGIN, note, answer).member.id == owner.id
    replay(lambda: signin.by_passkey(seal, ORIGIN, note, answer))
    fresh = signin.begin_passkey(seal, ORIGIN)[1]
    replay(lambda: signin.by_passkey(seal, ORIGIN, fresh, answer))  # an old answer to a new challenge

    user, secret, codes = with_app(seal, "cyd")
    world.now += timedelta(seconds=60)
    typed = totp.code(secret, totp.step_at(world.now))
    assert signin.by_code(seal, user, typed).factors == (Factor.TOTP,)

    def later(code: str) -> None:
        world.now += timedelta(milliseconds=200)
        with seal.records.writing("demo") as tx:
            records.change_account(tx, user.id, failures=0, not_before=None)  # or the wait would hide it
        signin.by_code(seal, user, code)

    replay(lambda: later(typed))
    later(codes[0])
    replay(lambda: later(codes[0]))

    browser = signed_in(seal, owner)
    verifier = secrets.token_urlsafe(32)
    challenge = encoded(hashlib.sha256(verifier.encode()).digest())
    code = commandline.allow(seal, browser, challenge, 40000, "here")
    _, session = commandline.redeem(seal, code, verifier)
    assert session.kind == "command-line" and session.factors == (Factor.PASSKEY,)
    replay(lambda: commandline.redeem(seal, code, verifier))
    replay(lambda: commandline.redeem(seal, code + "=", verifier))

    device, shown = commandline.begin_device(seal, "there")
    assert commandline.poll_device(seal, device) is None
    commandline.answer_device(seal, browser, shown, yes=True)
    world.now += timedelta(seconds=3)
    assert commandline.poll_device(seal, device) is not None
    replay(lambda: commandline.poll_device(seal, device))
    replay(lambda: commandline.answer_device(seal, browser, shown, yes=True))
    assert (accepted, tries >= 300) == (0, True)


def test_a_passkey_is_two_factors_and_its_flag_says_which(seal: PrivySeal) -> None:
    """Bound or synced is told by the backup-eligible flag; a charter gets the public key that signs."""
    for name, synced, factor in (("ada", False, Factor.PASSKEY), ("bea", True, Factor.SYNCED_PASSKEY)):
        member, key = with_passkey(seal, name, synced=synced)
        options, note = signin.begin_passkey(seal, ORIGIN)
        proof = signin.by_passkey(seal, ORIGIN, note, key.get(options))
        assert (proof.factors, proof.whole) == ((factor,), True)
        (approver,) = people.approver_keys(seal, "demo", member.id)
        assert (approver.rp_id, approver.origins, approver.synced) == ("localhost", (ORIGIN,), synced)
        assert load_der_public_key(approver.public_key) == key.key.public_key()


def test_a_counter_that_goes_back_is_refused_for_good_and_recorded(seal: PrivySeal) -> None:
    """The copy is refused, and so is the original afterwards; an event says so; a charter gets it no more."""
    member, key = with_passkey(seal)
    for _ in range(3):
        options, note = signin.begin_passkey(seal, ORIGIN)
        signin.by_passkey(seal, ORIGIN, note, key.get(options))
    key.count = 0
    options, note = signin.begin_passkey(seal, ORIGIN)
    with pytest.raises(CounterWentBack):
        signin.by_passkey(seal, ORIGIN, note, key.get(options))
    key.count = 100
    options, note = signin.begin_passkey(seal, ORIGIN)
    with pytest.raises(NotAuthenticated):
        signin.by_passkey(seal, ORIGIN, note, key.get(options))
    with seal.records.reading("demo") as tx:
        assert "passkey's counter went back" in [each.what for each in events.events_about(tx, member.id)]
    assert people.approver_keys(seal, "demo", member.id) == ()


def test_a_passkey_answers_for_its_own_origin_challenge_and_member_alone(seal: PrivySeal, world: World) -> None:
    """Another origin, no user verification, another's challenge, a changed octet, too late: each refused."""
    member, key = with_passkey(seal)
    other, theirs = with_passkey(seal, "bea")
    options, note = signin.begin_passkey(seal, ORIGIN)
    with pytest.raises(NotAuthenticated, match="origin"):
        signin.by_passkey(seal, ORIGIN, note, key.get(options, "http://evil.example"))
    key.flags &= ~0x04
    with pytest.raises(NotAuthenticated, match="verif"):
        signin.by_passkey(seal, ORIGIN, note, key.get(options))
    key.flags |= 0x04
    mine, mine_note = signin.begin_passkey(seal, ORIGIN, member)
    with pytest.raises(NotAuthenticated):
        signin.by_passkey(seal, ORIGIN, mine_note, theirs.get(mine), member)
    with pytest.raises(NotAuthenticated):
        signin.by_passkey(seal, ORIGIN, mine_note, key.get(mine), other)
    good = key.get(options)
    for part in ("clientDataJSON", "authenticatorData", "signature"):
        for n in range(0, len(json.loads(good)["response"][part]) - 2, 5):  # the last character has unused bits
            document = json.loads(good)
            plain = document["response"][part]
            document["response"][part] = plain[:n] + ("A" if plain[n] != "A" else "B") + plain[n + 1 :]
            with pytest.raises(NotAuthenticated):
                signin.by_passkey(seal, ORIGIN, note, json.dumps(document))
    for junk in ("", "[]", "null", "{" * 10_000, "{}", "[" * 70_000):
        with pytest.raises((NotAuthenticated, BadInput)):
            signin.by_passkey(seal, ORIGIN, note, junk)
    world.now += timedelta(minutes=10)
    with pytest.raises(NotAuthenticated, match="too long"):
        signin.by_passkey(seal, ORIGIN, note, good)


def test_a_password_alone_is_half_where_there_is_a_second_factor(seal: PrivySeal) -> None:
    """The session is pending and opens nothing; with a code it gets another token, and the old one is gone."""
    member, _, codes = with_app(seal)
    proof = signin.by_password(seal, "demo", "ada", WORDS)
    token, half = signin.begin(seal, proof, VISITOR)
    assert half.pending and half.proved_at is None
    headers = [(b"cookie", f"privyseal-loopback={token}".encode()), (b"user-agent", b"x")]
    half_agent = {sessions.digest(token): half_of(half, headers)}
    with pytest.raises(NotAuthenticated, match="still owed"):
        sessions.find(headers, half_agent.get, seal.clock())
    grown_token, grown = signin.grow(seal, half, signin.by_code(seal, member, codes[0]), VISITOR)
    assert grown.factors == (Factor.PASSWORD, Factor.RECOVERY_CODE) and not grown.pending
    assert signin.find(seal, sessions.digest(token)) is None and grown_token != token
    with pytest.raises(NotFound):
        signin.grow(seal, half, proof, VISITOR)


def half_of(session: sessions.Session, headers: list[tuple[bytes, bytes]]) -> sessions.Session:
    return msgspec.structs.replace(session, agent=sessions.agent_of(headers))


def test_guesses_wait_and_nobody_is_locked_out(seal: PrivySeal, world: World) -> None:
    """After three wrong ones the waits double up to five minutes; a right one ends it; unknown names read alike."""
    with_password(seal)
    texts = set()
    for subscriber, login in (("demo", "ada"), ("demo", "nobody"), ("nowhere", "ada"), ("x" * 300, "'\x00")):
        with pytest.raises(NotAuthenticated) as told:
            signin.by_password(seal, subscriber, login, "wrong words here")
        texts.add(str(told.value))
    assert len(texts) == 1
    for _ in range(2):
        with pytest.raises(NotAuthenticated):
            signin.by_password(seal, "demo", "ada", "wrong words here")
    with pytest.raises(TooSoon):
        signin.by_password(seal, "demo", "ada", WORDS)
    world.now += timedelta(seconds=1)
    assert signin.by_password(seal, "demo", "ada", WORDS).factors == (Factor.PASSWORD,)
    assert [passwords.wait_after(n).total_seconds() for n in (0, 2, 3, 4, 8, 12, 10**9)] == [0, 0, 1, 2, 32, 300, 300]


def test_step_up_is_asked_of_people_and_not_of_machines(seal: PrivySeal, world: World) -> None:
    """Ten minutes after the second factor it is asked again; a credential without a session is a machine's."""
    member, _ = invited(seal, "ada", Role.ADMINISTRATOR)
    session = signed_in(seal, member)
    sessions.require_recent(session.actor(), world.now)
    people.invite(seal, session.actor(), "demo", member.id, "ada")
    world.now += timedelta(minutes=10)
    for act in (
        lambda: sessions.require_recent(session.actor(), world.now),
        lambda: people.invite(seal, session.actor(), "demo", member.id, "ada"),
        lambda: people.sign_out_everywhere(seal, session.actor(), "demo", member.id, leaves=True),
    ):
        with pytest.raises(StepUpNeeded):
            act()
    sessions.require_recent(Actor(member, (Factor.CLIENT_CERTIFICATE,)), world.now)
    plain = signin.begin(seal, signin.Proof(member=member, factors=(Factor.PASSWORD,)), VISITOR)[1]
    with pytest.raises(StepUpNeeded):
        sessions.require_recent(plain.actor(), world.now)


def test_an_invitation_is_one_members_for_three_days(seal: PrivySeal, world: World) -> None:
    """A new one ends the old; too late it is over; only an administrator of that Subscriber gives any; no machine."""
    member, first = invited(seal)
    second = people.invite(seal, None, "demo", member.id, "ada")
    with pytest.raises(NotAuthenticated):
        people.invited(seal, first)
    assert people.invited(seal, second) == member
    other, _ = invited(seal, "bea")
    with pytest.raises(NotAuthenticated):
        people.set_password(seal, other, WORDS, first)
    world.now += people.INVITATION_LASTS
    with pytest.raises(NotAuthenticated):
        people.set_password(seal, member, WORDS, second)
    with pytest.raises(NotPermitted):
        people.invite(seal, signed_in(seal, other).actor(), "demo", member.id, "ada")
    with pytest.raises(BadInput, match="machines do not sign in"):
        machine = enrol.member(seal, "demo", "ci", (Role.REQUESTER,), workload=True)
        people.invite(seal, None, "demo", machine.id, "ci")
    for bad in ("", "Ada", "a" * 65, "a\x00b", "\N{CYRILLIC SMALL LETTER A}", "a@b", "../x"):
        with pytest.raises(BadInput):
            people.invite(seal, None, "demo", member.id, bad)


def test_a_leaver_is_out_at_once(seal: PrivySeal) -> None:
    """Every session and every means to sign in is gone, and the administrative act is stated."""
    chief, _ = invited(seal, "chief", Role.ADMINISTRATOR)
    member, key = with_passkey(seal)
    sessions_of = [signed_in(seal, member) for _ in range(3)]
    assert people.sign_out_everywhere(seal, signed_in(seal, chief).actor(), "demo", member.id, leaves=True) == 3
    assert signin.of_member(seal, member) == []
    options, note = signin.begin_passkey(seal, ORIGIN)
    with pytest.raises(NotAuthenticated):
        signin.by_passkey(seal, ORIGIN, note, key.get(options))
    with pytest.raises(NotAuthenticated):
        signin.by_password(seal, "demo", "ada", WORDS)
    with pytest.raises(NotFound):
        signin.grow(seal, sessions_of[0], signin.Proof(member=member, factors=()), VISITOR)


def test_a_command_line_needs_its_verifier_and_a_browser_that_is_still_signed_in(seal: PrivySeal, world: World) -> None:
    """Another verifier, a browser that signed out, a code of a minute ago: each refused."""
    member, _ = with_passkey(seal)
    browser = signed_in(seal, member)
    verifier = secrets.token_urlsafe(32)
    challenge = encoded(hashlib.sha256(verifier.encode()).digest())
    code = commandline.allow(seal, browser, challenge, 40000, "here")
    with pytest.raises(NotAuthenticated, match="not made for this"):
        commandline.redeem(seal, code, secrets.token_urlsafe(32))
    signin.end(seal, member, browser.id)
    with pytest.raises(NotAuthenticated, match="ended meanwhile"):
        commandline.redeem(seal, code, verifier)
    browser = signed_in(seal, member)
    code = commandline.allow(seal, browser, challenge, 40000, "here")
    world.now += commandline.CODE_LASTS
    with pytest.raises(NotAuthenticated, match="too long"):
        commandline.redeem(seal, code, verifier)
    world.now += timedelta(minutes=10)
    with pytest.raises(StepUpNeeded):
        commandline.allow(seal, browser, challenge, 40000, "here")


def test_a_device_that_asks_too_often_or_was_refused_gets_nothing(seal: PrivySeal, world: World) -> None:
    """Twice within three seconds is too soon; a no is a no; nobody waits with another code."""
    member, _ = with_passkey(seal)
    browser = signed_in(seal, member)
    device, shown = commandline.begin_device(seal, "there")
    commandline.poll_device(seal, device)
    with pytest.raises(TooSoon):
        commandline.poll_device(seal, device)
    with pytest.raises(NotAuthenticated):
        commandline.waiting_device(seal, "BBBB-BBBB")
    commandline.answer_device(seal, browser, shown, yes=False)
    world.now += timedelta(seconds=3)
    with pytest.raises(NotAuthenticated, match="not let in"):
        commandline.poll_device(seal, device)


def test_no_secret_is_in_the_records(seal: PrivySeal, world: World) -> None:
    """Passwords, the app's secret, recovery codes, invitations and tokens are nowhere in the database."""
    member, secret, codes = with_app(seal)
    token, _ = signin.begin(seal, signin.Proof(member=member, factors=(Factor.PASSWORD,)), VISITOR)
    _, invitation = invited(seal, "bea")
    stored = world.stored()
    for each in (WORDS, base64.b32encode(secret).decode(), *codes, token, invitation):
        assert each.encode() not in stored
    assert secret not in stored and secret.hex().encode() not in stored and b"argon2id" in stored
