"""What tests of orders need: a Key Pair whose private half the test has, CSRs made with it, and CAs that misbehave."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.world import SUBSCRIBER, World

from privyseal.authorities.protocol import Answer, RevocationAnswer, Waiting, Wishes
from privyseal.pki.certificates import key_id
from privyseal.records import keys, lives
from privyseal.signing.forms_of_certificates import NewOrder
from privyseal.terms.certificates import Reason
from privyseal.terms.keys import KeyPair
from privyseal.terms.life import KeyState
from privyseal.terms.parties import Actor, Factor, Member, Role

NAME = "ours"
"""Name of the Key Pair whose private half the test has."""
PRIVATE, OTHER = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
DER = serialization.Encoding.DER


def spki(private: ec.EllipticCurvePrivateKey = PRIVATE) -> bytes:
    """Return a SubjectPublicKeyInfo, DER."""
    return private.public_key().public_bytes(DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def csr(private: ec.EllipticCurvePrivateKey = PRIVATE, organisation: str = "Acme GmbH") -> bytes:
    """Return a CSR, DER, for a key."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, organisation)])
    draft = x509.CertificateSigningRequestBuilder().subject_name(name)
    return draft.sign(private, hashes.SHA256()).public_bytes(DER)


def pair(world: World) -> KeyPair:
    """Give the world a Key Pair whose private half the test has."""
    public = spki()
    with world.seal.records.writing(SUBSCRIBER) as tx:
        model = keys.key_pairs_of(tx)[0]
        ours = msgspec.structs.replace(model, name=NAME, public_key=public, key_id=key_id(public))
        keys.add_key_pair(tx, ours)
        lives.add(tx, NAME, KeyState.GENERATED, world.now, ours.key_id)
    return ours


def order(authority: str, octets: bytes | None = None) -> NewOrder:
    """Return what is asked for."""
    return NewOrder(key=NAME, authority=authority, csr=csr() if octets is None else octets)


def actor(*roles: Role, workload: bool | None = False) -> Actor:
    """Return a member of the Subscriber."""
    return Actor(Member("M-ada", SUBSCRIBER, "ada", roles, workload), (Factor.PASSKEY,))


ADA = actor(Role.ADMINISTRATOR)


class Odd:
    """An authority that does as it is told; it counts how often it was asked, and by which reference."""

    by_people = False

    def __init__(self, name: str, says: Callable[[bytes], Answer], revokes: RevocationAnswer | None = None) -> None:
        """Answer with what ``says`` returns for a CSR, or raise what it raises."""
        self.name = name
        self.says = says
        self.revokes = revokes
        self.references: list[str] = []
        self.collected: list[str] = []

    def ask(self, csr: bytes, wishes: Wishes, now: datetime) -> Answer:
        """Remember the reference, and answer."""
        self.references.append(wishes.reference)
        return self.says(csr)

    def collect(self, order: str, csr: bytes, now: datetime) -> Answer:
        """Remember the order, and answer."""
        self.collected.append(order)
        return self.says(csr)

    def revoke(self, chain: tuple[bytes, ...], reason: Reason, at: datetime, now: datetime) -> RevocationAnswer:
        """Answer as was said when this was made."""
        return self.revokes or Waiting(order="", words="somebody reads it")
