"""What ``doctor`` finds by itself, without a service: clocks, files of the future, open directories, metrics."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from tests.web.house import pair

from privyseal.access.policies import read_file, unite
from privyseal.cli import doctor, doctor_duties
from privyseal.records import keys, parties, policies
from privyseal.records.database import open_records
from privyseal.records.schema import migrate
from privyseal.strongroom.door import Door
from privyseal.strongroom.messages import SignerState
from privyseal.strongroom.messages_of_homes import TokenKeysAsked, TokenKeysRead
from privyseal.terms.keys import Approver, TokenKeys, TokenState
from privyseal.terms.parties import Member, Role, Subscriber


@contextmanager
def _serving(status: int, body: bytes) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_clock_that_is_moved_while_it_is_looked_at_is_bad(monkeypatch: pytest.MonkeyPatch) -> None:
    """And one that runs evenly is not, whether or not the kernel knows it to be synchronised."""
    assert doctor._clock().state in ("good", "weak")
    real, begun = time.time, time.monotonic()
    monkeypatch.setattr(doctor.time, "time", lambda: real() + 3 * (time.monotonic() > begun + 0.2))
    found = doctor._clock()
    assert found.state == "bad" and "+3.0" in found.text


def test_a_file_of_the_future_says_that_the_clock_went_back(tmp_path: Path) -> None:
    """Named, so that one can look when it was written."""
    (tmp_path / "records.db").write_bytes(b"")
    assert doctor._future(tmp_path).state == "good"
    os.utime(tmp_path / "records.db", (time.time() + 3600,) * 2)
    found = doctor._future(tmp_path)
    assert found.state == "bad" and "records.db" in found.text


def test_a_directory_that_others_can_enter_is_bad(tmp_path: Path) -> None:
    """With the command that cures it."""
    (tmp_path / "signer").mkdir(mode=0o700)
    assert doctor._rooms_closed(tmp_path).state == "good"
    (tmp_path / "signer").chmod(0o755)
    found = doctor._rooms_closed(tmp_path)
    assert found.state == "bad" and "signer" in found.text and "chmod 700" in found.text


def test_a_disk_without_room_is_bad(tmp_path: Path) -> None:
    """By the threshold of the configuration."""
    assert doctor._room(tmp_path, 1).state == "good"
    assert doctor._room(tmp_path, 1 << 60).state == "bad"


@pytest.mark.parametrize(
    ("lag", "state"), [(b"0.0", "good"), (b"3.0", "bad")]
)  # a head is published before anybody is answered
def test_a_log_that_is_behind_its_head_is_bad(lag: bytes, state: str) -> None:
    """As the metrics say."""
    body = b"# HELP x y\nprivyseal_log_unpublished_entries " + lag + b"\nprivyseal_log_unpublished_entries_other 9\n"
    with _serving(200, body) as url:
        metrics, log = doctor._watched(url, None)
    assert (metrics.state, log.what, log.state) == ("good", "log", state)
    assert "2 numbers" in metrics.text


@pytest.mark.parametrize("status", [401, 404, 500])
def test_metrics_that_are_not_for_us_are_no_fault(status: int) -> None:
    """Only weak, with the reason; and so is a service that is gone."""
    with _serving(status, b"") as url:
        (found,) = doctor._watched(url, None)
    assert found.state == "weak"
    (gone,) = doctor._watched(url, None)
    assert gone.state == "weak"


def test_each_token_is_told_with_its_keys(tmp_path: Path) -> None:
    """Asked of a signer's own socket: good where usable, bad where keys are in it and it is not, else weak."""
    tokens = (
        TokenState("well", "usable", keys=1, losses=2),
        TokenState("vault", "away", "The token was removed.", keys=2),
        TokenState("spare", "pin", "The token refused the PIN."),
    )
    (tmp_path / "run").mkdir()
    inside = TokenKeysRead((TokenKeys("well", 1), TokenKeys("vault", 1, missing=("demo/release",))))
    door = Door(
        tmp_path / "run" / "signer.sock",
        lambda question: inside if isinstance(question, TokenKeysAsked) else SignerState(7, 3, True, tokens),
    )
    door.open()
    thread = threading.Thread(target=door.serve)
    thread.start()
    found = list(doctor.tokens(tmp_path))
    door.stop()
    thread.join()
    door.dispose()
    assert [(each.what, each.state) for each in found] == [
        ("token well", "good"),
        ("token vault", "bad"),
        ("token spare", "weak"),
        ("keys in token well", "good"),
        ("keys in token vault", "bad"),
    ]
    assert "holds one key, and 2 workers were lost" in found[0].text
    assert found[1].text == "away: The token was removed. It holds 2 keys"
    assert "its PIN is held back: The token refused the PIN." in found[2].text
    assert found[4].text == "not in it any more: demo/release"
    assert list(doctor.tokens(tmp_path)) == []  # nobody answers there any more


def test_who_may_what_is_told(tmp_path: Path) -> None:
    """A Subscriber without a policy, and a person who may ask and agree; good where there is neither."""
    url = f"sqlite:///{tmp_path / 'records.db'}"
    migrate(url)
    records = open_records(url)
    try:
        with records.batch() as batch:
            parties.add_subscriber_of_all_subscribers(batch.across_subscribers(), Subscriber("demo", "Demo"))
        with records.writing("demo") as tx:
            keys.add_key_pair(tx, pair("release", b"spki", (Approver("Ada", b"k" * 32),), 1))
            parties.add_member(tx, Member("M-1", "demo", "Ada", (Role.APPROVER,)))
        assert (doctor_duties._policies(records).state, doctor_duties._apart(records).state) == ("weak", "good")
        with records.writing("demo") as tx:
            parties.set_roles(tx, "M-1", (Role.APPROVER, Role.REQUESTER))
            whole = unite({"a.toml": read_file("a.toml", b'[all]\nkeys = ["*"]')})
            policies.put_in_force(tx, whole, "M-1", datetime.now(UTC), None)
        apart = doctor_duties._apart(records)
        assert apart.state == "weak" and apart.text.startswith("demo: Ada (M-1) may ask for signatures")
        assert doctor_duties._policies(records).state == "good"
    finally:
        records.close()
