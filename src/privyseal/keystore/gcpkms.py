"""Keys in Google Cloud KMS: what the settings say of a key ring, and how its URIs are read.

Nothing of Google is loaded here; the client lives in a worker (``gcpkms_client.py``). With the protection level HSM a
key is made and used in Cloud HSM, which attests it; with SOFTWARE it is in no module (Cloud KMS documentation,
"Protection levels").
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar, Literal

import msgspec

from privyseal.keystore.addresses import METADATA, check_address, port_of
from privyseal.keystore.away import Away
from privyseal.keystore.clouds import HOME_NAME, CloudUri
from privyseal.keystore.homes import CLOUD_SILENCE_SECONDS, Begin, Home, Located, Territory, check_limits

STORE = "gcpkms"
"""The name of this key store, which its URIs begin with."""
_KEY_RING = re.compile(
    r"projects/[a-z0-9:.-]{1,100}/locations/[a-z0-9-]{1,63}/keyRings/[A-Za-z0-9_-]{1,63}"
)  # Cloud KMS resource names; a project of an organisation's domain has "domain:" before its name
_HOSTS = {
    "kms": "https://cloudkms.googleapis.com",
    "logging": "https://logging.googleapis.com",
    "projects": "https://cloudresourcemanager.googleapis.com",
}


class GcpKmsSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[[gcpkms]]`` in the signer's settings: one key ring with Google. Paths are relative to the file."""

    silence: ClassVar[float] = CLOUD_SILENCE_SECONDS

    name: str
    """What the key ring is called here; it stands in the URIs of its keys."""
    key_ring: str
    """``projects/PROJECT/locations/LOCATION/keyRings/RING``."""
    protection: Literal["HSM", "SOFTWARE"] = "HSM"
    """The protection level of new keys."""
    credentials_file: str | None = None
    """A file, 0600, with the key of a service account, JSON; this or ``metadata``."""
    metadata: bool = False
    """Whether the machine's own service account is used, whose tokens its metadata server gives."""
    audit: bool = False
    """Whether Google's audit log may be read, so that its count can be held against ours."""
    endpoint: str = ""
    """``https://cloudkms.googleapis.com`` if not given."""
    logging_endpoint: str = ""
    """``https://logging.googleapis.com`` if not given; asked only with ``audit``."""
    projects_endpoint: str = ""
    """``https://cloudresourcemanager.googleapis.com`` if not given; asked only with ``audit``."""
    metadata_endpoint: str = ""
    """``http://169.254.169.254`` if not given; asked only with ``metadata``."""
    ca_file: str | None = None
    """Certificates, PEM, that these must chain to instead of the system's."""
    pending_days: int = 30
    """Days that Google waits before it destroys a key, 1 to 120; it cannot be used meanwhile."""
    subscribers: tuple[str, ...] = ()
    """Subscribers whose new keys are born in this key ring; none named: everybody's that no other names."""
    sessions: int | None = None
    """Connections, and as many signatures are asked at once; two a core if not given."""
    timeout: float = 30.0
    """Seconds until a question counts as hung; a signature takes some 50 ms, and 3 s of patience if throttled."""
    generate_timeout: float = 120.0
    """The same for generating a key, which Cloud HSM does in the background."""

    def __post_init__(self) -> None:
        """Refuse names and addresses that are none, and no way or two ways to prove who we are."""
        if not HOME_NAME.fullmatch(self.name):
            raise ValueError("the name of a [[gcpkms]] section is lower-case letters, digits and dashes, at most 63")
        if not _KEY_RING.fullmatch(self.key_ring):
            raise ValueError(f"{self.key_ring[:80]!r} is no key ring, projects/P/locations/L/keyRings/R")
        if (self.credentials_file is not None) == self.metadata:
            raise ValueError("a [[gcpkms]] section needs one of credentials_file and metadata = true")
        if not 1 <= self.pending_days <= 120:
            raise ValueError(f"pending_days is {self.pending_days}; Google allows 1 to 120")
        for url in (self.endpoint, self.logging_endpoint, self.projects_endpoint, self.metadata_endpoint):
            if url:
                check_address(url)
        check_limits(self.sessions, self.timeout, self.generate_timeout)

    @property
    def project(self) -> str:
        """The project that the key ring is in."""
        return self.key_ring.split("/")[1]

    @property
    def secret(self) -> str | None:
        """The file that proves who we are, where it is a file."""
        return self.credentials_file

    def address(self, service: str) -> str:
        """Return where ``kms``, ``logging``, ``projects`` or ``metadata`` is asked."""
        given = {
            "kms": self.endpoint,
            "logging": self.logging_endpoint,
            "projects": self.projects_endpoint,
            "metadata": self.metadata_endpoint,
        }[service]
        return given or _HOSTS.get(service, METADATA)

    def placed(self, beside: Path) -> GcpKmsSection:
        """Return the section with its paths taken from ``beside``, the directory of the settings."""
        paths = {name: getattr(self, name) for name in ("credentials_file", "ca_file")}
        return msgspec.structs.replace(
            self, **{name: str(beside / path) for name, path in paths.items() if path is not None}
        )

    def holds(self, key: Located) -> bool:
        """Tell whether a key is in this key ring, by the name in its URI."""
        return key.home == self.name

    def territory(self) -> Territory:
        """Return the directory of the credential, which others replace, and the ports of what is asked."""
        asked = [
            "kms",
            *(["metadata"] if self.metadata else []),
            *(["logging", "projects"] if self.audit else []),
        ]
        readable = {Path(each) for each in (self.ca_file,) if each} | (
            set() if self.secret is None else {Path(self.secret).parent}
        )
        ports = {port_of(self.address(service)) for service in asked}
        return Territory(readable=frozenset(readable), ports=tuple(sorted(ports)))

    def worker(self) -> Begin:
        """Import what a worker of this key ring is made of and return how one begins."""
        from privyseal.keystore.gcpkms_client import begin

        return begin(self)


class GcpKms(Away):
    """The key rings with Google of one signer; safe to use from several threads."""

    store: ClassVar[str] = STORE
    section: ClassVar[type[Home]] = GcpKmsSection
    noun: ClassVar[str] = "key ring with Google"

    @classmethod
    def locate(cls, uri: str) -> Located:
        """Read a URI whose id is the key's name and version in its ring; NotFound if it is none of ours."""
        return CloudUri.of(STORE, uri).located
