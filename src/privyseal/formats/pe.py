"""Portable Executables: exe, dll, sys, efi, ocx, cpl, scr, for every machine.

What is hashed (Authenticode, "Calculating the PE Image Hash"): the file without its checksum, without the certificate
table's data directory and without the table itself, filled up with zero octets to a multiple of 8. We hash the file
from front to back, as Windows, signtool and osslsigncode do; the document's walk section by section gives the same
where the sections leave no gaps. Firmware does walk, so EFI images with gaps are refused rather than signed with a hash
that boots nowhere.

Several signatures: Windows looks only at the first entry of the table, so further ones are nested in its unsigned
attributes, as ``signtool /as`` does. Firmware looks at every entry and at none that is nested (UEFI specification,
"UEFI Image Validation"), so in EFI images a further one becomes a further entry. Entries of other types stay where they
are when a signature is added, and go with all others when signatures are replaced.

Page hashes (``pe_pages.py``) are written where they are asked for, and checked wherever they are found.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from privyseal.errors import BadInput, MalformedCode
from privyseal.formats import (
    authenticode,
    authenticode_blob,
    authenticode_later,
    content,
    fitting,
    pe_burn,
    pe_checksum,
    pe_facts,
    pe_layout,
    pe_pages,
    pe_table,
)
from privyseal.formats.pe_layout import PeLayout
from privyseal.formats.protocol import (
    Copy,
    EmbeddedSignature,
    Identity,
    Insert,
    Layout,
    Operation,
    PatchPlan,
    Prepared,
    Problem,
    Source,
    Summary,
)
from privyseal.terms.signatures import (
    Described,
    DigestAlgorithm,
    Options,
    Signature,
    TimestampToken,
    ToBeSigned,
)

_EXTENSIONS = (".exe", ".dll", ".sys", ".efi", ".ocx", ".cpl", ".scr", ".mui", ".pyd", ".node", ".drv", ".xll")


class PortableExecutable:
    """The format ``pe``."""

    name = pe_layout.NAME
    title = "Windows program (PE)"
    cannot: Mapping[Operation, str] = {}

    # -- the file side -------------------------------------------------------------------------------------------------
    def recognises(self, head: bytes, tail: bytes, filename: str) -> int:
        """Score 90 for a PE header, 50 for one beyond ``head``, 10 for any other MZ program; the name adds 5."""
        at = pe_layout.header_at(head)
        if at is None:
            return 5 if head[:2] == b"MZ" else 0
        if at + 4 <= len(head):
            score = 90 if head[at : at + 4] == b"PE\0\0" else 10
        else:
            score = 50
        return score + 5 * filename.lower().endswith(_EXTENSIONS)

    def inspect(self, code: Source) -> PeLayout:
        """Read the structure; MalformedCode with one sentence that names what is wrong."""
        return pe_layout.read_layout(code)

    def prepare(
        self, code: Source, layout: Layout, identity: Identity, options: Options, digest: DigestAlgorithm
    ) -> Prepared:
        """Hash the content and add up its checksum in one reading.

        MalformedCode for an EFI image with gaps, and for a WiX bundle whose engine has to be signed first.
        """
        layout = _of_pe(layout)
        if layout.efi and layout.gap is not None:
            start, end = layout.gap
            raise MalformedCode(
                f"{code.filename} is an EFI image with {end - start} octets at {start} that belong to no section: "
                "firmware would not hash them, and so would refuse any signature.",
                hint="link it without gaps",
            )
        if identity.chain:  # under no certificate nothing is signed: somebody only wants the digest
            pe_burn.require_signed_engine(code, layout)
        add = _Sum(layout.content_end)
        sinks: list[content.Sink] = [add]
        facts: dict[str, str | int | bool] = {
            "machine": layout.machine,
            "magic": layout.magic,
            "subsystem": layout.subsystem,
        }
        pages = None
        if options.page_hashes is not None:
            pe_pages.require(code, layout, options.page_hashes)
            pages = pe_pages.Table(layout, options.page_hashes)
            sinks.append(pages)
        hashed = _digests(code, layout, (digest,), sinks)
        table = b"" if pages is None else pages.done()
        if pages is not None:
            facts |= {"page_hashes": pages.algorithm, "enclosed": hashlib.sha256(table).hexdigest()}
        described = Described(
            format=self.name,
            filename=code.filename,
            digest_algorithm=digest,
            digest=hashed[digest],
            size=_padded(layout.content_end) - pe_facts.UNHASHED,
            facts=facts,
        )
        layout = msgspec.structs.replace(layout, word_sum=add.total)
        return Prepared((described,), layout, () if pages is None else (table,))

    def apply(self, code: Source, prepared: Prepared, options: Options, blobs: Sequence[bytes]) -> PatchPlan:
        """Plan the signed file: checksum, directory, zero octets up to a multiple of 8, certificate table.

        MalformedCode where a signature is to be added to one that cannot be read, or the outcome would pass 4 GiB.
        """
        layout = _of_pe(prepared.layout)
        if len(blobs) != 1 or layout.word_sum is None:
            raise BadInput(f"A PE file takes one signature and a reading of its content; {len(blobs)} came.")
        table = _added(code, layout, blobs[0]) if options.mode == "append" else pe_table.write_entry(blobs[0])
        return _with_table(code, layout, layout.word_sum, table)

    def remove(self, code: Source, layout: Layout) -> PatchPlan:
        """Plan the file without its certificate table, and with the checksum that it then has.

        Signing fills the content up with zeros to a multiple of 8; of those that follow the last section, fewer than 8
        go with the signatures. A checksum that was not the file's own before it was signed does not come back.
        """
        layout = _of_pe(layout)
        if not layout.entries:
            return PatchPlan((Copy(0, code.size),))
        return _with_table(code, _unfilled(code, layout), _sum_of(code, layout), b"")

    def timestamped(self, code: Source, layout: Layout, tokens: Mapping[int, TimestampToken]) -> PatchPlan:
        """Plan the file with a token in each signature named; the others, and other entries, keep their octets."""
        layout = _of_pe(layout)
        changed = iter(authenticode_later.timestamped(list(_blobs(code, layout)), tokens))
        pieces = [
            pe_table.write_entry(
                next(changed) if entry.kind == pe_table.PKCS_SIGNED_DATA else pe_table.certificate_of(code, entry),
                entry.kind,
                entry.revision,
            )
            for entry in layout.entries
        ]
        return _with_table(code, layout, _sum_of(code, layout), b"".join(pieces))

    def signatures(self, code: Source, layout: Layout) -> Iterable[EmbeddedSignature]:
        """Judge every signature, nested ones behind the one that holds them; none where the file is not signed."""
        layout = _of_pe(layout)
        found = list(authenticode_blob.walk(_blobs(code, layout)))
        stated = [None if one.blob is None else pe_pages.found_in(one.blob.subject) for one in found]
        pages = {
            each[0]: pe_pages.Table(layout, each[0])
            for each in stated
            if each is not None and pe_pages.refusal(layout, each[0]) is None
        }
        digests = _digests(code, layout, authenticode_blob.algorithms_of(found), tuple(pages.values()))
        for index, (one, there) in enumerate(zip(found, stated, strict=True)):
            judged = authenticode_blob.judge(one, index, self.name, pe_facts.SUBJECT, digests)
            if there is not None and there[0] in pages and pages[there[0]].done() != there[1]:
                wrong = Problem("page-hashes", "The page hashes under the signature are not those of the file's pages.")
                judged = msgspec.structs.replace(judged, problems=(*judged.problems, wrong))
            yield judged

    def canonical(self, code: Source, layout: Layout, known: Prepared | None = None) -> Iterable[Problem]:
        """Say which octets of a signed file no signature covers and nothing else fixes; nothing for an unsigned one."""
        layout = _of_pe(layout)
        if not layout.entries:
            return
        yield from _table_problems(code, layout)
        if layout.efi and layout.gap is not None:
            yield Problem("section-gap", "The EFI image has octets that belong to no section, which firmware ignores.")
        total = _of_pe(known.layout).word_sum if known is not None else None
        if total is None:
            total = _sum_of(code, layout)
        tail = struct.pack("<II", layout.content_end, layout.size - layout.content_end)
        tail += code.pread(layout.content_end, layout.size - layout.content_end)
        expected = pe_checksum.checksum(total + int.from_bytes(tail, "little"), layout.size)
        if layout.checksum != expected:
            yield Problem(
                "checksum", f"The header's checksum is {layout.checksum:08X}, and the file's is {expected:08X}."
            )
        found = authenticode_blob.walk(_blobs(code, layout))
        yield from authenticode_blob.unbound(found, 0 if layout.efi else 1, "Windows and firmware do")

    def summarise(self, code: Source, layout: Layout) -> Summary:
        """Name machine and subsystem of a program, and list its sections."""
        layout = _of_pe(layout)
        return Summary(pe_layout.words(layout), pe_layout.sections(code))

    # -- the key side: never sees the file -----------------------------------------------------------------------------
    def to_be_signed(
        self, described: Described, identity: Identity, options: Options, enclosed: bytes = b""
    ) -> Sequence[ToBeSigned]:
        """Build the signed attributes; BadInput for a description that ``prepare`` would not have made."""
        subject = pe_facts.subject_of(described, options, enclosed)
        return (authenticode.to_be_signed(subject, described, identity, options),)

    def finish(
        self,
        described: Described,
        identity: Identity,
        options: Options,
        signed: Sequence[Signature],
        tokens: Sequence[TimestampToken],
        enclosed: bytes = b"",
    ) -> bytes:
        """Build the PKCS#7 blob; BadInput unless there is one signature, over these octets, and at most one token."""
        subject = pe_facts.subject_of(described, options, enclosed)
        signature, token = fitting.one_signature(signed, tokens, "a PE file")
        return authenticode.finish(subject, described, identity, options, signature, token)


