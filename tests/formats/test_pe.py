"""Windows programs signed, replaced, signed once more, and refused."""

import hashlib
import itertools
import struct
from importlib import resources
from pathlib import Path

import msgspec
import pytest
from tests.formats.pe_builder import EFI_APPLICATION, GUI, Image, program, sectioned_digest, slow_checksum
from tests.formats.signing import APPEND, PE, PLAIN, blob_for, look, sign, signatory, troubles

from privyseal.errors import BadInput, MalformedCode
from privyseal.formats import pe_layout, pe_table
from privyseal.formats.protocol import Insert, Layout, Prepared
from privyseal.formats.source import FileSource
from privyseal.terms.signatures import Described, Options

LAUNCHERS = ("t32.exe", "t64.exe", "t64-arm.exe", "w32.exe", "w64.exe", "w64-arm.exe")
DIGESTS = ("sha256", "sha384", "sha512")


def launcher(name: str) -> bytes:
    return (resources.files("distlib") / name).read_bytes()


@pytest.fixture
def exe(tmp_path: Path) -> Path:
    path = tmp_path / "program.exe"
    path.write_bytes(program(overlay=b"overlay of odd size."[:19]))
    return path


def describe(path: Path, digest: str = "sha256") -> Described:
    with FileSource.open(path) as code:
        prepared = PE.prepare(code, PE.inspect(code), signatory().identity, PLAIN, digest)
    return prepared.described[0]


@pytest.mark.parametrize("name", LAUNCHERS)
def test_real_programs(tmp_path: Path, name: str):
    """distlib's launchers, x86, x64 and ARM64, console and windowed: signed, the digest is the document's own."""
    path = tmp_path / name
    original = launcher(name)
    path.write_bytes(original)
    described = describe(path)
    assert described.digest == sectioned_digest(original)
    assert described.size == len(original) + -len(original) % 8 - 12
    sign(path, signatory())
    found = look(path)
    assert not troubles(found) and len(found.signatures) == 1
    assert found.signatures[0].digest == described.digest == sectioned_digest(path.read_bytes())
    assert path.read_bytes()[1024 : len(original)] == original[1024:]


@pytest.mark.parametrize("machine", ["x86", "x64", "arm64"])
@pytest.mark.parametrize("scheme", ["rsa-3072", "ecdsa-p256", "ecdsa-p384", "ecdsa-p521"])
def test_every_scheme_and_digest(tmp_path: Path, machine: str, scheme: str):
    """Every scheme with every digest, on every machine: what is written verifies and is canonical."""
    path = tmp_path / "p.exe"
    for digest in DIGESTS:
        path.write_bytes(program(machine, overlay=b"odd"))
        sign(path, signatory(scheme), digest=digest)
        found = look(path)
        assert not troubles(found)
        one = found.signatures[0]
        assert one.digest_algorithm == digest and one.digest == sectioned_digest(path.read_bytes(), digest)
        assert one.certificates == signatory(scheme).identity.chain and one.signer == one.certificates[0]
        assert (one.format, one.index, one.nested, one.timestamp, one.program_name) == ("pe", 0, False, None, None)


def test_what_stands_where(exe: Path):
    """Content, zeros to a multiple of 8, the table; in the headers only checksum and directory have changed."""
    before = exe.read_bytes()
    sign(exe, signatory())
    after, image = exe.read_bytes(), Image()
    checksum, directory = image.places()["checksum"][0], image.places()["table_at"][0]
    at, size = struct.unpack_from("<II", after, directory)
    assert at == len(before) + 5 and after[len(before) : at] == bytes(5)
    assert at % 8 == size % 8 == 0 and at + size == len(after)
    assert struct.unpack_from("<IHH", after, at) == (size, 0x200, 2)
    assert int.from_bytes(after[checksum : checksum + 4], "little") == slow_checksum(after, checksum)
    changed = {n for n in range(len(before)) if before[n] != after[n]}
    assert changed <= {*range(checksum, checksum + 4), *range(directory, directory + 8)}


@pytest.mark.parametrize("size", range(9))
def test_overlays_of_any_size(tmp_path: Path, size: int):
    """An installer's data behind the last section is kept, hashed, and found again at its place."""
    path = tmp_path / "setup.exe"
    path.write_bytes(program(overlay=b"PK\x05\x06data"[:size]))
    original = path.read_bytes()
    described = describe(path)
    sign(path, signatory())
    assert (
        not troubles(look(path)) and path.read_bytes()[len(original) - size : len(original)] == original[-size:][:size]
    )
    assert describe(path) == described


def test_description_is_the_same_before_and_after(exe: Path):
    """Preparing a signed file, however often signed, gives the same description: so a re-run asks for the same."""
    first = describe(exe)
    for mode, digest in itertools.product((PLAIN, APPEND), DIGESTS):
        sign(exe, signatory("ecdsa-p256"), options=mode, digest=digest, stamped=True)
        assert describe(exe) == first
    assert first.facts == {"machine": 0x8664, "magic": 0x20B, "subsystem": 3} and first.filename == "program.exe"
    assert len(look(exe).signatures) == 4


