"""The signer judges grants by itself: everything that is altered is refused, each proof is good once, N is the most."""

from __future__ import annotations

import base64
import random
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.access import platform_tokens as tokens
from tests.strongroom.signroom import Person, SignRoom, description, refused, signed

from privyseal.errors import BadInput, NotPermitted
from privyseal.strongroom.acts import Amend, Freeze, RevokeGrant
from privyseal.strongroom.grants import read
from privyseal.strongroom.messages import Refused, SignBatch, SignedBatch, SignedItem
from privyseal.terms.canonical import canonical_json
from privyseal.terms.grants import ForKey, ForRuns, Grant, Use, audience, used_octets
from privyseal.terms.keys import Approver, KeyPair, Stage
from privyseal.terms.requests import Approval, SigningRequest, approvals_digest, approved_octets
from privyseal.terms.signatures import Options

ANNA, BORIS, CARLA = Person("anna"), Person("boris"), Person("carla")
PEOPLE = tuple(each.approver for each in (ANNA, BORIS, CARLA))
AUDIENCE = "https://seal.example.org"
BOT, PROPOSER = "M-asker", "M-dev"


def jwk(algorithm: str = "RS256", kid: str = "k1") -> dict[str, str]:
    """Return a public key as a grant has it."""
    known = tokens.public(algorithm, kid)
    return {name: known[name] for name in ("kty", "kid", "use", "alg", "crv", "n", "e", "x", "y") if name in known}


class Bench:
    """A key that two of three people guard, and grants for it."""

    def __init__(self, room: SignRoom) -> None:
        self.room = room
        self.pair = room.key("guarded", approvers=PEOPLE, quorum=2)
        self.certificate = room.rehearsal_ca.issue(self.pair.public_key)
        self.number = 0

    def runs(self, **changes: Any) -> ForRuns:
        """Return the workflow that everything here is for."""
        plain: dict[str, Any] = {
            "platform": "github",
            "issuer": tokens.ISSUERS["github"],
            "conditions": tuple(sorted(tokens.RULES["github"].items())),
            "keys": (jwk(),),
            "audience": AUDIENCE,
        }
        return ForRuns(**(plain | changes))

    def grant(self, **changes: Any) -> Grant:
        """Return a grant; ``changes`` replaces its fields."""
        plain: dict[str, Any] = {
            "subscriber": "demo",
            "key": self.pair.name,
            "key_id": self.pair.key_id,
            "proposer": PROPOSER,
            "requester": BOT,
            "holder": self.runs(),
            "formats": ("pe",),
            "mode": "local",
            "timestamp": True,
            "publisher": "",
            "signatures": 3,
            "not_before": self.room.now,
            "until": self.room.now + timedelta(days=1),
            "nonce": bytes(16),
        }
        return Grant(**(plain | changes))

    def request(self, **changes: Any) -> SigningRequest:
        """Return a request for another program each time."""
        self.number += 1
        return self.room.request(self.pair, self.certificate, self.number, **changes)

    def token(self, request: SigningRequest, **changes: Any) -> bytes:
        """Return the token that the platform makes for a request."""
        return tokens.run(at=self.room.now, audience=audience(AUDIENCE, request.digest()), **changes)

    def use(self, grant: Grant, request: SigningRequest, **changes: Any) -> Use:
        """Return what is handed in; ``changes`` replaces its fields."""
        use = Use(grant=grant.canonical(), approvals=self.agreed(grant), proof=self.token(request))
        return msgspec.structs.replace(use, **changes)

    def agreed(self, grant: Grant, people: tuple[Person, ...] = (ANNA, BORIS)) -> tuple[Approval, ...]:
        """Have people agree to a grant."""
        return tuple(each.approves(grant.digest()) for each in people)

    def sign(self, grant: Grant, request: SigningRequest | None = None, **changes: Any) -> SignedItem | Refused:
        """Have a request signed under a grant."""
        request = request or self.request()
        return self.hand_in(request, self.use(grant, request, **changes))

    def hand_in(self, request: SigningRequest, use: Use, approvals: tuple[Approval, ...] = ()) -> SignedItem | Refused:
        """Log the intent and hand a request and a use in."""
        return self.room.sign(self.pair, self.certificate, request, granted=use, approvals=approvals)

    def left(self) -> int:
        """Return how many signatures the signer has counted, over all grants."""
        return int(self.room.signer._journal.database.read("SELECT COALESCE(SUM(used), 0) FROM granted")[0][0])