class _Sum:
    """A sink that adds up words for the checksum."""

    def __init__(self, octets_to_come: int) -> None:
        self.total = 0
        self._add = pe_checksum.adder(octets_to_come)

    def __call__(self, octets: memoryview) -> None:
        self.total += self._add(octets)


def _of_pe(layout: Layout) -> PeLayout:
    return fitting.layout_of(layout, PeLayout, "a PE file")


def _padded(size: int) -> int:
    return size + -size % 8


def _read_content(code: Source, layout: PeLayout, sinks: Sequence[content.Sink]) -> None:
    """Feed the sinks with what a signature covers; each piece begins at an even offset, as the checksum needs."""
    if sinks and layout.content_end <= content.BUFFER:  # a thousand small files: one reading instead of three
        whole = memoryview(code.pread(0, layout.content_end))
        for sink in sinks:
            sink(whole[: layout.checksum_at])
            sink(whole[layout.checksum_at + 4 : layout.directory_at])
            sink(whole[layout.directory_at + 8 :])
        return
    content.feed(code, 0, layout.checksum_at, sinks)
    content.feed(code, layout.checksum_at + 4, layout.directory_at, sinks)
    content.feed(code, layout.directory_at + 8, layout.content_end, sinks)


def _sum_of(code: Source, layout: PeLayout) -> int:
    add = _Sum(layout.content_end)
    _read_content(code, layout, [add])
    return add.total


