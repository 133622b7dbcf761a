"""Messages to webhooks: what may have become of one."""

from __future__ import annotations

from typing import Literal, TypeAlias

DeliveryState: TypeAlias = Literal["waiting", "done", "dead"]
"""``waiting`` for its next try, ``done`` when it was taken, ``dead`` when nobody tries any more."""
