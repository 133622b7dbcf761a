"""A policy from its files to the log: planned, applied, asked about every request, counted once, on either database."""

from __future__ import annotations

import concurrent.futures
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from tests.access.test_attestations import FILE, KEY_TEXT, envelope
from tests.signing.test_custody import certify, generate
from tests.world import SUBSCRIBER, World

from privyseal.access.policies import read_folder
from privyseal.access.trust import TrustRule
from privyseal.compliance.statements import Administered
from privyseal.errors import (
    BadInput,
    Conflict,
    Misused,
    NotFound,
    NotPermitted,
    PolicyRefused,
    PrivySealError,
    TooLarge,
)
from privyseal.records import parties as members
from privyseal.records import people, requests, statements, trust
from privyseal.records import policies as kept
from privyseal.records.events import events_about
from privyseal.records.policies import governing
from privyseal.signing import enrol, policies, viewing
from privyseal.signing.ask import ask
from privyseal.signing.forms_of_requests import Proposal, Trial
from privyseal.signing.policies import apply, plan, try_out
from privyseal.signing.shelf import Shelf
from privyseal.signing.submit import Submission, submit
from privyseal.terms.keys import Approver
from privyseal.terms.parties import Actor, Factor, Member, Role, Scope, Workload
from privyseal.terms.requests import Dossier, State

ALL = '[all]\nkeys = ["*"]\n'
ADMINISTRATOR = Actor(Member("M-admin", SUBSCRIBER, "admin", (Role.ADMINISTRATOR,)), (Factor.BEARER,))


def put(world: World, text: str, **more: Any) -> str:
    """Apply one file of rules; return the set's digest."""
    return apply(world.seal, ADMINISTRATOR, SUBSCRIBER, Proposal(files={"rules.toml": text}, **more)).digest


def asks(world: World, number: int, actor: Actor | None = None, **options: Any) -> Dossier | PrivySealError:
    """Ask for one signature."""
    request = world.request(number, **options)
    (outcome,) = ask(world.seal, [Submission(actor or world.actor, request.timeless_digest(), request)])
    return outcome


def test_without_a_policy_roles_alone_decide(world: World) -> None:
    """As before there were policies; nothing is recorded of one, and it can be seen that there is none."""
    dossier = asks(world, 1)
    assert isinstance(dossier, Dossier)
    assert (dossier.state, dossier.policy, dossier.allowed_by) == (State.RELEASED, None, ())
    with world.seal.records.reading_all_subscribers() as connection:
        assert SUBSCRIBER in kept.without_policy_of_all_subscribers(connection)
    put(world, ALL)
    with world.seal.records.reading_all_subscribers() as connection:
        assert SUBSCRIBER not in kept.without_policy_of_all_subscribers(connection)


def test_the_digest_in_force_and_the_rules_are_kept_with_the_request(world: World) -> None:
    """In both ways that a request can take, and as they were, whatever is applied afterwards."""
    digest = put(world, ALL + '[more]\nkeys = ["release"]\n')
    for number, longer in enumerate((False, True)):
        request = world.request(number)
        one = Submission(world.actor, f"k{number}", request)
        if longer:
            submit(world.seal, [one])
        (dossier,) = ask(world.seal, [one])
        assert isinstance(dossier, Dossier)
        assert (dossier.state, dossier.policy, dossier.allowed_by) == (State.RELEASED, digest, ("all", "more"))
        put(world, ALL)
        with world.seal.records.reading(SUBSCRIBER) as tx:
            assert requests.get(tx, dossier.id).policy == digest
            assert governing(tx, dossier.id) == ("all", "more")
        put(world, ALL + '[more]\nkeys = ["release"]\n')


