"""Every requirement that we know, by clause family: a list that one can read."""

from __future__ import annotations

from privyseal.compliance.requirement import Requirement
from privyseal.compliance.requirements import (
    csbr_6_7,
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

FAMILIES = (
    csbr_6_7,
    csbr_8,
    csbr_8_4,
    csbr_8_6,
    csbr_9,
    csbr_9_6_3,
    csbr_9_6_5,
    csbr_9_8,
    nsr_1,
    nsr_2,
    nsr_3,
    nsr_4,
    house,
)
"""Modules with a tuple ``REQUIREMENTS`` each, in the order of the documents."""

REQUIREMENTS: tuple[Requirement, ...] = tuple(each for family in FAMILIES for each in family.REQUIREMENTS)

BY_ID: dict[str, Requirement] = {each.id: each for each in REQUIREMENTS}
