"""Policies over HTTP: the set in force and those before it, a plan, a trial, an apply; and attestations of files.

Nothing here needs an Idempotency-Key: the set in force is not applied again, and an envelope is its digest.
"""

from __future__ import annotations

from litestar.params import FromPath, JSONBody

from privyseal.access.deciding import Explained
from privyseal.access.policies import PolicySet, Version
from privyseal.records import policies as kept
from privyseal.records.database import Transaction
from privyseal.signing import policies
from privyseal.signing.forms_of_requests import Plan, Proposal, Trial
from privyseal.web.desk import TheDesk
from privyseal.web.intake import Incoming
from privyseal.web.views_of_requests import Brought, Kept, PolicyList, PolicyView


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
