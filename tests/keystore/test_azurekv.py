"""What is Azure's own: versions, deleted names, r and s side by side, tokens by audience, and its log."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from tests.homes import azure_section
from tests.stubs.azurekv import CLIENT, RESOURCE, TENANT, VAULT, WORKLOAD, WORKSPACE, AzureStub

from privyseal.errors import (
    Conflict,
    KeyStoreUnavailable,
    Misused,
    NotCompliant,
    NotFound,
    PrivySealError,
)
from privyseal.keystore.azurekv import AzureKvSection
from privyseal.keystore.azurekv_client import AzureKvClient, _name_of
from privyseal.keystore.azurekv_refusals import refusal
from privyseal.keystore.clouds import NotDone
from privyseal.keystore.messages import Hashed
from privyseal.keystore.wire import Reply
from privyseal.terms.keys import Assurance
from privyseal.terms.signatures import SCHEMES

Connect = Callable[..., AzureKvClient]
P256 = SCHEMES["ecdsa-p256"]
DIGEST = Hashed("sha256", bytes(range(32)), "pkcs1v15")
CANARY = "canary"
AUDITED = {"resource": RESOURCE, "workspace": WORKSPACE}


@pytest.fixture
def azure(tmp_path: Path) -> Iterator[AzureStub]:
    stub = AzureStub(tmp_path / "azure")
    yield stub
    stub.close()


@pytest.fixture
def client(azure: AzureStub) -> Iterator[Connect]:
    """Make clients in this process, which do not wait between their tries."""
    with contextlib.ExitStack() as opened:

        def connect(clock: Callable[[], datetime] = lambda: datetime.now(UTC), **changes: object) -> AzureKvClient:
            made = AzureKvClient(azure_section(azure, **changes), clock, lambda seconds: None)
            opened.callback(made.close)
            return made

        yield connect


@pytest.mark.parametrize(
    ("otherwise", "words"),
    [
        ({"kty": "EC"}, "kty"),
        ({"exportable": True}, "exportable"),
        ({"policy": {"data": "x"}}, "release_policy"),
        ({"ops": ["sign", "verify", "wrapKey"]}, "key_ops"),
        ({"enabled": False}, "enabled"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_a_key_that_is_not_made_as_told_is_not_kept(
    azure: AzureStub, client: Connect, otherwise: dict[str, object], words: str
) -> None:
    """In software, exportable, releasable, for other uses, disabled: refused, and deleted."""
    azure.new_keys = otherwise
    with pytest.raises(NotCompliant, match=f"as it was told to: {words};"):
        client().generate("demo/other", P256)
    assert azure.keys == {} and list(azure.deleted) == ["demo-0other"]


def test_a_key_is_as_it_was_told_to_be(azure: AzureStub, client: Connect) -> None:
    """In hardware by Azure's word, with its platform; a Standard vault's is software; what turns exportable shows."""
    asking = client()
    key = asking.generate("demo/app", P256)
    ((made,),) = azure.keys.values()
    assert (made.tags, made.ops) == ({"privyseal": "demo/app"}, ["sign", "verify"])
    assert key == f"demo-0app:{made.version}".encode()
    found = asking.protection("demo/app", key)
    assert (found.store, found.assurance) == ("azurekv", Assurance.HARDWARE)
    assert (found.generated_inside, found.never_extractable) == (True, True)
    assert found.module == f"Azure Key Vault, {VAULT}, HSM platform 2, FIPS 140-3 level 3"
    assert "kty=EC-HSM" in found.attributes and "exportable=false" in found.attributes
    made.exportable = True
    assert not asking.protection("demo/app", key).never_extractable
    azure.premium = False
    with pytest.raises(Misused, match="finds a request malformed"):
        asking.generate("demo/second", P256)
    soft = client(hsm=False)
    found = soft.protection("demo/soft", soft.generate("demo/soft", P256))
    assert (found.assurance, found.never_extractable) == (Assurance.SOFTWARE, False)


def test_no_two_labels_have_one_name() -> None:
    """Slashes, dots and dashes in any order; Azure has letters, digits and dashes, and no other case."""
    labels = ["a/b-0c", "a/b/c", "a-/bc", "a/-bc", "a/b.c", "a/b-1c", "a/b-.c", "a/b--1c", "a--/b", "a-0b", "a/b"]
    names = [_name_of(each) for each in labels]
    assert len(set(names)) == len(labels) and all(each.replace("-", "").isalnum() for each in names)
    with pytest.raises(Misused, match="names of 127 characters"):
        _name_of("a/" + "-" * 63)


def test_a_name_that_is_taken_gets_no_second_version(azure: AzureStub, client: Connect) -> None:
    """There before, deleted and recoverable, or made by another at the same moment: Conflict."""
    asking = client()
    key = asking.generate("demo/one", P256)
    with pytest.raises(Conflict, match="already"):
        asking.generate("demo/one", P256)
    assert len(azure.keys["demo-0one"]) == 1
    asking.destroy("demo/one", key)
    asking.destroy("demo/one", key)
    with pytest.raises(Conflict, match="has or had a key of that name"):
        asking.generate("demo/one", P256)
    azure.order("create", "second")
    with pytest.raises(Conflict, match="already"):
        asking.generate("demo/two", P256)


@pytest.mark.parametrize(
    ("fault", "words"), [("short", "octets where r and s have 64"), ("another", "for another key")]
)
def test_an_answer_that_is_none_is_thrown_away(azure: AzureStub, client: Connect, fault: str, words: str) -> None:
    """An octet short, and the name of another key."""
    asking = client()
    key = asking.generate("demo/way", P256)
    asking.sign("demo/way", key, DIGEST)
    azure.order("sign", fault)
    with pytest.raises(KeyStoreUnavailable, match=words):
        asking.sign("demo/way", key, DIGEST)


def test_a_key_that_is_disabled_says_so(azure: AzureStub, client: Connect) -> None:
    """Azure forbids it, and says why in the inner code."""
    asking = client()
    key = asking.generate("demo/off", P256)
    ((made,),) = azure.keys.values()
    made.enabled = False
    with pytest.raises(Misused, match="disabled in Azure"):
        asking.sign("demo/off", key, DIGEST)
    assert azure.signs == 0


@pytest.mark.parametrize("status", ["403", "500", "502", "503", "504"])
def test_only_what_was_certainly_not_done_is_asked_again(azure: AzureStub, client: Connect, status: str) -> None:
    """Once, whatever Azure answers, but where it did not look: a token that it refused, and a throttle."""
    asking = client()
    key = asking.generate("demo/codes", P256)
    asking.sign("demo/codes", key, DIGEST)
    azure.order("sign", status)
    with pytest.raises(PrivySealError) as told:
        asking.sign("demo/codes", key, DIGEST)
    assert CANARY not in str(told.value) and azure.calls.count("sign") == 2
    azure.order("sign", "401", "429")
    asking.sign("demo/codes", key, DIGEST)
    assert azure.calls.count("sign") == 5 and azure.signs == 2


def test_whatever_azure_refuses_is_one_sentence_of_ours() -> None:
    """Each status, and bodies that are none."""
    for status in (400, 401, 403, 404, 405, 409, 429, 500, 503):
        for body in (b"", b"<html>", b'{"error": []}', b"[" * 5000, b'{"error": {"code": "canary", "message": "m"}}'):
            told = refusal(Reply(status, {}, body))
            why = told.why if isinstance(told, NotDone) else told
            assert isinstance(why, PrivySealError) and why.detail.endswith(".") and why.hint
            assert CANARY not in str(why)


@pytest.mark.parametrize("key", [b"a:1/../b", b"a", b"../x:" + b"0" * 32, b"a:" + b"0" * 31, b"\xff:" + b"0" * 32])
def test_an_id_that_this_store_never_gave_out_asks_nobody(azure: AzureStub, client: Connect, key: bytes) -> None:
    """Nothing of it comes into a path."""
    with pytest.raises(NotFound, match="no such key"):
        client().public_key("demo/x", key)
    assert azure.calls == []


# -- who we are --------------------------------------------------------------------------------------------------------
def test_a_credential_that_is_replaced_is_taken_up(azure: AzureStub, client: Connect) -> None:
    """One token does for an hour; then, and where Azure refuses it, what the file holds is used."""
    now = datetime.now(UTC)
    asking = client(clock=lambda: now)
    asking.look()
    asking.look()
    assert azure.logins == 1
    azure.tokens.clear()
    asking.look()
    assert azure.logins == 2
    azure.secrets = {"canary-new"}
    now += timedelta(minutes=56)
    with pytest.raises(Misused, match="Microsoft Entra does not accept the credential") as told:
        asking.look()
    assert CANARY not in str(told.value)
    azure.write_credentials("canary-new")
    asking.look()


def test_a_workload_s_token_does_as_well(azure: AzureStub, client: Connect, tmp_path: Path) -> None:
    """It is read anew for each login; a login that breaks off reaches no key, so all may be asked again."""
    token = tmp_path / "token"
    token.write_text(WORKLOAD)
    token.chmod(0o600)
    asking = client(secret_file=None, token_file=str(token))
    asking.look()
    azure.tokens.clear()
    azure.order("token", "503", "429")
    asking.look()
    azure.tokens.clear()
    azure.order("token", "junk")
    with pytest.raises(NotDone, match="no token that could be read"):
        asking.look()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "Prod"}, "name of an"),
        ({"vault": "https://vault.example"}, "no address of a vault"),
        ({"vault": "http://a.vault.azure.net"}, "no address of a vault"),
        ({"vault": "https://abc.managedhsm.azure.net", "hsm": False}, "keeps no keys in software"),
        ({"metadata": True}, "needs one of"),
        ({"secret_file": None}, "needs one of"),
        ({"tenant": None}, "belong together"),
        ({"tenant": "contoso"}, "32 hex digits"),
        ({"resource": RESOURCE}, "belong together"),
        ({"resource": "/x", "workspace": WORKSPACE}, "no resource id"),
        ({"resource": RESOURCE + "' or 1 == 1", "workspace": "x"}, "32 hex digits"),
        ({"login_endpoint": "http://login.example"}, "no https address"),
        ({"surprise": 1}, "unknown field"),
    ],
)
def test_a_section_that_cannot_be_right_is_refused(changes: dict[str, object], words: str) -> None:
    """The field is named, and no secret."""
    plain = {"name": "prod", "vault": VAULT, "tenant": TENANT, "client": CLIENT, "secret_file": "x"}
    with pytest.raises(msgspec.ValidationError, match=words):
        msgspec.convert({k: v for k, v in (plain | changes).items() if v is not None}, AzureKvSection)


def test_a_machine_s_identity_is_asked_of_its_metadata_server(azure: AzureStub) -> None:
    """By plain http, on the link-local address; a Managed HSM has an audience of its own."""
    section = azure_section(azure, secret_file=None, metadata=True, vault="https://abc.managedhsm.azure.net")
    assert (section.secret, section.address("metadata")) == (None, "http://169.254.169.254")
    assert (section.audience, section.managed_hsm) == ("https://managedhsm.azure.net", True)
    assert section.territory().ports == (80, azure.port)


# -- its log -----------------------------------------------------------------------------------------------------------
def test_azure_counts_what_it_signed(azure: AzureStub, client: Connect) -> None:
    """Each key's own, within the period; refused ones do not count."""
    begun = datetime(2026, 11, 30, 8, tzinfo=UTC)
    asking = client(**AUDITED)
    one, two = (asking.generate(f"demo/k{each}", P256) for each in (1, 2))
    for minute in range(5):
        azure.now = lambda minute=minute: begun + timedelta(minutes=minute)
        asking.sign("demo/k1", one, DIGEST)
    azure.keys["demo-0k2"][0].enabled = False
    with pytest.raises(Misused):
        asking.sign("demo/k2", two, DIGEST)
    later = client(clock=lambda: begun + timedelta(hours=2), **AUDITED)
    log, counts = later.count((one, two), begun + timedelta(minutes=1), begun + timedelta(hours=1))
    assert counts == (4, 0)
    assert (log.on, log.gaps, log.complete_until) == (True, (), begun + timedelta(hours=1))
    assert log.source == f"{RESOURCE}, diagnostic setting all"
    with pytest.raises(Misused, match="No audit log is named"):
        client().count((one,), begun, begun + timedelta(hours=1))


