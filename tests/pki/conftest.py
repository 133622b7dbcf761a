"""One rehearsal CA for all tests of this folder: its three RSA keys take seconds to make."""

from __future__ import annotations

import pytest
from tests.pki.mint import NOW

from privyseal.pki.rehearsal import RehearsalAuthority


@pytest.fixture(scope="session")
def authority() -> RehearsalAuthority:
    """Return a CA that nobody changes."""
    return RehearsalAuthority.create(NOW, "Example GmbH")
