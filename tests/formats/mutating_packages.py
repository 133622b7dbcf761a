"""Broken packages by the thousand: what a child of ``test_packages_hostile`` reads.

``python mutating_packages.py FOLDER FIRST COUNT LIMIT`` as ``mutating_documents.py``, whose other half this uses.
"""

from __future__ import annotations

import io
import random
import struct
import sys
import zipfile
import zlib
from pathlib import Path

from tests.formats import mutating_documents, opc_rules
from tests.formats.mutating_documents import EDGES, LARGE_EDGES
from tests.formats.opc_builder import document_files, vsix_files
from tests.formats.zip_builder import File, Form, app_files, archive, nuget_files

MARKS = (b"PK\1\2", b"PK\3\4", b"PK\5\6", b"PK\6\6", b"PK\6\7", b"PK\7\x08")
WIDTHS = {b"PK\1\2": 46, b"PK\3\4": 30, b"PK\5\6": 22, b"PK\6\6": 56, b"PK\6\7": 20, b"PK\7\x08": 24}
NAMES = (
    b"../../etc/passwd",
    b"/abs",
    b"C:\\x",
    b"a\\..\\..\\b",
    b"%2e%2e/x",
    b"a\0b",
    b"\xff\xfe",
    b"AppxManifest.xml",
    b"x" * 5000,
)
XML = (
    b'<!DOCTYPE a [<!ENTITY b "cccccccccc"><!ENTITY d "&b;&b;&b;&b;&b;&b;&b;&b;">]><a>&d;</a>',
    b'<!DOCTYPE a SYSTEM "http://192.0.2.1/x"><a/>',
    b"<a>" * 5000,
    b"<a " + b" ".join(b'b%d="c"' % n for n in range(5000)) + b"/>",
    b"<?xml version='1.0' encoding='utf-7'?><a/>",
    b"\xff\xfe<\0a\0/\0>\0",
    b"",
    b"<Types/>",
)
FORMS: tuple[Form, ...] = ("none", "32", "64", "bare32", "bare64")


def _number(octets: bytearray, chance: random.Random) -> None:
    """Break a number of a header, of the directory or of an end."""
    mark = chance.choice(MARKS)
    places = []
    at = octets.find(mark)
    while at >= 0:
        places.append(at)
        at = octets.find(mark, at + 4)
    if places:
        size = chance.choice((1, 2, 4, 8))
        at = chance.choice(places) + chance.randrange(4, WIDTHS[mark])
        value = chance.choice((*EDGES, *LARGE_EDGES, len(octets), len(octets) - 1, chance.getrandbits(32), places[0]))
        octets[at : at + size] = (value % (1 << 8 * size)).to_bytes(size, "little")


mutating_documents.OWN.update(dict.fromkeys((".msix", ".appxbundle", ".nupkg"), _number))
WORDS = (
    *(b"Id", b"R1", b"R7", b"Type", b"Target", b"TargetMode", b"External", b"xml-signature", b"psdsxs", b"psdor"),
    *(b"Default", b"Override", b"Extension", b"PartName", b"ContentType", b"text/xml", b"image/png", b"xmlns", b"rels"),
    *(b"Reference", b"URI", b"Algorithm", b"Transform", b"SourceId", b"sha256", b"Manifest", b"Object", b"SignedInfo"),
    *(b"idPackageObject", b"idSigningCertificates", b"KeyInfo", b"X509Certificate", b"EncodedTime", b"extension"),
    *(
        b"#WithComments",
        b"sha384",
        b"2006",
        b"example",
        b"dll",
        b"origin",
        b"signature1",
        b"/",
        b"..",
        b" ",
        b"A",
        b"=",
    ),
)
MARKUP = (
    *(b"<!-- -->", b"<", b">", b"&", b"&lt;", b"<?a b?>", b"<![CDATA[x]]>", b"]]>", b"\xef\xbb\xbf", b"<a/>", b"</a>"),
    *(
        b"\xff",
        b" Id='idPackageObject'",
        b" Id='R1'",
        b" TargetMode='External'",
        b"\r\n",
        b"<Object/>",
        b"<Reference/>",
    ),
)
OPC = (".vsix", ".xps")


