"""What no test of compliance may depend on: lists that somebody has put on this machine."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _no_list_of_known_keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
