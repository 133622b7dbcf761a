"""Where the programs ``privyseal`` and ``privyseal-signtool`` begin; `python -m privyseal` is the former.

To import a command makes some 50,000 objects, all of which stay. Looking through them for garbage, twenty times over,
takes a tenth of the time until a small file is signed; so that begins when the command is there (``cli/main.py``).

msgspec takes what it needs of ``typing_extensions`` where that is installed, and of ``typing`` where it is not; from
Python 3.11 on it is the same there. The former takes 8 ms to import, a twelfth of what a small file takes.
"""

from __future__ import annotations

import gc
import sys
from typing import NoReturn

_UNUSED = "typing_extensions"


def privyseal() -> NoReturn:
    """Run the command line and exit."""
    _begin()
    from privyseal.cli.main import main

    main()


def signtool() -> NoReturn:
    """Run the command line that takes signtool's arguments, and exit."""
    _begin()
    from privyseal.cli.signtool import main

    main()


def _begin() -> None:
    """Put off looking for garbage, and import msgspec as if what it can do without were not there."""
    gc.disable()
    if _UNUSED in sys.modules:
        return
    sys.modules[_UNUSED] = None  # type: ignore[assignment]  # an import of it then fails (importlib's documentation)
    try:
        import msgspec  # noqa: F401
    finally:
        del sys.modules[_UNUSED]


if __name__ == "__main__":
    privyseal()