@pytest.fixture
def bench(room: SignRoom) -> Bench:
    return Bench(room)


def test_requests_of_the_workflow_are_signed_until_they_are_used_up(bench: Bench) -> None:
    """Three, and not a fourth; the count survives a restart and is of signatures, not of requests."""
    grant = bench.grant()
    request = bench.request()
    signed(bench.sign(grant, request), bench.pair, bench.certificate, request)
    two = bench.room.request(bench.pair, bench.certificate, described=(description(70), description(71)))
    canonical = two.canonical()
    appended = bench.room.logged(canonical, tag=bench.pair.key_tag, uses=2)
    items = bench.room.items(appended, [canonical], bench.certificate, granted=bench.use(grant, two))
    answer = bench.room.send(appended, items)
    assert isinstance(answer, SignedBatch)
    signed(answer.results[0], bench.pair, bench.certificate, two)
    bench.room.restart()
    refused(bench.sign(grant), "denied", "0 of 3 signatures are left")
    assert bench.left() == 3
    other = bench.grant(nonce=bytes(15) + b"\1")
    assert isinstance(bench.sign(other), SignedItem)


def test_a_member_s_key_proves_itself_over_grant_and_request(bench: Bench) -> None:
    """Ed25519 and P-256; a signature over another request, or for another grant, is none."""
    ed, p256 = Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP256R1())
    signs: list[tuple[Any, Callable[[bytes], bytes]]] = [
        (ed, ed.sign),
        (p256, lambda octets: p256.sign(octets, ec.ECDSA(SHA256()))),
    ]
    for key, sign in signs:
        spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        grant, request, other = bench.grant(holder=ForKey(public_key=spki)), bench.request(), bench.request()
        good = sign(used_octets(grant.digest(), request.digest()))
        outcome = bench.sign(grant, request, proof=good)
        signed(outcome, bench.pair, bench.certificate, request)
        for wrong in (good, sign(used_octets(bytes(32), other.digest())), sign(other.digest()), b"", bytes(64)):
            refused(bench.sign(grant, other, proof=wrong), "verification-failed", "no signature over this grant")


SPOILT_REQUESTS: list[tuple[dict[str, Any], str]] = [
    ({"requester": "M-other"}, "requests of M-asker"),
    ({"mode": "server", "input": "0" * 64}, "mode local"),
    ({"options": Options(timestamp=False)}, "with a timestamp"),
    ({"options": Options(program_name="Malware")}, "the request says 'Malware'"),
]


@pytest.mark.parametrize(("changes", "words"), SPOILT_REQUESTS)
def test_a_request_of_another_kind_is_not_covered(bench: Bench, changes: dict[str, Any], words: str) -> None:
    """Whoever asks, how, and what the user will read."""
    refused(bench.sign(bench.grant(), bench.request(**changes)), "not-permitted", words)


def test_every_field_of_a_grant_is_under_the_agreement(bench: Bench) -> None:
    """Changed after people agreed, whatever the change, nobody has agreed to it."""
    grant = bench.grant()
    start = bench.room.now
    changes: dict[str, Any] = {
        "proposer": "M-third",
        "holder": bench.runs(conditions=tuple(sorted((tokens.RULES["github"] | {"repository_id": "1"}).items()))),
        "formats": ("pe", "msi"),
        "timestamp": False,
        "publisher": "Other",
        "signatures": 10_000,
        "not_before": start - timedelta(days=1),
        "until": start + timedelta(days=30),
        "nonce": b"x" * 16,
        "requester": "M-else",
        "mode": "server",
        "key": "other",
        "key_id": "0" * 64,
        "subscriber": "others",
    }
    assert set(changes) == set(Grant.__struct_fields__)
    for name, value in changes.items():
        altered = msgspec.structs.replace(grant, **{name: value})
        outcome = bench.sign(altered, approvals=bench.agreed(grant))
        refused(outcome, "not-permitted", "must agree to the grant")
    for other in (bench.runs(keys=(jwk("ES256"),)), bench.runs(audience="https://x.example"), bench.runs(issuer="i")):
        altered = msgspec.structs.replace(grant, holder=other)
        refused(bench.sign(altered, approvals=bench.agreed(grant)), "not-permitted", "must agree")
    assert bench.left() == 0


