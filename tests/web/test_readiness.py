"""Readiness: each part that could not do its work is named with its reason, and hides no other."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.web.house import House, check

from privyseal.errors import LogRolledBack
from privyseal.records.database import open_records
from privyseal.strongroom.messages import SignerState
from privyseal.terms.keys import TokenState
from privyseal.web import desk as desk_module
from privyseal.web.readiness import Readiness


def told(house: House, **changes: Any) -> dict[str, str]:
    """Look once and return what is missing."""
    directories = changes.pop("directories", {})
    return Readiness(house.seal, directories, **changes).look().missing


def test_a_healthy_service_misses_nothing(house: House, tmp_path: Path) -> None:
    """And what the processes said of themselves is kept."""
    look = Readiness(house.seal, {"log": tmp_path}, 0).look()
    assert look.missing == {}
    assert set(look.states) == {"logger", "signer", "stamper"}
    assert set(look.seconds) == {"records", "logger", "signer", "stamper", "disk"}


def test_a_database_that_takes_no_writes_is_not_ready(house: House) -> None:
    """Opened read-only, as after a disk was mounted so."""
    url = house.seal.records.engine.url
    closed = {"options": "-c default_transaction_read_only=on"}
    house.seal.records.close()
    if house.database is None:
        house.seal.records = open_records(f"sqlite:///file:{url.database}?mode=ro&uri=true")
    else:
        house.seal.records = open_records(url.update_query_dict(closed).render_as_string(hide_password=False))
    try:
        assert "read" in told(house)["records"]
    finally:
        house.seal.records.close()
        house.seal.records = open_records(url.render_as_string(hide_password=False))


def test_a_full_disk_is_not_ready(house: House, tmp_path: Path) -> None:
    """Said before it is full, with how much is left and how much was expected; a directory that is gone, too."""
    assert "MiB are free" in told(house, directories={"log": tmp_path}, least_free=1 << 60)["disk"]
    assert "cannot be looked at" in told(house, directories={"log": tmp_path / "gone"})["disk"]


def test_a_log_that_was_put_back_is_said_to_be(house: House) -> None:
    """And so is, at the same time, a signer without keys and a stamper whose clock is wrong."""
    house.seal.logger.raises = LogRolledBack("A head of 9 entries was signed, and the log has 7.")  # type: ignore[attr-defined]
    house.seal.signer.health = lambda: SimpleNamespace(keys=0)  # type: ignore[method-assign, assignment, return-value]
    house.seal.stamper.health = lambda: SimpleNamespace(ready=False, why="The clock went back.")  # type: ignore[method-assign, assignment, return-value]
    document = check(house.client.get("/readyz"), 503, "unavailable")
    for said in ("logger: A head of 9", "signer: It holds no key", "stamper: The clock went back."):
        assert said in document["detail"]


def test_a_token_that_keys_are_in_and_that_is_away_is_said(house: House) -> None:
    """With its sentence; one that holds no key keeps nobody from signing."""
    away = TokenState("vault", "away", "The token was removed.", keys=2)
    idle = TokenState("spare", "pin", "The token refused the PIN.", keys=0)
    well = TokenState("other", "usable", keys=1)
    house.seal.signer.health = lambda: SignerState(7, 3, True, (away, idle, well))  # type: ignore[method-assign]
    assert told(house) == {"signer": "Token vault, which holds 2 keys: The token was removed."}
    document = check(house.client.get("/readyz"), 503, "unavailable")
    assert "signer: Token vault" in document["detail"] and "spare" not in document["detail"]
    house.seal.signer.health = lambda: SignerState(7, 3, True, (idle, well))  # type: ignore[method-assign]
    assert told(house) == {}


def test_a_part_that_does_not_answer_is_named(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """``/readyz`` does not wait for ever for one that hangs."""
    monkeypatch.setattr(desk_module, "LOOK_LIMIT_S", 0.2)
    gate = threading.Event()
    house.seal.signer.health = lambda: gate.wait(20)  # type: ignore[method-assign, assignment, return-value]
    document = check(house.client.get("/readyz"), 503, "unavailable")
    assert "signer: It did not answer" in document["detail"]
    gate.set()
