"""More than the service can do, and the end of the service in the middle of it: what was acknowledged is never lost."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.overload import Load, blocks, memory, numbers, quickly, rise
from tests.rehearsal import PRIVYSEAL, Rehearsal, initialise, serving, start, wait_ready
from tests.test_service import _rooms

SECONDS = 600
"""How long the long test overloads a service."""

MOST_RISE = 4 << 20
"""Octets that a process may have more in the last quarter of the long test than in the quarter before: some hundred
for each request of a slow machine, some tens for each of a fast one."""
MOST_BLOCKS = 10_000
"""Pieces of memory likewise; what is under way at one moment makes a tenth of that."""
PATIENCE = 10.0
"""Seconds within which the service answers 99 of 100 that it accepts, five times the wait that it admits."""

LIMITS = """
[limits]
requests = 16
connections = 40
longest_wait_s = 0.5
drain_s = 30.0
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a service that takes on little, with a key that is quick."""
    directory: Path = tmp_path_factory.mktemp("overload") / "seal"
    initialise(directory, "--scheme", "ecdsa-p256")
    with (directory / "serve.toml").open("a") as settings:
        settings.write(LIMITS)
    return directory


@pytest.fixture
def small(made: Path, tmp_path: Path) -> Path:
    """Copy that service, which never ran, for one test."""
    shutil.copytree(made, tmp_path / "seal")
    return tmp_path / "seal"


def _overloaded(load: Load, service: Rehearsal, seconds: float, callers: int) -> list[tuple[float, dict[int, int]]]:
    """Load a service with more than it takes, and assert what is answered; return its blocks and its processes' memory.

    Forty of each, over the whole time.
    """
    stop = threading.Event()
    pids = [service.process.pid, *_rooms(service).values()]
    threads = load.run(callers, stop, pause=0.02)
    samples: list[tuple[float, dict[int, int]]] = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(seconds / 40)
        samples.append((blocks(service.url), memory(pids)))
    stop.set()
    for thread in threads:
        thread.join(60)
    book = load.book
    assert book.oddities == []
    assert set(book.statuses) <= {201, 202, 503, "ConnectionResetError", "RemoteDisconnected", "BrokenPipeError"}
    assert book.statuses[201] > 0 and book.statuses[503] > 0, book.statuses
    report = {p: round(book.percentile(p), 3) for p in (0.5, 0.99, 1.0)}
    every = samples[:: max(1, len(samples) // 10)]
    rss = {pid: [round(memory[pid] / 2**20, 1) for _, memory in every] for pid in pids}
    print(f"statuses {dict(book.statuses)}, seconds {report}, accepted/s {book.statuses[201] / seconds:.1f}")
    print(f"MiB {rss}, blocks {[round(count) for count, _ in every]}, load {os.getloadavg()[0]:.1f}")
    return samples


def _as_ever(service: Rehearsal, load: Load) -> None:
    """The service answers one caller as if nothing had been, and everything acknowledged is there."""
    connection = http.client.HTTPConnection(urlsplit(service.url).netloc, timeout=60)
    answer, _ = load.post(connection, "afterwards", load.body("afterwards"))
    assert answer.status == 201
    connection.close()
    assert load.lost(service.url) == []
    done = service.run("log", "fsck", "--dir", service.directory, profile=False)
    assert done.returncode == 0, done.stderr


def test_too_much_is_refused_and_what_is_accepted_is_kept(small: Path) -> None:
    """Five times as many callers as there is room for: refusals are problems with Retry-After, memory is flat."""
    with serving(small, real=True) as service:
        load = Load(service)
        samples = _overloaded(load, service, seconds=6, callers=80)
        for pid, first in samples[len(samples) // 4][1].items():  # caches still fill; the long test looks closer
            assert samples[-1][1][pid] < 1.5 * first + (8 << 20)
        _as_ever(service, load)
        with urllib.request.urlopen(f"{service.url}/metrics", timeout=30) as answer:
            text = answer.read().decode()
        refused = [line for line in text.splitlines() if line.startswith("privyseal_http_refused_total")]
        assert sum(float(line.split()[-1]) for line in refused) > 0
        assert "privyseal_http_requests_under_way 0.0" in text


def test_a_leak_is_told_from_what_fills_up() -> None:
    """A curve that levels off passes however high it goes; a small steady rise does not, nor one hidden in noise."""
    noise = [(n * 7919 % 13 - 6) * 40_000 for n in range(40)]
    filling = [120 << 20 if n > 15 else (60 + 4 * n) << 20 for n in range(40)]
    leaking = [(90 << 20) + n * 15 * 30 * 1024 for n in range(40)]  # a KiB for each of 30 requests a second
    assert abs(rise([a + b for a, b in zip(filling, noise, strict=True)])) < MOST_RISE
    assert rise([a + b for a, b in zip(leaking, noise, strict=True)]) > MOST_RISE
    assert rise([*filling[:-1], 500 << 20]) < MOST_RISE


def _metrics(service: Rehearsal) -> dict[str, float]:
    with urllib.request.urlopen(f"{service.url}/metrics", timeout=60) as answer:
        return numbers(answer.read().decode())


def _capacity(service: Rehearsal, seconds: float) -> float:
    """Measure how many signatures a second the service makes for 48 callers who wait for each."""
    load, stop = Load(service), threading.Event()
    threads = load.run(48, stop)
    time.sleep(seconds)
    done = load.book.statuses[201]
    stop.set()
    for thread in threads:
        thread.join(60)
    return done / seconds


@pytest.mark.nightly
@pytest.mark.timeout(1500)
def test_ten_minutes_of_twice_the_capacity(tmp_path: Path) -> None:
    """Twice as many requests a second as it can sign with RSA-3072: none lost, memory flat, the accepted in time."""
    initialise(tmp_path / "seal")
    with (tmp_path / "seal" / "serve.toml").open("a") as settings:
        settings.write("\n[limits]\nrequests = 256\nlongest_wait_s = 2.0\n")
    with serving(tmp_path / "seal", real=True) as service:
        load = Load(service)
        load.rate = 2 * _capacity(service, 10)
        print(f"offered {load.rate:.1f}/s")
        before = _metrics(service)
        samples = _overloaded(load, service, seconds=SECONDS, callers=600)
        after = _metrics(service)
        print("by the service's own clock", {s: round(quickly(before, after, s), 4) for s in (1.0, 2.5, 5.0, 10.0)})
        assert quickly(before, after, PATIENCE) >= 0.99
        for pid in samples[0][1]:
            assert rise([memory[pid] for _, memory in samples]) < MOST_RISE, f"{pid} grows"
        assert rise([count for count, _ in samples]) < MOST_BLOCKS
        _as_ever(service, load)


def _status(url: str) -> tuple[int, str]:
    """Return status and Connection of /readyz, or 0 where nobody listens any more."""
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=10) as answer:
            return answer.status, ""
    except urllib.error.HTTPError as error:
        document = json.loads(error.read())
        assert "stopping" in document["detail"]
        assert int(error.headers["Retry-After"]) >= 1
        return error.code, error.headers["Connection"] or ""
    except OSError:
        return 0, ""


def test_a_service_that_is_told_to_stop_loses_nothing(small: Path) -> None:
    """Under load: new requests are refused, those under way are answered, exit 0, and a restart knows them all."""
    process = start(small, real=True)
    service = Rehearsal(small, wait_ready(process), process)
    load, stop = Load(service), threading.Event()
    threads = load.run(12, stop)
    while load.book.statuses[201] < 30:
        time.sleep(0.05)
        assert process.poll() is None
    seen = []
    process.send_signal(signal.SIGTERM)
    while process.poll() is None:
        seen.append(_status(service.url))
        time.sleep(0.01)
    stop.set()
    for thread in threads:
        thread.join(60)
    assert process.wait(60) == 0
    assert process.stdout is not None
    process.stdout.close()
    assert load.book.oddities == []
    assert {status for status, _ in seen} <= {200, 503, 0}
    assert all(connection.lower() == "close" for status, connection in seen if status == 503)
    with serving(small, real=True) as again:
        assert load.lost(again.url) == []
        assert again.run("log", "fsck", "--dir", small, profile=False).returncode == 0


def test_a_second_signal_ends_it_at_once(small: Path) -> None:
    """Exit 8 with a sentence where something was under way and cut off; what was written down is taken up again."""
    process = subprocess.Popen(
        [PRIVYSEAL, "serve", "--dir", str(small), "--bind", "127.0.0.1:0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    service = Rehearsal(small, wait_ready(process), process)
    load = Load(service)
    signer = _rooms(service)["signer"]
    os.kill(signer, signal.SIGSTOP)  # whatever needs the key hangs
    answers: list[object] = []

    def ask() -> None:
        connection = http.client.HTTPConnection(load.host, timeout=60)
        try:
            answer, _ = load.post(connection, "hanging", load.body("hanging"))
            answers.append(answer.status)
        except (OSError, http.client.HTTPException) as error:
            answers.append(type(error).__name__)
        connection.close()

    asking = threading.Thread(target=ask)
    asking.start()
    time.sleep(1.5)
    process.send_signal(signal.SIGTERM)
    time.sleep(1.0)
    assert process.poll() is None
    assert _status(service.url) == (503, "close")
    process.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    os.kill(signer, signal.SIGCONT)
    _, said = process.communicate(timeout=60)
    asking.join(60)
    assert process.returncode == 8, said
    assert b"a second signal" in said
    with serving(small, real=True) as again:
        load.host = urlsplit(again.url).netloc
        until = time.monotonic() + 60
        state = ""
        while state not in ("released", "failed") and time.monotonic() < until:
            connection = http.client.HTTPConnection(load.host, timeout=60)
            _, octets = load.post(connection, "hanging", load.body("hanging"))
            connection.close()
            document = json.loads(octets)
            state = document.get("state") or document.get("code", "")
        assert state in ("released", "failed")
        assert again.run("log", "fsck", "--dir", small, profile=False).returncode == 0


CANARIES = ("canary-idempotency", "canary-filename", "pst_canary")


def test_one_id_goes_from_the_client_to_the_signer(small: Path) -> None:
    """One id in the lines of every process, in answers and problems; and no secret in any line of any of them."""
    with (small / "serve.toml").open("a") as settings:
        settings.write('\n[telemetry]\nlevel = "info"\nlog = "json"\n')
    command = [PRIVYSEAL, "serve", "--dir", str(small), "--bind", "127.0.0.1:0"]
    with (small.parent / "stderr").open("wb") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors)
    service = Rehearsal(small, wait_ready(process), process)
    load = Load(service)
    connection = http.client.HTTPConnection(load.host, timeout=60)
    answer, octets = load.post(connection, CANARIES[0], load.body("one"), **{"X-Request-Id": "build-42"})
    assert (answer.status, answer.headers["X-Request-Id"]) == (201, "build-42")
    trace = "0af7651916cd43dd8448eb211c80319c"
    parent = {"traceparent": f"00-{trace}-b7ad6b7169203331-01"}
    answer, _ = load.post(connection, "two", load.body("two"), **parent)
    assert answer.headers["X-Request-Id"] == trace
    answer, octets = load.post(connection, "three", b'{"canary-filename":"\x00"', **{"X-Request-Id": "bad-1"})
    assert (answer.status, json.loads(octets)["request_id"]) == (422, "bad-1")
    connection.request("GET", "/v1/demo/keys/canary-filename", headers={"Authorization": f"Bearer {CANARIES[2]}"})
    assert connection.getresponse().read()
    connection.close()
    file = small.parent / "canary-filename.exe"
    file.write_bytes((small / "program.exe").read_bytes())
    signed = json.loads(service.run("sign", "--json", file).stdout)["files"][0]
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    assert process.stdout is not None
    process.stdout.close()
    text = (small.parent / "stderr").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    for wanted in ("build-42", trace, signed["request_id"]):
        found = [each for each in lines if each.get("request_id") == wanted or wanted in each.get("request_ids", ())]
        assert {each["process"] for each in found} == {"serve", "logger", "signer", "stamper"}, wanted
        (served,) = (each for each in found if each["event"] == "request")
        assert (served["subscriber"], served["state"], served["status"]) == ("demo", "released", 201)
        assert served["request"].startswith("R-") and served["duration_ms"] > 0
    assert any(each.get("request_id") == "bad-1" and each["status"] == 422 for each in lines)
    secrets = [load.token, (load.token or "")[4:], *CANARIES]
    for room in ("signer", "stamper"):
        toml = (small / room / f"{room}.toml").read_text()
        secrets += [line.split('"')[1] for line in toml.splitlines() if line.strip().startswith("passphrase")]
    assert len(secrets) >= 7
    assert [secret for secret in secrets if secret and secret in text] == []
