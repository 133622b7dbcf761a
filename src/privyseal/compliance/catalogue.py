"""Every requirement that we know, by clause family: a list that one can read."""

from __future__ import annotations

from privyseal.compliance.requirement import Requirement
from privyseal.compliance.requirements import (
    csbr_1_3,
    csbr_1_6_1,
    csbr_2,
    csbr_3_2_authority,
    csbr_3_2_identity,
    csbr_4_1,
    csbr_4_2,
    csbr_4_3,
    csbr_4_9_reports,
    csbr_4_9_revocation,
    csbr_4_9_revocation_in_days,
    csbr_4_9_status,
    csbr_6_7,
)

FAMILIES = (
    csbr_5,
    csbr_5_2,
    csbr_5_3,
    csbr_5_4_1_1,
    csbr_5_4_1_2,
    csbr_5_4_3,
    csbr_5_5,
    csbr_5_7,
    csbr_6_1_1_1,
    csbr_6_1_2,
    csbr_6_2,
    csbr_6_2_7_2,
    csbr_6_2_7_3,
    csbr_6_2_7_4_1,
    csbr_6_2_7_4_2,
    csbr_6_3_2_use,
    csbr_6_5,
    csbr_6_8_authority,
    csbr_7,
    csbr_8,
    csbr_8_4,
    csbr_8_6,
    csbr_9,
    csbr_9_6_3,
    csbr_9_6_5,
    csbr_9_8,
    house,
    nsr_1,
    nsr_2,
    nsr_3,
    nsr_4,
)
"""Modules with a tuple ``REQUIREMENTS`` each, in the order of the documents."""

REQUIREMENTS: tuple[Requirement, ...] = tuple(each for family in FAMILIES for each in family.REQUIREMENTS)

BY_ID: dict[str, Requirement] = {each.id: each for each in REQUIREMENTS}
