"""YARA rules: what matches is found, what does not compile is no scanner, and nothing of it runs in our process."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.clamd import EICAR

from privyseal.errors import Infected, Unavailable
from privyseal.scanning.yara import Yara, YaraSection

NOW = datetime(2026, 11, 30, 12, 0, 0, tzinfo=UTC)
RULE = 'rule Eicar { strings: $a = "EICAR-STANDARD-ANTIVIRUS-TEST-FILE" condition: $a }\n'


def _yara(folder: Path, *rules: str, **changes: object) -> Yara:
    names = []
    for number, text in enumerate(rules):
        (folder / f"{number}.yar").write_text(text)
        names.append(f"{number}.yar")
    return Yara(YaraSection(rules=tuple(names), **changes), folder)  # type: ignore[arg-type]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "U-a"
    path.write_bytes(b"MZ hello")
    return path


def test_a_clean_file_passes_and_the_rules_are_named(tmp_path: Path, file: Path) -> None:
    """Which rules: their SHA-256, another one for other rules."""
    scan = _yara(tmp_path, RULE).scan(file, NOW)
    assert scan.verdict == "clean" and scan.engine.startswith("yara-x ")
    other = _yara(tmp_path, RULE + "// changed\n").scan(file, NOW)
    assert scan.database != other.database and len(str(scan.database)) == 64
    assert _yara(tmp_path, RULE).standing(NOW).database == scan.database


def test_a_rule_that_matches_is_found_by_name(tmp_path: Path, file: Path) -> None:
    """Whichever file of rules it is in; a private rule is no finding."""
    file.write_bytes(b"MZ" + EICAR)
    second = "rule Mz { condition: uint16(0) == 0x5a4d } private rule Quiet { condition: true }"
    with pytest.raises(Infected, match="found Eicar, Mz"):
        _yara(tmp_path, RULE, second, "rule Eicar { condition: false }").scan(file, NOW)


@pytest.mark.parametrize(
    ("rules", "why"),
    [
        (["rule A { condition: $x }"], "does not compile"),
        (["rule A { condition: true"], "does not compile"),
        ([RULE, "nonsense"], "does not compile"),
        (['include "/etc/passwd"'], "does not compile"),
        (["rule A { condition: true } \udcff"], "UTF-8"),
    ],
    ids=["unknown", "cut", "second file", "include", "octets"],
)
def test_rules_that_cannot_be_used_refuse(tmp_path: Path, file: Path, rules: list[str], why: str) -> None:
    """One bad rule, and the set judges nothing; its health says so too."""
    names = []
    for number, text in enumerate(rules):
        (tmp_path / f"{number}.yar").write_bytes(text.encode("utf-8", "surrogateescape"))
        names.append(f"{number}.yar")
    scanner = Yara(YaraSection(rules=tuple(names)), tmp_path)
    for question in (lambda: scanner.scan(file, NOW), lambda: scanner.standing(NOW)):
        with pytest.raises(Unavailable, match=why) as refused:
            question()
        assert "Traceback" not in str(refused.value)


def test_rules_that_are_not_there_refuse(tmp_path: Path, file: Path) -> None:
    """The file is named, not its folder."""
    scanner = Yara(YaraSection(rules=("gone.yar",)), tmp_path)
    with pytest.raises(Unavailable, match=r"gone\.yar: No such file"):
        scanner.scan(file, NOW)


def test_a_rule_that_takes_for_ever_refuses(tmp_path: Path, file: Path) -> None:
    """A loop over a thousand million numbers is ended."""
    slow = "rule Slow { condition: for all i in (0..1000000000) : ( uint8(i % filesize) != 300 ) and filesize > 0 }"
    with pytest.raises(Unavailable):
        _yara(tmp_path, slow, seconds=1.0).scan(file, NOW)


def test_a_child_without_memory_refuses(tmp_path: Path, file: Path) -> None:
    """What does not fit into its limit ends the child, and no file passes."""
    many = "\n".join(f'rule R{n} {{ strings: $a = "{n:0500d}" condition: $a }}' for n in range(20000))
    with pytest.raises(Unavailable):
        _yara(tmp_path, many, memory_mib=64).scan(file, NOW)


def test_it_is_imported_where_it_is_used() -> None:
    """The service starts without yara-x, and without it in its memory."""
    code = "import sys, privyseal.config; print('yara_x' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "False\n"
