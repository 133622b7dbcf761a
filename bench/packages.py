"""Signing packages without a service, as whole processes: a large one of each kind."""

from __future__ import annotations

import base64
import hashlib
import struct
import zlib
from pathlib import Path

from bench.harness import Row
from bench.windows import rows_against

_BLOCK = 1 << 16
"""Octets for each of which a block map has one hash."""
_MAP = "http://schemas.microsoft.com/appx/2010/blockmap"
_TYPES = "http://schemas.openxmlformats.org/package/2006/content-types"


def _archive(path: Path, large: tuple[str, int], small: dict[str, bytes], zip64: bool) -> Path:
    """Write an archive of one large entry, stored, and some small ones; its end as makeappx writes it if ``zip64``."""
    name, size = large[0].encode(), large[1]
    block = bytes(i * 131 % 251 for i in range(1 << 20))
    crc = 0
    for _ in range(size >> 20):
        crc = zlib.crc32(block, crc)
    records = []
    with path.open("wb") as out:
        for each, octets in {name.decode(): None, **small}.items():
            at, called = out.tell(), each.encode()
            sums = (crc, size, size) if octets is None else (zlib.crc32(octets), len(octets), len(octets))
            told = (20, 0, 0, 0x5A21_0000, *sums, len(called), 0)
            out.write(struct.pack("<4sHHHIIIIHH", b"PK\3\4", *told) + called)
            for _ in range(size >> 20 if octets is None else 0):
                out.write(block)
            out.write(octets or b"")
            records.append(struct.pack("<4sHHHHIIIIHHHHHII", b"PK\1\2", 45, *told, 0, 0, 0, 0, at) + called)
        at, directory = out.tell(), b"".join(records)
        numbers = (len(records), len(records), len(directory), at)
        if zip64:
            end = struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, *numbers)
            directory += end + struct.pack("<4sIQI", b"PK\6\7", 0, at + len(directory), 1)
            numbers = (0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF)
        out.write(directory + struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, *numbers, 0))
    return path


def large_app_package(path: Path, size: int) -> Path:
    """Write an app package of ``size`` octets, for the publisher whose certificate the benches sign with."""
    block = bytes(i * 131 % 251 for i in range(1 << 20))
    hashes = [
        base64.b64encode(hashlib.sha256(block[at : at + _BLOCK]).digest()).decode() for at in range(0, 1 << 20, _BLOCK)
    ]
    rows = "".join(f'<Block Hash="{one}"/>' for one in hashes) * (size >> 20)
    space = "http://schemas.microsoft.com/appx/manifest/foundation/windows10"
    small = {
        "AppxManifest.xml": f'<Package xmlns="{space}"><Identity Name="Bench" Publisher="CN=bench"/></Package>',
        "AppxBlockMap.xml": f'<BlockMap xmlns="{_MAP}" HashMethod="http://www.w3.org/2001/04/xmlenc#sha256">'
        f'<File Name="large.bin" Size="{size}" LfhSize="39">{rows}</File></BlockMap>',
        "[Content_Types].xml": f'<Types xmlns="{_TYPES}"><Default Extension="bin" ContentType="a/b"/></Types>',
    }
    return _archive(path, ("large.bin", size), {name: text.encode() for name, text in small.items()}, zip64=True)


def large_nuget_package(path: Path, size: int) -> Path:
    """Write a NuGet package of ``size`` octets."""
    nuspec = b"<package><metadata><id>Bench</id><version>1.0.0</version></metadata></package>"
    types = f'<Types xmlns="{_TYPES}"><Default Extension="bin" ContentType="a/b"/></Types>'.encode()
    small = {"Bench.nuspec": nuspec, "[Content_Types].xml": types}
    return _archive(path, ("content/large.bin", size), small, zip64=False)


def large_extension(path: Path, size: int) -> Path:
    """Write an extension of Visual Studio of ``size`` octets, most of them in one part."""
    schema = "http://schemas.microsoft.com/developer/vsx-schema/2011"
    manifest = f'<PackageManifest xmlns="{schema}"><Metadata><Identity Id="Bench"/></Metadata></PackageManifest>'
    rows = (("bin", "a/b"), ("vsixmanifest", "text/xml"))
    types = "".join(f'<Default Extension="{name}" ContentType="{kind}"/>' for name, kind in rows)
    small = {"extension.vsixmanifest": manifest, "[Content_Types].xml": f'<Types xmlns="{_TYPES}">{types}</Types>'}
    return _archive(path, ("large.bin", size), {name: text.encode() for name, text in small.items()}, zip64=False)


def large_application(path: Path, size: int) -> Path:
    """Write a Silverlight application of ``size`` octets."""
    return _archive(path, ("large.bin", size), {"AppManifest.xaml": b"<Deployment/>"}, zip64=False)


def large_capsule(path: Path, size: int) -> Path:
    """Write a UEFI capsule with one image of ``size`` octets."""
    block = bytes(i * 131 % 251 for i in range(1 << 20))
    kind = bytes.fromhex("edd5cb6d2de8444cbda17194199ad92a")
    image = struct.pack("<I16sB3xIIQQ", 3, bytes(16), 1, size, 0, 0, 0)
    table = struct.pack("<IHHQ", 1, 0, 1, 16)
    with path.open("wb") as out:
        out.write(struct.pack("<16sIIII", kind, 32, 0, 32 + len(table) + len(image) + size, 0) + table + image)
        for _ in range(size >> 20):
            out.write(block)
    return path


def large(folder: Path, rounds: int) -> list[Row]:
    """Sign an app package of 1 GiB beside osslsigncode, and others of 1 GiB, for which there is no peer."""
    rows: list[Row] = []
    app = large_app_package(folder / "large.msix", 1 << 30)
    rows += rows_against(folder, "1024 MiB APPX", app, rounds)
    app.unlink()
    package = large_nuget_package(folder / "large.nupkg", 1 << 30)
    rows += rows_against(folder, "1024 MiB NuGet", package, rounds, peer=False)
    package.unlink()
    extension = large_extension(folder / "large.vsix", 1 << 30)
    rows += rows_against(folder, "1024 MiB VSIX", extension, rounds, peer=False)
    extension.unlink()
    application = large_application(folder / "large.xap", 1 << 30)
    rows += rows_against(folder, "1024 MiB XAP", application, rounds, peer=False)
    application.unlink()
    capsule = large_capsule(folder / "large.cap", 1 << 30)
    rows += rows_against(folder, "1024 MiB UEFI capsule", capsule, rounds, peer=False)
    capsule.unlink()
    return rows
