"""OPC packages signed, added to, replaced, timestamped later, taken apart again, and refused."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import msgspec
import pytest
from tests.formats import opc_builder, opc_other, opc_rules
from tests.formats.opc_builder import (
    MANIFEST,
    ROOT,
    TYPES,
    document,
    document_files,
    vsix,
    vsix_files,
)
from tests.formats.samples import sample
from tests.formats.signing import APPEND, PLAIN, blob_for, signatory, stamp
from tests.formats.test_pe_layout import Held
from tests.formats.walking import describe, look, remove, sign, stamp_later, wrong
from tests.formats.zip_builder import File, Form, archive

from privyseal.errors import BadInput, Impossible, MalformedCode
from privyseal.formats import opc_layout, operations
from privyseal.formats.catalogue import BY_NAME, recognise
from privyseal.formats.source import FileSource
from privyseal.terms.signatures import Described, Options

VSIX, OPC = BY_NAME["vsix"], BY_NAME["opc"]
RSA = signatory()
ORIGIN_LIST = "package/services/digital-signature/_rels/origin.psdor.rels"
FIRST = "package/services/digital-signature/xml-signature/signature1.psdsxs"

PREFIXED = TYPES.replace("<", "<t:").replace("<t:?", "<?").replace("<t:/", "</t:").replace("xmlns=", "xmlns:t=")
SHAPES: dict[str, bytes] = {
    "VSIX": vsix(),
    "VSIX with ZIP64": vsix(zip64=True),
    "large VSIX": vsix(bytes(200_000)),
    "prefix": vsix(types=PREFIXED),
    "types that say much": vsix(
        types=TYPES.replace("</Types>", '<Default Extension="rels" ContentType="a/b"/><Override PartName="/none" '
                            'ContentType="a/b"/></Types>')
    ),
    "folders and relationships": archive([*vsix_files(types=TYPES.replace(
        "</Types>", '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        "</Types>")), File(b"_rels/.rels", ROOT.encode()), File(b"x/", b"", packed=False)]),
    "document": document(),
    "document of one stream": document(zip64=True),
    "root that closes itself": document(root='<Relationships xmlns="' + opc_layout.RELATIONSHIPS + '"/>'),
}  # fmt: skip


def suffix(octets: bytes) -> str:
    return ".vsix" if MANIFEST[:20] in octets or b".vsixmanifest" in octets else ".xps"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "example.vsix"
    path.write_bytes(vsix())
    return path


@pytest.fixture
def xps(tmp_path: Path) -> Path:
    path = tmp_path / "example.xps"
    path.write_bytes(document())
    return path


def contents(octets: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(octets)) as package:
        return {name: package.read(name) for name in package.namelist()}


@pytest.mark.parametrize("shape", SHAPES)
def test_there_and_back(tmp_path: Path, shape: str):
    """Signed, a timestamp later, signed anew, removed: the content as it was; the rules, written twice, agree."""
    path = (tmp_path / "example").with_suffix(suffix(SHAPES[shape]))
    path.write_bytes(SHAPES[shape])
    before, first = contents(SHAPES[shape]), describe(path)
    blob = sign(path, RSA, stamped=True)
    assert not wrong(path) and len(look(path).signatures) == 1
    (found,) = opc_rules.signatures(path)
    names = {name for name in contents(path.read_bytes()) if not name.endswith("/")} - {"[Content_Types].xml"}
    expected = names - {found.name}
    if path.suffix == ".xps":
        expected = {name for name in expected if "digital-signature" not in name}
        expected -= {"_rels/.rels"} if "closes itself" in shape else set()
    assert (found.covered, found.wrong) == (expected, [])
    assert look(path).signatures[0].blob == blob
    sign(path, RSA)
    assert not wrong(path) and look(path).signatures[0].timestamp is None
    signed = path.read_bytes()
    sign(path, RSA)
    assert path.read_bytes() == signed
    stamp_later(path, 0)
    assert not wrong(path)
    stamp_later(path, 0)
    assert not wrong(path) and look(path).signatures[0].timestamp is not None
    assert describe(path) == first
    remove(path)
    unsigned = path.read_bytes()
    remove(path)
    assert path.read_bytes() == unsigned
    after = contents(unsigned)
    assert not look(path).signatures and describe(path) == first
    if "closes itself" in shape:
        assert after.pop("_rels/.rels").endswith(b'relationships"></Relationships>') and before.pop("_rels/.rels")
    if "say much" in shape:
        assert after["[Content_Types].xml"].decode() == before["[Content_Types].xml"].decode()
    assert after == before


@pytest.mark.parametrize("form", ["32", "64", "bare32", "bare64"])
@pytest.mark.parametrize("digest", ["sha384", "sha512"])
def test_other_archives_and_digests(path: Path, form: Form, digest: str):
    files = [File(one.name, one.octets, one.packed, form) for one in vsix_files()]
    path.write_bytes(archive(files))
    sign(path, RSA, digest=digest)
    assert not wrong(path) and look(path).signatures[0].digest_algorithm == digest
    assert opc_rules.signatures(path)[0].wrong == []


def test_signatures_of_several_people_stand_beside_each_other(xps: Path):
    """The second changes neither part nor digest of the first, nor the third of both; replacing leaves one."""
    before = contents(xps.read_bytes())
    sign(xps, RSA, stamped=True)
    first = contents(xps.read_bytes())
    sign(xps, signatory("rsa-4096"), options=APPEND, digest="sha384")
    sign(xps, RSA, options=APPEND, stamped=True)
    found = look(xps).signatures
    assert not wrong(xps)
    assert [(one.index, one.digest_algorithm, one.timestamp is None) for one in found] == [
        (0, "sha256", False),
        (1, "sha384", True),
        (2, "sha256", False),
    ]
    after = contents(xps.read_bytes())
    assert {name for name in first if first[name] != after[name]} == {ORIGIN_LIST}
    assert [one.wrong for one in opc_rules.signatures(xps)] == [[], [], []]
    stamp_later(xps, 1)
    assert not wrong(xps) and all(one.timestamp for one in look(xps).signatures)
    sign(xps, RSA)
    assert len(look(xps).signatures) == 1 and not wrong(xps)
    sign(xps, RSA, options=APPEND)
    remove(xps)
    assert contents(xps.read_bytes()) == before


def test_the_first_may_be_asked_for_as_one_more(xps: Path):
    sign(xps, RSA, options=APPEND)
    assert len(look(xps).signatures) == 1 and not wrong(xps)


def test_a_signature_over_the_list_of_signatures_takes_no_other(tmp_path: Path):
    """An extension refuses by its kind; any other package whose signature covers the list, by what it finds."""
    with pytest.raises(Impossible):
        operations.require_for(VSIX, APPEND)
    path = tmp_path / "example.vsix"
    path.write_bytes(vsix())
    sign(path, RSA)
    files = contents(path.read_bytes())
    files["data.bin"] = files.pop("extension.vsixmanifest")
    xps = tmp_path / "example.xps"
    xps.write_bytes(archive([File(name.encode(), octets) for name, octets in files.items()]))
    octets = xps.read_bytes()
    with pytest.raises(MalformedCode, match="covers the list of signatures"):
        sign(xps, RSA, options=APPEND)
    assert xps.read_bytes() == octets


def test_the_time_is_the_earliest_at_which_it_can_have_been_signed(path: Path):
    """When the newest entry was made, or the certificate became valid; it is in the description and in the file."""
    with FileSource.open(path) as code:
        layout = VSIX.inspect(code)
        stated = VSIX.prepare(code, layout, RSA.identity, PLAIN, "sha256").described[0].facts["time"]
    sign(path, RSA)
    assert f"<Value>{str(stated)[:-1]}.0+00:00</Value>".encode() in contents(path.read_bytes())[FIRST]
    assert describe(path).facts["time"] == "2024-11-19T21:25:46Z"


CHANGES: dict[str, tuple[str, bytes | None, set[str]]] = {
    "a part": ("Example.dll", b"other", {"digest-mismatch"}),
    "a part taken away": ("Example.dll", None, {"missing-part"}),
    "a part more": ("evil.dll", b"other", {"uncovered-part"}),
    "another content type": ("[Content_Types].xml", b"", {"content-type"}),
    "the list of signatures": (ORIGIN_LIST, b"", {"digest-mismatch", "signature-list"}),
    "type of the signature": ("[Content_Types].xml", b"-xmlsignature+xml", {"content-type"}),
    "relationships of a part": ("_rels/Example.dll.rels", f'<Relationships xmlns="{opc_layout.RELATIONSHIPS}">'
                                '<Relationship Id="a" Type="b" Target="c"/></Relationships>'.encode(),
                                {"uncovered-part"}),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_what_was_changed_is_told(path: Path, change: str):
    sign(path, RSA)
    name, octets, expected = CHANGES[change]
    old = contents(path.read_bytes()).get(name, b"")
    if name == "[Content_Types].xml":
        octets = old.replace(octets or b"text/xml", b"text/plain")
    if name == ORIGIN_LIST:
        octets = old.replace(b'Id="R1"', b'Id="R2"')
    path.write_bytes(opc_rules.changed(path, name, octets))
    assert wrong(path) == expected


def test_relationships_are_covered_but_not_how_they_are_written(xps: Path):
    """The transform sees what they say; a further one is seen too, unless it is of a signature."""
    sign(xps, RSA)
    root = contents(xps.read_bytes())["_rels/.rels"]
    for change, expected in (
        (root.replace(b"<!-- two -->", b" "), set()),
        (root.replace(b"a=1&amp;b=2", b"a=1&#38;b=2"), set()),
        (root.replace(b"a.fdseq", b"b/c.png"), {"digest-mismatch"}),
        (root.replace(b'TargetMode="External"', b""), {"digest-mismatch"}),
        (root.replace(b"</Rel", b'<Relationship Id="R9" Type="x" Target="y"/></Rel'), {"uncovered-part"}),
    ):
        xps.write_bytes(opc_rules.changed(xps, "_rels/.rels", change))
        assert wrong(xps) == expected, change


def test_nothing_hides_behind_a_certificate(xps: Path):
    """A part that the signature calls a certificate of its own is none of content, and the binding objects."""
    sign(xps, RSA)
    link = f'<Relationship Id="a" Type="{opc_layout.TO_CERTIFICATE}" Target="/evil.png"/>'
    beside = f'<Relationships xmlns="{opc_layout.RELATIONSHIPS}">{link}</Relationships>'
    for name, octets in ((opc_layout.relationships_of(FIRST), beside.encode()), ("evil.png", b"evil")):
        xps.write_bytes(opc_rules.changed(xps, name, octets))
    assert {"signature-value", "certificate-binding"} & wrong(xps)


def test_nothing_hides_as_the_origin(xps: Path):
    """Somebody has the package lead to signatures from a part of his own: it is content, and nobody signed it."""
    sign(xps, RSA)
    files = contents(xps.read_bytes())
    for name, octets in (
        (
            "_rels/.rels",
            files["_rels/.rels"].replace(b"/package/services/digital-signature/origin.psdor", b"/evil.png"),
        ),
        ("evil.png", b"evil"),
        ("_rels/evil.png.rels", files[ORIGIN_LIST]),
        (ORIGIN_LIST, None),
        ("package/services/digital-signature/origin.psdor", None),
    ):
        xps.write_bytes(opc_rules.changed(xps, name, octets))
    assert len(look(xps).signatures) == 1 and wrong(xps) >= {"uncovered-part"}
    found = [each.text for one in look(xps).signatures for each in one.problems]
    assert any("evil.png" in text for text in found), found


@pytest.mark.parametrize("beside", [False, True])
def test_what_others_sign(xps: Path, tmp_path: Path, beside: bool):
    """Verified, with the certificate in the document or in a part; a timestamp later, one more beside it, taken off."""
    before = contents(xps.read_bytes())
    opc_other.sign(xps, xps, tmp_path, beside=beside)
    (theirs,) = look(xps).signatures
    assert not wrong(xps) and theirs.signer == RSA.identity.chain[0]
    stamp_later(xps, 0)
    assert not wrong(xps) and look(xps).signatures[0].timestamp is not None
    sign(xps, RSA, options=APPEND)
    assert len(look(xps).signatures) == 2 and not wrong(xps)
    assert [one.wrong for one in opc_rules.signatures(xps)[1:]] == [[]]
    for name, change, expected in (
        ("b/c.png", b"other", "digest-mismatch"),
        ("evil.png", b"evil", "uncovered-part"),
    ):
        other = tmp_path / "other.xps"
        other.write_bytes(opc_rules.changed(xps, name, change))
        assert wrong(other) == {expected}
    remove(xps)
    after = contents(xps.read_bytes())
    types = (
        '<Default Extension="cer" ContentType="application/vnd.openxmlformats-package.digital-signature-certificate"/>'
    )
    assert after.pop("[Content_Types].xml").decode().replace(types, "") == before.pop("[Content_Types].xml").decode()
    assert {name: octets for name, octets in before.items() if name[-1] != "/"} == {
        name: octets for name, octets in after.items() if name[-1] != "/"
    }


DOCUMENT_CHANGES = {
    "space": (b"<SignedInfo>", b"<SignedInfo> ", {"signature-value"}),
    "line in a tag": (b'Property Id="', b'Property Id\n="', {"not-canonical"}),
    "element that closes itself": (b"></SignatureMethod>", b"/>", {"not-canonical"}),
    "comment": (b"</KeyInfo>", b"</KeyInfo><!---->", {"not-canonical"}),
    "time": (b"<Format>YYYY", b"<Format>yyyy", {"digest-mismatch"}),
    "two lists": (b"</KeyInfo>", b'</KeyInfo><Object Id="idPackageObject"/>', {"malformed-signature"}),
    "hidden list": (b"<X509Data>", b'<X509Data Id="idPackageObject">', {"malformed-signature"}),
    "no list": (b'Id="idPackageObject"', b'Id="idPackageObjecT"', {"malformed-signature"}),
    "method": (b"#rsa-sha256", b"#rsa-sha1", {"signature-algorithm"}),
    "digest": (b"2001/04/xmlenc#sha256", b"2000/09/xmldsig#sha1", {"weak-digest", "signature-value"}),
    "certificates": (b"</X509Data>", b"<X509Certificate>AAAA</X509Certificate></X509Data>", {"certificate-binding"}),
    "base64": (b"<SignatureValue>", b"<SignatureValue>!", {"malformed-signature"}),
    "not a part": (b'URI="/Example.dll?', b'URI="Example.dll?', {"malformed-signature"}),
    "another thing that is covered": (b"#idSigningCertificates", b"#idSigningCertificatez", {"reference"}),
    "its digest": (b"</DigestValue></Reference></SignedInfo>", b"!</DigestValue></Reference></SignedInfo>",
                   {"malformed-signature"}),
    "transform": (b"<Transforms>", b'<Transforms><Transform Algorithm="x"></Transform>', {"reference"}),
    "entities": (b"<Signature ", b"<!DOCTYPE a [<!ENTITY b 'c'>]><Signature ", {"malformed-signature"}),
    "another form": (b'c14n-20010315"></Can', b'c14n-20010316"></Can', {"canonical-form", "signature-value"}),
}  # fmt: skip


@pytest.mark.parametrize("change", DOCUMENT_CHANGES)
def test_what_was_changed_in_the_signature_is_told(path: Path, change: str):
    sign(path, RSA)
    old, new, expected = DOCUMENT_CHANGES[change]
    octets = contents(path.read_bytes())[FIRST]
    assert old in octets
    path.write_bytes(opc_rules.changed(path, FIRST, octets.replace(old, new)))
    assert wrong(path) >= expected, wrong(path)


@pytest.mark.parametrize("name", ["relic/VSIXProject1.vsix"])
def test_a_real_extension(path: Path, name: str):
    """It was signed by another program and verifies; ours takes its place, and goes again."""
    path.write_bytes(octets := sample(name))
    (theirs,) = look(path).signatures
    assert not wrong(path) and theirs.signer is not None and opc_rules.signatures(path)[0].wrong == []
    sign(path, RSA, stamped=True)
    assert not wrong(path) and len(look(path).signatures) == 1 and opc_rules.signatures(path)[0].wrong == []
    remove(path)
    kept, old = contents(path.read_bytes()), contents(octets)
    assert kept.keys() == {one for one in old if "digital-signature" not in one}
    assert all(kept[one] == old[one] for one in kept if one not in ("_rels/.rels", "[Content_Types].xml"))
    path.write_bytes(octets)
    stamp_later(path, 0)
    assert not wrong(path) and look(path).signatures[0].timestamp is not None


def link(identifier: str, kind: str, target: str) -> str:
    """Return one more relationship, and how the list of them ends."""
    return f'<Relationship Id="{identifier}" Type="{kind}" Target="{target}"/></Rel'


OFFICE = b"application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
TWICE = '<Default Extension="dll" ContentType="a/b"/></Types>'
OTHER_KIND = f'<Override PartName="/{FIRST}" ContentType="a/b"/></Types>'
ORIGINS = link("a", opc_layout.TO_ORIGIN, "/a.fdseq")[:-5] + link("b", opc_layout.TO_ORIGIN, "/a.fdseq")
UTF_16 = File(b"[Content_Types].xml", TYPES[1:].replace("utf-8", "utf-16").encode("utf-16"))
IN_THE_WAY = File(b"package/services/digital-signature/origin.psdor", b"mine")
REFUSED: dict[str, tuple[bytes, str]] = {
    "cut": (vsix()[:-1], "no end of a central directory"),
    "no types": (archive(vsix_files()[1:]), "it has no [Content_Types].xml"),
    "a type twice": (vsix(types=TYPES.replace("</Types>", TWICE)), "'dll' twice"),
    "a type of nothing": (vsix(types=TYPES.replace(' Extension="DLL"', "")), "names no part"),
    "types that are none": (vsix(types="<a/>"), "another root than Types"),
    "document type": (vsix(types=TYPES.replace("<Types", "<!DOCTYPE Types><Types")), "has a document type"),
    "no type for a part": (vsix(types=TYPES.replace('"DLL"', '"dlx"')), "says nothing of 'Example.dll'"),
    "odd name": (archive([*vsix_files(), File(b"a b.dll", b"x")]), "'a b.dll' is not named as a part"),
    "name with a dot": (archive([*vsix_files(), File(b"a./b.dll", b"x")]), "is not named as a part"),
    "relationships twice": (document(root=ROOT.replace("R10", "R7")), "two relationships of one Id"),
    "relationships without a kind": (document(root=ROOT.replace('Id="R10"', "")), "without Id, Type or Target"),
    "two origins": (document(root=ROOT.replace("</Rel", ORIGINS)), "2 origins"),
    "no such origin": (
        document(root=ROOT.replace("</Rel", link("a", opc_layout.TO_ORIGIN, "/../x"))),
        "which is no part of it",
    ),
    "a document of Office": (
        archive([File(one.name, one.octets.replace(b"image/png", OFFICE)) for one in document_files()]),
        "document of Office",
    ),
    "in the way": (archive([*vsix_files(), IN_THE_WAY]), "part of its own where a signature would stand"),
    "wrong types": (vsix(types=TYPES.replace("</Types>", OTHER_KIND)), "is something else than it has to be"),
    "UTF-16": (archive([UTF_16, *vsix_files()[1:]]), "UTF-8 was expected"),
}


@pytest.mark.parametrize("how", REFUSED)
def test_refused_in_a_sentence_and_untouched(tmp_path: Path, how: str):
    octets, why = REFUSED[how]
    path = (tmp_path / "example").with_suffix(suffix(octets))
    path.write_bytes(octets)
    with pytest.raises(MalformedCode) as refused:
        sign(path, RSA)
    assert why in refused.value.detail and path.read_bytes() == octets, refused.value.detail


def test_no_package_unpacks_to_a_hundred_times_its_size(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(opc_layout, "MAX_UNPACKED", 1 << 16)
    path.write_bytes(vsix(bytes(1 << 20)))
    with pytest.raises(MalformedCode, match="would be unpacked to"):
        sign(path, RSA)


def test_large_parts_are_read_two_at_a_time(path: Path):
    """And a packed one, an unpacked one and a broken one are told apart."""
    large = [File(b"one.dll", bytes(5 << 20)), File(b"two.dll", bytes(6 << 20), packed=False)]
    path.write_bytes(octets := archive([*vsix_files(), *large]))
    sign(path, RSA)
    assert not wrong(path) and opc_rules.signatures(path)[0].wrong == []
    at = octets.index(b"two.dll") + 100
    path.write_bytes(octets[:at] + b"x" + octets[at + 1 :])
    with pytest.raises(MalformedCode, match="not those of its checksum"):
        sign(path, RSA)


def test_another_key_and_other_descriptions(path: Path):
    described = describe(path)
    with pytest.raises(BadInput, match="RSA only"):
        sign(path, signatory("ecdsa-p256"))
    changes: list[dict[str, object]] = [
        {"format": "pe"},
        {"digest": b"short"},
        {"facts": {}},
        {"facts": {**described.facts, "parts": 0}},
        {"facts": {**described.facts, "time": "2024-11-19"}},
        {"facts": {**described.facts, "time": "1979-11-19T21:25:46Z"}},
        {"facts": {**described.facts, "package": "x" * 600}},
        {"facts": {**described.facts, "package": "\n"}},
        {"facts": {**described.facts, "more": 1}},
    ]
    for change in changes:
        with pytest.raises(BadInput):
            VSIX.to_be_signed(msgspec.structs.replace(described, **change), RSA.identity, PLAIN)
    with pytest.raises(BadInput, match="replace it instead"):
        VSIX.to_be_signed(described, RSA.identity, Options(mode="append"))
    (tbs,) = VSIX.to_be_signed(described, RSA.identity, PLAIN)
    other = msgspec.structs.replace(described, digest=bytes(32))
    with pytest.raises(BadInput, match="other octets"):
        VSIX.finish(other, RSA.identity, PLAIN, [RSA.sign(tbs)], [])
    with pytest.raises(BadInput, match="one signature"):
        VSIX.finish(described, RSA.identity, PLAIN, [], [])


def test_a_package_that_changed_after_it_was_described_is_not_signed(path: Path):
    """As in the service, which reads it a second time: the list of parts has to be the one that was approved."""
    with FileSource.open(path) as code:
        prepared = VSIX.prepare(code, VSIX.inspect(code), RSA.identity, PLAIN, "sha256")
    blob = blob_for(prepared, RSA)
    path.write_bytes(vsix(b"other"))
    with FileSource.open(path) as code:
        later = msgspec.structs.replace(prepared, layout=VSIX.inspect(code))
        with pytest.raises(MalformedCode, match="other parts than were described"):
            VSIX.apply(code, later, PLAIN, [blob])
        with pytest.raises(BadInput, match="one signature"):
            VSIX.apply(code, later, PLAIN, [])
        with pytest.raises(BadInput, match="there is no number 0"):
            VSIX.timestamped(code, later.layout, {0: stamp().token(b"x")})


def test_what_each_is_taken_for(tmp_path: Path):
    """An extension by its manifest, other packages by their relationships; both rather by content than by name."""
    cases = {"a.bin": (vsix(), VSIX), "b.zip": (document(), OPC), "c.xps": (document(), OPC)}
    for name, (octets, expected) in cases.items():
        (tmp_path / name).write_bytes(octets)
        with FileSource.open(tmp_path / name) as code:
            assert recognise(code) is expected
    with FileSource.open(tmp_path / "a.bin") as code:
        assert (
            VSIX.summarise(code, VSIX.inspect(code)).kind == "Visual Studio extension Example.Extension 1.2.3, 3 parts"
        )
    with FileSource.open(tmp_path / "b.zip") as code:
        assert OPC.summarise(code, OPC.inspect(code)).kind == "OPC package, 4 parts"


def test_the_description_is_of_the_content(path: Path):
    """Facts that a person can read; the digest is that of the list of parts."""
    described: Described = describe(path)
    assert described.facts == {"package": "Example.Extension 1.2.3", "parts": 6, "time": "2024-11-19T21:25:46Z"}
    assert described.size == sum(len(octets) for name, octets in contents(vsix()).items() if name[0] != "[")


def test_an_extension_is_called_as_visual_studio_calls_it():
    """An approver is shown the identity of the metadata, whatever else in the manifest has one."""
    decoy = b'<Assets><Identity Id="Good.Extension" Version="9" /></Assets><Metadata>'
    files = [
        File(one.name, one.octets.replace(b"<Metadata>", decoy) if one.name.endswith(b".vsixmanifest") else one.octets)
        for one in opc_builder.vsix_files()
    ]
    assert BY_NAME["vsix"].inspect(Held(archive(files))).package == "Example.Extension 1.2.3"
