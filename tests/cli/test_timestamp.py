"""What ``privyseal timestamp`` decides for each signature, does to the file, and what strangers say of it then."""

import hashlib
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path

import pytest
from tests.formats import pe_builder, signing
from tests.formats.signing import APPEND, PE, Signatory, look, sign, signatory
from tests.formats.test_pe_strangers import osslsigncode
from tests.pki import mint
from tests.timestamp import misbehaving
from tests.timestamp.misbehaving import reply, token

from privyseal.cli import timestamp
from privyseal.cli.later import ID_COUNTERSIGNATURE, Wishes
from privyseal.cli.pieces import Job
from privyseal.cli.timestamp import Outcome
from privyseal.formats.patch import carry_out
from privyseal.formats.protocol import EmbeddedSignature, Identity
from privyseal.formats.source import FileSource
from privyseal.pki import certificates, cms, der
from privyseal.pki.chain import Anchors
from privyseal.terms.signatures import TimestampToken, ToBeSigned
from privyseal.timestamp import renewal
from privyseal.timestamp.address import Address
from privyseal.timestamp.authorities import Authorities, Means
from privyseal.timestamp.client import Reply, Trusted
from privyseal.timestamp.token import verify_token
from privyseal.verify import Trust, verify_file

NOW = mint.NOW
"""When this process began; the tests of a whole suite come many minutes later."""
ROOT = misbehaving.root().der


def now() -> datetime:
    return datetime.now(UTC)


def authorities(answer: Callable[[bytes], bytes]) -> Authorities:
    def post(url: str, body: bytes, media_type: str, limit_s: float) -> Reply:
        return Reply(200, answer(body))

    means = Means(post, os.urandom, lambda: datetime.now(UTC), time.monotonic, time.sleep)
    return Authorities([Address("http://tsa.example/")], means, Trusted(Anchors((ROOT,))))


def stamped(path: Path, out: Path | None = None, *, renew: int | None = None, at: datetime | None = None) -> Outcome:
    """Run the command on one file, with an authority in this process."""
    wishes = Wishes(
        digest="sha256",
        renew=None if renew is None else timedelta(days=renew),
        trusted=Trusted(Anchors((ROOT,))),
        at=at or now(),
    )
    asked = authorities(lambda body: reply("good", body))
    return timestamp.stamp(Job(str(path), str(out or path)), asked, wishes)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "p.exe"
    made.write_bytes(pe_builder.program(overlay=b"odd"))
    return made


def with_attribute(path: Path, kind: str, value: Callable[[EmbeddedSignature], bytes]) -> None:
    """Put an unsigned attribute into the one signature of a program, as an older signer would have."""
    with FileSource.open(path) as code:
        layout = PE.inspect(code)
        (embedded,) = PE.signatures(code, layout)
        blob = cms.with_unsigned_attribute(embedded.blob, kind, value(embedded), replace=True)
        prepared = PE.prepare(code, layout, signatory().identity, signing.PLAIN, "sha256")
        carry_out(PE.apply(code, prepared, signing.PLAIN, [blob]), code, path)


def countersignature(embedded: EmbeddedSignature) -> bytes:
    """Make what signtool /t made: a SignerInfo over the signature value, of SHA-1 throughout."""
    minted = misbehaving.unit()
    algorithm = der.sequence(der.oid("1.3.14.3.2.26"), der.null())
    attributes = der.set_of(
        cms.attribute(cms.ID_CONTENT_TYPE, der.oid(cms.ID_DATA)),
        cms.attribute(cms.ID_SIGNING_TIME, der.utc_time(NOW - timedelta(days=2000))),
        cms.attribute(
            cms.ID_MESSAGE_DIGEST,
            der.octet_string(hashlib.sha1(embedded.signature_value, usedforsecurity=False).digest()),
        ),
    )
    parts = certificates.outline(minted.der)
    value = mint.sign(minted.key, ToBeSigned(attributes, "sha256"))
    return der.sequence(
        der.integer(1),
        der.sequence(parts.issuer, parts.serial_element),
        algorithm,
        b"\xa0" + attributes[1:],
        der.sequence(der.oid("1.2.840.10045.2.1")),
        der.octet_string(value),
    )


def sha1_token(embedded: EmbeddedSignature) -> bytes:
    """Make a token whose imprint is SHA-1, signed well otherwise."""
    made = token(hashlib.sha256(b"").digest())
    info = cms.parse(made).content_octets or b""
    weak = der.sequence(
        der.sequence(der.oid("1.3.14.3.2.26"), der.null()),
        der.octet_string(hashlib.sha1(embedded.signature_value, usedforsecurity=False).digest()),
    )
    fields = [one.raw for one in der.children(der.read(info))]
    minted = misbehaving.unit()
    info = der.sequence(*fields[:2], weak, *fields[3:])
    signed = [
        cms.attribute(cms.ID_CONTENT_TYPE, der.oid("1.2.840.113549.1.9.16.1.4")),
        cms.attribute(cms.ID_MESSAGE_DIGEST, der.octet_string(hashlib.sha256(info).digest())),
    ]
    value = mint.sign(minted.key, ToBeSigned(cms.attributes_to_be_signed(signed), "sha256"))
    return cms.build_signed_data(
        content_type="1.2.840.113549.1.9.16.1.4",
        content=der.octet_string(info),
        digest_algorithm="sha256",
        certificates=[minted.der],
        signers=[
            cms.signer_info(
                certificate=minted.der, digest_algorithm="sha256", signed_attributes=signed, signature=value
            )
        ],
        version=3,
    )


