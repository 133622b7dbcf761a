"""Incidents: report Suspect Code or a compromise, and see what follows from it."""

from __future__ import annotations

import msgspec

from privyseal.compliance.duty_facts import IncidentKind
from privyseal.compliance.incidents import Report
from privyseal.errors import BadInput
from privyseal.records import incidents as kept
from privyseal.records import keys, parties
from privyseal.signing import incidents
from privyseal.web.console.visit import Reply, Visit, go

PATH = "/console/incidents"
MOST_SHOWN = 100
"""Cases on the page, the newest first."""


def show(visit: Visit) -> Reply:
    """List reports, and offer to make one."""
    with visit.seal.records.reading(visit.actor.subscriber) as tx:
        listed = kept.listed(tx, MOST_SHOWN)
        pairs = keys.key_pairs_of(tx)
    shows = {"listed": listed, "keys": [each.name for each in pairs], "kinds": list(IncidentKind)}
    return Reply("incidents.html", shows | {"may": visit.may("report-incident"), "recent": visit.recent})


def one(visit: Visit) -> Reply:
    """Show one report and what came of it so far."""
    with visit.seal.records.reading(visit.actor.subscriber) as tx:
        case = kept.get(tx, visit.query.get("id", "")).case
        names = parties.names(tx)
    return Reply("incident.html", {"case": case, "names": names})


def report(visit: Visit) -> Reply:
    """Take in a report: its clocks run from now on."""
    said = {
        "kind": visit.text("kind"),
        "text": visit.text("text").strip(),
        "keys": [visit.form["key"]] if visit.form.get("key") else [],
        "digests": visit.form.get("digests", "").lower().split(),
    }
    try:
        made = msgspec.convert(said, Report)
    except msgspec.ValidationError as error:
        raise BadInput(
            "The report is not whole, or a digest is none.", hint="say what happened; digests in hex, one a line"
        ) from error
    case = incidents.report(visit.seal, visit.actor, made)
    return go(f"{PATH}/one?id={case.id}&said=reported")
