"""AWS KMS in particular: what it may answer, who we are to it, what its audit log says; against a stand-in."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from tests.homes import aws_section, store
from tests.stubs.awskms import REGION, ROLE, TRAIL, AwsStub

from privyseal.errors import Conflict, KeyStoreUnavailable, Misused, NotCompliant, NotFound, PrivySealError
from privyseal.keystore.awskms import AwsKms, AwsKmsSection
from privyseal.keystore.awskms_client import AwsKmsClient
from privyseal.keystore.awskms_refusals import EXPIRED, REFUSALS, THROTTLED, WRONG_STATE, refusal
from privyseal.keystore.awskms_trail import MAX_PAGES
from privyseal.keystore.clouds import NotDone
from privyseal.keystore.messages import Hashed
from privyseal.terms.keys import Assurance
from privyseal.terms.signatures import SCHEMES, ToBeSigned

Connect = Callable[..., AwsKmsClient]
P256 = SCHEMES["ecdsa-p256"]
DIGEST = Hashed("sha256", bytes(range(32)), "pkcs1v15")
CANARY = "canary"


@pytest.fixture
def aws(tmp_path: Path) -> Iterator[AwsStub]:
    stub = AwsStub(tmp_path / "aws")
    yield stub
    stub.close()


@pytest.fixture
def client(aws: AwsStub) -> Iterator[Connect]:
    """Make clients in this process, which do not wait between their tries."""
    with contextlib.ExitStack() as opened:

        def connect(clock: Callable[[], datetime] = lambda: datetime.now(UTC), **changes: object) -> AwsKmsClient:
            made = AwsKmsClient(aws_section(aws, **changes), clock, lambda seconds: None)
            opened.callback(made.close)
            return made

        yield connect


@pytest.mark.parametrize(
    ("otherwise", "words"),
    [
        ({"origin": "EXTERNAL"}, "Origin"),
        ({"manager": "AWS"}, "KeyManager"),
        ({"multi_region": True}, "MultiRegion"),
        ({"usage": "ENCRYPT_DECRYPT"}, "KeyUsage"),
        ({"spec": "RSA_3072"}, "KeySpec"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_a_key_that_is_not_made_as_told_is_not_kept(
    aws: AwsStub, client: Connect, otherwise: dict[str, object], words: str
) -> None:
    """Imported, AWS's own, copied between regions, of another use or size: refused, and scheduled for deletion."""
    aws.new_keys = otherwise
    with pytest.raises(NotCompliant, match=f"as it was told to: {words};"):
        client().generate("demo/other", P256)
    assert [each.state for each in aws.keys.values()] == ["PendingDeletion"]
    assert aws.aliases == {}


def test_a_key_is_as_it_was_told_to_be(aws: AwsStub, client: Connect) -> None:
    """Tagged with its label, under its alias; AWS's word makes it hardware, and an imported key software."""
    asking = client()
    key = asking.generate("demo/app.v2", P256)
    (made,) = aws.keys.values()
    assert made.id.encode() == key and made.tags == {"privyseal": "demo/app.v2"}
    assert aws.aliases == {"alias/privyseal/demo/app_v2": made.id}
    found = asking.protection("demo/app.v2", key)
    assert (found.store, found.assurance) == ("awskms", Assurance.HARDWARE)
    assert (found.generated_inside, found.never_extractable) == (True, True)
    assert found.module == f"AWS KMS, {REGION}, {made.arn}"
    assert "Origin=AWS_KMS" in found.attributes and "KeyState=Enabled" in found.attributes
    made.origin = "EXTERNAL"
    found = asking.protection("demo/app.v2", key)
    assert (found.assurance, found.generated_inside, found.never_extractable) == (Assurance.SOFTWARE, False, False)


