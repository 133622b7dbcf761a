"""OPC packages made by hand: extensions of Visual Studio, documents, and odd ones."""

from __future__ import annotations

from tests.formats.zip_builder import File, archive

MANIFEST = b"""<?xml version="1.0" encoding="utf-8"?>
<PackageManifest Version="2.0.0" xmlns="http://schemas.microsoft.com/developer/vsx-schema/2011">
  <Metadata><Identity Id="Example.Extension" Version="1.2.3" Publisher="Example" Language="en-US" /></Metadata>
</PackageManifest>"""
TYPES = (
    '\ufeff<?xml version="1.0" encoding="utf-8"?>\n'
    '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">\n'
    '  <Default Extension="vsixmanifest" ContentType="text/xml" />\n'
    '  <Default Extension="DLL" ContentType="application/octet-stream" />\n'
    '  <Override PartName="/extensionless" ContentType="application/octet-stream" />\n'
    "</Types>"
)
SPACE = "http://schemas.openxmlformats.org/package/2006/relationships"
DOCUMENT_TYPES = """<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">
<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>
<Default Extension="fdseq" ContentType="application/vnd.ms-package.xps-fixeddocumentsequence+xml"/>
<Default Extension="png" ContentType="image/png"/></Types>"""
ROOT = f"""<?xml version="1.0"?><Relationships xmlns="{SPACE}">
<!-- two --><Relationship Id="R7" Type="http://schemas.microsoft.com/xps/2005/06/fixedrepresentation"
Target="/a.fdseq"/>
<Relationship Type="http://example.test/more?a=1&amp;b=2" TargetMode="External" Target="http://example.test/" Id="R10"/>
</Relationships>"""
INNER = f"""<r:Relationships xmlns:r="{SPACE}"><r:Relationship Target="b/c.png" Id="i1"
 Type="http://example.test/picture"/></r:Relationships>"""


def vsix_files(content: bytes = b"content" * 40, types: str = TYPES) -> list[File]:
    return [
        File(b"[Content_Types].xml", types.encode()),
        File(b"extension.vsixmanifest", MANIFEST),
        File(b"Example.dll", content),
        File(b"extensionless", b"text", packed=False),
    ]


def vsix(content: bytes = b"content" * 40, types: str = TYPES, **how: object) -> bytes:
    return archive(vsix_files(content, types), **how)


def document_files(content: bytes = b"content" * 40, root: str = ROOT) -> list[File]:
    return [
        File(b"[Content_Types].xml", DOCUMENT_TYPES.encode()),
        File(b"_rels/.rels", root.encode()),
        File(b"a.fdseq", b"<FixedDocumentSequence xmlns='http://schemas.microsoft.com/xps/2005/06'/>"),
        File(b"_rels/a.fdseq.rels", INNER.encode()),
        File(b"b/", b"", packed=False),
        File(b"b/c.png", content, packed=False),
    ]


def document(content: bytes = b"content" * 40, root: str = ROOT, **how: object) -> bytes:
    return archive(document_files(content, root), **how)
