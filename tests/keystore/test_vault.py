"""Vault's and OpenBao's Transit in particular: logins, what may not be changed, what its audit device says."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from tests.homes import store, vault_section
from tests.stubs.vault import JWT, SECRET_ID, TOKEN, VaultStub

from privyseal.errors import Conflict, KeyStoreUnavailable, Misused, NotCompliant, NotFound, PrivySealError
from privyseal.keystore.clouds import NotDone
from privyseal.keystore.messages import Hashed
from privyseal.keystore.vault import Vault, VaultSection
from privyseal.keystore.vault_audit import signed_by
from privyseal.keystore.vault_client import VaultClient
from privyseal.terms.keys import Assurance
from privyseal.terms.signatures import SCHEMES, ToBeSigned

Connect = Callable[..., VaultClient]
P256 = SCHEMES["ecdsa-p256"]
DIGEST = Hashed("sha256", bytes(range(32)), "pkcs1v15")
CANARY = "canary"


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[VaultStub]:
    stub = VaultStub(tmp_path / "vault")
    yield stub
    stub.close()


@pytest.fixture
def client(vault: VaultStub) -> Iterator[Connect]:
    """Make clients in this process, which do not wait between their tries."""
    with contextlib.ExitStack() as opened:

        def connect(clock: Callable[[], datetime] = lambda: datetime.now(UTC), **changes: object) -> VaultClient:
            made = VaultClient(vault_section(vault, **changes), clock, lambda seconds: None)
            opened.callback(made.close)
            return made

        yield connect


@pytest.mark.parametrize(
    "otherwise",
    [
        {"exportable": True},
        {"allow_plaintext_backup": True},
        {"imported_key": True},
        {"latest_version": 2},
        {"derived": True},
        {"supports_signing": False},
    ],
    ids=lambda each: next(iter(each)),
)
def test_a_key_that_is_not_made_as_told_is_not_kept(
    vault: VaultStub, client: Connect, otherwise: dict[str, object]
) -> None:
    """It could be exported or backed up in the clear, or was imported: refused, and destroyed."""
    vault.new_keys = otherwise
    with pytest.raises(NotCompliant, match=f"as it was told to: {next(iter(otherwise))};"):
        client().generate("demo/other", P256)
    assert vault.keys == {}


def test_a_transit_key_is_software_and_says_so(vault: VaultStub, client: Connect) -> None:
    """Whatever guards Vault's storage; and what somebody changed afterwards in Vault is read at this moment."""
    asking = client()
    key = asking.generate("demo/app.v2", P256)
    assert key == b"demo_app.v2:1" and list(vault.keys) == ["demo_app.v2"]
    found = asking.protection("demo/app.v2", key)
    assert (found.store, found.assurance) == ("vault", Assurance.SOFTWARE)
    assert (found.generated_inside, found.never_extractable) == (True, False)
    assert {"exportable=false", "allow_plaintext_backup=false", "imported_key=false"} <= {*found.attributes}
    vault.keys["demo_app.v2"].facts |= {"exportable": True, "restore_info": {"version": 1}}
    found = asking.protection("demo/app.v2", key)
    assert "exportable=true" in found.attributes and not found.generated_inside


def test_of_two_who_want_one_name_one_gets_it(vault: VaultStub, client: Connect) -> None:
    """Vault answers for a key that is there as for a new one, with a warning: it is another's, and is left alone."""
    asking = client()
    key = asking.generate("demo/twice", P256)
    vault.order("read", "404")
    with pytest.raises(Conflict, match="already"):
        asking.generate("demo/twice", P256)
    assert asking.public_key("demo/twice", key)


