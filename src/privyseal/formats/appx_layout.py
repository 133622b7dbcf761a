"""The structure of an app package: a ZIP archive with a manifest, a block map and a list of content types.

Source: Microsoft, "App package architecture" and the schemas of its manifests; how signtool writes signed ones is taken
from a package that it signed (a test resource of jsign). A bundle is the same with another manifest.
"""

from __future__ import annotations

from typing import Final, NoReturn

from privyseal.errors import MalformedCode
from privyseal.formats import markup, publisher_name, zipdir
from privyseal.formats.protocol import Layout, Source
from privyseal.formats.zipdir import Archive, Entry
from privyseal.terms.signatures import DigestAlgorithm

NAME: Final = "appx"
SIGNATURE: Final = b"AppxSignature.p7x"
TYPES: Final = b"[Content_Types].xml"
BLOCK_MAP: Final = b"AppxBlockMap.xml"
CODE_INTEGRITY: Final = b"AppxMetadata/CodeIntegrity.cat"
MANIFEST: Final = b"AppxManifest.xml"
BUNDLE_MANIFEST: Final = b"AppxMetadata/AppxBundleManifest.xml"
MAGIC: Final = b"PKCX"
"""What the signature's file begins with; the PKCS#7 follows."""
MAX_SIGNATURE: Final = 8 << 20
"""Octets of a signature, as of the certificate table of a PE file."""
MAX_STREAM: Final = 1 << 30
"""Octets of block map and catalogue, which are streamed: 100 octets for each 64 KiB are 600 GiB of package."""

_HASHES: dict[str, DigestAlgorithm] = {
    "http://www.w3.org/2001/04/xmlenc#sha256": "sha256",
    "http://www.w3.org/2001/04/xmldsig-more#sha384": "sha384",
    "http://www.w3.org/2001/04/xmlenc#sha512": "sha512",
}
_TYPES_NAMESPACE = "http://schemas.openxmlformats.org/package/2006/content-types"
_BLOCK_MAP_NAMESPACE = "http://schemas.microsoft.com/appx/2010/blockmap"
_PART = "/" + SIGNATURE.decode()
_TYPE = "application/vnd.ms-appx.signature"
_BEGINNING = 1 << 16
"""Octets of the block map within which its root has to begin."""
_LARGE = 0xFF000000
_MANY = 0xFFF0


class AppxLayout(Layout, frozen=True, kw_only=True):
    """What one app package has, beyond entries."""

    archive: Archive
    bundle: bool
    publisher: str
    package: str
    """The name in its identity."""
    algorithm: DigestAlgorithm
    """By which its block map hashes, and so its signature must."""
    types: bytes
    """The list of content types, unpacked."""
    marked: tuple[int, int] | None
    """Where in it the signature is announced; None where it is not."""
    types_close: int
    """Where in it one more type can be put."""
    prefix: str

    @property
    def shift(self) -> None:
        """Return None: the content types may stand before the rest, and with the signature in them they are longer."""
        return

    @property
    def carries_signature(self) -> bool:
        """Tell whether there is a signature, good or not."""
        return self.signature is not None

    @property
    def signature(self) -> Entry | None:
        """Return the entry of the signature, None where there is none."""
        return self.archive.find(SIGNATURE)

    @property
    def wide(self) -> bool:
        """Tell whether the signed package gets a ZIP64 end record: if it has one, or grows where it may need one."""
        archive = self.archive
        return bool(archive.zip64) or archive.end > _LARGE or len(archive.entries) > _MANY

    @property
    def marked_types(self) -> bytes:
        """Return the list of content types with the signature announced, as it is while a package is signed."""
        if self.marked is not None:
            return self.types
        prefix = f"{self.prefix}:" if self.prefix else ""
        added = f'<{prefix}Override PartName="{_PART}" ContentType="{_TYPE}"/>'.encode()
        return self.types[: self.types_close] + added + self.types[self.types_close :]

    @property
    def bare_types(self) -> bytes:
        """Return the list of content types without the signature."""
        start, end = self.marked or (0, 0)
        return self.types[:start] + self.types[end:]


