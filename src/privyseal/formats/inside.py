"""What is inside a file: the containers there are, what they hold, and who of it carries no signature.

A container hands out its members as octets, one after the other, and can be written anew with some of them replaced. A
member's name is only ever shown: nothing here makes a path of one. What comes out of a container is bounded by an
:class:`Allowance` that one outer file has, however deep it is nested, so a bomb is met before it goes off.

To recognise a member takes its first 4096 octets. Only what then may be code, and is not told by its head alone, is
unpacked whole; a program is not, for its headers say whether it has a certificate table.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO, Any, Final, Protocol

import msgspec

from privyseal.errors import BadInput, MalformedCode
from privyseal.formats import catalogue
from privyseal.formats.protocol import CodeFormat, Layout, Source

MAX_DEPTH: Final = 4
"""Containers in each other: an installer's archive in a package in a bundle in a zip is as deep as anybody goes."""
MAX_MEMBERS: Final = 1 << 17
"""Members of one outer file that are looked at, as many as one archive has entries at most (``zipdir.py``)."""
LOOKED_AT: Final = 16 << 20
"""Octets that are unpacked to look at one outer file: 0.07 s where all of them have to be. To sign a cabinet of 48 MB
takes 0.27 s, and looking must not be what one waits for."""
UNPACKED: Final = 8 << 30
"""Octets that are unpacked of one outer file to sign what is in it: twice what an installer can have (4 GiB)."""
MAX_SHOWN: Final = 160
"""Characters of a name that are shown; of a longer one the end, which says what it is."""
IN_MEMORY: Final = 1 << 20
"""Octets of a member that are kept in memory; of a larger one a file without a name holds what is unpacked."""
_HEAD = 4096
_HEADERS = 2 << 20
"""Octets within which a program's headers are (``pe_layout.MAX_STUB`` and the sections); to look beyond them means to
look for its certificate table."""

NOT_INSIDE: Final = frozenset({"js"})
"""Formats that are left alone inside: a ``.js`` in a package is a page's or a program's for Node.js, and none for
Windows Script Host."""

OVER_NEIGHBOURS: Final = frozenset({"clickonce"})
"""Formats that hold digests of whole files beside them: sign those files, and what holds their digests is wrong."""


class Member(Protocol):
    """One thing in a container."""

    @property
    def text(self) -> str:
        """Its name as it stands there; nothing makes a path of it."""
        ...

    @property
    def size(self) -> int:
        """How many octets it says that it has."""
        ...


class Holder(Protocol):
    """What holds others, or names them: a file, or a manifest with its neighbours."""

    spend: Callable[[int], object]
    """Is told of octets that were unpacked, and may refuse them."""

    @property
    def members(self) -> Sequence[Member]:
        """Everything in it that has content, in the order in which it is best read."""
        ...

    def octets(self, number: int) -> Iterator[bytes]:
        """Yield the content of a member, unpacked, in pieces; MalformedCode where it is not what is stated."""
        ...


class Container(Holder, Protocol):
    """A file that holds others."""

    def rebuild(self, replaced: Mapping[int, Source], out: IO[bytes]) -> None:
        """Write the container with these members replaced; MalformedCode where it cannot be done."""
        ...

    def unchanged(self, number: int, other: Any) -> bool:
        """Tell whether a member of another container of this kind has the content that it has here."""
        ...


def _appx(code: Source, layout: Layout | None) -> Container:
    from privyseal.formats.inside_appx import AppxContainer

    return AppxContainer(code, layout)


def _cab(code: Source, layout: Layout | None) -> Container:
    from privyseal.formats.inside_cab import CabContainer

    return CabContainer(code, layout)


def _vsix(code: Source, layout: Layout | None) -> Container:
    from privyseal.formats.inside_vsix import VsixContainer

    return VsixContainer(code, layout)


def _zip(code: Source, layout: Layout | None) -> Container:
    from privyseal.formats.inside_zip import ZipContainer

    return ZipContainer(code, layout)


