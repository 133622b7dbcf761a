"""Whether what a format is handed fits it: a layout, the facts of a description, signatures with their timestamps.

Layouts and descriptions of all formats go through the same hands, so every format asks before it believes one.
``what`` is in each of these functions a format's kind of file as a sentence has it, such as ``a cabinet``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import msgspec

from privyseal.errors import BadInput
from privyseal.formats.protocol import Layout
from privyseal.terms.signatures import Described, Signature, TimestampToken

L = TypeVar("L", bound=Layout)
F = TypeVar("F")


def layout_of(layout: Layout, kind: type[L], what: str, name: str | None = None) -> L:
    """Return a layout as the one of ``kind`` that it is; BadInput where another format made it.

    ``name`` is that of the format, where several share one kind of layout.
    """
    if not isinstance(layout, kind) or name not in (None, layout.format):
        raise BadInput(f"A layout of the format {layout.format} was given where one of {what} was expected.")
    return layout


def require_format(described: Described, name: str) -> None:
    """Refuse with BadInput a description that another format made."""
    if described.format != name:
        raise BadInput(f"This description is of the format {described.format}; {name} was expected.")


def facts_of(described: Described, name: str, kind: type[F], what: str) -> F:
    """Return what a description says beside digest and size; BadInput where it is of another format, or says less."""
    require_format(described, name)
    try:
        return msgspec.convert(described.facts, kind, strict=True)
    except msgspec.ValidationError as error:
        raise BadInput(f"The facts of this description are not those of {what}: {error}.") from None


def one_signature(
    signed: Sequence[Signature], tokens: Sequence[TimestampToken], what: str
) -> tuple[Signature, TimestampToken | None]:
    """Return the one signature there is and its timestamp, if any; BadInput where there are more, or there is none."""
    if len(signed) != 1 or len(tokens) > 1:
        raise BadInput(
            f"{what[:1].upper()}{what[1:]} takes one signature and at most one timestamp; "
            f"{len(signed)} and {len(tokens)} came."
        )
    return signed[0], tokens[0] if tokens else None
