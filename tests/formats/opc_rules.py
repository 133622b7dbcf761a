"""What OPC and XML-DSig say of a signed package, written down a second time with other means than the product's.

Python's zipfile reads the package, ElementTree the XML; the canonical form is C14N 2.0 of ElementTree where the two are
the same, which they are for documents in one namespace at a time. No module of the product is used.
"""

# ruff: noqa: S314 - what is parsed was made by the tests
from __future__ import annotations

import base64
import hashlib
import io
import posixpath
import zipfile
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as Tree

DSIG = "{http://www.w3.org/2000/09/xmldsig#}"
OPC = "{http://schemas.openxmlformats.org/package/2006/digital-signature}"
SPACE = "{http://schemas.openxmlformats.org/package/2006/relationships}"
KIND = "http://schemas.openxmlformats.org/package/2006/relationships/digital-signature/"
TRANSFORM = "http://schemas.openxmlformats.org/package/2006/RelationshipTransform"
HASHES = {
    "http://www.w3.org/2001/04/xmlenc#sha256": "sha256",
    "http://www.w3.org/2001/04/xmldsig-more#sha384": "sha384",
    "http://www.w3.org/2001/04/xmlenc#sha512": "sha512",
}


class Found(NamedTuple):
    """One signature: its part, and what the Manifest says."""

    name: str
    document: bytes
    covered: set[str]
    wrong: list[str]


def relationships(package: zipfile.ZipFile, source: str) -> list[dict[str, str]]:
    folder, last = posixpath.split(source)
    name = posixpath.join(folder, "_rels", last + ".rels")
    if name not in package.namelist():
        return []
    return [dict(one.attrib) for one in Tree.fromstring(package.read(name)).iter(SPACE + "Relationship")]


def content_type(package: zipfile.ZipFile, name: str) -> str | None:
    types = Tree.fromstring(package.read("[Content_Types].xml"))
    for one in types:
        if one.get("PartName", "").lower() == "/" + name.lower():
            return one.get("ContentType")
    for one in types:
        if one.get("Extension", "\0").lower() == name.rpartition("/")[2].rpartition(".")[2].lower():
            return one.get("ContentType")
    return None


def transformed(package: zipfile.ZipFile, name: str, taken: set[str]) -> bytes:
    """Return the relationships that are named by Id or by type, transformed."""
    root = Tree.Element("Relationships", xmlns=SPACE[1:-1])
    rows = list(Tree.fromstring(package.read(name)).iter(SPACE + "Relationship"))
    rows = [one for one in rows if {one.get("Id"), one.get("Type")} & taken]
    for one in sorted(rows, key=lambda each: each.attrib["Id"]):
        Tree.SubElement(root, "Relationship", {"TargetMode": "Internal", **one.attrib})
    return Tree.canonicalize(Tree.tostring(root, encoding="unicode")).encode()


def signatures(path: Path) -> list[Found]:
    """Find the signatures as a reader does, and hold each Manifest against the parts."""
    found = []
    with zipfile.ZipFile(path) as package:
        assert package.testzip() is None
        origin = [one["Target"] for one in relationships(package, "") if one["Type"] == KIND + "origin"]
        for start in origin:
            start = start.lstrip("/")
            assert package.read(start) == b""
            for one in relationships(package, start):
                assert one["Type"] == KIND + "signature"
                name = posixpath.normpath(posixpath.join("/", posixpath.dirname(start), one["Target"])).lstrip("/")
                assert content_type(package, name) == (
                    "application/vnd.openxmlformats-package.digital-signature-xmlsignature+xml"
                )
                found.append(_held(package, name))
    return found


def _held(package: zipfile.ZipFile, name: str) -> Found:
    document = package.read(name)
    root = Tree.fromstring(document)
    (listed,) = root.findall(f"{DSIG}Object[@Id='idPackageObject']/{DSIG}Manifest")
    covered, wrong = set(), []
    for one in listed:
        part, _, kind = one.attrib["URI"].partition("?ContentType=")
        part = part.removeprefix("/")
        ways = [each.get("Algorithm") for each in one.iter(DSIG + "Transform")]
        octets = package.read(part)
        if ways:
            assert ways[0] == TRANSFORM
            named = {each.attrib["SourceId"] for each in one.iter() if "SourceId" in each.attrib}
            named |= {each.attrib["SourceType"] for each in one.iter() if "SourceType" in each.attrib}
            octets = transformed(package, part, named)
        algorithm = HASHES[one.find(DSIG + "DigestMethod").attrib["Algorithm"]]
        digest = base64.b64decode(one.findtext(DSIG + "DigestValue"))
        if hashlib.new(algorithm, octets).digest() != digest or kind != content_type(package, part):
            wrong.append(part)
        covered.add(part)
    return Found(name, document, covered, wrong)


def certificates(document: bytes) -> list[bytes]:
    return [base64.b64decode(one.text) for one in Tree.fromstring(document).iter(DSIG + "X509Certificate")]


def timestamps(document: bytes) -> list[bytes]:
    return [base64.b64decode(one.text) for one in Tree.fromstring(document).iter(OPC + "EncodedTime")]


def value(document: bytes) -> bytes:
    return base64.b64decode(Tree.fromstring(document).findtext(DSIG + "SignatureValue"))


def changed(path: Path, name: str, octets: bytes | None) -> bytes:
    """Return the package with one entry's octets replaced, added, or taken away."""
    out = io.BytesIO()
    with zipfile.ZipFile(path) as package, zipfile.ZipFile(out, "w") as other:
        for one in package.infolist():
            if one.filename != name:
                other.writestr(one, package.read(one))
        if octets is not None:
            other.writestr(name, octets)
    return out.getvalue()