def _package(octets: bytearray, chance: random.Random) -> None:
    """Break a number of the archive or, its sums mended, the text of what leads to signatures, or of a signature."""
    names = [b"[Content_Types].xml", b"_rels/.rels", b"origin.psdor.rels", b"signature1.psdsxs", b"Example.dll"]
    if chance.random() < 0.3:
        _number(octets, chance)
        return
    try:
        with zipfile.ZipFile(io.BytesIO(octets)) as package:
            files = {name.encode(): package.read(name) for name in package.namelist()}
    except Exception:
        return
    wanted = [name for name in files if name.endswith(tuple(names))]
    if wanted:
        name = chance.choice(wanted)
        text = files[name]
        for _ in range(chance.choice((1, 1, 2))):
            old = chance.choice([word for word in WORDS if word in text] or [b""])
            new = chance.choice((chance.choice(WORDS), chance.choice(WORDS), old + chance.choice(MARKUP)))
            pieces = text.split(old) if old else [text]
            at = chance.randrange(1, len(pieces)) if len(pieces) > 1 else 0
            text = old.join(pieces[:at]) + new + old.join(pieces[at:]) if at else text + new
        files[name] = text
    if files and chance.random() < 0.1:
        files.pop(chance.choice(list(files)))
    octets[:] = archive([File(name, content) for name, content in files.items()])


def _meaning(octets: bytes) -> object:
    """Return what readers of an OPC package see in it: parts and their types; of relationships, what they say."""
    with zipfile.ZipFile(io.BytesIO(octets)) as package:
        found = {}
        for name in package.namelist():
            seen: object = package.read(name)
            if name.endswith(".rels") and b".vsixmanifest" not in octets:
                tree = opc_rules.Tree.fromstring(package.read(name))
                said = [{"TargetMode": "Internal", **one.attrib} for one in tree]
                said = [one | {"Id": ""} if one.get("Type") == opc_rules.KIND + "origin" else one for one in said]
                seen = sorted(sorted(one.items()) for one in said)
            if name != "[Content_Types].xml" and not name.endswith("/"):
                found[name.lower()] = (seen, (opc_rules.content_type(package, name) or "").lower())
    return found


def _same(octets: bytes, original: bytes, suffix: str) -> bool:
    if suffix not in OPC:
        return octets == original
    try:
        return _meaning(octets) == _meaning(original)
    except NotImplementedError:  # of a later version of ZIP, it says: whoever refuses it sees nothing else in it
        return True


mutating_documents.OWN.update(dict.fromkeys(OPC, _package))
mutating_documents.ROOM.update(dict.fromkeys(OPC, 8192))
mutating_documents.BLOBS.update(dict.fromkeys(OPC, b"<Signature><KeyInfo></KeyInfo></Signature>"))
mutating_documents.same = _same


def _header(octets: bytearray, chance: random.Random) -> None:
    """Break a number of an app's header, or of what stands around its signature."""
    at = chance.choice((chance.randrange(40), max(0, len(octets) - chance.randrange(1, 12))))
    octets[at : at + 4] = struct.pack(
        "<I", chance.choice((*EDGES, *LARGE_EDGES, len(octets), max(0, len(octets) - 40)))
    )


mutating_documents.OWN[".app"] = _header


def _trailer(octets: bytearray, chance: random.Random) -> None:
    """Break a number of the archive, or one of those around the signature behind it."""
    at = octets.rfind(b"\1\0\1\0")
    if at < 0 or chance.random() < 0.5:
        _number(octets, chance)
        return
    at = chance.choice((at, at + 2, at + 4, len(octets) - 10, len(octets) - 6, len(octets) - 4))
    octets[at : at + 4] = struct.pack("<I", chance.choice((*EDGES, *LARGE_EDGES, len(octets), len(octets) - at)))


