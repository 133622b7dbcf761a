"""Metrics: what is counted, who may read it, and that nobody's name is in it."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from prometheus_client.parser import text_string_to_metric_families
from tests.web.house import House

from privyseal.config import TelemetrySection
from privyseal.errors import KeyStoreUnavailable, NotAuthenticated, NotFound
from privyseal.strongroom.messages import SignerState
from privyseal.terms.keys import TokenState
from privyseal.tlog.checkpoint import Checkpoint
from privyseal.tlog.note import KeyType, Signer, Verifier, sign_note
from privyseal.tlog.witness import cosign
from privyseal.web import readings
from privyseal.web.metrics import Metrics


def samples(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Read the text format with the client library's own parser."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(text: str, name: str, **labels: str) -> float:
    return samples(text)[(name, frozenset(labels.items()))]


@pytest.fixture
def scraped(house: House) -> Any:
    """A way to read what the house counts, as from loopback."""

    def read() -> str:
        house.desk.metrics._section = TelemetrySection(metrics="anybody")
        answered = house.client.get("/metrics")
        assert answered.status_code == 200
        assert answered.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        return str(answered.text)

    return read


def test_batches_queues_and_readiness_are_counted(house: House, scraped: Any) -> None:
    """After two requests: steps with sizes, queues that are empty, parts that are ready."""
    for key in ("a", "b"):
        assert house.post(house.request(), key).status_code == 201
    text = scraped()
    for step, count in (("authenticate", 1), ("ask", 2)):  # a token found good is not asked for again at once
        assert value(text, "privyseal_step_duration_seconds_count", step=step) == count
        assert value(text, "privyseal_step_batch_items_sum", step=step) == count
        assert value(text, "privyseal_queue_length", queue=step) == 0
    assert {part: value(text, "privyseal_ready", part=part) for part in ("records", "logger", "disk")} == {
        "records": 1, "logger": 1, "disk": 1,
    }  # fmt: skip
    assert value(text, "process_resident_memory_bytes") > 1 << 20


def test_a_part_that_is_not_ready_is_0(house: House, scraped: Any) -> None:
    """And the others stay as they are."""
    house.seal.signer.raises = KeyStoreUnavailable("The token is gone.")  # type: ignore[attr-defined]
    text = scraped()
    assert value(text, "privyseal_ready", part="signer") == 0
    assert value(text, "privyseal_ready", part="logger") == 1


def test_each_token_has_a_gauge(house: House, scraped: Any) -> None:
    """1 where its keys can be used, else 0; and how many keys it holds and workers it lost are among the facts."""
    tokens = (TokenState("vault", "away", "The token was removed.", 2, 3), TokenState("other", "usable", keys=1))
    house.seal.signer.health = lambda: SignerState(7, 3, True, tokens)  # type: ignore[method-assign]
    text = scraped()
    assert value(text, "privyseal_token_usable", token="vault") == 0
    assert value(text, "privyseal_token_usable", token="other") == 1
    assert value(text, "privyseal_room_state", room="signer", fact="tokens.vault.losses") == 3


def test_no_name_of_anybody_is_a_label(house: House, scraped: Any) -> None:
    """Neither Subscribers nor keys, members, files or request ids, however they were used."""
    house.post(house.request(), "secret-idempotency", **{"X-Request-Id": "secret-id"})
    house.client.get("/v1/demo/keys/release", headers=house.auth())
    text = scraped()
    for name in ("demo", '"release"', "setup.exe", "secret", "ada"):
        assert name not in text, name


@pytest.mark.parametrize(
    ("section", "host", "headers", "error"),
    [
        (TelemetrySection(), "127.0.0.1", {}, None),
        (TelemetrySection(), "::1", {}, None),
        (TelemetrySection(), "192.0.2.1", {}, NotAuthenticated),
        (TelemetrySection(), "testclient", {}, NotAuthenticated),
        (TelemetrySection(), None, {}, NotAuthenticated),
        (TelemetrySection(), "127.0.0.1", {"x-forwarded-for": "192.0.2.1"}, NotAuthenticated),
        (TelemetrySection(), "127.0.0.1", {"forwarded": "for=192.0.2.1"}, NotAuthenticated),
        (TelemetrySection(metrics="anybody"), "192.0.2.1", {}, None),
        (TelemetrySection(metrics="off"), "127.0.0.1", {}, NotFound),
    ],
)
def test_who_may_read(
    section: TelemetrySection, host: str | None, headers: dict[str, str], error: type[Exception] | None
) -> None:
    """This machine without a proxy in between, or whoever the configuration names."""
    if error is None:
        Metrics(section).admit(host, headers)
    else:
        with pytest.raises(error):
            Metrics(section).admit(host, headers)


def test_a_token_opens_it_from_anywhere() -> None:
    """The configuration holds only its SHA-256; no token, another one, or none configured, opens nothing."""
    section = TelemetrySection(metrics_token_sha256=hashlib.sha256(b"sesame").hexdigest())
    Metrics(section).admit("192.0.2.1", {"authorization": "Bearer sesame"})
    for header in ("Bearer wrong", "Basic sesame", "Bearer ", ""):
        with pytest.raises(NotAuthenticated):
            Metrics(section).admit("192.0.2.1", {"authorization": header})
    with pytest.raises(NotAuthenticated):
        Metrics(TelemetrySection()).admit("192.0.2.1", {"authorization": "Bearer "})


class _Token(msgspec.Struct):
    label: str
    present: bool
    sessions: int


class _State(msgspec.Struct):
    keys: int
    tokens: tuple[_Token, ...]
    not_after: datetime | None
    why: str = ""


def test_whatever_a_process_says_in_numbers_is_counted() -> None:
    """Fields that nobody knew of when this was written, with lists named by what is in them; words are left out."""
    state = _State(3, (_Token("hsm-1", True, 4), _Token("hsm-2", False, 0)), datetime(2026, 1, 1, tzinfo=UTC))
    assert dict(readings.numbers(state)) == {
        "keys": 3,
        "tokens.hsm-1.present": 1,
        "tokens.hsm-1.sessions": 4,
        "tokens.hsm-2.present": 0,
        "tokens.hsm-2.sessions": 0,
        "not_after": 1767225600,
    }


@pytest.mark.parametrize("octets", [b"", b"origin\n", b"origin\nmany\n", b"origin\n" + b"9" * 30 + b"\n"])
def test_a_checkpoint_that_is_none_counts_nothing(tmp_path: Path, octets: bytes) -> None:
    """It is somebody else's to complain about; ours is to go on."""
    (tmp_path / "checkpoint").write_bytes(octets)
    assert readings.published(tmp_path) is None
    (tmp_path / "checkpoint").write_bytes(b"origin\n7\nroot\n")
    found = readings.published(tmp_path)
    assert found is not None and found[0] == 7
    assert readings.published(tmp_path / "nowhere") is None


