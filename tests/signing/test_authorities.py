"""Orders of certificates: what every kind of authority may say, and who alone makes a certificate be used."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import timedelta

import msgspec
import pytest
from cryptography import x509
from tests.signing import ordering
from tests.signing.ordering import ADA, OTHER, Odd, actor, csr
from tests.world import SUBSCRIBER, WAYS, Plan, Way, World
from tests.world import _Crash as Crash

from privyseal.authorities.protocol import Answer, Issued, Refused, Revoked, Waiting
from privyseal.compliance.known import Known
from privyseal.compliance.statements_of_certificates import CertificateAccepted
from privyseal.errors import (
    BadInput,
    Conflict,
    NotFound,
    NotPermitted,
    PrivySealError,
    TooLarge,
    Unavailable,
    VerificationFailed,
)
from privyseal.pki import certificates
from privyseal.pki.csr import read
from privyseal.pki.rehearsal import RehearsalAuthority
from privyseal.records import keys, orders, statements
from privyseal.signing import acceptance, authorities, duties, life, revoking
from privyseal.signing.forms_of_certificates import RevocationWish
from privyseal.terms.life import KeyState
from privyseal.terms.orders import FOLLOWS, Order, OrderState
from privyseal.terms.parties import Role

MakeWorld = Callable[[Plan | None], World]
in_sqlite = pytest.mark.parametrize("founded", ["sqlite"], indirect=True)
"""What does not hang on the kind of database is tested in one."""


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    """Return a world with a Key Pair of which the test has the private half."""
    made = make_world(None)
    ordering.pair(made)
    return made


def installed(world: World, key_id: str | None = None) -> list[tuple[bytes, ...]]:
    """Return the chains that are installed for the key."""
    with world.seal.records.reading(SUBSCRIBER) as tx:
        return keys.certificate_chains_of(tx, key_id or certificates.key_id(ordering.spki()))


def known(world: World) -> Known:
    """Return what gates and evaluations know."""
    duties.recover(world.seal)
    with world.seal.records.reading_all_subscribers() as connection:
        return world.seal.stated.known_of_all_subscribers(connection)


def stands(world: World, order: Order) -> Order:
    """Return an order as it is in the records."""
    return authorities.one(world.seal, SUBSCRIBER, order.id)


def ca(world: World) -> RehearsalAuthority:
    """Return the rehearsal's CA with its keys, as a test may have them."""
    return RehearsalAuthority.load((world.directory / "rehearsal-ca" / "ca.key").read_bytes())


def issue(world: World, octets: bytes) -> tuple[bytes, ...]:
    """Issue as the rehearsal's CA does, with strangers and the root among what comes."""
    own = ca(world)
    leaf = own.issue_code_signing(read(octets).spki, "Acme GmbH", world.now)
    other = own.issue_code_signing(ordering.spki(OTHER), "Acme GmbH", world.now)
    return own.root, own.timestamp_issuer, other, own.code_signing_issuer, leaf


# -- the whole way -----------------------------------------------------------------------------------------------------
def state_of_key(world: World) -> KeyState:
    with world.seal.records.reading(SUBSCRIBER) as tx:
        return life.of(tx, ordering.NAME).state


def test_the_rehearsal_ca_issues_and_a_person_accepts(world: World) -> None:
    """Asked, issued at once, read, accepted; only then it is installed, and the gates know who accepted it when."""
    order = authorities.ask(world.seal, ADA, SUBSCRIBER, ordering.order("rehearsal"))
    assert (order.state, len(order.chain)) == (OrderState.ISSUED, 2) and not installed(world)
    shown = acceptance.shown(world.seal, SUBSCRIBER, order.id)
    assert shown.facts is not None and "Acme GmbH" in shown.facts.subject and shown.met > 20
    assert not shown.not_met, shown.not_met
    done = acceptance.accept(world.seal, ADA, SUBSCRIBER, order.id, order.fingerprint)
    assert done.state is OrderState.INSTALLED and installed(world) == [order.chain]
    assert state_of_key(world) is KeyState.ACTIVE
    assert known(world).accepted == {order.fingerprint: world.now}
    with world.seal.records.reading(SUBSCRIBER) as tx:
        (said,) = [each.matter for each in statements.noted(tx, "certificate")]
    assert isinstance(said, CertificateAccepted) and (said.by, said.factors) == ("M-ada", ("passkey",))
    world.check()


