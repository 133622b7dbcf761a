"""compliance-trestle, which is not ours, reads the OSCAL of a report as its own models have it."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from datetime import timedelta
from pathlib import Path

import pytest
from tests.world import World, found

from privyseal.cli import report_manifest as papers
from privyseal.cli.main import run

TRESTLE = "compliance-trestle==5.2.0"
"""Installed for this test alone, in an environment of its own: it needs other versions of what we have locked."""

READ = """
import sys
from pathlib import Path
from trestle.oscal.assessment_results import AssessmentResults
results = AssessmentResults.oscal_read(Path(sys.argv[1])).results
print(len(results), sum(len(each.observations or []) for each in results), len(results[0].findings or []))
"""


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_a_stranger_reads_our_oscal(tmp_path: Path) -> None:
    """Every observation is there for it too; it refuses the document with a word that OSCAL does not know."""
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", TRESTLE], check=True)
    world = World(found(tmp_path / "seal"), tmp_path / "world")
    try:
        world.ask([world.client(1)])
        period = f"{world.now.date() - timedelta(days=30)}/{world.now.date()}"
        out = str(tmp_path / "r.zip")
        assert run(["report", "--dir", str(world.directory), "--period", period, "--out", out]) == 0
    finally:
        world.discard()
    with zipfile.ZipFile(out) as archive:
        octets = archive.read(papers.OSCAL)
    (tmp_path / "good.json").write_bytes(octets)
    (tmp_path / "bad.json").write_bytes(octets.replace(b'"observations"', b'"observation"', 1))
    good, bad = (
        subprocess.run([python, "-c", READ, tmp_path / name], capture_output=True, text=True, check=False)
        for name in ("good.json", "bad.json")
    )
    assert good.returncode == 0, good.stderr
    [ours] = json.loads(octets)["assessment-results"]["results"]
    assert good.stdout.split() == ["1", str(len(ours["observations"])), str(len(ours["findings"]))]
    assert len(ours["observations"]) > 50
    assert bad.returncode != 0
