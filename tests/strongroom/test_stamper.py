"""The stamper's tokens are accepted by others, and its time never goes back, whatever the clock does."""

import hashlib
import subprocess
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rfc3161_client import TimestampRequestBuilder, decode_timestamp_response
from tests.remembered import empty_store
from tests.shim import Shim
from tests.softhsm import SoftHsm, store

from privyseal.errors import BadInput, TimestampUnavailable, TooLarge
from privyseal.keystore.pkcs11 import Pkcs11Section
from privyseal.keystore.softfile import SoftFile
from privyseal.pki.rehearsal import RehearsalAuthority
from privyseal.strongroom.client import StamperClient
from privyseal.strongroom.mark import Mark, MarkFile
from privyseal.strongroom.messages import LogHealth
from privyseal.strongroom.settings import SoftFileSection, StamperSettings
from privyseal.strongroom.stamper import MAX_STAMPS, Stamper
from privyseal.terms.signatures import SCHEMES
from privyseal.timestamp.token import verify_token

START = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
POLICY = "2.23.140.1.4.2"


@pytest.fixture(scope="module")
def authority() -> RehearsalAuthority:
    return RehearsalAuthority.create(START, "Stamper's tests")


class Site:
    """The stamper's places, which outlive any number of stampers, and its clock."""

    def __init__(self, directory: Path, authority: RehearsalAuthority, scheme: str = "ecdsa-p256") -> None:
        self.now = START
        self.mark = directory / "time.mark"
        empty_store(directory / "keys", b"passphrase")
        self.keys = SoftFile.open(directory / "keys", b"passphrase", lambda: self.now)
        self.uri = self.keys.generate("stamper/timestamp", SCHEMES[scheme])
        own = authority.issue_timestamp_authority(self.keys.public_key(self.uri), START)
        self.chain = (own, authority.timestamp_issuer)
        MarkFile.create(self.mark, Mark(0, bytes(32)))

    def stamper(self) -> Stamper:
        return Stamper(self.keys, self.uri, self.chain, POLICY, MarkFile(self.mark), lambda: self.now)


@pytest.fixture
def site(tmp_path: Path, authority: RehearsalAuthority) -> Site:
    return Site(tmp_path, authority)


@pytest.fixture
def stamper(site: Site) -> Iterator[Stamper]:
    stamper = site.stamper()
    yield stamper
    stamper.close()


def stamp(stamper: Stamper, octets: bytes = b"x") -> datetime:
    (token,) = StamperClient(stamper.handle).stamp("sha256", [hashlib.sha256(octets).digest()])
    return verify_token(token, octets=octets).time


@pytest.mark.parametrize("scheme", ["ecdsa-p256", "rsa-3072"])
@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512"])
def test_digests_are_stamped_in_their_order(tmp_path: Path, authority: RehearsalAuthority, scheme: str, algorithm: str):
    """Each token is over its own digest, whichever thread signed it."""
    stamper = Site(tmp_path, authority, scheme).stamper()
    values = [b"%d" % n for n in range(9)]
    digests = [hashlib.new(algorithm, value).digest() for value in values]
    tokens = StamperClient(stamper.handle).stamp(algorithm, digests)  # type: ignore[arg-type]
    for value, token in zip(values, tokens, strict=True):
        assert verify_token(token, octets=value).time == START
    stamper.close()


