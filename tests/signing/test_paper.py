"""What is stated counts once it is in the log, and each failure in between is mended by stating it again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from datetime import date, timedelta

import msgspec
import pytest
from tests.world import SUBSCRIBER, WAYS, Plan, Way, World
from tests.world import _Crash as Crash

from privyseal.compliance.statements import AuditPeriod, Choice, Document, Matter, ModuleCertificate, Review, Stated
from privyseal.errors import BadInput, NotFound, NotPermitted, PrivySealError
from privyseal.records import events, statements
from privyseal.signing import duties, paper
from privyseal.terms.parties import Actor, Factor, Member, Role, SigningService
from privyseal.tlog.entry import Statement, commit, decode

MakeWorld = Callable[[Plan | None], World]
ADMINISTRATOR = Actor(Member("M-admin", SUBSCRIBER, "admin", (Role.ADMINISTRATOR,)), (Factor.BEARER,))
PERIOD = AuditPeriod(scheme="WebTrust", start=date(2025, 4, 1), end=date(2026, 3, 31), auditor="Auditor")
OCTETS = b"the auditor's report"
SHA256 = hashlib.sha256(OCTETS).hexdigest()
DOCUMENT = Document(sha256=SHA256, size=len(OCTETS), filename="r.pdf", kind="audit-report", issuer="Auditor")


def _send(world: World, octets: bytes = OCTETS) -> None:
    draft = paper.draft(world.seal, ADMINISTRATOR, SUBSCRIBER, hashlib.sha256(octets).hexdigest())
    if draft is not None:
        with draft:
            draft.append(octets)
            draft.keep()


def _state(world: World, matter: Matter = PERIOD) -> Stated:
    return paper.state(world.seal, ADMINISTRATOR, SUBSCRIBER, matter)[0]


def _listed(world: World) -> list[Stated]:
    """List what people stated; what the service states itself began with its founding."""
    with world.seal.records.reading(SUBSCRIBER) as tx:
        return [each for each in statements.listed(tx) if each.said.matter.topic not in paper.OWN]


def _in_log(world: World) -> dict[int, Statement]:
    decoded = dict(enumerate(decode(each) for each in world.entries()))
    return {
        index: entry
        for index, entry in decoded.items()
        if isinstance(entry, Statement) and entry.about not in paper.OWN
    }


def _check(world: World, matters: list[Matter]) -> None:
    """Everything that counts is in the log as it was said, and the log has nothing else."""
    listed, logged = _listed(world), _in_log(world)
    assert [each.said.matter for each in listed] == matters
    assert sorted(logged) == [each.entry for each in listed]
    for each in listed:
        assert logged[each.entry].about == each.said.matter.topic
        assert logged[each.entry].commitment == commit(each.salt, each.octets)
        with world.seal.records.reading(SUBSCRIBER) as tx:
            rows = tx.connection.exec_driver_sql("SELECT id FROM statements WHERE entry = " + str(each.entry)).all()
            (row,) = rows
            happened = [one for one in _events(world) if one.subject.startswith(row[0])]
        assert [one.actor for one in happened] == ["M-admin"]
    world.check()


def _events(world: World) -> list[events.Event]:
    from sqlalchemy import select

    from privyseal.records.tables import events as table

    with world.seal.records.reading(SUBSCRIBER) as tx:
        rows = tx.connection.execute(select(table).where(table.c.what.startswith("stated")))
        return [events.Event(row.at, row.actor, row.what, row.subject) for row in rows]


def test_what_is_stated_is_in_the_log_once(world: World) -> None:
    """Saying it again changes nothing; saying otherwise is a new statement with the next number."""
    first = _state(world)
    assert paper.state(world.seal, ADMINISTRATOR, SUBSCRIBER, PERIOD) == (first, False)
    changed = msgspec.structs.replace(PERIOD, auditor="Another")
    second = _state(world, changed)
    back = _state(world)
    assert [each.said.number for each in (first, second, back)] == [0, 1, 2]
    _check(world, [PERIOD, changed, PERIOD])


def test_a_document_is_evidence_when_it_is_here_and_was_stated(world: World) -> None:
    """Not before its octets came, not with another size; and a review is of a document that was stated."""
    seen = Review(document=SHA256, requirement="CSBR-8.4.2-01", verdict="met", note="Page 3.")
    with pytest.raises(NotFound, match="was not sent"):
        _state(world, DOCUMENT)
    _send(world)
    with pytest.raises(NotFound, match="no document"):
        _state(world, seen)
    with pytest.raises(BadInput, match="20 octets, not 21"):
        _state(world, msgspec.structs.replace(DOCUMENT, size=21))
    with pytest.raises(NotFound, match="no document"):
        paper.open_document(world.seal, ADMINISTRATOR, SUBSCRIBER, SHA256)
    _state(world, DOCUMENT)
    _state(world, seen)
    _state(world, msgspec.structs.replace(PERIOD, report=SHA256))
    _check(world, [DOCUMENT, seen, msgspec.structs.replace(PERIOD, report=SHA256)])
    for strange in (
        msgspec.structs.replace(PERIOD, report="0" * 64),
        ModuleCertificate(module="Box", scheme="FIPS", number="1", document="0" * 64),
    ):
        with pytest.raises(NotFound, match="no document"):
            _state(world, strange)


@pytest.mark.parametrize("role", [Role.REQUESTER, Role.APPROVER, Role.AUDITOR])
def test_only_administrators_state_anything(world: World, role: Role) -> None:
    someone = Actor(Member("M-x", SUBSCRIBER, "x", (role,)), (Factor.BEARER,))
    with pytest.raises(NotPermitted):
        paper.state(world.seal, someone, SUBSCRIBER, PERIOD)
    with pytest.raises(NotPermitted):
        paper.draft(world.seal, someone, SUBSCRIBER, SHA256)
    with pytest.raises(NotFound):
        paper.state(world.seal, ADMINISTRATOR, "other", PERIOD)
    _check(world, [])


def test_only_the_operator_speaks_for_the_service(world: World) -> None:
    """Another Subscriber's administrators add documents about themselves, and nothing else."""
    world.seal.service = SigningService("World", world.seal.service.affiliation, "another")
    _send(world)
    own = msgspec.structs.replace(DOCUMENT, about=f"subscriber:{SUBSCRIBER}")
    for refused in (
        PERIOD,
        DOCUMENT,
        msgspec.structs.replace(DOCUMENT, about="subscriber:another"),
        msgspec.structs.replace(DOCUMENT, about="key:" + "0" * 64),
        Choice(requirement="CSBR-8.4.2-01", reading=_reading(), note="No."),
    ):
        with pytest.raises(NotPermitted, match="do not speak for"):
            _state(world, refused)
    _state(world, own)
    _check(world, [own])


