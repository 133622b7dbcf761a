"""Headers read: what a linker writes is understood, and every contradiction is refused by name."""

import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.formats.pe_builder import EFI_APPLICATION, MACHINES, PE32, Image, program

from privyseal.errors import MalformedCode
from privyseal.formats.pe_layout import MAX_FILE, MAX_STUB, PeLayout, kind, read_layout
from privyseal.formats.pe_table import MAX_TABLE, certificate_of, write_entry
from privyseal.formats.source import FileSource


class Held:
    """A source of octets that are in memory already, perhaps followed by zeros that nobody ever stored."""

    filename = "test.exe"

    def __init__(self, octets: bytes, size: int | None = None) -> None:
        self.octets = octets
        self.size = len(octets) if size is None else size

    def pread(self, offset: int, count: int) -> bytes:
        if offset < 0 or offset + count > self.size:
            raise MalformedCode(f"{count} octets at {offset} were read, {self.size} are there.")
        return self.octets[offset : offset + count].ljust(count, b"\0")

    def readinto(self, offset: int, buffer: memoryview) -> int:
        octets = self.pread(offset, max(0, min(len(buffer), self.size - offset)))
        buffer[: len(octets)] = octets
        return len(octets)


def layout(octets: bytes, size: int | None = None) -> PeLayout:
    return read_layout(Held(octets, size))


@pytest.mark.parametrize("machine", MACHINES)
def test_reads_what_linkers_write(machine: str):
    """Fields of PE32 and PE32+ are where Microsoft's document has them."""
    octets = program(machine, overlay=b"overlay")
    image = Image(machine=MACHINES[machine], magic=PE32 if machine == "x86" else 0x20B)
    found = layout(octets)
    assert found.machine == MACHINES[machine] and found.magic == image.magic and found.subsystem == 3
    assert found.checksum_at == image.places()["checksum"][0]
    assert found.directory_at == image.places()["table_at"][0]
    assert found.content_end == found.size == len(octets)
    assert found.entries == () and found.gap is None and not found.efi
    assert kind(found.machine, found.magic).startswith("PE32")


def test_reads_a_certificate_table():
    """Entries are found in their order with what their heads say, and the content ends where the table begins."""
    entries = write_entry(b"\x30\x03abc") + write_entry(b"other", kind=0xEF1, revision=0x100)
    octets = program(table=entries)
    found = layout(octets)
    assert found.content_end == len(octets) - len(entries)
    assert [(e.at - found.content_end, e.length, e.revision, e.kind) for e in found.entries] == [
        (0, 16, 0x200, 2),
        (16, 16, 0x100, 0xEF1),
    ]
    assert certificate_of(Held(octets), found.entries[0]) == b"\x30\x03abc"
    assert certificate_of(Held(octets), found.entries[1]) == b"other\0\0\0"


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (b"\x30\x03abc\0\0\0", b"\x30\x03abc"),
        (b"\x30\x81\x80" + b"a" * 128 + b"\0", b"\x30\x81\x80" + b"a" * 128),
        (b"\x30\x82\x01\x00" + b"a" * 256 + b"zz", b"\x30\x82\x01\x00" + b"a" * 256),
        (b"\x30\x80abc", b"\x30\x80abc"),
        (b"\x30\x85\0\0\0\0\x01a", b"\x30\x85\0\0\0\0\x01a"),
        (b"\x30\x84\xff\xff\xff\xffa", b"\x30\x84\xff\xff\xff\xffa"),
        (b"\x30\x82\x01", b"\x30\x82\x01"),
        (b"\x30", b"\x30"),
    ],
)
def test_certificates_end_where_der_says(octets: bytes, expected: bytes):
    """What follows a DER value is filling; what is not DER, or says it is longer than the entry, is kept whole."""
    head = struct.pack("<IHH", 8 + len(octets), 0x200, 2)
    found = layout(program(table=head + octets + bytes(-len(octets) % 8)))
    held = Held(program(table=head + octets + bytes(-len(octets) % 8)))
    assert certificate_of(held, found.entries[0]) == expected


def test_large_headers_are_read_to_their_end():
    """A stub of almost 1 MiB, and a thousand sections, whose headers end far behind the first page."""
    assert layout(program(pe_at=MAX_STUB - 64)).checksum_at == MAX_STUB - 64 + 24 + 64
    many = program(sections=[b"x"] * 1000)
    assert layout(many).size == len(many)
    assert layout(program(pe_at=0x82)).checksum_at == 0x82 + 88  # the Linux kernel's, not a multiple of 4