def test_others_accept_the_replies(site: Site, stamper: Stamper, authority: RehearsalAuthority, tmp_path: Path):
    """OpenSSL and rfc3161-client read and verify what is answered to their own requests."""
    (tmp_path / "data").write_bytes(b"some code")
    (tmp_path / "root.pem").write_bytes(authority.anchors_pem())
    query = ["openssl", "ts", "-query", "-data", "data", "-sha256", "-cert", "-out", "q"]
    subprocess.run(query, cwd=tmp_path, check=True, capture_output=True)
    request = TimestampRequestBuilder().data(b"some code").build()
    client = StamperClient(stamper.handle)
    reply, other = client.reply([(tmp_path / "q").read_bytes(), request.as_bytes()])
    (tmp_path / "r").write_bytes(reply)
    at = str(int(START.timestamp()))
    check = ["openssl", "ts", "-verify", "-queryfile", "q", "-in", "r", "-CAfile", "root.pem", "-attime", at]
    outcome = subprocess.run(check, cwd=tmp_path, check=False, capture_output=True, text=True)
    assert outcome.returncode == 0, outcome.stderr
    read = decode_timestamp_response(other)
    assert read.tst_info.gen_time == START
    assert read.tst_info.message_imprint.message == hashlib.sha512(b"some code").digest()


def test_a_request_that_is_none_gets_a_rejection(stamper: Stamper):
    """RFC 3161 asks for a reply to anything; one bad request does not spoil its neighbour."""
    good = TimestampRequestBuilder().data(b"x").build().as_bytes()
    replies = StamperClient(stamper.handle).reply([b"junk", good, b""])
    assert [decode_timestamp_response(reply).status for reply in replies] == [2, 0, 2]


@pytest.mark.parametrize("restart", [False, True], ids=["running", "restarted"])
@pytest.mark.parametrize("back", [2, 3600, 86400 * 365])
def test_a_clock_that_goes_back_stops_the_stamps(site: Site, restart: bool, back: int):
    """No time before one that was given out, also after a restart; when the clock has caught up it goes on."""
    stamper = site.stamper()
    site.now += timedelta(seconds=10)
    given = stamp(stamper)
    if restart:
        stamper.close()
        stamper = site.stamper()
    site.now = given - timedelta(seconds=back)
    with pytest.raises(TimestampUnavailable, match="was given out already"):
        stamp(stamper)
    state = StamperClient(stamper.handle).health()
    assert not state.ready and "given out already" in state.why
    request = TimestampRequestBuilder().data(b"x").build().as_bytes()
    (reply,) = StamperClient(stamper.handle).reply([request])
    assert decode_timestamp_response(reply).status == 2
    site.now = given + timedelta(seconds=1)
    assert stamp(stamper) == given + timedelta(seconds=1)
    assert StamperClient(stamper.handle).health().ready
    stamper.close()


def test_a_clock_that_is_slewed_within_its_accuracy_repeats_a_second(site: Site, stamper: Stamper):
    """Up to the stated accuracy of one second the last time is given again, never an earlier one."""
    site.now += timedelta(seconds=10, microseconds=400_000)
    given = stamp(stamper)
    site.now -= timedelta(milliseconds=900)
    assert stamp(stamper) == given


def test_the_second_is_on_the_disk_before_the_token_is_out(
    site: Site, stamper: Stamper, monkeypatch: pytest.MonkeyPatch
):
    """One sync for each second in which something is stamped, and no token where it failed."""
    raised: list[int] = []
    real = MarkFile.raise_to

    def counting(self: MarkFile, mark: Mark, *, durable: bool = True) -> None:
        assert durable
        raised.append(mark.number)
        real(self, mark, durable=durable)

    monkeypatch.setattr(MarkFile, "raise_to", counting)
    for second in range(3):
        site.now = START + timedelta(seconds=second)
        for n in range(5):
            stamp(stamper, b"%d" % n)
    assert raised == [int(START.timestamp()) + second for second in range(3)]

    def failing(*_: object, **__: object) -> None:
        raise TimestampUnavailable("injected")

    monkeypatch.setattr(MarkFile, "raise_to", failing)
    site.now += timedelta(seconds=1)
    with pytest.raises(TimestampUnavailable):
        stamp(stamper)
    monkeypatch.setattr(MarkFile, "raise_to", real)
    assert stamp(stamper) == site.now


def test_a_certificate_out_of_force_stops_the_stamps(site: Site, stamper: Stamper):
    """Neither health nor tokens say otherwise."""
    assert StamperClient(stamper.handle).health().ready
    site.now += timedelta(days=3000)
    with pytest.raises(TimestampUnavailable):
        stamp(stamper)
    state = StamperClient(stamper.handle).health()
    assert (state.ready, "not in force" in state.why) == (False, True)


