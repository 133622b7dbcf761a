"""The keys that the signer holds, each with the charter under which it is used, kept by the signer itself."""

from __future__ import annotations

import sqlite3
from datetime import datetime

import msgspec
from msgspec import Struct

from privyseal.access.quorum import satisfiable, uncountable
from privyseal.errors import NotFound, NotPermitted
from privyseal.keystore.catalogue import store_name
from privyseal.strongroom import assertions
from privyseal.strongroom.durable import Database
from privyseal.terms.canonical import canonical_json
from privyseal.terms.keys import Approver, Charter, KeyPair, KeyProtection, Stage, in_order
from privyseal.terms.parties import Role

MAX_APPROVERS = 64
"""Approvers of one key; GitHub's required reviewers are six, HSM quorums sixteen."""
MAX_STAGES = 8
"""Stages of agreement; release processes have two or three."""
MAX_ORIGINS, LONGEST_NAME, LARGEST_SPKI = 8, 253, 1024
"""Origins of a passkey, characters of each and of a relying party id (a domain has 253), octets of a public key."""
MAY_AGREE = frozenset({Role.APPROVER, Role.SECURITY_OFFICER, Role.CUSTODIAN})
"""Roles that a charter may give to who agrees, for stages to speak of."""


class Holding(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that the signer knows of one key."""

    charter: Charter
    name: str
    """The key's name within its Subscriber."""
    born: datetime
    birth: str
    """Digest of the act by which it was born, lower-case hex: the same act again is answered with the same key."""
    protection: KeyProtection
    destroyed: bool = False

    def key_pair(self) -> KeyPair:
        """Return the public side, as the rest of the house knows it."""
        charter = self.charter
        return KeyPair(
            subscriber=charter.subscriber,
            name=self.name,
            key_id=charter.key_id,
            scheme=charter.scheme,
            uri=charter.uri,
            public_key=charter.public_key,
            key_tag=charter.key_tag,
            protection=self.protection,
            born=self.born,
            rehearsal=charter.rehearsal,
            approvers=charter.approvers,
            quorum=charter.quorum,
            frozen=charter.frozen,
            stages=charter.stages,
            limits=charter.limits,
        )


_decoder = msgspec.json.Decoder(Holding)


class Charters:
    """The holdings, in the signer's journal. What was read is kept in memory until something is written."""

    def __init__(self, database: Database) -> None:
        """Keep the holdings in ``database``, whose tables ``journal.py`` makes."""
        self._database = database
        self._known: dict[str, Holding] = {}
        self._uris: dict[str, list[str]] | None = None

    def get(self, key_id: str) -> Holding:
        """Return a key's holding; NotFound if there is none, or the key was destroyed."""
        held = self._known.get(key_id)
        if held is None:
            rows = self._database.read("SELECT holding FROM keys WHERE key_id = ?", (key_id,))
            if not rows:
                raise NotFound(f"The signer holds no key {key_id[:16]}….")
            held = self._known[key_id] = _decoder.decode(rows[0][0])
        if held.destroyed:
            raise NotFound(f"The key {key_id[:16]}… was destroyed.")
        return held

    def labelled(self, label: str) -> Holding | None:
        """Return the holding, of a destroyed key too, whose label is ``subscriber/name``, or None."""
        rows = self._database.read("SELECT holding FROM keys WHERE label = ?", (label,))
        return _decoder.decode(rows[0][0]) if rows else None

    def count(self) -> int:
        """Return how many keys there are that can be used."""
        return int(self._database.read("SELECT count(*) FROM keys WHERE destroyed = 0")[0][0])

    def uris(self) -> dict[str, list[str]]:
        """Return where the keys are that can be used, by the name of their key store; read anew after a change."""
        if self._uris is None:
            self._uris = {}
            for row in self._database.read("SELECT holding FROM keys WHERE destroyed = 0"):
                uri = _decoder.decode(row[0]).charter.uri
                self._uris.setdefault(store_name(uri), []).append(uri)
        return self._uris

    def held_in(self, store: str) -> list[Holding]:
        """Return the keys that can be used and are in the key store of this name."""
        rows = self._database.read("SELECT holding FROM keys WHERE destroyed = 0")
        held = [_decoder.decode(row[0]) for row in rows]
        return [each for each in held if store_name(each.charter.uri) == store]

    def destroyed(self) -> list[Holding]:
        """Return the keys that were to be destroyed: a crash may have come between the word and the deed."""
        return [_decoder.decode(row[0]) for row in self._database.read("SELECT holding FROM keys WHERE destroyed = 1")]

    def put(self, transaction: sqlite3.Connection, holding: Holding) -> None:
        """Write a holding within a transaction; what was known is read again afterwards, whether it commits or not."""
        charter = holding.charter
        self._known.clear()
        self._uris = None
        transaction.execute(
            "INSERT INTO keys VALUES (?, ?, ?, ?) ON CONFLICT (key_id) "
            "DO UPDATE SET destroyed = excluded.destroyed, holding = excluded.holding",
            (charter.key_id, f"{charter.subscriber}/{holding.name}", holding.destroyed, canonical_json(holding)),
        )

    def attempt(self, transaction: sqlite3.Connection, label: str) -> int:
        """Count a birth under a label within a transaction, and return which attempt it is, from 1."""
        statement = "INSERT INTO births VALUES (?, 1) ON CONFLICT (label) DO UPDATE SET attempts = attempts + 1"
        transaction.execute(statement, (label,))
        return int(transaction.execute("SELECT attempts FROM births WHERE label = ?", (label,)).fetchone()[0])


def check_charter(
    approvers: tuple[Approver, ...],
    quorum: int,
    stages: tuple[Stage, ...] | msgspec.UnsetType = msgspec.UNSET,
    *,
    rehearsal: bool,
) -> None:
    """Refuse with NotPermitted a charter that could not be counted or satisfied, or that asks for nobody."""
    if len(approvers) > MAX_APPROVERS:
        raise NotPermitted(f"A charter names {len(approvers)} approvers; at most {MAX_APPROVERS} are allowed.")
    for one in approvers:
        _check_approver(one)
    asked = in_order(quorum, stages)
    if len(asked) > MAX_STAGES:
        raise NotPermitted(f"A charter asks in {len(asked)} stages; at most {MAX_STAGES} are allowed.")
    if not 0 <= quorum <= len(approvers):
        raise NotPermitted(f"A charter asks for {quorum} approvals and names {len(approvers)} approvers.")
    wrong = uncountable(approvers, asked)
    if wrong is not None:
        raise NotPermitted(wrong)
    if quorum != sum(stage.need for stage in asked):
        raise NotPermitted(f"A charter's quorum is {quorum}, and its stages ask for another number of approvals.")
    if quorum == 0 and not rehearsal:
        raise NotPermitted("A charter asks for no approval; only a key that is born in rehearsal may do so.")
    if not satisfiable(approvers, asked):
        raise NotPermitted(
            "A charter asks for more different people than its stages admit; nothing could ever be approved.",
            hint="each person counts once over all stages",
        )
    if not rehearsal and any(one.member is msgspec.UNSET for one in approvers):
        raise NotPermitted(
            "A charter names an approver without its member, so whoever asks could not be told from who agrees.",
            hint="give every approver the id of its member",
        )


def _check_approver(one: Approver) -> None:
    if one.role not in MAY_AGREE:
        raise NotPermitted("A charter names someone as an approver whose role is another one.")
    if one.passkey is msgspec.UNSET:
        if len(one.public_key) != 32:
            raise NotPermitted("An approver's public key is not an Ed25519 key of 32 octets.")
        return
    if len(one.public_key) > LARGEST_SPKI or assertions.load(one.public_key) is None:
        raise NotPermitted("A passkey's public key is none of P-256, Ed25519 or RSA of 2048 to 4096 bits, in DER.")
    origins = one.passkey.origins
    if not 1 <= len(origins) <= MAX_ORIGINS or not 1 <= len(one.passkey.rp_id) <= LONGEST_NAME:
        raise NotPermitted(f"A passkey has one relying party id and 1 to {MAX_ORIGINS} origins.")
    if not all(len(each) <= LONGEST_NAME and _of_party(each, one.passkey.rp_id) for each in origins):
        raise NotPermitted(
            "A passkey may be asked at https origins of its relying party only.",
            hint="such as https://seal.example for the relying party id seal.example",
        )


def _of_party(origin: str, rp_id: str) -> bool:
    """Tell whether an origin is one at which a browser would ask for a relying party's credential."""
    parts = origin.partition("://")
    host = parts[2].partition(":")[0]
    secure = parts[0] == "https" or (parts[0] == "http" and host == "localhost")
    return secure and "/" not in parts[2] and (host == rp_id or host.endswith("." + rp_id))
