"""Create the tables of how keys are found to be: looked at, probed, and no nonce used twice.

Revision ID: 0019
Revises: 0018
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.create_table(
        "key_health",
        sa.Column("subscriber", sa.String(length=63), nullable=False),
        sa.Column("key_name", sa.String(length=63), nullable=False),
        sa.Column("looked", sa.BigInteger(), nullable=True),
        sa.Column("probed", sa.BigInteger(), nullable=True),
        sa.Column("answers", sa.Boolean(), nullable=True),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("met", sa.Text(), nullable=False),
        sa.Column("told", sa.String(length=80), nullable=False),
        sa.ForeignKeyConstraint(["subscriber"], ["subscribers.name"], name=op.f("fk_key_health_subscriber")),
        sa.PrimaryKeyConstraint("subscriber", "key_name", name=op.f("pk_key_health")),
    )
    op.create_table(
        "signed_nonces",
        sa.Column("subscriber", sa.String(length=63), nullable=False),
        sa.Column("seen", sa.LargeBinary(), nullable=False),
        sa.Column("rest", sa.LargeBinary(), nullable=False),
        sa.Column("request", sa.String(length=40), nullable=False),
        sa.ForeignKeyConstraint(["subscriber"], ["subscribers.name"], name=op.f("fk_signed_nonces_subscriber")),
        sa.PrimaryKeyConstraint("subscriber", "seen", name=op.f("pk_signed_nonces")),
    )
    op.create_table(
        "nonce_progress",
        sa.Column("subscriber", sa.String(length=63), nullable=False),
        sa.Column("event", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["subscriber"], ["subscribers.name"], name=op.f("fk_nonce_progress_subscriber")),
        sa.PrimaryKeyConstraint("subscriber", name=op.f("pk_nonce_progress")),
    )


def downgrade() -> None:
    """Take this revision back."""
    op.drop_table("nonce_progress")
    op.drop_table("signed_nonces")
    op.drop_table("key_health")