@pytest.mark.parametrize(
    ("logs", "on"),
    [
        ([{"category": "AuditEvent", "enabled": True}], True),
        ([{"categoryGroup": "audit", "enabled": True}], True),
        ([{"categoryGroup": "allLogs", "enabled": True}], True),
        ([{"category": "AuditEvent", "enabled": False}], False),
        ([{"category": "AzurePolicyEvaluationDetails", "enabled": True}], False),
        ([], False),
    ],
)
def test_a_vault_that_logs_nothing_is_told_of(
    azure: AzureStub, client: Connect, logs: list[dict[str, object]], on: bool
) -> None:
    """The one category with what is done with keys, or a group that has it, enabled, and sent to a workspace."""
    now = datetime.now(UTC)
    for workspace in ("/x", None):
        azure.settings = [{"name": "s", "properties": {"workspaceId": workspace, "logs": logs}}]
        log, _ = client(**AUDITED).count((), now - timedelta(hours=2), now)
        assert log.on is (on and workspace is not None)
        assert bool(log.gaps) is not log.on


def test_a_log_that_answers_otherwise_is_not_believed(azure: AzureStub, client: Connect) -> None:
    """Other columns, other kinds, no table."""
    now = datetime.now(UTC)
    columns = [{"name": "Key"}, {"name": "Uses"}]
    for tables in (
        [{"columns": columns[:1], "rows": []}],
        [{"columns": columns, "rows": [["a"]]}],
        [{"columns": columns, "rows": [[1, 2]]}],
        [{"columns": columns, "rows": [["a", None]]}],
        "x",
    ):
        azure._query = lambda asked, tables=tables: {"tables": tables}  # type: ignore[method-assign]
        with pytest.raises(KeyStoreUnavailable):
            client(**AUDITED).count((), now - timedelta(hours=2), now)
    assert CANARY not in json.dumps(columns)
