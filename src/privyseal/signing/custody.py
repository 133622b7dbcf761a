"""A Key Pair's life: born inside the signer after its intent was logged, then given a certificate."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial

from msgspec import Struct

from privyseal.compliance.statements import Administered
from privyseal.errors import LogUnavailable, PrivySealError, VerificationFailed
from privyseal.pki import certificates
from privyseal.records import keys, parties
from privyseal.records.database import Transaction
from privyseal.signing import alarms, announce, life, voice, weakness
from privyseal.signing.instance import REFUSALS_OF_THE_MARK, PrivySeal
from privyseal.strongroom.acts import Act, Amend, Destroy, Freeze, Generate, RevokeGrant, Unfreeze, act_digest, uses_of
from privyseal.strongroom.messages import Acted, AdministrativeAct, Appended
from privyseal.terms.canonical import canonical_json
from privyseal.terms.certificates import Certificate
from privyseal.terms.keys import KeyPair
from privyseal.terms.life import KeyState, is_behind
from privyseal.terms.requests import Approval
from privyseal.tlog.entry import Completed, CompletionSubmission, IntentSubmission, commit, key_tag

LIFE_OF_AN_ACT = timedelta(hours=1)
"""How long an act that needs no approval stays good: it is carried out at once; this allows for a slow clock."""


class Agreed(Struct, frozen=True):
    """By whom an act on a key is carried out, by which proposed act people agreed, and what becomes of the key."""

    by: str = voice.ITSELF
    """Id of the member, or ``service``."""
    id: str = ""
    becomes: KeyState | None = None
    why: str = ""


BY_THE_SERVICE = Agreed()
"""Carried out by the service itself, whoever sits at its machine."""


def generate(
    seal: PrivySeal, act: Generate, approvals: Sequence[Approval] = (), agreed: Agreed = BY_THE_SERVICE
) -> KeyPair:
    """Have a Key Pair generated inside the signer and write it down.

    The intent is logged under the tag of the label, for there is no public key yet; the completion follows the birth.
    Raises Conflict where the name is taken, and whatever the signer refuses.
    """
    with seal.records.reading(act.subscriber) as tx:
        owner = parties.subscriber(tx)
        keys.require_free(tx, act.key)
    tag = key_tag(owner.tag_key, act.label.encode("utf-8"))
    pair = acted(seal, act, tag, tuple(approvals), owner.tag_key).key_pair
    weak = weakness.flaws(pair.public_key)
    with seal.records.writing(act.subscriber) as tx:
        keys.add_key_pair(tx, pair)
        life.move(seal, tx, pair.name, KeyState.GENERATED, act=agreed.id, key_id=pair.key_id, actor=agreed.by)
        for text in weak:
            alarms.sound(seal, tx, pair, text)
    return pair


def carry_out(
    seal: PrivySeal,
    pair: KeyPair,
    act: Amend | Freeze | Unfreeze | Destroy | RevokeGrant,
    approvals: Sequence[Approval] = (),
    agreed: Agreed = BY_THE_SERVICE,
) -> KeyPair:
    """Have the signer change a Key Pair's charter and write down what the key is then, and how it stands.

    The intent and what came of it are logged under the key's tag. Raises whatever the signer refuses, of which nothing
    is written down here: Conflict where the charter has another version or is so already.
    """
    changed = acted(seal, act, pair.key_tag, tuple(approvals)).key_pair
    with seal.records.writing(pair.subscriber) as tx:
        keys.replace_key_pair(tx, changed)
        _announce(seal, tx, changed, act, agreed)
    return changed


def catch_up(seal: PrivySeal, pair: KeyPair, agreed: Agreed) -> None:
    """Write down what the signer did already, or had no need to do: the walk that asked for it was cut short."""
    with seal.records.writing(pair.subscriber) as tx:
        keys.replace_key_pair(tx, pair)
        if agreed.becomes is not None:
            life.move(seal, tx, pair.name, agreed.becomes, agreed.why, agreed.by, act=agreed.id)


def _announce(seal: PrivySeal, tx: Transaction, pair: KeyPair, act: Act, agreed: Agreed) -> None:
    """State what became of a key, by the change of its state where there is one."""
    if agreed.becomes is not None and not is_behind(life.of(tx, pair.name).state, agreed.becomes):
        life.move(seal, tx, pair.name, agreed.becomes, agreed.why, agreed.by, act=agreed.id)
        return
    verb = str(type(act).__struct_config__.tag)
    done = Administered(actor=agreed.by, what=f"signer did {verb}", subject=pair.key_id, detail=pair.name)
    announce.administered(seal, tx, done)


def certify(seal: PrivySeal, pair: KeyPair, chain: Sequence[bytes]) -> Certificate:
    """Install the chain (DER, the signer's own first) of a certificate for a Key Pair.

    A key that was born in rehearsal is enabled with it; another one waits for the people who enable it. Raises
    VerificationFailed where the certificate is for another key, or where it is not in force.
    """
    certificate = certificates.read(chain[0])
    if certificate.key_id != pair.key_id:
        raise VerificationFailed(f"The certificate is for another public key than Key Pair {pair.name!r} has.")
    now = seal.clock()
    if not certificate.in_force(now):
        raise VerificationFailed(
            f"The certificate is in force from {certificate.not_before} to {certificate.not_after} only, not now."
        )
    with seal.records.writing(pair.subscriber) as tx:
        keys.install_certificate(
            tx, fingerprint=certificate.fingerprint, key_id=pair.key_id, chain=tuple(chain), now=now
        )
        what, subject = "certificate installed", certificate.fingerprint
        announce.administered(seal, tx, Administered(actor=voice.ITSELF, what=what, subject=subject, detail=pair.name))
        life.certified(seal, tx, pair, subject)
    return certificate


def acted(seal: PrivySeal, act: Act, tag: str, approvals: tuple[Approval, ...] = (), tag_key: bytes = b"") -> Acted:
    """Log an act's intent, have the signer act, log what came of it; writes nothing down here.

    Raises whatever the signer refuses.
    """
    payload, salt = canonical_json(act), seal.draw(32)
    verb = type(act).__struct_config__.tag
    intent = IntentSubmission(verb=str(verb), key_tag=tag, uses=uses_of(act), commitment=commit(salt, payload))
    appended = seal.logger.append([intent], since=seal.signer_mark)
    index = appended.items[0].index
    try:
        done = _ask(
            seal, partial(AdministrativeAct, payload=payload, approvals=approvals, tag_key=tag_key, salt=salt), appended
        )
    except PrivySealError as error:
        _complete(seal, tag, index, payload, f"{error.code}: {error.detail}")
        raise
    _complete(seal, tag, index, payload, None, done.value)
    return done


def _ask(seal: PrivySeal, question: Callable[..., AdministrativeAct], appended: Appended) -> Acted:
    """Send the act with its proof, renewed until it fits the signer's mark."""
    for _ in range(REFUSALS_OF_THE_MARK):
        logged = appended.items[0]
        if logged.key_seq is None:
            raise LogUnavailable("The logger gave an intent no place in its key's sequence.")
        answer = seal.signer.act(
            question(
                index=logged.index,
                key_seq=logged.key_seq,
                path=logged.path,
                checkpoint=appended.checkpoint,
                since=appended.since,
                consistency=appended.consistency,
            )
        )
        seal.learn_signer_mark(answer.mark)
        if isinstance(answer, Acted):
            return answer
        appended = seal.logger.prove([logged.index], since=answer.mark)
    raise LogUnavailable("The signer's mark moved on each time the log was proven to it.", hint="safe to run again")


def _complete(seal: PrivySeal, tag: str, intent: int, payload: bytes, reason: str | None, value: bytes = b"") -> None:
    made = (hashlib.sha256(value).hexdigest(),) if value else ()
    completed = Completed(
        intent=intent, request=act_digest(payload).hex(), signatures=made, blobs=(), tokens=(), reason=reason
    )
    submission = CompletionSubmission(
        key_tag=tag,
        intent=intent,
        outcome="signed" if reason is None else "aborted",
        commitment=commit(seal.draw(32), canonical_json(completed)),
    )
    seal.logger.append([submission], since=0)
