"""A timestamp key has a successor after 15 months at most, and is removed from its store before 18 are over.

CSBR 6.3.2. All of it is done beside the stamper, in its room, by whoever sits at the machine. A new key is born in the
same store and *waits*: ``[waiting]`` of stamper.toml names it, its request can be signed with it, and nothing else is.
Once its certificate is there, stamper.toml names it as the one in use; the stamper reads that at its next start. The
key before stays among the former ones until it is removed.

Each step is on the disk before the next begins, and each can be done again: what a crash left is found and gone on
with, and nothing is done twice. What was done stands in the stamper's diary, from which the log takes it.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import tomllib
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from privyseal.errors import BadInput, Conflict, NotFound
from privyseal.keystore.pkcs11 import Pkcs11
from privyseal.keystore.softfile import SoftFile
from privyseal.pki import certificates, csr
from privyseal.strongroom import founding
from privyseal.strongroom.children import TokenChild
from privyseal.strongroom.durable import lock_room, write_whole
from privyseal.strongroom.nursery import Nursery
from privyseal.strongroom.settings import MAX_SETTINGS_OCTETS, StamperSettings, WaitingKey, load
from privyseal.strongroom.stamps import note_beside
from privyseal.terms.keys import KeyProtection
from privyseal.terms.signatures import SCHEMES, ToBeSigned

Clock = Callable[[], datetime]
PROOF = b"Privy Seal timestamp key v1: this shows that the key is here, and stamps nothing.\n"
"""What a waiting key signs before it is put in use; no SEQUENCE or SET, so no token and no request begins like it."""
LOCK = "renewal.lock"
"""Whoever changes the keys of a room has this file."""
_Store = SoftFile | Pkcs11


class TimestampKey(NamedTuple):
    """A key of a stamper: the one in use, or a former one."""

    uri: str
    chain: tuple[bytes, ...]
    """Certificates, DER, its own first."""
    in_use: bool


class Waiting(NamedTuple):
    """A key that has no certificate yet."""

    spki: bytes
    """SubjectPublicKeyInfo, DER."""
    request: bytes
    """Its request (PKCS #10, PEM); empty where no other CA was asked."""
    protection: KeyProtection
    """What guards it, as the key store says."""

    @property
    def key_id(self) -> str:
        """Return SHA-256 of the public key, 64 lower-case hex digits."""
        return certificates.key_id(self.spki)


def keys(room: Path) -> list[TimestampKey]:
    """Return the key in use and the former ones that are not removed yet."""
    asked = _settings(room)
    found = [TimestampKey(asked.key, _chain(room, asked.chain), True)]
    return found + [TimestampKey(each.key, _chain(room, each.chain), False) for each in asked.former]


def waiting(room: Path, clock: Clock) -> Waiting | None:
    """Return the key that waits for its certificate; None where none does, or where it was not born yet."""
    asked = _settings(room)
    if asked.waiting is None or not asked.waiting.key:
        return None
    with _store(room, asked, clock) as store:
        return _told(room, asked.waiting, store)


def wait(room: Path, clock: Clock, scheme: str | None = None) -> Waiting:
    """Have a new key born that waits for its certificate, or return the one that does already.

    Without ``scheme`` it is of that of the key in use. Conflict where the one that waits is of another.
    """
    with _changing(room):
        asked = _settings(room)
        with _store(room, asked, clock) as store:
            held = asked.waiting
            wanted = scheme or certificates.scheme_of(store.public_key(asked.key)).name
            if held is None:
                # Random too: a label of the same second would find the key that was born before, and is in use now.
                label = f"{founding.STAMPER_LABEL}-{clock():%Y%m%d%H%M%S}-{secrets.token_hex(4)}"
                held = WaitingKey(label=label, scheme=wanted)
                _rewrite(room, {"waiting": _said(held)})
            if scheme is not None and held.scheme != scheme:
                raise Conflict(
                    f"A timestamp key of scheme {held.scheme} waits already.",
                    hint="privyseal tsa cancel takes it away first",
                )
            if not held.key:
                kind = SCHEMES[held.scheme]
                uri = store.born(held.label, kind, asked.key) or store.generate(held.label, kind)
                held = msgspec.structs.replace(held, key=uri)
                _rewrite(room, {"waiting": _said(held)})
            told = _told(room, held, store)
        _note(room, asked, clock, "key born", f"The timestamp key {told.key_id}, {held.scheme}, {_home(told)}.")
        return told


def request(room: Path, clock: Clock, subject: bytes | None) -> Waiting:
    """Have the waiting key sign a request for its certificate, which ``subject``, a Name in DER, names.

    None stands for the request that was made before; NotFound where no key waits, or none was made.
    """
    with _changing(room):
        asked = _settings(room)
        held = asked.waiting
        if held is None or not held.key:
            raise _none_waits()
        with _store(room, asked, clock) as store:
            told = _told(room, held, store)
            if subject is None:
                if not told.request:
                    raise NotFound("No request was made for the key that waits.", hint="say its --subject")
            elif not told.request or csr.read(told.request).subject != subject:
                pem = _signed(store, held, told.spki, subject)
                name = f"request-{told.key_id[:16]}.csr"
                write_whole(room / name, pem)
                held = msgspec.structs.replace(held, request=name)
                _rewrite(room, {"waiting": _said(held)})
                told = told._replace(request=pem)
        asked_for = csr.common_name(csr.read(told.request).der)
        _note(room, asked, clock, "certificate asked", f"For the timestamp key {told.key_id}, as {asked_for!r}."[:1900])
        return told


def install(room: Path, clock: Clock, chain: Sequence[bytes]) -> TimestampKey:
    """Let the stamper sign with the key that waits from its next start on, under this chain, DER, its own first.

    The key shows once more that it is there. BadInput if the certificate is another key's; done again it changes
    nothing. Whoever calls has judged the certificate.
    """
    if not chain:
        raise BadInput("No certificate was given.")
    with _changing(room):
        asked = _settings(room)
        own = certificates.read(chain[0])
        held = asked.waiting
        if held is None and _chain(room, asked.chain)[0] == chain[0]:  # it was done, and nobody was told
            _installed(room, asked, clock, chain)
            return TimestampKey(asked.key, tuple(chain), True)
        if held is None or not held.key:
            raise _none_waits()
        with _store(room, asked, clock) as store:
            spki = store.public_key(held.key)
            if own.key_id != (mine := certificates.key_id(spki)):
                raise BadInput(
                    f"The certificate is for the key {own.key_id[:16]}..., and {mine[:16]}... waits.",
                    hint="give the certificate that was issued for the request",
                )
            _prove(store, held, spki)
        fresh, before = own.key_id[:16], certificates.read(_chain(room, asked.chain)[0]).key_id[:16]
        write_whole(room / f"chain-{fresh}.pem", b"".join(certificates.pem(one) for one in chain))
        write_whole(room / f"former-{before}.pem", (room / asked.chain).read_bytes())
        former = [{"key": each.key, "chain": each.chain} for each in asked.former]
        former.append({"key": asked.key, "chain": f"former-{before}.pem"})
        _rewrite(room, {"key": held.key, "chain": f"chain-{fresh}.pem", "waiting": None}, former)
        _installed(room, asked, clock, chain)
        return TimestampKey(held.key, tuple(chain), True)


def cancel(room: Path, clock: Clock) -> str:
    """Destroy the key that waits, and forget it; return its key id, empty where it was never born.

    It never had a certificate here, so no witness is asked for. NotFound where none waits.
    """
    with _changing(room):
        asked = _settings(room)
        held = asked.waiting
        if held is None:
            raise _none_waits()
        gone = ""
        with _store(room, asked, clock) as store:
            if uri := held.key or store.born(held.label, SCHEMES[held.scheme], asked.key):
                with contextlib.suppress(NotFound):  # destroyed before a crash
                    gone = certificates.key_id(store.public_key(uri))
                    store.destroy(uri)
        told = "was asked for" if held.request else "was not asked for"
        # Noted before it is forgotten: afterwards nobody would know what there was to note.
        _note(room, asked, clock, "key cancelled", f"The timestamp key {held.label}; a certificate {told}.")
        _rewrite(room, {"waiting": None})
        return gone


def remove(room: Path, key_id: str, clock: Clock) -> TimestampKey:
    """Remove a former key from its store for good; Conflict for the one in use, NotFound for one that is none."""
    with _changing(room):
        asked = _settings(room)
        found = [each for each in keys(room) if certificates.read(each.chain[0]).key_id == key_id]
        if not found:
            raise NotFound("The stamper has no such timestamp key.", hint="privyseal tsa show names its keys")
        if found[0].in_use:
            raise Conflict("The stamper signs with this key.", hint="privyseal tsa renew gives it another one first")
        with _store(room, asked, clock) as store:
            store.destroy(found[0].uri)
        _note(room, asked, clock, "key removed", f"The timestamp key {key_id}.")
        former = [{"key": each.key, "chain": each.chain} for each in asked.former if each.key != found[0].uri]
        _rewrite(room, {}, former)
        return found[0]


def _settings(room: Path) -> StamperSettings:
    return load(room / "stamper.toml", StamperSettings)


def _chain(room: Path, name: str) -> tuple[bytes, ...]:
    return tuple(certificates.pem_certificates((room / name).read_bytes()))


def _none_waits() -> NotFound:
    return NotFound("No timestamp key waits for a certificate.", hint="privyseal tsa renew --csr FILE makes one")


def _told(room: Path, held: WaitingKey, store: _Store) -> Waiting:
    pem = (room / held.request).read_bytes() if held.request else b""
    return Waiting(store.public_key(held.key), pem, store.protection(held.key))


def _home(told: Waiting) -> str:
    return f"in {told.protection.store}, {told.protection.assurance}"


def _signed(store: _Store, held: WaitingKey, spki: bytes, subject: bytes) -> bytes:
    """Return the request, PEM, read again and so verified before anybody has it."""
    scheme = SCHEMES[held.scheme]
    info = csr.information(subject, spki, wanted=csr.timestamping())
    (value,) = store.sign(held.key, [csr.to_be_signed(info, scheme)])
    whole = csr.request(info, scheme, value)
    csr.read(whole)
    return csr.pem(whole)


def _prove(store: _Store, held: WaitingKey, spki: bytes) -> None:
    """Have the key sign, and verify it; VerificationFailed where it is not the key that it was."""
    tbs = ToBeSigned(PROOF + os.urandom(16), SCHEMES[held.scheme].default_digest)
    (value,) = store.sign(held.key, [tbs])
    certificates.verify(spki, tbs, value)


def _installed(room: Path, asked: StamperSettings, clock: Clock, chain: Sequence[bytes]) -> None:
    own = certificates.read(chain[0])
    words = f"The timestamp key {own.key_id}; certificate {own.fingerprint}, issued by {own.issuer}."
    _note(room, asked, clock, "key installed", words[:1900])


def _note(room: Path, asked: StamperSettings, clock: Clock, what: str, words: str) -> None:
    note_beside(room / asked.stamps, clock(), what, words)


@contextlib.contextmanager
def _changing(room: Path) -> Iterator[None]:
    """Let one at a time change the keys of a room; Conflict where another is at it."""
    descriptor = lock_room(room, name=LOCK)
    try:
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _store(room: Path, asked: StamperSettings, clock: Clock) -> Iterator[_Store]:
    """Open the store in which the stamper's keys are; the stamper may have it open as well."""
    if asked.softfile is not None:
        passphrase = asked.softfile.passphrase.encode("utf-8")
        yield SoftFile.open(room / asked.softfile.directory, passphrase, clock)
        return
    assert asked.pkcs11 is not None  # noqa: S101 - the settings have seen to it
    nursery = Nursery([("pkcs11", asked.pkcs11.placed(room))], room / "pins")
    tokens = Pkcs11([TokenChild(nursery, 0, 1)], nursery.close)
    try:
        yield tokens
    finally:
        tokens.close()


def _said(held: WaitingKey) -> dict[str, Any]:
    return {name: value for name in held.__struct_fields__ if (value := getattr(held, name))}


def _rewrite(room: Path, changed: dict[str, Any], former: list[dict[str, Any]] | None = None) -> None:
    """Write stamper.toml anew with these changes, where None takes something out, and all else as it is."""
    path = room / "stamper.toml"
    content = tomllib.loads(path.read_bytes()[:MAX_SETTINGS_OCTETS].decode("utf-8")) | changed
    if former is not None:
        content["former"] = former
    top: dict[str, Any] = {}
    tables: list[tuple[str, dict[str, Any]]] = []
    for name, value in content.items():
        if isinstance(value, dict):
            tables.append((f"[{name}]", value))
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            tables += [(f"[[{name}]]", each) for each in value]
        elif value is not None and not (name == "former" and not value):
            top[name] = value
    founding.write_settings(path, top, tables)