def test_another_key_s_certificate_is_refused_at_the_start(site: Site, authority: RehearsalAuthority):
    """A stamper whose chain is for another key does not start."""
    other = site.keys.generate("stamper/other", SCHEMES["ecdsa-p256"])
    mark = MarkFile(site.mark)
    with pytest.raises(BadInput, match="not for its key"):
        Stamper(site.keys, other, site.chain, POLICY, mark, lambda: site.now)
    mark.close()


def test_too_much_at_once_and_other_questions_are_refused(stamper: Stamper):
    """The number is limited before anything is signed."""
    client = StamperClient(stamper.handle)
    for ask in (
        lambda: client.stamp("sha256", [bytes(32)] * (MAX_STAMPS + 1)),
        lambda: client.reply([b""] * (MAX_STAMPS + 1)),
    ):
        with pytest.raises(TooLarge):
            ask()
    with pytest.raises(BadInput):
        client.stamp("sha256", [bytes(31)])
    with pytest.raises(BadInput):
        stamper.handle(LogHealth())


def test_times_given_to_many_threads_never_go_back(site: Site, stamper: Stamper):
    """Each thread sees its own tokens' times rise while the clock runs and jitters."""
    wrong: list[tuple[datetime, datetime]] = []
    ticks: Callable[[], int] = iter(range(10**6)).__next__
    start = site.now + timedelta(seconds=10)
    stamper._clock = lambda: start + timedelta(milliseconds=(20 * (n := ticks()) - (300 if n % 3 == 0 else 0)))

    def run() -> None:
        last = START
        for _ in range(20):
            now = stamp(stamper)
            if now < last:
                wrong.append((last, now))
            last = now

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_timestamp_key_may_be_in_a_token(tmp_path: Path, authority: RehearsalAuthority) -> None:
    """It stamps; a token that fails or is gone is told as no timestamp, and by the health; then it goes on."""
    shim = Shim(SoftHsm(tmp_path / "hsm", "one"), tmp_path / "orders")
    with store(tmp_path, shim.section("one")) as (keys, (child,), _):
        uri = keys.generate("stamper/timestamp", SCHEMES["ecdsa-p256"])
        chain = (authority.issue_timestamp_authority(keys.public_key(uri), START), authority.timestamp_issuer)
        MarkFile.create(tmp_path / "time.mark", Mark(0, bytes(32)))
        stamper = Stamper(keys, uri, chain, POLICY, MarkFile(tmp_path / "time.mark"), lambda: START)
        client = StamperClient(stamper.handle)
        assert stamp(stamper) == START and client.health().ready
        shim.order("C_Sign", "0x30")  # CKR_DEVICE_ERROR
        with pytest.raises(TimestampUnavailable, match="The token has a fault"):
            stamp(stamper)
        shim.withdraw("C_Sign")
        assert stamp(stamper) == START
        shim.order("C_GetTokenInfo", "0xe0")  # CKR_TOKEN_NOT_PRESENT
        child.look()
        assert (client.health().ready, client.health().why) == (False, "The module shows no token called 'one'.")
        shim.withdraw("C_GetTokenInfo")
        child._next_try = 0.0  # without the pause that spares a token
        child.look()
        assert client.health().ready and stamp(stamper) == START
        stamper.close()


def test_a_timestamp_key_has_one_home() -> None:
    """A file or a token; not both, not neither."""
    file = SoftFileSection(directory="keys", passphrase="p")
    token = Pkcs11Section(module="m", token="t", pin="1")
    assert StamperSettings(key="k", pkcs11=token).softfile is None
    for homes in ({}, {"softfile": file, "pkcs11": token}):
        with pytest.raises(ValueError, match="one of softfile and pkcs11"):
            StamperSettings(key="k", **homes)  # type: ignore[arg-type]
