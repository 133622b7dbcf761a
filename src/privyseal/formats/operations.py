"""Which operations a format has, and the refusal of those that it has not."""

from __future__ import annotations

from operator import attrgetter

import msgspec

from privyseal.errors import BadInput, Impossible
from privyseal.formats.protocol import CodeFormat, Operation
from privyseal.terms.signatures import Options

OF_ONE_FORMAT = {
    "page_hashes": "pe",
    "efi_variable": "uefi-variable",
    "efi_time": "uefi-variable",
    "efi_attributes": "uefi-variable",
    "monotonic_count": "uefi-capsule",
    "nuget_repository": "nuget",
    "nuget_owners": "nuget",
}
"""Wishes that mean something in one format only: the option, and the format's name."""


NAMELESS = frozenset({"nuget", "uefi-variable", "uefi-capsule"})
"""Formats whose signatures have no place for a program's name and address."""


def require(code_format: CodeFormat, operation: Operation) -> None:
    """Raise Impossible, with the format's own sentence, where it does not have an operation."""
    if (why := code_format.cannot.get(operation)) is not None:
        raise Impossible(why)


def require_for(code_format: CodeFormat, options: Options) -> None:
    """Raise Impossible where what the requester wishes is nothing that the format can do, BadInput where it has none.

    The latter are options that mean something in other formats only. A timestamp is wished unless ``fitting`` or the
    requester says otherwise.
    """
    require(code_format, "append" if options.mode == "append" else "sign")
    if options.timestamp:
        require(code_format, "timestamp")
    if code_format.name in NAMELESS and (options.program_name, options.program_url) != (None, None):
        raise BadInput(f"The format {code_format.name} has no place for a program's name or address.")
    if _wishes(options) == _NO_WISHES:
        return
    for name, owner in OF_ONE_FORMAT.items():
        if code_format.name != owner and getattr(options, name) != getattr(_DEFAULTS, name):
            raise BadInput(f"The format {code_format.name} has no {name.replace('_', ' ')}; only {owner} has.")


def fitting(code_format: CodeFormat, options: Options) -> Options:
    """Return the options without what is wished of every file and this format has no place for.

    That is a timestamp, and a program's name and address.
    """
    if "timestamp" in code_format.cannot:
        options = msgspec.structs.replace(options, timestamp=False)
    if code_format.name in NAMELESS:
        options = msgspec.structs.replace(options, program_name=None, program_url=None)
    return options


_DEFAULTS = Options()
_wishes = attrgetter(*OF_ONE_FORMAT)
_NO_WISHES = _wishes(_DEFAULTS)
