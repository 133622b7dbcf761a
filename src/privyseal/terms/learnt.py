"""Lets msgspec learn all our types in one thread, before there is a second one.

msgspec (0.22) puts what it learns of a Struct into the class before it is complete. A second thread that decodes into,
or converts to, that class for the first time at that moment reads a null pointer, and the process ends. Made before
threads, what it learns is complete, and then every number of threads may use it.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

OURS = "privyseal"
"""The package whose types are learnt."""


def learn_types() -> int:
    """Have msgspec learn every Struct of ours that is imported so far; return how many.

    To be called after the imports and before the threads of a process, and again after imports that come later. A type
    that nothing can be decoded into is passed over: it is made by our own code alone.
    """
    learnt = 0
    for kind in dict.fromkeys(_below(msgspec.Struct)):
        if kind.__module__.partition(".")[0] == OURS:
            try:
                msgspec.json.Decoder(kind)
            except (TypeError, NameError):  # the latter where a field's type is imported for type checkers alone
                continue
            learnt += 1
    return learnt


def _below(kind: type) -> Iterator[type]:
    each: type
    for each in kind.__subclasses__():
        yield each
        yield from _below(each)
