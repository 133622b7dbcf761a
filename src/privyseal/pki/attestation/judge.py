"""Files in, and out comes what they prove of a key: attested, or not evidenced; and refused where something is wrong.

There is no way to ``Attested`` but through a format that verified a path to a pinned root, and no request beside it
whose key or own signature is another.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from privyseal.errors import VerificationFailed
from privyseal.pki import certificates
from privyseal.pki.attestation import anchors, catalogue, pieces, requests
from privyseal.pki.attestation.protocol import Attested

VERIFIER = "privyseal-attestation/1"
"""Name and version of this way of judging, for the record: the number changes when an old verdict could be another."""


class NotEvidenced(Struct, frozen=True, tag=True):
    """Files in which no attestation was found that any of our formats knows: they show nothing, which is not bad."""

    why: str


def judge(files: Sequence[bytes], at: datetime, pinned: Sequence[bytes] = ()) -> Attested | NotEvidenced:
    """Verify the attestation in these files as of a moment; requests among them must be for its key.

    ``pinned`` are roots, DER, that whoever asks trusts beside those that are shipped, whatever the format is. BadInput
    for files that are broken; VerificationFailed where a signature, name, date or key is wrong.
    """
    asked = [requests.read(each) for each in pieces.unpack(files).requests]
    known = catalogue.recognise(files)
    if known is None:
        for each in asked:
            requests.require_own(each)
        names = ", ".join(each.title for each in catalogue.FORMATS)
        return NotEvidenced(f"No attestation was found in the files. Known are those of {names}.")
    found = known.read(files, (*anchors.of_format(known.name), *pinned), at)
    for each in asked:
        requests.require_own(each)
        if each.spki != found.spki:
            raise VerificationFailed(
                f"The attestation is for the key {certificates.key_id(found.spki)[:16]}, and the certificate request"
                f" for the key {certificates.key_id(each.spki)[:16]}."
            )
    return found
