"""What a relying party is told of a file and its receipt; and that one changed octet anywhere is never valid."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.formats import pe_builder, signing
from tests.pki import mint
from tests.timestamp import misbehaving
from tests.world import Ledger, World, found

from privyseal import verify
from privyseal.formats import catalogue
from privyseal.formats.patch import carry_out
from privyseal.formats.source import FileSource
from privyseal.pki import chain, cms, der
from privyseal.pki.chain import Anchors
from privyseal.pki.rehearsal import RehearsalAuthority, Revocation
from privyseal.terms.requests import Dossier
from privyseal.terms.signatures import Options
from privyseal.timestamp import renewal
from privyseal.verify import FileVerdict, Trust, verify_file

NESTED, TIMESTAMP = "1.3.6.1.4.1.311.2.4.1", "1.3.6.1.4.1.311.3.3.1"


class Signed(msgspec.Struct, frozen=True):
    """A signed program in memory, and its receipt."""

    octets: bytes
    receipt: bytes


class Memory:
    """A program in memory as a source."""

    filename = "tiny.exe"

    def __init__(self, octets: bytes) -> None:
        self._octets = octets
        self.size = len(octets)

    def pread(self, offset: int, count: int) -> bytes:
        assert 0 <= offset <= offset + count
        octets = self._octets[offset : offset + count]
        if len(octets) < count:
            raise verify.MalformedCode("It ends before that.")
        return octets

    def readinto(self, offset: int, buffer: memoryview) -> int:
        octets = self._octets[offset : offset + len(buffer)]
        buffer[: len(octets)] = octets
        return len(octets)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One whole service in memory; these tests only ask it to sign."""
    folder = tmp_path_factory.mktemp("verify")
    made = World(found(folder / "founded"), folder / "world")
    yield made
    made.stop()


@pytest.fixture(scope="module")
def trust(world: World) -> Trust:
    """Whom a verifier of that service believes, with the CRLs of its CA."""
    anchors = Anchors.from_pem((world.directory / "ca.pem").read_bytes())
    return Trust(anchors, tuple(chain.read_crls((world.directory / "ca.crl").read_bytes())), world.policy())


@pytest.fixture(scope="module")
def signed(world: World, tmp_path_factory: pytest.TempPathFactory) -> Signed:
    """A small program, signed, timestamped and logged."""
    return sign(world, tmp_path_factory.mktemp("signed") / "tiny.exe", program_name="Tiny")


def sign(world: World, path: Path, octets: bytes | None = None, **options: Any) -> Signed:
    """Have a program signed as the command line would."""
    path.write_bytes(octets or pe_builder.program())
    identity = world.pair()[1]
    wishes = Options(**options)
    with FileSource.open(path) as code:
        code_format = catalogue.recognise(code)
        prepared = code_format.prepare(code, code_format.inspect(code), identity, wishes, "sha256")
        request = world.request(0, prepared.described, **options)
        (dossier,) = world.ask([Ledger(request, [request.timeless_digest()])])
        assert isinstance(dossier, Dossier) and dossier.receipt is not None, dossier
        carry_out(code_format.apply(code, prepared, wishes, dossier.blobs), code, path)
    return Signed(path.read_bytes(), dossier.receipt.encode())


def judged(octets: bytes, receipt: bytes | None, trust: Trust, at: datetime) -> FileVerdict:
    return verify_file(Memory(octets), trust=trust, at=at, receipt=receipt)


def codes(verdict: FileVerdict) -> set[str]:
    inside = {problem.code for one in verdict.signatures for problem in one.problems}
    return inside | {problem.code for problem in verdict.problems}