def test_empty_sections_are_nobody():
    """Sections without octets in the file may point anywhere; Windows does not look."""
    octets = program(fields={"section_1_size": 0, "section_1_at": 0xFFFFFFFF})
    assert layout(octets).size == len(octets)
    assert layout(program(fields={"section_1_at": 0})).gap is None


def test_gaps_are_noted():
    """Octets between sections that belong to none are told apart from those behind the last, the overlay."""
    octets = program(sections=(b"a" * 512, b"b" * 512, b"c" * 512), fields={"section_1_size": 0})
    assert layout(octets).gap == (0x400, 0x600)
    assert layout(program(overlay=b"installer")).gap is None
    assert layout(program(subsystem=EFI_APPLICATION)).efi


SIZE = len(program())
BAD: list[tuple[str, bytes, str]] = [
    ("nothing", b"", "does not begin with an MZ"),
    ("MZ alone", b"MZ", "does not begin with an MZ header of 64"),
    ("ELF", b"\x7fELF" + bytes(100), "does not begin with an MZ"),
    ("DOS program", (b"MZ" + bytes(58) + b"\x40\0\0\0").ljust(200, b"\x90"), "DOS program"),
    ("DOS program, wild e_lfanew", (b"MZ" + bytes(58) + b"\xff\0\0\0").ljust(200, b"\0"), "DOS program"),
    ("NE", (b"MZ" + bytes(58) + b"\x40\0\0\0NE").ljust(200, b"\0"), "16-bit Windows"),
    ("LE", (b"MZ" + bytes(58) + b"\x40\0\0\0LE").ljust(200, b"\0"), "Windows 9x"),
    ("LX", (b"MZ" + bytes(58) + b"\x40\0\0\0LX").ljust(200, b"\0"), "OS/2"),
    ("e_lfanew 0", program(fields={"e_lfanew": 0}), "e_lfanew says that the PE header is at 0"),
    (
        "e_lfanew odd",
        b"MZ" + program()[2:0x3C] + b"\x81\0\0\0" + program()[0x40:0x80] + b"\0" + program()[0x80:],
        "odd number",
    ),
    ("e_lfanew at the end", program(fields={"e_lfanew": SIZE - 20}), "the file ends at"),
    ("e_lfanew beyond", program(fields={"e_lfanew": SIZE + 2}), "the file ends at"),
    ("e_lfanew 4 GiB", program(fields={"e_lfanew": -1}), "e_lfanew says that the PE header is at 4294967295"),
    ("e_lfanew 2 GiB", program(fields={"e_lfanew": 0x80000000}), "e_lfanew says"),
    ("no PE signature", program(fields={"signature": 0}), "no PE signature"),
    ("ROM image", program(fields={"magic": 0x107}), "magic number 0x107"),
    ("magic 0", program(fields={"magic": 0}), "magic number 0x0"),
    ("x86 in PE32+", program(fields={"machine": 0x14C}), r"no PE32\+ for x86"),
    ("x64 in PE32", program("x86", fields={"machine": 0x8664}), "no PE32 for x64"),
    ("ARM64 in PE32", program("x86", fields={"machine": 0xAA64}), "no PE32 for ARM64"),
    ("no optional header", program(fields={"size_of_optional_header": 0}), "optional header has 0 octets"),
    ("short optional header", program(fields={"size_of_optional_header": 96}), r"96 octets; a PE32\+ has 112"),
    ("optional header beyond", program(fields={"size_of_optional_header": 0xFFFF}), "section table would end at"),
    ("four directories", program(fields={"number_of_directories": 4}), "has 4 data directories.*fifth"),
    ("no directories", program(fields={"number_of_directories": 0}), "has 0 data directories"),
    ("too many directories", program(fields={"number_of_directories": 17}), "17 data directories do not fit"),
    ("wild directories", program(fields={"number_of_directories": -1}), "4294967295 data directories do not fit"),
    ("sections beyond", program(fields={"number_of_sections": 0xFFFF}), "section table would end at"),
    ("headers too small", program(fields={"size_of_headers": 0x100}), "SizeOfHeaders is 256"),
    ("headers zero", program(fields={"size_of_headers": 0}), "SizeOfHeaders is 0"),
    ("headers beyond", program(fields={"size_of_headers": -1}), "SizeOfHeaders is 4294967295"),
    ("headers over a section", program(fields={"size_of_headers": 0x404}), "overlaps the headers"),
    ("section in headers", program(fields={"section_0_at": 0x100}), "section at 256 overlaps the headers"),
    ("section on section", program(fields={"section_1_at": 0x500}), "overlaps another section"),
    ("section beyond", program(fields={"section_1_size": 0x10000}), "the file ends at"),
    ("section wraps", program(fields={"section_1_at": 0xFFFFFF00, "section_1_size": 0x200}), "the file ends at"),
    ("table without size", program(fields={"table_at": 0x800}), "a place but no size"),
    ("table without place", program(fields={"table_size": 8}), "a size but no place"),
    ("table beyond", program(fields={"table_at": SIZE + 64, "table_size": 64}), "passes the end"),
    ("table half beyond", program(table=bytes(64), fields={"table_size": 65}), "passes the end"),
    ("table 4 GiB", program(fields={"table_at": SIZE, "table_size": 0xFFFFFFFF}), "passes the end"),
    ("table wraps", program(fields={"table_at": 0xFFFFFFF8, "table_size": 0x100}), "passes the end"),
    ("table in headers", program(fields={"table_at": 0x100, "table_size": 64}), "begins before headers and sections"),
    ("table in a section", program(fields={"table_at": 0x600, "table_size": SIZE - 0x600}), "begins before"),
    ("table crooked", program(overlay=bytes(64), fields={"table_at": SIZE + 4, "table_size": 60}), "multiple of 8"),
    (
        "octets behind the table",
        program(table=write_entry(b"x")) + b"payload!",
        "8 octets follow its certificate table",
    ),
    ("entry of length 0", program(table=bytes(64)), "says it has 0 octets"),
    ("entry of its head alone", program(table=struct.pack("<IHH", 8, 0x200, 2)), "says it has 8 octets"),
    ("entry 4 GiB", program(table=struct.pack("<IHH", 0xFFFFFFFF, 0x200, 2) + bytes(8)), "4294967295 octets"),
    ("entry too long", program(table=struct.pack("<IHH", 17, 0x200, 2) + bytes(8)), "17 octets, where 16 are left"),
    ("table of 4 octets", program(table=bytes(4)), "too few for an entry"),
    ("33 entries", program(table=write_entry(b"x") * 33), "more than 32 entries"),
]


