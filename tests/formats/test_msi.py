"""Windows Installer files: told by their class, signed, added to, timestamped later, and given back as they were."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from tests.formats.cfb_builder import INSTALLER, Tree, build, tables
from tests.formats.msi_builder import PATCH, installer, tree
from tests.formats.signing import APPEND, look, sign, signatory, stamp, troubles
from tests.formats.test_cfb_changes import changed
from tests.formats.test_msi_strangers import PLAIN_MSI, theirs
from tests.formats.test_pe_layout import Held

from privyseal.errors import BadInput, MalformedCode, PrivySealError
from privyseal.formats import catalogue, cfb, msi_layout
from privyseal.formats.msi_layout import EXTENDED, SIGNATURE
from privyseal.formats.patch import carry_out
from privyseal.formats.source import FileSource
from privyseal.terms.signatures import Described, Options, Signature, ToBeSigned

MSI = catalogue.BY_NAME["msi"]
WHO = signatory("ecdsa-p256")


def removed(path: Path, out: Path) -> bytes:
    with FileSource.open(path) as code:
        carry_out(MSI.remove(code, MSI.inspect(code)), code, out)
    return out.read_bytes()


# -- which files -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("major", [3, 4])
def test_told_by_the_class_of_the_root(tmp_path: Path, major: int):
    """Installers and patches, whatever they are called; other compound files are none, whatever they are called."""
    for clsid, kind in ((INSTALLER, "installer"), (PATCH, "patch")):
        with FileSource.open(build(tmp_path / "x.doc", tables(), major=major, clsid=clsid)) as code:
            assert catalogue.recognise(code) is MSI
            layout = MSI.inspect(code)
            assert isinstance(layout, msi_layout.MsiLayout) and layout.kind == kind
            assert MSI.summarise(code, layout).kind.startswith(kind)
    word = bytes.fromhex("0609020000000000c000000000000046")
    path = build(tmp_path / "x.msi", tables(), major=major, clsid=word)
    expected = r"class of its root is \{00020906-0000-0000-C000-000000000046\}"
    with FileSource.open(path) as code, pytest.raises(MalformedCode, match=expected):
        catalogue.recognise(code).inspect(code)


def test_names_are_shown_as_people_know_them(tmp_path: Path):
    """Windows Installer packs two letters into one; a summary shows what was packed."""
    packed = "".join(map(chr, (0x4840, 0x3800 + 15 + 64 * 44, 0x3800 + 47 + 64 * 40)))  # !, Fi, le
    with FileSource.open(build(tmp_path / "x.msi", {packed: b"1" * 100, "\5SummaryInformation": b"2" * 50})) as code:
        assert MSI.summarise(code, MSI.inspect(code)).parts == (("!File", 100), ("[5]SummaryInformation", 50))


def test_a_storage_for_a_signature(tmp_path: Path):
    """Where the signature would be stands something else: refused, not written over."""
    for name in (SIGNATURE, EXTENDED):
        path = build(tmp_path / "x.msi", {name: {"a": b"1"}})
        with FileSource.open(path) as code, pytest.raises(MalformedCode, match="a storage where its signature would"):
            MSI.inspect(code)


# -- round trips -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("options", [Options(), PLAIN_MSI], ids=["extended", "plain"])
@pytest.mark.parametrize("way", [{"major": 3}, {}, {"major": 3, "scatter": 1}], ids=str)
def test_what_is_removed_leaves_no_trace(tmp_path: Path, way: dict[str, int], options: Options):
    """Signed; signed besides and again; replaced; timestamped later: each time the original comes back, every octet."""
    path, out = installer(tmp_path / "x.msi", **way), tmp_path / "out.msi"
    original = path.read_bytes()
    assert removed(path, out) == original
    sign(path, WHO, options=options)
    assert not troubles(look(path)) and removed(path, out) == original
    sign(path, signatory("rsa-3072", with_root=True), options=APPEND, stamped=True)
    sign(path, WHO, options=APPEND)
    assert len(look(path).signatures) == 3 and not troubles(look(path)) and removed(path, out) == original
    with FileSource.open(path) as code:
        tokens = {number: stamp().token(one.signature_value) for number, one in enumerate(look(path).signatures)}
        carry_out(MSI.timestamped(code, MSI.inspect(code), tokens), code, path)
    assert all(one.timestamp for one in look(path).signatures) and not troubles(look(path))
    assert removed(path, out) == original
    sign(path, WHO, options=options)
    assert len(look(path).signatures) == 1 and removed(path, out) == original


def test_replacing_leaves_nothing_unused(tmp_path: Path):
    """jsign issue 169: signed twice, sectors become unused, and Windows refuses the file. Here none does."""
    path = installer(tmp_path / "x.msi", major=3)
    for who, stamped in ((signatory("rsa-3072", with_root=True), True), (WHO, False), (WHO, True)):
        sign(path, who, stamped=stamped)
        with FileSource.open(path) as code:
            found = cfb.read(code)
            assert list(found.fat.strangers()) == list(found.mini.strangers()) == []


def test_leftovers_do_not_come_back(tmp_path: Path):
    """What Windows left between streams is wiped by signing: nothing would bind it. All else comes back."""
    path, out = build(tmp_path / "x.msi", tables(), leftovers=b"leftover"), tmp_path / "out.msi"
    clean = build(tmp_path / "clean.msi", tables())
    sign(path, WHO)
    assert not troubles(look(path)) and b"leftover" not in path.read_bytes()
    assert removed(path, out) == clean.read_bytes()


def test_the_digest_is_the_same_however_it_is_laid_out(tmp_path: Path):
    """Version, order of sectors, an earlier signature: none of it is content, and size is what is covered."""
    described = []
    for way in ({"major": 3}, {}, {"scatter": 3}):
        path = installer(tmp_path / "x.msi", **way)
        for _ in range(2):
            with FileSource.open(path) as code:
                described.append(MSI.prepare(code, MSI.inspect(code), WHO.identity, Options(), "sha256").described[0])
            sign(path, WHO)
    assert len({msgspec.json.encode(one) for one in described}) == 1

    def size(one: Tree) -> int:
        return 16 + sum(size(each) if isinstance(each, dict) else len(each) for each in one.values())

    assert described[0].size == size(tree())


def test_looking_changes_nothing(tmp_path: Path):
    """jsign's show writes into the files that it shows; ours are read through a descriptor that cannot write."""
    path = installer(tmp_path / "x.msi")
    sign(path, WHO)
    before = (path.read_bytes(), path.stat().st_mtime_ns)
    look(path)
    with FileSource.open(path) as code:
        MSI.summarise(code, MSI.inspect(code))
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before and list(tmp_path.iterdir()) == [path]


