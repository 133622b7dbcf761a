"""Every attestation format there is: a literal list. What stands earlier wins where two recognise the same files."""

from __future__ import annotations

from collections.abc import Sequence

from privyseal.pki.attestation.luna_pkc import LunaPkc
from privyseal.pki.attestation.marvell import Marvell
from privyseal.pki.attestation.nshield import Nshield
from privyseal.pki.attestation.pkix_evidence import PkixEvidence
from privyseal.pki.attestation.protocol import Format
from privyseal.pki.attestation.tpm2 import Tpm2
from privyseal.pki.attestation.yubihsm2 import YubiHsm2
from privyseal.pki.attestation.yubikey_piv import YubiKeyPiv

FORMATS: tuple[Format, ...] = (
    YubiKeyPiv(),
    YubiHsm2(),
    LunaPkc(),
    Tpm2(),
    Marvell(),
    Nshield(),
    PkixEvidence(),
)
"""Every attestation format; the first that recognises files reads them."""

BY_NAME: dict[str, Format] = {each.name: each for each in FORMATS}
"""The same by their names, as verdicts and statements have them."""


def recognise(files: Sequence[bytes]) -> Format | None:
    """Return the format of the attestation in these files; None where none of ours knows it."""
    return next((each for each in FORMATS if each.recognises(files)), None)
