"""Every code format there is: a literal list. What stands earlier wins where two score the same."""

from __future__ import annotations

from privyseal.errors import MalformedCode
from privyseal.formats.msi import WindowsInstaller
from privyseal.formats.pe import PortableExecutable
from privyseal.formats.protocol import CodeFormat, Source

FORMATS: tuple[CodeFormat, ...] = (PortableExecutable(), WindowsInstaller())

BY_NAME: dict[str, CodeFormat] = {code_format.name: code_format for code_format in FORMATS}

_ENDS = 4096
"""Octets of beginning and end by which a format is told."""


def recognise(source: Source) -> CodeFormat:
    """Return the format that claims the content with the highest score; MalformedCode where none does."""
    head = source.pread(0, min(_ENDS, source.size))
    tail = head if source.size <= _ENDS else source.pread(source.size - _ENDS, _ENDS)
    best = max(FORMATS, key=lambda one: one.recognises(head, tail, source.filename))
    if best.recognises(head, tail, source.filename) == 0:
        known = ", ".join(one.title for one in FORMATS)
        raise MalformedCode(f"{source.filename} is of no format that can be signed here.", hint=f"known: {known}")
    return best
