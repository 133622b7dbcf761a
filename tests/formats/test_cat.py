"""Catalogues signed, replaced, signed once more, taken apart again, and refused."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
import pytest
from tests.formats.cat_builder import catalogue, member, trust_list, wrapped
from tests.formats.samples import sample
from tests.formats.signing import APPEND, PLAIN, blob_for, signatory, stamp
from tests.formats.test_pe_layout import Held
from tests.formats.walking import describe, look, remove, sign, stamp_later, wrong

from privyseal.errors import BadInput, MalformedCode
from privyseal.formats import authenticode, cat
from privyseal.formats.catalogue import BY_NAME, recognise
from privyseal.formats.protocol import Insert
from privyseal.pki import certificates, cms, der
from privyseal.terms.signatures import Described

CAT = BY_NAME["cat"]
P256 = "ecdsa-p256"
MEMBERS = (member(bytes(32)), member(bytes(range(48)), "sha384"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "drivers.cat"
    path.write_bytes(catalogue(*MEMBERS))
    return path


@pytest.mark.parametrize("count", [0, 1, 2, 300])
def test_there_and_back(path: Path, count: int):
    """Signed, added to, timestamped later, signed anew, removed; what is hashed is the list's value."""
    members = [member(hashlib.sha256(b"%d" % n).digest()) for n in range(count)]
    path.write_bytes(original := catalogue(*members))
    first = describe(path)
    value = der.read(trust_list(*members)).content
    assert first.digest == hashlib.sha256(value).digest()
    assert (first.size, first.facts) == (len(value), {"members": count})
    blob = sign(path, signatory(P256), stamped=True)
    found = look(path)
    assert found.signatures[0].blob == blob and not wrong(path) and describe(path) == first
    assert value not in blob or not count
    sign(path, signatory("ecdsa-p384"), options=APPEND, digest="sha384")
    assert not wrong(path) and look(path).signatures[0] == found.signatures[0]
    stamp_later(path, 1)
    assert not wrong(path) and all(one.timestamp for one in look(path).signatures)
    assert [one.nested for one in look(path).signatures] == [False, True]
    sign(path, signatory(P256), digest="sha512")
    assert not wrong(path) and [one.digest_algorithm for one in look(path).signatures] == ["sha512"]
    remove(path)
    assert path.read_bytes() == original and look(path).signatures == ()
    remove(path)


def test_a_sample_without_a_signature(path: Path):
    """A catalogue by makecat, there and back."""
    path.write_bytes(original := sample("jsign/wineyes.cat"))
    assert describe(path).facts == {"members": 2}
    sign(path, signatory(P256))
    assert not wrong(path)
    remove(path)
    assert path.read_bytes() == original


def test_a_sample_of_microsofts(path: Path):
    """One of Windows 7, signed with SHA-1: judged weak, replaced, and then in order."""
    path.write_bytes(sample("relic/hyperv.cat"))
    assert describe(path).facts == {"members": 22}
    assert {"weak-digest"} <= wrong(path) and look(path).signatures[0].signer is not None
    sign(path, signatory(P256))
    assert not wrong(path) and len(look(path).signatures) == 1


def test_the_content_travels_by_itself(path: Path):
    """What the key side makes has no list in it; what the file has is that with the list put in, and nothing else."""
    blob = sign(path, signatory(P256))
    signed = cms.parse(blob)
    assert signed.content is None and signed.content_type == authenticode.ID_TRUST_LIST
    whole = cms.parse(path.read_bytes())
    assert whole.content == trust_list(*MEMBERS)
    assert (whole.signers, whole.certificates) == (signed.signers, signed.certificates)


def test_a_nested_signature_over_another_list(path: Path):
    """A nested signature carries a list itself; if it is another one than the catalogue's, it is about other files."""
    other = path.with_name("other.cat")
    other.write_bytes(catalogue(member(bytes(31) + b"\1")))
    sign(path, signatory(P256))
    sign(other, signatory(P256))
    nested = cms.with_unsigned_attribute(path.read_bytes(), authenticode.ID_NESTED_SIGNATURE, other.read_bytes())
    path.write_bytes(nested)
    assert wrong(path) == {"digest-mismatch"}
    assert [bool(one.problems) for one in look(path).signatures] == [False, True]


