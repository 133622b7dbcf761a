"""PowerShell scripts, modules and data, its XML files, and Managed Object Format: one subject interface package.

What is hashed: the text without the block, as UTF-16LE, with the byte order mark where there is one. Line ends are
hashed as they stand. Without a mark Windows takes ps1, psm1 and psd1 for UTF-8 where they can be, and XML files for its
code page always (jsign, which was held against Windows, and osslsigncode and relic, which take all of them for UTF-8,
disagree on the latter: for ps1xml with other than ASCII and no mark, jsign is the oracle). Which code page it is
depends on the machine; 1252, that of western Europe and America, is taken here. A mark in the file ends the guessing.

Judges of what we write: osslsigncode, and jsign's rules written down again in the tests. osslsigncode and relic take
MOF without a mark for UTF-8; nobody has said what Windows does, so that is followed.
"""

from __future__ import annotations

from privyseal.formats.authenticode import SUBJECTS
from privyseal.formats.script import Script
from privyseal.formats.textblock import Dialect

_BEGIN, _END = "SIG # Begin signature block", "SIG # End signature block"


def _dialect(before: str, behind: str = "", *, guesses_utf8: bool = True) -> Dialect:
    return Dialect(
        begin=f"{before}{_BEGIN}{behind}",
        end=f"{before}{_END}{behind}",
        open=before,
        close=behind,
        guesses_utf8=guesses_utf8,
    )


POWERSHELL = Script(
    "powershell", "PowerShell script", SUBJECTS["powershell"], _dialect("# "), (".ps1", ".psm1", ".psd1")
)
"""The format ``powershell``."""

POWERSHELL_XML = Script(
    "powershell-xml",
    "PowerShell XML file",
    SUBJECTS["powershell"],
    _dialect("<!-- ", " -->", guesses_utf8=False),
    (".ps1xml", ".psc1", ".cdxml"),
)
"""The format ``powershell-xml``: types, formats, consoles and cmdlet definitions."""

MOF = Script("mof", "Managed Object Format file", SUBJECTS["powershell"], _dialect("/* ", " */"), (".mof",))
"""The format ``mof``."""
