"""People are told by e-mail or chat: through Apprise, of which this file alone knows.

The URLs hold passwords, so no error, log or record ever shows one.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from privyseal.errors import Unavailable

LONGEST = 1500
"""Characters of one text; an SMS gateway or a chat takes about as many."""


def tell(urls: Sequence[str], topic: str, body: bytes) -> str:
    """Tell everybody at these Apprise URLs; return what came of it, Unavailable where one was not reached."""
    try:
        import apprise
    except ImportError:
        raise Unavailable("Apprise is not installed.", hint="pip install 'privyseal[notify]'") from None
    everybody = apprise.Apprise()
    wrong = sum(not everybody.add(url) for url in urls)
    done = everybody.notify(title=f"Privy Seal: {topic}", body=text(body))
    if wrong or not done:
        raise Unavailable(f"Not everybody was told: {wrong} of {len(urls)} addresses are none that Apprise knows.")
    return f"told at {len(urls)} addresses"


def text(body: bytes) -> str:
    """Return a message for people: one line for each fact, requests by number and the first few by name."""
    data = msgspec.json.decode(body)["data"]
    lines = [f"{name}: {value}" for name, value in data.items() if not isinstance(value, list)]
    for each in data.get("requests", [])[:10]:
        lines.append(f"{each['id']}: {', '.join(each['files'])} with {each['key']}")
    return "\n".join(lines)[:LONGEST]
