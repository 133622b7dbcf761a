"""What is Google's own: states, checksums both ways, one padding a key, tokens that are signed here, and its log."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from awscrt.checksums import crc32c as somebody_elses
from tests.homes import gcp_section
from tests.stubs.gcpkms import EMAIL, MACHINE, RING, GcpStub

from privyseal.errors import (
    Conflict,
    KeyStoreUnavailable,
    Misused,
    NotCompliant,
    NotFound,
    PrivySealError,
)
from privyseal.keystore.clouds import NotDone
from privyseal.keystore.gcpkms import GcpKmsSection
from privyseal.keystore.gcpkms_client import GcpKmsClient, crc32c
from privyseal.keystore.gcpkms_refusals import REFUSALS, WrongStateError, refusal
from privyseal.keystore.messages import Hashed
from privyseal.keystore.wire import Reply
from privyseal.terms.keys import Assurance
from privyseal.terms.signatures import SCHEMES

Connect = Callable[..., GcpKmsClient]
P256 = SCHEMES["ecdsa-p256"]
DIGEST = Hashed("sha256", bytes(range(32)), "pkcs1v15")
CANARY = "canary"


@pytest.fixture
def google(tmp_path: Path) -> Iterator[GcpStub]:
    stub = GcpStub(tmp_path / "google")
    yield stub
    stub.close()


@pytest.fixture
def client(google: GcpStub) -> Iterator[Connect]:
    """Make clients in this process, which do not wait between their tries."""
    with contextlib.ExitStack() as opened:

        def connect(clock: Callable[[], datetime] = lambda: datetime.now(UTC), **changes: object) -> GcpKmsClient:
            made = GcpKmsClient(gcp_section(google, **changes), clock, lambda seconds: None)
            opened.callback(made.close)
            return made

        yield connect


@pytest.mark.parametrize("octets", [b"", b"123456789", bytes(512), bytes(range(256)) * 2], ids=len)
def test_the_checksum_is_crc32c(octets: bytes) -> None:
    """As somebody else's code has it; of nine digits it is 0xE3069283 (RFC 3720 has the polynomial)."""
    assert crc32c(octets) == somebody_elses(octets)
    assert crc32c(b"123456789") == 0xE3069283


