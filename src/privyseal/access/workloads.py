"""An identity token of a run: from its octets, the issuer's key set and the time to its claims, or NotAuthenticated.

Beside what ``signed_tokens.py`` asks of every signed token (RFC 7519 7.2, RFC 8725 3):

* Issuer and audience are exactly the expected ones; ``exp``, ``nbf`` and ``iat`` hold, give or take a minute, and the
  token does not live for more than a day, for so long its use must be remembered.

Nothing of a token is ever in a message but its issuer, its times and the names of its algorithm and key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple, NoReturn

from privyseal.access.platforms import Platform
from privyseal.access.signed_tokens import Unread, check_signature, moment
from privyseal.errors import NotAuthenticated

ALGORITHMS = ("RS256", "PS256", "ES256", "ES384", "EdDSA")
"""What platforms sign with."""

SKEW = timedelta(seconds=60)
"""How far two clocks may be apart; RFC 7519 4.1.4 speaks of a few minutes at most."""
LONGEST_LIFE = timedelta(hours=24)
"""Until when a token may be good; platforms give 5 minutes to an hour, for a GitLab job as long as it may run."""
_AGAIN = "have the job ask its platform for a new token"


class Expected(NamedTuple):
    """What a token must be for and from, and when it is read."""

    platform: Platform
    issuer: str
    audience: str
    now: datetime


def verify(token: Unread, keys: Sequence[Mapping[str, Any]], expected: Expected) -> dict[str, Any]:
    """Return the claims of a token that is good; NotAuthenticated, in one sentence, for any other."""
    check_signature(token, keys, ALGORITHMS, expected.platform.uses)
    if token.issuer != expected.issuer:
        _refuse(f"The identity token is from {token.issuer[:200]!r}; {expected.issuer} was expected.")
    _check_audience(token.claims.get("aud"), expected.audience)
    _check_times(token.claims, expected.now)
    return token.claims


def _check_audience(audience: object, expected: str) -> None:
    """Refuse a token that is for somebody else; one that is also for somebody else could be used by them."""
    if audience == expected or audience == [expected]:
        return
    said = ", ".join(map(str, audience)) if isinstance(audience, list) else str(audience)
    _refuse(
        f"The identity token is for {said[:200]!r}; {expected} was expected.",
        hint="ask the platform for a token with exactly this audience, and no other",
    )


def _check_times(claims: Mapping[str, Any], now: datetime) -> None:
    ends = _time(claims, "exp")
    if ends is None:
        _refuse("The identity token does not say until when it is good (exp).")
    if now >= ends + SKEW:
        _refuse(f"The identity token expired at {ends:%Y-%m-%d %H:%M:%S} UTC.")
    if ends > now + LONGEST_LIFE + SKEW:
        _refuse(
            f"The identity token is good until {ends:%Y-%m-%d %H:%M} UTC, for more than a day.",
            hint="have the platform give one with a shorter life",
        )
    for name, word in (("nbf", "is not good before"), ("iat", "was issued in the future, at")):
        then = _time(claims, name)
        if then is not None and then > now + SKEW:
            _refuse(
                f"The identity token {word} {then:%Y-%m-%d %H:%M:%S} UTC; it is {now:%H:%M:%S} here.",
                hint="set the clocks of both machines by NTP",
            )


def _time(claims: Mapping[str, Any], name: str) -> datetime | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**34:
        _refuse(f"The identity token's {name} is no time.")
    return moment(value)


def _refuse(why: str, hint: str = _AGAIN) -> NoReturn:
    raise NotAuthenticated(why, hint=hint)
