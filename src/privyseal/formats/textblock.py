"""Signature blocks in text: base64 in the comments of a script, in the encoding that the script has.

Three things are told from the octets alone. The *encoding*: a byte order mark, or none. The *block*: the line that
begins it stands at the beginning of a line, once, and behind its last line the text ends (or, in a Windows Script File,
its last job does). *Where a block goes* that is not there yet. Everything that two readers could take differently is
refused with a sentence: a second block, text behind one, a NUL, octets that are not of the encoding.

What is signed of a script is its text and not its octets: it is hashed as UTF-16LE whatever it is stored in. So one
pass of this module goes over the text before the one that hashes it; it only looks, which takes a tenth of the time.

Sources: the blocks that ``signtool`` and ``Set-AuthenticodeSignature`` write; that Windows wants the block at the end
and with CRLF, PowerShell issue 25246 and jsign pull request 67.
"""

from __future__ import annotations

import base64
import binascii
import codecs
from array import array
from collections.abc import Callable
from typing import Literal

import msgspec

from privyseal.errors import BadInput, MalformedCode
from privyseal.formats.protocol import Layout, Source

MAX_TEXT = 256 << 20
"""Octets of one script. The offset that Windows Script Host hashes has 31 bits; nobody runs a script of 1 MiB."""
MAX_BLOB = 1 << 20
"""Octets of one signature in a block: 32 signatures with certificates and timestamps have 400 KiB."""
_MAX_BLOCK = 4 * MAX_BLOB
"""Octets of a block: base64 in lines of 64, a dozen characters around each, and two octets a character."""
_MAX_MENTIONS = 100_000
"""How often a text may say within a line how a block begins; a text about signatures does so a few times."""
_CHUNK = 32 << 10
"""Octets of text that are looked at, or converted, at a time. What is made of so few stays in memory that the process
has; of more, the allocator asks the kernel for new pages each time, and to get those takes longer than to hash them:
100 MiB of ASCII as UTF-16 were hashed in 0.15 s by pieces of 32 KiB and in 0.39 s by pieces of 2 MiB."""
_HEAD = 32
_WIDE, _SHORT, _MERGED = 64, 44, 4

WINDOWS_1252 = (
    bytes(range(256))
    .decode("latin-1")
    .translate({n: ch for n in range(0x80, 0xA0) if (ch := bytes((n,)).decode("cp1252", "ignore"))})
)
"""The character of each octet as Windows has it, which gives the five octets that cp1252 leaves out to C1 controls."""

