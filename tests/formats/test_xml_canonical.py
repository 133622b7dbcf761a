"""Canonical XML as libxml2 writes it (xmllint for whole documents, xmlsec1 for parts of them); all else is refused."""

from __future__ import annotations

import base64
import hashlib
import random
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from privyseal.errors import MalformedCode
from privyseal.formats import xml_canonical
from privyseal.formats.xml_canonical import canonical, read

DSIG = "http://www.w3.org/2000/09/xmldsig#"
C14N = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"
EXC = "http://www.w3.org/2001/10/xml-exc-c14n#"
DOCUMENTS = {
    "bare": "<a/>",
    "order": '<r xmlns="urn:d" xmlns:b="urn:b" xmlns:a="urn:z" b:z="1" a:a="2" z="3" a="4" xml:lang="en"/>',
    "undeclared": '<r xmlns="urn:d"><x xmlns=""><y xmlns=""/><z xmlns="urn:d"/></x></r>',
    "repeated": '<p:r xmlns:p="urn:p"><p:x xmlns:p="urn:p"/><p:x xmlns:p="urn:q"><p:y xmlns:p="urn:p"/></p:x></p:r>',
    "unused": '<r xmlns:u="urn:u"><x><u:y/></x><u:z u:a="1"/><x xmlns:v="urn:v"><v:y/><v:y/></x></r>',
    "values": "<r a=\"&#9;&#10;&#13;&lt;&gt;&quot;&amp;'\" b=' \" \t \n x'/>",
    "texts": "<r>&lt;&gt;&amp;&#13;\"'\t\r\n<![CDATA[<a>&amp;]]]]><![CDATA[>]]></r>",
    "around": "<?one  two ?><!-- a --><r><?x?><!--b--><?y z?></r><!--c--><?three?>\n\n",
    "letters": '<é xmlns="urn:e" ñ="\U0001f512">\U0001f512\u00a0</é>',
    "two names": '<r xmlns:a="urn:x" xmlns:b="urn:x" a:k="1" b:j="2"/>',
}


def xmllint(octets: bytes, option: str) -> bytes:
    run = subprocess.run(["xmllint", "--nonet", option, "-"], input=octets, capture_output=True, check=True)
    return run.stdout


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_whole_document_is_written_as_xmllint_does(document: str, encoding: str):
    octets = f'<?xml version="1.0" encoding="{encoding}"?>\n{DOCUMENTS[document]}'.encode(encoding)
    tree = read(octets, "it")
    assert canonical(tree, comments=True) == xmllint(octets, "--c14n")
    assert canonical(tree, comments=True, exclusive=True) == xmllint(octets, "--exc-c14n")
    written = canonical(tree)
    assert b"<!--" not in written
    assert canonical(read(written, "it")) == written


NAMES = st.sampled_from(["a", "b", "ab", "B", "p:a", "q:a", "p:b"])
VALUES = st.text(st.sampled_from("ab \t\n\r<>&\"'é"), max_size=6)