def test_who_witnessed_the_published_head_and_when(house: House, scraped: Any) -> None:
    """One number for each witness, the log's own signature apart; none where nobody has, or the file is no note."""
    log = house.desk.public_log
    assert readings.cosignatures(log) == {} == readings.cosignatures(log / "nowhere")
    name = "privyseal_log_cosignature_timestamp_seconds"
    head = Checkpoint("log.example", 7, b"r" * 32)
    keys = [Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32) for number in (1, 2)]
    signers = [
        Signer(Verifier(called, kind, key.public_key().public_bytes_raw()), key.sign)
        for called, kind, key in zip(
            ("log.example", "w.example"), (KeyType.ED25519, KeyType.COSIGNATURE_V1), keys, strict=True
        )
    ]
    note = sign_note(head.body(), signers[:1])
    note += cosign(head.body(), 1_767_225_600, signers[1])
    (log / "checkpoint").write_bytes(note)
    assert value(scraped(), name, witness="w.example") == 1_767_225_600
    (log / "checkpoint").write_bytes(b"origin\n7\nroot\n")
    assert name + "{" not in scraped()


def test_names_and_words_are_as_prometheus_has_them(house: House, scraped: Any) -> None:
    """Counters end in _total and nothing else does, units are base units, every family says in a sentence what it is,
    and each of ours stands in the how-to (prometheus.io/docs/practices/naming)."""
    assert house.post(house.request(), "a").status_code == 201
    text = scraped()
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "watch-a-service.md").read_text()
    for family in text_string_to_metric_families(text):
        assert re.fullmatch(r"(privyseal|process)(_[a-z]+)+", family.name), family.name
        assert family.documentation.endswith("."), family.name
        assert not re.search(r"_(ms|millis|minutes|kib|mib|percent|created|total)(_|$)", family.name), family.name
        named = family.name + ("_total" if family.type == "counter" else "")
        assert f"# TYPE {named} " in text
        if family.name.startswith("privyseal_"):
            assert f"`{named}`" in page, named
    assert len({line.split()[2] for line in text.splitlines() if line.startswith("# TYPE ")}) == text.count("# TYPE ")


def test_registries_do_not_share_anything() -> None:
    """Two services in one process count apart."""
    one, two = Metrics(), Metrics()
    one.signed("rsa-3072", "signed", 5)
    assert value(one.text().decode(), "privyseal_signatures_total", scheme="rsa-3072", outcome="signed") == 5
    assert "rsa-3072" not in two.text().decode()
