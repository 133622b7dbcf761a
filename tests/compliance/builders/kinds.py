"""What makes a subject out of a case's words: one file for each kind of subject, and this list of them."""

from collections.abc import Callable
from typing import Any

from tests.compliance.builders import certificate, crl, ocsp, request, service, token

BUILDERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "certificate": certificate.build,
    "certificate-request": request.build,
    "crl": crl.build,
    "ocsp-response": ocsp.build,
    "timestamp-token": token.build,
    **service.BUILDERS,
}
"""Kind of subject, as a case file names it -> what builds one from ``subject``; it raises for an unknown word."""
