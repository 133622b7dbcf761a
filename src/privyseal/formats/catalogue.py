"""Every code format there is: a literal list. What stands earlier wins where two score the same.

Formats stand in families by how a file begins, and a family is imported when a file may be of it, or when somebody asks
for one of its formats by name: to import all of them takes longer than to sign a small file. ``may_be`` rules out only
what every format of the family gives a score of 0; it decides nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

from privyseal.errors import MalformedCode
from privyseal.formats.protocol import CodeFormat, Source

_MOST_KNOWN = 100
"""Characters that the formats' names may take in a message."""
_ENDS = 4096
"""Octets of beginning and end by which a format is told."""
_SURE = 95
"""The most that a format gives: for a mark that no other has, and a name that goes with it."""

_WIDE = (b"\xff\xfe", b"\xfe\xff")
"""How text in UTF-16 begins."""
_ARCHIVE = b"PK\x03\x04"
"""How a ZIP archive begins that has something in it (``zipdir.py``)."""
_OFFICE = (
    ".xlsm", ".xltm", ".xlam", ".xlsb", ".docm", ".dotm", ".pptm", ".potm", ".ppsm", ".ppam", ".sldm",
    ".vsdm", ".vstm", ".vssm",
)  # fmt: skip
"""How documents with macros are called (``vba_package.py``)."""
_CAPSULE = bytes.fromhex("edd5cb6d2de8444cbda17194199ad92a")
"""EFI_FIRMWARE_MANAGEMENT_CAPSULE_ID_GUID (``uefi_capsule_layout.py``)."""
_LISTS = frozenset(map(bytes.fromhex, ("a159c0a5", "2616c4c1", "07533eff", "ae0f3e09", "12a56c82")))
_LISTS |= frozenset(map(bytes.fromhex, ("e866573c", "92a4d23b", "6e877670", "63bf6d44")))
"""How the types of EFI signature lists begin (``uefi_lists.py``)."""


# -- the formats, by family --------------------------------------------------------------------------------------------
def _programs() -> tuple[CodeFormat, ...]:
    from privyseal.formats.pe import PortableExecutable

    return (PortableExecutable(),)


def _installers() -> tuple[CodeFormat, ...]:
    from privyseal.formats.msi import WindowsInstaller

    return (WindowsInstaller(),)


def _cabinets() -> tuple[CodeFormat, ...]:
    from privyseal.formats.cab import Cabinet

    return (Cabinet(),)


def _catalogues() -> tuple[CodeFormat, ...]:
    from privyseal.formats.cat import Catalogue

    return (Catalogue(),)


def _scripts() -> tuple[CodeFormat, ...]:
    from privyseal.formats.powershell import MOF, POWERSHELL, POWERSHELL_XML
    from privyseal.formats.windows_script import JSCRIPT, VBSCRIPT, WINDOWS_SCRIPT_FILE

    return POWERSHELL, POWERSHELL_XML, MOF, VBSCRIPT, JSCRIPT, WINDOWS_SCRIPT_FILE


def _archives() -> tuple[CodeFormat, ...]:
    from privyseal.formats.appx import AppPackage
    from privyseal.formats.nuget import NugetPackage
    from privyseal.formats.opc import OPC, VSIX
    from privyseal.formats.xap import SilverlightApplication

    return AppPackage(), NugetPackage(), SilverlightApplication(), VSIX, OPC


def _macros() -> tuple[CodeFormat, ...]:
    from privyseal.formats.vba import VbaMacros

    return (VbaMacros(),)


def _navision() -> tuple[CodeFormat, ...]:
    from privyseal.formats.navx import NavxApp

    return (NavxApp(),)


def _firmware() -> tuple[CodeFormat, ...]:
    from privyseal.formats.uefi_capsule import UefiCapsule
    from privyseal.formats.uefi_variable import UefiVariable

    return UefiVariable(), UefiCapsule()


def _connections() -> tuple[CodeFormat, ...]:
    from privyseal.formats.rdp import RdpFile

    return (RdpFile(),)


def _manifests() -> tuple[CodeFormat, ...]:
    from privyseal.formats.clickonce import ClickOnceManifest

    return (ClickOnceManifest(),)


# -- what rules a family out -------------------------------------------------------------------------------------------
def _begins(mark: bytes) -> Callable[[bytes, bytes, str], bool]:
    return lambda head, _tail, _name: head.startswith(mark)


