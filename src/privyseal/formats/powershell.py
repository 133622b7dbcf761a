"""PowerShell scripts, modules and data, its XML files, and Managed Object Format: one subject interface package.

What is hashed: the text without the block, as UTF-16LE, with the byte order mark where there is one. Line ends are
hashed as they stand (PowerShell issue 25246). Without a mark the package looks at the first 32 octets: if they hold
UTF-8 beyond ASCII the text is taken for that, else for the machine's code page (``textblock.looks_like_utf8``). So the
same script has another hash on a machine of another code page, as Microsoft says ("Hash of the file does not match
when running signed PowerShell script"); 1252, that of western Europe and America, is taken here. A mark ends the
guessing. osslsigncode and relic take every text without a mark for UTF-8, jsign all but XML files; what they sign of a
script whose first umlaut comes after 32 octets Windows calls changed.

Judges of what we write: osslsigncode where it reads the same, and rules written down again in the tests.
"""

from __future__ import annotations

from privyseal.formats.authenticode import SUBJECTS
from privyseal.formats.script import Script
from privyseal.formats.textblock import Dialect

_BEGIN, _END = "SIG # Begin signature block", "SIG # End signature block"


def _dialect(before: str, behind: str = "") -> Dialect:
    return Dialect(
        begin=f"{before}{_BEGIN}{behind}",
        end=f"{before}{_END}{behind}",
        open=before,
        close=behind,
        guess="head",
    )


POWERSHELL = Script(
    "powershell", "PowerShell script", SUBJECTS["powershell"], _dialect("# "), (".ps1", ".psm1", ".psd1")
)
"""The format ``powershell``."""

POWERSHELL_XML = Script(
    "powershell-xml",
    "PowerShell XML file",
    SUBJECTS["powershell"],
    _dialect("<!-- ", " -->"),
    (".ps1xml", ".psc1", ".cdxml"),
)
"""The format ``powershell-xml``: types, formats, consoles and cmdlet definitions."""

MOF = Script("mof", "Managed Object Format file", SUBJECTS["powershell"], _dialect("/* ", " */"), (".mof",))
"""The format ``mof``."""
