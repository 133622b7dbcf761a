"""What people stated reaches the evaluation and the gates, and what the evaluation changes its mind about is stated."""

from __future__ import annotations

import hashlib
from datetime import date

import msgspec
import pytest
from tests.world import SUBSCRIBER, World

from privyseal.compliance.known import SERVICE
from privyseal.compliance.outcome import Verdict
from privyseal.compliance.requirement import Kind
from privyseal.compliance.statements import AuditPeriod, Choice, Document, Matter, Review, Stated
from privyseal.compliance.statements_of_verdicts import Found
from privyseal.records import findings, statements
from privyseal.signing import duties, paper
from privyseal.signing.known import known_from
from privyseal.terms.parties import Actor, Factor, Member, Role

ADMINISTRATOR = Actor(Member("M-admin", SUBSCRIBER, "admin", (Role.ADMINISTRATOR,)), (Factor.BEARER,))
OCTETS = b"which systems there are"
SHA256 = hashlib.sha256(OCTETS).hexdigest()
DOCUMENT = Document(sha256=SHA256, size=len(OCTETS), filename="a.pdf", kind="inventory", issuer="Us")
REVIEW = Review(document=SHA256, requirement="NSR-1-01", verdict="met", note="All of them are on page 2.")
CHOICE = Choice(requirement="CSBR-8.4.2-01", reading="table", note="Our auditor reads it so.")
PERIOD = AuditPeriod(scheme="WebTrust", start=date(2025, 4, 1), end=date(2026, 3, 31), auditor="Auditor")


def _state(world: World, *matters: Matter) -> None:
    with paper.documents(world.seal).draft(SHA256) as draft:
        draft.append(OCTETS)
        draft.keep()
    for matter in matters:
        paper.state(world.seal, ADMINISTRATOR, SUBSCRIBER, matter)


def _known(world: World):  # type: ignore[no-untyped-def]
    with world.seal.records.reading_all_subscribers() as connection:
        return world.seal.stated.known_of_all_subscribers(connection)


def _verdict(world: World, requirement: str) -> Verdict | None:
    with world.seal.records.reading_all_subscribers() as connection:
        found = findings.verdicts_of_all_subscribers(connection, Kind.ORGANISATION, None, [world.seal.service.name])
    last = found.get((world.seal.service.name, requirement))
    return None if last is None else last.verdict


def test_what_was_stated_is_known_at_once(world: World) -> None:
    """Documents with their reviews, choices, periods; also to an instance that has read everything before."""
    assert _known(world).documents(SERVICE) == ()
    _state(world, DOCUMENT)
    [held] = _known(world).held[SERVICE]
    assert (held.kind, held.sha256, held.reviews) == ("inventory", SHA256, ())
    _state(world, REVIEW, CHOICE, PERIOD)
    [held] = _known(world).held[SERVICE]
    assert [(each.requirement, each.verdict, each.who) for each in held.reviews] == [("NSR-1-01", "met", "M-admin")]
    assert _known(world).choices == {"CSBR-8.4.2-01": "table"}
    [(first, last)] = _known(world).audit_periods
    assert (first.isoformat(), last.isoformat()) == ("2025-04-01T00:00:00+00:00", "2026-03-31T23:59:59+00:00")


def test_what_is_only_written_down_is_not_known(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log decides: a statement that did not reach it counts for nothing yet."""
    monkeypatch.setattr(statements, "place", lambda *_: False)
    _state(world, DOCUMENT)
    assert _known(world).documents(SERVICE) == ()


def test_a_review_counts_for_documents_of_the_same_subscriber_only(world: World) -> None:
    """Nobody judges what others handed in."""
    _state(world, DOCUMENT, REVIEW)
    with world.seal.records.reading_all_subscribers() as connection:
        stated = statements.stated_of_all_subscribers(connection)
    others = [
        msgspec.structs.replace(each, said=msgspec.structs.replace(each.said, subscriber="other"))
        if isinstance(each.said.matter, Review)
        else each
        for each in stated
    ]
    [held] = known_from(others).held[SERVICE]
    assert held.reviews == ()


def test_a_later_review_takes_the_place_of_the_first(world: World) -> None:
    """Both stay in the log; the last one counts."""
    _state(world, DOCUMENT, REVIEW, msgspec.structs.replace(REVIEW, verdict="not-met", note="One is missing."))
    [held] = _known(world).held[SERVICE]
    assert [each.verdict for each in held.reviews] == ["not-met"]


def test_a_changed_verdict_is_a_row_and_an_entry_of_the_log(world: World) -> None:
    """From not evidenced over a document's review to met: stated by the service, in its operator's name."""
    duties.evaluate(world.seal)
    assert _verdict(world, "NSR-1-01") is Verdict.NOT_EVIDENCED
    assert _found(world) == []
    _state(world, DOCUMENT, REVIEW)
    duties.evaluate(world.seal)
    assert _verdict(world, "NSR-1-01") is Verdict.MET
    duties.recover(world.seal)
    [stated] = [each for each in _found(world) if each.said.matter.requirement == "NSR-1-01"]  # type: ignore[union-attr]
    assert (stated.said.by, stated.said.subscriber) == ("service", SUBSCRIBER)
    assert stated.said.matter.verdict == "met"  # type: ignore[union-attr]
    duties.evaluate(world.seal)
    duties.recover(world.seal)
    assert len([each for each in _found(world) if each.said.matter.requirement == "NSR-1-01"]) == 1  # type: ignore[union-attr]
    world.check()


def _found(world: World) -> list[Stated]:
    with world.seal.records.reading_all_subscribers() as connection:
        listed = statements.stated_of_all_subscribers(connection, ("finding",))
    return [each for each in listed if isinstance(each.said.matter, Found)]
