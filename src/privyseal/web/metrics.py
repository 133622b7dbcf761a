"""``/metrics``: counters of this process in Prometheus's text format, and who may read them.

Nothing here is labelled by Subscriber, key or member: the names of tenants are nobody's business who only watches, and
labels without bound are how a service that is watched falls over. Counting costs about a microsecond a batch and a few
a request; whatever can be read when somebody asks is read then.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from privyseal import __version__
from privyseal.config import TelemetrySection
from privyseal.errors import NotAuthenticated, NotFound
from privyseal.signing.watch import Watch
from privyseal.web.readings import Living
from privyseal.web.tracing import Tracing

MEDIA_TYPE = "text/plain; version=0.0.4"
"""Media type of Prometheus's text format 0.0.4."""

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_ITEMS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics(Watch):
    """The counters of one running service, in a registry of their own."""

    def __init__(self, section: TelemetrySection | None = None, tracing: Tracing | None = None) -> None:
        """Begin to count from nothing; ``tracing`` hears of every step too."""
        self.tracing = tracing
        self._section = section or TelemetrySection()
        self.registry = CollectorRegistry()
        self.living = Living()
        self._requests = Histogram(
            "privyseal_http_request_duration_seconds",
            "Seconds from the head of a request to the end of its answer.",
            ("method", "route", "status"),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._refused = Counter(
            "privyseal_http_refused",
            "Requests turned away before any work was done.",
            ("reason",),
            registry=self.registry,
        )
        self._steps = Histogram(
            "privyseal_step_duration_seconds",
            "Seconds that one batch spent in a step.",
            ("step",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._items = Histogram(
            "privyseal_step_batch_items",
            "Items in one batch of a step.",
            ("step",),
            buckets=_ITEMS,
            registry=self.registry,
        )
        self._signatures = Counter(
            "privyseal_signatures",
            "Requests that the signer decided, by the scheme of the key and by what came of them.",
            ("scheme", "outcome"),
            registry=self.registry,
        )
        self._scans = Histogram(
            "privyseal_scan_duration_seconds",
            "Seconds that a scanner took for one uploaded file, by what it said: clean, outdated, or an error's code.",
            ("scanner", "outcome"),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._answered: dict[tuple[str, str, int], Histogram] = {}
        """Where each kind of answer is counted: finding it by its labels takes longer than counting it."""
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each, with the time at which it began, that nobody asks for
        Info("privyseal_build", "Which version this is.", registry=self.registry).info({"version": __version__})
        ProcessCollector(registry=self.registry)
        self.registry.register(self.living)
        for reason in ("stopping", "connections", "requests"):
            self._refused.labels(reason)  # a counter that is not there cannot be seen to grow from 0

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request that was answered."""
        kind = (method if method in _METHODS else "other", route, status)
        counted = self._answered.get(kind)
        if counted is None:
            counted = self._answered[kind] = self._requests.labels(kind[0], route, str(status))
        counted.observe(seconds)

    def refused(self, reason: str) -> None:
        """Count one that was turned away at the door."""
        self._refused.labels(reason).inc()

    def step(self, name: str, items: int, seconds: float) -> None:
        """Count one batch."""
        self._steps.labels(name).observe(seconds)
        self._items.labels(name).observe(items)
        if self.tracing is not None:
            self.tracing.step(name, items, seconds)

    def signed(self, scheme: str, outcome: str, count: int) -> None:
        """Count what the signer decided."""
        self._signatures.labels(scheme, outcome).inc(count)

    def scanned(self, scanner: str, outcome: str, seconds: float) -> None:
        """Count one file that a scanner looked at, or did not."""
        self._scans.labels(scanner, outcome).observe(seconds)

    def close(self) -> None:
        """Send the spans that are not sent yet."""
        if self.tracing is not None:
            self.tracing.close()

    def text(self) -> bytes:
        """Return everything in the text format 0.0.4."""
        return generate_latest(self.registry)

    def admit(self, host: str | None, headers: Mapping[str, str]) -> None:
        """Let pass who may read: with the token from anywhere, without one as the configuration says.

        A request that came through a proxy is not from loopback, wherever the proxy is. NotFound where metrics are off,
        NotAuthenticated for everybody else.
        """
        if self._section.metrics == "off":
            raise NotFound("Metrics are switched off here.", hint="[telemetry] metrics in serve.toml")
        if self._section.metrics == "anybody":
            return
        wanted = self._section.metrics_token_sha256
        kind, _, token = headers.get("authorization", "").partition(" ")
        if wanted and kind.lower() == "bearer":
            given = hashlib.sha256(token.strip().encode("utf-8")).hexdigest()
            if hmac.compare_digest(given, wanted):
                return
        if _is_loopback(host) and not any(name in headers for name in _PROXIED):
            return
        raise NotAuthenticated(
            "Metrics are for this machine, or for who has their token.", hint="see metrics_token_sha256 in serve.toml"
        )


_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})
_PROXIED = ("x-forwarded-for", "forwarded", "via", "x-real-ip")


def _is_loopback(host: str | None) -> bool:
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False
