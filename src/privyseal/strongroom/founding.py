"""How the guarded processes come to be: each gets a directory of its own, 0700, with its key, its settings and
what it keeps.

Every function here refuses with Conflict where something stands already, and writes the settings last, so that
a directory with settings is whole.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from privyseal.errors import BadInput, Conflict
from privyseal.keystore.pkcs11 import Pkcs11Section
from privyseal.keystore.softfile import SoftFile
from privyseal.pki.certificates import key_id, outline, pem
from privyseal.strongroom import logkey
from privyseal.strongroom.durable import sync_directory, write_whole
from privyseal.strongroom.journal import Journal
from privyseal.strongroom.mark import Mark, MarkFile
from privyseal.strongroom.settings import Anchor, Operator
from privyseal.strongroom.staging import Staging
from privyseal.terms.signatures import SCHEMES
from privyseal.tlog.merkle import EMPTY_ROOT

STAMPER_LABEL = "stamper/timestamp"
PASSPHRASE_OCTETS = 32


def create_logger(directory: Path, public: Path, mark: Path, origin: str) -> str:
    """Make a logger with a fresh Ed25519 key and an empty log; return its C2SP verifier key.

    ``public`` is the directory of tiles, which everybody may read; ``mark`` a file that should be on another disk.
    """
    _room(directory, "logger.toml")
    for taken in (mark, public / "checkpoint"):
        if taken.exists():
            raise Conflict(f"{taken} exists already and belongs to another log.", hint="choose another place")
    vkey = logkey.create(directory / "log.key", origin)
    public.mkdir(mode=0o755, parents=True, exist_ok=True)
    mark.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    Staging(directory / "journal.sqlite3").close()
    MarkFile.create(mark, Mark(0, EMPTY_ROOT))
    _settings(
        directory / "logger.toml",
        {"origin": origin, "public": _from(directory, public), "mark": _from(directory, mark)},
    )
    return vkey


def create_signer(  # noqa: PLR0913 - each is one independent fact of the signer's settings
    directory: Path,
    log: str,
    anchors: Sequence[Anchor],
    clock: Callable[[], datetime],
    *,
    rehearsal: bool = False,
    operators: Sequence[Operator] = (),
    operator_quorum: int = 0,
    tokens: Sequence[Pkcs11Section] = (),
) -> None:
    """Make a signer without keys that believes the log with verifier key ``log``; its passphrase is drawn here.

    New keys are born in the first of ``tokens``, or in files if there is none.
    """
    _room(directory, "signer.toml")
    passphrase = _passphrase()
    SoftFile.create(directory / "keys", passphrase.encode("ascii"), clock)
    Journal(directory / "journal.sqlite3").close()
    settings: dict[str, object] = {"log": log, "rehearsal": rehearsal, "operator_quorum": operator_quorum}
    tables: list[tuple[str, dict[str, object]]] = [("[softfile]", {"directory": "keys", "passphrase": passphrase})]
    tables += [("[[pkcs11]]", _token(each)) for each in tokens]
    for operator in operators:
        key = base64.b64encode(operator.public_key).decode("ascii")
        tables.append(("[[operators]]", {"name": operator.name, "public_key": key}))
    tables += [("[[anchors]]", {"standing": anchor.standing, "pem": anchor.pem}) for anchor in anchors]
    _settings(directory / "signer.toml", settings, tables)


def create_stamper(directory: Path, clock: Callable[[], datetime], scheme: str = "rsa-3072") -> bytes:
    """Make a stamper with a fresh key and return its SubjectPublicKeyInfo, DER, to have a chain issued for."""
    _room(directory, "stamper.toml")
    passphrase = _passphrase()
    store = SoftFile.create(directory / "keys", passphrase.encode("ascii"), clock)
    uri = store.generate(STAMPER_LABEL, SCHEMES[scheme])
    MarkFile.create(directory / "time.mark", Mark(0, bytes(32)))
    _settings(
        directory / "stamper.toml", {"key": uri}, [("[softfile]", {"directory": "keys", "passphrase": passphrase})]
    )
    return store.public_key(uri)


def install_stamper_chain(directory: Path, spki: bytes, chain: Sequence[bytes]) -> None:
    """Give a stamper its certificates, DER, its own first, without the root; BadInput if they are for another key."""
    if not chain or key_id(outline(chain[0]).spki) != key_id(spki):
        raise BadInput(
            "The first certificate is not for the stamper's key.", hint="issue one for the key it was made with"
        )
    write_whole(directory / "chain.pem", b"".join(pem(one) for one in chain))


def _token(section: Pkcs11Section) -> dict[str, object]:
    """Return what a section says that is not the default."""
    default = Pkcs11Section(module="", token="", pin="")
    names = (name for name in section.__struct_fields__ if name != "pin" or section.pin is not None)
    said = {name: getattr(section, name) for name in names if getattr(section, name) != getattr(default, name)}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in said.items()}


def _room(directory: Path, settings: str) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(directory.iterdir()):
        raise Conflict(f"{directory} is not empty.", hint=f"a {settings} is made once; choose another directory")
    directory.chmod(0o700)
    sync_directory(directory.parent)


def _from(directory: Path, path: Path) -> str:
    """Return how settings in ``directory`` name a path: relative if beside it, so that a service can be moved."""
    beside = directory.absolute().parent
    return (
        os.path.relpath(path.absolute(), directory.absolute())
        if path.absolute().is_relative_to(beside)
        else str(path.absolute())
    )


def _passphrase() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(PASSPHRASE_OCTETS)).decode("ascii")


def _settings(path: Path, top: dict[str, object], tables: Sequence[tuple[str, dict[str, object]]] = ()) -> None:
    parts = [_lines(top), *(f"{head}\n{_lines(body)}" for head, body in tables)]
    write_whole(path, "\n\n".join(parts).encode("utf-8") + b"\n")


def _lines(values: dict[str, object]) -> str:
    return "\n".join(f"{name} = {_value(value)}" for name, value in values.items())


def _value(value: object) -> str:
    """Return TOML: its basic strings, numbers, booleans and lists are written as JSON's are, an inline table is not."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(name)} = {_value(each)}" for name, each in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False)
