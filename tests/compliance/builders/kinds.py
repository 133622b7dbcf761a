"""What makes a subject out of a case's words: one file for each kind of subject, and this list of them."""

from collections.abc import Callable
from typing import Any

from tests.compliance.builders import certificate

BUILDERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "certificate": certificate.build,
}
"""Kind of subject, as a case file names it -> what builds one from ``subject``; it raises for an unknown word."""