def test_rotating_a_key_in_vault_changes_nothing(vault: VaultStub, client: Connect) -> None:
    """Version 1 is asked for and answered; a signature of another version, and a trimmed one, are refused."""
    asking = client()
    key = asking.generate("demo/rotated", P256)
    asking.sign("demo/rotated", key, DIGEST)
    vault.order("sign", "version")
    with pytest.raises(KeyStoreUnavailable, match="first version"):
        asking.sign("demo/rotated", key, DIGEST)
    vault.keys["demo_rotated"].facts["keys"] = {"2": {"public_key": "x"}}
    with pytest.raises(NotFound, match="trimmed"):
        asking.public_key("demo/rotated", key)
    vault.keys["demo_rotated"].facts["keys"] = {"1": {"public_key": "canary"}}
    with pytest.raises(KeyStoreUnavailable, match="known here"):
        asking.public_key("demo/rotated", key)
    with pytest.raises(NotFound, match="version 1"):
        asking.public_key("demo/rotated", b"demo_rotated:2")


@pytest.mark.parametrize(
    ("fault", "kind", "calls"),
    [
        ("429", None, 2),
        ("sealed", NotDone, 1),
        ("307", NotDone, 1),
        ("403", Misused, 2),
        ("400", Misused, 1),
        ("404", NotFound, 1),
        ("405", Misused, 1),
        ("412", KeyStoreUnavailable, 1),
        ("500", KeyStoreUnavailable, 1),
        ("502", KeyStoreUnavailable, 1),
        ("503", KeyStoreUnavailable, 1),
    ],
)
def test_only_what_was_certainly_not_done_is_asked_again(
    vault: VaultStub, client: Connect, fault: str, kind: type[Exception] | None, calls: int
) -> None:
    """Each status is one sentence that repeats nothing of Vault's text; two of them mean that it was not done."""
    asking = client()
    key = asking.generate("demo/codes", P256)
    asking.sign("demo/codes", key, DIGEST)
    before = vault.calls.count("sign")
    vault.order("sign", *[fault] * (1 if kind is None else 2))
    if kind is None:
        asking.sign("demo/codes", key, DIGEST)
    else:
        with pytest.raises(kind) as told:
            asking.sign("demo/codes", key, DIGEST)
        assert CANARY not in str(told.value) and str(told.value).count("\n") == 0
    assert vault.calls.count("sign") - before == calls


def test_a_sealed_vault_is_away_and_comes_back(vault: VaultStub, tmp_path: Path) -> None:
    """Its worker says so in one sentence; unsealed, signing goes on without a restart."""
    with store(tmp_path, Vault, vault_section(vault)) as (keys, (child,), _):
        uri = keys.generate("demo/sealed", P256)
        vault.sealed = True
        with pytest.raises(KeyStoreUnavailable, match="Vault is sealed") as told:
            keys.sign(uri, [ToBeSigned(b"hello", "sha256")])
        assert told.value.exit == 8
        assert (child.state().state, vault.signs) == ("away", 0)
        vault.sealed = False
        assert keys.sign(uri, [ToBeSigned(b"hello", "sha256")])


# -- who we are --------------------------------------------------------------------------------------------------------
def test_a_login_is_renewed_at_half_its_time_and_made_anew_when_that_is_over(
    vault: VaultStub, client: Connect, tmp_path: Path
) -> None:
    """AppRole: one login, renewed; when Vault renews no more, another login with the secret id of that moment."""
    secret = tmp_path / "secret"
    secret.write_text(SECRET_ID)
    secret.chmod(0o600)
    now = [datetime.now(UTC)]
    asking = client(lambda: now[0], token_file=None, role_id="role-1", secret_id_file=str(secret))
    for minutes, logins, renewals in ((0, 1, 0), (29, 1, 0), (2, 1, 1), (29, 1, 1), (2, 1, 2)):
        now[0] += timedelta(minutes=minutes)
        asking.look()
        assert (vault.logins, vault.renewals) == (logins, renewals)
    vault.tokens = {name: (ttl, False) for name, (ttl, _) in vault.tokens.items()}
    now[0] += timedelta(minutes=31)
    asking.look()
    assert vault.logins == 2
    del vault.tokens["hvs.canary-login-2"]  # revoked before its time
    asking.look()
    assert vault.logins == 3
    vault.tokens.clear()
    vault.secret_ids = {"another"}
    with pytest.raises(Misused, match="does not accept the credential") as told:
        asking.look()
    assert CANARY not in str(told.value)
    secret.write_text("another")
    asking.look()


