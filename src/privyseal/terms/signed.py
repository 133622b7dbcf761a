"""By which of its digests something signed is found again."""

from __future__ import annotations

from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["content", "signature", "file"]
"""What a digest is of: the content that a format hashes, the signature blob, or the whole finished file."""
