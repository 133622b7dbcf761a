"""Which operations a format has, and the refusal of those that it has not."""

from __future__ import annotations

from privyseal.errors import Impossible
from privyseal.formats.protocol import CodeFormat, Operation
from privyseal.terms.signatures import Options


def require(code_format: CodeFormat, operation: Operation) -> None:
    """Raise Impossible, with the format's own sentence, where it does not have an operation."""
    if (why := code_format.cannot.get(operation)) is not None:
        raise Impossible(why)


def require_for(code_format: CodeFormat, options: Options) -> None:
    """Raise Impossible where what the requester wishes is nothing that the format can do."""
    require(code_format, "append" if options.mode == "append" else "sign")
