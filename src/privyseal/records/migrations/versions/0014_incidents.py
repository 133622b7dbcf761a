"""Create the tables of freezes, of what finds a signature again, of incidents, and of notices.

Revision ID: 0014
Revises: 0013
"""

from __future__ import annotations

import base64
import hashlib
import json

import sqlalchemy as sa
from alembic import op

from privyseal.records import packed
from privyseal.records.dialect import ALL_SUBSCRIBERS

revision = "0014"
down_revision = "0013"

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


# Long because it is a list: what a table is stands in one place, and nothing is decided in it.
def upgrade() -> None:
    """Bring the schema to this revision."""
    op.create_table(
        "freezes",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("subscriber", sa.String(length=63), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("frozen_by", sa.String(length=40), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("signer", sa.String(length=16), nullable=False),
        sa.Column("thawed", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["subscriber"], ["subscribers.name"], name=op.f("fk_freezes_subscriber")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_freezes")),
    )
    op.create_index("ix_freezes_subscriber_thawed", "freezes", ["subscriber", "thawed"])
    op.create_table(
        "thaw_agreements",
        sa.Column("of_freeze", sa.String(length=40), nullable=False),
        sa.Column("person", sa.String(length=128), nullable=False),
        sa.Column("subscriber", sa.String(length=63), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["of_freeze"], ["freezes.id"], name=op.f("fk_thaw_agreements_of_freeze")),
        sa.ForeignKeyConstraint(["subscriber"], ["subscribers.name"], name=op.f("fk_thaw_agreements_subscriber")),
        sa.PrimaryKeyConstraint("of_freeze", "person", name=op.f("pk_thaw_agreements")),
    )
    op.create_table(
        "signed_things",
        sa.Column("subscriber", sa.String(length=63), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("request", sa.String(length=40), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.ForeignKeyConstraint(["subscriber"], ["subscribers.name"], name=op.f("fk_signed_things_subscriber")),
        sa.PrimaryKeyConstraint("subscriber", "digest", "request", "kind", name=op.f("pk_signed_things")),
    )
    op.create_index("ix_signed_things_request", "signed_things", ["request"])
    op.create_table(
        "request_runs",
        sa.Column("request", sa.String(length=40), nullable=False),
        sa.Column("subscriber", sa.String(length=63), nullable=False),
        sa.Column("run", sa.String(length=64), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["subscriber"], ["subscribers.name"], name=op.f("fk_request_runs_subscriber")),
        sa.PrimaryKeyConstraint("request", name=op.f("pk_request_runs")),
    )
    op.create_index("ix_request_runs_subscriber_run", "request_runs", ["subscriber", "run"])
    op.create_table(
        "incidents",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("subscriber", sa.String(length=63), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("opened", sa.BigInteger(), nullable=False),
        sa.Column("closed", sa.BigInteger(), nullable=True),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["subscriber"], ["subscribers.name"], name=op.f("fk_incidents_subscriber")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_incidents")),
    )
    op.create_index("ix_incidents_subscriber_opened", "incidents", ["subscriber", "opened"])
    op.create_table(
        "webhooks",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("subscriber", sa.String(length=63), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("topics", sa.Text(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("removed", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["subscriber"], ["subscribers.name"], name=op.f("fk_webhooks_subscriber")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhooks")),
    )
    op.create_index("ix_webhooks_subscriber", "webhooks", ["subscriber"])
    op.create_table(
        "notices",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("subscriber", sa.String(length=63), nullable=False),
        sa.Column("topic", sa.String(length=40), nullable=False),
        sa.Column("bundle", sa.String(length=255), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["subscriber"], ["subscribers.name"], name=op.f("fk_notices_subscriber")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notices")),
    )
    op.create_index("ix_notices_at", "notices", ["at"])
    op.create_table(
        "deliveries",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("subscriber", sa.String(length=63), nullable=False),
        sa.Column("webhook", sa.String(length=40), nullable=False),
        sa.Column("topic", sa.String(length=40), nullable=False),
        sa.Column("made", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("next", sa.BigInteger(), nullable=True),
        sa.Column("said", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["subscriber"], ["subscribers.name"], name=op.f("fk_deliveries_subscriber")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deliveries")),
    )
    op.create_index("ix_deliveries_state_next", "deliveries", ["state", "next"])
    op.create_index("ix_deliveries_subscriber_made", "deliveries", ["subscriber", "made"])
    _index_what_was_signed()


def _index_what_was_signed() -> None:
    """Write down by what signatures of former days are found: content and signature blobs."""
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":  # row-level security holds for the owner as well
        op.execute(f"SET LOCAL privyseal.tenant='{ALL_SUBSCRIBERS}'")
    last = ""
    while True:
        rows = connection.execute(
            sa.text(
                "SELECT id, subscriber, canonical, blobs FROM requests"
                " WHERE receipt IS NOT NULL AND id > :last ORDER BY id LIMIT 500"
            ),
            {"last": last},
        ).all()
        if not rows:
            return
        found = {
            (row.subscriber, digest, row.id, kind)
            for row in rows
            for digest, kind in _digests(bytes(row.canonical), row.blobs)
        }
        if found:
            things = sa.table("signed_things", *map(sa.column, ("subscriber", "digest", "request", "kind")))
            names = ("subscriber", "digest", "request", "kind")
            connection.execute(things.insert(), [dict(zip(names, each, strict=True)) for each in found])
        last = rows[-1].id


def _digests(canonical: bytes, blobs: bytes | None) -> list[tuple[bytes, str]]:
    described = json.loads(canonical)["described"]
    found = [(base64.b64decode(each["digest"]), "content") for each in described]
    return found + [(hashlib.sha256(blob).digest(), "signature") for blob in packed.octets(blobs)]


def downgrade() -> None:
    """Take this revision back."""
    op.drop_index("ix_deliveries_state_next", table_name="deliveries")
    op.drop_index("ix_deliveries_subscriber_made", table_name="deliveries")
    op.drop_table("deliveries")
    op.drop_index("ix_notices_at", table_name="notices")
    op.drop_table("notices")
    op.drop_index("ix_webhooks_subscriber", table_name="webhooks")
    op.drop_table("webhooks")
    op.drop_index("ix_incidents_subscriber_opened", table_name="incidents")
    op.drop_table("incidents")
    op.drop_index("ix_request_runs_subscriber_run", table_name="request_runs")
    op.drop_table("request_runs")
    op.drop_index("ix_signed_things_request", table_name="signed_things")
    op.drop_table("signed_things")
    op.drop_table("thaw_agreements")
    op.drop_index("ix_freezes_subscriber_thawed", table_name="freezes")
    op.drop_table("freezes")