CONTAINERS: dict[str, Callable[[Source, Layout | None], Container]] = {
    "appx": _appx,
    "cab": _cab,
    "nuget": _zip,
    "vsix": _vsix,
    "zip": _zip,
}
"""Every container there is, by the name of its format: a literal list. ``zip`` is an archive that is nothing else."""


class Spent(BadInput):
    """More would have to be unpacked than is allowed; ``check`` leaves it at that, ``sign`` refuses the file."""


class Unreadable(BadInput):
    """A container does not give out what it says that it holds: broken, or packed in a way that is not read here."""


class Beyond(Exception):
    """A reader wanted octets that lie behind where it was to stay."""


class Allowance:
    """How much of one outer file may still be unpacked, and looked at."""

    def __init__(self, octets: int, members: int = MAX_MEMBERS) -> None:
        """Allow so many octets, of so many members."""
        self._octets, self._of = octets, octets
        self._members = members

    def take(self, octets: int) -> None:
        """Count octets that were unpacked; Spent where they are too many."""
        self._octets -= octets
        if self._octets < 0:
            raise Spent(f"What is inside has more than {self._of >> 20} MiB unpacked, the most that is read.")

    def member(self) -> None:
        """Count one more member; Spent where they are too many."""
        self._members -= 1
        if self._members < 0:
            raise Spent("More things are inside than are looked at.", hint="sign them before they are packed")


class Unpacked:
    """A member as a source: unpacked as far as somebody has read, into memory or a file without a name."""

    def __init__(self, pieces: Iterator[bytes], size: int, filename: str) -> None:
        """Read ``pieces``, which are ``size`` octets in all, on demand."""
        self.size = size
        self.filename = filename
        self.horizon: int | None = None
        """Where reading raises Beyond; None for the end."""
        self._pieces = pieces
        self._held: IO[bytes] = io.BytesIO()
        self._reached = 0

    def __enter__(self) -> Unpacked:
        """Return the source itself."""
        return self

    def __exit__(self, *_reason: object) -> None:
        """Let go of what was unpacked."""
        self._held.close()

    def pread(self, offset: int, count: int) -> bytes:
        """As a file's; MalformedCode where the octets would pass the end."""
        if offset < 0 or count < 0 or offset + count > self.size:
            raise MalformedCode(f"{self.filename} has {self.size} octets; {count} were looked for from {offset} on.")
        self._reach(offset + count)
        self._held.seek(offset)
        return self._held.read(count)

    def readinto(self, offset: int, buffer: memoryview) -> int:
        """As a file's; 0 at the end."""
        count = max(0, min(len(buffer), self.size - offset))
        octets = self.pread(offset, count) if count else b""
        buffer[: len(octets)] = octets
        return len(octets)

    def _reach(self, end: int) -> None:
        if self.horizon is not None and end > self.horizon:
            raise Beyond
        while self._reached < end:
            try:
                piece = next(self._pieces, b"")
            except MalformedCode as error:
                hint = "sign what is inside before it is packed"
                raise Unreadable(error.detail, hint=error.hint or hint) from error
            if not piece:
                raise Unreadable(f"{self.filename} ended at {self._reached} of {self.size} octets.")
            if self._reached <= IN_MEMORY < self._reached + len(piece):
                self._spill()
            self._held.seek(self._reached)
            self._held.write(piece)
            self._reached += len(piece)

    def _spill(self) -> None:
        """Go on in a file without a name."""
        import tempfile  # 4 ms, and most members are small, or looked at by their beginning

        file = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the source
        self._held.seek(0)
        file.write(self._held.read())
        self._held = file


def kind_of(member: Source) -> str | None:
    """Return the name of a member's format, ``zip`` for an archive that is nothing else, None for what is no code.

    What its beginning, and its name, make impossible is not read further.
    """
    if member.size == 0:
        return None
    head = member.pread(0, min(_HEAD, member.size))
    may_be = catalogue.candidates(head, head, member.filename)
    if not any(one.recognises(head, head, member.filename) for one in may_be):
        return "zip" if _is_archive(head, member.filename) else None
    try:
        name = catalogue.recognise(_Head(member, head) if head[:2] == b"MZ" else member).name
    except MalformedCode:
        return "zip" if _is_archive(head, member.filename) else None
    return None if name in NOT_INSIDE else name