@in_sqlite
def test_a_key_that_was_not_born_in_rehearsal_is_enabled_by_people(world: World) -> None:
    """Its certificate is accepted, and nothing is signed with it yet."""
    with world.seal.records.writing(SUBSCRIBER) as tx:
        keys.replace_key_pair(tx, msgspec.structs.replace(keys.key_pair(tx, ordering.NAME), rehearsal=False))
    order = authorities.ask(world.seal, ADA, SUBSCRIBER, ordering.order("rehearsal"))
    acceptance.accept(world.seal, ADA, SUBSCRIBER, order.id, order.fingerprint)
    assert state_of_key(world) is KeyState.CERTIFIED


@in_sqlite
def test_what_is_brought_by_hand_comes_in_any_order(world: World) -> None:
    """The CSR is there to be taken away, and nobody asks; what is brought back is put in order."""
    order = authorities.ask(world.seal, ADA, SUBSCRIBER, ordering.order("by-hand"))
    assert (order.state, order.again) == (OrderState.WAITING, None) and order.csr == stands(world, order).csr
    world.now += timedelta(days=3)
    assert authorities.tend(world.seal) == 0
    bag = b"".join(certificates.pem(each) for each in issue(world, order.csr))
    order = authorities.receive(world.seal, ADA, SUBSCRIBER, order.id, bag)
    assert order.chain == (issue_of(order), ca(world).code_signing_issuer) and order.state is OrderState.ISSUED
    with pytest.raises(Conflict, match="nothing is waited for"):
        authorities.receive(world.seal, ADA, SUBSCRIBER, order.id, bag)


def issue_of(order: Order) -> bytes:
    """Return the order's own certificate, which must be the key's."""
    assert certificates.read(order.chain[0]).key_id == order.key_id
    return order.chain[0]


def test_an_authority_that_takes_its_time_is_asked_again(world: World) -> None:
    """By the order's own id after it was away; by its reference after it answered; when it is due, and not before."""
    said: list[Answer | PrivySealError] = [
        Unavailable("slow cannot be reached: it did not answer in time."),
        Waiting(order="77", words="a person\x07 looks", again=world.now + timedelta(hours=1)),
        Waiting(order="77"),
        Issued(chain=issue(world, csr())),
    ]

    def says(octets: bytes) -> Answer:
        answer = said.pop(0)
        if isinstance(answer, PrivySealError):
            raise answer
        return answer

    world.seal.authorities["slow"] = slow = Odd("slow", says)
    order = authorities.ask(world.seal, ADA, SUBSCRIBER, ordering.order("slow"))
    assert order.state is OrderState.ASKED and "did not answer in time" in order.words
    assert authorities.tend(world.seal) == 0
    world.now += timedelta(minutes=2)
    assert authorities.tend(world.seal) == 1 and stands(world, order).words == "a person  looks"
    world.now += timedelta(minutes=30)
    assert authorities.tend(world.seal) == 0
    for _ in range(2):
        world.now += timedelta(hours=1)
        assert authorities.tend(world.seal) == 1
    assert stands(world, order).state is OrderState.ISSUED
    assert slow.references == [order.id, order.id] and slow.collected == ["77", "77"]


@in_sqlite
@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Refused(why="not validated"), "not validated"),
        (Issued(chain=()), "of no use"),
        (Issued(chain=(b"\x30\x03\x02\x01\x01",)), "of no use"),
        (None, "for another key"),
    ],
)
def test_what_is_no_use_ends_the_order(world: World, answer: Answer | None, words: str) -> None:
    """A refusal, nothing, rubbish, and a certificate for another key: refused with the reason, never installed."""
    world.seal.authorities["odd"] = Odd("odd", lambda octets: answer or Issued(chain=issue(world, csr(OTHER))[:4]))
    order = authorities.ask(world.seal, ADA, SUBSCRIBER, ordering.order("odd"))
    assert order.state is OrderState.REFUSED and words in order.words and order.decided_by == "authority odd"
    with pytest.raises(Conflict):
        acceptance.accept(world.seal, ADA, SUBSCRIBER, order.id, "0" * 64)
    assert not installed(world)


@in_sqlite
def test_an_authority_that_is_no_longer_configured_keeps_its_orders(world: World) -> None:
    """They say so, and wait."""
    world.seal.authorities["gone"] = Odd("gone", lambda octets: Waiting(order="1"))
    order = authorities.ask(world.seal, ADA, SUBSCRIBER, ordering.order("gone"))
    del world.seal.authorities["gone"]
    world.now += timedelta(hours=1)
    assert authorities.tend(world.seal) == 1
    found = stands(world, order)
    assert found.state is OrderState.WAITING and "configured any more" in found.words


