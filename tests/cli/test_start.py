"""A command that only talks to a service, or only reads files, starts without the service that is in the package."""

from __future__ import annotations

import json
import subprocess
import sys

from privyseal.cli.main import COMMANDS

AT_THE_MACHINE = {"demo", "doctor", "init", "invite", "migrate", "report", "serve", "what-if", "witness"}
"""Commands that run a service or open its records."""

LIGHT = sorted({place.partition(":")[0] for name, (place, _) in COMMANDS.items() if name not in AT_THE_MACHINE})

HEAVY = ("litestar", "sqlalchemy", "alembic", "uvicorn", "privyseal.config", "privyseal.web.desk", "privyseal.records")

LOOK = """
import importlib, json, sys
heavy, brought = json.loads(sys.argv[2]), {}
for module in json.loads(sys.argv[1]):
    importlib.import_module(module)
    for name in heavy:
        if name in sys.modules:
            brought.setdefault(name, module)
print(json.dumps(brought))
"""


def test_no_command_that_talks_to_a_service_loads_one() -> None:
    looked = [sys.executable, "-c", LOOK, json.dumps(LIGHT), json.dumps(HEAVY)]
    found = subprocess.run(looked, check=True, capture_output=True, text=True, timeout=120).stdout
    assert json.loads(found) == {}, "by the first module that loads it"


def test_a_service_starts_without_the_linters() -> None:
    """They take a quarter of a second, and only who reads a certificate needs them."""
    looked = [sys.executable, "-c", LOOK, '["privyseal.cli.serve", "privyseal.web.app"]', '["pkilint", "badkeys"]']
    assert json.loads(subprocess.run(looked, check=True, capture_output=True, text=True, timeout=120).stdout) == {}


def test_what_is_exempt_is_a_command() -> None:
    assert set(COMMANDS) >= AT_THE_MACHINE
    assert "privyseal.cli.key" in LIGHT
