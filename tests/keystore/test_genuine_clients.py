"""The stand-ins of Google and Azure judged by those clouds' own client libraries, which our clients never load.

Each library speaks to the stand-in as to the real service, with a key that our client made there, and gets a signature
that verifies. So what our clients are tested against is not only our own idea of the services.
"""

from __future__ import annotations

import hashlib
import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from tests.homes import azure_section, gcp_section
from tests.stubs.azurekv import AzureStub
from tests.stubs.gcpkms import RING, GcpStub

from privyseal.keystore.azurekv_client import AzureKvClient
from privyseal.keystore.gcpkms_client import GcpKmsClient, crc32c
from privyseal.pki import certificates
from privyseal.terms.signatures import SCHEMES, ToBeSigned

TBS = ToBeSigned(b"hello", "sha256")
DIGEST = hashlib.sha256(TBS.octets).digest()


def test_google_s_own_library_meets_what_it_knows(tmp_path: Path) -> None:
    """It makes a key, reads ours and its public key, signs with checksums, and destroys it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from google.auth.transport.requests import AuthorizedSession
        from google.cloud import kms_v1
        from google.cloud.kms_v1.services.key_management_service.transports import KeyManagementServiceRestTransport
        from google.oauth2 import service_account
    stub = GcpStub(tmp_path / "google")
    stub.write_credentials()
    ours = GcpKmsClient(gcp_section(stub), lambda: datetime.now(UTC))
    ours.generate("demo/app", SCHEMES["ecdsa-p256"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        credentials = service_account.Credentials.from_service_account_file(str(stub.credentials))
        credentials = credentials.with_always_use_jwt_access(True).with_scopes(
            ["https://www.googleapis.com/auth/cloud-platform"]
        )
        transport = KeyManagementServiceRestTransport(host=stub.url, credentials=credentials)
        session = transport._session
        assert isinstance(session, AuthorizedSession)
        session.verify, session.trust_env = str(stub.ca_file), False
        library: Any = kms_v1.KeyManagementServiceClient(transport=transport)
        made = library.create_crypto_key(
            parent=RING,
            crypto_key_id="theirs",
            crypto_key=kms_v1.CryptoKey(
                purpose=kms_v1.CryptoKey.CryptoKeyPurpose.ASYMMETRIC_SIGN,
                version_template=kms_v1.CryptoKeyVersionTemplate(
                    algorithm="EC_SIGN_P384_SHA384", protection_level="HSM"
                ),
                destroy_scheduled_duration={"seconds": 86400},
            ),
        )
        assert made.name == f"{RING}/cryptoKeys/theirs"
        version = f"{RING}/cryptoKeys/demo_app/cryptoKeyVersions/1"
        found = library.get_crypto_key_version(name=version)
        assert (found.state.name, found.protection_level.name) == ("ENABLED", "HSM")
        public = library.get_public_key(name=version)
        assert public.pem_crc32c == crc32c(public.pem.encode())
        told = library.asymmetric_sign(
            request={"name": version, "digest": {"sha256": DIGEST}, "digest_crc32c": crc32c(DIGEST)}
        )
        assert told.verified_digest_crc32c and told.signature_crc32c == crc32c(told.signature)
        spki = ours.public_key("demo/app", b"demo_app:1")
        key = serialization.load_pem_public_key(public.pem.encode())
        assert spki == key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        certificates.verify(spki, TBS, told.signature)
        assert library.destroy_crypto_key_version(name=version).state.name == "DESTROY_SCHEDULED"
        session.close()
    ours.close()
    stub.close()


def test_azure_s_own_library_meets_what_it_knows(tmp_path: Path) -> None:
    """It reads the key that we made, signs with it, makes one itself, and deletes it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from azure.core.credentials import AccessToken
        from azure.core.pipeline.transport import RequestsTransport
        from azure.keyvault.keys import KeyClient
        from azure.keyvault.keys.crypto import CryptographyClient, SignatureAlgorithm
    stub = AzureStub(tmp_path / "azure")
    ours = AzureKvClient(azure_section(stub), lambda: datetime.now(UTC))
    key = ours.generate("demo/app", SCHEMES["ecdsa-p256"])
    stub.tokens["canary.theirs"] = "https://vault.azure.net"

    class Known:
        """A credential that somebody else got."""

        def get_token(self, *_: str, **__: object) -> Any:
            return AccessToken("canary.theirs", 2**33)

    credential: Any = Known()
    with RequestsTransport(connection_verify=str(stub.ca_file)) as transport:
        common: dict[str, Any] = {
            "api_version": "7.6",
            "transport": transport,
            "verify_challenge_resource": False,
            "retry_total": 0,
        }
        library = KeyClient(stub.url, credential, **common)
        found = library.get_key("demo-0app")
        assert (found.key_type, found.properties.exportable) == ("EC-HSM", False)
        assert found.properties.hsm_platform == "2" and found.properties.tags == {"privyseal": "demo/app"}
        identifier = f"{stub.url}/keys/demo-0app/{key.decode().partition(':')[2]}"
        signing = CryptographyClient(identifier, credential, **common)
        told = signing.sign(SignatureAlgorithm.es256, DIGEST)
        half = len(told.signature) // 2
        from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

        value = encode_dss_signature(
            int.from_bytes(told.signature[:half], "big"), int.from_bytes(told.signature[half:], "big")
        )
        certificates.verify(ours.public_key("demo/app", key), TBS, value)
        made = library.create_ec_key("theirs", curve="P-384", hardware_protected=True, key_operations=["sign"], tags={})
        assert made.key.crv == "P-384"
        assert library.begin_delete_key("theirs").result().name == "theirs"
    ours.close()
    stub.close()
