"""Policies over HTTP: the set in force and those before it, a plan, a trial, an apply; and attestations of files.

Nothing here needs an Idempotency-Key: the set in force is not applied again, and an envelope is its digest.
"""

from __future__ import annotations

import msgspec
from litestar.params import FromPath, JSONBody

from privyseal.access.deciding import Explained
from privyseal.access.duties_apart import Conflict
from privyseal.access.policies import PolicySet, Rules
from privyseal.records import policies as kept
from privyseal.records.database import Transaction
from privyseal.records.policies import Version
from privyseal.signing import policies
from privyseal.signing.policies import Plan, Proposal, Trial
from privyseal.web.desk import TheDesk
from privyseal.web.intake import Incoming


class PolicyList(msgspec.Struct, frozen=True, kw_only=True):
    """The policy sets that were applied, the newest first: that one is in force. None means that roles alone decide."""

    versions: tuple[Version, ...]
    conflicts: tuple[Conflict, ...]
    """Duties that are not apart as things are now."""


class PolicyView(msgspec.Struct, frozen=True, kw_only=True):
    """One policy set."""

    digest: str
    rules: Rules
    octets: bytes
    """What the digest is over, in base64."""


class Brought(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An attestation that a file brings."""

    envelope: bytes
    """A DSSE envelope, JSON, in base64."""


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """An attestation that was taken in."""

    digest: str
    """SHA-256 of the envelope, lower-case hex."""


async def list_policies(subscriber: FromPath[str], desk: TheDesk) -> PolicyList:
    """List the policy sets that were applied, and the conflicts of duties under the one in force."""
    versions = await desk.read(subscriber, kept.versions)
    found = await desk.file(lambda: policies.conflicts(desk.seal, subscriber))
    return PolicyList(versions=tuple(versions), conflicts=tuple(found))


async def read_policy(subscriber: FromPath[str], digest: FromPath[str], desk: TheDesk) -> PolicyView:
    """Show a policy set by its digest, in force or not any more."""

    def read(tx: Transaction) -> PolicySet:
        return kept.version(tx, digest)

    found = await desk.read(subscriber, read)
    return PolicyView(digest=found.digest, rules=found.rules, octets=found.octets)


async def plan_policy(request: Incoming, subscriber: FromPath[str], data: JSONBody[Proposal], desk: TheDesk) -> Plan:
    """Say what a policy set would change, and who gains and loses what by it; nothing is written."""
    return await desk.file(lambda: policies.plan(desk.seal, request.user, subscriber, data))


async def apply_policy(
    request: Incoming, subscriber: FromPath[str], data: JSONBody[Proposal], desk: TheDesk
) -> Version:
    """Put a policy set in force; the one in force, applied again, changes nothing."""
    return await desk.file(lambda: policies.apply(desk.seal, request.user, subscriber, data))


async def try_policy(request: Incoming, subscriber: FromPath[str], data: JSONBody[Trial], desk: TheDesk) -> Explained:
    """Say why a request would be allowed or what it lacks, rule by rule; nothing is asked for by this."""
    return await desk.file(lambda: policies.try_out(desk.seal, request.user, subscriber, data))


async def bring_attestation(
    request: Incoming, subscriber: FromPath[str], data: JSONBody[Brought], desk: TheDesk
) -> Kept:
    """Take in an attestation (in-toto statement in a DSSE envelope) for the files that it names."""
    digest = await desk.file(lambda: policies.bring(desk.seal, request.user, subscriber, data.envelope))
    return Kept(digest=digest)
