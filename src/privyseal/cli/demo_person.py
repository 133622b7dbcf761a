"""Somebody in the demo's second Subscriber, and where what the demo writes for it is kept."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from privyseal.cli.demo_browser import Browser

KEY = "release"
"""The Subscriber's key."""
FOLDER = Path("acme")
"""Everything that the demo writes for its second Subscriber, within the service's directory."""


class Person(msgspec.Struct, frozen=True):
    """Somebody with a browser, a passkey, and a command line of their own."""

    subscriber: str
    name: str
    member: str
    browser: Browser
    home: Path
    """Where their command line keeps its session."""

    @property
    def first(self) -> str:
        """Return the first name."""
        return self.name.split()[0]

    @property
    def into(self) -> Mapping[str, str]:
        """Return what is in their environment."""
        return {"XDG_STATE_HOME": str(self.home), "USER": self.first.lower()}

    @property
    def profile(self) -> tuple[str, str]:
        """Return the option that names the Subscriber's profile, in which no credential stands."""
        return "--profile", f"./{FOLDER}/person.toml"
