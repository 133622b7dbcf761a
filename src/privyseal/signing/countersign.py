"""The step of a walk in which signatures get their timestamps, and blobs are built of both."""

from __future__ import annotations

from collections.abc import Sequence

from privyseal.errors import PrivySealError
from privyseal.formats import key_side
from privyseal.records import requests
from privyseal.signing.case import Case, errors_into, store
from privyseal.signing.instance import PrivySeal
from privyseal.signing.timestampers import LIMIT_S
from privyseal.terms.signatures import DigestAlgorithm, Signature, TimestampToken


def countersign(seal: PrivySeal, cases: Sequence[Case], *, elsewhere: bool) -> None:
    """Have every signature timestamped, one question for each digest algorithm, and build the blobs.

    Without ``elsewhere`` a request for whose timestamp others have to be asked stays as it is.
    """
    if not cases:
        return
    tokens: dict[str, list[TimestampToken]] = {}
    wanting = [c for c in cases if c.request.options.timestamp]
    within = min(LIMIT_S, seal.holder.lease.total_seconds() / 2)  # half of it is for writing down what was had
    for algorithm in sorted({_imprint(c) for c in wanting}):
        asked = [c for c in wanting if _imprint(c) == algorithm]
        values = [value for c in asked for value in c.stamped()]
        with errors_into(asked):
            had = iter(seal.timestampers.stamp(algorithm, values, elsewhere=elsewhere, within=within))
            for case in asked:
                own = [next(had) for _ in case.stamped()]
                given = [each for each in own if isinstance(each, TimestampToken)]
                case.error = next((each for each in own if isinstance(each, PrivySealError)), None)
                if len(given) == len(own):
                    tokens[case.dossier.id] = given
    ready = [c for c in cases if c.error is None and (c.dossier.id in tokens or not c.request.options.timestamp)]
    blobs: dict[str, list[bytes]] = {}
    for case in ready:
        with errors_into([case]):
            blobs[case.dossier.id] = build(case, case.dossier.signatures, tokens.get(case.dossier.id, ()))
    store(
        seal,
        [c for c in ready if c.error is None],
        lambda tx, some: requests.store_blobs(
            tx, [(c.dossier, tokens.get(c.dossier.id, ()), blobs[c.dossier.id]) for c in some]
        ),
    )


def build(case: Case, signatures: Sequence[bytes], tokens: Sequence[TimestampToken]) -> list[bytes]:
    """Return the blob of each piece of code, of the signatures over it and their timestamps, if they have any."""
    octets = case.build()
    values, stamps = iter(signatures), iter(tokens)
    signed = [[Signature(each, next(values)) for each in piece] for piece in octets]
    given = [[next(stamps) for each in piece if each.stamped] if tokens else [] for piece in octets]
    request = case.request
    return key_side.blobs(request.described, case.identity, request.options, signed, given, case.enclosed)


def _imprint(case: Case) -> DigestAlgorithm:
    return case.request.described[0].digest_algorithm
