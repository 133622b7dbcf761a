"""A timestamp key has a successor after 15 months at most, and is removed from its store before 18 are over.

CSBR 6.3.2. Both are done beside the stamper, in its room: a new key is born in the same store, and stamper.toml names
it once its certificate is there; the stamper reads that at its next start. The key before stays among the former ones
until it is removed.
"""

from __future__ import annotations

import contextlib
import tomllib
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from privyseal.errors import BadInput, Conflict, NotFound
from privyseal.keystore.pkcs11 import Pkcs11
from privyseal.keystore.protocol import KeyStore
from privyseal.keystore.softfile import SoftFile
from privyseal.pki import certificates
from privyseal.strongroom import founding
from privyseal.strongroom.children import TokenChild
from privyseal.strongroom.durable import write_whole
from privyseal.strongroom.nursery import Nursery
from privyseal.strongroom.settings import MAX_SETTINGS_OCTETS, StamperSettings, load
from privyseal.terms.signatures import SCHEMES

Clock = Callable[[], datetime]


class TimestampKey(NamedTuple):
    """A key of a stamper: the one in use, or a former one."""

    uri: str
    chain: tuple[bytes, ...]
    """Certificates, DER, its own first."""
    in_use: bool


def keys(room: Path) -> list[TimestampKey]:
    """Return the key in use and the former ones that are not removed yet."""
    asked = load(room / "stamper.toml", StamperSettings)
    found = [TimestampKey(asked.key, _chain(room, asked.chain), True)]
    return found + [TimestampKey(each.key, _chain(room, each.chain), False) for each in asked.former]


def generate(room: Path, clock: Clock) -> tuple[str, bytes]:
    """Have a new key born in the store and by the scheme of the one in use; return its URI and public key (SPKI)."""
    asked = load(room / "stamper.toml", StamperSettings)
    with _store(room, asked, clock) as store:
        scheme = certificates.scheme_of(store.public_key(asked.key)).name
        uri = store.generate(f"{founding.STAMPER_LABEL}-{clock():%Y%m%d%H%M%S}", SCHEMES[scheme])
        return uri, store.public_key(uri)


def install(room: Path, uri: str, spki: bytes, chain: Sequence[bytes]) -> None:
    """Let the stamper sign with this key from its next start on; BadInput if the certificates are another key's."""
    asked = load(room / "stamper.toml", StamperSettings)
    if not chain or certificates.read(chain[0]).key_id != certificates.key_id(spki):
        raise BadInput("The first certificate is not for the new timestamp key.")
    fresh, before = certificates.key_id(spki)[:16], certificates.read(_chain(room, asked.chain)[0]).key_id[:16]
    write_whole(room / f"chain-{fresh}.pem", b"".join(certificates.pem(one) for one in chain))
    write_whole(room / f"former-{before}.pem", (room / asked.chain).read_bytes())
    former = [{"key": each.key, "chain": each.chain} for each in asked.former]
    former.append({"key": asked.key, "chain": f"former-{before}.pem"})
    _rewrite(room, {"key": uri, "chain": f"chain-{fresh}.pem"}, former)


def remove(room: Path, key_id: str, clock: Clock) -> TimestampKey:
    """Remove a former key from its store for good; Conflict for the one in use, NotFound for one that is none."""
    asked = load(room / "stamper.toml", StamperSettings)
    found = [each for each in keys(room) if certificates.read(each.chain[0]).key_id == key_id]
    if not found:
        raise NotFound("The stamper has no such timestamp key.", hint="privyseal tsa show names its keys")
    if found[0].in_use:
        raise Conflict("The stamper signs with this key.", hint="privyseal tsa renew gives it another one first")
    with _store(room, asked, clock) as store:
        store.destroy(found[0].uri)
    _rewrite(room, {}, [{"key": each.key, "chain": each.chain} for each in asked.former if each.key != found[0].uri])
    return found[0]


def _chain(room: Path, name: str) -> tuple[bytes, ...]:
    return tuple(certificates.pem_certificates((room / name).read_bytes()))


@contextlib.contextmanager
def _store(room: Path, asked: StamperSettings, clock: Clock) -> Iterator[KeyStore]:
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


def _rewrite(room: Path, changed: dict[str, Any], former: list[dict[str, Any]]) -> None:
    """Write stamper.toml anew with these changes, and all else as it is."""
    path = room / "stamper.toml"
    content = tomllib.loads(path.read_bytes()[:MAX_SETTINGS_OCTETS].decode("utf-8")) | changed
    top = {name: value for name, value in content.items() if not isinstance(value, dict) and name != "former"}
    tables = [(f"[{name}]", value) for name, value in content.items() if isinstance(value, dict)]
    founding.write_settings(path, top, [*tables, *(("[[former]]", each) for each in former)])
