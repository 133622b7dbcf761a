"""The tables, in SQL that SQLite and PostgreSQL both speak. ``migrations/`` builds them; a test holds the two together.

Times are stored as whole microseconds since 1970 UTC in an integer: SQLite has no time type, and both sort the same.
The file is longer than ours are: tables refer to each other, whoever changes one wants to see all, and one in a file of
its own would be in ``metadata`` only where somebody imports that file.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)
"""All tables, with names for their constraints that are the same on both databases: migrations name them."""


class Moment(TypeDecorator[datetime]):
    """An aware UTC datetime kept as microseconds since 1970."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        """Turn an aware datetime into microseconds."""
        return None if value is None else (value - _EPOCH) // timedelta(microseconds=1)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Turn microseconds into an aware datetime."""
        return None if value is None else _EPOCH + timedelta(microseconds=value)


subscribers = Table(
    "subscribers",
    metadata,
    Column("name", String(63), primary_key=True),
    Column("display_name", Text, nullable=False),
    Column("tag_key", LargeBinary, nullable=False),
    Column("state", String(16), nullable=False, server_default="active"),
)
"""Subscribers; ``tag_key`` makes the pseudonyms under which the log knows their keys, and never leaves. ``state`` is
how each stands (``terms/subscribers.py``)."""

members = Table(
    "members",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("subscriber", ForeignKey("subscribers.name"), nullable=False, index=True),
    Column("name", Text, nullable=False),
    Column("roles", Text, nullable=False),
    Column("workload", Boolean),
    Column("until", Moment),
    Column("ended", Moment),
)
"""People and machines of a Subscriber; ``roles`` are words with blanks between, ``workload`` says which of the two.
Nobody comes in from ``until`` on, or once they have left (``ended``); what they did stays theirs."""

tokens = Table(
    "tokens",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("member", ForeignKey("members.id"), nullable=False),
    Column("created", Moment, nullable=False),
    Column("expires", Moment),
)
"""Bearer tokens, by the SHA-256 of each: the token itself is nowhere."""

client_certificates = Table(
    "client_certificates",
    metadata,
    Column("key_digest", LargeBinary, primary_key=True),
    Column("member", ForeignKey("members.id"), nullable=False),
    Column("created", Moment, nullable=False),
    Column("expires", Moment),
)
"""Public keys whose certificates prove a member, by the SHA-256 of their SubjectPublicKeyInfo."""

key_pairs = Table(
    "key_pairs",
    metadata,
    Column("subscriber", ForeignKey("subscribers.name"), primary_key=True),
    Column("name", String(63), primary_key=True),
    Column("key_id", String(64), nullable=False, unique=True),
    Column("frozen", Boolean, nullable=False),
    Column("document", LargeBinary, nullable=False),
)
"""Key Pairs as the last act made them: ``document`` is the JSON of a ``KeyPair``, ``frozen`` its copy to ask by."""

certificates = Table(
    "certificates",
    metadata,
    Column("fingerprint", String(64), primary_key=True),
    Column("subscriber", ForeignKey("subscribers.name"), primary_key=True),
    Column("key_id", String(64), nullable=False, index=True),
    Column("installed", Moment, nullable=False),
    Column("chain", LargeBinary, nullable=False),
)
"""Certificates by the SHA-256 of their DER; ``chain`` is msgpack, the certificate itself first."""

