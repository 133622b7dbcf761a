"""The demo, whole: it ends with 0 only where everything verified and everything swapped was refused, and says so."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from privyseal.cli import demo_kinds
from privyseal.formats import catalogue
from privyseal.formats.source import FileSource

SECRETS = re.compile(r"eyJ[A-Za-z0-9_-]{10}|p(?:st|ss|sb|sc|sw|si)_[A-Za-z0-9_-]{20}")
"""Identity tokens, our own tokens, invitations."""

STORY = (
    r"✓ programs/hello-x64\.exe: signed, timestamped, logged",
    r"✗ programs/tampered\.exe was changed after it was signed",
    r"✓ kinds/hello\.msi: signed, timestamped, logged",
    r"✓ all \d+ verify",
    r"✓ Ada Lovelace has a passkey",
    r"✓ key release \(ecdsa-p256\) of acme: 2 of 2 must agree",
    r"✓ T-\S+ is added",
    r"✓ policy \S+ is in force",
    r"✓ commitments, version 1, is in force: accepted by Ada Lovelace",
    r"2 of the people of release must agree first",
    r"✓ Grace Hopper agrees to K-",
    r"✓ Alan Turing agrees to K-",
    r"✓ a request for a certificate is in acme/release\.csr",
    r"Order O-\S+ of release at rehearsal",
    r"✓ order O-\S+ is installed",
    r"acme \(Acme Ltd\) is active",
    r"! acme/app\.exe: waits for approval",
    r"✓ Grace Hopper agrees to",
    r"✓ Alan Turing agrees to",
    r"✓ acme/app\.exe: signed, timestamped, logged",
    r"content of app\.exe: sha256",
    r"✓ acme/app\.exe: signed, timestamped, logged",
    r"! acme/app\.exe: waits for approval",
    r"The records now say failed, not-permitted",
    r"! acme/app\.exe: waits for approval",
    r"asked +M-\S+, a machine, proved by workload-token",
    r"run +github repo:acme/app:environment:release",
    r"approved +(Grace Hopper, Alan Turing|Alan Turing, Grace Hopper)",
    r"policy +release-from-tags",
    r"✗ acme/app-1\.2\.exe: .*frozen",
    r"thawed at",
    r"the signer keeps it frozen",
    r"✓ Alan Turing agrees to K-",
    r"✓ CSBR 9\.6\.5 \(CSBR-9\.6\.5-04\)",
    r"✗ demo, \d\d signatures",
    r"✓ acme, 2 signatures",
    r"✓ acme, 2 signatures: The certificate was accepted",
    r"✓ Alan Turing agrees to K-",
    r"Key Pair release is destroyed since",
    *(rf"UTC  {state} +by M-" for state in ("planned", "generated", "certified", "active", "suspended")),
    r"UTC  active +by M-",
    r"UTC  destroyed +by M-",
    r"✓ what it signed in its time stays good",
    r"entries, every tile and the signed head agree",
    r"All of it verified",
)
"""What stands in it, in this order."""


@pytest.mark.timeout(900)
def test_the_demo_verifies_all_and_tells_the_story(tmp_path: Path) -> None:
    """Nothing in it is a secret, its own lines fit a narrow terminal, and nothing that lets somebody in is left."""
    done = subprocess.run(
        [sys.executable, "-m", "privyseal", "demo", "--dir", "d"],
        cwd=tmp_path,
        env={k: v for k, v in os.environ.items() if not k.startswith("PRIVYSEAL_")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=850,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-3000:]
    assert not SECRETS.search(said)
    kinds = [path for path in (tmp_path / "d" / "kinds").iterdir() if path.suffix != ".tlog-proof"]
    judged = 5 + sum(path.suffix in demo_kinds.JUDGED for path in kinds)
    assert done.stderr.count("signature ok, timestamp ok") == judged, "osslsigncode, the stranger, agrees"
    assert {"pe"} | {_format(path) for path in kinds} == set(catalogue.BY_NAME), "one file of each format"
    assert "Traceback" not in said
    _check_findings(done.stderr.partition("judged itself by the Requirements")[2].partition("The key has served")[0])
    rest = iter(said.splitlines())
    missing = next((each for each in STORY if not any(re.search(each, line) for line in rest)), None)
    assert missing is None, f"missing, or not in this order: {missing}\n{said}"
    steps = [line for line in said.splitlines() if re.match(r"[ \d]\d\. |  (?:✓|[a-z]*\$) |      --", line)]
    assert len(steps) > 40 and max(map(len, steps)) <= 80
    assert "It is born in SoftHSM" in said, "SoftHSM is installed by ./seal test"
    assert not list((tmp_path / "d" / "acme").rglob("session-*"))
    assert not any(SECRETS.search(path.read_text("latin-1")) for path in (tmp_path / "d" / "acme").rglob("*.toml"))


def _format(path: Path) -> str:
    with FileSource.open(path) as code:
        return catalogue.recognise(code).name


def _check_findings(judged: str) -> None:
    """Hold what is said of Requirements: honest of what a rehearsal does not meet, and no verdict on the whole."""
    words = " ".join(judged.split())
    assert "no audit opinion" in words and "no verdict on the whole" in words
    assert "✗ CSBR 6.2.7.3 (key pair): The key is kept in software (pkcs11)" in words
    assert "was not done in time" not in words
    assert "requirements are not evidenced" in words
    assert "privyseal requirement findings --dir d --subscriber acme" in words
    assert all(len(line) <= 80 for line in judged.splitlines()[1:-1]), judged
