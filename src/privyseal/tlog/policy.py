"""Whom to believe about a log: trust policies (c2sp.org/tlog-policy), lines that name logs, witnesses and a quorum.

A checkpoint is good if one of the logs signed it and witnesses cosigned it as the quorum asks, where groups count their
members (``all``, ``any`` or a number). Names are octets to the specification; those that are not UTF-8 are kept as
surrogate escapes.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from msgspec import Struct

from privyseal.errors import BadInput, TooLarge, VerificationFailed
from privyseal.tlog import checkpoint
from privyseal.tlog.checkpoint import Checkpoint
from privyseal.tlog.note import KeyType, Verifier, parse_note, parse_vkey, verified

MAX_POLICY = 256 * 1024
"""Octets of a policy; 32 logs, witnesses and groups of the longest names fit, which the specification asks for."""
MAX_DEFINED = 256
"""Logs, and witnesses and groups; eight times what the specification asks for."""
NO_QUORUM = "none"
"""The word by which a policy asks for no witness."""

_FORBIDDEN = re.compile(rb"[^\x09\x0a\x20-\x7e\x80-\xff]")
_BLANK = re.compile(r"[ \t]+")


class Log(Struct, frozen=True):
    """A log that is believed; its key is named as its origin. The URL is for those who talk to it."""

    key: Verifier
    url: str | None = None


class Witness(Struct, frozen=True):
    """A witness: its name within the policy, and its key."""

    name: str
    key: Verifier
    url: str | None = None


class Group(Struct, frozen=True):
    """A group: it has witnessed what at least ``threshold`` of its members have."""

    name: str
    threshold: int
    members: tuple[str, ...]


class Accepted(Struct, frozen=True):
    """A head that a policy holds good, and the policy's names of the witnesses that cosigned it."""

    checkpoint: Checkpoint
    witnesses: tuple[str, ...]


class Policy(Struct, frozen=True):
    """The logs, the witnesses and the rule; ``definitions`` are witnesses and groups in their order."""

    logs: tuple[Log, ...]
    definitions: tuple[Witness | Group, ...] = ()
    quorum: str = NO_QUORUM

    @property
    def witnesses(self) -> tuple[Witness, ...]:
        """Return the witnesses among the definitions."""
        return tuple(each for each in self.definitions if isinstance(each, Witness))

    def check(self, note: bytes) -> Accepted:
        """Return the head in a note that this policy holds good, and who witnessed it.

        BadInput if it is no checkpoint; VerificationFailed if none of the logs signed it, the quorum is missed, or a
        line by a key of this policy does not verify.
        """
        parsed = parse_note(note)
        keys = [log.key for log in self.logs] + [witness.key for witness in self.witnesses]
        signed = verified(parsed, keys)
        head = checkpoint.parse(parsed.body)
        if not any(log.key in signed and log.key.name == head.origin for log in self.logs):
            raise VerificationFailed(
                f"A checkpoint of {head.origin[:100]!r} is signed by no log that is trusted for it."
            )
        cosigned = tuple(witness.name for witness in self.witnesses if witness.key in signed)
        if not self._satisfied(set(cosigned)):
            by = ", ".join(map(repr, cosigned)) or "nobody"
            raise VerificationFailed(
                f"A checkpoint is witnessed by {by}, and the quorum {self.quorum!r} asks for more."
            )
        return Accepted(head, cosigned)

    def format(self) -> str:
        """Return the policy as text, the inverse of :func:`parse_policy` but for comments and blanks."""
        lines = [_line("log", log.key.vkey, log.url) for log in self.logs]
        for each in self.definitions:
            if isinstance(each, Witness):
                lines.append(_line("witness", each.name, each.key.vkey, each.url))
            else:
                lines.append(_line("group", each.name, str(each.threshold), *each.members))
        return "".join([*lines, _line("quorum", self.quorum)])

    def _satisfied(self, names: set[str]) -> bool:
        for each in self.definitions:
            if isinstance(each, Group) and len(names.intersection(each.members)) >= each.threshold:
                names.add(each.name)
        return self.quorum == NO_QUORUM or self.quorum in names


