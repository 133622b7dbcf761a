"""Every code format there is: a literal list. What stands earlier wins where two score the same."""

from __future__ import annotations

import textwrap

from privyseal.errors import MalformedCode
from privyseal.formats.appx import AppPackage
from privyseal.formats.cab import Cabinet
from privyseal.formats.cat import Catalogue
from privyseal.formats.msi import WindowsInstaller
from privyseal.formats.navx import NavxApp
from privyseal.formats.nuget import NugetPackage
from privyseal.formats.opc import OPC, VSIX
from privyseal.formats.pe import PortableExecutable
from privyseal.formats.powershell import MOF, POWERSHELL, POWERSHELL_XML
from privyseal.formats.protocol import CodeFormat, Source
from privyseal.formats.uefi_capsule import UefiCapsule
from privyseal.formats.uefi_variable import UefiVariable
from privyseal.formats.vba import VbaMacros
from privyseal.formats.windows_script import JSCRIPT, VBSCRIPT, WINDOWS_SCRIPT_FILE
from privyseal.formats.xap import SilverlightApplication

FORMATS: tuple[CodeFormat, ...] = (
    PortableExecutable(),
    WindowsInstaller(),
    Cabinet(),
    Catalogue(),
    POWERSHELL,
    POWERSHELL_XML,
    MOF,
    VBSCRIPT,
    JSCRIPT,
    WINDOWS_SCRIPT_FILE,
    AppPackage(),
    NugetPackage(),
    NavxApp(),
    SilverlightApplication(),
    VSIX,
    OPC,
    UefiVariable(),
    UefiCapsule(),
    VbaMacros(),
)
"""Every code format there is: a literal list."""

BY_NAME: dict[str, CodeFormat] = {code_format.name: code_format for code_format in FORMATS}
"""The same by their names, as requests have them."""

_MOST_KNOWN = 100
"""Characters that the formats' names may take in a message."""
_ENDS = 4096
"""Octets of beginning and end by which a format is told."""


def recognise(source: Source) -> CodeFormat:
    """Return the format that claims the content with the highest score; MalformedCode where none does."""
    head = source.pread(0, min(_ENDS, source.size))
    tail = head if source.size <= _ENDS else source.pread(source.size - _ENDS, _ENDS)
    best = max(FORMATS, key=lambda one: one.recognises(head, tail, source.filename))
    if best.recognises(head, tail, source.filename) == 0:
        known = textwrap.shorten(", ".join(one.name for one in FORMATS), _MOST_KNOWN, placeholder=" ...")
        raise MalformedCode(f"{source.filename} is of no format that can be signed here.", hint=f"known: {known}")
    return best