# -- the extended signature --------------------------------------------------------------------------------------------
def test_a_second_one_follows_the_first(tmp_path: Path):
    """Windows hashes one extended stream for all: another algorithm, or none before, would break the first."""
    path = installer(tmp_path / "x.msi")
    sign(path, WHO)
    before = path.read_bytes()
    with pytest.raises(BadInput, match="is by sha256, and a second signature must be by the same; sha512 was asked"):
        sign(path, WHO, options=APPEND, digest="sha512")
    assert path.read_bytes() == before
    sign(path, WHO, options=Options(mode="append", extended=False))
    with FileSource.open(path) as code:
        layout = msi_layout.read_layout(code)
    assert layout.extended is not None and not troubles(look(path))
    sign(path, WHO, options=PLAIN_MSI)
    sign(path, WHO, options=APPEND, digest="sha512")
    with FileSource.open(path) as code:
        assert msi_layout.read_layout(code).extended is None
    assert not troubles(look(path))


def test_names_are_bound_by_the_extended_one_only(tmp_path: Path):
    """Windows does not look (osslsigncode issue 262); a renamed stream is invalid here, under a plain one unseen."""
    for options, expected in ((Options(), {"extended-signature"}), (PLAIN_MSI, set())):
        path = installer(tmp_path / "x.msi")
        sign(path, WHO, options=options)
        good = path.read_bytes()
        path.write_bytes(good.replace("abcd\0".encode("utf-16-le"), "abce\0".encode("utf-16-le"), 1))
        assert troubles(look(path)) == expected
        if expected:
            with pytest.raises(MalformedCode, match="does not fit its streams"):
                sign(path, WHO, options=APPEND)