def test_a_fresh_key_that_is_not_known_everywhere_yet_is_waited_for(aws: AwsStub, client: Connect) -> None:
    """Some calls after CreateKey do not find it; in the end it has its alias and signs. Where it never does: no key."""
    aws.lag = 3
    asking = client()
    assert asking.sign("demo/late", asking.generate("demo/late", P256), DIGEST)
    aws.lag = 8
    with pytest.raises((NotFound, NotDone)):
        asking.generate("demo/never", P256)
    assert sorted(each.state for each in aws.keys.values()) == ["Enabled", "PendingDeletion"]


def test_of_two_who_want_one_label_one_gets_it(aws: AwsStub, client: Connect) -> None:
    """Another took the alias between the question and the deed: Conflict, and the second key is not kept."""
    aws.order("CreateAlias", "AlreadyExistsException")
    with pytest.raises(Conflict, match="an alias of that name already"):
        client().generate("demo/twice", P256)
    assert [each.state for each in aws.keys.values()] == ["PendingDeletion"]


@pytest.mark.parametrize(
    ("state", "kind", "words"),
    [
        ("Disabled", Misused, "The key is disabled in AWS KMS"),
        ("PendingDeletion", NotFound, "scheduled for deletion"),
        ("PendingReplicaDeletion", NotFound, "scheduled for deletion"),
        ("Unavailable", NotDone, "the key is Unavailable"),
        ("PendingImport", Misused, "in a state in which AWS KMS does not use it"),
    ],
)
def test_a_key_in_no_state_to_sign_says_which(
    aws: AwsStub, client: Connect, state: str, kind: type[Exception], words: str
) -> None:
    """Disabled by somebody there, waiting for its end, or out of reach: one sentence each, and no signature."""
    asking = client()
    key = asking.generate("demo/state", P256)
    asking.sign("demo/state", key, DIGEST)
    aws.keys[key.decode()].state = state
    with pytest.raises(kind, match=words):
        asking.sign("demo/state", key, DIGEST)
    assert aws.signs == 1


def test_destroying_is_scheduled_once_and_for_as_long_as_the_settings_say(aws: AwsStub, client: Connect) -> None:
    """Seven days unless they say more; its label stays taken until AWS has done it."""
    for days, changes in ((7, {}), (30, {"pending_days": 30})):
        asking = client(**changes)
        key = asking.generate(f"demo/end{days}", P256)
        asking.destroy(f"demo/end{days}", key)
        asking.destroy(f"demo/end{days}", key)
        assert aws.keys[key.decode()].pending == days
        with pytest.raises(Conflict):
            asking.generate(f"demo/end{days}", P256)
    assert aws.calls.count("ScheduleKeyDeletion") == 2
    asking.destroy("demo/gone", b"00000000-0000-0000-0000-000000000000")


def test_every_refusal_of_aws_is_one_sentence_of_ours() -> None:
    """Each code has a sentence, a hint and a class of error; a code that is not known leaves open what was done."""
    for code in (*REFUSALS, "SomethingNewException", ""):
        told = refusal(code)
        assert type(told) is not PrivySealError and told.detail.endswith(".") and told.hint
    assert len({sentence for _, sentence, _ in REFUSALS.values()}) == len(REFUSALS)
    assert {"ThrottlingException"} <= THROTTLED and EXPIRED - {"ExpiredToken"} <= REFUSALS.keys() | {"RequestExpired"}
    assert REFUSALS.keys() >= WRONG_STATE
    assert isinstance(refusal("SomethingNewException"), KeyStoreUnavailable)
    assert isinstance(refusal("Throttling"), KeyStoreUnavailable)


