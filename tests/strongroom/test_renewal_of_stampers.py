"""A new timestamp key, step by step, with a failure at each: not done, or done and nobody told.

Done again, all is as it would have been: one key more in the store, one entry of each sort in the diary, and a stamper
that signs throughout.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.softhsm import SoftHsm

from privyseal.errors import BadInput, Conflict, KeyStoreUnavailable, NotFound, VerificationFailed
from privyseal.keystore.pkcs11 import Pkcs11, Pkcs11Section
from privyseal.keystore.softfile import SoftFile
from privyseal.pki import certificates, csr
from privyseal.pki.rehearsal import RehearsalAuthority
from privyseal.strongroom import founding, rooms
from privyseal.strongroom import renewal_of_stampers as renewal
from privyseal.strongroom.client import StamperClient
from privyseal.strongroom.durable import lock_room
from privyseal.strongroom.messages_of_stamps import DiaryEntry
from privyseal.strongroom.stamps import Stamps
from privyseal.timestamp.token import token_certificates

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
SUBJECT = csr.named("CN=Example TSA,O=Example,C=DE")


class Lost(Exception):
    """The process is gone."""


class Site:
    """A stamper's room and the CA of its first certificate."""

    def __init__(self, folder: Path, authority: RehearsalAuthority, token: Pkcs11Section | None = None) -> None:
        self.room, self.authority = folder / "stamper", authority
        spki = founding.create_stamper(self.room, self.clock, "ecdsa-p256", token)
        founding.install_stamper_chain(self.room, spki, self.issue(spki))
        self.mark: list[str] = []

    def clock(self) -> datetime:
        return NOW

    def issue(self, spki: bytes) -> tuple[bytes, ...]:
        return (self.authority.issue_timestamp_authority(spki, NOW), self.authority.timestamp_issuer)

    def walk(self) -> str:
        """Have a key born, asked for and put in use, whatever of it is done; return the key's id."""
        (self.room / "issued").touch()
        waits = renewal.waiting(self.room, self.clock)
        if waits is None and (kept := (self.room / "issued").read_bytes()):
            chain = tuple(certificates.pem_certificates(kept))  # installed, perhaps, and nobody was told
        else:
            renewal.wait(self.room, self.clock)
            asked = renewal.request(self.room, self.clock, SUBJECT)
            kept = (self.room / "issued").read_bytes()
            chain = tuple(certificates.pem_certificates(kept)) if kept else self.issue(csr.read(asked.request).spki)
            (self.room / "issued").write_bytes(b"".join(certificates.pem(each) for each in chain))
        renewal.install(self.room, self.clock, chain)
        return certificates.read(chain[0]).key_id

    def diary(self) -> list[str]:
        books = Stamps(self.room / "stamps.sqlite3")
        found = [each.what for each in books.entries(0)]
        books.close()
        return [each for each in found if each not in ("started", "stopped", "configured")]

    def stamps(self) -> str:
        """Return the id of the key with which a stamper that starts now signs."""
        built = rooms.ROOMS["stamper"](self.room / "stamper.toml", self.clock)
        try:
            (token,) = StamperClient(built.room.handle).stamp("sha256", [hashlib.sha256(b"x").digest()])
        finally:
            built.room.close()
        return certificates.read(token_certificates(token)[0]).key_id

    def alive(self) -> int:
        files = (self.room / "keys").rglob("*.key")
        return sum(b"destroyed" not in each.read_bytes() for each in files)


@pytest.fixture(scope="module")
def authority() -> RehearsalAuthority:
    return RehearsalAuthority.create(NOW, "Renewals")


@pytest.fixture(scope="module")
def founded(tmp_path_factory: pytest.TempPathFactory, authority: RehearsalAuthority) -> Site:
    return Site(tmp_path_factory.mktemp("founded"), authority)


@pytest.fixture
def site(founded: Site, tmp_path: Path) -> Site:
    """A copy of one room: to found one takes a fifth of a second."""
    copied = Site.__new__(Site)
    copied.room, copied.authority = tmp_path / "stamper", founded.authority
    shutil.copytree(founded.room, copied.room)
    return copied


