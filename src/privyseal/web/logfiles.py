"""``GET /log/...``: the log as static files, exactly as C2SP tlog-tiles names them, and nothing else of the disk."""

from __future__ import annotations

import re
from pathlib import Path

from litestar import Response
from litestar.params import FromPath

from privyseal.errors import NotFound
from privyseal.web.desk import TheDesk

_INDEX = r"(?:x[0-9]{3}/){0,6}[0-9]{3}"
"""A tile's index in groups of three digits; seven groups hold 2**69, more than a log can have tiles."""
_PARTIAL = r"(?:\.p/(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9][0-9]?))?"
"""The width of a partial tile, 1 to 255; a full one has no suffix."""
_LEVEL = r"(?:entries|6[0-3]|[1-5][0-9]|[0-9])"
_TILE = re.compile(rf"tile/{_LEVEL}/{_INDEX}{_PARTIAL}", re.ASCII)

_IMMUTABLE = "public, max-age=31536000, immutable"


def kind_of(path: str) -> tuple[str, str] | None:
    """Return media type and Cache-Control of a path below ``/log/``; None where the log has no file of such a name."""
    if path == "checkpoint":
        return "text/plain", "no-cache"  # Litestar adds the charset
    if _TILE.fullmatch(path):
        return "application/octet-stream", _IMMUTABLE
    return None


async def log_file(path: FromPath[str], desk: TheDesk) -> Response[bytes]:
    """Read the log: checkpoint, hash tiles and entry bundles (C2SP tlog-tiles).

    A partial tile may be gone once the full one is there; readers then ask for that.
    """
    name = path.removeprefix("/")
    kind = kind_of(name)
    octets = None if kind is None else await desk.file(lambda: _read(desk.public_log / name))
    if kind is None or octets is None:
        raise NotFound(f"The log has no file {name[:200]!r}.", hint="see C2SP tlog-tiles for the names there can be")
    return Response(octets, media_type=kind[0], headers={"Cache-Control": kind[1]})


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
