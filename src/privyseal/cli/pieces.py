"""One file on its way through ``sign``: opened, looked at, described, and put back signed and checked.

What is signed already decides what happens (``decide``):

=======================  ===================  ============================================================
signed by this key       signed by others     then
=======================  ===================  ============================================================
no                       no                   sign
yes, and good            whatever             leave it; ask for the receipt where that is missing
yes, but not good        no                   sign anew in its place: somebody changed the file since
yes, but not good        yes                  as if by others only
no                       yes                  as ``--if-signed`` says: fail (the default), skip, add, replace
=======================  ===================  ============================================================

Failing is the default, because what a build finds signed by somebody else is a part from elsewhere, and replacing its
signature silently takes away the only statement of where it is from; skipping it silently would leave the build
believing that all is signed. ``--again`` drops the second row.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Literal

import msgspec

from privyseal.cli.output import printable, shown_path
from privyseal.confirm import Expected, confirm
from privyseal.errors import BadInput, Misused, PrivySealError, VerificationFailed
from privyseal.formats import catalogue, operations
from privyseal.formats.comparing import Comparing
from privyseal.formats.content import Hashed
from privyseal.formats.examine import LARGE, Examined, examine
from privyseal.formats.patch import Ahead, carry_out
from privyseal.formats.protocol import CodeFormat, EmbeddedSignature, Identity, Insert, PatchPlan, Prepared, Source
from privyseal.formats.source import FileSource, real_paths
from privyseal.pki import certificates
from privyseal.terms.certificates import Certificate
from privyseal.terms.signatures import RECEIPT_SUFFIX, DigestAlgorithm, Options

IfSigned = Literal["fail", "skip", "add", "replace"]
"""What to do with a file that is signed already: refuse it, leave it, sign it besides, or in its place."""

Inside = Literal["check", "sign", "skip"]
"""What to do about files inside: say which carry no signature, sign those first, or not look."""

PASSES = 2
"""Times the content is read: to describe it, and once more from what was written."""

_STEM = 60
"""Characters of a file's name in that of its receipt in a folder; at four octets each they stay below 255."""

Counted = Callable[[int], None]
"""Hears of octets that were worked through."""


class Wishes(msgspec.Struct, frozen=True, kw_only=True):
    """What the user wants of every file."""

    options: Options
    digest: DigestAlgorithm
    if_signed: IfSigned = "fail"
    again: bool = False
    inside: Inside = "skip"
    told: bool = True
    """Whether anybody reads in the report whose the signatures are: to read a certificate's names takes 50 ms once."""


class Job(msgspec.Struct, frozen=True):
    """A file to sign and where the outcome goes, which may be the same place."""

    path: str
    out: str
    receipts: str | None = None
    """A folder for the receipt, where it does not go beside the file."""

    @property
    def in_place(self) -> bool:
        """Tell whether the file itself is replaced."""
        return self.path == self.out

    @property
    def receipt(self) -> str:
        """Name the receipt's file; in a folder for several by the outcome's whole path too, for names repeat."""
        if self.receipts is None:
            return self.out + RECEIPT_SUFFIX
        whole = hashlib.sha256(os.fsencode(os.path.abspath(self.out))).hexdigest()
        return os.path.join(self.receipts, f"{os.path.basename(self.out)[:_STEM]}.{whole[:12]}{RECEIPT_SUFFIX}")


class Opened(msgspec.Struct, frozen=True):
    """A file whose structure has been read, and the signatures it carries judged."""

    code: FileSource
    format: CodeFormat
    examined: Examined


class Decision(msgspec.Struct, frozen=True):
    """What to do with a file, and why."""

    action: Literal["sign", "keep", "fetch"]
    """``fetch``: it is signed well, and only its receipt is missing."""
    mode: Literal["replace", "append"] = "replace"
    why: str = ""
    ours: EmbeddedSignature | None = None


class Made(msgspec.Struct, frozen=True):
    """What was made for one file."""

    blobs: tuple[bytes, ...]
    """Its signatures: one for each description."""
    request: str | None = None
    """The service's id of the request it was made for."""
    receipt: str | None = None
    canonical: bytes | None = None
    """The request's canonical octets as the service keeps them."""
    request_id: str | None = None
    """By which the service's log knows the call that brought it."""


class Pending(msgspec.Struct, frozen=True):
    """A request that waits for people: no error, and not done either (exit 6)."""

    request: str


