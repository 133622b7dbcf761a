"""Every administrative act has its one entry in the log, whoever fails on the way; no writing function is forgotten.

A function of ``signing/`` that writes is either in ``ACTS``, where each is carried out below, or in ``OF_REQUESTS``,
whose traces are the intents and completions of requests, or what members state themselves.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from tests.access.clients import Authority, key_digest
from tests.world import SUBSCRIBER, WAYS, Plan, Way, World
from tests.world import _Crash as Crash

from privyseal import signing
from privyseal.access.credentials import token_digest
from privyseal.errors import PrivySealError
from privyseal.records import parties as kept
from privyseal.records import statements
from privyseal.signing import (
    agreements,
    duties,
    enrol,
    forms_of_parties,
    identities,
    leavers,
    parties,
    reviews,
    subscribers,
)
from privyseal.signing.forms_of_parties import Acceptance, NewParty
from privyseal.terms.agreements import Clause, Paper, PaperKind, Representative
from privyseal.terms.identity import LegalIdentity
from privyseal.terms.parties import Actor, Factor, Member, Role
from privyseal.tlog.entry import Statement, commit, decode

MakeWorld = Callable[[Plan | None], World]
EVERYTHING = Actor(Member("M-all", SUBSCRIBER, "all", (Role.OPERATOR, Role.ADMINISTRATOR)), (Factor.BEARER,))
PAPER = Paper(
    kind=PaperKind.CONTRACT, title="Contract", parties=("CA", "Service"), clauses=(Clause(number="1", text="x"),)
)
WHO = Representative(name="Ada", title="CTO", capacity="director", authenticated="in person")
TOKEN = "a token that the world was given"


def _add_paper(world: World) -> None:
    agreements.add(world.seal, EVERYTHING, SUBSCRIBER, PAPER)


def _accept(world: World) -> None:
    agreements.accept(
        world.seal, EVERYTHING, SUBSCRIBER, Acceptance(kind=PAPER.kind, sha256=PAPER.digest(), representative=WHO)
    )


def _suspend(world: World) -> None:
    subscribers.suspend(world.seal, EVERYTHING, SUBSCRIBER, "stop")


def _identify(world: World) -> None:
    subscribers.identify(world.seal, EVERYTHING, SUBSCRIBER, "seen again")


def _validate(world: World) -> None:
    acme = LegalIdentity(organization="Acme", country="DE", locality="Kassel")
    identities.validate(world.seal, EVERYTHING, SUBSCRIBER, acme, "order 7")


def _leave(world: World) -> None:
    leavers.leave(world.seal, EVERYTHING, "leaver", world.now)


def _review(world: World) -> None:
    with world.seal.records.reading(SUBSCRIBER) as tx:
        seen = reviews.listed(tx)
    reviews.review(world.seal, EVERYTHING, forms_of_parties.Reviewed(reviewer="Ada", sha256=seen.sha256))


def _set_roles(world: World) -> None:
    enrol.set_roles(world.seal, EVERYTHING, "leaver", (Role.AUDITOR,))


def _party(world: World) -> None:
    parties.add(world.seal, EVERYTHING, NewParty(name="ca", kind="ca", display_name="CA"))


def _link(world: World) -> None:
    parties.link(world.seal, EVERYTHING, "ca", SUBSCRIBER)


def _must_tell(world: World) -> None:
    parties.must_tell(world.seal, EVERYTHING, ("ca", SUBSCRIBER), "compromise", world.now)


def _told(world: World) -> None:
    parties.told(world.seal, EVERYTHING, "ca", SUBSCRIBER, world.now)


def _token(world: World) -> None:
    enrol.token(world.seal, _member(world), world.now + timedelta(days=1))


def _revoke(world: World) -> None:
    enrol.revoke_token(world.seal, SUBSCRIBER, token_digest(TOKEN.encode()))


def _certificate(world: World) -> None:
    enrol.client_certificate(world.seal, _member(world), CERTIFICATE)


def _forget(world: World) -> None:
    enrol.forget_client_certificate(world.seal, SUBSCRIBER, key_digest(KEY))


def _member(world: World) -> Member:
    with world.seal.records.reading(SUBSCRIBER) as tx:
        return kept.member(tx, "leaver")


Step = tuple[str, Callable[[World], object], tuple[Callable[[World], object], ...]]
KEY = ec.generate_private_key(ec.SECP256R1())
CERTIFICATE = Authority().issue(KEY, ["ada"]).public_bytes(Encoding.DER)


def _give(world: World) -> None:
    """Give the leaver a token that the test knows."""
    with world.seal.records.writing(SUBSCRIBER) as tx:
        kept.add_token(tx, kept.member(tx, "leaver").id, token_digest(TOKEN.encode()), world.now, None)


def _leaver(world: World) -> None:
    enrol.member(world.seal, SUBSCRIBER, "leaver", (Role.REQUESTER,), False)


def _take_in(world: World) -> None:
    enrol.by_an_administrator(world.seal, EVERYTHING, forms_of_parties.NewMember(name="new", roles=(), workload=True))


ACTS: dict[str, Step] = {
    "subscribers.take_in": ("acme", lambda world: subscribers.take_in(world.seal, EVERYTHING, "acme", "Acme"), ()),
    "subscribers.identify": (SUBSCRIBER, _identify, ()),
    "subscribers._move": (SUBSCRIBER, _suspend, ()),
    "identities.validate": (SUBSCRIBER, _validate, ()),
    "agreements.add": (SUBSCRIBER, _add_paper, ()),
    "agreements.accept": (SUBSCRIBER, _accept, (_add_paper,)),
    "leavers.leave": (SUBSCRIBER, _leave, (_leaver, _give)),
    "reviews.review": (SUBSCRIBER, _review, ()),
    "enrol.member": (SUBSCRIBER, _leaver, ()),
    "enrol.by_an_administrator": (SUBSCRIBER, _take_in, ()),
    "enrol.set_roles": (SUBSCRIBER, _set_roles, (_leaver,)),
    "enrol.token": (SUBSCRIBER, _token, (_leaver,)),
    "enrol.revoke_token": (SUBSCRIBER, _revoke, (_leaver, _give)),
    "enrol.client_certificate": (SUBSCRIBER, _certificate, (_leaver,)),
    "enrol.forget_client_certificate": (SUBSCRIBER, _forget, (_leaver, _certificate)),
    "parties.add": (SUBSCRIBER, _party, ()),
    "parties.link": (SUBSCRIBER, _link, (_party,)),
    "parties.must_tell": (SUBSCRIBER, _must_tell, (_party, _link)),
    "parties.told": (SUBSCRIBER, _told, (_party, _link, _must_tell)),
}
"""Each act: whose record it is, how it is carried out, and what has to be there before."""

ELSEWHERE = {
    "custody.generate": "tests/signing/test_custody.py",
    "custody.certify": "tests/signing/test_custody.py",
    "certificate_requests.carry_out": "tests/signing/test_certificate_requests.py",
    **dict.fromkeys(("key_evidence.attest", "key_evidence.evidence"), "tests/signing/test_key_evidence.py"),
    "grants.propose": "tests/signing/test_grants.py",
    "grants.agree": "tests/signing/test_grants.py",
    "grants.revoke": "tests/signing/test_grants.py",
    "gates.begin": "tests/signing/test_gates.py",
    "gates.override": "tests/signing/test_gates.py: an override is a statement of its own",
    "custody.carry_out": "tests/signing/test_custody.py",
    "life.suspend_idle": "tests/signing/test_life.py: what it moves is stated by the move",
    **dict.fromkeys(
        (
            "proposals.propose_key",
            "proposals.propose_request",
            "proposals.propose",
            "proposals._stop",
            "proposals._given_up",
            "proposals.agree",
            "proposals.withdraw",
            "custody.catch_up",
        ),
        "tests/signing/test_proposals.py",
    ),
    **dict.fromkeys(
        ("machines.add_rule", "machines.remove_rule", "machines.new_static", "machines.revoke_static"),
        "tests/web/test_exchange.py",
    ),
    **dict.fromkeys(
        (
            "people.add_passkey",
            "people.confirm_totp",
            "people.end_other_sessions",
            "people.invite",
            "people.link",
            "people.new_recovery_codes",
            "people.remove_passkey",
            "people.set_password",
            "people.sign_out_everywhere",
        ),
        "tests/signing/test_people.py",
    ),
    **dict.fromkeys(
        (
            "acceptance.accept",
            "acceptance.refuse",
            "authorities._heard",
            "authorities._issued",
            "authorities.ask",
            "revoking._noted",
        ),
        "tests/signing/test_authorities.py",
    ),
    "reconciling.reconcile": "tests/signing/test_reconciling.py: a statement of its own, and an incident's",
    "stamps.take_over": "tests/signing/test_stamps.py",
    "timestamp_keys.remove": "tests/cli/test_tsa.py",
    "policies.apply": "tests/signing/test_policies.py",
    "ceremonies.take_in": "tests/signing/test_ceremonies.py",
    "backups.note_backup": "tests/test_backup_service.py",
    "backups.settle": "tests/strongroom/test_restoring.py: one for each Subscriber, beside its keys' states",
    "viewing.seen": "tests/signing/test_policies.py: one for each auditor and day",
    **dict.fromkeys(("freezes.freeze", "freezes.agree"), "tests/signing/test_freezes.py"),
    **dict.fromkeys(
        ("incidents.act", "incidents.report", "incidents.report_from_outside"), "tests/signing/test_incidents.py"
    ),
    **dict.fromkeys(
        ("notices.add_webhook", "notices.remove_webhook", "notices.replay"),
        "tests/signing/test_notices.py",
    ),
    "who_signed._owners_of_all_subscribers": "tests/signing/test_who_signed.py",
}
"""Other administrative acts, and where they are tested; that each announces itself is held below."""

OF_REQUESTS = {
    "approve.approve", "artifacts.", "ask.", "case.store", "duties.begin", "duties.expire", "evaluation.", "granted.",
    "enclosures.",  # uploads that come beside a request
    "paper.state", "paper.finish", "paper._logged", "sign.", "submit.", "uploads.", "recollection.", "decline._end",
    "scans._put_away", "policies.bring", "verdicts.append", "log_check.check", "exchange.exchange",
    "signin.", "commandline.",  # who comes in is an event
    "agreed_acts._mark",  # how an act stands; what it did was announced by who did it
    "people.begin_totp", "freezes.follow_one",  # nothing counts yet, and what was announced is followed
    "authorities._leased", "authorities._written",  # how an order waits, of which nobody did anything
    "renewals.remind", "probes._turn", "probes._note", "nonces._portion", "weakness.look",  # alarms state themselves
    "notices._try", "notices.send", "notices.make", "notices.forget", "notices.try_webhook",  # messages on their way
}  # fmt: skip
"""What writes of the life of a request, of files, of verdicts, or what a member states: each has its own trace."""


def _writing() -> set[str]:
    """Return every function of ``signing/`` that opens a transaction that writes, as ``module.function``."""
    found = set()
    for path in sorted(Path(signing.__path__[0]).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                text = ast.unparse(node)
                if "records.writing(" in text or "records.batch()" in text:
                    found.add(f"{path.stem}.{node.name}")
    return found


def test_no_writing_function_is_forgotten() -> None:
    """Whoever adds one says here whether it is an administrative act, and shows its entry."""
    declared = {name for name in _writing() if any(name.startswith(each) for each in OF_REQUESTS)}
    assert _writing() - declared == set(ACTS) | set(ELSEWHERE)


ANNOUNCES = ("announce.administered(", "announce.stated(", "_administered(", "_announce(", "_state(")


@pytest.mark.parametrize("name", [each for each in ELSEWHERE if not each.startswith(("gates.", "freezes."))])
def test_an_act_that_is_tested_elsewhere_announces_itself(name: str) -> None:
    """By one call in its own text."""
    module, _, function = name.partition(".")
    tree = ast.parse((Path(signing.__path__[0]) / f"{module}.py").read_text())
    (found,) = [each for each in tree.body if isinstance(each, ast.FunctionDef) and each.name == function]
    text = ast.unparse(found)
    assert sum(text.count(each) for each in ANNOUNCES) == 1 or "move(" in text


def _stated(world: World, of: str) -> list[tuple[str, int]]:
    """Return slot and number of all that the service stated of a Subscriber and that the log has as it stands here."""
    logged = dict(enumerate(decode(each) for each in world.entries()))
    with world.seal.records.reading(of) as tx:
        found = [each for each in statements.listed(tx) if each.said.by == "service"]
    for each in found:
        entry = logged[each.entry]
        assert isinstance(entry, Statement) and entry.about == each.said.matter.topic
        assert entry.commitment == commit(each.salt, each.octets)
    return [(each.said.matter.slot, each.said.number) for each in found]


def _before(world: World, name: str) -> list[tuple[str, int]]:
    of, _, needs = ACTS[name]
    for each in needs:
        each(world)
    duties.recover(world.seal)
    return _stated(world, of) if of == SUBSCRIBER else []


@pytest.mark.parametrize("name", ACTS)
def test_an_act_has_exactly_one_entry(world: World, name: str) -> None:
    """One more statement, in the log with its text, and an event that says who did it."""
    before = _before(world, name)
    of, act, _ = ACTS[name]
    act(world)
    duties.recover(world.seal)
    after = _stated(world, of)
    assert len(after) == len(before) + 1
    assert len(set(after)) == len(after)
    world.check()


AGAIN_IS_ANOTHER = {"enrol.member", "enrol.token", "enrol.client_certificate"}
"""Acts of which a repetition makes a second thing, or is refused: whoever lost the answer looks first."""


@pytest.mark.parametrize("founded", ["sqlite", pytest.param("postgresql", marks=pytest.mark.nightly)], indirect=True)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", [name for name in ACTS if name not in AGAIN_IS_ANOTHER])
def test_an_act_that_is_cut_short_is_done_whole_or_not_at_all(make_world: MakeWorld, name: str, way: Way) -> None:
    """Each write on the way fails, lost or unreported; done again it is there once, and so is its entry."""
    world = make_world(None)
    _before(world, name)
    of, act, _ = ACTS[name]
    begun = len(world.writes)
    act(world)
    steps = len(world.writes) - begun
    world.discard()
    for nth in range(steps):
        world = make_world(None)
        before = _before(world, name)
        world.plan = Plan(len(world.writes) + nth, way)
        with suppress(PrivySealError, Crash):
            act(world)
        world.plan = None
        if world._rooms["logger"].lost:
            world.crash()
        with suppress(PrivySealError):  # what was done and not reported may be refused as done already
            act(world)
        duties.recover(world.seal)
        after = _stated(world, of)
        assert len(after) == len(before) + 1, f"write {nth}, {way}"
        world.check()
        world.discard()


def test_a_founding_is_in_the_log_from_its_first_act(world: World) -> None:
    """Enrolment, members, papers, key, certificate, gates and tokens: nothing of a rehearsal was done silently."""
    acts = [slot for slot, _ in _stated(world, SUBSCRIBER)]
    assert acts.count("administration") >= 8
    assert {"standing", "step:identity", "accepted:commitments", "accepted:ca-agreement"} <= set(acts)


def test_numbers_of_acts_have_no_gap(world: World) -> None:
    """One that were left out of a report would be seen to be missing."""
    _leaver(world)
    _token(world)
    duties.recover(world.seal)
    numbers = [number for slot, number in _stated(world, SUBSCRIBER) if slot == "administration"]
    assert sorted(numbers) == list(range(len(numbers)))
