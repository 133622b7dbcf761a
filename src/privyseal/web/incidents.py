"""Incidents: reports, what was done about them, and what a revocation would cost."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
from litestar import Response
from litestar.params import FromPath, FromQuery, JSONBody

from privyseal.compliance.incidents import Case, Report
from privyseal.errors import BadInput
from privyseal.records import incidents as kept
from privyseal.signing import incidents
from privyseal.signing.incidents import Impact, Step
from privyseal.web.desk import TheDesk
from privyseal.web.intake import Incoming

MOST_SHOWN = 1000
"""Incidents that are listed, the newest first."""


class CaseList(msgspec.Struct, frozen=True, kw_only=True):
    """The Subscriber's incidents, the newest first."""

    incidents: tuple[Case, ...]


async def list_incidents(subscriber: FromPath[str], desk: TheDesk) -> CaseList:
    """List the Subscriber's incidents."""
    return CaseList(incidents=tuple(await desk.read(subscriber, lambda tx: kept.listed(tx, MOST_SHOWN))))


async def report_incident(
    request: Incoming, subscriber: FromPath[str], data: JSONBody[Report], desk: TheDesk
) -> Response[Case]:
    """Report Suspect Code or a compromise: the clocks run from the answer on."""
    case = await desk.file(lambda: incidents.report(desk.seal, request.user, data))
    return Response(case, status_code=201)


async def read_incident(subscriber: FromPath[str], name: FromPath[str], desk: TheDesk) -> Case:
    """Show one incident."""
    return await desk.read(subscriber, lambda tx: kept.get(tx, name).case)


async def step_incident(
    request: Incoming, subscriber: FromPath[str], name: FromPath[str], data: JSONBody[Step], desk: TheDesk
) -> Case:
    """Write down what was decided or done about an incident; the same again changes nothing."""
    return await desk.file(lambda: incidents.act(desk.seal, request.user, name, data))


async def revocation_impact(
    request: Incoming, subscriber: FromPath[str], fingerprint: FromPath[str], desk: TheDesk, date: FromQuery[str]
) -> Impact:
    """Say which released files die if this certificate is revoked as of ``date``, and which live on."""
    moment = read_moment(date)
    return await desk.slow(lambda: incidents.impact(desk.seal, request.user, fingerprint, moment))


def read_moment(text: str) -> datetime:
    """Read a time such as 2026-11-25T10:00Z, or a day, which is its first moment in UTC; BadInput for any other."""
    try:
        moment = datetime.fromisoformat(text[:40])
    except ValueError:
        raise BadInput(f"{text[:40]!r} is no time.", hint="such as 2026-11-25T10:00:00Z, or 2026-11-25") from None
    if moment.tzinfo is None and len(text) > 10:
        raise BadInput(f"{text[:40]!r} has no time zone.", hint="add Z for UTC")
    return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