@pytest.mark.parametrize(
    ("code", "calls"),
    [
        ("AccessDeniedException", 1),
        ("KMSInternalException", 1),
        ("DependencyTimeoutException", 1),
        ("InternalFailure", 1),
        ("SomethingNewException", 1),
        ("ExpiredTokenException", 2),
        ("ThrottlingException", 2),
        ("RequestLimitExceeded", 2),
    ],
)
def test_only_what_was_certainly_not_done_is_asked_again(aws: AwsStub, client: Connect, code: str, calls: int) -> None:
    """Once, whatever AWS answers, but for the codes that say that it did not look."""
    asking = client()
    key = asking.generate("demo/codes", P256)
    asking.sign("demo/codes", key, DIGEST)
    before = aws.calls.count("Sign")
    aws.order("Sign", code)
    if calls == 1:
        with pytest.raises(PrivySealError) as told:
            asking.sign("demo/codes", key, DIGEST)
        assert CANARY not in str(told.value)
    else:
        asking.sign("demo/codes", key, DIGEST)
    assert aws.calls.count("Sign") - before == calls
    assert aws.signs == calls


@pytest.mark.parametrize("action", ["CreateAlias", "GetPublicKey"])
def test_a_key_whose_making_fails_in_the_middle_is_not_kept(aws: AwsStub, client: Connect, action: str) -> None:
    """Disabled by another before it has its name, a throttle without end, a failure inside: scheduled for deletion."""
    asking = client()
    for number, faults in enumerate((["DisabledException"], ["ThrottlingException"] * 6, ["KMSInternalException"])):
        aws.order(action, *faults)
        with pytest.raises((PrivySealError, NotDone)):
            asking.generate(f"demo/k{number}", P256)
        assert {each.state for each in aws.keys.values()} == {"PendingDeletion"} and len(aws.keys) == number + 1


def test_an_answer_about_another_key_is_not_taken(aws: AwsStub, client: Connect) -> None:
    """AWS names another key in its answer: nothing of it is believed."""
    asking = client()
    key = asking.generate("demo/mine", P256)
    for action, ask in (
        ("Sign", lambda: asking.sign("demo/mine", key, DIGEST)),
        ("GetPublicKey", lambda: asking.public_key("demo/mine", key)),
    ):
        aws.order(action, "another")
        with pytest.raises(KeyStoreUnavailable, match="for another key"):
            ask()


# -- who we are --------------------------------------------------------------------------------------------------------
def test_a_credential_that_is_replaced_is_taken_up(aws: AwsStub, client: Connect) -> None:
    """The file has a new key and the old one is gone: the next call uses the new one."""
    asking = client()
    asking.look()
    aws.secrets = {"AKIDNEW": ("canary-new", None)}
    with pytest.raises(Misused, match="does not know the credential"):
        asking.look()
    aws.write_credentials("AKIDNEW", "canary-new")
    asking.look()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[default]\naws_access_key_id = AKID\n", "no credentials file of AWS"),
        ("[a]\naws_access_key_id=1\naws_secret_access_key=canary\n[b]\nx=1\n", "no credentials file of AWS"),
        ("aws_secret_access_key = canary", "no credentials file of AWS"),
        ("\x00\x01canary", "no credentials file of AWS"),
        ("[default\ncanary", "no credentials file of AWS"),
    ],
)
def test_a_credentials_file_that_is_none_is_refused(aws: AwsStub, client: Connect, text: str, words: str) -> None:
    """Half a key, two profiles, no profile, no text: one sentence that quotes nothing of it."""
    aws.credentials.write_text(text)
    with pytest.raises(Misused, match=words) as told:
        client().look()
    assert CANARY not in str(told.value) and aws.calls == []


def test_a_wrong_secret_or_clock_is_told(aws: AwsStub, client: Connect) -> None:
    """AWS recomputes the signature: a wrong secret, and a clock that is an hour late."""
    aws.write_credentials(secret="canary-wrong")
    with pytest.raises(Misused, match="refused the signature of a request"):
        client().look()
    aws.write_credentials()
    late = client(lambda: datetime.now(UTC) - timedelta(hours=1))
    with pytest.raises(Misused, match="too old"):
        late.look()


