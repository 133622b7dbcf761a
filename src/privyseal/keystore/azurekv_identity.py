"""Who we are to Azure: an application by its secret or a workload's token, or the machine's managed identity.

Microsoft identity platform, "OAuth 2.0 client credentials flow"; "How managed identities for Azure resources work".
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from urllib.parse import urlencode

from privyseal.keystore.azurekv import AzureKvSection
from privyseal.keystore.clouds import read_secret
from privyseal.keystore.rest import Bearer, Grant, ca_file_of, granted
from privyseal.keystore.wire import Wire

_BY_TOKEN = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"  # noqa: S105 - RFC 7523 section 2.2
_FORM = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}


def bearer(section: AzureKvSection, clock: Callable[[], datetime], audience: str) -> Bearer:
    """Return the tokens of whom a section says, good for one audience, such as ``https://vault.azure.net``."""
    if section.metadata:
        wire = Wire("Azure's metadata server", section.address("metadata"), None, section.timeout / 3)
        asked = {"api-version": "2018-02-01", "resource": audience}
        if section.client is not None:
            asked["client_id"] = section.client
        path = f"/metadata/identity/oauth2/token?{urlencode(asked)}"
        return Bearer(lambda: _of_machine(wire, path), clock, wire)
    wire = Wire("Microsoft Entra", section.address("login"), ca_file_of(section.ca_file), section.timeout / 3)
    return Bearer(lambda: _of_application(section, wire, audience), clock, wire)


def _of_machine(wire: Wire, path: str) -> Grant:
    return granted(wire, "GET", path, {"Metadata": "true"})


def _of_application(section: AzureKvSection, wire: Wire, audience: str) -> Grant:
    """Log in with what the file holds at this moment, since somebody may have replaced it."""
    secret = read_secret(Path(section.secret or ""))
    form = {"grant_type": "client_credentials", "client_id": section.client or "", "scope": f"{audience}/.default"}
    if section.token_file is not None:
        form |= {"client_assertion_type": _BY_TOKEN, "client_assertion": secret}
    else:
        form["client_secret"] = secret
    return granted(wire, "POST", f"/{section.tenant}/oauth2/v2.0/token", _FORM, urlencode(form).encode("ascii"))
