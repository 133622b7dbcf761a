"""Cabinets signed, replaced, signed once more, taken apart again, and refused."""

from __future__ import annotations

import itertools
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from tests.formats.cab_builder import Built, cabinet, digest_as_jsign
from tests.formats.samples import sample
from tests.formats.signing import APPEND, PLAIN, blob_for, signatory
from tests.formats.test_pe_layout import Held
from tests.formats.walking import describe, look, remove, sign, stamp_later, wrong

from privyseal.errors import BadInput, MalformedCode
from privyseal.formats import cab_layout
from privyseal.formats.catalogue import BY_NAME
from privyseal.formats.draft import Draft
from privyseal.formats.patch import Ahead
from privyseal.formats.protocol import Copy, Insert, Prepared, Source
from privyseal.formats.source import FileSource
from privyseal.terms.signatures import Described, Options

CAB = BY_NAME["cab"]
P256 = "ecdsa-p256"
SHAPES: dict[str, dict[str, object]] = {
    "plain": {},
    "two folders": {"folders": [[b"one" * 100], [b"two" * 50_000, b"three"]]},
    "empty": {"folders": []},
    "reserve of 20": {"reserve": bytes(20)},
    "reserve of 6144": {"reserve": bytes(6144)},
    "reserve of 8": {"reserve": bytes(8)},
    "reserve in folders": {"folder_reserve": 128},
    "reserve in blocks": {"block_reserve": 6},
    "reserve everywhere": {"reserve": bytes(100), "folder_reserve": 9, "block_reserve": 3},
    "somebody else's structure": {"reserve": struct.pack("<HH", 11, 0) + b"Lorem ipsum" + bytes(40)},
    "no room beside it": {"reserve": struct.pack("<HH", 11, 0) + b"Lorem ipsum"},
}
BACK_AGAIN = set(SHAPES) - {"reserve of 20", "reserve of 8", "no room beside it"}
"""Of these the original comes back. The others got room that nobody can tell from what was there."""


@pytest.fixture
def cab(tmp_path: Path) -> Path:
    path = tmp_path / "data.cab"
    path.write_bytes(cabinet())
    return path


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_there_and_back(cab: Path, shape: str):
    """Signed, a second signature, a timestamp later, signed anew, removed; the digest is jsign's before and after."""
    cab.write_bytes(original := cabinet(**SHAPES[shape]))
    first = describe(cab)
    assert first.digest == digest_as_jsign(original)
    blob = sign(cab, signatory(P256))
    found = look(cab)
    assert found.signatures[0].blob == blob and not wrong(cab) and describe(cab) == first
    assert digest_as_jsign(cab.read_bytes()) == first.digest
    assert first.size == cab.stat().st_size - (len(blob) + -len(blob) % 8)
    sign(cab, signatory("ecdsa-p384"), options=APPEND, digest="sha384")
    assert not wrong(cab) and look(cab).signatures[0] == found.signatures[0]
    stamp_later(cab, 0, 1)
    assert not wrong(cab) and all(one.timestamp for one in look(cab).signatures)
    assert [one.nested for one in look(cab).signatures] == [False, True]
    sign(cab, signatory(P256), digest="sha512")
    assert not wrong(cab) and [one.digest_algorithm for one in look(cab).signatures] == ["sha512"]
    remove(cab)
    assert look(cab).signatures == () and describe(cab) == first
    assert (cab.read_bytes() == original) is (shape in BACK_AGAIN)
    remove(cab)