# -- bad input ---------------------------------------------------------------------------------------------------------
@in_sqlite
def test_bad_csrs_are_one_sentence(world: World) -> None:
    """A wrong signature of its own, another key, no CSR, an authority that is not there; nothing is written down."""
    wrong = bytearray(csr())
    wrong[-3] ^= 1
    for octets, kind, words in (
        (bytes(wrong), VerificationFailed, "own signature does not verify"),
        (csr(OTHER), VerificationFailed, "another public key"),
        (b"-----BEGIN CERTIFICATE REQUEST-----\nno\n-----END CERTIFICATE REQUEST-----\n", BadInput, r"\w"),
        (b"\x30\x80" * 100, BadInput, r"\w"),
    ):
        with pytest.raises(kind, match=words):
            authorities.ask(world.seal, ADA, SUBSCRIBER, ordering.order("by-hand", octets))
    with pytest.raises(NotFound, match="no certificate authority 'elsewhere'"):
        authorities.ask(world.seal, ADA, SUBSCRIBER, ordering.order("elsewhere"))
    with world.seal.records.reading(SUBSCRIBER) as tx:
        assert orders.listed(tx) == []


@in_sqlite
def test_bad_uploads_leave_the_order_as_it_is(world: World) -> None:
    """A certificate for another key, the issuer missing, a list of 50 MB, a private key."""
    order = authorities.ask(world.seal, ADA, SUBSCRIBER, ordering.order("by-hand"))
    *others, leaf = issue(world, order.csr)
    pem = certificates.pem
    for octets, kind, words in (
        (b"".join(map(pem, others)), VerificationFailed, "for another key"),
        (pem(ca(world).issue_code_signing(ordering.spki(OTHER), "x", world.now)), VerificationFailed, "another key"),
        (b"-----BEGIN X509 CRL-----\n" + b"A" * 50_000_000, TooLarge, "at most"),
        (pem(leaf) + b"-----BEGIN EC PRIVATE KEY-----\nx\n", BadInput, "private key"),
    ):
        with pytest.raises(kind, match=words):
            authorities.receive(world.seal, ADA, SUBSCRIBER, order.id, octets)
    assert stands(world, order) == order
    # The issuer is known from the certificate of the rehearsal's own key, so alone it is enough.
    assert authorities.receive(world.seal, ADA, SUBSCRIBER, order.id, pem(leaf)).state is OrderState.ISSUED


def test_there_is_an_end_to_open_orders(world: World) -> None:
    """Whoever asks without end is told so."""
    for _ in range(orders.MOST_OPEN):
        authorities.ask(world.seal, ADA, SUBSCRIBER, ordering.order("by-hand"))
    with pytest.raises(Conflict, match="orders wait already"):
        authorities.ask(world.seal, ADA, SUBSCRIBER, ordering.order("by-hand"))


# -- who may, and what is accepted -------------------------------------------------------------------------------------
@in_sqlite
def test_only_a_person_with_the_role_accepts(world: World) -> None:
    """Not a machine, not who only orders, not another Subscriber's, and only what was read."""
    order = authorities.ask(world.seal, ADA, SUBSCRIBER, ordering.order("rehearsal"))
    for who in (actor(Role.CUSTODIAN), actor(Role.ADMINISTRATOR, workload=True), actor(Role.REQUESTER)):
        with pytest.raises(NotPermitted):
            acceptance.accept(world.seal, who, SUBSCRIBER, order.id, order.fingerprint)
    with pytest.raises(NotFound):
        acceptance.accept(world.seal, ADA, "somebody-else", order.id, order.fingerprint)
    with pytest.raises(Conflict, match="another one than was read"):
        acceptance.accept(world.seal, ADA, SUBSCRIBER, order.id, "0" * 64)
    world.now += timedelta(days=500)
    with pytest.raises(VerificationFailed, match="not now"):
        acceptance.accept(world.seal, ADA, SUBSCRIBER, order.id, order.fingerprint)
    assert not installed(world) and stands(world, order).state is OrderState.ISSUED
    with pytest.raises(NotPermitted):
        authorities.ask(world.seal, actor(Role.REQUESTER), SUBSCRIBER, ordering.order("rehearsal"))


