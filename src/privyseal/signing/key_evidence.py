"""What shows where a key lives: the module's own attestation, kept with the key, and one signed file for the CA.

The files of an attestation were written by strangers, so a confined child reads them. They are kept as documents, by
their digests, and what they prove is a statement that the log fixes; evaluations and gates go by it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from msgspec import Struct

from privyseal.access import permissions, sessions
from privyseal.compliance import modules
from privyseal.compliance.known import Known
from privyseal.compliance.modules import Keeper
from privyseal.compliance.statements import Administered, Stated
from privyseal.compliance.statements_of_keys import KeyAttested, stating
from privyseal.errors import BadInput, VerificationFailed
from privyseal.pki import certificates
from privyseal.pki.attestation import pieces
from privyseal.pki.attestation.enclosure import Enclosure, nonce_of, pem
from privyseal.pki.attestation.judge import NotEvidenced
from privyseal.pki.attestation.pkix_evidence import PkixEvidence
from privyseal.records import keys, statements
from privyseal.records.database import Transaction
from privyseal.records.events import Event
from privyseal.signing import announce, births, confined, life, paper, voice
from privyseal.signing.instance import PrivySeal
from privyseal.terms.keys import KeyPair
from privyseal.terms.life import KeyState
from privyseal.terms.parties import Actor


class Judged(Struct, frozen=True):
    """An attestation that was kept with its key, and what it amounts to by the operator's register."""

    stated: KeyAttested
    verdict: str
    """Met, not-met, judgement or not-evidenced."""
    text: str


class KeyEvidence(Struct, frozen=True):
    """The file for the CA, and the certificate of the attestation key, by which it is believed."""

    file: bytes
    """PEM."""
    certificate: bytes
    """DER."""


def attest(
    seal: PrivySeal,
    actor: Actor | None,
    subscriber: str,
    key: str,
    files: Sequence[bytes],
    pinned: Sequence[bytes] = (),
) -> Judged:
    """Keep the module's attestation of a key and state what it proves; what no format of ours knows is kept as well.

    ``pinned`` are roots, DER, trusted beside those that are shipped and those that the operator added. Raises
    VerificationFailed where it is wrong or of another key, BadInput where it cannot be read, or is a service's own
    Evidence, with which nobody attests himself.
    """
    _let_in(seal, actor, subscriber, key)
    moment = seal.clock().replace(microsecond=0)
    with seal.records.reading(subscriber) as tx:
        pair = keys.key_pair(tx, key)
    found = confined.attested(files, moment, pinned, added=seal.attestation_roots)
    if isinstance(found, confined.Proven):
        _require_of(pair, found)
    kept = [_kept(seal, each) for each in files]
    proven = found if isinstance(found, NotEvidenced) else found.attested
    said = stating(pair.key_id, kept, proven, moment, voice.of(actor))
    with seal.records.writing(subscriber) as tx:
        announce.stated(seal, tx, Event(seal.clock(), voice.of(actor), "key attested", pair.key_id), said)
        if said.module is not None:
            life.move(seal, tx, pair.name, KeyState.ATTESTED, f"its {said.format} attestation was verified", actor)
    return _judged(seal, said)


def evidence(seal: PrivySeal, actor: Actor | None, subscriber: str, key: str) -> KeyEvidence:
    """Return one signed file that shows a CA where a key lives; that it was made is stated.

    The signer says, signed, how it keeps the key. Bound to that, and proving themselves: the module's own attestation
    as it was kept, and the log's proof of the key's birth; and, as the service's word, what it makes of them.
    """
    _let_in(seal, actor, subscriber, key)
    paper.finish(seal)
    with seal.records.reading(subscriber) as tx:
        pair = keys.key_pair(tx, key)
        known = attested_as(tx, pair.key_id)
        born = _birth(tx, pair.key_id)
    enclosed = Enclosure(
        subscriber=subscriber,
        key=pair.name,
        key_id=pair.key_id,
        attestation=() if known is None else tuple(_document(seal, each) for each in known.evidence),
        verdict=_words(seal, known),
        birth="" if born is None else _proof(seal, born),
    ).encode()
    read = seal.signer.evidence(pair.key_id, nonce_of(enclosed))
    made = KeyEvidence(pem(read.evidence, enclosed), read.certificate)
    with seal.records.writing(subscriber) as tx:
        detail = f"attestation key {hashlib.sha256(read.certificate).hexdigest()}"
        what = Administered(actor=voice.of(actor), what="key evidence made", subject=pair.key_id, detail=detail)
        announce.administered(seal, tx, what)
    return made


def attested_as(tx: Transaction, key_id: str) -> KeyAttested | None:
    """Return what was stated last of a key's attestation; None where nothing was."""
    found = [each.matter for each in statements.noted(tx, "key") if isinstance(each.matter, KeyAttested)]
    return next((each for each in found if each.key_id == key_id), None)


def _let_in(seal: PrivySeal, actor: Actor | None, subscriber: str, key: str) -> None:
    if actor is not None:
        permissions.require(actor, "order-certificate", subscriber)
        permissions.require_key(actor, key)
        sessions.require_recent(actor, seal.clock())


def _require_of(pair: KeyPair, found: confined.Proven) -> None:
    if found.attested.format == PkixEvidence.name and found.attested.maker == "Privy Seal":
        raise BadInput("This is a service's own Evidence, and not the attestation of a module.")
    if found.attested.spki != pair.public_key:
        raise VerificationFailed(
            f"The attestation is for the key {certificates.key_id(found.attested.spki)[:16]}, and Key Pair "
            f"{pair.name!r} is {pair.key_id[:16]}."
        )


def _judged(seal: PrivySeal, said: KeyAttested) -> Judged:
    if said.module is None:
        return Judged(said, "not-evidenced", "No attestation was found in the files that any of our formats knows.")
    known = _known(seal)
    judged = modules.judge_module(said.module, known.modules, Keeper.SIGNING_SERVICE, seal.clock(), known.choices)
    return Judged(said, judged.outcome.verdict.value, judged.outcome.text)


def _known(seal: PrivySeal) -> Known:
    with seal.records.reading_all_subscribers() as connection:
        return seal.stated.known_of_all_subscribers(connection)


def _words(seal: PrivySeal, said: KeyAttested | None) -> str:
    if said is None:
        return "not-evidenced: no attestation of the module is kept with the key."
    judged = _judged(seal, said)
    return f"{judged.verdict}: {judged.text}"[:4000]


def _kept(seal: PrivySeal, octets: bytes) -> str:
    """Keep a file as a document and return its SHA-256."""
    sha256, documents = hashlib.sha256(octets).hexdigest(), paper.documents(seal)
    if documents.size(sha256) != len(octets):
        with documents.draft(sha256) as draft:
            draft.append(octets)
            draft.keep()
    return sha256


def _document(seal: PrivySeal, sha256: str) -> bytes:
    with open(paper.documents(seal).open(sha256), "rb") as file:
        octets = file.read(pieces.MOST_OCTETS + 1)
    if hashlib.sha256(octets).hexdigest() != sha256:
        raise VerificationFailed(f"The document {sha256[:16]}... is not what its name says any more.")
    return octets


def _birth(tx: Transaction, key_id: str) -> Stated | None:
    """Return the statement of a key's birth that the log has; None where there is none."""
    said = (each for topic in ("key", "administration") for each in statements.listed(tx, topic))
    return next((each for each in said if births.is_birth(each.said.matter, key_id)), None)


def _proof(seal: PrivySeal, born: Stated) -> str:
    appended = seal.logger.prove([born.entry], since=0)
    return births.proof(born, appended.items[0].path, appended.checkpoint)
