"""Files of every format but programs for the demo: small ones, but each of them what Windows takes for one.

What only other people's programs make is shipped in ``demo_files``; texts, and archives of texts, are made here. An app
package names its publisher, so it can only be made once the certificate is known.
"""

from __future__ import annotations

import base64
import hashlib
import struct
import zipfile
from importlib import resources
from pathlib import Path
from xml.sax.saxutils import quoteattr

FOLDER = "kinds"
"""Where they are put."""

SHIPPED = ("hello.msi", "hello.cab", "hello.cat", "hello.xlsm", "Hello.exe.manifest", "hello.cap")
"""Names in ``demo_files``."""

VARIABLE = "db.esl"
"""The one of them that wants an option of its own: a UEFI variable is signed with its time."""

TEXTS = {
    "hello.ps1": 'Write-Host "Hello"\r\n',
    "hello.psm1": 'function Get-Hello { "Hello" }\r\n',
    "hello.format.ps1xml": '<?xml version="1.0" encoding="utf-8"?>\r\n<Configuration></Configuration>\r\n',
    "hello.mof": "class Hello { [key] string Name; };\r\n",
    "hello.vbs": 'MsgBox "Hello"\r\n',
    "hello.js": 'WScript.Echo("Hello");\r\n',
    "hello.rdp": "full address:s:hello.example\r\nprompt for credentials:i:1\r\n",
    "hello.wsf": '<job>\r\n<script language="VBScript">\r\nMsgBox "Hello"\r\n</script>\r\n</job>\r\n',
}
"""Names and texts of what is written as it stands."""

JUDGED = (".msi", ".cab", ".cat", ".ps1", ".psm1", ".ps1xml", ".mof", ".msix")
"""Endings of what osslsigncode knows."""

_XML = '<?xml version="1.0" encoding="utf-8"?>\n'
_TYPES = "http://schemas.openxmlformats.org/package/2006/content-types"
_RELATIONSHIPS = "http://schemas.openxmlformats.org/package/2006/relationships"


def put(folder: Path, publisher: str) -> list[Path]:
    """Write one file of each into a folder that is made where it is missing; return where they are, but VARIABLE.

    ``publisher`` is the certificate's subject as app packages have it.
    """
    folder.mkdir(exist_ok=True)
    shipped = resources.files("privyseal.cli") / "demo_files"
    for name in (*SHIPPED, VARIABLE):
        (folder / name).write_bytes((shipped / name).read_bytes())
    for name, text in TEXTS.items():
        (folder / name).write_bytes(text.encode("ascii"))
    _archive(folder / "hello.msix", _app(publisher))
    _archive(folder / "Hello.1.0.0.nupkg", _package())
    _archive(folder / "hello.vsix", _extension())
    _archive(folder / "hello.xps", _document())
    _archive(
        folder / "hello.xap", {"AppManifest.xaml": '<Deployment EntryPointType="Hello"/>', "hello.txt": "Hello\r\n"}
    )
    (folder / "hello.app").write_bytes(_business_central())
    return sorted(each for each in folder.iterdir() if each.name != VARIABLE)


def _archive(path: Path, files: dict[str, str]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0)), text, zipfile.ZIP_DEFLATED)


def _types(**by_ending: str) -> str:
    rows = "".join(f'<Default Extension="{ending}" ContentType="{kind}"/>' for ending, kind in by_ending.items())
    return f'{_XML}<Types xmlns="{_TYPES}">{rows}</Types>'


def _app(publisher: str) -> dict[str, str]:
    """Return an app package of one text: with a digest of each block of 64 KiB, which for these is the whole."""
    space = "http://schemas.microsoft.com/appx"
    manifest = (
        f'{_XML}<Package xmlns="{space}/manifest/foundation/windows10">'
        f'<Identity Name="PrivySeal.Hello" Publisher={quoteattr(publisher)} Version="1.0.0.0"/></Package>'
    )
    files = {"hello.txt": "Hello\r\n", "AppxManifest.xml": manifest}
    rows = "".join(
        f'<File Name="{name}" Size="{len(text.encode())}" LfhSize="{30 + len(name)}">'
        f'<Block Hash="{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"/></File>'
        for name, text in files.items()
    )
    method = "http://www.w3.org/2001/04/xmlenc#sha256"
    files["AppxBlockMap.xml"] = f'{_XML}<BlockMap xmlns="{space}/2010/blockmap" HashMethod="{method}">{rows}</BlockMap>'
    types = _types(txt="text/plain", xml="application/vnd.ms-appx.manifest+xml")
    blockmap = '<Override PartName="/AppxBlockMap.xml" ContentType="application/vnd.ms-appx.blockmap+xml"/>'
    return files | {"[Content_Types].xml": types.replace("</Types>", f"{blockmap}</Types>")}


def _package() -> dict[str, str]:
    """Return a NuGet package of one text."""
    space = "http://schemas.microsoft.com/packaging"
    nuspec = (
        f'{_XML}<package xmlns="{space}/2013/05/nuspec.xsd"><metadata><id>Hello</id><version>1.0.0</version>'
        "<authors>The Privy Seal authors</authors><description>One text.</description></metadata></package>"
    )
    related = (
        f'{_XML}<Relationships xmlns="{_RELATIONSHIPS}">'
        f'<Relationship Type="{space}/2010/07/manifest" Target="/Hello.nuspec" Id="R1"/></Relationships>'
    )
    types = _types(
        rels="application/vnd.openxmlformats-package.relationships+xml",
        nuspec="application/octet",
        txt="application/octet",
    )
    return {
        "_rels/.rels": related,
        "Hello.nuspec": nuspec,
        "content/hello.txt": "Hello\r\n",
        "[Content_Types].xml": types,
    }


def _extension() -> dict[str, str]:
    """Return an extension of Visual Studio that holds one text."""
    schema = "http://schemas.microsoft.com/developer/vsx-schema/2011"
    identity = '<Identity Id="Hello" Version="1.0.0" Language="en-US" Publisher="The Privy Seal authors"/>'
    return {
        "extension.vsixmanifest": f'{_XML}<PackageManifest Version="2.0.0" xmlns="{schema}"><Metadata>{identity}'
        "<DisplayName>Hello</DisplayName></Metadata></PackageManifest>",
        "hello.txt": "Hello\r\n",
        "[Content_Types].xml": _types(vsixmanifest="text/xml", txt="text/plain"),
    }


def _document() -> dict[str, str]:
    """Return an XPS document without pages: a package of the Open Packaging Conventions."""
    space = "http://schemas.microsoft.com/xps/2005/06"
    related = (
        f'{_XML}<Relationships xmlns="{_RELATIONSHIPS}">'
        f'<Relationship Type="{space}/fixedrepresentation" Target="/hello.fdseq" Id="R1"/></Relationships>'
    )
    return {
        "_rels/.rels": related,
        "hello.fdseq": f'<FixedDocumentSequence xmlns="{space}"/>',
        "[Content_Types].xml": _types(
            rels="application/vnd.openxmlformats-package.relationships+xml",
            fdseq="application/vnd.ms-package.xps-fixeddocumentsequence+xml",
        ),
    }


def _business_central() -> bytes:
    """Return an app of Business Central around an empty archive: its head says where that stands."""
    content = b"PK\5\6" + bytes(18)
    return b"NAVX" + struct.pack("<II16sQ", 40, 2, bytes(range(16)), len(content)) + b"NAVX" + content