def notes(verdict: FileVerdict) -> set[str]:
    return {note.code for one in (verdict, *verdict.signatures) for note in one.notes}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Judge the same chain under the same circumstances once: thousands of mutations mostly leave the chain alone."""
    monkeypatch.setattr(chain, "judge", functools.lru_cache(maxsize=100_000)(chain.judge))


# -- what is good ------------------------------------------------------------------------------------------------------
def test_everything_in_order_is_valid_and_says_why(world: World, trust: Trust, signed: Signed) -> None:
    """Signer, timestamp, anchor, revocation and log all stand in the verdict."""
    verdict = judged(signed.octets, signed.receipt, trust, world.now)
    assert (verdict.verdict, codes(verdict), notes(verdict)) == ("valid", set(), set())
    (one,) = verdict.signatures
    assert one.timestamp is not None and abs(one.timestamp.time - world.now) < timedelta(minutes=1)
    assert one.log is not None and one.log.size > one.log.index and one.log.origin.startswith("rehearsal.invalid/")
    assert (one.revocation, one.program_name, one.verdict) == ("good", "Tiny", "valid")
    assert one.anchor is not None and "Root CA" in one.anchor


def test_the_json_is_what_the_contract_says(world: World, trust: Trust, signed: Signed) -> None:
    """The names of privyseal/verify/1, each with its kind of value."""
    document = msgspec.json.decode(msgspec.json.encode(judged(signed.octets, signed.receipt, trust, world.now)))
    assert {"path", "format", "verdict", "signatures", "problems"} <= document.keys()
    (one,) = document["signatures"]
    expected = {"signer", "serial", "issuer", "digest_algorithm", "digest", "timestamp", "log", "problems"}
    assert expected <= one.keys()
    assert one["timestamp"].keys() == {"time", "authority"} and one["timestamp"]["time"].endswith("Z")
    assert one["log"].keys() == {"index", "origin", "size", "witnesses"}
    assert (document["format"], one["digest_algorithm"], one["problems"]) == ("pe", "sha256", [])
    bytes.fromhex(one["digest"])


def test_a_timestamp_outlives_the_certificate(world: World, trust: Trust, signed: Signed) -> None:
    """Decades later the signature still stands, for it was made in time; CRLs of today stay good for then."""
    later = world.now + timedelta(days=365 * 30)
    assert judged(signed.octets, signed.receipt, trust, later).verdict == "valid"


def test_without_a_timestamp_the_certificates_end_is_the_end(world: World, trust: Trust, tmp_path: Path) -> None:
    """Valid on the last second, not on the one after; the receipt does not help, for logs prove no time here."""
    plain = sign(world, tmp_path / "a.exe", timestamp=False)
    without_crls = msgspec.structs.replace(trust, crls=())
    verdict = judged(plain.octets, plain.receipt, trust, world.now)
    assert verdict.verdict == "valid" and verdict.signatures[0].timestamp is None
    end = verdict.signatures[0].not_after
    assert end is not None
    assert judged(plain.octets, plain.receipt, without_crls, end).verdict == "valid"
    after = judged(plain.octets, plain.receipt, without_crls, end + timedelta(seconds=1))
    assert (after.verdict, codes(after)) == ("invalid", {"expired"})


# -- whom one trusts ---------------------------------------------------------------------------------------------------
def test_nobody_is_trusted_by_default(world: World, signed: Signed) -> None:
    """Without anchors the signature may be intact and still nobody vouches."""
    verdict = judged(signed.octets, None, Trust(), world.now)
    assert (verdict.verdict, codes(verdict)) == ("untrusted", {"no-path", "timestamp-no-path"})


def test_revocation_lists_that_are_not_given_are_said_to_be_missing(world: World, trust: Trust, signed: Signed) -> None:
    """Valid, but not-checked."""
    verdict = judged(signed.octets, signed.receipt, msgspec.structs.replace(trust, crls=()), world.now)
    assert (verdict.verdict, verdict.signatures[0].revocation) == ("valid", "not-checked")


def test_a_revocation_counts_from_its_date_on(world: World, trust: Trust, signed: Signed) -> None:
    """Stamped before the date: valid. Stamped after it: invalid."""
    authority = RehearsalAuthority.load((world.directory / "rehearsal-ca" / "ca.key").read_bytes())
    leaf = world.pair()[1].chain[0]
    for days, expected, told in ((1, "valid", {"revoked-later"}), (-1, "invalid", set())):
        revoked = [Revocation(leaf, world.now + timedelta(days=days))]
        crls = tuple(chain.read_crls(authority.crl(world.now, 10**12, revoked)))
        verdict = judged(signed.octets, signed.receipt, msgspec.structs.replace(trust, crls=crls), world.now)
        assert (verdict.verdict, notes(verdict)) == (expected, told)
    assert verdict.signatures[0].revocation == "revoked" and "revoked" in codes(verdict)


def test_a_timestamp_from_the_future_proves_nothing(world: World, trust: Trust, signed: Signed) -> None:
    """Asked about a moment before the timestamp, nobody can say that the signature was there."""
    verdict = judged(signed.octets, signed.receipt, trust, world.now - timedelta(hours=1))
    assert verdict.verdict == "invalid" and {"timestamp-ahead", "not-yet-valid"} <= codes(verdict)
    soon = judged(signed.octets, signed.receipt, trust, world.now - timedelta(minutes=2))
    assert "timestamp-ahead" not in codes(soon)


# -- the receipt -------------------------------------------------------------------------------------------------------
def test_a_policy_asks_for_a_receipt(world: World, trust: Trust, signed: Signed, tmp_path: Path) -> None:
    """None, or one of another file: it is not shown that the signature is in the log, and that is no proof of harm."""
    other = sign(world, tmp_path / "b.exe", pe_builder.program(overlay=b"another"))
    for receipt, code in ((None, "no-receipt"), (other.receipt, "receipt-of-another")):
        verdict = judged(signed.octets, receipt, trust, world.now)
        assert (verdict.verdict, codes(verdict), verdict.signatures[0].log) == ("indeterminate", {code}, None)


def test_without_a_policy_a_receipt_is_not_looked_at(world: World, trust: Trust, signed: Signed) -> None:
    """And that is said."""
    verdict = judged(signed.octets, b"whatever", msgspec.structs.replace(trust, log_policy=None), world.now)
    assert (verdict.verdict, notes(verdict), verdict.signatures[0].log) == ("valid", {"receipt-not-checked"}, None)


def test_a_receipt_of_a_request_that_asked_for_something_else(world: World, trust: Trust, signed: Signed) -> None:
    """Logged and signed, but not what was approved: other code, another certificate, another name."""
    assert trust.log_policy is not None
    logged = verify._Logged.read(signed.receipt, trust.log_policy)
    assert isinstance(logged, verify._Logged)
    with_one = catalogue.BY_NAME["pe"]
    code = Memory(signed.octets)
    (embedded,) = with_one.signatures(code, with_one.inspect(code))
    assert logged._differences(embedded) == ([], [])
    request = logged.request
    described = (msgspec.structs.replace(request.described[0], digest=bytes(32)),)
    options = msgspec.structs.replace(request.options, program_name="Other")
    for changed in (
        msgspec.structs.replace(request, described=described),
        msgspec.structs.replace(request, certificate="0" * 64),
        msgspec.structs.replace(request, options=options),
    ):
        problems, _ = msgspec.structs.replace(logged, request=changed)._differences(embedded)
        assert [problem.code for problem in problems] == ["not-approved"]


@pytest.mark.parametrize("step", [3, pytest.param(1, marks=pytest.mark.nightly)])
def test_every_octet_of_the_receipt_counts(world: World, trust: Trust, signed: Signed, quick: None, step: int) -> None:
    """Whatever bit of it is turned, taken away or doubled, the file is not valid any more."""
    receipt = signed.receipt
    for at in range(0, len(receipt), step):
        for changed in (
            receipt[:at] + bytes([receipt[at] ^ 1 << at % 8]) + receipt[at + 1 :],
            receipt[:at] + receipt[at + 1 :],
            receipt[: at + 1] + receipt[at:],
        ):
            if changed != receipt:
                verdict = judged(signed.octets, changed, trust, world.now)
                assert verdict.verdict in ("invalid", "indeterminate"), (at, changed)


# -- what was added or changed afterwards ------------------------------------------------------------------------------
def re_table(octets: bytes, change: Callable[[bytes], bytes], folder: Path) -> bytes:
    """Replace the signature of a signed program by a changed one, everything else as it should be."""
    (folder / "x.exe").write_bytes(octets)
    identity = signing.signatory("ecdsa-p256").identity
    with FileSource.open(folder / "x.exe") as code:
        code_format = catalogue.recognise(code)
        layout = code_format.inspect(code)
        (embedded,) = code_format.signatures(code, layout)
        prepared = code_format.prepare(code, layout, identity, Options(), "sha256")
        plan = code_format.apply(code, prepared, Options(), [change(embedded.blob)])
        carry_out(plan, code, folder / "y.exe")
    return (folder / "y.exe").read_bytes()


def test_a_timestamp_added_after_release_is_said(world: World, trust: Trust, tmp_path: Path) -> None:
    """The log knows the signature without it; what is there is valid, and the difference has words."""
    plain = sign(world, tmp_path / "c.exe", pe_builder.program(overlay=b"unstamped!"), timestamp=False)

    def stamped(blob: bytes) -> bytes:
        value = cms.parse(blob).signers[0].signature
        return cms.with_unsigned_attribute(blob, TIMESTAMP, signing.stamp().token(value).der)

    both = Anchors((*(trust.anchors or Anchors(())).certificates, signing.stamp().root))
    believed = msgspec.structs.replace(trust, anchors=both, crls=())
    later = re_table(plain.octets, stamped, tmp_path)
    verdict = judged(later, plain.receipt, believed, world.now)
    assert (verdict.verdict, notes(verdict)) == ("valid", {"added-after-release"})
    assert verdict.signatures[0].timestamp is not None and verdict.signatures[0].log is not None


def test_a_timestamp_replaced_after_release_is_a_change(
    world: World, trust: Trust, signed: Signed, tmp_path: Path
) -> None:
    """The log knows which token was released; another good one in its place is not what was released."""

    def stamped(blob: bytes) -> bytes:
        value = cms.parse(blob).signers[0].signature
        return cms.with_unsigned_attribute(blob, TIMESTAMP, signing.stamp().token(value).der, replace=True)

    both = Anchors((*(trust.anchors or Anchors(())).certificates, signing.stamp().root))
    believed = msgspec.structs.replace(trust, anchors=both, crls=())
    verdict = judged(re_table(signed.octets, stamped, tmp_path), signed.receipt, believed, world.now)
    assert (verdict.verdict, codes(verdict)) == ("invalid", {"changed-after-release"})


@pytest.mark.parametrize("lists", [0, 2])
def test_a_timestamp_renewed_after_release_is_said(
    world: World, trust: Trust, signed: Signed, tmp_path: Path, lists: int
) -> None:
    """The log knows the timestamp without its renewal, and without the revocation lists that came with it; what is
    there is valid, and the difference has words."""
    kept = [mint.crl(misbehaving.root(), days=10 + each) for each in range(lists)]

    def renewed(blob: bytes) -> bytes:
        (token,) = cms.parse(blob).signers[0].unsigned[TIMESTAMP]
        token = renewal.with_lists(token, kept)
        archived = renewal.archive(token, "sha256")
        new = renewal.renew(token, archived, signing.stamp().token(archived.octets))
        return cms.with_unsigned_attribute(blob, TIMESTAMP, new, replace=True)

    both = Anchors((*(trust.anchors or Anchors(())).certificates, signing.stamp().root))
    believed = msgspec.structs.replace(trust, anchors=both, crls=())
    later = world.now + timedelta(minutes=5)
    verdict = judged(re_table(signed.octets, renewed, tmp_path), signed.receipt, believed, later)
    assert (verdict.verdict, notes(verdict)) == ("valid", {"renewed-after-release"})
    (one,) = verdict.signatures
    assert [each.authority for each in one.renewals] == ["CN=Timestamps"] and one.log is not None
    # What a renewal was changed into afterwards is no renewal, and not what was released either.
    spoilt = re_table(signed.octets, lambda blob: renewed(blob)[:-3] + b"xyz", tmp_path)
    assert judged(spoilt, signed.receipt, believed, later).verdict == "invalid"


def test_an_attribute_nobody_knows_is_a_change(world: World, trust: Trust, signed: Signed, tmp_path: Path) -> None:
    """Some hide data in attributes that no signature covers; canonical layout has no place for them."""
    hidden: Callable[[bytes], bytes] = lambda blob: cms.with_unsigned_attribute(blob, "1.3.6.1.4.1.42921.1", der.null())  # noqa: E731
    verdict = judged(re_table(signed.octets, hidden, tmp_path), signed.receipt, trust, world.now)
    assert verdict.verdict == "invalid" and {"unsigned-attribute", "changed-after-release"} <= codes(verdict)


def test_a_further_signature_after_release_leaves_ours_as_it_was(
    world: World, trust: Trust, signed: Signed, tmp_path: Path
) -> None:
    """Each signature has a verdict of its own, the file has the worst; the receipt stays with the one it is of."""
    path = tmp_path / "both.exe"
    path.write_bytes(signed.octets)
    signing.sign(path, signing.signatory("ecdsa-p256"), options=Options(mode="append"))
    verdict = judged(path.read_bytes(), signed.receipt, trust, world.now)
    assert [one.verdict for one in verdict.signatures] == ["valid", "untrusted"]
    assert verdict.verdict == "untrusted"
    assert [one.log is not None for one in verdict.signatures] == [True, False]
    both = Anchors((*(trust.anchors or Anchors(())).certificates, signing.signatory("ecdsa-p256").root))
    believed = msgspec.structs.replace(trust, anchors=both, crls=())
    assert judged(path.read_bytes(), signed.receipt, believed, world.now).verdict == "valid"


# -- every octet of the file -------------------------------------------------------------------------------------------
@pytest.mark.filterwarnings("ignore:Parsed a serial number")  # a turned bit makes one negative
@pytest.mark.parametrize("step", [5, pytest.param(1, marks=pytest.mark.nightly)])
def test_every_octet_of_the_file_counts(world: World, trust: Trust, signed: Signed, quick: None, step: int) -> None:
    """One turned bit anywhere, in headers, code, certificate table or padding: never valid."""
    for place in range(0, len(signed.octets), step):
        octets = bytearray(signed.octets)
        octets[place] ^= 1 << place % 8
        verdict = judged(bytes(octets), signed.receipt, trust, world.now)
        assert verdict.verdict == "invalid" or verdict.format is None, place


def test_a_file_that_is_cut_or_grows_is_not_valid(world: World, trust: Trust, signed: Signed, quick: None) -> None:
    """Neither anything missing at the end nor anything behind it."""
    for size in range(0, len(signed.octets), 97):
        assert judged(signed.octets[:size], signed.receipt, trust, world.now).verdict != "valid"
    for more in (b"\0", b"\0" * 8, b"x" * 4096):
        assert judged(signed.octets + more, signed.receipt, trust, world.now).verdict == "invalid"


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
def test_hostile_octets_are_a_verdict_and_never_an_exception(
    world: World, trust: Trust, signed: Signed, quick: None
) -> None:
    """Seeded mutations of file and receipt together: cut, doubled, exchanged, random; none raises, none is valid."""
    draw = random.Random(20261124)
    for _ in range(400):
        octets, receipt = bytearray(signed.octets), bytearray(signed.receipt)
        target = octets if draw.random() < 0.7 else receipt
        for _ in range(draw.randint(1, 4)):
            place, length = draw.randrange(len(target)), draw.randint(1, 64)
            match draw.randrange(4):
                case 0:
                    del target[place : place + length]
                case 1:
                    target[place:place] = target[place : place + length]
                case 2:
                    target[place : place + length] = draw.randbytes(length)
                case 3:
                    target[place : place + 4] = draw.choice([b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff"])
        if bytes(octets) != signed.octets or bytes(receipt) != signed.receipt:
            assert judged(bytes(octets), bytes(receipt), trust, world.now).verdict != "valid"


def test_what_is_no_program_is_told_apart(world: World, trust: Trust) -> None:
    """Unsigned, unknown and broken are three different things to hear."""
    assert judged(pe_builder.program(), None, trust, world.now).verdict == "unsigned"
    unknown = judged(b"text", None, trust, world.now)
    assert (unknown.verdict, unknown.format, codes(unknown)) == ("indeterminate", None, {"unknown-format"})
    broken = judged(pe_builder.program()[:200], None, trust, world.now)
    assert (broken.verdict, codes(broken)) == ("invalid", {"malformed-code"})
