"""Everything one file says of itself: its format, its structure, its signatures, and what in it is loose."""

from __future__ import annotations

import threading

import msgspec

from privyseal.formats.protocol import CodeFormat, EmbeddedSignature, Layout, Prepared, Problem, Source

LARGE = 8 << 20
"""Octets from which the two readings of the content are worth a thread each."""


class Examined(msgspec.Struct, frozen=True):
    """What a file carries, judged as far as the file alone allows."""

    layout: Layout
    signatures: tuple[EmbeddedSignature, ...]
    problems: tuple[Problem, ...]
    """Of the file as a whole: what ``CodeFormat.canonical`` says."""


def examine(code_format: CodeFormat, code: Source, known: Prepared | None = None) -> Examined:
    """Read a file as ``code_format`` and judge it; of a large one, digest and layout are checked side by side.

    ``known`` is what was prepared before it was signed. Where its digest is found again, what else that reading gave
    holds here too and is not computed a second time; where it is not, nothing is taken from it.

    MalformedCode where its structure cannot be understood.
    """
    layout = code_format.inspect(code)
    if known is not None or code.size < LARGE:
        signatures = tuple(code_format.signatures(code, layout))
        known = known if known is not None and any(_covers(one, known) for one in signatures) else None
        return Examined(layout, signatures, tuple(code_format.canonical(code, layout, known)))
    beside = _Canonical(code_format, code, layout)
    beside.start()
    try:
        signatures = tuple(code_format.signatures(code, layout))
    finally:
        beside.join()
    return Examined(layout, signatures, beside.found())


class _Canonical(threading.Thread):
    """Checks the layout while its owner checks signatures; a pool of one thread would take 5 ms to import."""

    def __init__(self, code_format: CodeFormat, code: Source, layout: Layout) -> None:
        super().__init__(name="canonical")
        self._asked = code_format, code, layout
        self._found: tuple[Problem, ...] | BaseException = ()

    def run(self) -> None:
        code_format, code, layout = self._asked
        try:
            self._found = tuple(code_format.canonical(code, layout))
        except BaseException as error:
            self._found = error

    def found(self) -> tuple[Problem, ...]:
        """Return what was found, or raise what was raised; the thread has ended."""
        if isinstance(self._found, BaseException):
            raise self._found
        return self._found


def _covers(signature: EmbeddedSignature, known: Prepared) -> bool:
    """Tell whether a signature without a flaw is over the very content that was prepared."""
    return not signature.problems and any(
        (one.digest_algorithm, one.digest) == (signature.digest_algorithm, signature.digest) for one in known.described
    )
