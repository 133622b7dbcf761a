"""Everything one file says of itself: its format, its structure, its signatures, and what in it is loose."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import msgspec

from privyseal.formats.protocol import CodeFormat, EmbeddedSignature, Layout, Problem, Source

LARGE = 8 << 20
"""Octets from which the two readings of the content are worth a thread each."""


class Examined(msgspec.Struct, frozen=True):
    """What a file carries, judged as far as the file alone allows."""

    layout: Layout
    signatures: tuple[EmbeddedSignature, ...]
    problems: tuple[Problem, ...]
    """Of the file as a whole: what ``CodeFormat.canonical`` says."""


def examine(code_format: CodeFormat, code: Source) -> Examined:
    """Read a file as ``code_format`` and judge it; of a large one, digest and layout are checked side by side.

    MalformedCode where its structure cannot be understood.
    """
    layout = code_format.inspect(code)
    if code.size < LARGE:
        return Examined(layout, tuple(code_format.signatures(code, layout)), tuple(code_format.canonical(code, layout)))
    with ThreadPoolExecutor(1, "canonical") as pool:
        loose = pool.submit(lambda: tuple(code_format.canonical(code, layout)))
        return Examined(layout, tuple(code_format.signatures(code, layout)), loose.result())
