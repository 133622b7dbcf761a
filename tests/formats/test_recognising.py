"""The catalogue, the one reading of content, and looking at a file as a whole."""

import hashlib
import inspect
import resource
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.formats.pe_builder import program
from tests.formats.signing import PE, PLAIN, look, sign, signatory, troubles
from tests.formats.test_pe_layout import Held

from privyseal.errors import MalformedCode
from privyseal.formats import (
    authenticode,
    cat,
    catalogue,
    content,
    examine,
    uefi_blob,
    uefi_capsule_layout,
    uefi_lists,
    vba_package,
)
from privyseal.formats.protocol import CodeFormat
from privyseal.formats.source import FileSource
from privyseal.pki import cms, der
from privyseal.signing.forms_of_requests import NewGrant
from privyseal.terms.grants import LARGEST_GRANT, MOST_FORMATS, Grant


def test_catalogue_is_consistent():
    """Each format stands once under its own name."""
    formats: tuple[CodeFormat, ...] = catalogue.every()
    assert formats and list(catalogue.BY_NAME.values()) == list(formats)
    assert tuple(one.name for one in formats) == catalogue.NAMES and len(set(catalogue.NAMES)) == len(formats)
    assert all(catalogue.BY_NAME[one.name] is one and one.title for one in formats)
    assert "zip" not in catalogue.BY_NAME and catalogue.BY_NAME.get("zip") is None


def test_recognises_content_not_names():
    """A program is one whatever it is called; a text called .exe is none."""
    code = Held(program())
    code.filename = "notes.txt"
    assert catalogue.recognise(code).name == "pe"
    for octets in (b"", b"text", b"\x7fELF" + bytes(5000), b"PE\0\0" + bytes(100)):
        with pytest.raises(MalformedCode, match="no format that can be signed here") as caught:
            catalogue.recognise(Held(bytes(octets)))
        assert "pe, msi, cab, cat" in str(caught.value)


def _texts() -> list[bytes]:
    plain = [
        b"Write-Host 1\r\n\r\n# SIG # Begin signature block\r\n# AAAA\r\n# SIG # End signature block\r\n",
        b"screen mode id:i:2\r\nfull address:s:host\r\n",
        b'<asmv1:assembly xmlns:asmv1="urn:schemas-microsoft-com:asm.v1"/>',
        b'<?xml version="1.0"?><assembly xmlns="urn:schemas-microsoft-com:asm.v1"><a/></assembly>',
        b"text",
    ]
    wide = [mark + one.decode().encode(name) for one in plain for mark, name in WIDE]
    return [*plain, *(b"\xef\xbb\xbf" + one for one in plain), *wide]


WIDE = ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
LIST = (28 + 48).to_bytes(4, "little") + bytes(4) + (48).to_bytes(4, "little") + bytes(48)
BEGINNINGS = [
    b"",
    b"MZ",
    program()[:4096],
    bytes.fromhex("d0cf11e0a1b11ae1") + bytes(600),
    b"MSCF" + bytes(60),
    b"0\x82\x01\x00" + b"".join(map(der.oid, (cms.ID_SIGNED_DATA, authenticode.ID_TRUST_LIST, cat.ID_CATALOGUE))),
    b"NAVX" + bytes(32) + b"NAVX" + bytes(99),
    uefi_capsule_layout.CAPSULE + bytes(60),
    bytes(16) + uefi_blob.wrap(bytes(9)) + bytes(9),
    *(kind + LIST for kind in uefi_lists.TYPES),
    *(b"PK\x03\x04" + bytes(26) + name for name in (b"a", b"AppManifest.xaml", b"[Content_Types].xml", b"a.nuspec")),
    *_texts(),
]
ENDS = [b"", b"AppxBlockMap.xml", b"xl/vbaProject.bin", b"extension.vsixmanifest", b"_rels/.rels", b"\0\0", *_texts()]
ENDINGS = (
    "exe", "msi", "cab", "cat", "ps1", "ps1xml", "mof", "vbs", "js", "wsf", "msix", "appx", "nupkg", "xap", "vsix",
    "app", "cap", "bin", "auth", "esl", "var", "rdp",
)  # fmt: skip
NAMES = ["a", "db", "DBX_update.bin", "PK.x", "kek", "a.application", "a.manifest", "a.vsto"]
NAMES += [f"a.{ending}" for ending in ENDINGS] + [f"a{ending.upper()}" for ending in vba_package.ENDS]
NAMES += [f"Name-8be4df61-93ca-11d2-aa0d-00e098032b8c{ending}" for ending in (".auth", ".esl", ".VAR", "")]