def accepted(path: Path, folder: Path, *roots: bytes) -> None:
    """Have osslsigncode verify every signature and its timestamp."""
    pem = folder / "roots.pem"
    pem.write_bytes(b"".join(map(certificates.pem, (ROOT, *roots))))
    said = osslsigncode("verify", "-CAfile", pem, "-TSA-CAfile", pem, "-in", path)
    assert "Succeeded" in said and "Failed" not in said and "MISMATCH" not in said, said
    indexes = said.count("Signature Index")
    assert said.count("Timestamp Server Signature verification: ok") == indexes > 0, said


def judged(path: Path, *roots: bytes, at: datetime | None = None) -> tuple[str, set[str]]:
    with FileSource.open(path) as code:
        found = verify_file(code, trust=Trust(Anchors((ROOT, *roots))), at=at or now())
    return found.verdict, {each.code for one in (found, *found.signatures) for each in (*one.problems, *one.notes)}


# -- adding ------------------------------------------------------------------------------------------------------------
def test_every_signature_of_a_file_gets_its_own(path: Path, tmp_path: Path) -> None:
    """Nested ones too; one that has a good timestamp keeps it, octet by octet."""
    sign(path, signatory(), stamped=True)
    sign(path, signatory("ecdsa-p384"), options=APPEND, digest="sha384")
    before = look(path).signatures
    outcome = stamped(path)
    assert outcome.end is None and outcome.report.status == "timestamped"
    assert [one.action for one in outcome.report.signatures] == ["keep", "stamp"]
    after = look(path).signatures
    assert after[0].blob == before[0].blob and before[1].timestamp is None and after[1].timestamp is not None
    accepted(path, tmp_path, signatory().root, signatory("ecdsa-p384").root, signing.stamp().root)
    assert judged(path, signatory().root, signatory("ecdsa-p384").root, signing.stamp().root) == ("valid", set())


def test_a_file_that_has_all_is_left_alone(path: Path) -> None:
    """Not a byte is written, nobody is asked."""
    sign(path, signatory())
    assert stamped(path).end is None
    before, when = path.read_bytes(), path.stat().st_mtime_ns
    outcome = stamped(path)
    assert (outcome.report.status, outcome.end, outcome.written) == ("kept", None, False)
    assert path.read_bytes() == before and path.stat().st_mtime_ns == when


def test_the_receipt_goes_along(path: Path, tmp_path: Path) -> None:
    """It is of the signature, which is the same; in place it stays where it is."""
    sign(path, signatory())
    (tmp_path / "p.exe.tlog-proof").write_text("c2sp.org/tlog-proof@v1\n")
    assert stamped(path, tmp_path / "out.exe").end is None
    assert (tmp_path / "out.exe.tlog-proof").read_text() == "c2sp.org/tlog-proof@v1\n"


# -- replacing ---------------------------------------------------------------------------------------------------------
def test_a_counter_signature_of_sha1_becomes_a_token_of_sha256(path: Path, tmp_path: Path) -> None:
    """The old one goes, for it would stay loose; the file is valid afterwards, and was not before."""
    sign(path, signatory())
    with_attribute(path, ID_COUNTERSIGNATURE, countersignature)
    assert judged(path, signatory().root)[0] == "invalid"
    outcome = stamped(path)
    assert outcome.end is None and "of the old kind was replaced" in outcome.words
    (found,) = look(path).signatures
    assert set(cms.parse(found.blob).signers[0].unsigned) == {"1.3.6.1.4.1.311.3.3.1"}
    assert judged(path, signatory().root) == ("valid", set())
    accepted(path, tmp_path, signatory().root)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (sha1_token, "its SHA-1 timestamp was replaced"),
        (
            lambda _: token(hashlib.sha256(b"other").digest()),
            "did not hold and was replaced: The timestamp is for other",
        ),
        (lambda _: der.sequence(der.null()), "could not be read and was replaced"),
    ],
)
def test_a_token_that_is_worth_nothing_is_replaced(
    path: Path, value: Callable[[EmbeddedSignature], bytes], words: str
) -> None:
    """Of SHA-1, over something else, or no token at all."""
    sign(path, signatory())
    with_attribute(path, "1.3.6.1.4.1.311.3.3.1", value)
    outcome = stamped(path)
    assert outcome.end is None and words in outcome.words
    assert judged(path, signatory().root) == ("valid", set())


