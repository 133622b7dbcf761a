"""What the tests of patching share: a file of either size, and either way of carrying a plan out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.formats.patching import BIG, content

from privyseal.formats import patch
from privyseal.formats.patch import Ahead, carry_out
from privyseal.formats.protocol import PatchPlan
from privyseal.formats.source import FileSource


@pytest.fixture(params=["small", "large"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "source.bin"
    path.write_bytes(content(1000 if request.param == "small" else BIG))
    return path


@pytest.fixture(params=["at once", "ahead"], scope="module")
def write(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Return what carries a plan out: in one go, or with the source copied ahead."""

    def at_once(path: Path, target: Path, plan: PatchPlan, follow: patch.Follower | None = None) -> None:
        with FileSource.open(path) as source:
            carry_out(plan, source, target, follow=follow)

    def ahead(path: Path, target: Path, plan: PatchPlan, follow: patch.Follower | None = None) -> None:
        with FileSource.open(path) as source, Ahead(source, target) as begun:
            begun.carry_out(plan, follow=follow)

    return at_once if request.param == "at once" else ahead
