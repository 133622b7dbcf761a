"""A report as OSCAL assessment results (NIST OSCAL 1.1.2, ``assessment-results``), for programs that read those.

Every identifier is a UUID of version 5 over what it identifies, and every time is the day reported for, so equal
reports have equal octets. OSCAL knows two states of a control: whatever is not met is ``not-satisfied``, with our own
verdict as the reason, and a requirement of which nothing was judged has no finding at all.
"""

from __future__ import annotations

import uuid
from typing import Any

import msgspec

from privyseal.compliance.outcome import Verdict
from privyseal.compliance.report import NO_OPINION, NOTHING, STANDARDS, Clause, Report

VERSION = "1.1.2"
"""Of OSCAL; 1.2 reads it as well."""
NAMESPACE = uuid.UUID("5ab1b9a4-6c6f-5b5e-9d70-0c4f2f6f5a11")
"""Of the identifiers in our reports."""
_PROPERTIES = "urn:privyseal:report"
_REASON = {Verdict.MET.value: "pass", Verdict.NOT_MET.value: "fail"}


def assessment_results(report: Report) -> bytes:
    """Return the OSCAL document, JSON."""
    results = _Results(report).document()
    return msgspec.json.format(msgspec.json.encode({"assessment-results": results}, order="sorted"), indent=1) + b"\n"


class _Results:
    """One report on its way into OSCAL."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._day = f"{report.asked.as_of}T00:00:00Z"
        self._root = uuid.uuid5(NAMESPACE, msgspec.json.encode(report.asked, order="sorted").decode())

    def document(self) -> dict[str, Any]:
        asked, plan = self._report.asked, self._id("plan")
        return {
            "uuid": self._id("results"),
            "metadata": {
                "title": f"{STANDARDS[asked.standard]}: {asked.service}, {asked.first} to {asked.last}",
                "last-modified": self._day,
                "version": str(asked.as_of),
                "oscal-version": VERSION,
                "remarks": NO_OPINION,
            },
            "import-ap": {"href": f"#{plan}"},
            "results": [self._result()],
            "back-matter": {"resources": [self._plan(plan), *self._documents()]},
        }

    def _result(self) -> dict[str, Any]:
        asked, clauses = self._report.asked, self._report.clauses
        judged = [each for each in clauses if each.verdict != NOTHING]
        result: dict[str, Any] = {
            "uuid": self._id("result"),
            "title": f"As of {asked.as_of}",
            "description": NO_OPINION,
            "start": f"{asked.first}T00:00:00Z",
            "end": f"{asked.last}T23:59:59Z",
            "reviewed-controls": {
                "control-selections": [{"include-controls": [{"control-id": each.requirement} for each in clauses]}]
            },
        }
        if judged:
            result["observations"] = [self._observation(each) for each in judged]
            result["findings"] = [self._finding(each) for each in judged]
        return result

    def _observation(self, clause: Clause) -> dict[str, Any]:
        counted = ", ".join(f"{count} {verdict}" for verdict, count in clause.counts.items())
        said = " ".join(f"{each.subject}: {each.text}" for each in clause.sentences) or "Nothing more is said."
        observation: dict[str, Any] = {
            "uuid": self._id("observation", clause.requirement),
            "title": f"{clause.clause}: {counted}",
            "description": said,
            "methods": ["EXAMINE" if clause.evidence else "TEST"],
            "collected": self._day,
        }
        if clause.evidence:
            observation["relevant-evidence"] = [
                {
                    "href": f"#{self._id('document', each.sha256)}",
                    "description": f"{each.kind} of {each.issuer}, log entry {each.entry}",
                }
                for each in clause.evidence
            ]
        return observation

    def _finding(self, clause: Clause) -> dict[str, Any]:
        state = "satisfied" if clause.verdict == Verdict.MET.value else "not-satisfied"
        return {
            "uuid": self._id("finding", clause.requirement),
            "title": f"{clause.clause} {clause.title}",
            "description": clause.text,
            "props": [
                {"name": "verdict", "ns": _PROPERTIES, "value": clause.verdict},
                {"name": "ballot", "ns": _PROPERTIES, "value": clause.ballot},
                {"name": "nature", "ns": _PROPERTIES, "value": clause.nature},
            ],
            "target": {
                "type": "objective-id",
                "target-id": clause.requirement,
                "status": {"state": state, "reason": _REASON.get(clause.verdict, "other")},
            },
            "related-observations": [{"observation-uuid": self._id("observation", clause.requirement)}],
        }

    def _plan(self, plan: str) -> dict[str, Any]:
        return {
            "uuid": plan,
            "title": STANDARDS[self._report.asked.standard],
            "description": "There is no assessment plan: every requirement that binds is evaluated.",
        }

    def _documents(self) -> list[dict[str, Any]]:
        known = {each.sha256: each for clause in self._report.clauses for each in clause.evidence}
        return [
            {
                "uuid": self._id("document", sha256),
                "title": each.filename,
                "description": f"{each.kind} of {each.issuer}",
                "rlinks": [{"href": f"documents/{sha256}", "hashes": [{"algorithm": "SHA-256", "value": sha256}]}],
            }
            for sha256, each in sorted(known.items())
        ]

    def _id(self, *what: str) -> str:
        return str(uuid.uuid5(self._root, " ".join(what)))
