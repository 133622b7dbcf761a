"""The client's configuration: which service, on whose behalf, with which key, and whom to trust when checking.

For each setting the first of these that has it wins:

1. the option on the command line;
2. the environment (``PRIVYSEAL_URL`` and its like);
3. the profile named by ``--profile`` or else by ``PRIVYSEAL_PROFILE``, which then is complete: nothing below is asked;
4. ``privyseal.toml`` in the current folder or the nearest one above it;
5. ``$XDG_CONFIG_HOME/privyseal/config.toml``;
6. ``/etc/privyseal/config.toml``.

A profile is the path of a TOML file (something with a slash, or that ends in ``.toml``), or the name of a table
``[profile.NAME]`` in one of the three files, whose other settings stand in for what the table leaves out.

Two rules guard against files that others can put in our way. A token that stands in a file is never sent to a ``url``
out of another file, so that a ``privyseal.toml`` in somebody's repository cannot lead a user's own token elsewhere; the
same goes for a client's key, and for the ``ca`` that is believed. And
a ``privyseal.toml`` that was merely found must belong to the user or to root, as git asks of a repository
(CVE-2022-24765).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from privyseal.cli.output import printable, shown_path
from privyseal.errors import BadInput, Misused
from privyseal.timestamp.address import Address

PROJECT_FILE = "privyseal.toml"
"""The profile of a project, looked for from the working directory upwards."""
SYSTEM_FILE = Path("/etc/privyseal/config.toml")
"""The profile of a machine."""

ENVIRONMENT = {
    "url": "PRIVYSEAL_URL",
    "subscriber": "PRIVYSEAL_SUBSCRIBER",
    "key": "PRIVYSEAL_KEY",
    "token": "PRIVYSEAL_TOKEN",
    "ca": "PRIVYSEAL_CA",
    "client_certificate": "PRIVYSEAL_CLIENT_CERTIFICATE",
    "client_key": "PRIVYSEAL_CLIENT_KEY",
    "trust": "PRIVYSEAL_TRUST",
    "crl": "PRIVYSEAL_CRL",
    "log_policy": "PRIVYSEAL_LOG_POLICY",
    "rehearsal_anchors": "PRIVYSEAL_REHEARSAL_ANCHORS",
    "audience": "PRIVYSEAL_AUDIENCE",
    "rule": "PRIVYSEAL_RULE",
    "policy": "PRIVYSEAL_POLICY",
    "tsa": "PRIVYSEAL_TSA",
}
"""Setting -> environment variable; lists of paths are separated as in ``PATH``, addresses by blanks. An empty variable
counts as unset."""

LISTS = frozenset({"trust", "crl", "rehearsal_anchors"})
"""Settings that are lists of paths; all others are one value."""
PATHS = LISTS | {"log_policy", "ca", "client_certificate", "client_key"}
"""Settings that name files; where a profile says them, they are relative to it."""
HOMEBOUND = ("token", "client_key", "ca", "audience")
"""What a file says for its own url only: who one is, and whom one believes to be the service. A stranger's ``ca`` with
our url would let whoever is on the way read our token, and his url with our audience would get a token that our service
takes."""

LARGEST_FILE = 64 * 1024
"""Octets of a configuration file; ours has fourteen settings a profile, which leaves room for hundreds of profiles."""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a file or one of its profiles may say. Paths are relative to the file."""

    url: str | None = None
    subscriber: str | None = None
    key: str | None = None
    token: str | None = None
    ca: str | None = None
    client_certificate: str | None = None
    client_key: str | None = None
    trust: str | list[str] | None = None
    crl: str | list[str] | None = None
    log_policy: str | None = None
    rehearsal_anchors: str | list[str] | None = None
    audience: str | None = None
    rule: str | None = None
    policy: str | None = None
    tsa: str | list[str | Address] | None = None


