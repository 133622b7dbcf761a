"""How scripts are hashed, written down a second time: whole texts, regular expressions, no streams.

The rules are jsign's, the one open signer whose author held every one of these languages against Windows; but how
PowerShell guesses an encoding is as PowerShell-OpenAuthenticode has it, whose author asked PowerShell's maintainers.
What these functions say is what our files are held against where no other program on Linux can judge them.
"""

from __future__ import annotations

import base64
import hashlib
import re

SAMPLES = {
    "ps1": "Write-Host 'hello'\r\n",
    "psm1": "function f { 1 }\r\n",
    "psd1": "@{ ModuleVersion = '1.0' }\r\n",
    "ps1xml": '<?xml version="1.0"?>\r\n<Types/>\r\n',
    "psc1": '<?xml version="1.0"?>\r\n<PSConsoleFile/>\r\n',
    "cdxml": '<?xml version="1.0"?>\r\n<PowerShellMetadata/>\r\n',
    "mof": "#pragma namespace\r\nclass A {};\r\n",
    "vbs": 'MsgBox "hello"\r\n',
    "js": 'WScript.Echo("hello");\r\n',
    "wsf": "<package>\r\n<job>\r\n</job>\r\n<job>\r\n<script/>\r\n</job>\r\n</package>\r\n",
}
"""A small script of each language."""
LINES = {
    **dict.fromkeys(("ps1", "psm1", "psd1"), ("# SIG # {} signature block", "# {}")),
    **dict.fromkeys(("ps1xml", "psc1", "cdxml"), ("<!-- SIG # {} signature block -->", "<!-- {} -->")),
    "mof": ("/* SIG # {} signature block */", "/* {} */"),
    "vbs": ("'' SIG '' {} signature block", "'' SIG '' {}"),
    "js": ("// SIG // {} signature block", "// SIG // {}"),
    "wsf": ("", "** SIG ** {}"),
}
HOST = ("vbs", "js", "wsf")
"""What Windows Script Host runs."""
MARKS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))


def first_and_last(kind: str) -> tuple[str, str]:
    """Return the first and last line of a block."""
    if kind == "wsf":
        return "<signature>", "</signature>"
    return LINES[kind][0].format("Begin"), LINES[kind][0].format("End")


def decoded(octets: bytes, kind: str) -> str:
    """Return a script's text, with its byte order mark."""
    for mark, encoding in MARKS:
        if octets.startswith(mark):
            return octets.decode(encoding)
    head = octets if kind == "wsf" else octets[:32]
    if kind not in ("vbs", "js") and not head.isascii():
        try:
            head.decode("utf-8")
            return octets.decode("utf-8")
        except UnicodeDecodeError:
            pass
    return "".join(bytes((n,)).decode("cp1252", "ignore") or chr(n) for n in octets)


def split(octets: bytes, kind: str) -> tuple[str, bytes | None]:
    """Return a script's text without its block, and what the block holds."""
    text = decoded(octets, kind)
    first, last = map(re.escape, first_and_last(kind))
    found = re.search(f"(?s)\r\n{first}\r\n(.*){last}\r\n", text)
    if found is None:
        return text, None
    before, behind = LINES[kind][1].split("{}")
    lines = found[1].split("\r\n")[:-1]
    held = "".join(line.removeprefix(before).removesuffix(behind) for line in lines)
    return text[: found.start()] + text[found.end() :], base64.b64decode(held)


def digest(octets: bytes, kind: str, algorithm: str = "sha256") -> bytes:
    """Return what a script hashes to."""
    text, _ = split(octets, kind)
    if kind not in HOST:
        return hashlib.new(algorithm, text.encode("utf-16-le")).digest()
    text = text.removeprefix("\ufeff")
    place = text.rindex("</job>") if kind == "wsf" else len(text)
    units = len(text[:place].encode("utf-16-le")) // 2
    return hashlib.new(algorithm, text.encode("utf-16-le") + units.to_bytes(4, "little")).digest()


def with_block(text: str, kind: str, blob: bytes) -> str:
    """Return a text with a block, as signtool writes it."""
    first, last = first_and_last(kind)
    held = base64.b64encode(blob).decode("ascii")
    if kind in HOST:  # 44 a line, and the last takes what would be a line of one group
        cut = re.findall("(?s).{44}(?:.{4}$)?|.+", held)
    else:
        cut = re.findall("(?s).{1,64}", held)
    pieces = [LINES[kind][1].format(piece) for piece in cut]
    block = "\r\n".join(("", first, *pieces, last, ""))
    place = text.rindex("</job>") if kind == "wsf" else len(text)
    return text[:place] + block + text[place:]
