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

import msgspec

from privyseal.errors import BadInput, Conflict, Misused
from privyseal.keystore.homes import Home
from privyseal.keystore.pkcs11 import Pkcs11, Pkcs11Section
from privyseal.keystore.softfile import SoftFile
from privyseal.pki.certificates import key_id, outline, pem
from privyseal.pki.rehearsal import Part
from privyseal.strongroom import logkey
from privyseal.strongroom.children import TokenChild
from privyseal.strongroom.durable import sync_directory, write_whole
from privyseal.strongroom.journal import Journal
from privyseal.strongroom.mark import Mark, MarkFile
from privyseal.strongroom.nursery import Nursery
from privyseal.strongroom.register import Register
from privyseal.strongroom.settings import Anchor, LoggerSettings, Operator, WitnessSection, WitnessSettings, load
from privyseal.strongroom.staging import Staging
from privyseal.strongroom.witness import Record
from privyseal.terms.signatures import SCHEMES
from privyseal.tlog.merkle import EMPTY_ROOT
from privyseal.tlog.note import KeyType, parse_vkey

STAMPER_LABEL = "stamper/timestamp"
"""The label of the timestamp key in the stamper's store."""
PASSPHRASE_OCTETS = 32
"""Random octets of a store's passphrase, which is written as base64url: 256 bits."""


def create_logger(directory: Path, public: Path, mark: Path, origin: str, *, journal: str | None = None) -> str:
    """Make a logger with a fresh Ed25519 key and an empty log; return its C2SP verifier key.

    ``public`` is the directory of tiles, which everybody may read; ``mark`` a file that should be on another disk;
    ``journal`` a database (``postgresql://...``) where it is to be no file.
    """
    _room(directory, "logger.toml")
    for taken in (mark, public / "checkpoint"):
        if taken.exists():
            raise Conflict(f"{taken} exists already and belongs to another log.", hint="choose another place")
    vkey = logkey.create(directory / "log.key", origin)
    public.mkdir(mode=0o755, parents=True, exist_ok=True)
    mark.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    top: dict[str, object] = {
        "origin": origin,
        "public": _from(directory, public),
        "mark": _from(directory, mark),
    }
    if journal is None:
        Staging(directory / "journal.sqlite3").close()
    else:
        top["journal"] = journal
    MarkFile.create(mark, Mark(0, EMPTY_ROOT))
    write_settings(directory / "logger.toml", top)
    return vkey


def create_standby(directory: Path, beside: Path, mark: Path) -> None:
    """Make a second logger for the log of the logger in ``beside``, whose journal must be in PostgreSQL.

    It gets a copy of the log's key and a mark of its own, and shares journal, tiles and witnesses.
    """
    asked = load(beside / "logger.toml", LoggerSettings)
    if not asked.on_postgresql:
        raise Misused(
            "The logger's journal is a file, which two loggers cannot share.",
            hint='set journal = "postgresql://..." in its logger.toml and run privyseal log recover --apply',
        )
    _room(directory, "logger.toml")
    if mark.exists():
        raise Conflict(f"{mark} exists already and belongs to another logger.", hint="choose another place")
    write_whole(directory / "log.key", (beside / asked.key).read_bytes())
    mark.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    MarkFile.create(mark, Mark(0, EMPTY_ROOT))
    witnesses: list[tuple[str, dict[str, object]]] = [
        ("[[witness]]", {"vkey": each.vkey, "url": each.url}) for each in asked.witness
    ]
    top: dict[str, object] = {
        "origin": asked.origin,
        "public": _from(directory, (beside / asked.public).resolve()),
        "mark": _from(directory, mark),
        "journal": asked.journal,
        "quorum": asked.quorum,
        "witness_seconds": asked.witness_seconds,
    }
    write_settings(directory / "logger.toml", top, witnesses)