@pytest.mark.parametrize(("octets", "words"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_refuses_contradictions(octets: bytes, words: str):
    """Each is refused with one sentence that names what is wrong."""
    with pytest.raises(MalformedCode, match=words) as caught:
        layout(octets)
    assert caught.value.detail.count("\n") == 0 and caught.value.detail.endswith(".")


def test_every_truncation_is_refused():
    """A file cut anywhere in headers or sections is refused; one cut in its overlay is just another file."""
    octets = program(overlay=b"overlay!")
    for size in range(SIZE):
        with pytest.raises(MalformedCode):
            layout(octets[:size])
    assert layout(octets[: SIZE + 3]).content_end == SIZE + 3


def test_sizes_beyond_32_bits():
    """More than 4 GiB cannot be a PE file; just below is, and its octets are not read."""
    with pytest.raises(MalformedCode, match="at most 4294967295"):
        layout(program(), MAX_FILE + 1)
    assert layout(program(), MAX_FILE).content_end == MAX_FILE


def test_a_huge_certificate_table_is_refused():
    """A table of more than 8 MiB is refused by its size, before anything of it is read."""
    size = 1 << 30
    octets = program(fields={"table_at": SIZE, "table_size": size})
    with pytest.raises(MalformedCode, match=f"at most {MAX_TABLE} are read"):
        layout(octets, SIZE + size)


def test_a_sparse_file_of_4_gib(tmp_path: Path):
    """Structure is read from a real file of 4 GiB in no time."""
    path = tmp_path / "large.exe"
    with path.open("wb") as out:
        out.write(program())
        out.truncate(MAX_FILE - 7)
    with FileSource.open(path) as source:
        assert read_layout(source).content_end == MAX_FILE - 7


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_any_header(data: st.DataObject):
    """Whatever stands in any header fields: a layout whose every place is inside the file, or MalformedCode."""
    image = Image(table=write_entry(b"\x30\x03abc")) if data.draw(st.booleans()) else Image()
    names = data.draw(st.lists(st.sampled_from(sorted(image.places())), min_size=1, max_size=4))
    edge = st.sampled_from([0, 1, 4, 8, 0x7F, 0x80, 0x200, 0x400, 0x600, SIZE - 8, SIZE, SIZE + 8, 0xFFFF, 0xFFFFFFFF])
    image.fields = {name: data.draw(st.one_of(edge, st.integers(0, 0xFFFFFFFF))) for name in names}
    octets = image.build()
    try:
        found = layout(octets)
    except MalformedCode as error:
        assert error.detail.endswith(".")
        return
    assert 64 < found.checksum_at < found.directory_at < found.content_end <= found.size == len(octets)
    for entry in found.entries:
        assert found.content_end <= entry.at < entry.at + entry.length <= found.size
