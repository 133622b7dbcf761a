"""What a shell is told: exit codes, one sentence, never a traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from privyseal import __version__, errors
from privyseal.cli import main
from privyseal.errors import BadInput, Denied, NotAuthenticated, PrivySealError, Unavailable, VerificationFailed

PROGRAM = [sys.executable, "-m", "privyseal"]


def leaves(of: type[PrivySealError]) -> list[type[PrivySealError]]:
    return [of, *(leaf for each in of.__subclasses__() for leaf in leaves(each))]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> list[BaseException]:
    """A command `fail` that raises what the test puts into the list."""
    to_raise: list[BaseException] = []

    @click.command()
    @click.option("--json", "json_mode", is_flag=True)
    @click.argument("rest", nargs=-1)
    def fail(json_mode: bool, rest: tuple[str, ...]) -> list[PrivySealError | None]:
        raise to_raise[0]

    module = type(sys)("tests.cli.fails")
    module.fail = fail  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tests.cli.fails", module)
    monkeypatch.setitem(main.COMMANDS, "fail", ("tests.cli.fails:fail", "Fail."))
    return to_raise


@pytest.mark.parametrize("kind", leaves(errors.PrivySealError), ids=lambda kind: kind.__name__)
def test_every_error_of_ours_is_one_sentence_and_its_own_exit_code(
    kind: type[PrivySealError], command: list[BaseException], capfd: pytest.CaptureFixture[str]
) -> None:
    """The mapping has no holes: each leaf of the tree ends as the contract says, with its hint on the next line."""
    command.append(kind("It did not work.", hint="try harder"))
    assert main.run(["fail"]) == kind.exit
    out, err = capfd.readouterr()
    assert (out, err) == ("", "privyseal: It did not work.\n  hint: try harder\n")


def test_json_has_its_one_object_also_when_the_command_fails(
    command: list[BaseException], capfd: pytest.CaptureFixture[str]
) -> None:
    """A script that reads stdout gets an object whatever happens."""
    command.append(Denied("No."))
    assert main.run(["fail", "--json"]) == 7
    document = json.loads(capfd.readouterr().out)
    assert document == {
        "schema": "privyseal/error/1",
        "error": {"code": "denied", "text": "No.", "hint": None, "exit": 7},
    }
    assert main.run(["fail", "--json=lines", "--nope"]) == 2
    assert json.loads(capfd.readouterr().out)["event"] == "error"


def test_what_nobody_foresaw_is_our_bug_and_keeps_its_secrets(
    command: list[BaseException], capfd: pytest.CaptureFixture[str]
) -> None:
    """Exit 1, one sentence with the kind and the line; its text, which may hold a secret, only under --debug."""
    command.append(KeyError("sesame"))
    assert main.run(["fail"]) == 1
    err = capfd.readouterr().err
    assert "This is a bug in Privy Seal (KeyError at test_main.py:" in err
    assert "sesame" not in err and "Traceback" not in err
    assert main.run(["fail", "--debug"]) == 1
    assert "Traceback" in capfd.readouterr().err


@pytest.mark.parametrize("interruption", [KeyboardInterrupt(), click.Abort()])
def test_an_interruption_is_130(interruption: BaseException, command: list[BaseException]) -> None:
    """Ctrl-C, also at a prompt, is told apart from every failure."""
    command.append(interruption)
    assert main.run(["fail"]) == 130


def test_what_the_operating_system_refuses_is_input_not_bug(
    command: list[BaseException], capfd: pytest.CaptureFixture[str]
) -> None:
    """A disk that is full or a file that is gone is nobody's traceback."""
    command.append(OSError(28, os.strerror(28), "/data/x\x1b[2J"))
    assert main.run(["fail"]) == 8
    command[0] = OSError(13, os.strerror(13), b"/data/x")
    assert main.run(["fail"]) == 2
    assert capfd.readouterr().err == (
        "privyseal: /data/x\\x1b[2J: No space left on device.\nprivyseal: /data/x: Permission denied.\n"
    )


_STDOUT_FULL = "privyseal: No space left on device."


