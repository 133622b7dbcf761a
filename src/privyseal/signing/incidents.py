"""Suspect Code and compromises: reported, decided, told to the CA, closed; and what a revocation would cost."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from privyseal.access import permissions
from privyseal.compliance.duty_facts import Notice
from privyseal.compliance.incidents import MOST_SIGNED, Case, OutsideReport, Report
from privyseal.compliance.statements import Administered
from privyseal.errors import BadInput, Conflict, Overloaded, Unavailable
from privyseal.pki import certificates
from privyseal.records import incidents, keys, packed, requests, signed
from privyseal.records.database import Transaction
from privyseal.signing import announce, notices
from privyseal.signing.forms_of_requests import Fate, Impact
from privyseal.signing.instance import PrivySeal
from privyseal.signing.notices import Notice as Told
from privyseal.terms.canonical import decode_canonical
from privyseal.terms.parties import Actor
from privyseal.terms.requests import SigningRequest

MOST_AN_HOUR = 60
"""Reports from outside that are taken in; each is read by a person."""
HOUR = timedelta(hours=1)
PORTION = 500
"""Released requests that are read at once for an impact."""
MOST_NAMED = 1000
"""Files that an impact names of each kind; it counts all."""


class Step(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What somebody did about an incident."""

    step: Literal["founded", "unfounded", "ca-notified", "revocation-asked", "closed"]
    note: Annotated[str, Meta(max_length=1000)] = ""
    ca: Annotated[str, Meta(max_length=200)] = ""
    """Whom, where a CA was told or asked."""
    at: Annotated[datetime, Meta(tz=True)] | None = None
    """When that was; now where it is not given."""


def report(seal: PrivySeal, actor: Actor, said: Report) -> Case:
    """Take in a report: its clocks run from now on, and what it concerns is found out.

    NotFound where there is no such key; a digest that nothing here has is part of the report all the same.
    """
    permissions.require(actor, "report-incident", actor.subscriber)
    now = seal.clock().replace(microsecond=0)
    if said.since is not None and said.since > now:
        raise BadInput("The report says since when, and that is not yet.", hint="check the time and its zone")
    with seal.records.writing(actor.subscriber) as tx:
        case = _concerned(tx, _case(seal, actor, said, now), said)
        incidents.add(tx, case)
        _administered(seal, tx, actor, "incident reported", case, said.text)
        notices.put(tx, seal, Told(topic="incident.reported", data=_data(case)))
    return case


def report_from_outside(seal: PrivySeal, said: OutsideReport) -> Case:
    """Take in what somebody without an account reports: it is filed with whose code it is, or else with the operator.

    Its clocks run, and no key is believed to be compromised by it: anybody could stop a release otherwise. Raises
    Overloaded beyond so many an hour, Unavailable where the service has no operator to read it.
    """
    now = seal.clock().replace(microsecond=0)
    with seal.records.reading_all_subscribers() as connection:
        recent = [k for k in incidents.cases_of_all_subscribers(connection) if k.case.outside]
        if sum(each.case.reported_at > now - HOUR for each in recent) >= MOST_AN_HOUR:
            raise Overloaded("More was reported in the last hour than can be looked at.", hint="write to the operator")
        digests = [bytes.fromhex(each) for each in said.digests if len(each) % 2 == 0]
        owners = [one for each in digests for one in signed.owners_of_all_subscribers(connection, each)]
    subscriber = owners[0] if owners else seal.service.operator
    if subscriber is None:
        raise Unavailable("Nobody here reads reports.", hint="write to whoever runs the service")
    case = Case(
        id="I-" + base64.b32encode(seal.draw(15)).decode("ascii").lower(),
        kind=said.kind,
        text=said.text,
        reported_by="outsider",
        reported_at=now,
        outside=True,
        contact=said.contact,
    )
    with seal.records.writing(subscriber) as tx:
        case = _concerned(tx, case, Report(kind=said.kind, text=said.text, digests=said.digests))
        incidents.add(tx, case)
        act = Administered(actor="outsider", what="incident reported", subject=case.id, detail=said.text)
        announce.administered(seal, tx, act)
        notices.put(tx, seal, Told(topic="incident.reported", data=_data(case)))
    return case


def _case(seal: PrivySeal, actor: Actor, said: Report, now: datetime) -> Case:
    return Case(
        id="I-" + base64.b32encode(seal.draw(15)).decode("ascii").lower(),
        kind=said.kind,
        text=said.text,
        reported_by=actor.member.id,
        reported_at=now,
        since=said.since,
    )


def _concerned(tx: Transaction, case: Case, said: Report) -> Case:
    """Find the requests, keys, certificates and CAs that a report is about."""
    digests = [bytes.fromhex(each) for each in said.digests if len(each) % 2 == 0]
    found = {thing.request for each in digests for thing in signed.found(tx, each, MOST_SIGNED)}
    asked = [decode_canonical(requests.get(tx, each).canonical, SigningRequest) for each in sorted(found)[:MOST_SIGNED]]
    pairs = {name: keys.key_pair(tx, name) for name in (*said.keys, *(each.key for each in asked))}
    chains = [chain for name in said.keys for chain in keys.certificate_chains_of(tx, pairs[name].key_id)]
    chains += [keys.certificate_chain(tx, each) or () for each in {one.certificate for one in asked}]
    facts = {one.fingerprint: one for one in (certificates.read(chain[0]) for chain in chains if chain)}
    return msgspec.structs.replace(
        case,
        keys=tuple(pairs),
        key_ids=tuple(each.key_id for each in pairs.values()),
        requests=tuple(sorted(found)[:MOST_SIGNED]),
        certificates=tuple(facts)[:MOST_SIGNED],
        cas=tuple(dict.fromkeys(each.issuer[:200] for each in facts.values())),
    )


