"""YARA rules by ``yara-x`` (the extra ``yara``): compiled and matched in a process with limits, for each file anew.

Rules are written by strangers and meet files by others, so neither is let into ``serve``. A rule that matches is a
finding, whichever it is; a set of which one rule does not compile is no set.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from privyseal.errors import Infected, Unavailable
from privyseal.scanning import limited
from privyseal.scanning.protocol import HEALTH_SECONDS, Standing, seconds_for, words
from privyseal.terms.scans import Scan, ScannerName

LARGEST_RULES = 64 << 20
"""Octets of all rules together; the largest public collections have some 20 MiB."""

MOST_NAMED = 8
"""Rules that are named of those that match."""


class YaraSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="yara"):
    """``[[scanners]]`` with ``kind = "yara"``: files of rules."""

    name: ScannerName = "yara"
    rules: Annotated[tuple[str, ...], Meta(min_length=1, max_length=256)]
    """Files of rules, a relative path from ``serve.toml``; ``include`` is off, so they are all there is."""
    seconds: Annotated[float, Meta(gt=0, le=3600)] = 120.0
    """For any file, and a second more for each 8 MiB; compiling the rules included."""
    memory_mib: Annotated[int, Meta(ge=64, le=1 << 20)] = 2048


class Outcome(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the child says: by which rules it judged, and which of them matched; or why it could not."""

    engine: str = ""
    rules: str = ""
    """SHA-256 over the rules, lower-case hex."""
    matched: tuple[str, ...] = ()
    refused: str = ""


class Yara:
    """One set of rules."""

    def __init__(self, section: YaraSection, base: Path) -> None:
        """Read where the rules are; whether they are there and compile is found when they are used."""
        self.name = section.name
        self._section = section
        self._rules = [str(base / each) for each in section.rules]

    def standing(self, now: datetime) -> Standing:
        """Compile the rules."""
        outcome = self._asked("", HEALTH_SECONDS)
        return Standing(engine=outcome.engine, database=outcome.rules)

    def scan(self, path: Path, now: datetime) -> Scan:
        """Compile the rules and match them with a file."""
        outcome = self._asked(str(path), seconds_for(path.stat().st_size, self._section.seconds))
        if outcome.matched:
            named = ", ".join(words(each, "?") for each in outcome.matched)
            raise Infected(f"Scanner {self.name} found {named}.", hint="the file was not signed")
        return Scan(
            scanner=self.name,
            engine=outcome.engine,
            database=outcome.rules,
            verdict="clean",
            time=now.astimezone(UTC).replace(microsecond=0),
        )

    def _asked(self, path: str, seconds: float) -> Outcome:
        argv = [sys.executable, "-I", "-m", "privyseal.scanning.yara", str(seconds), path, *self._rules]
        ran = limited.run(argv, seconds=seconds, memory=self._section.memory_mib << 20)
        try:
            outcome = msgspec.json.decode(ran.output, type=Outcome) if ran.code == 0 else None
        except msgspec.MsgspecError:
            outcome = None
        if outcome is None or not (outcome.refused or (outcome.engine and outcome.rules)):
            raise Unavailable(
                f"Scanner {self.name} broke off with exit code {ran.code}.",
                hint="memory_mib may be too little; nothing was signed",
            )
        if outcome.refused:
            raise Unavailable(
                f"Scanner {self.name} cannot judge: {words(outcome.refused, 'it does not say why')}.",
                hint="whoever runs the service must look; nothing was signed",
            )
        return outcome


# -- in the child ------------------------------------------------------------------------------------------------------
def judge(path: str, rules: list[str], seconds: float) -> Outcome:
    """Compile rules and match them with a file; with an empty path only compile."""
    try:
        import yara_x
    except ImportError:
        return Outcome(refused="yara-x is not installed (pip install privyseal[yara])")
    compiler, digest, octets = yara_x.Compiler(), hashlib.sha256(), 0
    compiler.enable_includes(False)
    try:
        for each in rules:
            text = Path(each).read_bytes()
            octets += len(text)
            if octets > LARGEST_RULES:
                return Outcome(refused=f"the rules have more than {LARGEST_RULES} octets")
            digest.update(len(text).to_bytes(8, "big") + text)
            compiler.new_namespace(each)
            compiler.add_source(text.decode("utf-8"), origin=Path(each).name)
        compiled = compiler.build()
    except yara_x.CompileError as error:
        return Outcome(refused=f"a rule does not compile: {' '.join(str(error).split())}")
    except UnicodeDecodeError:
        return Outcome(refused=f"{Path(each).name} is not UTF-8")
    except OSError as error:
        return Outcome(refused=f"{Path(each).name}: {error.strerror}")
    engine = f"yara-x {importlib.metadata.version('yara-x')}"
    if not path:
        return Outcome(engine, digest.hexdigest())
    scanner = yara_x.Scanner(compiled)
    scanner.set_timeout(int(seconds) + 1)
    try:
        found = scanner.scan_file(path)
    except (yara_x.ScanError, yara_x.TimeoutError, OSError) as error:
        return Outcome(refused=f"the file could not be scanned: {' '.join(str(error).split())}".replace(path, "it"))
    names = sorted({rule.identifier for rule in found.matching_rules})
    return Outcome(engine, digest.hexdigest(), tuple(names[:MOST_NAMED]))


def main() -> None:
    """Judge the file that is named, and say what was found."""
    seconds, path, *rules = sys.argv[1:]
    sys.stdout.buffer.write(msgspec.json.encode(judge(path, rules, float(seconds))))


if __name__ == "__main__":
    main()