@lru_cache
def ended() -> Signatory:
    root = mint.certify("Old root", mint.key("ecdsa-p256", 97), ca=True, start=NOW - timedelta(days=900), days=3000)
    leaf = mint.certify(
        "Old signer", mint.key("ecdsa-p256", 98), root, purposes=(mint.CODE_SIGNING,),
        start=NOW - timedelta(days=800), days=700,
    )  # fmt: skip
    return Signatory(Identity((leaf.der,), "ecdsa-p256"), leaf.key, root.der)


def test_too_late_is_too_late(path: Path) -> None:
    """After the signer's certificate has ended nothing is added, and an old counter-signature is not taken away."""
    sign(path, ended())
    for _ in range(2):
        before = path.read_bytes()
        outcome = stamped(path)
        assert outcome.end is not None and outcome.end.exit == 2 and "comes too late" in outcome.words
        assert path.read_bytes() == before
        with_attribute(path, ID_COUNTERSIGNATURE, countersignature)


# -- renewing ----------------------------------------------------------------------------------------------------------
def test_renewing_goes_on_for_as_long_as_somebody_renews(path: Path, tmp_path: Path) -> None:
    """Within the days, and not before; twice; strangers see the first timestamp, we all of them."""
    sign(path, signatory(), stamped=True)
    trusted = (signatory().root, signing.stamp().root)
    first = look(path).signatures[0].timestamp or b""
    assert stamped(path, renew=30).report.status == "kept"
    for count in (1, 2):
        outcome = stamped(path, renew=400)
        assert outcome.end is None and outcome.report.status == "renewed"
        assert len(outcome.report.signatures[0].renewals) == count
    renewed = look(path).signatures[0].timestamp or b""
    assert renewal.forms_before(renewed)[0] == first
    accepted(path, tmp_path, *trusted)
    assert judged(path, *trusted, at=now() + timedelta(minutes=1)) == ("valid", set())
    with FileSource.open(path) as code:
        (one,) = verify_file(code, trust=Trust(Anchors((ROOT, *trusted))), at=now() + timedelta(minutes=1)).signatures
    assert one.timestamp is not None and one.timestamp.authority == "CN=Timestamps"
    assert [each.authority for each in one.renewals] == ["CN=TSU good"] * 2


def test_renewing_after_the_end_is_refused(path: Path) -> None:
    """It would show nothing that is not shown already; the sentence says so, and the file stays."""
    sign(path, signatory(), stamped=True)
    before = path.read_bytes()
    outcome = stamped(path, renew=30, at=NOW + timedelta(days=400))
    assert outcome.end is not None and outcome.end.exit == 2 and "too late" in outcome.words
    assert path.read_bytes() == before


def test_every_octet_of_a_renewed_file_counts(path: Path) -> None:
    """One bit anywhere in its certificate table: never valid."""
    sign(path, signatory(), stamped=True)
    assert stamped(path, renew=400).end is None
    good, trusted = path.read_bytes(), (signatory().root, signing.stamp().root)
    assert judged(path, *trusted, at=now() + timedelta(minutes=1))[0] == "valid"
    start = look(path).layout.entries[0].at  # type: ignore[attr-defined]
    for position in range(start, len(good), 41):
        changed = bytearray(good)
        changed[position] ^= 1 << position % 8
        path.write_bytes(changed)
        assert judged(path, *trusted, at=now() + timedelta(minutes=1))[0] != "valid", position


# -- bad input ---------------------------------------------------------------------------------------------------------
def test_what_was_written_is_looked_at_before_it_counts(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A format that puts in something else, or touches the signature, is caught, and the file is as it was."""
    sign(path, signatory())
    before = path.read_bytes()
    honest = PE.timestamped

    def another(code: FileSource, layout: object, tokens: dict[int, TimestampToken]) -> object:
        other = token(hashlib.sha256(b"x").digest())
        return honest(code, layout, {0: verify_token(other)})  # type: ignore[arg-type]

    monkeypatch.setattr(type(PE), "timestamped", staticmethod(another))
    outcome = stamped(path)
    assert outcome.end is not None and outcome.end.exit == 3 and "was written does not verify" in outcome.words
    assert path.read_bytes() == before and [each.name for each in path.parent.iterdir()] == ["p.exe"]


def test_an_authority_that_lies_leaves_the_file_alone(path: Path) -> None:
    """Whatever it answers: exit 8, and no byte changed."""
    sign(path, signatory())
    before = path.read_bytes()
    wishes = Wishes(digest="sha256", renew=None, trusted=Trusted(Anchors((ROOT,))), at=now())
    for how in ("wrong-nonce", "other-imprint", "other-purpose", "stranger", "garbage", "a-day-early", "refuses"):
        asked = authorities(lambda body, how=how: reply(how, body))  # type: ignore[misc]
        outcome = timestamp.stamp(Job(str(path), str(path)), asked, wishes)
        assert outcome.end is not None and outcome.end.exit == 8, how
    assert path.read_bytes() == before
