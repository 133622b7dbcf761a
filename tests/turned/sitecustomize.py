"""Python runs this in every process whose PYTHONPATH names this folder: a stamper's clock can be turned by a test.

It is ahead by the seconds in the file ``ahead`` of the stamper's room. Every other process is left alone.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

if "privyseal.strongroom.run" in sys.orig_argv and "stamper" in sys.orig_argv:
    from privyseal.strongroom import rooms

    _build = rooms.ROOMS["stamper"]

    def _turned(config: Path, clock: Any, *given: Any, **more: Any) -> Any:
        ahead = config.parent / "ahead"

        def turned() -> datetime:
            return datetime.now(UTC) + timedelta(seconds=float(ahead.read_text() or 0) if ahead.exists() else 0.0)

        return _build(config, turned, *given, **more)

    rooms.ROOMS["stamper"] = _turned
