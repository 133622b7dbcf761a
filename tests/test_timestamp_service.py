"""A whole service whose stamper asks time servers: others stamp with it, a clock that is turned stops it, and
every token is proven from the log."""

from __future__ import annotations

import base64
import hashlib
import json
import sqlite3
import subprocess
import threading
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import closing
from importlib import resources
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12
from rfc3161_client import TimestampRequestBuilder, decode_timestamp_response
from tests.pki import mint
from tests.rehearsal import Rehearsal, initialise, serving
from tests.strongroom.processes import wait_until
from tests.timeservers import TimeServer, time_servers

from privyseal.cli.demo_browser import Browser
from privyseal.tlog.entry import commit

QUERY = {"Content-Type": "application/timestamp-query"}


class Service:
    """The running service, its time servers, and the stamper's clock."""

    def __init__(self, rehearsal: Rehearsal, servers: list[TimeServer]) -> None:
        self.rehearsal = rehearsal
        self.servers = servers
        self.room = rehearsal.directory / "stamper"

    def turn(self, seconds: float) -> None:
        (self.room / "ahead").write_text(str(seconds))

    def readyz(self) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"{self.rehearsal.url}/readyz", timeout=20) as answered:
                return answered.status, ""
        except urllib.error.HTTPError as error:
            return error.code, str(json.loads(error.read())["detail"])

    def ready(self) -> bool:
        return self.readyz()[0] == 200

    def stamp(self, where: Path, *more: str, path: str = "/tsa") -> str:
        """Have ``openssl ts`` ask and look at the answer; return what it says of it."""
        (where / "data").write_bytes(b"stamp me")
        ask = ["openssl", "ts", "-query", "-data", where / "data", "-sha256", "-cert", "-out", where / "q", *more]
        subprocess.run(ask, check=True, capture_output=True)
        sent = urllib.request.Request(f"{self.rehearsal.url}{path}", (where / "q").read_bytes(), QUERY)
        with urllib.request.urlopen(sent, timeout=30) as answered:
            (where / "r").write_bytes(answered.read())
        show = ["openssl", "ts", "-reply", "-in", where / "r", "-text"]
        return subprocess.run(show, check=True, capture_output=True, text=True).stdout

    def reasons(self) -> list[str]:
        """Return what the log has of whether the clock is believed."""
        return [each for each in self.diary() if each.partition(":")[0] in ("adjusted", "refused", "trusted")]

    def diary(self) -> list[str]:
        """Return what the log has of the stamper's diary: what was stated, each held against its entry's commitment."""
        shown = self.rehearsal.run("log", "show", "--last", "1000", "--json")
        assert shown.returncode == 0, shown.stderr
        logged = {each["index"]: each["entry"] for each in json.loads(shown.stdout)["entries"]}
        asked = "SELECT entry, salt, octets FROM statements WHERE topic = 'clock' AND entry IS NOT NULL ORDER BY entry"
        with closing(sqlite3.connect(self.rehearsal.directory / "records.db", timeout=30)) as database:
            rows = database.execute(asked).fetchall()
        found = []
        for entry, salt, octets in rows:
            if entry in logged:
                assert logged[entry]["about"] == "clock"
                assert logged[entry]["commitment"] in _ways(commit(salt, octets))
                matter = json.loads(octets)["matter"]
                if matter["type"] == "stamper":  # and not that the books were held against the log
                    found.append(f"{matter['what']}: {matter.get('detail', '')}")
        return found


