"""What is known beside the records: documents, commitments, acceptances, what CAs said, what is feared."""

from __future__ import annotations

from datetime import datetime

import msgspec

from privyseal.compliance.held import Held
from privyseal.compliance.modules import Validation
from privyseal.compliance.statements_of_clouds import CloudReconciled
from privyseal.compliance.statements_of_keys import KeyAttested
from privyseal.compliance.statements_of_timestamps import TimestampKeyUsed
from privyseal.compliance.subjects import CertificateStatus, Commitment

SERVICE = "service"
"""Of what a document speaks that is about the Signing Service as a whole."""


def of_subscriber(name: str) -> str:
    """Return of what a document speaks that is about one Subscriber."""
    return f"subscriber:{name}"


def of_key(key_id: str) -> str:
    """Return of what a document speaks that is about one Key Pair."""
    return f"key:{key_id}"


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """All of it at one moment. What is empty is not known, and so never met."""

    held: dict[str, tuple[Held, ...]] = {}
    """Documents, by of what they speak."""
    commitments: dict[str, tuple[Commitment, ...]] | None = None
    """By Subscriber; None where they are not recorded at all."""
    accepted: dict[str, datetime] = {}
    """When a certificate was accepted, by its fingerprint."""
    status: dict[str, CertificateStatus] = {}
    """What the issuing CA said last, by the certificate's fingerprint."""
    believed: dict[str, datetime] = {}
    """Since when a key is believed to be compromised or misused, by its key id."""
    audit_periods: tuple[tuple[datetime, datetime], ...] = ()
    """The first and the last moment of each audit period that is declared."""
    attested: dict[str, KeyAttested] = {}
    """What modules said of keys in attestations that were verified, by key id."""
    clouds: tuple[CloudReconciled, ...] = ()
    """How the audit log of each home in a cloud compared to ours, last, for each Subscriber with keys there."""
    modules: tuple[Validation, ...] = ()
    """The register of modules: their certificates, with levels, versions and history."""
    copies_allowed: frozenset[str] = frozenset()
    """Key ids of keys of which their Subscribers allowed a copy."""
    timestamp_keys: tuple[TimestampKeyUsed, ...] = ()
    """The keys that sign, or signed, timestamps of the service's own authority, in the order of their first use."""
    timestamp_keys_removed: frozenset[str] = frozenset()
    """Those of them that were removed before witnesses, by key id."""
    authority_audits: tuple[tuple[datetime, datetime, tuple[Held, ...]], ...] = ()
    """The audit periods of the Timestamp Authority: first and last moment, and what was declared of their reports."""
    choices: dict[str, str] = {}
    """The operator's readings of texts that contradict themselves, by requirement."""

    def documents(self, *about: str) -> tuple[Held, ...]:
        """Return the documents that speak of any of these."""
        return tuple(each for one in about for each in self.held.get(one, ()))


NOTHING = Known()
"""What a service knows to which nobody has stated anything."""