def _is_archive(head: bytes, filename: str) -> bool:
    """Tell a plain archive by content and name: jar, docx, whl and apk are archives too, and more than that."""
    return head.startswith((b"PK\x03\x04", b"PK\x05\x06")) and filename.lower().endswith(".zip")


class _Head:
    """A program by its beginning alone: none is told by its end."""

    def __init__(self, code: Source, head: bytes) -> None:
        self._head, self.size, self.filename = head, len(head), code.filename

    def pread(self, offset: int, count: int) -> bytes:
        return self._head[offset : offset + count]

    def readinto(self, offset: int, buffer: memoryview) -> int:
        octets = self._head[offset : offset + len(buffer)]
        buffer[: len(octets)] = octets
        return len(octets)


def carries_signature(name: str, member: Unpacked) -> bool:
    """Tell whether a member of a format carries a signature, good or not; MalformedCode where it cannot be read."""
    code_format = catalogue.BY_NAME[name]
    member.horizon = _HEADERS if name == "pe" else None
    try:
        return is_signed(code_format, member)
    except Beyond:
        return True
    finally:
        member.horizon = None


def is_signed(code_format: CodeFormat, code: Source) -> bool:
    """Tell whether code carries a signature, by its structure where that says it."""
    layout = code_format.inspect(code)
    if layout.carries_signature is not None:
        return layout.carries_signature
    return any(True for _ in code_format.signatures(code, layout))


class Look(msgspec.Struct, frozen=True):
    """What looking into a file gave."""

    unsigned: tuple[str, ...] = ()
    """Names of signable files without a signature, those of nested containers behind a ``!``."""
    unseen: str = ""
    """Why not everything was looked at; empty where everything was."""


def look(container: Holder, allowance: Allowance, depth: int = 1) -> Look:
    """Say which signable files inside carry no signature; nothing is refused, and no more unpacked than allowed."""
    found: list[str] = []
    unseen = ""
    container.spend = allowance.take
    try:
        for number, member in enumerate(container.members):
            allowance.member()
            shown = printable(member.text)
            with Unpacked(container.octets(number), member.size, last_of(shown)) as code:
                try:
                    inner = _look_at(code, allowance, depth)
                except MalformedCode:
                    continue  # it is not signable as it is; whoever signs it is told why
            found += [shown] * inner[0] + [f"{shown}!{name}" for name in inner[1].unsigned]
            unseen = unseen or inner[1].unseen
    except (Spent, Unreadable) as error:
        unseen = error.detail
    return Look(tuple(found), unseen)


def _look_at(code: Unpacked, allowance: Allowance, depth: int) -> tuple[bool, Look]:
    """Tell whether one member is signable and unsigned, and what is inside it."""
    name = kind_of(code)
    if name is None:
        return False, Look()
    unsigned = name != "zip" and not carries_signature(name, code)
    if name not in CONTAINERS:
        return unsigned, Look()
    if depth >= MAX_DEPTH:
        return unsigned, Look((), f"More than {MAX_DEPTH} containers are in each other.")
    try:
        return unsigned, look(CONTAINERS[name](code, None), allowance, depth + 1)
    except BadInput as error:
        return unsigned, Look((), error.detail)


def printable(name: str) -> str:
    """Return a member's name fit for a sentence: nothing in it moves a cursor or turns the reading direction."""
    shown = name if len(name) <= MAX_SHOWN else "..." + name[3 - MAX_SHOWN :]
    return "".join(each if each.isprintable() else "_" for each in shown)


def last_of(name: str) -> str:
    """Return the last element of a member's name, for messages and descriptions."""
    return name.replace("\\", "/").rstrip("/").rpartition("/")[2] or "?"
