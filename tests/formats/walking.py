"""The way of a file of any format: signed, looked at, taken apart again, timestamped later; all with the catalogue."""

from __future__ import annotations

from pathlib import Path

from tests.formats.signing import PLAIN, Signatory, blobs_for, stamp, troubles

from privyseal.formats import catalogue
from privyseal.formats.examine import Examined, examine
from privyseal.formats.patch import carry_out
from privyseal.formats.protocol import Identity
from privyseal.formats.source import FileSource
from privyseal.terms.signatures import Described, DigestAlgorithm, Options


def sign(
    path: Path,
    who: Signatory,
    *,
    target: Path | None = None,
    options: Options = PLAIN,
    digest: DigestAlgorithm = "sha256",
    stamped: bool = False,
) -> bytes:
    """Sign a file as the command line does, in place or into ``target``, and return the first blob."""
    with FileSource.open(path) as code:
        code_format = catalogue.recognise(code)
        prepared = code_format.prepare(code, code_format.inspect(code), who.identity, options, digest)
        blobs = blobs_for(prepared, who, options, stamped)
        carry_out(code_format.apply(code, prepared, options, blobs), code, target or path)
    return blobs[0]


def look(path: Path) -> Examined:
    """Return what a file says of itself."""
    with FileSource.open(path) as code:
        return examine(catalogue.recognise(code), code)


def wrong(path: Path) -> set[str]:
    """Return the slugs of everything that is wrong with a file."""
    return troubles(look(path))


def describe(path: Path, digest: DigestAlgorithm = "sha256") -> Described:
    """Return the description of a file."""
    with FileSource.open(path) as code:
        code_format = catalogue.recognise(code)
        layout = code_format.inspect(code)
        return code_format.prepare(code, layout, Identity((), ""), PLAIN, digest).described[0]


def remove(path: Path) -> None:
    """Take all signatures off a file."""
    with FileSource.open(path) as code:
        code_format = catalogue.recognise(code)
        carry_out(code_format.remove(code, code_format.inspect(code)), code, path)


def stamp_later(path: Path, *numbers: int) -> None:
    """Add a timestamp to the signatures of these numbers."""
    with FileSource.open(path) as code:
        code_format = catalogue.recognise(code)
        layout = code_format.inspect(code)
        values = {one.index: one.signature_value for one in code_format.signatures(code, layout)}
        tokens = {number: stamp().token(values[number]) for number in numbers}
        carry_out(code_format.timestamped(code, layout, tokens), code, path)