@pytest.mark.parametrize(
    ("otherwise", "words"),
    [
        ({"level": "SOFTWARE"}, "protectionLevel"),
        ({"level": "EXTERNAL"}, "protectionLevel"),
        ({"import_job": "projects/p/importJobs/j"}, "importJob"),
        ({"algorithm": "EC_SIGN_P384_SHA384"}, "algorithm"),
        ({"state": "GENERATION_FAILED"}, "state"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_a_key_that_is_not_made_as_told_is_not_kept(
    google: GcpStub, client: Connect, otherwise: dict[str, object], words: str
) -> None:
    """In software, elsewhere, imported, of another kind, not made at all: refused, and scheduled for destruction."""
    google.new_keys = otherwise
    with pytest.raises(NotCompliant, match=f"as it was told to: {words};"):
        client().generate("demo/other", P256)
    assert [each.state for each in google.keys.values()] == ["DESTROY_SCHEDULED"]


def test_a_key_is_as_it_was_told_to_be(google: GcpStub, client: Connect) -> None:
    """In its ring, in hardware by Google's word; in software where the section says so, and then it is software."""
    asking = client()
    key = asking.generate("demo/app.2", P256)
    (made,) = google.keys.values()
    assert (made.name, key) == (f"{RING}/cryptoKeys/demo_app_-2", b"demo_app_-2:1")
    assert made.asked["destroyScheduledDuration"] == "2592000s"
    found = asking.protection("demo/app.2", key)
    assert (found.store, found.assurance) == ("gcpkms", Assurance.HARDWARE)
    assert (found.generated_inside, found.never_extractable) == (True, True)
    assert "protectionLevel=HSM" in found.attributes and "attestation=CAVIUM_V2_COMPRESSED" in found.attributes
    soft = client(protection="SOFTWARE")
    found = soft.protection("demo/soft", soft.generate("demo/soft", P256))
    assert (found.assurance, found.never_extractable) == (Assurance.SOFTWARE, False)
    made.level = "EXTERNAL"
    found = asking.protection("demo/app.2", key)
    assert (found.assurance, found.generated_inside) == (Assurance.SOFTWARE, False)
    with pytest.raises(Misused, match="names of 63 characters"):
        asking.generate("demo/" + "x" * 63, P256)


def test_a_key_that_is_still_being_made_is_waited_for(google: GcpStub, client: Connect) -> None:
    """Some reads find it being generated; where that does not end, no key is left, and its name stays taken."""
    google.lag = 3
    asking = client()
    assert asking.sign("demo/late", asking.generate("demo/late", P256), DIGEST)
    google.lag = 10_000
    moments = iter(datetime(2026, 11, 30, tzinfo=UTC) + timedelta(seconds=each) for each in range(10_000))
    google.now = lambda: datetime(2026, 11, 30, tzinfo=UTC)
    with pytest.raises(KeyStoreUnavailable, match="not generated the key in time"):
        client(clock=lambda: next(moments)).generate("demo/never", P256)
    assert sorted(each.state for each in google.keys.values()) == ["DESTROY_SCHEDULED", "ENABLED"]
    google.now = lambda: datetime.now(UTC)
    with pytest.raises(Conflict, match="of that name already"):
        asking.generate("demo/never", P256)


@pytest.mark.parametrize(
    ("state", "kind", "words"),
    [
        ("DISABLED", Misused, "disabled in Google Cloud KMS"),
        ("DESTROY_SCHEDULED", NotFound, "scheduled for destruction"),
        ("DESTROYED", NotFound, "scheduled for destruction"),
        ("PENDING_IMPORT", NotDone, "the key is PENDING_IMPORT"),
        ("IMPORT_FAILED", Misused, "in a state in which Google does not use it"),
    ],
)
def test_a_key_in_no_state_to_sign_says_which(
    google: GcpStub, client: Connect, state: str, kind: type[Exception], words: str
) -> None:
    """One sentence each, and no signature."""
    asking = client()
    key = asking.generate("demo/state", P256)
    asking.sign("demo/state", key, DIGEST)
    next(iter(google.keys.values())).state = state
    with pytest.raises(kind, match=words):
        asking.sign("demo/state", key, DIGEST)
    assert google.signs == 1


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("damaged", "damaged on its way here"),
        ("unverified", "damaged on its way there"),
        ("another", "for another key"),
    ],
)
def test_what_was_damaged_on_its_way_is_thrown_away(google: GcpStub, client: Connect, fault: str, words: str) -> None:
    """A checksum that is not that of the signature, none that Google verified, and the name of another key."""
    asking = client()
    key = asking.generate("demo/way", P256)
    asking.sign("demo/way", key, DIGEST)
    google.order("asymmetricSign", fault)
    with pytest.raises(KeyStoreUnavailable, match=words):
        asking.sign("demo/way", key, DIGEST)
    assert google.calls.count("asymmetricSign") == 2


@pytest.mark.parametrize("code", ["PERMISSION_DENIED", "INTERNAL", "UNAVAILABLE", "DEADLINE_EXCEEDED"])
def test_only_what_was_certainly_not_done_is_asked_again(google: GcpStub, client: Connect, code: str) -> None:
    """Once, whatever Google answers, but where it did not look: a token that it refused, and a throttle."""
    asking = client()
    key = asking.generate("demo/codes", P256)
    asking.sign("demo/codes", key, DIGEST)
    google.order("asymmetricSign", code)
    with pytest.raises(PrivySealError) as told:
        asking.sign("demo/codes", key, DIGEST)
    assert CANARY not in str(told.value) and google.calls.count("asymmetricSign") == 2
    google.order("asymmetricSign", "UNAUTHENTICATED", "RESOURCE_EXHAUSTED")
    asking.sign("demo/codes", key, DIGEST)
    assert google.calls.count("asymmetricSign") == 5 and google.signs == 2


def test_every_refusal_of_google_is_one_sentence_of_ours() -> None:
    """Each code has a sentence and a hint; one that is not known leaves open what was done."""
    for code in (*REFUSALS, "SOMETHING_NEW", ""):
        told = refusal(Reply(400, {}, json.dumps({"error": {"status": code}}).encode()))
        why = told.why if isinstance(told, NotDone | WrongStateError) else told
        assert isinstance(why, PrivySealError) and why.detail.endswith(".") and why.hint
    for body in (b"", b"<html>", b'{"error": []}', b"[" * 5000):
        assert isinstance(refusal(Reply(503, {}, body)), KeyStoreUnavailable)


@pytest.mark.parametrize("key", [b"a:1/../b", b"a", b"../x:1", b"a:0", b"\xff:1", b"A:1", b"a:1 "])
def test_an_id_that_this_store_never_gave_out_asks_nobody(google: GcpStub, client: Connect, key: bytes) -> None:
    """Nothing of it comes into a path."""
    with pytest.raises(NotFound, match="no such key"):
        client().public_key("demo/x", key)
    assert google.calls == []


# -- who we are --------------------------------------------------------------------------------------------------------
def test_a_token_is_signed_anew_before_it_ends(google: GcpStub, client: Connect) -> None:
    """For an hour one token does; five minutes before its end there is another, of what the file holds then."""
    now = datetime.now(UTC)
    google.now = lambda: now
    asking = client(clock=lambda: now)
    asking.look()
    now += timedelta(minutes=56)
    google.write_credentials(client_email="stranger@x")
    with pytest.raises(Misused, match="does not accept the credential"):
        asking.look()
    google.write_credentials()
    asking.look()


def test_the_machine_s_own_account_needs_no_file(google: GcpStub, client: Connect) -> None:
    """Its metadata server gives the token; one that is busy is asked again, one that refuses is told of."""
    asking = client(credentials_file=None, metadata=True, metadata_endpoint=f"http://127.0.0.1:{google.port}")
    with pytest.raises(NotDone, match=r"cannot be reached|broke off|no whole answer"):  # the stand-in speaks TLS only
        asking.look()
    section = gcp_section(google, credentials_file=None, metadata=True)
    assert (section.secret, section.address("metadata")) == (None, "http://169.254.169.254")
    assert section.territory().ports == (80, google.port)
    assert MACHINE not in repr(section)


@pytest.mark.parametrize(
    "text",
    [
        "canary",
        "{}",
        '{"type": "authorized_user"}',
        '{"type":"service_account","client_email":"a","private_key":"canary"}',
    ],
)
def test_a_key_file_that_is_none_is_refused(google: GcpStub, client: Connect, text: str) -> None:
    """No JSON, another kind of credential, no key in it: one sentence that quotes nothing of it."""
    google.credentials.write_text(text)
    with pytest.raises(Misused, match="no key of a service account") as told:
        client().look()
    assert CANARY not in str(told.value) and google.calls == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "Prod"}, "name of a"),
        ({"key_ring": "projects/p/locations/l"}, "no key ring"),
        ({"key_ring": RING + "/cryptoKeys/x"}, "no key ring"),
        ({"metadata": True}, "needs one of"),
        ({"credentials_file": None}, "needs one of"),
        ({"pending_days": 0}, "1 to 120"),
        ({"endpoint": "http://kms.example"}, "no https address"),
        ({"protection": "EXTERNAL"}, "Invalid enum value"),
        ({"surprise": 1}, "unknown field"),
    ],
)
def test_a_section_that_cannot_be_right_is_refused(changes: dict[str, object], words: str) -> None:
    """The field is named, and no secret."""
    plain = {"name": "prod", "key_ring": RING, "credentials_file": "x"}
    with pytest.raises(msgspec.ValidationError, match=words):
        msgspec.convert({k: v for k, v in (plain | changes).items() if v is not None}, GcpKmsSection)


