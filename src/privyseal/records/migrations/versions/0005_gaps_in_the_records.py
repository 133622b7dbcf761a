"""Find a request by the place of its intent, and remember which gaps of the records an operator has accepted.

Revision ID: 0005
Revises: 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.create_index("ix_requests_intent_index", "requests", ["intent_index"])
    op.create_table(
        "log_gaps",
        sa.Column("subscriber", sa.String(length=63), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("missing", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["subscriber"], ["subscribers.name"], name=op.f("fk_log_gaps_subscriber")),
        sa.PrimaryKeyConstraint("subscriber", "size", name=op.f("pk_log_gaps")),
    )


def downgrade() -> None:
    """Take the schema back to the revision before."""
    op.drop_table("log_gaps")
    op.drop_index("ix_requests_intent_index", table_name="requests")