class ConfigurationFile(Settings, frozen=True, forbid_unknown_fields=True):
    """A whole file: the settings of the profile without a name, and the profiles that have one."""

    profile: dict[str, Settings] = {}


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """The settings in force, and for each where it comes from."""

    url: str | None = None
    subscriber: str | None = None
    key: str | None = None
    token: str | None = None
    ca: Path | None = None
    """The authorities that the service's certificate may come from, instead of the system's."""
    client_certificate: Path | None = None
    client_key: Path | None = None
    trust: tuple[Path, ...] = ()
    crl: tuple[Path, ...] = ()
    log_policy: Path | None = None
    rehearsal_anchors: tuple[Path, ...] = ()
    audience: str | None = None
    """Whom a job's identity token is to be for; the url where it is not said."""
    rule: str | None = None
    policy: str | None = None
    """The trust rule and the policy under which a job comes, where several may apply."""
    tsa: tuple[Address, ...] = ()
    """The timestamp authorities to ask, in this order, where no service has one."""
    origins: dict[str, str] = {}
    """Setting -> the option, environment variable or file it comes from, for messages."""

    def __repr__(self) -> str:
        """Show no secret."""
        return f"Profile(url={self.url!r}, subscriber={self.subscriber!r}, key={self.key!r})"

    def need(self, setting: str) -> str:
        """Return a setting that the command cannot do without; raise Misused that says how to give it."""
        value = getattr(self, setting)
        if value is None:
            option = "" if setting == "token" else f"--{setting}, "
            raise Misused(
                f"No {setting} is configured.",
                hint=f"give {option}{ENVIRONMENT[setting]}, or a profile that has it (--profile D/client.toml)",
            )
        return str(value)


class _Layer(msgspec.Struct, frozen=True):
    """Settings from one place; paths in it are absolute already."""

    origin: str
    values: dict[str, Any]
    from_file: bool = False


def load(
    options: Mapping[str, str | Sequence[str] | None],
    profile: str | None,
    *,
    environment: Mapping[str, str] = os.environ,
    folder: Path | None = None,
) -> Profile:
    """Find the settings in force.

    ``options`` holds what stood on the command line by setting name, ``profile`` the value of ``--profile``;
    ``folder`` is where the search for ``privyseal.toml`` starts. Raises Misused for a file that is broken, holds an
    unknown setting, or holds a token that others can read.
    """
    here = folder or Path()
    layers = [_Layer("the command line", _absolute({k: v for k, v in options.items() if v}, here))]
    layers.append(_from_environment(environment, here))
    chosen = profile or environment.get("PRIVYSEAL_PROFILE")
    layers += _named(chosen, here, environment) if chosen else _unnamed(here, environment)
    return _merged(layers)


def profile_file(profile: str | None) -> tuple[str, ...]:
    """Return the path that ``--profile`` gives, as a tuple of one; empty where it gives a name or nothing."""
    return (profile,) if profile and ("/" in profile or profile.endswith(".toml")) else ()


def _merged(layers: Sequence[_Layer]) -> Profile:
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for layer in layers:
        for setting, value in layer.values.items():
            if setting not in values:
                values[setting] = value
                origins[setting] = layer.origin
    for setting in HOMEBOUND:
        _check_it_goes_home(setting, values, origins, layers)
    for setting in (LISTS | {"tsa"}) & values.keys():
        values[setting] = tuple(values[setting])
    return Profile(**values, origins=origins)


def _check_it_goes_home(
    setting: str, values: dict[str, Any], origins: dict[str, str], layers: Sequence[_Layer]
) -> None:
    """Refuse to use a setting out of one file for a url out of another; options and environment are the user's word."""
    files = {layer.origin: layer.values for layer in layers if layer.from_file}
    origin, url_origin = origins.get(setting), origins.get("url")
    if origin not in files or (url_origin is not None and url_origin not in files):
        return
    home = files[origin].get("url")
    if home is None or home.rstrip("/") != str(values["url"]).rstrip("/"):
        theirs = f"the url of {url_origin}" if url_origin else "any url"
        raise Misused(
            f"The {setting} in {origin} is not meant for {theirs}; a {setting} goes only to the url beside it.",
            hint=f"put the {setting}'s own url into that file, or give the {setting} as {ENVIRONMENT[setting]}",
        )


def _from_environment(environment: Mapping[str, str], here: Path) -> _Layer:
    found: dict[str, Any] = {}
    for setting, variable in ENVIRONMENT.items():
        value = environment.get(variable)
        if value:
            found[setting] = (
                value.split(os.pathsep) if setting in LISTS else value.split() if setting == "tsa" else value
            )
    names = ", ".join(ENVIRONMENT[setting] for setting in found)
    return _Layer(names or "PRIVYSEAL_...", _absolute(found, here))


def _unnamed(here: Path, environment: Mapping[str, str]) -> list[_Layer]:
    return [_layer(path, _read(path)) for path in _files(here, environment)]


def _named(profile: str, here: Path, environment: Mapping[str, str]) -> list[_Layer]:
    for named in profile_file(profile):
        path = here / named
        return [_layer(path, _read(path))]
    known: list[str] = []
    for path in _files(here, environment):
        file = _read(path)
        if profile in file.profile:
            whole = _layer(path, file)
            own = _settings(file.profile[profile], path)
            return [_Layer(whole.origin, {**whole.values, **own}, from_file=True)]
        known += file.profile
    there_are = f"there are {', '.join(sorted(set(known)))}" if known else "none is configured"
    raise Misused(
        f"No profile is named {printable(profile)!r}; {there_are}.",
        hint="write [profile.NAME] in privyseal.toml, or give the path of a TOML file such as D/client.toml",
    )