def test_what_no_rule_allows_is_refused_and_nothing_is_written(world: World) -> None:
    """Exit 5 with the nearest rule and what differs; no request, no entry in the log."""
    put(world, '[acme]\nkeys = ["release"]\npublisher = ["Acme"]\n')
    before = len(world.entries())
    refused = asks(world, 1, program_name="Evil")
    assert isinstance(refused, PolicyRefused)
    assert (refused.code, refused.exit) == ("policy-refused", 5)
    assert refused.detail == (
        "No rule of the policy in force allows it; nearest is 'acme', but publisher name 'Evil' is none of Acme."
    )
    with world.seal.records.reading(SUBSCRIBER) as tx:
        assert requests.by_idempotency_key(tx, world.request(1, program_name="Evil").timeless_digest()) is None
    assert len(world.entries()) == before
    assert isinstance(asks(world, 2, program_name="Acme"), Dossier)


def test_each_apply_is_one_act_in_the_log_and_versions_stay(world: World) -> None:
    """The same set again is none; an older one can still be read by its digest."""
    first, second = put(world, ALL), put(world, ALL + "# again\n")
    assert first == second
    third = put(world, '[other]\nkeys = ["release"]\n')
    with world.seal.records.reading(SUBSCRIBER) as tx:
        assert [(each.number, each.digest) for each in kept.versions(tx)] == [(2, third), (1, first)]
        assert kept.version(tx, first).rules.keys() == {"all"}
        with pytest.raises(NotFound):
            kept.version(tx, "0" * 64)
        assert len(events_about(tx, first)) == len(events_about(tx, third)) == 1
        last = statements.last(tx, "administration")
        assert last is not None
        matter = statements.said_in(last.octets).matter
    assert isinstance(matter, Administered)
    assert (matter.what, matter.subject) == ("policy applied", third)
    assert f"from {first} to {third}" in matter.detail


def test_a_plan_says_who_gains_and_who_loses_what_and_changes_nothing(world: World) -> None:
    """Against roles alone, then against the set before."""
    enrol.member(world.seal, SUBSCRIBER, "Zed", (Role.REQUESTER,))
    only = Proposal(files={"rules.toml": '[zed]\nkeys = ["release"]\nwho = { members = ["Zed"] }\n'})
    planned = plan(world.seal, ADMINISTRATOR, SUBSCRIBER, only)
    assert planned.was is None
    assert not planned.gains
    assert planned.losses
    assert not any(each.who.startswith("Zed") for each in planned.losses)
    with world.seal.records.reading(SUBSCRIBER) as tx:
        assert kept.current(tx) is None
    put(world, only.files["rules.toml"])
    planned = plan(world.seal, ADMINISTRATOR, SUBSCRIBER, Proposal(files={"rules.toml": ALL}))
    assert (planned.added, planned.removed, planned.losses) == (("all",), ("zed",), ())
    assert planned.gains
    assert {each.rules for each in planned.gains} == {("all",)}


def test_what_cannot_be_applied_is_refused(world: World) -> None:
    """A rule that can never hold, no rule at all, a plan that was overtaken, and who may not."""
    with pytest.raises(BadInput, match="Rule 'gone' can never hold: there is no key 'nowhere'"):
        put(world, '[gone]\nkeys = ["nowhere"]\n')
    with pytest.raises(Misused):
        put(world, "# nothing\n")
    put(world, ALL)
    with pytest.raises(Conflict):
        put(world, '[b]\nkeys = ["*"]\n', was=None)
    with pytest.raises(NotPermitted):
        apply(world.seal, world.actor, SUBSCRIBER, Proposal(files={"a.toml": ALL}))


def test_duties_that_are_not_apart_are_accepted_only_with_a_reason_on_record(world: World) -> None:
    """Refused with the way; with a reason applied, and the reason is kept and logged."""
    certify(world, generate(world, "guarded", 1, (Approver("Ada", b"k" * 32),)))
    enrol.member(world.seal, SUBSCRIBER, "Ada", (Role.REQUESTER, Role.APPROVER))
    with pytest.raises(NotPermitted, match=r"Ada .* may ask for signatures with key 'guarded'"):
        put(world, ALL)
    digest = put(world, ALL, accept_conflict="Two people are all we are.")
    with world.seal.records.reading(SUBSCRIBER) as tx:
        (newest, *_) = kept.versions(tx)
        last = statements.last(tx, "administration")
    assert (newest.digest, newest.accepted) == (digest, "Two people are all we are.")
    assert last is not None
    assert b"Two people are all we are." in last.octets
    assert [each.kind for each in policies.conflicts(world.seal, SUBSCRIBER)] == ["asks-and-agrees"]