@in_sqlite
def test_a_refused_certificate_is_never_used(world: World) -> None:
    """And what is over stays over."""
    order = authorities.ask(world.seal, ADA, SUBSCRIBER, ordering.order("rehearsal"))
    with pytest.raises(NotPermitted):
        acceptance.refuse(world.seal, actor(Role.CUSTODIAN), SUBSCRIBER, order.id, "the name is wrong")
    over = acceptance.refuse(world.seal, ADA, SUBSCRIBER, order.id, "the name is wrong")
    assert (over.state, over.words, over.decided_by) == (OrderState.REFUSED, "the name is wrong", "M-ada")
    for act in (
        lambda: acceptance.accept(world.seal, ADA, SUBSCRIBER, order.id, order.fingerprint),
        lambda: acceptance.refuse(world.seal, ADA, SUBSCRIBER, order.id, "again"),
    ):
        with pytest.raises(Conflict):
            act()
    assert not installed(world)
    # It exists, and can be revoked though it was never installed.
    asked = revoking.revoke(
        world.seal, ADA, SUBSCRIBER, order.fingerprint, RevocationWish(reason="superseded", because="never wanted")
    )
    assert asked.answered == "revoked"


def test_nothing_is_used_without_having_been_issued_and_accepted() -> None:
    """By the table: one way leads to use, and nothing leads out of an end."""
    assert {each for each, after in FOLLOWS.items() if OrderState.INSTALLED in after} == {OrderState.ISSUED}
    assert FOLLOWS[OrderState.INSTALLED] == FOLLOWS[OrderState.REFUSED] == frozenset()
    assert set(FOLLOWS) == set(OrderState)


# -- revocation --------------------------------------------------------------------------------------------------------
def test_a_revocation_is_stated_carried_out_and_in_the_next_list(world: World) -> None:
    """With reason and date; the gates know it; the file of lists that verifiers have says it at once."""
    order = authorities.ask(world.seal, ADA, SUBSCRIBER, ordering.order("rehearsal"))
    acceptance.accept(world.seal, ADA, SUBSCRIBER, order.id, order.fingerprint)
    since = world.now - timedelta(days=2)
    wish = RevocationWish(reason="keyCompromise", because="the laptop was stolen", at=since)
    asked = revoking.revoke(world.seal, ADA, SUBSCRIBER, order.fingerprint, wish)
    assert (asked.answered, asked.since) == ("revoked", since)
    status = known(world).status[order.fingerprint]
    assert status.revoked_at == since
    assert world.seal.rehearsal_ca is not None
    listed = x509.load_der_x509_crl(world.seal.rehearsal_ca.file("code-signing.crl"))
    (entry,) = list(listed)
    assert entry.serial_number == certificates.load(order.chain[0]).serial_number
    assert entry.revocation_date_utc == since
    assert entry.extensions.get_extension_for_class(x509.CRLReason).value.reason is x509.ReasonFlags.key_compromise
    # Said again it is the same, with the first date.
    again = RevocationWish(reason="superseded", because="again")
    assert revoking.revoke(world.seal, ADA, SUBSCRIBER, order.fingerprint, again).since == since
    world.check()


@in_sqlite
def test_a_ca_that_does_not_answer_leaves_the_request_in_the_records(world: World) -> None:
    """It was asked for at that moment, whatever became of it; by hand, a person says later that it is done."""
    order = authorities.ask(world.seal, ADA, SUBSCRIBER, ordering.order("rehearsal"))

    def away(*given: object) -> Revoked:
        raise Unavailable("down cannot be reached: refused.")

    world.seal.authorities["down"] = down = Odd("down", lambda octets: Waiting(order=""))
    down.revoke = away  # type: ignore[method-assign,assignment]
    wish = RevocationWish(reason="keyCompromise", because="stolen", authority="down")
    with pytest.raises(Unavailable, match="written down"):
        revoking.revoke(world.seal, ADA, SUBSCRIBER, order.fingerprint, wish)
    with world.seal.records.reading(SUBSCRIBER) as tx:
        assert [each.answered for each in revoking.listed(tx)] == ["asked"]
    wish = RevocationWish(reason="keyCompromise", because="stolen", authority="by-hand")
    assert revoking.revoke(world.seal, ADA, SUBSCRIBER, order.fingerprint, wish).answered == "waiting"
    assert order.fingerprint not in known(world).status
    done = RevocationWish(reason="keyCompromise", because="stolen", authority="by-hand", since=world.now)
    revoking.revoke(world.seal, ADA, SUBSCRIBER, order.fingerprint, done)
    assert known(world).status[order.fingerprint].revoked_at == world.now


