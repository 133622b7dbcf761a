"""The arguments of Microsoft's ``signtool.exe``, read as it reads them.

Source: Microsoft, "SignTool.exe (Sign Tool)", of the Windows SDK 10. An option begins with ``/`` or ``-`` and is the
same in upper and lower case; its value is the next argument. What is not an option is a file, and may hold ``*`` and
``?``. On Linux a path begins with ``/`` too: what looks like an option and is none is a file if there is one of that
name, or if it has another ``/`` in it.

Every option that signtool has is in the tables below. One that has no meaning here is refused with a sentence that says
what to do, so that nobody believes that something was done which was not. No value is ever repeated in a message, as
some are secret (``/p``, and ``/kc``, which may hold a PIN).
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Mapping, Sequence

import msgspec

from privyseal.errors import BadInput, Misused

FLAG, VALUE = 0, 1
"""How many values an option takes."""

_OWN_KEY = "names a key on this machine; the key of a service is chosen by /n, /sha1 or PRIVYSEAL_KEY"
_SPLIT = "takes a signature apart into steps; here the file stays on this machine in any case, so leave it out"
_SEAL = "asks for a seal, which only Windows' own packages use; leave it out"
_PKCS7 = "asks for a PKCS #7 file of any content; here code is signed, so leave it out"
_OLD_STAMP = "asks for a timestamp of the old kind, by SHA-1; use /tr URL /td SHA256"
_CHAIN = "adds a certificate of yours; a service sends the chain of its key, and a file for /f can hold it"
_TALK: dict[str, int] = {"q": FLAG, "v": FLAG, "debug": FLAG}

TAKEN: dict[str, dict[str, int]] = {
    "sign": {
        "a": FLAG, "as": FLAG, "d": VALUE, "du": VALUE, "f": VALUE, "fd": VALUE, "i": VALUE, "n": VALUE,
        "nph": FLAG, "nosealwarn": FLAG, "p": VALUE, "ph": FLAG, "rmc": FLAG, "s": VALUE, "sha1": VALUE, "sm": FLAG,
        "t": VALUE, "td": VALUE, "tr": VALUE,
    } | _TALK,
    "verify": {"a": FLAG, "all": FLAG, "as": FLAG, "d": FLAG, "ms": FLAG, "pa": FLAG, "ph": FLAG, "tw": FLAG} | _TALK,
    "timestamp": {"td": VALUE, "tr": VALUE} | _TALK,
    "remove": {"s": FLAG} | _TALK,
}  # fmt: skip
"""What is understood, by command: the option in lower case, and how many values it takes."""

REFUSED: dict[str, dict[str, str]] = {
    "sign": {
        "ac": _CHAIN,
        "c": "asks for a certificate by its template, which only Windows knows; use /n or /sha1",
        "csp": _OWN_KEY,
        "dg": _SPLIT,
        "di": _SPLIT,
        "dlib": _OWN_KEY,
        "dmdf": _OWN_KEY,
        "ds": _SPLIT,
        "dxml": _SPLIT,
        "itos": _SEAL,
        "kc": _OWN_KEY,
        "p7": _PKCS7,
        "p7ce": _PKCS7,
        "p7co": _PKCS7,
        "r": "asks for a root by its name; use /n or /sha1",
        "sa": "adds an attribute of yours to the signature, which nobody here would have approved; leave it out",
        "seal": _SEAL,
        "tseal": _SEAL,
        "u": "asks for a purpose; what signs here is for code signing, so leave it out",
        "uw": "asks for a purpose; what signs here is for code signing, so leave it out",
    },
    "verify": {
        "ad": "looks in Windows' own catalogues, which are not here; leave it out",
        "ag": "looks in Windows' own catalogues, which are not here; leave it out",
        "bp": "asks for a policy of Windows' own; use /pa",
        "c": "looks for a file in a catalogue; verify the catalogue itself",
        "ca": "asks for an issuer; say whom you trust in PRIVYSEAL_TRUST",
        "ds": "chooses one signature; all are checked, so leave it out",
        "enclave": "asks for a policy of Windows' own; use /pa",
        "hash": "chooses a hash for catalogues; leave it out",
        "kp": "asks for Windows' policy for drivers, which only Windows checks; use /pa",
        "o": "asks for a version of Windows; use /pa",
        "p7": _PKCS7,
        "p7content": _PKCS7,
        "pg": "asks for a policy of Windows' own; use /pa",
        "r": "asks for a root by its name; say whom you trust in PRIVYSEAL_TRUST",
        "sha1": "asks for a signer; what is found is printed, so leave it out",
        "sl": _SEAL,
        "u": "asks for a purpose; code signing is asked for in any case, so leave it out",
    },
    "timestamp": {
        "p7": _PKCS7,
        "t": _OLD_STAMP,
        "tp": "chooses one signature; each that has no good timestamp gets one, so leave it out",
        "tseal": _SEAL,
    },
    "remove": {
        "c": "takes away certificates only; use /s, which takes the whole signature away",
        "u": "takes away attributes only; use /s, which takes the whole signature away",
    },
    "catdb": {},
}
"""What signtool has and this program has not, with a sentence each."""

MOST_FILES = 100_000
"""Files of one call; the command line of Linux holds about as many (ARG_MAX), and a wildcard may stand for more."""


class Parsed(msgspec.Struct, frozen=True):
    """What was asked."""

    command: str
    options: dict[str, str | None]
    """By name in lower case, without what begins it; None for one without a value."""
    files: tuple[str, ...]

    def __repr__(self) -> str:
        """Show no value: one may be secret."""
        return f"Parsed({self.command}, {sorted(self.options)}, {len(self.files)} files)"

    def has(self, name: str) -> bool:
        """Tell whether an option was given."""
        return name in self.options

    def get(self, name: str) -> str | None:
        """Return the value of an option, None where it was not given."""
        return self.options.get(name)


def parse(arguments: Sequence[str]) -> Parsed:
    """Read a command line without the program's name; Misused where it says nothing that is understood here."""
    if not arguments:
        raise Misused("A command is needed.", hint="privyseal-signtool sign, verify, timestamp or remove")
    command = arguments[0].lower().lstrip("/-")
    if command == "catdb":
        raise Misused("catdb changes Windows' own database of catalogues, which is not here.")
    if command not in TAKEN:
        raise Misused("This command is not known.", hint="known: sign, verify, timestamp, remove")
    options: dict[str, str | None] = {}
    named: list[str] = []
    rest = list(arguments[1:])
    while rest:
        argument = rest.pop(0)
        option = _option(argument, TAKEN[command], REFUSED[command])
        if option is None:
            named.append(argument)
            continue
        if option in options and TAKEN[command][option]:
            raise Misused(f"The option /{option} is given twice.")
        options[option] = None
        if TAKEN[command][option]:
            if not rest:
                raise Misused(f"The option /{option} wants a value.")
            options[option] = rest.pop(0)
    if not named:
        raise Misused("A file is needed.")
    return Parsed(command, options, tuple(_files(named)))