@pytest.mark.parametrize("mount", ["", "kubernetes"])
def test_a_workload_logs_in_with_its_own_token(vault: VaultStub, client: Connect, tmp_path: Path, mount: str) -> None:
    """JWT and Kubernetes: the token is read anew for each login; one that Vault does not believe is told."""
    token = tmp_path / "jwt"
    token.write_text(JWT)
    token.chmod(0o600)
    asking = client(token_file=None, role="seal", jwt_file=str(token), auth_mount=mount)
    asking.look()
    assert vault.logins == 1
    vault.tokens.clear()
    vault.jwts = {"fresh"}
    with pytest.raises(Misused, match="does not accept the credential"):
        asking.look()
    token.write_text("fresh")
    asking.look()
    with pytest.raises(Misused, match="nothing mounted at auth/nowhere"):
        client(token_file=None, role="seal", jwt_file=str(token), auth_mount="nowhere").look()


def test_a_token_that_is_replaced_is_taken_up(vault: VaultStub, client: Connect) -> None:
    """By an agent that writes another into the file; and one that may be renewed is, to its end."""
    now = [datetime.now(UTC)]
    asking = client(lambda: now[0])
    asking.look()
    vault.tokens = {"hvs.canary-next": (600, True)}
    with pytest.raises(Misused, match="does not accept the credential"):
        asking.look()
    vault.write_credentials("hvs.canary-next")
    asking.look()
    now[0] += timedelta(minutes=6)
    asking.look()
    assert vault.renewals == 1
    vault.tokens = {"hvs.canary-next": (600, False)}
    now[0] += timedelta(minutes=6)
    asking.look()
    assert vault.renewals == 1


def test_what_the_policy_does_not_allow_is_told(vault: VaultStub, client: Connect) -> None:
    """One sentence with the path, exit 2; the token is not shown."""
    vault.forbidden = {"transit/keys/demo_no"}
    with pytest.raises(Misused, match="does not allow this at transit/keys/demo_no") as told:
        client().generate("demo/no", P256)
    assert TOKEN not in str(told.value) and told.value.exit == 2
    with pytest.raises(Misused, match="nothing mounted at elsewhere/keys"):
        client(mount="elsewhere").generate("demo/no", P256)


