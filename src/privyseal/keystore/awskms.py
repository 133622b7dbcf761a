"""Keys in AWS Key Management Service: what the settings say of an account, and how its URIs are read.

Nothing of AWS is loaded here; the client lives in a worker (``awskms_client.py``). AWS makes no asymmetric key in a
custom key store (AWS KMS Developer Guide, "KMS keys in a CloudHSM key store"), so none can be named: a key in
CloudHSM is used by its PKCS#11 module, in the store ``pkcs11``.
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

STORE = "awskms"
"""The name of this key store, which its URIs begin with."""
_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-[0-9]{1,2}")


class AwsKmsSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[[awskms]]`` in the signer's settings: one account with AWS in one region. Paths are relative to the file."""

    silence: ClassVar[float] = CLOUD_SILENCE_SECONDS

    name: str
    """What the account is called here; it stands in the URIs of its keys."""
    region: str
    """Such as ``eu-central-1``."""
    credentials_file: str | None = None
    """A file, 0600, as the AWS tools have it, with one profile; this, or ``role`` and ``identity_token_file``."""
    role: str | None = None
    """ARN of the role that is assumed with a web identity (STS AssumeRoleWithWebIdentity)."""
    identity_token_file: str | None = None
    """A file, 0600, with the token that proves who we are, such as that of a Kubernetes service account."""
    endpoint: str = ""
    """``https://kms.REGION.amazonaws.com`` if not given; ``https://kms-fips.REGION.amazonaws.com`` is another one."""
    sts_endpoint: str = ""
    """``https://sts.REGION.amazonaws.com`` if not given; asked only for ``role``."""
    trail: str | None = None
    """ARN of the CloudTrail trail that logs the use of keys; without it nobody can hold its count against ours."""
    trail_endpoint: str = ""
    """``https://cloudtrail.REGION.amazonaws.com`` if not given; asked only for ``trail``."""
    ca_file: str | None = None
    """Certificates, PEM, that these must chain to instead of the system's."""
    pending_days: int = 7
    """Days that AWS waits before it destroys a key, 7 to 30; it cannot be used meanwhile."""
    subscribers: tuple[str, ...] = ()
    """Subscribers whose new keys are born in this account; none named: everybody's that no other names."""
    sessions: int | None = None
    """Connections, and as many signatures are asked at once; two a core if not given."""
    timeout: float = 30.0
    """Seconds until a question counts as hung; a signature takes AWS some 20 ms, and 3 s of patience if throttled."""
    generate_timeout: float = 60.0
    """The same for generating a key."""

    def __post_init__(self) -> None:
        """Refuse names and addresses that are none, and no way or two ways to prove who we are."""
        if not HOME_NAME.fullmatch(self.name):
            raise ValueError("the name of an [[awskms]] section is lower-case letters, digits and dashes, at most 63")
        if not _REGION.fullmatch(self.region):
            raise ValueError(f"{self.region[:40]!r} is no region of AWS, such as eu-central-1")
        if (self.role is None) != (self.identity_token_file is None):
            raise ValueError("role and identity_token_file of an [[awskms]] section belong together")
        if (self.credentials_file is None) == (self.role is None):
            raise ValueError("an [[awskms]] section needs one of credentials_file and role")
        if not 7 <= self.pending_days <= 30:
            raise ValueError(f"pending_days is {self.pending_days}; AWS allows 7 to 30")
        for url in (self.endpoint, self.sts_endpoint, self.trail_endpoint):
            if url:
                check_address(url)
        check_limits(self.sessions, self.timeout, self.generate_timeout)

    @property
    def secret(self) -> str:
        """The file that proves who we are."""
        return self.credentials_file or self.identity_token_file or ""

    def address(self, service: str) -> str:
        """Return where ``kms``, ``sts`` or ``cloudtrail`` is asked."""
        given = {"kms": self.endpoint, "sts": self.sts_endpoint, "cloudtrail": self.trail_endpoint}[service]
        suffix = "amazonaws.com.cn" if self.region.startswith("cn-") else "amazonaws.com"
        return given or f"https://{service}.{self.region}.{suffix}"

    def placed(self, beside: Path) -> AwsKmsSection:
        """Return the section with its paths taken from ``beside``, the directory of the settings."""
        names = ("credentials_file", "identity_token_file", "ca_file")
        paths = {name: getattr(self, name) for name in names}
        return msgspec.structs.replace(
            self, **{name: str(beside / path) for name, path in paths.items() if path is not None}
        )

    def holds(self, key: Located) -> bool:
        """Tell whether a key is in this account, by the name in its URI."""
        return key.home == self.name

    def territory(self) -> Territory:
        """Return the directory of the credential, which others replace, and the ports of what is asked."""
        asked = ["kms", *(["sts"] if self.role else []), *(["cloudtrail"] if self.trail else [])]
        readable = {Path(self.secret).parent} | ({Path(self.ca_file)} if self.ca_file else set())
        ports = {port_of(self.address(service)) for service in asked}
        return Territory(readable=frozenset(readable), ports=tuple(sorted(ports)))

    def worker(self) -> Begin:
        """Return how a worker of this account begins; AWS's library is imported when it does."""
        from privyseal.keystore.awskms_client import begin

        return begin(self)


class AwsKms(Away):
    """The accounts with AWS of one signer; safe to use from several threads."""

    store: ClassVar[str] = STORE
    section: ClassVar[type[Home]] = AwsKmsSection
    noun: ClassVar[str] = "account with AWS"

    @classmethod
    def locate(cls, uri: str) -> Located:
        """Read a URI whose id is AWS's key id; NotFound if this store did not give it out."""
        return CloudUri.of(STORE, uri).located
