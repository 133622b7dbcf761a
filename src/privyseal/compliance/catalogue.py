"""Every requirement that we know, by clause family: a list that one can read."""

from __future__ import annotations

from privyseal.compliance.requirement import Requirement
from privyseal.compliance.requirements import (
    csbr_4_9_crl,
    csbr_4_9_ocsp,
    csbr_6_1_1_3,
    csbr_6_1_5,
    csbr_6_1_6,
    csbr_6_3_2,
    csbr_6_3_2_tokens,
    csbr_6_7,
    csbr_6_8_tokens,
    csbr_7_1,
    csbr_7_1_2_1,
    csbr_7_1_2_2,
    csbr_7_1_2_3,
    csbr_7_1_3,
    csbr_7_1_4,
    csbr_7_1_4_2_4,
    csbr_7_1_6,
    csbr_7_2,
    csbr_of_certificates,
)

FAMILIES = (
    csbr_of_certificates,
    csbr_4_9_crl,
    csbr_4_9_ocsp,
    csbr_6_1_1_3,
    csbr_6_1_5,
    csbr_6_1_6,
    csbr_6_3_2,
    csbr_6_3_2_tokens,
    csbr_6_7,
    csbr_6_8_tokens,
    csbr_7_1,
    csbr_7_1_2_1,
    csbr_7_1_2_2,
    csbr_7_1_2_3,
    csbr_7_1_3,
    csbr_7_1_4,
    csbr_7_1_4_2_4,
    csbr_7_1_6,
    csbr_7_2,
)
"""Modules with a tuple ``REQUIREMENTS`` each, in the order of the documents."""

REQUIREMENTS: tuple[Requirement, ...] = tuple(each for family in FAMILIES for each in family.REQUIREMENTS)

BY_ID: dict[str, Requirement] = {each.id: each for each in REQUIREMENTS}
