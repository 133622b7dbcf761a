"""One running service: its records, the doors to its guarded processes, its clock."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from privyseal.authorities.protocol import CertificateAuthority
from privyseal.errors import PrivySealError
from privyseal.records.database import Records
from privyseal.records.documents import Documents
from privyseal.records.requests import LEASE, Holder
from privyseal.records.spool import Spool
from privyseal.scanning.protocol import Scanner
from privyseal.signing.gatehouse import Gatehouse
from privyseal.signing.issuers import Issuers
from privyseal.signing.known import Memory
from privyseal.signing.posting import Targets
from privyseal.signing.recollection import Recollection
from privyseal.signing.rehearsal_ca import RehearsalCa
from privyseal.signing.standings import Standings
from privyseal.signing.timestampers import Party, Timestampers
from privyseal.signing.watch import Watch
from privyseal.signing.workshop import Workshop
from privyseal.strongroom.client import LoggerClient, SignerClient, StamperClient
from privyseal.terms.keys import Approver
from privyseal.terms.parties import SigningService
from privyseal.terms.requests import Dossier

REFUSALS_OF_THE_MARK = 64
"""Tries to match the signer's mark; each failure means that another walk was quicker, and it made progress. Several
nodes with two walks each are often at it together, and whoever gives up leaves a request that must be aborted."""


MOST_OWED = 1024
"""Requests whose leases are kept in mind for being given back: four batches of the web layer."""


def wall_clock() -> datetime:
    """Return the time of day, UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Premises:
    """Where a service that sees files (mode ``server``) keeps them and works on them."""

    spool: Spool
    workshop: Workshop
    keep: timedelta
    """How long a finished file can be fetched."""
    stale: timedelta
    """How long an upload is kept that nobody goes on sending or asks a signature for."""
    scanners: tuple[Scanner, ...] = ()
    """Who looks at an upload before it is signed, in this order."""
    infected: Literal["delete", "quarantine"] = "delete"
    """What becomes of an upload in which one of them finds something."""


@dataclass(frozen=True, repr=False)
class Post:
    """How what happens is told."""

    key: bytes
    """Of which the secrets of all webhooks are made; in a file of its own, and in no record."""
    targets: Targets = "public"
    people: tuple[str, ...] = ()
    """Apprise URLs, which hold passwords."""


class PrivySeal:
    """One running service. It holds no key; whatever it holds may be thrown away and built again from the records."""

    # One argument for each part of the service: bundling them would only hide what it is made of.
    def __init__(  # noqa: PLR0913
        self,
        service: SigningService,
        records: Records,
        logger: LoggerClient,
        signer: SignerClient,
        stamper: StamperClient,
        *,
        clock: Callable[[], datetime] = wall_clock,
        draw: Callable[[int], bytes] = secrets.token_bytes,
        node: str = "serve",
        lease: timedelta = LEASE,
        watch: Watch | None = None,
        premises: Premises | None = None,
        recollection: Recollection | None = None,
        documents: Documents | None = None,
        overseers: tuple[Approver, ...] = (),
        issuers: Issuers | None = None,
        post: Post | None = None,
        gatehouse: Gatehouse | None = None,
        idle_days: int = 0,
        probe_hours: int = 0,
        each_token: bool = False,
        authorities: Mapping[str, CertificateAuthority] | None = None,
        rehearsal_ca: RehearsalCa | None = None,
        attestation_roots: Mapping[str, tuple[bytes, ...]] | None = None,
        parties: Sequence[Party] = ("own",),
    ) -> None:
        """Bind the parts of one service; tests turn ``clock`` and break the doors, and ``watch`` looks on.

        This is one life of ``node``, which holds the requests it walks with for ``lease``. Without ``premises`` it
        sees no files, and signs descriptions only; without ``recollection`` the records are believed as they are;
        without ``documents`` it takes in none as evidence. Two of the ``overseers`` together can override a gate
        or thaw what is frozen. Runs prove who they are by tokens of ``issuers``, or not at all; without ``post``
        nobody is told of anything; without a ``gatehouse`` people cannot sign in. Keys that nobody used for
        ``idle_days`` suspend themselves, and active ones sign a probe every ``probe_hours``; for 0, none.
        With ``each_token`` every timestamp has an entry of its own in the log.
        Certificates are asked for at ``authorities``, by their names; ``rehearsal_ca`` is the one whose lists and
        status this service tells. Attestations of keys may end in the makers' roots that are shipped, and in
        ``attestation_roots``, DER, by the name of the format for which. Signatures are timestamped by the first of
        ``parties`` that can.
        """
        self.service = service
        self.records = records
        self.logger = logger
        self.signer = signer
        self.stamper = stamper
        self.timestampers = Timestampers(stamper, parties)
        self.clock = clock
        self.draw = draw
        self.holder = Holder(node, secrets.token_hex(16), lease)
        self.watch = watch or Watch()
        self.premises = premises
        self.recollection = recollection
        self.documents = documents
        self.overseers = overseers
        self.issuers = issuers
        self.post = post
        self.gatehouse = gatehouse
        self.idle_days = idle_days
        self.probe_hours = probe_hours
        self.each_token = each_token
        self.authorities = dict(authorities or {})
        self.rehearsal_ca = rehearsal_ca
        self.attestation_roots = dict(attestation_roots or {})
        self.standings = Standings(signer)
        self.stated = Memory()
        self._owed: list[Dossier] = []
        self._mark_guard = threading.Lock()
        self._signer_mark: int | None = None

    @property
    def signer_mark(self) -> int:
        """Size of the newest head the signer is known to have seen: the logger must prove consistency from it.

        The signer is asked at the first use, so that a log which was put back is refused before anything is added to
        it; 0 while the signer does not answer.
        """
        with self._mark_guard:
            if self._signer_mark is not None:
                return self._signer_mark
        try:
            mark = self.signer.health().mark
        except PrivySealError:
            return 0
        self.learn_signer_mark(mark)
        return mark

    def require_memory(self) -> None:
        """Raise RecordsRolledBack where the records lack what the log holds of them: then they are only read."""
        if self.recollection is not None:
            self.recollection.require()

    def owed(self, more: Sequence[Dossier]) -> list[Dossier]:
        """Return ``more`` and the requests whose leases could not be given back before, and forget these."""
        with self._mark_guard:
            owed, self._owed = [*self._owed, *more], []
        return owed

    def owe(self, dossiers: Sequence[Dossier]) -> None:
        """Keep in mind whose leases could not be given back; of too many only the newest, for leases end by time."""
        with self._mark_guard:
            self._owed = [*self._owed, *dossiers][-MOST_OWED:]

    def learn_signer_mark(self, mark: int) -> None:
        """Remember what the signer said of its own mark."""
        with self._mark_guard:
            self._signer_mark = mark