# -- its log -----------------------------------------------------------------------------------------------------------
def test_google_counts_what_it_signed(google: GcpStub, client: Connect) -> None:
    """Each key's own, over several pages, within the period; refused ones do not count, and strangers' do."""
    asking = client(audit=True)
    one, two = (asking.generate(f"demo/k{each}", P256) for each in (1, 2))
    google.page = 2
    begun = datetime(2026, 11, 30, 8, tzinfo=UTC)
    counts = {}
    for minute in range(5):
        google.now = lambda minute=minute: begun + timedelta(minutes=minute)
        counting = client(clock=google.now, audit=True)
        counting.sign("demo/k1", one, DIGEST)
    google.keys[f"{RING}/cryptoKeys/demo_k2"].state = "DISABLED"
    with pytest.raises(Misused):
        counting.sign("demo/k2", two, DIGEST)
    later = begun + timedelta(hours=2)
    google.now = lambda: later
    asking = client(clock=lambda: later, audit=True)
    log, counts = asking.count((one, two), begun + timedelta(minutes=1), begun + timedelta(hours=1))
    assert counts == (4, 0)
    assert (log.on, log.gaps, log.complete_until) == (True, (), begun + timedelta(hours=1))
    with pytest.raises(Misused, match=r"may not be read for prod"):
        client().count((one,), begun, later)


