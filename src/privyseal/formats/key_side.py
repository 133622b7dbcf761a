"""The key side for all pieces of code of a request: what is signed of each, and the blobs that come of the signatures.

Whoever holds a request, the service before it logs the intent and the signer before it uses the key, asks here. What
is the same for all pieces of one format, as those of a build mostly are, is looked at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import attrgetter

from privyseal.errors import BadInput
from privyseal.formats import catalogue, operations
from privyseal.formats.protocol import CodeFormat, Identity
from privyseal.terms.signatures import Described, Options, Signature, TimestampToken, ToBeSigned


def octets(
    described: Sequence[Described], identity: Identity, options: Options, enclosed: Sequence[bytes] = ()
) -> list[list[ToBeSigned]]:
    """Return for each piece what its format wants signed; ``enclosed`` is what travels beside each, or nothing.

    BadInput where as many things did not come beside them, where a format is not known, or would not have made the
    description; Impossible where it cannot do what is wished for.
    """
    if enclosed and len(enclosed) != len(described):
        raise BadInput(f"{len(enclosed)} things came beside {len(described)} descriptions.")
    found: list[list[ToBeSigned]] = []
    for code_format, run in _runs(described):
        operations.require_for(code_format, options)
        build = code_format.to_be_signed
        if enclosed:
            beside = enclosed[len(found) : len(found) + len(run)]
            found += [list(build(each, identity, options, it)) for each, it in zip(run, beside, strict=True)]
        else:
            found += [list(build(each, identity, options)) for each in run]
    return found


def blobs(
    described: Sequence[Described],
    identity: Identity,
    options: Options,
    signed: Sequence[Sequence[Signature]],
    tokens: Sequence[Sequence[TimestampToken]],
    enclosed: Sequence[bytes] = (),
) -> list[bytes]:
    """Return the blob of each piece, of the signatures over it and their timestamps, which may be none.

    BadInput where a signature is over other octets than :func:`octets` returns.
    """
    found: list[bytes] = []
    for code_format, run in _runs(described):
        here = slice(len(found), len(found) + len(run))
        beside = enclosed[here] or [b""] * len(run)
        found += [
            code_format.finish(each, identity, options, values, stamps, it)
            for each, values, stamps, it in zip(run, signed[here], tokens[here], beside, strict=True)
        ]
    return found


def _runs(described: Sequence[Described]) -> Iterator[tuple[CodeFormat, Sequence[Described]]]:
    """Yield each format with the pieces of it that stand together."""
    for name, run in groupby(described, attrgetter("format")):
        code_format = catalogue.BY_NAME.get(name)
        if code_format is None:
            raise BadInput(f"No code format is named {name[:32]!r}; known are {', '.join(catalogue.BY_NAME)}.")
        yield code_format, list(run)
