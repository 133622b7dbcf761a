"""What a page is handed and what it answers: everything a page function knows of HTTP."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from typing import Any, Literal
from urllib.parse import parse_qsl

from litestar.datastructures import Cookie

from privyseal.access import permissions, sessions
from privyseal.access.permissions import Verb
from privyseal.access.sessions import Session
from privyseal.errors import BadInput, NotAuthenticated, StepUpNeeded
from privyseal.signing.gatehouse import Gatehouse
from privyseal.signing.instance import PrivySeal
from privyseal.signing.people import gatehouse
from privyseal.signing.signin import Visitor
from privyseal.terms.parties import Actor
from privyseal.terms.requests import Dossier

MOST_FIELDS = 50
"""Fields of a form; ours have at most six."""
AWAY_COOKIES = ("__Host-privyseal-away", "privyseal-away-loopback")
"""What the browser keeps while its person is at a provider, over TLS and on loopback."""
HOME = "/console/"
"""The page that the console begins with."""

_NEXT = re.compile(r"/console/[A-Za-z0-9/_-]*(\?[A-Za-z0-9=&%._~-]*)?\Z")


@dataclass(frozen=True)
class Visit:
    """One request for a page."""

    seal: PrivySeal
    origin: str
    """Our own address, scheme and host."""
    path: str
    headers: Sequence[tuple[bytes, bytes]]
    query: Mapping[str, str]
    form: Mapping[str, str]
    session: Session | None = None
    token: str = ""

    @property
    def gate(self) -> Gatehouse:
        """Return what lets people in."""
        return gatehouse(self.seal)

    @property
    def signed_in(self) -> Session:
        """Return the session; NotAuthenticated where there is none."""
        if self.session is None:
            raise NotAuthenticated("Nobody is signed in.", hint="sign in")
        return self.session

    @property
    def actor(self) -> Actor:
        """Return who acts."""
        return self.signed_in.actor()

    @property
    def recent(self) -> bool:
        """Tell whether this session has shown a second factor recently enough to change anything."""
        try:
            sessions.require_recent(self.actor, self.seal.clock())
        except StepUpNeeded:
            return False
        return True

    def may(self, verb: Verb) -> bool:
        """Tell whether whoever is signed in may do this for its own Subscriber."""
        return permissions.may(self.actor, verb)

    @property
    def visitor(self) -> Visitor:
        """Return whence somebody signs in."""
        agent = next((value for name, value in self.headers if name == b"user-agent"), b"").decode("latin-1")
        return Visitor(sessions.agent_of(self.headers), browser(agent))

    @property
    def secure(self) -> bool:
        """Tell whether our own address is https."""
        return self.origin.startswith("https:")

    @property
    def next(self) -> str:
        """Return where to go on, if that is one of our own pages."""
        asked = self.form.get("next") or self.query.get("next") or ""
        return asked if _NEXT.match(asked) else HOME

    def text(self, name: str) -> str:
        """Return a field of the form; BadInput where it is missing."""
        if not self.form.get(name):
            raise BadInput(f"The field {name!r} is empty.", hint="fill it in")
        return self.form[name]

    def cookie(self, name: str) -> str:
        """Return a cookie, or nothing."""
        for key, value in self.headers:
            if key == b"cookie":
                try:
                    found = SimpleCookie(value.decode("latin-1")).get(name)
                except CookieError:
                    continue
                if found is not None:
                    return found.value
        return ""

    @property
    def away_note(self) -> str:
        """Return the note of somebody who was sent to a provider."""
        return self.cookie(AWAY_COOKIES[0] if self.secure else AWAY_COOKIES[1])


@dataclass(frozen=True)
class Reply:
    """What a page answers: a template with what it shows, or where to go."""

    template: str = ""
    shows: Mapping[str, Any] = field(default_factory=dict)
    to: str = ""
    status: int = 200
    cookies: tuple[Cookie, ...] = ()
    form_action: str = ""
    """An origin besides our own to which a form of this page may lead."""
    approved: Dossier | None = None
    """A request that people agreed to just now; it is signed before the answer is sent, if that is soon."""


@dataclass(frozen=True)
class Page:
    """One line of the list of pages."""

    method: Literal["GET", "POST"]
    path: str
    handler: Callable[[Visit], Reply]
    admits: Literal["anybody", "half signed in", "signed in"] = "signed in"
    navigation: str = ""
    """How the navigation calls it; empty where it is not in there."""
    verb: Verb | None = None
    """What its visitor must be allowed; None for what everybody may do about themselves."""
    recent: bool = False
    """Whether a second factor must have been shown within the last minutes."""


def go(to: str, *cookies: Cookie) -> Reply:
    """Send the browser on with GET (303, RFC 9110 15.4.4)."""
    return Reply(to=to, status=303, cookies=cookies)


def session_cookie(visit: Visit, token: str) -> Cookie:
    """Return the cookie that keeps a session, or with an empty token ends it."""
    name = sessions.SECURE_COOKIE if visit.secure else sessions.LOOPBACK_COOKIE
    return _cookie(visit, name, token, "strict", int(sessions.WHOLE_LIMIT.total_seconds()))


def away_cookie(visit: Visit, note: str) -> Cookie:
    """Return the cookie that keeps a note while its person is at a provider; it comes back from another site."""
    return _cookie(visit, AWAY_COOKIES[0] if visit.secure else AWAY_COOKIES[1], note, "lax", 600)


def _cookie(visit: Visit, name: str, value: str, same_site: Literal["lax", "strict"], seconds: int) -> Cookie:
    lasts = seconds if value else 0
    return Cookie(name, value=value, max_age=lasts, httponly=True, secure=visit.secure, samesite=same_site)


def read_form(body: bytes) -> dict[str, str]:
    """Read a form (application/x-www-form-urlencoded); BadInput where it is none, or has a field twice."""
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict")
    except ValueError as error:
        raise BadInput("The form is not one.", hint="send it from the page") from error
    if len({name for name, _ in pairs}) != len(pairs):
        raise BadInput("The form has a field twice.", hint="send it from the page")
    return dict(pairs)


def browser(agent: str) -> str:
    """Name a browser and its system in a few words, for its owner's list."""
    names = ("Edg/", "Edge"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari")
    systems = ("Windows", "Android", "iPhone", "iPad", "Mac OS X", "Linux")
    what = next((name for mark, name in names if mark in agent), "a browser")
    where = next((name for name in systems if name in agent), "")
    return f"{what} on {where}" if where else what
