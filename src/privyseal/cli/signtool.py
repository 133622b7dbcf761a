"""``privyseal-signtool``: for builds that call Microsoft's ``signtool.exe``, and take another program of its manners.

It takes signtool's arguments, prints lines like its, and ends with its codes: 0 done, 1 not all done, 2 done with
warnings. What it does is what ``privyseal sign``, ``verify``, ``timestamp`` and ``remove`` do, with the service, key
and trust that environment and configuration files name; nothing is decided here. So a signature that waits for approval
ends with 1, and the same call again finds it.

Where the two differ, this keeps to signtool where a build would break otherwise (somebody else's signature is replaced,
``/as`` adds one; ``PRIVYSEAL_IF_SIGNED`` says otherwise), and to Privy Seal where a signature would be worth less: a
service timestamps in any case, by its own authority, and SHA-1 is refused.

People and programs read signtool on stdout, so that is where its lines go; errors go to stderr.
"""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, NoReturn

from privyseal import __version__
from privyseal.cli.lifetime import collect_from_here, leave
from privyseal.cli.signtool_arguments import Parsed, parse
from privyseal.cli.signtool_words import FAILURE, SUCCESS, fail
from privyseal.errors import PrivySealError

COMMANDS = {
    "sign": "privyseal.cli.signtool_sign:sign_files",
    "verify": "privyseal.cli.signtool_checks:verify_files",
    "timestamp": "privyseal.cli.signtool_checks:timestamp_files",
    "remove": "privyseal.cli.signtool_checks:remove_from_files",
}
"""Where each command is; it is loaded when it is the one that is run, for a build starts this program once a file."""

USAGE = f"""privyseal-signtool {__version__}: sign code as signtool.exe does, with Privy Seal

  privyseal-signtool sign      [/n NAME | /sha1 HASH | /f FILE [/p PASSWORD]]
                               [/fd ALG] [/tr URL /td ALG] [/d TEXT] [/du URL]
                               [/as] FILE...
  privyseal-signtool verify    /pa [/all] [/tw] FILE...
  privyseal-signtool timestamp /tr URL [/td ALG] FILE...
  privyseal-signtool remove    /s FILE...

All take /v, /q and /debug. Service, key and trust are configured as for
privyseal (PRIVYSEAL_PROFILE, PRIVYSEAL_KEY, ...). PRIVYSEAL_IF_SIGNED says
what to do with files that somebody else has signed, PRIVYSEAL_RECEIPTS where
receipts go.

Exit codes: 0 done, 1 not all done, 2 done with warnings.
"""
"""What ``/?`` prints, within 80 columns."""


def main() -> NoReturn:
    """Run the program and exit."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    signal.signal(signal.SIGTERM, _terminated)
    leave(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Do what the arguments ask and return the exit code; every error ends here."""
    if not arguments or arguments[0].lower() in ("/?", "-?", "/help", "--help", "-h", "help"):
        sys.stdout.write(USAGE)
        return SUCCESS if arguments else FAILURE
    debug = any(one.lower() in ("/debug", "-debug") for one in arguments)
    try:
        parsed = parse(arguments)
        code = _command(parsed)(parsed)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        fail("Interrupted; nothing half-written is left.")
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except PrivySealError as error:
        _traceback(debug)
        fail(error.detail, error.hint)
    except OSError as error:
        from privyseal.cli.main import from_os_error

        _traceback(debug)
        fail(from_os_error(error).detail)
    except Exception as error:
        _traceback(debug)
        fail(f"This is a bug in Privy Seal ({type(error).__name__}).", "please report it, with what /debug shows")
    return FAILURE


def _command(parsed: Parsed) -> Callable[[Parsed], int]:
    module, _, name = COMMANDS[parsed.command].partition(":")
    command: Any = getattr(import_module(module), name)
    collect_from_here()
    return command  # type: ignore[no-any-return]


def _traceback(debug: bool) -> None:
    if debug:
        import traceback

        traceback.print_exc()


def _terminated(_signal: int, _frame: object) -> NoReturn:
    raise SystemExit(143)