EFFECTS: dict[str, tuple[Any, str]] = {
    "settings": (founding, "write_settings"),
    "file": (renewal, "write_whole"),
    "diary": (renewal, "note_beside"),
    "birth": (SoftFile, "generate"),
    "end": (SoftFile, "destroy"),
}
"""Everything in a renewal that outlives the process, and where it is done."""


def losing(patch: pytest.MonkeyPatch, effect: str, number: int, done: bool) -> Callable[[], bool]:
    """Lose the process at the ``number``-th effect of this sort, before or after; return whether it came to that."""
    owner, name = EFFECTS[effect]
    real, count = getattr(owner, name), 0

    def once(*arguments: Any, **named: Any) -> Any:
        nonlocal count
        count += 1
        if count != number:
            return real(*arguments, **named)
        if done:
            real(*arguments, **named)
        raise Lost

    patch.setattr(owner, name, once)
    return lambda: count >= number


@pytest.mark.parametrize("done", [False, True])
@pytest.mark.parametrize("number", [1, 2, 3, 4])
@pytest.mark.parametrize("effect", ["settings", "file", "diary", "birth"])
def test_a_renewal_that_is_cut_short_is_gone_on_with(
    site: Site, monkeypatch: pytest.MonkeyPatch, effect: str, number: int, done: bool
) -> None:
    old = certificates.read(renewal.keys(site.room)[0].chain[0]).key_id
    with monkeypatch.context() as patch:
        came = losing(patch, effect, number, done)
        try:
            site.walk()
        except Lost:
            assert came()
        else:
            assert not came()
    assert site.stamps() in (old, certificates.read(renewal.keys(site.room)[0].chain[0]).key_id)
    fresh = site.walk()
    assert site.stamps() == fresh != old
    assert site.alive() == 2 and renewal.waiting(site.room, site.clock) is None
    assert site.diary() == ["key born", "certificate asked", "key installed"]
    assert [certificates.read(each.chain[0]).key_id for each in renewal.keys(site.room)] == [fresh, old]


@pytest.mark.parametrize("done", [False, True])
@pytest.mark.parametrize(("effect", "number"), [("end", 1), ("diary", 1), ("settings", 1)])
def test_a_cancelling_that_is_cut_short_is_gone_on_with(
    site: Site, monkeypatch: pytest.MonkeyPatch, effect: str, number: int, done: bool
) -> None:
    renewal.wait(site.room, site.clock)
    with monkeypatch.context() as patch:
        came = losing(patch, effect, number, done)
        with pytest.raises(Lost):
            renewal.cancel(site.room, site.clock)
        assert came()
    if (effect, done) == ("settings", True):
        with pytest.raises(NotFound):
            renewal.cancel(site.room, site.clock)
    else:
        renewal.cancel(site.room, site.clock)
    assert site.alive() == 1 and site.diary() == ["key born", "key cancelled"]


