"""Any program that looks at a file and says by its exit code what it thinks: for scanners that nobody wrote a file for.

An exit code is clean, infected, or neither; whatever is neither, a signal included, means that nobody has looked.
"""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from privyseal.errors import Infected, Misused, Unavailable
from privyseal.scanning import limited
from privyseal.scanning.protocol import HEALTH_SECONDS, Standing, seconds_for, words
from privyseal.terms.scans import Scan, ScannerName

FILE = "{file}"
"""What stands in the command for the path of the file."""

ExitCode = Annotated[int, Meta(ge=0, lt=limited.CANNOT_START)]
"""An exit code that a program means; those from 126 on are for programs that did not start or were killed."""


class CommandSection(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="command"
):
    """``[[scanners]]`` with ``kind = "command"``: a program and its arguments."""

    name: ScannerName
    command: Annotated[tuple[str, ...], Meta(min_length=2, max_length=64)]
    """The program and its arguments, one of them ``{file}``; there is no shell, so nothing else is replaced."""
    version: Annotated[tuple[str, ...], Meta(max_length=64)] = ()
    """A command whose first line says which version it is; what is recorded without it is the program's name."""
    clean: tuple[ExitCode, ...] = (0,)
    infected: tuple[ExitCode, ...] = (1,)
    seconds: Annotated[float, Meta(gt=0, le=3600)] = 120.0
    """For any file, and a second more for each 8 MiB."""
    memory_mib: Annotated[int, Meta(ge=16, le=1 << 20)] = 1024


class Command:
    """One program, started for each file."""

    def __init__(self, section: CommandSection, base: Path) -> None:
        """Read the command; a program with a slash in a relative path starts at ``base``. Misused if it makes no
        sense."""
        self.name = section.name
        self._section = section
        if section.command.count(FILE) != 1 or section.command[0] == FILE:
            raise Misused(f"The command of scanner {self.name} needs one argument that is {FILE}.")
        if not section.infected or set(section.clean) & set(section.infected) or not section.clean:
            raise Misused(f"Scanner {self.name} needs exit codes for clean and for infected, and no code for both.")
        self._command = (_program(section.command[0], base), *section.command[1:])
        self._version = (_program(section.version[0], base), *section.version[1:]) if section.version else ()

    def standing(self, now: datetime) -> Standing:
        """Ask for the version, or see whether the program is there."""
        return Standing(engine=self._engine(HEALTH_SECONDS))

    def scan(self, path: Path, now: datetime) -> Scan:
        """Run it on a file."""
        seconds = seconds_for(path.stat().st_size, self._section.seconds)
        engine = self._engine(seconds)
        argv = [str(path) if each == FILE else each for each in self._command]
        ran = limited.run(argv, seconds=seconds, memory=self._section.memory_mib << 20)
        said = ran.output.decode("utf-8", "replace").replace(str(path), "the file")
        if ran.code in self._section.infected:
            raise Infected(
                f"Scanner {self.name} found {words(said, 'something that it does not name')}.",
                hint="the file was not signed",
            )
        if ran.code not in self._section.clean:
            how = f"signal {-ran.code}" if ran.code < 0 else f"exit code {ran.code}"
            raise Unavailable(
                f"Scanner {self.name} failed with {how}: {words(said, 'it said nothing')}.",
                hint="whoever runs the service must look; nothing was signed",
            )
        return Scan(scanner=self.name, engine=engine, verdict="clean", time=now.astimezone(UTC).replace(microsecond=0))

    def _engine(self, seconds: float) -> str:
        name = words(os.path.basename(self._command[0]), "command")
        if not self._version:
            if shutil.which(self._command[0]) is None:
                raise Unavailable(f"Scanner {self.name} is not there: no program {name}.")
            return name
        ran = limited.run(self._version, seconds=seconds, memory=self._section.memory_mib << 20)
        if ran.code != 0:
            raise Unavailable(f"Scanner {self.name} does not say which version it is; its exit code is {ran.code}.")
        return words(ran.output.decode("utf-8", "replace"), name)


def _program(given: str, base: Path) -> str:
    return str(base / given) if "/" in given else given