@pytest.mark.parametrize(
    ("given", "said", "code"),
    [
        (["--version"], _STDOUT_FULL, 8),
        (["timeline", "--json"], _STDOUT_FULL, 8),
        (["verify", "--json", "--nope"], "privyseal: No such option '--nope'.", 2),
    ],
)
def test_a_result_that_cannot_be_written_is_one_sentence(given: list[str], said: str, code: int) -> None:
    """stdout on a full disk: told on stderr, and told once; Python's own complaint at the end is kept away."""
    with open("/dev/full", "wb") as full:
        done = subprocess.run([*PROGRAM, *given], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    told = [line for line in done.stderr.splitlines() if line.startswith("privyseal: ")]
    assert told == [said], done.stderr
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr
    assert done.returncode == code


def test_words_that_cannot_be_written_do_not_change_what_became_of_the_work() -> None:
    """stderr on a full disk: nobody hears why, and the exit code is that of the refusal."""
    with open("/dev/full", "wb") as full:
        done = subprocess.run([*PROGRAM, "verify", "nowhere"], stdout=subprocess.PIPE, stderr=full, check=False)
    assert (done.returncode, done.stdout) == (2, b"")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_stream_that_is_closed_is_no_bug(closed: str) -> None:
    """A job may be started without one of the standard streams; it ends as it does with all of them."""
    line = f"{' '.join(PROGRAM)} verify nowhere {closed}"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "bug" not in done.stderr


def test_several_files_fold_into_one_code() -> None:
    """Common code when alike, 9 when mixed with success, else what running again cures least."""
    bad, no, away, who = BadInput("a"), VerificationFailed("b"), Unavailable("c"), NotAuthenticated("d")
    assert main.exit_code([]) == main.exit_code([None, None]) == 0
    assert main.exit_code([bad, BadInput("x")]) == 2
    assert main.exit_code([None, bad]) == main.exit_code([None, bad, away]) == 9
    assert main.exit_code([away, bad]) == 2
    assert main.exit_code([away, no, bad]) == 3
    assert main.exit_code([away, who, no]) == 4
    waits = object()
    assert (main.exit_code([waits]), main.exit_code([waits, None]), main.exit_code([waits, away])) == (6, 9, 6)


@pytest.mark.parametrize("kind", leaves(errors.PrivySealError), ids=lambda kind: kind.__name__)
def test_the_precedence_knows_every_code(kind: type[PrivySealError]) -> None:
    """Two different failures always have an answer."""
    assert kind.exit in main.CURED_LEAST_BY_RUNNING_AGAIN


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Usage: privyseal"),
        (["nope"], "No such command 'nope'"),
        (["nope"], "hint: privyseal --help"),
        (["sing", "x"], "No such command 'sing'. Did you mean 'sign'?"),
        (["log", "porve"], "No such command 'porve'. Did you mean 'prove'?"),
        (["--nope"], "No such option '--nope'"),
        (["sign"], "Missing argument"),
        (["sign", "--nope", "x"], "hint: privyseal sign --help"),
        (["verify", "--json=xml", "x"], "'xml' is not one of"),
        (["sign", "-o"], "requires an argument"),
    ],
)
def test_wrong_usage_is_2(arguments: list[str], said: str, capfd: pytest.CaptureFixture[str]) -> None:
    """A typing mistake ends with a sentence, and how to see the right usage."""
    assert main.run(arguments) == 2
    assert said in capfd.readouterr().err


def test_an_argument_that_is_no_text_is_2(command: list[BaseException], capfd: pytest.CaptureFixture[str]) -> None:
    """Paths may hold any octets; a name that goes into a request may not, and that is nobody's bug."""
    with pytest.raises(UnicodeEncodeError) as failed:
        "\udcff".encode()
    command.append(failed.value)
    assert main.run(["fail", "--", "x\udcff y"]) == 2
    assert capfd.readouterr().err == "privyseal: x\\xff y is no text in UTF-8, and some was expected.\n"
    assert main.run(["fail", "--", "x"]) == 1


def test_help_lists_every_command_and_loads_none(capfd: pytest.CaptureFixture[str]) -> None:
    """`--help` is made from the table alone."""
    before = {name for name in sys.modules if name.startswith("privyseal")}
    assert main.run(["--help"]) == 0
    out = capfd.readouterr().out
    assert all(f"\n  {name} " in out for name in main.COMMANDS)
    assert all(len(line) <= 80 for line in out.splitlines())
    assert {name for name in sys.modules if name.startswith("privyseal")} == before


@pytest.mark.parametrize("name", main.COMMANDS)
def test_the_line_in_the_list_is_the_first_of_the_commands_own_help(name: str) -> None:
    """The table repeats each command's first sentence, and may not drift from it."""
    loaded = main.privyseal.get_command(click.Context(main.privyseal), name)
    assert loaded is not None and loaded.name == name
    assert (loaded.help or "").strip().splitlines()[0] == main.COMMANDS[name][1]


def test_debug_goes_anywhere_but_is_a_file_name_after_two_dashes() -> None:
    """People add --debug at the end of the line that failed."""
    assert main._without_debug(["sign", "x", "--debug"]) == (True, ["sign", "x"])
    assert main._without_debug(["sign", "--", "--debug"]) == (False, ["sign", "--", "--debug"])


def test_a_reader_of_stdout_may_leave(tmp_path: Path) -> None:
    """`privyseal --help | head -1` ends without a complaint."""
    script = f"set -o pipefail; {' '.join(PROGRAM)} --help | true"
    done = subprocess.run(["bash", "-c", script], capture_output=True, check=False)
    assert done.stderr == b""
    assert done.returncode in (0, 141)


def test_the_version_is_said() -> None:
    """One line for builds to read; how long it takes is `./seal bench --only start`'s to say, for times drift."""
    done = subprocess.run([*PROGRAM, "--version"], capture_output=True, check=True, text=True)
    assert done.stdout == f"privyseal {__version__}\n"


def test_the_version_loads_nothing_heavy() -> None:
    """Neither HTTP, nor cryptography, nor msgspec: what a build asks on every run may not creep up unseen."""
    code = (
        "import sys; from privyseal.cli import main; main.run(['--version']); sys.stderr.write(str(list(sys.modules)))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stderr
    for heavy in ("msgspec", "cryptography", "http.client", "ssl", "asyncio", "litestar", "sqlalchemy", "numpy"):
        assert f"'{heavy}'" not in loaded