mutating_documents.OWN[".xap"] = _trailer


def made_up(suffix: str, chance: random.Random) -> bytes:
    """Return a package of the kind that nobody ever wrote: odd names, XML, forms, entries twice, bombs, two ends."""
    if suffix == ".app":
        size, rest = chance.choice((0, 5, 1 << 31, 1 << 63)), chance.choice((b"", b"NXSB", b"NXSB0\0-\0\0\0NXSB"))
        return b"NAVX" + bytes(24) + struct.pack("<Q", size) + b"NAVX" + b"12345" + rest
    if suffix == ".xap":
        body = archive([File(b"AppManifest.xaml", chance.randbytes(9)), File(chance.choice(NAMES), b"x")])
        size = chance.choice((*EDGES, *LARGE_EDGES, 10, 18))
        return body + struct.pack("<HHI", 1, 1, 2) + b"0\0XapS" + struct.pack("<HI", 1, size)
    if suffix in (".vsix", ".xps"):
        files = vsix_files() if suffix == ".vsix" else document_files()
    else:
        files = nuget_files() if suffix == ".nupkg" else app_files("CN=Test rsa-3072", bundle=suffix == ".appxbundle")
    for _ in range(chance.choice((0, 1, 1, 3))):
        at = chance.randrange(len(files))
        old = files[at]
        way = chance.choice(("name", "xml", "form", "wide", "twice", "bomb", "extra", "gap", "drop", "signature"))
        if way == "name":
            files[at] = File(chance.choice(NAMES), old.octets)
        elif way == "xml":
            files[at] = File(old.name, chance.choice(XML))
        elif way in ("form", "wide"):
            files[at] = File(old.name, old.octets, chance.random() < 0.5, chance.choice(FORMS), way == "wide")
        elif way == "twice":
            files.insert(at, File(old.name.swapcase() if chance.random() < 0.5 else old.name, b"other"))
        elif way == "bomb":
            files[at] = File(old.name, bytes(chance.choice((1 << 20, 1 << 20, 9 << 20))))
        elif way == "extra":
            wrong = struct.pack("<HH", chance.choice((1, 0x5455, 0xFFFF)), chance.choice((0, 4, 8, 16, 0xFFFF)))
            files[at] = File(old.name, old.octets, extra=wrong + bytes(chance.choice((0, 4, 8, 16))))
        elif way == "gap":
            files[at] = File(old.name, old.octets, gap=chance.randbytes(chance.choice((1, 4, 40))))
        elif way == "drop" and len(files) > 1:
            del files[at]
        else:
            name = b".signature.p7s" if suffix == ".nupkg" else b"AppxSignature.p7x"
            files.append(File(name, b"PKCX" + chance.randbytes(chance.choice((0, 40))), packed=False))
    comment = chance.choice((b"", b"", b"note", b"PK\5\6" + bytes(18), b"PK\5\6" + bytes(16) + b"\2\0ab"))
    octets = archive(files, zip64=chance.random() < 0.5, disks=chance.choice((0, 0, 0xFFFF, 1)), comment=comment)
    if chance.random() < 0.1:  # sizes that lie, the checksum of the lie
        octets = octets.replace(struct.pack("<I", len(files[0].octets)), struct.pack("<I", 1), 2)
        octets = octets.replace(struct.pack("<I", zlib.crc32(files[0].octets)), struct.pack("<I", zlib.crc32(b"x")), 2)
    return octets + chance.choice((b"", b"", b"", octets, b"x"))


mutating_documents.made_up = made_up

if __name__ == "__main__":
    mutating_documents.main(Path(sys.argv[1]), *(int(argument) for argument in sys.argv[2:5]))
