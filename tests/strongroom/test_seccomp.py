"""What the filters let through, read off their own instructions: on both architectures, whichever this one is."""

import struct
import subprocess
import sys
from errno import ENOSYS, EPERM

import pytest

from privyseal.strongroom import seccomp
from privyseal.strongroom.seccomp import CALLS, Needs, Rule, afterwards, always, program

MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
OWN = 4711
ALLOWED, KILLED = "allowed", "killed"


def verdict(code: bytes, number: int, *arguments: int, architecture: int) -> str | int:
    """Interpret classic BPF as the kernel does (linux/filter.h): allowed, killed, or the errno."""
    data = struct.pack("=IIQ6Q", number, architecture, 0, *[*arguments, 0, 0, 0, 0, 0, 0][:6])
    steps = list(struct.iter_unpack("=HBBI", code))
    assert len(steps) <= 4096
    at, accumulator = 0, 0
    while True:
        kind, true, false, value = steps[at]
        at += 1
        if kind == 0x20:
            accumulator = struct.unpack_from("=I", data, value)[0]
        elif kind == 0x06:
            return {0x7FFF0000: ALLOWED, 0x80000000: KILLED}.get(value, value & 0xFFFF)
        else:
            holds = {0x15: accumulator == value, 0x25: accumulator > value, 0x45: bool(accumulator & value)}[kind]
            at += true if holds else false


class Machine:
    """The filters of one machine, asked by the name of a call."""

    def __init__(self, name: str, rules: tuple[Rule, ...]) -> None:
        self.column, self.architecture = MACHINES[name]
        self.code = program(rules, name)

    def has(self, call: str) -> bool:
        return CALLS[call][self.column] is not None

    def ask(self, call: str, *arguments: int) -> str | int:
        number = CALLS[call][self.column]
        assert number is not None
        return verdict(self.code, number, *arguments, architecture=self.architecture)


@pytest.fixture(params=sorted(MACHINES))
def machine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_what_no_room_needs_is_refused_whatever_its_arguments(machine: str):
    """Each of the named calls answers EPERM, also with every bit of its arguments set."""
    asked = Machine(machine, always(Needs(network=True, fork=True, late_code=True), OWN))
    never = [call for call in seccomp._NEVER if asked.has(call)]
    assert len(never) > 55
    for call in never:
        assert {asked.ask(call, *arguments) for arguments in ([0] * 6, [2**64 - 1] * 6)} == {EPERM}, call


def test_each_rule_counts(machine: str):
    """A filter from which one rule is missing lets something through that the whole one refuses."""
    rules = always(Needs(), OWN) + afterwards(Needs())
    tried = ([0] * 6, [1 << 30] * 6, [1] * 6, [0, 0, 6, 0, 0, 0], [0, 0, 4, 0x20, 0, 0], [0, 0, 4, 2, 0, 0], [4] * 6)
    for at, rule in enumerate(rules):
        others = [one for one in rules if one.call != rule.call]
        whole, without = Machine(machine, (*others, rule)), Machine(machine, tuple(others))
        if whole.has(rule.call):
            answers = [(whole.ask(rule.call, *each), without.ask(rule.call, *each)) for each in tried]
            assert any(one != other for one, other in answers), (at, rule)
            assert all(other == ALLOWED for _, other in answers), rule


def test_threads_may_start_and_processes_may_not(machine: str):
    """pthread_create's flags pass, fork's and any new namespace do not; clone3 is not there, so glibc falls back."""
    thread, fork, namespace = 0x3D0F00, 0x01200011, 0x10000000
    alone, forking = (Machine(machine, always(Needs(fork=fork), OWN)) for fork in (False, True))
    assert (alone.ask("clone", thread), forking.ask("clone", thread)) == (ALLOWED, ALLOWED)
    assert (alone.ask("clone", fork), forking.ask("clone", fork)) == (EPERM, ALLOWED)
    assert {one.ask("clone", thread | namespace) for one in (alone, forking)} == {EPERM}
    assert {one.ask("clone3") for one in (alone, forking)} == {ENOSYS}
    assert [alone.ask(call, pid) for call in ("kill", "tgkill") for pid in (OWN, OWN + 1, 0, 2**32 - 1)] == [
        ALLOWED, EPERM, EPERM, EPERM, ALLOWED, EPERM, EPERM, EPERM,
    ]  # fmt: skip