def _ways(octets: bytes) -> tuple[str, str]:
    return octets.hex(), base64.b64encode(octets).decode()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    directory = tmp_path_factory.mktemp("t") / "D"
    initialise(directory, "--scheme", "ecdsa-p256")
    with pytest.MonkeyPatch.context() as patch, time_servers() as servers:
        toml = directory / "stamper" / "stamper.toml"
        names = json.dumps([each.address for each in servers])
        root = (directory / "ca.pem").read_text().partition("-----END CERTIFICATE-----")[
            0
        ] + "-----END CERTIFICATE-----\n"
        anchor = f'\n[[anchors]]\nstanding = "rehearsal"\npem = {json.dumps(root)}\n'
        more = f'legacy = true\ntime_period = 1\ntime_servers = {names}\nother_policies = ["1.3.6.1.4.1.99999.7"]\n'
        toml.write_text(more + toml.read_text() + anchor)
        patch.setenv("PYTHONPATH", str(Path(__file__).with_name("turned")))
        with serving(directory, "--evaluate-every", "1") as running:
            found = Service(running, servers)
            wait_until(found.ready, 30)
            yield found


@pytest.fixture(scope="module")
def grace(service: Service) -> Browser:
    """Somebody of the operator's, signed in."""
    directory = service.rehearsal.directory
    done = service.rehearsal.run("invite", "demo", "Grace", "--dir", directory, "--role", "approver", profile=False)
    assert done.returncode == 0, done.stderr
    link, browser = urlsplit(done.stdout.strip()), Browser(service.rehearsal.url)
    browser.create_passkey(browser.forms(f"{link.path}?{link.query}")["/console/welcome/passkey"], "soft")
    return browser


