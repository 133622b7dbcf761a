"""What was asked of ``privyseal sign`` on the command line."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from privyseal.cli.output import printable
from privyseal.cli.pieces import IfSigned
from privyseal.errors import Misused
from privyseal.formats import uefi_facts
from privyseal.terms.signatures import DigestAlgorithm, Options


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """The options as they were given."""

    output: str | None
    key: str | None
    program_name: str | None
    program_url: str | None
    digest: DigestAlgorithm | None
    page_hashes: Literal["sha256", "sha1"] | None
    efi_variable: str | None
    efi_time: str | None
    efi_append: bool
    efi_attributes: str | None
    monotonic_count: int | None
    nuget_repository: str | None
    nuget_owner: tuple[str, ...]
    no_timestamp: bool
    no_extended: bool
    if_signed: IfSigned
    again: bool
    mode: str
    profile: str | None
    url: str | None
    subscriber: str | None
    keyfile: str | None
    certs: str | None
    tsa: tuple[str, ...]
    rehearsal_anchor: tuple[str, ...]

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
        usual = hex(uefi_facts.USUAL) if self.efi_append else None
        stated = self.efi_attributes or usual
        try:
            return None if stated is None else int(stated, 0) | uefi_facts.APPEND * self.efi_append
        except ValueError:
            raise Misused(f"--efi-attributes is no number: {printable(stated or '')}.", hint="such as 0x27") from None
