"""The configuration of each guarded process: one TOML file, which nobody but its owner may read.

A path in it is relative to the directory of the file. An unknown name is an error.
"""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections import Counter
from pathlib import Path
from typing import Annotated, TypeVar
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct

from privyseal.errors import BadInput, Misused
from privyseal.keystore.awskms import AwsKmsSection
from privyseal.keystore.azurekv import AzureKvSection
from privyseal.keystore.catalogue import AWAY
from privyseal.keystore.gcpkms import GcpKmsSection
from privyseal.keystore.homes import Home
from privyseal.keystore.pkcs11 import Pkcs11Section
from privyseal.keystore.softfile import SoftFileSection
from privyseal.keystore.vault import VaultSection
from privyseal.pki.certificates import pem_certificates
from privyseal.terms.certificates import Standing
from privyseal.timestamp import cmdmon, timesources
from privyseal.timestamp.clock import LEAST_SOURCES
from privyseal.tlog.note import KeyType, Verifier, parse_vkey

MAX_SETTINGS_OCTETS = 1 << 20
MAX_WITNESSES = 32
"""Witnesses of one log; as many as C2SP tlog-policy asks every reader of a policy to support."""
POSTGRESQL = "postgresql://"
"""How a journal in PostgreSQL begins (libpq, connection URIs)."""
DUAL = 2
"""People who must agree to what makes, wakes or destroys a key outside a rehearsal (CSBR 5.2.2, 6.2.2)."""
MAX_HOMES = 64
"""Tokens and clouds of one signer; SoftHSM and network modules show a few dozen slots at most."""
MAX_POLICIES = 16
"""Policies of one stamper besides its first."""
MAX_TIME_SERVERS = 16
"""Time servers of one stamper; more than ten agree on nothing that fewer would not (RFC 5905 11.2)."""
_OID = re.compile(r"[012](\.(0|[1-9][0-9]{0,38})){1,31}", re.ASCII)
_S = TypeVar("_S")


class Operator(Struct, frozen=True, forbid_unknown_fields=True):
    """One who may agree to administrative acts: a name, and an Ed25519 public key of 32 octets, base64."""

    name: str
    public_key: bytes


class Anchor(Struct, frozen=True, forbid_unknown_fields=True):
    """A trust anchor that the operator pins as private or rehearsal; whatever chains to no anchor counts as public."""

    standing: Standing
    pem: str

    def der(self) -> bytes:
        """Return the certificate, DER; Misused if there is not exactly one."""
        try:
            (certificate,) = pem_certificates(self.pem.encode("ascii", "replace"))
        except (BadInput, ValueError):
            raise Misused("An anchor's pem is not one certificate in PEM.") from None
        return certificate