def test_a_role_is_assumed_and_assumed_again_before_it_ends(aws: AwsStub, client: Connect) -> None:
    """The identity token is read from its file each time; what STS gives is used until five minutes before its end."""
    now = [datetime.now(UTC)]
    aws.now = lambda: now[0]
    asking = client(
        lambda: now[0],
        credentials_file=None,
        role=ROLE,
        identity_token_file=str(aws.identity_token),
        sts_endpoint=aws.url,
    )
    for minutes, assumed in ((0, 1), (54, 1), (2, 2)):
        now[0] += timedelta(minutes=minutes)
        asking.look()
        assert aws.assumed == assumed
    aws.secrets["ASIACANARY2"] = ("canary", "expired")  # ended there before its time
    asking.look()
    assert aws.assumed == 3
    aws.tokens = {"identity-token-2"}
    now[0] += timedelta(hours=1)
    with pytest.raises(NotDone, match="does not believe the identity token"):
        asking.look()
    aws.identity_token.write_text("identity-token-2")
    asking.look()


def test_nothing_shows_a_secret(aws: AwsStub, client: Connect) -> None:
    """Neither the repr of what holds it, nor what an SDK says when it fails."""
    asking = client()
    key = asking._identity.key()
    assert CANARY not in repr(key) + str(key) + repr(asking) + repr(asking._identity)