def test_an_extended_signature_does_not_pass_for_a_plain_one(tmp_path: Path):
    """Renamed, its stream is content, and still the first: the digest fits. The signature says that it was extended."""
    path = build(tmp_path / "x.msi", tables())
    sign(path, WHO)
    good = path.read_bytes()
    path.write_bytes(good.replace(EXTENDED.encode("utf-16-le"), (EXTENDED[:-1] + "y").encode("utf-16-le")))
    assert troubles(look(path)) == {"extended-signature"}


def test_extended_streams_that_are_none(tmp_path: Path):
    """Alone, of a size no digest has, or longer than any: each is said."""
    octets = installer(tmp_path / "x.msi").read_bytes()
    path = tmp_path / "y.msi"
    for extended, text in ((bytes(32), "has changed since"), (bytes(7), "has 7 octets, as no digest")):
        path.write_bytes(changed(octets, {EXTENDED: extended}))
        found = look(path)
        assert [one.code for one in found.problems] == ["extended-signature"] * 2 and text in found.problems[0].text
        assert "without the signature" in found.problems[1].text and not found.signatures
        sign(path, WHO)
        assert not troubles(look(path))
    path.write_bytes(changed(octets, {EXTENDED: bytes(65)}))
    with pytest.raises(MalformedCode, match="has 65 octets; at most 64 are read"):
        look(path)


# -- what belongs to nothing -------------------------------------------------------------------------------------------
def test_room_between_streams(tmp_path: Path):
    """Something put there is a problem under a signature of ours, and none under another's, who leaves things there."""
    source = build(tmp_path / "x.msi", {**tables(), "z": b"z" * 4100})
    foreign = theirs(tmp_path, source)
    sign(source, WHO, options=PLAIN_MSI)
    for path, expected in ((source, {"loose-octets"}), (foreign, set())):
        octets = bytearray(path.read_bytes())
        octets[octets.index(b"z" * 4100) + 4100] = 1
        path.write_bytes(octets)
        assert troubles(look(path)) == expected
    sign(foreign, WHO, options=APPEND)
    assert not troubles(look(foreign)) and len(look(foreign).signatures) == 2


def test_entries_of_the_signature(tmp_path: Path):
    """The digest of the metadata leaves them out, so flags and times there are told; signtool writes none."""
    path = installer(tmp_path / "x.msi")
    sign(path, WHO)
    octets = bytearray(path.read_bytes())
    octets[octets.index(SIGNATURE.encode("utf-16-le")) + 100] = 1
    path.write_bytes(octets)
    assert troubles(look(path)) == {"signature-stream"}


def test_something_behind_the_signature(tmp_path: Path):
    """A stream that holds more than the signature holds none: nothing can hide behind it."""
    path = installer(tmp_path / "x.msi")
    sign(path, WHO)
    with FileSource.open(path) as code:
        found = cfb.read(code)
        one = found.named(SIGNATURE)
        assert one is not None
        blob = cfb.stream(code, found, one, 1 << 20)
    path.write_bytes(changed(path.read_bytes(), {SIGNATURE: blob + b"\0"}))
    assert "malformed-signature" in troubles(look(path))


# -- the key side ------------------------------------------------------------------------------------------------------
GOOD = Described(
    format="msi",
    filename="x.msi",
    digest_algorithm="sha256",
    digest=bytes(32),
    size=1000,
    facts={"kind": "installer", "extended": True},
)


