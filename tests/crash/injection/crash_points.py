"""The named crash points: where on the walk a process is ended as by ``kill -9``, before or after one call returns.

Nothing in the product knows of them. ``sitecustomize.py`` beside this file patches the functions named here inside
the processes that a campaign starts. A name that is in no module any more, or that no process reaches, fails the
campaign, so the table cannot rot.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Role = Literal["serve", "logger", "signer", "stamper"]
Phase = Literal["before", "after"]
Trigger = Literal["walk", "start", "full tile"]

BEFORE: tuple[Phase, ...] = ("before",)
AFTER: tuple[Phase, ...] = ("after",)
BOTH: tuple[Phase, ...] = ("before", "after")


class Point(NamedTuple):
    """One place: in which process, at which function, and what has to happen for the process to come by."""

    name: str
    role: Role
    target: str
    """``module:attribute`` or ``module:Class.method``."""
    phase: Phase
    trigger: Trigger
    only: str
    """A condition on the call (``CONDITIONS`` in sitecustomize.py); empty for every call."""


LABELS = "privyseal.records.requests"
"""The functions of this module name the commit that follows them in the same thread."""
_REQUESTS = (
    "add_taken",
    "store_signatures",
    "store_blobs",
    "store_receipts",
)
_COMMIT = "privyseal.records.database:Records.commit"


def _points() -> list[Point]:
    found: list[Point] = []

    def at(name: str, role: Role, target: str, phases: tuple[Phase, ...], only: str = "", **how: Trigger) -> None:
        trigger = how.get("trigger", "walk")
        found.extend(Point(f"{role}: {phase} {name}", role, target, phase, trigger, only) for phase in phases)

    for statement in _REQUESTS:
        at(f"the commit of {statement}", "serve", _COMMIT, BOTH, f"label {statement}")
    client = "privyseal.strongroom.client"
    at("the intents are appended", "serve", f"{client}:LoggerClient.append", BOTH, "intents")
    at("the signer is asked", "serve", f"{client}:SignerClient.sign", BOTH)
    at("the stamper is asked", "serve", f"{client}:StamperClient.stamp", BOTH)
    at("the completions are appended", "serve", f"{client}:LoggerClient.append", BOTH, "completions")
    at("the response is built", "serve", "privyseal.web.views:request_view", BOTH)
    at("leases are dropped", "serve", "privyseal.signing.duties:begin", BOTH, trigger="start")
    at("recovery", "serve", "privyseal.signing.duties:recover", AFTER, trigger="start")

    store = "privyseal.tlog.tilestore:DirectoryTileStore"
    at("a batch is begun", "logger", "privyseal.strongroom.ledger:Ledger.begin", BEFORE)
    at("entries are staged", "logger", "privyseal.strongroom.staging:Staging.stage", BEFORE)
    at("the journal's commit", "logger", "privyseal.strongroom.durable:Database.commit", BOTH)
    at("a hash tile is written", "logger", f"{store}.write", BEFORE, "tile")
    at("a hash tile gets its name", "logger", "os:replace", BOTH, "tile")
    at("an entry bundle is written", "logger", f"{store}.write", BEFORE, "bundle")
    at("an entry bundle gets its name", "logger", "os:replace", BOTH, "bundle")
    at("what was written is read back", "logger", "privyseal.tlog.log:confirm", BOTH)
    at("the mark is raised", "logger", "privyseal.strongroom.mark:MarkFile.raise_to", BOTH)
    at("the mark is synced", "logger", "os:fdatasync", BEFORE)
    at("the head is signed", "logger", "privyseal.tlog.checkpoint:sign_checkpoint", BOTH)
    at("the head is published", "logger", "os:replace", BOTH, "checkpoint")
    at("the answer is proven", "logger", "privyseal.tlog.reader:Reader.consistency", BEFORE)
    archive = "privyseal.strongroom.archive:DurableTiles"
    at("a full tile is made durable", "logger", f"{archive}.write", BOTH, trigger="full tile")
    at("the names of full tiles are synced", "logger", f"{archive}.sync", BOTH, trigger="full tile")
    at("partial tiles are removed", "logger", f"{store}.remove", BOTH, trigger="full tile")

    at("a request is judged", "signer", "privyseal.strongroom.judgement:Judge.judge", BOTH)
    at("mark and spent intents are committed", "signer", "privyseal.strongroom.durable:Database.commit", BOTH)
    at("the key is used", "signer", "privyseal.keystore.softfile:SoftFile.sign", BOTH)
    at("the signature is verified", "signer", "privyseal.pki.certificates:verify_all", AFTER)
    at("the signer answers", "signer", "privyseal.strongroom.signer:Signer.handle", AFTER, "signed batch")

    at("the time is raised", "stamper", "privyseal.strongroom.mark:MarkFile.raise_to", BOTH)
    at("the timestamp key is used", "stamper", "privyseal.keystore.softfile:SoftFile.sign", BOTH)
    at("the tokens are built", "stamper", "privyseal.timestamp.authority:Authority.stamp", BOTH)

    for room in ("logger", "signer", "stamper"):
        at("its room is locked", room, "privyseal.strongroom.durable:lock_room", AFTER, trigger="start")
        at("its door opens", room, "privyseal.strongroom.door:Door.open", BOTH, trigger="start")
    at("the ledger is read", "logger", "privyseal.strongroom.ledger:Ledger.__init__", BOTH, trigger="start")
    return found


POINTS: tuple[Point, ...] = tuple(_points())
