"""Trust policies: c2sp.org/tlog-policy as it is written, and checkpoints judged by it."""

from __future__ import annotations

from itertools import combinations

import pytest
from tests.tlog.growing import LOG, ORIGIN, SIGNER, checkpoint_of, cosign, private_key, verifier

from privyseal.errors import BadInput, TooLarge, VerificationFailed
from privyseal.tlog.checkpoint import Checkpoint
from privyseal.tlog.log import Head
from privyseal.tlog.merkle import EMPTY_ROOT
from privyseal.tlog.note import KeyType, Signer, sign_note
from privyseal.tlog.policy import MAX_DEFINED, Group, Log, Policy, Witness, parse_policy

HEAD = Head(3, bytes(32))
NOTE = checkpoint_of(HEAD)


def _witness(name: str) -> str:
    return f"witness {name} {verifier(f'w.test/{name}', KeyType.COSIGNATURE_V1).vkey}\n"


def _cosigned(*names: str) -> bytes:
    note = NOTE
    for name in names:
        note = cosign(note, f"w.test/{name}")
    return note


TWO_LEVELS = (
    f"# the example of the specification\nlog {LOG.vkey}\n\n"
    + "".join(map(_witness, ("X1", "X2", "X3")))
    + "group X-witnesses 2 X1 X2 X3\n  # and\n"
    + "".join(map(_witness, ("Y1", "Y2", "Y3")))
    + "group Y-witnesses any Y1 Y2 Y3\n\t group X-and-Y all  X-witnesses \tY-witnesses \nquorum X-and-Y\n"
)


def test_the_example_of_the_specification() -> None:
    """Two of the X and one of the Y must have cosigned; every subset of the six is judged so."""
    policy = parse_policy(TWO_LEVELS)
    names = ("X1", "X2", "X3", "Y1", "Y2", "Y3")
    for count in range(7):
        for present in combinations(names, count):
            note = _cosigned(*present)
            enough = sum(n[0] == "X" for n in present) >= 2 and any(n[0] == "Y" for n in present)
            if enough:
                accepted = policy.check(note)
                assert accepted.witnesses == present
                assert accepted.checkpoint == Checkpoint(ORIGIN, 3, bytes(32))
            else:
                with pytest.raises(VerificationFailed, match="the quorum 'X-and-Y' asks for more"):
                    policy.check(note)


PUBLISHED = """\
arche2025h1.staging.ct.transparency.dev
1432088532
U7WM79jrzyhGZ5/GUBTpM7NzwdyfFx61t3RovgcC4Ro=

— arche2025h1.staging.ct.transparency.dev {}
— arche2025h1.staging.ct.transparency.dev {}
— transparency.dev/DEV:witness-little-garden {}
— witness1.smartit.nu/witness1 {}
— remora.n621.de {}
— witness.stagemole.eu {}
""".format(
    "zTM8sQAAAZ5W0WdjBAMARjBEAiBjW5IQf9pvsYLfQFX6hoGREPMHbdQ3urbllzalApkptQIgIpwtEroeW2BXaHAI4kJXFbon5Ch9MNL5zRNZ55lvGt0=",
    "ui8GwCF1+kWqZrxGdhj4aX3gcw7XUlXQQabg/27lefwhUkzbC3NygNI75MdhL1bfTW9g8Ei59RA23oHP7Ry1k3ZFWwQ=",
    "2AQqhwAAAABqEiEgzgFIqqhbUoDwjMWE6UP8nd8/KYTzwZ2rhIgcqoXHAwVkjZr4AscylP3v7sEodkRAErumC2q44vdgJY096st5BQ==",
    "pIyCDwAAAABqEiEghIp82KWebrw7/oHQwlTAm3g2RKS4+eebl8eO0WH+/iEcxZ75W3u5hNI7TOQtmJbqmNWVuE0tgh0XwzdZsDsUAQ==",
    "2net5wAAAABqEiEgPlfF3V06o0Y+fHM+J5J9s27wgxxcOVSpZ/2g/KSiXCg9DEZI+aVCIobWX9sXTynk5XeU/zZ0WBxtqB0DrAWfBw==",
    "Z/euoAAAAABqEiEgw0i+7g2ENfDAWHmtRzCfKTHSDwYDJA2NmKeGi9Y8FtEyOUvVr+AJmIY/2TUFucgKi7lI7cUiOvKFYe/TmN9DAg==",
)
"""A checkpoint that a public Certificate Transparency log of today published, with the lines of real witnesses."""
PUBLIC_KEYS = """\
log arche2025h1.staging.ct.transparency.dev+ba2f06c0+AU0vHmlGCS/PdN8b2OaGmKprLI8HKM+dJ472xgFYh15f
witness garden transparency.dev/DEV:witness-little-garden+d8042a87+BCtusOxINQNUTN5Oj8HObRkh2yHf/MwYaGX4CPdiVEPM
witness smartit witness1.smartit.nu/witness1+a48c820f+BPSFWg9G6KPiO7QPryYO5Xq4oYJJ+kAvLKLSimDhoxMO
witness remora remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2
group three all garden smartit remora
quorum three
"""