def test_without_the_runtime_of_aws_one_is_told_what_to_install(
    aws: AwsStub, client: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The extra is not installed: one sentence, exit 2."""
    monkeypatch.setitem(sys.modules, "awscrt", None)
    with pytest.raises(Misused, match=r"awscrt, which is not installed.*privyseal\[aws\]") as told:
        client()
    assert told.value.exit == 2


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "Prod"}, "lower-case letters"),
        ({"region": "Frankfurt"}, "no region"),
        ({"credentials_file": None}, "one of credentials_file and role"),
        ({"role": ROLE, "identity_token_file": "token"}, "one of credentials_file and role"),
        ({"role": ROLE}, "belong together"),
        ({"pending_days": 6}, "7 to 30"),
        ({"endpoint": "http://kms.example"}, "no https address"),
        ({"endpoint": "https://user@kms.example"}, "no user"),
        ({"sessions": 65}, "1 to 64"),
        ({"timeout": 0.0}, "positive"),
        ({"custom_key_store_id": "cks-1"}, "unknown field"),
    ],
)
def test_a_section_that_cannot_be_is_refused(changes: dict[str, object], words: str) -> None:
    """Each mistake when the settings are read, and not when a signature is needed."""
    right = {"name": "prod", "region": REGION, "credentials_file": "aws"}
    assert msgspec.convert(right, AwsKmsSection).address("kms") == f"https://kms.{REGION}.amazonaws.com"
    with pytest.raises(msgspec.ValidationError, match=words):
        msgspec.convert(right | changes, AwsKmsSection)


# -- what its audit log says -------------------------------------------------------------------------------------------
def test_the_trail_counts_what_succeeded_in_the_period(aws: AwsStub, client: Connect) -> None:
    """Pages of two, two keys, a refusal, and a use before the period: only what signed within it counts."""
    aws.page = 2
    start = datetime(2026, 11, 30, 12, tzinfo=UTC)
    now = [start - timedelta(seconds=1)]
    aws.now = lambda: now[0]
    asking = client(lambda: now[0], trail=TRAIL, trail_endpoint=aws.url)
    one, two = asking.generate("demo/one", P256), asking.generate("demo/two", P256)
    asking.sign("demo/one", one, DIGEST)
    now[0] = start
    for key in (one, one, two, one):
        asking.sign("demo/any", key, DIGEST)
    aws.keys[two.decode()].state = "Disabled"
    with pytest.raises(Misused):
        asking.sign("demo/two", two, DIGEST)
    now[0] = until = start + timedelta(minutes=1)
    asking.sign("demo/one", one, DIGEST)
    log, signed = asking.count([one, two, b"none"], start, until)
    assert signed == (3, 1, 0)
    assert (log.source, log.on, log.gaps) == (TRAIL, True, ())
    assert log.complete_until == until - timedelta(minutes=15)
    now[0] += timedelta(hours=1)
    assert asking.count([one], start, until)[0].complete_until == until


@pytest.mark.parametrize(
    ("selectors", "advanced", "words"),
    [
        ([{"ExcludeManagementEventSources": ["kms.amazonaws.com"]}], None, "excludes the events of AWS KMS"),
        ([{"ReadWriteType": "WriteOnly"}], None, "No selector"),  # Sign is a read-only event
        ([{"IncludeManagementEvents": False}], None, "No selector"),
        ([], None, "No selector"),
        ([], [{"FieldSelectors": [{"Field": "eventCategory", "Equals": ["Management"]}]}], None),
        (
            [],
            [
                {
                    "FieldSelectors": [
                        {"Field": "eventCategory", "Equals": ["Management"]},
                        {"Field": "eventSource", "NotEquals": ["kms.amazonaws.com"]},
                    ]
                }
            ],
            "excludes the events of AWS KMS",
        ),
        ([], [{"FieldSelectors": [{"Field": "eventCategory", "Equals": ["Data"]}]}], "No selector"),
    ],
)
def test_a_trail_that_leaves_something_out_says_so(
    aws: AwsStub,
    client: Connect,
    selectors: list[dict[str, object]],
    advanced: list[dict[str, object]] | None,
    words: str | None,
) -> None:
    """Excluded, half, or not at all: a gap in one sentence; one selector that takes all has none."""
    aws.selectors, aws.advanced = selectors, advanced
    now = datetime.now(UTC)
    log, _ = client(trail=TRAIL, trail_endpoint=aws.url).count([], now - timedelta(hours=1), now)
    assert (len(log.gaps) == 0) if words is None else (words in log.gaps[0])
    aws.home = "us-east-1"
    log, _ = client(trail=TRAIL, trail_endpoint=aws.url).count([], now - timedelta(hours=1), now)
    assert log.gaps[-1] == f"The trail does not log what is done in {REGION}."


def test_a_trail_that_is_off_or_missing_says_so(aws: AwsStub, client: Connect) -> None:
    """Not logging now; not named by the settings; not there; and more than can be read for one question."""
    now = datetime.now(UTC)
    hour = (now - timedelta(hours=1), now + timedelta(seconds=1))
    asking = client(trail=TRAIL, trail_endpoint=aws.url)
    aws.logging = False
    assert not asking.count([], *hour)[0].on
    with pytest.raises(Misused, match="add trail to its"):
        client().count([], *hour)
    with pytest.raises(Misused, match="no such CloudTrail trail"):
        client(trail=TRAIL + "x", trail_endpoint=aws.url).count([], *hour)
    aws.page = 1
    key = asking.generate("demo/many", P256)
    for _ in range(MAX_PAGES + 1):
        aws._logged("Sign", aws.keys[key.decode()], None)
    with pytest.raises(Misused, match="ask for a shorter one"):
        asking.count([key], *hour)


def test_the_store_answers_for_the_trail_of_each_account(aws: AwsStub, tmp_path: Path) -> None:
    """Through the workers, by URI: as many as were made, whoever got them."""
    section = aws_section(aws, trail=TRAIL, trail_endpoint=aws.url)
    with store(tmp_path, AwsKms, section) as (keys, _, _):
        one, two = keys.generate("demo/one", P256), keys.generate("demo/two", P256)
        keys.sign(one, [ToBeSigned(b"%d" % each, "sha256") for each in range(3)])
        aws.order("Sign", "drop after")
        with pytest.raises(KeyStoreUnavailable):
            keys.sign(one, [ToBeSigned(b"lost", "sha256")])
        now = datetime.now(UTC)
        (counted,) = keys.audit([one, two], now - timedelta(minutes=1), now + timedelta(minutes=1))
        assert (counted.home, counted.signed) == ("prod", {one: 4, two: 0})
        assert aws.signs == 4