def test_signing_twice_gives_the_same_octets(exe: Path, tmp_path: Path):
    """RSA PKCS#1 v1.5 has no chance in it, and neither have we: no time, no random number."""
    a = sign(exe, signatory(), target=tmp_path / "a.exe").read_bytes()
    b = sign(exe, signatory(), target=tmp_path / "b.exe").read_bytes()
    assert a == b
    sign(tmp_path / "a.exe", signatory())
    assert (tmp_path / "a.exe").read_bytes() == a


def test_replace_takes_all_others_away(exe: Path):
    """After replacing, whatever number of signatures was there, there is one."""
    sign(exe, signatory(), stamped=True)
    sign(exe, signatory("ecdsa-p256"), options=APPEND, digest="sha512")
    sign(exe, signatory("ecdsa-p384"), digest="sha384")
    found = look(exe)
    assert [one.digest_algorithm for one in found.signatures] == ["sha384"] and not troubles(found)


def test_append_leaves_the_first_as_it_was(exe: Path):
    """The first signature, its timestamp and its blob are the same octets as before a second and a third came."""
    sign(exe, signatory(), stamped=True, options=Options(program_name="First"))
    first = look(exe).signatures[0]
    sign(exe, signatory("ecdsa-p384"), options=APPEND, digest="sha384", stamped=True)
    sign(exe, signatory("ecdsa-p256"), options=APPEND, digest="sha512")
    found = look(exe)
    assert not troubles(found)
    assert [(one.index, one.nested) for one in found.signatures] == [(0, False), (1, True), (2, True)]
    assert found.signatures[0] == first and first.timestamp is not None
    assert {one.digest_algorithm for one in found.signatures} == set(DIGESTS)
    assert len(pe_layout.read_layout(FileSource.open(exe)).entries) == 1


def test_append_to_an_unsigned_file_is_the_first(exe: Path, tmp_path: Path):
    """There is nothing to add to, so the outcome is the same as without asking for it."""
    sign(exe, signatory(), target=tmp_path / "a.exe", options=APPEND)
    sign(exe, signatory(), target=tmp_path / "b.exe")
    assert (tmp_path / "a.exe").read_bytes() == (tmp_path / "b.exe").read_bytes()


def test_blob_found_is_the_blob_finished(exe: Path, tmp_path: Path):
    """What the log binds, the blob, is found again in the file, also when others have been nested in it."""
    blobs = []
    for scheme in ("rsa-3072", "ecdsa-p256", "ecdsa-p384"):
        with FileSource.open(exe) as code:
            prepared = PE.prepare(code, PE.inspect(code), signatory(scheme).identity, APPEND, "sha256")
            blobs.append(blob_for(prepared, signatory(scheme), APPEND, stamped=True))
            plan = PE.apply(code, prepared, APPEND, blobs[-1:])
            (tmp_path / "next.exe").write_bytes(
                b"".join(
                    step.octets if isinstance(step, Insert) else code.pread(step.offset, step.count)
                    for step in plan.steps
                )
            )
        exe = (tmp_path / "next.exe").rename(tmp_path / f"{scheme}.exe")
    assert {one.blob for one in look(exe).signatures} == set(blobs)
    assert look(exe).signatures[0].blob == blobs[0]


def test_efi_images_get_entries(tmp_path: Path):
    """Firmware looks at every entry of the table and at nothing nested, so a second signature is a second entry."""
    path = tmp_path / "boot.efi"
    path.write_bytes(program(subsystem=EFI_APPLICATION))
    sign(path, signatory(), stamped=True)
    first = look(path).signatures[0]
    sign(path, signatory("ecdsa-p256"), options=APPEND, digest="sha512")
    found = look(path)
    assert not troubles(found) and [one.nested for one in found.signatures] == [False, False]
    assert found.signatures[0] == first
    assert [entry.kind for entry in found.layout.entries] == [2, 2]


def test_efi_images_with_gaps_are_refused(tmp_path: Path):
    """Firmware hashes section by section: octets between sections would make every signature fail, so none is made."""
    how = {"sections": (b"a" * 512, b"b" * 512, b"c" * 512), "fields": {"section_1_size": 0}}
    path = tmp_path / "boot.efi"
    path.write_bytes(program(subsystem=EFI_APPLICATION, **how))
    with pytest.raises(MalformedCode, match="512 octets at 1024 that belong to no section"):
        sign(path, signatory())
    path.write_bytes(program(subsystem=GUI, **how))
    sign(path, signatory())  # Windows hashes from front to back
    assert not troubles(look(path))


def test_entries_of_other_types(tmp_path: Path):
    """Append keeps what else is in the table, in its place; replace takes it away; canonical says it is loose."""
    path = tmp_path / "p.exe"
    other = pe_table.write_entry(b"somebody's own data", kind=4, revision=0x100)
    path.write_bytes(program(table=other))
    assert look(path).signatures == () and troubles(look(path)) >= {"table-entry", "checksum"}
    sign(path, signatory(), options=APPEND)
    sign(path, signatory("ecdsa-p256"), options=APPEND)
    found = look(path)
    assert [entry.kind for entry in found.layout.entries] == [4, 2] and len(found.signatures) == 2
    assert troubles(found) == {"table-entry"} and other in path.read_bytes()
    sign(path, signatory())
    assert not troubles(look(path)) and other not in path.read_bytes()


