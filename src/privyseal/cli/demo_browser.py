"""A browser for rehearsals: it opens the service's real pages and sends their real forms, with a passkey plugged in."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from html.parser import HTMLParser
from urllib.parse import urlencode, urlsplit

import msgspec

from privyseal.access.sessions import FORGERY_HEADER
from privyseal.cli.demo_passkey import SoftwarePasskey
from privyseal.errors import Unavailable

TIMEOUT_S = 60.0
"""Seconds for one answer of the service."""
_MOST = 4 << 20
"""Octets of one answer; a page has some ten thousand."""


class Form(msgspec.Struct):
    """A form as it stands in a page."""

    action: str
    options: str = ""
    """What a passkey is asked, JSON; empty where it is not asked."""
    fields: dict[str, str] = {}


class Browser:
    """One person's: cookies, and one passkey."""

    def __init__(self, url: str) -> None:
        """Open the service at ``url`` by its name: passkeys are for names, not for numbers."""
        port = urlsplit(url).port
        self.origin = f"http://localhost:{port}"
        self._address = f"localhost:{port}"
        self._cookies: dict[str, str] = {}
        self.passkey = SoftwarePasskey(self.origin)

    def forms(self, path: str) -> dict[str, Form]:
        """Open a page and return its forms by their action."""
        reader = _Forms()
        reader.feed(self._ask("GET", path)[1].decode("utf-8"))
        return {form.action: form for form in reader.found}

    def send(self, form: Form, **fields: str) -> str:
        """Send a form and return where its answer leads."""
        body = urlencode(form.fields | fields).encode("ascii")
        return self._ask("POST", form.action, body, {"Content-Type": "application/x-www-form-urlencoded"})[0]

    def create_passkey(self, form: Form, label: str) -> None:
        """Send a form that asks for a new passkey."""
        self.send(form, answer=self.passkey.create(form.options), label=label)

    def read(self, path: str) -> bytes:
        """Read a document of the API, as a script of a page does."""
        return self._ask("GET", path)[1]

    def post(self, path: str, document: msgspec.Struct) -> bytes:
        """Send a document to the API, as a script of a page does."""
        page = next(form.fields["page"] for form in self.forms("/console/security").values() if "page" in form.fields)
        headers = {"Content-Type": "application/json", FORGERY_HEADER.decode("ascii"): page}
        return self._ask("POST", path, msgspec.json.encode(document), headers)[1]

    def _ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] = {}
    ) -> tuple[str, bytes]:
        """Ask once; return where the answer leads, empty where nowhere, and its octets."""
        own = {"Sec-Fetch-Site": "same-origin", "User-Agent": "Privy Seal demo"} | dict(headers)
        own |= {"Origin": self.origin} if method == "POST" else {}
        own |= {"Cookie": "; ".join(f"{k}={v}" for k, v in self._cookies.items())} if self._cookies else {}
        connection = http.client.HTTPConnection(self._address, timeout=TIMEOUT_S)
        try:
            connection.request(method, path, body, own)
            answer = connection.getresponse()
            octets = answer.read(_MOST)
        except OSError as error:
            raise Unavailable(f"The page {path.partition('?')[0]} cannot be reached: {error}.") from error
        finally:
            connection.close()
        for each in answer.headers.get_all("Set-Cookie") or ():
            name, _, value = each.partition(";")[0].partition("=")
            self._cookies[name] = value.strip('"')
        if answer.status >= 400:
            said = octets.decode("utf-8", "replace")
            raise Unavailable(f"The page {path.partition('?')[0]} answered {answer.status}: {_sentence(said)}")
        return answer.headers.get("Location", ""), octets


class _Forms(HTMLParser):
    """Finds the forms of a page, their hidden fields and what a passkey is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[Form] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take a form or a field."""
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.found.append(Form(action=given.get("action", ""), options=given.get("data-options", ""), fields={}))
        elif tag == "input" and self.found and given.get("name"):
            self.found[-1].fields[given["name"]] = given.get("value", "")


class _Words(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def handle_data(self, data: str) -> None:
        self.said.append(data.strip())


def _sentence(page: str) -> str:
    """Return the words of a refusal, as one line."""
    words = _Words()
    words.feed(page)
    return " ".join(filter(None, words.said))[-300:]
