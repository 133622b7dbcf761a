"""Administrative acts, carried out: agreed to, logged, spent, done, in this order and each at most once."""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Self

import msgspec
from msgspec import Struct

from privyseal.errors import (
    BadInput,
    Conflict,
    Denied,
    IntentSpent,
    KeyStoreUnavailable,
    NotFound,
    NotPermitted,
    PrivySealError,
    VerificationFailed,
)
from privyseal.keystore.catalogue import store_name
from privyseal.keystore.protocol import KeyStore
from privyseal.pki import certificates, csr
from privyseal.strongroom.acts import (
    Act,
    Amend,
    Destroy,
    Freeze,
    Generate,
    Probe,
    RequestCertificate,
    RevokeGrant,
    Unfreeze,
    act_digest,
    decode_act,
    probe_text,
    uses_of,
)
from privyseal.strongroom.approvals import check_quorum, genuine
from privyseal.strongroom.charters import Charters, Holding, check_charter
from privyseal.strongroom.counting import audited
from privyseal.strongroom.heads import LogKey, check_included
from privyseal.strongroom.journal import Journal
from privyseal.strongroom.mark import Mark
from privyseal.strongroom.messages import Acted, AdministrativeAct, Stale
from privyseal.strongroom.settings import SignerSettings
from privyseal.terms.keys import Approver, Charter, Stage, in_order
from privyseal.terms.limits import why_not
from privyseal.terms.signatures import SCHEMES, ToBeSigned
from privyseal.tlog.entry import Intent, commit, encode, key_tag

BETWEEN_PROBES = timedelta(minutes=10)
"""How long a key is left alone after a probe."""
TAG_KEY_OCTETS = SALT_OCTETS = 32
"""Octets of a tag key and of a salt: as many as SHA-256 gives, so that neither can be guessed."""


class Operators(Struct, frozen=True):
    """Who may agree to administrative acts, and how many must."""

    known: tuple[Approver, ...]
    quorum: int
    rehearsal: bool
    """Whether this is a rehearsal signer, whose keys are all born in rehearsal."""

    @classmethod
    def of(cls, settings: SignerSettings) -> Self:
        """Return what the signer's settings say, which were checked when they were read."""
        known = tuple(Approver(one.name, one.public_key) for one in settings.operators)
        return cls(known, settings.operator_quorum, settings.rehearsal)

    @property
    def in_order(self) -> tuple[Stage, ...]:
        """Return the one stage in which operators agree; none where nobody is asked."""
        return in_order(self.quorum, msgspec.UNSET)


