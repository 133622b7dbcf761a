"""Create the tables of policy sets, of what limited rules have allowed, and of attestations.

Revision ID: 0012
Revises: 0011
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Bring the schema to this revision."""
    op.add_column("requests", sa.Column("policy", sa.String(length=64), nullable=True))
    op.add_column("requests", sa.Column("allowed_by", sa.Text(), nullable=True))
    op.create_table(
        "policies",
        sa.Column("subscriber", sa.String(length=63), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("octets", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.String(length=40), nullable=False),
        sa.Column("accepted", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["subscriber"], ["subscribers.name"], name=op.f("fk_policies_subscriber")),
        sa.PrimaryKeyConstraint("subscriber", "number", name=op.f("pk_policies")),
    )
    op.create_table(
        "policy_uses",
        sa.Column("subscriber", sa.String(length=63), nullable=False),
        sa.Column("rule", sa.String(length=63), nullable=False),
        sa.Column("hour", sa.BigInteger(), nullable=False),
        sa.Column("in_hour", sa.BigInteger(), nullable=False),
        sa.Column("day", sa.BigInteger(), nullable=False),
        sa.Column("in_day", sa.BigInteger(), nullable=False),
        sa.Column("in_all", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["subscriber"], ["subscribers.name"], name=op.f("fk_policy_uses_subscriber")),
        sa.PrimaryKeyConstraint("subscriber", "rule", name=op.f("pk_policy_uses")),
    )
    op.create_table(
        "attestations",
        sa.Column("subscriber", sa.String(length=63), nullable=False),
        sa.Column("file", sa.String(length=64), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("octets", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["subscriber"], ["subscribers.name"], name=op.f("fk_attestations_subscriber")),
        sa.PrimaryKeyConstraint("subscriber", "file", "digest", name=op.f("pk_attestations")),
    )


def downgrade() -> None:
    """Take this revision back."""
    op.drop_table("attestations")
    op.drop_table("policy_uses")
    op.drop_table("policies")
    with op.batch_alter_table("requests", schema=None) as batch_op:
        batch_op.drop_column("allowed_by")
        batch_op.drop_column("policy")
