"""The key stores, by the scheme of the URIs they give out: a list one can read.

An adaptor for another home of keys is one file beside these and one line here, and a field of that name in the
settings of the signer (``strongroom/settings.py``). It imports its vendor's library only in the worker that uses it,
because a machine has one of them and not the others.
"""

from __future__ import annotations

from privyseal.errors import NotFound
from privyseal.keystore.away import Away
from privyseal.keystore.awskms import AwsKms
from privyseal.keystore.azurekv import AzureKv
from privyseal.keystore.gcpkms import GcpKms
from privyseal.keystore.pkcs11 import Pkcs11
from privyseal.keystore.softfile import SoftFile
from privyseal.keystore.vault import Vault

KEY_STORES: dict[str, type[Away | SoftFile]] = {
    "pkcs11": Pkcs11,  # hardware modules, and SoftHSM for trying them out
    "awskms": AwsKms,  # AWS Key Management Service
    "gcpkms": GcpKms,  # Google Cloud KMS and Cloud HSM
    "azurekv": AzureKv,  # Azure Key Vault and Managed HSM
    "vault": Vault,  # the Transit engine of HashiCorp Vault and OpenBao: software
    "softfile": SoftFile,  # files under a passphrase: rehearsal and closed PKIs only
}
"""Every home for keys, by the name with which its URIs begin."""
AWAY: dict[str, type[Away]] = {name: kind for name, kind in KEY_STORES.items() if issubclass(kind, Away)}
"""Those that are spoken to by workers."""


def store_name(uri: str) -> str:
    """Return the name in ``KEY_STORES`` of the store that gave out ``uri``; NotFound if there is none."""
    name = uri.partition(":")[0]
    if name not in KEY_STORES:
        raise NotFound(
            f"No key store gives out URIs that begin with {name[:32]}.", hint="known: " + ", ".join(KEY_STORES)
        )
    return name