class Administration:
    """Carries out acts. It shares the signer's lock: marks, intents and charters change one after another."""

    # The parts of a signer, handed on.
    def __init__(  # noqa: PLR0913
        self,
        journal: Journal,
        charters: Charters,
        stores: Mapping[str, KeyStore],
        log: LogKey,
        operators: Operators,
        clock: Callable[[], datetime],
        order: threading.Lock,
        note: Callable[[str], None],
    ) -> None:
        """Administer these charters; new keys are born in the first of ``stores`` that names the Subscriber,
        or else in the first."""
        self._note = note
        self._journal = journal
        self._charters = charters
        self._stores = stores
        self._log = log
        self._operators = operators
        self._clock = clock
        self._order = order
        self._probed: dict[str, datetime] = {}
        """When each key was probed last in this life of the signer; a key has one entry, and charters bound them."""

    def carry_out(self, asked: AdministrativeAct) -> Acted | Stale:
        """Check an act and do it; raises the refusal. The same Generate again is answered with the key it made."""
        act = decode_act(asked.payload)
        digest = act_digest(asked.payload)
        with self._order:
            mark = self._journal.mark()
            if asked.since != mark.number:
                return Stale(mark.number)
            head = self._log.extended(mark, asked.checkpoint, asked.consistency)
            if self._clock() > act.expires_at:
                raise Denied(f"The act expired at {act.expires_at.isoformat()}.", hint="agree to it anew")
            if isinstance(act, Generate):
                born = self._prepare_birth(act, asked, digest, head)
                if born is not None:
                    return Acted(mark.number, born.key_pair(), born.charter.version)
                label = self._spend_birth(act, asked, head)
            elif isinstance(act, RequestCertificate):
                held, tbs = self._spend_request(act, asked, digest, head)
            elif isinstance(act, Probe):
                held, tbs = self._spend_probe(act, asked, digest, head)
            else:
                changed = self._change(act, asked, digest, head)
        # Outside the lock: RSA takes seconds, and a token that hangs keeps nobody else from signing or from being asked
        # how he is.
        if isinstance(act, Generate):
            return self._give_birth(act, label, digest, asked.tag_key, head)
        if isinstance(act, RequestCertificate):
            return self._sign_one(held, tbs, head)
        if isinstance(act, Probe):
            return msgspec.structs.replace(self._sign_one(held, tbs, head), value=b"")
        if changed.destroyed:
            self._stores[store_name(changed.charter.uri)].destroy(changed.charter.uri)
        return Acted(head.number, changed.key_pair(), changed.charter.version)

    def finish_destructions(self) -> None:
        """Destroy what was to be destroyed when a crash came between the word and the deed; called at the start.

        A key store that does not answer then does not keep the others from signing: such a key is used no more
        in any case, and the next start tries again.
        """
        for held in self._charters.destroyed():
            try:
                self._stores[store_name(held.charter.uri)].destroy(held.charter.uri)
            except NotFound:
                continue
            except PrivySealError as error:  # also a PIN that is held back: a person's turn, and others sign meanwhile
                self._note(f"the key {held.charter.key_id} is to be destroyed and could not be: {error.detail}")

    # -- birth -------------------------------------------------------------------------------------------------------
    def _prepare_birth(self, act: Generate, asked: AdministrativeAct, digest: bytes, head: Mark) -> Holding | None:
        """Check everything about a birth; return the holding if this very act has given birth already."""
        tag_key = asked.tag_key
        if len(tag_key) != TAG_KEY_OCTETS or hashlib.sha256(tag_key).hexdigest() != act.tag_key_sha256:
            raise BadInput("The Subscriber's tag key beside the act is not the one that the act names by its hash.")
        if act.scheme not in SCHEMES:
            raise BadInput(f"No scheme is called {act.scheme[:32]!r}.", hint="known: " + ", ".join(SCHEMES))
        if self._operators.rehearsal and not act.rehearsal:
            raise NotPermitted(
                "In a rehearsal signer every key is born for rehearsal.", hint="set up a signer with operators"
            )
        check_charter(act.approvers, act.quorum, act.stages, rehearsal=act.rehearsal)
        check_quorum(asked.approvals, self._operators.known, self._operators.in_order, digest)
        self._check_logged(act, asked, key_tag(tag_key, act.label.encode("utf-8")), head)
        existing = self._charters.labelled(act.label)
        if existing is None or existing.birth == digest.hex():
            return existing
        raise Conflict(f"There is or was a key {act.label} already.", hint="give the new key another name")

    def _spend_birth(self, act: Generate, asked: AdministrativeAct, head: Mark) -> str:
        """Spend the intent and return the key store's label: one that no earlier, interrupted birth can have used."""
        with self._journal.writing(head) as transaction:
            self._spend(transaction, asked)
            attempt = self._charters.attempt(transaction, act.label)
        return act.label if attempt == 1 else f"{act.label}.{attempt}"

    def _give_birth(self, act: Generate, label: str, digest: bytes, tag_key: bytes, head: Mark) -> Acted:
        """Generate the key and write its charter down."""
        stores = self._stores.values()
        store = next((each for each in stores if each.names(act.subscriber)), None) or next(iter(stores))
        uri = store.generate(label, SCHEMES[act.scheme])
        spki = store.public_key(uri)
        if certificates.scheme_of(spki).name != act.scheme:
            raise Conflict("The key store generated a key of another scheme than it was asked for.")
        charter = Charter(
            subscriber=act.subscriber,
            key_id=certificates.key_id(spki),
            scheme=act.scheme,
            uri=uri,
            public_key=spki,
            key_tag=key_tag(tag_key, spki),
            approvers=act.approvers,
            quorum=act.quorum,
            rehearsal=act.rehearsal,
            stages=act.stages,
            grants=act.grants,
            frozen=act.asleep is True,
            asleep=act.asleep,
            limits=act.limits,
            limited_since=msgspec.UNSET if act.limits is msgspec.UNSET else 1,
        )
        held = Holding(
            charter=charter, name=act.key, born=self._clock(), birth=digest.hex(), protection=store.protection(uri)
        )
        with self._order:
            if self._charters.labelled(act.label) is not None:
                store.destroy(uri)
                raise Conflict(f"A key {act.label} was born at the same moment.", hint="give the new key another name")
            mark = self._journal.mark()
            with self._journal.writing(max(mark, head)) as transaction:
                self._charters.put(transaction, held)
                self._journal.note_use(transaction, charter, held.born)
            return Acted(max(mark, head).number, held.key_pair(), charter.version)

    # -- a request for a certificate ---------------------------------------------------------------------------------
    def _spend_request(
        self, act: RequestCertificate, asked: AdministrativeAct, digest: bytes, head: Mark
    ) -> tuple[Holding, ToBeSigned]:
        """Check everything about a request for a certificate, and spend its intent and what people agreed to."""
        held = self._charters.get(act.key_id)
        charter = held.charter
        _require_version(act.version, charter)
        if charter.frozen and charter.asleep is not True:  # no key is enabled without a certificate
            raise Denied("The key is frozen.", hint="it signs again after it was unfrozen")
        info = csr.information(act.subject, charter.public_key, act.attestation)
        tbs = csr.to_be_signed(info, SCHEMES[charter.scheme])
        check_quorum(asked.approvals, charter.approvers, charter.in_order, digest)
        self._check_logged(act, asked, charter.key_tag, head)
        with self._journal.writing(head) as transaction:
            self._spend(transaction, asked)
            if charter.in_order and not self._journal.use_agreement(transaction, digest, act.expires_at):
                raise Denied("What was agreed to is signed already; an agreement is good for one use.", hint="ask anew")
            self._count(transaction, charter)
        return held, tbs

    def _count(self, transaction: sqlite3.Connection, charter: Charter) -> None:
        """Count the one signature that a key is about to be asked for, where the home of the key counts as well."""
        if audited(self._stores[store_name(charter.uri)]):
            self._journal.tally.begin(transaction, self._clock())
            self._journal.tally.ask(transaction, charter.key_id, self._clock(), 1)

    def _sign_one(self, held: Holding, tbs: ToBeSigned, head: Mark) -> Acted:
        """Sign what an act asks for; what does not verify under the key leaves nobody's hands."""
        charter = held.charter
        values = self._stores[store_name(charter.uri)].sign(charter.uri, [tbs])
        try:
            certificates.verify(charter.public_key, tbs, values[0])
        except (VerificationFailed, IndexError):
            raise KeyStoreUnavailable(
                "The key store gave a signature that does not verify under the key; it was thrown away.",
                hint="the key store is faulty or the key in it was exchanged: look before you use it again",
            ) from None
        if audited(self._stores[store_name(charter.uri)]):
            self._journal.tally.make(charter.key_id, self._clock(), 1)
        return Acted(head.number, held.key_pair(), charter.version, values[0])

    # -- a probe -----------------------------------------------------------------------------------------------------
    def _spend_probe(
        self, act: Probe, asked: AdministrativeAct, digest: bytes, head: Mark
    ) -> tuple[Holding, ToBeSigned]:
        """Check everything about a probe, and spend its intent: it is logged as any use is, and agreed to by nobody.

        So it is rare: who took over ``serve`` has nothing of it, and cannot keep a module busy with it.
        """
        held = self._charters.get(act.key_id)
        charter, now = held.charter, self._clock()
        _require_version(act.version, charter)
        limited = "is frozen" if charter.frozen else why_not(charter.limits, now)
        if limited is not None:
            raise Denied(f"The key {limited}, so it is not probed.", hint="it is when it signs again")
        last = self._probed.get(act.key_id)
        if last is not None and now - last < BETWEEN_PROBES:
            raise Denied("The key was probed a moment ago.", hint=f"once in {BETWEEN_PROBES} is allowed")
        self._check_logged(act, asked, charter.key_tag, head)
        with self._journal.writing(head) as transaction:
            self._spend(transaction, asked)
            self._count(transaction, charter)
        self._probed[act.key_id] = now
        return held, ToBeSigned(probe_text(digest), SCHEMES[charter.scheme].default_digest)

    # -- changes -----------------------------------------------------------------------------------------------------
    def _change(
        self,
        act: Amend | Freeze | Unfreeze | Destroy | RevokeGrant,
        asked: AdministrativeAct,
        digest: bytes,
        head: Mark,
    ) -> Holding:
        held = self._charters.get(act.key_id)
        charter = held.charter
        if not isinstance(act, RevokeGrant):
            _require_version(act.version, charter)
        self._check_agreed(act, asked, charter, digest)
        self._check_logged(act, asked, charter.key_tag, head)
        changed = held if isinstance(act, RevokeGrant) else _changed(act, held)
        with self._journal.writing(head) as transaction:
            self._spend(transaction, asked)
            if isinstance(act, RevokeGrant):
                self._journal.revoke_grant(transaction, bytes.fromhex(act.grant))
            else:
                self._charters.put(transaction, changed)
                if isinstance(act, Amend | Unfreeze):  # it is awake from now on
                    self._journal.note_use(transaction, changed.charter, self._clock())
        return changed

    def _check_agreed(
        self,
        act: Amend | Freeze | Unfreeze | Destroy | RevokeGrant,
        asked: AdministrativeAct,
        charter: Charter,
        digest: bytes,
    ) -> None:
        operators = self._operators
        if isinstance(act, Freeze | RevokeGrant):
            anybody = genuine(asked.approvals, operators.known, digest) | genuine(
                asked.approvals, charter.approvers, digest
            )
            if not anybody and min(operators.quorum, charter.quorum) > 0:
                what = "it is frozen" if isinstance(act, Freeze) else "a grant is revoked"
                raise NotPermitted(f"An operator or one of the key's approvers must agree before {what}.")
            return
        check_quorum(asked.approvals, operators.known, operators.in_order, digest)
        check_quorum(asked.approvals, charter.approvers, charter.in_order, digest)

    def _check_logged(self, act: Act, asked: AdministrativeAct, tag: str, head: Mark) -> None:
        if len(asked.salt) != SALT_OCTETS:
            raise BadInput(f"The intent's salt has {len(asked.salt)} octets; {SALT_OCTETS} were expected.")
        intent = Intent(
            verb=str(type(act).__struct_config__.tag),
            key_tag=tag,
            key_seq=asked.key_seq,
            uses=uses_of(act),
            commitment=commit(asked.salt, asked.payload),
        )
        check_included(head, asked.index, encode(intent), asked.path)

    def _spend(self, transaction: sqlite3.Connection, asked: AdministrativeAct) -> None:
        if not self._journal.spend(transaction, asked.index):
            raise IntentSpent(f"The intent at entry {asked.index} of the log is spent already.", hint="log a new one")


