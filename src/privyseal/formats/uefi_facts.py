"""What is said of a UEFI variable, and the octets that are signed for it: the key side, which sees no file.

Source: UEFI specification 2.10, 8.2.2: signed are, one behind the other, the variable's name in UTF-16 without a NUL,
its vendor's GUID, its attributes, the time, and its new content.

A signature is over the content itself, not through attributes, so the content travels in the description: whoever
approves a new db approves every octet of it. Nobody's clock is read: the time is what the requester states.
"""

from __future__ import annotations

import base64
import hashlib
import re
import struct
from datetime import UTC, datetime
from typing import Annotated, Final

import msgspec

from privyseal.errors import BadInput
from privyseal.formats import fitting, uefi_lists
from privyseal.formats.uefi_blob import guid
from privyseal.terms.signatures import Described, Options

NAME: Final = "uefi-variable"
"""What the format is called."""
_GLOBAL = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
_SECURITY = "d719b2cb-3d3a-4596-a3bc-dad00e67656f"
KNOWN: dict[str, str] = {
    "PK": _GLOBAL,
    "KEK": _GLOBAL,
    "db": _SECURITY,
    "dbx": _SECURITY,
    "dbt": _SECURITY,
    "dbr": _SECURITY,
}
"""The variables of Secure Boot and their vendors: EFI_GLOBAL_VARIABLE, EFI_IMAGE_SECURITY_DATABASE_GUID."""
USUAL: Final = 0x27
"""NON_VOLATILE, BOOTSERVICE_ACCESS, RUNTIME_ACCESS, TIME_BASED_AUTHENTICATED_WRITE_ACCESS."""
APPEND: Final = 0x40
"""EFI_VARIABLE_APPEND_WRITE."""
ATTRIBUTE_NAMES: dict[int, str] = {
    0x01: "non-volatile",
    0x02: "boot services",
    0x04: "runtime",
    0x08: "hardware error record",
    0x10: "authenticated write",
    0x20: "time-based authenticated write",
    0x40: "append write",
    0x80: "enhanced authenticated access",
}
"""EFI_VARIABLE_...: UEFI 2.10, 8.2.1."""
ATTRIBUTES: tuple[int, ...] = tuple(one | more for one in (USUAL, 0x26, 0x23, 0x22) for more in (0, APPEND))
"""All that an authenticated variable may have, the usual ones first: it is always there at boot."""
MAX_NAME: Final = 255
"""Characters of a variable's name; Linux's efivarfs takes as many."""
WRITTEN: Final = "%Y-%m-%dT%H:%M:%SZ"
"""How times are stated: RFC 3339, UTC, whole seconds."""
NO_TIME: Final = bytes(16)
"""An EFI_TIME that is none."""

_TIME = struct.Struct("<HBBBBBBIhBB")
_BY_GUID = re.compile(r"(.{1,255})-([0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})", re.DOTALL)
_ENDINGS = (".auth", ".esl", ".var")
_BY_NAME = re.compile(r"(PK|KEK|dbx|dbt|dbr|db)(?:update)?(?![A-Za-z0-9])", re.IGNORECASE)
_SPELT = {name.lower(): name for name in KNOWN}


class VariableFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a description of a variable says beside digest and size: all that is signed."""

    variable: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME)]
    vendor: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]
    attributes: int
    time: Annotated[str, msgspec.Meta(max_length=20)]
    holds: str
    """What is in the content, in words, where it is signature lists; empty for other variables."""
    content: Annotated[str, msgspec.Meta(max_length=(uefi_lists.MAX_OCTETS + 2) // 3 * 4)]
    """Base64 (RFC 4648 section 4)."""


def told_by(filename: str) -> tuple[str, str] | None:
    """Return name and vendor of the variable that a file's name tells, None where it tells none.

    ``NAME-GUID`` as Linux's efivarfs has it, with the ending auth, esl or var; or a name that begins with one of Secure
    Boot's: ``db.auth``, ``dbxupdate_x64.bin``.
    """
    stem, dot, ending = filename.rpartition(".")
    if (dot + ending).lower() in _ENDINGS and (found := _BY_GUID.fullmatch(stem)) is not None:
        return found[1], found[2].lower()
    if (known := _BY_NAME.match(filename)) is not None:
        name = _SPELT[known[1].lower()]
        return name, KNOWN[name]
    return None


def variable_of(text: str) -> tuple[str, str]:
    """Read what the requester calls a variable: a name of Secure Boot, or ``NAME-GUID``; BadInput otherwise."""
    if text in KNOWN:
        return text, KNOWN[text]
    if (found := _BY_GUID.fullmatch(text)) is not None:
        return found[1], found[2].lower()
    raise BadInput(
        f"{text[:80]!r} names no variable.", hint=f"one of {', '.join(KNOWN)}, or NAME-GUID such as Setup-{_GLOBAL}"
    )


def efi_time(stated: str) -> bytes:
    """Return an EFI_TIME, of UTC and whole seconds as 8.2.2 wants it; BadInput for what is no such time."""
    try:
        moment = datetime.strptime(stated, WRITTEN).replace(tzinfo=UTC)
    except ValueError:
        raise BadInput(f"{stated[:40]!r} is no time.", hint="such as 2026-12-01T08:00:00Z") from None
    if moment.strftime(WRITTEN) != stated or moment.year < 1900:
        raise BadInput(f"{stated[:40]!r} is no time that firmware knows.", hint="such as 2026-12-01T08:00:00Z")
    return _TIME.pack(*moment.timetuple()[:6], 0, 0, 0, 0, 0)


def time_of(octets: bytes) -> str | None:
    """Write an EFI_TIME as RFC 3339 has it; None where it is no time, or of another kind than 8.2.2 wants."""
    year, month, day, hour, minute, second, pad, nanoseconds, zone, daylight, pad2 = _TIME.unpack(octets)
    try:
        moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
    stated = moment.strftime(WRITTEN)
    return None if (pad, nanoseconds, zone, daylight, pad2) != (0, 0, 0, 0, 0) or moment.year < 1900 else stated


def octets(variable: tuple[str, str], attributes: int, time: bytes, content: bytes) -> bytes:
    """Return what is signed."""
    name, vendor = variable
    return name.encode("utf-16-le") + guid(vendor) + attributes.to_bytes(4, "little") + time + content


def check_content(variable: tuple[str, str], content: bytes) -> str:
    """Say what the content of a variable holds; BadInput where firmware would not take it."""
    if len(content) > uefi_lists.MAX_OCTETS:
        raise BadInput(f"it has {len(content)} octets, and at most {uefi_lists.MAX_OCTETS} are signed")
    if KNOWN.get(variable[0]) != variable[1]:
        return ""
    holds = uefi_lists.words(content)
    if variable[0] == "PK" and sum(uefi_lists.count(content).values()) > 1:
        raise BadInput("a platform key is one certificate, and it holds more")
    return holds


def check(described: Described, options: Options) -> bytes:
    """Return the octets that are signed; refuse a description that no variable gives, or other than the options."""
    facts = fitting.facts_of(described, NAME, VariableFacts, "a UEFI variable")
    if described.digest_algorithm != "sha256":
        raise BadInput(f"UEFI signs variables by SHA-256, not by {described.digest_algorithm}.", hint="--digest sha256")
    try:
        content = base64.b64decode(facts.content, validate=True)
    except ValueError as error:
        raise BadInput(f"The facts of this description are not those of a UEFI variable: {error}.") from None
    variable = facts.variable, facts.vendor
    if base64.b64encode(content).decode() != facts.content or not _sound(facts.variable):
        raise BadInput("No UEFI variable is described here: its name or content is not written as it would be.")
    if facts.attributes not in ATTRIBUTES:
        raise BadInput(f"No variable with the attributes {facts.attributes:#x} takes such a signature.")
    wished = (
        (options.efi_variable is None or variable_of(options.efi_variable) == variable)
        and options.efi_time in (None, facts.time)
        and options.efi_attributes in (None, facts.attributes)
    )
    if not wished:
        raise BadInput("The description and the options do not agree on variable, time or attributes.")
    try:
        holds = check_content(variable, content)
    except BadInput as error:
        raise BadInput(f"No content of {facts.variable} is described here: {error.detail}.") from None
    signed = octets(variable, facts.attributes, efi_time(facts.time), content)
    if (holds, hashlib.sha256(signed).digest(), len(signed)) != (facts.holds, described.digest, described.size):
        raise BadInput("The description of this UEFI variable contradicts itself.")
    return signed


def _sound(name: str) -> bool:
    """Tell whether a name can be written in UTF-16 and shown."""
    try:
        name.encode("utf-16-le")
    except UnicodeEncodeError:
        return False
    return name.isprintable()
