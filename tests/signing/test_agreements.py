"""Papers in versions, clause by clause: accepted by a named person, and in force for what is signed from then on."""

from __future__ import annotations

import msgspec
import pytest
from tests.world import SUBSCRIBER, World

from privyseal.errors import BadInput, Conflict, NotFound, NotPermitted
from privyseal.records import agreements as kept
from privyseal.records import events
from privyseal.signing import agreements, duties
from privyseal.signing.forms_of_parties import Acceptance
from privyseal.terms.agreements import Clause, Paper, PaperKind, Representative, changes
from privyseal.terms.parties import Actor, Factor, Member, Role
from privyseal.terms.requests import Dossier

OPERATOR = Actor(Member("M-operator", SUBSCRIBER, "operator", (Role.OPERATOR,)), (Factor.BEARER,))
ADMINISTRATOR = Actor(Member("M-admin", SUBSCRIBER, "admin", (Role.ADMINISTRATOR,)), (Factor.PASSKEY,))
ADA = Representative(name="Ada", title="CTO", capacity="director", authenticated="passport, seen by Bob")
COMMITMENTS = Paper(
    kind=PaperKind.COMMITMENTS,
    title="Terms",
    parties=("Service", "Demo"),
    clauses=(
        Clause(number="1", text="Authorised use.", answers=("CSBR-9.6.5-04",)),
        Clause(number="2", text="No Suspect Code.", answers=("CSBR-9.6.5-05",)),
        Clause(number="3", text="Report it.", answers=("CSBR-9.6.5-06",)),
    ),
)


def _accept(world: World, paper: Paper, who: Actor = ADMINISTRATOR) -> None:
    given = Acceptance(kind=paper.kind, sha256=paper.digest(), representative=ADA)
    agreements.accept(world.seal, who, SUBSCRIBER, given)


def _in_force(world: World) -> dict[str, tuple[int, str]]:
    with world.seal.records.reading(SUBSCRIBER) as tx:
        return {each.kind: (each.version, each.representative.name) for each in agreements.in_force(tx)}


def test_a_new_version_is_in_force_when_it_is_accepted(world: World) -> None:
    """Until then the one before is; the same paper again is no new version."""
    assert _in_force(world)[PaperKind.COMMITMENTS] == (1, "Nobody")
    added = agreements.add(world.seal, OPERATOR, SUBSCRIBER, COMMITMENTS)
    assert agreements.add(world.seal, OPERATOR, SUBSCRIBER, COMMITMENTS) == added
    assert (added.version, _in_force(world)[PaperKind.COMMITMENTS]) == (2, (1, "Nobody"))
    _accept(world, COMMITMENTS)
    assert _in_force(world)[PaperKind.COMMITMENTS] == (2, "Ada")
    with world.seal.records.reading(SUBSCRIBER) as tx:
        (accepted,) = [each for each in agreements.in_force(tx) if each.kind is PaperKind.COMMITMENTS]
    assert (accepted.by, accepted.factors, accepted.representative) == ("M-admin", ("passkey",), ADA)


def test_only_the_newest_version_is_accepted_and_only_as_it_was_read(world: World) -> None:
    """Who read an older one, or another text, is told so, and nothing changes."""
    agreements.add(world.seal, OPERATOR, SUBSCRIBER, COMMITMENTS)
    newer = msgspec.structs.replace(COMMITMENTS, title="Terms of 2027")
    agreements.add(world.seal, OPERATOR, SUBSCRIBER, newer)
    with pytest.raises(Conflict, match="newest version"):
        _accept(world, COMMITMENTS)
    with pytest.raises(NotFound, match="no ca-contract"):
        _accept(world, msgspec.structs.replace(COMMITMENTS, kind=PaperKind.CONTRACT))
    assert _in_force(world)[PaperKind.COMMITMENTS] == (1, "Nobody")


def test_who_may_add_and_who_may_accept(world: World) -> None:
    """The operator adds and the Subscriber accepts: neither role does the other's part."""
    with pytest.raises(NotPermitted):
        agreements.add(world.seal, ADMINISTRATOR, SUBSCRIBER, COMMITMENTS)
    agreements.add(world.seal, OPERATOR, SUBSCRIBER, COMMITMENTS)
    with pytest.raises(NotPermitted):
        _accept(world, COMMITMENTS, OPERATOR)
    stranger = Actor(Member("M-s", "acme", "s", tuple(Role)), (Factor.BEARER,))
    with pytest.raises(NotFound):
        _accept(world, COMMITMENTS, stranger)