def _require_version(version: int, charter: Charter) -> None:
    if version != charter.version:
        raise Conflict(
            f"The act is for version {version} of the charter, and it is at {charter.version}.",
            hint="look at the charter and agree anew",
        )


def _changed(act: Amend | Freeze | Unfreeze | Destroy, held: Holding) -> Holding:
    """Return the holding after the act; Conflict or NotPermitted where the act does not fit it."""
    charter = msgspec.structs.replace(held.charter, version=held.charter.version + 1)
    if isinstance(act, Amend):
        check_charter(act.approvers, act.quorum, act.stages, rehearsal=charter.rehearsal)
        grants = charter.grants if act.grants is msgspec.UNSET else act.grants
        charter = msgspec.structs.replace(
            charter, approvers=act.approvers, quorum=act.quorum, stages=act.stages, grants=grants
        )
        if act.limits is not msgspec.UNSET:
            limits = msgspec.UNSET if act.limits is None else act.limits
            since = msgspec.UNSET if act.limits is None else charter.version
            charter = msgspec.structs.replace(charter, limits=limits, limited_since=since)
    elif isinstance(act, Freeze | Unfreeze):
        frozen = isinstance(act, Freeze)
        if charter.frozen == frozen:
            raise Conflict(f"The key is {'frozen already' if frozen else 'not frozen'}.")
        charter = msgspec.structs.replace(charter, frozen=frozen, asleep=msgspec.UNSET)
    return msgspec.structs.replace(held, charter=charter, destroyed=isinstance(act, Destroy))
