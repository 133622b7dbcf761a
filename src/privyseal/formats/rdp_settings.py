"""The text of an ``.rdp`` file: its lines, which of them a signature covers, and the text that is signed.

A line is ``name:kind:value``. A signed file names in ``signscope`` the settings that are signed, in their order; what
is signed are those lines and the scope's own, each with CRLF, in UTF-16LE, and a NUL behind them, whatever the file is
stored in. All other lines are under no signature; Windows asks for none over how a window looks.

Microsoft documents neither. Source: what Norbert Federa found in ``rdpsign.exe`` (nfedera/rdpsign, 2015), and for the
four youngest settings Devolutions (psign). Windows takes a setting by its name whatever the case, so a name stands
once; where two readers could see different settings, the file is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from privyseal.errors import BadInput, MalformedCode
from privyseal.formats.protocol import Layout, Source

MAX_FILE: Final = 1 << 20
"""Octets of one file; those that portals hand out have 10 KiB, most of them the signature."""
MAX_LINES: Final = 4096
"""Lines of one file; Windows knows some 150 settings."""
MAX_SIGNED: Final = 32 << 10
"""Octets of the text that is signed; the longest settings, the list of devices and the load balancer's, have 2 KiB."""

FULL: Final = "Full Address"
ALTERNATE: Final = "Alternate Full Address"
SCOPE: Final = "signscope"
SIGNATURE: Final = "signature"
SIGNED: Final = (
    FULL,
    ALTERNATE,
    "PCB",
    "Use Redirection Server Name",
    "Server Port",
    "Negotiate Security Layer",
    "EnableCredSspSupport",
    "DisableConnectionSharing",
    "AutoReconnection Enabled",
    "GatewayHostname",
    "GatewayUsageMethod",
    "GatewayProfileUsageMethod",
    "GatewayCredentialsSource",
    "Support URL",
    "PromptCredentialOnce",
    "Require pre-authentication",
    "Pre-authentication server address",
    "Alternate Shell",
    "Shell Working Directory",
    "RemoteApplicationProgram",
    "RemoteApplicationExpandWorkingdir",
    "RemoteApplicationMode",
    "RemoteApplicationGuid",
    "RemoteApplicationName",
    "RemoteApplicationIcon",
    "RemoteApplicationFile",
    "RemoteApplicationFileExtensions",
    "RemoteApplicationCmdLine",
    "RemoteApplicationExpandCmdLine",
    "Prompt For Credentials",
    "Authentication Level",
    "AudioMode",
    "RedirectDrives",
    "RedirectPrinters",
    "RedirectCOMPorts",
    "RedirectSmartCards",
    "RedirectPOSDevices",
    "RedirectClipboard",
    "DevicesToRedirect",
    "DrivesToRedirect",
    "LoadBalanceInfo",
    "RedirectDirectX",
    "RDGIsKDCProxy",
    "KDCProxyName",
    "EventLogUploadAddress",
    "EnableRdsAadAuth",
    "RedirectWebAuthn",
    "RedirectTextProcessing",
    "allowed security protocols",
)
"""The settings that a signature covers where a file has them, as the scope names them and in its order."""

_BY_NAME = {name.lower(): name for name in SIGNED}
_LINE = re.compile(r"([!-9;-~](?:[ -9;-~]*[!-9;-~])?):[sib]:(.*)")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_INNER_MARK = re.compile("\ufeff|\n(?:\xef\xbb\xbf|\xff\xfe|\xfe\xff)")
_MARKS = {b"\xff\xfe": "utf-16-le", b"\xef\xbb\xbf": "utf-8"}


class Line(msgspec.Struct, frozen=True):
    """One line."""

    name: str
    """In lower case, blanks around it left out; empty where the line is no setting."""
    value: str
    text: str
    """Without its line end."""
    start: int
    end: int
    """In octets of the file, the line end included."""


