"""Broken RDP files and ClickOnce manifests by the thousand: what a child of ``test_manifests_hostile`` reads.

``python mutating_manifests.py FOLDER IDENTITY FIRST COUNT LIMIT`` mutates the files in FOLDER, and makes some up; reads
each in every way there is, as if the one in the file IDENTITY signed, under a limit of memory; and prints one JSON
object of what came of it.
"""

from __future__ import annotations

import collections
import json
import random
import re
import resource
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from privyseal.formats.protocol import Identity

PIECES = (
    "<a/>", "<a>", "</a>", "<!-- ", " -->", "<![CDATA[", "]]>", "<?pi x?>", "&#0;", "&#65;", "&amp;", "&x;", "&", "<",
    ">", '"', "'", ' a="b"', " xmlns:as=\"x\"", ' xmlns="x"', "\u0000", "\ufffe", "\U0001f600", "=", "AAAA",
    '<!DOCTYPE a [<!ENTITY x "y"><!ENTITY z "&x;&x;&x;&x;">]>', '<!DOCTYPE a SYSTEM "file:///etc/passwd">',
    '<Signature xmlns="http://www.w3.org/2000/09/xmldsig#"/>',
    '<publisherIdentity xmlns="urn:schemas-microsoft-com:asm.v2" name="CN=x" issuerKeyHash="00"/>',
    '<assemblyIdentity xmlns="urn:schemas-microsoft-com:asm.v1" name="x" version="1"/>',
    '<file name="../../etc/passwd" size="-1"><hash/></file>', "<a>" * 70, "<a b='" + "x" * 2000 + "'/>",
)  # fmt: skip
LINES = (
    "full address:s:evil", "Full Address:s:evil", "full address:i:1", " full address:s:x", "alternate full address:s:",
    "Alternate Full Address:s:rds.example.com", "signscope:s:", "signscope:s:Full Address", "signscope:s:signscope",
    "signscope:s:Full Address,Full Address", "signature:s:", "signature:s:AQABAAEAAAAAAAAA", "signature:s:=",
    "SIGNATURE:s:AA", "server port:i:1", "pcb:s:\u00e4", ":s:", "a:b:s:c", "a", "\r", "\0", "\ufeff", "x" * 3000,
    "kdcproxyname:s:evil",
)  # fmt: skip
MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"")


def _xml(octets: bytearray, chance: random.Random) -> None:
    """Break what XML has: put something in, take a piece away, move it, say it twice, in another encoding."""
    way = chance.choice(("put", "put", "put", "word", "element", "mark", "swap"))
    at = chance.randrange(len(octets))
    if way == "put":
        octets[at:at] = "".join(chance.choices(PIECES, k=chance.choice((1, 1, 2)))).encode("utf-8", "replace")
    elif way == "word":
        words = (
            b"Signature",
            b"Reference",
            b"sha256",
            b"exc-c14n",
            b"as:",
            b"r:",
            b"asm.v1",
            b"KeyInfo",
            b'URI=""',
            b"Id=",
        )
        octets[:] = bytes(octets).replace(
            chance.choice(words), chance.choice((*words, b"", b"x")), chance.choice((1, 2, -1))
        )
    elif way == "element":
        first, last = octets.find(b"<", at), octets.find(b">", at + chance.choice((1, 40, 4000)))
        if 0 <= first < last:
            piece = bytes(octets[first : last + 1])
            to = chance.randrange(len(octets))
            octets[to:to] = piece if chance.random() < 0.5 else b""
            if chance.random() < 0.5:
                del octets[first : last + 1]
    elif way == "mark":
        octets[:] = chance.choice(MARKS) + bytes(octets).removeprefix(MARKS[0])
    else:
        text = bytes(octets).decode("utf-8", "replace")
        octets[:] = text.encode(chance.choice(("utf-16", "utf-16-be", "utf-8", "latin-1")), "replace")


def _settings(octets: bytearray, chance: random.Random) -> None:
    """Break what settings have: lines put in, taken away, moved, their ends, the encoding."""
    wide = octets[:2] == b"\xff\xfe"
    text = bytes(octets).decode("utf-16" if wide else "utf-8", "replace")
    lines = text.split("\r\n")
    way = chance.choice(("put", "put", "drop", "move", "ends", "case", "encoding"))
    at = chance.randrange(len(lines))
    if way == "put":
        lines[at:at] = chance.choices(LINES, k=chance.choice((1, 1, 3)))
    elif way == "drop":
        del lines[at]
    elif way == "move":
        lines.insert(chance.randrange(len(lines)), lines.pop(at))
    elif way == "case":
        lines[at] = lines[at].swapcase()
    text = chance.choice(("\n", "\r", "\r\r\n", "\0")).join(lines) if way == "ends" else "\r\n".join(lines)
    codes = (
        ("utf-16", "utf-16-be", "utf-8-sig", "latin-1", "utf-32")
        if way == "encoding"
        else ("utf-16" if wide else "utf-8",)
    )
    octets[:] = text.encode(chance.choice(codes), "replace")


OWN: dict[str, Callable[[bytearray, random.Random], None]] = {".rdp": _settings}


def mutant(original: bytes, suffix: str, chance: random.Random) -> bytes:
    """Return the file with one to four things broken."""
    from tests.formats.mutating_documents import break_anything

    octets = bytearray(original)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        if not octets:
            break
        (OWN.get(suffix, _xml) if chance.random() < 0.6 else break_anything)(octets, chance)
    return bytes(octets)