def test_a_key_whose_birth_nobody_wrote_down_is_found_and_cancelled(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has a label in the settings and no URI: it counts as none that waits, and is destroyed all the same."""
    with monkeypatch.context() as patch:
        losing(patch, "birth", 1, True)
        with pytest.raises(Lost):
            renewal.wait(site.room, site.clock)
    assert renewal.waiting(site.room, site.clock) is None and site.alive() == 2
    renewal.cancel(site.room, site.clock)
    assert site.alive() == 1


def test_a_key_in_a_token_is_found_again(
    tmp_path: Path, authority: RehearsalAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its label, among the token's own keys; a second one is never born."""
    hsm = SoftHsm(tmp_path / "hsm", "stamper")
    site = Site(tmp_path, authority, hsm.section("stamper"))

    def born(self: Pkcs11, *arguments: Any) -> str:
        super(Pkcs11, self).generate(*arguments)
        raise KeyStoreUnavailable("The token did not answer.")

    with monkeypatch.context() as patch:
        patch.setattr(Pkcs11, "generate", born, raising=False)
        with pytest.raises(KeyStoreUnavailable):
            renewal.wait(site.room, site.clock)
    fresh = site.walk()
    assert site.stamps() == fresh
    listed = hsm.tool("stamper", "--list-objects", "--type", "privkey")
    assert listed.count("Private Key Object") == 2, listed


def test_books_that_are_gone_are_told_of(site: Site) -> None:
    """Once, by the time's mark, which knows that tokens were given; a stamper that never gave any says nothing."""
    site.stamps()
    assert "begun anew" not in site.diary()
    for each in site.room.glob("stamps.sqlite3*"):
        each.unlink()
    site.stamps()
    site.stamps()
    assert site.diary().count("begun anew") == 1
    assert f"{NOW:%Y-%m-%d %H:%M:%S} UTC" in next(each.detail for each in entries(site) if each.what == "begun anew")


def entries(site: Site) -> tuple[DiaryEntry, ...]:
    books = Stamps(site.room / "stamps.sqlite3")
    found = books.entries(0)
    books.close()
    return found


def test_one_at_a_time(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever comes while another changes the keys is told so, and nothing is changed."""
    monkeypatch.setattr(renewal, "lock_room", lambda room, name: lock_room(room, 0.0, name=name))
    before = (site.room / "stamper.toml").read_bytes()
    with renewal._changing(site.room), pytest.raises(Conflict):
        renewal.wait(site.room, site.clock)
    assert (site.room / "stamper.toml").read_bytes() == before


def test_two_renewals_of_one_second_are_two_keys(site: Site) -> None:
    """And a cancelled one is none of them; the clock of these tests stands still."""
    seen = {certificates.read(renewal.keys(site.room)[0].chain[0]).key_id}
    for _ in range(2):
        fresh = renewal.wait(site.room, site.clock)
        renewal.install(site.room, site.clock, site.issue(fresh.spki))
        seen.add(fresh.key_id)
        renewal.wait(site.room, site.clock)
        renewal.cancel(site.room, site.clock)
    assert len(seen) == 3 == site.alive()


def test_a_second_scheme_needs_the_first_cancelled(site: Site) -> None:
    renewal.wait(site.room, site.clock, "ecdsa-p384")
    assert renewal.wait(site.room, site.clock).key_id == renewal.wait(site.room, site.clock, "ecdsa-p384").key_id
    with pytest.raises(Conflict, match=r"ecdsa-p384 waits already"):
        renewal.wait(site.room, site.clock, "rsa-3072")


def test_what_else_stands_in_the_settings_stays(site: Site) -> None:
    """Lists of tables too, such as pinned anchors."""
    toml = site.room / "stamper.toml"
    pem = certificates.pem(site.authority.root).decode()
    toml.write_text(f'legacy = true\n{toml.read_text()}\n[[anchors]]\nstanding = "rehearsal"\npem = """{pem}"""\n')
    site.walk()
    text = toml.read_text()
    assert text.startswith("legacy = true") and text.count("[[anchors]]") == 1 and "[waiting]" not in text
    assert text.count("[[former]]") == 1
    site.stamps()


def test_a_key_that_does_not_sign_is_not_put_in_use(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The certificate may be right and the key gone wrong: it shows itself first, and what is in use stays."""
    fresh = renewal.wait(site.room, site.clock)
    before = (site.room / "stamper.toml").read_bytes()
    real = SoftFile.sign

    def wrong(self: SoftFile, uri: str, tbs: Any) -> list[bytes]:
        return [value[:-1] + bytes([value[-1] ^ 1]) for value in real(self, uri, tbs)]

    with monkeypatch.context() as patch:
        patch.setattr(SoftFile, "sign", wrong)
        with pytest.raises(VerificationFailed):
            renewal.install(site.room, site.clock, site.issue(fresh.spki))
        with pytest.raises(VerificationFailed):
            renewal.request(site.room, site.clock, SUBJECT)
    assert (site.room / "stamper.toml").read_bytes() == before and site.diary() == ["key born"]
    with pytest.raises(BadInput, match="is for the key"):
        renewal.install(site.room, site.clock, renewal.keys(site.room)[0].chain)


def test_what_the_door_saw_is_in_the_diary(site: Site) -> None:
    """Once, however often the same knocks (CSBR 5.4.1.2)."""
    built = rooms.ROOMS["stamper"](site.room / "stamper.toml", site.clock)
    for uid in (7, 7, 8):
        built.noted(f"a process of uid {uid} was turned away")
    built.room.close()
    assert site.diary() == ["door", "door"]
