"""ZIP archives made by hand, in every dialect that packages are written in: app packages and NuGet packages of them."""

from __future__ import annotations

import base64
import hashlib
import struct
import zlib
from collections.abc import Sequence
from typing import Literal

import msgspec
from tests.formats.signing import Signatory

from privyseal.formats import publisher_name

Form = Literal["none", "32", "64", "bare32", "bare64"]
TIME = 0x5973_AB37
BLOCK = 65536


class File(msgspec.Struct, frozen=True):
    """One entry, and how it is written."""

    name: bytes
    octets: bytes
    packed: bool = True
    descriptor: Form = "none"
    wide: bool = False
    """Sizes and offset are in a ZIP64 field of the directory though they need none."""
    extra: bytes = b""
    """Extra fields of the header in front of the data, and of the directory."""
    comment: bytes = b""
    gap: bytes = b""
    """Octets before it that belong to nothing."""


def archive(
    files: Sequence[File],
    *,
    zip64: bool = False,
    disks: int = 0,
    comment: bytes = b"",
    before: bytes = b"",
    counted: bool = False,
) -> bytes:
    """Return an archive; ``zip64``: with a ZIP64 end record, the other one full, its disk numbers ``disks``.

    ``before`` stands before the first entry; offsets count it if ``counted``.
    """
    body, records = bytearray(before), []
    base = 0 if counted else len(before)
    for one in files:
        body += one.gap
        at = len(body) - base
        data = _deflated(one.octets) if one.packed else one.octets
        crc, streamed = zlib.crc32(one.octets), one.descriptor != "none"
        needed, flags, method = 45 if streamed else 20, 8 * streamed, 8 * one.packed
        stated = (0, 0, 0) if streamed else (crc, len(data), len(one.octets))
        body += struct.pack(
            "<4sHHHIIIIHH", b"PK\3\4", needed, flags, method, TIME, *stated, len(one.name), len(one.extra)
        )
        body += one.name + one.extra + data
        if streamed:
            body += b"PK\7\x08" if not one.descriptor.startswith("bare") else b""
            body += struct.pack("<IQQ" if one.descriptor.endswith("64") else "<III", crc, len(data), len(one.octets))
        sizes, offset, extra = (len(data), len(one.octets)), at, one.extra
        if one.wide:
            extra = struct.pack("<HHQQQ", 1, 24, sizes[1], sizes[0], at) + one.extra
            sizes, offset = (0xFFFFFFFF, 0xFFFFFFFF), 0xFFFFFFFF
        lengths = (len(one.name), len(extra), len(one.comment))
        head = (45, needed, flags, method, TIME, crc, *sizes, *lengths, 0, 0, 0, offset)
        records.append(struct.pack("<4sHHHHIIIIHHHHHII", b"PK\1\2", *head) + one.name + extra + one.comment)
    return bytes(body) + ends(
        b"".join(records), len(files), len(body) - base, zip64=zip64, disks=disks, comment=comment
    )


def ends(directory: bytes, count: int, at: int, *, zip64: bool = False, disks: int = 0, comment: bytes = b"") -> bytes:
    """Return a directory with the end records behind it."""
    numbers = (disks, disks, count, count, len(directory), at)
    if zip64:
        directory += struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, count, count, numbers[4], at)
        directory += struct.pack("<4sIQI", b"PK\6\7", 0, at + numbers[4], 1)
        numbers = (disks, disks, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF)
    return directory + struct.pack("<4sHHHHIIH", b"PK\5\6", *numbers, len(comment)) + comment