def test_no_family_is_ruled_out_that_has_a_claim():
    """A format that is not even imported would have scored 0; every format has a claim somewhere in here."""
    claimed = set()
    for head in BEGINNINGS:
        for end in ENDS:
            whole = head + end
            for name in NAMES:
                may_be = set(catalogue.candidates(whole, whole, name))
                claims = {one.name for one in catalogue.every() if one.recognises(whole, whole, name)}
                assert claims <= {one.name for one in may_be}, (head[:40], end, name)
                claimed |= claims
    assert claimed == set(catalogue.NAMES)


@given(st.sampled_from(BEGINNINGS), st.binary(max_size=80), st.sampled_from(ENDS), st.sampled_from(NAMES))
def test_nor_by_octets_that_nobody_thought_of(head: bytes, octets: bytes, end: bytes, name: str):
    """The same with anything in between, and at the beginning."""
    for whole in (head + octets + end, octets + end, head[:20] + octets):
        may_be = {one.name for one in catalogue.candidates(whole, whole, name)}
        assert {one.name for one in catalogue.every() if one.recognises(whole, whole, name)} <= may_be


def test_a_family_is_imported_for_its_own_files_only(tmp_path: Path):
    """A program is told without the formats of archives, firmware and text."""
    (tmp_path / "a.exe").write_bytes(program())
    looked = (
        "import sys\nfrom privyseal.formats import catalogue\nfrom privyseal.formats.source import FileSource\n"
        f"print(catalogue.recognise(FileSource.open({str(tmp_path / 'a.exe')!r})).name)\n"
        "print(*(name.rpartition('.')[2] for name in sys.modules if name.startswith('privyseal.formats.')))"
    )
    said = subprocess.run([sys.executable, "-c", looked], check=True, capture_output=True, text=True).stdout
    name, modules = said.splitlines()
    assert name == "pe" and "pe" in modules.split()
    assert not {"msi", "cab", "cat", "script", "appx", "zipdir", "vba", "navx", "rdp"} & set(modules.split())


