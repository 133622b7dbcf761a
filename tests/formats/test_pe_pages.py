"""Page hashes: the table osslsigncode writes, bound to its description, checked against the file, refused where odd."""

import hashlib
import random
import re
import struct
from pathlib import Path

import msgspec
import pytest
from tests.formats.pe_builder import Image, program
from tests.formats.signing import APPEND, PE, PLAIN, blob_for, look, sign, signatory, troubles
from tests.formats.test_pe import launcher
from tests.formats.test_pe_layout import Held
from tests.formats.test_pe_strangers import osslsigncode, verify

from privyseal.errors import BadInput, MalformedCode
from privyseal.formats import authenticode_blob, content, pe_facts, pe_pages
from privyseal.formats.patch import carry_out
from privyseal.formats.protocol import Prepared
from privyseal.formats.source import FileSource
from privyseal.terms.signatures import Options

PAGED = Options(page_hashes="sha256")
ELDER = Options(page_hashes="sha1")
PROGRAMS = {
    "built": program(overlay=b"odd", sections=(b"\xc3" * 9000, b"d" * 300)),
    "one page": program("x86", sections=(b"\xc3" * 4096,)),
    "t64.exe": launcher("t64.exe"),
    "w32.exe": launcher("w32.exe"),
}


def prepared(octets: bytes, options: Options = PAGED) -> Prepared:
    code = Held(octets)
    return PE.prepare(code, PE.inspect(code), signatory("ecdsa-p256").identity, options, "sha256")


def slow_table(octets: bytes, algorithm: str = "sha256") -> bytes:
    """Return the table by the document's words, from the whole file at once."""
    layout = PE.inspect(Held(octets))
    headers = octets[: layout.checksum_at] + octets[layout.checksum_at + 4 : layout.directory_at]
    headers += octets[layout.directory_at + 8 : layout.headers]
    rows = [(0, headers + bytes(4096 - layout.headers))]
    for start, end in layout.spans:
        rows += [(at, octets[at : min(at + 4096, end)].ljust(4096, b"\0")) for at in range(start, end, 4096)]
    hashed = [struct.pack("<I", at) + hashlib.new(algorithm, page).digest() for at, page in rows]
    end = struct.pack("<I", layout.spans[-1][1]) + bytes(hashlib.new(algorithm).digest_size)
    return b"".join(hashed) + end