@in_sqlite
def test_a_ca_that_was_down_is_asked_again(world: World) -> None:
    """By a duty, some minutes later and again, until it answers; then no more."""
    order = authorities.ask(world.seal, ADA, SUBSCRIBER, ordering.order("rehearsal"))
    answers: list[Revoked | None] = [None, None, Revoked(at=world.now)]
    times = []

    def revoke(*given: object) -> Revoked:
        times.append(world.now)
        if (answer := answers.pop(0)) is None:
            raise Unavailable("down cannot be reached: refused.")
        return answer

    world.seal.authorities["down"] = down = Odd("down", lambda octets: Waiting(order=""))
    down.revoke = revoke  # type: ignore[method-assign,assignment]
    wish = RevocationWish(reason="keyCompromise", because="stolen", authority="down")
    with pytest.raises(Unavailable, match="written down"):
        revoking.revoke(world.seal, ADA, SUBSCRIBER, order.fingerprint, wish)
    duties.recover(world.seal)
    assert revoking.insist(world.seal) == 0 and len(times) == 1, "whoever asked has just been told"
    for wanted in (0, 1, 0):
        world.now += revoking.PATIENCE
        assert revoking.insist(world.seal) == wanted
        duties.recover(world.seal)
    assert len(times) == 3
    with world.seal.records.reading(SUBSCRIBER) as tx:
        assert [(each.answered, each.by) for each in revoking.listed(tx)] == [("revoked", ADA.member.id)]


@in_sqlite
def test_what_cannot_be_revoked_is_one_sentence(world: World) -> None:
    """A certificate that is not there, a CA that nobody knows, a moment to come, a role that may not."""
    with world.seal.records.reading(SUBSCRIBER) as tx:
        (chain,) = keys.certificate_chains_of(tx)
    installed_at_birth = hashlib.sha256(chain[0]).hexdigest()
    wish = RevocationWish(reason="keyCompromise", because="stolen")
    with pytest.raises(NotFound, match="no certificate"):
        revoking.revoke(world.seal, ADA, SUBSCRIBER, "0" * 64, wish)
    with pytest.raises(NotFound, match="which CA to ask"):
        revoking.revoke(world.seal, ADA, SUBSCRIBER, installed_at_birth, wish)
    later = RevocationWish(reason="superseded", because="x", at=world.now + timedelta(days=1))
    with pytest.raises(BadInput, match="has not come"):
        revoking.revoke(world.seal, ADA, SUBSCRIBER, installed_at_birth, later)
    with pytest.raises(NotPermitted):
        revoking.revoke(world.seal, actor(Role.REQUESTER), SUBSCRIBER, installed_at_birth, wish)


# -- crashes -----------------------------------------------------------------------------------------------------------
@in_sqlite
@pytest.mark.parametrize("way", WAYS)
def test_a_crash_while_the_ca_issues_loses_no_order(make_world: MakeWorld, way: Way) -> None:
    """Whether it had issued by then or not: the order is asked for again, under its own id."""
    _crash_at(make_world, way, lambda writes: [writes.index("issuer: Issue")])


@pytest.mark.nightly
@pytest.mark.parametrize("way", WAYS)
def test_a_crash_at_any_write_loses_no_order_and_uses_nothing(make_world: MakeWorld, way: Way) -> None:
    """The power goes at each write of ask and accept in turn; afterwards the walk is taken up, and ends the same."""
    _crash_at(make_world, way, lambda writes: list(range(len(writes))))


def _crash_at(make_world: MakeWorld, way: Way, places: Callable[[list[str]], list[int]]) -> None:
    counted = make_world(None)
    ordering.pair(counted)
    before = len(counted.writes)
    _walk(counted)
    for nth in places(counted.writes[before:]):
        world = make_world(None)
        ordering.pair(world)
        world.plan = Plan(len(world.writes) + nth, way, crash=True)
        try:
            _walk(world)
        except (Crash, PrivySealError):
            world.plan = None
            world.crash()
        world.plan = None
        world.now += timedelta(minutes=5)
        authorities.tend(world.seal)
        with world.seal.records.reading(SUBSCRIBER) as tx:
            found = orders.listed(tx)
        assert len(found) <= 1
        for each in found or [authorities.ask(world.seal, ADA, SUBSCRIBER, ordering.order("rehearsal"))]:
            assert each.state in (OrderState.ISSUED, OrderState.INSTALLED), (nth, each.state)
            assert bool(installed(world)) == (each.state is OrderState.INSTALLED)
            if each.state is OrderState.ISSUED:
                acceptance.accept(world.seal, ADA, SUBSCRIBER, each.id, each.fingerprint)
            assert known(world).accepted.keys() == {each.fingerprint}
        world.check()


def _walk(world: World) -> None:
    order = authorities.ask(world.seal, ADA, SUBSCRIBER, ordering.order("rehearsal"))
    acceptance.accept(world.seal, ADA, SUBSCRIBER, order.id, order.fingerprint)