@pytest.mark.parametrize("shape", sorted(set(SHAPES) - {"empty"}))
def test_cabextract_and_7z_still_read_it(cab: Path, tmp_path: Path, shape: str):
    """Where the header has grown, files and data have moved, and both of them find every octet."""
    built = Built(**SHAPES[shape])  # type: ignore[arg-type]
    cab.write_bytes(built.build())
    sign(cab, signatory(P256))
    out = tmp_path / "out"
    said = subprocess.run(["cabextract", "-q", "-d", out, cab], capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    assert [one.read_bytes() for one in sorted(out.iterdir())] == list(itertools.chain(*built.folders))
    shutil.rmtree(out)
    tested = subprocess.run(["7z", "t", cab], capture_output=True, text=True, check=False)
    assert "Everything is Ok" in tested.stdout, tested.stdout


@pytest.mark.parametrize("name", ["jsign/sample1.cab", "relic/dummy.cab"])
def test_samples(cab: Path, name: str):
    """Real cabinets of makecab and lcab."""
    cab.write_bytes(original := sample(name))
    assert describe(cab).digest == digest_as_jsign(original)
    sign(cab, signatory(P256))
    assert not wrong(cab)
    remove(cab)
    assert cab.read_bytes() == original


def test_compressed_by_gcab(cab: Path, tmp_path: Path):
    """A cabinet of somebody else's maker, compressed, in a hundred blocks, and larger than one buffer."""
    content = tmp_path / "content.bin"
    content.write_bytes(bytes(n * n % 251 for n in range(256)) * 12_000)
    subprocess.run(["gcab", "-c", "-n", "-z", cab, content], check=True, capture_output=True)
    original = cab.read_bytes()
    sign(cab, signatory(P256), stamped=True)
    assert not wrong(cab) and look(cab).signatures[0].digest == digest_as_jsign(original)
    subprocess.run(["cabextract", "-q", "-d", tmp_path / "out", cab], check=True)
    assert (tmp_path / "out" / "content.bin").read_bytes() == content.read_bytes()
    remove(cab)
    assert cab.read_bytes() == original


def test_one_of_a_set_is_refused(cab: Path):
    """One sentence says why, for the first, a middle and a last one, and for a number without neighbours."""
    for how in (
        {"flags": 2, "names": b"next.cab\0disk 2\0"},
        {"flags": 3, "names": b"a\0b\0c\0d\0", "number": 1},
        {"flags": 1, "names": b"a\0b\0", "number": 2},
        {"number": 1},
    ):
        with pytest.raises(MalformedCode, match=r"one of a set of cabinets \(number \d\), and only"):
            cab_layout.read_layout(Held(cabinet(**how)))
    with pytest.raises(MalformedCode, match="one of a set of cabinets"):
        cab_layout.read_layout(Held(sample("jsign/sample2-disk1.cab")))


def test_the_largest_cabinet(cab: Path):
    """What would pass 4 GiB with its signature is refused, and so is what would with the reserve alone."""
    end = 0xFFFFFFFF
    code = Held(cabinet(folders=[], fields={8: ("<I", end)}), size=end)
    layout = cab_layout.read_layout(code)
    with pytest.raises(MalformedCode, match="would pass 4 GiB"):
        CAB.prepare(code, layout, signatory(P256).identity, PLAIN, "sha256")
    code = Held(cabinet(folders=[], fields={8: ("<I", end - 24)}), size=end - 24)
    with pytest.raises(MalformedCode, match="and end before 4 GiB"):
        CAB.apply(code, Prepared((), cab_layout.read_layout(code)), PLAIN, [b"\x30\x03abc"])


def test_signature_in_the_reserve(cab: Path):
    """Windows also takes a signature that stands in the header's reserve; it is judged, called loose, and replaced."""
    cab.write_bytes(cabinet(reserve=bytes(6144)))
    described = describe(cab)
    blob = sign(cab, signatory(P256))
    inside = struct.pack("<HH", 0, len(blob)) + blob
    cab.write_bytes(original := cabinet(reserve=inside + bytes(6144 - len(inside))))
    found = look(cab)
    assert found.signatures[0].blob == blob and found.signatures[0].digest == described.digest
    assert wrong(cab) == {"signature-place"}
    sign(cab, signatory(P256))
    assert not wrong(cab) and describe(cab) == described
    cab.write_bytes(original)
    remove(cab)
    assert cab.read_bytes() == cabinet(reserve=bytes(6144))


BAD: dict[str, tuple[dict[str, object], str]] = {
    "too short": ({"fields": {}}, "the smallest has"),
    "folder beyond the end": ({"fields": {36: ("<I", 0x7FFFFFFF)}}, "data of folder 0 begin at 2147483647"),
    "folder at the end": ({"fields": {36: ("<I", 1 << 20)}}, "data of folder 0 begin at"),
    "folder in the headers": ({"fields": {36: ("<I", 8)}}, "data of folder 0 begin at 8"),
    "folders beyond the end": ({"fields": {26: ("<H", 0xFFFF)}}, "65535 folders would end at"),
    "files elsewhere": ({"fields": {16: ("<I", 50)}}, "files begin at 50 and its headers end at 44"),
    "size beyond the end": ({"fields": {8: ("<I", 1 << 24)}}, "cut short"),
    "octets behind": ({"behind": b"more"}, "4 octets follow its end"),
    "checksum": ({"fields": {4: ("<I", 1)}}, "reserved fields"),
    "second reserved field": ({"fields": {12: ("<I", 1)}}, "reserved fields"),
    "version": ({"fields": {25: ("<B", 2)}}, "version 2.3"),
    "flags": ({"flags": 0x10}, "flags are 0x10"),
    "blocks pass the end": ({"fields": {40: ("<H", 3)}}, "a block of data at"),
    "blocks end elsewhere": ({"folders": [[b"a" * 100_000]], "fields": {40: ("<H", 2)}}, "do not end where others"),
    "blocks reserve nothing": ({"folders": [], "block_reserve": 4}, "reserves octets in blocks of data and has no"),
    "reserve passes the end": ({"reserve": b"", "fields": {36: ("<H", 0xFFFF)}}, "its header reserves 65535 octets"),
    "reserve too small": ({"reserve": bytes(3)}, "too few"),
    "reserve of something": ({"reserve": b"our own data"}, "something unknown"),
    "lengths lie": ({"reserve": b"\x00\x00\x20\x00" + bytes(20)}, "something unknown"),
    "signature beyond": ({"reserve": struct.pack("<HHII8x", 0, 16, 1 << 30, 100)}, "a signature of 100 octets is at"),
    "signature elsewhere": ({"reserve": struct.pack("<HHII8x", 0, 16, 40, 8)}, "a signature of 8 octets is at 40"),
    "signature of nothing": ({"reserve": struct.pack("<HHII8x", 0, 16, 0, 8)}, "a signature of 8 octets is at 0"),
    "behind the place": ({"reserve": struct.pack("<HHIIQ", 0, 16, 0, 0, 1)}, "something unknown"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_cabinets(name: str):
    """Each contradiction is refused by name, in one sentence."""
    how, words = BAD[name]
    octets = b"MSCF" + bytes(20) if name == "too short" else cabinet(**how)
    with pytest.raises(MalformedCode, match=words) as caught:
        cab_layout.read_layout(Held(octets))
    assert caught.value.detail.endswith(".") and "\n" not in caught.value.detail


def test_truncated_anywhere(cab: Path):
    """Cut at every octet, a signed cabinet is refused with a sentence."""
    sign(cab, signatory(P256))
    octets = cab.read_bytes()
    for length in range(len(octets)):
        with pytest.raises(MalformedCode):
            cab_layout.read_layout(Held(octets[:length]))


def test_a_signature_that_is_none(cab: Path):
    """Rubbish where the signature is: judged malformed, replaced, but not added to."""
    cab.write_bytes(cabinet())
    end = cab.stat().st_size + 24
    cab.write_bytes(cabinet(reserve=struct.pack("<HHII8x", 0, 16, end, 8), behind=b"rubbish!"))
    assert "malformed-signature" in wrong(cab)
    before = cab.read_bytes()
    with pytest.raises(MalformedCode, match="cannot take a second one"):
        sign(cab, signatory(P256), options=APPEND)
    assert cab.read_bytes() == before
    sign(cab, signatory(P256))
    assert not wrong(cab)


def test_padding_is_looked_at(cab: Path):
    """Other octets than zeros behind the signature are loose; none at all, as jsign has it, leave nothing loose."""
    blob = sign(cab, signatory(P256))
    octets = bytearray(cab.read_bytes())
    fill = -len(blob) % 8
    if fill == 0:
        octets += bytes(8)
        fill = 8
    octets[-1] = 1
    struct.pack_into("<I", octets, 48, len(blob) + fill)
    cab.write_bytes(octets)
    assert wrong(cab) == {"padding"}
    bare = octets[: len(octets) - fill]
    struct.pack_into("<I", bare, 48, len(blob))
    cab.write_bytes(bare)
    assert not wrong(cab)


GOOD = Described(
    format="cab",
    filename="a.cab",
    digest_algorithm="sha256",
    digest=bytes(32),
    size=1000,
    facts={"files": 2, "folders": 1},
)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": "pe"}, "of the format pe"),
        ({"digest": bytes(31)}, "32 octets; 31"),
        ({"size": 67}, "cannot cover 67"),
        ({"size": 1 << 32}, "cannot cover"),
        ({"facts": {"files": 2}}, "missing required field"),
        ({"facts": {"files": 2, "folders": "1"}}, "Expected `int`"),
        ({"facts": {"files": 2, "folders": True}}, "Expected `int`"),
        ({"facts": {"files": -1, "folders": 1}}, "16 bits"),
        ({"facts": {"files": 2, "folders": 1 << 16}}, "16 bits"),
        ({"facts": {"files": 2, "folders": 1, "more": 0}}, "unknown field"),
    ],
)
def test_key_side_refuses_what_prepare_would_not_make(change: dict[str, object], words: str):
    """The side that holds the key believes nothing."""
    who = signatory(P256)
    described = msgspec.structs.replace(GOOD, **change)
    with pytest.raises(BadInput, match=words):
        CAB.to_be_signed(described, who.identity, PLAIN)
    signed = [who.sign(tbs) for tbs in CAB.to_be_signed(GOOD, who.identity, PLAIN)]
    with pytest.raises(BadInput, match=words):
        CAB.finish(described, who.identity, PLAIN, signed, ())
    with pytest.raises(BadInput, match="one signature"):
        CAB.finish(GOOD, who.identity, PLAIN, signed * 2, ())


def test_octets_that_are_signed_say_cabinet(cab: Path):
    """A cabinet's signature stuck onto another kind of file is called what it is."""
    from tests.formats.test_pe_key_side import GOOD as PROGRAM

    pe, who = BY_NAME["pe"], signatory(P256)
    described = msgspec.structs.replace(PROGRAM, digest=describe(cab).digest)
    signed = [who.sign(tbs) for tbs in pe.to_be_signed(described, who.identity, PLAIN)]
    foreign = pe.finish(described, who.identity, PLAIN, signed, ())
    code = Held(cab.read_bytes())
    prepared = CAB.prepare(code, CAB.inspect(code), who.identity, PLAIN, "sha256")
    assert blob_for(prepared, who, Options(program_name="x")) != foreign
    plan = CAB.apply(code, prepared, PLAIN, [foreign])
    cab.write_bytes(
        b"".join(
            step.octets if isinstance(step, Insert) else code.pread(step.offset, step.count) for step in plan.steps
        )
    )
    assert wrong(cab) == {"other-format"}


def test_a_large_cabinet_is_copied_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Its header grows, so all of it moves; it is copied ahead to where it will be, and not a second time."""
    path, out = tmp_path / "large.cab", tmp_path / "out.cab"
    path.write_bytes(cabinet(folders=[[bytes(range(256)) * 40_000]]))
    copied: list[int] = []
    copy = Draft.copy

    def counted(draft: Draft, source: Source, step: Copy, at: int) -> Iterator[int]:
        copied.append(step.count)
        yield from copy(draft, source, step, at)

    monkeypatch.setattr(Draft, "copy", counted)
    who = signatory(P256)
    with FileSource.open(path) as code:
        layout = CAB.inspect(code)
        assert layout.shift == 24
        with Ahead(code, out, layout.shift) as draft:
            prepared = CAB.prepare(code, layout, who.identity, PLAIN, "sha256")
            draft.carry_out(CAB.apply(code, prepared, PLAIN, [blob_for(prepared, who)]))
        assert copied == [code.size]
    assert not wrong(out)
    remove(out)
    assert out.read_bytes() == path.read_bytes()


_SIGN = """
import sys
from pathlib import Path
from tests.formats.signing import signatory
from tests.formats.walking import look, sign
sign(Path(sys.argv[1]), signatory("ecdsa-p256"), target=Path(sys.argv[2]))
assert look(Path(sys.argv[2])).signatures[0].problems == ()
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def test_a_large_cabinet_takes_little_memory(tmp_path: Path):
    """200 MiB of blocks are signed into a new file and looked at in 64 MiB, Python and all its modules included."""
    path, count, data = tmp_path / "large.cab", 3200, 65528
    entry = struct.pack("<IIHHHH", count * 32768, 0, 0, 0x5A21, 0, 0x20) + b"large.bin\0"
    at = 44 + len(entry)
    end = at + count * (8 + data)
    with path.open("wb") as out:
        out.write(struct.pack("<4sIIIIIBBHHHHH", b"MSCF", 0, end, 0, 44, 0, 3, 1, 1, 1, 0, 7, 0))
        out.write(struct.pack("<IHH", at, count, 0) + entry)
        for number in range(count):  # the file system keeps a page of each; the rest of a block is a hole
            out.seek(at + number * (8 + data))
            out.write(struct.pack("<IHH", 0, data, 32768))
        out.truncate(end)
    command = [sys.executable, "-c", _SIGN, path, tmp_path / "out.cab"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) < 64 << 10, done.stdout
