"""Create the table of orders of certificates.

Revision ID: 0017
Revises: 0016
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.create_table(
        "certificate_orders",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("subscriber", sa.String(length=63), nullable=False),
        sa.Column("key_name", sa.String(length=63), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("asked", sa.BigInteger(), nullable=False),
        sa.Column("again", sa.BigInteger(), nullable=True),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["subscriber"], ["subscribers.name"], name=op.f("fk_certificate_orders_subscriber")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_certificate_orders")),
    )
    op.create_index("ix_certificate_orders_state_again", "certificate_orders", ["state", "again"])
    op.create_index("ix_certificate_orders_subscriber_asked", "certificate_orders", ["subscriber", "asked"])


def downgrade() -> None:
    """Take this revision back."""
    op.drop_index("ix_certificate_orders_subscriber_asked", table_name="certificate_orders")
    op.drop_index("ix_certificate_orders_state_again", table_name="certificate_orders")
    op.drop_table("certificate_orders")
