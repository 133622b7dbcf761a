"""Keys in the Transit engine of HashiCorp Vault or OpenBao: what the settings say of one, and how its URIs are read.

Transit keeps Private Keys in the memory and the sealed storage of Vault's own process, so they are software whatever
guards that storage: fit for rehearsal and closed PKIs, and not met by CSBR 6.2.7.3. A *managed key* of Vault
Enterprise is in an HSM that Vault calls; it is not made here, for that HSM's own PKCS#11 module is used without Vault.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar

import msgspec

from privyseal.keystore.addresses import check_address, port_of
from privyseal.keystore.away import Away
from privyseal.keystore.clouds import HOME_NAME, CloudUri
from privyseal.keystore.homes import CLOUD_SILENCE_SECONDS, Begin, Home, Located, Territory, check_limits

STORE = "vault"
"""The name of this key store, which its URIs begin with."""
_MOUNT = re.compile(r"[A-Za-z0-9_.-]{1,64}(/[A-Za-z0-9_.-]{1,64}){0,7}")


class VaultSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[[vault]]`` in the signer's settings: one Transit engine. Paths are relative to the file."""

    silence: ClassVar[float] = CLOUD_SILENCE_SECONDS

    name: str
    """What it is called here; it stands in the URIs of its keys."""
    url: str
    """Address of the active node, or of what leads to it, such as ``https://vault.example:8200``."""
    mount: str = "transit"
    """Where the engine is mounted."""
    namespace: str | None = None
    """The namespace, where there are any."""
    token_file: str | None = None
    """A file, 0600, with a token; it is renewed, and read again when somebody replaces it."""
    role_id: str | None = None
    """The AppRole as which to log in, with ``secret_id_file``."""
    secret_id_file: str | None = None
    """A file, 0600, with the AppRole's secret id."""
    role: str | None = None
    """The role as which to log in with a workload's identity, with ``jwt_file``: methods ``jwt`` and ``kubernetes``."""
    jwt_file: str | None = None
    """A file, 0600, with the token that proves who we are; it is read anew for each login."""
    auth_mount: str = ""
    """Where the login method is mounted; ``approle`` or ``jwt`` if not given."""
    audit_file: str | None = None
    """The file of an audit device, or a copy that is kept up; without it nobody can hold its count against ours."""
    ca_file: str | None = None
    """Certificates, PEM, that Vault's must chain to instead of the system's."""
    subscribers: tuple[str, ...] = ()
    """Subscribers whose new keys are born here; none named: everybody's that no other names."""
    sessions: int | None = None
    """Connections, and as many signatures are asked at once; two a core if not given."""
    timeout: float = 30.0
    """Seconds until a question counts as hung; a signature takes milliseconds, and 3 s of patience if throttled."""
    generate_timeout: float = 60.0
    """The same for generating a key."""

    def __post_init__(self) -> None:
        """Refuse names and addresses that are none, and no way or two ways to prove who we are."""
        if not HOME_NAME.fullmatch(self.name):
            raise ValueError("the name of a [[vault]] section is lower-case letters, digits and dashes, at most 63")
        check_address(self.url)
        for mount in (self.mount, self.auth_mount or self.mount):
            if not _MOUNT.fullmatch(mount) or ".." in mount:
                raise ValueError(f"{mount[:80]!r} is no path at which something is mounted")
        if (self.role_id is None) != (self.secret_id_file is None) or (self.role is None) != (self.jwt_file is None):
            raise ValueError("of a [[vault]] section belong together: role_id and secret_id_file; role and jwt_file")
        if sum(each is not None for each in (self.token_file, self.secret_id_file, self.jwt_file)) != 1:
            raise ValueError("a [[vault]] section needs one of token_file, role_id and role")
        check_limits(self.sessions, self.timeout, self.generate_timeout)

    @property
    def secret(self) -> str:
        """The file that proves who we are."""
        return self.token_file or self.secret_id_file or self.jwt_file or ""

    def placed(self, beside: Path) -> VaultSection:
        """Return the section with its paths taken from ``beside``, the directory of the settings."""
        names = ("token_file", "secret_id_file", "jwt_file", "audit_file", "ca_file")
        paths = {name: getattr(self, name) for name in names}
        return msgspec.structs.replace(
            self, **{name: str(beside / path) for name, path in paths.items() if path is not None}
        )

    def holds(self, key: Located) -> bool:
        """Tell whether a key is in this engine, by the name in its URI."""
        return key.home == self.name

    def territory(self) -> Territory:
        """Return the directories of the credential and the audit file, which others replace, and Vault's port."""
        files = [self.secret, *([self.audit_file] if self.audit_file else [])]
        readable = {Path(each).parent for each in files} | ({Path(self.ca_file)} if self.ca_file else set())
        return Territory(readable=frozenset(readable), ports=(port_of(self.url),))

    def worker(self) -> Begin:
        """Return how a worker of this engine begins; hvac is imported when it does."""
        from privyseal.keystore.vault_client import begin

        return begin(self)


class Vault(Away):
    """The Transit engines of one signer; safe to use from several threads."""

    store: ClassVar[str] = STORE
    section: ClassVar[type[Home]] = VaultSection
    noun: ClassVar[str] = "Transit engine"

    @classmethod
    def locate(cls, uri: str) -> Located:
        """Read a URI whose id is the key's name in the engine and its version; NotFound if it is none of ours."""
        return CloudUri.of(STORE, uri).located