def create_witness(directory: Path, name: str, second_records: Path | None = None) -> str:
    """Make a witness with a fresh key that knows no log yet; return its C2SP verifier key.

    ``second_records`` is a directory on another disk, where its records are kept once more.
    """
    _room(directory, "witness.toml")
    vkey = logkey.create_witness(directory / "witness.key", name)
    second = second_records or directory / "second-records"
    for records in (directory / "records", second):
        records.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_settings(directory / "witness.toml", {"name": name, "second_records": _from(directory, second)})
    return vkey


def admit_log(directory: Path, log: str) -> None:
    """Have a witness know one more log, by its verifier key; Conflict if it does already. It is read at its start."""
    asked = load(directory / "witness.toml", WitnessSettings)
    key = parse_vkey(log)
    if key.key_type is not KeyType.ED25519:
        raise BadInput(f"The verifier key of {key.name} is not that of a log (type 0x01).")
    if any(parse_vkey(each).name == key.name for each in asked.logs):
        raise Conflict(f"The witness knows the log {key.name} already.")
    for record in Record.places((directory / asked.records, directory / asked.second_records), key.name):
        if record.exists():
            raise Conflict(f"{record} is the record of this log from before.", hint="it must not begin anew")
        MarkFile.create(record, Mark(0, EMPTY_ROOT))
    top = {"name": asked.name, "key": asked.key, "records": asked.records, "second_records": asked.second_records}
    write_settings(directory / "witness.toml", {**top, "logs": [*asked.logs, log]})


def add_witness(directory: Path, vkey: str, url: str, quorum: int) -> LoggerSettings:
    """Have a logger ask one more witness and count to ``quorum``; return its settings. They are read at its start."""
    path = directory / "logger.toml"
    asked = load(path, LoggerSettings)
    top: dict[str, object] = {name: getattr(asked, name) for name in asked.__struct_fields__ if name != "witness"}
    top |= {"admitted": list(asked.admitted), "quorum": quorum}
    try:
        becomes = msgspec.structs.replace(
            asked, witness=(*asked.witness, WitnessSection(vkey=vkey, url=url)), quorum=quorum
        )
    except ValueError as error:
        raise Misused(f"The witness cannot be added: {error}.") from None
    write_settings(path, top, [("[[witness]]", {"vkey": each.vkey, "url": each.url}) for each in becomes.witness])
    return becomes


def create_signer(  # noqa: PLR0913 - each is one independent fact of the signer's settings
    directory: Path,
    mark: Path,
    log: str,
    anchors: Sequence[Anchor],
    clock: Callable[[], datetime],
    *,
    rehearsal: bool = False,
    operators: Sequence[Operator] = (),
    operator_quorum: int = 0,
    homes: Sequence[tuple[str, Home]] = (),
) -> None:
    """Make a signer without keys that believes the log with verifier key ``log``; its passphrase is drawn here.

    ``mark`` is a file that should be on another disk, as the logger's.
    New keys are born in the first of ``homes``, by their store's name, or in files if there is none.
    """
    _room(directory, "signer.toml")
    if mark.exists():
        raise Conflict(f"{mark} exists already and belongs to another signer.", hint="choose another place")
    mark.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    passphrase = _passphrase()
    SoftFile.create(directory / "keys", passphrase.encode("ascii"), clock)
    Journal(directory / "journal.sqlite3").close()
    MarkFile.create(mark, Mark(0, EMPTY_ROOT))
    settings: dict[str, object] = {
        "log": log,
        "mark": _from(directory, mark),
        "rehearsal": rehearsal,
        "operator_quorum": operator_quorum,
    }
    tables: list[tuple[str, dict[str, object]]] = [("[softfile]", {"directory": "keys", "passphrase": passphrase})]
    tables += [(f"[[{store}]]", _said(home)) for store, home in homes]
    for operator in operators:
        key = base64.b64encode(operator.public_key).decode("ascii")
        tables.append(("[[operators]]", {"name": operator.name, "public_key": key}))
    tables += [("[[anchors]]", {"standing": anchor.standing, "pem": anchor.pem}) for anchor in anchors]
    write_settings(directory / "signer.toml", settings, tables)


