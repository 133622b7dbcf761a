"""The service itself finds a key that must not sign: an incident is opened, the key is suspended, people are told.

It is the one thing that stops a key without a person: what is found is arithmetic, and every further signature, or
every hour, makes it worse. That the key signs again takes the people who enable it, after they decided the incident.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence

from privyseal.compliance.duty_facts import IncidentKind
from privyseal.compliance.incidents import Case
from privyseal.compliance.statements import Administered
from privyseal.pki import certificates
from privyseal.records import incidents, keys, lives
from privyseal.records.database import Transaction
from privyseal.signing import announce, life, notices, voice
from privyseal.signing.instance import PrivySeal
from privyseal.signing.notices import Notice
from privyseal.terms.keys import KeyPair
from privyseal.terms.life import KeyState, may_follow

TOPIC = "key.alarm"
LOOKED_AT = 200
"""Newest incidents among which one of the same finding is looked for."""


def sound(seal: PrivySeal, tx: Transaction, pair: KeyPair, text: str, requests: Sequence[str] = ()) -> Case | None:
    """Open an incident on a key, suspend the key where it signs, and tell; None where the same is open already.

    All of it stands in the transaction of whoever found it, or nothing.
    """
    known = incidents.listed(tx, LOOKED_AT)
    if any(each.text == text and pair.key_id in each.key_ids and each.closed is None for each in known):
        return None
    now = seal.clock().replace(microsecond=0)
    read = [certificates.read(chain[0]) for chain in keys.certificate_chains_of(tx, pair.key_id) if chain]
    case = Case(
        id="I-" + base64.b32encode(seal.draw(15)).decode("ascii").lower(),
        kind=IncidentKind.COMPROMISE,
        text=text,
        reported_by=voice.ITSELF,
        reported_at=now,
        keys=(pair.name,),
        key_ids=(pair.key_id,),
        requests=tuple(requests),
        certificates=tuple(each.fingerprint for each in read),
        cas=tuple(dict.fromkeys(each.issuer[:200] for each in read)),
    )
    incidents.add(tx, case)
    said = Administered(actor=voice.ITSELF, what="key alarm", subject=case.id, detail=f"{pair.name}: {text}"[:2000])
    announce.administered(seal, tx, said)
    stands = lives.find(tx, pair.name)
    if stands is not None and may_follow(stands.state, KeyState.SUSPENDED):
        life.move(seal, tx, pair.name, KeyState.SUSPENDED, text)
    data = {"incident": case.id, "key": pair.name, "text": text, "requests": list(requests)}
    notices.put(tx, seal, Notice(topic=TOPIC, data=data))
    return case


def tell(seal: PrivySeal, tx: Transaction, pair: KeyPair, text: str) -> None:
    """State and tell what is wrong with a key and no reason to stop it: a person decides."""
    said = Administered(actor=voice.ITSELF, what="key met elsewhere", subject=pair.key_id, detail=text[:2000])
    announce.administered(seal, tx, said)
    notices.put(tx, seal, Notice(topic=TOPIC, data={"key": pair.name, "text": text}))