def test_append_to_what_cannot_be_read_is_refused(tmp_path: Path):
    """Nothing can be nested in rubbish; replacing it works, and the refusal says so."""
    path = tmp_path / "p.exe"
    path.write_bytes(program(table=pe_table.write_entry(b"\x30\x06rubbish"[:8])))
    before = path.read_bytes()
    with pytest.raises(MalformedCode, match=r"cannot take a second one.*replace it instead"):
        sign(path, signatory(), options=APPEND)
    assert path.read_bytes() == before and troubles(look(path)) >= {"malformed-signature"}
    sign(path, signatory())
    assert not troubles(look(path))


def test_program_name_and_url(exe: Path):
    """They come back as they went in, in any language of the basic plane."""
    options = Options(program_name="Ünïcode программа 程序", program_url="https://example.com/a?b=c")
    sign(exe, signatory(), options=options)
    one = look(exe).signatures[0]
    assert (one.program_name, one.program_url, one.problems) == (options.program_name, options.program_url, ())


def test_timestamp_is_carried(exe: Path):
    """The token stands in the blob as it was given, over the signature value."""
    sign(exe, signatory(), stamped=True)
    one = look(exe).signatures[0]
    assert one.timestamp is not None and not troubles(look(exe))
    assert hashlib.sha256(one.signature_value).digest() in one.timestamp


def test_another_files_signature_is_found_out(exe: Path, tmp_path: Path):
    """A valid signature moved to another program is a digest that does not match, and nothing else."""
    other = tmp_path / "other.exe"
    other.write_bytes(program(overlay=b"another"))
    with FileSource.open(exe) as code:
        blob = blob_for(PE.prepare(code, PE.inspect(code), signatory().identity, PLAIN, "sha256"), signatory())
    with FileSource.open(other) as code:
        prepared = PE.prepare(code, PE.inspect(code), signatory().identity, PLAIN, "sha256")
        plan = PE.apply(code, prepared, PLAIN, [blob])
        pieces = [s.octets if isinstance(s, Insert) else code.pread(s.offset, s.count) for s in plan.steps]
    other.write_bytes(b"".join(pieces))
    assert troubles(look(other)) == {"digest-mismatch"}


def test_unsigned_files_carry_nothing(exe: Path):
    """No signature, and no complaint about a layout that nobody signed."""
    found = look(exe)
    assert found.signatures == () and found.problems == ()


def test_a_checksum_of_zero_is_a_problem_once_signed(exe: Path):
    """Windows ignores the checksum of most programs; we do not, because nothing else covers those four octets."""
    sign(exe, signatory())
    octets = bytearray(exe.read_bytes())
    at = Image().places()["checksum"][0]
    octets[at : at + 4] = bytes(4)
    exe.write_bytes(octets)
    assert troubles(look(exe)) == {"checksum"}


def test_recognises_by_content():
    """A PE header counts; the name only breaks ties."""
    score = PE.recognises
    assert score(program(), b"", "a.txt") > score(b"MZ".ljust(100, b"\0"), b"", "a.exe") > 0
    assert score(program(), b"", "a.exe") > score(program(), b"", "a.txt")
    assert score(program(pe_at=8000)[:4096], b"", "a") > 0
    assert score(b"MZ", b"", "a") > 0
    assert score(b"\x7fELF".ljust(100, b"\0"), b"", "a.exe") == score(b"", b"", "a.exe") == 0


# -- apply -------------------------------------------------------------------------------------------------------------
def test_apply_refuses_what_is_not_its_own(exe: Path):
    """The layout of another format, two blobs, or a file that has not been read."""
    with FileSource.open(exe) as code:
        layout = PE.inspect(code)
        prepared = PE.prepare(code, layout, signatory().identity, PLAIN, "sha256")
        for wrong, blobs in (
            (Prepared((), Layout("msi", 5)), [b"x"]),
            (prepared, []),
            (prepared, [b"x", b"y"]),
            (Prepared(prepared.described, layout), [b"x"]),
        ):
            with pytest.raises(BadInput):
                PE.apply(code, wrong, PLAIN, blobs)


def test_apply_refuses_to_pass_4_gib(tmp_path: Path):
    """Offsets in a PE file have 32 bits: a table that would end behind 4 GiB is refused, not wrapped."""
    path = tmp_path / "large.exe"
    with path.open("wb") as out:
        out.write(program())
        out.truncate((1 << 32) - 512)
    with FileSource.open(path) as code:
        layout = msgspec.structs.replace(PE.inspect(code), word_sum=0)
        prepared = Prepared((), layout)
        with pytest.raises(MalformedCode, match="end before 4 GiB"):
            PE.apply(code, prepared, PLAIN, [bytes(600)])
        assert PE.apply(code, prepared, PLAIN, [bytes(400)]).size == (1 << 32) - 512 + 408
        with pytest.raises(MalformedCode, match="8388616 octets"):
            PE.apply(code, prepared, PLAIN, [bytes(8 << 20)])