def escaped(text: str) -> str:
    for each, other in {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\r": "&#13;", "\t": "&#9;"}.items():
        text = text.replace(each, other)
    return text


@st.composite
def elements(draw: st.DrawFn, depth: int = 0) -> str:
    """Draw an element; p, q and the default namespace are declared anew here and there."""
    name = draw(NAMES)
    spaces = {"p": "urn:1", "q": "urn:2"} if depth == 0 else {}
    spaces |= draw(st.dictionaries(st.sampled_from(["", "p", "q"]), st.sampled_from(["urn:1", "urn:2"]), max_size=2))
    if draw(st.integers(0, 9)) == 0:
        spaces[""] = ""
    tag = "".join(f' xmlns{":" * bool(one)}{one}="{uri}"' for one, uri in spaces.items())
    plain = draw(st.dictionaries(st.sampled_from(["a", "b", "p:c", "q:d", "xml:lang"]), VALUES, max_size=3))
    tag += "".join(f' {one}="{escaped(value)}"' for one, value in plain.items())
    inner = st.one_of(VALUES.map(escaped), st.just("<!--c-->"), st.just("<?i d?>"))
    if depth < 3:
        inner = st.one_of(inner, elements(depth=depth + 1))
    return f"<{name}{tag}>{''.join(draw(st.lists(inner, max_size=4)))}</{name}>"


@settings(max_examples=120, deadline=None, derandomize=True)
@given(elements())
def test_any_document_is_written_as_xmllint_does(text: str):
    tree = read(text.encode(), "it")
    assert canonical(tree, comments=True) == xmllint(text.encode(), "--c14n")
    assert canonical(tree, comments=True, exclusive=True) == xmllint(text.encode(), "--exc-c14n")


PARTS = """<e:out xmlns:e="urn:e" xmlns="urn:d" xmlns:unused="urn:u" xml:lang="en" xml:space="preserve">
<mid xml:lang="fr" xmlns:f="urn:f"><one Id="i1" xml:base="x"><e:two f:a="1"/><!--c--><f:three xmlns=""><four/></f:three>
</one><e:one Id="i2"><two/></e:one><f:one xmlns:f="urn:g" Id="i3"/><one xmlns="" Id="i4"><two/></one></mid>%s</e:out>"""


def test_a_part_of_a_document_is_written_as_xmlsec_does(tmp_path: Path):
    """What xmlsec1 digests of elements in the midst: inclusive, exclusive, and exclusive with prefixes named."""
    wishes = [
        (number, way, prefixes)
        for number in (1, 2, 3, 4)
        for way, prefixes in ((C14N, ""), (EXC, ""), (EXC, "f unused #default"))
    ]
    references = "".join(
        f'<Reference URI="#i{number}"><Transforms><Transform Algorithm="{way}">'
        + (f'<i:InclusiveNamespaces xmlns:i="{EXC}" PrefixList="{prefixes}"/>' if prefixes else "")
        + '</Transform></Transforms><DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/>'
        "<DigestValue></DigestValue></Reference>"
        for number, way, prefixes in wishes
    )
    template = (
        f'<Signature xmlns="{DSIG}"><SignedInfo><CanonicalizationMethod Algorithm="{C14N}"/>'
        f'<SignatureMethod Algorithm="{DSIG}hmac-sha1"/>{references}</SignedInfo><SignatureValue/></Signature>'
    )
    path, key = tmp_path / "template.xml", tmp_path / "key"
    path.write_text(PARTS % template)
    key.write_bytes(b"secret")
    ids = [piece for name in ("urn:d:one", "urn:e:one", "urn:g:one", "one") for piece in ("--id-attr:Id", name)]
    run = subprocess.run(["xmlsec1", "--sign", "--hmackey", str(key), *ids, str(path)], capture_output=True, check=True)
    tree = read(run.stdout, "it").root
    found = [one.text for one in tree.walk() if one.name == "DigestValue"]
    for (number, way, prefixes), stated in zip(wishes, found, strict=True):
        element = next(one for one in tree.walk() if one.get("Id") == f"i{number}")
        named = ["" if one == "#default" else one for one in prefixes.split()]
        ours = canonical(element, exclusive=way == EXC, inclusive_prefixes=named)
        assert base64.b64decode(stated) == hashlib.sha256(ours).digest(), (number, way, prefixes, ours)


def test_what_is_left_out_is_as_if_it_had_not_been_there():
    tree = read(b'<r xmlns="urn:a">x<s><t/></s>y</r>', "it")
    assert canonical(tree, without=tree.root.called("urn:a", "s")) == b'<r xmlns="urn:a">xy</r>'


def test_an_element_knows_where_it_stands():
    octets = "<r>é<a k='v'><b/></a></r>".encode()
    tree = read(octets, "it").root
    (a,) = tree.elements
    (b,) = a.elements
    assert octets[a.start :].startswith(b"<a ") and octets[a.close :].startswith(b"</a>")
    assert octets[b.start :].startswith(b"<b/>") and octets[tree.close :] == b"</r>"
    assert (b.parent, a.get("k"), a.get("x"), tree.text) == (a, "v", None, "é")


REFUSED = {
    "a document type": b"<!DOCTYPE r><r/>",
    "document type, which could hold entities": b'<!DOCTYPE r [<!ENTITY a "b">]><r>&a;</r>',
    "undefined entity": b"<r>&nbsp;</r>",
    "is no well-formed XML": b"<r><a></r></a>",
    "no element found": b"",
    "unclosed token": b"<r",
    "junk after": b"<r/><r/>",
    "prefix is not declared": b"<p:r/>",
    "is not declared: 'q'": b"<r q:a='1'/>",
    "two attributes of one name": b'<r xmlns:a="urn:x" xmlns:b="urn:x" a:k="1" b:k="2"/>',
    "as none may be declared: 'p'": b'<r xmlns:p=""/>',
    "as none may be declared: 'xml'": b'<r xmlns:xml="urn:x"/>',
    "as none may be declared: 'xmlns'": b'<r xmlns:xmlns="urn:x"/>',
    "as none may be declared: ''": b'<r xmlns="http://www.w3.org/2000/xmlns/"/>',
    "none with namespaces": b'<r xmlns:a="urn:a"><a:b:c/></r>',
    "none with namespaces: 'a:1'": b'<r xmlns:a="urn:a" a:1=""/>',
    "name has a colon": b"<r><?a:b c?></r>",
    "XML 1.0": b'<?xml version="1.1"?><r/>',
    "UTF-8": b'<?xml version="1.0" encoding="iso-8859-1"?><r/>',
    "64 deep": b"<a>" * 65 + b"</a>" * 65,
    "namespaces; at most 128": b"<r " + b" ".join(b'xmlns:n%d="urn:n"' % n for n in range(130)) + b"/>",
    "more than 262144": b"<r>" + b"<a/>" * (1 << 18) + b"</r>",
    "octets; at most 8388608": b"<r>" + bytes(8 << 20) + b"</r>",
}


@pytest.mark.parametrize("why", REFUSED)
def test_refused(why: str):
    with pytest.raises(MalformedCode) as refused:
        read(REFUSED[why], "The document")
    assert why in refused.value.detail
    assert refused.value.detail.startswith("The document ")


def test_2000_mutants_are_read_or_refused():
    """What is read is written as a document that is read again and written the same."""
    drawn = random.Random(64)
    seeds = [text.encode() for text in DOCUMENTS.values()] + [(PARTS % "").encode()]
    read_at_all = 0
    for _ in range(2000):
        octets = bytearray(drawn.choice(seeds))
        for _ in range(drawn.randrange(1, 4)):
            at = drawn.randrange(len(octets) + 1)
            octets[at : at + drawn.randrange(3)] = drawn.choice(
                [b"", b"<", b">", b"&", b'"', b"xmlns", b":", b"p:", b"\xff", b"<!--", b"<?", b"]]>", b"\0", b" a=''"]
            )
        try:
            tree = read(bytes(octets), "it")
        except MalformedCode:
            continue
        read_at_all += 1
        for exclusive in (False, True):
            written = canonical(tree, exclusive=exclusive, comments=True)
            assert canonical(read(written, "it"), exclusive=exclusive, comments=True) == written
    assert read_at_all > 100


def test_the_limits_are_those_of_the_documentation():
    assert (xml_canonical.MAX_OCTETS, xml_canonical.MAX_NODES, xml_canonical.MAX_SCOPE) == (8 << 20, 1 << 18, 128)
