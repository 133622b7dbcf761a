"""A whole service whose stamper asks time servers: others stamp with it, a clock that is turned stops it, and
every token is proven from the log."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12
from tests.pki import mint
from tests.rehearsal import Rehearsal, initialise, serving
from tests.strongroom.processes import wait_until
from tests.timeservers import TimeServer, time_servers

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

    def logged(self) -> int:
        """Return how many statements about the clock the log has."""
        shown = self.rehearsal.run("log", "show", "--last", "1000", "--json")
        assert shown.returncode == 0, shown.stderr
        return sum(each["entry"].get("about") == "clock" for each in json.loads(shown.stdout)["entries"])


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


@pytest.mark.parametrize("jump", [3600.0, -3600.0])
def test_turning_the_clock_stops_it_and_says_why_everywhere(service: Service, tmp_path: Path, jump: float) -> None:
    """In the reply and /readyz at once, in the log within a round of duties; right again, it goes on."""
    wait_until(service.ready, 30)
    before = service.logged()
    service.turn(jump)
    began = time.monotonic()
    said = service.stamp(tmp_path)
    took = time.monotonic() - began
    assert "Status: Rejected." in said and "time source is not available" in said and took < 30, said
    where = "ahead of" if jump > 0 else "behind"
    status, why = service.readyz()
    assert status == 503 and "stamper: The clock is" in why and f"{where} the time servers" in why
    wait_until(lambda: service.logged() >= before + 2, 60)
    service.turn(0)
    assert "Status: Granted." in service.stamp(tmp_path) and service.ready()


def test_every_token_is_proven_from_the_log(service: Service, tmp_path: Path) -> None:
    """Not before its hour is over; then by a proof that anybody verifies offline, and that is for this token alone."""
    wait_until(service.ready, 30)
    assert "Status: Granted." in service.stamp(tmp_path)
    proof = tmp_path / "p.tlog-proof"
    early = service.rehearsal.run("log", "prove", "--token", tmp_path / "r")
    assert early.returncode == 2 and "not closed yet" in early.stderr and "Traceback" not in early.stderr
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