def _reading() -> str:
    from privyseal.compliance.catalogue import BY_ID

    conflict = BY_ID["CSBR-8.4.2-01"].conflict
    assert conflict is not None
    return conflict.default


def _tell(world: World) -> None:
    with suppress(PrivySealError):
        _send(world)
        _state(world, DOCUMENT)
    with suppress(PrivySealError):
        _state(world)


def _writes(make_world: MakeWorld) -> list[int]:
    """Return the places of what outlives a crash on the way of these two statements, not counting tiles."""
    world = make_world(None)
    _tell(world)
    assert len(_listed(world)) == 2
    return [at for at, name in enumerate(world.writes) if not name.startswith(("tile", "signer"))]


@pytest.mark.parametrize("crash", [False, True], ids=["fails", "crashes"])
@pytest.mark.parametrize("way", WAYS)
def test_every_write_may_fail_done_or_not_done(make_world: MakeWorld, way: Way, crash: bool) -> None:
    """Whatever fails, saying it again is enough: each thing counts once, and the log has each once."""
    for nth in _writes(make_world)[:: 2 if crash else 5]:
        world = make_world(Plan(nth, way, crash))
        try:
            _tell(world)
        except Crash:
            world.plan = None
            world.crash()
        world.plan = None
        if world._rooms["logger"].lost:
            world.crash()
        _send(world)
        _state(world, DOCUMENT)
        _state(world)
        listed = [each.said.matter for each in _listed(world)]
        assert sorted(map(type, listed), key=str) == [AuditPeriod, Document]
        _check(world, listed)
        world.discard()


def test_what_was_cut_short_is_finished_by_the_house(make_world: MakeWorld) -> None:
    """Nobody says it again: it is logged all the same, after a while, and only once."""
    world = make_world(None)
    _state(world)
    first = next(at for at, name in enumerate(world.writes) if name.startswith("logger: Append"))
    world = make_world(Plan(first, "lost"))
    with pytest.raises(PrivySealError):
        _state(world)
    assert _listed(world) == []
    duties.recover(world.seal)
    assert _listed(world) == []
    world.now += timedelta(seconds=60)
    duties.recover(world.seal)
    duties.recover(world.seal)
    _check(world, [PERIOD])


def test_another_word_waits_for_the_one_before(make_world: MakeWorld) -> None:
    """What was cut short is logged before what is said instead, so that numbers and entries have one order."""
    world = make_world(None)
    _state(world)
    first = next(at for at, name in enumerate(world.writes) if name.startswith("logger: Append"))
    world = make_world(Plan(first, "lost"))
    with pytest.raises(PrivySealError):
        _state(world)
    changed = msgspec.structs.replace(PERIOD, auditor="Another")
    _state(world, changed)
    _check(world, [PERIOD, changed])
