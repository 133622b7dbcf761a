"""``privyseal what-if --dir``: a proposal is held against what a service has in its records."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.world import SUBSCRIBER, World, found

from privyseal.cli import main
from privyseal.compliance.statements import AuditPeriod, Choice
from privyseal.signing import paper
from privyseal.terms.parties import Actor, Factor, Member, Role

ADMINISTRATOR = Actor(Member("M-admin", SUBSCRIBER, "admin", (Role.ADMINISTRATOR,)), (Factor.BEARER,))
HEAD = '[ballot]\nnumber = "P-1"\ntitle = "A try"\nsummary = "A try."\nsource = "a test"\n'
SERVICE = ("organisation", "log", "timestamp-authority")
BEGIN = datetime.now(UTC).date() - timedelta(days=244)
"""First day of the audit period: the service itself is founded when the test is run."""
END = BEGIN + timedelta(days=364)
SINCE = END + timedelta(days=92)
"""From when on more is asked."""
ON, FROM = SINCE + timedelta(days=31), SINCE - timedelta(days=30)
"""The day that is asked for, and the one from which the days until something is due are counted."""


def _asks(*kinds: str) -> str:
    """Return a file that asks each of these for a document that nobody has."""
    return HEAD + "".join(
        f'[[add]]\nid = "PROPOSED-1-0{n}"\ntitle = "More"\ntext = "More is asked."\nsince = {SINCE}\n'
        f'binds = ["signing-service"]\nkinds = ["{kind}"]\nevidence = ["security-plan"]\n'
        + ('applies_to = ["timestamp"]\n' if kind == "timestamp-authority" else "")
        for n, kind in enumerate(kinds)
    )


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("what-if")
    world = World(found(folder / "seal"), folder / "world")
    period = AuditPeriod(scheme="WebTrust", start=BEGIN, end=END, auditor="Auditor")
    choice = Choice(requirement="CSBR-8.4.2-01", reading="table", note="As agreed.")
    for each in (period, choice):
        paper.state(world.seal, ADMINISTRATOR, SUBSCRIBER, each)
    yield world
    world.discard()


def _what_if(capsys: pytest.CaptureFixture[str], *arguments: object) -> Any:
    assert main.run(["what-if", *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_service_is_held_against_it(told: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its Key Pair, Subscriber, audit period, certificates and the rest fall short, each by its name."""
    file = tmp_path / "p.toml"
    file.write_text(_asks("key-pair", "subscriber", "audit-period", "certificate", *SERVICE))
    ask = (file, "--on", ON, "--from", FROM)
    document = _what_if(capsys, *ask, "--dir", told.directory)
    short: dict[str, list[str]] = {}
    for each in document["shortfalls"]:
        assert (each["verdict"], each["due"], each["runway_days"]) == ("not-evidenced", str(SINCE), 30)
        short.setdefault(each["requirement"][-1], []).append(each["subject"])
    [certificate] = short.pop("3")
    assert certificate.startswith(f"{SUBSCRIBER}/") and certificate.endswith(told.request(0).certificate[:16])
    assert short == {
        "0": [f"{SUBSCRIBER}/release"],
        "1": [SUBSCRIBER],
        "2": [f"{BEGIN} to {END}"],
        "4": [told.seal.service.name],
        "5": ["log"],
        "6": ["timestamp authority"],
    }
    assert document["subjects"] >= 7
    assert _what_if(capsys, *ask)["subjects"] == 0


def test_on_a_day_before_it_was_there_it_is_not_judged(
    told: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither its Key Pair nor its certificate nor its Subscriber."""
    file = tmp_path / "p.toml"
    file.write_text(_asks("key-pair", "subscriber", "certificate").replace(str(SINCE), "2020-01-01"))
    on = told.pair()[0].born.date()
    document = _what_if(capsys, file, "--on", on, "--dir", told.directory)
    assert len(document["shortfalls"]) == 3
    document = _what_if(capsys, file, "--on", on - timedelta(days=1), "--dir", told.directory)
    assert document["shortfalls"] == []


def test_people_are_told_and_wrong_places_refused(
    told: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "p.toml"
    file.write_text(_asks("key-pair"))
    assert main.run(["what-if", str(file), "--on", str(ON), "--dir", str(told.directory)]) == 0
    said = capsys.readouterr().err
    assert f"{SUBSCRIBER}/release" in said and "compliant" not in said
    assert main.run(["what-if", str(file), "--on", str(ON), "--dir", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") <= 2 and "Traceback" not in said
