"""Where the programs ``privyseal`` and ``privyseal-signtool`` begin; `python -m privyseal` is the former.

To import a command makes some 50,000 objects, all of which stay. Looking through them for garbage, twenty times over,
takes a tenth of the time until a small file is signed; so that begins when the command is there (``cli/main.py``).
"""

from __future__ import annotations

import gc
from typing import NoReturn


def privyseal() -> NoReturn:
    """Run the command line and exit."""
    gc.disable()
    from privyseal.cli.main import main

    main()


def signtool() -> NoReturn:
    """Run the command line that takes signtool's arguments, and exit."""
    gc.disable()
    from privyseal.cli.signtool import main

    main()


if __name__ == "__main__":
    privyseal()