def test_a_signature_without_signed_attributes(path: Path):
    """relic signs catalogues so; signify does not accept it, jsign fails on it; we name it and can replace it."""
    who = signatory(P256)
    value = der.read(trust_list(*MEMBERS)).content
    from privyseal.terms.signatures import ToBeSigned

    signer = cms.signer_info(
        certificate=who.identity.chain[0],
        digest_algorithm="sha256",
        signed_attributes=(),
        signature=who.sign(ToBeSigned(value, "sha256")).value,
    )
    whole = cms.build_signed_data(
        content_type=authenticode.ID_TRUST_LIST,
        content=trust_list(*MEMBERS),
        digest_algorithm="sha256",
        certificates=who.identity.chain,
        signers=(signer,),
        version=1,
    )
    path.write_bytes(whole)
    assert {"signed-attributes"} <= wrong(path)
    sign(path, who)
    assert not wrong(path)
    blob = cms.parse(sign(path, who))
    assert blob.signers[0].signed_attributes is not None


@pytest.mark.parametrize(
    ("octets", "words"),
    [
        (catalogue(*MEMBERS)[:-1], "announces"),
        (catalogue(*MEMBERS) + b"\0", "octets follow"),
        (catalogue(*MEMBERS, usage="1.3.6.1.4.1.311.10.3.9"), "another kind than a catalogue"),
        (wrapped(der.sequence()), "another kind|ends inside"),
        (wrapped(b"\x04\x03abc"), "another kind"),
        (wrapped(der.sequence(der.sequence(der.oid("1.2")))), "another kind"),
        (b"\x30\x80" + catalogue(*MEMBERS)[4:] + b"\0\0", "DER|BER|indefinite"),
        (b"", "ends inside"),
    ],
    ids=range(8),
)
def test_bad_catalogues(octets: bytes, words: str):
    """Each is refused in one sentence."""
    with pytest.raises(MalformedCode, match=words) as caught:
        CAT.inspect(Held(octets))
    assert caught.value.detail.endswith(".") and "\n" not in caught.value.detail


def test_limits():
    """More members, or more octets, than any catalogue has."""
    many = catalogue(*[b"\x30\x00"] * (cat.MAX_MEMBERS + 1))
    with pytest.raises(MalformedCode, match="more than 131072 members"):
        CAT.inspect(Held(many))
    with pytest.raises(MalformedCode, match="at most 16777216 are read"):
        CAT.inspect(Held(b"\x30", size=cat.MAX_FILE + 1))


def test_what_would_become_too_large(path: Path):
    """A second signature repeats the list; where that passes the limit, it is refused and the file is as it was."""
    path.write_bytes(catalogue(*MEMBERS, *[der.sequence(der.octet_string(bytes(1 << 20)))] * 8))
    sign(path, signatory(P256))
    before = path.read_bytes()
    with pytest.raises(MalformedCode, match=r"cannot take a second one|would have"):
        sign(path, signatory(P256), options=APPEND)
    assert path.read_bytes() == before


def test_truncated_anywhere(path: Path):
    """Cut at every octet, a signed catalogue is refused with a sentence."""
    sign(path, signatory(P256))
    octets = path.read_bytes()
    for length in range(len(octets)):
        with pytest.raises(MalformedCode):
            CAT.inspect(Held(octets[:length]))


def test_told_by_content(path: Path):
    """A list of another use, a timestamp token or a certificate are no catalogues, whatever they are called."""
    code = Held(path.read_bytes())
    code.filename = "x.exe"
    assert recognise(code) is CAT
    token = stamp().token(b"x").der
    for octets in (catalogue(usage="1.3.6.1.4.1.311.10.3.9"), token, signatory(P256).root):
        other = Held(octets)
        other.filename = "x.cat"
        with pytest.raises(MalformedCode, match="no format"):
            recognise(other)