def _unfilled(code: Source, layout: PeLayout) -> PeLayout:
    """Return the layout without the zeros that signing put behind the last section, where they can be told."""
    filled = layout.content_end - layout.sections_end
    if 0 < filled < 8 and not any(code.pread(layout.sections_end, filled)):
        return msgspec.structs.replace(layout, content_end=layout.sections_end)
    return layout


def _with_table(code: Source, layout: PeLayout, total: int, table: bytes) -> PatchPlan:
    """Plan the file with this certificate table, or without one; ``total`` is the sum of the content's words."""
    end = layout.content_end
    at = _padded(end) if table else end
    if len(table) > pe_table.MAX_TABLE or at + len(table) > pe_layout.MAX_FILE:
        raise MalformedCode(
            f"{code.filename} would have a certificate table of {len(table)} octets at {at}; it may have "
            f"{pe_table.MAX_TABLE}, and end before 4 GiB."
        )
    directory = struct.pack("<II", at, len(table)) if table else bytes(8)
    total += sum(int.from_bytes(octets, "little") for octets in (directory, table))
    checksum = struct.pack("<I", pe_checksum.checksum(total, at + len(table)))
    steps: list[Copy | Insert] = [
        Copy(0, layout.checksum_at),
        Insert(checksum),
        Copy(layout.checksum_at + 4, layout.directory_at - layout.checksum_at - 4),
        Insert(directory),
        Copy(layout.directory_at + 8, end - layout.directory_at - 8),
    ]
    return PatchPlan((*steps, Insert(bytes(at - end) + table)) if table else tuple(steps))