class RdpLayout(Layout, frozen=True, kw_only=True):
    """Where things are in one file."""

    encoding: str
    """``utf-16-le`` or ``utf-8`` where a byte order mark says so, else ``ascii``: other octets mean nothing certain."""
    lines: tuple[Line, ...]

    @property
    def carries_signature(self) -> bool:
        """Tell whether there is a signature, good or not."""
        return self.find(SIGNATURE) is not None

    def find(self, name: str) -> Line | None:
        """Return the line of a setting, None where there is none; the case of ``name`` means nothing."""
        return next((line for line in self.lines if line.name == name.lower()), None)

    @property
    def made(self) -> tuple[Line, ...]:
        """Return the lines that signing added: scope, signature, and the alternate address before them if it is ours.

        Windows and portals write that name in lower case, signing writes it in capitals.
        """
        numbers = [at for at, line in enumerate(self.lines) if line.name in (SCOPE, SIGNATURE)]
        full = self.find(FULL)
        before = self.lines[numbers[0] - 1] if numbers and numbers[0] else None
        ours = before is not None and full is not None and before.text == f"{ALTERNATE}:s:{full.value}"
        return (*((before,) if ours and before is not None else ()), *(self.lines[at] for at in numbers))


def read(code: Source, name: str) -> RdpLayout:
    """Cut a file of the format ``name`` into lines; MalformedCode with one sentence that names what is wrong."""
    if code.size > MAX_FILE:
        raise malformed(code, f"it has {code.size} octets, and at most {MAX_FILE} are read")
    octets = code.pread(0, code.size)
    if octets[:2] == b"\xfe\xff":
        raise malformed(code, "it is in UTF-16 with the high octet first, which Windows does not write")
    bom, encoding = next(((mark, word) for mark, word in _MARKS.items() if octets.startswith(mark)), (b"", "ascii"))
    try:
        text = octets[len(bom) :].decode("latin-1" if encoding == "ascii" else encoding)
    except UnicodeDecodeError as error:
        raise malformed(code, f"its byte order mark says {encoding}, and octet {error.start} is not of it") from None
    if strange := _CONTROL.search(text.replace("\r\n", "\n")):
        raise malformed(code, f"it has the control character 0x{ord(strange[0]):02x}")
    if _INNER_MARK.search(text):
        raise malformed(code, "it has a byte order mark in its midst")
    lines = _lines(code, text, len(bom), encoding)
    known = [line.name for line in lines if line.name in _BY_NAME or line.name in (SCOPE, SIGNATURE)]
    if twice := next((one for at, one in enumerate(known) if one in known[:at]), None):
        raise malformed(code, f"its setting {twice!r} stands in it more than once")
    return RdpLayout(format=name, size=code.size, encoding=encoding, lines=lines)


def _lines(code: Source, text: str, at: int, encoding: str) -> tuple[Line, ...]:
    pieces = text.split("\n")
    if len(pieces) > MAX_LINES:
        raise malformed(code, f"it has more than {MAX_LINES} lines")
    if not pieces[-1]:
        pieces.pop()  # what stands behind the last line end is no line
    found = []
    for number, piece in enumerate(pieces, 1):
        more = number < len(pieces) or text.endswith("\n")
        whole = piece + "\n" * more
        end = at + (len(whole) if encoding == "ascii" else len(whole.encode(encoding)))
        found.append(_line(code, piece.removesuffix("\r"), number, at, end))
        at = end
    return tuple(found)


def _line(code: Source, text: str, number: int, start: int, end: int) -> Line:
    name = text.partition(":")[0].strip().lower()
    parts = _LINE.fullmatch(text)
    if (name in _BY_NAME or name in (SCOPE, SIGNATURE)) and (parts is None or parts[2][:1] in (" ", "\t")):
        raise malformed(code, f"its line {number} is not written as Windows writes {name!r}")
    return Line("", "", text, start, end) if parts is None else Line(parts[1].lower(), parts[2], text, start, end)


def malformed(code: Source, why: str) -> MalformedCode:
    """Return the refusal of a file."""
    return MalformedCode(f"{code.filename} is no RDP file that can be signed: {why}.")