def test_the_environment_is_not_asked(vault: VaultStub, client: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """No token, proxy or address of hvac's or requests' environment is used, and no redirect followed."""
    monkeypatch.setenv("VAULT_TOKEN", "stranger")
    monkeypatch.setenv("VAULT_ADDR", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    asking = client()
    asking.look()
    assert CANARY not in repr(asking) + repr(asking._line) + repr(vars(asking._line)["_wire"])


def test_without_hvac_one_is_told_what_to_install(client: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra is not installed: one sentence, exit 2."""
    for name in [each for each in sys.modules if each == "hvac" or each.startswith("hvac.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "hvac", None)
    with pytest.raises(Misused, match=r"hvac, which is not installed.*privyseal\[vault\]") as told:
        client()
    assert told.value.exit == 2


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "Prod"}, "lower-case letters"),
        ({"url": "http://vault.example:8200"}, "no https address"),
        ({"mount": "../sys"}, "no path"),
        ({"mount": "a b"}, "no path"),
        ({"token_file": None}, "one of token_file"),
        ({"role_id": "r"}, "belong together"),
        ({"role": "r", "jwt_file": "j"}, "one of token_file"),
        ({"timeout": 61.0}, "in this order"),
        ({"token": "hvs.x"}, "unknown field"),
    ],
)
def test_a_section_that_cannot_be_is_refused(changes: dict[str, object], words: str) -> None:
    """Each mistake when the settings are read, and not when a signature is needed."""
    right = {"name": "prod", "url": "http://127.0.0.1:8200", "token_file": "token"}
    assert msgspec.convert(right, VaultSection).territory().ports == (8200,)
    with pytest.raises(msgspec.ValidationError, match=words):
        msgspec.convert(right | changes, VaultSection)


# -- what its audit device says ----------------------------------------------------------------------------------------
def test_the_audit_file_counts_what_succeeded_in_the_period(vault: VaultStub, client: Connect) -> None:
    """Two keys, a refusal, a use before and one after the period, and a batch of somebody else's."""
    start = datetime(2026, 11, 30, 12, tzinfo=UTC)
    now = [start - timedelta(seconds=1)]
    vault.now = lambda: now[0]
    asking = client(lambda: now[0], audit_file=str(vault.audit_file))
    one, two = asking.generate("demo/one", P256), asking.generate("demo/two", P256)
    asking.sign("demo/one", one, DIGEST)
    now[0] = start
    for key in (one, one, two):
        asking.sign("demo/any", key, DIGEST)
    with pytest.raises(NotFound):
        asking._transit.sign_data("demo_none", hash_input="", mount_point="transit")
    batch = {"path": "transit/sign/demo_two/sha2-256", "operation": "update"}
    entry = {"time": "2026-11-30T12:00:30Z", "type": "response", "request": batch}
    with vault.audit_file.open("a") as file:
        file.write(json.dumps(entry | {"response": {"data": {"batch_results": [{}, {}, {}]}}}) + "\n")
    now[0] = until = start + timedelta(minutes=1)
    asking.sign("demo/one", one, DIGEST)
    log, signed = asking.count([one, two], start, until)
    assert signed == (2, 4)
    assert (log.on, log.gaps) == (True, ()) and str(vault.audit_file) in log.source
    assert until <= log.complete_until < until + timedelta(seconds=1)
    with vault.audit_file.open("a") as file:
        file.write('{"half')  # of the entry that is being written
    assert signed_by(vault.audit_file, "transit", start, until)[0] == {"demo_one": 2, "demo_two": 4}


def test_an_audit_that_is_off_filtered_or_unreadable_says_so(vault: VaultStub, client: Connect) -> None:
    """No device; one that filters and one that does not; only one that filters; no file, no entry, no JSON."""
    hour = (datetime.now(UTC) - timedelta(hours=1), datetime.now(UTC))
    asking = client(audit_file=str(vault.audit_file))
    asking.look()
    filtered = {"filtered/": {"type": "file", "options": {"filter": 'operation == "read"'}}}
    for devices, on, gaps in ((filtered | vault.devices, True, 0), (filtered, True, 1), ({}, False, 0)):
        vault.devices = devices
        log, _ = asking.count([], *hour)
        assert (log.on, len(log.gaps)) == (on, gaps)
    with pytest.raises(Misused, match="add audit_file"):
        client().count([], *hour)
    with pytest.raises(Misused, match="cannot be read"):
        client(audit_file=str(vault.audit_file) + "x").count([], *hour)
    other = vault.audit_file.with_name("other")
    for content, words in ((b"", "has no entry"), (b"canary\n", "is no file of an audit device"), (b"[]\n", "is no")):
        other.write_bytes(content)
        with pytest.raises(Misused, match=words) as told:
            client(audit_file=str(other)).count([], *hour)
        assert CANARY not in str(told.value)
    other.write_bytes(b'{"a":"' + b"a" * (1 << 20) + b'"}\n')
    with pytest.raises(Misused, match="longer than is read here"):
        client(audit_file=str(other)).count([], *hour)
    vault.forbidden = {"sys/audit"}
    with pytest.raises(PrivySealError, match="does not allow this at sys/audit"):
        asking.count([], *hour)


def test_the_store_answers_for_the_audit_file_of_each_engine(vault: VaultStub, tmp_path: Path) -> None:
    """Through the workers, by URI, though they are shut in: as many as were made, whoever got them."""
    with store(tmp_path, Vault, vault_section(vault, audit_file=str(vault.audit_file))) as (keys, _, _):
        uri = keys.generate("demo/one", P256)
        keys.sign(uri, [ToBeSigned(b"%d" % each, "sha256") for each in range(3)])
        vault.order("sign", "drop after")
        with pytest.raises(KeyStoreUnavailable):
            keys.sign(uri, [ToBeSigned(b"lost", "sha256")])
        now = datetime.now(UTC)
        (counted,) = keys.audit([uri], now - timedelta(minutes=1), now + timedelta(minutes=1))
        assert (counted.home, counted.signed) == ("prod", {uri: vault.signs}) and vault.signs == 4