def jobs(files: Sequence[str], output: str | None, read: Sequence[str] = ()) -> list[Job]:
    """Pair each file with where its outcome goes; Misused where two would meet in one place.

    ``read`` are the other files that the command reads, such as its key: nothing is written over them either.
    """
    into = output is not None and os.path.isdir(output)
    if output is not None and not into and (len(files) > 1 or output.endswith("/")):
        raise Misused(
            f"{shown_path(output)} is no folder, and {len(files)} files are to go into it."
            if len(files) > 1
            else f"{shown_path(output)} is no folder.",
            hint="make the folder first, or sign one file at a time",
        )
    made: list[Job] = []
    taken: dict[str, str] = {}
    outs = [os.path.join(output, os.path.basename(file)) if into and output else output or file for file in files]
    for file, out, path, real in zip(files, outs, real_paths(files), real_paths(outs), strict=True):
        if real in taken:
            if (file, out) in {(job.path, job.out) for job in made}:
                continue
            raise Misused(
                f"{shown_path(file)} and {shown_path(taken[real])} are one and the same file, or would become it.",
                hint="name every file once",
            )
        taken[real] = file
        made.append(Job(file, file if path == real else out))
    _require_apart(made, read)
    return made


def _require_apart(made: Sequence[Job], read: Sequence[str]) -> None:
    """Raise Misused where an outcome or a receipt would be written over a receipt, or over what is read.

    Two names of one content (hard links) do no harm: a file is replaced under its name, and stays as it was under the
    other.
    """
    places = list(real_paths(job.out for job in made))
    receipts = dict(zip(real_paths(job.receipt for job in made), made, strict=True))
    sources: dict[str, list[Job]] = {}
    for job, source in zip(made, real_paths(job.path for job in made), strict=True):
        sources.setdefault(source, []).append(job)
    others = dict(zip(real_paths(read), read, strict=True))
    for job, place in zip(made, places, strict=True):
        if place in receipts or (place.endswith(RECEIPT_SUFFIX) and not job.in_place):
            whose = receipts[place].out if place in receipts else job.out.removesuffix(RECEIPT_SUFFIX)
            if _holds_receipt(job.path):  # such as dist/* finds the second time; it cannot be signed, and will say so
                continue
            raise Misused(
                f"{shown_path(job.out)} is where the receipt of {shown_path(whose)} goes, and nothing else.",
                hint="give what is written another name, or leave that file out",
            )
        for other in sources.get(place, ()):
            if other is not job:
                raise Misused(
                    f"The outcome of {shown_path(job.path)} would overwrite {shown_path(other.path)}, which is to be "
                    "read as well.",
                    hint="write into a folder of its own",
                )
    for place in (*places, *receipts):
        if place in others:
            raise Misused(
                f"{shown_path(others[place])} would be overwritten, and this command reads it.",
                hint="give what is written another name",
            )


def _holds_receipt(path: str) -> bool:
    """Tell whether a file begins as a proof does (C2SP tlog-proof)."""
    from privyseal.tlog.proof import FIRST_LINE  # only where names meet

    first = FIRST_LINE.encode()
    try:
        with FileSource.open(path) as code:
            return code.pread(0, min(code.size, len(first))) == first
    except PrivySealError:
        return False


def open_piece(code: FileSource) -> Opened:
    """Tell the format, read the structure, judge what it carries; MalformedCode where it cannot be signed."""
    found = catalogue.recognise(code)
    return Opened(code, found, examine(found, code))


def decide(opened: Opened, wishes: Wishes, key_id: str, at: datetime) -> Decision:
    """Say what to do with a file, by the table above; BadInput where it carries somebody else's signature."""
    signatures = opened.examined.signatures
    ours = [each for each in signatures if _key_of(each) == key_id]
    others = [each for each in signatures if _key_of(each) != key_id]
    good = next((each for each in ours if is_good(each, opened, at)), None)
    if good is not None and not wishes.again:
        return Decision("fetch", "append" if others else "replace", "signed by this key already", good)
    if not others:
        return Decision("sign", "replace", "its signature no longer fits and was replaced" if ours and not good else "")
    whose = " and ".join(dict.fromkeys(_name_of(each) for each in others))
    if wishes.if_signed == "fail":
        raise BadInput(
            f"{opened.code.filename} is signed already, by {whose}.",
            hint="say what to do with it: --if-signed skip, add or replace",
        )
    if wishes.if_signed == "skip":
        return Decision("keep", why=f"signed by {whose} already")
    if wishes.if_signed == "replace":
        return Decision("sign", "replace", f"the signature by {whose} was replaced")
    return Decision("sign", "append", f"beside the signature by {whose}")