# -- what is signed ----------------------------------------------------------------------------------------------------
def to_sign(code: Source, layout: RdpLayout) -> dict[str, str]:
    """Return the lines a signature will cover, by their names in the scope; MalformedCode where it cannot be so."""
    full = layout.find(FULL)
    if full is None or not full.value:
        raise malformed(code, "it has no full address, the one setting that a signature must cover")
    added = {line.start for line in layout.made}
    lines = {_BY_NAME[one.name]: one.text for one in layout.lines if one.name in _BY_NAME and one.start not in added}
    lines.setdefault(ALTERNATE, f"{ALTERNATE}:s:{full.value}")
    if layout.encoding == "ascii" and (
        unclear := next((name for name, text in lines.items() if not text.isascii()), None)
    ):
        raise MalformedCode(
            f"{code.filename} has other characters than ASCII in its setting {unclear!r}, and no byte order mark says "
            "which.",
            hint="save it as Unicode (UTF-16), as Remote Desktop does",
        )
    text(lines)
    return lines


def text(lines: Mapping[str, str]) -> bytes:
    """Return the text that is signed of these lines; BadInput where no file has them."""
    if strange := sorted(set(lines) - set(SIGNED)):
        raise BadInput(f"No signature of an RDP file covers {strange[0][:64]!r}.")
    for name in (FULL, ALTERNATE):
        if name not in lines:
            raise BadInput(f"A signature of an RDP file covers its {name.lower()}; it is not there.")
    names = [name for name in SIGNED if name in lines]
    for name in names:
        parts = _LINE.fullmatch(lines[name])
        if parts is None or parts[1].lower() != name.lower() or _CONTROL.search(lines[name]) or "\n" in lines[name]:
            raise BadInput(f"The setting {name!r} of an RDP file is no line that states it.")
        if not parts[2] and name == FULL:
            raise BadInput("A signature of an RDP file covers its full address; it is empty.")
    return _joined([lines[name] for name in names], scope_line(names))


def scope_line(names: Sequence[str]) -> str:
    """Return the line that names what is signed."""
    return f"{SCOPE}:s:{','.join(names)}"


def signed_text(layout: RdpLayout) -> bytes:
    """Return the text that the signature in a file is over; BadInput where the scope names what is not in it."""
    scope = layout.find(SCOPE)
    if scope is None:
        raise BadInput("The file has a signature and does not say what it is over.")
    there: dict[str, list[Line]] = {}
    for one in layout.lines:
        there.setdefault(one.name, []).append(one)
    lines: list[str] = []
    names = scope.value.split(",")
    if len(names) > MAX_LINES:
        raise BadInput(f"The signature is over more than {MAX_LINES} settings.")
    for name in names:
        found = there.get(name.lower(), ()) if name else ()
        if len(found) != 1 or found[0].name in (SCOPE, SIGNATURE):
            raise BadInput(
                f"The signature is over the setting {name[:64]!r}, which the file does not have exactly once."
            )
        line = found[0]
        if layout.encoding == "ascii" and not line.text.isascii():
            raise BadInput(f"No byte order mark says which characters the setting {name[:64]!r} has.")
        lines.append(line.text)
    return _joined(lines, scope.text)


def uncovered(layout: RdpLayout) -> tuple[str, ...]:
    """Return the settings that a signature ought to cover and that the scope of this file leaves out."""
    scope = layout.find(SCOPE)
    covered = set() if scope is None else {name.lower() for name in scope.value.split(",")}
    return tuple(line.name for line in layout.lines if line.name in _BY_NAME and line.name not in covered)


def _joined(lines: Sequence[str], scope: str) -> bytes:
    octets = ("\r\n".join((*lines, scope, "")) + "\0").encode("utf-16-le", "surrogatepass")
    if len(octets) > MAX_SIGNED:
        raise BadInput(
            f"The signed settings of an RDP file have {len(octets)} octets; at most {MAX_SIGNED} are signed."
        )
    return octets
