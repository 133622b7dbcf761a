"""Every requirement that we know, by clause family: a list that one can read.

A text binds from the day that its ballot says. A house rule of ours has no ballot, so one rule dates them all: where it
goes on where a text has ended (``FOLLOWED``), it begins on the day after that text's last; any other begins on the day
on which it entered this catalogue, and says nothing of the time before. To support a text that is in force is not to
follow it.
"""

from __future__ import annotations

from datetime import date

from privyseal.compliance.requirement import Nature, Requirement
from privyseal.compliance.requirements import (
    csbr_1_3,
    csbr_1_6_1,
    csbr_2,
    csbr_3_2_authority,
    csbr_3_2_identity,
    csbr_4_1,
    csbr_4_2,
    csbr_4_3,
    csbr_4_9_crl,
    csbr_4_9_ocsp,
    csbr_4_9_reports,
    csbr_4_9_revocation,
    csbr_4_9_revocation_in_days,
    csbr_4_9_status,
    csbr_5,
    csbr_5_2,
    csbr_5_3,
    csbr_5_4_1_1,
    csbr_5_4_1_2,
    csbr_5_4_3,
    csbr_5_5,
    csbr_5_7,
    csbr_6_1_1_1,
    csbr_6_1_1_3,
    csbr_6_1_2,
    csbr_6_1_5,
    csbr_6_1_6,
    csbr_6_2,
    csbr_6_2_7_2,
    csbr_6_2_7_3,
    csbr_6_2_7_4_1,
    csbr_6_2_7_4_2,
    csbr_6_3_2,
    csbr_6_3_2_tokens,
    csbr_6_3_2_use,
    csbr_6_5,
    csbr_6_7,
    csbr_6_8_authority,
    csbr_6_8_tokens,
    csbr_7,
    csbr_7_1,
    csbr_7_1_2_1,
    csbr_7_1_2_2,
    csbr_7_1_2_3,
    csbr_7_1_3,
    csbr_7_1_4,
    csbr_7_1_4_2_4,
    csbr_7_1_6,
    csbr_7_2,
    csbr_8,
    csbr_8_4,
    csbr_8_6,
    csbr_9,
    csbr_9_6_3,
    csbr_9_6_5,
    csbr_9_8,
    csbr_of_certificates,
    house,
    nsr_1,
    nsr_2,
    nsr_3,
    nsr_4,
)

FAMILIES = (
    csbr_1_3,
    csbr_1_6_1,
    csbr_2,
    csbr_3_2_authority,
    csbr_3_2_identity,
    csbr_4_1,
    csbr_4_2,
    csbr_4_3,
    csbr_4_9_crl,
    csbr_4_9_ocsp,
    csbr_4_9_reports,
    csbr_4_9_revocation,
    csbr_4_9_revocation_in_days,
    csbr_4_9_status,
    csbr_5,
    csbr_5_2,
    csbr_5_3,
    csbr_5_4_1_1,
    csbr_5_4_1_2,
    csbr_5_4_3,
    csbr_5_5,
    csbr_5_7,
    csbr_6_1_1_1,
    csbr_6_1_1_3,
    csbr_6_1_2,
    csbr_6_1_5,
    csbr_6_1_6,
    csbr_6_2,
    csbr_6_2_7_2,
    csbr_6_2_7_3,
    csbr_6_2_7_4_1,
    csbr_6_2_7_4_2,
    csbr_6_3_2,
    csbr_6_3_2_tokens,
    csbr_6_3_2_use,
    csbr_6_5,
    csbr_6_7,
    csbr_6_8_authority,
    csbr_6_8_tokens,
    csbr_7,
    csbr_7_1,
    csbr_7_1_2_1,
    csbr_7_1_2_2,
    csbr_7_1_2_3,
    csbr_7_1_3,
    csbr_7_1_4,
    csbr_7_1_4_2_4,
    csbr_7_1_6,
    csbr_7_2,
    csbr_8,
    csbr_8_4,
    csbr_8_6,
    csbr_9,
    csbr_9_6_3,
    csbr_9_6_5,
    csbr_9_8,
    csbr_of_certificates,
    nsr_1,
    nsr_2,
    nsr_3,
    nsr_4,
    house,
)
"""Modules with a tuple ``REQUIREMENTS`` each, in the order of the documents."""

REQUIREMENTS: tuple[Requirement, ...] = tuple(each for family in FAMILIES for each in family.REQUIREMENTS)
"""Every requirement there is, family by family."""

BY_ID: dict[str, Requirement] = {each.id: each for each in REQUIREMENTS}
"""The same by their identifiers, such as ``CSBR-6.3.2-01``."""

FOLLOWED: dict[str, str] = {
    "HOUSE-5.4-01": "CSBR-1.6.1-90",
    "HOUSE-5.4.3-01": "CSBR-1.6.1-90",
    "HOUSE-6.2.7.2-01": "CSBR-6.2.7.2-90",
}
"""House rules that go on where a text has ended, and which: with the old definition (CSC-21) went what 5.4 asked of a
Signing Service as a Delegated Third Party."""

ENTERED: dict[str, date] = {
    each.id: date(2026, 11, 25) for each in REQUIREMENTS if each.nature is Nature.HOUSE_RULE and each.id not in FOLLOWED
} | {"HOUSE-9.6.3-03": date(2026, 11, 30)}
"""When each other house rule entered the catalogue: all on one day but the later ones, each with its own."""
