"""Writes PDF files with text, without anybody's library: enough of ISO 32000-1 for tests, and for its abuse."""

from __future__ import annotations

import zlib


def pdf(pages: list[str], *, compressed: bool = True, more: bytes = b"") -> bytes:
    """Return a PDF with one page for each text, one line of it below the other; ``more`` stands in each content."""
    count = len(pages)
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Count %d /Kids [%s] >>" % (count, b" ".join(b"%d 0 R" % (4 + 2 * n) for n in range(count))),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    for number, text in enumerate(pages):
        content = _content(text) + more
        extra = b""
        if compressed:
            content, extra = zlib.compress(content, 9), b" /Filter /FlateDecode"
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Resources << /Font << /F1 3 0 R >> >>"
            b" /Contents %d 0 R >>" % (5 + 2 * number)
        )
        objects.append(b"<< /Length %d%s >>\nstream\n%s\nendstream" % (len(content), extra, content))
    return assemble(objects)


def assemble(objects: list[bytes], trailer: bytes = b"") -> bytes:
    """Return a file with these objects, numbered from 1, of which the first is the root."""
    file = bytearray(b"%PDF-1.7\n")
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(len(file))
        file += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    at = len(file)
    file += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    file += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    file += b"trailer\n<< /Size %d /Root 1 0 R %s >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, trailer, at)
    return bytes(file)


def _content(text: str) -> bytes:
    lines = [b"BT /F1 10 Tf 12 TL 40 800 Td"]
    for line in text.split("\n"):
        escaped = line.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")
        lines.append(b"(%s) Tj T*" % escaped.encode("cp1252"))
    return b"\n".join([*lines, b"ET"]) if text else b""
