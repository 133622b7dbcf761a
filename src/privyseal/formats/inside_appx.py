"""App packages as containers: their files, and the package with some of them replaced and its block map made anew.

Source: Microsoft, "App package block map", and its schema; how makeappx packs is taken from packages that it made. The
block map holds a digest of each 64 KiB of a file as it is unpacked and, for files that are packed, how long each such
block is in the package; the two octets that end the file's deflate stream are in none of them.

A bundle is refused: its manifest says where each package begins, and the packages are signed before they are bundled.
So is a package with a code integrity catalogue, which Microsoft's store makes over what is inside.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping
from typing import IO, Final, NoReturn
from urllib.parse import unquote

from privyseal.errors import MalformedCode
from privyseal.formats import appx_layout, markup, zipdir, zipdir_writing
from privyseal.formats.inside_zip import ZipContainer, packed
from privyseal.formats.protocol import Layout, Source
from privyseal.formats.zipdir import Entry

BLOCK: Final = 1 << 16
"""Octets of one block, all but a file's last."""
_OF_THE_PACKAGE = {appx_layout.SIGNATURE, appx_layout.TYPES, appx_layout.BLOCK_MAP, appx_layout.CODE_INTEGRITY}
"""What the block map does not speak of."""
_KNOWN = {"Name", "Size", "LfhSize"}


class AppxContainer(ZipContainer):
    """An app package."""

    def __init__(self, code: Source, layout: Layout | None = None) -> None:
        """Read the package; MalformedCode where it is none."""
        self.layout = layout if isinstance(layout, appx_layout.AppxLayout) else appx_layout.read_layout(code)
        super().__init__(code, self.layout)

    def rebuild(self, replaced: Mapping[int, Source], out: IO[bytes]) -> None:
        """Write the package with these files replaced, and a block map that says so."""
        self._check(replaced)
        new = {self.members[number].name: code for number, code in replaced.items()}
        written: dict[bytes, tuple[Source, tuple[int, ...]]] = {}
        placed = []
        for one in zipdir_writing.in_order(self.archive):
            name = one.entry.name
            if name in new:
                made, blocks = packed(one.entry, new[name], out, BLOCK)
                written[name] = (new[name], blocks)
                placed.append(made)
            elif name == appx_layout.BLOCK_MAP:
                if len(written) < len(new):
                    self._refuse("its block map stands before files that it describes")
                placed.append(packed(one.entry, _Octets(self._map(one.entry, written)), out)[0])
            else:
                placed.append(self.copied(one, out))
        out.write(zipdir_writing.directory(self.archive, placed))

    def unchanged(self, number: int, other: ZipContainer) -> bool:
        """Tell whether an entry is the same in another package; the block map speaks of others, and so may differ."""
        return self.members[number].name == appx_layout.BLOCK_MAP or super().unchanged(number, other)

    def _check(self, replaced: Mapping[int, Source]) -> None:
        if self.layout.bundle:
            self._refuse("it is a bundle, whose manifest says where each package begins", "sign the packages first")
        if self.archive.find(appx_layout.CODE_INTEGRITY) is not None:
            self._refuse("it has a code integrity catalogue over what is inside")
        if any(self.members[number].name in _OF_THE_PACKAGE for number in replaced):
            self._refuse("what is to be replaced in it is of the package itself")

    def _refuse(self, why: str, first: str = "sign what is inside") -> NoReturn:
        raise MalformedCode(
            f"{self.code.filename} cannot be made anew with other content: {why}.",
            hint=f"{first}, then pack it, then sign the package",
        )

    def _map(self, entry: Entry, written: Mapping[bytes, tuple[Source, tuple[int, ...]]]) -> bytes:
        """Return the block map with the elements of the files that were replaced written anew."""
        octets = zipdir.whole(self.code, entry, markup.MAX_OCTETS)
        if octets[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in octets:
            self._refuse("its block map is in UTF-16, and UTF-8 was expected")
        root, *files = markup.scan(octets, f"{entry.shown} in {self.code.filename}")
        wanted = {_in_map(name): (name, *what) for name, what in written.items()}
        parts, at = [], 0
        for each in files:
            found = wanted.pop(each.attributes.get("Name", "").lower(), None)
            if found is None:
                continue
            if (each.namespace, each.name) != (root.namespace, "File") or each.attributes.keys() - _KNOWN:
                self._refuse("its block map says more of a file than is known here")
            end = each.close
            if octets[end : end + 2] == b"</":
                end = octets.find(b">", end) + 1
            parts += [octets[at : each.start], b"".join(self._file(each, root.prefix, *found))]
            at = end
        if wanted:
            self._refuse("its block map does not speak of every file in it")
        return b"".join(parts) + octets[at:]

    def _file(
        self, old: markup.Element, prefix: str, name: bytes, code: Source, blocks: tuple[int, ...]
    ) -> Iterator[bytes]:
        """Yield the element of one file."""
        colon = f"{prefix}:" if prefix else ""
        shown = old.attributes["Name"].replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
        header = zipdir.HEADER.size + len(name)
        yield f'<{colon}File Name="{shown}" Size="{code.size}" LfhSize="{header}">'.encode()
        for number, at in enumerate(range(0, code.size, BLOCK)):
            octets = code.pread(at, min(BLOCK, code.size - at))
            digest = base64.b64encode(hashlib.new(self.layout.algorithm, octets).digest()).decode("ascii")
            size = f' Size="{blocks[number]}"' if blocks else ""
            yield f'<{colon}Block Hash="{digest}"{size}/>'.encode()
        yield f"</{colon}File>".encode()


def _in_map(name: bytes) -> str:
    """Return what the block map calls an entry, in lower case: not escaped, and with Windows' separators."""
    return unquote(name.decode("utf-8", "replace")).replace("/", "\\").lower()


class _Octets:
    """A small source."""

    filename = "AppxBlockMap.xml"

    def __init__(self, octets: bytes) -> None:
        self._octets = octets
        self.size = len(octets)

    def pread(self, offset: int, count: int) -> bytes:
        """Return octets."""
        return self._octets[offset : offset + count]

    def readinto(self, offset: int, buffer: memoryview) -> int:
        """Fill a buffer."""
        octets = self._octets[offset : offset + len(buffer)]
        buffer[: len(octets)] = octets
        return len(octets)