def is_good(embedded: EmbeddedSignature, opened: Opened, at: datetime) -> bool:
    """Tell whether a signature of ours need not be made again: intact, and within its time or timestamped."""
    if embedded.problems or opened.examined.problems or embedded.signer is None:
        return False
    try:
        if embedded.timestamp is not None:
            from privyseal.timestamp.token import verify_token  # only where there is one

            verify_token(embedded.timestamp, octets=embedded.signature_value)
            return True
        return certificates.read(embedded.signer).in_force(at)
    except (BadInput, VerificationFailed):
        return False


def _key_of(embedded: EmbeddedSignature) -> str | None:
    facts = certificate_of(embedded)
    return facts.key_id if facts else None


def _name_of(embedded: EmbeddedSignature) -> str:
    facts = certificate_of(embedded)
    return printable(certificates.common_name(facts.der) or facts.subject) if facts else "somebody unknown"


def certificate_of(embedded: EmbeddedSignature) -> Certificate | None:
    """Read a signature's certificate; None where it carries none that can be read."""
    try:
        return certificates.read(embedded.signer) if embedded.signer is not None else None
    except BadInput:
        return None


def prepare(
    opened: Opened,
    identity: Identity,
    options: Options,
    digest: DigestAlgorithm,
    counted: Counted,
    comparing: Comparing | None = None,
) -> Prepared:
    """Read the content once and describe it, telling how far it is with large ones; Impossible as the format says.

    ``comparing`` compares the draft of the outcome meanwhile.
    """
    operations.require_for(opened.format, options)
    code: Source = opened.code
    if code.size >= LARGE:
        code = Watched(code, counted, comparing)
    return opened.format.prepare(code, opened.examined.layout, identity, options, digest)


def put_back(
    opened: Opened,
    draft: Ahead,
    options: Options,
    expected: Expected,
    counted: Counted,
    then: Callable[[Sequence[EmbeddedSignature]], None],
) -> tuple[EmbeddedSignature, ...]:
    """Write the signed file, open it again, check it as a stranger would, do ``then``, and only then give it its name.

    ``draft`` has been filled meanwhile, if the file is large. ``then`` writes the receipt: so neither a signed file
    that does not verify nor one without its receipt is ever seen. Returns the signatures as they were found on the
    disk; VerificationFailed where one is not as expected. After any error the target is as it was. Its name is on the
    disk only after ``settle``, which the end of the run calls once for all.
    """
    plan = opened.format.apply(opened.code, expected.prepared, options, expected.blobs)
    found: list[tuple[EmbeddedSignature, ...]] = []

    def follow(written: Source) -> None:
        large = written.size >= LARGE
        found.append(confirm(opened.format, Watched(written, counted) if large else written, expected))
        then(found[0])

    draft.carry_out(plan, follow=follow, settled=False)
    return found[0]


def write_receipt(path: str, text: str) -> None:
    """Write a receipt, all of it or nothing; as with :func:`put_back`, its name wants settling."""
    carry_out(PatchPlan((Insert(text.encode("utf-8")),)), _Nothing(), path, settled=False)


class _Nothing:
    """A source without content, for a plan that only inserts."""

    size = 0
    filename = "receipt"

    def pread(self, offset: int, count: int) -> bytes:
        """Return nothing."""
        return b""

    def readinto(self, offset: int, buffer: memoryview) -> int:
        """Read nothing."""
        return 0


class Watched:
    """A source that tells how much of its content was read."""

    def __init__(self, code: Source, counted: Counted, comparing: Comparing | None = None) -> None:
        """Stand in for ``code``; ``comparing`` sees what is hashed of it."""
        self._code = code
        self.hashed: Hashed | None = getattr(code, "hashed", None)
        self.comparing = comparing
        self._counted = counted
        self.size = code.size
        self.filename = code.filename

    def pread(self, offset: int, count: int) -> bytes:
        """As the source's own."""
        return self._code.pread(offset, count)

    def readinto(self, offset: int, buffer: memoryview) -> int:
        """As the source's own."""
        count = self._code.readinto(offset, buffer)
        self._counted(count)
        return count
