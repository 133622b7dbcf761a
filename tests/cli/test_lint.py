"""``privyseal lint`` over many files: order, exit codes, JSON, width, and no terminal tricks."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.compliance.builders.certificate import octets

from privyseal.cli.main import run


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., str]:
    def written(name: str, **words: object) -> str:
        path = tmp_path / name
        path.write_bytes(octets(words))
        return str(path)

    return written


@pytest.mark.parametrize(
    ("given", "code"),
    [("g", 0), ("b", 3), ("gb", 3), ("n", 2), ("nn", 2), ("gn", 9), ("bn", 3), ("gbn", 3), ("ggggggggg", 0)],
)
def test_exit_codes(make: Callable[..., str], tmp_path: Path, given: str, code: int) -> None:
    (tmp_path / "n").write_bytes(b"no certificate")
    paths = {"g": make("g"), "b": make("b", days=461), "n": str(tmp_path / "n")}
    assert run(["lint", "-q", *(paths[each] for each in given)]) == code


def test_many_files_are_told_of_in_their_order(make: Callable[..., str], capsys: pytest.CaptureFixture[str]) -> None:
    paths = [make(f"{number:02}", serial=(1 << 100) + number, days=460 + number % 2) for number in range(12)]
    assert run(["lint", "--json", *paths]) == 3
    report = json.loads(capsys.readouterr().out)
    assert [each["path"] for each in report["objects"]] == paths
    wrong = [each["subject"] for each in report["findings"] if each["verdict"] == "not-met"]
    assert wrong == paths[1::2]
    assert set(report["findings"][0]) == {
        *("requirement", "clause", "ballot", "subject", "verdict", "text", "mend", "governed", "dated")
    }


def test_words_fit_into_eighty_columns_and_move_no_cursor(
    make: Callable[..., str], capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make("x.der", days=461, **{"with": {"OU": "\x1b[2Jred\n\u202eevil", "CN": "Acme\x1b]0;x\x07"}})
    assert run(["lint", "--all", "x.der"]) == 3
    shown = capsys.readouterr().err
    assert max(map(len, shown.splitlines())) <= 80
    assert not {"\x1b", "\x07", "\u202e"} & set(shown)
    assert "CSBR 6.3.2" in shown


def test_the_day_asked_is_in_the_report(make: Callable[..., str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["lint", "--json", "--as-of", "2023-10-19", make("x.der")]) == 0
    assert json.loads(capsys.readouterr().out)["as_of"] == "2023-10-19"