requests = Table(
    "requests",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("subscriber", ForeignKey("subscribers.name"), nullable=False),
    Column("idempotency_key", String(255), nullable=False),
    Column("timeless_digest", String(64), nullable=False),
    Column("requester", String(40), nullable=False),
    Column("state", String(16), nullable=False),
    Column("canonical", LargeBinary, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("created", Moment, nullable=False),
    Column("expires", Moment, nullable=False),
    Column("salt", LargeBinary, nullable=False),
    Column("completion_salt", LargeBinary, nullable=False),
    Column("intent_index", BigInteger),
    Column("intent_seq", BigInteger),
    Column("signatures", LargeBinary),
    Column("tokens", LargeBinary),
    Column("blobs", LargeBinary),
    Column("receipt", Text),
    Column("failure_code", String(64)),
    Column("failure_detail", Text),
    Column("fence", Integer, nullable=False),
    Column("lease_until", Moment),
    Column("lease_node", String(63)),
    Column("lease_boot", String(32)),
    Column("policy", String(64)),
    Column("allowed_by", Text),
    Column("granted", String(64)),
    UniqueConstraint("subscriber", "idempotency_key"),
    Index("ix_requests_state_lease", "state", "lease_until"),
    Index("ix_requests_intent_index", "intent_index"),
)
"""One row for each signing request, from its submission to its receipt; which columns are set is told by ``state``.

``policy`` is the digest of the policy set that was in force, ``allowed_by`` the rules that allowed it, with blanks
between. ``fence`` and ``lease_*`` say which walk holds it (``records/requests.py``), ``canonical`` is what all sign.
"""

approvals = Table(
    "approvals",
    metadata,
    Column("request", ForeignKey("requests.id"), primary_key=True),
    Column("public_key", LargeBinary, primary_key=True),
    Column("subscriber", ForeignKey("subscribers.name"), nullable=False),
    Column("approver", Text, nullable=False),
    Column("signature", LargeBinary, nullable=False),
    Column("created", Moment, nullable=False),
    Column("stage", Integer, nullable=False, server_default="0"),
    Column("authenticator_data", LargeBinary),
    Column("client_data", LargeBinary),
    Column("key_id", String(64)),
    Index("ix_approvals_subscriber_key_id", "subscriber", "key_id"),
)
"""Signatures of approvers over a request's digest, one for each public key; of a passkey with what it signed beside.
``key_id`` is that of the request, to find the last one of a key that people agreed to."""

uploads = Table(
    "uploads",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("subscriber", ForeignKey("subscribers.name"), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("filename", Text, nullable=False),
    Column("complete", Boolean, nullable=False),
    Column("expires", Moment, nullable=False),
    UniqueConstraint("subscriber", "sha256"),
)
"""Files that were sent, or are being sent, by their content; the octets are in the spool."""

artifacts = Table(
    "artifacts",
    metadata,
    Column("request", ForeignKey("requests.id"), primary_key=True),
    Column("subscriber", ForeignKey("subscribers.name"), nullable=False),
    Column("upload", String(40), nullable=False, index=True),
    Column("filename", Text, nullable=False),
    Column("sha256", String(64)),
    Column("size", BigInteger),
    Column("expires", Moment),
)
"""Signed files that the service made, until they are fetched or their time is over; the octets are in the spool."""

enclosures = Table(
    "enclosures",
    metadata,
    Column("request", ForeignKey("requests.id"), primary_key=True),
    Column("upload", String(40), primary_key=True, index=True),
    Column("subscriber", ForeignKey("subscribers.name"), nullable=False),
)
"""Uploads that travel beside the descriptions of a request; they are kept until it is over."""

log_gaps = Table(
    "log_gaps",
    metadata,
    Column("subscriber", ForeignKey("subscribers.name"), primary_key=True),
    Column("size", BigInteger, primary_key=True),
    Column("missing", BigInteger, nullable=False),
    Column("at", Moment, nullable=False),
)
"""Losses of records that somebody accepted: the size of the log, how many of its intents are missing, and when."""

statements = Table(
    "statements",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("subscriber", ForeignKey("subscribers.name"), nullable=False),
    Column("topic", String(32), nullable=False),
    Column("slot", Text, nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("octets", LargeBinary, nullable=False),
    Column("salt", LargeBinary, nullable=False),
    Column("at", Moment, nullable=False),
    Column("entry", BigInteger),
    UniqueConstraint("subscriber", "slot", "number"),
    Index("ix_statements_entry", "entry"),
)
"""What members stated (``records/statements.py``); ``entry`` is its index in the log, and nothing counts without."""

findings = Table(
    "findings",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("subscriber", ForeignKey("subscribers.name")),
    Column("at", Moment, nullable=False),
    Column("kind", String(32), nullable=False),
    Column("subject", String(255), nullable=False),
    Column("requirement", String(40), nullable=False),
    Column("verdict", String(16), nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("sample", String(64), nullable=False),
    Column("begun", Moment, nullable=False),
    Column("text", Text, nullable=False),
    Column("mend", Text, nullable=False),
    Index("ix_findings_subscriber_kind_subject", "subscriber", "kind", "subject"),
)
"""What was found, in order; rows are added and never changed. Without a Subscriber they are about the service itself.

A row of the kind ``signature`` counts: so many (``number``) of the signatures that one walk looked at, with one key
(``subject``), have this verdict, and ``sample`` is the request of the first of them. All were counted anew at
``begun`` when what they depend on had changed, and rows with an older one are over. Every other row says what one
subject's verdict became, from then on until the next row.
"""

evaluations = Table(
    "evaluations",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("subscriber", ForeignKey("subscribers.name")),
    Column("at", Moment, nullable=False),
    Column("kind", String(32), nullable=False),
    Column("event", BigInteger, nullable=False),
    Column("basis", String(64), nullable=False),
    Column("begun", Moment, nullable=False),
    Column("after", BigInteger, nullable=False),
    UniqueConstraint("kind", "after"),
)
"""How far each kind of subject was evaluated: up to which event, and on which basis (catalogue, day, documents). Each
row follows on one (``after``, 0 for the first), which only one can: two nodes do not count the same twice."""

gates = Table(
    "gates",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("subscriber", ForeignKey("subscribers.name")),
    Column("requirement", String(40), nullable=False),
    Column("at", Moment, nullable=False),
    Column("act", String(16), nullable=False),
    Column("until", Moment, nullable=False),
    Column("document", LargeBinary, nullable=False),
)
"""What was done to gates, in order; rows are added and never changed. ``enabled`` (for all, so without a Subscriber):
known since ``at``, refusing from ``until`` on. ``overridden``: lifted for a Subscriber from ``at`` to ``until``;
``document`` is the JSON of the override with its approvals."""

events = Table(
    "events",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("subscriber", ForeignKey("subscribers.name"), nullable=False),
    Column("at", Moment, nullable=False),
    Column("actor", String(40), nullable=False),
    Column("what", String(40), nullable=False),
    Column("subject", Text, nullable=False),
    Index("ix_events_subscriber_at", "subscriber", "at"),
)
"""What happened to whom, in order; rows are added and never changed."""

trust_rules = Table(
    "trust_rules",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("subscriber", ForeignKey("subscribers.name"), nullable=False, index=True),
    Column("member", ForeignKey("members.id"), nullable=False),
    Column("issuer", String(255), nullable=False),
    Column("document", LargeBinary, nullable=False),
    Column("created", Moment, nullable=False),
)
"""Which runs act as which member: ``document`` is the JSON of a ``TrustRule``."""

exchanged_tokens = Table(
    "exchanged_tokens",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("subscriber", ForeignKey("subscribers.name"), nullable=False),
    Column("digest", LargeBinary, nullable=False, unique=True),
    Column("member", ForeignKey("members.id"), nullable=False),
    Column("rule", String(40), nullable=False),
    Column("identity", LargeBinary, nullable=False),
    Column("turn", Integer, nullable=False),
    Column("workload", LargeBinary, nullable=False),
    Column("created", Moment, nullable=False),
    Column("expires", Moment, nullable=False),
    Column("kept_until", Moment, nullable=False, index=True),
    UniqueConstraint("identity", "turn"),
)
"""Tokens given for a run's identity token, by their SHA-256. ``identity`` is that of the identity token and ``turn``
counts its exchanges, from 0: over all Subscribers there is one row for each, until the token itself has ended."""

scoped_tokens = Table(
    "scoped_tokens",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("subscriber", ForeignKey("subscribers.name"), nullable=False, index=True),
    Column("digest", LargeBinary, nullable=False, unique=True),
    Column("member", ForeignKey("members.id"), nullable=False),
    Column("label", String(64), nullable=False),
    Column("scope", LargeBinary, nullable=False),
    Column("created", Moment, nullable=False),
    Column("expires", Moment, nullable=False),
    Column("used", String(10), nullable=False),
)
"""Static tokens of machines, by their SHA-256; ``scope`` is the JSON of a ``Scope``, ``used`` the day of the last use
or empty."""
freezes = Table(
    "freezes",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("subscriber", ForeignKey("subscribers.name"), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("name", String(255), nullable=False),
    Column("reason", Text, nullable=False),
    Column("frozen_by", String(40), nullable=False),
    Column("at", Moment, nullable=False),
    Column("signer", String(16), nullable=False),
    Column("thawed", Moment),
    Index("ix_freezes_subscriber_thawed", "subscriber", "thawed"),
)
"""What was frozen, by whom and why; it holds until ``thawed``. ``signer`` says how far the guarded signer has followed:
``none`` where it has no part in it, ``freeze`` and ``thaw`` where it is still to be told, ``frozen``, ``thawed``, or
``refused`` where its own rules ask for more people than the records do."""

thaw_agreements = Table(
    "thaw_agreements",
    metadata,
    Column("of_freeze", ForeignKey("freezes.id"), primary_key=True),
    Column("person", String(128), primary_key=True),
    Column("subscriber", ForeignKey("subscribers.name"), nullable=False),
    Column("at", Moment, nullable=False),
    Column("document", LargeBinary, nullable=False),
)
"""Who agrees that something is thawed; two different people must. ``document`` is an overseer's signed approval as
JSON, empty where a member agreed in a session."""

signed_digests = Table(
    "signed_digests",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("subscriber", String(63), primary_key=True),
    Column("request", String(40), primary_key=True),
    Column("kind", String(16), primary_key=True),
    sqlite_with_rowid=False,
)
"""By what a signature is found again: digests of the content that was signed, of the signature blob, of the finished
file. Written in the transaction that releases it.

Digests are random, so each row dirties a page of its own in every tree that it stands in: it stands in one, and has no
foreign key to look up. Whoever is not in ``subscribers`` has no requests either."""

request_runs = Table(
    "request_runs",
    metadata,
    Column("request", String(40), primary_key=True),
    Column("subscriber", ForeignKey("subscribers.name"), nullable=False),
    Column("run", String(64), nullable=False),
    Column("document", LargeBinary, nullable=False),
    Index("ix_request_runs_subscriber_run", "subscriber", "run"),
)
"""Which run of a machine asked: ``document`` is the JSON of its ``Workload``, ``run`` the SHA-256 of issuer and run."""

incidents = Table(
    "incidents",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("subscriber", ForeignKey("subscribers.name"), nullable=False),
    Column("version", Integer, nullable=False),
    Column("opened", Moment, nullable=False),
    Column("closed", Moment),
    Column("document", LargeBinary, nullable=False),
    Index("ix_incidents_subscriber_opened", "subscriber", "opened"),
)
"""Reports and what came of them: ``document`` is the JSON of ``compliance.incidents.Case`` in its last ``version``."""

webhooks = Table(
    "webhooks",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("subscriber", ForeignKey("subscribers.name"), nullable=False, index=True),
    Column("url", Text, nullable=False),
    Column("topics", Text, nullable=False),
    Column("created", Moment, nullable=False),
    Column("removed", Moment),
)
"""Where a Subscriber wants to be told, and of what; the secrets under which that is signed are in no table."""

notices = Table(
    "notices",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("subscriber", ForeignKey("subscribers.name"), nullable=False),
    Column("topic", String(40), nullable=False),
    Column("bundle", String(255), nullable=False),
    Column("at", Moment, nullable=False),
    Column("document", LargeBinary, nullable=False),
    Index("ix_notices_at", "at"),
)
"""The outbox: what happened and is still to be made into deliveries, written in the transaction in which it happened.
Rows of one ``bundle`` become one delivery, from the first ``at`` of them on."""

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("subscriber", ForeignKey("subscribers.name"), nullable=False),
    Column("webhook", String(40), nullable=False),
    Column("topic", String(40), nullable=False),
    Column("made", Moment, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("state", String(16), nullable=False),
    Column("tries", Integer, nullable=False),
    Column("next", Moment),
    Column("said", Text, nullable=False),
    Index("ix_deliveries_state_next", "state", "next"),
    Index("ix_deliveries_subscriber_made", "subscriber", "made"),
)
"""Messages to webhooks and to people (``webhook`` empty), each with what came of its last try."""
papers = Table(
    "papers",
    metadata,
    Column("subscriber", ForeignKey("subscribers.name"), primary_key=True),
    Column("kind", String(32), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("sha256", String(64), nullable=False),
    Column("at", Moment, nullable=False),
    Column("by", String(40), nullable=False),
    Column("document", LargeBinary, nullable=False),
)
"""Versions of papers (``terms/agreements.py``); rows are added and never changed. Who accepted which is a statement."""
policies = Table(
    "policies",
    metadata,
    Column("subscriber", ForeignKey("subscribers.name"), primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("digest", String(64), nullable=False),
    Column("octets", LargeBinary, nullable=False),
    Column("at", Moment, nullable=False),
    Column("actor", String(40), nullable=False),
    Column("accepted", Text),
)
"""Policy sets, each as it was applied; the one with the highest ``number`` is in force, and none is ever removed.
``accepted`` is the reason for which conflicts of duties were accepted with it."""

policy_uses = Table(
    "policy_uses",
    metadata,
    Column("subscriber", ForeignKey("subscribers.name"), primary_key=True),
    Column("rule", String(63), primary_key=True),
    Column("hour", BigInteger, nullable=False),
    Column("in_hour", BigInteger, nullable=False),
    Column("day", BigInteger, nullable=False),
    Column("in_day", BigInteger, nullable=False),
    Column("in_all", BigInteger, nullable=False),
)
"""How many signatures rules with a limit have allowed, in the hour and the day (counted since 1970) of the last one."""

attestations = Table(
    "attestations",
    metadata,
    Column("subscriber", ForeignKey("subscribers.name"), primary_key=True),
    Column("file", String(64), primary_key=True),
    Column("digest", String(64), primary_key=True),
    Column("octets", LargeBinary, nullable=False),
    Column("at", Moment, nullable=False),
)
"""DSSE envelopes that came for files, by the SHA-256 of the file and of the envelope; verified only when asked for."""
accounts = Table(
    "accounts",
    metadata,
    Column("member", ForeignKey("members.id"), primary_key=True),
    Column("subscriber", ForeignKey("subscribers.name"), nullable=False),
    Column("login", String(64), nullable=False),
    Column("password", Text),
    Column("totp", LargeBinary),
    Column("totp_pending", LargeBinary),
    Column("totp_step", BigInteger, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("not_before", Moment),
    UniqueConstraint("subscriber", "login"),
)
"""By what a person signs in here: an Argon2id string, the app's secret, sealed under a key that is not in here, and the
newest step of it that was accepted. ``failures`` in a row make the next try wait until ``not_before``."""

invitations = Table(
    "invitations",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("member", ForeignKey("members.id"), nullable=False),
    Column("subscriber", ForeignKey("subscribers.name"), nullable=False),
    Column("created", Moment, nullable=False),
    Column("expires", Moment, nullable=False),
)
"""Links by which a member comes in for the first time, by the SHA-256 of each; one that was used is gone."""

passkeys = Table(
    "passkeys",
    metadata,
    Column("credential", LargeBinary, primary_key=True),
    Column("member", ForeignKey("members.id"), nullable=False, index=True),
    Column("subscriber", ForeignKey("subscribers.name"), nullable=False),
    Column("public_key", LargeBinary, nullable=False),
    Column("cose", LargeBinary, nullable=False),
    Column("count", BigInteger, nullable=False),
    Column("synced", Boolean, nullable=False),
    Column("backed_up", Boolean, nullable=False),
    Column("refused", Boolean, nullable=False),
    Column("rp_id", Text, nullable=False),
    Column("origin", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("created", Moment, nullable=False),
    Column("used", Moment),
)
"""WebAuthn credentials of members by their id: the public key as SubjectPublicKeyInfo and as COSE, the signature
counter; ``synced`` is the backup-eligible flag, ``refused`` says that the counter went back."""

recovery_codes = Table(
    "recovery_codes",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("member", ForeignKey("members.id"), nullable=False, index=True),
    Column("subscriber", ForeignKey("subscribers.name"), nullable=False),
)
"""Recovery codes that were not used yet, by the SHA-256 of each."""

identities = Table(
    "identities",
    metadata,
    Column("issuer", String(255), primary_key=True),
    Column("subject", String(255), primary_key=True),
    Column("member", ForeignKey("members.id"), nullable=False),
    Column("subscriber", ForeignKey("subscribers.name"), nullable=False),
    Column("created", Moment, nullable=False),
)
"""Which subject of which identity provider is which member."""

sessions = Table(
    "sessions",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("id", String(40), nullable=False, unique=True),
    Column("member", ForeignKey("members.id"), nullable=False, index=True),
    Column("subscriber", ForeignKey("subscribers.name"), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("factors", Text, nullable=False),
    Column("said", Text, nullable=False),
    Column("begun", Moment, nullable=False),
    Column("proved_at", Moment),
    Column("seen", Moment, nullable=False),
    Column("ends", Moment, nullable=False),
    Column("agent", LargeBinary, nullable=False),
    Column("label", Text, nullable=False),
    Column("pending", Boolean, nullable=False),
)
"""Sign-ins of people that have not ended, by the SHA-256 of each token."""

spent_notes = Table(
    "spent_notes",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("subscriber", ForeignKey("subscribers.name"), nullable=False),
    Column("expires", Moment, nullable=False),
)
"""Challenges and codes that were used, until they are too old to be used anyway."""

device_codes = Table(
    "device_codes",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("user_code", LargeBinary, nullable=False, unique=True),
    Column("subscriber", ForeignKey("subscribers.name")),
    Column("member", String(40)),
    Column("session", String(40)),
    Column("label", Text, nullable=False),
    Column("expires", Moment, nullable=False),
    Column("refused", Boolean, nullable=False),
    Column("asked", Moment),
)
"""Command lines without a browser that wait to be let in (RFC 8628), by the SHA-256 of both codes. They are nobody's
until a member says yes in a session."""

grants = Table(
    "grants",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("subscriber", ForeignKey("subscribers.name"), nullable=False),
    Column("key_name", String(63), nullable=False),
    Column("requester", String(40), nullable=False),
    Column("canonical", LargeBinary, nullable=False),
    Column("created", Moment, nullable=False),
    Column("until", Moment, nullable=False),
    Column("agreed", Moment),
    Column("revoked", Moment),
    Column("revoked_by", String(40), nullable=False),
    Column("told", String(16), nullable=False),
    Index("ix_grants_subscriber_until", "subscriber", "until"),
)
"""Grants as they were proposed (``canonical``), since when enough people have agreed, and by whom they were revoked.
``told`` is the last of their ends that somebody was told of: used-up or expiring."""

grant_approvals = Table(
    "grant_approvals",
    metadata,
    Column("of_grant", ForeignKey("grants.id"), primary_key=True),
    Column("public_key", LargeBinary, primary_key=True),
    Column("subscriber", ForeignKey("subscribers.name"), nullable=False),
    Column("created", Moment, nullable=False),
    Column("document", LargeBinary, nullable=False),
)
"""Who agreed to a grant: ``document`` is the JSON of an ``Approval``."""

grant_uses = Table(
    "grant_uses",
    metadata,
    Column("request", ForeignKey("requests.id"), primary_key=True),
    Column("of_grant", ForeignKey("grants.id"), nullable=False, index=True),
    Column("subscriber", ForeignKey("subscribers.name"), nullable=False),
    Column("signatures", Integer, nullable=False),
    Column("proof", LargeBinary, nullable=False),
    Column("at", Moment, nullable=False),
)
"""Requests that come under a grant, how many signatures each is for, and the proof of who asked, which is good for
that request only. ``requests.granted`` is the grant's digest."""

key_lives = Table(
    "key_lives",
    metadata,
    Column("subscriber", ForeignKey("subscribers.name"), primary_key=True),
    Column("name", String(63), primary_key=True),
    Column("key_id", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("since", Moment, nullable=False),
    Column("used", Moment),
    Index("ix_key_lives_state_since", "state", "since"),
)
"""How each Key Pair stands (``terms/life.py``), from its plan on; ``key_id`` is empty while there is no key.
``used`` is when it was last asked to sign, to the day. What it was before is among the statements."""

key_acts = Table(
    "key_acts",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("subscriber", ForeignKey("subscribers.name"), nullable=False),
    Column("key_name", String(63), nullable=False),
    Column("purpose", String(16), nullable=False),
    Column("canonical", LargeBinary, nullable=False),
    Column("why", Text, nullable=False),
    Column("proposer", String(40), nullable=False),
    Column("created", Moment, nullable=False),
    Column("expires", Moment, nullable=False),
    Column("state", String(16), nullable=False),
    Column("ended", Moment),
    Column("outcome", Text, nullable=False),
    Index("ix_key_acts_subscriber_key_name", "subscriber", "key_name"),
    Index("ix_key_acts_state", "state"),
)
"""Acts on Key Pairs that somebody proposed (``canonical`` is what people agree to), and what became of each."""

key_act_approvals = Table(
    "key_act_approvals",
    metadata,
    Column("of_act", ForeignKey("key_acts.id"), primary_key=True),
    Column("public_key", LargeBinary, primary_key=True),
    Column("approver", String(255), primary_key=True),
    Column("subscriber", ForeignKey("subscribers.name"), nullable=False),
    Column("created", Moment, nullable=False),
    Column("document", LargeBinary, nullable=False),
)
"""Who agreed to an act on a Key Pair: ``document`` is the JSON of an ``Approval``."""

certificate_orders = Table(
    "certificate_orders",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("subscriber", ForeignKey("subscribers.name"), nullable=False),
    Column("key_name", String(63), nullable=False),
    Column("state", String(16), nullable=False),
    Column("asked", Moment, nullable=False),
    Column("again", Moment),
    Column("fingerprint", String(64), nullable=False),
    Column("document", LargeBinary, nullable=False),
    Index("ix_certificate_orders_state_again", "state", "again"),
    Index("ix_certificate_orders_subscriber_asked", "subscriber", "asked"),
)
"""Orders of certificates: ``document`` is the JSON of an ``Order``. Before ``again`` nobody asks the authority of an
open one; where it is null, nobody asks at all, for a person brings what it says."""

key_health = Table(
    "key_health",
    metadata,
    Column("subscriber", ForeignKey("subscribers.name"), primary_key=True),
    Column("key_name", String(63), primary_key=True),
    Column("looked", Moment),
    Column("probed", Moment),
    Column("answers", Boolean),
    Column("words", Text, nullable=False),
    Column("met", Text, nullable=False),
    Column("told", String(80), nullable=False),
)
"""How each Key Pair was found: when its public key was last looked at, what came of its last probe (null where there
was none), and of which step of its renewal people were told."""

signed_nonces = Table(
    "signed_nonces",
    metadata,
    Column("subscriber", ForeignKey("subscribers.name"), primary_key=True),
    Column("seen", LargeBinary, primary_key=True),
    Column("rest", LargeBinary, nullable=False),
    Column("request", String(40), nullable=False),
)
"""One row for each ECDSA signature: ``seen`` is a digest of its key and its ``r``, ``rest`` of its ``s``. That one
``r`` comes twice with different ``s`` makes the Private Key computable. Rows are never changed."""

nonce_progress = Table(
    "nonce_progress",
    metadata,
    Column("subscriber", ForeignKey("subscribers.name"), primary_key=True),
    Column("event", BigInteger, nullable=False),
)
"""Up to which event the signatures of releases are among ``signed_nonces``; the largest of all counts for all."""
