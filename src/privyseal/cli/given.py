"""What was asked of ``privyseal sign`` on the command line."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from privyseal.cli.output import printable
from privyseal.cli.pieces import IfSigned, Inside
from privyseal.cli.profile import profile_file
from privyseal.errors import Misused
from privyseal.terms.signatures import DigestAlgorithm, Options


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """The options as they were given."""

    output: str | None = None
    key: str | None = None
    program_name: str | None = None
    program_url: str | None = None
    digest: DigestAlgorithm | None = None
    page_hashes: Literal["sha256", "sha1"] | None = None
    efi_variable: str | None = None
    efi_time: str | None = None
    efi_append: bool = False
    efi_attributes: str | None = None
    monotonic_count: int | None = None
    nuget_repository: str | None = None
    nuget_owner: tuple[str, ...] = ()
    no_timestamp: bool = False
    no_extended: bool = False
    if_signed: IfSigned = "fail"
    again: bool = False
    inside: Inside = "skip"
    mode: str = "local"
    profile: str | None = None
    url: str | None = None
    subscriber: str | None = None
    keyfile: str | None = None
    certs: str | None = None
    tsa: tuple[str, ...] = ()
    rehearsal_anchor: tuple[str, ...] = ()

    @property
    def read(self) -> tuple[str, ...]:
        """Name the files that are read besides those to sign."""
        own = (each for each in (self.keyfile, self.certs) if each is not None)
        return (*own, *self.rehearsal_anchor, *profile_file(self.profile))

    def options(self, timestamp: bool, now: datetime) -> Options:
        """Return what is wished of each signature; Misused where attributes of a UEFI variable are no number."""
        return Options(
            program_name=self.program_name,
            program_url=self.program_url,
            timestamp=timestamp,
            extended=not self.no_extended,
            page_hashes=self.page_hashes,
            efi_variable=self.efi_variable,
            efi_time=f"{now:%Y-%m-%dT%H:%M:%SZ}" if self.efi_time == "now" else self.efi_time,
            efi_attributes=self._attributes(),
            monotonic_count=self.monotonic_count,
            nuget_repository=self.nuget_repository,
            nuget_owners=self.nuget_owner,
        )

    def _attributes(self) -> int | None:
        if self.efi_attributes is None and not self.efi_append:
            return None
        from privyseal.formats import uefi_facts  # only for variables

        usual = hex(uefi_facts.USUAL) if self.efi_append else None
        stated = self.efi_attributes or usual
        try:
            return None if stated is None else int(stated, 0) | uefi_facts.APPEND * self.efi_append
        except ValueError:
            raise Misused(f"--efi-attributes is no number: {printable(stated or '')}.", hint="such as 0x27") from None
