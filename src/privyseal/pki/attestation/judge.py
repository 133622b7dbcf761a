"""Files in, and out comes what they prove of a key: attested, or not evidenced; and refused where something is wrong.

There is no way to ``Attested`` but through a format that verified a path to a pinned root, and no request beside it
whose key or own signature is another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec
from msgspec import Struct

from privyseal.errors import VerificationFailed
from privyseal.pki import certificates
from privyseal.pki.attestation import anchors, catalogue, paths, pieces, requests
from privyseal.pki.attestation.protocol import Attested, Whose

VERIFIER = "privyseal-attestation/2"
"""Name and version of this way of judging, for the record: the number changes when an old verdict could be another."""


class NotEvidenced(Struct, frozen=True, tag=True):
    """Files in which no attestation was found that any of our formats knows: they show nothing, which is not bad."""

    why: str


def judge(
    files: Sequence[bytes],
    at: datetime,
    pinned: Sequence[bytes] = (),
    added: Mapping[str, Sequence[bytes]] | None = None,
) -> Attested | NotEvidenced:
    """Verify the attestation in these files as of a moment; requests among them must be for its key.

    ``pinned`` are roots, DER, that whoever asks trusts beside those that are shipped, whatever the format is; ``added``
    those that the operator trusts, by the name of the format for which. Of the three, what is shipped goes first and
    what was asked last, and the answer says whose the root is. BadInput for files that are broken; VerificationFailed
    where a signature, name, date or key is wrong.
    """
    cut = pieces.unpack(files)
    paths.read_all(cut.certificates)  # one that cannot be read is refused, and not overlooked
    asked = [requests.read(each) for each in cut.requests]
    for each in asked:
        requests.require_own(each)
    known = catalogue.recognise(files)
    if known is None:
        names = ", ".join(each.title for each in catalogue.FORMATS)
        return NotEvidenced(f"No attestation was found in the files. Known are those of {names}.")
    roots = _roots(known.name, pinned, added or {})
    found = known.read(files, tuple(roots), at)
    for each in asked:
        if each.spki != found.spki:
            raise VerificationFailed(
                f"The attestation is for the key {certificates.key_id(found.spki)[:16]}, and the certificate request"
                f" for the key {certificates.key_id(each.spki)[:16]}."
            )
    if found.format != known.name:  # what stood inside, which has roots of its own
        roots = _roots(found.format, pinned, added or {})
    whose = {hashlib.sha256(each).hexdigest(): one for each, one in roots.items()}
    if found.anchor not in whose:
        raise VerificationFailed("The attestation ends in a root that is trusted for another format only.")
    return msgspec.structs.replace(found, root=whose[found.anchor])


def _roots(name: str, pinned: Sequence[bytes], added: Mapping[str, Sequence[bytes]]) -> dict[bytes, Whose]:
    """Return the roots that are trusted for a format, and who trusts each: first the maker's, then what others add."""
    roots: dict[bytes, Whose] = dict.fromkeys(anchors.of_format(name), "maker")
    for each in added.get(name, ()):
        roots.setdefault(each, "operator")
    for each in pinned:
        roots.setdefault(each, "caller")
    return roots
