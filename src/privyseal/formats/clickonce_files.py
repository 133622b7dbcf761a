"""The files that a ClickOnce manifest names, with the hashes it states; and new hashes, once those files were signed.

An application's manifest names the program's files, a deployment's the application's manifest. Signing a file changes
it, so inside comes first: the files, then their hashes here, then this manifest, then the one that names it.

A path is taken only where it leads to a file beside or below the manifest, whatever the machine. Where a deployment
maps extensions, files are stored and fetched under their name with ``.deploy`` behind it (``mapFileExtensions``).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Final

import msgspec

from privyseal.errors import BadInput
from privyseal.formats import clickonce_manifest
from privyseal.formats.clickonce_blob import DIGEST_METHODS
from privyseal.formats.clickonce_manifest import ASM1, ASM2, DSIG, NO_TOKEN, ClickOnceLayout, Edit
from privyseal.formats.protocol import PatchPlan
from privyseal.formats.xml_canonical import Element

MAX_NAMED: Final = 1 << 16
"""Files that one manifest names; large programs have a few thousand."""
MAX_PATH: Final = 1024
"""Characters of a path; Windows takes 260 of most programs."""

_STRANGE = re.compile(r'[\x00-\x1f:*?"<>|]')
_SHA256 = next(iter(DIGEST_METHODS))


class Named(msgspec.Struct, frozen=True):
    """One file that a manifest names."""

    path: str | None
    """Relative to the manifest, with ``/``; None where it leads elsewhere, such as to a server."""
    stated: str
    """As the manifest has it."""
    size: int | None
    algorithm: str | None
    """``sha256``, ``sha1`` or None where the manifest states no hash that is known here."""
    digest: bytes
    element: Element
    """The ``file`` or ``dependentAssembly``."""

    @property
    def identity(self) -> Element | None:
        """Return the identity that an assembly is named by."""
        held = [
            one for one in self.element.elements if one.name == "assemblyIdentity" and one.namespace in (ASM1, ASM2)
        ]
        return held[0] if len(held) == 1 else None

    def token_is(self, token: str) -> bool:
        """Tell whether an assembly is named by an identity with this strong name, or has none, as this is none."""
        stated = "" if self.identity is None else self.identity.get("publicKeyToken") or ""
        return self.identity is None or (stated or NO_TOKEN).lower() == (token or NO_TOKEN).lower()


def files(layout: ClickOnceLayout) -> tuple[Named, ...]:
    """Return the files that a manifest installs, in its order; BadInput where it names too many."""
    found = []
    for one in _elements(layout):
        stated = one.get("name" if one.name == "file" else "codebase") or ""
        size = one.get("size") or ""
        algorithm, digest = _hash(one)
        number = int(size) if size.isdecimal() and len(size) < 20 else None
        found.append(Named(_relative(stated), stated, number, algorithm, digest, one))
        if len(found) > MAX_NAMED:
            raise BadInput(f"The manifest names more than {MAX_NAMED} files.")
    return tuple(found)


def maps_extensions(layout: ClickOnceLayout) -> bool:
    """Tell whether a deployment has its files stored with ``.deploy`` behind their names."""
    return any(one.get("mapFileExtensions") == "true" for one in layout.document.root.called(ASM2, "deployment"))


def rehashed(
    layout: ClickOnceLayout, files_now: Mapping[str, tuple[int, bytes]], tokens: Mapping[str, str] | None = None
) -> PatchPlan:
    """Plan the manifest with new sizes and SHA-256 hashes of the files named here by their ``path``.

    ``tokens`` are the strong names that application manifests got by being signed, as ``mage -update`` takes them over.
    Its signature, if it has one, is void then. BadInput where it does not name such a file, or states no hash of it.
    """
    edits: list[Edit] = []
    named = {one.path: one for one in files(layout) if one.path is not None}
    for path, (size, digest) in files_now.items():
        if path not in named or named[path].algorithm is None:
            raise BadInput(f"The manifest states no hash of the file {path[:200]!r}.")
        held = _only_hash(named[path].element)
        if held is None:
            raise BadInput(f"The manifest states several hashes of the file {path[:200]!r}.")
        method, value = held
        edits += [
            _attribute(layout, named[path].element, "size", str(size)),
            _attribute(layout, method, "Algorithm", _SHA256),
            _text(layout, value, base64.b64encode(digest).decode("ascii")),
        ]
    for path, token in (tokens or {}).items():
        if path not in named or (identity := named[path].identity) is None:
            raise BadInput(f"The manifest states no identity of the file {path[:200]!r}.")
        edits.append(clickonce_manifest.token_edit(identity, layout.octets, token))
    return clickonce_manifest.plan(layout, edits)


def _elements(layout: ClickOnceLayout) -> list[Element]:
    root = layout.document.root
    found = [one for one in root.elements if one.name == "file" and one.namespace in (ASM1, ASM2)]
    for dependency in root.called(ASM2, "dependency"):
        for one in dependency.called(ASM2, "dependentAssembly"):
            if one.get("dependencyType", "") == "install" and one.get("codebase"):
                found.append(one)
    return sorted(found, key=lambda one: one.start)


def _relative(stated: str) -> str | None:
    path = stated.replace("\\", "/")
    parts = path.split("/")
    outside = not path or len(path) > MAX_PATH or _STRANGE.search(path) is not None
    return None if outside or any(part in ("", ".", "..") or part.endswith((" ", ".")) for part in parts) else path


def _only_hash(element: Element) -> tuple[Element, Element] | None:
    held = [each for each in element.elements if each.name == "hash" and each.namespace in (ASM1, ASM2)]
    if len(held) != 1:
        return None
    methods, values = held[0].called(DSIG, "DigestMethod"), held[0].called(DSIG, "DigestValue")
    return (methods[0], values[0]) if len(methods) == 1 == len(values) else None


def _hash(element: Element) -> tuple[str | None, bytes]:
    held = _only_hash(element)
    if held is None:
        return None, b""
    try:
        digest = base64.b64decode("".join(held[1].text.split()).encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error, ValueError):
        return None, b""
    return DIGEST_METHODS.get(held[0].get("Algorithm") or ""), digest


def _attribute(layout: ClickOnceLayout, element: Element, name: str, value: str) -> Edit:
    place = clickonce_manifest.attribute_of(element, layout.octets, name)
    if place is None:
        raise BadInput(f"The manifest states no {name} of a file.")
    return (*place, f'"{clickonce_manifest.escaped(value)}"'.encode())


def _text(layout: ClickOnceLayout, element: Element, text: str) -> Edit:
    if element.elements or not element.children:
        raise BadInput("The manifest states a hash that is empty.")
    return clickonce_manifest.end_of_tag(element, layout.octets), element.close, text.encode()
