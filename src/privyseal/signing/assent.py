"""An approval by passkey in the pages: what the browser is asked, and the approval made of its answer.

The challenge is the SHA-256 of what a key would have signed: the request's digest, the stage, and the approvals before
it. So an answer fits one request in one stage, and the signer verifies it by itself (``strongroom/assertions.py``).
"""

from __future__ import annotations

import hashlib

import msgspec

from privyseal.access import passkeys
from privyseal.access.quorum import Waiting
from privyseal.errors import Conflict, NotPermitted
from privyseal.records import approvals, keys, requests
from privyseal.signing.instance import PrivySeal
from privyseal.signing.people import means_in
from privyseal.signing.review import so_far
from privyseal.terms.canonical import decode_canonical
from privyseal.terms.keys import Approver
from privyseal.terms.parties import Actor
from privyseal.terms.requests import Approval, Assertion, Dossier, SigningRequest, State, approved_octets

AGAIN = "open the page again, read it, and approve what it shows then"
"""What to do where a page is out of date."""


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What a member is asked about a request that waits for it."""

    options: str
    """For ``navigator.credentials.get``, JSON; empty where ``why`` says that nothing can be asked."""
    stage: int
    why: str = ""
    """Why this member cannot approve by a passkey, in one sentence."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a browser handed back, with what its page had shown."""

    request: str
    digest: str
    stage: int
    answer: str


def question(seal: PrivySeal, actor: Actor, request_id: str, origin: str) -> Question | None:
    """Return what to ask a member's passkey; None where the request waits for nobody, or not for this member."""
    with seal.records.reading(actor.subscriber) as tx:
        dossier = requests.get(tx, request_id)
        request = decode_canonical(dossier.canonical, SigningRequest)
        pair = keys.key_pair(tx, request.key)
        before = so_far(pair, request, approvals.approvals_of(tx, request_id))
        mine = means_in(tx, actor.member).usable
    outcome = before.outcome
    if dossier.state is not State.REQUESTED or not isinstance(outcome, Waiting):
        return None
    asked = [each for each in pair.approvers if each.name in outcome.for_whom and each.member == actor.member.id]
    if not asked:
        return None
    known = [each for each in mine if any(is_of(each.credential, one) for one in asked)]
    if not known:
        why = "You are asked, but none of your passkeys is in this key's charter."
        return Question(options="", stage=outcome.stage, why=why)
    challenge = hashlib.sha256(approved_octets(request.digest(), outcome.stage, before.earlier)).digest()
    return Question(options=passkeys.request(origin, challenge, known), stage=outcome.stage)


def approval(seal: PrivySeal, actor: Actor, given: Answer) -> Approval:
    """Make an approval of what a passkey answered; Conflict where the request is not as its page showed it.

    Whether the passkey said yes to exactly this is for ``approve`` to find out, and for the signer.
    """
    found = passkeys.assertion(given.answer)
    with seal.records.reading(actor.subscriber) as tx:
        dossier = requests.get(tx, given.request)
        request = decode_canonical(dossier.canonical, SigningRequest)
        pair = keys.key_pair(tx, request.key)
        outcome = so_far(pair, request, approvals.approvals_of(tx, given.request)).outcome
        usable = any(each.credential == found.credential for each in means_in(tx, actor.member).usable)
    _require_as_shown(dossier, given, outcome.stage if isinstance(outcome, Waiting) else given.stage)
    approver = next((each for each in pair.approvers if is_of(found.credential, each)), None)
    if approver is None or not usable:
        raise NotPermitted(
            f"This passkey is not that of an approver of Key Pair {pair.name!r}.", hint="see /console/approver-key"
        )
    return Approval(
        approver=approver.name,
        public_key=approver.public_key,
        request_digest=request.digest(),
        signature=found.signature,
        stage=given.stage,
        assertion=Assertion(authenticator_data=found.authenticator_data, client_data=found.client_data),
    )


def _require_as_shown(dossier: Dossier, given: Answer, stage: int) -> None:
    if dossier.digest != given.digest:
        raise Conflict(f"Request {dossier.id} is not the one that the page showed; nothing was approved.", hint=AGAIN)
    if stage != given.stage:
        raise Conflict("Somebody else approved meanwhile, and the request waits in another stage now.", hint=AGAIN)


def is_of(credential: bytes, approver: Approver) -> bool:
    """Tell whether a credential, by its id, is the passkey that a charter gives for an approver."""
    passkey = approver.passkey
    return passkey is not msgspec.UNSET and passkey.credential == hashlib.sha256(credential).hexdigest()