MARKS = {b"\xef\xbb\xbf": "utf-8-bom", b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
"""Byte order marks, and the encodings that begin with them."""
ENCODINGS = ("ascii", "utf-8", *MARKS.values(), "windows-1252")
"""Every encoding a script may have; ``ascii`` where no octet says more, so that all readers agree."""


class Dialect(msgspec.Struct, frozen=True):
    """How one language writes a signature block."""

    begin: str
    end: str
    open: str
    """What stands before each piece of base64."""
    close: str = ""
    before: str | None = None
    """A block stands directly before the last of these words, for the text goes on; None where it ends the text."""
    guess: Literal["never", "head", "whole"] = "never"
    """What of a text without a byte order mark Windows looks at to take it for UTF-8; else it is of its code page.

    ``head``: its first 32 octets, which must hold a character of several octets and end with a whole one.
    """
    short: bool = False
    """Whether a line has 44 characters of base64, as Windows Script Host's have, and not 64."""

    def forms(self, blob: bytes) -> tuple[str, ...]:
        """Return the block that holds ``blob``, with the line end before it that belongs to it, in each known form.

        The first is the one written here. Lines of 44 are signtool's, which puts four characters too many into the last
        one rather than into one of their own; jsign has lines of 64 everywhere.
        """
        text = base64.b64encode(blob).decode("ascii")
        wide = [text[at : at + _WIDE] for at in range(0, len(text), _WIDE)]
        if not self.short:
            return (self._block(wide),)
        narrow = [text[at : at + _SHORT] for at in range(0, len(text), _SHORT)]
        if len(narrow) > 1 and len(narrow[-1]) <= _MERGED:
            narrow[-2:] = [narrow[-2] + narrow[-1]]
        return self._block(narrow), self._block(wide)

    def _block(self, pieces: list[str]) -> str:
        lines = (f"{self.open}{piece}{self.close}" for piece in pieces)
        return "\r\n".join(("", self.begin, *lines, self.end, ""))


class TextLayout(Layout, frozen=True, kw_only=True):
    """Where things are in one script; offsets are octets of the file."""

    encoding: str
    bom: int
    """Octets of the byte order mark."""
    at: int
    """Where a block begins, or would be put."""
    block: int = 0
    """Octets of the block that is there; 0 where there is none."""

    @property
    def carries_signature(self) -> bool:
        """Tell whether there is a signature, good or not."""
        return self.block > 0

    @property
    def covered(self) -> int:
        """Return how many octets of the file the text without its block has."""
        return self.size - self.block


def encode(text: str, encoding: str) -> bytes:
    """Return ASCII text in the encoding of a script, without a byte order mark."""
    return text.encode(encoding if encoding in ("utf-16-le", "utf-16-be") else "ascii")


# -- reading structure -------------------------------------------------------------------------------------------------
def read_layout(code: Source, name: str, dialect: Dialect) -> TextLayout:
    """Find encoding and block of a script of the format ``name``; MalformedCode with one sentence where it has none."""
    if code.size > MAX_TEXT:
        raise malformed(code, f"it has {code.size} octets, and at most {MAX_TEXT} are read")
    head = code.pread(0, min(4, code.size))
    if head == b"\xff\xfe\0\0":
        raise malformed(code, "it is in UTF-32, which Windows does not read")
    mark, encoding = next(((mark, name) for mark, name in MARKS.items() if head.startswith(mark)), (b"", ""))
    bom = len(mark)
    if code.size == bom:
        raise malformed(code, "it is empty")
    if encoding.startswith("utf-16") and code.size % 2:
        raise malformed(code, f"it is in UTF-16 and has {code.size} octets, an odd number")
    scan = _Scan(code, dialect, encoding, bom)
    begins, encoding = scan.begins, scan.encoding
    if len(begins) > 1:
        raise malformed(code, f"signature blocks begin at octets {begins[0]} and {begins[1]}; one was expected")
    if begins:
        at, length = _block(code, begins[0], dialect, encoding, bom)
        if dialect.before is not None and scan.last != at + length:
            raise malformed(code, f"its signature block does not stand before its last {dialect.before}")
        return TextLayout(format=name, size=code.size, encoding=encoding, bom=bom, at=at, block=length)
    at = code.size if dialect.before is None else scan.last
    if at < 0:
        raise malformed(code, f"it has no {dialect.before}, before which its signature would stand")
    if at == bom:
        raise malformed(code, f"nothing stands before its last {dialect.before}")
    return TextLayout(format=name, size=code.size, encoding=encoding, bom=bom, at=at)


def malformed(code: Source, why: str) -> MalformedCode:
    """Return the refusal of a script."""
    return MalformedCode(f"{code.filename} is no script that can be signed: {why}.")


class _Scan:
    """One look at the whole text: where blocks begin, where the last ``before`` stands, what encoding it is in.

    It goes by in pieces; each is looked at with the end of the one before, so that nothing hides in between.
    """

    def __init__(self, code: Source, dialect: Dialect, encoding: str, bom: int) -> None:
        self.begins: list[int] = []
        self.last = -1
        self._code, self._bom = code, bom
        self._unit = 2 if encoding.startswith("utf-16") else 1
        self._begin = encode(dialect.begin, encoding)
        self._before = encode(dialect.before or "", encoding)
        self._ends = tuple(encode(end, encoding) for end in "\n\r")
        self._mentions = 0
        overlap = max(len(self._begin) + self._unit, len(self._before))
        at, window, ascii_only = bom, b"", True
        if not encoding and dialect.guess == "head" and looks_like_utf8(code.pread(0, min(_HEAD, code.size))):
            encoding = "utf-8"
        check = _checker(encoding, dialect.guess == "whole")
        while at < code.size:
            chunk = code.pread(at, min(_CHUNK, code.size - at))
            ascii_only = ascii_only and chunk.isascii()
            if why := check(chunk, at, at + len(chunk) == code.size):
                raise malformed(code, why)
            window = window[-overlap:] + chunk
            at += len(chunk)
            self._look(window, at - len(window), len(window) - len(chunk))
        self.encoding = encoding or ("ascii" if ascii_only else "utf-8" if check.valid else "windows-1252")

    def _look(self, window: bytes, base: int, seen: int) -> None:
        """Look into ``window``, which stands at ``base``; what ends within its first ``seen`` octets was seen."""
        found = window.find(self._begin, max(0, seen - len(self._begin) + 1))
        while found >= 0 and len(self.begins) < 2:  # one block too many is refused, however many follow
            self._mention(window, base, found)
            found = window.find(self._begin, found + 1)
        found = window.rfind(self._before) if self._before else -1
        while found >= 0 and (base + found - self._bom) % self._unit:
            found = window.rfind(self._before, 0, found + len(self._before) - 1)
        self.last = base + found if found >= 0 else self.last

    def _mention(self, window: bytes, base: int, found: int) -> None:
        """Tell whether what looks like the first line of a block begins a line."""
        if (base + found - self._bom) % self._unit:
            return
        if base + found == self._bom:
            raise malformed(self._code, "its signature block stands at its very beginning")
        if window[found - self._unit : found] in self._ends:
            self.begins.append(base + found - self._unit)
        self._mentions += 1
        if self._mentions > _MAX_MENTIONS:
            raise malformed(self._code, f"more than {_MAX_MENTIONS} times it says how a signature block begins")


def looks_like_utf8(head: bytes) -> bool:
    """Tell whether the first octets of a text are of UTF-8 and not only of ASCII, as PowerShell's package has it.

    It counts leading bits and no more. Source: PowerShell-OpenAuthenticode, PowerShellScriptProvider.GetScriptEncoding,
    after what PowerShell's maintainers said.
    """
    to_come, several = 0, False
    for octet in head:
        if to_come:
            if octet >> 6 != 0b10:
                return False
            to_come -= 1
        elif octet >= 0x80:
            to_come = 7 - (octet ^ 0xFF).bit_length()
            several = True
            if to_come <= 0:
                return False
    return several and to_come == 0


class _Narrow:
    """Checks text of one octet a unit: no NUL, and whether it is UTF-8, which it must be where ``must`` says why."""

    def __init__(self, must: str, guess: bool) -> None:
        self.valid = bool(must) or guess
        self._must = must
        self._decoder = codecs.getincrementaldecoder("utf-8")()

    def __call__(self, chunk: bytes, at: int, final: bool) -> str:
        if (nul := chunk.find(b"\0")) >= 0:
            return f"it has a NUL at octet {at + nul}, which text has only in UTF-16 with a byte order mark"
        if self.valid and not (chunk.isascii() and self._decoder.getstate()[0] == b""):
            try:
                self._decoder.decode(chunk, final)
            except UnicodeDecodeError as error:
                self.valid = False
                if self._must:
                    return f"{self._must}, and near octet {at + error.start} it is not"
        return ""


class _Wide:
    """Checks text of two octets a unit: no NUL."""

    valid = False

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding

    def __call__(self, chunk: bytes, at: int, final: bool) -> str:
        if b"\0\0" in chunk and "\0" in (text := chunk.decode(self._encoding, "surrogatepass")):
            return f"it has a NUL near octet {at + 2 * text.index(chr(0))}"
        return ""


def _checker(encoding: str, guess: bool) -> _Narrow | _Wide:
    if encoding.startswith("utf-16"):
        return _Wide(encoding)
    must = {"utf-8-bom": "its byte order mark says UTF-8", "utf-8": "it begins as UTF-8"}
    return _Narrow(must.get(encoding, ""), guess)


def _block(code: Source, begin: int, dialect: Dialect, encoding: str, bom: int) -> tuple[int, int]:
    """Return where the block begins whose first line follows the line end at ``begin``, and how many octets it has."""
    unit = 2 if encoding.startswith("utf-16") else 1
    text = _block_text(code, begin, encoding)
    if not text.startswith("\n"):
        raise malformed(code, f"a lone CR stands before its signature block, at octet {begin}")
    lines = text.split("\n")
    last = next((n for n, line in enumerate(lines) if n > 1 and line.rstrip("\r") == dialect.end), None)
    if last is None:
        raise malformed(code, f"its signature block, at octet {begin}, has no end within {_MAX_BLOCK} octets")
    length = sum(len(line) + 1 for line in lines[: last + 1])
    if length > len(text):  # the last line of the block is the last of the text, and has no line end
        length = len(text)
    rest = len(text) * unit - length * unit + max(0, code.size - begin - len(text) * unit)
    if dialect.before is None and rest:
        raise malformed(
            code,
            f"{rest} octets of text follow its signature block at octet {begin}, and no signature would cover them",
        )
    start = begin
    if begin - unit >= bom and code.pread(begin - unit, unit) == encode("\r", encoding):
        start -= unit
    if start == bom:
        raise malformed(code, "its signature block stands at its very beginning")
    return start, begin + length * unit - start


def _block_text(code: Source, begin: int, encoding: str) -> str:
    octets = code.pread(begin, min(_MAX_BLOCK, code.size - begin))
    if encoding.startswith("utf-16"):
        return octets.decode(encoding, "surrogatepass")
    return octets.decode("latin-1")


# -- the signature in the block ----------------------------------------------------------------------------------------
def octets_of_block(code: Source, layout: TextLayout) -> bytes:
    """Return the block as it stands in the file."""
    return code.pread(layout.at, layout.block)


def blob_of(code: Source, layout: TextLayout, dialect: Dialect) -> bytes:
    """Return the signature that a script's block holds; BadInput with one sentence where it is no base64."""
    octets = octets_of_block(code, layout)
    wide = layout.encoding.startswith("utf-16")
    text = octets.decode(layout.encoding, "surrogatepass") if wide else octets.decode("latin-1")
    # Text, begin, base64 ..., end, and what follows the last line end.
    lines = [line.rstrip("\r") for line in text.strip("\r\n").split("\n")][1:-1]
    pieces = []
    for number, line in enumerate(lines, 2):
        if not (line.startswith(dialect.open) and line.endswith(dialect.close)):
            raise BadInput(f"Line {number} of the signature block does not begin and end as its lines do.")
        pieces.append(line[len(dialect.open) : len(line) - len(dialect.close)])
    try:
        blob = base64.b64decode("".join(pieces).encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error, ValueError):
        raise BadInput("The signature block does not hold base64.") from None
    if len(blob) > MAX_BLOB:
        raise BadInput(f"The signature block holds {len(blob)} octets; at most {MAX_BLOB} are read.")
    return blob


# -- the text ----------------------------------------------------------------------------------------------------------
class Utf16:
    """A sink that gives the text on as UTF-16LE, in which it is hashed, and counts its units."""

    def __init__(self, encoding: str, sinks: tuple[Callable[[memoryview], object], ...]) -> None:
        """Take octets of ``encoding``, none of them of a byte order mark."""
        self.units = 0
        self._sinks = sinks
        self._convert = _CONVERTERS.get(encoding, _from_utf8)()

    def __call__(self, octets: memoryview) -> None:
        """Convert the next octets; those of a character that is not whole wait for more."""
        for at in range(0, len(octets), _CHUNK):
            text = self._convert(octets[at : at + _CHUNK])
            self.units += len(text) // 2
            for sink in self._sinks:
                sink(memoryview(text))


_Convert = Callable[[memoryview], bytes]


def _from_utf8() -> _Convert:
    decode = codecs.getincrementaldecoder("utf-8")().decode

    def convert(octets: memoryview) -> bytes:
        try:
            return decode(bytes(octets)).encode("utf-16-le")
        except UnicodeDecodeError:  # it was UTF-8 a moment ago, when the structure was read
            raise MalformedCode(
                "The script changed while it was read.", hint="is another program writing it?"
            ) from None

    return convert


def _from_windows_1252() -> _Convert:
    def convert(octets: memoryview) -> bytes:
        plain = bytes(octets)  # for ASCII, the common case, there is a way that is five times as fast
        text = plain.decode("ascii") if plain.isascii() else codecs.charmap_decode(plain, "strict", WINDOWS_1252)[0]
        return text.encode("utf-16-le")

    return convert


def _from_utf16_be() -> _Convert:
    def swap(octets: memoryview) -> bytes:
        units = array("H", bytes(octets))
        units.byteswap()
        return units.tobytes()

    return swap


_CONVERTERS: dict[str, Callable[[], _Convert]] = {
    "utf-16-le": lambda: bytes,
    "utf-16-be": _from_utf16_be,
    "windows-1252": _from_windows_1252,
}