@pytest.mark.parametrize("limit", ["per-hour", "per-day", "in-all"])
def test_concurrent_requests_never_exceed_what_a_rule_allows(world: World, limit: str) -> None:
    """Twenty at once against a limit of seven: seven are written, and thirteen are refused for it."""
    put(world, f'[few]\nkeys = ["release"]\nat-most = {{ {limit} = 7 }}\n')
    made = [world.request(number) for number in range(20)]

    def one(number: int) -> Dossier | PrivySealError:
        (outcome,) = submit(world.seal, [Submission(world.actor, f"k{number}", made[number])])
        return outcome

    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        outcomes = list(pool.map(one, range(20)))
    assert sum(isinstance(each, Dossier) for each in outcomes) == 7
    refused = [each for each in outcomes if isinstance(each, PrivySealError)]
    assert all(isinstance(each, PolicyRefused) and "used up" in each.detail for each in refused)


def test_a_batch_counts_each_of_its_own_and_what_is_refused_counts_nothing(world: World) -> None:
    """Asked in one batch, in the way that costs least; and the same request again is not another one."""
    put(world, '[few]\nkeys = ["release"]\nat-most = { in-all = 3 }\n')
    submissions = [Submission(world.actor, f"k{n}", world.request(n)) for n in range(5)]
    outcomes = ask(world.seal, submissions)
    assert sum(isinstance(each, Dossier) for each in outcomes) == 3
    again = ask(world.seal, submissions)
    assert [isinstance(each, Dossier) for each in again] == [isinstance(each, Dossier) for each in outcomes]


def test_an_hour_s_count_begins_anew_with_the_next_hour_and_not_with_a_clock_put_back(world: World) -> None:
    """Hours of UTC; another node's slow clock gives nothing back."""
    put(world, '[few]\nkeys = ["release"]\nat-most = { per-hour = 1, in-all = 2 }\n')
    begun = world.now = world.now.replace(minute=30, second=0) + timedelta(hours=1)
    assert isinstance(asks(world, 1), Dossier)
    assert isinstance(asks(world, 2), PolicyRefused)
    world.now = begun + timedelta(hours=1)
    assert isinstance(asks(world, 3), Dossier)
    world.now = begun
    with world.seal.records.writing(SUBSCRIBER) as tx:
        limits = read_folder({"a.toml": '[a]\nkeys = ["k"]\nat-most = { per-hour = 1 }\n'}).rules["a"].at_most
        assert not kept.take(tx, "few", limits, 1, world.now)
    world.now = begun + timedelta(hours=2)
    assert isinstance(asks(world, 4), PolicyRefused), "two in all"


def test_a_rule_without_a_limit_saves_the_counts_of_one_with(world: World) -> None:
    """What is allowed anyway is not counted, and only rules that allowed it are recorded."""
    put(world, ALL + '[few]\nkeys = ["release"]\nat-most = { in-all = 1 }\n')
    for number in range(3):
        dossier = asks(world, number)
        assert isinstance(dossier, Dossier)
        assert dossier.allowed_by == ("all",)


def test_an_attestation_is_kept_for_its_file_and_asked_for_by_rules(world: World) -> None:
    """Handed in once or twice it is one; a file has few; and a request whose file brought it is allowed."""
    wanted = f'{{ keys = ["{KEY_TEXT}"], source = "git+https://example/*" }}'
    put(world, f'[attested]\nkeys = ["release"]\nattestations = [{wanted}]\n')
    request = msgspec.structs.replace(world.request(1), mode="server", input=FILE)
    with world.seal.records.writing(SUBSCRIBER) as tx:
        shelf = Shelf(world.now)
        pair = shelf.pair(tx, "release")
        with pytest.raises(PolicyRefused, match="brought no attestation"):
            policies.allow(tx, world.actor, request, pair, shelf)
    for _ in range(2):
        policies.bring(world.seal, world.actor, SUBSCRIBER, envelope())
    with world.seal.records.writing(SUBSCRIBER) as tx:
        assert kept.brought(tx, FILE) == (envelope(),)
        ruling = policies.allow(tx, world.actor, request, pair, Shelf(world.now))
        assert ruling is not None
        assert ruling.rules == ("attested",)
    with pytest.raises(TooLarge):
        for number in range(kept.MOST_ATTESTATIONS):
            policies.bring(world.seal, world.actor, SUBSCRIBER, envelope(predicateType=f"https://example/{number}"))
    with pytest.raises(NotPermitted):
        policies.bring(world.seal, ADMINISTRATOR, SUBSCRIBER, envelope())