@pytest.mark.parametrize(
    ("paper", "sentence"),
    [
        (msgspec.structs.replace(COMMITMENTS, clauses=COMMITMENTS.clauses[:1] * 2), "stands twice"),
        (msgspec.structs.replace(COMMITMENTS, ca_team=("Ada",)), "Only an internal agreement"),
        (msgspec.structs.replace(COMMITMENTS, clauses=(Clause(number="1", text="x", answers=("CSBR-1",)),)), "CSBR-1"),
    ],
)
def test_a_paper_that_cannot_be_is_refused(world: World, paper: Paper, sentence: str) -> None:
    """One sentence, and no version is added."""
    with pytest.raises(BadInput, match=sentence):
        agreements.add(world.seal, OPERATOR, SUBSCRIBER, paper)
    with world.seal.records.reading(SUBSCRIBER) as tx:
        assert len(kept.versions(tx, PaperKind.COMMITMENTS)) == 1


def test_every_signature_remembers_what_was_in_force(world: World) -> None:
    """Also after a newer version: the request names the log's entry, and the acceptance stands there before it."""
    first, second = world.client(1), world.client(2)
    world.ask([first])
    agreements.add(world.seal, OPERATOR, SUBSCRIBER, COMMITMENTS)
    _accept(world, COMMITMENTS)
    world.ask([second])
    found = []
    for ledger in (first, second):
        with world.seal.records.reading(SUBSCRIBER) as tx:
            from privyseal.records import requests

            known = requests.by_idempotency_key(tx, ledger.key)
            assert known is not None and isinstance(known[0], Dossier)
            found.append({each.kind: each.version for each in agreements.under(tx, known[0].id)})
            (asked, *_) = [one.what for one in events.events_about(tx, known[0].id)]
            assert known[0].intent is not None
            assert int(asked.rpartition(" ")[2]) < known[0].intent.index
    assert [each[PaperKind.COMMITMENTS] for each in found] == [1, 2]
    with world.seal.records.reading(SUBSCRIBER) as tx, pytest.raises(NotFound):
        agreements.under(tx, "R-none")


def test_what_a_version_changes_is_said_in_words() -> None:
    """New, gone, another text, and a requirement that is answered no more."""
    one, two, _ = COMMITMENTS.clauses
    newer = msgspec.structs.replace(
        COMMITMENTS,
        clauses=(
            msgspec.structs.replace(one, text="Any use."),
            msgspec.structs.replace(two, answers=()),
            Clause(number="4", text="New.", answers=("CSBR-9.6.3-02",)),
        ),
    )
    assert [each.words for each in changes(COMMITMENTS, newer)] == [
        "Clause 1 has another text.",
        "Clause 2 no longer answers CSBR-9.6.5-05.",
        "Clause 4 is new; it answers CSBR-9.6.3-02.",
        "Clause 3 is gone; it answers CSBR-9.6.5-06.",
    ]
    assert changes(COMMITMENTS, COMMITMENTS) == []


def test_who_is_in_both_teams_is_seen() -> None:
    """A finding of ours, not of any text."""
    teams = msgspec.structs.replace(
        COMMITMENTS, kind=PaperKind.INTERNAL, ca_team=("Ada", "Bob"), service_team=("Bob", "Eve")
    )
    teams.require_sound()
    assert teams.in_both_teams == ("Bob",)


def test_a_commitment_that_is_only_written_down_counts_when_it_is_logged(world: World) -> None:
    """While the log is away it is not known to gates; the duties log it, and then it is."""
    agreements.add(world.seal, OPERATOR, SUBSCRIBER, COMMITMENTS)
    logger = world.seal.logger

    class Away:
        def __getattr__(self, name: str) -> object:
            from privyseal.errors import LogUnavailable

            raise LogUnavailable("away")

    world.seal.logger = Away()  # type: ignore[assignment]
    _accept(world, COMMITMENTS)
    world.seal.logger = logger
    assert _by(world) == {"Nobody (of a rehearsal)"}
    duties.recover(world.seal)
    # What was committed before stays committed since then; the newer version is in force all the same.
    assert _by(world) == {"Nobody (of a rehearsal)"}
    assert _in_force(world)[PaperKind.COMMITMENTS] == (2, "Ada")


def _by(world: World) -> set[str]:
    with world.seal.records.reading_all_subscribers() as connection:
        commitments = world.seal.stated.known_of_all_subscribers(connection).commitments
    assert commitments is not None
    return {each.by for each in commitments[SUBSCRIBER]}
