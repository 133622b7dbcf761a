"""What is inside an extension of Visual Studio: files in an archive, of which its own manifest may state digests.

Since version 3 the archive has a ``manifest.json`` that lists the files, each with its digest, or with null for one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import IO, Final

from privyseal.errors import MalformedCode
from privyseal.formats import markup, zipdir
from privyseal.formats.inside_zip import ZipContainer
from privyseal.formats.protocol import Source

MANIFEST: Final = b"manifest.json"
"""The entry that lists the files of an extension."""
_STATED = re.compile(rb'"sha256"\s*:\s*"', re.IGNORECASE)


class VsixContainer(ZipContainer):
    """An extension of Visual Studio."""

    def rebuild(self, replaced: Mapping[int, Source], out: IO[bytes]) -> None:
        """Write the extension with these files replaced; MalformedCode where it states what they hash to."""
        entry = self.archive.find(MANIFEST)
        if entry is not None and _STATED.search(zipdir.whole(self.code, entry, markup.MAX_OCTETS)):
            raise MalformedCode(
                f"{self.code.filename} cannot be made anew with other content: its manifest.json states digests of the "
                "files in it.",
                hint="sign what is inside, then make the extension, then sign it",
            )
        super().rebuild(replaced, out)