def test_what_nothing_covers_is_named(path: Path):
    """Lists of revocations, certificates without use, BER: other octets than we would have written."""
    sign(path, signatory(P256))
    outer = der.children(der.read(path.read_bytes()))
    fields = [one.raw for one in der.children(der.children(outer[1])[0])]
    more = der.implicit(0, der.read(fields[3]).content + signatory("ecdsa-p384").root)
    for place, field in ((3, more), (4, der.implicit(1, b"") + fields[4])):
        changed = [*fields[:place], field, *fields[place + 1 :]]
        path.write_bytes(der.sequence(outer[0].raw, der.explicit(0, der.sequence(*changed))))
        assert wrong(path) & {"unused-certificate", "not-canonical"}


GOOD = Described(
    format="cat", filename="a.cat", digest_algorithm="sha256", digest=bytes(32), size=1000, facts={"members": 3}
)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": "pe"}, "of the format pe"),
        ({"digest": bytes(31)}, "32 octets; 31"),
        ({"size": 1}, "cannot cover 1"),
        ({"size": cat.MAX_FILE + 1}, "cannot cover"),
        ({"facts": {}}, "missing required field"),
        ({"facts": {"members": "3"}}, "Expected `int`"),
        ({"facts": {"members": True}}, "Expected `int`"),
        ({"facts": {"members": -1}}, "would have -1 members"),
        ({"facts": {"members": 3, "more": 0}}, "unknown field"),
    ],
)
def test_key_side_refuses_what_prepare_would_not_make(change: dict[str, object], words: str):
    """The side that holds the key believes nothing."""
    who = signatory(P256)
    described = msgspec.structs.replace(GOOD, **change)
    with pytest.raises(BadInput, match=words):
        CAT.to_be_signed(described, who.identity, PLAIN)
    signed = [who.sign(tbs) for tbs in CAT.to_be_signed(GOOD, who.identity, PLAIN)]
    with pytest.raises(BadInput, match=words):
        CAT.finish(described, who.identity, PLAIN, signed, ())
    with pytest.raises(BadInput, match="one signature"):
        CAT.finish(GOOD, who.identity, PLAIN, signed * 2, ())
    with pytest.raises(BadInput, match="over other octets"):
        CAT.finish(msgspec.structs.replace(GOOD, digest=bytes(31) + b"\1"), who.identity, PLAIN, signed, ())


def test_a_program_signature_is_none_of_a_catalogue(path: Path):
    """The attributes say what the content is, so a signature over a digest cannot be moved from one to the other."""
    code = Held(path.read_bytes())
    prepared = CAT.prepare(code, CAT.inspect(code), signatory(P256).identity, PLAIN, "sha256")
    blob = blob_for(prepared, signatory(P256))
    attributes = cms.parse(blob).signers[0].attributes
    assert attributes[cms.ID_CONTENT_TYPE] == (der.oid(authenticode.ID_TRUST_LIST),)
    plan = CAT.apply(code, prepared, PLAIN, [blob])
    assert sum(isinstance(step, Insert) for step in plan.steps) == 2
    assert certificates.outline(signatory(P256).identity.chain[0])


def test_members_stay_within_their_list():
    """An element that reaches beyond the list it stands in, into the certificates, is refused."""
    value = der.read(trust_list(*MEMBERS)).content
    fields = der.split(value)
    short = der.tlv(der.SEQUENCE, fields[-1].content)[:-1]
    broken = der.sequence(*(field.raw for field in fields[:-1]), short)
    with pytest.raises(MalformedCode, match=r"passes its list's end"):
        CAT.inspect(Held(wrapped(broken)))
    members = der.split(fields[-1].content)
    broken = der.sequence(*(field.raw for field in fields[:-1]), der.sequence(members[0].raw, members[1].raw[:-1]))
    with pytest.raises(MalformedCode, match=r"passes its list's end"):
        CAT.inspect(Held(wrapped(broken)))