def test_sockets_are_as_the_room_needs(machine: str):
    """Without a network only Unix sockets can be made, and once the room is ready none at all."""
    unix, inet, netlink = 1, 2, 16
    alone, calling = (Machine(machine, always(Needs(network=network), OWN)) for network in (False, True))
    assert [alone.ask("socket", family) for family in (unix, inet, netlink)] == [ALLOWED, EPERM, EPERM]
    assert [calling.ask("socket", family) for family in (unix, inet)] == [ALLOWED, ALLOWED]
    ready, ready_calling = (Machine(machine, afterwards(Needs(network=network))) for network in (False, True))
    assert {ready.ask(call, unix) for call in ("socket", "connect", "bind", "listen")} == {EPERM}
    assert {ready_calling.ask(call, inet) for call in ("socket", "connect")} == {ALLOWED}


def test_no_memory_can_be_written_and_run(machine: str):
    """Code comes from files only, and once the room is ready not even from there."""
    read, write, run, private, anonymous = 1, 2, 4, 2, 0x20
    start, ready = Machine(machine, always(Needs(), OWN)), Machine(machine, afterwards(Needs()))
    assert start.ask("mmap", 0, 9, read | write, private | anonymous) == ALLOWED
    assert start.ask("mmap", 0, 9, read | run, private) == ALLOWED  # a library
    assert start.ask("mmap", 0, 9, read | run, private | anonymous) == EPERM
    assert start.ask("mmap", 0, 9, read | write | run, private) == EPERM
    assert [start.ask(call, 0, 9, read | run) for call in ("mprotect", "pkey_mprotect")] == [EPERM, EPERM]
    assert start.ask("mprotect", 0, 9, read) == ALLOWED
    assert ready.ask("mmap", 0, 9, read | run, private) == EPERM
    assert ready.ask("mmap", 0, 9, read | write, private | anonymous) == ALLOWED
    assert Machine(machine, afterwards(Needs(late_code=True))).ask("mmap", 0, 9, read | run, private) == ALLOWED


def test_calls_of_another_architecture_and_of_tomorrow(machine: str):
    """A foreign one kills, before its number is read; x32 and numbers that this table does not know are not there."""
    asked = Machine(machine, always(Needs(), OWN))
    for architecture in (0x40000003, 0x40000028, *(one for _, one in MACHINES.values() if one != asked.architecture)):
        assert verdict(asked.code, 39, architecture=architecture) == KILLED
    for number in (0x40000000, 0x40000000 + 39, 2**32 - 1, seccomp.NEWEST + 1, 512):
        assert verdict(asked.code, number, architecture=asked.architecture) == ENOSYS
    assert verdict(asked.code, seccomp.NEWEST, architecture=asked.architecture) == ALLOWED


MUTATED = """
import ctypes, sys
from privyseal.strongroom import hardening, seccomp
hardening.harden()
import os, platform
rules = [rule for rule in seccomp.always(seccomp.Needs(), os.getpid()) if rule.call not in sys.argv[1:]]
assert seccomp.install(rules)
libc = ctypes.CDLL(None, use_errno=True)
column = {"x86_64": 0, "aarch64": 1}[platform.machine()]
for call in ("ptrace", "keyctl", "unshare"):
    answer = libc.syscall(seccomp.CALLS[call][column], ctypes.c_long(-1), ctypes.c_long(0))
    print(call, answer, ctypes.get_errno() if answer < 0 else 0)
"""


@pytest.mark.parametrize("missing", [None, "ptrace", "keyctl", "unshare"])
def test_the_kernel_refuses_what_the_rules_say_and_nothing_that_they_do_not(missing: str | None):
    """In a real process: with a rule left out exactly that call gets as far as the kernel's own judgement."""
    left_out = [missing] if missing else []
    done = subprocess.run([sys.executable, "-c", MUTATED, *left_out], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    refused = {line.split()[0]: line.split()[1:] == ["-1", str(EPERM)] for line in done.stdout.splitlines()}
    assert refused == {call: call != missing for call in ("ptrace", "keyctl", "unshare")}


def test_threads_that_run_already_are_covered_too():
    """The second filter is laid on when conversations may be going on; it holds for each of them."""
    code = (
        "import threading, socket, sys\n"
        "from privyseal.strongroom import hardening, seccomp\n"
        "hardening.harden(); assert seccomp.restrict()\n"
        "go, said = threading.Event(), []\n"
        "def late():\n"
        "    go.wait()\n"
        "    try: socket.socket(socket.AF_UNIX); said.append('made')\n"
        "    except PermissionError: said.append('refused')\n"
        "thread = threading.Thread(target=late); thread.start()\n"
        "assert seccomp.settle(); go.set(); thread.join(); print(*said)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("refused\n", "")


def test_where_there_is_no_seccomp_nothing_is_promised(monkeypatch):
    """An unknown machine is told as such; nothing is raised, because a unit or container may do it instead."""
    monkeypatch.setattr(seccomp.platform, "machine", lambda: "riscv64")
    assert seccomp.restrict() is False