@pytest.mark.parametrize("size", [0, 1, content.BUFFER - 1, content.BUFFER, content.BUFFER + 1, 3 * content.BUFFER + 7])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_every_sink_sees_every_octet_once(size: int, count: int):
    """One sink or several, less than a buffer or many: all get the same octets in order."""
    octets = (bytes(range(256)) * (size // 256 + 1))[:size]
    hashes = [hashlib.sha256() for _ in range(count)]
    content.feed(Held(bytes(octets)), 0, size, [one.update for one in hashes])
    assert {one.digest() for one in hashes} == {hashlib.sha256(octets).digest()}
    part = hashlib.sha256()
    content.feed(Held(bytes(octets)), size // 3, size - size // 5, [part.update])
    assert part.digest() == hashlib.sha256(octets[size // 3 : size - size // 5]).digest()


def test_each_octet_is_read_once():
    """However many sinks there are, the source is read once, front to back."""

    class Counting(Held):
        reads: list[tuple[int, int]]

        def readinto(self, offset: int, buffer: memoryview) -> int:
            count = super().readinto(offset, buffer)
            self.reads.append((offset, count))
            return count

    code = Counting(bytes(5 * content.BUFFER + 3))
    code.reads = []
    content.feed(code, 0, code.size, [lambda view: None] * 3)
    at = 0
    for offset, count in code.reads:
        assert offset == at or count == 0
        at += count
    assert at == code.size


def test_a_source_that_ends_early_is_noticed():
    """A source that gives less than it said is refused, with one sink or two."""

    class Short(Held):
        def readinto(self, offset: int, buffer: memoryview) -> int:
            return super().readinto(offset, buffer) if offset < self.size // 2 else 0

    for sinks in (1, 2):
        with pytest.raises(MalformedCode, match="ended at"):
            content.feed(Short(bytes(4 * content.BUFFER)), 0, 4 * content.BUFFER, [len] * sinks)


def test_a_failing_sink_or_source_ends_the_reading():
    """Whoever fails, in either thread, is heard, and no thread is left behind."""

    def fail(_: memoryview) -> None:
        raise MalformedCode("This sink has had enough.")

    class Failing(Held):
        def readinto(self, offset: int, buffer: memoryview) -> int:
            if offset:
                raise MalformedCode("This source has had enough.")
            return super().readinto(offset, buffer)

    before = threading.active_count()
    for code, sinks in ((Held, [fail, len]), (Held, [len, fail]), (Failing, [len, len]), (Failing, [len])):
        with pytest.raises(MalformedCode, match="has had enough"):
            content.feed(code(bytes(4 * content.BUFFER)), 0, 4 * content.BUFFER, sinks)
    assert threading.active_count() == before


def test_large_files_are_examined_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Side by side or one after the other, what is found is the same, problems included."""
    path = tmp_path / "p.exe"
    path.write_bytes(program(overlay=bytes(range(256)) * 40_000))
    sign(path, signatory())
    spoilt = bytearray(path.read_bytes())
    spoilt[-1] ^= 1
    spoilt[5000] ^= 1
    (tmp_path / "q.exe").write_bytes(spoilt)
    for name in ("p.exe", "q.exe"):
        side_by_side = look(tmp_path / name)
        with monkeypatch.context() as patched:
            patched.setattr(examine, "LARGE", 1 << 40)
            assert look(tmp_path / name) == side_by_side
    assert not troubles(look(path)) and {"checksum", "digest-mismatch"} <= troubles(look(tmp_path / "q.exe"))


def test_what_is_known_is_believed_only_of_the_same_content(tmp_path: Path):
    """With an earlier reading at hand the outcome is the same, a wrong checksum is found, and another's is not used."""
    path, other = tmp_path / "p.exe", tmp_path / "q.exe"
    path.write_bytes(program(overlay=b"one"))
    other.write_bytes(program(overlay=b"another"))
    prepared = []
    for each in (path, other):
        with FileSource.open(each) as code:
            prepared.append(PE.prepare(code, PE.inspect(code), signatory().identity, PLAIN, "sha256"))
    sign(path, signatory())
    octets = bytearray(path.read_bytes())
    assert examine.examine(PE, Held(bytes(octets)), prepared[0]) == examine.examine(PE, Held(bytes(octets)))
    assert examine.examine(PE, Held(bytes(octets)), prepared[1]) == examine.examine(PE, Held(bytes(octets)))
    octets[look(path).layout.checksum_at] ^= 1  # type: ignore[attr-defined]
    assert troubles(examine.examine(PE, Held(bytes(octets)), prepared[0])) == {"checksum"}
    octets = bytearray(path.read_bytes())
    octets[-20] ^= 1
    assert "checksum" in troubles(examine.examine(PE, Held(bytes(octets)), prepared[0]))


def test_errors_of_either_side_are_heard():
    """A large file whose reading fails while its layout is checked ends in that error."""

    class Failing(Held):
        def readinto(self, offset: int, buffer: memoryview) -> int:
            if offset > 20 << 20:
                raise MalformedCode("The disk has had enough.")
            return super().readinto(offset, buffer)

    signed = program(table=b"\x10\0\0\0\0\x02\x02\0\x30\x03abc\0\0\0", overlay=bytes(30 << 20))
    with pytest.raises(MalformedCode, match="has had enough"):
        examine.examine(PE, Failing(signed))


def test_signing_a_large_file_takes_little_memory(tmp_path: Path):
    """400 MiB are signed, written and verified in the memory that 40 MiB take, numpy apart, and under 100 MiB."""
    script = (
        "import sys; from pathlib import Path; import resource\n"
        "from tests.formats.signing import *; from privyseal.formats.pe_checksum import adder; adder(1 << 40)\n"
        "def check(written):\n"
        "    found = examine(PE, written); assert found.signatures and not troubles(found), found\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "sign(Path(sys.argv[1]), signatory('ecdsa-p256'), follow=check)\n"
        "print(before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    grown = []
    for mib in (40, 400):
        path = tmp_path / f"{mib}.exe"
        path.write_bytes(program())
        with path.open("ab") as out:
            out.truncate(mib << 20)
        root = Path(__file__).parents[2]
        done = subprocess.run(
            [sys.executable, "-c", script, path], capture_output=True, text=True, check=False, cwd=root
        )
        assert done.returncode == 0, done.stderr
        before, after = (int(word) for word in done.stdout.split())
        grown.append(after - before)
        assert not troubles(look(path))
        path.unlink()
    assert abs(grown[1] - grown[0]) < 3 << 10, grown
    assert max(grown) < 16 << 10, grown


def test_descriptors_and_threads_are_given_back(tmp_path: Path):
    """Signing and looking again and again leaves nothing open."""
    path = tmp_path / "p.exe"
    path.write_bytes(program(overlay=bytes(9 << 20)))
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    threads = threading.active_count()
    for _ in range(3):
        sign(path, signatory("ecdsa-p256"))
        look(path)
    with FileSource.open(path) as code:
        assert catalogue.recognise(code) is PE
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors and threading.active_count() == threads
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > 0


def test_a_grant_can_name_every_format():
    """As many names as there are fit into a Grant, and the Grant into its own limit."""
    names = catalogue.NAMES
    assert len(names) <= MOST_FORMATS
    assert sum(len(name) + len('"",') for name in names) < LARGEST_GRANT / 30
    new = {"key": "release", "signatures": 1, "hours": 1, "rule": "ci", "formats": names}
    assert msgspec.convert(new, NewGrant).formats == names
    kept = inspect.get_annotations(Grant, eval_str=True)["formats"]
    assert msgspec.convert(list(names), kept) == names
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(["pe"] * (MOST_FORMATS + 1), kept)