def _files(here: Path, environment: Mapping[str, str]) -> list[Path]:
    """List the configuration files there are, the nearest first."""
    start = here.absolute()
    found = [path for folder in (start, *start.parents) if (path := folder / PROJECT_FILE).is_file()][:1]
    for path in found:
        _check_owner(path)
    home = environment.get("XDG_CONFIG_HOME") or os.path.join(environment.get("HOME") or "/nonexistent", ".config")
    user = Path(home) / "privyseal" / "config.toml"
    return found + [path for path in (user, SYSTEM_FILE) if path.is_file()]


def _check_owner(path: Path) -> None:
    about = path.stat()
    if about.st_uid not in (os.geteuid(), 0) or about.st_mode & stat.S_IWOTH:
        raise Misused(
            f"{shown_path(path)} belongs to somebody else, or everybody may write it, so it is not obeyed.",
            hint=f"if it is right, name it: --profile {shown_path(path)}",
        )


def _read(path: Path) -> ConfigurationFile:
    import tomllib  # only where a file is configured

    try:
        with path.open("rb") as file:
            octets = file.read(LARGEST_FILE + 1)
            mode = os.fstat(file.fileno()).st_mode
    except OSError as error:
        raise Misused(f"The profile {shown_path(path)} cannot be read: {error.strerror}.") from error
    if len(octets) > LARGEST_FILE:
        raise Misused(
            f"{shown_path(path)} is larger than {LARGEST_FILE // 1024} KiB; that is no configuration of ours."
        )
    try:
        file_says = msgspec.convert(tomllib.loads(octets.decode("utf-8")), ConfigurationFile)
    except msgspec.ValidationError as error:
        raise Misused(
            f"{shown_path(path)}: {printable(str(error))}.", hint=f"the settings are {', '.join(ENVIRONMENT)}"
        ) from error
    except (ValueError, RecursionError) as error:  # ValueError also for a number of thousands of digits
        raise Misused(f"{shown_path(path)} is not TOML: {printable(str(error))}.") from error
    all_settings = (file_says, *file_says.profile.values())
    if any(settings.token for settings in all_settings):
        refuse_if_others_can_read(path, mode, "holds a token")
    if any("@" in one for settings in all_settings for one in _urls(settings)):
        refuse_if_others_can_read(path, mode, "holds a password for a timestamp authority")
    return file_says


def _urls(settings: Settings) -> list[str]:
    listed = [settings.tsa] if isinstance(settings.tsa, str) else settings.tsa or []
    return [one if isinstance(one, str) else one.url for one in listed]


def refuse_if_others_can_read(path: str | os.PathLike[str], mode: int, what: str) -> None:
    """Raise Misused where the permission bits ``mode`` let group or others at a file that ``what``, with the cure."""
    if mode & 0o077:
        import shlex

        raise Misused(
            f"{shown_path(path)} {what} and others can read it (mode {stat.S_IMODE(mode):04o}).",
            hint=f"run: chmod 600 {printable(shlex.quote(os.fsdecode(path)), 4096)}",
        )


def _layer(path: Path, settings: Settings) -> _Layer:
    return _Layer(shown_path(path), _settings(settings, path), from_file=True)


def _settings(settings: Settings, path: Path) -> dict[str, Any]:
    said = {name: getattr(settings, name) for name in ENVIRONMENT if getattr(settings, name)}
    return _absolute(said, path.parent)


def _absolute(values: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Make lists of what may be one path or several, and put the folder before all paths that are relative."""
    outcome: dict[str, Any] = {}
    for setting, value in values.items():
        if setting in LISTS:
            several = [value] if isinstance(value, str) else list(value)
            outcome[setting] = [folder / path for path in several]
        elif setting == "tsa":
            listed = [value] if isinstance(value, str) else list(value)
            outcome[setting] = [Address(one) if isinstance(one, str) else one for one in listed]
        else:
            outcome[setting] = folder / value if setting in PATHS else value
    return outcome


def read_whole(path: str | os.PathLike[str], limit: int) -> bytes:
    """Read a small file whole; BadInput where it cannot be read or is larger than ``limit`` octets."""
    try:
        with open(path, "rb") as file:
            octets = file.read(limit + 1)
    except OSError as error:
        raise BadInput(f"{shown_path(path)} cannot be read: {error.strerror}.") from error
    if len(octets) > limit:
        raise BadInput(f"{shown_path(path)} is larger than {limit} octets, the most that is read.")
    return octets