def test_a_grant_for_another_key_is_for_that_key_only(bench: Bench) -> None:
    """Even where the same people guard both, and agreed."""
    other = bench.room.key("second", approvers=PEOPLE, quorum=2)
    grant = bench.grant(key=other.name, key_id=other.key_id)
    refused(bench.sign(grant), "not-permitted", "for another key")


def test_tokens_that_are_not_this_run_s_for_this_request_are_refused(bench: Bench) -> None:
    """Other audiences, claims, keys, issuers, times and algorithms."""
    grant, request = bench.grant(), bench.request()
    at, own = bench.room.now, audience(AUDIENCE, request.digest())
    base = int(at.timestamp())
    payload = tokens.claims("github", aud=own, exp=base + 300, nbf=base, iat=base)
    unsigned = tokens.encode(b'{"alg":"none","kid":"k1"}') + b"." + tokens.encode(canonical_json(payload)) + b"."
    hmac = tokens.encode(b'{"alg":"HS256","kid":"k1"}') + b"." + tokens.encode(canonical_json(payload)) + b".AAAA"
    good = bench.token(request)
    wrong: list[tuple[bytes, str, str]] = [
        (tokens.run(at=at, audience=AUDIENCE), "not-authenticated", "was expected"),
        (tokens.run(at=at, audience=audience(AUDIENCE, bytes(32))), "not-authenticated", "was expected"),
        (tokens.run(at=at, audience=audience("https://x.example", request.digest())), "not-authenticated", "expected"),
        (tokens.sign(payload | {"aud": [own, "https://other.example"]}), "not-authenticated", "was expected"),
        (bench.token(bench.request()), "not-authenticated", "was expected"),
        (bench.token(request, repository_id="4"), "not-permitted", "whose repository_id is '1296269'"),
        (bench.token(request, environment=None), "not-permitted", "whose environment is 'release'"),
        (bench.token(request, event_name="pull_request"), "not-permitted", "whose event_name"),
        (bench.token(request, iss="https://evil.example"), "not-authenticated", "https://evil.example"),
        (tokens.sign(payload, "ES256", "k1"), "not-authenticated", "not one for ES256"),
        (tokens.sign(payload, "ES256", "e1"), "not-authenticated", "no key named 'e1'"),
        (tokens.sign(payload, "RS256", "k2"), "not-authenticated", "no key named 'k2'"),
        (tokens.sign(payload | {"exp": base - 61}), "not-authenticated", "expired"),
        (tokens.sign(payload | {"nbf": base + 120}), "not-authenticated", "not good before"),
        (tokens.sign(payload | {"exp": None}), "not-authenticated", "until when"),
        (unsigned, "not-authenticated", "not signed"),
        (unsigned + b"AAAA", "not-authenticated", "alg=none"),
        (hmac, "not-authenticated", "HS256"),
        (good[:-8] + b"AAAAAAAA", "not-authenticated", "does not verify"),
        (b"", "not-authenticated", "no JWT"),
        (b"." * 20_000, "too-large", "at most"),
        (b"\xff\xfe..", "not-authenticated", "no JWT"),
    ]
    for token, code, words in wrong:
        refused(bench.sign(grant, request, proof=token), code, words)
    assert bench.left() == 0
    assert isinstance(bench.sign(grant, request), SignedItem)


def test_a_key_that_the_issuer_has_later_does_not_count(bench: Bench) -> None:
    """The issuer, or whoever took it over, cannot bring keys of its own into what people agreed to."""
    request = bench.request()
    grant = bench.grant(holder=bench.runs(keys=(jwk("ES256", "e1"),)))
    refused(bench.sign(grant, request), "not-authenticated", "no key named 'k1'")


