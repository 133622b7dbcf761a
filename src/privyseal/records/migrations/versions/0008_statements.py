"""Create the table of what members state: evidence, reviews, declarations, choices.

Revision ID: 0008
Revises: 0007
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.create_table(
        "statements",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("subscriber", sa.String(length=63), nullable=False),
        sa.Column("topic", sa.String(length=32), nullable=False),
        sa.Column("slot", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("octets", sa.LargeBinary(), nullable=False),
        sa.Column("salt", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("entry", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["subscriber"], ["subscribers.name"], name=op.f("fk_statements_subscriber")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_statements")),
        sa.UniqueConstraint("subscriber", "slot", "number", name=op.f("uq_statements_subscriber_slot_number")),
    )
    op.create_index("ix_statements_entry", "statements", ["entry"])


def downgrade() -> None:
    """Take this revision back."""
    op.drop_index("ix_statements_entry", table_name="statements")
    op.drop_table("statements")
