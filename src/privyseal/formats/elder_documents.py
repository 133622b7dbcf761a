"""Office documents of before 2007 (xls, doc, ppt, vsd): told apart from other compound files, and refused.

Their macros are not signed, for it is not settled where a signature would stand. Macros are signed twice here, Agile
and V3 (``vba_hash``), so their document has to have a place for both:

* xls and ppt: Microsoft, "[MS-OSHARED]" 1.3.4 and 2.3.3.2.2.1: one property of ``\\5DocumentSummaryInformation``,
  GKPIDDSI_DIGSIG (0x18), which holds one signature; of a second or third nothing is said;
* doc: "[MS-DOC]" 2.9.298: the variables ``Sign`` and ``SigAgile`` among those of the document (StwUser); of V3 nothing.

Microsoft's own signing libraries for these files ("Office Subject Interface Packages", readme, 8) are said to write all
three, so there are such places. No edition of Microsoft's documents that we could read names them, and no file that
Office signed was at hand (ADR 67 says what was looked for). The place of the oldest signature is known everywhere; that
one is over an MD5 hash, and not made.

Excel: "[MS-XLS]" 2.1.7 (``Workbook``, before version 97 ``Book``; ``_VBA_PROJECT_CUR``). Word: "[MS-DOC]" 2.1
(``WordDocument``, ``Macros``). PowerPoint: "[MS-PPT]" 2.1 (``PowerPoint Document``), which keeps its macros packed in
that stream. What a password encrypts is a compound file too, whatever it was: "[MS-OFFCRYPTO]" 2.3.4.4.
"""

from __future__ import annotations

from typing import Final

import msgspec

from privyseal.errors import MalformedCode
from privyseal.formats.cfb import Compound
from privyseal.formats.protocol import Source


class Program(msgspec.Struct, frozen=True):
    """What a program of Office wrote before 2007."""

    title: str
    """With its article."""
    saves: str
    """What it writes today that can be signed."""
    macros: str = ""
    """The storage of the root that holds the macros; empty where a look at the root does not tell of them."""


_EXCEL: Final = Program("an Excel workbook", "xlsm, xltm or xlam", "_vba_project_cur")
_PROGRAMS: Final = {
    "workbook": _EXCEL,
    "book": _EXCEL,
    "worddocument": Program("a Word document", "docm or dotm", "macros"),
    "powerpoint document": Program("a PowerPoint presentation", "pptm, potm or ppam"),
    "visiodocument": Program("a Visio drawing", "vsdm, vstm or vssm"),
}
"""By a stream of the root that no other program has. Case does not count in names; some programs write capitals."""
_ENCRYPTED: Final = "encryptedpackage"


def refusal(code: Source, found: Compound) -> MalformedCode | None:
    """Return the error that says what a compound file of Office is and what to do; None where it is none of these."""
    names = {found.entries[number].text.lower() for number in found.children[0]}
    if _ENCRYPTED in names:
        return MalformedCode(
            f"{code.filename} is encrypted with a password, and whether there are macros in it cannot be seen.",
            hint="take the password off in Office, and sign then",
        )
    for stream, program in _PROGRAMS.items():
        if stream in names:
            return _refused(code, program, macros=not program.macros or program.macros in names)
    if {"vba", "project"} <= names:
        return MalformedCode(
            f"{code.filename} is a VBA project without its document, and its signatures stand in the document.",
            hint="sign the document that it is from (xlsm, docm, pptm)",
        )
    return None


def _refused(code: Source, program: Program, *, macros: bool) -> MalformedCode:
    if not macros:
        return MalformedCode(
            f"{code.filename} has no macros: it is {program.title} of before 2007, and only macros are signed.",
            hint="documents themselves are signed in Office",
        )
    return MalformedCode(
        f"{code.filename} is {program.title} in the format of before 2007, whose macros are neither signed nor judged "
        "here: it is not settled where Office keeps their newer signatures in it, and the old one is over MD5.",
        hint=f"save it in Office as {program.saves}, and sign that",
    )
