"""What stands on the disk after signing is what was to be signed: looked at before anybody is told that it is done.

A file of its own beside ``verify.py``, for it needs no roots, no receipts and no log, and to load those takes who signs
one small file as long as signing it.
"""

from __future__ import annotations

import msgspec

from privyseal.errors import VerificationFailed
from privyseal.formats.examine import examine
from privyseal.formats.protocol import CodeFormat, EmbeddedSignature, Prepared, Source


class Expected(msgspec.Struct, frozen=True):
    """What a signed file must turn out to carry; there is one blob for each description."""

    blobs: tuple[bytes, ...]
    prepared: Prepared
    certificate: bytes
    timestamped: bool
    known_problems: frozenset[str] = frozenset()
    """Codes of what was loose in the file before, where other people's signatures stay in it."""


def confirm(code_format: CodeFormat, written: Source, expected: Expected) -> tuple[EmbeddedSignature, ...]:
    """Find the signatures in what was written, one for each description; VerificationFailed where one is not good."""
    examined = examine(code_format, written, expected.prepared)
    there = {each.blob: each for each in reversed(examined.signatures)}
    loose = [each for each in examined.problems if each.code not in expected.known_problems]
    for blob, described in zip(expected.blobs, expected.prepared.described, strict=True):
        if (found := there.get(blob)) is None:
            raise _not_as_expected("the signature is not in it")
        for problem in (*found.problems, *loose):
            raise _not_as_expected(problem.text)
        if (found.digest_algorithm, found.digest) != (described.digest_algorithm, described.digest):
            raise _not_as_expected("the signature is over another digest")
        if found.signer != expected.certificate:
            raise _not_as_expected("the signature is under another certificate")
        if expected.timestamped:
            if found.timestamp is None:
                raise _not_as_expected("there is no timestamp")
            from privyseal.timestamp.token import verify_token  # only where there is one

            verify_token(found.timestamp, octets=found.signature_value)
    return tuple(there[blob] for blob in expected.blobs)


def _not_as_expected(why: str) -> VerificationFailed:
    return VerificationFailed(
        f"What was written does not verify: {why.rstrip('.')}.", hint="the file is as it was; please report this"
    )