@pytest.mark.parametrize(
    ("spoil", "on", "words"),
    [
        (lambda g: g.audit_configs.clear(), False, "does not log ADMIN_READ"),
        (lambda g: g.audit_configs[0].update(service="storage.googleapis.com"), False, "does not log DATA_READ"),
        (lambda g: g.audit_configs[0]["auditLogConfigs"].pop(0), True, "does not log ADMIN_READ"),
        (lambda g: g.audit_configs[0]["auditLogConfigs"][1].update(exemptedMembers=["user:eve@x"]), True, "exempts 1"),
        (lambda g: g.exclusions.append({"name": "quiet", "filter": "x"}), True, "exclusion 'quiet'"),
        (lambda g: g.sink.update(exclusions=[{"name": "kms", "filter": "x"}]), True, "exclusion 'kms'"),
        (lambda g: g.exclusions.append({"name": "quiet", "disabled": True}), True, ""),
        (lambda g: g.sink.update(disabled=True), False, ""),
    ],
)
def test_what_google_s_log_leaves_out_is_told(
    google: GcpStub, client: Connect, spoil: Callable[[GcpStub], object], on: bool, words: str
) -> None:
    """Off, for another service, not all kinds, people exempted, entries excluded; what is disabled excludes nothing."""
    spoil(google)
    now = datetime.now(UTC)
    log, _ = client(audit=True).count((), now - timedelta(hours=2), now)
    assert log.on is on
    assert any(words in each for each in log.gaps) if words else log.gaps == ()


def test_a_log_too_long_to_read_is_told(google: GcpStub, client: Connect) -> None:
    """Never half a count."""
    google.page, now = 1, datetime.now(UTC)
    entry = {
        "timestamp": (now - timedelta(hours=1)).isoformat(),
        "protoPayload": {"methodName": "AsymmetricSign", "resourceName": f"{RING}/cryptoKeys/a/cryptoKeyVersions/1"},
    }
    google.entries = [entry] * 101
    with pytest.raises(Misused, match="more than 100000 uses"):
        client(audit=True).count((), now - timedelta(hours=2), now)
    assert EMAIL not in json.dumps(entry)
