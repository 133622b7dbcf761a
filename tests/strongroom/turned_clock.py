"""Runs a guarded process whose clock a test can turn: it is ahead by the seconds in the file ``ahead`` of its room."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from privyseal.strongroom import run

_AHEAD = Path(sys.argv[sys.argv.index("--config") + 1]).resolve().parent / "ahead"


def clock() -> datetime:
    ahead = float(_AHEAD.read_text() or 0) if _AHEAD.exists() else 0.0
    return datetime.now(UTC) + timedelta(seconds=ahead)


if __name__ == "__main__":
    run.clock = clock
    sys.exit(run.main())
