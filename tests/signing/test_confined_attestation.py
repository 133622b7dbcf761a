"""Attestations are judged in a child that can do nothing else, with the answers that judging at home would give."""

from __future__ import annotations

import subprocess
import sys

import pytest
from tests.pki import mint
from tests.pki.attestation import makers
from tests.pki.attestation.makers import AT

from privyseal.errors import BadInput, TooLarge, VerificationFailed
from privyseal.pki.attestation.judge import NotEvidenced, judge
from privyseal.signing import confined

FILES = [makers.yubikey().der, makers.yubikey_device().der]
ROOTS = [makers.root().der]

INTRUDER = """
import json, os, socket, subprocess, sys
from privyseal.signing import confined

confined.give_up()
tried = {}

def attempt(name, act):
    try:
        act()
    except BaseException as error:
        tried[name] = type(error).__name__
    else:
        tried[name] = "done"

attempt("read", lambda: open(sys.argv[1]).read())
attempt("write", lambda: open(sys.argv[1], "w").write("x"))
attempt("call", lambda: socket.socket())
attempt("run", lambda: os.execv("/bin/true", ["true"]))
attempt("fork", os.fork)
attempt("memory", lambda: bytearray(confined.MEMORY + 1))
print(json.dumps(tried))
"""


def test_the_child_answers_as_judging_at_home() -> None:
    found = confined.attested(FILES, AT, ROOTS, makers.request())
    assert isinstance(found, confined.Proven)
    assert (found.attested, found.requests) == (judge(FILES, AT, ROOTS), 1)
    assert isinstance(confined.attested([ROOTS[0]], AT), NotEvidenced)


def test_what_is_refused_there_is_refused_here() -> None:
    """With the same class and sentence."""
    with pytest.raises(VerificationFailed, match="No path leads"):
        confined.attested(FILES, AT)
    with pytest.raises(BadInput, match="follow the end"):
        confined.attested([FILES[0] + b"\0"], AT)
    with pytest.raises(VerificationFailed, match="own signature does not verify"):
        confined.attested(FILES, AT, ROOTS, makers.broken_request())


def test_the_requests_file_must_hold_one() -> None:
    """Else somebody who believes that the key was compared would be deceived."""
    job = confined.Job(tuple(FILES), mint.certify("Else", makers.OTHER).der, tuple(ROOTS), AT)
    answer = confined.answered(job)
    assert isinstance(answer, confined.Refused)
    assert (answer.code, "holds none" in answer.detail) == ("bad-input", True)


def test_too_much_is_refused_before_a_child_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", None)
    with pytest.raises(TooLarge):
        confined.attested([b"0"] * 40, AT)


def test_a_child_that_dies_is_a_file_that_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends without an answer, or with half of one."""
    for said in ("", "half"):
        monkeypatch.setattr(sys, "executable", "/bin/echo" if said else "/bin/true")
        with pytest.raises(BadInput, match="died of it or took too long"):
            confined.attested(FILES, AT, ROOTS)


@pytest.mark.skipif(sys.platform != "linux", reason="Landlock and seccomp are Linux's")
def test_the_child_can_do_nothing_else(tmp_path: object) -> None:
    """What an intruder would try first; whether files are out of reach, Landlock decides, where the kernel has it."""
    from privyseal.strongroom import confinement

    secret = f"{tmp_path}/secret"
    with open(secret, "w", encoding="utf-8") as file:
        file.write("nobody's business")
    command = [sys.executable, "-I", "-c", INTRUDER, secret]
    found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    import json

    tried = json.loads(found)
    if confinement.version() < 1:
        tried.pop("read")
    assert "done" not in tried.values(), tried
    with open(secret, encoding="utf-8") as file:
        assert file.read() in ("nobody's business", "")
