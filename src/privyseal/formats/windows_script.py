"""What Windows Script Host runs: VBScript, JScript and Windows Script Files.

What is hashed: the text without the block and without a byte order mark, as UTF-16LE, then where the block stands, as
a 32-bit number of UTF-16 units, little endian. A Windows Script File has it before its last ``</job>``, the others at
their end. Without a mark VBScript and JScript are of the machine's code page, 1252 here (see ``powershell.py``).

No verifier of these is in Debian, and Windows alone decides. What it decides is known for js and vbs: of scripts that
Microsoft and Adobe signed on Windows, the digests are what comes of these rules, and lines of 44 characters of base64
are what signtool writes. jsign, held against Windows by its author, agreed by hand with every digest of ours, and the
tests keep what it said. osslsigncode signs js as if it were PowerShell: the wrong package, and no place in the hash
(its issue 472), so that Windows takes its signatures for broken. Other tools than it must judge these.
"""

from __future__ import annotations

from privyseal.formats.authenticode import SUBJECTS
from privyseal.formats.script import Script
from privyseal.formats.textblock import Dialect


def _dialect(comment: str) -> Dialect:
    return Dialect(
        begin=f"{comment}Begin signature block",
        end=f"{comment}End signature block",
        open=comment,
        short=True,
    )


VBSCRIPT = Script("vbs", "VBScript", SUBJECTS["vbs"], _dialect("'' SIG '' "), (".vbs",), hashes_place=True)
"""The format ``vbs``."""

JSCRIPT = Script("js", "JScript", SUBJECTS["js"], _dialect("// SIG // "), (".js",), hashes_place=True)
"""The format ``js``."""

WINDOWS_SCRIPT_FILE = Script(
    "wsf",
    "Windows Script File",
    SUBJECTS["wsf"],
    Dialect(begin="<signature>", end="</signature>", open="** SIG ** ", before="</job>", guess="whole", short=True),
    (".wsf",),
    hashes_place=True,
)
"""The format ``wsf``."""
