"""What a process tells about itself: log lines made of known fields only, and whose calls it works for.

Redaction is structural. A line is made of :class:`Facts`, which has no field for a token, a passphrase or octets of
anybody's, and of nothing else: of a library's record only the name and the place in the code are told, of an exception
only its class and its way through the code, because the text of either may hold what somebody sent.

A call from outside has one request id. It goes with the call from thread to thread in :data:`CALLS`, and over the
sockets to the guarded processes (``strongroom/messages.py``), which write it down and believe nothing of it.
"""

from __future__ import annotations

import logging
import re
import secrets
import sys
import threading
import traceback
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Literal

import msgspec

Style = Literal["json", "text"]
"""How lines are written: one JSON object each, or text for people."""
Level = Literal["debug", "info", "warning", "error"]
"""From which weight on lines are written."""

LONGEST_ID = 64
"""Characters of a request id; a UUID has 36, a W3C trace id 32."""
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
"""What a caller may choose as its id: it goes into logs, so nothing that could forge a line."""
_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})", re.ASCII)

_LOG = logging.getLogger("privyseal")


class Call:
    """One call from outside, for as long as it lasts; ``gone`` once nobody waits for its answer any more."""

    __slots__ = ("gone", "request", "request_id", "span", "state", "traceparent")

    def __init__(self, request_id: str, traceparent: str | None = None) -> None:
        """Name the call by its request id, and by the W3C ``traceparent`` it came with if that was one."""
        self.request_id = request_id
        self.traceparent = traceparent
        self.span: Any = None
        """What a tracer keeps of it (``web/tracing.py``)."""
        self.gone = False
        self.request: str | None = None
        """The signing request that it is about, and where that stood in the end."""
        self.state: str | None = None


CALLS: ContextVar[tuple[Call, ...]] = ContextVar("privyseal_calls", default=())
"""For whom the present task or thread works: one call in a handler, all of a batch in a batch's thread."""


def ids() -> tuple[str, ...]:
    """Return the request ids of those for whom we work just now."""
    return tuple(call.request_id for call in CALLS.get())


def request_id(given: str, traceparent: str | None) -> str:
    """Return the caller's own id where it is fit for a log, else its trace id, else a fresh one."""
    if _REQUEST_ID.fullmatch(given):
        return given
    if traceparent is not None:
        return traceparent[3:35]
    return "Q-" + secrets.token_hex(10)


def traceparent(given: str) -> str | None:
    """Return a ``traceparent`` header (W3C Trace Context 3.2) if it is a valid one of version 00, else None."""
    found = _TRACEPARENT.fullmatch(given)
    if found is None or not int(found[1], 16) or not int(found[2], 16):
        return None
    return given


class Facts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything a log line can say besides time, level, process and event; a new field is a decision (ADR 0029)."""

    request_id: str | None = None
    request_ids: tuple[str, ...] = ()
    """Of a batch, which works for many calls."""
    subscriber: str | None = None
    request: str | None = None
    """The id of a signing request."""
    method: str | None = None
    route: str | None = None
    """The template of a path, never the path."""
    status: int | None = None
    state: str | None = None
    code: str | None = None
    """Of a problem."""
    detail: str | None = None
    """A sentence of ours: what an error of ``errors.py`` says, or a constant."""
    question: str | None = None
    step: str | None = None
    items: int | None = None
    room: str | None = None
    where: str | None = None
    """Class and place in the code of what went wrong."""
    duration_ms: float | None = None


def tell(event: str, facts: Facts, level: int = logging.INFO) -> None:
    """Log one event; ``event`` is a constant word or two."""
    if _LOG.isEnabledFor(level):
        _LOG.log(level, event, extra={"facts": facts})


def told(level: int = logging.INFO) -> bool:
    """Tell whether :func:`tell` at this level says anything, for callers whose facts cost something."""
    return _LOG.isEnabledFor(level)


def where(error: BaseException) -> str:
    """Say of an exception its class and its way through the code, and nothing that it carries."""
    frames = traceback.extract_tb(error.__traceback__)
    way = " > ".join(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames[-6:])
    cause = error.__cause__
    because = f"; because of {where(cause)}" if cause is not None and cause.__cause__ is None else ""
    return f"{type(error).__name__} at {way or 'nowhere'}{because}"


class _Lines(logging.Formatter):
    """Takes out of a record what may be told."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def facts(self, record: logging.LogRecord) -> dict[str, Any]:
        """Return the line as a mapping, in the order to be written."""
        when = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, Any] = {
            "time": when.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "process": self._process,
        }
        known = getattr(record, "facts", None)
        if isinstance(known, Facts):
            line["event"] = record.msg
            line |= msgspec.to_builtins(known)
        else:  # of somebody else's record only where it was made
            line["event"] = f"library {record.name}"
            line["where"] = f"{record.filename}:{record.lineno}"
        if record.exc_info and record.exc_info[1] is not None:
            line["where"] = where(record.exc_info[1])
        return line


class JsonLines(_Lines):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line without its end."""
        return msgspec.json.encode(self.facts(record)).decode("utf-8")


class TextLines(_Lines):
    """One line for people: time, process, level, event, then ``name=value``; no value can begin a new line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line without its end."""
        line = self.facts(record)
        begin = f"{line.pop('time')} privyseal {line.pop('process')}: {line.pop('level').upper()} {line.pop('event')}"
        detail = line.pop("detail", None)
        sentence = f": {_one_line(detail)}" if detail else ""
        return begin + sentence + "".join(f" {name}={_value(value)}" for name, value in line.items())


def _one_line(text: str) -> str:
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def _value(value: Any) -> str:
    if isinstance(value, tuple | list):
        return ",".join(map(_one_line, value))
    return _one_line(str(value))


def set_up(process: str, style: Style | None, level: Level, stream: IO[str] | None = None) -> None:
    """Write this process's log to ``stream`` (standard error), and whatever nobody caught as a line of it.

    Without a ``style`` it is text on a terminal and JSON elsewhere. Call it once, when the process starts.
    """
    to = sys.stderr if stream is None else stream
    chosen = style or ("text" if to.isatty() else "json")
    handler = logging.StreamHandler(to)
    handler.setFormatter(TextLines(process) if chosen == "text" else JsonLines(process))
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)  # libraries are heard when worried
    _LOG.setLevel(level.upper())
    logging.captureWarnings(True)
    logging.raiseExceptions = False  # a log that cannot be written is no reason to print its arguments
    sys.excepthook = _uncaught
    threading.excepthook = lambda hook: _uncaught(hook.exc_type, hook.exc_value, hook.exc_traceback)


def _uncaught(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    said = kind.__name__ if error is None else where(error.with_traceback(trace))
    tell("uncaught", Facts(where=said), logging.ERROR)