class Homes(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where keys are kept outside the signer: a field for each store of ``keystore/catalogue.py`` that has workers."""

    pkcs11: tuple[Pkcs11Section, ...] = ()
    """Tokens, each with a worker of its own."""
    awskms: tuple[AwsKmsSection, ...] = ()
    """Accounts with AWS."""
    gcpkms: tuple[GcpKmsSection, ...] = ()
    """Key rings with Google."""
    azurekv: tuple[AzureKvSection, ...] = ()
    """Vaults and Managed HSMs with Azure."""
    vault: tuple[VaultSection, ...] = ()
    """Transit engines of Vault or OpenBao."""

    def __post_init__(self) -> None:
        """Refuse a cloud's name that another home has, for neither keys nor states could be told apart."""
        names = Counter(home.name for _, home in self.homes())
        for store, home in self.homes():
            if store != "pkcs11" and names[home.name] > 1:  # tokens have serial numbers too
                raise ValueError(f"the name {home.name!r} of a [[{store}]] section stands there twice")

    def homes(self) -> tuple[tuple[str, Home], ...]:
        """Return the homes of keys that have workers, each with the name of its store, in the catalogue's order."""
        return tuple((store, home) for store in AWAY for home in getattr(self, store))


class SignerSettings(Homes, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``signer.toml``."""

    log: str
    """The C2SP verifier key of the log whose intents this signer believes."""
    softfile: SoftFileSection | None = None
    """Keys in files. A signer has these, or tokens, or both; new keys are born in a token if there is one."""
    journal: str = "journal.sqlite3"
    mark: str = ""
    """The file of the journal's mark, on another disk than the journal; without one an older journal goes unnoticed."""
    rehearsal: bool = False
    """A rehearsal signer may ask for no operator, and every key born in it is for rehearsal."""
    operators: tuple[Operator, ...] = ()
    operator_quorum: int
    anchors: tuple[Anchor, ...] = ()
    admitted: tuple[int, ...] = ()
    """uids besides the process's own whose questions are answered."""

    def __post_init__(self) -> None:
        """Refuse a quorum that nobody could meet, and none at all outside a rehearsal."""
        super().__post_init__()
        homes = self.homes()
        if self.softfile is None and not homes:
            raise ValueError("neither softfile nor a section such as [[pkcs11]] says where keys are kept")
        if len(homes) > MAX_HOMES:
            raise ValueError(f"{len(homes)} tokens and clouds are named; at most {MAX_HOMES} are served")
        if not 0 <= self.operator_quorum <= len(self.operators):
            raise ValueError(f"operator_quorum is {self.operator_quorum} and {len(self.operators)} operators are named")
        if self.operator_quorum < DUAL and not self.rehearsal:
            raise ValueError(
                f"operator_quorum is {self.operator_quorum}, which only a rehearsal signer may have: "
                f"what makes, wakes or destroys a key takes {DUAL} people"
            )
        if len({each.public_key for each in self.operators}) != len(self.operators):
            raise ValueError("two operators have the same public key, so that one person could be both")
        if any(len(operator.public_key) != 32 for operator in self.operators):
            raise ValueError("an operator's public_key is not an Ed25519 key of 32 octets")
        for distinct in ({one.name for one in self.operators}, {one.public_key for one in self.operators}):
            if len(distinct) < len(self.operators):
                raise ValueError("an operator's name or key stands there twice; one person must not count as two")


class WitnessSection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[[witness]]``: one who cosigns the log's heads."""

    vkey: str
    """Its C2SP verifier key, of type 0x04 (cosignature/v1)."""
    url: str
    """Its submission prefix, http or https (C2SP tlog-witness)."""

    def verifier(self) -> Verifier:
        """Return the key; ValueError if it is none of a witness."""
        try:
            key = parse_vkey(self.vkey)
        except BadInput as error:
            raise ValueError(str(error)) from None
        if key.key_type is not KeyType.COSIGNATURE_V1:
            raise ValueError(f"the verifier key of {key.name} is not that of a witness (type 0x04)")
        return key


class LoggerSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``logger.toml``."""

    origin: str
    """The log's name, such as ``seal.example/log1`` (C2SP tlog-checkpoint)."""
    public: str
    """The directory of tiles and checkpoint, which everybody may read."""
    mark: str
    """The file of the log's mark; on another disk than the journal, so that no restore puts back both."""
    journal: str = "journal.sqlite3"
    """A SQLite file, or a database ``postgresql://...`` that a standby logger shares."""
    key: str = "log.key"
    witness: tuple[WitnessSection, ...] = ()
    quorum: int = 0
    """How many of the witnesses must cosign a head before it is published."""
    witness_seconds: float = 5.0
    """How long a round of the witnesses may take."""
    admitted: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a quorum that cannot be met or that asks for nobody, and a witness that counts twice."""
        if len(self.witness) > MAX_WITNESSES:
            raise ValueError(f"{len(self.witness)} witnesses are named; at most {MAX_WITNESSES} are asked")
        if not min(1, len(self.witness)) <= self.quorum <= len(self.witness):
            raise ValueError(f"quorum is {self.quorum} and {len(self.witness)} witnesses are named")
        if not 0 < self.witness_seconds <= 60:
            raise ValueError("witness_seconds is not between 0 and 60")
        keys = [each.verifier() for each in self.witness]
        for distinct in ({key.name for key in keys}, {key.public_key for key in keys}):
            if len(distinct) < len(keys):
                raise ValueError("a witness's name or key stands there twice; one must not count as two")
        for each in self.witness:
            if urlsplit(each.url).scheme not in ("http", "https") or not urlsplit(each.url).hostname:
                raise ValueError("a witness's url is no http or https address")

    @property
    def on_postgresql(self) -> bool:
        """Tell whether the journal is in a database server."""
        return self.journal.startswith(POSTGRESQL)


class WitnessSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``witness.toml``."""

    name: str
    """The witness's name, a URL without its scheme (C2SP tlog-cosignature)."""
    key: str = "witness.key"
    records: str = "records"
    """The directory of the heads last cosigned."""
    second_records: str = "second-records"
    """Where they are kept once more; on another disk, so that no restore puts back both."""
    logs: tuple[str, ...] = ()
    """Verifier keys of the logs that are witnessed."""

    def __post_init__(self) -> None:
        """Refuse a log that is named twice, and keys that are none of a log."""
        try:
            keys = [parse_vkey(each) for each in self.logs]
        except BadInput as error:
            raise ValueError(str(error)) from None
        if any(key.key_type is not KeyType.ED25519 for key in keys):
            raise ValueError("one of the logs' verifier keys is not that of a log (type 0x01)")
        if len({key.name for key in keys}) < len(keys):
            raise ValueError("a log stands there twice")


class FormerKey(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[[former]]``: a timestamp key that signs no more, and is still where it was until it is removed."""

    key: str
    """Its URI in the key store."""
    chain: str
    """Its certificates, PEM."""


class WaitingKey(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[waiting]``: a timestamp key that has no certificate yet, so that it signs its request and nothing else."""

    label: str
    """Its label in the key store, written down before it is born, so that it is found again after a crash."""
    scheme: str
    key: str = ""
    """Its URI in the key store; empty while nobody wrote down that it was born."""
    request: str = ""
    """The file of its request (PKCS #10, PEM), once another CA was asked; empty before."""


class StamperSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``stamper.toml``."""

    softfile: SoftFileSection | None = None
    """The timestamp key is in a file, or in a token: one of the two."""
    pkcs11: Pkcs11Section | None = None
    key: str
    """URI of the timestamp key in the key store."""
    chain: str = "chain.pem"
    """Certificates, PEM, the authority's own first, without the root."""
    policy: str = "2.23.140.1.4.2"
    """OID under which tokens are given; the default is the CA/Browser Forum's for timestamping (CSBR 7.1.6.1)."""
    other_policies: Annotated[tuple[str, ...], Meta(max_length=MAX_POLICIES)] = ()
    """OIDs under which tokens are given to whoever asks for them, each at an address of its own."""
    mark: str = "time.mark"
    stamps: str = "stamps.sqlite3"
    """The file in which every token stands, and what became of the clock."""
    rehearsal: bool = False
    """A rehearsal's stamper may believe the clock of its machine; every other asks time servers."""
    time_servers: Annotated[tuple[str, ...], Meta(max_length=MAX_TIME_SERVERS)] = ()
    """Whom to ask for the time: ``host`` or ``host:port`` by NTP, ``chrony:NAME`` a source of this machine's chronyd;
    four at least, of different operators."""
    chrony_port: Annotated[int, Meta(ge=1, le=65535)] = cmdmon.PORT
    """UDP port, on loopback, at which chronyd tells its state: ``cmdport`` of chrony.conf."""
    time_period: Annotated[float, Meta(ge=1, le=1024)] = 64.0
    """Seconds between two rounds of questions; a server may refuse who asks oftener than every 64."""
    time_limit: Annotated[float, Meta(gt=0, le=1)] = 1.0
    """Seconds by which the clock may be off before no time is given."""
    legacy: bool = False
    """Whether timestamp requests of Authenticode from before RFC 3161 are answered, at ``/tsa/authenticode``."""
    anchors: tuple[Anchor, ...] = ()
    """Anchors of a private authority, as the signer pins them; with ``legacy`` the chain must lead to one."""
    former: Annotated[tuple[FormerKey, ...], Meta(max_length=64)] = ()
    """Keys before this one, which must be removed 18 months after the issue of their certificates (CSBR 6.3.2)."""
    waiting: WaitingKey | None = None
    """The next key, while its certificate is not there; the stamper does not use it."""
    experiment: bool = False
    """Whether the key may be of a kind that verifiers do not know yet (ML-DSA)."""
    admitted: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Refuse two homes for one key, and none; too few time servers; names that are none."""
        if (self.softfile is None) == (self.pkcs11 is None):
            raise ValueError("one of softfile and pkcs11 says where the timestamp key is kept")
        for each in self.policies:
            if not _OID.fullmatch(each):
                raise ValueError("a policy is no dotted object identifier")
        servers = self.time_servers
        if len(servers) < LEAST_SOURCES and (servers or not self.rehearsal):
            raise ValueError(
                f"time_servers names {len(servers)}; {LEAST_SOURCES} were expected, so that three still agree where one"
                " is wrong. Only a rehearsal stamper (rehearsal = true) may ask none"
            )
        try:
            places = [timesources.place(each) for each in servers]
        except BadInput as error:
            raise ValueError(error.detail.removesuffix(".")) from None
        if len(set(places)) < len(places):
            raise ValueError("a time server stands there twice; one must not count as two")

    @property
    def policies(self) -> tuple[str, ...]:
        """All policies, the one for whoever asks for none first."""
        return (self.policy, *self.other_policies)


class IssuerSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``issuer.toml``, of a rehearsal's CA."""

    key: str = "../rehearsal-ca/ca.key"
    """Keys and certificates of its three CAs, PEM."""
    register: str = "register.sqlite3"
    """What it has issued and revoked."""
    admitted: tuple[int, ...] = ()


def load(path: Path, kind: type[_S]) -> _S:
    """Read settings; Misused, which names the field and no value, if they are wrong or others can read them."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC), "rb") as file:
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise Misused(f"Others than its owner can read {path}, which holds secrets.", hint=f"chmod 600 {path}")
            content = file.read(MAX_SETTINGS_OCTETS)
    except OSError as error:
        raise Misused(f"{path} cannot be read: {error.strerror}.") from None
    try:
        return msgspec.convert(tomllib.loads(content.decode("utf-8")), kind)
    except msgspec.ValidationError as error:
        from privyseal.terms.wrong_settings import expected  # only where something is wrong

        raise Misused(f"{path}: {error}.", hint=expected(error, kind)) from None
    except (ValueError, RecursionError):
        raise Misused(f"{path} is not TOML.") from None  # the parser's own words quote the file


def read_homes(path: Path) -> list[tuple[str, Home]]:
    """Read the sections of homes of keys that a file has, as the signer's settings have them; paths beside it.

    Misused, which names the field and no value, if there is none or anything else.
    """
    homes = load(path, Homes).homes()
    if not homes:
        raise Misused(f"{path} has no section such as [[awskms]].", hint="it says where keys are kept")
    return [(store, home.placed(path.resolve().parent)) for store, home in homes]