def made_up(suffix: str, chance: random.Random) -> bytes:
    """Return a file of the kind that nobody ever wrote."""
    if suffix == ".rdp":
        text = chance.choice(("\r\n", "\n")).join(
            chance.choices((*LINES, "a:i:1", "full address:s:x"), k=chance.randrange(1, 12))
        )
        return text.encode(chance.choice(("utf-16", "utf-8", "utf-8-sig", "utf-16-be")), "replace")
    inside = "".join(chance.choices(PIECES[:12] + PIECES[-6:], k=chance.randrange(6)))
    return (
        '<assembly xmlns="urn:schemas-microsoft-com:asm.v1"><assemblyIdentity name="x" version="1"/>'
        f'<deployment xmlns="urn:schemas-microsoft-com:asm.v2"/>{inside}</assembly>'
    ).encode("utf-8", "replace")


def essence(octets: bytes, name: str) -> bytes:
    """Return what a signature ought to cover of a file: of XML its canonical form, of settings the signed text.

    Of certificates only the signer's: whoever has the root judges the others. Line ends in base64 mean nothing.
    """
    from tests.formats.test_pe_layout import Held

    from privyseal.formats import rdp_settings, xml_canonical

    if name.endswith(".rdp"):
        code = Held(octets)
        code.filename = name
        layout = rdp_settings.read(code, "rdp")
        return rdp_settings.signed_text(layout) if layout.find(rdp_settings.SIGNATURE) else b""
    whole = xml_canonical.canonical(xml_canonical.read(octets, "It"), exclusive=True)
    first, *others = re.split(rb"(?<=</X509Certificate>)", whole)
    return (
        (first + b"".join(re.sub(rb"<X509Certificate>.*", b"", one, flags=re.DOTALL) for one in others))
        .replace(b"&#xD;", b"")
        .replace(b"\n", b"")
    )


def read_every_way(octets: bytes, filename: str, who: Identity) -> str:
    """Inspect, examine, describe, apply, remove; return what came of it. Only our own errors are let through."""
    from tests.formats.mutating_documents import timestamp_holds
    from tests.formats.test_pe_layout import Held

    from privyseal.errors import BadInput, MalformedCode
    from privyseal.formats import catalogue, clickonce_files
    from privyseal.formats.clickonce_manifest import ClickOnceLayout
    from privyseal.formats.examine import examine
    from privyseal.formats.protocol import Insert
    from privyseal.terms.signatures import Options

    code = Held(octets)
    code.filename = filename
    try:
        code_format = catalogue.recognise(code)
        examined = examine(code_format, code)
    except MalformedCode as error:
        assert error.detail.endswith("."), error.detail
        assert "\n" not in error.detail and len(error.detail) < 500, error.detail
        return "malformed"
    code_format.summarise(code, examined.layout)
    try:
        if isinstance(examined.layout, ClickOnceLayout):
            clickonce_files.files(examined.layout)
        described = code_format.prepare(code, examined.layout, who, Options(), "sha256").described[0]
        assert 1 <= len(code_format.to_be_signed(described, who, Options())) <= 2
    except BadInput:
        pass
    bare = b"".join(
        step.octets if isinstance(step, Insert) else code.pread(step.offset, step.count)
        for step in code_format.remove(code, examined.layout).steps
    )
    assert len(bare) <= len(octets) + 40
    rest = Held(bare)
    rest.filename = filename
    assert not list(code_format.signatures(rest, code_format.inspect(rest))), "a signature is left"
    problems = [problem.code for one in examined.signatures for problem in one.problems]
    problems += [problem.code for problem in examined.problems]
    problems += ["timestamp" for one in examined.signatures if not timestamp_holds(one)]
    return "objected to" if problems else "accepted" if examined.signatures else "unsigned"


def main(folder: Path, identity: Path, first: int, count: int, limit: int) -> None:
    """Read ``count`` files from seed ``first`` on under ``limit`` MiB of address space, and print what came of it."""
    import msgspec

    from privyseal.formats.protocol import Identity

    who = msgspec.json.decode(identity.read_bytes(), type=Identity)
    originals = [(path.name, path.read_bytes()) for path in sorted(folder.iterdir())]
    for name, octets in originals:
        read_every_way(octets, name, who)  # imports everything, so that the limit is about the files
    resource.setrlimit(resource.RLIMIT_AS, (limit << 20, limit << 20))
    warnings.filterwarnings("ignore", "Parsed a serial number")
    outcomes: collections.Counter[str] = collections.Counter()
    wrong: list[str] = []
    longest = 0.0
    for seed in range(first, first + count):
        chance = random.Random(seed)
        name, original = originals[seed % len(originals)]
        suffix = Path(name).suffix
        octets = made_up(suffix, chance) if chance.random() < 0.15 else mutant(original, suffix, chance)
        start = time.perf_counter()
        try:
            outcome = read_every_way(octets, name, who)
            if outcome == "accepted" and essence(octets, name) != essence(original, name):
                outcome = "accepted anew"
        except BaseException as error:
            outcome = "failed"
            wrong.append(f"{seed} ({name}): {type(error).__name__}: {error}")
        outcomes[outcome] += 1
        longest = max(longest, time.perf_counter() - start)
    print(json.dumps({"outcomes": outcomes, "longest": longest, "wrong": wrong[:20]}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *(int(argument) for argument in sys.argv[3:6]))
