"""An agreement by passkey to a proposed act on a key: what the browser is asked, and what is made of its answer.

As with requests (``assent.py``), the challenge is the SHA-256 of what a key would have signed, so an answer fits one
act in one stage. Operators agree by their Ed25519 keys only; passkeys are those of a key's own approvers.
"""

from __future__ import annotations

import hashlib

from privyseal.access import passkeys
from privyseal.access.quorum import Waiting
from privyseal.errors import Conflict, NotPermitted
from privyseal.records import key_acts, keys
from privyseal.records.database import Transaction
from privyseal.records.key_acts import Proposed
from privyseal.signing.assent import AGAIN, Answer, Question, is_of
from privyseal.signing.instance import PrivySeal
from privyseal.signing.people import means_in
from privyseal.strongroom.acts import Freeze, Generate, act_digest, decode_act
from privyseal.strongroom.approvals import tally
from privyseal.terms.keys import Approver
from privyseal.terms.parties import Actor
from privyseal.terms.requests import Approval, Assertion, approved_octets


def question(seal: PrivySeal, actor: Actor, act_id: str, origin: str) -> Question | None:
    """Return what to ask a member's passkey; None where the act waits for nobody, or not for this member."""
    with seal.records.reading(actor.subscriber) as tx:
        proposed = key_acts.get(tx, act_id)
        found = _asked(tx, actor, proposed)
        mine = means_in(tx, actor.member).usable
    if found is None or proposed.state != "waiting" or seal.clock() >= proposed.expires:
        return None
    asked, stage, earlier = found
    known = [each for each in mine if any(is_of(each.credential, one) for one in asked)]
    if not known:
        why = "You are asked, but none of your passkeys is in this key's charter."
        return Question(options="", stage=stage, why=why)
    octets = approved_octets(act_digest(proposed.canonical), stage, earlier)
    return Question(options=passkeys.request(origin, hashlib.sha256(octets).digest(), known), stage=stage)


def _asked(tx: Transaction, actor: Actor, proposed: Proposed) -> tuple[list[Approver], int, bytes] | None:
    """Return as which approvers the member is asked now, in which stage, and over which earlier approvals."""
    act = decode_act(proposed.canonical)
    if isinstance(act, Generate):
        return None
    pair = keys.key_pair(tx, proposed.key_name)
    mine = [each for each in pair.approvers if each.member == actor.member.id]
    given = key_acts.approvals_of(tx, proposed.id)
    counted = tally(given, pair.approvers, pair.in_order, act_digest(proposed.canonical))
    if isinstance(act, Freeze):
        return (mine, 0, b"") if mine else None
    if not isinstance(counted.outcome, Waiting):
        return None
    asked = [each for each in mine if each.name in counted.outcome.for_whom]
    return (asked, counted.outcome.stage, counted.earlier) if asked else None


def approval(seal: PrivySeal, actor: Actor, given: Answer) -> Approval:
    """Make an agreement of what a passkey answered; Conflict where the act is not as its page showed it.

    Whether the passkey said yes to exactly this is for ``proposals.agree`` to find out, and for the signer.
    """
    found = passkeys.assertion(given.answer)
    with seal.records.reading(actor.subscriber) as tx:
        proposed = key_acts.get(tx, given.request)
        asked = _asked(tx, actor, proposed)
        usable = any(each.credential == found.credential for each in means_in(tx, actor.member).usable)
    digest = act_digest(proposed.canonical)
    if digest.hex() != given.digest or asked is None or asked[1] != given.stage:
        raise Conflict(f"Act {proposed.id} is not as the page showed it; nothing was agreed to.", hint=AGAIN)
    approver = next((each for each in asked[0] if is_of(found.credential, each)), None)
    if approver is None or not usable:
        raise NotPermitted(
            f"This passkey is not that of an approver of Key Pair {proposed.key_name!r}.",
            hint="see /console/approver-key",
        )
    return Approval(
        approver=approver.name,
        public_key=approver.public_key,
        request_digest=digest,
        signature=found.signature,
        stage=given.stage,
        assertion=Assertion(authenticator_data=found.authenticator_data, client_data=found.client_data),
    )