def _may_be_script(head: bytes, tail: bytes, _name: str) -> bool:
    return head[:2] in _WIDE or (bool(head) and b"\0" not in head and b"\0" not in tail)


def _may_be_macros(head: bytes, tail: bytes, name: str) -> bool:
    return head.startswith(_ARCHIVE) and (b"/vbaProject.bin" in tail or name.lower().endswith(_OFFICE))


def _may_be_firmware(head: bytes, _tail: bytes, name: str) -> bool:
    """Know a capsule, a signed variable and a signature list by their beginning, any variable by its name's end."""
    told = name.lower().endswith((".auth", ".esl", ".var"))
    return told or head[:16] == _CAPSULE or head[20:24] == b"\x00\x02\xf1\x0e" or head[:4] in _LISTS


def _may_be_connection(head: bytes, _tail: bytes, _name: str) -> bool:
    text = head[2::2] if head.startswith(b"\xff\xfe") else head
    return b":s:" in text or b":i:" in text or b":b:" in text


def _may_be_manifest(head: bytes, _tail: bytes, _name: str) -> bool:
    return b":asm.v1" in (head.replace(b"\0", b"") if head[:2] in _WIDE else head)


class _Family(NamedTuple):
    """Formats whose files begin alike."""

    names: tuple[str, ...]
    formats: Callable[[], tuple[CodeFormat, ...]]
    may_be: Callable[[bytes, bytes, str], bool]


_FAMILIES = (
    _Family(("pe",), lru_cache(_programs), _begins(b"MZ")),
    _Family(("msi",), lru_cache(_installers), _begins(bytes.fromhex("d0cf11e0a1b11ae1"))),
    _Family(("cab",), lru_cache(_cabinets), _begins(b"MSCF")),
    _Family(("cat",), lru_cache(_catalogues), _begins(b"\x30")),
    _Family(("powershell", "powershell-xml", "mof", "vbs", "js", "wsf"), lru_cache(_scripts), _may_be_script),
    _Family(("appx", "nuget", "xap", "vsix", "opc"), lru_cache(_archives), _begins(_ARCHIVE)),
    _Family(("vba",), lru_cache(_macros), _may_be_macros),
    _Family(("navx",), lru_cache(_navision), _begins(b"NAVX")),
    _Family(("uefi-variable", "uefi-capsule"), lru_cache(_firmware), _may_be_firmware),
    _Family(("rdp",), lru_cache(_connections), _may_be_connection),
    _Family(("clickonce",), lru_cache(_manifests), _may_be_manifest),
)

NAMES: tuple[str, ...] = tuple(name for family in _FAMILIES for name in family.names)
"""What the formats are called."""


class _ByName(Mapping[str, CodeFormat]):
    """The formats by their names; looking for one imports its family."""

    def __getitem__(self, name: str) -> CodeFormat:
        for family in _FAMILIES:
            if name in family.names:
                return family.formats()[family.names.index(name)]
        raise KeyError(name)

    def __contains__(self, name: object) -> bool:
        return name in NAMES

    def __iter__(self) -> Iterator[str]:
        return iter(NAMES)

    def __len__(self) -> int:
        return len(NAMES)


BY_NAME: Mapping[str, CodeFormat] = _ByName()
"""Every format by its name, as requests have them."""


def every() -> tuple[CodeFormat, ...]:
    """Return every format there is, all of them imported: before there are threads."""
    return tuple(each for family in _FAMILIES for each in family.formats())


def candidates(head: bytes, tail: bytes, filename: str) -> Iterator[CodeFormat]:
    """Yield the formats that content with this beginning and end may be of; no other gives it a score."""
    for family in _FAMILIES:
        if family.may_be(head, tail, filename):
            yield from family.formats()


def recognise(source: Source) -> CodeFormat:
    """Return the format that claims the content with the highest score; MalformedCode where none does."""
    head = source.pread(0, min(_ENDS, source.size))
    tail = head if source.size <= _ENDS else source.pread(source.size - _ENDS, _ENDS)
    found: CodeFormat | None = None
    most = 0
    for each in candidates(head, tail, source.filename):
        if (score := each.recognises(head, tail, source.filename)) > most:
            found, most = each, score
            if most >= _SURE:
                break
    if found is None:
        import textwrap  # only for who is told so

        known = textwrap.shorten(", ".join(NAMES), _MOST_KNOWN, placeholder=" ...")
        raise MalformedCode(f"{source.filename} is of no format that can be signed here.", hint=f"known: {known}")
    return found
