"""Many threads decode a type for the first time at once, after it was learnt: the process lives."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import privyseal
from privyseal.terms.learnt import learn_types

RACE = """
import sys, threading
import msgspec
from privyseal.terms.learnt import learn_types

sys.setswitchinterval(1e-6)

def fresh(number):
    inner = [msgspec.defstruct(f"I{i}", [(f"f{j}", list[int] | None, None) for j in range(8)]) for i in range(12)]
    fields = [(f"g{i}", each | None, None) for i, each in enumerate(inner)]
    return msgspec.defstruct(f"S{number}", fields, module="privyseal.raced")

def decode(kind, barrier):
    barrier.wait()
    msgspec.json.decode(b'{"g0":{"f0":[1]},"g11":{"f7":[1,2]}}', type=kind)
    msgspec.convert({"g0": {"f0": [1]}}, kind)

kinds = [fresh(number) for number in range(60)]
assert learn_types() >= len(kinds)
for kind in kinds:
    barrier = threading.Barrier(6)
    threads = [threading.Thread(target=decode, args=(kind, barrier)) for _ in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
"""
"""Without ``learn_types`` this ends by signal 11 after a few types."""


def test_what_was_learnt_is_decoded_by_many_threads_at_once() -> None:
    """Sixty types, six threads each, switched as often as can be."""
    done = subprocess.run([sys.executable, "-c", RACE], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, (done.returncode, done.stderr[-2000:])


def test_every_process_with_threads_learns_before_it_starts_them() -> None:
    """The service, the guarded processes, tokens' workers, a witness, and who signs several files at once."""
    source = Path(privyseal.__file__).parent
    calls = {
        str(each.relative_to(source)) for each in source.rglob("*.py") if "    learn_types()\n" in each.read_text()
    }
    assert calls == {
        "cli/serve.py",
        "cli/crew.py",
        "strongroom/run.py",
        "strongroom/worker.py",
        "strongroom/witnessing.py",
    }


def test_a_type_that_cannot_be_decoded_is_passed_over() -> None:
    """There are some, and many that can."""
    assert learn_types() > 20
