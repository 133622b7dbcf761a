"""Where anybody at all reports Suspect Code or a compromise (CSBR 4.9.3), without an account.

Whoever found malware that somebody signed has no credential here and must be heard all the same. So the door is open
and narrow: small bodies, few an hour, and an answer that says nothing about who signs here.
"""

from __future__ import annotations

from datetime import datetime

import msgspec
from litestar import Response
from litestar.params import JSONBody

from privyseal.compliance.incidents import OutsideReport
from privyseal.signing import incidents
from privyseal.web.desk import TheDesk

REPORT_LIMIT = 16 * 1024
"""Octets of a report: its text and a hundred digests have 15 KiB."""


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """That a report was written down, and what happens next."""

    id: str
    at: datetime
    text: str = (
        "The report is on record, and somebody looks into it within 24 hours. Quote this id when you write again."
    )


async def report_from_outside(data: JSONBody[OutsideReport], desk: TheDesk) -> Response[Heard]:
    """Report Suspect Code, a compromise or misuse, without an account (CSBR 4.9.3)."""
    case = await desk.file(lambda: incidents.report_from_outside(desk.seal, data))
    return Response(Heard(id=case.id, at=case.reported_at), status_code=201)