def test_a_checkpoint_of_the_public_network() -> None:
    """What others signed and cosigned with software that is not ours is believed, and nothing else of that kind is."""
    policy = parse_policy(PUBLIC_KEYS)
    accepted = policy.check(PUBLISHED.encode())
    assert accepted.witnesses == ("garden", "smartit", "remora")
    assert accepted.checkpoint.size == 1_432_088_532
    with pytest.raises(VerificationFailed):
        policy.check(PUBLISHED.replace("1432088532", "1432088533").encode())
    for line in PUBLISHED.splitlines(keepends=True)[6:9]:
        with pytest.raises(VerificationFailed, match="'three' asks for more"):
            policy.check(PUBLISHED.replace(line, "").encode())


def test_policies_are_written_as_they_are_read() -> None:
    """The text of a policy says what the policy says; comments are not kept."""
    policy = parse_policy(TWO_LEVELS)
    assert parse_policy(policy.format()) == policy
    assert parse_policy(policy.format().encode()) == policy
    alone = Policy((Log(LOG, "https://seal.test/log"),))
    assert alone.format() == f"log {LOG.vkey} https://seal.test/log\nquorum none\n"
    assert parse_policy(alone.format()) == alone
    assert parse_policy(alone.format().rstrip("\n")) == alone
    with_url = f"{_witness('a').rstrip()} https://w.test/\nquorum a"
    assert parse_policy(with_url).witnesses[0].url == "https://w.test/"


def test_no_witnesses_wanted() -> None:
    """With ``quorum none`` the log's signature is enough, and known witnesses are named all the same."""
    policy = parse_policy(f"log {LOG.vkey}\n{_witness('a')}quorum none\n")
    assert policy.check(NOTE).witnesses == ()
    assert policy.check(_cosigned("a")).witnesses == ("a",)
    assert policy.check(_cosigned("stranger")).witnesses == ()


def test_a_single_witness_as_quorum() -> None:
    """A quorum may be one witness."""
    policy = parse_policy(f"log {LOG.vkey}\n{_witness('a')}{_witness('b')}quorum b")
    assert policy.check(_cosigned("b")).witnesses == ("b",)
    with pytest.raises(VerificationFailed, match="witnessed by 'a', and"):
        policy.check(_cosigned("a"))
    with pytest.raises(VerificationFailed, match="witnessed by nobody"):
        policy.check(NOTE)


def test_a_forged_cosignature_spoils_the_checkpoint() -> None:
    """A line of a known witness that does not verify is no missing line: the whole note is refused."""
    policy = parse_policy(f"log {LOG.vkey}\n{_witness('a')}quorum none")
    body = Checkpoint(ORIGIN, 4, bytes(32)).body()
    grafted = sign_note(body, [SIGNER]) + _cosigned("a").splitlines(keepends=True)[-1]
    with pytest.raises(VerificationFailed, match=r"'w\.test/a' on a note does not verify"):
        policy.check(grafted)


def test_only_the_log_s_own_checkpoints() -> None:
    """The log must have signed, with a key of this policy, under its own origin; witnesses alone are not enough."""
    policy = parse_policy(f"log {LOG.vkey}\n{_witness('a')}quorum a")
    stranger = Signer(verifier("stranger"), private_key("stranger").sign)
    body = Checkpoint(ORIGIN, 0, EMPTY_ROOT).body()
    with pytest.raises(VerificationFailed, match="no log that is trusted"):
        policy.check(cosign(sign_note(body, [stranger]), "w.test/a"))
    with pytest.raises(VerificationFailed, match="no log that is trusted"):
        policy.check(cosign(sign_note(Checkpoint("other", 0, EMPTY_ROOT).body(), [SIGNER]), "w.test/a"))
    with pytest.raises(VerificationFailed, match="no signature of"):
        policy.check(sign_note(body, [stranger]))
    with pytest.raises(VerificationFailed):
        parse_policy("quorum none").check(NOTE)


