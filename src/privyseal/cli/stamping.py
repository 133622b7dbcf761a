"""How the command line asks timestamp authorities: by the network, this machine's clocks, and patience."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from datetime import UTC, datetime

from privyseal import __version__
from privyseal.cli.client import proxy_of
from privyseal.cli.output import Output, printable
from privyseal.cli.tls import SYSTEM_TRUST, Tls
from privyseal.timestamp.address import Address
from privyseal.timestamp.authorities import Authorities, Means
from privyseal.timestamp.client import Trusted
from privyseal.timestamp.exchange import Lines, check


def authorities(addresses: Sequence[Address], trusted: Trusted, tls: Tls = SYSTEM_TRUST) -> Authorities:
    """Return the authorities at some addresses, for this process; Misused for one that is no address, BadInput as
    :class:`Authorities`. Nothing is connected before the first is asked, so a child process may ask with its own."""
    for address in addresses:
        check(address)
    lines = Lines(proxy=_proxy, context=tls.context, agent=f"privyseal/{__version__}")
    means = Means(lines.post, secrets.token_bytes, lambda: datetime.now(UTC), time.monotonic, time.sleep)
    return Authorities(addresses, means, trusted)


def tell_health(asked: Authorities, output: Output) -> None:
    """Warn of every authority that did not do well, also where another one helped."""
    for each in asked.health():
        if each.last_failure is not None:
            done = f"{each.stamped} of {each.asked} requests"
            output.warn(f"note     {each.host} stamped {done}; lastly: {printable(each.last_failure, 300)}")


def _proxy(scheme: str, host: str) -> tuple[str, int] | None:
    found = proxy_of(scheme, host)
    return None if found is None else (found.hostname or "", found.port or 3128)