@pytest.mark.parametrize(
    "bad",
    [
        {"format": "pe"},
        {"facts": {}},
        {"facts": {"kind": "installer"}},
        {"facts": {"kind": "document", "extended": True}},
        {"facts": {"kind": "installer", "extended": 1}},
        {"facts": {"kind": "installer", "extended": True, "more": 1}},
        {"size": 15},
        {"size": 1 << 40},
        {"digest": bytes(20)},
    ],
    ids=str,
)
def test_descriptions_that_no_file_gives(bad: dict[str, object]):
    """The key side signs nothing that the file side would not have described."""
    assert len(MSI.to_be_signed(GOOD, WHO.identity, Options())) == 1
    with pytest.raises(BadInput):
        MSI.to_be_signed(msgspec.structs.replace(GOOD, **bad), WHO.identity, Options())
    with pytest.raises(BadInput):
        MSI.finish(msgspec.structs.replace(GOOD, **bad), WHO.identity, Options(), [], [])


def test_one_signature_over_these_octets():
    """None, two, or one over other octets make no blob."""
    right = Signature(MSI.to_be_signed(GOOD, WHO.identity, Options())[0], b"value")
    for signed in ([], [right, right], [Signature(ToBeSigned(b"other", "sha256"), b"value")]):
        with pytest.raises(BadInput):
            MSI.finish(GOOD, WHO.identity, Options(), signed, [])


def test_original_is_untouched_by_every_refusal(tmp_path: Path):
    """Whatever refuses, the file keeps its octets, time and mode, and nothing lies beside it."""
    path = tmp_path / "x.msi"
    path.write_bytes(changed(installer(path).read_bytes(), {SIGNATURE: b"rubbish"}))
    before = (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_mode)

    def refuse(_: object) -> None:
        raise MalformedCode("No.")

    for options, follow in ((APPEND, None), (Options(), refuse), (Options(program_name=""), None)):
        with pytest.raises(PrivySealError):
            sign(path, WHO, options=options, follow=follow)
    with FileSource.open(path) as code, pytest.raises(MalformedCode, match="cannot take a timestamp"):
        MSI.timestamped(code, MSI.inspect(code), {0: stamp().token(b"value")})
    with FileSource.open(path) as code, pytest.raises(BadInput, match="no number 3"):
        MSI.timestamped(code, MSI.inspect(code), {3: stamp().token(b"value")})
    assert (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_mode) == before
    assert list(tmp_path.iterdir()) == [path]


# -- large files -------------------------------------------------------------------------------------------------------
_LARGE = """
import resource, sys
from privyseal.formats import catalogue, examine, source
from privyseal.formats.protocol import Identity
from privyseal.terms.signatures import Options
msi = catalogue.BY_NAME["msi"]
with source.FileSource.open(sys.argv[1]) as code:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    prepared = msi.prepare(code, msi.inspect(code), Identity((), ""), Options(), "sha256")
    plan = msi.apply(code, prepared, Options(), [bytes(9000)])
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(prepared.described[0].size, plan.size - code.size, (after - before) >> 10)
"""


@pytest.mark.parametrize(
    ("major", "size", "most"),
    [(3, 40 << 20, 16), pytest.param(4, (1 << 31) + (300 << 20), 48, marks=pytest.mark.nightly)],
)
def test_memory_is_the_fat(tmp_path: Path, major: int, size: int, most: int):
    """osslsigncode holds the whole file, SignServer ends at 2 GB; here it is some MiB however large the file is."""
    path = build(tmp_path / "x.msi", {**tables(), "Big": size}, major=major)
    done = subprocess.run([sys.executable, "-c", _LARGE, path], capture_output=True, text=True, check=True)
    covered, added, grown = map(int, done.stdout.split())
    assert covered > size and 9000 < added < 40_000 and grown < most, done.stdout


def test_held_in_memory_too():
    """A format asks no more of a source than the protocol has."""
    with pytest.raises(MalformedCode, match="too few"):
        MSI.inspect(Held(cfb.MAGIC + bytes(600)))