def _digests(
    code: Source, layout: PeLayout, algorithms: Sequence[str], beside: Sequence[content.Sink]
) -> dict[str, bytes]:
    """Return what a signature covers hashes to, by algorithm, and give it to other sinks in the same reading."""
    fill = bytes(-layout.content_end % 8)
    if layout.content_end <= content.BUFFER:
        hashes = {name: hashlib.new(name) for name in algorithms}
        _read_content(code, layout, [*(each.update for each in hashes.values()), *beside])
        for each in hashes.values():
            each.update(fill)
        return {name: each.digest() for name, each in hashes.items()}
    parts: list[content.Part] = [
        (0, layout.checksum_at),
        (layout.checksum_at + 4, layout.directory_at),
        (layout.directory_at + 8, layout.content_end),
    ]
    return content.digests(code, algorithms, [*parts, fill] if fill else parts, beside)


def _blobs(code: Source, layout: PeLayout) -> Iterator[bytes]:
    for entry in layout.entries:
        if entry.kind == pe_table.PKCS_SIGNED_DATA:
            yield pe_table.certificate_of(code, entry)


def _added(code: Source, layout: PeLayout, blob: bytes) -> bytes:
    """Return the certificate table with one more signature; the others and their timestamps keep their octets."""
    pieces: list[bytes] = []
    waiting = not layout.efi
    for entry in layout.entries:
        certificate = pe_table.certificate_of(code, entry)
        if waiting and entry.kind == pe_table.PKCS_SIGNED_DATA:
            certificate, waiting = authenticode_later.nest(certificate, blob), False
        pieces.append(pe_table.write_entry(certificate, entry.kind, entry.revision))
    if waiting or layout.efi:
        pieces.append(pe_table.write_entry(blob))
    return b"".join(pieces)


def _table_problems(code: Source, layout: PeLayout) -> Iterator[Problem]:
    for number, entry in enumerate(layout.entries):
        if entry.kind != pe_table.PKCS_SIGNED_DATA or entry.revision != pe_table.REVISION:
            yield Problem(
                "table-entry",
                f"Entry {number} of the certificate table is of revision {entry.revision:#x} and type "
                f"{entry.kind:#x}, which no signature covers.",
            )
            continue
        written = pe_table.write_entry(pe_table.certificate_of(code, entry))
        there = min(entry.length + -entry.length % 8, layout.size - entry.at)
        if code.pread(entry.at, there) != written:
            yield Problem(
                "padding", f"Entry {number} of the certificate table holds more than its signature and zeros."
            )
    if layout.size % 8:
        yield Problem("alignment", "The certificate table does not end at a multiple of 8.")
