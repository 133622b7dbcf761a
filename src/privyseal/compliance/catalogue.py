"""Every requirement that we know, by clause family: a list that one can read."""

from __future__ import annotations

from privyseal.compliance.requirement import Requirement
from privyseal.compliance.requirements import csbr_6_1_5, csbr_6_3_2, csbr_6_7

FAMILIES = (csbr_6_1_5, csbr_6_3_2, csbr_6_7)
"""Modules with a tuple ``REQUIREMENTS`` each, in the order of the documents."""

REQUIREMENTS: tuple[Requirement, ...] = tuple(each for family in FAMILIES for each in family.REQUIREMENTS)

BY_ID: dict[str, Requirement] = {each.id: each for each in REQUIREMENTS}
