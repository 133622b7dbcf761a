"""Before the application: room for so many, a refusal that is a problem document, and whose call it is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from privyseal.errors import Misused
from privyseal.telemetry import CALLS
from privyseal.web import tracing
from privyseal.web.front import Front
from privyseal.web.metrics import Metrics
from privyseal.web.tracing import Tracing

App = Callable[[Any, Any, Any], Awaitable[None]]


def scope(path: str = "/v1/demo/requests", *headers: tuple[bytes, bytes], **state: bool) -> dict[str, Any]:
    return {"type": "http", "method": "POST", "path": path, "headers": list(headers), "state": dict(state)}


async def ask(front: Front, what: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
    """Send one request and collect the answer."""
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    await front(what, receive, send)  # type: ignore[arg-type]
    headers = {name.decode(): text.decode() for name, text in sent[0]["headers"]}
    return sent[0]["status"], headers, b"".join(each.get("body", b"") for each in sent[1:])


async def quick(what: Any, receive: Any, send: Any) -> None:
    what["path_template"] = "/v1/{subscriber}/requests"
    await send({"type": "http.response.start", "status": 201, "headers": []})
    await send({"type": "http.response.body", "body": b"done", "more_body": False})


def is_refusal(answered: tuple[int, dict[str, str], bytes], code: str) -> dict[str, Any]:
    status, headers, body = answered
    document: dict[str, Any] = json.loads(body)
    assert (status, headers["content-type"]) == (503, "application/problem+json")
    assert int(headers["retry-after"]) >= 1
    assert (document["code"], document["request_id"]) == (code, headers["x-request-id"])
    assert document["retryable"] is True
    return document


def test_no_more_than_so_many_are_let_in() -> None:
    """One too many is refused with Retry-After while the others work; probes are let in; then there is room again."""

    async def story() -> None:
        gate = asyncio.Event()

        async def slow(what: Any, receive: Any, send: Any) -> None:
            if what["path"] not in ("/livez", "/readyz", "/metrics"):
                await gate.wait()
            await quick(what, receive, send)

        metrics = Metrics()
        front = Front(slow, requests=2, metrics=metrics)
        inside = [asyncio.create_task(ask(front, scope())) for _ in range(2)]
        await asyncio.sleep(0)
        assert front.under_way == 2
        is_refusal(await ask(front, scope()), "overloaded")
        for probe in ("/livez", "/readyz", "/metrics"):
            assert (await ask(front, scope(probe)))[0] == 201
        assert "privyseal_http_requests_under_way 2.0" in metrics.text().decode()
        gate.set()
        assert [status for status, _, _ in await asyncio.gather(*inside)] == [201, 201]
        assert (front.under_way, (await ask(front, scope()))[0]) == (0, 201)
        assert 'privyseal_http_refused_total{reason="requests"} 1.0' in metrics.text().decode()

    asyncio.run(story())


def test_a_connection_too_many_is_refused_and_closed() -> None:
    """As the protocol marked it."""
    front = Front(quick, requests=2, metrics=Metrics())
    answered = asyncio.run(ask(front, scope(crowded=True)))
    is_refusal(answered, "overloaded")
    assert answered[1]["connection"] == "close"


def test_who_comes_while_it_stops_is_sent_elsewhere() -> None:
    """New requests and ``/readyz`` get 503 and the connection closed; ``/livez`` and ``/metrics`` go on."""
    front = Front(quick, requests=2, metrics=Metrics())
    front.stop()
    for path in ("/v1/demo/requests", "/readyz", "/log/checkpoint"):
        answered = asyncio.run(ask(front, scope(path)))
        assert "stopping" in is_refusal(answered, "unavailable")["detail"]
        assert answered[1]["connection"] == "close"
    for path in ("/livez", "/metrics"):
        assert asyncio.run(ask(front, scope(path)))[0] == 201


def test_the_handler_knows_whose_call_it_is() -> None:
    """By the caller's own id, and by its trace's where it has none; afterwards nobody's."""
    seen: list[tuple[str, ...]] = []

    async def looking(what: Any, receive: Any, send: Any) -> None:
        seen.append(tuple(call.request_id for call in CALLS.get()))
        await quick(what, receive, send)

    front = Front(looking, requests=2, metrics=Metrics())
    trace = (b"traceparent", f"00-{'a' * 32}-{'b' * 16}-01".encode())
    asyncio.run(ask(front, scope("/x", (b"x-request-id", b"mine"), trace)))
    asyncio.run(ask(front, scope("/x", trace)))
    assert seen == [("mine",), ("a" * 32,)]
    assert CALLS.get() == ()


def test_a_path_is_counted_by_its_template_only() -> None:
    """A million made-up paths and methods make one series."""
    metrics = Metrics()

    async def nothing(what: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    front = Front(nothing, requests=2, metrics=metrics)
    for number in range(5):
        what = scope(f"/secret/{number}") | {"method": f"M{number}"}
        asyncio.run(ask(front, what))
    text = metrics.text().decode()
    assert 'duration_seconds_count{method="other",route="unknown",status="404"} 5.0' in text
    assert "secret" not in text


def test_a_request_and_each_step_of_it_are_spans_of_the_caller_s_trace() -> None:
    """The spans of a batch are below each of its requests, and a caller without a trace gets one of its own."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    metrics = Metrics(tracing=Tracing(provider))

    async def working(what: Any, receive: Any, send: Any) -> None:
        metrics.step("sign", 3, 0.25)
        await quick(what, receive, send)

    front = Front(working, requests=2, metrics=metrics)
    asyncio.run(ask(front, scope("/x", (b"traceparent", f"00-{'a' * 32}-{'b' * 16}-01".encode()))))
    step, request = exporter.get_finished_spans()
    assert request.name == "POST /v1/{subscriber}/requests"
    assert request.parent is not None and request.parent.span_id == int("b" * 16, 16)
    assert step.parent is not None and request.context is not None and step.context is not None
    assert (step.name, step.parent.span_id) == ("sign", request.context.span_id)
    assert {step.context.trace_id, request.context.trace_id} == {int("a" * 32, 16)}
    assert step.start_time is not None and step.end_time is not None
    assert (step.end_time - step.start_time, dict(step.attributes or {})) == (250_000_000, {"privyseal.items": 3})
    asyncio.run(ask(front, scope("/x")))
    assert len({span.context.trace_id for span in exporter.get_finished_spans() if span.context}) == 2


def test_an_exporter_that_cannot_be_had_is_a_sentence() -> None:
    """Off is nothing; a module or a name that does not exist is Misused."""
    assert tracing.start("off") is None
    for setting in ("nowhere:Exporter", "json:nothing", "", "json"):
        with pytest.raises(Misused, match="cannot be had"):
            tracing.start(setting)
    started = tracing.start("opentelemetry.sdk.trace.export.in_memory_span_exporter:InMemorySpanExporter")
    assert started is not None
    started.close()