def act(seal: PrivySeal, actor: Actor, incident_id: str, done: Step) -> Case:
    """Write down what was decided or done about an incident; the same again changes nothing.

    BadInput where a CA is not named, or not one that issued; Conflict where the incident is closed, or is to be closed
    and nobody has decided what it is.
    """
    permissions.require(actor, "handle-incidents", actor.subscriber)
    now = seal.clock().replace(microsecond=0)
    with seal.records.writing(actor.subscriber) as tx:
        kept = incidents.get(tx, incident_id)
        case = _stepped(kept.case, actor, done, now)
        if case == kept.case:
            return case
        incidents.replace(tx, kept, case)
        what = "incident " + done.step.replace("-", " ")
        _administered(seal, tx, actor, what, case, f"{done.ca} {done.note}".strip())
        topic = {"founded": "incident.decided", "unfounded": "incident.decided", "closed": "incident.closed"}
        if done.step in topic:
            notices.put(tx, seal, Told(topic=topic[done.step], data=_data(case)))
    return case


def _stepped(case: Case, actor: Actor, done: Step, now: datetime) -> Case:
    at = done.at or now
    if not case.reported_at <= at <= now:
        raise BadInput("That would be before the report, or is not yet.", hint="check the time and its zone")
    if done.step == "closed":
        if case.closed is not None:
            return case
        if case.judged == "open":
            raise Conflict("Nobody has decided what the incident is.", hint="decide it first: founded or unfounded")
        return msgspec.structs.replace(case, closed=now)
    if case.closed is not None:
        raise Conflict(f"{case.id} is closed.", hint="report what is new as an incident of its own")
    if done.step in ("founded", "unfounded"):
        if case.judged == done.step:
            return case
        decided = {"judged": done.step, "decided_by": actor.member.id, "decided_at": at, "note": done.note}
        return msgspec.structs.replace(case, **decided)
    if done.ca not in case.cas:
        raise BadInput(f"{done.ca[:60]!r} issued none of the certificates.", hint="one of: " + "; ".join(case.cas))
    field = "notices" if done.step == "ca-notified" else "revocations_asked"
    known: tuple[Notice, ...] = getattr(case, field)
    if any(each.ca == done.ca for each in known):
        return case
    return msgspec.structs.replace(case, **{field: (*known, Notice(ca=done.ca, at=at))})


def impact(seal: PrivySeal, actor: Actor, fingerprint: str, date: datetime) -> Impact:
    """Say which released files die if this certificate is revoked as of ``date``: those without a timestamp before it.

    A verifier honours a signature whose timestamp lies before the revocation date (CSBR 4.9.1.1, RFC 5280 5.3.2). Every
    release is looked at, so of a million it takes a minute.
    """
    permissions.require(actor, "see-incidents", actor.subscriber)
    with seal.records.reading(actor.subscriber) as tx:
        return _impact(tx, fingerprint, date, lambda after: signed.released_between(tx, None, None, after, PORTION))


_Portion = Callable[[tuple[datetime, str] | None], list[signed.Released]]


def _impact(tx: Transaction, fingerprint: str, date: datetime, portion: _Portion) -> Impact:
    if keys.certificate_chain(tx, fingerprint) is None:
        raise BadInput(f"No certificate {fingerprint[:16]}... is installed here.", hint="privyseal cert list")
    dying: list[Fate] = []
    living: list[Fate] = []
    counts = {True: 0, False: 0}
    after: tuple[datetime, str] | None = None
    while rows := portion(after):
        after = (rows[-1].released, rows[-1].id)
        for fate in _fates(rows, fingerprint):
            lives = fate.stamped is not None and fate.stamped < date
            counts[lives] += 1
            some = living if lives else dying
            if len(some) < MOST_NAMED:
                some.append(fate)
    return Impact(
        certificate=fingerprint,
        date=date,
        dies=counts[False],
        lives=counts[True],
        dying=_with_runs(tx, dying),
        living=_with_runs(tx, living),
    )


def _with_runs(tx: Transaction, fates: Sequence[Fate]) -> tuple[Fate, ...]:
    runs = signed.runs_of(tx, [each.request for each in fates])
    replace = msgspec.structs.replace
    return tuple(
        replace(each, exchange=runs[each.request].exchange) if each.request in runs else each for each in fates
    )


def _fates(rows: Iterable[signed.Released], fingerprint: str) -> Iterable[Fate]:
    for row in rows:
        asked = decode_canonical(row.canonical, SigningRequest)
        if asked.certificate == fingerprint:
            # The latest of several: what one signature of a file lacks, the whole file lacks.
            stamped = max((each.time for each in packed.tokens(row.tokens)), default=None)
            for each in asked.described:
                yield Fate(request=row.id, filename=each.filename, stamped=stamped)


def _data(case: Case) -> dict[str, object]:
    return {
        "incident": case.id,
        "kind": case.kind.value,
        "judged": case.judged,
        "keys": case.keys,
        "text": case.text[:300],
    }


def _administered(seal: PrivySeal, tx: Transaction, actor: Actor, what: str, case: Case, detail: str) -> None:
    announce.administered(
        seal, tx, Administered(actor=actor.member.id, what=what, subject=case.id, detail=detail[:2000])
    )
