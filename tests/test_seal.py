"""The launcher ./seal: what it decides before it starts anything."""

from __future__ import annotations

import fcntl
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Mapping
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import pytest

import privyseal

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ("requirements.lock", "requirements-test.lock")


@pytest.fixture(scope="module")
def seal() -> ModuleType:
    loader = SourceFileLoader("seal_launcher", str(ROOT / "seal"))
    spec = importlib.util.spec_from_loader("seal_launcher", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\n[build-system]\nrequires = []\n[tool.a]\nb = 1\n')
    for name in LOCKS:
        (tmp_path / name).write_text(f"# {name}\n")
    return tmp_path


# --- the marker --------------------------------------------------------------------------------------------


def test_a_finished_environment_needs_nothing(seal: ModuleType, checkout: Path) -> None:
    want = seal.wanted(checkout, checkout / ".venv", LOCKS)
    assert seal.still_to_do(want, want) == "nothing"
    assert set(want) == {"python", "path", "project", *LOCKS}
    assert want["python"] == f"cpython-{sys.version_info.major}.{sys.version_info.minor}"


def test_a_test_environment_serves_the_demo_but_not_the_other_way_round(seal: ModuleType, checkout: Path) -> None:
    runtime = seal.wanted(checkout, checkout / ".venv", LOCKS[:1])
    whole = seal.wanted(checkout, checkout / ".venv", LOCKS)
    assert seal.still_to_do(whole, runtime) == "nothing"
    assert seal.still_to_do(runtime, whole) == "packages"


@pytest.mark.parametrize("lock", LOCKS)
def test_a_changed_lock_file_means_a_new_environment(seal: ModuleType, checkout: Path, lock: str) -> None:
    before = seal.wanted(checkout, checkout / ".venv", LOCKS)
    (checkout / lock).write_text("another==1\n")
    assert seal.still_to_do(before, seal.wanted(checkout, checkout / ".venv", LOCKS)) == "all"


def test_the_demo_does_not_mind_a_changed_test_lock(seal: ModuleType, checkout: Path) -> None:
    before = seal.wanted(checkout, checkout / ".venv", LOCKS)
    (checkout / "requirements-test.lock").write_text("another==1\n")
    assert seal.still_to_do(before, seal.wanted(checkout, checkout / ".venv", LOCKS[:1])) == "nothing"


@pytest.mark.parametrize("key", ["python", "path"])
def test_another_python_or_a_moved_checkout_means_a_new_environment(seal: ModuleType, checkout: Path, key: str) -> None:
    want = seal.wanted(checkout, checkout / ".venv", LOCKS)
    assert seal.still_to_do({**want, key: "elsewhere"}, want) == "all"


def test_only_what_is_built_from_pyproject_makes_it_install_the_project_again(seal: ModuleType, checkout: Path) -> None:
    file = checkout / "pyproject.toml"
    before = seal.wanted(checkout, checkout / ".venv", LOCKS)
    file.write_text(file.read_text().replace("b = 1", "b = 2"))
    assert seal.still_to_do(before, seal.wanted(checkout, checkout / ".venv", LOCKS)) == "nothing"
    file.write_text(file.read_text().replace('"x"', '"y"'))
    assert seal.still_to_do(before, seal.wanted(checkout, checkout / ".venv", LOCKS)) == "project"


@pytest.mark.parametrize("content", [None, b"", b'{"python": "cpython-3.11", ', b"\xff\xfe", b"[1]", b"{}"])
def test_a_marker_that_is_absent_or_cut_short_means_a_new_environment(
    seal: ModuleType, checkout: Path, content: bytes | None
) -> None:
    marker = checkout / "marker.json"
    if content is not None:
        marker.write_bytes(content)
    want = seal.wanted(checkout, checkout / ".venv", LOCKS)
    assert seal.still_to_do(seal.read_marker(marker), want) == "all"


def test_what_is_written_is_what_is_read(seal: ModuleType, checkout: Path) -> None:
    want = seal.wanted(checkout, checkout / ".venv", LOCKS)
    (checkout / "marker.json").write_text(json.dumps(want))
    assert seal.read_marker(checkout / "marker.json") == want


def noting(into: list[list[str]], code: int = 0) -> Callable[..., int]:
    """Stand in for run(): note the command and answer with a code."""

    def run(command: list[str], env: object = None, *, apart: bool = False) -> int:
        into.append(list(command))
        return code

    return run


def prepare_set_up(seal: ModuleType, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Point the launcher at a checkout whose pip only notes what it was asked."""
    asked: list[list[str]] = []
    monkeypatch.setattr(seal, "ROOT", checkout)
    monkeypatch.setattr(seal, "VENV", checkout / ".venv")
    monkeypatch.setattr(seal, "PYTHON", checkout / ".venv" / "bin" / "python")
    monkeypatch.setattr(seal, "MARKER", checkout / ".venv" / "seal-finished.json")
    monkeypatch.setattr(seal, "pip_command", lambda: ["pip"])
    monkeypatch.setattr(seal, "run", noting(asked))
    return asked


def test_set_up_installs_by_hash_from_wheels_and_then_itself_without_network(
    seal: ModuleType, checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = prepare_set_up(seal, checkout, monkeypatch)
    seal.ensure("demo")
    packages, itself = asked
    assert {"--require-hashes", "--only-binary", ":all:", str(checkout / LOCKS[0])} <= set(packages)
    assert {"--no-deps", "--no-index", "--no-build-isolation", "-e", str(checkout)} <= set(itself)

    seal.ensure("demo")
    assert len(asked) == 2, "a finished environment was set up again"

    seal.ensure("test")
    assert str(checkout / LOCKS[1]) in asked[2]
    seal.ensure("demo")
    assert len(asked) == 4
    assert capsys.readouterr().out == ""


def test_an_interrupted_set_up_is_done_again(seal: ModuleType, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = prepare_set_up(seal, checkout, monkeypatch)
    seal.ensure("demo")

    def interrupted(*_: object, **__: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(seal, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        seal.ensure("test")  # only adds to what is there, and still leaves no marker behind
    assert not (checkout / ".venv" / "seal-finished.json").exists()

    monkeypatch.setattr(seal, "run", noting(asked))
    seal.ensure("demo")
    assert len(asked) == 4


def test_what_pip_cannot_install_is_worth_trying_again(
    seal: ModuleType, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare_set_up(seal, checkout, monkeypatch)
    monkeypatch.setattr(seal, "run", noting([], 1))
    with pytest.raises(seal.Stop, match=r"pip could not install requirements\.lock") as stop:
        seal.ensure("demo")
    assert stop.value.code == 8
    assert not (checkout / ".venv" / "seal-finished.json").exists()


def test_a_second_set_up_waits_for_the_first(seal: ModuleType, tmp_path: Path) -> None:
    with seal.alone(tmp_path):
        other = os.open(tmp_path, os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(other)


def test_a_killed_set_up_leaves_the_lock_with_the_pip_that_still_runs(tmp_path: Path) -> None:
    shutil.copy(ROOT / "seal", tmp_path / "launcher.py")
    program = (
        "import os, pathlib, launcher\n"
        "with launcher.alone(pathlib.Path()):\n"
        "    launcher.run(['sh', '-c', 'echo $$; exec sleep 60'])\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], cwd=tmp_path, stdout=subprocess.PIPE) as killed:
        assert killed.stdout is not None
        pip = int(killed.stdout.readline())
        killed.kill()
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(BlockingIOError):
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.kill(pip, signal.SIGKILL)
        fcntl.flock(folder, fcntl.LOCK_EX)
    finally:
        os.close(folder)


# --- platform and tools ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("platform", "version", "says"),
    [
        ("linux", (3, 11), None),
        ("darwin", (3, 13), None),
        ("win32", (3, 12), "not on win32"),
        ("emscripten", (3, 12), "not on emscripten"),
        ("linux", (3, 10), "Python 3.11 or newer is needed, and this is 3.10."),
        ("linux", (2, 7), "this is 2.7"),
    ],
)
def test_unknown_platforms_and_old_pythons_are_refused_in_a_sentence(
    seal: ModuleType, platform: str, version: tuple[int, int], says: str | None
) -> None:
    answer = seal.refusal(platform, version)
    if says is None:
        assert answer is None
    else:
        assert says in answer
        assert answer.endswith(".")


def test_an_unknown_platform_ends_with_usage_and_no_traceback(
    seal: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(sys, "platform", "win32")
    try:
        assert seal.main(["demo"]) == 2
    finally:
        signal.signal(signal.SIGTERM, before)
    assert capsys.readouterr().err.splitlines() == [
        "seal: Privy Seal runs on Linux and macOS, not on win32; on Windows use it inside WSL."
    ]


def test_the_table_names_debian_packages_and_searches_no_tree(seal: ModuleType) -> None:
    assert {"osslsigncode", "openssl", "golang-go", "golang-golang-x-mod-dev"} <= set(seal.TOOLS)
    for package, candidates in seal.TOOLS.items():
        assert re.fullmatch(r"[a-z0-9][a-z0-9+.-]+", package), package
        assert candidates, package
        assert not any("**" in candidate for candidate in candidates), package


def test_a_tool_is_found_on_the_path_or_by_pattern(
    seal: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin-1.2" / "judge"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert seal.where(["judge-of-nothing", str(tmp_path / "bin-*" / "judge")]) == str(program)
    assert seal.where(["judge-of-nothing", str(tmp_path / "lib" / "*")]) is None
    monkeypatch.setenv("PATH", str(program.parent))
    assert seal.where(["judge"]) == str(program)
    tools = {"judge": ("judge",), "jury": ("jury",)}
    assert seal.missing(tools) == ["jury"]


def test_the_tests_get_every_tool_on_their_path(
    seal: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "judge"
    program.write_text("")
    monkeypatch.setenv("PATH", "/usr/bin")
    env = seal.child_environment({"judge": (str(program),), "a folder of sources": (str(tmp_path),)})
    assert env["PATH"].split(os.pathsep) == [str(seal.PYTHON.parent), "/usr/bin", str(tmp_path)]


@pytest.mark.parametrize(("root", "apt"), [(False, "/usr/bin/apt-get"), (True, None)])
def test_who_may_not_install_is_told_the_apt_line(
    seal: ModuleType, monkeypatch: pytest.MonkeyPatch, root: bool, apt: str | None
) -> None:
    monkeypatch.setattr(seal, "run", lambda *_: pytest.fail("something was started"))
    tools = {"sh-is-here": ("/bin/sh",), "jury": ("/nowhere/jury",), "bench-of-judges": ("/nowhere/bench",)}
    with pytest.raises(seal.Stop) as stop:
        seal.ensure_tools(tools, root=root, apt=apt)
    assert stop.value.code == 2
    assert "apt-get install -y --no-install-recommends jury bench-of-judges" in str(stop.value)
    assert "sh-is-here" not in str(stop.value)


def test_root_installs_only_what_is_missing(seal: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[list[str]] = []

    def apt_get(command: list[str], env: dict[str, str]) -> int:
        assert env["DEBIAN_FRONTEND"] == "noninteractive"
        started.append(command)
        if "install" in command:
            (tmp_path / "jury").touch()
        return 0

    monkeypatch.setattr(seal, "run", apt_get)
    tools = {"sh": ("/bin/sh",), "jury": (str(tmp_path / "jury"),)}
    seal.ensure_tools(tools, root=True, apt="apt-get")
    assert started == [
        ["apt-get", "-qq", "update"],
        ["apt-get", "-qq", "install", "-y", "--no-install-recommends", "jury"],
    ]
    seal.ensure_tools(tools, root=True, apt="apt-get")
    assert len(started) == 2, "nothing was missing the second time"


def test_an_apt_that_fails_or_lies_is_not_believed(seal: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = {"jury": ("/nowhere/jury",)}
    monkeypatch.setattr(seal, "run", lambda command, env: 100)
    with pytest.raises(seal.Stop, match="apt-get update") as stop:
        seal.ensure_tools(tools, root=True, apt="apt-get")
    assert stop.value.code == 8
    monkeypatch.setattr(seal, "run", lambda command, env: 0)
    with pytest.raises(seal.Stop, match=r"still not found.*jury"):
        seal.ensure_tools(tools, root=True, apt="apt-get")


# --- the commands ------------------------------------------------------------------------------------------


def test_names_that_say_nothing_are_found(seal: ModuleType, tmp_path: Path) -> None:
    for name in ("utils.py", "tlog/_helpers.py", "manager/__init__.py", "services.py", "baseline.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "common.txt").touch()
    assert seal.names_that_say_nothing(tmp_path) == ["manager", "services.py", "tlog/_helpers.py", "utils.py"]


def test_the_persons_pytest_arguments_come_last(seal: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr(seal, "ensure_tools", lambda *_, **__: None)
    monkeypatch.setattr(seal, "run", noting(started, 5))
    assert seal.test(["tests/tlog", "-n", "0"]) == 5
    (command,) = started
    assert command[1:3] == ["-m", "pytest"]
    assert command[command.index("not nightly") + 1 :] == ["-n", "2", "--dist", "worksteal", "tests/tlog", "-n", "0"]


def test_what_is_compiled_is_kept(seal: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the container says: each of a thousand processes would compile the product anew."""
    given: list[Mapping[str, str]] = []
    monkeypatch.setattr(seal, "ensure_tools", lambda *_, **__: None)
    monkeypatch.setattr(seal, "run", lambda _, env: given.append(env) or 0)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    assert seal.test([]) == 0
    assert given[0]["PYTHONDONTWRITEBYTECODE"] == ""


def test_files_of_the_tests_are_in_memory_where_there_is_room(
    seal: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And are gone afterwards; a folder that a person named by TMPDIR is used, and kept."""
    monkeypatch.delenv("TMPDIR", raising=False)
    with seal.fast_files(tmp_path, 1) as more:
        folder = Path(more["TMPDIR"])
        assert folder.parent == tmp_path
        (folder / "left").touch()
    assert list(tmp_path.iterdir()) == []
    for place, least in ((tmp_path, 1 << 60), (tmp_path / "absent", 1)):
        with seal.fast_files(place, least) as more:
            assert more == {}
    monkeypatch.setenv("TMPDIR", "/elsewhere")
    with seal.fast_files(tmp_path, 1) as more:
        assert more == {}


def test_one_failed_check_does_not_hide_the_next(
    seal: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(seal, "run", lambda command: 1 if "format" in command else 0)
    monkeypatch.setattr(seal, "check_names", lambda: 0)
    assert seal.check() == 1
    summary = capsys.readouterr().out.split("\n\n")[-1].splitlines()
    assert summary[0] == "FAILED  ruff format --check"
    assert summary[1:] == [f"ok      {name}" for name in ("ruff check", "mypy --strict", "lint-imports", "names")]


def test_without_a_command_it_says_how_to_use_it() -> None:
    told = subprocess.run([ROOT / "seal"], capture_output=True, text=True, check=True)
    for command in ("./seal demo", "./seal test", "./seal check", "./seal bench"):
        assert command in told.stdout


def test_interrupted_it_lets_the_child_tidy_up_and_says_130(tmp_path: Path) -> None:
    launcher = tmp_path / "launcher.py"
    shutil.copy(ROOT / "seal", launcher)
    child = (
        "import pathlib, time\n"
        "try:\n"
        "    pathlib.Path('started').touch(); time.sleep(60)\n"
        "except KeyboardInterrupt:\n"
        "    time.sleep(0.5); pathlib.Path('tidied').touch()\n"
    )
    program = (
        "import sys, launcher\n"
        f"launcher.dispatch = lambda command, arguments: launcher.run([sys.executable, '-c', {child!r}])\n"
        "sys.exit(launcher.main(['test']))\n"
    )
    for kind, code, to_group in ((signal.SIGINT, 130, True), (signal.SIGTERM, 143, False)):
        for name in ("started", "tidied"):
            (tmp_path / name).unlink(missing_ok=True)
        process = subprocess.Popen(
            [sys.executable, "-c", program],
            cwd=tmp_path,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        deadline = time.monotonic() + 30
        while not (tmp_path / "started").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        if to_group:
            os.killpg(process.pid, kind)  # as a terminal does
        else:
            process.send_signal(kind)
        _, said = process.communicate(timeout=30)
        assert process.returncode == code
        assert (tmp_path / "tidied").exists()
        assert "Traceback" not in said


def test_apart_from_the_terminal_the_whole_family_ends_without_a_word(tmp_path: Path) -> None:
    shutil.copy(ROOT / "seal", tmp_path / "launcher.py")
    # pip --python starts another pip; so does this
    pip = "import subprocess; subprocess.run(['sh', '-c', 'echo $$; exec sleep 60'])"
    program = (
        "import sys, launcher\n"
        f"run = lambda *_: launcher.run([sys.executable, '-c', {pip!r}], apart=True)\n"
        "launcher.dispatch = run\n"
        "sys.exit(launcher.main(['demo']))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip().isdigit()
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=30)  # returns only when the grandchild has closed stdout as well
    assert (process.returncode, said) == (130, "seal: interrupted.\n")


# --- what the launcher relies on ---------------------------------------------------------------------------


def pinned(lock: str) -> dict[str, str]:
    """Return every requirement of a lock file: name and marker -> version."""
    lines = (ROOT / lock).read_text().splitlines()
    found = (re.match(r"([a-z0-9.-]+)==([^ ]+)(.*?) \\$", line) for line in lines)
    return {match[1] + match[3]: match[2] for match in found if match}


def test_the_test_lock_contains_the_runtime_lock() -> None:
    runtime, tests = pinned(LOCKS[0]), pinned(LOCKS[1])
    assert runtime.items() <= tests.items()
    assert {"hatchling", "editables"} <= runtime.keys()
    assert "pytest" not in runtime


def test_every_dependency_is_locked_with_hashes_and_no_host_is_named() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    def names(requirements: list[str]) -> set[str]:
        return {re.split(r"[<>=!~;\[ ]", requirement)[0] for requirement in requirements}

    asked = {LOCKS[0]: names(project["dependencies"])}
    asked[LOCKS[1]] = asked[LOCKS[0]].union(*map(names, project["optional-dependencies"].values()))
    for lock, dependencies in asked.items():
        text = (ROOT / lock).read_text()
        locked = {entry.split()[0].rstrip(";") for entry in pinned(lock)}
        assert dependencies <= locked, "make the lock files again, as CONTRIBUTING.md says"
        assert "://" not in text
        assert all(
            line.lstrip().startswith("--hash=sha256:") or re.match(r"[a-z0-9.-]+==", line) for line in text.splitlines()
        )


def test_the_version_is_said_once() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert privyseal.__version__ == project["version"]
