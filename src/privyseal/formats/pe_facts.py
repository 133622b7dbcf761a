"""What a description of a PE file says, and what is signed of one: the key side's checks, which see no file."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Annotated

import msgspec

from privyseal.errors import BadInput
from privyseal.formats import authenticode, fitting, pe_layout, pe_pages
from privyseal.terms.signatures import Described, Options

SUBJECT = authenticode.SUBJECTS["pe"]
"""What a signature without page hashes is about."""
UNHASHED = 12
"""Octets of the content that are not hashed: the checksum and the data directory."""
_SMALLEST = 4 + 24 + 96 + 5 * 8 - UNHASHED
"""Octets covered of the smallest file: MZ, PE header, optional header of PE32 with five data directories."""


class PeFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a description of a PE file says beside digest and size: three numbers of its headers, shown to approvers.

    With page hashes, also by which algorithm they are, and the SHA-256, lower-case hex, of the table beside it.
    """

    machine: int
    magic: int
    subsystem: int
    page_hashes: pe_pages.PageAlgorithm | None = None
    enclosed: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")] | None = None


def subject_of(described: Described, options: Options, enclosed: bytes) -> authenticode.Subject:
    """Return what the signature is about; BadInput for a description, or a table beside it, that no PE file gives."""
    fitting.require_format(described, pe_layout.NAME)
    facts = _headers(**described.facts)
    if not _SMALLEST <= described.size <= pe_layout.MAX_FILE or (described.size + UNHASHED) % 8:
        raise BadInput(f"No PE file is described here: a signature cannot cover {described.size} octets of one.")
    if facts.page_hashes != options.page_hashes or (facts.page_hashes is None) != (facts.enclosed is None):
        raise BadInput("The description and the options do not agree on page hashes.")
    if facts.page_hashes is None:
        if enclosed:
            raise BadInput("Something came beside the description that it does not name.")
        return SUBJECT
    if not enclosed:
        raise BadInput("The table of page hashes that the description names did not come with it.")
    if hashlib.sha256(enclosed).hexdigest() != facts.enclosed:
        raise BadInput("The table of page hashes is not the one whose digest stands in the description.")
    pe_pages.check(facts.page_hashes, enclosed, described.size)
    return pe_pages.subject(facts.page_hashes, enclosed)


@lru_cache(maxsize=256, typed=True)  # a build's programs say the same few things; typed, because True equals 1
def _headers(**facts: str | int | bool) -> PeFacts:
    try:
        headers = msgspec.convert(facts, PeFacts, strict=True)
    except msgspec.ValidationError as error:
        raise BadInput(f"The facts of this description are not those of a PE file: {error}.") from None
    if (why := pe_layout.contradiction(headers.machine, headers.magic)) is not None:
        raise BadInput(f"No PE file is described here: {why}.")
    if not (0 < headers.machine <= 0xFFFF and 0 <= headers.subsystem <= 0xFFFF):
        raise BadInput("No PE file is described here: machine and subsystem are 16-bit numbers.")
    return headers
