"""``sign --inside check`` of a ClickOnce manifest: which of its files are unsigned, missing, or not as it states."""

from __future__ import annotations

import os
from typing import Final

import msgspec

from privyseal.cli.neighbours import Folder, Neighbour, Neighbours, application_of, digest_of, survey
from privyseal.errors import PrivySealError
from privyseal.formats import clickonce_files, inside
from privyseal.formats.clickonce_manifest import ClickOnceLayout, identity_of

READ: Final = 256 << 20
"""Octets of the files a manifest names that are read to look at them: to hash as many takes 0.28 s of a processor."""


class Found(msgspec.Struct, frozen=True):
    """What looking at a manifest's files gave."""

    unsigned: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    """Whose size, hash or strong name is not the stated one."""
    unseen: str = ""
    """Why not everything was looked at; empty where everything was."""


def look(path: str, layout: ClickOnceLayout) -> Found:
    """Look at the files that the manifest at ``path`` names, and at those of the application that a deployment names.

    Raises OSError where its folder cannot be opened, and BadInput where it names too many.
    """
    with Folder(os.path.dirname(os.path.realpath(path))) as folder:
        top = survey(folder, layout)
        found = [top]
        changed: list[str] = []
        for one, its in application_of(folder, layout, top):
            mapped = clickonce_files.maps_extensions(layout)
            found.append(survey(folder, its, os.path.dirname(one.path), mapped=mapped))
            if not one.named.token_is(identity_of(its).get("publicKeyToken", "")):
                changed.append(one.text)
        allowance = _Allowance(READ)
        members = tuple(one for each in found for one in each.present)
        seen = inside.look(Neighbours(folder, members), allowance)
        unseen = [seen.unseen, *(sentence for each in found for sentence in each.astray)]
        try:
            for one in members:
                if one.text not in changed and not _is_as_stated(folder, one, allowance):
                    changed.append(one.text)
        except PrivySealError as error:
            unseen.append(error.detail)
    missing = tuple(text for each in found for text in each.missing)
    return Found(seen.unsigned, missing, tuple(changed), next(filter(None, unseen), ""))


class _Allowance(inside.Allowance):
    """How much of these files is read; nothing is unpacked for it."""

    def take(self, octets: int) -> None:
        """Count octets that were read; Spent where they are too many."""
        try:
            super().take(octets)
        except inside.Spent:
            raise inside.Spent(
                f"The files that it names have more than {READ >> 20} MiB, the most that is read."
            ) from None


def _is_as_stated(folder: Folder, one: Neighbour, allowance: inside.Allowance) -> bool:
    named = one.named
    if named.size is not None and named.size != one.size:
        return False
    if named.algorithm is None:
        return True
    with folder.open(one.path) as code:
        return digest_of(code, named.algorithm, allowance.take) == named.digest