def _deflated(octets: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(octets) + packer.flush()


# -- app packages ------------------------------------------------------------------------------------------------------
METHODS = {
    "sha256": "http://www.w3.org/2001/04/xmlenc#sha256",
    "sha384": "http://www.w3.org/2001/04/xmldsig-more#sha384",
    "sha512": "http://www.w3.org/2001/04/xmlenc#sha512",
}
TYPES = (
    '<?xml version="1.0" encoding="UTF-8"?>\r\n<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="bin" ContentType="application/octet-stream"/>'
    '<Default Extension="xml" ContentType="application/vnd.ms-appx.manifest+xml"/>'
    '<Override PartName="/AppxBlockMap.xml" ContentType="application/vnd.ms-appx.blockmap+xml"/></Types>'
)


def publisher_of(who: Signatory) -> str:
    return publisher_name.of_certificate(who.identity.chain[0])


def manifest(publisher: str, bundle: bool = False) -> bytes:
    escaped = publisher.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    root, space = ("Bundle", "2013/bundle") if bundle else ("Package", "foundation/windows10")
    return (
        f'<?xml version="1.0" encoding="utf-8"?>\n<{root} xmlns="http://schemas.microsoft.com/appx/{space}">'
        f'<Identity Name="Example.App" Publisher="{escaped}" Version="1.0.0.0"/></{root}>'
    ).encode()


def block_map(files: Sequence[tuple[str, bytes]], digest: str = "sha256") -> bytes:
    rows = []
    for name, octets in files:
        blocks = [octets[at : at + BLOCK] for at in range(0, len(octets), BLOCK)]
        hashes = [base64.b64encode(hashlib.new(digest, block).digest()).decode() for block in blocks]
        inner = "".join(f'<Block Hash="{one}"/>' for one in hashes)
        rows.append(f'<File Name="{name}" Size="{len(octets)}" LfhSize="{30 + len(name)}">{inner}</File>')
    space = "http://schemas.microsoft.com/appx/2010/blockmap"
    root = f'<BlockMap xmlns="{space}" HashMethod="{METHODS[digest]}">'
    return f'<?xml version="1.0"?>\n{root}{"".join(rows)}</BlockMap>'.encode()


def app_files(
    publisher: str,
    *,
    content: bytes = b"content" * 40,
    bundle: bool = False,
    digest: str = "sha256",
    types: str = TYPES,
    catalogue: bytes | None = None,
    dialect: Literal["windows", "makemsix", "plain", "bare"] = "windows",
) -> list[File]:
    """Return what an app package holds. Dialects: makeappx's of Windows, makemsix's with ZIP64 fields, any zip's."""
    described = manifest(publisher, bundle)
    files = [
        (b"data.bin", content, len(content) < BLOCK),
        (b"AppxMetadata/AppxBundleManifest.xml" if bundle else b"AppxManifest.xml", described, True),
        (b"AppxBlockMap.xml", block_map([("data.bin", content), ("AppxManifest.xml", described)], digest), True),
        (b"[Content_Types].xml", types.encode(), True),
    ]
    if catalogue is not None:
        files.append((b"AppxMetadata/CodeIntegrity.cat", catalogue, True))
    form: Form = {"windows": "64", "makemsix": "64", "plain": "none", "bare": "bare32"}[dialect]  # type: ignore[assignment]
    return [File(*one, descriptor=form, wide=dialect == "makemsix") for one in files]


def app_package(publisher: str, **how: object) -> bytes:
    """Return an app package or bundle, not signed."""
    dialect = how.get("dialect", "windows")
    disks = 0xFFFF if dialect == "makemsix" else 0
    return archive(app_files(publisher, **how), zip64=dialect in ("windows", "makemsix"), disks=disks)  # type: ignore[arg-type]


# -- NuGet packages ----------------------------------------------------------------------------------------------------
def nuget_files(content: bytes = b"content" * 40, name: str = "Example.Package") -> list[File]:
    """Return what ``nuget pack`` puts into a package of one file."""
    nuspec = (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        '<package xmlns="http://schemas.microsoft.com/packaging/2013/05/nuspec.xsd">'
        f"<metadata><id>{name}</id><version>1.2.3</version><authors>An author</authors>"
        "<description>An example.</description></metadata></package>"
    )
    core = "package/services/metadata/core-properties/0123456789abcdef.psmdcp"
    rels = (
        '<?xml version="1.0" encoding="utf-8"?>'
        '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
        '<Relationship Type="http://schemas.microsoft.com/packaging/2010/07/manifest" '
        f'Target="/{name}.nuspec" Id="R1"/>'
        '<Relationship Type="http://schemas.openxmlformats.org/package/2006/relationships/metadata/core-properties" '
        f'Target="/{core}" Id="R2"/></Relationships>'
    )
    types = (
        '<?xml version="1.0" encoding="utf-8"?>'
        '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        '<Default Extension="psmdcp" ContentType="application/vnd.openxmlformats-package.core-properties+xml"/>'
        '<Default Extension="txt" ContentType="application/octet"/>'
        '<Default Extension="nuspec" ContentType="application/octet"/></Types>'
    )
    properties = (
        '<?xml version="1.0" encoding="utf-8"?><coreProperties xmlns:dc="http://purl.org/dc/elements/1.1/" '
        'xmlns="http://schemas.openxmlformats.org/package/2006/metadata/core-properties">'
        f"<dc:creator>An author</dc:creator><dc:identifier>{name}</dc:identifier><version>1.2.3</version>"
        "</coreProperties>"
    )
    return [
        File(b"_rels/.rels", rels.encode()),
        File(f"{name}.nuspec".encode(), nuspec.encode()),
        File(b"content/data.txt", content, packed=len(content) < BLOCK),
        File(b"[Content_Types].xml", types.encode()),
        File(core.encode(), properties.encode()),
    ]


def nuget_package(content: bytes = b"content" * 40, **how: object) -> bytes:
    """Return a NuGet package, not signed."""
    return archive(nuget_files(content, **how))  # type: ignore[arg-type]
