"""Create the table of what travels beside descriptions: uploads that are kept until the request is over.

Revision ID: 0020
Revises: 0019
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.create_table(
        "enclosures",
        sa.Column("request", sa.String(length=40), nullable=False),
        sa.Column("upload", sa.String(length=40), nullable=False),
        sa.Column("subscriber", sa.String(length=63), nullable=False),
        sa.ForeignKeyConstraint(["request"], ["requests.id"], name=op.f("fk_enclosures_request")),
        sa.ForeignKeyConstraint(["subscriber"], ["subscribers.name"], name=op.f("fk_enclosures_subscriber")),
        sa.PrimaryKeyConstraint("request", "upload", name=op.f("pk_enclosures")),
    )
    op.create_index(op.f("ix_enclosures_upload"), "enclosures", ["upload"])


def downgrade() -> None:
    """Take this revision back."""
    op.drop_table("enclosures")
