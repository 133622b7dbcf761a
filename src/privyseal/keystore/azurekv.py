"""Keys in Azure Key Vault or Managed HSM: what the settings say of a vault, and how its URIs are read.

Nothing of Microsoft is loaded here; the client lives in a worker (``azurekv_client.py``). A vault of the tier Premium
and a Managed HSM keep keys in modules (types RSA-HSM and EC-HSM); one of the tier Standard keeps them in software
("About keys", "Key types and protection methods").
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit

import msgspec

from privyseal.keystore.addresses import METADATA, check_address, port_of
from privyseal.keystore.away import Away
from privyseal.keystore.clouds import HOME_NAME, CloudUri
from privyseal.keystore.homes import CLOUD_SILENCE_SECONDS, Begin, Home, Located, Territory, check_limits

STORE = "azurekv"
"""The name of this key store, which its URIs begin with."""
_VAULT = re.compile(r"https://[a-z0-9-]{3,24}\.(?P<service>vault|managedhsm|vaultcore)\.[a-z0-9.-]{3,100}")
_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_RESOURCE = re.compile(r"/subscriptions/[0-9a-fA-F-]{36}/resourceGroups/[^/?#\s]{1,90}/providers/[^?#\s]{1,200}")
_HOSTS = {
    "login": "https://login.microsoftonline.com",
    "manage": "https://management.azure.com",
    "logs": "https://api.loganalytics.io",
}


class AzureKvSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[[azurekv]]`` in the signer's settings: one vault or Managed HSM. Paths are relative to the file."""

    silence: ClassVar[float] = CLOUD_SILENCE_SECONDS

    name: str
    """What the vault is called here; it stands in the URIs of its keys."""
    vault: str
    """``https://NAME.vault.azure.net`` or ``https://NAME.managedhsm.azure.net``, or as another Azure has it."""
    hsm: bool = True
    """Whether new keys are born in a module; a Managed HSM makes no others."""
    tenant: str | None = None
    """The directory (tenant) id of the application as which to log in."""
    client: str | None = None
    """Its application (client) id; with ``metadata`` that of a user-assigned identity, if there are several."""
    secret_file: str | None = None
    """A file, 0600, with the application's secret."""
    token_file: str | None = None
    """A file, 0600, with the token of a workload's identity, such as that of a Kubernetes service account."""
    metadata: bool = False
    """Whether the machine's own managed identity is used, whose tokens its metadata server gives."""
    resource: str | None = None
    """The vault's resource id, ``/subscriptions/...``; with ``workspace``, so that Azure's count can be had."""
    workspace: str | None = None
    """The id of the Log Analytics workspace that the vault's audit events go to."""
    endpoint: str = ""
    """Where the vault is asked, if not at its own address."""
    login_endpoint: str = ""
    """``https://login.microsoftonline.com`` if not given."""
    manage_endpoint: str = ""
    """``https://management.azure.com`` if not given; asked only for ``resource``."""
    logs_endpoint: str = ""
    """``https://api.loganalytics.io`` if not given; asked only for ``workspace``."""
    metadata_endpoint: str = ""
    """``http://169.254.169.254`` if not given; asked only with ``metadata``."""
    ca_file: str | None = None
    """Certificates, PEM, that these must chain to instead of the system's."""
    subscribers: tuple[str, ...] = ()
    """Subscribers whose new keys are born in this vault; none named: everybody's that no other names."""
    sessions: int | None = None
    """Connections, and as many signatures are asked at once; two a core if not given."""
    timeout: float = 30.0
    """Seconds until a question counts as hung; a signature takes some 50 ms, and 3 s of patience if throttled."""
    generate_timeout: float = 60.0
    """The same for generating a key."""

    def __post_init__(self) -> None:
        """Refuse names and addresses that are none, and no way or two ways to prove who we are."""
        if not HOME_NAME.fullmatch(self.name):
            raise ValueError("the name of an [[azurekv]] section is lower-case letters, digits and dashes, at most 63")
        found = _VAULT.fullmatch(self.vault)
        if found is None:
            raise ValueError(f"{self.vault[:80]!r} is no address of a vault, such as https://NAME.vault.azure.net")
        if found["service"] == "managedhsm" and not self.hsm:
            raise ValueError("a Managed HSM keeps no keys in software; hsm = false is for a vault of tier Standard")
        if sum((self.secret_file is not None, self.token_file is not None, self.metadata)) != 1:
            raise ValueError("an [[azurekv]] section needs one of secret_file, token_file and metadata = true")
        if not self.metadata and (self.tenant is None or self.client is None):
            raise ValueError("of an [[azurekv]] section belong together: tenant, client, and secret_file or token_file")
        if (self.resource is None) != (self.workspace is None):
            raise ValueError("resource and workspace of an [[azurekv]] section belong together")
        for what in (self.tenant, self.client, self.workspace):
            if what is not None and not _GUID.fullmatch(what):
                raise ValueError(f"{what[:60]!r} is no id of tenant, client or workspace: 32 hex digits with dashes")
        if self.resource is not None and not _RESOURCE.fullmatch(self.resource):
            raise ValueError(f"{self.resource[:80]!r} is no resource id, /subscriptions/.../providers/...")
        for url in (self.endpoint, self.login_endpoint, self.manage_endpoint, self.logs_endpoint):
            if url:
                check_address(url)
        if self.metadata_endpoint:
            check_address(self.metadata_endpoint)
        check_limits(self.sessions, self.timeout, self.generate_timeout)

    @property
    def secret(self) -> str | None:
        """The file that proves who we are, where it is a file."""
        return self.secret_file or self.token_file

    @property
    def managed_hsm(self) -> bool:
        """Whether it is a Managed HSM."""
        return ".managedhsm." in self.vault

    @property
    def audience(self) -> str:
        """What a token for the vault is good for: all vaults of that Azure."""
        return "https://" + (urlsplit(self.vault).hostname or "").partition(".")[2]

    def address(self, service: str) -> str:
        """Return where ``vault``, ``login``, ``manage``, ``logs`` or ``metadata`` is asked."""
        given = {
            "vault": self.endpoint or self.vault,
            "login": self.login_endpoint,
            "manage": self.manage_endpoint,
            "logs": self.logs_endpoint,
            "metadata": self.metadata_endpoint or METADATA,
        }[service]
        return given or _HOSTS[service]

    def placed(self, beside: Path) -> AzureKvSection:
        """Return the section with its paths taken from ``beside``, the directory of the settings."""
        paths = {name: getattr(self, name) for name in ("secret_file", "token_file", "ca_file")}
        return msgspec.structs.replace(
            self, **{name: str(beside / path) for name, path in paths.items() if path is not None}
        )

    def holds(self, key: Located) -> bool:
        """Tell whether a key is in this vault, by the name in its URI."""
        return key.home == self.name

    def territory(self) -> Territory:
        """Return the directory of the credential, which others replace, and the ports of what is asked."""
        asked = ["vault", "metadata" if self.metadata else "login", *(["manage", "logs"] if self.resource else [])]
        readable = {Path(each) for each in (self.ca_file,) if each} | (
            set() if self.secret is None else {Path(self.secret).parent}
        )
        ports = {port_of(self.address(service)) for service in asked}
        return Territory(readable=frozenset(readable), ports=tuple(sorted(ports)))

    def worker(self) -> Begin:
        """Import what a worker of this vault is made of and return how one begins."""
        from privyseal.keystore.azurekv_client import begin

        return begin(self)


class AzureKv(Away):
    """The vaults and Managed HSMs with Azure of one signer; safe to use from several threads."""

    store: ClassVar[str] = STORE
    section: ClassVar[type[Home]] = AzureKvSection
    noun: ClassVar[str] = "vault with Azure"

    @classmethod
    def locate(cls, uri: str) -> Located:
        """Read a URI whose id is the key's name and version in its vault; NotFound if it is none of ours."""
        return CloudUri.of(STORE, uri).located