@pytest.mark.parametrize("options", [PAGED, ELDER], ids=["sha256", "sha1"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_the_table_is_osslsigncodes(tmp_path: Path, name: str, options: Options):
    """Octet for octet what ``osslsigncode -ph`` signs, and what the document's words give."""
    chain, key, _ = signatory("ecdsa-p256").write_pem(tmp_path)
    source, out = tmp_path / "in.exe", tmp_path / "out.exe"
    source.write_bytes(PROGRAMS[name])
    algorithm = options.page_hashes
    assert algorithm is not None
    said = osslsigncode("sign", "-ph", "-certs", chain, "-key", key, "-h", algorithm, "-in", source, "-out", out)
    assert "Succeeded" in said
    ours = prepared(PROGRAMS[name], options)
    theirs = pe_pages.found_in(authenticode_blob.read(look(out).signatures[0].blob).subject)
    assert theirs == (algorithm, ours.enclosed[0]) == (algorithm, slow_table(PROGRAMS[name], algorithm))
    facts = ours.described[0].facts
    assert (facts["page_hashes"], facts["enclosed"]) == (algorithm, hashlib.sha256(ours.enclosed[0]).hexdigest())
    assert "page-hashes" not in troubles(look(out))


@pytest.mark.parametrize("name", ["built", "t64.exe"])
def test_osslsigncode_accepts_ours(tmp_path: Path, name: str):
    """It computes the page hash anew and finds the same; with a timestamp and a second signature as well."""
    path = tmp_path / "p.exe"
    path.write_bytes(PROGRAMS[name])
    sign(path, signatory(), options=PAGED, stamped=True)
    sign(path, signatory("ecdsa-p256"), options=msgspec.structs.replace(PAGED, mode="append"), digest="sha384")
    found = look(path)
    assert not troubles(found) and len(found.signatures) == 2
    assert len(verify(path, tmp_path)) == 2
    said = osslsigncode("verify", "-in", path)
    hashes = re.findall(r"^(?:Calculated p|P)age hash\s*: (\S+)", said, re.M)
    assert len(hashes) >= 2 and len(set(hashes)) == 1, said


def test_large_content_in_two_threads(monkeypatch: pytest.MonkeyPatch):
    """Where the content goes by in pieces, pages that two pieces share come out whole."""
    monkeypatch.setattr(content, "BUFFER", 4096 + 999)
    octets = program(sections=(bytes(range(256)) * 200, b"x" * 9001))
    assert prepared(octets).enclosed[0] == slow_table(octets)


def test_a_wrong_table_is_found_out(tmp_path: Path):
    """A table of another program, well signed with the right digest of the whole: the pages tell."""
    path = tmp_path / "p.exe"
    path.write_bytes(program(sections=(b"\xc3" * 5000,)))
    with FileSource.open(path) as code:
        right = PE.prepare(code, PE.inspect(code), signatory("ecdsa-p256").identity, PAGED, "sha256")
        table = bytearray(right.enclosed[0])
        table[40] ^= 1
        facts = right.described[0].facts | {"enclosed": hashlib.sha256(table).hexdigest()}
        wrong = msgspec.structs.replace(
            right, described=(msgspec.structs.replace(right.described[0], facts=facts),), enclosed=(bytes(table),)
        )
        blob = blob_for(wrong, signatory("ecdsa-p256"), PAGED)
        carry_out(PE.apply(code, wrong, PAGED, [blob]), code, path)
    assert troubles(look(path)) == {"page-hashes"}


def test_description_options_and_table_belong_together():
    """Any one of them alone, or of another file, and the key side refuses."""
    ours = prepared(PROGRAMS["built"])
    described, table, who = ours.described[0], ours.enclosed[0], signatory("ecdsa-p256").identity
    plain = prepared(PROGRAMS["built"], PLAIN).described[0]
    other = prepared(PROGRAMS["t64.exe"]).enclosed[0]
    for one, options, enclosed, words in (
        (described, PAGED, b"", "did not come with it"),
        (described, PAGED, other, "not the one whose digest"),
        (described, PLAIN, table, "do not agree"),
        (described, ELDER, table, "do not agree"),
        (plain, PAGED, table, "do not agree"),
        (plain, PLAIN, table, "does not name"),
    ):
        with pytest.raises(BadInput, match=words):
            PE.to_be_signed(one, who, options, enclosed)
    half = msgspec.structs.replace(plain, facts=plain.facts | {"enclosed": "0" * 64})
    for facts in ({"page_hashes": "md5"}, {"page_hashes": "sha256", "enclosed": "short"}):
        with pytest.raises(BadInput, match="not those of a PE file"):
            PE.to_be_signed(msgspec.structs.replace(plain, facts=plain.facts | facts), who, PAGED, table)
    with pytest.raises(BadInput, match="do not agree"):
        PE.to_be_signed(half, who, PLAIN)
    assert PE.to_be_signed(described, who, PAGED, table) != PE.to_be_signed(plain, who, PLAIN)


@pytest.mark.parametrize(
    ("octets", "words"),
    [
        (Image(sections=()).build(), "it has no sections"),
        (
            program(sections=(b"a" * 512, b"b" * 512), fields={"section_0_size": 0}),
            "512 octets at 512 that belong to no",
        ),
        (program(fields={"section_0_at": 0x600, "section_1_at": 0x400, "section_0_size": 0x200}), "as in their table"),
        (program(fields={"size_of_headers": 0x2000}, sections=(), overlay=bytes(0x3000)), "more than a page"),
    ],
)
def test_what_gets_no_page_hashes(octets: bytes, words: str):
    """Where tools disagree on the pages, there is a sentence and no table; without page hashes it is signed."""
    with pytest.raises(MalformedCode, match=words):
        prepared(octets)
    assert prepared(octets, PLAIN).enclosed == ()


def test_other_alignments_get_none():
    """SectionAlignment is the page in memory; drivers with 32 octets have another idea of it than Windows."""
    octets = bytearray(PROGRAMS["built"])
    octets[Image().optional_at + 32 : Image().optional_at + 36] = (0x20).to_bytes(4, "little")
    with pytest.raises(MalformedCode, match="aligned to 32 octets"):
        prepared(bytes(octets))


def test_signing_again_without_takes_them_away(tmp_path: Path):
    """Page hashes belong to a signature, not to the file; a further one may have none."""
    path = tmp_path / "p.exe"
    path.write_bytes(PROGRAMS["built"])
    sign(path, signatory("ecdsa-p256"), options=PAGED)
    sign(path, signatory("ecdsa-p384"), options=APPEND)
    subjects = [authenticode_blob.read(one.blob).subject for one in look(path).signatures]
    assert pe_pages.found_in(subjects[0]) is not None and subjects[1] == pe_facts.SUBJECT
    sign(path, signatory("ecdsa-p256"))
    assert authenticode_blob.read(look(path).signatures[0].blob).subject == pe_facts.SUBJECT


def test_mutated_tables():
    """3,000 broken tables, each with its right digest: refused in one sentence, or a table all the same."""
    ours = prepared(PROGRAMS["t64.exe"])
    described, table, who = ours.described[0], ours.enclosed[0], signatory("ecdsa-p256").identity
    taken = 0
    for seed in range(3000):
        chance = random.Random(seed)
        octets = bytearray(table)
        for _ in range(chance.choice((1, 1, 2))):
            way = chance.choice(("octet", "cut", "row", "grow", "offset", "end"))
            if way == "octet":
                octets[chance.randrange(len(octets))] ^= 1 << chance.randrange(8)
            elif way == "cut":
                del octets[chance.randrange(len(octets)) :]
            elif way == "row":
                at = chance.randrange(len(octets) // 36) * 36
                octets[at:at] = octets[at : at + 36] * chance.choice((1, 100))
            elif way == "grow":
                octets += bytes(chance.choice((1, 35, 36)))
            elif way == "offset":
                at = chance.randrange(len(octets) // 36 or 1) * 36
                octets[at : at + 4] = chance.choice((0, 1, 0xFFFFFFFF, chance.getrandbits(32))).to_bytes(4, "little")
            else:
                octets[-36:-32] = chance.getrandbits(32).to_bytes(4, "little")
            if len(octets) < 36:
                break
        facts = described.facts | {"enclosed": hashlib.sha256(octets).hexdigest()}
        try:
            PE.to_be_signed(msgspec.structs.replace(described, facts=facts), who, PAGED, bytes(octets))
            taken += 1
        except BadInput as error:
            assert error.detail.endswith(".") and "\n" not in error.detail
    assert 0 < taken < 1500


def test_page_hashes_in_odd_clothes():
    """A moniker of another class, another attribute, or cut short is content like any other: no page hashes."""
    good = pe_pages.subject("sha256", slow_table(PROGRAMS["built"]))
    assert pe_pages.found_in(good) is not None and pe_pages.found_in(pe_facts.SUBJECT) is None
    at = good.value.index(pe_pages.CLASS)
    odd = good.value[:at] + bytes(16) + good.value[at + 16 :]
    for value in (odd, good.value[:-1], good.value + b"\0", b"", b"\x30\x80", b"\x30\x02\x04\x05"):
        assert pe_pages.found_in(msgspec.structs.replace(good, value=value)) is None
