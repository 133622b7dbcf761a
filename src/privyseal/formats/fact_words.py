"""The facts of a description as people are shown them: a number that stands for something comes with its name.

One table for all who show them: the approval page, ``privyseal approve``, ``request show``, ``inspect``, and what a
review finds changed. What is approved and signed is the number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from privyseal.formats import pe_layout, uefi_facts
from privyseal.terms.signatures import Described


def in_words(described: Described) -> dict[str, str]:
    """Return the facts of a description, a text for each; one without a name is the number alone."""
    said = described.said()
    for name, value in described.facts.items():
        words = NAMED.get((described.format, name))
        if words is not None and type(value) is int:
            said[name] = words(value)
    return said


def _attributes(value: int) -> str:
    names = [name for bit, name in uefi_facts.ATTRIBUTE_NAMES.items() if value & bit]
    return f"{', '.join(names)} ({value:#04x})" if names else f"{value:#04x}"


def _of(table: Mapping[int, str], spelt: str) -> Callable[[int], str]:
    """Return what names a number by a table, and writes it as the format ``spelt`` says."""
    return lambda value: f"{table[value]} ({value:{spelt}})" if value in table else f"{value:{spelt}}"


NAMED: dict[tuple[str, str], Callable[[int], str]] = {
    (pe_layout.NAME, "machine"): _of(pe_layout.MACHINES, "#06x"),
    (pe_layout.NAME, "magic"): _of(pe_layout.MAGICS, "#x"),
    (pe_layout.NAME, "subsystem"): _of(pe_layout.SUBSYSTEMS, "d"),
    (uefi_facts.NAME, "attributes"): _attributes,
}
"""By format and fact, what its number is called."""
