"""OpenTelemetry, where it is installed and asked for: a span for each request, and in it one for each step of its walk.

A step serves a batch. Each request of the batch gets a span of the step's own beginning and end, so that every trace is
whole by itself; how many shared it stands in ``privyseal.items``. Nothing of OpenTelemetry is imported without being
asked for, and its exporter reads its own environment (``OTEL_...``).
"""

from __future__ import annotations

import importlib
import time
from typing import TYPE_CHECKING, Any

from privyseal import __version__
from privyseal.errors import Misused
from privyseal.telemetry import CALLS, Call

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter

_EXPORTERS = {
    "otlp": "opentelemetry.exporter.otlp.proto.http.trace_exporter:OTLPSpanExporter",
    "console": "opentelemetry.sdk.trace.export:ConsoleSpanExporter",
}


class Tracing:
    """Makes spans with one tracer; may be told of steps from any thread."""

    def __init__(self, provider: TracerProvider) -> None:
        """Make the spans of ``provider``."""
        from opentelemetry import trace

        self._trace = trace
        self._provider = provider
        self._tracer = provider.get_tracer("privyseal", __version__)

    def begin(self, call: Call, method: str) -> None:
        """Begin a request's span, below the one its ``traceparent`` names."""
        trace = self._trace
        parent = None
        if call.traceparent is not None:
            _, trace_id, span_id, flags = call.traceparent.split("-")
            remote = trace.SpanContext(
                int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=trace.TraceFlags(int(flags, 16))
            )
            parent = trace.set_span_in_context(trace.NonRecordingSpan(remote))
        call.span = self._tracer.start_span(method, parent, trace.SpanKind.SERVER)
        call.span.set_attribute("privyseal.request_id", call.request_id)

    def end(self, call: Call, name: str, status: int) -> None:
        """End a request's span under the name of its route."""
        span, call.span = call.span, None
        span.update_name(name)
        span.set_attribute("http.response.status_code", status)
        if status >= 500:
            span.set_status(self._trace.StatusCode.ERROR)
        span.end()

    def step(self, name: str, items: int, seconds: float) -> None:
        """Give every request for which we work a span of a step that is just over."""
        end = time.time_ns()
        begin = end - int(seconds * 1e9)
        for call in CALLS.get():
            above = call.span
            if above is None or not above.is_recording():
                continue
            span = self._tracer.start_span(name, self._trace.set_span_in_context(above), start_time=begin)
            span.set_attribute("privyseal.items", items)
            span.end(end)

    def close(self) -> None:
        """Send what is not sent yet."""
        self._provider.shutdown()


def start(setting: str) -> Tracing | None:
    """Start tracing as ``[telemetry] traces`` says; None where it is off, Misused where that cannot be done."""
    if setting == "off":
        return None
    try:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise Misused(
            "[telemetry] traces is set, and opentelemetry-sdk is not installed.", hint="pip install 'privyseal[otel]'"
        ) from error
    exporter = _exporter(_EXPORTERS.get(setting, setting))
    provider = TracerProvider(resource=Resource.create({"service.name": "privyseal"}), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return Tracing(provider)


def _exporter(named: str) -> SpanExporter:
    module, _, name = named.partition(":")
    try:
        made: Any = getattr(importlib.import_module(module), name)()
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise Misused(
            f"[telemetry] traces: {named!r} cannot be had ({type(error).__name__}).",
            hint="off, otlp, console, or module:exporter of an installed package",
        ) from error
    exporter: SpanExporter = made
    return exporter
