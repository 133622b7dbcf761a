"""What a description of a NuGet package says, and the key side's checks of it, which see no file."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Final

import msgspec

from privyseal.errors import BadInput
from privyseal.formats import fitting, nuget_blob, nuget_counter, zipdir
from privyseal.terms.signatures import DIGEST_SIZES, Described, Options

NAME: Final = "nuget"
"""What the format is called."""
MAX_WORD: Final = 256
"""Characters of a package's identifier and version; nuget.org allows 128 and 64."""
ONE_AUTHOR: Final = "A NuGet package carries one author's signature: replace it instead."
"""What an author hears who would sign beside another."""
_LEAST_VALUE, _MOST_VALUE = 256, 2048
"""Octets of an RSA signature: NuGet takes keys from 2048 bits on."""
WRITTEN: Final = "%Y-%m-%dT%H:%M:%SZ"
"""How the time of the newest entry is stated: RFC 3339, UTC, whole seconds."""
LATEST: Final = datetime(2049, 12, 31, tzinfo=UTC)
"""What a UTCTime holds (RFC 5652 11.3)."""


class NugetFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a description of a package says beside digest and size."""

    package: str
    version: str
    entries: int
    complete: str
    """The time of the newest entry, as RFC 3339 writes it; MS-DOS times have no zone and are taken for UTC."""
    author: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")] | None = None
    """Whose signature is counter-signed: SHA-256 of the certificate; None where none is."""


def check(described: Described, options: Options) -> nuget_blob.Said:
    """Return what is said of the package; refuse a description that none gives, and options that NuGet has not."""
    repository = nuget_counter.of_options(options)
    counter = options.mode == "append"
    if counter and repository is None:
        raise BadInput(ONE_AUTHOR)
    facts = fitting.facts_of(described, NAME, NugetFacts, "a NuGet package")
    words = (facts.package, facts.version)
    if not all(0 < len(word) <= MAX_WORD and word.isprintable() for word in words):
        raise BadInput(
            f"No NuGet package is described here: identifier and version have from 1 to {MAX_WORD} characters."
        )
    if counter != (facts.author is not None):
        raise BadInput("The description and the options do not agree on whether an author's signature is there.")
    least, most = (_LEAST_VALUE, _MOST_VALUE) if counter else (zipdir.LAST.size + 1, zipdir.FULL32)
    if not 1 <= facts.entries <= zipdir.FULL16 or not least <= described.size <= most:
        raise BadInput(f"No NuGet package is described here: {facts.entries} entries in {described.size} octets.")
    if len(described.digest) != DIGEST_SIZES[described.digest_algorithm]:
        raise BadInput("The digest of this description has not the size of its algorithm.")
    try:
        complete = datetime.strptime(facts.complete, WRITTEN).replace(tzinfo=UTC)
    except ValueError:
        complete = datetime.max.replace(tzinfo=UTC)
    if not 1980 <= complete.year <= LATEST.year or complete.strftime(WRITTEN) != facts.complete:
        raise BadInput(f"No NuGet package is described here: it was never complete, at {facts.complete[:40]!r}.")
    return nuget_blob.Said(complete, repository, counter)