def parse_policy(text: str | bytes) -> Policy:
    """Read a policy; BadInput names the line that is wrong, TooLarge is more than we read."""
    try:
        octets = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
    except UnicodeEncodeError:
        raise BadInput("A trust policy holds half a surrogate pair.") from None
    if len(octets) > MAX_POLICY:
        raise TooLarge(f"A trust policy of {len(octets)} octets was given, and {MAX_POLICY} is the most we read.")
    if _FORBIDDEN.search(octets):
        raise BadInput("A trust policy holds a control character other than tab and newline.")
    reading = _Reading()
    for number, line in enumerate(octets.decode("utf-8", "surrogateescape").split("\n"), start=1):
        words = [word for word in _BLANK.split(line) if word]
        if words and not words[0].startswith("#"):
            try:
                reading.take(words)
            except BadInput as error:
                raise error.about(f"Line {number} of a trust policy") from None
    if reading.quorum is None:
        raise BadInput("A trust policy has no quorum line.", hint="write `quorum none` to ask for no witnesses")
    return Policy(tuple(reading.logs), tuple(reading.definitions.values()), reading.quorum)


class _Reading:
    """What was read of a policy so far."""

    def __init__(self) -> None:
        self.logs: list[Log] = []
        self.definitions: dict[str, Witness | Group] = {}
        self.quorum: str | None = None
        self._members: set[str] = set()
        self._keys: set[tuple[str, bytes]] = set()

    def take(self, words: list[str]) -> None:
        forms: dict[str, Callable[[list[str]], None]] = {
            "log": self._log,
            "witness": self._witness,
            "group": self._group,
            "quorum": self._quorum,
        }
        if words[0] not in forms:
            raise BadInput(f"it begins with {words[0][:50]!r}, which is none of {', '.join(forms)}.")
        if max(len(self.logs), len(self.definitions)) >= MAX_DEFINED and words[0] != "quorum":
            raise TooLarge(f"it is one more than the {MAX_DEFINED} logs or witnesses and groups we read.")
        forms[words[0]](words[1:])

    def _log(self, words: list[str]) -> None:
        if len(words) not in (1, 2):
            raise BadInput("a log line is `log <vkey> [<url>]`.")
        self.logs.append(Log(self._key("log", words[0], KeyType.ED25519), *words[1:]))

    def _witness(self, words: list[str]) -> None:
        if len(words) not in (2, 3):
            raise BadInput("a witness line is `witness <name> <vkey> [<url>]`.")
        name = self._fresh(words[0])
        self.definitions[name] = Witness(name, self._key("witness", words[1], KeyType.COSIGNATURE_V1), *words[2:])

    def _group(self, words: list[str]) -> None:
        if len(words) < 3:
            raise BadInput("a group line is `group <name> all|any|<number> <name>...`.")
        name, count, *members = words
        for member in members:
            if member not in self.definitions:
                raise BadInput(f"{member[:100]!r} is no witness or group of a line before.")
            if member in self._members:
                raise BadInput(f"{member[:100]!r} is a member of a group already.")
            self._members.add(member)
        if not re.fullmatch("all|any|[1-9][0-9]{0,3}", count):
            raise BadInput(f"{count[:50]!r} is neither all, any nor a number of members.")
        threshold = {"all": len(members), "any": 1}.get(count) or int(count)
        if threshold > len(members):
            raise BadInput(f"{threshold} of {len(members)} members can never be.")
        self.definitions[self._fresh(name)] = Group(name, threshold, tuple(members))

    def _quorum(self, words: list[str]) -> None:
        if len(words) != 1:
            raise BadInput("a quorum line is `quorum <name>` or `quorum none`.")
        if self.quorum is not None:
            raise BadInput("it is the second quorum line.")
        if words[0] != NO_QUORUM and words[0] not in self.definitions:
            raise BadInput(f"{words[0][:100]!r} is no witness or group of a line before.")
        self.quorum = words[0]

    def _fresh(self, name: str) -> str:
        if name == NO_QUORUM or name in self.definitions:
            raise BadInput(f"the name {name[:100]!r} is taken.")
        return name

    def _key(self, kind: str, vkey: str, expected: KeyType) -> Verifier:
        key = parse_vkey(vkey)
        if key.key_type is not expected:
            raise BadInput(f"the key of a {kind} is of type {expected:#04x}, not {key.key_type:#04x}.")
        if (kind, key.public_key) in self._keys:
            raise BadInput(f"this {kind} has the same key as one before.")
        self._keys.add((kind, key.public_key))
        return key


def _line(*words: str | None) -> str:
    return " ".join(word for word in words if word is not None) + "\n"
