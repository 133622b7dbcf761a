"""Keys in hardware modules, spoken to by PKCS#11: what the settings say of a token, and how its URIs are read.

No module is loaded here; each token's lives in a worker, which begins with ``pkcs11_worker.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

import msgspec

from privyseal.errors import KeyStoreUnavailable
from privyseal.keystore.away import Away
from privyseal.keystore.homes import Begin, Child, Home, Located, Territory, check_limits
from privyseal.keystore.messages import Inventoried, Inventory, Kept
from privyseal.keystore.pkcs11_uri import KeyUri
from privyseal.terms.keys import TokenKeys
from privyseal.terms.signatures import Scheme


class Pkcs11Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[[pkcs11]]`` in the signer's settings: one token, and the module that speaks to it.

    Paths in it are relative to the settings file.
    """

    silence: ClassVar[float] = 5.0

    module: str
    """Path of the module, a shared library, such as ``/usr/lib/softhsm/libsofthsm2.so``."""
    token: str | None = None
    """The token's label; this or ``serial``, or both."""
    serial: str | None = None
    pin_file: str | None = None
    """A file, 0600, that holds the user PIN and nothing else; this or ``pin``."""
    pin: str | None = None
    subscribers: tuple[str, ...] = ()
    """Subscribers whose new keys are born in this token; none named: everybody's that no other token names."""
    pool: str = ""
    """Sections of one pool are tokens that hold the same keys, cloned by their maker's means; new keys are born in the
    first of them, and where one is lost another goes on."""
    sessions: int | None = None
    """Threads, each with a session of its own, and as many signatures are asked at once; two a core if not given."""
    timeout: float = 10.0
    """Seconds until a call counts as hung and the worker is killed; an RSA-4096 signature takes 7 ms in software."""
    generate_timeout: float = 120.0
    """The same for generating a key; RSA-4096 takes seconds in software and up to a minute in a small token."""
    environment: dict[str, str] = {}
    """Variables that the module reads, such as SOFTHSM2_CONF."""
    readable: tuple[str, ...] = ()
    """Files and directories that the module reads besides system libraries."""
    writable: tuple[str, ...] = ()
    """Files and directories that it also writes, such as the token directory of SoftHSM."""
    network: bool = False
    """Whether the module may call somebody over TCP, as that of a network HSM must, and make new connections after the
    login. Without it, it may use a Unix socket that it opened before."""

    def __post_init__(self) -> None:
        """Refuse what names no token, or no PIN, or a limit that is none."""
        if self.token is None and self.serial is None:
            raise ValueError("a [[pkcs11]] section names neither token nor serial")
        if (self.pin is None) == (self.pin_file is None):
            raise ValueError("a [[pkcs11]] section needs one of pin and pin_file")
        check_limits(self.sessions, self.timeout, self.generate_timeout)

    def __repr__(self) -> str:
        """Show which token it is, and no PIN."""
        return f"Pkcs11Section(module={self.module!r}, token={self.token!r}, serial={self.serial!r}, pin=...)"

    @property
    def name(self) -> str:
        """What the token is called in messages."""
        return self.token or self.serial or ""

    def placed(self, beside: Path) -> Pkcs11Section:
        """Return the section with its paths taken from ``beside``, the directory of the settings."""
        return msgspec.structs.replace(
            self,
            module=str(beside / self.module),
            pin_file=None if self.pin_file is None else str(beside / self.pin_file),
            readable=tuple(str(beside / each) for each in self.readable),
            writable=tuple(str(beside / each) for each in self.writable),
        )

    def holds(self, key: Located) -> bool:
        """Tell whether a key is in this token, by label and serial number."""
        return self.token in (None, key.home) and self.serial in (None, key.serial)

    def territory(self) -> Territory:
        """Return the module, its directory, and what the settings name."""
        module = Path(self.module).resolve()
        return Territory(
            readable=frozenset({module, module.parent, *map(Path, self.readable)}),
            writable=frozenset(map(Path, self.writable)),
            network=self.network,
            environment=tuple(self.environment.items()),
        )

    def worker(self) -> Begin:
        """Import python-pkcs11 and return how a worker of this token begins."""
        from privyseal.keystore.pkcs11_worker import TokenOpening

        return lambda notes, sessions, clock: TokenOpening(self, notes, sessions)


class Pkcs11(Away):
    """The tokens of one signer; safe to use from several threads."""

    audited: ClassVar[bool] = False
    store: ClassVar[str] = "pkcs11"
    section: ClassVar[type[Home]] = Pkcs11Section
    noun: ClassVar[str] = "token"

    @classmethod
    def locate(cls, uri: str) -> Located:
        """Read a ``pkcs11:`` URI (RFC 7512); NotFound if this store did not give it out."""
        key = KeyUri.of(uri)
        return Located(key.token, key.serial, key.label, key.key, bool(key.pure))

    def inventory(self, uris: Sequence[str]) -> tuple[TokenKeys, ...]:
        """Hold what is in each token that can be asked against the keys that should be there; uses no key."""
        known = [self.locate(uri) for uri in uris]
        found: list[TokenKeys] = []
        for child in self._children:
            ours = {(each.key, each.label) for each in known if child.holds(each)}
            together = child.members()
            for member in together:
                with suppress(KeyStoreUnavailable):  # its state says so
                    found.append(_held(member, ours, pooled=len(together) > 1))
        return tuple(found)

    def born(self, label: str, scheme: Scheme, beside: str) -> str:
        """Return the URI of the key of a label in the token where ``beside`` is, or nothing where there is none."""
        known, (_, child) = KeyUri.of(beside), self._of(beside)
        pure = scheme.name if scheme.pure else ""
        found = [each for each in _inside(child) if each.label == label]
        return str(KeyUri(known.token, known.serial, label, found[0].key, pure)) if found else ""


def _inside(child: Child) -> tuple[Kept, ...]:
    answer = child.ask(Inventory(), again=True)
    if not isinstance(answer, Inventoried):
        raise KeyStoreUnavailable("A token's worker answered something else than what is in it.")
    return answer.keys


def _held(child: Child, ours: set[tuple[bytes, str]], *, pooled: bool) -> TokenKeys:
    inside = {(each.key, each.label) for each in _inside(child)}
    return TokenKeys(
        child.section.name,
        len(ours & inside),
        strangers=tuple(sorted(label for _, label in inside - ours)),
        missing=tuple(sorted(label for _, label in ours - inside)),
        pool=getattr(child.section, "pool", "") if pooled else "",
    )
