"""``verify`` as a script sees it, in time: the exit code and the sentence for each row of the table in the reference.

Authorities and lists are made by hand (``tests/timestamp``); every moment is given, so that no clock plays a part.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path

import pytest
from tests.formats import pe_builder, signing
from tests.formats.signing import PE
from tests.pki import mint
from tests.pki.mint import NOW, Minted
from tests.timestamp import misbehaving
from tests.timestamp.test_worth import crl, elder, unit

from privyseal.cli import main
from privyseal.formats.patch import carry_out
from privyseal.formats.protocol import Identity
from privyseal.formats.source import FileSource
from privyseal.pki import certificates, cms
from privyseal.timestamp import renewal
from privyseal.timestamp.token import verify_token

TIMESTAMP = "1.3.6.1.4.1.311.3.3.1"
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SIGNED = NOW.replace(microsecond=0)
GOOD = "is signed by Example and has not been changed since"
REVOKED = "the authority behind its timestamp was revoked"


@lru_cache
def signer_root() -> Minted:
    return mint.certify("Code root", mint.key("ecdsa-p256", 110), ca=True, start=NOW - 400 * DAY, days=3000)


@lru_cache
def signer() -> Minted:
    """Return a signer from yesterday until 90 days from now."""
    key = mint.key("ecdsa-p256", 111)
    return mint.certify("Example", key, signer_root(), purposes=(mint.CODE_SIGNING,), start=NOW - DAY, days=91)


def over(value: bytes, when: datetime, minted: Minted, more: tuple[bytes, ...] = ()) -> bytes:
    return misbehaving.token(hashlib.sha256(value).digest(), minted, when=when, more=more)


def renewed(token: bytes, when: datetime, minted: Minted, lists: Sequence[bytes] = ()) -> bytes:
    token = renewal.with_lists(token, lists)
    archived = renewal.archive(token, "sha256")
    return renewal.renew(token, archived, verify_token(over(archived.octets, when, minted), octets=archived.octets))


class File:
    """One signed program, how it is timestamped, and what is asked about it."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.capsys = capsys
        self.path = folder / "p.exe"
        self.path.write_bytes(pe_builder.program(overlay=b"odd"))
        chain = (signer().der,)
        self.who = signing.Signatory(Identity(chain, "ecdsa-p256"), signer().key, signer_root().der)
        signing.sign(self.path, self.who)
        with FileSource.open(self.path) as code:
            (embedded,) = PE.signatures(code, PE.inspect(code))
        self.value, self.blob = embedded.signature_value, embedded.blob

    def stamped(self, minted: Minted, when: datetime = SIGNED, more: tuple[bytes, ...] = ()) -> bytes:
        return over(self.value, when, minted, more)

    def carry(self, token: bytes) -> None:
        with FileSource.open(self.path) as code:
            layout = PE.inspect(code)
            prepared = PE.prepare(code, layout, self.who.identity, signing.PLAIN, "sha256")
            blob = cms.with_unsigned_attribute(self.blob, TIMESTAMP, token, replace=True)
            carry_out(PE.apply(code, prepared, signing.PLAIN, [blob]), code, self.path)

    def ask(self, at: datetime, *lists: bytes, roots: Sequence[Minted] = ()) -> tuple[int, str]:
        """Run ``privyseal verify`` and return its exit code and all that it said, on one line."""
        trust = self.folder / "roots.pem"
        known = (signer_root(), misbehaving.root(), *roots)
        trust.write_bytes(b"".join(certificates.pem(each.der) for each in known))
        arguments = ["verify", str(self.path), "--trust", str(trust), "--at", at.strftime("%Y-%m-%dT%H:%M:%SZ")]
        for number, each in enumerate(lists):
            path = self.folder / f"{number}.crl"
            path.write_bytes(each)
            arguments += ["--crl", str(path)]
        code = main.run(arguments)
        said = self.capsys.readouterr()
        return code, " ".join((said.out + said.err).split())