def _option(argument: str, taken: Mapping[str, int], refused: Mapping[str, str]) -> str | None:
    """Return the name of an option; None for a file, Misused for one that is refused or unknown."""
    if len(argument) < 2 or argument[0] not in "/-":
        return None
    name = argument[1:].lower()
    if name in taken:
        return name
    if name in refused:
        raise Misused(f"/{name} {refused[name]}.")
    if "/" in name or os.path.lexists(argument) or glob.has_magic(name):
        return None
    shown = name if len(name) <= 12 and name.isascii() and name.isalnum() else "..."
    raise Misused(f"There is no option /{shown} here, and no file of that name.")


def _files(named: Sequence[str]) -> list[str]:
    """Return the files, wildcards replaced by what they stand for, each once; BadInput where one stands for none."""
    found: list[str] = []
    for name in map(_in_wsl if "WSL_DISTRO_NAME" in os.environ else str, named):
        some = [name]
        if glob.has_magic(name) and not os.path.lexists(name):
            some = sorted(one for one in glob.iglob(name) if os.path.isfile(one))
            if not some:
                raise BadInput("A wildcard stands for no file.", hint="check the folder that it names")
        found += some
        if len(found) > MOST_FILES:
            raise BadInput(f"More than {MOST_FILES} files are named.", hint="name them in several calls")
    return list(dict.fromkeys(found))


def _in_wsl(name: str) -> str:
    """Return where the Windows Subsystem for Linux has a file of Windows (its own default, ``/mnt/c``)."""
    if re.match(r"[A-Za-z]:[\\/]", name) is None:
        return name
    return f"/mnt/{name[0].lower()}/" + name[3:].replace("\\", "/")