def test_one_of_several_logs() -> None:
    """Any of the logs listed may have signed."""
    other = verifier("seal.test/other")
    policy = parse_policy(f"log {other.vkey}\nlog {LOG.vkey}\nquorum none")
    assert policy.check(NOTE).checkpoint.origin == ORIGIN
    signer = Signer(other, private_key("seal.test/other").sign)
    assert policy.check(sign_note(Checkpoint(other.name, 0, EMPTY_ROOT).body(), [signer])).checkpoint.size == 0


def test_names_are_octets() -> None:
    """Names that are not UTF-8, or look alike, are what their octets are."""
    key = verifier("w.test/a", KeyType.COSIGNATURE_V1).vkey
    kelvin = verifier("w.test/b", KeyType.COSIGNATURE_V1).vkey
    text = b"witness \xff\xfe %s\nwitness \xe2\x84\xaa %s\ngroup K 1 \xff\xfe \xe2\x84\xaa\nquorum K" % (
        key.encode(),
        kelvin.encode(),
    )
    policy = parse_policy(text)
    assert parse_policy(policy.format()) == policy
    with pytest.raises(BadInput, match="no witness or group"):
        parse_policy(text.replace(b"1 \xff\xfe \xe2\x84\xaa", b"1 K"))


A, B = _witness("a"), _witness("b")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no quorum line"),
        (A, "no quorum line"),
        ("quorum none\nquorum none", "Line 2 .*second quorum"),
        ("quorum a\n" + A, "Line 1 .*no witness or group of a line before"),
        ("quorum", "quorum line is"),
        ("quorum none none", "quorum line is"),
        ("quorom none", "none of log, witness, group, quorum"),
        ("log", "log line is"),
        (f"log {LOG.vkey} url more", "log line is"),
        (f"log {LOG.vkey}\nlog {LOG.vkey} url", "same key"),
        (f"log {LOG.vkey[:-1]}", "verifier key"),
        (f"log {A.split()[2]}", "type 0x01, not 0x04"),
        (f"witness a {LOG.vkey}", "type 0x04, not 0x01"),
        ("witness a", "witness line is"),
        (A.replace("witness a", "witness none"), "'none' is taken"),
        (A + B.replace("witness b", "witness a"), "'a' is taken"),
        (A + A.replace("witness a", "witness b"), "same key"),
        (A + "group a all a", "'a' is taken"),
        (A + "group g all none", "'none' is no witness"),
        (A + "group g all g", "'g' is no witness"),
        (A + "group g all b\n" + B, "'b' is no witness"),
        (A + "group g all", "group line is"),
        (A + "group g 2 a", "2 of 1 members"),
        (A + "group g 0 a", "neither all, any nor"),
        (A + "group g 01 a", "neither all, any nor"),
        (A + "group g -1 a", "neither all, any nor"),
        (A + "group g some a", "neither all, any nor"),
        (A + "group g 99999999999999999999 a", "neither all, any nor"),
        (A + "group g any a a", "member of a group already"),
        (A + B + "group g any a\ngroup h any a b", "member of a group already"),
        ("quorum none\r\n", "control character"),
        ("quorum none\0", "control character"),
        ("quorum none\x7f", "control character"),
        ("quorum none # said", "quorum line is"),
        ("quorum \ud800", "half a surrogate"),
    ],
)
def test_what_is_no_policy(text: str, why: str) -> None:
    """Each rule of the specification refuses what breaks it, naming the line."""
    with pytest.raises(BadInput, match=why):
        parse_policy(text)


def test_limits() -> None:
    """Far more than the 32 of each that the specification asks for are read; not everything is."""
    many = "".join(_witness(f"w{n}") for n in range(MAX_DEFINED))
    policy = parse_policy(many + "quorum w255")
    assert len(policy.witnesses) == MAX_DEFINED
    with pytest.raises(TooLarge, match="Line 257 "):
        parse_policy(many + _witness("more") + "quorum w0")
    with pytest.raises(TooLarge, match="octets"):
        parse_policy("#" * 300_000)
    groups = A + "".join(f"group g{n} all {f'g{n - 1}' if n else 'a'}\n" for n in range(255)) + "quorum g254"
    assert parse_policy(f"log {LOG.vkey}\n" + groups).check(_cosigned("a")).witnesses == ("a",)


def test_policies_put_together_in_code() -> None:
    """A policy need not come from text."""
    witness = Witness("a", verifier("w.test/a", KeyType.COSIGNATURE_V1))
    policy = Policy((Log(LOG),), (witness, Group("g", 1, ("a",))), "g")
    assert parse_policy(policy.format()) == policy
    assert policy.check(_cosigned("a")).witnesses == ("a",)
