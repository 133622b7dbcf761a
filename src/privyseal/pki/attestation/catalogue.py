"""Every attestation format there is: a literal list. What stands earlier wins where two recognise the same files."""

from __future__ import annotations

from collections.abc import Sequence

from privyseal.pki.attestation.protocol import Format

FORMATS: tuple[Format, ...] = ()


def recognise(files: Sequence[bytes]) -> Format | None:
    """Return the format of the attestation in these files; None where none of ours knows it."""
    return next((each for each in FORMATS if each.recognises(files)), None)