def test_other_people_s_tools_stamp(service: Service, tmp_path: Path) -> None:
    """``openssl ts`` verifies it, under either policy's address; osslsigncode stamps a program and verifies that."""
    ca = service.rehearsal.directory / "ca.pem"
    for path, policy in (("/tsa", "2.23.140.1.4.2"), ("/tsa/1.3.6.1.4.1.99999.7", "1.3.6.1.4.1.99999.7")):
        said = service.stamp(tmp_path, path=path)
        assert "Status: Granted." in said and f"Policy OID: {policy}" in said, said
        verify = ["openssl", "ts", "-verify", "-queryfile", tmp_path / "q", "-in", tmp_path / "r", "-CAfile", ca]
        assert "Verification: OK" in subprocess.run(verify, check=True, capture_output=True, text=True).stdout
    assert "Status: Rejected." in service.stamp(tmp_path, path="/tsa/1.2.3")
    key, cert, signed = (tmp_path / name for name in ("k.pem", "c.pem", "signed.exe"))
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key,
         "-out", cert, "-subj", "/CN=T", "-addext", "extendedKeyUsage=codeSigning"],
        check=True, capture_output=True,
    )  # fmt: skip
    for way in (["-ts", f"{service.rehearsal.url}/tsa"], ["-t", f"{service.rehearsal.url}/tsa/authenticode"]):
        signed.unlink(missing_ok=True)
        with resources.as_file(resources.files("distlib") / "t64.exe") as program:
            sign = ["osslsigncode", "sign", "-certs", cert, "-key", key, "-h", "sha256", "-in", program, "-out", signed]
            done = subprocess.run([*sign, *way], check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        verify = ["osslsigncode", "verify", "-in", signed, "-CAfile", cert, "-TSA-CAfile", ca]
        said = subprocess.run(verify, check=True, capture_output=True, text=True).stdout
        assert "Timestamp Server Signature verification: ok" in said and "Succeeded" in said, said


def made(*command: str | Path) -> str:
    """Run somebody's tool and return what it printed; it must be content."""
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_jarsigner_stamps_and_believes_it(service: Service, tmp_path: Path) -> None:
    """Java's own signer has a jar stamped, over SHA-256 and SHA-384; its verifier, strict, takes the whole chain.
    Under a root that it does not trust it says so."""
    jar, store, trust = tmp_path / "a.jar", tmp_path / "k.p12", tmp_path / "trust.p12"
    root, leaf = mint.certify("Java root", mint.key("ecdsa-p256", 70), ca=True), mint.key("ecdsa-p256", 71)
    signer = mint.certify("Java signer", leaf, root, purposes=(mint.CODE_SIGNING,))
    store.write_bytes(
        pkcs12.serialize_key_and_certificates(
            b"it", leaf, signer.loaded, [root.loaded], serialization.BestAvailableEncryption(b"secret")
        )
    )
    (tmp_path / "java.pem").write_bytes(root.loaded.public_bytes(serialization.Encoding.PEM))
    for name, pem in (("java", tmp_path / "java.pem"), ("tsa", service.rehearsal.directory / "ca.pem")):
        made("keytool", "-importcert", "-noprompt", "-alias", name, "-file", pem, "-keystore", trust,
             "-storetype", "PKCS12", "-storepass", "secret")  # fmt: skip
    verify = ("jarsigner", "-verify", "-strict", "-verbose", "-certs", "-storepass", "secret")
    for digest in ("SHA-256", "SHA-384"):
        with zipfile.ZipFile(jar, "w") as archive:
            archive.writestr("a.txt", "stamp me")
        said = made("jarsigner", "-keystore", store, "-storepass", "secret", "-tsa", f"{service.rehearsal.url}/tsa",
                    "-tsadigestalg", digest, jar, "it")  # fmt: skip
        assert "jar signed." in said
        said = made(*verify, "-keystore", trust, jar)
        assert "jar verified." in said and "invalid" not in said and "does not include a timestamp" not in said
        assert 'Timestamped by "CN=REHEARSAL' in said and "Timestamp signature algorithm: " in said, said
    doubted = subprocess.run([*verify, "-keystore", store, jar], check=False, capture_output=True, text=True)
    assert doubted.returncode and "TSA certificate chain is invalid" in doubted.stdout, doubted.stdout


def test_requests_as_signtool_sends_them(service: Service, tmp_path: Path) -> None:
    """By ``/tr``: no nonce, certificates wanted, NULL behind the algorithm; openssl verifies the reply."""
    digest = hashlib.sha256(b"what signtool signed").digest()
    imprint = bytes.fromhex("3031300d060960864801650304020105000420") + digest
    query = bytes([0x30, len(imprint) + 6, 2, 1, 1]) + imprint + bytes.fromhex("0101ff")
    headers = {**QUERY, "User-Agent": "Transport", "Cache-Control": "no-cache"}
    sent = urllib.request.Request(f"{service.rehearsal.url}/tsa", query, headers)
    with urllib.request.urlopen(sent, timeout=30) as answered:
        (tmp_path / "r").write_bytes(answered.read())
    verify = ["openssl", "ts", "-verify", "-digest", digest.hex(), "-in", tmp_path / "r"]
    said = made(*verify, "-CAfile", service.rehearsal.directory / "ca.pem")
    assert "Verification: OK" in said
    assert "Nonce: unspecified" in made("openssl", "ts", "-reply", "-in", tmp_path / "r", "-text")


class Asking:
    """Somebody who asks for timestamps without pause: when each question was begun, and whether it got a token."""

    def __init__(self, service: Service) -> None:
        query = TimestampRequestBuilder().data(b"x").build().as_bytes()
        self.sent = urllib.request.Request(f"{service.rehearsal.url}/tsa", query, QUERY)
        self.answers: list[tuple[float, bool]] = []
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Asking:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ending.is_set():
            begun = time.monotonic()
            with urllib.request.urlopen(self.sent, timeout=30) as answered:
                reply = decode_timestamp_response(answered.read())
            self.answers.append((begun, reply.status == 0))


@pytest.mark.parametrize("jump", [1.1, -1.1, 3600.0, -3600.0])
def test_turning_the_clock_stops_it_and_says_why_everywhere(
    service: Service, grace: Browser, tmp_path: Path, jump: float
) -> None:
    """No token is begun a second later; why stands in the reply, /readyz and the overview, and then in the log."""
    wait_until(service.ready, 30)
    wait_until(lambda: "time servers agree" in grace.read("/console").decode(), 30)
    wait_until(lambda: "".join(service.reasons()[-1:]).startswith("trusted: "), 60)
    before = len(service.reasons())
    with Asking(service) as asking:
        wait_until(lambda: any(granted for _, granted in asking.answers), 30)
        service.turn(jump)
        turned = time.monotonic()
        status, why = service.readyz()
        overview = grace.read("/console").decode()
        said = service.stamp(tmp_path)
        wait_until(lambda: asking.answers[-1][0] > turned + 2, 30)
        late = [granted for begun, granted in asking.answers if begun > turned + 1]
        assert late and not any(late), f"{sum(late)} of {len(late)} questions got a token"
        where = "ahead of" if jump > 0 else "behind"
        assert status == 503 and "stamper: The clock is" in why and f"{where} the time servers" in why
        assert "No timestamps are given: The clock is" in overview and f"{where} the time servers" in overview
        assert "Status: Rejected." in said and "time source is not available" in said and where in said, said
        wait_until(lambda: len(service.reasons()) >= before + 2, 60)
        adjusted, refused = service.reasons()[before:]
        assert adjusted.startswith("adjusted: The clock was set by"), adjusted
        assert abs(float(adjusted.split()[6]) - jump) < 0.1, adjusted
        assert refused.startswith("refused: The clock is") and f"{where} the time servers" in refused
        service.turn(0)
        since = len(asking.answers)
        wait_until(lambda: any(granted for _, granted in asking.answers[since:]), 30)
    wait_until(service.ready, 30)
    wait_until(lambda: "No timestamps are given" not in grace.read("/console").decode(), 30)


def test_a_key_waits_for_another_ca_while_the_service_stamps(service: Service, tmp_path: Path) -> None:
    """It is born beside the running stamper, and each act is in the log; the stamper goes on with the one in use."""
    wait_until(service.ready, 30)
    where = ("--dir", service.rehearsal.directory)
    before = len(service.diary())
    asked = ("tsa", "renew", *where, "--csr", tmp_path / "tsa.csr", "--subject", "CN=Example TSA,O=Example,C=DE")
    done = service.rehearsal.run(*asked, profile=False)
    assert done.returncode == 0, done.stderr
    wait_until(lambda: len(service.diary()) >= before + 2, 60)
    assert "Status: Granted." in service.stamp(tmp_path)
    again = service.rehearsal.run("tsa", "renew", *where, profile=False)
    assert again.returncode == 8 and "waits for another CA" in again.stderr and "Traceback" not in again.stderr
    assert service.rehearsal.run("tsa", "cancel", *where, profile=False).returncode == 0
    wait_until(lambda: len(service.diary()) >= before + 3, 60)


def test_every_token_is_proven_from_the_log(service: Service, tmp_path: Path) -> None:
    """Not before its hour is over; then by a proof that anybody verifies offline, and that is for this token alone."""
    wait_until(service.ready, 30)
    assert "Status: Granted." in service.stamp(tmp_path)
    proof = tmp_path / "p.tlog-proof"
    early = service.rehearsal.run("log", "prove", "--token", tmp_path / "r")
    assert early.returncode == 8 and "not in the log yet" in early.stderr and "Traceback" not in early.stderr
    for each in service.servers:
        each.offset = 7200.0
    service.turn(7200)  # two hours go by for the stamper and its time servers
    wait_until(service.ready, 30)

    def proven() -> bool:
        done = service.rehearsal.run("log", "prove", "--token", tmp_path / "r")
        proof.write_text(done.stdout)
        assert "Traceback" not in done.stderr
        return done.returncode == 0

    wait_until(proven, 60)
    policy = ("--log-policy", service.rehearsal.directory / "log-policy")
    done = service.rehearsal.run("log", "verify", proof, *policy, profile=False)
    assert done.returncode == 0 and "the token is number" in done.stderr, done.stderr
    text = proof.read_text()
    lines = text.split("\n")
    lines[1] = lines[1][:60] + ("A" if lines[1][60] != "A" else "B") + lines[1][61:]
    proof.write_text("\n".join(lines))
    assert service.rehearsal.run("log", "verify", proof, *policy, profile=False).returncode == 3
    (tmp_path / "no").write_bytes(b"no token")
    strange = service.rehearsal.run("log", "prove", "--token", tmp_path / "no")
    assert strange.returncode == 2 and "Traceback" not in strange.stderr