def test_its_time_is_judged_by_the_signer_s_clock(bench: Bench) -> None:
    """To the second."""
    grant = bench.grant(not_before=bench.room.now + timedelta(hours=1))
    refused(bench.sign(grant), "denied", "begins at")
    bench.room.now = grant.until
    refused(bench.sign(grant), "denied", "ended at")
    bench.room.now = grant.until - timedelta(seconds=1)
    assert isinstance(bench.sign(grant), SignedItem)


def test_who_agreed_is_counted_as_for_a_request(bench: Bench) -> None:
    """One is not enough, twice the same is one, a stranger is nobody, and each signature is over this grant."""
    grant = bench.grant()
    stranger = Person("dora").approves(grant.digest(), as_name="anna")
    anna, boris = bench.agreed(grant)
    spoilt = msgspec.structs.replace(boris, signature=bytes(64))
    of_request = BORIS.approves(bench.request().digest())
    for given in ((), (anna,), (anna, anna), (anna, spoilt), (stranger, boris), (anna, of_request)):
        refused(bench.sign(grant, approvals=given), "not-permitted", "must agree to the grant")
    refused(bench.sign(grant, approvals=(anna,) * 65), "bad-input", "65 approvals")
    assert bench.left() == 0


@pytest.mark.parametrize("field", ["proposer", "requester"])
def test_who_proposed_or_asks_is_not_among_those_who_agree(bench: Bench, field: str) -> None:
    """Neither whoever thought it up nor in whose name it is used."""
    request = bench.request(requester="M-anna") if field == "requester" else bench.request()
    grant = bench.grant(**{field: "M-anna"})
    refused(bench.sign(grant, request), "not-permitted", "1 more")
    given = bench.agreed(grant, (BORIS, CARLA))
    assert isinstance(bench.sign(grant, request, approvals=given), SignedItem)


def test_approvals_of_a_request_are_none_of_a_grant_and_the_other_way_round(bench: Bench) -> None:
    """The domain tags keep them apart."""
    grant, request = bench.grant(), bench.request()
    outcome = bench.room.sign(bench.pair, bench.certificate, request, approvals=bench.agreed(grant))
    refused(outcome, "not-permitted", "must approve exactly this")
    digest = request.digest()
    both = tuple(each.approves(digest) for each in (ANNA, BORIS))
    refused(bench.sign(grant, request, approvals=both), "not-permitted", "must agree")


def test_the_charter_as_it_is_now_decides(bench: Bench) -> None:
    """An approver who left takes the agreement along."""
    grant = bench.grant()
    assert isinstance(bench.sign(grant), SignedItem)
    until = bench.room.now + timedelta(hours=1)
    amend = Amend(key_id=bench.pair.key_id, version=1, approvers=(PEOPLE[0], PEOPLE[2]), quorum=2, expires_at=until)
    bench.room.act(amend, by=(ANNA, BORIS))
    refused(bench.sign(grant), "not-permitted", "1 more of these must agree")


def test_a_charter_may_forbid_grants(bench: Bench) -> None:
    """It says so by an amendment, which is agreed to; another amendment leaves it so."""
    until = bench.room.now + timedelta(hours=1)
    for version, said in ((1, False), (2, msgspec.UNSET)):
        amend = Amend(
            key_id=bench.pair.key_id, version=version, approvers=PEOPLE, quorum=2, expires_at=until, grants=said
        )
        bench.room.act(amend, by=(ANNA, BORIS))
        refused(bench.sign(bench.grant()), "not-permitted", "charter allows no grants")


def test_a_key_that_asks_nobody_has_no_grants(bench: Bench) -> None:
    """What is not guarded cannot be granted."""
    plain = bench.room.key("plain")
    certificate = bench.room.rehearsal_ca.issue(plain.public_key)
    request = bench.room.request(plain, certificate, 1, requester=BOT)
    grant = bench.grant(key=plain.name, key_id=plain.key_id)
    outcome = bench.room.sign(plain, certificate, request, granted=bench.use(grant, request))
    refused(outcome, "not-permitted", "asks nobody")