def test_trying_out_says_why_or_what_is_missing(world: World) -> None:
    """For the policy in force, for files that are not, and where roles alone decide."""
    zed = enrol.member(world.seal, SUBSCRIBER, "Zed", (Role.REQUESTER,))
    enrol.member(world.seal, SUBSCRIBER, "Amy", (Role.APPROVER,))
    said = try_out(world.seal, ADMINISTRATOR, SUBSCRIBER, Trial(member="Zed", key="release"))
    assert (said.allowed, "roles alone" in said.sentence) == (True, True)
    put(world, '[amy]\nkeys = ["release"]\nwho = { roles = ["requester"] }\npublisher = ["Acme"]\n')
    said = try_out(world.seal, ADMINISTRATOR, SUBSCRIBER, Trial(member=zed.id, key="release"))
    assert (said.allowed, said.rules) == (False, {"amy": ("publisher name None is none of Acme",)})
    said = try_out(world.seal, ADMINISTRATOR, SUBSCRIBER, Trial(member="Zed", key="release", files={"a": ALL}))
    assert said.allowed
    said = try_out(world.seal, ADMINISTRATOR, SUBSCRIBER, Trial(member="Amy", key="release"))
    assert "no role that lets it ask" in said.sentence
    with pytest.raises(Misused):
        try_out(world.seal, ADMINISTRATOR, SUBSCRIBER, Trial(member="Nobody", key="release"))


def test_every_view_of_an_auditor_is_an_event_and_each_day_a_statement(world: World) -> None:
    """Three views on two days: three events, two acts."""
    auditor = Actor(Member("M-aud", SUBSCRIBER, "aud", (Role.AUDITOR,)), (Factor.BEARER,))
    assert viewing.is_watched(auditor)
    assert not viewing.is_watched(world.actor)
    with world.seal.records.reading(SUBSCRIBER) as tx:
        before = statements.last(tx, "administration")
    begun = 0 if before is None else statements.said_in(before.octets).number
    for days in (0, 0, 1):
        viewing.seen(world.seal, auditor, SUBSCRIBER, "/v1/demo/keys")
        world.now += timedelta(days=days)
    viewing.seen(world.seal, auditor, SUBSCRIBER, "/v1/demo/keys")
    with world.seal.records.reading(SUBSCRIBER) as tx:
        assert len(events_about(tx, "/v1/demo/keys")) == 4
        assert len(events_about(tx, f"M-aud on {world.now:%Y-%m-%d}")) == 1
        last = statements.last(tx, "administration")
        assert last is not None
        assert statements.said_in(last.octets).number == begun + 2


RUN = Workload(
    provider="github",
    issuer="https://token.actions.githubusercontent.com",
    subject="repo:acme/app",
    claims=(("repository_id", "1"),),
    run="7",
    attempt="1",
    trust="T-1",
)
TWO = ALL + '[release]\nkeys = ["release"]\n'


