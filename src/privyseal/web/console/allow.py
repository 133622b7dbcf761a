"""Letting a command line in: the one that opened this browser, or one that shows a code."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlencode

from privyseal.errors import BadInput
from privyseal.signing import commandline
from privyseal.web.console.visit import Reply, Visit, go

_STATE = re.compile(r"[A-Za-z0-9_-]{20,100}\Z")
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}\Z")


def show(visit: Visit) -> Reply:
    """Ask whether the command line that opened this page may act as its reader."""
    port = _port(visit.query.get("port", ""))
    asked = {name: visit.query.get(name, "") for name in ("port", "state", "challenge", "label")}
    _require(asked)
    return Reply("allow.html", {"asked": asked}, form_action=f"http://127.0.0.1:{port}")


def answer(visit: Visit) -> Reply:
    """Send the command line its code, or a no."""
    _require(visit.form)
    port, state = _port(visit.text("port")), visit.text("state")
    if visit.form.get("answer") != "yes":
        return go(f"http://127.0.0.1:{port}/?" + urlencode({"state": state, "error": "access_denied"}))
    code = commandline.allow(visit.seal, visit.signed_in, visit.text("challenge"), port, visit.form.get("label", ""))
    return go(f"http://127.0.0.1:{port}/?" + urlencode({"state": state, "code": code}))


def device(visit: Visit) -> Reply:
    """Ask for the code that a command line shows."""
    return Reply("device.html", {"waiting": None, "code": visit.query.get("code", "")[:16]})


def look(visit: Visit) -> Reply:
    """Show which command line waits with that code, and ask whether to let it in."""
    found = commandline.waiting_device(visit.seal, visit.text("code"))
    return Reply("device.html", {"waiting": found, "code": visit.text("code")[:16]})


def answer_device(visit: Visit) -> Reply:
    """Let the command line in, or not."""
    yes = visit.form.get("answer") == "yes"
    commandline.answer_device(visit.seal, visit.signed_in, visit.text("code"), yes=yes)
    return go(f"/console/?said=command-line-{'in' if yes else 'refused'}")


def _require(asked: Mapping[str, str]) -> None:
    if not _STATE.match(asked.get("state", "")) or not _CHALLENGE.match(asked.get("challenge", "")):
        raise BadInput("This page was not opened by a command line of ours.", hint="run privyseal login")


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1024 <= int(text[:6]) <= 65535:
        raise BadInput("The command line's address is not one.", hint="run privyseal login")
    return int(text)
