"""A PKCS#11 module in this process: loaded, initialised for threads, its token found, logged in to once.

Only a worker runs this (``strongroom/worker.py``): a module is a vendor's code, cannot be unloaded safely, and once
it has lost its token every later call fails until the process ends.

python-pkcs11 0.10 calls ``C_Initialize(NULL)``, which tells the module that there is one thread only (PKCS#11 2.40
section 5.4); SoftHSM then takes no locks, and two threads end in CKR_GENERAL_ERROR or a crash. Here it is called with
CKF_OS_LOCKING_OK instead, before python-pkcs11 can.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pkcs11 import Attribute, TokenFlag, _pkcs11
from pkcs11.constants import SlotFlag
from pkcs11.exceptions import PinIncorrect, PinLocked, PKCS11Error

from privyseal.errors import KeyStoreUnavailable, Misused, PrivySealError
from privyseal.keystore.pkcs11 import Pkcs11Section
from privyseal.keystore.pkcs11_pin import PinNote
from privyseal.keystore.pkcs11_refusals import refusal
from privyseal.terms.keys import Assurance

_OS_LOCKING_OK = 2
_ALREADY_INITIALIZED = 0x191
# Where python-pkcs11 keeps the module's CK_FUNCTION_LIST: the first of the three pointers in a HasFuncList. Asking
# C_GetFunctionList again does not do: p11-kit's client makes a new module of each such call.
_FUNCTIONS_AT = object.__basicsize__
if _pkcs11.lib.__mro__[1].__basicsize__ != object.__basicsize__ + 3 * ctypes.sizeof(ctypes.c_void_p):
    raise ImportError("python-pkcs11 is not the version whose objects this file knows (0.10)")
_NOBODYS = "privyseal: nobody's"
"""A label that no key has, for every key's begins with its Subscriber and a slash."""
_SOFTWARE = ("softhsm", "kryoptic", "nss", "gnome keyring", "p11-kit")
"""Beginnings of the manufacturers, in lower case, of tokens that are known to be software whatever they say."""
_SOFTWARE_MODELS = ("sw tpm",)
"""The same of models, each space once: libtpms, which swtpm runs, calls itself a hardware slot by IBM."""


class _InitializeArgs(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("create", "destroy", "lock", "unlock")),
        ("flags", ctypes.c_ulong),
        ("reserved", ctypes.c_void_p),
    )


class _Functions(ctypes.Structure):
    _fields_ = (("major", ctypes.c_ubyte), ("minor", ctypes.c_ubyte), ("initialize", ctypes.c_void_p))


class LockingModule(_pkcs11.lib):
    """A module that was told that there are threads."""

    def initialize(self) -> None:
        """Call C_Initialize with CKF_OS_LOCKING_OK; python-pkcs11 calls this once it has loaded the module."""
        functions = _Functions.from_address(ctypes.c_void_p.from_address(id(self) + _FUNCTIONS_AT).value or 0)
        call = ctypes.CFUNCTYPE(ctypes.c_ulong, ctypes.c_void_p)(functions.initialize)
        arguments = _InitializeArgs(flags=_OS_LOCKING_OK)
        code = call(ctypes.cast(ctypes.byref(arguments), ctypes.c_void_p))
        if code not in (0, _ALREADY_INITIALIZED):
            raise KeyStoreUnavailable(
                f"The PKCS#11 module cannot be initialised (code {code:#x}).",
                hint="its configuration or connection is wrong; environment, readable and writable in the settings "
                "say what it may use",
            )


class OpenToken(NamedTuple):
    """A token that is logged in to, with a session for each thread."""

    label: str
    serial: str
    module: str
    """Manufacturer, model and versions, as the token and its module say."""
    assurance: Assurance
    sessions: tuple[Any, ...]
    loaded: LockingModule
    """Kept, because python-pkcs11 unloads a module that nobody holds, under the feet of its sessions."""


class Opening:
    """How far the opening of a token has come, from which follows what a failure means."""

    def __init__(self) -> None:
        """Begin with the PIN, which is read before everything else."""
        self.at: Literal["pin", "module", "slot", "session"] = "pin"

    def standing(self, error: PrivySealError) -> Literal["away", "missing", "pin", "refused"]:
        """Return the state of a token whose opening ended with this error, as ``TokenState`` names it."""
        if error.retryable:
            return "missing" if self.at == "slot" else "away"
        return "pin" if self.at == "pin" else "refused"