@pytest.mark.parametrize("kind", ["exchanged", "static"])
def test_a_token_for_one_rule_is_allowed_by_that_one_or_not_at_all(kind: str, world: World) -> None:
    """Whatever else would allow it; and by nothing where there is no such rule, or no policy."""

    def told(number: int, rule: str) -> Dossier | PrivySealError:
        if kind == "exchanged":
            actor = msgspec.structs.replace(world.actor, workload=msgspec.structs.replace(RUN, policy=rule))
        else:
            actor = msgspec.structs.replace(world.actor, scope=Scope(verbs=("request",), policy=rule))
        return asks(world, number, actor)

    refused = told(1, "release")
    assert isinstance(refused, PolicyRefused) and "no policy was ever applied" in str(refused)
    put(world, TWO)
    allowed, any_rule, other = told(2, "release"), told(3, ""), told(4, "nightly")
    assert isinstance(allowed, Dossier) and allowed.allowed_by == ("release",)
    assert isinstance(any_rule, Dossier) and any_rule.allowed_by == ("all", "release")
    assert isinstance(other, PolicyRefused) and "'nightly' alone" in str(other)


def trust_rule(world: World, policy: str = "", **conditions: str) -> None:
    """Let runs in as the machine ``ci``."""
    with world.seal.records.writing(SUBSCRIBER) as tx:
        known = [each for each in trust.members_of(tx, world.now) if each.name == "ci"]
        machine = known[0] if known else Member("M-ci", SUBSCRIBER, "ci", (Role.REQUESTER,), True)
        if not known:
            members.add_member(tx, machine)
        made = TrustRule(
            id="T-" + str(len(trust.rules(tx))),
            member=machine.id,
            platform="github",
            issuer=RUN.issuer,
            name="acme/app",
            conditions=tuple(sorted(conditions.items())),
            policy=policy,
        )
        trust.add_rule(tx, made, world.now)


RUNS = '[runs]\nkeys = ["release"]\nwho = { workload = { repository_id = "1", ref = "refs/tags/v*" } }\n'


def test_a_plan_shows_what_runs_gain_and_a_rule_about_runs_that_no_trust_rule_lets_in_is_refused(world: World) -> None:
    """By the trust rule's own claims; where it says nothing of a claim, that may be anything."""
    trust_rule(world, repository_id="2")
    with pytest.raises(BadInput, match="Rule 'runs' can never hold: it speaks of nobody"):
        put(world, ALL + RUNS)
    trust_rule(world, policy="all", repository_id="1")
    with pytest.raises(BadInput, match="Rule 'runs' can never hold"):
        put(world, ALL + RUNS)  # its runs are let in for the rule 'all' alone
    trust_rule(world, repository_id="1")
    put(world, '[one]\nkeys = ["release"]\nwho = { members = ["rehearsal client"] }\n')
    planned = plan(world.seal, ADMINISTRATOR, SUBSCRIBER, Proposal(files={"rules.toml": RUNS}))
    assert {each.who for each in planned.gains} == {"runs of acme/app under T-2 as ci (M-ci)"}
    put(world, RUNS)


def test_who_has_left_could_ask_for_nothing(world: World) -> None:
    """Nor the runs that acted as a machine that was ended."""
    trust_rule(world, repository_id="1")
    with world.seal.records.writing(SUBSCRIBER) as tx:
        assert {each.name for each in kept.parties(tx) if each.id == "M-ci"} == {"ci"}
        members.end(tx, "M-ci", world.now)
        assert not [each for each in kept.parties(tx) if each.id == "M-ci"]


def test_a_person_is_known_by_the_identities_that_are_linked(world: World) -> None:
    """An e-mail address is one person at every provider, and another subject only at its own."""
    ada = enrol.member(world.seal, SUBSCRIBER, "Ada", (Role.REQUESTER,))
    bob = enrol.member(world.seal, SUBSCRIBER, "Bob", (Role.APPROVER,))
    with world.seal.records.writing(SUBSCRIBER) as tx:
        people.link(tx, ada.id, "https://one.example", "ada@acme.example", world.now)
        people.link(tx, bob.id, "https://one.example", "17", world.now)
        people.link(tx, ada.id, "https://two.example", "17", world.now)
    assert not policies.conflicts(world.seal, SUBSCRIBER)
    with world.seal.records.writing(SUBSCRIBER) as tx:
        people.link(tx, bob.id, "https://two.example", "ADA@acme.example", world.now)
    (found,) = policies.conflicts(world.seal, SUBSCRIBER)
    assert (found.kind, found.warning) == ("one-person-twice", True)
