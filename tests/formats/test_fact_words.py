"""What numbers in a description are called: by lief's tables of the PE format, and as the UEFI specification has it."""

from __future__ import annotations

import re

import lief
import msgspec
import pytest
from tests.formats.test_pe_key_side import GOOD as DESCRIBED

from privyseal.formats import fact_words, pe_layout, uefi_facts

NO_MACHINE = {"UNKNOWN"}
OTHERWISE = {
    "I386": "x86", "AMD64": "x64", "IA64": "Itanium", "EBC": "EFI byte code", "ARMNT": "ARM Thumb-2",
    "THUMB": "ARM Thumb", "POWERPCFP": "PowerPC with floating point",
    "R3000": "MIPS R3000", "R3000BE": "MIPS R3000, big endian",
    "R4000": "MIPS R4000", "R10000": "MIPS R10000", "WCEMIPSV2": "MIPS for Windows CE",
    "MIPSFPU": "MIPS with floating point",
    "MIPSFPU16": "MIPS16 with floating point", "POWERPCBE": "PowerPC, big endian", "CHPE_X86": "x86 in ARM64 (CHPE)",
}  # fmt: skip


def members(kind: type) -> list[tuple[str, int]]:
    return [(name, int(getattr(kind, name))) for name in dir(kind) if name.isupper() and not name.startswith("_")]


def alike(text: str) -> str:
    return re.sub("[^a-z0-9]", "", text.lower())


def test_every_machine_has_the_name_that_others_give_it() -> None:
    theirs = {number: name for name, number in members(lief.PE.Header.MACHINE_TYPES)}
    assert len(theirs) > 20
    for number, name in theirs.items():
        if name not in NO_MACHINE and number in pe_layout.MACHINES:
            assert alike(pe_layout.MACHINES[number]) == alike(OTHERWISE.get(name, name)), hex(number)
    wanting = {hex(number): name for number, name in theirs.items() if number not in pe_layout.MACHINES}
    assert set(wanting.values()) <= NO_MACHINE, wanting


def test_every_subsystem_has_a_name() -> None:
    theirs = {number for _, number in members(lief.PE.OptionalHeader.SUBSYSTEM)}
    assert len(theirs) > 10
    assert theirs - {0} == set(pe_layout.SUBSYSTEMS) - {0}


def test_a_number_comes_with_its_name() -> None:
    assert fact_words.in_words(DESCRIBED) == {
        "machine": "x64 (0x8664)",
        "magic": "PE32+ (0x20b)",
        "subsystem": "for the console (3)",
    }


@pytest.mark.parametrize(("fact", "number", "said"), [("machine", 0x1234, "0x1234"), ("subsystem", 99, "99")])
def test_an_unknown_number_is_shown_alone(fact: str, number: int, said: str) -> None:
    odd = msgspec.structs.replace(DESCRIBED, facts=dict(DESCRIBED.facts) | {fact: number})
    assert fact_words.in_words(odd)[fact] == said


def test_what_is_no_number_stays_as_it_is() -> None:
    """Nobody has checked a description that is shown to approvers: its types may be any."""
    odd = msgspec.structs.replace(DESCRIBED, facts={"machine": "x64", "magic": True, "subsystem": -1})
    assert fact_words.in_words(odd) == {"machine": "x64", "magic": "yes", "subsystem": "-1"}


def test_attributes_of_a_variable_are_named() -> None:
    """0x27 is NON_VOLATILE, BOOTSERVICE, RUNTIME, TIME_BASED_AUTHENTICATED (UEFI 2.10, 8.2.1)."""
    variable = msgspec.structs.replace(DESCRIBED, format="uefi-variable", facts={"attributes": uefi_facts.USUAL})
    said = fact_words.in_words(variable)["attributes"]
    assert said == "non-volatile, boot services, runtime, time-based authenticated write (0x27)"
    for row in fact_words.NAMED:
        assert row[0] in (pe_layout.NAME, uefi_facts.NAME)