def open_token(section: Pkcs11Section, pin: bytes, notes: Path, sessions: int, opening: Opening) -> OpenToken:
    """Load the module, log in to its token and open sessions; raises our own errors.

    Misused where a person must change something (no module, wrong PIN), KeyStoreUnavailable where it may come back.
    """
    opening.at = "module"
    if not Path(section.module).is_file():
        raise Misused(f"There is no PKCS#11 module at {section.module}.", hint="install it, or correct the path")
    try:
        module = LockingModule(section.module)
        opening.at = "slot"
        token = _token(module, section)
        if token is None:
            raise KeyStoreUnavailable(
                f"The module shows no token called {section.name!r}.", hint="look at the token and its connection"
            )
        return OpenToken(
            _plain(token.label),
            _serial(token),
            _described(module, token),
            _assurance(token),
            tuple(_sessions(token, pin, PinNote(notes, _plain(token.label), _serial(token)), sessions, opening)),
            module,
        )
    except PrivySealError:
        raise
    except PKCS11Error as error:
        if "while loading" in str(error):  # what dlopen said, which is the module's path and what is wrong with it
            raise Misused(f"{section.module} cannot be loaded as a PKCS#11 module.") from None
        raise refusal(error) from None


def _token(module: LockingModule, section: Pkcs11Section) -> Any | None:
    """Return the one token of that label and serial; Misused if there are several."""
    found = []
    for slot in module.get_slots(token_present=True):
        try:
            token = slot.get_token()
        except PKCS11Error:  # an empty or uninitialised neighbour's slot does not concern us
            continue
        if section.token in (None, _plain(token.label)) and section.serial in (None, _serial(token)):
            found.append(token)
    if len(found) > 1:
        raise Misused(f"The module shows {len(found)} tokens called {section.name!r}.", hint="name it by serial")
    return found[0] if found else None


def look(opened: OpenToken, session: Any) -> None:
    """See whether the token is still in its slot and the session good; raises as the module does where it is not."""
    token = session.token.slot.get_token()
    if (_plain(token.label), _serial(token)) != (opened.label, opened.serial):
        raise KeyStoreUnavailable("Another token is in the slot now.", hint="put the right one back")
    for _ in session.get_objects({Attribute.LABEL: _NOBODYS}):
        break


def _sessions(token: Any, pin: bytes, note: PinNote, sessions: int, opening: Opening) -> Iterator[Any]:
    """Log in with one session and open the others without a PIN, which is given once.

    One is opened before the PIN is given: a token that allows no session at all has not been given it.
    """
    opening.at = "session"
    early = token.open(rw=True)
    if sessions == 1:
        early.close()  # some tokens have but one
    opening.at = "pin"
    if token.flags & TokenFlag.USER_PIN_LOCKED:
        raise refusal(PinLocked())
    if token.flags & TokenFlag.USER_PIN_FINAL_TRY:
        raise Misused(
            "The token allows one more try of its PIN; it is not made here.",
            hint="log in once with the vendor's tool, which resets the count",
        )
    note.check(pin)
    try:
        first = token.open(rw=True, user_pin=pin.decode("utf-8"))
    except UnicodeDecodeError:
        raise Misused("The PIN is not UTF-8.") from None
    except PinIncorrect:
        note.wrong(pin)
        raise
    note.good(pin)
    opening.at = "session"
    yield first
    if sessions > 1:
        yield early
    for _ in range(sessions - 2):
        yield token.open(rw=True)


def _assurance(token: Any) -> Assurance:
    """Return HARDWARE if the slot says that it is hardware and no software is known by that manufacturer."""
    maker = token.manufacturer_id.strip().lower()
    model = " ".join(token.model.strip().lower().split())
    software = maker.startswith(_SOFTWARE) or model.startswith(_SOFTWARE_MODELS)
    hardware = bool(token.slot.flags & SlotFlag.HW_SLOT) and not software
    return Assurance.HARDWARE if hardware else Assurance.SOFTWARE


def _described(module: LockingModule, token: Any) -> str:
    versions = f"firmware {_version(token.firmware_version)}, module {_version(module.library_version)}"
    return f"{token.manufacturer_id.strip()} {token.model.strip()}, {versions}"


def _version(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"


def _plain(text: str) -> str:
    return text.strip(" \0")


def _serial(token: Any) -> str:
    return bytes(token.serial).decode("utf-8", "replace").strip(" \0")
