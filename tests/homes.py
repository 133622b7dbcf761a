"""Key stores with real workers for tests: clouds, each in front of a stand-in that holds real keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.stubs.awskms import REGION, AwsStub
from tests.stubs.azurekv import CLIENT, TENANT, VAULT, AzureStub
from tests.stubs.gcpkms import RING, GcpStub
from tests.stubs.server import Stub
from tests.stubs.vault import VaultStub

from privyseal.keystore.away import Away
from privyseal.keystore.awskms import AwsKms, AwsKmsSection
from privyseal.keystore.azurekv import AzureKv, AzureKvSection
from privyseal.keystore.gcpkms import GcpKms, GcpKmsSection
from privyseal.keystore.homes import Home
from privyseal.keystore.vault import Vault, VaultSection
from privyseal.strongroom.children import TokenChild
from privyseal.strongroom.nursery import Nursery


@contextmanager
def store(folder: Path, kind: type[Away], *sections: Home) -> Iterator[tuple[Away, list[TokenChild], list[str]]]:
    """Open a key store with real workers; also the children, and what the operator is told."""
    notes: list[str] = []
    nursery = Nursery([(kind.store, each) for each in sections], folder / "pins")
    children = [TokenChild(nursery, number, 2, notes.append) for number in range(len(sections))]
    keys = kind(children, nursery.close)
    try:
        yield keys, children, notes
    finally:
        keys.close()


class Cloud(NamedTuple):
    """A cloud as the shared tests want it."""

    kind: type[Away]
    stub: Callable[[Path], Stub]
    section: Callable[..., Home]
    """Makes a section for a stub; keywords replace fields."""
    sign: str
    """What its orders call a signature."""
    make: str
    """What they call the making of a key."""
    throttled: str
    """The fault that means: not done, ask again soon."""
    unsure: str
    """A fault that leaves open whether it was done."""
    lacks: tuple[str, ...] = ()
    """Schemes and paddings that it does not have."""


def aws_section(stub: AwsStub, **changes: object) -> AwsKmsSection:
    """Return settings for a stub of AWS."""
    plain: dict[str, object] = {
        "name": "prod",
        "region": REGION,
        "credentials_file": str(stub.credentials),
        "endpoint": stub.url,
        "ca_file": str(stub.ca_file),
        "sessions": 2,
        "timeout": 9.0,
    }
    return AwsKmsSection(**(plain | changes))  # type: ignore[arg-type]


def vault_section(stub: VaultStub, **changes: object) -> VaultSection:
    """Return settings for a stub of Vault."""
    plain: dict[str, object] = {
        "name": "prod",
        "url": stub.url,
        "token_file": str(stub.credentials),
        "ca_file": str(stub.ca_file),
        "sessions": 2,
        "timeout": 9.0,
    }
    return VaultSection(**(plain | changes))  # type: ignore[arg-type]


def gcp_section(stub: GcpStub, **changes: object) -> GcpKmsSection:
    """Return settings for a stub of Google."""
    plain: dict[str, object] = {
        "name": "prod",
        "key_ring": RING,
        "credentials_file": str(stub.credentials),
        "endpoint": stub.url,
        "logging_endpoint": stub.url,
        "projects_endpoint": stub.url,
        "ca_file": str(stub.ca_file),
        "sessions": 2,
        "timeout": 9.0,
        "generate_timeout": 9.0,
    }
    return GcpKmsSection(**(plain | changes))  # type: ignore[arg-type]


def azure_section(stub: AzureStub, **changes: object) -> AzureKvSection:
    """Return settings for a stub of Azure."""
    plain: dict[str, object] = {
        "name": "prod",
        "vault": VAULT,
        "tenant": TENANT,
        "client": CLIENT,
        "secret_file": str(stub.credentials),
        "endpoint": stub.url,
        "login_endpoint": stub.url,
        "manage_endpoint": stub.url,
        "logs_endpoint": stub.url,
        "ca_file": str(stub.ca_file),
        "sessions": 2,
        "timeout": 9.0,
    }
    return AzureKvSection(**(plain | changes))  # type: ignore[arg-type]


CLOUDS: dict[str, Cloud] = {
    "awskms": Cloud(AwsKms, AwsStub, aws_section, "Sign", "CreateKey", "ThrottlingException", "KMSInternalException"),
    "gcpkms": Cloud(
        GcpKms,
        GcpStub,
        gcp_section,
        "asymmetricSign",
        "create",
        "RESOURCE_EXHAUSTED",
        "UNAVAILABLE",
        lacks=("ecdsa-p521", "pss"),
    ),
    "azurekv": Cloud(AzureKv, AzureStub, azure_section, "sign", "create", "429", "503"),
    "vault": Cloud(Vault, VaultStub, vault_section, "sign", "create", "429", "500"),
}
"""Every cloud, by the name of its store."""
