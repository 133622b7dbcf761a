"""The house holds what clouds count against what its signer counted, once a day, and states what came of it.

A cloud that counted more signatures than the signer asked for has a key that somebody else used: that is an incident,
and the key is believed to be compromised until a person has decided (CSBR 9.6.3). One that counted fewer has a log that
is not whole, which is told and is not met; it opens no incident of a key.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from datetime import datetime, timedelta

from privyseal.compliance.duty_facts import IncidentKind
from privyseal.compliance.incidents import Case
from privyseal.compliance.statements import Administered
from privyseal.compliance.statements_of_clouds import MOST_KEYS, CloudReconciled, Differs
from privyseal.pki import certificates
from privyseal.records import incidents, keys
from privyseal.records.database import Transaction
from privyseal.records.events import Event
from privyseal.signing import announce, notices
from privyseal.signing.instance import PrivySeal
from privyseal.signing.notices import Notice
from privyseal.terms.clouds import CloudUses, Difference, KeyUses

EVERY = timedelta(hours=24)
"""How often clouds are asked."""
SETTLES = timedelta(hours=1)
"""How much younger than now what the signer compares may be at most."""
FIRST = timedelta(days=90)
"""How far back the first comparison looks: as far as the signer has counted, and CloudTrail goes."""
_MOST_OPEN = 1000
_SLACK = timedelta(minutes=2)  # periods end at whole minutes


def reconcile(seal: PrivySeal) -> tuple[CloudUses, ...]:
    """Have each cloud compared where that is due, state it, and open incidents; nothing where none is due.

    KeyStoreUnavailable where the signer cannot be asked. Another node's doing it is as good: what was stated twice is
    one slot, and an incident that is open is not opened again.
    """
    now = seal.clock()
    with seal.records.reading_all_subscribers() as connection:
        before = seal.stated.known_of_all_subscribers(connection).clouds
    last = max((each.until for each in before), default=None)
    if last is not None and now - last < EVERY + SETTLES:
        return ()
    found = seal.signer.clouds(now - FIRST if last is None else _since(before, last))
    for home in found:
        for subscriber in dict.fromkeys(each.subscriber for each in home.keys):
            uses = [each for each in home.keys if each.subscriber == subscriber]
            with seal.records.writing(subscriber) as tx:
                _state(seal, tx, home, uses)
                for one in uses:
                    if one.difference == "more":
                        _open(seal, tx, home, one, now)
    return found


def _since(before: Iterable[CloudReconciled], last: datetime) -> datetime:
    """Return from when on to compare: where the last round ended, or where it began if a home could not be asked."""
    round_before = [each for each in before if last - each.until < EVERY]
    return min(each.since if each.trouble else each.until for each in round_before)


def _state(seal: PrivySeal, tx: Transaction, home: CloudUses, uses: list[KeyUses]) -> None:
    """State what came of one Subscriber's keys in one home, and tell where something is wrong."""
    matter = CloudReconciled(
        store=home.store,
        home=home.home,
        since=home.since,
        until=home.until,
        source=home.source[:500],
        on=home.on,
        gaps=tuple(each[:500] for each in home.gaps[:32]),
        trouble=home.trouble[:500],
        keys=len(uses),
        signatures=sum(each.counted for each in uses),
        more=_differing(uses, "more"),
        fewer=_differing(uses, "fewer"),
    )
    subject = f"{home.store} {home.home} until {home.until.isoformat()}"
    announce.stated(seal, tx, Event(seal.clock(), "service", "cloud reconciled", subject), matter)
    if matter.more or matter.fewer or matter.gaps or matter.trouble or not matter.on:
        data: dict[str, object] = {
            "home": f"{home.store} {home.home}",
            "on": matter.on,
            "gaps": matter.gaps,
            "trouble": matter.trouble,
            "more": [each.key_id for each in matter.more],
            "fewer": [each.key_id for each in matter.fewer],
        }
        notices.put(tx, seal, Notice(topic="cloud.differs", data=data))


def _differing(uses: Iterable[KeyUses], how: Difference) -> tuple[Differs, ...]:
    some = [each for each in uses if each.difference == how]
    return tuple(
        Differs(key_id=each.key_id, counted=each.counted, at_least=each.at_least, at_most=each.at_most)
        for each in some[:MOST_KEYS]
    )


def _open(seal: PrivySeal, tx: Transaction, home: CloudUses, uses: KeyUses, now: datetime) -> None:
    """Open an incident of a key that somebody else used, unless one of the service's own is open for it.

    Nor where one that was closed was of this period already: it is compared again where another home was silent.
    """
    at = now.replace(microsecond=0)
    for each in incidents.listed(tx, _MOST_OPEN):
        known = each.closed is None or each.reported_at - SETTLES - _SLACK > home.since
        if known and each.reported_by == "service" and uses.key_id in each.key_ids:
            return
    chains = keys.certificate_chains_of(tx, uses.key_id)
    facts = {one.fingerprint: one for one in (certificates.read(chain[0]) for chain in chains if chain)}
    text = (
        f"The audit log of {home.store} {home.home} counted {uses.counted} signatures of this key from"
        f" {home.since.isoformat()} to {home.until.isoformat()}; the signer asked for {uses.at_most} at most."
    )
    case = Case(
        id="I-" + base64.b32encode(seal.draw(15)).decode("ascii").lower(),
        kind=IncidentKind.COMPROMISE,
        text=text,
        reported_by="service",
        reported_at=at,
        since=home.since.replace(microsecond=0),
        keys=(uses.name,),
        key_ids=(uses.key_id,),
        certificates=tuple(facts),
        cas=tuple(dict.fromkeys(each.issuer[:200] for each in facts.values())),
    )
    incidents.add(tx, case)
    act = Administered(actor="service", what="incident reported", subject=case.id, detail=text)
    announce.administered(seal, tx, act)
    data: dict[str, object] = {"incident": case.id, "kind": case.kind.value, "judged": case.judged, "text": text}
    notices.put(tx, seal, Notice(topic="incident.reported", data=data | {"keys": case.keys}))
