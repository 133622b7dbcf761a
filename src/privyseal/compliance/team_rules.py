"""Whether the teams that an internal agreement keeps apart are apart, judged on the agreement itself."""

from __future__ import annotations

from privyseal.compliance.outcome import Outcome, met, not_applicable, not_evidenced, not_met
from privyseal.compliance.requirement import Asked
from privyseal.compliance.subjects import OrganisationRecord


def teams_apart(organisation: OrganisationRecord, asked: Asked) -> Outcome:
    """Judge whether nobody is in both teams of an internal agreement (HOUSE 9.6.3)."""
    if organisation.teams is None:
        return not_applicable("There is no internal agreement between two teams of one organisation.")
    ca, service = organisation.teams
    if not ca or not service:
        return not_evidenced(
            "The internal agreement does not say who is in which team.",
            "name both teams in the paper: ca_team, service_team",
        )
    both = sorted(set(ca) & set(service))
    if both:
        return not_met(
            f"{', '.join(both[:5])} {'is' if len(both) == 1 else 'are'} in the CA's team and in the Signing Service's.",
            "have other people hold the roles on one side, and add a new version of the agreement",
        )
    return met(f"{len(ca)} people are in the CA's team and {len(service)} others in the Signing Service's.")