def test_stages_hold_for_grants(bench: Bench) -> None:
    """One stage upon the other, as for requests."""
    staged = bench.room.key("staged", approvers=PEOPLE, quorum=2, stages=(Stage(1, names=("anna",)), Stage(1)))
    bench.pair, bench.certificate = staged, bench.room.rehearsal_ca.issue(staged.public_key)
    grant = bench.grant()
    first = ANNA.approves(grant.digest())
    octets = approved_octets(grant.digest(), 1, approvals_digest([first]))
    plain = BORIS.approves(grant.digest())
    second = msgspec.structs.replace(plain, signature=BORIS.key.sign(octets), stage=1)
    refused(bench.sign(grant, approvals=(first, plain)), "not-permitted", "1 more")
    assert isinstance(bench.sign(grant, approvals=(second, first)), SignedItem)


@pytest.mark.parametrize("by", [ANNA, CARLA])
def test_one_person_revokes_it_for_good(bench: Bench, by: Person) -> None:
    """Whatever is left of it, over a restart, and before its first use too."""
    used, fresh = bench.grant(), bench.grant(nonce=b"f" * 16)
    assert isinstance(bench.sign(used), SignedItem)
    until = bench.room.now + timedelta(hours=1)
    for grant in (used, fresh):
        act = RevokeGrant(key_id=bench.pair.key_id, grant=grant.digest().hex(), reason="leak", expires_at=until)
        bench.room.act(act, by=(by,))
        bench.room.restart()
        refused(bench.sign(grant), "denied", "was revoked")
    assert isinstance(bench.sign(bench.grant(nonce=b"g" * 16)), SignedItem)


def test_nobody_else_revokes_it(tmp_path: Path) -> None:
    """A stranger's word takes nothing away; an operator's does."""
    (tmp_path / "operated").mkdir()
    operator = Person("olga")
    room = SignRoom(tmp_path / "operated", operators=(operator,), operator_quorum=1)
    pair = room.key("guarded", by=(operator,), approvers=PEOPLE, quorum=2)
    act = RevokeGrant(key_id=pair.key_id, grant="0" * 64, reason="", expires_at=room.now + timedelta(hours=1))
    for by in ((), (Person("dora"),)):
        with pytest.raises(NotPermitted, match="before a grant is revoked"):
            room.act(act, by=by)
    room.act(act, by=(operator,))
    room.close()


def test_a_frozen_key_signs_nothing_under_a_grant(bench: Bench) -> None:
    """Freezing the key stops all of its grants at once."""
    until = bench.room.now + timedelta(hours=1)
    bench.room.act(Freeze(key_id=bench.pair.key_id, version=1, reason="r", expires_at=until), by=(ANNA,))
    refused(bench.sign(bench.grant()), "denied", "is frozen")


def test_replays_are_not_signed(bench: Bench) -> None:
    """Three hundred: the same request again, its proof with other requests, and the other way round."""
    grant = bench.grant(signatures=100)
    request = bench.request()
    use = bench.use(grant, request)
    assert isinstance(bench.hand_in(request, use), SignedItem)
    accepted = 0
    for number in range(300):
        if number % 3 == 0:  # the same request and proof, under a new intent
            outcome = bench.hand_in(request, use)
        elif number % 3 == 1:  # the proof with another request
            outcome = bench.hand_in(bench.request(), use)
        else:  # another grant with the same proof, whose request is signed
            outcome = bench.sign(bench.grant(signatures=100, nonce=b"%016d" % number), request, proof=use.proof)
        accepted += isinstance(outcome, SignedItem)
    assert (accepted, bench.left()) == (0, 1)


