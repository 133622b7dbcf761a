"""Keep what finds a signature again in one tree, without a second index and without a foreign key.

Revision ID: 0016
Revises: 0015
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from privyseal.records.dialect import ALL_SUBSCRIBERS

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.create_table(
        "signed_digests",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("subscriber", sa.String(length=63), nullable=False),
        sa.Column("request", sa.String(length=40), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.PrimaryKeyConstraint("digest", "subscriber", "request", "kind", name=op.f("pk_signed_digests")),
        sqlite_with_rowid=False,
    )
    _see_all_rows()
    op.execute(
        "INSERT INTO signed_digests (digest, subscriber, request, kind)"
        " SELECT digest, subscriber, request, kind FROM signed_things ORDER BY digest"
    )
    op.drop_index("ix_signed_things_request", table_name="signed_things")
    op.drop_table("signed_things")


def downgrade() -> None:
    """Take this revision back."""
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
    _see_all_rows()
    op.execute(
        "INSERT INTO signed_things (digest, subscriber, request, kind)"
        " SELECT digest, subscriber, request, kind FROM signed_digests"
    )
    op.drop_table("signed_digests")


def _see_all_rows() -> None:
    """Row-level security holds for the owner as well."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute(f"SET LOCAL privyseal.tenant='{ALL_SUBSCRIBERS}'")