def read_layout(code: Source) -> AppxLayout:
    """Read the archive and what is said in it; MalformedCode with one sentence that names what is wrong."""
    archive = zipdir.read(code)
    bundle = archive.find(BUNDLE_MANIFEST) is not None
    manifest = _needed(code, archive, BUNDLE_MANIFEST if bundle else MANIFEST)
    publisher, package = _identity(code, manifest, "Bundle" if bundle else "Package")
    algorithm = _algorithm(code, _needed(code, archive, BLOCK_MAP))
    types = zipdir.whole(code, _needed(code, archive, TYPES), markup.MAX_OCTETS)
    marked, close, prefix = _types(code, types)
    signature = archive.find(SIGNATURE)
    if signature is not None and signature.size > MAX_SIGNATURE:
        _refuse(code, f"its signature would have {signature.size} octets, and at most {MAX_SIGNATURE} are read")
    if signature is not None and marked is None:
        _refuse(code, "it has a signature that its content types do not announce")
    return AppxLayout(
        format=NAME, size=code.size, archive=archive, bundle=bundle, publisher=publisher, package=package,
        algorithm=algorithm, types=types, marked=marked, types_close=close, prefix=prefix,
    )  # fmt: skip


def _refuse(code: Source, why: str) -> NoReturn:
    raise MalformedCode(f"{code.filename} is no app package that can be signed: {why}.")


def _needed(code: Source, archive: Archive, name: bytes) -> Entry:
    entry = archive.find(name)
    if entry is None:
        _refuse(code, f"it has no {name.decode()}")
    return entry


def _identity(code: Source, entry: Entry, root: str) -> tuple[str, str]:
    """Return publisher and name of the package's identity."""
    elements = markup.scan(zipdir.whole(code, entry, markup.MAX_OCTETS), f"{entry.shown} in {code.filename}")
    found = [one for one in elements if (one.depth, one.name) == (1, "Identity")]
    if elements[0].name != root or len(found) != 1 or found[0].namespace != elements[0].namespace:
        _refuse(code, f"its manifest is no {root} with one Identity")
    publisher, name = (found[0].attributes.get(one, "") for one in ("Publisher", "Name"))
    if not publisher or len(publisher) > publisher_name.MAX_PUBLISHER or len(name) > publisher_name.MAX_PUBLISHER:
        _refuse(code, f"its manifest names no publisher, or one of more than {publisher_name.MAX_PUBLISHER} characters")
    return publisher, name


def _algorithm(code: Source, entry: Entry) -> DigestAlgorithm:
    """Return by what the block map hashes; only its beginning is read."""
    beginning = b""
    for piece in zipdir.unpacked(code, entry, MAX_STREAM):
        beginning += piece
        if len(beginning) >= _BEGINNING:
            break
    root = markup.root_of(beginning[:_BEGINNING], f"{entry.shown} in {code.filename}")
    method = root.attributes.get("HashMethod", "")
    if (root.namespace, root.name) != (_BLOCK_MAP_NAMESPACE, "BlockMap") or method not in _HASHES:
        _refuse(code, f"its block map hashes by {method[:80]!r}, and SHA-256, SHA-384 or SHA-512 was expected")
    return _HASHES[method]


def _types(code: Source, types: bytes) -> tuple[tuple[int, int] | None, int, str]:
    """Return where the content types announce a signature, where one more goes, and the prefix of their names."""
    if types[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in types:
        _refuse(code, "its content types are in UTF-16, and UTF-8 was expected")
    elements = markup.scan(types, f"{TYPES.decode()} in {code.filename}")
    root = elements[0]
    if (root.namespace, root.name) != (_TYPES_NAMESPACE, "Types") or types[root.close : root.close + 2] != b"</":
        _refuse(code, "its content types are no list of types that has any")
    marks = [one for one in elements[1:] if one.attributes.get("PartName", "").lower() == _PART.lower()]
    if not marks:
        return None, root.close, root.prefix
    mark = marks[0]
    expected = {"PartName": _PART, "ContentType": _TYPE}
    start, end = mark.start, mark.close
    if end >= 0 and types[end - 2 : end] != b"/>":  # it has a tag of its own at its end
        end = types.find(b">", end) + 1
    same = (mark.namespace, mark.name, mark.attributes) == (_TYPES_NAMESPACE, "Override", expected)
    if len(marks) > 1 or not same or not 0 < end - start <= _BEGINNING:
        _refuse(code, "its content types announce a signature of another kind, or more than one")
    return (start, end), root.close, root.prefix