def test_no_race_gets_one_more_than_was_agreed_to(bench: Bench) -> None:
    """Ten at once in one batch, then ten batches from ten threads: never more than N."""
    grant = bench.grant(signatures=7)
    requests = [bench.request() for _ in range(10)]
    octets = [each.canonical() for each in requests]
    appended = bench.room.logged(*octets, tag=bench.pair.key_tag)
    items = bench.room.items(appended, octets, bench.certificate)
    items = [
        msgspec.structs.replace(item, granted=bench.use(grant, request))
        for item, request in zip(items, requests, strict=True)
    ]
    answer = bench.room.send(appended, items[:5])
    assert isinstance(answer, SignedBatch) and all(isinstance(each, SignedItem) for each in answer.results)
    rest = bench.room.log.prove([each.index for each in appended.items[5:]], bench.room.mark)
    results: list[object] = []

    def one(place: int) -> None:
        item = msgspec.structs.replace(items[5 + place], path=rest.items[place].path)
        batch = bench.room.client.sign(SignBatch(rest.checkpoint, rest.since, rest.consistency, (item,)))
        assert isinstance(batch, SignedBatch)
        results.extend(batch.results)

    threads = [threading.Thread(target=one, args=(place,)) for place in range(5)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(results) == 5 and sum(isinstance(each, SignedItem) for each in results) == 2
    assert bench.left() == 7


WIDE: list[tuple[dict[str, Any], str]] = [
    ({"platform": "nobody"}, "No platform is named"),
    ({"platform": "gitlab", "conditions": tuple(tokens.RULES["gitlab"].items())}, "no token made for one request"),
    ({"platform": "azure", "conditions": tuple(tokens.RULES["azure"].items())}, "no token made for one request"),
    ({"platform": "spiffe", "conditions": tuple(tokens.RULES["spiffe"].items())}, "no token made for one request"),
    ({"conditions": (("repository_id", "1"),)}, "does not name repository_owner_id"),
    ({"conditions": (*tokens.RULES["github"].items(), ("ref", "refs/heads/*"))}, "matches too much"),
    ({"conditions": (*tokens.RULES["github"].items(), ("repository_id", "1"))}, "names a claim twice"),
]


@pytest.mark.parametrize(("changes", "words"), WIDE)
def test_a_grant_for_too_many_is_refused_whoever_agreed(bench: Bench, changes: dict[str, Any], words: str) -> None:
    """The signer does not trust the web to have looked."""
    refused(bench.sign(bench.grant(holder=bench.runs(**changes))), "bad-input", words)


def test_octets_that_are_no_grant_are_refused(bench: Bench) -> None:
    """Each is a sentence: never a bug, never a signature. Seeded changes of a good one, and what is just wrong."""
    draw, grant, request = random.Random(44), bench.grant(), bench.request()
    plain = bench.use(grant, request)
    good = grant.canonical()
    spki = ec.generate_private_key(ec.SECP384R1()).public_key()
    other = spki.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    wrong = [b"", b"{}", b"[]", b"\xff", b"[" * 3000, good + b" ", good[:-1], bytes(33_000)]
    wrong += [bench.grant(holder=ForKey(public_key=key)).canonical() for key in (other, other[:-1] + b"x", bytes(44))]
    for _ in range(300):
        spoilt = bytearray(good)
        for _ in range(draw.randint(1, 4)):
            spoilt[draw.randrange(len(spoilt))] = draw.randrange(256)
        wrong.append(bytes(spoilt))
    for octets in wrong:
        if octets != good:
            outcome = bench.hand_in(request, msgspec.structs.replace(plain, grant=octets))
            assert isinstance(outcome, Refused) and outcome.code in ("bad-input", "not-permitted", "too-large"), outcome
    assert bench.left() == 0


TIMES = [timedelta(0), timedelta(seconds=-1), timedelta(days=30, seconds=1)]


@pytest.mark.parametrize("after", TIMES)
def test_thirty_days_are_the_most(bench: Bench, after: timedelta) -> None:
    """And no less than a second."""
    with pytest.raises(ValueError, match="30 days"):
        bench.grant(until=bench.room.now + after)
    with pytest.raises(BadInput):
        read(bench.grant().canonical().replace(b'"signatures":3', b'"signatures":10001'))


def test_a_use_shows_no_token(bench: Bench) -> None:
    """Neither in a repr nor in a refusal."""
    grant, request = bench.grant(), bench.request()
    use = bench.use(grant, request)
    assert use.proof.decode()[:20] not in repr(use)
    outcome = bench.hand_in(bench.request(), use)
    assert isinstance(outcome, Refused)
    assert use.proof.decode()[-20:] not in f"{outcome.detail} {outcome.hint}"
    assert base64.b64encode(use.proof).decode()[:20] not in repr(use)


def test_a_charter_from_before_is_read(tmp_path: Path, bench: Bench) -> None:
    """What is unset is left out, so older holdings and acts keep their octets."""
    charter = bench.room.client.charter(bench.pair.key_id).charter
    assert b"grants" not in canonical_json(charter)
    assert isinstance(PEOPLE[0], Approver) and isinstance(bench.pair, KeyPair)
