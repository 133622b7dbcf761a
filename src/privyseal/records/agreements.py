"""Versions of papers, one row each; who accepted which is among the statements."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, insert, select

from privyseal.errors import NotFound
from privyseal.records.database import Transaction
from privyseal.records.tables import papers
from privyseal.terms.agreements import Paper, PaperKind, Version
from privyseal.terms.canonical import canonical_json


def add(tx: Transaction, paper: Paper, at: datetime, by: str) -> Version:
    """Write down the next version of a paper, unless it is the newest one already; return what stands now.

    Conflict where somebody else adds one at the very moment.
    """
    newest = versions(tx, paper.kind)[-1:]
    if newest and newest[0].paper == paper:
        return newest[0]
    number = newest[0].version + 1 if newest else 1
    added = Version(version=number, at=at, by=by, sha256=paper.digest(), paper=paper)
    row = {"subscriber": tx.subscriber, "kind": paper.kind, "version": number, "sha256": added.sha256}
    tx.connection.execute(insert(papers).values(row | {"at": at, "by": by, "document": canonical_json(paper)}))
    return added


def versions(tx: Transaction, kind: PaperKind | None = None) -> list[Version]:
    """List the versions of the Subscriber's papers, or of one kind, by kind and number."""
    wanted = select(papers).where(papers.c.subscriber == tx.subscriber)
    if kind is not None:
        wanted = wanted.where(papers.c.kind == kind)
    return [_version(row) for row in tx.connection.execute(wanted.order_by(papers.c.kind, papers.c.version))]


def internal_of_all_subscribers(connection: Connection, at: datetime) -> Paper | None:
    """Return the newest version, at ``at``, of the internal agreement between two teams of one organisation."""
    wanted = select(papers).where(papers.c.kind == PaperKind.INTERNAL, papers.c.at <= at)
    row = connection.execute(wanted.order_by(papers.c.at.desc(), papers.c.version.desc()).limit(1)).first()
    return None if row is None else _version(row).paper


def version(tx: Transaction, kind: PaperKind, number: int | None = None) -> Version:
    """Return one version of a paper of the Subscriber, or the newest; NotFound where there is none."""
    found = [each for each in versions(tx, kind) if number in (None, each.version)]
    if not found:
        which = "" if number is None else f" version {number}"
        raise NotFound(f"There is no {kind}{which} of {tx.subscriber!r}.", hint="privyseal agreement list")
    return found[-1]


def _version(row: Row[Any]) -> Version:
    paper = msgspec.json.decode(row.document, type=Paper)
    return Version(version=row.version, at=row.at, by=row.by, sha256=row.sha256, paper=paper)