@pytest.fixture
def file(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> File:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    return File(tmp_path, capsys)


def test_the_certificate_s_end_is_the_end_without_a_timestamp(file: File) -> None:
    """0 before, 3 after, and why."""
    code, said = file.ask(SIGNED + 80 * DAY)
    assert code == 0 and GOOD in said and "no timestamp that counts" in said, said
    code, said = file.ask(SIGNED + 100 * DAY)
    assert code == 3 and "a certificate that had expired, and no timestamp shows that it was before" in said, said


def test_a_timestamp_outlasts_it_and_at_is_obeyed(file: File) -> None:
    """0 a year later; as of an hour before, it was not signed yet."""
    file.carry(file.stamped(unit(end=800)))
    code, said = file.ask(SIGNED + 365 * DAY)
    assert code == 0 and "so it outlasts its certificate" in said, said
    code, said = file.ask(SIGNED - HOUR)
    assert code != 0 and "later than" in said and "the moment asked about" in said, said


@pytest.mark.parametrize(
    ("signed_after", "code", "sentence"),
    [
        (-HOUR, 0, "was revoked on"),
        (timedelta(), 3, "a certificate that was revoked"),
        (HOUR, 3, "a certificate that was revoked"),
    ],
)
def test_the_signer_is_revoked(file: File, signed_after: timedelta, code: int, sentence: str) -> None:
    """After the timestamp it changes nothing and is said; at the same second, and before, it ends the signature."""
    file.carry(file.stamped(unit(end=800)))
    revoked = {signer().loaded.serial_number: SIGNED - signed_after}
    listed = mint.crl(signer_root(), revoked, start=SIGNED + 2 * HOUR, days=20)
    found, said = file.ask(SIGNED + 5 * DAY, listed, crl())
    assert found == code and sentence in said, said
    assert (GOOD in said) == (code == 0)


@pytest.mark.parametrize(
    ("when", "reason", "code", "sentence"),
    [
        (-HOUR, "superseded", 3, REVOKED),
        (HOUR, "superseded", 0, "after it (superseded)"),
        (HOUR, "key_compromise", 3, REVOKED),
        (HOUR, None, 3, REVOKED),
    ],
)
def test_the_authority_is_revoked(file: File, when: timedelta, reason: str | None, code: int, sentence: str) -> None:
    """Before the timestamp: 3. After it: by the reason that the list states."""
    file.carry(file.stamped(unit(end=800)))
    mine = mint.crl(signer_root(), start=SIGNED + 2 * HOUR, days=20)
    found, said = file.ask(SIGNED + 5 * DAY, mine, crl(unit(end=800), SIGNED + when, reason))
    assert found == code and sentence in said, said


def test_the_authority_ended(file: File) -> None:
    """After the timestamp: good, and that it should have been renewed is said. Before it: 3."""
    file.carry(file.stamped(unit(end=10)))
    code, said = file.ask(SIGNED + 20 * DAY)
    assert code == 0 and "it should have been renewed before" in said, said
    file.carry(file.stamped(misbehaving.unit("expired-issuer"), more=(misbehaving.old_issuer().der,)))
    code, said = file.ask(SIGNED + 20 * DAY)
    assert code == 3 and "does not hold" in said and "Timestamp:" in said, said


def test_an_authority_that_nobody_trusts(file: File) -> None:
    """The certificate alone is not enough: 3, and whom to name."""
    stranger = mint.certify("Stranger", mint.key("ecdsa-p256", 90), ca=True, start=NOW - 400 * DAY, days=3000)
    file.carry(file.stamped(unit("Stray", stranger)))
    code, said = file.ask(SIGNED + DAY)
    assert code == 3 and "nobody you trust vouches" in said, said


def test_a_chain_of_timestamps(file: File) -> None:
    """Renewed before the theft of the first key: 0, and both are told. Renewed after it, or by nobody: 3."""
    old, new = unit(end=100), unit("New TSU", end=800)
    stolen = crl(old, SIGNED + 50 * DAY, "key_compromise")
    mine = mint.crl(signer_root(), start=SIGNED + 2 * HOUR, days=400)
    file.carry(renewed(file.stamped(old), SIGNED + 20 * DAY, new))
    code, said = file.ask(SIGNED + 365 * DAY, mine, stolen)
    assert code == 0 and "renewed on" in said and "shows that it is older" in said, said
    file.carry(renewed(file.stamped(old), SIGNED + 60 * DAY, new))
    code, said = file.ask(SIGNED + 365 * DAY, mine, stolen)
    assert code == 3 and REVOKED in said, said
    file.carry(file.stamped(old))
    code, said = file.ask(SIGNED + 365 * DAY, mine, stolen)
    assert code == 3 and REVOKED in said, said


def test_a_list_that_the_renewal_took_along(file: File) -> None:
    """The old authority's root is trusted and its lists are gone: what the renewal kept is enough. Without it the
    matter is open, which is no success either."""
    old, new = unit("Elder TSU", elder()), unit("New TSU", end=800)
    kept = mint.crl(elder(), start=SIGNED + HOUR, days=20)
    mine = mint.crl(signer_root(), start=SIGNED + 2 * HOUR, days=400)
    for lists, code in (((kept,), 0), ((), 3)):
        file.carry(renewed(file.stamped(old), SIGNED + 10 * DAY, new, lists))
        found, said = file.ask(SIGNED + 300 * DAY, mine, crl(), roots=[elder()])
        assert found == code and (GOOD in said) == (code == 0), said
