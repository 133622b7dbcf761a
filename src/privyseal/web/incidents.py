"""Incidents: reports, what was done about them, and what a revocation would cost."""

from __future__ import annotations

from litestar import Response
from litestar.params import FromPath, FromQuery, JSONBody

from privyseal.compliance.incidents import Case, Report
from privyseal.records import incidents as kept
from privyseal.signing import incidents
from privyseal.signing.forms_of_requests import Impact
from privyseal.signing.incidents import Step
from privyseal.web.desk import TheDesk
from privyseal.web.intake import Incoming
from privyseal.web.views_of_findings import CaseList, read_moment

MOST_SHOWN = 1000
"""Incidents that are listed, the newest first."""


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
