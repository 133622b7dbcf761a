"""The signer says, signed, how it keeps a key: Evidence in the IETF's neutral format, whatever the key store is.

It says what the key store itself can prove and nothing that it is told: whoever asks adds a nonce, which binds the
Evidence to other things and makes the signer vouch for none of them. It is signed by a key of the signer's own, born
inside at the first question and kept as Subscribers' keys are, so no new secret lies about. No Subscriber's key is
used, so no intent is logged; and nothing is told that the charter does not tell.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import datetime

from privyseal import __version__
from privyseal.errors import KeyStoreUnavailable, VerificationFailed
from privyseal.keystore.catalogue import store_name
from privyseal.keystore.protocol import KeyStore
from privyseal.pki import certificates, der
from privyseal.pki.attestation import evidence
from privyseal.pki.attestation.evidence import Claim, Element
from privyseal.strongroom.charters import Charters, Holding
from privyseal.strongroom.journal import Journal
from privyseal.strongroom.messages import EvidenceAsked, EvidenceRead
from privyseal.terms.keys import Assurance, KeyProtection
from privyseal.terms.signatures import SCHEMES, ToBeSigned

LABEL = "signer-/attestation"
"""Of the attestation key in its store; no Subscriber's name ends in a dash, so none can have it."""
SCHEME = SCHEMES["ecdsa-p256"]
DAYS = 10 * 365
"""How long the attestation key's certificate is in force: it is pinned by whoever believes it, not renewed."""
_WORDS = {"true": True, "false": False}


class Attesting:
    """Answers with Evidence; safe to call from several threads."""

    # The parts of a signer, handed on.
    def __init__(
        self,
        journal: Journal,
        charters: Charters,
        stores: Mapping[str, KeyStore],
        clock: Callable[[], datetime],
        order: threading.Lock,
    ) -> None:
        """Speak of these charters' keys, and keep the attestation key in files where there are any, else in a token."""
        self._journal = journal
        self._charters = charters
        self._stores = stores
        self._clock = clock
        self._order = order
        self._begin = threading.Lock()

    def evidence(self, asked: EvidenceAsked) -> EvidenceRead:
        """Return Evidence of a key; NotFound for one that is not held here."""
        with self._order:
            held = self._charters.get(asked.key_id)
        charter = held.charter
        protection = self._stores[store_name(charter.uri)].protection(charter.uri)
        uri, certificate = self._key()
        spki = certificates.outline(certificate).spki
        tbs = evidence.to_be_signed(
            (
                Element(
                    evidence.TRANSACTION,
                    (
                        Claim(evidence.NONCE, der.octet_string(asked.nonce)),
                        Claim(evidence.TIMESTAMP, der.generalized_time(self._clock())),
                        Claim(evidence.AK_SPKI, der.octet_string(spki)),
                    ),
                ),
                Element(evidence.PLATFORM, _platform(protection)),
                Element(evidence.KEY, _key_claims(held, protection)),
            )
        )
        return EvidenceRead(evidence.signed(tbs, certificate, SCHEME, self._sign(uri, spki, tbs)), certificate)

    def _key(self) -> tuple[str, bytes]:
        """Return the attestation key's URI and certificate; it is born when first asked for."""
        with self._begin:
            with self._order:
                known = self._journal.attesting()
            if known is not None:
                return known
            store = self._stores.get("softfile") or next(iter(self._stores.values()))
            uri = self._born(store)
            spki = store.public_key(uri)
            name = f"Privy Seal attestation key {certificates.key_id(spki)[:16]}"
            information = evidence.certificate_information(spki, SCHEME, name, self._clock(), DAYS)
            certificate = evidence.certificate(information, SCHEME, self._sign(uri, spki, information))
            with self._order:
                self._journal.keep_attesting(uri, certificate)
            return uri, certificate

    def _born(self, store: KeyStore) -> str:
        """Have the key generated, under a label that no interrupted birth has taken."""
        with self._order, self._journal.writing(self._journal.mark()) as transaction:
            attempt = self._charters.attempt(transaction, LABEL)
        return store.generate(LABEL if attempt == 1 else f"{LABEL}.{attempt}", SCHEME)

    def _sign(self, uri: str, spki: bytes, octets: bytes) -> bytes:
        tbs = ToBeSigned(octets, SCHEME.default_digest)
        try:
            (value,) = self._stores[store_name(uri)].sign(uri, [tbs])
            certificates.verify(spki, tbs, value)
        except (VerificationFailed, ValueError):
            raise KeyStoreUnavailable(
                "The key store gave a signature that does not verify under the attestation key; it was thrown away.",
                hint="the key store is faulty or the key in it was exchanged: look before you use it again",
            ) from None
        return value


def _platform(protection: KeyProtection) -> tuple[Claim, ...]:
    """Say what attests, which is this program, and in what the key is kept."""
    model = protection.module or f"{protection.store} ({protection.assurance})"
    return (
        Claim(evidence.VENDOR, der.utf8_string("Privy Seal")),
        Claim(evidence.HWMODEL, der.octet_string(model.encode("utf-8"))),
        Claim(evidence.SWNAME, der.utf8_string("privyseal signer")),
        Claim(evidence.SWVERSION, der.utf8_string(__version__)),
    )


def _key_claims(held: Holding, protection: KeyProtection) -> tuple[Claim, ...]:
    """Say of a key what its store says: each attribute as the module answered, else what follows from the store."""
    said = dict(each.partition("=")[::2] for each in protection.attributes)
    software = protection.assurance is Assurance.SOFTWARE
    flags = (
        (evidence.EXTRACTABLE, "CKA_EXTRACTABLE", not protection.never_extractable),
        (evidence.SENSITIVE, "CKA_SENSITIVE", not software),
        (evidence.NEVER_EXTRACTABLE, "CKA_NEVER_EXTRACTABLE", protection.never_extractable),
        (evidence.LOCAL, "CKA_LOCAL", protection.generated_inside),
    )
    claims = [
        Claim(evidence.IDENTIFIER, der.utf8_string(held.charter.key_id)),
        Claim(evidence.SPKI, der.octet_string(held.charter.public_key)),
    ]
    claims += [
        Claim(kind, der.boolean(_WORDS.get(said.get(attribute, "").lower(), otherwise)))
        for kind, attribute, otherwise in flags
    ]
    purpose = der.oid(f"{evidence.ARC}.2.{evidence.PURPOSES.index('sign')}")
    return (*claims, Claim(evidence.PURPOSE, der.sequence(purpose)))
