"""What rdpsign signs of an ``.rdp`` file, written down a second time, and openssl's word on the message over it.

After Norbert Federa's description of ``rdpsign.exe``. Nothing here uses the code that is tested.
"""

from __future__ import annotations

import base64
import codecs
import struct
import subprocess
from pathlib import Path

SETTINGS = (
    "screen mode id:i:2",
    "use multimon:i:0",
    "desktopwidth:i:1920",
    "redirectprinters:i:1",
    "redirectclipboard:i:1",
    "full address:s:rds.example.com",
    "server port:i:3389",
    "audiomode:i:0",
    "winposstr:s:0,3,0,0,800,600",
    "gatewayhostname:s:gateway.example.com",
    "gatewayusagemethod:i:2",
    "authentication level:i:2",
    "alternate shell:s:",
    "remoteapplicationmode:i:1",
    "remoteapplicationprogram:s:||calc",
    "remoteapplicationcmdline:s:--open a:b:c",
    "drivestoredirect:s:*",
)
SCOPE = (
    "Full Address,Alternate Full Address,Server Port,GatewayHostname,GatewayUsageMethod,Alternate Shell,"
    "RemoteApplicationProgram,RemoteApplicationMode,RemoteApplicationCmdLine,Authentication Level,AudioMode,"
    "RedirectPrinters,RedirectClipboard,DrivesToRedirect"
)
"""What rdpsign would name of SETTINGS, put down by hand."""


def connection(*more: str, encoding: str = "utf-16", end: str = "\r\n", closed: bool = True) -> bytes:
    """Return a file with SETTINGS and more; ``encoding`` is Python's name of it."""
    text = end.join((*SETTINGS, *more)) + end * closed
    return codecs.BOM_UTF16_LE + text.encode("utf-16-le") if encoding == "utf-16" else text.encode(encoding)


def lines_of(octets: bytes) -> list[str]:
    if octets.startswith(codecs.BOM_UTF16_LE):
        text = octets.decode("utf-16")
    else:
        text = octets.decode("utf-8-sig" if octets.startswith(codecs.BOM_UTF8) else "latin-1")
    return text.replace("\r\n", "\n").split("\n")


def text_and_message(octets: bytes) -> tuple[bytes, bytes]:
    """Return the text that the signature of a file has to be over, and the PKCS#7 message in it."""
    settings = {line.split(":")[0].lower(): line for line in lines_of(octets) if ":" in line}
    names = settings["signscope"].split(":", 2)[2].split(",")
    signed = [settings[name.lower()] for name in names]
    text = "".join(line + "\r\n" for line in (*signed, settings["signscope"])) + "\0"
    raw = base64.b64decode(settings["signature"].split(":", 2)[2].replace(" ", ""))
    first, second, length = struct.unpack("<III", raw[:12])
    assert (first, second, length) == (0x00010001, 1, len(raw) - 12)
    return text.encode("utf-16-le"), raw[12:]


def by_openssl(path: Path, folder: Path, root: Path) -> bool:
    """Tell whether openssl accepts the message as one over that text, by a certificate under ``root``."""
    text, message = text_and_message(path.read_bytes())
    (folder / "rdp.text").write_bytes(text)
    (folder / "rdp.p7").write_bytes(message)
    command = ["openssl", "cms", "-verify", "-binary", "-inform", "DER", "-in", folder / "rdp.p7"]
    command += ["-content", folder / "rdp.text", "-CAfile", root, "-purpose", "any", "-out", folder / "rdp.out"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode == 0 and (folder / "rdp.out").read_bytes() == text


def openssl_signs(source: Path, target: Path, folder: Path, chain: Path, key: Path) -> None:
    """Sign a file as nfedera's rdpsign does: its text through ``openssl smime``, the lines put behind."""
    lines = [line for line in lines_of(source.read_bytes()) if line]
    full = next(line for line in lines if line.startswith("full address:s:"))
    lines.append(f"alternate {full}")
    by_name = {line.split(":")[0]: line for line in lines}
    scope = f"signscope:s:{SCOPE}"
    text = "".join(f"{by_name[name.lower()]}\r\n" for name in SCOPE.split(",")) + f"{scope}\r\n\0"
    (folder / "their.text").write_bytes(text.encode("utf-16-le"))
    command = ["openssl", "smime", "-sign", "-binary", "-noattr", "-nosmimecap", "-md", "sha256", "-outform", "DER"]
    command += ["-signer", chain, "-certfile", chain, "-inkey", key, "-in", folder / "their.text"]
    message = subprocess.run(command, capture_output=True, check=True).stdout
    encoded = base64.b64encode(struct.pack("<III", 0x00010001, 1, len(message)) + message).decode()
    whole = "\r\n".join((*lines, scope, f"signature:s:{encoded}", ""))
    target.write_bytes(codecs.BOM_UTF16_LE + whole.encode("utf-16-le"))