def create_stamper(
    directory: Path,
    clock: Callable[[], datetime],
    scheme: str = "rsa-3072",
    token: Pkcs11Section | None = None,
    time_servers: Sequence[str] = (),
) -> bytes:
    """Make a stamper with a fresh key and return its SubjectPublicKeyInfo, DER, to have a chain issued for.

    Without ``time_servers`` it is a rehearsal's, which believes the clock of its machine. The key is born in
    ``token``, whose paths are absolute, or in a file if none is given.
    """
    _room(directory, "stamper.toml")
    clock_of: dict[str, object] = {"time_servers": list(time_servers)} if time_servers else {"rehearsal": True}
    if token is not None:
        nursery = Nursery([("pkcs11", token)], directory / "pins")
        tokens = Pkcs11([TokenChild(nursery, 0, 1)], nursery.close)
        try:
            uri = tokens.generate(STAMPER_LABEL, SCHEMES[scheme])
            public = tokens.public_key(uri)
        finally:
            tokens.close()
        MarkFile.create(directory / "time.mark", Mark(0, bytes(32)))
        write_settings(directory / "stamper.toml", {"key": uri, **clock_of}, [("[pkcs11]", _said(token))])
        return public
    passphrase = _passphrase()
    store = SoftFile.create(directory / "keys", passphrase.encode("ascii"), clock)
    uri = store.generate(STAMPER_LABEL, SCHEMES[scheme])
    MarkFile.create(directory / "time.mark", Mark(0, bytes(32)))
    write_settings(
        directory / "stamper.toml",
        {"key": uri, **clock_of},
        [("[softfile]", {"directory": "keys", "passphrase": passphrase})],
    )
    return store.public_key(uri)


def create_issuer(directory: Path, issued: Sequence[tuple[Part, bytes]] = ()) -> None:
    """Make the room of a rehearsal's CA beside its keys in ``../rehearsal-ca``.

    ``issued``: what it issued so far, and which of the three CAs did.
    """
    _room(directory, "issuer.toml")
    register = Register(directory / "register.sqlite3")
    register.add(issued)
    register.database.close()
    write_settings(directory / "issuer.toml", {"key": "../rehearsal-ca/ca.key"})


def install_stamper_chain(directory: Path, spki: bytes, chain: Sequence[bytes]) -> None:
    """Give a stamper its certificates, DER, its own first, without the root; BadInput if they are for another key."""
    if not chain or key_id(outline(chain[0]).spki) != key_id(spki):
        raise BadInput(
            "The first certificate is not for the stamper's key.", hint="issue one for the key it was made with"
        )
    write_whole(directory / "chain.pem", b"".join(pem(one) for one in chain))


def _said(section: Home) -> dict[str, object]:
    """Return what a section says that is not the default."""
    known = {each.name: each.default for each in msgspec.structs.fields(section)}  # type: ignore[arg-type]  # a Struct
    said = {name: getattr(section, name) for name, default in known.items() if getattr(section, name) != default}
    said = {name: value for name, value in said.items() if value not in ((), {})}  # their defaults are made anew
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


def write_settings(path: Path, top: dict[str, object], tables: Sequence[tuple[str, dict[str, object]]] = ()) -> None:
    """Write a room's settings, TOML, in place of the ones before; nobody but their owner may read them."""
    parts = [_lines(top), *(f"{head}\n{_lines(body)}" for head, body in tables)]
    write_whole(path, "\n\n".join(parts).encode("utf-8") + b"\n")


def _lines(values: dict[str, object]) -> str:
    return "\n".join(f"{name} = {_value(value)}" for name, value in values.items())


def _value(value: object) -> str:
    """Return TOML: its basic strings, numbers, booleans and lists are written as JSON's are, an inline table is not."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(name)} = {_value(each)}" for name, each in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False)
