"""OPC packages of some thousand octets whose signatures ask for hours of work: each is judged, or refused, in seconds.

What a signature names more than once was looked at each time: 20,000 references to one part of a package of 3 KB took
eleven hours.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from tests.formats import opc_builder
from tests.formats.test_pe_layout import Held
from tests.formats.zip_builder import File, archive

from privyseal.errors import MalformedCode
from privyseal.formats import opc_layout as o
from privyseal.formats import opc_signature as s
from privyseal.formats.catalogue import BY_NAME

SIGNATURE = f"{o.SIGNATURES}/xml-signature/{{}}.psdsxs"
TYPES = opc_builder.DOCUMENT_TYPES.replace(
    "</Types>",
    f'<Default Extension="psdor" ContentType="{o.ORIGIN_TYPE}"/>'
    f'<Default Extension="psdsxs" ContentType="{o.SIGNATURE_TYPE}"/>'
    '<Default Extension="cer" ContentType="application/x-x509"/></Types>',
)
DIGEST = f'<DigestMethod Algorithm="{s.DIGESTS["sha256"]}"/><DigestValue>AAAA</DigestValue>'
TO_LINKS = (
    f'<Transforms><Transform Algorithm="{s.RELATIONSHIP_TRANSFORM}"><RelationshipReference xmlns="{s.OPC}" '
    f'SourceId="o"/></Transform><Transform Algorithm="{s.C14N}"/></Transforms>'
)
TO_XML = f'<Transforms><Transform Algorithm="{s.C14N}"/></Transforms>'
MANY = "<b/>" * 60_000
SOME, LINKS = ("".join(f'<Relationship Id="i{n}" Type="t" Target="t"/>' for n in range(m)) for m in (1_400, 16_000))


def reference(uri: str, transforms: str = "") -> str:
    return f'<Reference URI="{uri}">{transforms}{DIGEST}</Reference>'


def signature(listed: str, *, covered: str = "", more: str = "") -> bytes:
    return (
        f'<Signature xmlns="{s.DSIG}"><SignedInfo><CanonicalizationMethod Algorithm="{s.C14N}"/>'
        f'<SignatureMethod Algorithm="{s.METHODS["sha256"]}"/>{reference("#" + s.PACKAGE)}{covered}</SignedInfo>'
        f'<SignatureValue>AAAA</SignatureValue><Object Id="{s.PACKAGE}"><Manifest>{listed}</Manifest></Object>{more}'
        "</Signature>"
    ).encode()


def links(*pairs: tuple[str, str], more: str = "") -> bytes:
    listed = "".join(f'<Relationship Id="l{n}" Type="{kind}" Target="{to}"/>' for n, (kind, to) in enumerate(pairs))
    return f'<Relationships xmlns="{o.RELATIONSHIPS}">{listed}{more}</Relationships>'.encode()


def package(signatures: list[bytes], *more: File, root: str = "", to: int = 1) -> bytes:
    names = [SIGNATURE.format(n) for n in range(len(signatures))]
    return archive(
        [
            File(b"[Content_Types].xml", TYPES.encode()),
            File(b"_rels/.rels", links((o.TO_ORIGIN, f"/{o.ORIGIN}"), more=root)),
            File(o.ORIGIN.encode(), b"", packed=False),
            File(o.relationships_of(o.ORIGIN).encode(), links(*[(o.TO_SIGNATURE, f"/{name}") for name in names] * to)),
            *(File(name.encode(), each) for name, each in zip(names, signatures, strict=True)),
            File(b"a.png", f"<a>{MANY}</a>".encode()),
            *more,
        ]
    )


PLAIN = reference("/a.png?ContentType=image/png")
LISTED = reference(f"/_rels/.rels?ContentType={o.RELATIONSHIPS_TYPE}", TO_LINKS)
IN_XML = reference("/a.png?ContentType=image/png", TO_XML)
OBJECT = f'<Object Id="x">{MANY}</Object>'
BESIDE = [
    File(o.relationships_of(SIGNATURE.format(0)).encode(), links(*[(o.TO_CERTIFICATE, "/a.cer")] * 300)),
    File(b"a.cer", bytes(60_000)),
]
FOLDERS = [File(f"{n}/_rels/a.rels".encode(), links(more=LINKS)) for n in range(300)]

WHEREVER = File(o.relationships_of(SIGNATURE.format(0)).encode(), links(more=SOME))
BOMBS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "one part of relationships, again and again": ("twice", lambda: package([signature(LISTED * 5_000)], root=LINKS)),
    "one part in canonical form, again and again": ("twice", lambda: package([signature(IN_XML * 10_000)])),
    "an object of its own, again and again": (
        "again and again",
        lambda: package([signature(PLAIN, covered=reference("#x") * 15, more=OBJECT)]),
    ),
    "sixteen signatures of eight megabytes": (
        "its signatures have",
        lambda: package([signature(PLAIN, more=OBJECT + " " * (7 << 20))] * 16),
    ),
    "one certificate, hundreds of times": ("names 300 certificates", lambda: package([signature(PLAIN)], *BESIDE)),
    "one signature, thousands of times": (
        "names 5000 signatures",
        lambda: package([signature(PLAIN)], WHEREVER, to=5_000),
    ),
    "hundreds of parts of relationships": ("does not cover", lambda: package([signature(PLAIN)], *FOLDERS)),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs(bomb: str) -> None:
    """None is good, and why is told within seconds of the processor, whatever else the machine does."""
    why, made = BOMBS[bomb]
    code = Held(made())
    code.filename = "x.xps"
    began = time.process_time()
    try:
        layout = BY_NAME["opc"].inspect(code)
        said = [each.text for one in BY_NAME["opc"].signatures(code, layout) for each in one.problems]
    except MalformedCode as error:
        said = [error.detail]
    assert time.process_time() - began < 20
    assert any(why in each for each in said), said
    assert max(map(len, said)) < 500
