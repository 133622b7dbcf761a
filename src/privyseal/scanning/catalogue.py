"""The scanners, by the kind that a section of the configuration names: a list one can read.

Another kind is one file beside ``clamav.py``, a name in ``Section`` and one line in ``SCANNERS``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from privyseal.scanning.clamav import Clamav, ClamavSection
from privyseal.scanning.command import Command, CommandSection
from privyseal.scanning.protocol import Scanner
from privyseal.scanning.yara import Yara, YaraSection

Section: TypeAlias = ClamavSection | CommandSection | YaraSection
"""One ``[[scanners]]`` of ``serve.toml``; its ``kind`` says which."""

SCANNERS: dict[type[Section], Callable[[Any, Path], Scanner]] = {
    ClamavSection: Clamav,  # signatures of a running clamd
    CommandSection: Command,  # any program that says it by its exit code
    YaraSection: Yara,  # rules of one's own
}
"""Every kind of scanner, by its section."""


def scanner(section: Section, base: Path) -> Scanner:
    """Return the scanner of one section, whose relative paths start at ``base``; Misused where it makes no sense."""
    return SCANNERS[type(section)](section, base)
